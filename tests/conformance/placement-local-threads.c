/* SPDX-License-Identifier: BSD-3-Clause */
/* The local placement, used from threads. */
#include "tests/conformance/placement-local.h"

static int threads_begin(void)
{
	return 0;
}

static void threads_end(void)
{
}

const struct kct_placement kct_placement = {
	.name = "local",
	.traits = KCT_LOCAL_TRAITS,
	.begin = threads_begin,
	.end = threads_end,
	.make = local_make,
	.unmake = local_unmake,
	.wait_blocked = local_wait_blocked,
};
