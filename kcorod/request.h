/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request of a session from its arrival until its reply is confirmed.
 *
 * The record is made before the request is carried out, so that an effect never
 * lacks a place for its reply. It waits at a channel if need be, then keeps the
 * reply: short ones as bytes, elements as the numbers of their deliveries.
 */
#ifndef KCD_REQUEST_H
#define KCD_REQUEST_H

#include "kcorod/session.h"

#define KCD_REPLY_INLINE 64

/* The clauses of one select. */
struct kcd_select {
	struct kcd_group group;
	struct kcd_map_node node; /* session->groups */
	struct kcd_session *session;
	struct kcd_corpse corpse;
};

struct kcd_request {
	struct kcd_map_node node; /* session->requests, by id */
	struct kcd_session *session;
	struct kcd_list link; /* session->waiting or session->kept */
	struct kcd_corpse corpse;
	uint16_t type;
	bool waiting;

	/* while it waits */
	struct kcd_attachment *attachment; /* NULL: waits for a CLAIM's decision */
	struct kcd_list of_attachment;
	struct kcd_wait wait;
	struct kcd_timer deadline;
	void *elems; /* a waiting SEND's elements, charged to the budgets: a copy, or ... */
	struct kcd_lender lender; /* ... the frame they came in, lent on (size not 0) */
	struct kcd_select *select;
	struct kcd_request *claim;   /* the CLAIM of this request that is not decided yet */
	struct kcd_request *claimed; /* the other way round */

	/* once it is answered */
	uint64_t seq;
	uint8_t *reply; /* payload; NULL: elements, to be written anew */
	uint32_t reply_len;
	uint8_t room[KCD_REPLY_INLINE];
	uint32_t attach; /* number of the attachment ... */
	uint64_t first;  /* ... that was given these deliveries */
	uint32_t n;
};

/* 0, KC_EDQUOT (too many) or KC_ENOMEM. */
int kcd_request_new(struct kcd_session *session, uint64_t id, uint16_t type,
		    struct kcd_request **ret);

/* NULL if the session has none of this id. */
struct kcd_request *kcd_request_find(struct kcd_session *session, uint64_t id);

/* The request is about to be handed to its channel: joins attachment and select
 * (`group` 0: none; see PROTOCOL.md GROUP). 0 or KC_ENOMEM. */
int kcd_request_prepare(struct kcd_request *req, struct kcd_attachment *att, bool has_group,
			uint64_t group);

/*
 * The channel said that it waits: keep the elements of a SEND, in the memory of wait->lender
 * if that is better than to copy them, and watch the deadline (timeout_ms; UINT64_MAX:
 * none). 0, or KC_ENOMEM or KC_EDQUOT with the limit's name, and
 * the request is at no channel any more.
 */
int kcd_request_wait(struct kcd_request *req, uint64_t timeout_ms, const char **ret_limit);

/* It waits no more (the channel has let go of it). */
void kcd_request_settle(struct kcd_request *req);

/* End a waiting request with a code. */
void kcd_request_fail(struct kcd_request *req, int code);

/* Answer with the payload in `buf` (RESULT included): keep and send it. */
void kcd_request_answer(struct kcd_request *req, const struct kcp_buf *payload);

/* Answer with a code alone, and perhaps a detail. */
void kcd_request_answer_code(struct kcd_request *req, int code, const char *detail);

/* Answer as the channel says: n of kcd_channel_ops.done, kcd_channel_send() or _recv(). */
void kcd_request_answer_moved(struct kcd_request *req, long n);

/* A decision about a CLAIM. */
void kcd_request_claimed(struct kcd_request *req, bool ok);

/* The client has seen replies up to `seq`. */
void kcd_requests_confirm(struct kcd_session *session, uint64_t seq);

/* Forget it; the record is freed at the end of the turn. */
void kcd_request_drop(struct kcd_request *req);

#endif
