/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiters that are threads: one futex word of flags.
 */
#include "libkcoro-client/core/waiter.h"

#include <errno.h>

#include "kcoro/error.h"

#define UNPARKED  1u
#define CANCELLED 2u

static _Atomic(void (*)(void)) park_hook;

void kci_waiter_set_hook(void (*fn)(void))
{
	atomic_store(&park_hook, fn);
}

void kci_waiter_init(struct kci_waiter *w)
{
	atomic_init(&w->flags, 0);
}

static void raise_flag(struct kci_waiter *w, uint32_t flag)
{
	_Atomic uint32_t *word = &w->flags;

	/* with this the owner may leave and the word be gone; waking its address is
	 * harmless then */
	atomic_fetch_or_explicit(word, flag, memory_order_acq_rel);
	kci_futex_wake(word, 1);
}

void kci_waiter_unpark(struct kci_waiter *w)
{
	raise_flag(w, UNPARKED);
}

static void on_cancel(struct kci_cancel_hook *hook)
{
	raise_flag(KC_CONTAINER_OF(hook, struct kci_waiter, hook), CANCELLED);
}

/* Sleep until one of the flags in mask is up; 0 or KC_ETIME. */
static int sleep_until(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
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

int kci_waiter_park(struct kci_waiter *w, uint64_t deadline, kc_cancel_t *token)
{
	void (*hook)(void) = atomic_load_explicit(&park_hook, memory_order_acquire);
	uint32_t mask = UNPARKED;
	uint32_t flags;
	int r;

	if (token) {
		mask |= CANCELLED;
		if (!kci_cancel_hook_add(token, &w->hook, on_cancel))
			atomic_fetch_or_explicit(&w->flags, CANCELLED, memory_order_relaxed);
	}
	if (hook)
		hook();
	r = sleep_until(w, mask, deadline);
	if (token)
		kci_cancel_hook_remove(token, &w->hook);
	flags = atomic_load_explicit(&w->flags, memory_order_acquire);
	if (flags & UNPARKED)
		return 0;
	return flags & CANCELLED ? KC_ECANCELED : r;
}

void kci_waiter_await(struct kci_waiter *w)
{
	(void)sleep_until(w, UNPARKED, KC_NEVER);
}
