/* SPDX-License-Identifier: BSD-3-Clause */
/* The local placement, used from a thread and from coroutines on two workers. */
#include "tests/conformance/placement-local.h"
#include "tests/lib/kct.h"

static kc_sched_t *sched;

static int mixed_begin(void)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	int r;

	o.workers = 2;
	r = kc_sched_create(&sched, &o);
	if (r == 0)
		kct_calls_in(sched);
	return r;
}

static void mixed_end(void)
{
	kct_calls_in(NULL);
	/* nobody is left in it: each case joins what it started */
	if (kc_sched_destroy(sched) < 0)
		print_error("coroutines are left\n");
}

const struct kct_placement kct_placement = {
	.name = "local-mixed",
	.traits = KCT_LOCAL_TRAITS,
	.begin = mixed_begin,
	.end = mixed_end,
	.make = local_make,
	.unmake = local_unmake,
	.wait_blocked = local_wait_blocked,
};
