/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes: arguments that make no sense, memory that is not there, waits from inside, a forked
 * child.
 */
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/unit/scope-child.h"

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

/* ---- from inside ----------------------------------------------------------- */

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
		KCT_TEST(who_is_inside_cannot_wait),
		KCT_TEST(a_forked_child_has_none_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
