/* SPDX-License-Identifier: BSD-3-Clause */
/* Leases, credit and its recall, and the order in which returned elements come back. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)
#define LONG 3600000u

static uint64_t lease(struct kct_wire *w, uint32_t attach, uint32_t count, uint32_t lease_ms,
		      uint64_t timeout_ms)
{
	kct_begin(w, KCP_RECV);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&w->out, KCP_T_COUNT, count);
	kcp_put_u32(&w->out, KCP_T_FLAGS, KCP_F_LEASE);
	if (lease_ms)
		kcp_put_u32(&w->out, KCP_T_LEASE_MS, lease_ms);
	if (timeout_ms != KCT_FOREVER)
		kcp_put_u64(&w->out, KCP_T_TIMEOUT_MS, timeout_ms);
	return kct_end(w);
}

static uint32_t before(const struct kct_frame *f, uint32_t i)
{
	return kcp_delivered_before(&f->args, i);
}

static void expect_count(struct kct_wire *w, uint64_t id, uint32_t n)
{
	const struct kct_frame *f = kct_reply(w, id);

	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_num(&f->args, KCP_T_COUNT, 999), n);
}

static void acknowledged_is_received(void **state)
{
	struct kct_wire w;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "l", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 6, 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, lease(&w, at, 4, LONG, 0)), 1, 4, "m0", "m1", "m2", "m3");
	assert_int_equal(kct_stat(&w, "l", KCP_S_LEASED), 4);
	kct_taken(&w, at, 1, 4);
	assert_int_equal(kct_stat(&w, "l", KCP_S_LEASED), 4);
	expect_count(&w, kct_settle(&w, KCP_ACK, at, 2, 2, 0), 2);
	assert_int_equal(kct_stat(&w, "l", KCP_S_LEASED), 2);
	assert_int_equal(kct_stat(&w, "l", KCP_S_RECEIVED), 2);
	/* twice is once; beyond what there is counts what there is */
	assert_int_equal(kct_result_of(&w, kct_settle(&w, KCP_ACK, at, 2, 2, 0)), KCP_NOENT);
	expect_count(&w, kct_settle(&w, KCP_ACK, at, 1, 1000, 0), 2);
	assert_int_equal(kct_result_of(&w, kct_settle(&w, KCP_ACK, at, 5, 1, 0)), KCP_NOENT);
	/* ACK implies TAKEN */
	kct_assert_messages(kct_reply(&w, lease(&w, at, 4, LONG, 0)), 5, 2, "m4", "m5");
	expect_count(&w, kct_settle(&w, KCP_ACK, at, 5, 2, 0), 2);
	assert_int_equal(kct_stat(&w, "l", KCP_S_RECEIVED), 6);
	kct_assert_balanced(&w, "l");
	kct_wire_bye(&w);
}

static void refused_comes_back_in_its_place_and_marked(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "n", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 5, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, lease(&w, at, 3, LONG, 0)), KCP_OK);
	kct_taken(&w, at, 1, 3);
	expect_count(&w, kct_settle(&w, KCP_NACK, at, 2, 1, 0), 1);
	f = kct_reply(&w, lease(&w, at, 9, LONG, 0));
	kct_assert_messages(f, 4, 3, "m1", "m3", "m4");
	assert_int_equal(before(f, 0), 1);
	assert_int_equal(before(f, 1), 0);
	kct_taken(&w, at, 4, 3);
	/* in any order they come back in theirs */
	expect_count(&w, kct_settle(&w, KCP_NACK, at, 6, 1, 0), 1);
	expect_count(&w, kct_settle(&w, KCP_NACK, at, 1, 1, 0), 1);
	expect_count(&w, kct_settle(&w, KCP_NACK, at, 4, 1, 0), 1);
	f = kct_reply(&w, lease(&w, at, 9, LONG, 0));
	kct_assert_messages(f, 7, 3, "m0", "m1", "m4");
	assert_int_equal(before(f, 0), 1);
	assert_int_equal(before(f, 1), 2);
	assert_int_equal(before(f, 2), 1);
	assert_int_equal(kct_stat(&w, "n", KCP_S_REDELIVERED), 4);
	kct_assert_balanced(&w, "n");
	kct_wire_bye(&w);
}

