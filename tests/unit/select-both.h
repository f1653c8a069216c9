/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of select on local channels share: each case runs with its helpers on threads and
 * again with them in coroutines on two workers; the test itself is a thread in both.
 */
#ifndef KCT_SELECT_BOTH_H
#define KCT_SELECT_BOTH_H

#include "kcoro.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))
/* of steps that cost some instrumented instructions each */
#define SCALED(n) (KCI_TSAN || KCI_ASAN ? (n) / 8 : (n))

static kc_sched_t *select_sched;

static int setup_threads(void **state)
{
	return kct_setup(state);
}

static int setup_coroutines(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	int r = kct_setup(state);

	o.workers = 2;
	if (r == 0)
		r = kc_sched_create(&select_sched, &o);
	kct_calls_in(select_sched);
	return r;
}

static int teardown_both(void **state)
{
	int r = 0;

	kct_calls_in(NULL);
	if (select_sched) {
		r = kc_sched_drain(select_sched, KCT_PATIENCE_MS);
		if (r == 0)
			r = kc_sched_destroy(select_sched);
		select_sched = NULL;
	}
	return kct_teardown(state) != 0 || r != 0;
}

#define BOTH(fn)                                                                                   \
	{ #fn "_threads", fn, setup_threads, teardown_both, NULL },                                \
	{                                                                                          \
#fn "_coroutines", fn, setup_coroutines, teardown_both, NULL                       \
	}

/* Start n calls of fn, the ith with the ith element of args, and await their ends, each 0. */
#define RUN_ALL(n, fn, args)                                                                       \
	do {                                                                                       \
		struct kct_call calls_[n];                                                         \
                                                                                                   \
		for (unsigned i_ = 0; i_ < (n); i_++)                                              \
			kct_call_start(&calls_[i_], fn, &(args)[i_]);                              \
		for (unsigned i_ = 0; i_ < (n); i_++)                                              \
			assert_int_equal(kct_call_join(&calls_[i_]), 0);                           \
	} while (0)

#endif
