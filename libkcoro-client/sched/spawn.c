/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Births and deaths: kc_spawn(), kc_join(), kc_detach().
 *
 * A coroutine's memory is its stack. Workers keep a few free ones, made up to the
 * point where only the function is missing, and exchange them with the pool in
 * batches.
 */
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/sched/engine.h"
#include "libkcoro-client/sched/switch.h"

/* How many stacks go between a worker and the pool in one step. */
#define BATCH 32u

/* Tops at the same place of every page would meet in the same lines of the first
 * cache; sixteen places 128 bytes apart leave half of the page to frames. */
static struct kc_coro *coro_place(struct kc_sched *s, struct kci_stack stack)
{
	uintptr_t top = (uintptr_t)kci_stack_top(&s->stacks, stack) - stack.index % 16 * 128;
	struct kc_coro *co = (struct kc_coro *)((top - sizeof(struct kc_coro)) & ~(uintptr_t)63);

	co->sched = s;
	co->stack = stack;
	co->canary = stack.slab->canary >> stack.index & 1;
	co->timer.flags = NULL;
	return co;
}

/* Free ones from the pool, at most n. Returns how many. */
static unsigned coros_take(struct kc_sched *s, struct kc_coro **ret, unsigned n)
{
	struct kci_stack stacks[BATCH];

	n = kci_stack_take(&s->stacks, stacks, n < BATCH ? n : BATCH);
	for (unsigned i = 0; i < n; i++)
		ret[i] = coro_place(s, stacks[i]);
	return n;
}

/* At most BATCH. */
static void coros_give(struct kc_sched *s, struct kc_coro *const *coros, unsigned n)
{
	struct kci_stack stacks[BATCH];

	for (unsigned i = 0; i < n; i++)
		stacks[i] = coros[i]->stack; /* before its memory goes */
	kci_stack_give(&s->stacks, stacks, n);
}

static struct kc_coro *coro_get(struct kc_sched *s, struct kci_worker *w)
{
	struct kc_coro *co;

	if (!w)
		return coros_take(s, &co, 1) ? co : NULL;
	if (w->n_cache == 0)
		w->n_cache = coros_take(s, w->cache, BATCH);
	return w->n_cache > 0 ? w->cache[--w->n_cache] : NULL;
}

/* Nobody runs on it, and nobody has its handle. w: the worker that this thread is, or NULL. */
static inline void coro_free(struct kci_worker *w, struct kc_coro *co)
{
	struct kc_sched *s = co->sched;

	kci_fiber_done(&co->fiber);
	if (!w || w->sched != s) {
		coros_give(s, &co, 1);
		/* its workers may be asleep, and stay so */
		(void)kci_stack_trim(&s->stacks);
		return;
	}
	if (w->n_cache == s->cache_max) {
		w->n_cache -= BATCH;
		coros_give(s, w->cache + w->n_cache, BATCH);
	}
	w->cache[w->n_cache++] = co;
}

void kci_cache_flush(struct kci_worker *w)
{
	while (w->n_cache > 0) {
		unsigned n = w->n_cache < BATCH ? w->n_cache : BATCH;

		w->n_cache -= n;
		coros_give(w->sched, w->cache + w->n_cache, n);
	}
}

int __attribute__((noinline)) kc_spawn(kc_coro_t **ret, kc_sched_t *sched, kc_coro_fn fn, void *arg)
{
	struct kci_worker *w = kci_worker_first();
	struct kc_coro *co;

	if (!fn)
		return (int)kci_result(KC_EINVAL);
	if (!sched && w) {
		sched = w->sched;
	} else if (!sched) {
		int r = kci_sched_here(&sched);

		if (r < 0)
			return (int)kci_result(r);
	} else if (!w || w->sched != sched) {
		w = NULL;
		if (sched->process != kci_process_id())
			return (int)kci_result(KC_EFORKED);
	}
	co = coro_get(sched, w);
	if (!co && kci_stack_full(&sched->stacks))
		return (int)kci_result(kci_fail(KC_EDQUOT, "max_coros is %zu, and as many exist",
						sched->stacks.max));
	if (!co)
		return (int)kci_result(KC_ENOMEM);
	co->fn = fn;
	co->arg = arg;
	atomic_store_explicit(&co->end, ret ? KCI_END_OPEN : KCI_END_DETACHED,
			      memory_order_relaxed);
	co->broken = false;
	co->named = false;
	co->sp = kci_switch_make(co, kci_coro_main);
	kci_fiber_make(&co->fiber, kci_stack_bottom(&sched->stacks, co->stack),
		       (size_t)((char *)co - kci_stack_bottom(&sched->stacks, co->stack)));
	if (ret)
		*ret = co;
	if (w) {
		kci_count(&w->counts.spawned, 1);
		kci_ring_push(w, co);
		kci_notify(w);
	} else {
		atomic_fetch_add_explicit(&sched->spawned_outside, 1, memory_order_relaxed);
		kci_global_push(sched, co, co, 1);
		kci_notify_outside(sched);
	}
	return 0;
}

