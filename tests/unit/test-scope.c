/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes: what they wait for, whom they cancel, how they end. Their deadlines, producers and actors
 * are in test-scope-parts.c, random trees of them in test-structure.c, jobs in test-job.c.
 */
#include <errno.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/unit/scope-child.h"

/* ---- arguments ------------------------------------------------------------- */

static long produce_nothing(kc_job_t *self, kc_chan_t *ch, void *arg)
{
	(void)self;
	(void)ch;
	(void)arg;
	return 0;
}

static int take(const void *msg, size_t len, void *user)
{
	(void)msg;
	(void)len;
	(void)user;
	return 0;
}

static void refused(struct kc_scope_options *o, const char *word)
{
	kc_scope_t *s = NULL;

	assert_int_equal(kc_scope_init_ex(&s, o), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), word));
	assert_null(s);
	*o = (struct kc_scope_options)KC_SCOPE_OPTIONS_INIT;
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	struct kc_actor_ctx ctx = { .process = take };
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	kc_scope_t *s = NULL;
	kc_chan_t *ch = NULL;
	kc_actor_t *a = NULL;

	assert_int_equal(kc_scope_init(NULL, NULL), KC_EINVAL);
	assert_int_equal(kc_scope_init_ex(NULL, &o), KC_EINVAL);
	assert_int_equal(kc_scope_init_ex(&s, NULL), KC_EINVAL);
	o.size = 1;
	refused(&o, "size");
	o.flags = 2;
	refused(&o, "flags");
	o.deadline_ms = -1;
	refused(&o, "deadline_ms");
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	o.parent = s;
	o.token = kc_scope_token(s);
	refused(&o, "token");
	assert_int_equal(kc_scope_launch(NULL, give, NULL, NULL), KC_EINVAL);
	assert_int_equal(kc_scope_launch(s, NULL, NULL, NULL), KC_EINVAL);
	assert_int_equal(kc_scope_produce(s, KC_BUFFERED, 8, 1, NULL, NULL, &ch), KC_EINVAL);
	assert_int_equal(kc_scope_produce(s, KC_BUFFERED, 8, 1, produce_nothing, NULL, NULL),
			 KC_EINVAL);
	assert_int_equal(kc_scope_produce(s, KC_BUFFERED, 8, 0, produce_nothing, NULL, &ch),
			 KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "capacity"));
	assert_null(ch);
	assert_int_equal(kc_scope_actor(s, NULL, &a), KC_EINVAL);
	assert_int_equal(kc_scope_actor(s, &ctx, &a), KC_EINVAL);
	ctx.mailbox = &box;
	assert_int_equal(kc_scope_actor(NULL, &ctx, &a), KC_EINVAL);
	assert_int_equal(kc_scope_actor(s, &ctx, NULL), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "mailbox"));
	ctx.token = kc_scope_token(s);
	assert_int_equal(kc_scope_actor(s, &ctx, &a), KC_EINVAL);
	assert_null(a);
	assert_int_equal(kc_scope_wait_all(NULL, -1), KC_EINVAL);
	assert_int_equal(kc_scope_state(NULL), KC_EINVAL);
	assert_int_equal(kc_scope_result(NULL), KC_EINVAL);
	assert_int_equal(kc_scope_reason(NULL), KC_EINVAL);
	assert_null(kc_scope_token(NULL));
	kc_scope_cancel(NULL, 1);
	assert_int_equal(kc_scope_destroy(NULL), 0);
	/* none of these has left a child behind */
	assert_int_equal(kc_scope_wait_all(s, 0), 0);
	assert_int_equal(kc_scope_destroy(s), 0);
}

struct attempt {
	kc_scope_t *parent;
	kc_sched_t *sched;
	kc_scope_t *scope;
	kc_chan_t *ch;
	kc_actor_t *actor;
};

static int try_init(struct attempt *t)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;

	o.parent = t->parent;
	o.deadline_ms = 1000;
	return kc_scope_init_ex(&t->scope, &o);
}

static int try_launch(struct attempt *t)
{
	static long zero;

	return kc_scope_launch(t->parent, give, &zero, NULL);
}

