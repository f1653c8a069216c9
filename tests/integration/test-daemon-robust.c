/* SPDX-License-Identifier: BSD-3-Clause */
/* What clients do that mean no good, or die in the middle: the others must not notice. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)

/* A client in a process of its own, which lives until it is killed. */
struct victim {
	pid_t pid;
	int tell[2]; /* it writes a byte when it is ready */
};

static void victim_start(struct victim *v, void (*fn)(void))
{
	pid_t parent = getpid();
	char byte = 0;

	assert_int_equal(pipe(v->tell), 0);
	fflush(NULL);
	v->pid = fork();
	assert_true(v->pid >= 0);
	if (v->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		fn();
		(void)!write(v->tell[1], "r", 1);
		for (;;)
			pause();
	}
	close(v->tell[1]);
	/* if it fails its assertions it ends, and so does the pipe */
	assert_int_equal(read(v->tell[0], &byte, 1), 1);
	assert_int_equal(byte, 'r');
}

static void victim_kill(struct victim *v)
{
	int status;

	kill(v->pid, SIGKILL);
	assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
	assert_true(WIFSIGNALED(status));
	close(v->tell[0]);
}

/* The first seven bytes of a message are its number. */
static void number_text(char *message, uint32_t n)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%07u", n);
	memcpy(message, digits, 7);
}

/* Ask until a number of the daemon's, or of a channel's, is so much: each answer is a turn. */
static void until_stat(const char *name, enum kcp_stat stat, uint64_t want)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_WIRE_MS), have;

	while ((have = kct_stat(&watcher, name, stat)) != want)
		if (kci_deadline_left(deadline) == 0)
			fail_msg("%llu instead of %llu", (unsigned long long)have,
				 (unsigned long long)want);
}

/* ---- half a frame ----------------------------------------------------------- */

/* A SEND of one message, as bytes. */
static void build_send(struct kct_wire *w, uint32_t attach, const char *text)
{
	size_t at;

	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	kcp_put_message(&w->out, text, (uint32_t)strlen(text));
	kcp_tlv_end(&w->out, at);
	kct_end_later(w);
}

static void half_a_frame_waits_for_the_other_half(void **state)
{
	struct kct_wire slow, other;
	uint32_t at, in;

	(void)state;
	client(&slow);
	client(&other);
	at = kct_make(&slow, "half", KCP_KIND_BUFFERED, 0, 9, KCP_ROLE_SENDER);
	in = kct_open(&other, "half", KCP_ROLE_RECEIVER, 0, 0);
	build_send(&slow, at, "whole");
	for (size_t cut = 1; cut < slow.out.len; cut += 7) {
		/* byte by byte would do as well; in the meantime nothing was sent, and nobody waits */
		kct_raw(&slow, slow.out.data, cut);
		assert_int_equal(kct_result_of(&other, kct_recv(&other, in, 1, 0, 0)), KCP_AGAIN);
		kct_raw(&slow, slow.out.data + cut, slow.out.len - cut);
		assert_int_equal(kct_result_of(&slow, slow.id), KCP_OK);
		kct_assert_messages(kct_reply(&other, kct_recv(&other, in, 1, 0, 0)), 0, 1, "whole");
		kcp_buf_clear(&slow.out);
		build_send(&slow, at, "whole");
	}
	kcp_buf_clear(&slow.out);
	kct_assert_balanced(&other, "half");
	kct_wire_bye(&slow);
	kct_wire_bye(&other);
}

static void half_a_frame_of_a_client_that_dies_is_nothing(void **state)
{
	struct kct_wire slow, other;
	uint32_t at, in;

	(void)state;
	client(&other);
	in = kct_make(&other, "half", KCP_KIND_BUFFERED, 0, 9, BOTH);
	for (int i = 0; i < 50; i++) {
		client(&slow);
		at = kct_open(&slow, "half", KCP_ROLE_SENDER, 0, 0);
		build_send(&slow, at, "never");
		kct_raw(&slow, slow.out.data, slow.out.len - 1);
		kct_wire_cut(&slow);
	}
	until_stat(NULL, KCP_S_SESSIONS, 2);
	assert_int_equal(kct_result_of(&other, kct_recv(&other, in, 1, 0, 0)), KCP_AGAIN);
	assert_int_equal(kct_stat(&other, "half", KCP_S_SENT), 0);
	kct_wire_bye(&other);
}

