/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens at every stop and start of a coroutine: the hot part.
 *
 * This thread's worker must not be asked for again after a switch within one
 * function: the coroutine may have come back on another thread, while the compiler
 * still has the address of the first one's variable. So functions here take the
 * worker that the switch returned.
 */
#include "libkcoro-client/sched/engine.h"
#include "libkcoro-client/sched/switch.h"

#define FETCH_FROM  32u /* in the ring: fewer are in the cache anyway */
#define FETCH_AHEAD 6u
#define FETCH_LINES 17
#define FETCH_SKIP  8u /* in the global queue */

/* initial-exec: one word, read with one instruction, also in a library loaded late */
_Thread_local struct kci_worker *kci_worker_here;

struct kci_worker *__attribute__((noinline)) kci_worker_self(void)
{
	return kci_worker_first();
}

/* The same in a child as well. */
static struct kci_worker *__attribute__((noinline)) worker_get(void)
{
	return kci_worker_here;
}

struct kci_worker *__attribute__((noinline)) kci_worker_set(struct kci_worker *w)
{
	struct kci_worker *old = kci_worker_here;

	kci_worker_here = w;
	return old;
}

/* ---- the ring --------------------------------------------------------------- */

/* No room: half of the ring and the new one go to the global queue. */
static void __attribute__((noinline)) ring_spill(struct kci_worker *w, struct kc_coro *co)
{
	struct kc_coro *first = kci_ring_pop(w);
	struct kc_coro *last = first;
	struct kc_coro *before[FETCH_SKIP]; /* the last so many */
	uint32_t n = 1;

	if (!first) {
		/* stolen meanwhile */
		kci_ring_push(w, co);
		return;
	}
	for (uint32_t i = 0; i < FETCH_SKIP; i++)
		before[i] = first;
	while (n < KCI_RING / 2) {
		struct kc_coro *next = kci_ring_pop(w);

		if (!next)
			break;
		last->next = next;
		before[n % FETCH_SKIP]->skip = next;
		before[n % FETCH_SKIP] = next;
		last = next;
		n++;
	}
	last->next = co;
	kci_global_push(w->sched, first, co, n + 1);
}

static inline void ring_push(struct kci_worker *w, struct kc_coro *co)
{
	uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
	uint32_t head = atomic_load_explicit(&w->head, memory_order_acquire);

	if (tail - head >= KCI_RING) {
		ring_spill(w, co);
		return;
	}
	atomic_store_explicit(&w->ring[tail % KCI_RING], co, memory_order_relaxed);
	atomic_store_explicit(&w->tail, tail + 1, memory_order_release);
}

void kci_ring_push(struct kci_worker *w, struct kc_coro *co)
{
	ring_push(w, co);
}

/* Deterministic: one of those in the ring, drawn, changes places with the first. */
static void ring_shuffle(struct kci_worker *w, uint32_t head, uint32_t n)
{
	uint32_t at = head + (uint32_t)(kci_random_next(&w->sched->random) % n);
	struct kc_coro *co = atomic_load_explicit(&w->ring[at % KCI_RING], memory_order_relaxed);
	struct kc_coro *first =
		atomic_load_explicit(&w->ring[head % KCI_RING], memory_order_relaxed);

	atomic_store_explicit(&w->ring[at % KCI_RING], first, memory_order_relaxed);
	atomic_store_explicit(&w->ring[head % KCI_RING], co, memory_order_relaxed);
}

/* Thousands that were woken at once have been away for long, and each would wait for its stack to
 * come from memory, line by line: so the lines of one that has a few before it are asked for now,
 * all at once. A coroutine lies at the top of its stack, and one that waits is not deep. */
static inline void ring_fetch(const struct kci_worker *w)
{
	uint32_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
	const char *co;

	if (atomic_load_explicit(&w->tail, memory_order_relaxed) - head < FETCH_FROM)
		return;
	co = (const char *)atomic_load_explicit(&w->ring[(head + FETCH_AHEAD) % KCI_RING],
						memory_order_relaxed);
	for (int i = -FETCH_LINES; i <= 0; i++)
		__builtin_prefetch(co + 64 * i, 1);
}

