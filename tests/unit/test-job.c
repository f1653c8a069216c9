/* SPDX-License-Identifier: BSD-3-Clause */
/* Jobs: their states, results and reasons, and who may wait for them. Scopes are in test-scope.c.
 */
#include <errno.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"

/* ---- what jobs do ---------------------------------------------------------- */

struct work {
	kc_chan_t *gate;     /* closed to let it go on */
	bool deaf;	     /* it does not listen to its token */
	long result;	     /* of one that is let go on, or was deaf */
	struct kct_event in; /* it runs */
	int seen_state;	     /* as it saw itself at the end */
	kc_job_t *seen;	     /* as kc_job_current() told it */
};

static long work(kc_job_t *self, void *arg)
{
	struct work *w = arg;
	uint64_t v;
	int r;

	w->seen = kc_job_current();
	kct_event_set(&w->in);
	r = kc_chan_recv_c(w->gate, &v, -1, w->deaf ? NULL : kc_job_token(self));
	w->seen_state = kc_job_state(self);
	return r == KC_EPIPE ? w->result : r;
}

static void work_init(struct work *w, long result, bool deaf)
{
	*w = (struct work){ .result = result, .deaf = deaf, .in = KCT_EVENT_INIT };
	assert_int_equal(kc_chan_make(&w->gate, KC_RENDEZVOUS, sizeof(uint64_t), 0), 0);
}

static kc_job_t *launch(struct work *w)
{
	kc_job_t *job = NULL;

	assert_int_equal(kc_job_launch(&job, NULL, NULL, work, w), 0);
	kct_event_wait(&w->in);
	return job;
}

static void let_go(struct work *w)
{
	assert_int_equal(kc_chan_close(w->gate), 0);
}

static void work_end(struct work *w, kc_job_t *job, int state, long result, long reason)
{
	long got = 0;

	assert_int_equal(kc_job_join(job, &got, -1), 0);
	assert_int_equal(got, result);
	assert_int_equal(kc_job_result(job), result);
	assert_int_equal(kc_job_state(job), state);
	assert_int_equal(kc_job_reason(job), reason);
	/* what comes later changes nothing */
	kc_job_cancel(job, 99);
	assert_int_equal(kc_job_state(job), state);
	assert_int_equal(kc_job_reason(job), reason);
	assert_ptr_equal(w->seen, job);
	kc_job_release(job);
	kc_chan_destroy(w->gate);
}

/* ---- arguments ------------------------------------------------------------- */

static long nothing(kc_job_t *self, void *arg)
{
	(void)self;
	(void)arg;
	return 0;
}

static void what_makes_no_sense_is_refused(void **state)
{
	kc_job_t *job = NULL;

	assert_int_equal(kc_job_launch(&job, NULL, NULL, NULL, NULL), KC_EINVAL);
	assert_null(job);
	assert_int_equal(kc_job_join(NULL, NULL, -1), KC_EINVAL);
	assert_int_equal(kc_job_state(NULL), KC_EINVAL);
	assert_int_equal(kc_job_result(NULL), KC_EINVAL);
	assert_int_equal(kc_job_reason(NULL), KC_EINVAL);
	assert_null(kc_job_token(NULL));
	assert_null(kc_job_retain(NULL));
	assert_null(kc_job_current());
	kc_job_release(NULL);
	kc_job_cancel(NULL, 1);
}

static void no_memory_starts_nothing(void **state)
{
	kc_sched_t *sched;
	kc_job_t *job = NULL;
	int r;

	assert_int_equal(kc_sched_default(&sched), 0);
	for (long nth = 1;; nth++) {
		kct_alloc_fail_from(nth);
		r = kc_job_launch(&job, sched, NULL, nothing, NULL);
		if (kct_alloc_fail_end() < nth)
			break;
		assert_int_equal(r, KC_ENOMEM);
		assert_null(job);
	}
	assert_int_equal(r, 0);
	assert_int_equal(kc_job_join(job, NULL, -1), 0);
	kc_job_release(job);
}

