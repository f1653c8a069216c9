/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames to the client. Elements are copied from the channel's memory straight
 * into the connection's output. While a session is suspended nothing is written.
 */
#ifndef KCD_OUTPUT_H
#define KCD_OUTPUT_H

#include "kcorod/request.h"
#include "kcorod/session.h"

/* Bytes of a reply to RECV or a DELIVER beside its elements. */
#define KCD_ELEMENTS_OVERHEAD 128u

/* Bound a RECV so that its reply fits a frame of the client. False: not even the largest
 * element of a channel of fixed elements would. */
bool kcd_output_clamp(const struct kcd_session *session, const struct kcd_channel *ch,
		      uint32_t *count, uint64_t *space);

/* Does the largest element of the channel fit a DELIVER of this client? */
bool kcd_output_can_give(const struct kcd_session *session, const struct kcd_channel *ch);

/* A reply whose payload is known. seq 0: not kept. No connection: nothing happens. */
void kcd_output_reply(struct kcd_conn *conn, uint16_t type, uint64_t id, uint64_t seq,
		      const void *payload, size_t len);

/* The reply to a RECV that got elements, from the record of the first on. */
void kcd_output_recv(struct kcd_request *req, struct kcd_attachment *att,
		     const struct kcd_delivery *first);

/* The first of the records that are these deliveries, if all are still given; else NULL. */
struct kcd_delivery *kcd_output_find(struct kcd_attach *attach, uint64_t first, uint32_t n);

/* DELIVER: of one record what comes after delivery number `seen`, in several frames if one
 * is too small. */
void kcd_output_deliver(struct kcd_attachment *att, const struct kcd_delivery *d, uint64_t seen);

void kcd_output_recall(struct kcd_attachment *att, uint32_t n);
void kcd_output_offer(struct kcd_request *req);

#endif