static void a_lease_lapses_and_can_be_extended(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "t", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 2, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, lease(&w, at, 2, 60, 0)), KCP_OK);
	kct_taken(&w, at, 1, 2);
	expect_count(&w, kct_settle(&w, KCP_EXTEND, at, 2, 1, LONG), 1);
	/* the first lapses, and whoever waits gets it */
	f = kct_reply(&w, lease(&w, at, 9, LONG, KCT_FOREVER));
	kct_assert_messages(f, 3, 1, "m0");
	assert_int_equal(before(f, 0), 1);
	assert_int_equal(kct_result_of(&w, kct_settle(&w, KCP_ACK, at, 1, 1, 0)), KCP_NOENT);
	expect_count(&w, kct_settle(&w, KCP_ACK, at, 2, 2, 0), 2);
	/* one that was given and never taken lapses too, unmarked: nobody can have seen it */
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, lease(&w, at, 1, 30, 0)), KCP_OK);
	f = kct_reply(&w, lease(&w, at, 1, LONG, KCT_FOREVER));
	kct_assert_messages(f, 5, 1, "x");
	assert_int_equal(before(f, 0), 0);
	assert_int_equal(kct_result_of(&w, kct_settle(&w, KCP_EXTEND, at, 4, 1, LONG)), KCP_NOENT);
	kct_wire_bye(&w);
}

static void a_closed_channel_waits_for_its_leases(void **state)
{
	struct kct_wire w;
	uint64_t recv;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "c", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, lease(&w, at, 1, LONG, 0)), KCP_OK);
	kct_taken(&w, at, 1, 1);
	assert_int_equal(kct_result_of(&w, kct_by_name(&w, KCP_CHAN_CLOSE, "c")), KCP_OK);
	recv = lease(&w, at, 1, LONG, KCT_FOREVER);
	kct_ping(&w);
	assert_false(kct_has(&w, KCP_RECV));
	expect_count(&w, kct_settle(&w, KCP_NACK, at, 1, 1, 0), 1);
	kct_assert_messages(kct_reply(&w, recv), 2, 1, "x");
	recv = lease(&w, at, 1, LONG, KCT_FOREVER);
	expect_count(&w, kct_settle(&w, KCP_ACK, at, 2, 1, 0), 1);
	assert_int_equal(kct_result_of(&w, recv), KCP_PIPE);
	kct_wire_bye(&w);
}

static void leases_only_means_leases_only(void **state)
{
	struct kct_wire w;
	uint32_t at, at2;

	(void)state;
	client(&w);
	kct_begin(&w, KCP_CHAN_MAKE);
	kcp_put_text(&w.out, KCP_T_NAME, "only");
	kcp_put_u32(&w.out, KCP_T_KIND, KCP_KIND_UNLIMITED);
	kcp_put_u32(&w.out, KCP_T_ELEM_SIZE, 0);
	kcp_put_u32(&w.out, KCP_T_CHAN_FLAGS, KCP_CHAN_LEASE_ONLY);
	kcp_put_u32(&w.out, KCP_T_ROLES, BOTH);
	at = (uint32_t)kcp_num(&kct_reply(&w, kct_end(&w))->args, KCP_T_ATTACH, 0);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, 0, 0)), KCP_NOTSUP);
	kct_begin(&w, KCP_CREDIT);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_CREDIT, 5);
	assert_int_equal(kct_result_of(&w, kct_end(&w)), KCP_NOTSUP);
	at2 = kct_open(&w, "only", KCP_ROLE_RECEIVER, 0, 1000);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at2, 1, 0, 0)), KCP_INVAL);
	assert_int_equal(kct_result_of(&w, lease(&w, at2, 1, 0, 0)), KCP_OK);
	kct_wire_bye(&w);
}

/* ---- credit ----------------------------------------------------------------- */