static void a_full_scheduler_says_so(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *sched;
	kc_job_t *job = NULL;

	o.flags = KC_SCHED_DETERMINISTIC;
	o.max_coros = 1;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	assert_int_equal(kc_job_launch(NULL, sched, NULL, nothing, NULL), 0);
	assert_int_equal(kc_job_launch(&job, sched, NULL, nothing, NULL), KC_EDQUOT);
	assert_non_null(strstr(kc_error_detail(), "max_coros"));
	assert_null(job);
	assert_int_equal(kc_sched_run(sched), 0);
	assert_int_equal(kc_sched_destroy(sched), 0);
}

/* ---- ends ------------------------------------------------------------------ */

static void a_result_from_0_up_completes_a_job(void **state)
{
	struct work w;
	kc_job_t *job;

	work_init(&w, 42, false);
	job = launch(&w);
	assert_int_equal(kc_job_state(job), KC_STATE_ACTIVE);
	assert_int_equal(kc_job_result(job), 0);
	assert_int_equal(kc_job_reason(job), 0);
	let_go(&w);
	work_end(&w, job, KC_STATE_COMPLETED, 42, 0);
	assert_int_equal(w.seen_state, KC_STATE_ACTIVE);
}

static void a_negative_result_is_a_failure(void **state)
{
	static const long results[] = { -EIO, KC_ECANCELED, KC_EPIPE };

	for (size_t i = 0; i < 3; i++) {
		struct work w;
		kc_job_t *job;

		/* these two as well: nobody has cancelled it */
		work_init(&w, results[i], false);
		job = launch(&w);
		let_go(&w);
		work_end(&w, job, KC_STATE_FAILED, results[i], 0);
	}
}

static void cancelling_ends_a_job_that_listens(void **state)
{
	static const long reasons[][2] = { { 7, 7 }, { 0, KC_ECANCELED }, { -5, -5 } };

	for (size_t i = 0; i < 3; i++) {
		struct work w;
		kc_job_t *job;

		work_init(&w, 0, false);
		job = launch(&w);
		kc_job_cancel(job, reasons[i][0]);
		kc_job_cancel(job, 8);
		work_end(&w, job, KC_STATE_CANCELLED, KC_ECANCELED, reasons[i][1]);
		assert_int_equal(w.seen_state, KC_STATE_CANCELLING);
	}
}

static void its_token_alone_cancels_a_job(void **state)
{
	struct work w;
	kc_job_t *job;

	work_init(&w, 0, false);
	job = launch(&w);
	kc_cancel_trigger(kc_job_token(job));
	work_end(&w, job, KC_STATE_CANCELLED, KC_ECANCELED, KC_ECANCELED);
}

static void a_job_that_is_deaf_was_cancelled_all_the_same(void **state)
{
	/* what it returns is kept; only another failure is one */
	static const struct {
		long result;
		int state;
	} cases[] = {
		{ 0, KC_STATE_CANCELLED },
		{ 12, KC_STATE_CANCELLED },
		{ KC_ECANCELED, KC_STATE_CANCELLED },
		{ KC_EPIPE, KC_STATE_CANCELLED },
		{ -EIO, KC_STATE_FAILED },
	};

	for (size_t i = 0; i < 5; i++) {
		struct work w;
		kc_job_t *job;

		work_init(&w, cases[i].result, true);
		job = launch(&w);
		kc_job_cancel(job, 3);
		assert_int_equal(kc_job_state(job), KC_STATE_CANCELLING);
		assert_int_equal(kc_job_reason(job), 3);
		assert_int_equal(kc_job_join(job, NULL, 0), KC_EAGAIN);
		let_go(&w);
		work_end(&w, job, cases[i].state, cases[i].result, 3);
	}
}

static void a_parents_token_reaches_a_job_nobody_holds(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct work w;
	kc_cancel_t *parent;
	kc_sched_t *sched;

	o.workers = 1;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	assert_int_equal(kc_cancel_init(&parent), 0);
	work_init(&w, 0, false);
	assert_int_equal(kc_job_launch(NULL, sched, parent, work, &w), 0);
	kct_event_wait(&w.in);
	kc_cancel_trigger(parent);
	/* it goes by itself */
	assert_int_equal(kc_sched_drain(sched, -1), 0);
	assert_int_equal(w.seen_state, KC_STATE_CANCELLING);
	assert_int_equal(kc_sched_destroy(sched), 0);
	kc_cancel_destroy(parent);
	kc_chan_destroy(w.gate);
}

