/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Close, drain, purge, and what the books say of it.
 */
#include "tests/conformance/suite.h"

#define WAITERS 3

static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

static void what_was_queued_is_drained_after_close(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_MSG; f++) {
		struct kct_case c;

		case_start(&c, f, KC_BUFFERED, 5);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(case_send(&c, i, 0, NULL), 0);
		assert_int_equal(kc_chan_close(c.pair.tx), 0);
		assert_int_equal(case_send(&c, 9, 0, NULL), KC_EPIPE);
		assert_int_equal(case_send(&c, 9, -1, NULL), KC_EPIPE);
		/* a try, a timed, an unbounded receive: all drain */
		assert_int_equal(case_recv(&c, 0, NULL), 0);
		assert_int_equal(case_recv(&c, KCT_PATIENCE_MS, NULL), 1);
		assert_int_equal(case_recv(&c, -1, NULL), 2);
		assert_int_equal(case_recv(&c, 0, NULL), 3);
		assert_int_equal(case_recv(&c, 0, NULL), 4);
		assert_int_equal(case_recv(&c, 0, NULL), KC_EPIPE);
		assert_int_equal(case_recv(&c, -1, NULL), KC_EPIPE);
		case_end(&c);
	}
}

static void closing_again_does_nothing(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(kc_chan_close(c.pair.rx), 0);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	assert_int_equal(case_recv(&c, 0, NULL), KC_EPIPE);
	case_end(&c);
}

static void close_wakes_every_receiver(void **state)
{
	for (size_t k = 0; k < 4; k++) {
		struct kct_op ops[WAITERS];
		struct kct_case c;

		case_start(&c, KCT_FIXED, kinds[k], 1);
		for (unsigned i = 0; i < WAITERS; i++)
			op_start_blocked(&ops[i], &c, false, 0, i + 1);
		assert_int_equal(kc_chan_close(c.pair.tx), 0);
		for (unsigned i = 0; i < WAITERS; i++)
			assert_int_equal(op_join(&ops[i]), KC_EPIPE);
		case_end(&c);
	}
}

static void close_wakes_every_sender_and_they_keep_their_elements(void **state)
{
	for (size_t k = 0; k < 4; k++) {
		struct kct_op ops[WAITERS];
		bool queues = kinds[k] != KC_RENDEZVOUS;
		struct kct_case c;

		if (kinds[k] == KC_CONFLATED)
			continue;
		case_start(&c, KCT_FIXED, kinds[k], 1);
		if (queues)
			assert_int_equal(case_send(&c, 100, 0, NULL), 0);
		for (unsigned i = 0; i < WAITERS; i++)
			op_start_blocked(&ops[i], &c, true, i, i + 1);
		assert_int_equal(kc_chan_close(c.pair.rx), 0);
		for (unsigned i = 0; i < WAITERS; i++)
			assert_int_equal(op_join(&ops[i]), KC_EPIPE);
		if (queues)
			assert_int_equal(case_recv(&c, 0, NULL), 100);
		assert_int_equal(case_recv(&c, 0, NULL), KC_EPIPE);
		case_end(&c);
	}
}

static void purge_drops_what_is_queued(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 5);
	assert_int_equal(kc_chan_purge(c.pair.rx), 0);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
	assert_int_equal(kc_chan_purge(c.pair.rx), 4);
	assert_int_equal(kc_chan_purge(c.pair.rx), 0);
	assert_int_equal(kc_chan_len(c.pair.rx), 0);
	assert_int_equal(case_recv(&c, 0, NULL), KC_EAGAIN);
	/* all of the room is there again */
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
	c.dropped_purged = 4;
	case_end(&c);
}

static void purge_lets_waiting_senders_in(void **state)
{
	struct kct_op ops[WAITERS];
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 10, 0, NULL), 0);
	assert_int_equal(case_send(&c, 11, 0, NULL), 0);
	for (uint32_t i = 0; i < WAITERS; i++)
		op_start_blocked(&ops[i], &c, true, i, i + 1);
	assert_int_equal(kc_chan_purge(c.pair.rx), 2);
	c.dropped_purged = 2;
	/* two are in before anybody receives; the third is first in line */
	assert_int_equal(op_join(&ops[0]), 0);
	assert_int_equal(op_join(&ops[1]), 0);
	assert_int_equal(kc_chan_len(c.pair.rx), 2);
	for (uint32_t i = 0; i < WAITERS; i++)
		assert_int_equal(case_recv(&c, 0, NULL), i);
	assert_int_equal(op_join(&ops[2]), 0);
	case_end(&c);
}

