/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of coroutines and of local channels share. Everything asserts: for the
 * test's own thread only.
 */
#ifndef KCT_LOCAL_H
#define KCT_LOCAL_H

#include "kcoro.h"

/* ---- schedulers ----------------------------------------------------------- */

/* With so many workers; 0: a deterministic one, with an order drawn from kct_seed(). */
kc_sched_t *kct_sched_make(unsigned workers);
/* Every coroutine over, and the scheduler with it. */
void kct_sched_unmake(kc_sched_t *s);
struct kc_sched_stats kct_sched_stats(kc_sched_t *s);

kc_coro_t *kct_coro_spawn(kc_sched_t *s, kc_coro_fn fn, void *arg);
/* Wait for its end and give its result. */
long kct_coro_join(kc_coro_t *co);

/* Run fn(arg) on a scheduler of its own, as of kct_sched_make(), until everything it started
 * has ended, too. */
long kct_sched_main(unsigned workers, kc_coro_fn fn, void *arg);

/* For tests that do so once with each of these: 1, 2 and 4 workers, and a drawn order. */
#define KCT_RUNS 4u
extern const unsigned kct_workers[KCT_RUNS];

/* ---- channels --------------------------------------------------------------- */

/* Of 32-bit numbers. */
kc_chan_t *kct_chan_make(enum kc_kind kind, size_t capacity);
/* Until exactly so many wait in the channel. */
void kct_chan_wait_for(kc_chan_t *ch, unsigned senders, unsigned receivers);

#endif
