/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes: whom they cancel, when a child fails or when they are asked to, at any depth and with
 * any number of children.
 */
#include <errno.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/unit/scope-child.h"

/* ---- failures -------------------------------------------------------------- */

static void a_failing_child_cancels_its_siblings(void **state)
{
	long failure = -EIO;
	struct child c;
	kc_job_t *jobs[5], *failing;
	kc_scope_t *s;

	child_init(&c, 0);
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	for (int i = 0; i < 5; i++)
		jobs[i] = scope_launch(s, child, &c);
	failing = scope_launch(s, give, &failure);
	assert_int_equal(kc_job_join(failing, NULL, -1), 0);
	/* who has joined it can rely on that */
	assert_int_equal(kc_cancel_is_set(kc_scope_token(s)), 1);
	assert_int_equal(kc_scope_launch(s, child, &c, NULL), KC_ECANCELED);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	assert_int_equal(c.ends, 5);
	scope_expect(s, KC_STATE_FAILED, -EIO, -EIO);
	for (int i = 0; i < 5; i++)
		job_expect(jobs[i], KC_STATE_CANCELLED, KC_ECANCELED, -EIO);
	job_expect(failing, KC_STATE_FAILED, -EIO, 0);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_chan_destroy(c.gate);
}

static void not_in_a_supervisor(void **state)
{
	long failures[2] = { -EIO, -EPERM };
	struct child c;
	kc_job_t *job, *failing;
	kc_scope_t *s = scope_make(NULL, KC_SCOPE_SUPERVISOR, NULL);

	child_init(&c, 1);
	job = scope_launch(s, child, &c);
	for (int i = 0; i < 2; i++) {
		failing = scope_launch(s, give, &failures[i]);
		assert_int_equal(kc_job_join(failing, NULL, -1), 0);
		job_expect(failing, KC_STATE_FAILED, failures[i], 0);
	}
	scope_expect(s, KC_STATE_ACTIVE, -EIO, 0);
	assert_int_equal(kc_chan_close(c.gate), 0);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	job_expect(job, KC_STATE_COMPLETED, 1, 0);
	scope_expect(s, KC_STATE_COMPLETED, -EIO, 0);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_chan_destroy(c.gate);
}

/* A failure at the bottom of: top - (supervisor) - middle - bottom, each with a child that waits.
 */
static void fail_at_the_bottom(unsigned flags, bool reaches_top)
{
	long failure = -EIO;
	struct child c;
	kc_scope_t *top, *over, *middle, *bottom;
	kc_job_t *jobs[4];

	child_init(&c, 0);
	assert_int_equal(kc_scope_init(&top, NULL), 0);
	over = scope_make(top, flags, NULL);
	middle = scope_make(over, 0, NULL);
	bottom = scope_make(middle, 0, NULL);
	jobs[0] = scope_launch(top, child, &c);
	jobs[1] = scope_launch(over, child, &c);
	jobs[2] = scope_launch(middle, child, &c);
	jobs[3] = scope_launch(bottom, child, &c);
	assert_int_equal(kc_scope_launch(bottom, give, &failure, NULL), 0);
	assert_int_equal(kc_scope_wait_all(bottom, -1), 0);
	assert_int_equal(kc_scope_wait_all(middle, -1), 0);
	scope_expect(bottom, KC_STATE_FAILED, -EIO, -EIO);
	scope_expect(middle, KC_STATE_FAILED, -EIO, -EIO);
	assert_int_equal(kc_scope_result(over), -EIO);
	assert_int_equal(kc_scope_result(top), reaches_top ? -EIO : 0);
	/* not while others are being cancelled: to a wait that is, a close may come first */
	if (!reaches_top)
		assert_int_equal(kc_chan_close(c.gate), 0);
	assert_int_equal(kc_scope_wait_all(over, -1), 0);
	assert_int_equal(kc_scope_wait_all(top, -1), 0);
	assert_int_equal(c.ends, 4);
	scope_expect(over, reaches_top ? KC_STATE_FAILED : KC_STATE_COMPLETED, -EIO,
		     reaches_top ? -EIO : 0);
	for (int i = 0; i < 4; i++) {
		bool hit = reaches_top || i > 1;

		job_expect(jobs[i], hit ? KC_STATE_CANCELLED : KC_STATE_COMPLETED,
			   hit ? KC_ECANCELED : 0, hit ? -EIO : 0);
	}
	/* in any order */
	assert_int_equal(kc_scope_destroy(top), 0);
	assert_int_equal(kc_scope_destroy(bottom), 0);
	assert_int_equal(kc_scope_destroy(over), 0);
	assert_int_equal(kc_scope_destroy(middle), 0);
	kc_chan_destroy(c.gate);
}

