/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement, with a window for the sender and credit for the receiver. For
 * programs: what is given ahead to one handle is nobody else's to try for or to purge,
 * which cases of the suite look at.
 */
#include "tests/conformance/placement-socket.h"

const struct kct_placement kct_placement = {
	.name = "socket, ahead",
	.traits = KCT_HAS_LEASES,
	.begin = socket_begin,
	.end = socket_end,
	.make = socket_make_ahead,
	.reopen = socket_reopen,
	.unmake = socket_unmake,
	.wait_blocked = socket_wait_blocked,
};
