/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors to wait on, frame by frame: what is asked, what comes along, which bytes
 * are taken out, and what becomes of all that when the connection breaks or ends.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/ipc-peer.h"

#define ATTACH 3u

struct op {
	struct kct_call call;
	kc_chan_t *ch;
	unsigned direction;
	uint64_t value;
};

static long fd_main(void *arg)
{
	struct op *op = arg;

	return kc_chan_fd(op->ch, op->direction);
}

static long try_recv_main(void *arg)
{
	struct op *op = arg;

	return kc_chan_recv(op->ch, &op->value, 0);
}

static long recv_main(void *arg)
{
	struct op *op = arg;

	return kc_chan_recv(op->ch, &op->value, -1);
}

static long try_send_main(void *arg)
{
	struct op *op = arg;

	return kc_chan_send(op->ch, &op->value, 0);
}

static void start(struct op *op, kc_chan_t *ch, long (*fn)(void *))
{
	*op = (struct op){ .ch = ch, .direction = KC_RECEIVER };
	kct_call_start(&op->call, fn, op);
}

/* Answer the latest frame, a CHAN_WATCH, with a new pair's one end: returns the other. */
static int pass(struct peer *p, uint64_t rings)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	assert_int_equal(kcp_stream_pass_fd(&p->stream, fds[1]), 0);
	peer_begin(p, KCP_CHAN_WATCH, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_OK);
	kcp_put_u64(&p->out, KCP_T_RINGS, rings);
	peer_end(p);
	return fds[0];
}

/* A descriptor of the handle; *ret_far is the other end. */
static int watched(struct peer *p, kc_chan_t *ch, unsigned direction, uint64_t rings, int *ret_far)
{
	struct op op = { .ch = ch, .direction = direction };
	int fd;

	kct_call_start(&op.call, fd_main, &op);
	peer_get(p, KCP_CHAN_WATCH);
	assert_int_equal(kcp_num(&p->args, KCP_T_ATTACH, 0), ATTACH);
	assert_int_equal(kcp_num(&p->args, KCP_T_ROLES, 0),
			 direction == KC_SENDER ? KCP_ROLE_SENDER : KCP_ROLE_RECEIVER);
	*ret_far = pass(p, rings);
	fd = (int)kct_call_join(&op.call);
	assert_true(fd >= 0);
	return fd;
}

static void ring(int far, unsigned n)
{
	while (n-- > 0)
		assert_int_equal(send(far, "", 1, MSG_NOSIGNAL), 1);
}

/* How many bytes lie in the descriptor. */
static size_t bytes_in(int fd)
{
	char buf[256];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	return n < 0 ? 0 : (size_t)n;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* A try that finds nothing, and what the reply says of the bell. */
static void again(struct peer *p, kc_chan_t *ch, uint16_t type, uint64_t rings)
{
	struct op op;

	start(&op, ch, type == KCP_RECV ? try_recv_main : try_send_main);
	peer_get(p, type);
	peer_begin_reply(p, type, p->header.id, KCP_AGAIN);
	kcp_put_u64(&p->out, KCP_T_RINGS, rings);
	peer_end(p);
	assert_int_equal(kct_call_join(&op.call), KC_EAGAIN);
}

static void what_again_has_heard_is_taken_out_and_no_more(void **state)
{
	static const uint16_t types[] = { KCP_RECV, KCP_SEND };

	for (size_t i = 0; i < 2; i++) {
		struct peer p;
		kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
		int far, fd = watched(&p, ch, i ? KC_SENDER : KC_RECEIVER, 1000, &far);

		/* nothing in it, nothing to take out */
		again(&p, ch, types[i], 1000);
		ring(far, 3); /* 1001 .. 1003 */
		again(&p, ch, types[i], 1002);
		assert_int_equal(bytes_in(fd), 1);
		/* a number that was heard of before takes out nothing */
		again(&p, ch, types[i], 1002);
		again(&p, ch, types[i], 999);
		assert_int_equal(bytes_in(fd), 1);
		again(&p, ch, types[i], 1003);
		assert_false(is_readable(fd));
		ring(far, 200);
		again(&p, ch, types[i], 1202);
		assert_int_equal(bytes_in(fd), 1);
		close(far);
		peer_finish(&p, ch);
	}
}

static void while_something_lies_ahead_nothing_is_taken_out(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 4, 0);
	int far, fd = watched(&p, ch, KC_RECEIVER, 0, &far);

	/* the elements cross with a try that finds nothing at the daemon */
	ring(far, 1);
	start(&op, ch, try_recv_main);
	peer_get(&p, KCP_RECV);
	peer_deliver(&p, ATTACH, 1, 70, 2);
	peer_begin_reply(&p, KCP_RECV, p.header.id, KCP_AGAIN);
	kcp_put_u64(&p.out, KCP_T_RINGS, 1);
	peer_end(&p);
	/* it cancels, since there is something to take */
	peer_get(&p, KCP_CANCEL);
	peer_ok(&p);
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&op.call), 0);
	assert_int_equal(op.value, 70);
	assert_int_equal(bytes_in(fd), 1);
	start(&op, ch, try_recv_main);
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&op.call), 0);
	assert_int_equal(op.value, 71);
	/* only a try that found nothing makes it unreadable */
	assert_int_equal(bytes_in(fd), 1);
	again(&p, ch, KCP_RECV, 1);
	assert_false(is_readable(fd));
	close(far);
	peer_finish(&p, ch);
}

