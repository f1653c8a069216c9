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

static long opener_main(void *arg)
{
	return kc_chan_close(arg);
}

static long caller_main(void *arg)
{
	struct caller *c = arg;
	char none;

	/* they all begin when it is closed */
	if (kc_chan_recv(c->gate, &none, -1) != KC_EPIPE)
		return __LINE__;
	for (uint32_t i = 0; i < c->calls; i++) {
		atomic_store(&c->at, i);
		c->call(c, (c->who + 1) << 16 | i);
		if (kct_random(&c->random) % 4 == 0)
			kc_yield();
	}
	kc_cancel_trigger(c->over);
	return 0;
}

void record_calls(void *stage, void (*call)(struct caller *c, uint32_t value), unsigned calls,
		  enum who who, kc_sched_t *s, uint64_t *random)
{
	struct kct_call runs[CALLERS];
	struct caller callers[CALLERS];
	kc_cancel_t *over;
	kc_chan_t *gate;

	assert_true(calls <= CALLS_MAX);
	assert_int_equal(kc_chan_make(&gate, KC_RENDEZVOUS, 1, 0), 0);
	assert_int_equal(kc_cancel_init(&over), 0);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){
			.stage = stage,
			.all = callers,
			.gate = gate,
			.over = over,
			.call = call,
			.calls = calls,
			.who = i,
			.random = kct_random(random),
		};
		for (unsigned k = 0; k < calls; k++)
			assert_int_equal(kc_cancel_init_child(&callers[i].tokens[k], over), 0);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		kct_calls_in(who == THREADS || (who == MIXED && i % 2) ? NULL : s);
		kct_call_start(&runs[i], caller_main, &callers[i]);
	}
	kct_calls_in(NULL);
	if (who == DRAWN) {
		assert_int_equal(kc_spawn(NULL, s, opener_main, gate), 0);
		assert_int_equal(kc_sched_run(s), 0);
	} else {
		kc_chan_close(gate);
	}
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(kct_call_join(&runs[i]), 0);
	for (unsigned i = 0; i < CALLERS; i++)
		for (unsigned k = 0; k < calls; k++)
			kc_cancel_destroy(callers[i].tokens[k]);
	kc_cancel_destroy(over);
	kc_chan_destroy(gate);
}

kc_cancel_t *record_token(const struct caller *c)
{
	return c->tokens[atomic_load(&c->at)];
}
