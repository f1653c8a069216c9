/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement, used from a thread and from coroutines on two workers, all on one
 * connection: the role of the reader goes from the ones to the others.
 */
#include "tests/conformance/coro.h"
#include "tests/conformance/placement-socket.h"
#include "tests/lib/kct.h"

static long warm_up(void *arg)
{
	(void)arg;
	return socket_warm_up();
}

static int socket_mixed_begin(void)
{
	struct kct_call call;
	int r = socket_begin();

	if (r == 0)
		r = coro_begin_mixed();
	if (r < 0)
		return r;
	kct_call_start(&call, warm_up, NULL);
	return (int)kct_call_join(&call);
}

static void socket_mixed_end(void)
{
	coro_end_mixed();
	socket_end();
}

const struct kct_placement kct_placement = {
	.name = "socket, mixed",
	.traits = KCT_HAS_LEASES,
	.begin = socket_mixed_begin,
	.end = socket_mixed_end,
	.make = socket_make_together,
	.reopen = socket_reopen,
	.unmake = socket_unmake,
	.wait_blocked = socket_wait_blocked,
};