static int try_produce(struct attempt *t)
{
	return kc_scope_produce(t->parent, KC_BUFFERED, 8, 4, produce_nothing, NULL, &t->ch);
}

static int try_actor(struct attempt *t)
{
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_restart_options again = KC_RESTART_OPTIONS_INIT;
	struct kc_actor_ctx ctx = {
		.process = take, .mailbox = &box, .restart = &again, .sched = t->sched
	};

	box.elem_size = 8;
	box.capacity = 1;
	again.policy = KC_RESTART_ALWAYS;
	again.max_restarts = 1;
	return kc_scope_actor(t->parent, &ctx, &t->actor);
}

static void no_memory_starts_nothing(void **state)
{
	static int (*const tries[])(struct attempt *) = { try_init, try_launch, try_produce,
							  try_actor };

	for (size_t i = 0; i < 4; i++) {
		struct attempt t = { .sched = sched_make() };
		int r;

		t.parent = scope_make(NULL, 0, t.sched);
		for (long nth = 1;; nth++) {
			kct_alloc_fail_from(nth);
			r = tries[i](&t);
			if (kct_alloc_fail_end() < nth)
				break;
			assert_int_equal(r, KC_ENOMEM);
			assert_true(!t.scope && !t.ch && !t.actor);
			/* nothing is left that the scope would wait for */
			assert_int_equal(kc_scope_state(t.parent), KC_STATE_ACTIVE);
		}
		assert_int_equal(r, 0);
		kc_scope_cancel(t.parent, 0);
		assert_int_equal(kc_sched_run(t.sched), 0);
		assert_int_equal(kc_scope_wait_all(t.parent, 0), 0);
		assert_int_equal(kc_scope_destroy(t.scope), 0);
		assert_int_equal(kc_scope_destroy(t.parent), 0);
		if (t.actor)
			assert_int_equal(kc_actor_stop(t.actor), KC_ECANCELED);
		kc_chan_destroy(t.ch);
		assert_int_equal(kc_sched_destroy(t.sched), 0);
	}
}

/* ---- what it waits for ----------------------------------------------------- */

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

/* From inside. */
static long wait_for_own(kc_job_t *self, void *arg)
{
	kc_scope_t *s = arg;

	(void)self;
	if (kc_scope_wait_all(s, -1) != KC_EINVAL || kc_scope_destroy(s) != KC_EINVAL)
		return -1;
	/* nor has it been cancelled */
	return kc_scope_state(s) < KC_STATE_CANCELLING ? 0 : -2;
}

static long wait_below(kc_job_t *self, void *arg)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	kc_scope_t *below;
	kc_job_t *job = NULL;
	long r;

	(void)self;
	o.parent = arg;
	r = kc_scope_init_ex(&below, &o);
	if (r == 0)
		r = kc_scope_launch(below, wait_for_own, below, NULL);
	/* the upper one from the lower one */
	if (r == 0)
		r = kc_scope_launch(below, wait_for_own, arg, &job);
	if (r == 0)
		r = kc_job_join(job, NULL, -1);
	if (r == 0)
		r = kc_job_result(job);
	if (r == 0)
		r = kc_scope_wait_all(below, -1);
	if (r == 0)
		r = kc_scope_result(below);
	kc_job_release(job);
	return kc_scope_destroy(below) < 0 ? -3 : r;
}

static int process_wait(const void *msg, size_t len, void *user)
{
	(void)msg;
	(void)len;
	return kc_scope_destroy(user) == KC_EINVAL ? 11 : 12;
}