static void a_failure_goes_up_to_the_next_supervisor(void **state)
{
	fail_at_the_bottom(0, true);
	fail_at_the_bottom(KC_SCOPE_SUPERVISOR, false);
}

/* ---- cancelling ------------------------------------------------------------ */

#define DEEP 40

static void cancelling_reaches_any_depth(void **state)
{
	struct child c;
	kc_scope_t *scopes[DEEP];
	kc_job_t *jobs[DEEP];

	child_init(&c, 0);
	for (int i = 0; i < DEEP; i++) {
		scopes[i] =
			scope_make(i ? scopes[i - 1] : NULL, i % 3 ? 0 : KC_SCOPE_SUPERVISOR, NULL);
		jobs[i] = scope_launch(scopes[i], child, &c);
	}
	kc_scope_cancel(scopes[1], 17);
	kc_scope_cancel(scopes[DEEP - 1], 18);
	/* scopes that nobody waits for end, too: the upper one has */
	assert_int_equal(kc_scope_wait_all(scopes[1], -1), 0);
	for (int i = 1; i < DEEP; i++) {
		scope_expect(scopes[i], KC_STATE_CANCELLED, 0, 17);
		job_expect(jobs[i], KC_STATE_CANCELLED, KC_ECANCELED, 17);
	}
	assert_int_equal(kc_scope_state(scopes[0]), KC_STATE_ACTIVE);
	assert_int_equal(kc_job_state(jobs[0]), KC_STATE_ACTIVE);
	for (int i = 0; i < DEEP; i++)
		assert_int_equal(kc_scope_destroy(scopes[i]), 0);
	job_expect(jobs[0], KC_STATE_CANCELLED, KC_ECANCELED, KC_ECANCELED);
	kc_chan_destroy(c.gate);
}

static void a_token_above_cancels(void **state)
{
	struct child c;
	kc_cancel_t *token;
	kc_scope_t *s, *late = NULL, *below;
	kc_job_t *job;

	child_init(&c, 0);
	assert_int_equal(kc_cancel_init(&token), 0);
	assert_int_equal(kc_scope_init(&s, token), 0);
	below = scope_make(s, 0, NULL);
	job = scope_launch(below, child, &c);
	kc_cancel_trigger(token);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	scope_expect(s, KC_STATE_CANCELLED, 0, KC_ECANCELED);
	scope_expect(below, KC_STATE_CANCELLED, 0, KC_ECANCELED);
	job_expect(job, KC_STATE_CANCELLED, KC_ECANCELED, KC_ECANCELED);
	/* one that comes later is born cancelled */
	assert_int_equal(kc_scope_init(&late, token), 0);
	scope_expect(late, KC_STATE_CANCELLED, 0, KC_ECANCELED);
	assert_int_equal(kc_scope_launch(late, child, &c, NULL), KC_ECANCELED);
	assert_non_null(strstr(kc_error_detail(), "cancelled"));
	assert_int_equal(kc_scope_destroy(late), 0);
	assert_int_equal(kc_scope_destroy(below), 0);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_cancel_destroy(token);
	kc_chan_destroy(c.gate);
}

