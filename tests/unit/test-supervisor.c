/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Restarts of actors: the arithmetic alone, then actors that fail, in a deterministic scheduler,
 * whose clock tells exactly how long they waited.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/supervisor.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"
#include "tests/unit/scope-child.h"

/* ---- the arithmetic -------------------------------------------------------- */

static struct kc_restart_options options(enum kc_restart policy, unsigned max, long window_ms,
					 long backoff_ms)
{
	struct kc_restart_options o = KC_RESTART_OPTIONS_INIT;

	o.policy = policy;
	o.max_restarts = max;
	o.window_ms = window_ms;
	o.backoff_ms = backoff_ms;
	return o;
}

static void refused(struct kc_restart_options o, const char *word)
{
	struct kci_supervisor s;

	assert_int_equal(kci_supervisor_init(&s, &o), KC_EINVAL);
	assert_int_equal(kci_result(KC_EINVAL), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), word));
}

static void what_is_out_of_range_is_refused(void **state)
{
	const struct kc_restart_options good = options(KC_RESTART_ALWAYS, 1, 0, 0);
	struct kc_restart_options o = good;

	o.size = 3;
	refused(o, "size");
	refused(options((enum kc_restart)3, 1, 0, 0), "policy");
	refused(options(KC_RESTART_ALWAYS, 0, 0, 0), "max_restarts");
	refused(options(KC_RESTART_ON_FAILURE, KC_RESTARTS_MAX + 1, 0, 0), "max_restarts");
	refused(options(KC_RESTART_ALWAYS, 1, -1, 0), "negative");
	refused(options(KC_RESTART_ALWAYS, 1, 0, -1), "negative");
	o = good;
	o.backoff_factor = KC_BACKOFF_FACTOR_MAX + 1;
	refused(o, "backoff_factor");
	o = good;
	o.backoff_ms = 10;
	o.backoff_max_ms = 9;
	refused(o, "backoff_max_ms");
}

#define MS(n) ((uint64_t)(n)*KC_NS_PER_MS)

static void delays_grow_to_their_greatest(void **state)
{
	static const long delays[] = { 10, 30, 90, 270, 500, 500, 500 };
	struct kc_restart_options o = options(KC_RESTART_ALWAYS, 7, 0, 10);
	struct kci_supervisor s;
	long delay;

	o.backoff_factor = 3;
	o.backoff_max_ms = 500;
	assert_int_equal(kci_supervisor_init(&s, &o), 0);
	for (size_t i = 0; i < 7; i++) {
		assert_true(kci_supervisor_allows(&s, true, MS(i * 1000000), &delay));
		assert_int_equal(delay, delays[i]);
		kci_supervisor_restarted(&s, MS(i * 1000000));
	}
	/* the window is its whole life */
	assert_false(kci_supervisor_allows(&s, true, MS(1) << 40, &delay));
	kci_supervisor_done(&s);
}

static void the_greatest_numbers_do_not_wrap(void **state)
{
	struct kc_restart_options o = options(KC_RESTART_ALWAYS, KC_RESTARTS_MAX, LONG_MAX, 3);
	struct kci_supervisor s;
	long delay = 0;

	o.backoff_factor = KC_BACKOFF_FACTOR_MAX;
	o.backoff_max_ms = LONG_MAX;
	assert_int_equal(kci_supervisor_init(&s, &o), 0);
	for (size_t i = 0; i < KC_RESTARTS_MAX; i++) {
		assert_true(kci_supervisor_allows(&s, true, UINT64_MAX - 1, &delay));
		kci_supervisor_restarted(&s, UINT64_MAX - 1);
	}
	assert_true(delay == LONG_MAX);
	assert_false(kci_supervisor_allows(&s, true, UINT64_MAX, &delay));
	kci_supervisor_done(&s);
	/* what is not given */
	o = options(KC_RESTART_ALWAYS, 3, 0, KC_BACKOFF_MAX_DEFAULT + 5);
	assert_int_equal(kci_supervisor_init(&s, &o), 0);
	kci_supervisor_restarted(&s, 0);
	assert_true(kci_supervisor_allows(&s, true, 0, &delay));
	assert_int_equal(delay, KC_BACKOFF_MAX_DEFAULT + 5);
	kci_supervisor_done(&s);
}

