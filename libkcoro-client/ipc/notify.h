/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors to wait on for a daemon's channel: kc_chan_fd(), PROTOCOL.md section 8.1.
 *
 * kcorod puts a byte into the descriptor when a try would find something and the bell is
 * silent; its AGAIN silences the bell and says how many bytes went before. Those, and no
 * others, are taken out here, and only while nothing lies ahead in the handle.
 *
 * Why that never misses, with any number of threads on the handle and of handles on the
 * connection. At any moment with the lock free, if a try would find something then a byte
 * lies in the descriptor, or kcorod has yet to act on what is on its way to it:
 * - What a try finds at kcorod: since it last said AGAIN on this attachment it has rung, so
 *   the latest byte has a higher number than any RINGS it ever wrote, and none of our
 *   threads can take it out, whatever replies they are handling.
 * - What lies ahead came in a DELIVER, for which it had rung by the same rule, or in a reply
 *   to RECV that found something ahead already. Replies and DELIVERs come in one order, so
 *   when that DELIVER was read every RINGS seen was lower than its byte's number; and
 *   until the buffer is empty again, nothing is taken out. After a break they may come in
 *   another order; but then kcorod has rung once more, after every AGAIN from before it.
 * A descriptor belongs to one attachment, so other handles have no part in this. When the
 * session ends kcorod hangs up, as it does when it dies; when we end it, we hang up.
 */
#ifndef KCI_NOTIFY_H
#define KCI_NOTIFY_H

#include <stdint.h>

#include "kcoro/ipc.h"

/* Of one direction; under the connection's lock. */
struct kci_notify {
	int fd;		/* -1: not asked for yet */
	uint64_t taken; /* the number of the last byte that was taken out */
};

void kci_notify_init(struct kci_notify *notify);
void kci_notify_done(struct kci_notify *notify);

/* A try found nothing: the bytes up to this number have been heard. */
void kci_notify_silence(struct kci_notify *notify, uint64_t rings);

/* The session is lost: readable from here on. */
void kci_notify_hang_up(struct kci_notify *notify);

/* kci_chan_ops.fd */
int kci_schan_fd(kc_chan_t *ch, unsigned direction);

#endif
