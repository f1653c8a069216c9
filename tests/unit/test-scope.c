/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes: what they wait for, and who waits for them. Whom they cancel is in test-scope-cancel.c,
 * what they refuse in test-scope-misuse.c, their deadlines, producers and actors in
 * test-scope-parts.c, random trees of them in test-structure.c, jobs in test-job.c.
 */
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/unit/scope-child.h"

static void an_empty_scope_ends_when_it_is_asked_to(void **state)
{
	kc_scope_t *s;

	assert_int_equal(kc_scope_init(&s, NULL), 0);
	scope_expect(s, KC_STATE_ACTIVE, 0, 0);
	assert_int_equal(kc_scope_wait_all(s, 0), 0);
	scope_expect(s, KC_STATE_COMPLETED, 0, 0);
	assert_int_equal(kc_scope_launch(s, give, NULL, NULL), KC_ECANCELED);
	assert_non_null(strstr(kc_error_detail(), "ended"));
	/* too late */
	kc_scope_cancel(s, 5);
	scope_expect(s, KC_STATE_COMPLETED, 0, 0);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	assert_int_equal(kc_scope_destroy(s), 0);
}

static void it_waits_for_every_child_also_later_ones(void **state)
{
	struct child c;
	kc_job_t *late;
	kc_scope_t *s;

	child_init(&c, 3);
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(kc_scope_launch(s, child, &c, NULL), 0);
	/* to ask once changes nothing */
	assert_int_equal(kc_scope_wait_all(s, 0), KC_EAGAIN);
	assert_int_equal(kc_scope_state(s), KC_STATE_ACTIVE);
	assert_int_equal(kc_scope_wait_all(s, KCT_SHORT_MS), KC_ETIME);
	assert_int_equal(kc_scope_state(s), KC_STATE_COMPLETING);
	late = scope_launch(s, child, &c);
	assert_int_equal(kc_chan_close(c.gate), 0);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	assert_int_equal(c.ends, 11);
	scope_expect(s, KC_STATE_COMPLETED, 0, 0);
	job_expect(late, KC_STATE_COMPLETED, 3, 0);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_chan_destroy(c.gate);
}

static void it_ends_also_when_nobody_waits_any_more(void **state)
{
	struct child c;
	kc_sched_t *sched = sched_make();
	kc_scope_t *s = scope_make(NULL, 0, sched);

	child_init(&c, 0);
	assert_int_equal(kc_scope_launch(s, child, &c, NULL), 0);
	assert_int_equal(kc_scope_wait_all(s, KCT_SHORT_MS), KC_ETIME);
	assert_int_equal(kc_sched_run(sched), KC_EAGAIN);
	assert_int_equal(kc_chan_close(c.gate), 0);
	assert_int_equal(kc_sched_run(sched), 0);
	assert_int_equal(kc_scope_state(s), KC_STATE_COMPLETED);
	assert_int_equal(kc_scope_destroy(s), 0);
	assert_int_equal(kc_sched_destroy(sched), 0);
	kc_chan_destroy(c.gate);
}

static long wait_all(void *arg)
{
	return kc_scope_wait_all(arg, -1);
}

static void threads_and_coroutines_may_wait(void **state)
{
	struct kct_call calls[6];
	struct child c;
	kc_sched_t *sched;
	kc_scope_t *s;

	child_init(&c, 0);
	assert_int_equal(kc_sched_default(&sched), 0);
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	assert_int_equal(kc_scope_launch(s, child, &c, NULL), 0);
	for (int i = 0; i < 6; i++) {
		kct_calls_in(i % 2 ? sched : NULL);
		kct_call_start(&calls[i], wait_all, s);
	}
	kct_calls_in(NULL);
	assert_int_equal(kc_scope_wait_all(s, KCT_SHORT_MS), KC_ETIME);
	assert_int_equal(kc_chan_close(c.gate), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_chan_destroy(c.gate);
}

static void a_token_ends_the_wait_alone(void **state)
{
	struct child c;
	kc_cancel_t *token;
	kc_scope_t *s;

	child_init(&c, 0);
	assert_int_equal(kc_cancel_init(&token), 0);
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	assert_int_equal(kc_scope_launch(s, child, &c, NULL), 0);
	kc_cancel_trigger(token);
	assert_int_equal(kc_scope_wait_all_c(s, -1, token), KC_ECANCELED);
	/* it was set before: no effect at all */
	assert_int_equal(kc_scope_state(s), KC_STATE_ACTIVE);
	assert_int_equal(kc_scope_destroy(s), 0);
	assert_int_equal(c.ends, 1);
	kc_cancel_destroy(token);
	kc_chan_destroy(c.gate);
}

static void a_parent_waits_for_scopes_below_it(void **state)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	kc_scope_t *s, *below, *late = NULL;

	assert_int_equal(kc_scope_init(&s, NULL), 0);
	below = scope_make(s, 0, NULL);
	/* it has no children, but its owner has not asked for its end */
	assert_int_equal(kc_scope_wait_all(s, KCT_SHORT_MS), KC_ETIME);
	assert_int_equal(kc_scope_wait_all(below, 0), 0);
	assert_int_equal(kc_scope_state(s), KC_STATE_COMPLETED);
	o.parent = s;
	assert_int_equal(kc_scope_init_ex(&late, &o), KC_ECANCELED);
	assert_null(late);
	assert_int_equal(kc_scope_destroy(s), 0);
	/* an owner may be later than the parent's */
	scope_expect(below, KC_STATE_COMPLETED, 0, 0);
	assert_int_equal(kc_scope_destroy(below), 0);
}

static void destroying_the_parent_first_is_fine(void **state)
{
	struct child c;
	kc_scope_t *s, *below;

	child_init(&c, 0);
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	below = scope_make(s, 0, NULL);
	assert_int_equal(kc_scope_launch(below, child, &c, NULL), 0);
	assert_int_equal(kc_scope_destroy(s), 0);
	assert_int_equal(c.ends, 1);
	scope_expect(below, KC_STATE_CANCELLED, 0, KC_ECANCELED);
	assert_int_equal(kc_scope_destroy(below), 0);
	kc_chan_destroy(c.gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(an_empty_scope_ends_when_it_is_asked_to),
		KCT_TEST(it_waits_for_every_child_also_later_ones),
		KCT_TEST(it_ends_also_when_nobody_waits_any_more),
		KCT_TEST(threads_and_coroutines_may_wait),
		KCT_TEST(a_token_ends_the_wait_alone),
		KCT_TEST(a_parent_waits_for_scopes_below_it),
		KCT_TEST(destroying_the_parent_first_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
