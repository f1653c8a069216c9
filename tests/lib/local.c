/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of coroutines and of local channels share. */
#include "tests/lib/local.h"

#include "libkcoro-client/core/chan-local.h"
#include "tests/lib/kct.h"

/* ---- schedulers ----------------------------------------------------------- */

const unsigned kct_workers[KCT_RUNS] = { 1, 2, 4, 0 };

kc_sched_t *kct_sched_make(unsigned workers)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;

	o.workers = workers;
	if (workers == 0) {
		o.flags = KC_SCHED_DETERMINISTIC;
		o.seed = kct_seed();
	}
	assert_int_equal(kc_sched_create(&s, &o), 0);
	return s;
}

void kct_sched_unmake(kc_sched_t *s)
{
	assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
	assert_int_equal(kc_sched_destroy(s), 0);
}

struct kc_sched_stats kct_sched_stats(kc_sched_t *s)
{
	struct kc_sched_stats st = { .size = sizeof(st) };

	assert_int_equal(kc_sched_stats(s, &st), 0);
	return st;
}

kc_coro_t *kct_coro_spawn(kc_sched_t *s, kc_coro_fn fn, void *arg)
{
	kc_coro_t *co;

	assert_int_equal(kc_spawn(&co, s, fn, arg), 0);
	return co;
}

long kct_coro_join(kc_coro_t *co)
{
	long result = -1;

	assert_int_equal(kc_join(co, &result, KCT_PATIENCE_MS), 0);
	return result;
}

long kct_sched_main(unsigned workers, kc_coro_fn fn, void *arg)
{
	kc_sched_t *s = kct_sched_make(workers);
	kc_coro_t *co = kct_coro_spawn(s, fn, arg);
	long result;

	/* what runs here has ended when this returns, and is not to be drained */
	if (workers == 0)
		assert_int_equal(kc_sched_run(s), 0);
	result = kct_coro_join(co);
	if (workers != 0)
		assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
	assert_int_equal(kc_sched_destroy(s), 0);
	return result;
}

/* ---- channels --------------------------------------------------------------- */

kc_chan_t *kct_chan_make(enum kc_kind kind, size_t capacity)
{
	kc_chan_t *ch;

	assert_int_equal(kc_chan_make(&ch, kind, sizeof(uint32_t), capacity), 0);
	return ch;
}

struct waiting {
	kc_chan_t *ch;
	unsigned senders, receivers;
};

static bool are_waiting(void *arg)
{
	struct waiting *w = arg;
	unsigned senders, receivers;

	kci_local_waiting(w->ch, &senders, &receivers);
	return senders == w->senders && receivers == w->receivers;
}

void kct_chan_wait_for(kc_chan_t *ch, unsigned senders, unsigned receivers)
{
	struct waiting w = { ch, senders, receivers };

	assert_true(kct_wait_until(are_waiting, &w));
}
