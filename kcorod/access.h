/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what with a channel: PROTOCOL.md section 11. */
#ifndef KCD_ACCESS_H
#define KCD_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/channel.h"
#include "kcorod/peer.h"

#define KCD_RIGHT_ANY (KCP_RIGHT_RECV | KCP_RIGHT_SEND | KCP_RIGHT_ADMIN)

/* The rights (KCP_RIGHT_*) a process has on a channel. */
uint32_t kcd_access_rights(const struct kcd_peer *peer, const struct kcd_channel *ch);

/* May it own channels? */
bool kcd_access_may_own(const struct kcd_peer *peer);

/* "receive", "send", "administer": the first right of a mask, for people. */
const char *kcd_access_name(uint32_t rights);

#endif