/* ---- never reading ---------------------------------------------------------- */

/* Many who never read, each cut off; what they were given comes back, in order. */
static void who_never_reads_costs_the_others_nothing(void **state)
{
	static char big[60001];
	struct kct_wire deaf[4], other, reader;
	uint32_t out, in[4], at, n = 0;

	(void)state;
	client(&other);
	out = kct_make(&other, "flood", KCP_KIND_UNLIMITED, 0, 0, KCP_ROLE_SENDER);
	for (int k = 0; k < 4; k++) {
		client(&deaf[k]);
		in[k] = kct_open(&deaf[k], "flood", KCP_ROLE_RECEIVER, 0, 0);
		for (int i = 0; i < 40; i++)
			kct_recv(&deaf[k], in[k], 1, 0, KCT_FOREVER);
		kct_ping(&deaf[k]);
	}
	/* each message is numbered; every send is answered, whoever falls by the wayside */
	memset(big, 'x', 60000);
	for (; kct_stat(&watcher, "flood", KCP_S_RECEIVERS) > 0; n++) {
		assert_true(n < 400);
		number_text(big, n);
		if (kct_result_of(&other, kct_send(&other, out, big, 0)) != KCP_OK)
			break; /* what came back fills it */
	}
	for (int k = 0; k < 4; k++) {
		const struct kct_frame *f = kct_event(&deaf[k], KCP_ERROR);

		assert_int_equal(kct_result(f), KCP_DQUOT);
		assert_string_equal(kct_detail(f), "limits.output_max: the client does not read "
						   "what it asked for");
		kct_expect_end(&deaf[k]);
		kct_wire_cut(&deaf[k]);
	}
	/* nobody confirmed anything, so everything is there */
	client(&reader);
	at = kct_open(&reader, "flood", KCP_ROLE_RECEIVER, 0, 0);
	for (uint32_t i = 0; i < n; i++) {
		const struct kct_frame *f = kct_reply(&reader, kct_recv(&reader, at, 1, 0, 0));
		char number[16];

		snprintf(number, sizeof(number), "%07u", i);
		assert_int_equal(kct_result(f), KCP_OK);
		assert_memory_equal(kcp_get(&f->args, KCP_T_ELEMENTS)->data + 4, number, 7);
		kct_taken(&reader, at, kcp_num(&f->args, KCP_T_DELIVERY, 0), 1);
	}
	assert_int_equal(kct_result_of(&reader, kct_recv(&reader, at, 1, 0, 0)), KCP_AGAIN);
	kct_assert_balanced(&other, "flood");
	kct_wire_bye(&reader);
	kct_wire_bye(&other);
}

/* ---- ten thousand ----------------------------------------------------------- */

#define WAITS 10000u
#define REQUESTS 4096u /* limits.requests, by default */

static void wait_ten_thousand_times(void)
{
	static struct kct_wire w[WAITS / REQUESTS + 1];
	uint32_t left = WAITS, at;

	for (size_t i = 0; i < KC_ARRAY_SIZE(w); i++) {
		uint32_t n = left < REQUESTS ? left : REQUESTS;

		client(&w[i]);
		at = kct_open(&w[i], "waits", KCP_ROLE_RECEIVER, 0, 0);
		kct_ping(&w[i]); /* confirms the reply to that */
		for (left -= n; n > 0; n--) {
			kct_begin(&w[i], KCP_RECV);
			kcp_put_u32(&w[i].out, KCP_T_ATTACH, at);
			kct_end_later(&w[i]);
		}
		kct_push(&w[i]);
		kct_ping(&w[i]);
		if (left > 0) {
			const struct kct_frame *f =
				kct_reply(&w[i], kct_recv(&w[i], at, 1, 0, KCT_FOREVER));

			assert_int_equal(kct_result(f), KCP_DQUOT);
			assert_string_equal(kct_detail(f), "limits.requests is used up");
		}
	}
}

