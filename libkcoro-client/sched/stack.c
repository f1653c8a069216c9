/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stacks: slabs, guards, what is kept and what is given back.
 */
#include "libkcoro-client/sched/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libkcoro-client/sched/sanitize.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* A slab takes about so much, whatever the size of its stacks. */
#define SLAB_BYTES ((size_t)4 << 20)

/* How much above the untouched page of a canary is looked at. */
#define CANARY_BYTES 256u

/* Of all pools: the limit is the process's. */
static _Atomic unsigned n_protected;

void kci_stack_pool_init(struct kci_stack_pool *pool, size_t size, size_t max, size_t warm,
			 enum kci_guard guard)
{
	size_t fit;

	*pool = (struct kci_stack_pool){
		.page = (size_t)sysconf(_SC_PAGESIZE), .max = max, .warm_max = warm, .guard = guard
	};
	pool->size = (size + pool->page - 1) & ~(pool->page - 1);
	/* the odd page between two stacks also keeps their tops, which are in use all the
	 * time, from falling on the same lines of a cache */
	pool->stride = pool->size + pool->page;
	fit = SLAB_BYTES / pool->stride;
	pool->per_slab = fit < 1 ? 1 : fit > KCI_SLAB_STACKS ? KCI_SLAB_STACKS : (unsigned)fit;
	KC_MUTEX_INIT(&pool->lock);
	kci_list_init(&pool->slabs);
	kci_list_init(&pool->open);
}

static char *slab_map(const struct kci_stack_pool *pool)
{
	size_t bytes = pool->per_slab * pool->stride;
	char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	/* a huge page would make a parked coroutine cost megabytes; refused where there are
	 * none */
	(void)madvise(base, bytes, MADV_NOHUGEPAGE);
	return base;
}

static struct kci_slab *slab_new(struct kci_stack_pool *pool)
{
	struct kci_slab *slab = KC_CALLOC(1, sizeof(*slab));

	if (!slab)
		return NULL;
	slab->base = slab_map(pool);
	if (!slab->base) {
		KC_FREE(slab);
		return NULL;
	}
	kci_list_append(&pool->slabs, &slab->link);
	kci_list_append(&pool->open, &slab->open);
	pool->n_slabs++;
	return slab;
}

static void slab_free(struct kci_stack_pool *pool, struct kci_slab *slab)
{
	kci_list_remove(&slab->link);
	kci_list_remove(&slab->open);
	for (unsigned i = 0; i < slab->cut; i++)
		KCI_VALGRIND_DEREGISTER(slab->valgrind[i]);
	atomic_fetch_sub_explicit(&n_protected, (unsigned)__builtin_popcountll(slab->protect),
				  memory_order_relaxed);
	/* sanitizers must not remember redzones of frames that were never left */
	KCI_ASAN_UNPOISON(slab->base, pool->per_slab * pool->stride);
	(void)munmap(slab->base, pool->per_slab * pool->stride);
	pool->n_slabs--;
	pool->n_cut -= slab->cut;
	pool->n_warm -= (size_t)__builtin_popcountll(slab->warm);
	KC_FREE(slab);
}

void kci_stack_pool_done(struct kci_stack_pool *pool)
{
	struct kci_slab *slab;

	while ((slab = KCI_LIST_FIRST(&pool->slabs, struct kci_slab, link)))
		slab_free(pool, slab);
	KC_MUTEX_DESTROY(&pool->lock);
}

static bool guard_protect(char *page, size_t bytes)
{
	if (atomic_fetch_add_explicit(&n_protected, 1, memory_order_relaxed) <
		    KCI_GUARD_PROTECT_MAX &&
	    mprotect(page, bytes, PROT_NONE) == 0)
		return true;
	atomic_fetch_sub_explicit(&n_protected, 1, memory_order_relaxed);
	return false;
}

/* Make the next stack of a slab. */
static unsigned stack_cut(struct kci_stack_pool *pool, struct kci_slab *slab)
{
	unsigned index = slab->cut++;
	char *guard = slab->base + index * pool->stride;
	uint64_t bit = UINT64_C(1) << index;

	if (pool->guard == KCI_GUARD_INSTALL && madvise(guard, pool->page, MADV_GUARD_INSTALL) < 0)
		pool->guard = KCI_GUARD_PROTECT; /* EINVAL: the kernel is older than that */
	if (pool->guard == KCI_GUARD_PROTECT && guard_protect(guard, pool->page))
		slab->protect |= bit;
	else if (pool->guard != KCI_GUARD_INSTALL)
		slab->canary |= bit;
	slab->valgrind[index] = KCI_VALGRIND_REGISTER(guard + pool->page, guard + pool->stride);
	pool->n_cut++;
	return index;
}

