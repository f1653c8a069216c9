/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement, used from coroutines only, all on one worker and on one
 * connection: whoever reads for the others must not keep the worker.
 */
#include "tests/conformance/coro.h"
#include "tests/conformance/placement-socket.h"

const struct kct_placement kct_placement = {
	.name = "socket, coroutines",
	.traits = KCT_HAS_LEASES,
	.begin = socket_begin_coro,
	.end = socket_end,
	.run = coro_run,
	.make = socket_make_together,
	.reopen = socket_reopen,
	.unmake = socket_unmake,
	.wait_blocked = socket_wait_blocked,
};
