/* SPDX-License-Identifier: BSD-3-Clause */
/* A whole daemon inside the test: what many connections that were busy once keep. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcorod/conn.h"
#include "kcorod/daemon.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/values.h"
#include "tests/lib/kct.h"
#include "tests/lib/wire.h"

#define CLIENTS 200
#define LARGE 200000u /* its buffers together are more than all may keep */

static struct kcd_daemon *d;
static struct kct_wire wires[CLIENTS];
static struct kcd_conn *conns[CLIENTS];

static void turn(void)
{
	assert_int_equal(kcd_daemon_turn(d, /* wait= */ false), 0);
}

/* Write what was ended, with a turn of the daemon whenever the socket is full. */
static void push(struct kct_wire *w)
{
	size_t at = 0;

	while (at < w->out.len) {
		ssize_t n = send(w->fd, w->out.data + at, w->out.len - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		at += n > 0 ? (size_t)n : 0;
		turn();
	}
	kcp_buf_clear(&w->out);
	turn();
	turn();
}

static void ping(struct kct_wire *w)
{
	kct_begin(w, KCP_PING);
	kct_end_later(w);
	push(w);
	assert_int_equal(kct_result(kct_next(w)), KCP_OK);
}

static int begin(void **state)
{
	struct kcd_config config;
	int fds[2], r = kct_setup(state);
	const char *limit;

	kcd_config_init(&config);
	if (r < 0 || kcd_daemon_new(&config, &d) < 0)
		return -1;
	for (int i = 0; i < CLIENTS; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
		    kcd_conn_new(d, fds[0], &conns[i], &limit) < 0)
			return -1;
		kct_wire_init(&wires[i], fds[1]);
		kct_begin(&wires[i], KCP_HELLO);
		kcp_put_u32(&wires[i].out, KCP_T_VERSION_MIN, KCP_VERSION);
		kcp_put_u32(&wires[i].out, KCP_T_VERSION_MAX, KCP_VERSION);
		kct_end_later(&wires[i]);
		push(&wires[i]);
		assert_int_equal(kct_result(kct_next(&wires[i])), KCP_OK);
	}
	return 0;
}

static int end(void **state)
{
	for (int i = 0; i < CLIENTS; i++)
		kct_wire_cut(&wires[i]);
	turn();
	d = kcd_daemon_free(d);
	return kct_teardown(state);
}

static uint64_t buffers(const struct kcd_conn *conn)
{
	return conn->stream.in_cap + conn->stream.out.cap;
}

static uint64_t all_buffers(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < CLIENTS; i++)
		sum += buffers(conns[i]);
	return sum;
}

/* Those used last keep theirs, the others have none; the books know all of it. */
static void test_small_frames(void **state)
{
	int without = 0;

	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		ping(&wires[i]);
	assert_true(buffers(conns[CLIENTS - 1]) > 0);
	assert_int_equal(buffers(conns[0]), 0);
	for (int i = 0; i < CLIENTS; i++) {
		without += buffers(conns[i]) == 0;
		/* none after one that has some */
		assert_true(without == i + 1 || buffers(conns[i]) > 0);
	}
	assert_in_range(all_buffers(), 1, KCD_WARM_MAX);
	assert_int_equal(d->warm.bytes, all_buffers());
	assert_int_equal(d->buffers, all_buffers());
	assert_int_equal(conns[0]->user->buffers.used, all_buffers());
	/* and who was idle goes on as if nothing had been */
	for (int i = 0; i < CLIENTS; i++)
		ping(&wires[i]);
}

