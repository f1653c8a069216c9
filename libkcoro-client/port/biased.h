/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lock that costs its usual user no atomic read-modify-write.
 *
 * Whoever has had it many times in a row becomes its owner. The owner enters and
 * leaves a section by writing a number of its own thread: odd while it is in one.
 * Everybody else takes the lock's word, and takes the lock away from the owner, who
 * has to use the word like all others then. That is an asymmetric handshake
 * (Dekker): the owner writes its number and then reads whether it still is the
 * owner; the other writes that it is not, has the kernel put a full barrier on every
 * processor that runs a thread of this process (membarrier(2)), and then reads the
 * number. So one of them sees what the other wrote, and only the other pays for it.
 * Where the kernel has no such barrier nobody becomes an owner. An owner that made
 * good use of the lock gets it back as soon as the other is done with it; one that
 * did not has to take the word many times in a row again.
 *
 * Biased locking: Kawachiya, Koseki, Onodera, "Lock Reservation" (OOPSLA 2002).
 */
#ifndef KCORO_BIASED_H
#define KCORO_BIASED_H

#include "libkcoro-client/port/kcoro_port.h"

/* A thread as an owner. These are never freed, only handed on to other threads, so that
 * whoever takes a lock away may look at one at any time. */
struct kci_bias {
	_Atomic uint32_t number;  /* odd: in a section. Written by its thread alone */
	_Atomic uint32_t waiting; /* others sleep until it changes */
	struct kci_bias *next;	  /* of those without a thread */
} __attribute__((aligned(64)));

/* This thread's; NULL as long as it never was about to own anything. Only to be read in a
 * function without a switch between coroutines, and that no such function inlines: see
 * sched/run.c. */
extern _Thread_local struct kci_bias *kci_bias_here
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

struct kci_biased {
	_Atomic(struct kci_bias *) owner;
	_Atomic uint32_t word; /* 0: free, 1: taken, 2: taken, and others sleep */
	/* guarded by the word */
	uint32_t streak; /* how often the same thread has taken the word in a row */
	uint32_t need;	 /* how often it has to before it owns the lock */
	uint32_t seen;	 /* the owner's number when it got the lock */
	_Atomic(struct kci_bias *) last; /* who took the word last; others may look */
	struct kci_bias *lender; /* gets the lock back at the release */
};

void kci_biased_init(struct kci_biased *l);

void kci_bias_wake(struct kci_bias *me);

/* The end of a section. `number` is what was there before it: who still knows it need not read what
 * was written a moment ago, which is most of what a section costs. */
static inline void kci_biased_leave_from(struct kci_bias *me, uint32_t number)
{
	atomic_store_explicit(&me->number, number + 2, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(atomic_load_explicit(&me->waiting, memory_order_relaxed) > 0, 0))
		kci_bias_wake(me);
}

/* The end of what kci_biased_enter() began. Nothing of the lock is touched. */
static inline void kci_biased_leave(struct kci_bias *me)
{
	kci_biased_leave_from(me,
			      atomic_load_explicit(&me->number, memory_order_relaxed) - 1);
}

static inline bool kci_biased_owns(struct kci_biased *l, const struct kci_bias *me)
{
	return atomic_load_explicit(&l->owner, memory_order_acquire) == me;
}

/* The first half of the handshake; the other half is membarrier(2). Returns what was there. */
static inline uint32_t kci_biased_announce(struct kci_bias *me)
{
	uint32_t number = atomic_load_explicit(&me->number, memory_order_relaxed);

	atomic_store_explicit(&me->number, number + 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return number;
}

/* Enter as the owner, without waiting. */
static inline bool kci_biased_enter(struct kci_biased *l, struct kci_bias *me)
{
	if (!me || !kci_biased_owns(l, me))
		return false;
	(void)kci_biased_announce(me);
	if (__builtin_expect(kci_biased_owns(l, me), 1))
		return true;
	kci_biased_leave(me);
	return false;
}

/* The same for two at once. */
static inline bool kci_biased_enter_both(struct kci_biased *l, struct kci_biased *other,
					 struct kci_bias *me)
{
	if (!me || !kci_biased_owns(l, me) || !kci_biased_owns(other, me))
		return false;
	(void)kci_biased_announce(me);
	if (__builtin_expect(kci_biased_owns(l, me) && kci_biased_owns(other, me), 1))
		return true;
	kci_biased_leave(me);
	return false;
}

/* Is this thread in such a section? */
static inline bool kci_biased_inside(const struct kci_bias *me)
{
	return me && atomic_load_explicit(&me->number, memory_order_relaxed) % 2 == 1;
}

/* Take the word without waiting for it; whoever owned the lock has lost it on return. Not
 * within a section of this thread's. */
bool kci_biased_try(struct kci_biased *l);
/* The same, waiting. */
void kci_biased_take(struct kci_biased *l);
/* The end of both; the lock may be gone afterwards. */
void kci_biased_release(struct kci_biased *l);

#endif
