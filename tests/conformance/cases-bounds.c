/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capacity, byte bounds and overflow policies.
 */
#include "tests/conformance/suite.h"

#include <string.h>

/* Fixed elements, then messages. */
#define FOR_BOTH(family) for (enum kct_family family = KCT_FIXED; (family) <= KCT_MSG; (family)++)

static void capacity_is_exact(void **state)
{
	static const uint32_t capacities[] = { 1, 2, 3, 5, 64, 1000 };

	FOR_BOTH(family)
	{
		for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
			struct kct_case c;

			case_start(&c, family, KC_BUFFERED, capacities[i]);
			for (uint32_t n = 0; n < capacities[i]; n++)
				assert_int_equal(case_send(&c, n, 0, NULL), 0);
			assert_int_equal(case_send(&c, 0, 0, NULL), KC_EAGAIN);
			assert_int_equal(kc_chan_len(c.pair.tx), capacities[i]);
			/* one out, one in, and no more */
			assert_int_equal(case_recv(&c, 0, NULL), 0);
			assert_int_equal(case_send(&c, capacities[i], 0, NULL), 0);
			assert_int_equal(case_send(&c, 0, 0, NULL), KC_EAGAIN);
			for (uint32_t n = 1; n <= capacities[i]; n++)
				assert_int_equal(case_recv(&c, 0, NULL), n);
			assert_int_equal(case_recv(&c, 0, NULL), KC_EAGAIN);
			case_end(&c);
		}
	}
}

static void rendezvous_has_no_room_and_no_length(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	assert_int_equal(case_send(&c, 1, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_chan_len(c.pair.rx), 0);
	case_end(&c);
}

static void unlimited_is_bounded_by_its_bytes(void **state)
{
	struct kct_case c;

	FOR_BOTH(family)
	{
		case_start(&c, family, KC_UNLIMITED, 100);
		for (uint32_t n = 0; n < 100; n++)
			assert_int_equal(case_send(&c, n, -1, NULL), 0);
		assert_int_equal(case_send(&c, 100, 0, NULL), KC_EAGAIN);
		assert_int_equal(case_send(&c, 100, KCT_SHORT_MS, NULL), KC_ETIME);
		assert_int_equal(case_recv(&c, 0, NULL), 0);
		assert_int_equal(case_send(&c, 100, 0, NULL), 0);
		case_end(&c);
	}
}

static void unlimited_has_a_default_bound(void **state)
{
	static const char buf[16384];
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kct_case c;

	o.kind = KC_UNLIMITED;
	o.elem_size = sizeof(buf);
	case_make(&c, KCT_FIXED, &o);
	for (size_t n = 0; n < KC_CHAN_BYTES_DEFAULT / sizeof(buf); n++)
		assert_int_equal(kc_chan_try_send(c.pair.tx, buf), 0);
	assert_int_equal(kc_chan_try_send(c.pair.tx, buf), KC_EAGAIN);
	c.sent = KC_CHAN_BYTES_DEFAULT / sizeof(buf);
	case_end(&c);
}

static void messages_are_bounded_by_bytes_to_the_last_one(void **state)
{
	static const char buf[60];
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	char got[60];
	struct kct_case c;
	size_t len;

	o.capacity = 1000;
	o.max_msg = 60;
	o.max_bytes = 130;
	case_make(&c, KCT_MSG, &o);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 60, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 60, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 11, 0), KC_EAGAIN);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 10, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 1, 0), KC_EAGAIN);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, got, sizeof(got), &len, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 60, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 1, 0), KC_EAGAIN);
	c.sent = 4;
	c.received = 1;
	case_end(&c);
}

static void one_long_message_waits_and_then_goes(void **state)
{
	static const char buf[50];
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kct_case c;
	struct kct_op small;
	char got[50];
	size_t len;

	o.capacity = 1000;
	o.max_msg = 50;
	o.max_bytes = 100;
	case_make(&c, KCT_MSG, &o);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 50, 0), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 48, 0), 0);
	/* 8 bytes find 2: they wait until a message is taken */
	op_start_blocked(&small, &c, true, 7, 1);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, got, sizeof(got), &len, 0), 0);
	assert_int_equal(len, 50);
	assert_int_equal(op_join(&small), 0);
	assert_int_equal(kc_chan_len(c.pair.rx), 2);
	c.sent += 2;
	c.received = 1;
	case_end(&c);
}

