/* SPDX-License-Identifier: BSD-3-Clause */
/* Arithmetic on ledgers and snapshots. */
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"

static void a_balance_misses_no_member(void **state)
{
	/* each member but sent has a bit of its own: one forgotten would show */
	struct kc_ledger l = {
		.received = 1,
		.queued = 2,
		.leased = 4,
		.conflated = 8,
		.dropped_oldest = 16,
		.dropped_newest = 32,
		.dropped_purged = 64,
		.dropped_destroyed = 128,
		.expired = 256,
		.lost_consumer = 512,
		.lost_daemon = 1024,
	};

	assert_int_equal(sizeof(l), 12 * sizeof(uint64_t));
	l.sent = 2047;
	assert_int_equal(kc_ledger_balance(&l), 0);
	l.sent = 2048;
	assert_int_equal(kc_ledger_balance(&l), 1);
	l.sent = 0;
	assert_int_equal(kc_ledger_balance(&l), -2047);
	assert_int_equal(kc_ledger_dropped(&l), 16 + 32 + 64 + 128);
	assert_int_equal(kc_ledger_lost(&l), 512 + 1024);
}

static void no_ledger_is_nothing(void **state)
{
	assert_int_equal(kc_ledger_balance(NULL), 0);
	assert_int_equal(kc_ledger_dropped(NULL), 0);
	assert_int_equal(kc_ledger_lost(NULL), 0);
}

static void rates_are_over_the_time_between(void **state)
{
	struct kc_chan_snapshot a = {
		.time_ns = 1000000000,
		.bytes_sent = 50,
		.bytes_received = 10,
		.ledger = { .sent = 100, .received = 40 },
		.send_failures = { .eagain = 1, .etime = 2, .epipe = 3, .ecanceled = 4 },
	};
	struct kc_chan_snapshot b = a;
	struct kc_chan_rate r;

	b.time_ns += 500000000; /* half a second */
	b.ledger.sent += 10;
	b.ledger.received += 4;
	b.bytes_sent += 80;
	b.bytes_received += 32;
	b.send_failures.eagain += 5;
	b.send_failures.etime += 6;
	b.recv_failures.epipe += 7;
	b.recv_failures.ecanceled += 8;
	assert_int_equal(kc_chan_compute_rate(&a, &b, &r), 0);
	/* halves and wholes: exact in binary */
	assert_true(r.interval_sec == 0.5);
	assert_true(r.sends_per_sec == 20);
	assert_true(r.recvs_per_sec == 8);
	assert_true(r.bytes_sent_per_sec == 160);
	assert_true(r.bytes_received_per_sec == 64);
	assert_int_equal(r.send_failures.eagain, 5);
	assert_int_equal(r.send_failures.etime, 6);
	assert_int_equal(r.send_failures.epipe, 0);
	assert_int_equal(r.recv_failures.epipe, 7);
	assert_int_equal(r.recv_failures.ecanceled, 8);
}

static void snapshots_that_do_not_follow_are_refused(void **state)
{
	struct kc_chan_snapshot a = { .time_ns = 1000 };
	struct kc_chan_snapshot b = a;
	struct kc_chan_rate r, before;

	memset(&r, 0x55, sizeof(r));
	before = r;
	assert_int_equal(kc_chan_compute_rate(&a, &b, &r), KC_EINVAL);
	b.time_ns = 999;
	assert_int_equal(kc_chan_compute_rate(&a, &b, &r), KC_EINVAL);
	b.time_ns = 1001;
	b.id = 5;
	assert_int_equal(kc_chan_compute_rate(&a, &b, &r), KC_EINVAL);
	b.id = 0;
	assert_int_equal(kc_chan_compute_rate(NULL, &b, &r), KC_EINVAL);
	assert_int_equal(kc_chan_compute_rate(&a, NULL, &r), KC_EINVAL);
	assert_int_equal(kc_chan_compute_rate(&a, &b, NULL), KC_EINVAL);
	assert_memory_equal(&r, &before, sizeof(r));
	assert_int_equal(kc_chan_compute_rate(&a, &b, &r), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_balance_misses_no_member),
		KCT_TEST(no_ledger_is_nothing),
		KCT_TEST(rates_are_over_the_time_between),
		KCT_TEST(snapshots_that_do_not_follow_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
