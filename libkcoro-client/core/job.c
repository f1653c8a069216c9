/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jobs: a coroutine that runs one function, and what is left of it afterwards.
 *
 * A job has a reference for the coroutine and one for the handle, if somebody wanted it. At its
 * end the coroutine settles in this order: how the job ended, the channel it fed, its scope's
 * failure, its joiners, its place in the scope. So nobody sees the end of a scope before that of
 * its jobs, and a job that was joined has cancelled its siblings already if it was going to.
 *
 * How it ended depends on whether its token was set in time, and kc_job_state() tells that while
 * it runs. Both go by one compare-and-swap on the state, away from KC_STATE_ACTIVE: who sees the
 * token set puts KC_STATE_CANCELLING there, and a job that finds that at its end was cancelled. So
 * a job that anybody has seen cancelled never turns out to have completed.
 */
#include "kcoro/chan.h"
#include "kcoro/error.h"
#include "kcoro/sched.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/core/scope.h"

struct kc_job {
	uint64_t process;
	_Atomic uint32_t refs;
	_Atomic int state; /* enum kc_state; kc_job_state() may be ahead of it */
	kc_scope_t *scope; /* may be NULL */
	kc_cancel_t *token;
	kc_job_fn fn; /* or else produce */
	kc_produce_fn produce;
	kc_chan_t *product;
	void *arg;
	long result;	     /* once it has ended */
	bool cancelled;	     /* once it has ended: the token was set before */
	_Atomic long reason; /* 0: it was not told */
	struct kci_latch end;
};

static int job_check(const kc_job_t *job)
{
	if (!job)
		return KC_EINVAL;
	return kci_process_is(job->process) ? 0 : KC_EFORKED;
}

static void job_unref(kc_job_t *job)
{
	if (atomic_fetch_sub_explicit(&job->refs, 1, memory_order_acq_rel) > 1)
		return;
	kc_cancel_destroy(job->token);
	kci_scope_unref(job->scope);
	kci_latch_done(&job->end);
	KC_FREE(job);
}

/* Away from KC_STATE_ACTIVE, or what it is instead. */
static int job_move(kc_job_t *job, int to)
{
	int state = KC_STATE_ACTIVE;

	return atomic_compare_exchange_strong_explicit(&job->state, &state, to,
						       memory_order_acq_rel, memory_order_acquire)
		       ? to
		       : state;
}

static int job_look(kc_job_t *job)
{
	int state = atomic_load_explicit(&job->state, memory_order_acquire);

	if (state != KC_STATE_ACTIVE || !kc_cancel_is_set(job->token))
		return state;
	return job_move(job, KC_STATE_CANCELLING);
}

static long inherited_reason(const kc_job_t *job)
{
	long reason = job->scope ? kci_scope_reason(job->scope) : 0;

	return reason ? reason : KC_ECANCELED;
}

/* ---- its life ------------------------------------------------------------------- */

static void job_end(kc_job_t *job, long result)
{
	long untold = 0;
	int final;

	job->result = result;
	job->cancelled = job_look(job) == KC_STATE_CANCELLING ||
			 job_move(job, KC_STATE_COMPLETING) == KC_STATE_CANCELLING;
	if (job->cancelled)
		(void)atomic_compare_exchange_strong_explicit(&job->reason, &untold,
							      inherited_reason(job),
							      memory_order_acq_rel,
							      memory_order_relaxed);
	if (result < 0 && !(job->cancelled && kci_follows_cancel(result)))
		final = KC_STATE_FAILED;
	else
		final = job->cancelled ? KC_STATE_CANCELLED : KC_STATE_COMPLETED;
	if (job->product)
		(void)kc_chan_close(job->product);
	if (final == KC_STATE_FAILED && job->scope)
		kci_scope_fail(job->scope, result);
	atomic_store_explicit(&job->state, final, memory_order_release);
	kci_latch_open(&job->end);
	kci_scope_leave(job->scope);
	job_unref(job);
}

static long job_main(void *arg)
{
	kc_job_t *job = arg;
	long result =
		job->product ? job->produce(job, job->product, job->arg) : job->fn(job, job->arg);

	job_end(job, result);
	return 0;
}

/* What is the same for every way to start one: how says what it runs, and where it belongs. Its
 * scope, if any, has been entered, and is left again if this fails. */
