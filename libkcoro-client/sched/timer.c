/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Alarms: a pairing heap per scheduler.
 *
 * The nodes lie in the coroutines, so an alarm takes no memory and cannot fail. To
 * add one and to look at the next costs a constant, to take one out O(log n) on
 * average. Each node points to its first child, its next sibling and back.
 *
 * An alarm is raised with the lock held: who clears his own, which takes the lock,
 * knows afterwards that it is raised or never will be.
 */
#include "libkcoro-client/sched/engine.h"

/* The earlier of two heaps, with the other as its first child; either may be NULL. */
static struct kci_timer *meld(struct kci_timer *a, struct kci_timer *b)
{
	struct kci_timer *t;

	if (!a)
		return b;
	if (!b)
		return a;
	if (b->deadline < a->deadline) {
		t = a;
		a = b;
		b = t;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	a->next = NULL;
	a->prev = NULL;
	return a;
}

/* One heap out of a list of siblings: in pairs from the left, then all from the right. */
static struct kci_timer *meld_siblings(struct kci_timer *first)
{
	struct kci_timer *pairs = NULL, *heap = NULL;

	while (first) {
		struct kci_timer *a = first, *b = a->next;

		first = b ? b->next : NULL;
		a->next = NULL;
		a->prev = NULL;
		if (b) {
			b->next = NULL;
			b->prev = NULL;
		}
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct kci_timer *next = pairs->next;

		pairs->next = NULL;
		heap = meld(heap, pairs);
		pairs = next;
	}
	return heap;
}

static void heap_remove(struct kc_sched *s, struct kci_timer *t)
{
	struct kci_timer *rest = meld_siblings(t->child);

	t->child = NULL;
	if (s->timers == t) {
		s->timers = rest;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		s->timers = meld(s->timers, rest);
	}
	t->flags = NULL;
	atomic_store_explicit(&s->timer_next, s->timers ? s->timers->deadline : KC_NEVER,
			      memory_order_relaxed);
	kci_count(&s->n_timers, (uint64_t)-1);
}

bool kci_coro_alarm_set(kc_coro_t *self, _Atomic uint32_t *flags, uint64_t deadline)
{
	struct kc_sched *s = self->sched;
	struct kci_timer *t = &self->timer;
	bool earliest;

	if (deadline <= kci_clock_now())
		return false;
	*t = (struct kci_timer){ .deadline = deadline, .flags = flags };
	KC_MUTEX_LOCK(&s->timer_lock);
	s->timers = meld(s->timers, t);
	earliest = s->timers == t;
	if (earliest)
		atomic_store_explicit(&s->timer_next, deadline, memory_order_relaxed);
	kci_count(&s->n_timers, 1);
	KC_MUTEX_UNLOCK(&s->timer_lock);
	if (earliest)
		kci_notify_alarm(s);
	return true;
}

void kci_coro_alarm_clear(kc_coro_t *self)
{
	struct kc_sched *s = self->sched;

	KC_MUTEX_LOCK(&s->timer_lock);
	if (self->timer.flags)
		heap_remove(s, &self->timer);
	KC_MUTEX_UNLOCK(&s->timer_lock);
}

unsigned kci_timers_run(struct kc_sched *s, uint64_t now)
{
	unsigned n = 0;

	if (atomic_load_explicit(&s->timer_next, memory_order_relaxed) > now)
		return 0;
	KC_MUTEX_LOCK(&s->timer_lock);
	while (s->timers && s->timers->deadline <= now) {
		struct kci_timer *t = s->timers;
		_Atomic uint32_t *flags = t->flags;

		heap_remove(s, t);
		kci_coro_raise(KC_CONTAINER_OF(t, struct kc_coro, timer), flags, KCI_EXPIRED);
		n++;
	}
	KC_MUTEX_UNLOCK(&s->timer_lock);
	return n;
}
