/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiters: one word of flags, on which a thread sleeps in a futex or for which a
 * coroutine is parked (core/park.h).
 */
#include "libkcoro-client/core/waiter.h"

#include <errno.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/park.h"

static _Atomic(void (*)(void)) park_hook;

void kci_waiter_set_hook(void (*fn)(void))
{
	atomic_store(&park_hook, fn);
}

void kci_waiter_init(struct kci_waiter *w)
{
	atomic_init(&w->flags, 0);
	w->coro = kci_coro_current();
}

static void raise_flag(struct kci_waiter *w, uint32_t flag)
{
	_Atomic uint32_t *word = &w->flags;
	kc_coro_t *coro = w->coro;

	if (coro) {
		kci_coro_raise(coro, word, flag);
		return;
	}
	/* with this the owner may leave and the word be gone; waking its address is
	 * harmless then */
	atomic_fetch_or_explicit(word, flag, memory_order_acq_rel);
	kci_futex_wake(word, 1);
}

void kci_waiter_unpark(struct kci_waiter *w)
{
	raise_flag(w, KCI_UNPARKED);
}

static void on_cancel(struct kci_cancel_hook *hook)
{
	raise_flag(KC_CONTAINER_OF(hook, struct kci_waiter, hook), KCI_CANCELLED);
}

/* Sleep until one of the flags in mask is up; 0 or KC_ETIME. */
static int thread_sleep(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	int r = 0;

	for (;;) {
		uint32_t flags = atomic_load_explicit(&w->flags, memory_order_acquire);

		if (flags & mask)
			return 0;
		/* the flags are looked at once more after the deadline: what was
		 * completed in time wins */
		if (r < 0)
			return KC_ETIME;
		r = kci_futex_wait(&w->flags, flags, deadline);
	}
}

static int coro_sleep(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	bool timed = deadline != KC_NEVER;

	if (timed && !kci_coro_alarm_set(w->coro, &w->flags, deadline))
		return atomic_load_explicit(&w->flags, memory_order_acquire) & mask ? 0 : KC_ETIME;
	if (timed)
		mask |= KCI_EXPIRED;
	while (!(atomic_load_explicit(&w->flags, memory_order_acquire) & mask))
		kci_coro_park(w->coro, &w->flags, mask);
	if (timed)
		kci_coro_alarm_clear(w->coro);
	return atomic_load_explicit(&w->flags, memory_order_acquire) & mask & ~KCI_EXPIRED ?
		       0 :
		       KC_ETIME;
}

static int sleep_until(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	return w->coro ? coro_sleep(w, mask, deadline) : thread_sleep(w, mask, deadline);
}

int kci_waiter_park(struct kci_waiter *w, uint64_t deadline, kc_cancel_t *token)
{
	void (*hook)(void) = atomic_load_explicit(&park_hook, memory_order_acquire);
	uint32_t mask = KCI_UNPARKED;
	uint32_t flags;
	int r;

	if (token) {
		mask |= KCI_CANCELLED;
		if (!kci_cancel_hook_add(token, &w->hook, on_cancel))
			atomic_fetch_or_explicit(&w->flags, KCI_CANCELLED, memory_order_relaxed);
	}
	if (hook)
		hook();
	r = sleep_until(w, mask, deadline);
	/* Once it has raised its flag the hook is on no list and is not touched again: then there
	 * is no need to wait for a trigger that is at work on thousands of others. */
	if (token && !(atomic_load_explicit(&w->flags, memory_order_acquire) & KCI_CANCELLED))
		kci_cancel_hook_remove(token, &w->hook);
	flags = atomic_load_explicit(&w->flags, memory_order_acquire);
	if (flags & KCI_UNPARKED)
		return 0;
	return flags & KCI_CANCELLED ? KC_ECANCELED : r;
}

void kci_waiter_await(struct kci_waiter *w)
{
	(void)sleep_until(w, KCI_UNPARKED, KC_NEVER);
}
