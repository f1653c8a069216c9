/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What waiters, connections, jobs and actors ask of coroutines; sched/ answers. Nothing in core/ and
 * ipc/ knows more of them, and core/ includes nothing of sched/.
 *
 * A coroutine waits on one word of flags, in memory that stays until it has gone on.
 * To park it gives up its stack first; only then is KCI_PARKED raised in the word,
 * unless one of the flags it waits for is up already, in which case it goes on at
 * once. Whoever raises a flag and takes KCI_PARKED down in the same step is the one
 * who makes the coroutine ready, and there is no other. So no wake-up is lost and
 * none comes twice, and the coroutine never runs on a stack that is still in use.
 */
#ifndef KCI_PARK_H
#define KCI_PARK_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/cancel.h"
#include "kcoro/sched.h"
#include "libkcoro-client/port/kcoro_port.h"

#define KCI_UNPARKED  1u /* what it waits for has happened */
#define KCI_CANCELLED 2u /* its token is set */
#define KCI_EXPIRED   4u /* its alarm */
#define KCI_PARKED    8u /* it is away (of a thread: it sleeps, and has to be woken) */
#define KCI_STIRRED   16u /* something may be there for it: it is to look */

/* The running coroutine; NULL on a plain thread, and in a forked child. */
kc_coro_t *kci_coro_current(void);

/* What the running coroutine was started with, if that was with fn; else NULL. */
void *kci_coro_arg(kc_coro_fn fn);

/* Until one of the flags in mask is up. self is the running one. */
void kci_coro_park(kc_coro_t *self, _Atomic uint32_t *flags, uint32_t mask);

/* The running coroutine and whoever runs on the thread of `who` (a struct kci_bias) are in one
 * another's way. If that happens again and again, and the two share a scheduler, it goes on there,
 * behind the other one. Not with a lock held. */
void kci_coro_crossed(const void *who);

/* Let a parked one go on: once, by who took KCI_PARKED down. */
void kci_coro_ready(kc_coro_t *coro);

/* Raise KCI_EXPIRED in the word at the deadline. false: it has passed already, and nothing
 * will be raised. One alarm at a time, by the running coroutine for itself. */
bool kci_coro_alarm_set(kc_coro_t *self, _Atomic uint32_t *flags, uint64_t deadline);
/* On return the flag is up or will not be raised any more. */
void kci_coro_alarm_clear(kc_coro_t *self);

struct kci_waiter;

/* The running coroutine, if its scheduler can wait for descriptors. NULL: whoever waits for
 * one blocks the thread. */
kc_coro_t *kci_coro_polling(void);

/* A descriptor that is waited for. */
struct kci_fd_wait {
	int fd;
	short events; /* as of poll() */
	short came;   /* out: those that have come; or 0 */
	/* the scheduler's: */
	struct kci_fd_wait *next;
	struct kci_waiter *waiter;
};

/*
 * Wait, as the coroutine that made w, until one of n descriptors has one of its events, or w is
 * unparked or stirred by somebody else: 0. KC_ETIME at the deadline, KC_ECANCELED once token
 * (may be NULL) is set, or a code of kc_wait_fd(). Who stirs w must find it under a lock
 * that the caller takes after this and before w is gone.
 */
int kci_coro_wait_fds(struct kci_waiter *w, struct kci_fd_wait *fds, size_t n, uint64_t deadline,
		      kc_cancel_t *token);

/* Raise a flag in the word a coroutine waits on, and make it ready if that is for the
 * caller to do. The word may be gone afterwards. */
static inline void kci_coro_raise(kc_coro_t *coro, _Atomic uint32_t *flags, uint32_t flag)
{
	uint32_t old = atomic_load_explicit(flags, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(flags, &old, (old | flag) & ~KCI_PARKED,
						      memory_order_acq_rel, memory_order_relaxed))
		;
	if (old & KCI_PARKED)
		kci_coro_ready(coro);
}

#endif
