/* SPDX-License-Identifier: BSD-3-Clause */
/* A binary heap of timers: arming, disarming and running cost O(log n). */
#include "kcorod/timer.h"

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

void kcd_timers_init(struct kcd_timers *ts)
{
	*ts = (struct kcd_timers){ .heap = NULL };
}

void kcd_timers_done(struct kcd_timers *ts)
{
	for (size_t i = 0; i < ts->n; i++)
		ts->heap[i]->slot = 0;
	KC_FREE(ts->heap);
	kcd_timers_init(ts);
}

static void timer_place(struct kcd_timers *ts, size_t i, struct kcd_timer *timer)
{
	ts->heap[i] = timer;
	timer->slot = i + 1;
}

static void timer_up(struct kcd_timers *ts, size_t i)
{
	struct kcd_timer *timer = ts->heap[i];

	while (i > 0) {
		size_t parent = (i - 1) / 2;

		if (ts->heap[parent]->due_ns <= timer->due_ns)
			break;
		timer_place(ts, i, ts->heap[parent]);
		i = parent;
	}
	timer_place(ts, i, timer);
}

static void timer_down(struct kcd_timers *ts, size_t i)
{
	struct kcd_timer *timer = ts->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= ts->n)
			break;
		if (child + 1 < ts->n && ts->heap[child + 1]->due_ns < ts->heap[child]->due_ns)
			child++;
		if (timer->due_ns <= ts->heap[child]->due_ns)
			break;
		timer_place(ts, i, ts->heap[child]);
		i = child;
	}
	timer_place(ts, i, timer);
}

int kcd_timer_arm(struct kcd_timers *ts, struct kcd_timer *timer, uint64_t due_ns)
{
	if (timer->slot) {
		timer->due_ns = due_ns;
		timer_up(ts, timer->slot - 1);
		timer_down(ts, timer->slot - 1);
		return 0;
	}
	if (ts->n == ts->cap) {
		size_t cap = ts->cap ? 2 * ts->cap : 64;
		struct kcd_timer **heap = KC_REALLOC(ts->heap, cap, sizeof(*heap));

		if (!heap)
			return KC_ENOMEM;
		ts->heap = heap;
		ts->cap = cap;
	}
	timer->due_ns = due_ns;
	timer_place(ts, ts->n++, timer);
	timer_up(ts, ts->n - 1);
	return 0;
}

void kcd_timer_disarm(struct kcd_timers *ts, struct kcd_timer *timer)
{
	size_t i;
	struct kcd_timer *last;

	if (!timer->slot)
		return;
	i = timer->slot - 1;
	timer->slot = 0;
	last = ts->heap[--ts->n];
	if (last == timer)
		return;
	timer_place(ts, i, last);
	timer_up(ts, i);
	timer_down(ts, last->slot - 1);
}

uint64_t kcd_timers_next(const struct kcd_timers *ts)
{
	return ts->n && ts->heap[0]->due_ns < KCD_TIMER_NEVER ? ts->heap[0]->due_ns : UINT64_MAX;
}

void kcd_timers_run(struct kcd_timers *ts, uint64_t now_ns)
{
	ts->now_ns = now_ns;
	/* A timer armed by a function that runs here is due later than now or waits for
	 * the next turn: bounded by the number of timers there were. */
	for (size_t budget = ts->n; budget > 0 && ts->n > 0; budget--) {
		struct kcd_timer *timer = ts->heap[0];

		if (timer->due_ns > now_ns)
			break;
		kcd_timer_disarm(ts, timer);
		timer->fn(timer);
	}
}
