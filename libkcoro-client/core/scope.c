/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes.
 *
 * A scope is a counter and a token. The counter has one for each child and one more that is held
 * until somebody asks for the end: by waiting for it, or by setting the token, which a hook on it
 * notices. Whoever takes the last one away ends the scope, and takes the scope's own one away from
 * its parent. So the end comes exactly once, not before any child's, also if nobody is there who
 * waits; from 0 the counter never rises again.
 *
 * All of that is counting and waking, and of tokens only asks whether one is set, because the hook
 * runs with the lock of the token's tree held. What does set tokens, a failure, is over before the
 * failing child leaves. It goes up at once, scope by scope, to the first that is a supervisor; the
 * highest one it reaches is cancelled, and with it, in the same trigger, all that is below.
 *
 * Memory: a scope has one reference for its owner, one for each child's memory and one for its
 * deadline. A child that leaves has its own until kci_scope_leave() has returned. That keeps the
 * scope, which keeps its parent, and so on up; so the walk up finds each of them in place,
 * although the owners, woken already, may be done with theirs. A hook has no reference: the owner
 * removes it before it gives up its own, and that waits until the hook has run.
 *
 * A deadline is a coroutine that waits for the scope's end as anybody may, but not longer than
 * that. It is no child, so it keeps nobody waiting; the end wakes it; and as its clock is that of
 * its scheduler, it works in a deterministic one.
 */
#include "libkcoro-client/core/scope.h"

#include "kcoro/error.h"
#include "kcoro/sched.h"
#include "libkcoro-client/core/actor.h"
#include "libkcoro-client/core/detail.h"

static int scope_check(const kc_scope_t *s)
{
	if (!s)
		return KC_EINVAL;
	return kci_process_is(s->process) ? 0 : KC_EFORKED;
}

/* The state as it is now: a token that is set makes it KC_STATE_CANCELLING as soon as anybody
 * looks, and the end looks first. So nobody sees it go back. */
static int scope_look(kc_scope_t *s)
{
	int state = atomic_load_explicit(&s->state, memory_order_acquire);

	if (state >= KC_STATE_CANCELLING || !kc_cancel_is_set(s->token))
		return state;
	while (state < KC_STATE_CANCELLING &&
	       !atomic_compare_exchange_weak_explicit(&s->state, &state, KC_STATE_CANCELLING,
						      memory_order_acq_rel, memory_order_acquire))
		;
	return state < KC_STATE_CANCELLING ? KC_STATE_CANCELLING : state;
}

static void set_first(_Atomic long *place, long value)
{
	long none = 0;

	(void)atomic_compare_exchange_strong_explicit(place, &none, value, memory_order_acq_rel,
						      memory_order_relaxed);
}

/* ---- the end -------------------------------------------------------------------- */

static void scope_end(kc_scope_t *s)
{
	int state = scope_look(s), final;

	do {
		if (atomic_load_explicit(&s->failure, memory_order_acquire) && !s->supervisor)
			final = KC_STATE_FAILED;
		else
			final = state == KC_STATE_CANCELLING ? KC_STATE_CANCELLED
							     : KC_STATE_COMPLETED;
		/* it fails if the token was set in between, and somebody saw that */
	} while (!atomic_compare_exchange_weak_explicit(&s->state, &state, final,
							memory_order_acq_rel,
							memory_order_acquire));
	kci_latch_open(&s->end);
}

void kci_scope_leave(kc_scope_t *s)
{
	/* acquire: what every child did is seen by who ends it, and by all it wakes */
	while (s && atomic_fetch_sub_explicit(&s->pending, 1, memory_order_acq_rel) == 1) {
		scope_end(s);
		s = s->parent;
	}
}

/* Somebody asks for the end. */
static void scope_let_go(kc_scope_t *s)
{
	if (atomic_exchange_explicit(&s->held, false, memory_order_acq_rel))
		kci_scope_leave(s);
}

static void on_cancel(struct kci_cancel_hook *hook)
{
	scope_let_go(KC_CONTAINER_OF(hook, kc_scope_t, hook));
}