/* ---- joining --------------------------------------------------------------- */

static long join(void *arg)
{
	long result = 0;
	int r = kc_job_join(arg, &result, -1);

	return r < 0 ? r : result;
}

static void any_number_may_join(void **state)
{
	struct kct_call calls[8];
	struct work w;
	kc_sched_t *sched;
	kc_cancel_t *token;
	kc_job_t *job;

	assert_int_equal(kc_sched_default(&sched), 0);
	assert_int_equal(kc_cancel_init(&token), 0);
	work_init(&w, 5, false);
	job = launch(&w);
	assert_int_equal(kc_job_join(job, NULL, 0), KC_EAGAIN);
	assert_int_equal(kc_job_join(job, NULL, KCT_SHORT_MS), KC_ETIME);
	for (int i = 0; i < 8; i++) {
		kct_calls_in(i % 2 ? sched : NULL);
		kct_call_start(&calls[i], join, job);
	}
	kct_calls_in(NULL);
	kc_cancel_trigger(token);
	assert_int_equal(kc_job_join_c(job, NULL, -1, token), KC_ECANCELED);
	let_go(&w);
	for (int i = 0; i < 8; i++)
		assert_int_equal(kct_call_join(&calls[i]), 5);
	assert_int_equal(kc_job_join(job, NULL, 0), 0);
	kc_cancel_destroy(token);
	work_end(&w, job, KC_STATE_COMPLETED, 5, 0);
}

static long cancel_token(void *arg)
{
	kc_cancel_trigger(arg);
	return 0;
}

static void a_token_ends_the_wait_and_not_the_job(void **state)
{
	struct kct_call call;
	struct work w;
	kc_cancel_t *token;
	kc_job_t *job;

	assert_int_equal(kc_cancel_init(&token), 0);
	work_init(&w, 1, false);
	job = launch(&w);
	kct_call_start(&call, cancel_token, token);
	assert_int_equal(kc_job_join_c(job, NULL, -1, token), KC_ECANCELED);
	assert_int_equal(kct_call_join(&call), 0);
	assert_int_equal(kc_job_state(job), KC_STATE_ACTIVE);
	let_go(&w);
	kc_cancel_destroy(token);
	work_end(&w, job, KC_STATE_COMPLETED, 1, 0);
}

static long join_self(kc_job_t *self, void *arg)
{
	(void)arg;
	return kc_job_join(self, NULL, -1) == KC_EINVAL ? 0 : -1;
}

static long current_elsewhere(void *arg)
{
	(void)arg;
	return kc_job_current() != NULL;
}

static long keep_self(kc_job_t *self, void *arg)
{
	kc_coro_t *co;
	long r;

	*(kc_job_t **)arg = kc_job_retain(kc_job_current());
	/* a coroutine that a job starts is not that job */
	if (kc_spawn(&co, NULL, current_elsewhere, NULL) < 0 || kc_join(co, &r, -1) < 0 || r != 0)
		return -1;
	return *(kc_job_t **)arg == self ? 0 : -2;
}

static void a_job_knows_itself(void **state)
{
	kc_job_t *job, *kept = NULL;
	long r;

	assert_int_equal(kc_job_launch(&job, NULL, NULL, join_self, NULL), 0);
	assert_int_equal(kc_job_join(job, &r, -1), 0);
	assert_int_equal(r, 0);
	kc_job_release(job);
	assert_int_equal(kc_job_launch(&job, NULL, NULL, keep_self, &kept), 0);
	assert_int_equal(kc_job_join(job, &r, -1), 0);
	kc_job_release(job);
	assert_int_equal(r, 0);
	/* by the reference it took itself */
	assert_ptr_equal(kept, job);
	assert_int_equal(kc_job_state(kept), KC_STATE_COMPLETED);
	kc_job_release(kept);
}