static void ten_thousand_waits_vanish_at_once(void **state)
{
	struct victim v;
	struct kct_wire w;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "waits", KCP_KIND_BUFFERED, 0, 5, BOTH);
	victim_start(&v, wait_ten_thousand_times);
	assert_int_equal(kct_stat(&w, "waits", KCP_S_WAITING_RECEIVERS), WAITS);
	victim_kill(&v);
	until_stat("waits", KCP_S_WAITING_RECEIVERS, 0);
	/* and what is sent now is for those who live */
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "here", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, 0)), 0, 1, "here");
	kct_wire_bye(&w);
	until_stat(NULL, KCP_S_SESSIONS, 1);
}

static void ten_thousand_come_and_vanish(void **state)
{
	struct kct_wire w, stays;
	uint32_t at;

	(void)state;
	client(&stays);
	at = kct_make(&stays, "here", KCP_KIND_BUFFERED, 0, 5, BOTH);
	for (int i = 0; i < 10000; i++) {
		kct_wire_connect(&w, fixture.path);
		if (i % 4 > 0) { /* says HELLO, and perhaps more, and waits for no answer */
			kct_begin(&w, KCP_HELLO);
			kcp_put_u32(&w.out, KCP_T_VERSION_MIN, 1);
			kcp_put_u32(&w.out, KCP_T_VERSION_MAX, 1);
			kct_end_later(&w);
		}
		if (i % 4 > 1) {
			kct_begin(&w, KCP_CHAN_OPEN);
			kcp_put_text(&w.out, KCP_T_NAME, "here");
			kcp_put_u32(&w.out, KCP_T_ROLES, KCP_ROLE_RECEIVER);
			kct_end_later(&w);
		}
		if (i % 4 > 2) {
			kct_begin(&w, KCP_RECV);
			kcp_put_u32(&w.out, KCP_T_ATTACH, 1);
			kct_end_later(&w);
		}
		if (w.out.len > 0)
			kct_push(&w);
		kct_wire_cut(&w);
		if (i % 1000 == 0) {
			assert_int_equal(kct_result_of(&stays, kct_send(&stays, at, "x", 0)),
					 KCP_OK);
			/* it may have been given to one who is gone, and comes back */
			kct_assert_messages(kct_reply(&stays, kct_recv(&stays, at, 1, 0,
								       KCT_FOREVER)),
					    0, 1, "x");
		}
	}
	until_stat(NULL, KCP_S_SESSIONS, 2);
	until_stat(NULL, KCP_S_CONNECTIONS, 2);
	assert_int_equal(kct_stat(&stays, "here", KCP_S_RECEIVERS), 1);
	kct_wire_bye(&stays);
}

/* ---- memory ----------------------------------------------------------------- */

/* Fill a channel until a limit is reached: how many elements that took. */
static uint32_t fill(struct kct_wire *w, uint32_t at, const char *limit)
{
	static char text[10001];
	const struct kct_frame *f;
	char want[64];

	snprintf(want, sizeof(want), "%s is used up", limit);
	memset(text, 'x', 10000);
	for (uint32_t n = 0; n < 1000; n++) {
		number_text(text, n);
		f = kct_reply(w, kct_send(w, at, text, 0));
		if (kct_result(f) == KCP_OK)
			continue;
		assert_int_equal(kct_result(f), KCP_DQUOT);
		assert_string_equal(kct_detail(f), want);
		return n;
	}
	fail_msg("%s is never used up", limit);
	return 0;
}

static void drain(struct kct_wire *w, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct kct_frame *f = kct_reply(w, kct_recv(w, at, 1, 0, 0));
		char number[16];

		snprintf(number, sizeof(number), "%07u", i);
		assert_int_equal(kct_result(f), KCP_OK);
		assert_memory_equal(kcp_get(&f->args, KCP_T_ELEMENTS)->data + 4, number, 7);
		kct_taken(w, at, kcp_num(&f->args, KCP_T_DELIVERY, 0), 1);
	}
	assert_int_equal(kct_result_of(w, kct_recv(w, at, 1, 0, 0)), KCP_AGAIN);
}