static void who_is_inside_cannot_wait(void **state)
{
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_actor_ctx ctx = { .process = process_wait, .mailbox = &box, .timeout_ms = -1 };
	kc_scope_t *s;
	kc_actor_t *a;
	kc_sched_t *sched;
	kc_job_t *job;
	uint64_t v = 0;

	assert_int_equal(kc_sched_default(&sched), 0);
	assert_int_equal(kc_scope_init(&s, NULL), 0);
	job = scope_launch(s, wait_for_own, s);
	assert_int_equal(kc_job_join(job, NULL, -1), 0);
	job_expect(job, KC_STATE_COMPLETED, 0, 0);
	job = scope_launch(s, wait_below, s);
	assert_int_equal(kc_job_join(job, NULL, -1), 0);
	job_expect(job, KC_STATE_COMPLETED, 0, 0);
	box.elem_size = sizeof(v);
	box.capacity = 1;
	ctx.user = s;
	for (int i = 0; i < 2; i++) {
		ctx.sched = i ? sched : NULL;
		assert_int_equal(kc_scope_actor(s, &ctx, &a), 0);
		assert_int_equal(kc_chan_send(kc_actor_mailbox(a), &v, -1), 0);
		/* it closes its mailbox at its end */
		while (kc_chan_send(kc_actor_mailbox(a), &v, -1) == 0)
			;
		assert_int_equal(kc_actor_stop(a), 11);
	}
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	scope_expect(s, KC_STATE_COMPLETED, 0, 0);
	assert_int_equal(kc_scope_destroy(s), 0);
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

/* ---- a forked child -------------------------------------------------------- */

static int in_child(void *arg)
{
	struct kc_sched_options so = KC_SCHED_OPTIONS_INIT;
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	kc_scope_t *s = arg, *other = NULL;
	kc_chan_t *ch = NULL;
	long five = 5;

	if (kc_scope_launch(s, give, NULL, NULL) != KC_EFORKED)
		return 1;
	if (kc_scope_produce(s, KC_BUFFERED, 8, 1, produce_nothing, NULL, &ch) != KC_EFORKED)
		return 2;
	if (kc_scope_wait_all(s, -1) != KC_EFORKED || kc_scope_destroy(s) != KC_EFORKED)
		return 3;
	if (kc_scope_state(s) != KC_EFORKED || kc_scope_result(s) != KC_EFORKED ||
	    kc_scope_reason(s) != KC_EFORKED || kc_scope_token(s))
		return 4;
	kc_scope_cancel(s, 1);
	o.parent = s;
	if (kc_scope_init_ex(&other, &o) != KC_EFORKED)
		return 5;
	o.parent = NULL;
	so.flags = KC_SCHED_DETERMINISTIC;
	if (kc_sched_create(&o.sched, &so) != 0 || kc_scope_init_ex(&other, &o) != 0 ||
	    kc_scope_launch(other, give, &five, NULL) != 0 || kc_sched_run(o.sched) != 0)
		return 6;
	return kc_scope_wait_all(other, -1) == 0 && kc_scope_destroy(other) == 0 ? 0 : 7;
}

static void a_forked_child_has_none_of_them(void **state)
{
	kc_scope_t *s;

	assert_int_equal(kc_scope_init(&s, NULL), 0);
	assert_int_equal(kct_in_child(in_child, s), 0);
	assert_int_equal(kc_scope_state(s), KC_STATE_ACTIVE);
	assert_int_equal(kc_scope_destroy(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_makes_no_sense_is_refused),
		KCT_TEST(no_memory_starts_nothing),
		KCT_TEST(an_empty_scope_ends_when_it_is_asked_to),
		KCT_TEST(it_waits_for_every_child_also_later_ones),
		KCT_TEST(it_ends_also_when_nobody_waits_any_more),
		KCT_TEST(threads_and_coroutines_may_wait),
		KCT_TEST(a_token_ends_the_wait_alone),
		KCT_TEST(a_failing_child_cancels_its_siblings),
		KCT_TEST(not_in_a_supervisor),
		KCT_TEST(a_failure_goes_up_to_the_next_supervisor),
		KCT_TEST(cancelling_reaches_any_depth),
		KCT_TEST(a_token_above_cancels),
		KCT_TEST(a_parent_waits_for_scopes_below_it),
		KCT_TEST(destroying_the_parent_first_is_fine),
		KCT_TEST(who_is_inside_cannot_wait),
		KCT_TEST(ten_thousand_end_with_one_failure),
		KCT_TEST(a_crowd_at_a_scope),
		KCT_TEST(a_forked_child_has_none_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