void kci_coro_ended(struct kci_worker *w, struct kc_coro *co)
{
	uintptr_t end;

	if (co->canary && !kci_stack_intact(&co->sched->stacks, co->stack)) {
		co->broken = true;
		kci_count(&w->counts.overflows, 1);
	}
	/* counted before anybody can see the end, so that the numbers hold after a join */
	atomic_store_explicit(&w->counts.ended,
			      atomic_load_explicit(&w->counts.ended, memory_order_relaxed) + 1,
			      memory_order_release);
	end = atomic_exchange_explicit(&co->end, KCI_END_OVER, memory_order_acq_rel);
	if (end == KCI_END_DETACHED) {
		coro_free(w, co);
	} else if (end != KCI_END_OPEN) {
		w->ending = true;
		kci_waiter_unpark((struct kci_waiter *)end);
		w->ending = false;
	}
}

/* It is over and the handle is the caller's alone. */
static inline int take_result(struct kci_worker *w, struct kc_coro *co, long *ret_result)
{
	int r = 0;

	if (ret_result)
		*ret_result = co->result;
	if (co->broken)
		r = kci_fail(KC_EBROKEN, "the coroutine wrote below its stack of %zu bytes",
			     co->sched->stacks.size);
	coro_free(w, co);
	return (int)kci_result(r);
}

int __attribute__((noinline))
kc_join_c(kc_coro_t *coro, long *ret_result, long timeout_ms, kc_cancel_t *token)
{
	struct kci_worker *w = kci_worker_first();
	struct kci_waiter waiter;
	uintptr_t end;
	int r;

	if (!coro)
		return (int)kci_result(KC_EINVAL);
	if (w && w->current == coro)
		return (int)kci_result(kci_fail(KC_EINVAL, "a coroutine cannot join itself"));
	if (!(w && w->sched == coro->sched) && coro->sched->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
	r = token ? kci_cancel_check(token) : 0;
	if (r < 0)
		return (int)kci_result(r);
	end = atomic_load_explicit(&coro->end, memory_order_acquire);
	if (end == KCI_END_OVER)
		return take_result(w, coro, ret_result);
	if (timeout_ms == 0 && end == KCI_END_OPEN)
		return (int)kci_result(KC_EAGAIN);
	kci_waiter_init(&waiter);
	end = KCI_END_OPEN;
	if (!atomic_compare_exchange_strong_explicit(&coro->end, &end, (uintptr_t)&waiter,
						     memory_order_acq_rel, memory_order_acquire)) {
		if (end == KCI_END_OVER)
			return take_result(w, coro, ret_result);
		return (int)kci_result(kci_fail(KC_EINVAL, "somebody joins the coroutine already"));
	}
	r = kci_waiter_park(&waiter, kci_deadline_from_ms(timeout_ms), token);
	if (r < 0) {
		end = (uintptr_t)&waiter;
		if (atomic_compare_exchange_strong_explicit(&coro->end, &end, KCI_END_OPEN,
							    memory_order_acq_rel,
							    memory_order_acquire))
			return (int)kci_result(r);
		/* it ended while this one woke up: that wins, and the unpark is on its way */
		kci_waiter_await(&waiter);
	}
	return take_result(kci_worker_self(), coro, ret_result);
}

int kc_join(kc_coro_t *coro, long *ret_result, long timeout_ms)
{
	return kc_join_c(coro, ret_result, timeout_ms, NULL);
}

void kc_detach(kc_coro_t *coro)
{
	uintptr_t end = KCI_END_OPEN;

	if (!coro || coro->sched->process != kci_process_id())
		return;
	if (!atomic_compare_exchange_strong_explicit(&coro->end, &end, KCI_END_DETACHED,
						     memory_order_acq_rel, memory_order_acquire) &&
	    end == KCI_END_OVER)
		coro_free(kci_worker_self(), coro);
}

/* ---- the running one -------------------------------------------------------- */

kc_coro_t *kc_current(void)
{
	return kci_coro_current();
}

void *kci_coro_arg(kc_coro_fn fn)
{
	struct kc_coro *co = kci_coro_current();

	return co && co->fn == fn ? co->arg : NULL;
}

void kc_coro_set_name(const char *name)
{
	struct kc_coro *co = kci_coro_current();
	size_t n;

	if (!co)
		return;
	n = name ? strnlen(name, KC_CORO_NAME_MAX) : 0;
	if (n > 0)
		memcpy(co->name, name, n);
	co->name[n] = '\0';
	co->named = n > 0;
}

const char *kc_coro_name(void)
{
	struct kc_coro *co = kci_coro_current();

	return co && co->named ? co->name : "";
}

int kc_sleep_ms_c(long ms, kc_cancel_t *token)
{
	struct kci_waiter waiter;
	int r = kci_cancel_check(token);

	if (r < 0)
		return (int)kci_result(r);
	if (ms == 0) {
		kc_yield();
		return 0;
	}
	kci_waiter_init(&waiter);
	r = kci_waiter_park(&waiter, kci_deadline_from_ms(ms), token);
	return r == KC_ETIME ? 0 : (int)kci_result(r);
}

int kc_sleep_ms(long ms)
{
	return kc_sleep_ms_c(ms, NULL);
}