static void what_lies_behind_the_window_does_not_count(void **state)
{
	struct kc_restart_options o = options(KC_RESTART_ALWAYS, 2, 100, 8);
	struct kci_supervisor s;
	long delay;

	assert_int_equal(kci_supervisor_init(&s, &o), 0);
	kci_supervisor_restarted(&s, MS(1000));
	kci_supervisor_restarted(&s, MS(1050));
	assert_false(kci_supervisor_allows(&s, true, MS(1099), &delay));
	assert_true(kci_supervisor_allows(&s, true, MS(1100), &delay));
	assert_int_equal(delay, 16);
	kci_supervisor_restarted(&s, MS(1116));
	assert_false(kci_supervisor_allows(&s, true, MS(1149), &delay));
	assert_true(kci_supervisor_allows(&s, true, MS(1150), &delay));
	/* after a whole window it begins anew */
	assert_true(kci_supervisor_allows(&s, true, MS(1216), &delay));
	assert_int_equal(delay, 8);
	kci_supervisor_done(&s);
}

static void policies(void **state)
{
	static const bool wants[3][2] = { { false, false }, { false, true }, { true, true } };

	for (int policy = KC_RESTART_NEVER; policy <= KC_RESTART_ALWAYS; policy++) {
		struct kc_restart_options o = options((enum kc_restart)policy, 1, 0, 0);
		struct kci_supervisor s;
		long delay;

		assert_int_equal(kci_supervisor_init(&s, &o), 0);
		for (int failed = 0; failed < 2; failed++)
			assert_int_equal(kci_supervisor_allows(&s, failed, 1, &delay),
					 wants[policy][failed]);
		kci_supervisor_done(&s);
	}
}

/* ---- actors ---------------------------------------------------------------- */

struct life {
	struct kc_restart_options restart;
	kc_sched_t *sched;
	kc_scope_t *scope; /* may be NULL */
	kc_actor_t *actor;
	int results[8]; /* of process, one after the other; then 0 */
	unsigned n_processed;
	long restarted_ms[8]; /* on_restart, since the beginning */
	int restarted_by[8];
	unsigned n_restarted;
	uint64_t begin;
	int done, done_calls;
	uint64_t done_ms;
	long cancel_at_ms; /* 0: not at all */
};

static int process(const void *msg, size_t len, void *user)
{
	struct life *l = user;
	unsigned i = l->n_processed++;

	(void)msg;
	(void)len;
	return i < 8 ? l->results[i] : 0;
}

static long since(const struct life *l)
{
	return (long)((kc_sched_now() - l->begin) / KC_NS_PER_MS);
}

static void on_restart(void *user, int result)
{
	struct life *l = user;

	if (l->n_restarted < 8) {
		l->restarted_ms[l->n_restarted] = since(l);
		l->restarted_by[l->n_restarted] = result;
	}
	l->n_restarted++;
}

static void on_done(kc_actor_t *actor, int result, void *arg)
{
	struct life *l = arg;

	(void)actor;
	l->done = result;
	l->done_calls++;
	l->done_ms = (uint64_t)since(l);
}

/* Starts the actor, fills its mailbox, lets it live. */
static long live(void *arg)
{
	struct life *l = arg;
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_actor_ctx ctx = {
		.timeout_ms = -1,
		.process = process,
		.user = l,
		.sched = l->sched,
		.mailbox = &box,
		.restart = &l->restart,
	};
	uint64_t v = 0;
	int r;

	box.elem_size = sizeof(v);
	box.capacity = 8;
	l->begin = kc_sched_now();
	l->restart.on_restart = on_restart;
	r = l->scope ? kc_scope_actor(l->scope, &ctx, &l->actor) : kc_actor_start(&l->actor, &ctx);
	if (r == 0)
		r = kc_actor_on_done(l->actor, on_done, l);
	for (int i = 0; i < 8 && r == 0; i++)
		r = kc_chan_send(kc_actor_mailbox(l->actor), &v, 0);
	if (r == 0 && l->cancel_at_ms) {
		r = kc_sleep_ms(l->cancel_at_ms);
		kc_actor_cancel(l->actor);
	} else if (r == 0) {
		/* what is left is taken first, if it still lives */
		r = kc_sleep_ms(1000000);
		(void)kc_chan_close(kc_actor_mailbox(l->actor));
	}
	return r;
}