static inline struct kc_coro *ring_pop(struct kci_worker *w)
{
	uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
	uint32_t head = atomic_load_explicit(&w->head, memory_order_acquire);
	struct kc_coro *co;

	if (!w->shared) {
		if (head == tail)
			return NULL;
		if (w->deterministic)
			ring_shuffle(w, head, tail - head);
		co = atomic_load_explicit(&w->ring[head % KCI_RING], memory_order_relaxed);
		atomic_store_explicit(&w->head, head + 1, memory_order_relaxed);
		return co;
	}
	do {
		if (head == tail)
			return NULL;
		co = atomic_load_explicit(&w->ring[head % KCI_RING], memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(&w->head, &head, head + 1,
							memory_order_acq_rel,
							memory_order_acquire));
	return co;
}

struct kc_coro *kci_ring_pop(struct kci_worker *w)
{
	return ring_pop(w);
}

struct kc_coro *kci_ring_steal(struct kci_worker *w, struct kci_worker *from)
{
	uint32_t mine = atomic_load_explicit(&w->tail, memory_order_relaxed);
	uint32_t head = atomic_load_explicit(&from->head, memory_order_acquire);
	uint32_t n;

	/* w's own ring is empty, so half of another's has room in it. Entries are copied
	 * first and count only if head has not moved meanwhile: until it moves the owner
	 * does not write over them */
	do {
		n = atomic_load_explicit(&from->tail, memory_order_acquire) - head;
		n -= n / 2;
		if (n == 0 || n > KCI_RING)
			return NULL; /* nothing, or head is long out of date */
		for (uint32_t i = 0; i < n; i++) {
			struct kc_coro *co =
				atomic_load_explicit(&from->ring[(head + i) % KCI_RING],
						     memory_order_relaxed);

			atomic_store_explicit(&w->ring[(mine + i) % KCI_RING], co,
					      memory_order_relaxed);
		}
	} while (!atomic_compare_exchange_weak_explicit(&from->head, &head, head + n,
							memory_order_acq_rel,
							memory_order_acquire));
	/* the last one is entered, the others are the ring's from here on */
	atomic_store_explicit(&w->tail, mine + n - 1, memory_order_release);
	return atomic_load_explicit(&w->ring[(mine + n - 1) % KCI_RING], memory_order_relaxed);
}

/* ---- the global queue ------------------------------------------------------- */

void kci_global_push(struct kc_sched *s, struct kc_coro *first, struct kc_coro *last, uint32_t n)
{
	last->next = NULL;
	KC_MUTEX_LOCK(&s->global_lock);
	if (s->last)
		s->last->next = first;
	else
		s->first = first;
	s->last = last;
	atomic_store_explicit(&s->n_global,
			      atomic_load_explicit(&s->n_global, memory_order_relaxed) + n,
			      memory_order_relaxed);
	KC_MUTEX_UNLOCK(&s->global_lock);
}

struct kc_coro *kci_global_take(struct kci_worker *w)
{
	struct kc_sched *s = w->sched;
	uint32_t used = atomic_load_explicit(&w->tail, memory_order_relaxed) -
			atomic_load_explicit(&w->head, memory_order_relaxed);
	uint32_t room = used < KCI_RING / 2 ? KCI_RING / 2 - used : 0;
	uint32_t n, taken = 0;
	struct kc_coro *co = NULL;

	if (atomic_load_explicit(&s->n_global, memory_order_relaxed) == 0)
		return NULL;
	KC_MUTEX_LOCK(&s->global_lock);
	n = atomic_load_explicit(&s->n_global, memory_order_relaxed);
	n = n / s->n_workers + 1;
	while (s->first && taken < n && (taken == 0 || taken <= room)) {
		struct kc_coro *next = s->first;

		/* anything, where it was not set: that does no harm */
		__builtin_prefetch(next->skip);
		s->first = next->next;
		if (!s->first)
			s->last = NULL;
		if (taken++ == 0)
			co = next;
		else
			kci_ring_push(w, next);
	}
	atomic_store_explicit(&s->n_global,
			      atomic_load_explicit(&s->n_global, memory_order_relaxed) - taken,
			      memory_order_relaxed);
	KC_MUTEX_UNLOCK(&s->global_lock);
	return co;
}

/* ---- ready ------------------------------------------------------------------ */

void __attribute__((noinline)) kci_coro_ready(struct kc_coro *co)
{
	struct kci_worker *w = kci_worker_first();
	struct kc_sched *s = co->sched;
	struct kc_coro *old;

	if (!w || w->sched != s) {
		kci_global_push(s, co, co, 1);
		kci_notify_outside(s);
		return;
	}
	if (w->deterministic || !w->current) {
		/* woken by a deadline or a descriptor: nobody's partner */
		kci_ring_push(w, co);
		kci_notify(w);
		return;
	}
	if (w->ending) {
		/* who joins one of many had better find the others over as well */
		kci_ring_push(w, co);
		kci_notify_slot(s);
		return;
	}
	if (!w->shared) {
		old = atomic_load_explicit(&w->slot, memory_order_relaxed);
		atomic_store_explicit(&w->slot, co, memory_order_relaxed);
	} else {
		old = atomic_exchange_explicit(&w->slot, co, memory_order_acq_rel);
	}
	if (old) {
		kci_ring_push(w, old);
		kci_notify(w);
	} else {
		kci_notify_slot(s);
	}
}

static inline struct kc_coro *slot_take(struct kci_worker *w)
{
	struct kc_coro *co = atomic_load_explicit(&w->slot, memory_order_relaxed);

	if (!co)
		return NULL;
	if (!w->shared)
		atomic_store_explicit(&w->slot, NULL, memory_order_relaxed);
	else
		co = atomic_exchange_explicit(&w->slot, NULL, memory_order_acq_rel);
	return co;
}

static inline struct kc_coro *next_ready(struct kci_worker *w)
{
	struct kc_coro *co = slot_take(w);

	if (co) {
		if (++w->handoffs <= KCI_HANDOFFS) {
			kci_count(&w->counts.handoffs, 1);
			return co;
		}
		/* partners that have had their share go behind the others */
		ring_push(w, co);
	}
	w->handoffs = 0;
	co = ring_pop(w);
	ring_fetch(w);
	return co;
}

struct kc_coro *kci_worker_next(struct kci_worker *w)
{
	return next_ready(w);
}

/* ---- switching -------------------------------------------------------------- */

/* On the stack that was just entered: settle what is to become of the one left. */
static inline void arrive(struct kci_worker *w)
{
	struct kc_coro *left = w->left;
	uint32_t flags;

	if (!left)
		return;
	w->left = NULL;
	if (w->why == KCI_LEAVE_YIELD) {
		ring_push(w, left);
		kci_notify_slot(w->sched);
		return;
	}
	if (w->why == KCI_LEAVE_END) {
		kci_coro_ended(w, left);
		return;
	}
	if (w->why == KCI_LEAVE_MOVE) {
		if (!kci_worker_give(w->to, left)) {
			kci_ring_push(w, left);
			kci_notify_slot(w->sched);
		}
		return;
	}
	flags = atomic_load_explicit(w->flags, memory_order_relaxed);
	do {
		if (flags & w->mask) {
			/* it came while the coroutine was leaving */
			kci_ring_push(w, left);
			kci_notify_slot(w->sched);
			return;
		}
	} while (!atomic_compare_exchange_weak_explicit(w->flags, &flags, flags | KCI_PARKED,
							memory_order_acq_rel,
							memory_order_relaxed));
}

/* Leave the running coroutine for the next one, or for the origin. */
static inline void leave(struct kci_worker *w, struct kc_coro *co, struct kc_coro *next,
			 enum kci_leaving why)
{
	w->left = co;
	w->why = why;
	w->current = next;
	kci_count(&w->counts.switches, next != NULL);
	kci_fiber_leave(&co->fiber, next ? &next->fiber : &w->fiber, 0);
	w = kci_switch(&co->sp, next ? next->sp : w->origin, w);
	/* back again, perhaps on another thread */
	kci_fiber_enter(&co->fiber, &w->fiber, w->left == NULL);
	arrive(w);
}

/* The same for one that has ended. */
static inline __attribute__((noreturn)) void end(struct kci_worker *w, struct kc_coro *co,
						 struct kc_coro *next)
{
	w->left = co;
	w->why = KCI_LEAVE_END;
	w->current = next;
	kci_count(&w->counts.switches, next != NULL);
	kci_fiber_leave(&co->fiber, next ? &next->fiber : &w->fiber, 1);
	kci_switch_end(next ? next->sp : w->origin, w);
}

/* What to leave for: NULL, the origin, when its turn has come. */
static inline struct kc_coro *next_within_budget(struct kci_worker *w)
{
	if (w->budget == 0)
		return NULL;
	w->budget--;
	return next_ready(w);
}

void __attribute__((noinline))
kci_coro_park(struct kc_coro *self, _Atomic uint32_t *flags, uint32_t mask)
{
	struct kci_worker *w = kci_worker_first();

	w->flags = flags;
	w->mask = mask;
	leave(w, self, next_within_budget(w), KCI_LEAVE_PARK);
}

void __attribute__((noinline)) kc_yield(void)
{
	struct kci_worker *w = kci_worker_first();
	struct kc_coro *next;

	if (!w || !w->current)
		return;
	next = next_within_budget(w);
	/* nobody else here, and the origin need not look elsewhere yet */
	if (!next && w->budget > 0)
		return;
	leave(w, w->current, next, KCI_LEAVE_YIELD);
}

void __attribute__((noinline)) kci_coro_crossed(const void *who)
{
	struct kci_worker *w = kci_worker_first();
	struct kc_sched *s = w ? w->sched : NULL;

	if (!w || !w->current || !s->shared || ++w->crossings < KCI_CROSSINGS)
		return;
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct kci_worker *to = &s->workers[i];

		if (to == w || !who ||
		    atomic_load_explicit(&to->bias, memory_order_relaxed) != who ||
		    atomic_load_explicit(&to->slot, memory_order_relaxed))
			continue;
		w->to = to;
		leave(w, w->current, next_within_budget(w), KCI_LEAVE_MOVE);
		return;
	}
}

void kci_coro_main(void *worker)
{
	struct kci_worker *w = worker;
	struct kc_coro *co = w->current;

	kci_fiber_enter(&co->fiber, &w->fiber, w->left == NULL);
	arrive(w);
	co->result = co->fn(co->arg);
	w = worker_get();
	if (!kci_process_is(w->process)) {
		/* a forked child: there is nothing to go on with but the thread's end */
		w->current = NULL;
		kci_fiber_leave(&co->fiber, &w->fiber, 1);
		kci_switch_end(w->origin, w);
	}
	end(w, co, next_within_budget(w));
}

void kci_worker_enter(struct kci_worker *w, struct kc_coro *co)
{
	w->current = co;
	kci_count(&w->counts.switches, 1);
	kci_fiber_leave(&w->fiber, &co->fiber, 0);
	(void)kci_switch(&w->origin, co->sp, w);
	kci_fiber_enter(&w->fiber, &w->fiber, 0);
	arrive(w);
}

struct kc_coro *__attribute__((noinline)) kci_coro_current(void)
{
	struct kci_worker *w = kci_worker_first();

	return w ? w->current : NULL;
}