/* One large message into a channel of its own. Returns the attachment. */
static uint32_t fill(struct kct_wire *w, int i)
{
	static char message[LARGE];
	const struct kct_frame *f;
	uint32_t attach;
	char name[32];
	size_t at;

	snprintf(name, sizeof(name), "c%d", i);
	kct_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, 0);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, 1);
	kcp_put_u32(&w->out, KCP_T_MAX_MSG, LARGE);
	kcp_put_u32(&w->out, KCP_T_ROLES, KCP_ROLE_SENDER | KCP_ROLE_RECEIVER);
	kct_end_later(w);
	push(w);
	f = kct_next(w);
	assert_int_equal(kct_result(f), KCP_OK);
	attach = (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	kcp_put_message(&w->out, message, LARGE);
	kcp_tlv_end(&w->out, at);
	kct_end_later(w);
	push(w);
	assert_int_equal(kct_result(kct_next(w)), KCP_OK);
	return attach;
}

/* The message back out of it. */
static void drain(struct kct_wire *w, uint32_t attach)
{
	const struct kct_frame *f;
	size_t at;

	kct_begin(w, KCP_RECV);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kct_end_later(w);
	push(w);
	f = kct_next(w);
	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_get(&f->args, KCP_T_ELEMENTS)->len, LARGE + 4);
	kct_begin_notice(w, KCP_TAKEN);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_RANGES);
	kcp_put_range(&w->out, 1, 1);
	kcp_tlv_end(&w->out, at);
	kct_end_later(w);
	push(w);
}

static void test_large_frames(void **state)
{
	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		drain(&wires[i], fill(&wires[i], i));
		assert_in_range(d->buffers, 0, KCD_WARM_MAX);
	}
	assert_int_equal(d->buffers, all_buffers());
	/* nor does a channel keep anything of what was in it */
	assert_int_equal(d->bytes.used, 0);
}

/* What holds a part of a frame is nobody's to give back. */
static void test_half_a_frame(void **state)
{
	struct kct_wire *w = &wires[0];

	(void)state;
	kct_begin(w, KCP_PING);
	kct_end_later(w);
	assert_int_equal(send(w->fd, w->out.data, 20, MSG_NOSIGNAL), 20);
	for (int i = 1; i < CLIENTS; i++)
		ping(&wires[i]);
	assert_true(buffers(conns[0]) > 0);
	assert_int_equal(send(w->fd, w->out.data + 20, w->out.len - 20, MSG_NOSIGNAL),
			 w->out.len - 20);
	kcp_buf_clear(&w->out);
	turn();
	assert_int_equal(kct_result(kct_next(w)), KCP_OK);
}

/* Once it is quiet after a lot was in use: pools are emptied, once; then no timer is set. */
static void test_given_back_once(void **state)
{
	uint32_t attach[10];
	size_t idle;

	(void)state;
	for (int i = 0; i < 10; i++)
		attach[i] = fill(&wires[i], i);
	idle = d->timers.n; /* those of sessions, which are not due */
	for (int i = 0; i < 10; i++)
		drain(&wires[i], attach[i]);
	assert_true(d->requests.n > 0);
	assert_true(d->scratch.cap > 0);
	assert_int_equal(d->timers.n, idle + 1);

	/* It is not quiet yet: later. */
	for (int i = 0; i < 200; i++)
		turn();
	kcd_timers_run(&d->timers, d->timers.now_ns + KC_NS_PER_SEC);
	assert_true(d->requests.n > 0);
	turn();
	assert_int_equal(d->timers.n, idle + 1);

	kcd_timers_run(&d->timers, d->timers.now_ns + 2 * KC_NS_PER_SEC);
	assert_int_equal(d->requests.n, 0);
	assert_int_equal(d->scratch.cap, 0);
	for (size_t i = 0; i < KCD_BUFS_CLASSES; i++)
		assert_int_equal(d->bufs.classes[i].n, 0);
	turn();
	assert_int_equal(d->timers.n, idle);
	ping(&wires[0]);
	assert_int_equal(d->timers.n, idle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_small_frames, begin, end),
		cmocka_unit_test_setup_teardown(test_large_frames, begin, end),
		cmocka_unit_test_setup_teardown(test_half_a_frame, begin, end),
		cmocka_unit_test_setup_teardown(test_given_back_once, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
