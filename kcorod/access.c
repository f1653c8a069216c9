/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what: see access.h. */
#include "kcorod/access.h"

/* The uid the kernel shows for users it cannot map: it is nobody in particular. */
#define UID_OVERFLOW 65534u

uint32_t kcd_access_rights(const struct kcd_peer *peer, const struct kcd_channel *ch)
{
	uint32_t mode = ch->opts.mode;

	if (peer->uid == 0)
		return KCD_RIGHT_ANY;
	/* As with files the first class that fits decides, even if it grants less. */
	if (peer->uid == ch->uid && peer->uid != UID_OVERFLOW)
		return (mode >> 6) & KCD_RIGHT_ANY;
	if (kcd_peer_in_group(peer, ch->gid))
		return (mode >> 3) & KCD_RIGHT_ANY;
	return mode & KCD_RIGHT_ANY;
}

bool kcd_access_may_own(const struct kcd_peer *peer)
{
	return peer->uid != UID_OVERFLOW;
}

const char *kcd_access_name(uint32_t rights)
{
	if (rights & KCP_RIGHT_RECV)
		return "receive";
	if (rights & KCP_RIGHT_SEND)
		return "send";
	return "administer";
}
