/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines: a heap of timers on CLOCK_MONOTONIC, driven from outside.
 *
 * The heap knows no clock and no event loop: the loop asks when the next timer is
 * due, and tells what time it is. So tests can let a lease lapse without waiting,
 * and one libevent timer serves any number of deadlines.
 */
#ifndef KCD_TIMER_H
#define KCD_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Due so late that nobody waits for it: armed, so that it need not find memory later. */
#define KCD_TIMER_NEVER (UINT64_MAX - 1)

struct kcd_timer {
	uint64_t due_ns;
	size_t slot; /* place in the heap + 1; 0 = not armed */
	void (*fn)(struct kcd_timer *timer);
};

struct kcd_timers {
	struct kcd_timer **heap;
	size_t n, cap;
	uint64_t now_ns; /* the time of this turn of the loop */
};

void kcd_timers_init(struct kcd_timers *ts);
void kcd_timers_done(struct kcd_timers *ts);

/* Arm (or arm anew) a timer; `fn` must be set. 0 or KC_ENOMEM. */
int kcd_timer_arm(struct kcd_timers *ts, struct kcd_timer *timer, uint64_t due_ns);
void kcd_timer_disarm(struct kcd_timers *ts, struct kcd_timer *timer);
static inline bool kcd_timer_armed(const struct kcd_timer *timer)
{
	return timer->slot != 0;
}

/* When the earliest timer is due; UINT64_MAX when there is none that ever is. */
uint64_t kcd_timers_next(const struct kcd_timers *ts);

/* Set the time and run what is due by then, each disarmed first. */
void kcd_timers_run(struct kcd_timers *ts, uint64_t now_ns);

#endif