/* ---- many ------------------------------------------------------------------ */

static void ten_thousand_end_with_one_failure(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	long failure = -EIO;
	struct child c;
	kc_sched_t *sched;
	kc_scope_t *s;

	o.workers = 2;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	child_init(&c, 0);
	s = scope_make(NULL, 0, sched);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(kc_scope_launch(s, child, &c, NULL), 0);
	assert_int_equal(kc_scope_launch(s, give, &failure, NULL), 0);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	assert_int_equal(c.ends, 10000);
	scope_expect(s, KC_STATE_FAILED, -EIO, -EIO);
	assert_int_equal(kc_scope_destroy(s), 0);
	assert_int_equal(kc_sched_drain(sched, -1), 0);
	assert_int_equal(kc_sched_destroy(sched), 0);
	kc_chan_destroy(c.gate);
}

/* Threads that launch, cancel, fail, and look, while the scope ends. */
struct crowd {
	kc_scope_t *scope;
	kc_scope_t *below;
	_Atomic long launched, ended;
	uint64_t random;
};

static long one_of_crowd(kc_job_t *self, void *arg)
{
	struct crowd *c = arg;

	int r = kc_sleep_ms_c(1, kc_job_token(self));

	c->ended++;
	return r;
}

static long launch_some(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < 50; i++) {
		int r = kc_scope_launch(i % 2 ? c->below : c->scope, one_of_crowd, c, NULL);

		if (r == 0)
			c->launched++;
		else if (r != KC_ECANCELED)
			return r;
	}
	return 0;
}

static long look(void *arg)
{
	struct crowd *c = arg;
	int before = 0, now;

	do {
		now = kc_scope_state(c->scope);
		if (now < before)
			return -1;
		before = now;
		kc_yield();
	} while (now < KC_STATE_COMPLETED);
	return kc_scope_wait_all(c->scope, 0) == 0 ? now : -2;
}

static long fail_it(void *arg)
{
	static long failure = -EIO;
	struct crowd *c = arg;
	int r = kc_scope_launch(c->below, give, &failure, NULL);

	return r == KC_ECANCELED ? 0 : r;
}

static long cancel_it(void *arg)
{
	struct crowd *c = arg;

	kc_scope_cancel(c->below, 4);
	return 0;
}

static void a_crowd_at_a_scope(void **state)
{
	static long (*const roles[])(void *) = { launch_some, launch_some, look, fail_it,
						 cancel_it };

	for (int round = 0; round < 100; round++) {
		struct kct_call calls[5];
		struct crowd c = { 0 };

		assert_int_equal(kc_scope_init(&c.scope, NULL), 0);
		c.below = scope_make(c.scope, 0, NULL);
		for (int i = 0; i < 5; i++) {
			if (i == 3 + round % 2)
				continue;
			kct_call_start(&calls[i], roles[i], &c);
		}
		assert_int_equal(kc_scope_wait_all(c.below, -1), 0);
		assert_int_equal(kc_scope_wait_all(c.scope, -1), 0);
		for (int i = 0; i < 5; i++) {
			long r;

			if (i == 3 + round % 2)
				continue;
			r = kct_call_join(&calls[i]);
			assert_int_equal(r, i == 2 ? kc_scope_state(c.scope) : 0);
		}
		assert_int_equal(c.launched, c.ended);
		assert_int_equal(kc_scope_destroy(c.below), 0);
		assert_int_equal(kc_scope_destroy(c.scope), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_failing_child_cancels_its_siblings),
		KCT_TEST(not_in_a_supervisor),
		KCT_TEST(a_failure_goes_up_to_the_next_supervisor),
		KCT_TEST(cancelling_reaches_any_depth),
		KCT_TEST(a_token_above_cancels),
		KCT_TEST(ten_thousand_end_with_one_failure),
		KCT_TEST(a_crowd_at_a_scope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
