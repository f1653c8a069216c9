/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two calls every public spelling of send and receive ends in.
 */
#ifndef KCI_CHAN_CALL_H
#define KCI_CHAN_CALL_H

#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/port/kcoro_port.h"

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

/* May the short way be tried? What it cannot do is for the long one to do, or to refuse. */
static inline bool kci_is_fast(const kc_chan_t *ch, enum kci_fast fast, const kc_cancel_t *token)
{
	return ch && ch->fast == fast && kci_process_is(ch->process) &&
	       (!token || kci_cancel_check(token) == 0);
}

/* What is left of a call of fixed elements, or of a descriptor: the short way, if it was tried,
 * moved nothing, and gave r. */
long kci_send_rest(kc_chan_t *ch, enum kci_family family, const void *elems, size_t n,
		   long timeout_ms, kc_cancel_t *token, bool tried, long r);
long kci_recv_rest(kc_chan_t *ch, enum kci_family family, void *ret_elems, size_t n,
		   long timeout_ms, kc_cancel_t *token, bool tried, long r);

#endif