void kci_scope_unref(kc_scope_t *s)
{
	while (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
		kc_scope_t *parent = s->parent;

		kc_cancel_destroy(s->token);
		kci_latch_done(&s->end);
		KC_FREE(s);
		s = parent;
	}
}

/* ---- children ------------------------------------------------------------------- */

int kci_scope_enter(kc_scope_t *s)
{
	uint32_t pending;
	int r = scope_check(s);

	if (r < 0)
		return r;
	if (kc_cancel_is_set(s->token))
		return kci_fail(KC_ECANCELED, "the scope is cancelled");
	pending = atomic_load_explicit(&s->pending, memory_order_relaxed);
	do {
		if (pending == 0)
			return kci_fail(KC_ECANCELED, "the scope has ended");
	} while (!atomic_compare_exchange_weak_explicit(&s->pending, &pending, pending + 1,
							memory_order_relaxed,
							memory_order_relaxed));
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return 0;
}

void kci_scope_fail(kc_scope_t *s, long result)
{
	kc_scope_t *top = NULL;

	for (; s; s = s->parent) {
		set_first(&s->failure, result);
		if (s->supervisor)
			break;
		if (!kc_cancel_is_set(s->token))
			set_first(&s->reason, result);
		top = s;
	}
	if (top)
		kc_cancel_trigger(top->token);
}

long kci_scope_reason(kc_scope_t *s)
{
	int state = scope_look(s);

	if (state == KC_STATE_COMPLETED || state < KC_STATE_CANCELLING)
		return 0;
	/* the nearest who was told why */
	for (; s && kc_cancel_is_set(s->token); s = s->parent) {
		long reason = atomic_load_explicit(&s->reason, memory_order_acquire);

		if (reason)
			return reason;
	}
	return KC_ECANCELED;
}

/* Would whoever runs here wait for itself? */
static bool is_below(const kc_scope_t *s)
{
	const kc_scope_t *here = kci_job_scope();

	if (!here)
		here = kci_actor_scope();
	while (here && here != s)
		here = here->parent;
	return here;
}

static int wait_check(const kc_scope_t *s)
{
	int r = scope_check(s);

	if (r == 0 && is_below(s))
		r = kci_fail(KC_EINVAL, "what runs in a scope cannot wait for its end");
	return r;
}

/* ---- making --------------------------------------------------------------------- */

static int options_check(const struct kc_scope_options *o)
{
	if (!o)
		return KC_EINVAL;
	if (o->size != sizeof(*o))
		return kci_fail(KC_EINVAL, "size is %zu; struct kc_scope_options has %zu bytes",
				o->size, sizeof(*o));
	if (o->flags & ~KC_SCOPE_SUPERVISOR)
		return kci_fail(KC_EINVAL, "flags has unknown bits: 0x%x", o->flags);
	if (o->deadline_ms < 0)
		return kci_fail(KC_EINVAL, "deadline_ms is %ld; 0 is none", o->deadline_ms);
	if (o->parent && o->token)
		return kci_fail(KC_EINVAL, "a scope with a parent has that one's token above it");
	return 0;
}

static long deadline_main(void *arg)
{
	kc_scope_t *s = arg;

	if (kci_latch_wait(&s->end, s->deadline_ms, NULL) == KC_ETIME)
		kc_scope_cancel(s, KC_ETIME);
	kci_scope_unref(s);
	return 0;
}

static int deadline_start(kc_scope_t *s)
{
	int r;

	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	r = kc_spawn(NULL, s->sched, deadline_main, s);
	if (r < 0)
		atomic_fetch_sub_explicit(&s->refs, 1, memory_order_relaxed);
	return kci_pass(r);
}

/* Its parent, if any, has been entered. */
static int scope_new(kc_scope_t **ret, const struct kc_scope_options *o)
{
	kc_cancel_t *above = o->parent ? o->parent->token : o->token;
	kc_scope_t *s = KC_CALLOC(1, sizeof(*s));
	int r;

	if (!s)
		return KC_ENOMEM;
	r = above ? kc_cancel_init_child(&s->token, above) : kc_cancel_init(&s->token);
	if (r < 0) {
		KC_FREE(s);
		return r;
	}
	s->process = kci_process_id();
	s->parent = o->parent;
	s->sched = !o->sched && o->parent ? o->parent->sched : o->sched;
	s->supervisor = o->flags & KC_SCOPE_SUPERVISOR;
	s->deadline_ms = o->deadline_ms;
	atomic_init(&s->held, true);
	atomic_init(&s->pending, 1);
	atomic_init(&s->refs, 1);
	kci_latch_init(&s->end);
	*ret = s;
	return 0;
}

