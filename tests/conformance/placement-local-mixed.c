/* SPDX-License-Identifier: BSD-3-Clause */
/* The local placement, used from a thread and from coroutines on two workers. */
#include "tests/conformance/coro.h"
#include "tests/conformance/placement-local.h"

const struct kct_placement kct_placement = {
	.name = "local-mixed",
	.traits = KCT_LOCAL_TRAITS,
	.begin = coro_begin_mixed,
	.end = coro_end_mixed,
	.make = local_make,
	.unmake = local_unmake,
	.wait_blocked = local_wait_blocked,
};