static void credit_brings_elements_unasked(void **state)
{
	struct kct_wire a, b;
	const struct kct_frame *f;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "cr", KCP_KIND_BUFFERED, 0, 9, KCP_ROLE_SENDER);
	assert_int_equal(kct_result_of(&a, kct_send_many(&a, out, "m", 2, 0)), KCP_OK);
	in = kct_open(&b, "cr", KCP_ROLE_RECEIVER, 3, 0);
	f = kct_event(&b, KCP_DELIVER);
	assert_int_equal(kcp_num(&f->args, KCP_T_ATTACH, 0), in);
	kct_assert_messages(f, 1, 2, "m0", "m1");
	assert_int_equal(kct_result_of(&a, kct_send_many(&a, out, "n", 3, 0)), KCP_OK);
	kct_assert_messages(kct_event(&b, KCP_DELIVER), 3, 1, "n0");
	/* given ahead they count as queued and in the capacity until they are taken */
	assert_int_equal(kct_stat(&a, "cr", KCP_S_LENGTH), 5);
	assert_int_equal(kct_stat(&a, "cr", KCP_S_QUEUED), 5);
	kct_taken(&b, in, 1, 2);
	kct_assert_messages(kct_event(&b, KCP_DELIVER), 4, 2, "n1", "n2");
	assert_int_equal(kct_stat(&b, "cr", KCP_S_LENGTH), 3);
	assert_int_equal(kct_stat(&b, "cr", KCP_S_RECEIVED), 2);
	/* nothing comes without credit */
	kct_begin(&b, KCP_CREDIT);
	kcp_put_u32(&b.out, KCP_T_ATTACH, in);
	kcp_put_u32(&b.out, KCP_T_CREDIT, 0);
	assert_int_equal(kct_result_of(&b, kct_end(&b)), KCP_OK);
	kct_taken(&b, in, 3, 3);
	assert_int_equal(kct_result_of(&a, kct_send(&a, out, "x", 0)), KCP_OK);
	kct_ping(&b);
	assert_false(kct_has(&b, KCP_DELIVER));
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

static void what_was_given_ahead_is_asked_back_for_others(void **state)
{
	struct kct_wire a, b, c;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t in, out, wants;

	(void)state;
	client(&a);
	client(&b);
	client(&c);
	out = kct_make(&a, "re", KCP_KIND_BUFFERED, 0, 9, KCP_ROLE_SENDER);
	in = kct_open(&b, "re", KCP_ROLE_RECEIVER, 10, 0);
	wants = kct_open(&c, "re", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&a, kct_send_many(&a, out, "m", 4, 0)), KCP_OK);
	kct_assert_messages(kct_event(&b, KCP_DELIVER), 1, 4, "m0", "m1", "m2", "m3");
	recv = kct_recv(&c, wants, 2, 0, KCT_FOREVER);
	f = kct_event(&b, KCP_RECALL);
	assert_int_equal(kcp_num(&f->args, KCP_T_ATTACH, 0), in);
	assert_int_equal(kcp_num(&f->args, KCP_T_COUNT, 0), 2);
	kct_settle(&b, KCP_RETURN, in, 3, 2, 0);
	f = kct_reply(&c, recv);
	kct_assert_messages(f, 1, 2, "m2", "m3");
	assert_int_equal(before(f, 0), 0); /* nobody overtook them */
	kct_taken(&c, wants, 1, 2);
	/* none to spare is an answer */
	kct_taken(&b, in, 1, 1);
	recv = kct_recv(&c, wants, 2, 0, KCT_FOREVER);
	kct_event(&b, KCP_RECALL);
	kct_begin_notice(&b, KCP_RETURN);
	kcp_put_u32(&b.out, KCP_T_ATTACH, in);
	kct_end(&b);
	kct_ping(&b);
	assert_int_equal(kct_result_of(&a, kct_send(&a, out, "z", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&c, recv), 3, 1, "z");
	kct_ping(&a);
	kct_assert_balanced(&a, "re");
	kct_wire_bye(&a);
	kct_wire_bye(&b);
	kct_wire_bye(&c);
}

