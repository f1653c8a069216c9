/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests share.
 *
 * KCT_TEST(fn) is a CMocka test that also fails when it leaves descriptors open.
 * Helper threads must not use CMocka's assertions (they jump): a kct_call runs a
 * function on a thread (or, for some programs, in a coroutine) and hands its result to
 * the test, which then judges it.
 * Nothing here sleeps: kct_wait_until() is woken by the library's own hook each
 * time a thread blocks.
 */
#ifndef KCT_H
#define KCT_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kcoro/sched.h"

/* How long a test waits for what must happen before it gives up. */
#define KCT_PATIENCE_MS 30000

/* A deadline that is meant to expire. */
#define KCT_SHORT_MS 3

/* ---- fixtures ------------------------------------------------------------ */

#define KCT_TEST(fn) cmocka_unit_test_setup_teardown(fn, kct_setup, kct_teardown)

/* Notes the open descriptors and watches for threads that block. */
int kct_setup(void **state);
/* Fails if there are other descriptors open than at kct_setup(). */
int kct_teardown(void **state);

/* Open descriptors of this process, or -1. */
int kct_fd_count(void);

/* ---- threads ------------------------------------------------------------- */

/* A function at work on a thread, or in a coroutine, of its own. */
struct kct_call {
	pthread_t thread;
	kc_coro_t *coro; /* NULL: it is a thread */
	long (*fn)(void *arg);
	void *arg;
	long result;
};

void kct_call_start(struct kct_call *call, long (*fn)(void *arg), void *arg);
/* From now on calls are coroutines of this scheduler; NULL: threads, as at first. */
void kct_calls_in(kc_sched_t *sched);
/* Which one that is. */
kc_sched_t *kct_calls_where(void);
/* Wait for its end and give its result. */
long kct_call_join(struct kct_call *call);

/* Something that happens once; KCT_EVENT_INIT initialises one. */
struct kct_event {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool happened;
};

#define KCT_EVENT_INIT                                                                             \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false                         \
	}

void kct_event_set(struct kct_event *event);
void kct_event_wait(struct kct_event *event);

/* Wait until pred(arg) holds; asked again whenever a thread or coroutine is about to block
 * inside the library. false: it did not within KCT_PATIENCE_MS. */
bool kct_wait_until(bool (*pred)(void *arg), void *arg);

/* ---- failing allocations ------------------------------------------------- */

/* From now on the nth allocation (from 1) of this thread fails, and all after it; 0: none
 * does. */
void kct_alloc_fail_from(long nth);
/* End of it. Returns how many allocations this thread tried since. */
long kct_alloc_fail_end(void);

/* ---- random numbers ------------------------------------------------------ */

/* A seed: KCT_SEED of the environment, else a new one; printed, so that a failure can be
 * repeated. */
uint64_t kct_seed(void);
/* The next number of the sequence that *state is in. */
uint64_t kct_random(uint64_t *state);

/* ---- forks --------------------------------------------------------------- */

/* Run fn(arg) in a forked child; returns what it returns (0..125), or -1 if the child
 * did not exit by itself. fn must not assert. */
int kct_in_child(int (*fn)(void *arg), void *arg);

#endif