static void purge_leaves_rendezvous_senders_alone(void **state)
{
	struct kct_op op;
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	op_start_blocked(&op, &c, true, 3, 1);
	assert_int_equal(kc_chan_purge(c.pair.rx), 0);
	assert_int_equal(case_recv(&c, 0, NULL), 3);
	assert_int_equal(op_join(&op), 0);
	case_end(&c);
}

static void purge_after_close_ends_the_drain(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_CONFLATED, 0);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(kc_chan_purge(c.pair.rx), 1);
	assert_int_equal(case_recv(&c, -1, NULL), KC_EPIPE);
	c.dropped_purged = 1;
	case_end(&c);
}

static void another_handle_sees_the_same_channel(void **state)
{
	struct kct_case c;
	kc_chan_t *other;
	uint64_t v = 5;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 4);
	other = kct_placement.reopen(&c.pair);
	assert_non_null(other);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(kc_chan_len(other), 1);
	assert_int_equal(kc_chan_try_send(other, &v), 0);
	c.sent++;
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	assert_int_equal(kc_chan_try_recv(other, &v), 0);
	c.received++;
	assert_int_equal(v, 5);
	/* a handle that goes leaves the channel to the others */
	kc_chan_destroy(other);
	assert_int_equal(case_send(&c, 2, 0, NULL), 0);
	case_end(&c);
}

static void a_snapshot_tells_what_happened(void **state)
{
	struct kc_chan_snapshot before, after;
	struct kc_chan_rate rate;
	struct kct_case c;
	kc_cancel_t *token;
	uint64_t v;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(kc_chan_snapshot(c.pair.tx, &before), 0);
	assert_int_equal(before.kind, KC_BUFFERED);
	assert_int_equal(before.elem_size, sizeof(uint64_t));
	assert_int_equal(before.capacity, 2);
	assert_int_equal(before.closed, 0);
	assert_int_equal(before.capabilities, kc_chan_capabilities(c.pair.tx));

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	assert_int_equal(case_send(&c, 0, 0, NULL), 0);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(case_send(&c, 2, 0, NULL), KC_EAGAIN);
	assert_int_equal(case_send(&c, 2, 1, NULL), KC_ETIME);
	assert_int_equal(case_send(&c, 2, -1, token), KC_ECANCELED);
	assert_int_equal(case_recv(&c, 0, NULL), 0);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(case_send(&c, 2, -1, NULL), KC_EPIPE);
	kc_cancel_destroy(token);

	assert_int_equal(kc_chan_snapshot(c.pair.tx, &after), 0);
	assert_int_equal(after.closed, 1);
	assert_int_equal(after.len, 1);
	assert_int_equal(after.id, before.id);
	assert_int_equal(after.bytes_sent, 16);
	assert_int_equal(after.bytes_received, 8);
	assert_int_equal(after.send_failures.eagain, 1);
	assert_int_equal(after.send_failures.etime, 1);
	assert_int_equal(after.send_failures.ecanceled, 1);
	assert_int_equal(after.send_failures.epipe, 1);
	assert_int_equal(kc_chan_compute_rate(&before, &after, &rate), 0);
	assert_true(rate.interval_sec > 0);
	assert_true(rate.sends_per_sec > rate.recvs_per_sec);
	assert_true(rate.bytes_sent_per_sec > rate.bytes_received_per_sec);
	assert_int_equal(rate.send_failures.etime, 1);

	assert_int_equal(case_recv(&c, 0, NULL), 1);
	assert_int_equal(kc_chan_recv(c.pair.rx, &v, 0), KC_EPIPE);
	assert_int_equal(kc_chan_snapshot(c.pair.rx, &after), 0);
	assert_int_equal(after.recv_failures.epipe, 1);
	assert_int_equal(after.recv_failures.eagain, 0);
	case_end(&c);
}

const struct CMUnitTest *close_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(what_was_queued_is_drained_after_close),
		KCT_TEST(closing_again_does_nothing),
		KCT_TEST(close_wakes_every_receiver),
		KCT_TEST(close_wakes_every_sender_and_they_keep_their_elements),
		KCT_TEST(purge_drops_what_is_queued),
		KCT_TEST(purge_lets_waiting_senders_in),
		KCT_TEST(purge_leaves_rendezvous_senders_alone),
		KCT_TEST(purge_after_close_ends_the_drain),
		KCT_TEST(a_snapshot_tells_what_happened),
		/* last: only where a channel has more than one handle */
		KCT_TEST(another_handle_sees_the_same_channel),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]) - (kct_placement.reopen == NULL);
	return tests;
}
