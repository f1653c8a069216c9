/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement, used from coroutines only, all on one worker and on one
 * connection: whoever reads for the others must not keep the worker.
 */
#include "tests/conformance/coro.h"
#include "tests/conformance/placement-socket.h"

static int socket_coro_begin(void)
{
	int r = socket_begin();

	return r == 0 ? socket_warm_up() : r;
}

const struct kct_placement kct_placement = {
	.name = "socket, coroutines",
	.traits = KCT_HAS_LEASES,
	.begin = socket_coro_begin,
	.end = socket_end,
	.run = coro_run,
	.make = socket_make_together,
	.reopen = socket_reopen,
	.unmake = socket_unmake,
	.wait_blocked = socket_wait_blocked,
};
