/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cases that are run twice: with their helpers (kct_call_start()) on threads, and with them in
 * coroutines on two workers. The test itself is a thread in both.
 */
#ifndef KCT_BOTH_H
#define KCT_BOTH_H

#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"

#define KCT_ARRAY(a) (sizeof(a) / sizeof((a)[0]))
/* Of steps that cost some instrumented instructions each. */
#define KCT_SCALED(n) (KCI_TSAN || KCI_ASAN ? (n) / 8 : (n))

int kct_setup_coroutines(void **state);
int kct_teardown_both(void **state);

#define KCT_BOTH(fn)                                                                               \
	{ #fn "_threads", fn, kct_setup, kct_teardown_both, NULL },                                \
	{                                                                                          \
#fn "_coroutines", fn, kct_setup_coroutines, kct_teardown_both, NULL               \
	}

/* Start n calls of fn, the ith with the ith element of args, and await their ends, each 0. */
#define KCT_RUN_ALL(n, fn, args)                                                                   \
	do {                                                                                       \
		struct kct_call calls_[n];                                                         \
                                                                                                   \
		for (unsigned i_ = 0; i_ < (n); i_++)                                              \
			kct_call_start(&calls_[i_], fn, &(args)[i_]);                              \
		for (unsigned i_ = 0; i_ < (n); i_++)                                              \
			assert_int_equal(kct_call_join(&calls_[i_]), 0);                           \
	} while (0)

#endif
