/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement with a window for the sender and credit for the receiver, used from
 * coroutines only, all on one worker. For programs, as placement-socket-ahead.c.
 */
#include "tests/conformance/coro.h"
#include "tests/conformance/placement-socket.h"

const struct kct_placement kct_placement = {
	.name = "socket, ahead, coroutines",
	.traits = KCT_HAS_LEASES,
	.begin = socket_begin_coro,
	.end = socket_end,
	.run = coro_run,
	.make = socket_make_ahead,
	.reopen = socket_reopen,
	.unmake = socket_unmake,
	.wait_blocked = socket_wait_blocked,
};
