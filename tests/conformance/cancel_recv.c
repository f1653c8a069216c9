/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cancel_recv: ending a receive by a token, and never losing an element by it.
 */
#include "tests/conformance/program.h"

static void a_blocked_receive_is_cancelled(void **state)
{
	struct kct_case c;
	struct kct_op op;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	op_start_blocked_c(&op, &c, false, 0, 1, token);
	kc_cancel_trigger(token);
	assert_int_equal(op_join(&op), KC_ECANCELED);
	/* the channel is none the worse for it */
	op_start_blocked(&op, &c, false, 0, 1);
	assert_int_equal(case_send(&c, 5, -1, NULL), 0);
	assert_int_equal(op_join(&op), 5);
	kc_cancel_destroy(token);
	case_end(&c);
}

static void a_set_token_takes_nothing(void **state)
{
	struct kct_case c;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(case_recv(&c, 0, token), KC_ECANCELED);
	assert_int_equal(case_recv(&c, 1, token), KC_ECANCELED);
	assert_int_equal(case_recv(&c, -1, token), KC_ECANCELED);
	assert_int_equal(case_send(&c, 2, -1, token), KC_ECANCELED);
	assert_int_equal(kc_chan_len(c.pair.rx), 1);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	kc_cancel_destroy(token);
	case_end(&c);
}

static void one_token_ends_every_wait_on_it(void **state)
{
	struct kct_case a, b;
	struct kct_op ops[4];
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	case_start(&a, KCT_FIXED, KC_BUFFERED, 1);
	case_start(&b, KCT_MSG, KC_RENDEZVOUS, 0);
	op_start_blocked_c(&ops[0], &a, false, 0, 1, token);
	op_start_blocked_c(&ops[1], &a, false, 0, 2, token);
	op_start_blocked_c(&ops[2], &b, true, 1, 1, token);
	op_start_blocked_c(&ops[3], &b, true, 2, 2, token);
	kc_cancel_trigger(token);
	for (int i = 0; i < 4; i++)
		assert_int_equal(op_join(&ops[i]), KC_ECANCELED);
	kc_cancel_destroy(token);
	case_end(&a);
	case_end(&b);
}

static long trigger(void *arg)
{
	kc_cancel_trigger(arg);
	return 0;
}

/* A send and a trigger race for a blocked receive: whoever wins, the element is with
 * the receiver or still with the channel. */
static void no_element_is_lost_in_the_race(void **state)
{
	uint64_t seed = kct_seed();
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	for (uint32_t i = 0; i < 300; i++) {
		struct kct_call canceller;
		struct kct_op op;
		kc_cancel_t *token;
		bool send_first = kct_random(&seed) & 1;
		long r;

		assert_int_equal(kc_cancel_init(&token), 0);
		op_start_blocked_c(&op, &c, false, 0, 1, token);
		if (!send_first)
			kct_call_start(&canceller, trigger, token);
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
		if (send_first)
			kct_call_start(&canceller, trigger, token);
		r = op_join(&op);
		assert_int_equal(kct_call_join(&canceller), 0);
		if (r == KC_ECANCELED)
			assert_int_equal(case_recv(&c, -1, NULL), i);
		else
			assert_int_equal(r, i);
		assert_int_equal(case_recv(&c, 0, NULL), KC_EAGAIN);
		kc_cancel_destroy(token);
	}
	case_end(&c);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(a_blocked_receive_is_cancelled),
	KCT_TEST(a_set_token_takes_nothing),
	KCT_TEST(one_token_ends_every_wait_on_it),
	KCT_TEST(no_element_is_lost_in_the_race),
};

KCT_PROGRAM(tests)
