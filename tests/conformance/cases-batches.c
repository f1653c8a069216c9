/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches: as many as go at once, at least one, never half of one.
 */
#include "tests/conformance/suite.h"

#define N 5

static const uint64_t numbers[N] = { 10, 11, 12, 13, 14 };

static void send_many_takes_what_there_is_room_for(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 3);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, N, -1, NULL), 3);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers + 3, 2, 0, NULL), KC_EAGAIN);
	c.sent = 3;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(case_recv(&c, 0, NULL), numbers[i]);
	case_end(&c);
}

static void recv_many_takes_what_is_there(void **state)
{
	struct kct_case c;
	uint64_t got[N];

	case_start(&c, KCT_FIXED, KC_BUFFERED, N);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, 3, 0, NULL), 3);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, got, 2, -1, NULL), 2);
	assert_memory_equal(got, numbers, 2 * sizeof(got[0]));
	assert_int_equal(kc_chan_recv_many(c.pair.rx, got, N, -1, NULL), 1);
	assert_int_equal(got[0], numbers[2]);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, got, N, 0, NULL), KC_EAGAIN);
	c.sent = c.received = 3;
	case_end(&c);
}

static void recv_many_lets_waiting_senders_in(void **state)
{
	struct kct_case c;
	struct kct_op ops[2];
	uint64_t got[N];
	long n = 0;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, 2, 0, NULL), 2);
	op_start_blocked(&ops[0], &c, true, 12, 1);
	op_start_blocked(&ops[1], &c, true, 13, 2);
	while (n < 4) {
		long r = kc_chan_recv_many(c.pair.rx, got + n, N - (size_t)n, -1, NULL);

		assert_in_range(r, 1, 4 - n);
		n += r;
	}
	assert_memory_equal(got, numbers, 4 * sizeof(got[0]));
	assert_int_equal(op_join(&ops[0]), 0);
	assert_int_equal(op_join(&ops[1]), 0);
	c.sent += 2;
	c.received = 4;
	case_end(&c);
}

static void batches_meet_on_a_rendezvous(void **state)
{
	struct kct_case c;
	struct kct_op op;
	uint64_t got[N];

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	/* nobody there: nothing goes */
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, N, 0, NULL), KC_EAGAIN);
	/* one receive waits: one goes */
	op_start_blocked(&op, &c, false, 0, 1);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, N, 0, NULL), 1);
	c.sent++;
	assert_int_equal(op_join(&op), 10);
	/* one send waits: one comes */
	op_start_blocked(&op, &c, true, 7, 1);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, got, N, 0, NULL), 1);
	c.received++;
	assert_int_equal(got[0], 7);
	assert_int_equal(op_join(&op), 0);
	case_end(&c);
}

static void dropped_elements_count_as_sent(void **state)
{
	static const enum kc_overflow policies[] = { KC_OVERFLOW_DROP_OLDEST,
						     KC_OVERFLOW_DROP_NEWEST };

	for (size_t p = 0; p < 2; p++) {
		struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 2);
		uint32_t first = policies[p] == KC_OVERFLOW_DROP_OLDEST ? 13 : 10;
		struct kct_case c;

		o.overflow = policies[p];
		case_make(&c, KCT_FIXED, &o);
		assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, N, -1, NULL), N);
		c.sent = N;
		assert_int_equal(case_recv(&c, 0, NULL), first);
		assert_int_equal(case_recv(&c, 0, NULL), first + 1);
		if (p == 0)
			c.dropped_oldest = 3;
		else
			c.dropped_newest = 3;
		case_end(&c);
	}
}

static void a_batch_conflates_to_its_last(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_CONFLATED, 0);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, N, -1, NULL), N);
	c.sent = N;
	c.conflated = N - 1;
	assert_int_equal(case_recv(&c, 0, NULL), numbers[N - 1]);
	case_end(&c);
}

static void a_batch_of_messages_stops_at_one_too_long(void **state)
{
	static const char buf[KCT_MSG_MAX + 1];
	struct kc_msg msgs[] = { { buf, 1 }, { buf, 2 }, { buf, sizeof(buf) }, { buf, 3 } };
	struct kct_case c;

	case_start(&c, KCT_MSG, KC_BUFFERED, 10);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, msgs, 4, -1, NULL), 2);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, msgs + 2, 2, -1, NULL), KC_EMSGSIZE);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, msgs + 3, 1, -1, NULL), 1);
	c.sent = 3;
	case_end(&c);
}