/* ---- many at once ---------------------------------------------------------- */

#define ROUNDS 2000

static long cancel_it(void *arg)
{
	kc_job_cancel(arg, 3);
	return 0;
}

static long look_at_it(void *arg)
{
	int before = 0, now;

	do {
		now = kc_job_state(arg);
		if (now < before)
			return -1;
		/* who was seen cancelled does not complete */
		if (before == KC_STATE_CANCELLING && now == KC_STATE_COMPLETED)
			return -2;
		if (now == KC_STATE_CANCELLED && kc_job_reason(arg) != 3)
			return -3;
		if (now == KC_STATE_COMPLETED && kc_job_reason(arg) != 0)
			return -4;
		before = now;
	} while (now < KC_STATE_COMPLETED);
	/* what the state says the join says, too */
	return kc_job_join(arg, NULL, 0) == 0 ? now : -5;
}

static void an_end_and_a_cancellation_may_meet(void **state)
{
	unsigned cancelled = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct kct_call calls[2];
		kc_job_t *job;
		long seen;

		assert_int_equal(kc_job_launch(&job, NULL, NULL, nothing, NULL), 0);
		kct_call_start(&calls[0], look_at_it, job);
		kct_call_start(&calls[1], cancel_it, job);
		seen = kct_call_join(&calls[0]);
		assert_true(seen == KC_STATE_COMPLETED || seen == KC_STATE_CANCELLED);
		assert_int_equal(kct_call_join(&calls[1]), 0);
		assert_int_equal(kc_job_state(job), seen);
		cancelled += seen == KC_STATE_CANCELLED;
		kc_job_release(job);
	}
	print_message("# %u of %u were cancelled\n", cancelled, ROUNDS);
}

/* ---- a forked child -------------------------------------------------------- */

static int in_child(void *arg)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_job_t *job = arg;
	kc_job_t *other;
	kc_sched_t *sched;

	if (kc_job_join(job, NULL, -1) != KC_EFORKED || kc_job_state(job) != KC_EFORKED)
		return 1;
	if (kc_job_result(job) != KC_EFORKED || kc_job_reason(job) != KC_EFORKED)
		return 2;
	if (kc_job_token(job) || kc_job_retain(job) != job || kc_job_current())
		return 3;
	kc_job_cancel(job, 1);
	kc_job_release(job);
	/* one of its own works */
	o.flags = KC_SCHED_DETERMINISTIC;
	if (kc_sched_create(&sched, &o) != 0 ||
	    kc_job_launch(&other, sched, NULL, nothing, NULL) != 0 || kc_sched_run(sched) != 0)
		return 4;
	if (kc_job_join(other, NULL, -1) != 0 || kc_job_state(other) != KC_STATE_COMPLETED)
		return 5;
	kc_job_release(other);
	return 0;
}

static void a_forked_child_has_none_of_them(void **state)
{
	struct work w;
	kc_job_t *job;

	work_init(&w, 0, false);
	job = launch(&w);
	assert_int_equal(kct_in_child(in_child, job), 0);
	let_go(&w);
	work_end(&w, job, KC_STATE_COMPLETED, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_makes_no_sense_is_refused),
		KCT_TEST(no_memory_starts_nothing),
		KCT_TEST(a_full_scheduler_says_so),
		KCT_TEST(a_result_from_0_up_completes_a_job),
		KCT_TEST(a_negative_result_is_a_failure),
		KCT_TEST(cancelling_ends_a_job_that_listens),
		KCT_TEST(its_token_alone_cancels_a_job),
		KCT_TEST(a_job_that_is_deaf_was_cancelled_all_the_same),
		KCT_TEST(a_parents_token_reaches_a_job_nobody_holds),
		KCT_TEST(any_number_may_join),
		KCT_TEST(a_token_ends_the_wait_and_not_the_job),
		KCT_TEST(a_job_knows_itself),
		KCT_TEST(an_end_and_a_cancellation_may_meet),
		KCT_TEST(a_forked_child_has_none_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
