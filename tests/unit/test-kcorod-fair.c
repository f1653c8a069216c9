/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole daemon inside the test, turn by turn, with clients of two users: who gets how much of
 * it, counted in frames. The kernel notes who made a socket, so this needs root.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcorod/conn.h"
#include "kcorod/daemon.h"
#include "kcorod/session.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/values.h"
#include "tests/lib/kct.h"
#include "tests/lib/wire.h"

#define UID_A 54321u
#define UID_B 54322u
#define FLOOD 9 /* connections of A */
#define TURNS 500
#define ROUNDS 100

static struct kcd_daemon *d;

struct talker {
	struct kct_wire w;
	struct kcd_conn *conn;
	void (*say)(struct talker *t); /* adds frames to w.out */
	uint32_t attach;
	size_t said;      /* bytes of w.out written */
	uint64_t answers; /* frames that came back whole */
	uint8_t part[1 << 16]; /* of the next one */
	size_t part_len;
};

static struct talker flood[FLOOD], meek;

static void turn(void)
{
	assert_int_equal(kcd_daemon_turn(d, /* wait= */ false), 0);
}

static void talker_begin(struct talker *t, uid_t uid, void (*say)(struct talker *t))
{
	const char *limit;
	int fds[2], r;

	memset(t, 0, sizeof(*t));
	assert_int_equal(seteuid(uid), 0);
	r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, 0);
	assert_int_equal(kcd_conn_new(d, fds[0], &t->conn, &limit), 0);
	assert_int_equal(t->conn->user->node.key, uid);
	kct_wire_init(&t->w, fds[1]);
	t->say = say;
	kct_begin(&t->w, KCP_HELLO);
	kcp_put_u32(&t->w.out, KCP_T_VERSION_MIN, KCP_VERSION);
	kcp_put_u32(&t->w.out, KCP_T_VERSION_MAX, KCP_VERSION);
	kct_end(&t->w);
	turn();
	assert_int_equal(kct_result(kct_next(&t->w)), KCP_OK);
}

