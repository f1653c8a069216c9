/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stacks for coroutines.
 *
 * A pool hands out stacks of one size. They are cut from slabs of up to 64, so that
 * a hundred thousand of them need a few thousand mappings at most (adjacent ones
 * become one), and the page below each is its guard:
 *
 *	GUARD_INSTALL	the kernel marks the page (MADV_GUARD_INSTALL, Linux 6.13);
 *			no mapping of its own is needed
 *	GUARD_PROTECT	mprotect(); it costs two mappings, so only so many stacks get one
 *	GUARD_CANARY	the page is left alone and must still be untouched when the
 *			coroutine ends
 *
 * Freed stacks are taken again warm, the last one first. A pool keeps `warm` of them;
 * the memory of what is freed beyond that goes back to the kernel, and a slab without
 * a user goes as a whole.
 */
#ifndef KCI_STACK_H
#define KCI_STACK_H

#include "libkcoro-client/core/list.h"
#include "libkcoro-client/port/kcoro_port.h"

#define KCI_SLAB_STACKS 64u

enum kci_guard { KCI_GUARD_INSTALL, KCI_GUARD_PROTECT, KCI_GUARD_CANARY };

/* How many stacks of all pools may have a guard by mprotect(): half of what
 * vm.max_map_count allows by default, two mappings each. */
#define KCI_GUARD_PROTECT_MAX 16384u

/* What is above warm_max is given back by a worker with nothing else to do, so many at a time; or
 * at once above so many: a thousand coroutines that end together are not to wait for it. */
#define KCI_SURPLUS_MAX 16384u
#define KCI_TRIM_ONCE	16u

struct kci_slab {
	struct kci_list link; /* in slabs (someone uses a stack of it) or spare */
	struct kci_list open; /* in the pool's open, while it has a free stack */
	char *base;
	uint64_t free;	  /* cut and not in use */
	uint64_t warm;	  /* of those: memory not given back */
	unsigned cut;	  /* how many have been cut */
	uint64_t canary;  /* those guarded by GUARD_CANARY */
	uint64_t protect; /* those guarded by GUARD_PROTECT */
	unsigned valgrind[KCI_SLAB_STACKS];
};

/* One stack: in use if and only if somebody has this pair. */
struct kci_stack {
	struct kci_slab *slab;
	unsigned index;
};

struct kci_stack_pool {
	size_t size;   /* usable bytes */
	size_t stride; /* with the guard */
	size_t page;
	unsigned per_slab;
	size_t max, warm_max;
	enum kci_guard guard; /* the best there is */

	KC_MUTEX_T lock; /* guards what follows, and all slabs */
	struct kci_list slabs;
	struct kci_list open; /* by open; first is tried first */
	size_t n_slabs, n_cut, n_used, n_warm;
};

/* size is rounded up to whole pages; guard: the best that may be used. */
void kci_stack_pool_init(struct kci_stack_pool *pool, size_t size, size_t max, size_t warm,
			 enum kci_guard guard);
/* Every stack comes back or is forgotten with this. */
void kci_stack_pool_done(struct kci_stack_pool *pool);

/* Up to n stacks into ret. Returns how many: 0 without memory, or when the pool is full. */
unsigned kci_stack_take(struct kci_stack_pool *pool, struct kci_stack *ret, unsigned n);
/* Are as many in use as there may be? */
bool kci_stack_full(struct kci_stack_pool *pool);
void kci_stack_give(struct kci_stack_pool *pool, const struct kci_stack *stacks, unsigned n);
/* Give the memory of some that are free and too many back. true: there are more. */
bool kci_stack_trim(struct kci_stack_pool *pool);

/* The end of the stack, where it begins to grow downwards; and its lowest byte. */
static inline char *kci_stack_top(const struct kci_stack_pool *pool, struct kci_stack s)
{
	return s.slab->base + (size_t)(s.index + 1) * pool->stride;
}

static inline char *kci_stack_bottom(const struct kci_stack_pool *pool, struct kci_stack s)
{
	return kci_stack_top(pool, s) - pool->size;
}

/* false: something was written below the bottom of a stack that has a canary. That is told
 * once: the page is untouched again afterwards. */
bool kci_stack_intact(const struct kci_stack_pool *pool, struct kci_stack s);

#endif
