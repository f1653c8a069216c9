/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The local placement, used from coroutines only: the tests themselves are one, and all
 * run on one worker. So a call that blocked its thread would never come back. (More
 * workers than one are not for CMocka, which keeps its state per thread.)
 */
#include "tests/conformance/placement-local.h"
#include "tests/lib/kct.h"

static int coro_begin(void)
{
	return 0;
}

static void coro_end(void)
{
}

static int (*program)(void);

static long in_coroutine(void *arg)
{
	(void)arg;
	return program();
}

static int coro_run(int (*fn)(void))
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *sched;
	kc_coro_t *co;
	long failed;

	program = fn;
	o.workers = 1;
	o.stack_size = 1 << 20; /* CMocka's, and printf's */
	if (kc_sched_create(&sched, &o) < 0)
		return 99;
	kct_calls_in(sched);
	if (kc_spawn(&co, sched, in_coroutine, NULL) < 0 || kc_join(co, &failed, -1) < 0 ||
	    kc_sched_destroy(sched) < 0)
		return 99;
	return (int)failed;
}

const struct kct_placement kct_placement = {
	.name = "local-coro",
	.traits = KCT_LOCAL_TRAITS,
	.begin = coro_begin,
	.end = coro_end,
	.run = coro_run,
	.make = local_make,
	.unmake = local_unmake,
	.wait_blocked = local_wait_blocked,
};