static void what_a_client_leaves_untaken_goes_to_others(void **state)
{
	struct kct_wire a, b, c;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t in, out, other;

	(void)state;
	client(&a);
	client(&b);
	client(&c);
	out = kct_make(&a, "le", KCP_KIND_BUFFERED, 0, 9, KCP_ROLE_SENDER);
	in = kct_open(&b, "le", KCP_ROLE_RECEIVER, 10, 0);
	other = kct_open(&c, "le", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&a, kct_send_many(&a, out, "m", 3, 0)), KCP_OK);
	kct_event(&b, KCP_DELIVER);
	kct_taken(&b, in, 1, 1);
	kct_ping(&b);
	recv = kct_recv(&c, other, 5, 0, KCT_FOREVER);
	kct_ping(&c);
	kct_wire_bye(&b);
	f = kct_reply(&c, recv);
	kct_assert_messages(f, 1, 2, "m1", "m2");
	assert_int_equal(before(f, 0), 0);
	assert_int_equal(kct_stat(&a, "le", KCP_S_RECEIVED), 3);
	assert_int_equal(kct_stat(&a, "le", KCP_S_LOST_CONSUMER), 0); /* it said BYE */
	kct_wire_bye(&a);
	kct_wire_bye(&c);
}

/* Many ranges in one frame, and records cut in every way. */
static void many_ranges_in_one_frame(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t got = 0;
	uint32_t at;
	size_t t;

	(void)state;
	client(&w);
	at = kct_make(&w, "mr", KCP_KIND_BUFFERED, 0, 5000, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 5000, 0)), KCP_OK);
	while (got < 5000) {
		f = kct_reply(&w, lease(&w, at, 5000, LONG, 0));
		assert_int_equal(kct_result(f), KCP_OK);
		got += kcp_num(&f->args, KCP_T_COUNT, 0);
	}
	kct_begin(&w, KCP_ACK);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	t = kcp_tlv_begin(&w.out, KCP_T_RANGES);
	for (uint64_t i = 1; i <= 5000; i += 2)
		kcp_put_range(&w.out, i, 1);
	kcp_tlv_end(&w.out, t);
	expect_count(&w, kct_end(&w), 2500);
	expect_count(&w, kct_settle(&w, KCP_NACK, at, 1, 5000, 0), 2500);
	assert_int_equal(kct_stat(&w, "mr", KCP_S_LENGTH), 2500);
	kct_assert_balanced(&w, "mr");
	kct_wire_bye(&w);
}

/* ---- death ------------------------------------------------------------------ */

/* Run fn in a child that then waits to be killed; it says when it is done. */
static pid_t victim(void (*fn)(void))
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		close(ready[0]);
		fn();
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void kill_it(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct kct_wire dying;

static void hold_leases(void)
{
	uint32_t at;

	client(&dying);
	at = kct_open(&dying, "death", KCP_ROLE_RECEIVER, 0, 0);
	kct_reply(&dying, lease(&dying, at, 3, LONG, 0));
	kct_taken(&dying, at, 1, 3);
	kct_ping(&dying);
}

static void take_and_die(void)
{
	uint32_t at;

	client(&dying);
	at = kct_open(&dying, "death", KCP_ROLE_RECEIVER, 3, 0);
	kct_event(&dying, KCP_DELIVER);
	kct_taken(&dying, at, 1, 1);
	kct_taken(&dying, at, 2, 1);
	kct_ping(&dying);
}

static void block_and_die(void)
{
	uint32_t at;

	client(&dying);
	at = kct_open(&dying, "death", KCP_ROLE_RECEIVER, 0, 0);
	kct_recv(&dying, at, 1, 0, KCT_FOREVER);
	kct_ping(&dying);
}

/* Says a lot and dies before any of it was answered. */
static void send_and_die(void)
{
	uint32_t at;

	client(&dying);
	at = kct_open(&dying, "death", KCP_ROLE_SENDER, 0, 0);
	for (int i = 0; i < 1000; i++) {
		kct_begin(&dying, KCP_SEND);
		kcp_put_u32(&dying.out, KCP_T_ATTACH, at);
		{
			size_t e = kcp_tlv_begin(&dying.out, KCP_T_ELEMENTS);

			kcp_put_message(&dying.out, "x", 1);
			kcp_tlv_end(&dying.out, e);
		}
		kct_end_later(&dying);
	}
	kct_push(&dying);
}

static void death_returns_leases_at_once(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t at;
	pid_t pid;

	(void)state;
	client(&w);
	at = kct_make(&w, "death", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 3, 0)), KCP_OK);
	pid = victim(hold_leases);
	recv = lease(&w, at, 9, LONG, KCT_FOREVER);
	kct_ping(&w);
	kill_it(pid);
	f = kct_reply(&w, recv);
	kct_assert_messages(f, 1, 3, "m0", "m1", "m2");
	assert_int_equal(before(f, 0), 1);
	kct_assert_balanced(&w, "death");
	kct_wire_bye(&w);
}

