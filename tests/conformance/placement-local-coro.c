/* SPDX-License-Identifier: BSD-3-Clause */
/* The local placement, used from coroutines only, on one worker. */
#include "tests/conformance/coro.h"
#include "tests/conformance/placement-local.h"

static int coro_begin(void)
{
	return 0;
}

static void coro_end(void)
{
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