static void two_who_ask_at_a_time_get_the_same(void **state)
{
	struct peer p;
	struct op ops[3];
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	long first;
	int far;

	for (int i = 0; i < 3; i++)
		start(&ops[i], ch, fd_main);
	peer_get(&p, KCP_CHAN_WATCH);
	far = pass(&p, 0);
	first = kct_call_join(&ops[0].call);
	assert_true(first >= 0);
	assert_int_equal(kct_call_join(&ops[1].call), first);
	assert_int_equal(kct_call_join(&ops[2].call), first);
	close(far);
	peer_finish(&p, ch); /* whose next frame is no CHAN_WATCH */
}

static void what_comes_unasked_is_closed(void **state)
{
	struct peer p;
	struct kct_call call;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	int before = kct_fd_count();

	for (int i = 0; i < 3; i++) {
		kct_call_start(&call, peer_ping_main, p.conn);
		peer_get(&p, KCP_PING);
		assert_int_equal(kcp_stream_pass_fd(&p.stream, eventfd(0, EFD_CLOEXEC)), 0);
		peer_ok(&p);
		assert_int_equal(kct_call_join(&call), 0);
		assert_int_equal(kct_fd_count(), before);
	}
	peer_finish(&p, ch);
}

static void a_refusal_with_a_descriptor_is_a_refusal(void **state)
{
	static const uint32_t results[] = { KCP_NOTSUP, KCP_DQUOT, KCP_NOENT };
	static const int codes[] = { KC_ENOTSUP, KC_EDQUOT, KC_ENOENT };
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	int before = kct_fd_count();

	for (size_t i = 0; i < 3; i++) {
		start(&op, ch, fd_main);
		peer_get(&p, KCP_CHAN_WATCH);
		assert_int_equal(kcp_stream_pass_fd(&p.stream, eventfd(0, EFD_CLOEXEC)), 0);
		peer_result(&p, results[i]);
		assert_int_equal(kct_call_join(&op.call), codes[i]);
		/* at the latest with what is read next */
		kct_call_start(&op.call, peer_ping_main, p.conn);
		peer_get(&p, KCP_PING);
		peer_ok(&p);
		assert_int_equal(kct_call_join(&op.call), 0);
		assert_int_equal(kct_fd_count(), before);
	}
	peer_finish(&p, ch);
}

static void a_reply_lost_with_the_connection_is_asked_for_again(void **state)
{
	struct kcp_ids ids;
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	int before = kct_fd_count(), far, fd, lost;
	uint64_t id;
	size_t at;

	start(&op, ch, fd_main);
	peer_get(&p, KCP_CHAN_WATCH);
	id = p.header.id;
	/* half of the frame, and the descriptor with it */
	lost = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(kcp_stream_pass_fd(&p.stream, lost), 0);
	peer_raw(&p, "KC\1\1", 4);
	peer_hang_up(&p);
	peer_hello(&p);
	peer_get(&p, KCP_RESUME);
	assert_int_equal(kcp_ids_parse(&ids, &p.args, NULL), 0);
	assert_int_equal(ids.count, 1);
	assert_int_equal(kcp_ids_at(&ids, 0), id);
	peer_begin(&p, KCP_RESUME, KCP_HF_REPLY, p.header.id, 0);
	kcp_put_u32(&p.out, KCP_T_RESULT, KCP_OK);
	at = kcp_tlv_begin(&p.out, KCP_T_REQUESTS);
	kcp_buf_add_u64(&p.out, id);
	kcp_tlv_end(&p.out, at);
	peer_end(&p);
	peer_get(&p, KCP_CHAN_WATCH);
	assert_int_equal(p.header.id, id);
	/* as many rings as there were into the one that was lost */
	far = pass(&p, 5);
	fd = (int)kct_call_join(&op.call);
	assert_true(fd >= 0);
	assert_int_equal(kct_fd_count(), before + 2);
	ring(far, 2);
	again(&p, ch, KCP_RECV, 6);
	assert_int_equal(bytes_in(fd), 1);
	close(far);
	peer_finish(&p, ch);
}

static void a_connection_that_ends_hangs_up_here(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	int far_tx, far_rx;
	int rx = watched(&p, ch, KC_RECEIVER, 0, &far_rx);
	int tx = watched(&p, ch, KC_SENDER, 0, &far_tx);

	assert_false(is_readable(rx));
	start(&op, ch, recv_main);
	peer_get(&p, KCP_RECV);
	assert_false(is_readable(tx));
	/* nonsense; the daemon's ends are as they were */
	peer_raw(&p, "this is no frame at all, and long enough", 40);
	assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
	assert_true(is_readable(rx));
	assert_true(is_readable(tx));
	assert_int_equal(kc_chan_recv(ch, &op.value, 0), KC_EPROTO);
	assert_true(is_readable(rx));
	kc_chan_destroy(ch);
	close(far_rx);
	close(far_tx);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(what_again_has_heard_is_taken_out_and_no_more),
	KCT_TEST(while_something_lies_ahead_nothing_is_taken_out),
	KCT_TEST(two_who_ask_at_a_time_get_the_same),
	KCT_TEST(what_comes_unasked_is_closed),
	KCT_TEST(a_refusal_with_a_descriptor_is_a_refusal),
	KCT_TEST(a_reply_lost_with_the_connection_is_asked_for_again),
	KCT_TEST(a_connection_that_ends_hangs_up_here),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