static void what_was_in_the_hands_of_the_dead_is_counted(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t at;
	pid_t pid;

	(void)state;
	client(&w);
	at = kct_make(&w, "death", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 3, 0)), KCP_OK);
	pid = victim(take_and_die);
	recv = kct_recv(&w, at, 9, 0, KCT_FOREVER);
	kct_ping(&w);
	kill_it(pid);
	f = kct_reply(&w, recv);
	kct_assert_messages(f, 1, 1, "m2");
	kct_taken(&w, at, 1, 1);
	assert_int_equal(kct_stat(&w, "death", KCP_S_LOST_CONSUMER), 1); /* m1, not m0 */
	assert_int_equal(kct_stat(&w, "death", KCP_S_RECEIVED), 2);
	kct_assert_balanced(&w, "death");
	kct_wire_bye(&w);
}

static void a_dead_receiver_that_waited_gets_nothing(void **state)
{
	struct kct_wire w;
	uint32_t at;
	pid_t pid;

	(void)state;
	client(&w);
	at = kct_make(&w, "death", KCP_KIND_BUFFERED, 0, 9, BOTH);
	pid = victim(block_and_die);
	assert_int_equal(kct_stat(&w, "death", KCP_S_WAITING_RECEIVERS), 1);
	kill_it(pid);
	/* whether the daemon has noticed by now or not */
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, KCT_FOREVER)), 1, 1, "x");
	kct_taken(&w, at, 1, 1);
	kct_wire_bye(&w);
}

static void what_the_dead_sent_counts(void **state)
{
	struct kct_wire w;
	uint64_t got = 0;
	uint32_t at;
	pid_t pid;

	(void)state;
	client(&w);
	at = kct_make(&w, "death", KCP_KIND_UNLIMITED, 0, 0, KCP_ROLE_RECEIVER);
	pid = victim(send_and_die);
	kill_it(pid);
	while (got < 1000) {
		const struct kct_frame *f = kct_reply(&w, kct_recv(&w, at, 1000, 0, KCT_FOREVER));

		assert_int_equal(kct_result(f), KCP_OK);
		got += kcp_num(&f->args, KCP_T_COUNT, 0);
	}
	assert_int_equal(got, 1000);
	kct_wire_bye(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(acknowledged_is_received),
		DAEMON_TEST(refused_comes_back_in_its_place_and_marked),
		DAEMON_TEST(a_lease_lapses_and_can_be_extended),
		DAEMON_TEST(a_closed_channel_waits_for_its_leases),
		DAEMON_TEST(leases_only_means_leases_only),
		DAEMON_TEST(credit_brings_elements_unasked),
		DAEMON_TEST(what_was_given_ahead_is_asked_back_for_others),
		DAEMON_TEST(what_a_client_leaves_untaken_goes_to_others),
		DAEMON_TEST(many_ranges_in_one_frame),
		DAEMON_TEST(death_returns_leases_at_once),
		DAEMON_TEST(what_was_in_the_hands_of_the_dead_is_counted),
		DAEMON_TEST(a_dead_receiver_that_waited_gets_nothing),
		DAEMON_TEST(what_the_dead_sent_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
