/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the coroutines of a placement run: see coro.h. */
#include "tests/conformance/coro.h"

#include "tests/lib/kct.h"

static int (*program)(void);
static kc_sched_t *mixed;

static long in_coroutine(void *arg)
{
	(void)arg;
	return program();
}

int coro_run(int (*fn)(void))
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

int coro_begin_mixed(void)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	int r;

	o.workers = 2;
	r = kc_sched_create(&mixed, &o);
	if (r == 0)
		kct_calls_in(mixed);
	return r;
}

void coro_end_mixed(void)
{
	kct_calls_in(NULL);
	/* nobody is left in it: each case joins what it started */
	if (kc_sched_destroy(mixed) < 0)
		print_error("coroutines are left\n");
}
