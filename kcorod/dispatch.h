/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a frame to the handler of its message. What all messages have in common is
 * checked here once: form, shape, ids, attachment, role, rights. Handlers are
 * small functions in method-*.c that find everything in a struct kcd_call.
 */
#ifndef KCD_DISPATCH_H
#define KCD_DISPATCH_H

#include "kcorod/conn.h"
#include "kcorod/request.h"
#include "kcorod/session.h"
#include "proto/frame.h"
#include "proto/tlv.h"
#include "proto/values.h"

struct kcd_call {
	struct kcd_daemon *daemon;
	struct kcd_conn *conn;
	struct kcd_session *session;  /* NULL for HELLO */
	const struct kcp_header *header;
	struct kcp_args *args;
	struct kcp_ranges ranges;     /* RANGES and REQUESTS, if there are any */
	struct kcp_ids ids;
	struct kcd_request *req;      /* NULL for notices, and where the reply is not kept */
	struct kcd_attachment *att;   /* of messages with ATTACH */
	struct kcd_channel *channel;  /* of those, and of messages with NAME or CHAN_ID */
	bool fresh;                   /* the frame right after HELLO */
};

void kcd_dispatch(struct kcd_conn *conn, const struct kcp_header *header, const uint8_t *payload);

/* A reply in three steps: begin gives a buffer that holds RESULT already. Nothing that
 * could answer another request may happen in between. */
struct kcp_buf *kcd_call_begin(struct kcd_call *call, int code);
void kcd_call_end(struct kcd_call *call);

/* A reply of a code, and perhaps a detail for people. */
void kcd_call_reply(struct kcd_call *call, int code, const char *detail);
void kcd_call_replyf(struct kcd_call *call, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* "limit is used up" */
void kcd_call_over_limit(struct kcd_call *call, const char *limit);

/* method-session.c */
void kcd_do_hello(struct kcd_call *call);
void kcd_do_bye(struct kcd_call *call);
void kcd_do_ping(struct kcd_call *call);
void kcd_do_confirm(struct kcd_call *call);
void kcd_do_cancel(struct kcd_call *call);

/* resume.c */
void kcd_do_resume(struct kcd_call *call);

/* method-chan.c */
void kcd_do_chan_make(struct kcd_call *call);
void kcd_do_chan_open(struct kcd_call *call);
void kcd_do_chan_detach(struct kcd_call *call);
void kcd_do_chan_close(struct kcd_call *call);
void kcd_do_chan_destroy(struct kcd_call *call);
void kcd_do_chan_purge(struct kcd_call *call);

/* Has what was sent to the channel for promised places been read? If not, it is now, and
 * then kcd_chan_settled() carries the request out. */
bool kcd_call_settle(struct kcd_call *call);
void kcd_chan_settled(struct kcd_request *req, struct kcd_channel *ch);

/* method-data.c */
/* A SEND that is covered by what its sender was promised needs no reply, and so no request
 * to keep one. False: it is like any other. */
bool kcd_send_promised(struct kcd_call *call);

/* method-watch.c, method-map.c */
void kcd_do_chan_watch(struct kcd_call *call);
void kcd_do_chan_map(struct kcd_call *call);

/* method-stats.c */
void kcd_do_chan_list(struct kcd_call *call);
void kcd_do_chan_info(struct kcd_call *call);
/* The reply to that. */
void kcd_chan_tell(struct kcd_call *call);
void kcd_do_stats(struct kcd_call *call);

/* method-data.c */
void kcd_do_send(struct kcd_call *call);
void kcd_do_recv(struct kcd_call *call);
void kcd_do_credit(struct kcd_call *call);

/* method-lease.c */
void kcd_do_taken(struct kcd_call *call);
void kcd_do_ack(struct kcd_call *call);
void kcd_do_nack(struct kcd_call *call);
void kcd_do_extend(struct kcd_call *call);
void kcd_do_return(struct kcd_call *call);

/* method-offer.c */
void kcd_do_claim(struct kcd_call *call);
void kcd_do_decline(struct kcd_call *call);

#endif
