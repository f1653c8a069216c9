/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Order: of elements, and among those who wait.
 */
#include "tests/conformance/suite.h"

#define WAITERS 4

static void elements_leave_in_the_order_they_came(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_UNLIMITED };

	for (size_t k = 0; k < 2; k++) {
		for (enum kct_family f = KCT_FIXED; f <= KCT_MSG; f++) {
			struct kct_case c;
			uint32_t in = 0, out = 0;

			case_start(&c, f, kinds[k], 50);
			/* in and out at different paces, so that the queue wraps and drains */
			for (int round = 1; round <= 40; round++) {
				for (int i = 0; i < round % 7; i++)
					if (case_send(&c, in, 0, NULL) == 0)
						in++;
				for (int i = 0; i < round % 5; i++)
					if (out < in)
						assert_int_equal(case_recv(&c, 0, NULL), out++);
			}
			while (out < in)
				assert_int_equal(case_recv(&c, 0, NULL), out++);
			case_end(&c);
		}
	}
}

static void receivers_are_served_in_the_order_they_came(void **state)
{
	static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED,
					      KC_UNLIMITED };

	for (size_t k = 0; k < 4; k++) {
		struct kct_op ops[WAITERS];
		struct kct_case c;

		case_start(&c, KCT_FIXED, kinds[k], 1);
		for (uint32_t i = 0; i < WAITERS; i++)
			op_start_blocked(&ops[i], &c, false, 0, i + 1);
		for (uint32_t i = 0; i < WAITERS; i++)
			assert_int_equal(case_send(&c, i, 0, NULL), 0);
		for (uint32_t i = 0; i < WAITERS; i++)
			assert_int_equal(op_join(&ops[i]), i);
		case_end(&c);
	}
}

static void senders_are_served_in_the_order_they_came(void **state)
{
	static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_UNLIMITED };

	for (size_t k = 0; k < 3; k++) {
		bool queues = kinds[k] != KC_RENDEZVOUS;
		struct kct_op ops[WAITERS];
		struct kct_case c;

		case_start(&c, KCT_FIXED, kinds[k], 1);
		if (queues)
			assert_int_equal(case_send(&c, 100, 0, NULL), 0);
		for (uint32_t i = 0; i < WAITERS; i++)
			op_start_blocked(&ops[i], &c, true, i, i + 1);
		if (queues)
			assert_int_equal(case_recv(&c, 0, NULL), 100);
		for (uint32_t i = 0; i < WAITERS; i++)
			assert_int_equal(case_recv(&c, 0, NULL), i);
		for (uint32_t i = 0; i < WAITERS; i++)
			assert_int_equal(op_join(&ops[i]), 0);
		case_end(&c);
	}
}

static void one_who_gives_up_leaves_the_order_of_the_others(void **state)
{
	struct kct_op ops[WAITERS];
	struct kct_case c;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	for (uint32_t i = 0; i < WAITERS; i++)
		op_start_blocked_c(&ops[i], &c, false, 0, i + 1, i == 1 ? token : NULL);
	kc_cancel_trigger(token);
	assert_int_equal(op_join(&ops[1]), KC_ECANCELED);
	assert_int_equal(case_send(&c, 10, 0, NULL), 0);
	assert_int_equal(case_send(&c, 12, 0, NULL), 0);
	assert_int_equal(case_send(&c, 13, 0, NULL), 0);
	assert_int_equal(op_join(&ops[0]), 10);
	assert_int_equal(op_join(&ops[2]), 12);
	assert_int_equal(op_join(&ops[3]), 13);
	kc_cancel_destroy(token);
	case_end(&c);
}

static void a_new_sender_does_not_pass_one_that_waits(void **state)
{
	struct kct_op op;
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 0, 0, NULL), 0);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	op_start_blocked(&op, &c, true, 2, 1);
	/* a place is free for a moment: it is the waiting sender's */
	assert_int_equal(case_recv(&c, 0, NULL), 0);
	assert_int_equal(case_send(&c, 3, 0, NULL), KC_EAGAIN);
	assert_int_equal(op_join(&op), 0);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	assert_int_equal(case_recv(&c, 0, NULL), 2);
	case_end(&c);
}

static void a_try_meets_one_that_waits_on_a_rendezvous(void **state)
{
	struct kct_op op;
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	op_start_blocked(&op, &c, false, 0, 1);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(op_join(&op), 1);
	op_start_blocked(&op, &c, true, 2, 1);
	assert_int_equal(kc_chan_len(c.pair.rx), 0);
	assert_int_equal(case_recv(&c, 0, NULL), 2);
	assert_int_equal(op_join(&op), 0);
	case_end(&c);
}

const struct CMUnitTest *order_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(elements_leave_in_the_order_they_came),
		KCT_TEST(receivers_are_served_in_the_order_they_came),
		KCT_TEST(senders_are_served_in_the_order_they_came),
		KCT_TEST(one_who_gives_up_leaves_the_order_of_the_others),
		KCT_TEST(a_new_sender_does_not_pass_one_that_waits),
		KCT_TEST(a_try_meets_one_that_waits_on_a_rendezvous),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
