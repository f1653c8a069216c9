/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement, with a window for the sender, on one connection.
 */
#include "tests/conformance/placement-socket.h"

const struct kct_placement kct_placement = {
	.name = "socket, window, together",
	.traits = KCT_HAS_LEASES,
	.begin = socket_begin,
	.end = socket_end,
	.make = socket_make_window_together,
	.reopen = socket_reopen,
	.unmake = socket_unmake,
	.wait_blocked = socket_wait_blocked,
};
