/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request to the daemon and the wait for its reply.
 *
 * A call lives in the frame of the thread that makes it, with the bytes of its
 * frame: small TLVs in `bytes`, and optionally one last value somewhere else (the
 * caller's elements). They stay there until the reply has come, so the request
 * can be sent again after a break.
 *
 *	kci_call_init(&call, conn, KCP_CHAN_CLOSE);
 *	kcp_put_u64(&call.head, KCP_T_CHAN_ID, id);
 *	r = kci_call_run(&call, NULL);
 *	kci_call_done(&call);
 *
 * A call that is cancelled sends CANCEL and then waits for both replies; what its
 * own reply says counts. One that asks for an offer and was never granted it has no effect,
 * so that nobody need wait for its end: it may be abandoned, if its memory can stay.
 */
#ifndef KCI_CALL_H
#define KCI_CALL_H

#include "libkcoro-client/ipc/conn.h"
#include "proto/tlv.h"

#define KCI_CALL_HEAD 768u /* CHAN_MAKE with the longest name needs less */

struct kci_call;

/* What goes over the wire: the call's own request, or its CANCEL. */
struct kci_request {
	struct kci_list link; /* conn->outbox, then conn->sent; alone once answered */
	struct kci_list hash; /* conn->by_id, while sent */
	struct kci_call *call; /* NULL: it is ... */
	struct kci_windowed *windowed; /* ... one of window.h */
	uint64_t id; /* 0 until it is sent for the first time */
	uint16_t type;
	uint8_t *head;
	size_t head_len;
	const void *extra; /* the end of the frame, not copied */
	size_t extra_len;
};

/* Called by the reader, lock held, for a reply of the right shape; code is its
 * result. 0, or what call->result becomes instead of code. KC_EPROTO ends the
 * connection. */
typedef int (*kci_reply_fn)(struct kci_call *call, struct kcp_args *args, int code);

struct kci_call {
	kc_ipc_conn_t *conn;
	struct kci_wait wait;
	struct kci_request request;
	struct kci_request cancel;
	unsigned outstanding; /* replies that must still come */
	bool cancelled;	      /* a CANCEL is sent or to be sent */
	bool urgent;	      /* not counted against the calls at one time */

	struct kcp_buf head; /* built by the caller, in bytes */
	size_t frame;
	uint8_t bytes[KCI_CALL_HEAD];
	uint8_t cancel_bytes[KCP_HEADER_SIZE + KCP_TLV_HEADER_SIZE + 8];

	size_t timeout_at; /* where in head the value of TIMEOUT_MS is; 0: none */
	uint64_t deadline;

	kci_reply_fn on_reply; /* may be NULL */
	void (*on_offer)(struct kci_call *call); /* NULL: it asks for none */
	void (*on_end)(struct kci_call *call);	 /* of one that was abandoned */
	void *arg;
	int result;
	uint32_t count; /* COUNT of the reply */
	char detail[KCP_DETAIL_MAX + 1];
	uint8_t *kept; /* kci_call_keep(): the reply's payload */
	size_t kept_len;
};

void kci_call_init(struct kci_call *call, kc_ipc_conn_t *conn, uint16_t type);
void kci_call_done(struct kci_call *call);

/* TIMEOUT_MS as the public calls mean it (none for < 0). After a break what then
 * remains until deadline is sent. */
void kci_call_timeout(struct kci_call *call, long timeout_ms, uint64_t deadline);

/* The end of the last TLV's value, whose beginning (kcp_put_head() at least) is in
 * head: len bytes at data, not copied. */
void kci_call_extra(struct kci_call *call, const void *data, size_t len);

/* An on_reply that keeps the payload of a good reply in call->kept. */
int kci_call_keep(struct kci_call *call, struct kcp_args *args, int code);

/* Send, and return at once: 0, and it is under way until call->outstanding is 0; or a code. Lock
 * held. It is written by the next pump. */
int kci_call_start(struct kci_call *call);

/* Send, wait, and return the result with its words. Lock held. When token is set the
 * request is cancelled. */
int kci_call_run_locked(struct kci_call *call, kc_cancel_t *token);

/* The same for a call whose reply has a descriptor, between kci_conn_lock_fd() and its
 * end. */
int kci_call_run_fd(struct kci_call *call);

/* The same with the lock taken inside. */
int kci_call_run(struct kci_call *call, kc_cancel_t *token);

/* Lock held, from anywhere: let the call end with KC_ECANCELED if it can. */
void kci_call_cancel(struct kci_call *call);

/* Lock held, for a call that asks for an offer, is cancelled and under way: on_end is called, with
 * the lock held, once it has ended, and may free it. The elements it was to send need not stay. */
void kci_call_abandon(struct kci_call *call, void (*on_end)(struct kci_call *call));

/* Lock held, for who may ask later: is there room for n more calls beside those that are abandoned,
 * and enough left for others? */
bool kci_call_has_room(const kc_ipc_conn_t *conn, uint32_t n);

/* For the reader. */
void kci_call_replied(struct kci_request *request, struct kcp_args *args);
struct kci_request *kci_request_find(kc_ipc_conn_t *conn, uint64_t id);

/* For kci_conn_fail(): the call ends with code. */
void kci_call_fail(struct kci_call *call, int code, const char *detail);

/* For the pump: put the numbers of this moment into the frame. */
void kci_request_stamp(struct kci_request *request, uint64_t seq);

#endif
