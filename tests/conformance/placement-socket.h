/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement for the conformance suite: channels of a private kcorod.
 */
#ifndef KCT_PLACEMENT_SOCKET_H
#define KCT_PLACEMENT_SOCKET_H

#include "tests/conformance/placement.h"

int socket_begin(void);
void socket_end(void);
/* Once from a coroutine: its scheduler then has the descriptors that it keeps, and no case
 * seems to leave them behind. 0 or a code. */
int socket_warm_up(void);
/* Both. */
int socket_begin_coro(void);
/* Both handles on one connection, or on two. */
int socket_make_together(struct kct_pair *ret, const struct kc_chan_options *opts,
			 bool descriptors);
int socket_make_apart(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors);
/* The same with a window for the sender; and with credit for the receiver, too. */
int socket_make_window(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors);
int socket_make_window_together(struct kct_pair *ret, const struct kc_chan_options *opts,
				bool descriptors);
int socket_make_ahead(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors);
kc_chan_t *socket_reopen(struct kct_pair *pair);
void socket_unmake(struct kct_pair *pair);
bool socket_wait_blocked(struct kct_pair *pair, unsigned senders, unsigned receivers);

#endif