static long send_long(void *arg)
{
	static const char buf[50];
	struct kct_op *op = arg;

	return kc_chan_send_msg_c(op->c->pair.tx, buf, sizeof(buf), -1, op->token);
}

/* Fill by bytes so that 10 are left, block a send of 50 on a token, then one of 8. */
static void start_long_then_short(struct kct_case *c, struct kct_op *lng, struct kct_op *shrt,
				  kc_cancel_t *token)
{
	static const char buf[50];
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	o.capacity = 1000;
	o.max_msg = 50;
	o.max_bytes = 110;
	case_make(c, KCT_MSG, &o);
	assert_int_equal(kc_chan_send_msg(c->pair.tx, buf, 50, 0), 0);
	assert_int_equal(kc_chan_send_msg(c->pair.tx, buf, 50, 0), 0);
	c->sent = 2;
	*lng = (struct kct_op){ .c = c, .is_send = true, .token = token };
	kct_call_start(&lng->call, send_long, lng);
	assert_true(kct_placement.wait_blocked(&c->pair, 1, 0));
	op_start_blocked(shrt, c, true, 7, 2);
	/* there is room for it, but somebody was here before */
	assert_int_equal(kc_chan_len(c->pair.rx), 2);
	assert_int_equal(kc_chan_send_msg(c->pair.tx, buf, 1, 0), KC_EAGAIN);
}

static void a_short_message_does_not_overtake_a_long_one(void **state)
{
	struct kct_case c;
	struct kct_op lng, shrt;
	char got[50];
	size_t len;

	start_long_then_short(&c, &lng, &shrt, NULL);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, got, sizeof(got), &len, 0), 0);
	c.received = 1;
	assert_int_equal(op_join(&lng), 0);
	assert_int_equal(op_join(&shrt), 0);
	assert_int_equal(kc_chan_len(c.pair.rx), 3);
	case_end(&c);
}

static void a_long_message_that_gives_up_lets_a_short_one_in(void **state)
{
	struct kct_case c;
	struct kct_op lng, shrt;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	start_long_then_short(&c, &lng, &shrt, token);
	kc_cancel_trigger(token);
	assert_int_equal(op_join(&lng), KC_ECANCELED);
	assert_int_equal(op_join(&shrt), 0);
	assert_int_equal(kc_chan_len(c.pair.rx), 3);
	kc_cancel_destroy(token);
	case_end(&c);
}

static void full_policy(enum kct_family family, enum kc_kind kind, enum kc_overflow overflow)
{
	struct kc_chan_options o = case_options(family, kind, 4);
	bool oldest = overflow == KC_OVERFLOW_DROP_OLDEST;
	struct kct_case c;

	o.overflow = overflow;
	case_make(&c, family, &o);
	for (uint32_t n = 0; n < 10; n++)
		assert_int_equal(case_send(&c, n, 0, NULL), 0);
	assert_int_equal(kc_chan_len(c.pair.rx), 4);
	for (uint32_t n = 0; n < 4; n++)
		assert_int_equal(case_recv(&c, 0, NULL), oldest ? 6 + n : n);
	assert_int_equal(case_recv(&c, 0, NULL), KC_EAGAIN);
	if (oldest)
		c.dropped_oldest = 6;
	else
		c.dropped_newest = 6;
	case_end(&c);
}

static void drop_oldest_keeps_the_newest(void **state)
{
	FOR_BOTH(family)
	{
		full_policy(family, KC_BUFFERED, KC_OVERFLOW_DROP_OLDEST);
		full_policy(family, KC_UNLIMITED, KC_OVERFLOW_DROP_OLDEST);
	}
}

static void drop_newest_keeps_the_oldest(void **state)
{
	FOR_BOTH(family)
	{
		full_policy(family, KC_BUFFERED, KC_OVERFLOW_DROP_NEWEST);
		full_policy(family, KC_UNLIMITED, KC_OVERFLOW_DROP_NEWEST);
	}
}

