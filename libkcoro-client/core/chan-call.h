/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two calls every public spelling of send and receive ends in.
 */
#ifndef KCI_CHAN_CALL_H
#define KCI_CHAN_CALL_H

#include "libkcoro-client/core/chan-ops.h"

/* Which calls a channel takes. */
enum kci_family {
	KCI_FIXED, /* kc_chan_send() and its kin */
	KCI_MSG,   /* the _msg calls */
	KCI_DESC,  /* the descriptor calls */
	KCI_LEASE, /* the lease calls: fixed elements and messages alike */
};

/* Guard, family, token, the placement's send, failure counters, detail. op->n may
 * be more than KC_BATCH_MAX or 0: that is refused here. */
long kci_chan_send(kc_chan_t *ch, enum kci_family family, const struct kci_send *op);
long kci_chan_recv(kc_chan_t *ch, enum kci_family family, struct kci_recv *op);

#endif