/* A stack of a slab that has one: a warm one, else a cold one, else a new one. */
static unsigned stack_pick(struct kci_stack_pool *pool, struct kci_slab *slab)
{
	uint64_t from = slab->warm ? slab->warm : slab->free;
	unsigned index;

	if (from) {
		index = (unsigned)__builtin_ctzll(from);
		if (slab->warm)
			pool->n_warm--;
		slab->free &= ~(UINT64_C(1) << index);
		slab->warm &= ~(UINT64_C(1) << index);
	} else {
		index = stack_cut(pool, slab);
	}
	if (!slab->free && slab->cut == pool->per_slab)
		kci_list_remove(&slab->open);
	return index;
}

unsigned kci_stack_take(struct kci_stack_pool *pool, struct kci_stack *ret, unsigned n)
{
	unsigned got = 0;

	KC_MUTEX_LOCK(&pool->lock);
	while (got < n && pool->n_used < pool->max) {
		struct kci_slab *slab = KCI_LIST_FIRST(&pool->open, struct kci_slab, open);

		if (!slab)
			slab = slab_new(pool);
		if (!slab)
			break;
		ret[got++] = (struct kci_stack){ slab, stack_pick(pool, slab) };
		pool->n_used++;
	}
	KC_MUTEX_UNLOCK(&pool->lock);
	return got;
}

bool kci_stack_full(struct kci_stack_pool *pool)
{
	bool full;

	KC_MUTEX_LOCK(&pool->lock);
	full = pool->n_used >= pool->max;
	KC_MUTEX_UNLOCK(&pool->lock);
	return full;
}

static void stack_cool(const struct kci_stack_pool *pool, struct kci_stack s)
{
	/* the guard is not part of this, and a canary's page was never touched */
	KCI_ASAN_UNPOISON(kci_stack_bottom(pool, s), pool->size);
	(void)madvise(kci_stack_bottom(pool, s), pool->size, MADV_DONTNEED);
}

static void slab_free_if_idle(struct kci_stack_pool *pool, struct kci_slab *slab)
{
	if (__builtin_popcountll(slab->free) == (int)slab->cut && !slab->warm)
		slab_free(pool, slab);
}

static void stack_give_one(struct kci_stack_pool *pool, struct kci_stack s)
{
	struct kci_slab *slab = s.slab;
	uint64_t bit = UINT64_C(1) << s.index;

	pool->n_used--;
	slab->free |= bit;
	if (pool->n_warm < pool->warm_max + KCI_SURPLUS_MAX) {
		slab->warm |= bit;
		pool->n_warm++;
	} else {
		stack_cool(pool, s);
	}
	/* to the front: it is taken next, so that others can empty */
	kci_list_remove(&slab->open);
	kci_list_append(pool->open.next, &slab->open);
	slab_free_if_idle(pool, slab);
}

bool kci_stack_trim(struct kci_stack_pool *pool)
{
	struct kci_list *at;
	unsigned n = 0;
	bool more;

	KC_MUTEX_LOCK(&pool->lock);
	/* of those first that are taken last */
	for (at = pool->open.prev; at != &pool->open && pool->n_warm > pool->warm_max &&
				   n < KCI_TRIM_ONCE;) {
		struct kci_slab *slab = KC_CONTAINER_OF(at, struct kci_slab, open);

		at = at->prev;
		while (slab->warm && pool->n_warm > pool->warm_max && n < KCI_TRIM_ONCE) {
			unsigned index = (unsigned)__builtin_ctzll(slab->warm);

			slab->warm &= slab->warm - 1;
			pool->n_warm--;
			n++;
			stack_cool(pool, (struct kci_stack){ slab, index });
		}
		slab_free_if_idle(pool, slab);
	}
	more = pool->n_warm > pool->warm_max;
	KC_MUTEX_UNLOCK(&pool->lock);
	return more;
}

void kci_stack_give(struct kci_stack_pool *pool, const struct kci_stack *stacks, unsigned n)
{
	KC_MUTEX_LOCK(&pool->lock);
	for (unsigned i = 0; i < n; i++)
		stack_give_one(pool, stacks[i]);
	KC_MUTEX_UNLOCK(&pool->lock);
}

bool kci_stack_intact(const struct kci_stack_pool *pool, struct kci_stack s)
{
	static const char untouched[CANARY_BYTES];
	char *bottom = kci_stack_bottom(pool, s);

	if (memcmp(bottom - CANARY_BYTES, untouched, CANARY_BYTES) == 0)
		return true;
	(void)madvise(bottom - pool->page, pool->page, MADV_DONTNEED);
	return false;
}