/* A channel that drops what it has no place for, or one that is there already. */
static void talker_attach(struct talker *t, const char *name)
{
	const struct kct_frame *f;

	kct_begin(&t->w, KCP_CHAN_MAKE);
	kcp_put_text(&t->w.out, KCP_T_NAME, name);
	kcp_put_u32(&t->w.out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&t->w.out, KCP_T_ELEM_SIZE, 8);
	kcp_put_u32(&t->w.out, KCP_T_CAPACITY, 1);
	kcp_put_u32(&t->w.out, KCP_T_OVERFLOW, KCP_OVERFLOW_DROP_NEWEST);
	kcp_put_u32(&t->w.out, KCP_T_ROLES, KCP_ROLE_SENDER);
	kct_end(&t->w);
	turn();
	f = kct_next(&t->w);
	assert_int_equal(kct_result(f), KCP_OK);
	t->attach = (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
}

static void say_ping(struct talker *t)
{
	kct_begin(&t->w, KCP_PING);
	kct_end_later(&t->w);
}

static void say_list(struct talker *t)
{
	kct_begin(&t->w, KCP_CHAN_LIST);
	kct_end_later(&t->w);
}

static void say_send(struct talker *t)
{
	size_t at;

	kct_begin(&t->w, KCP_SEND);
	kcp_put_u32(&t->w.out, KCP_T_ATTACH, t->attach);
	at = kcp_tlv_begin(&t->w.out, KCP_T_ELEMENTS);
	memset(kcp_buf_extend(&t->w.out, 8), 0, 8);
	kcp_tlv_end(&t->w.out, at);
	kct_end_later(&t->w);
}

/* Tell the daemon as much as its socket takes. */
static void talk(struct talker *t)
{
	struct kct_wire *w = &t->w;

	for (;;) {
		ssize_t n;

		if (t->said == w->out.len) {
			kcp_buf_clear(&w->out);
			t->said = 0;
			for (int i = 0; i < 64; i++)
				t->say(t);
		}
		n = send(w->fd, w->out.data + t->said, w->out.len - t->said,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return;
		}
		t->said += (size_t)n;
	}
}

/* Count what it answered, and confirm it. */
static void listen_to(struct talker *t)
{
	ssize_t n;

	while ((n = recv(t->w.fd, t->part + t->part_len, sizeof(t->part) - t->part_len,
			 MSG_DONTWAIT)) > 0) {
		size_t at = 0;

		t->part_len += (size_t)n;
		while (t->part_len - at >= KCP_HEADER_SIZE) {
			struct kcp_header h;
			const char *why;

			assert_int_equal(kcp_header_decode(t->part + at, UINT32_MAX, &h, &why), 0);
			assert_int_not_equal(h.type, KCP_ERROR);
			if (t->part_len - at < KCP_HEADER_SIZE + h.length)
				break;
			if (h.seq > t->w.seq)
				t->w.seq = h.seq;
			at += KCP_HEADER_SIZE + h.length;
			t->answers++;
		}
		memmove(t->part, t->part + at, t->part_len - at);
		t->part_len -= at;
	}
}

static int begin(void **state)
{
	struct kcd_config config;
	int r = kct_setup(state);

	kcd_config_init(&config);
	return r < 0 ? r : kcd_daemon_new(&config, &d);
}

static int end(void **state)
{
	d = kcd_daemon_free(d);
	return kct_teardown(state);
}

static void hang_up(void)
{
	for (int i = 0; i < FLOOD; i++)
		kct_wire_cut(&flood[i].w);
	kct_wire_cut(&meek.w);
	turn();
}

static uint64_t flood_answers(void)
{
	uint64_t n = 0;

	for (int i = 0; i < FLOOD; i++)
		n += flood[i].answers;
	return n;
}

static void everybody_talks(void)
{
	for (int i = 0; i < FLOOD; i++)
		talk(&flood[i]);
	talk(&meek);
	turn();
	for (int i = 0; i < FLOOD; i++)
		listen_to(&flood[i]);
	listen_to(&meek);
}

/* The same frames from nine connections of one user and one of another: as many of each user,
 * less what more connections cost in system calls, and among the nine as many of each. */
static void test_same_frames_same_number(void **state)
{
	uint64_t a, least = UINT64_MAX, most = 0;

	(void)state;
	if (getuid() != 0)
		skip();
	for (int i = 0; i < FLOOD; i++)
		talker_begin(&flood[i], UID_A, say_ping);
	talker_begin(&meek, UID_B, say_ping);
	for (int i = 0; i < 10 * TURNS; i++)
		everybody_talks();
	a = flood_answers();
	assert_true(meek.answers > TURNS);
	assert_in_range(a * 100 / meek.answers, 50, 105);
	for (int i = 0; i < FLOOD; i++) {
		least = flood[i].answers < least ? flood[i].answers : least;
		most = flood[i].answers > most ? flood[i].answers : most;
	}
	/* each gets a turn, whose length also depends on when replies go out */
	assert_in_range(most * 100 / least, 100, 200);
	hang_up();
}

/* Whatever the one sends, the other gets its quantum in every round; and what is not served is
 * left in the socket. */
static void test_every_turn(void **state)
{
	uint64_t before = 0, frames;

	(void)state;
	if (getuid() != 0)
		skip();
	for (int i = 0; i < FLOOD; i++) {
		talker_begin(&flood[i], UID_A,
			     i % 3 == 0 ? say_ping : i % 3 == 1 ? say_list : say_send);
		if (i % 3 == 2)
			talker_attach(&flood[i], "drop");
	}
	talker_begin(&meek, UID_B, say_ping);
	talker_attach(&meek, "other"); /* not empty: a list costs something */
	for (int i = 0; i < TURNS; i++) {
		frames = d->frames_in;
		everybody_talks();
		/* Answers may be held back for some turns. A ping is a frame in and a frame
		 * out; reading and writing many takes a few calls. */
		if (i % ROUNDS == ROUNDS - 1) {
			assert_in_range((meek.answers - before) * 2 * KCD_COST_FRAME,
					ROUNDS * (KCD_QUANTUM - KCD_COST_CALL) / 2,
					ROUNDS * (KCD_QUANTUM - KCD_COST_CALL) + KCD_SAVED);
			before = meek.answers;
		}
		/* nor does the flood get more than two users do in one round */
		assert_in_range(d->frames_in - frames, 0, 2 * KCD_QUANTUM / KCD_COST_FRAME + 1);
		for (int k = 0; k < FLOOD; k++) {
			int left = 0;

			assert_in_range(flood[k].conn->stream.in_cap, 0, 65536);
			talk(&flood[k]);
			assert_int_equal(ioctl(flood[k].conn->fd, FIONREAD, &left), 0);
			assert_true(left > 0);
			/* nor is it polled for what is known */
			assert_true(i < 2 || !flood[k].conn->watch.want_read);
		}
	}
	while (kcd_turns_busy(&d->turns)) {
		turn();
		for (int k = 0; k < FLOOD; k++)
			listen_to(&flood[k]);
		listen_to(&meek);
	}
	for (int k = 0; k < FLOOD; k++)
		assert_true(flood[k].conn->watch.want_read);
	assert_true(flood_answers() > 0);
	hang_up();
}

/* A page of a list ends early where others wait: the price of one is not theirs to pay. */
static void test_list_is_cut(void **state)
{
	struct talker *asks = &flood[0];
	const struct kct_frame *f;
	char name[16];
	uint64_t id;

	(void)state;
	if (getuid() != 0)
		skip();
	talker_begin(asks, UID_A, say_list);
	talker_begin(&meek, UID_B, say_ping);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "cut/c%d", i);
		talker_attach(asks, name);
	}
	for (int others = 0; others < 2; others++) {
		/* alone for long enough, or not */
		for (unsigned i = 0; i < (others ? 20 : 2 * KCD_ALONE); i++) {
			kct_begin(&asks->w, KCP_PING);
			kct_end(&asks->w);
			if (others) {
				talk(&meek);
				listen_to(&meek);
			}
			for (int k = 0; k < (others ? 20 : 1); k++)
				turn();
			assert_int_equal(kct_next(&asks->w)->header.type, KCP_PING);
		}
		kct_begin(&asks->w, KCP_CHAN_LIST);
		id = kct_end(&asks->w);
		for (int i = 0; i < 100; i++)
			turn();
		f = kct_reply(&asks->w, id);
		assert_int_equal(kct_result(f), KCP_OK);
		assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), others ? KCP_F_MORE : 0);
	}
	while (kcd_turns_busy(&d->turns)) {
		turn();
		listen_to(&meek);
	}
	kct_wire_cut(&asks->w);
	kct_wire_cut(&meek.w);
	turn();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_frames_same_number, begin, end),
		cmocka_unit_test_setup_teardown(test_every_turn, begin, end),
		cmocka_unit_test_setup_teardown(test_list_is_cut, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
