/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rounds of calls that are recorded: see recorder.h.
 */
#include "tests/unit/recorder.h"

#include <stdio.h>

#include "kcoro.h"
#include "tests/lib/kct.h"

static void explain(struct kct_history *h, unsigned round)
{
	switch (kct_history_check(h)) {
	case KCT_LINEARIZABLE:
		return;
	case KCT_UNDECIDED:
		kct_history_print(h);
		fail_msg("round %u: no end of the search", round);
		break;
	default:
		kct_history_shrink(h);
		kct_history_print(h);
		fail_msg("round %u cannot be explained", round);
	}
}

void record(const struct recorder *r, enum who who)
{
	uint64_t random = kct_seed();
	unsigned long calls = 0, overlaps = 0;

	for (unsigned round = 0; round < r->rounds; round++) {
		struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
		kc_sched_t *s = NULL;

		o.workers = who == DRAWN ? 1 : 2;
		o.flags = who == DRAWN ? KC_SCHED_DETERMINISTIC : 0;
		o.seed = kct_random(&random);
		if (who != THREADS)
			assert_int_equal(kc_sched_create(&s, &o), 0);
		r->play(round, who, s, &random);
		for (unsigned i = 0; i < r->n; i++) {
			calls += atomic_load(&r->h[i].n);
			overlaps += kct_history_overlaps(&r->h[i]);
			explain(&r->h[i], round);
		}
		if (s && who != DRAWN)
			assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
		if (s)
			assert_int_equal(kc_sched_destroy(s), 0);
	}
	printf("# %lu of %lu calls beside another\n", overlaps, calls);
	assert_true(overlaps > 0);
}

void record_caller_in(unsigned i, enum who who, kc_sched_t *s)
{
	kct_calls_in(who == THREADS || (who == MIXED && i % 2) ? NULL : s);
}

static long opener_main(void *arg)
{
	return kc_chan_close(arg);
}

void record_open(kc_chan_t *gate, enum who who, kc_sched_t *s)
{
	kct_calls_in(NULL);
	if (who != DRAWN) {
		kc_chan_close(gate);
		return;
	}
	assert_int_equal(kc_spawn(NULL, s, opener_main, gate), 0);
	assert_int_equal(kc_sched_run(s), 0);
}