/* The whole life; what stop gives. */
static int run(struct life *l)
{
	kc_coro_t *co;
	long r;
	int stopped;

	l->sched = sched_make();
	assert_int_equal(kc_spawn(&co, l->sched, live, l), 0);
	assert_int_equal(kc_sched_run(l->sched), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	assert_int_equal(r, 0);
	assert_int_equal(kc_actor_restarts(l->actor), l->n_restarted);
	stopped = kc_actor_stop(l->actor);
	assert_int_equal(l->done_calls, 1);
	assert_int_equal(l->done, stopped);
	assert_int_equal(kc_sched_destroy(l->sched), 0);
	return stopped;
}

static void a_failing_actor_runs_again(void **state)
{
	struct life l = {
		.restart = options(KC_RESTART_ON_FAILURE, 5, 0, 100),
		.results = { 0, -5, -6, 0, -7 },
	};

	assert_int_equal(run(&l), KC_EPIPE);
	assert_int_equal(l.n_processed, 8);
	assert_int_equal(l.n_restarted, 3);
	assert_int_equal(l.restarted_by[0], -5);
	assert_int_equal(l.restarted_by[2], -7);
	assert_int_equal(l.restarted_ms[0], 100);
	assert_int_equal(l.restarted_ms[1], 300);
	assert_int_equal(l.restarted_ms[2], 700);
}

static void after_the_last_restart_it_ends_for_good(void **state)
{
	struct life l = {
		.restart = options(KC_RESTART_ON_FAILURE, 2, 10000, 100),
		.results = { -1, -2, -3, -4 },
	};

	assert_int_equal(run(&l), -3);
	assert_int_equal(l.n_processed, 3);
	assert_int_equal(l.n_restarted, 2);
	assert_int_equal(l.done_ms, 300);
}

static void only_always_restarts_what_did_not_fail(void **state)
{
	struct life a = { .restart = options(KC_RESTART_ON_FAILURE, 5, 0, 0), .results = { 4 } };
	struct life b = { .restart = options(KC_RESTART_ALWAYS, 5, 0, 0), .results = { 4 } };
	struct life c = { .restart = options(KC_RESTART_NEVER, 0, 0, 0), .results = { -4 } };

	assert_int_equal(run(&a), 4);
	assert_int_equal(a.n_restarted, 0);
	/* but not after the close */
	assert_int_equal(run(&b), KC_EPIPE);
	assert_int_equal(b.n_restarted, 1);
	assert_int_equal(run(&c), -4);
	assert_int_equal(c.n_processed, 1);
}

static void the_wait_before_a_restart_can_be_cancelled(void **state)
{
	struct life l = {
		.restart = options(KC_RESTART_ALWAYS, 5, 0, 50000),
		.results = { -5 },
		.cancel_at_ms = 300,
	};

	assert_int_equal(run(&l), KC_ECANCELED);
	assert_int_equal(l.done_ms, 300);
	assert_int_equal(l.n_restarted, 0);
}

static void what_a_supervisor_gives_up_fails_its_scope(void **state)
{
	struct life l = {
		.restart = options(KC_RESTART_ON_FAILURE, 1, 0, 10),
		.results = { -1, -2 },
	};
	struct life told = {
		.restart = options(KC_RESTART_ON_FAILURE, 1, 0, 50000),
		.results = { -1 },
		.cancel_at_ms = 5,
	};

	l.scope = scope_make(NULL, 0, NULL);
	assert_int_equal(run(&l), -2);
	assert_int_equal(kc_scope_wait_all(l.scope, 0), 0);
	scope_expect(l.scope, KC_STATE_FAILED, -2, -2);
	assert_int_equal(kc_scope_destroy(l.scope), 0);
	/* one that was told to end has not failed */
	told.scope = scope_make(NULL, 0, NULL);
	assert_int_equal(run(&told), KC_ECANCELED);
	assert_int_equal(kc_scope_wait_all(told.scope, 0), 0);
	scope_expect(told.scope, KC_STATE_COMPLETED, 0, 0);
	assert_int_equal(kc_scope_destroy(told.scope), 0);
}

static void a_thread_restarts_as_well(void **state)
{
	struct life l = { .restart = options(KC_RESTART_ON_FAILURE, 2, 0, 1),
			  .results = { -1, -2, -3 } };
	struct kc_actor_ctx ctx = {
		.timeout_ms = -1, .process = process, .user = &l, .restart = &l.restart
	};
	uint64_t v = 0;
	kc_actor_t *a;

	l.restart.on_restart = on_restart;
	assert_int_equal(kc_chan_make(&ctx.chan, KC_RENDEZVOUS, sizeof(v), 0), 0);
	assert_int_equal(kc_actor_start(&a, &ctx), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kc_chan_send(ctx.chan, &v, -1), 0);
	(void)kc_actor_stop(a);
	assert_int_equal(l.n_processed, 3);
	assert_int_equal(l.n_restarted, 2);
	kc_chan_destroy(ctx.chan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_is_out_of_range_is_refused),
		KCT_TEST(delays_grow_to_their_greatest),
		KCT_TEST(the_greatest_numbers_do_not_wrap),
		KCT_TEST(what_lies_behind_the_window_does_not_count),
		KCT_TEST(policies),
		KCT_TEST(a_failing_actor_runs_again),
		KCT_TEST(after_the_last_restart_it_ends_for_good),
		KCT_TEST(only_always_restarts_what_did_not_fail),
		KCT_TEST(the_wait_before_a_restart_can_be_cancelled),
		KCT_TEST(what_a_supervisor_gives_up_fails_its_scope),
		KCT_TEST(a_thread_restarts_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
