/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending without awaiting the reply, within what kcorod has promised places for.
 * PROTOCOL.md section 7.6.
 *
 * Such a SEND is kept here until the cursor says that it was accepted, and is sent
 * again after a break. Its call returns as soon as it is written and `granted`, read
 * after that, still covers it; else the reply is awaited as for any other.
 */
#ifndef KCI_WINDOW_H
#define KCI_WINDOW_H

#include <stdbool.h>

#include "libkcoro-client/core/chan-ops.h"
#include "proto/tlv.h"

struct kci_request;
struct kci_schan;
struct kci_windowed;

/* How many were sent, a code, or 0: it has to be sent as any other. Lock held. */
long kci_window_send(struct kci_schan *sc, const struct kci_send *op);

/* Has kcorod accepted it? */
bool kci_windowed_is_accepted(const struct kci_windowed *w);

/* Is kcorod to be asked about it after a break? */
bool kci_windowed_is_open(const struct kci_windowed *w);

/* It is known to be accepted; it is to be sent again on a new connection; a reply came; the
 * connection is dead. */
void kci_windowed_accepted(struct kci_windowed *w);
void kci_windowed_again(struct kci_windowed *w);
void kci_windowed_replied(struct kci_windowed *w, struct kcp_args *args);
void kci_windowed_fail(struct kci_windowed *w, int code);

/* The handle is given back, and kcorod has dealt with all it sent. */
void kci_window_done(struct kci_schan *sc);

#endif