static int scope_init(kc_scope_t **ret, const struct kc_scope_options *o)
{
	kc_scope_t *s;
	int r = 0;

	if (o->parent)
		r = kci_scope_enter(o->parent);
	if (r < 0)
		return r;
	r = scope_new(&s, o);
	if (r < 0) {
		kci_scope_leave(o->parent);
		kci_scope_unref(o->parent);
		return r;
	}
	if (o->deadline_ms > 0)
		r = deadline_start(s);
	if (r < 0) {
		kci_scope_leave(s);
		kci_scope_unref(s);
		return r;
	}
	if (!kci_cancel_hook_add(s->token, &s->hook, on_cancel))
		scope_let_go(s);
	*ret = s;
	return 0;
}

int kc_scope_init(kc_scope_t **ret, kc_cancel_t *parent)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;

	o.token = parent;
	return (int)kci_result(ret ? scope_init(ret, &o) : KC_EINVAL);
}

int kc_scope_init_ex(kc_scope_t **ret, const struct kc_scope_options *opts)
{
	int r = ret ? options_check(opts) : KC_EINVAL;

	if (r == 0)
		r = scope_init(ret, opts);
	return (int)kci_result(r);
}

/* ---- what owners do ------------------------------------------------------------- */

void kc_scope_cancel(kc_scope_t *scope, long reason)
{
	if (scope_check(scope) < 0)
		return;
	if (!kc_cancel_is_set(scope->token))
		set_first(&scope->reason, reason ? reason : KC_ECANCELED);
	kc_cancel_trigger(scope->token);
}

int kc_scope_wait_all_c(kc_scope_t *scope, long timeout_ms, kc_cancel_t *token)
{
	int active = KC_STATE_ACTIVE, r = wait_check(scope);

	if (r == 0)
		r = kci_cancel_check(token);
	if (r < 0)
		return (int)kci_result(r);
	if (timeout_ms != 0 || atomic_load_explicit(&scope->pending, memory_order_relaxed) == 1) {
		(void)atomic_compare_exchange_strong_explicit(&scope->state, &active,
							      KC_STATE_COMPLETING,
							      memory_order_acq_rel,
							      memory_order_relaxed);
		scope_let_go(scope);
	}
	/* it is told by its state first, and the two must not contradict one another */
	if (scope_look(scope) < KC_STATE_COMPLETED)
		r = kci_latch_wait(&scope->end, timeout_ms, token);
	return (int)kci_result(r);
}

int kc_scope_wait_all(kc_scope_t *scope, long timeout_ms)
{
	return kc_scope_wait_all_c(scope, timeout_ms, NULL);
}

int kc_scope_destroy(kc_scope_t *scope)
{
	int r = scope ? wait_check(scope) : 0;

	if (!scope || r < 0)
		return (int)kci_result(r);
	kc_scope_cancel(scope, 0);
	(void)kci_latch_wait(&scope->end, -1, NULL);
	kci_cancel_hook_remove(scope->token, &scope->hook);
	kci_scope_unref(scope);
	return 0;
}

kc_cancel_t *kc_scope_token(kc_scope_t *scope)
{
	return scope_check(scope) < 0 ? NULL : scope->token;
}

int kc_scope_state(kc_scope_t *scope)
{
	int r = scope_check(scope);

	return r < 0 ? (int)kci_result(r) : scope_look(scope);
}

long kc_scope_result(kc_scope_t *scope)
{
	int r = scope_check(scope);

	return r < 0 ? kci_result(r) : atomic_load_explicit(&scope->failure, memory_order_acquire);
}

long kc_scope_reason(kc_scope_t *scope)
{
	int r = scope_check(scope);

	return r < 0 ? kci_result(r) : kci_scope_reason(scope);
}
