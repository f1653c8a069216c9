/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Alarms: a leftist heap per scheduler (Crane, 1972; The Art of Computer Programming,
 * volume 3, 5.2.3), because what is done to it is done with timer_lock held, and nobody
 * may hold that for as long as a million others wait.
 *
 * The nodes lie in the coroutines, so an alarm takes no memory and cannot fail. Each
 * points to its children and its parent. Its rank is the length of its right spine: of
 * the way down from it, itself included, that always turns right. No right child has a
 * higher rank than the left one beside it, so a rank of r takes 2^r - 1 nodes at least,
 * and the right spine of n nodes is no longer than log2(n + 1). In the worst case, and
 * not on average alone:
 *
 *	look at the next	O(1): it is the root
 *	add one			O(log n): it goes into the right spine of the root, and takes
 *				what comes after it there as its left child
 *	take one out, any	O(log n): its children are melded in its place, and the
 *				ranks above are put right until one does not change. They
 *				may lie far above, but the way is short: while ranks
 *				fall, each is one more than the one below, and no rank is
 *				higher than log2(n + 1); they rise only where the way
 *				followed a right spine
 *
 * Left spines may be as long as the heap, so nothing here follows them, or recurses.
 *
 * An alarm is raised with the lock held: who clears his own, which takes the lock,
 * knows afterwards that it is raised or never will be.
 */
#include "libkcoro-client/sched/engine.h"

static uint32_t rank_of(const struct kci_timer *t)
{
	return t ? t->rank : 0;
}

/* Put a node right after one of its children changed. Did its rank change, too? */
static bool settle(struct kci_timer *t)
{
	uint32_t before = t->rank;

	if (rank_of(t->left) < rank_of(t->right)) {
		struct kci_timer *left = t->left;

		t->left = t->right;
		t->right = left;
	}
	t->rank = rank_of(t->right) + 1;
	return t->rank != before;
}

/* Put right what is above a changed child, from `up` on. */
static void settle_from(struct kci_timer *up)
{
	while (up && settle(up))
		up = up->parent;
}

/* One heap of two, of which either may be NULL: to be at *at, a link of `above` (NULL: of
 * the scheduler). */
static void meld(struct kci_timer **at, struct kci_timer *above, struct kci_timer *a,
		 struct kci_timer *b)
{
	struct kci_timer *last = above;

	/* down: one right spine of both, in order */
	while (a && b) {
		if (b->deadline < a->deadline) {
			struct kci_timer *t = a;

			a = b;
			b = t;
		}
		*at = a;
		a->parent = last;
		last = a;
		at = &a->right;
		a = a->right;
	}
	*at = a ? a : b;
	if (*at)
		(*at)->parent = last;
	/* up: all of them, since any may have got a right child of another rank */
	for (; last != above; last = last->parent)
		settle(last);
}

static void heap_add(struct kc_sched *s, struct kci_timer *t)
{
	struct kci_timer *up = NULL, **at = &s->timers;

	/* as a meld with it alone, but only what is below a rank that changed is touched */
	while (*at && (*at)->deadline <= t->deadline) {
		up = *at;
		at = &up->right;
	}
	t->left = *at;
	if (t->left)
		t->left->parent = t;
	t->parent = up;
	t->rank = 1;
	*at = t;
	settle_from(up);
}

static void heap_remove(struct kc_sched *s, struct kci_timer *t)
{
	struct kci_timer *up = t->parent, **at = &s->timers;

	if (up)
		at = up->left == t ? &up->left : &up->right;
	meld(at, up, t->left, t->right);
	settle_from(up);
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
	heap_add(s, t);
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