static void recv_msgs_fills_one_buffer(void **state)
{
	struct kc_msg in[] = { { "one", 3 }, { "", 0 }, { "three", 5 }, { "four", 4 } };
	struct kc_msg out[4] = { 0 };
	char buf[10];
	struct kct_case c;

	case_start(&c, KCT_MSG, KC_BUFFERED, 10);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, in, 4, -1, NULL), 4);
	/* 3 + 0 + 5 of 10 bytes; the fourth does not fit any more and stays */
	assert_int_equal(kc_chan_recv_msgs(c.pair.rx, buf, sizeof(buf), out, 4, -1, NULL), 3);
	assert_ptr_equal(out[0].data, buf);
	assert_int_equal(out[0].len, 3);
	assert_int_equal(out[1].len, 0);
	assert_ptr_equal(out[2].data, buf + 3);
	assert_int_equal(out[2].len, 5);
	assert_memory_equal(buf, "onethree", 8);
	/* alone and too long: its length is told */
	assert_int_equal(kc_chan_recv_msgs(c.pair.rx, buf, 3, out, 4, -1, NULL), KC_EMSGSIZE);
	assert_int_equal(out[0].len, 4);
	assert_int_equal(kc_chan_recv_msgs(c.pair.rx, buf, 4, out, 4, -1, NULL), 1);
	assert_memory_equal(buf, "four", 4);
	c.sent = c.received = 4;
	case_end(&c);
}

static void batches_report_close_with_the_next_call(void **state)
{
	struct kct_case c;
	uint64_t got[N];

	case_start(&c, KCT_FIXED, KC_BUFFERED, N);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, 3, 0, NULL), 3);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(kc_chan_send_many(c.pair.tx, numbers, 3, 0, NULL), KC_EPIPE);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, got, N, -1, NULL), 3);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, got, N, -1, NULL), KC_EPIPE);
	c.sent = c.received = 3;
	case_end(&c);
}

static void the_largest_batch_goes(void **state)
{
	static uint64_t in[KC_BATCH_MAX], out[KC_BATCH_MAX];
	size_t sent = 0, received = 0;
	struct kct_case c;

	for (size_t i = 0; i < KC_BATCH_MAX; i++)
		in[i] = i;
	case_start(&c, KCT_FIXED, KC_BUFFERED, KC_BATCH_MAX);
	while (sent < KC_BATCH_MAX) {
		long n = kc_chan_send_many(c.pair.tx, in + sent, KC_BATCH_MAX - sent, -1, NULL);

		assert_in_range(n, 1, KC_BATCH_MAX - sent);
		sent += (size_t)n;
	}
	while (received < KC_BATCH_MAX) {
		long n = kc_chan_recv_many(c.pair.rx, out + received, KC_BATCH_MAX - received, -1,
					   NULL);

		assert_in_range(n, 1, KC_BATCH_MAX - received);
		received += (size_t)n;
	}
	assert_memory_equal(in, out, sizeof(in));
	c.sent = c.received = KC_BATCH_MAX;
	case_end(&c);
}

static void batch_sizes_out_of_range_are_refused(void **state)
{
	static uint64_t buf[KC_BATCH_MAX + 1];
	struct kc_msg msg = { "", 0 };
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, N);
	assert_int_equal(kc_chan_send_many(c.pair.tx, buf, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_many(c.pair.tx, buf, KC_BATCH_MAX + 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, buf, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, buf, KC_BATCH_MAX + 1, 0, NULL), KC_EINVAL);
	case_end(&c);
	case_start(&c, KCT_MSG, KC_BUFFERED, N);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, &msg, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_msgs(c.pair.rx, buf, sizeof(buf), &msg, 0, 0, NULL),
			 KC_EINVAL);
	case_end(&c);
}

const struct CMUnitTest *batch_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(send_many_takes_what_there_is_room_for),
		KCT_TEST(recv_many_takes_what_is_there),
		KCT_TEST(recv_many_lets_waiting_senders_in),
		KCT_TEST(batches_meet_on_a_rendezvous),
		KCT_TEST(dropped_elements_count_as_sent),
		KCT_TEST(a_batch_conflates_to_its_last),
		KCT_TEST(a_batch_of_messages_stops_at_one_too_long),
		KCT_TEST(recv_msgs_fills_one_buffer),
		KCT_TEST(batches_report_close_with_the_next_call),
		KCT_TEST(the_largest_batch_goes),
		KCT_TEST(batch_sizes_out_of_range_are_refused),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