/* To the limit, back to nothing, and the same again: nothing is lost on the way. */
static void fill_and_drain(const char *limit)
{
	struct kct_wire w;
	uint32_t at, n[3];

	client(&w);
	at = kct_make(&w, "full", KCP_KIND_UNLIMITED, 0, 0, BOTH);
	for (int i = 0; i < 3; i++) {
		n[i] = fill(&w, at, limit);
		assert_true(n[i] > 3);
		drain(&w, at, n[i]);
	}
	assert_int_equal(n[0], n[1]);
	assert_int_equal(n[1], n[2]);
	kct_assert_balanced(&w, "full");
	kct_reply(&w, kct_by_name(&w, KCP_CHAN_DESTROY, "full"));
	kct_wire_bye(&w);
	until_stat(NULL, KCP_S_CHANNELS, 0);
	assert_int_equal(kct_stat(&watcher, NULL, KCP_S_BYTES), 0);
}

static void a_user_has_so_much_memory(void **state)
{
	(void)state;
	fill_and_drain("user_limits.bytes");
}

static void the_daemon_has_so_much_memory(void **state)
{
	struct kct_wire one, two;
	const struct kct_frame *f;
	static char text[60001];
	uint32_t a, b, n = 0;

	(void)state;
	fill_and_drain("limits.bytes");
	/* what one holds another cannot have, until it is free again */
	client(&one);
	client(&two);
	a = kct_make(&one, "one", KCP_KIND_UNLIMITED, 0, 0, BOTH);
	b = kct_make(&two, "two", KCP_KIND_UNLIMITED, 0, 0, BOTH);
	n = fill(&one, a, "limits.bytes");
	memset(text, 'x', 60000);
	f = kct_reply(&two, kct_send(&two, b, text, KCT_FOREVER));
	assert_int_equal(kct_result(f), KCP_DQUOT);
	assert_string_equal(kct_detail(f), "limits.bytes is used up");
	drain(&one, a, n);
	assert_int_equal(kct_result_of(&two, kct_send(&two, b, text, KCT_FOREVER)), KCP_OK);
	kct_wire_bye(&one);
	kct_wire_bye(&two);
}

static void a_channel_has_so_much_memory(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;

	(void)state;
	client(&w);
	kct_begin(&w, KCP_CHAN_MAKE);
	kcp_put_text(&w.out, KCP_T_NAME, "big");
	kcp_put_u32(&w.out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&w.out, KCP_T_ELEM_SIZE, 65536);
	kcp_put_u32(&w.out, KCP_T_CAPACITY, 1000);
	kcp_put_u32(&w.out, KCP_T_ROLES, BOTH);
	f = kct_reply(&w, kct_end(&w));
	assert_int_equal(kct_result(f), KCP_DQUOT);
	assert_string_equal(kct_detail(f), "more than limits.channel_bytes allows");
	assert_int_equal(kct_stat(&w, NULL, KCP_S_CHANNELS), 0);
	kct_wire_bye(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(half_a_frame_waits_for_the_other_half),
		DAEMON_TEST_WITH(half_a_frame_of_a_client_that_dies_is_nothing,
				 "{ \"session\": { \"grace_ms\": 0 } }"),
		DAEMON_TEST_WITH(who_never_reads_costs_the_others_nothing,
				 "{ \"limits\": { \"output_high\": 65536,"
				 " \"output_max\": 1048576 } }"),
		DAEMON_TEST(ten_thousand_waits_vanish_at_once),
		DAEMON_TEST_WITH(ten_thousand_come_and_vanish,
				 "{ \"session\": { \"grace_ms\": 0 } }"),
		DAEMON_TEST_WITH(a_user_has_so_much_memory,
				 "{ \"user_limits\": { \"bytes\": 262144 } }"),
		DAEMON_TEST_WITH(the_daemon_has_so_much_memory,
				 "{ \"limits\": { \"bytes\": 1048576 } }"),
		DAEMON_TEST_WITH(a_channel_has_so_much_memory,
				 "{ \"limits\": { \"channel_bytes\": 1048576 } }"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
