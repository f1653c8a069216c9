/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cancel_ctx: contexts below a parent, over channels.
 */
#include "tests/conformance/program.h"

#define DEPTH 50

static void cancelling_the_parent_ends_waits_below(void **state)
{
	struct kct_case c;
	struct kct_op op;
	kc_cancel_t *root;
	kc_cancel_ctx_t outer, inner;

	assert_int_equal(kc_cancel_init(&root), 0);
	assert_int_equal(kc_cancel_ctx_init(&outer, root), 0);
	assert_int_equal(kc_cancel_ctx_init(&inner, outer.token), 0);
	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	op_start_blocked_c(&op, &c, false, 0, 1, inner.token);
	kc_cancel_trigger(root);
	assert_int_equal(op_join(&op), KC_ECANCELED);
	assert_int_equal(kc_cancel_is_set(outer.token), 1);
	assert_int_equal(kc_cancel_is_set(inner.token), 1);
	kc_cancel_ctx_destroy(&inner);
	kc_cancel_ctx_destroy(&outer);
	kc_cancel_destroy(root);
	case_end(&c);
}

static void cancelling_a_child_leaves_its_parent_and_siblings(void **state)
{
	struct kct_case c;
	struct kct_op left_op, right_op;
	kc_cancel_t *root;
	kc_cancel_ctx_t left, right;

	assert_int_equal(kc_cancel_init(&root), 0);
	assert_int_equal(kc_cancel_ctx_init(&left, root), 0);
	assert_int_equal(kc_cancel_ctx_init(&right, root), 0);
	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	op_start_blocked_c(&left_op, &c, false, 0, 1, left.token);
	op_start_blocked_c(&right_op, &c, false, 0, 2, right.token);
	kc_cancel_trigger(left.token);
	assert_int_equal(op_join(&left_op), KC_ECANCELED);
	assert_int_equal(kc_cancel_is_set(root), 0);
	assert_int_equal(kc_cancel_is_set(right.token), 0);
	assert_int_equal(case_send(&c, 8, -1, NULL), 0);
	assert_int_equal(op_join(&right_op), 8);
	kc_cancel_ctx_destroy(&left);
	kc_cancel_ctx_destroy(&right);
	kc_cancel_destroy(root);
	case_end(&c);
}

static void a_context_below_a_set_parent_is_set(void **state)
{
	struct kct_case c;
	kc_cancel_t *root;
	kc_cancel_ctx_t ctx;

	assert_int_equal(kc_cancel_init(&root), 0);
	kc_cancel_trigger(root);
	assert_int_equal(kc_cancel_ctx_init(&ctx, root), 0);
	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	assert_int_equal(case_recv(&c, -1, ctx.token), KC_ECANCELED);
	kc_cancel_ctx_destroy(&ctx);
	kc_cancel_destroy(root);
	case_end(&c);
}

static void a_chain_of_contexts_ends_from_the_top(void **state)
{
	struct kct_case c;
	struct kct_op op;
	kc_cancel_ctx_t chain[DEPTH];

	assert_int_equal(kc_cancel_ctx_init(&chain[0], NULL), 0);
	for (int i = 1; i < DEPTH; i++)
		assert_int_equal(kc_cancel_ctx_init(&chain[i], chain[i - 1].token), 0);
	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	op_start_blocked_c(&op, &c, true, 1, 1, chain[DEPTH - 1].token);
	kc_cancel_trigger(chain[0].token);
	assert_int_equal(op_join(&op), KC_ECANCELED);
	/* in the order they were made: a parent lives as long as a child needs it */
	for (int i = 0; i < DEPTH; i++)
		kc_cancel_ctx_destroy(&chain[i]);
	case_end(&c);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(cancelling_the_parent_ends_waits_below),
	KCT_TEST(cancelling_a_child_leaves_its_parent_and_siblings),
	KCT_TEST(a_context_below_a_set_parent_is_set),
	KCT_TEST(a_chain_of_contexts_ends_from_the_top),
};

KCT_PROGRAM(tests)