static void drop_oldest_drops_as_many_as_the_new_one_needs(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	char buf[60] = { 0 };
	struct kct_case c;
	size_t len;

	o.capacity = 100;
	o.max_msg = 60;
	o.max_bytes = 120;
	o.overflow = KC_OVERFLOW_DROP_OLDEST;
	case_make(&c, KCT_MSG, &o);
	for (char i = 0; i < 12; i++) {
		buf[0] = i;
		assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 10, 0), 0);
	}
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, 35, 0), 0);
	/* 120 queued, 35 come: four of 10 have to go */
	assert_int_equal(kc_chan_len(c.pair.rx), 9);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, sizeof(buf), &len, 0), 0);
	assert_int_equal(buf[0], 4);
	c.sent = 13;
	c.received = 1;
	c.dropped_oldest = 4;
	case_end(&c);
}

static void a_waiting_receiver_gets_what_would_be_dropped(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 1);
	struct kct_case c;
	struct kct_op op;

	o.overflow = KC_OVERFLOW_DROP_NEWEST;
	case_make(&c, KCT_FIXED, &o);
	op_start_blocked(&op, &c, false, 0, 1);
	assert_int_equal(case_send(&c, 5, 0, NULL), 0);
	assert_int_equal(op_join(&op), 5);
	case_end(&c);
}

static void conflated_keeps_the_newest_only(void **state)
{
	struct kct_case c;

	FOR_BOTH(family)
	{
		case_start(&c, family, KC_CONFLATED, 0);
		for (uint32_t n = 1; n <= 5; n++)
			assert_int_equal(case_send(&c, n, -1, NULL), 0);
		assert_int_equal(kc_chan_len(c.pair.rx), 1);
		assert_int_equal(case_recv(&c, 0, NULL), 5);
		assert_int_equal(case_recv(&c, 0, NULL), KC_EAGAIN);
		assert_int_equal(case_send(&c, 6, 0, NULL), 0);
		c.conflated = 4;
		case_end(&c);
	}
}

static void conflated_value_is_drained_after_close(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_CONFLATED, 0);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(case_send(&c, 2, 0, NULL), 0);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(case_recv(&c, -1, NULL), 2);
	assert_int_equal(case_recv(&c, -1, NULL), KC_EPIPE);
	c.conflated = 1;
	case_end(&c);
}

static void elements_of_every_size_arrive_whole(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 7, 8, 24, 1000, 4097, KC_ELEM_MAX };
	static unsigned char in[KC_ELEM_MAX], out[KC_ELEM_MAX];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
		struct kct_case c;

		o.elem_size = sizes[i];
		o.capacity = 3;
		case_make(&c, KCT_FIXED, &o);
		for (size_t round = 0; round < 5; round++) {
			for (size_t b = 0; b < sizes[i]; b++)
				in[b] = (unsigned char)(b * 7 + round);
			memset(out, 0, sizeof(out));
			assert_int_equal(kc_chan_try_send(c.pair.tx, in), 0);
			assert_int_equal(kc_chan_try_recv(c.pair.rx, out), 0);
			assert_memory_equal(in, out, sizes[i]);
		}
		c.sent = 5;
		c.received = 5;
		case_end(&c);
	}
}

const struct CMUnitTest *bound_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(capacity_is_exact),
		KCT_TEST(rendezvous_has_no_room_and_no_length),
		KCT_TEST(unlimited_is_bounded_by_its_bytes),
		KCT_TEST(unlimited_has_a_default_bound),
		KCT_TEST(messages_are_bounded_by_bytes_to_the_last_one),
		KCT_TEST(one_long_message_waits_and_then_goes),
		KCT_TEST(a_short_message_does_not_overtake_a_long_one),
		KCT_TEST(a_long_message_that_gives_up_lets_a_short_one_in),
		KCT_TEST(drop_oldest_keeps_the_newest),
		KCT_TEST(drop_newest_keeps_the_oldest),
		KCT_TEST(drop_oldest_drops_as_many_as_the_new_one_needs),
		KCT_TEST(a_waiting_receiver_gets_what_would_be_dropped),
		KCT_TEST(conflated_keeps_the_newest_only),
		KCT_TEST(conflated_value_is_drained_after_close),
		KCT_TEST(elements_of_every_size_arrive_whole),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
