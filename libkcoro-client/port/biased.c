/* SPDX-License-Identifier: BSD-3-Clause */
/* Biased locks: see biased.h. */
#include "libkcoro-client/port/biased.h"

#include <limits.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEED_FIRST 64u
#define NEED_MOST  (1u << 13) /* a hundred times what it costs to take a lock away */
#define SPINS	   100u
#define WORTH	   512u /* sections of an owner, for which it gets the lock back */

_Thread_local struct kci_bias *kci_bias_here;

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kci_bias *pool;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Atomic bool usable; /* there are a barrier and a key */

static int barrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* A thread has ended: the next one takes its place, also as the owner of what it still owned. */
static void bias_put(void *arg)
{
	struct kci_bias *b = arg;

	(void)pthread_mutex_lock(&pool_lock);
	b->next = pool;
	pool = b;
	(void)pthread_mutex_unlock(&pool_lock);
}

/* In a forked child the kernel forgets that barriers were wanted; channels are not used there. */
static void prepare(void)
{
	atomic_store_explicit(&usable,
			      barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
				      pthread_key_create(&key, bias_put) == 0,
			      memory_order_relaxed);
}

/* This thread's, made if need be. NULL: it cannot own anything. */
static struct kci_bias *__attribute__((noinline)) bias_get(void)
{
	struct kci_bias *b = kci_bias_here;

	if (b)
		return b;
	(void)pthread_once(&once, prepare);
	if (!atomic_load_explicit(&usable, memory_order_relaxed))
		return NULL;
	(void)pthread_mutex_lock(&pool_lock);
	b = pool;
	if (b)
		pool = b->next;
	(void)pthread_mutex_unlock(&pool_lock);
	if (!b) {
		/* a line of its own */
		b = KC_CALLOC(1, sizeof(*b) + 64);
		if (!b)
			return NULL;
		b = (struct kci_bias *)(((uintptr_t)b + 63) & ~(uintptr_t)63);
	}
	if (pthread_setspecific(key, b) != 0) {
		bias_put(b);
		return NULL;
	}
	kci_bias_here = b;
	return b;
}

void kci_biased_init(struct kci_biased *l)
{
	*l = (struct kci_biased){ .need = NEED_FIRST };
}

void kci_bias_wake(struct kci_bias *me)
{
	kci_futex_wake(&me->number, INT_MAX);
}

/* Until it has left the section it is in, if any. */
static void await_exit(struct kci_bias *owner)
{
	uint32_t number = atomic_load_explicit(&owner->number, memory_order_acquire);

	for (unsigned i = 0; i < SPINS && number % 2 == 1; i++) {
		kci_relax();
		if (atomic_load_explicit(&owner->number, memory_order_acquire) != number)
			return;
	}
	if (number % 2 == 0)
		return;
	/* It writes its number and then reads `waiting`; the barrier makes one of us see. */
	atomic_fetch_add_explicit(&owner->waiting, 1, memory_order_relaxed);
	(void)barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	while (atomic_load_explicit(&owner->number, memory_order_acquire) == number)
		(void)kci_futex_wait(&owner->number, number, KC_NEVER);
	atomic_fetch_sub_explicit(&owner->waiting, 1, memory_order_relaxed);
}

/* Somebody else owns what this thread holds the word of. */
static void take_away(struct kci_biased *l, struct kci_bias *owner)
{
	atomic_store_explicit(&l->owner, NULL, memory_order_relaxed);
	(void)barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	await_exit(owner);
	/* each section counts two */
	if ((atomic_load_explicit(&owner->number, memory_order_relaxed) - l->seen) / 2 >= WORTH) {
		l->lender = owner;
		l->need = l->need > NEED_FIRST ? l->need / 2 : NEED_FIRST;
	} else {
		l->need = l->need < NEED_MOST / 4 ? l->need * 4 : NEED_MOST;
	}
}

/* Released, and looked at with acquire: the owner sees what was done with the word. */
static void give(struct kci_biased *l, struct kci_bias *owner)
{
	l->seen = atomic_load_explicit(&owner->number, memory_order_relaxed);
	atomic_store_explicit(&l->owner, owner, memory_order_release);
}

/* This thread has the word. */
static void taken(struct kci_biased *l)
{
	struct kci_bias *me = kci_bias_here;
	struct kci_bias *owner = atomic_load_explicit(&l->owner, memory_order_relaxed);

	if (owner && owner != me)
		take_away(l, owner);
	if (!me)
		me = bias_get();
	if (atomic_load_explicit(&l->last, memory_order_relaxed) != me) {
		atomic_store_explicit(&l->last, me, memory_order_relaxed);
		l->streak = 0;
	} else if (me && ++l->streak == l->need) {
		l->streak = 0;
		give(l, me);
	}
}

bool __attribute__((noinline)) kci_biased_try(struct kci_biased *l)
{
	uint32_t word = 0;

	if (atomic_load_explicit(&l->word, memory_order_relaxed) != 0 ||
	    !atomic_compare_exchange_strong_explicit(&l->word, &word, 1, memory_order_acquire,
						     memory_order_relaxed))
		return false;
	taken(l);
	return true;
}

void __attribute__((noinline)) kci_biased_take(struct kci_biased *l)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < SPINS; i++) {
		if (kci_biased_try(l))
			return;
		kci_relax();
	}
	do {
		word = atomic_exchange_explicit(&l->word, 2, memory_order_acquire);
		if (word != 0)
			(void)kci_futex_wait(&l->word, 2, KC_NEVER);
	} while (word != 0);
	taken(l);
}

void kci_biased_release(struct kci_biased *l)
{
	if (l->lender)
		give(l, KC_STEAL(l->lender));
	if (atomic_exchange_explicit(&l->word, 0, memory_order_release) == 2)
		kci_futex_wake(&l->word, 1);
}
