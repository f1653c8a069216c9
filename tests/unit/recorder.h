/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rounds of calls that are recorded (tests/lib/history.h) and have to be explained, by threads,
 * by coroutines on two workers, by both, and by coroutines in an order that is drawn.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include "kcoro/sched.h"
#include "tests/lib/history.h"

enum who { THREADS, COROUTINES, MIXED, DRAWN };

struct recorder {
	unsigned rounds;
	struct kct_history *h; /* what a round writes, */
	unsigned n;	       /* so many */
	void (*play)(unsigned round, enum who who, kc_sched_t *s, uint64_t *random);
};

/* Play all rounds, with a new scheduler each time but for threads. Asserts, and prints what it
 * cannot explain. */
void record(const struct recorder *r, enum who who);

/* ---- for play ---------------------------------------------------------------- */

#define CALLERS	  4u
#define CALLS_MAX 32u

/* One of those who call at the same time. */
struct caller {
	void *stage; /* the test's */
	struct caller *all;
	kc_chan_t *gate;
	kc_cancel_t *over; /* set by the first who is done: nobody waits for who is gone */
	kc_cancel_t *tokens[CALLS_MAX]; /* below it, one for each call */
	_Atomic unsigned at;		/* the call it is in */
	void (*call)(struct caller *c, uint32_t value);
	unsigned calls;
	unsigned who;
	uint64_t random;
};

/* Let all of them make so many calls, each with another value, as `who` says, until they have. */
void record_calls(void *stage, void (*call)(struct caller *c, uint32_t value), unsigned calls,
		  enum who who, kc_sched_t *s, uint64_t *random);

/* The token of the call that it is in. */
kc_cancel_t *record_token(const struct caller *c);

#endif
