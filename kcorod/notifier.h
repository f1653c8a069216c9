/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What wakes a client that waits on a descriptor: PROTOCOL.md section 8.1.
 *
 * One end of a pair of sockets; the client has the other end. A ring is one byte. It is
 * no eventfd, on purpose: an eventfd would be one and the same object on both sides,
 * and a client that made it blocking, and filled it, would have the daemon wait in
 * write(). Of a pair of sockets neither side can do anything to the other's end but
 * fill it or hang up, and when the daemon dies the client's end tells.
 */
#ifndef KCD_NOTIFIER_H
#define KCD_NOTIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/channel.h"
#include "kcorod/session.h"

struct kcd_notifier {
	struct kcd_bell bell;
	int fd;
	uint64_t rings; /* bytes sent, of earlier descriptors of the attachment too */
};

/*
 * A new pair for an attachment, in place of the one there was. *ret_fd is the client's
 * end, *ret_rings the rings before the first byte in it. 0, KC_EDQUOT with the limit's
 * name, or KC_ENOMEM (no memory, no descriptor).
 */
int kcd_notifier_make(struct kcd_attachment *att, bool send, int *ret_fd, uint64_t *ret_rings,
		      const char **ret_limit);

/* Hang up on the client: those an attachment has. */
void kcd_notifiers_free(struct kcd_attachment *att);

/* The client should look: its connection is gone. */
void kcd_notifiers_ring(struct kcd_attachment *att);

/* kcd_channel_ops.ring */
void kcd_notifier_ring(struct kcd_bell *bell);

#endif