static int job_start(kc_job_t **ret, const kc_job_t *how, kc_sched_t *sched, kc_cancel_t *parent)
{
	kc_job_t *job = KC_CALLOC(1, sizeof(*job));
	int r = job ? 0 : KC_ENOMEM;

	if (r == 0) {
		job->scope = how->scope;
		job->fn = how->fn;
		job->produce = how->produce;
		job->product = how->product;
		job->arg = how->arg;
		r = parent ? kc_cancel_init_child(&job->token, parent)
			   : kc_cancel_init(&job->token);
	}
	if (r == 0) {
		job->process = kci_process_id();
		atomic_init(&job->refs, ret ? 2 : 1);
		kci_latch_init(&job->end);
		/* it may be over, and gone, by the time this returns */
		r = kci_pass(kc_spawn(NULL, sched, job_main, job));
	}
	if (r < 0) {
		if (job && job->token) {
			kc_cancel_destroy(job->token);
			kci_latch_done(&job->end);
		}
		KC_FREE(job);
		kci_scope_leave(how->scope);
		kci_scope_unref(how->scope);
	} else if (ret) {
		*ret = job;
	}
	return r;
}

int kc_job_launch(kc_job_t **ret, kc_sched_t *sched, kc_cancel_t *parent, kc_job_fn fn, void *arg)
{
	kc_job_t how = { .fn = fn, .arg = arg };
	int r = fn ? job_start(ret, &how, sched, parent) : KC_EINVAL;

	return (int)kci_result(r);
}

int kc_scope_launch(kc_scope_t *scope, kc_job_fn fn, void *arg, kc_job_t **ret)
{
	kc_job_t how = { .scope = scope, .fn = fn, .arg = arg };
	int r = fn ? kci_scope_enter(scope) : KC_EINVAL;

	if (r == 0)
		r = job_start(ret, &how, scope->sched, scope->token);
	return (int)kci_result(r);
}

int kc_scope_produce(kc_scope_t *scope, enum kc_kind kind, size_t elem_size, size_t capacity,
		     kc_produce_fn fn, void *arg, kc_chan_t **ret)
{
	kc_job_t how = { .scope = scope, .produce = fn, .arg = arg };
	int r = ret && fn ? kci_scope_enter(scope) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = kci_pass(kc_chan_make(&how.product, kind, elem_size, capacity));
	if (r < 0) {
		kci_scope_leave(scope);
		kci_scope_unref(scope);
		return (int)kci_result(r);
	}
	r = job_start(NULL, &how, scope->sched, scope->token);
	if (r < 0)
		kc_chan_destroy(how.product);
	else
		*ret = how.product;
	return (int)kci_result(r);
}

/* ---- handles -------------------------------------------------------------------- */

kc_job_t *kc_job_retain(kc_job_t *job)
{
	if (job_check(job) == 0)
		atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
	return job;
}

void kc_job_release(kc_job_t *job)
{
	if (job_check(job) == 0)
		job_unref(job);
}

kc_job_t *kc_job_current(void)
{
	return kci_coro_arg(job_main);
}

kc_scope_t *kci_job_scope(void)
{
	const kc_job_t *job = kc_job_current();

	return job ? job->scope : NULL;
}

kc_cancel_t *kc_job_token(kc_job_t *job)
{
	return job_check(job) < 0 ? NULL : job->token;
}

int kc_job_join_c(kc_job_t *job, long *ret_result, long timeout_ms, kc_cancel_t *token)
{
	int r = job_check(job);

	if (r == 0 && job == kc_job_current())
		r = kci_fail(KC_EINVAL, "a job cannot join itself");
	if (r == 0)
		r = kci_cancel_check(token);
	/* it is told by its state first, and the two must not contradict one another */
	if (r == 0 && job_look(job) < KC_STATE_COMPLETED)
		r = kci_latch_wait(&job->end, timeout_ms, token);
	if (r == 0 && ret_result)
		*ret_result = job->result;
	return (int)kci_result(r);
}

int kc_job_join(kc_job_t *job, long *ret_result, long timeout_ms)
{
	return kc_job_join_c(job, ret_result, timeout_ms, NULL);
}

void kc_job_cancel(kc_job_t *job, long reason)
{
	long untold = 0;

	if (job_check(job) < 0)
		return;
	if (!kc_cancel_is_set(job->token))
		(void)atomic_compare_exchange_strong_explicit(&job->reason, &untold,
							      reason ? reason : KC_ECANCELED,
							      memory_order_acq_rel,
							      memory_order_relaxed);
	kc_cancel_trigger(job->token);
}

int kc_job_state(kc_job_t *job)
{
	int r = job_check(job);

	return r < 0 ? (int)kci_result(r) : job_look(job);
}

long kc_job_result(kc_job_t *job)
{
	int r = job_check(job);

	if (r < 0)
		return kci_result(r);
	return job_look(job) < KC_STATE_COMPLETED ? 0 : job->result;
}

long kc_job_reason(kc_job_t *job)
{
	int r = job_check(job), state;
	long reason;

	if (r < 0)
		return kci_result(r);
	state = job_look(job);
	if (state != KC_STATE_CANCELLING && state < KC_STATE_CANCELLED)
		return 0;
	if (state == KC_STATE_FAILED && !job->cancelled)
		return 0;
	reason = atomic_load_explicit(&job->reason, memory_order_acquire);
	return reason ? reason : inherited_reason(job);
}
