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

/* For play: where the ith caller runs; and open the gate, a channel on whose closing all of them
 * wait: with DRAWN it is then that they run, until all have ended. */
void record_caller_in(unsigned i, enum who who, kc_sched_t *s);
void record_open(kc_chan_t *gate, enum who who, kc_sched_t *s);

#endif
