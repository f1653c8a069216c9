/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls in flight.
 */
#include "libkcoro-client/ipc/call.h"

#include <stdio.h>
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/bell.h"
#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/result.h"

/* where in a frame these are: PROTOCOL.md section 2 */
#define ID_AT  16
#define SEQ_AT 24

static void request_init(struct kci_request *request, struct kci_call *call, uint16_t type,
			 uint8_t *head)
{
	memset(request, 0, sizeof(*request));
	kci_list_init(&request->link);
	kci_list_init(&request->hash);
	request->call = call;
	request->type = type;
	request->head = head;
}

void kci_call_init(struct kci_call *call, kc_ipc_conn_t *conn, uint16_t type)
{
	kci_wait_init(&call->wait);
	call->conn = conn;
	request_init(&call->request, call, type, call->bytes);
	request_init(&call->cancel, call, KCP_CANCEL, call->cancel_bytes);
	call->outstanding = 0;
	call->cancelled = false;
	call->urgent = false;
	/* a buffer that is full before it would ask for memory */
	call->head = (struct kcp_buf){ .data = call->bytes,
				       .cap = sizeof(call->bytes),
				       .max = sizeof(call->bytes) };
	call->frame = kcp_frame_begin(&call->head, type, 0, 0, 0);
	call->timeout_at = 0;
	call->deadline = KC_NEVER;
	call->on_reply = NULL;
	call->on_offer = NULL;
	call->on_end = NULL;
	call->arg = NULL;
	call->result = 0;
	call->count = 0;
	call->detail[0] = '\0';
	call->kept = NULL;
	call->kept_len = 0;
}

void kci_call_done(struct kci_call *call)
{
	KC_FREE(KC_STEAL(call->kept));
}

void kci_call_timeout(struct kci_call *call, long timeout_ms, uint64_t deadline)
{
	if (timeout_ms < 0)
		return;
	kcp_put_u64(&call->head, KCP_T_TIMEOUT_MS, (uint64_t)timeout_ms);
	call->timeout_at = call->head.len - 8;
	call->deadline = deadline;
}

void kci_call_extra(struct kci_call *call, const void *data, size_t len)
{
	call->request.extra = data;
	call->request.extra_len = len;
}

int kci_call_keep(struct kci_call *call, struct kcp_args *args, int code)
{
	if (code < 0)
		return 0;
	call->kept = KC_ALLOC(args->len ? args->len : 1);
	if (!call->kept)
		return KC_ENOMEM;
	if (args->len)
		memcpy(call->kept, args->data, args->len);
	call->kept_len = args->len;
	return 0;
}

void kci_request_stamp(struct kci_request *request, uint64_t seq)
{
	struct kci_call *call = request->call;

	kcp_store_u64(request->head + ID_AT, request->id);
	kcp_store_u64(request->head + SEQ_AT, seq);
	if (call && request == &call->request && call->timeout_at) {
		uint64_t left = kci_deadline_left(call->deadline);
		uint64_t ms = left / KC_NS_PER_MS + (left % KC_NS_PER_MS != 0);

		kcp_store_u64(request->head + call->timeout_at,
			      ms < KCP_TIMEOUT_MAX_MS ? ms : KCP_TIMEOUT_MAX_MS);
	}
}

struct kci_request *kci_request_find(kc_ipc_conn_t *conn, uint64_t id)
{
	struct kci_list *bucket = &conn->by_id[id % KCI_CONN_BUCKETS];

	for (struct kci_list *l = bucket->next; l != bucket; l = l->next) {
		struct kci_request *request = KC_CONTAINER_OF(l, struct kci_request, hash);

		if (request->id == id)
			return request;
	}
	return NULL;
}

static void request_forget(struct kci_request *request)
{
	kci_list_remove(&request->link);
	kci_list_remove(&request->hash);
}

/* One CANCEL for each must still find room among the requests kcorod keeps. */
static uint32_t calls_max(const kc_ipc_conn_t *conn)
{
	return conn->hello.requests_max > 1 ? conn->hello.requests_max / 2 : 1;
}

bool kci_call_has_room(const kc_ipc_conn_t *conn, uint32_t n)
{
	return conn->n_abandoned == 0 || (conn->n_abandoned < KCI_ABANDONED_MAX &&
					  conn->n_calls + n <= calls_max(conn) / 2);
}

static void call_ended(struct kci_call *call)
{
	kc_ipc_conn_t *conn = call->conn;

	conn->n_calls--;
	if (!call->on_end) {
		kci_wait_ready(&call->wait);
		return;
	}
	conn->n_abandoned--;
	if (conn->n_room > 0) {
		for (struct kci_list *l = conn->waiting.next; l != &conn->waiting; l = l->next) {
			struct kci_wait *wait = KC_CONTAINER_OF(l, struct kci_wait, link);

			if (wait->room && kci_call_has_room(conn, wait->room))
				kci_wait_ready(wait);
		}
	}
	call->on_end(call);
}

void kci_call_fail(struct kci_call *call, int code, const char *detail)
{
	request_forget(&call->request);
	request_forget(&call->cancel);
	call->outstanding = 0;
	call->result = code;
	(void)snprintf(call->detail, sizeof(call->detail), "%s", detail);
	call_ended(call);
}

void kci_call_replied(struct kci_request *request, struct kcp_args *args)
{
	struct kci_call *call = request->call;
	kc_ipc_conn_t *conn = call->conn;
	int code = kcp_result_to_code((uint32_t)kcp_num(args, KCP_T_RESULT, KCP_PROTO));
	int r;

	request_forget(request);
	if (request == &call->cancel) {
		/* it always succeeds, and the call's own reply comes before it */
		r = code < 0 || call->outstanding != 1 ? KC_EPROTO : 0;
	} else {
		call->result = code;
		call->count = (uint32_t)kcp_num(args, KCP_T_COUNT, 0);
		if (code < 0)
			(void)kcp_text(args, KCP_T_DETAIL, call->detail, sizeof(call->detail));
		r = call->on_reply ? call->on_reply(call, args, code) : 0;
		if (r < 0)
			call->result = r;
	}
	if (r == KC_EPROTO && conn->state != KCI_DEAD) {
		/* it ends with all others */
		kci_list_append(&conn->sent, &request->link);
		kci_conn_fail(conn, KC_EPROTO, "kcorod's reply to %s makes no sense",
			      kcp_message_name(request->type));
		return;
	}
	if (conn->state == KCI_DEAD) {
		/* its request was off the lists already */
		if (call->outstanding)
			kci_call_fail(call, conn->dead_code, conn->dead_detail);
		return;
	}
	if (--call->outstanding == 0)
		call_ended(call);
}

void kci_call_cancel(struct kci_call *call)
{
	kc_ipc_conn_t *conn = call->conn;
	struct kci_request *cancel = &call->cancel;
	struct kcp_buf buf = { .data = call->cancel_bytes,
			       .cap = sizeof(call->cancel_bytes),
			       .max = sizeof(call->cancel_bytes) };
	size_t at;

	if (call->cancelled || call->outstanding == 0)
		return;
	call->cancelled = true;
	if (kci_list_empty(&call->request.hash)) {
		/* not with the daemon: never sent, or known to be unknown there */
		kci_call_fail(call, KC_ECANCELED, "");
		return;
	}
	at = kcp_frame_begin(&buf, KCP_CANCEL, 0, 0, 0);
	kcp_put_u64(&buf, KCP_T_REQUEST, call->request.id);
	(void)kcp_frame_end(&buf, at);
	cancel->head_len = buf.len;
	call->outstanding++;
	kci_list_append(&conn->outbox, &cancel->link);
}

static void ignore_offer(struct kci_call *call)
{
	(void)call;
}

/* Without a CLAIM it cannot succeed. */
static int check_refusal(struct kci_call *call, struct kcp_args *args, int code)
{
	(void)call;
	(void)args;
	return code < 0 ? 0 : KC_EPROTO;
}

void kci_call_abandon(struct kci_call *call, void (*on_end)(struct kci_call *call))
{
	kc_ipc_conn_t *conn = call->conn;

	conn->n_abandoned++;
	call->on_end = on_end;
	call->on_offer = ignore_offer;
	call->on_reply = check_refusal;
	if (call->request.extra_len > 0)
		kcp_stream_keep_lent(&conn->stream);
}

int kci_call_start(struct kci_call *call)
{
	kc_ipc_conn_t *conn = call->conn;
	int r = kcp_frame_end_extra(&call->head, call->frame, call->request.extra_len);

	if (r < 0)
		return r;
	call->request.head_len = call->head.len;
	if (conn->state == KCI_DEAD)
		return kci_conn_dead(conn);
	if (!call->urgent && conn->n_calls >= calls_max(conn))
		return kci_fail(KC_EDQUOT, "%u calls wait on this connection, the most allowed",
				conn->n_calls);
	conn->n_calls++;
	call->outstanding = 1;
	kci_list_append(&conn->outbox, &call->request.link);
	return 0;
}

int kci_call_run_locked(struct kci_call *call, kc_cancel_t *token)
{
	kc_ipc_conn_t *conn = call->conn;
	int r = kci_call_start(call);

	if (r < 0)
		return r;
	kci_conn_pump(conn);
	if (kci_conn_wait(conn, &call->wait, token) == KC_ECANCELED) {
		kci_call_cancel(call);
		kci_conn_pump(conn);
		(void)kci_conn_wait(conn, &call->wait, NULL);
	}
	if (call->result < 0 && call->detail[0])
		kci_detail("%s", call->detail);
	return call->result;
}

int kci_call_run(struct kci_call *call, kc_cancel_t *token)
{
	int saved = kci_conn_lock(call->conn);
	int r = kci_call_run_locked(call, token);

	kci_conn_unlock(call->conn, saved);
	return r;
}

int kci_call_run_fd(struct kci_call *call)
{
	kc_ipc_conn_t *conn = call->conn;
	int r;

	conn->watching = true;
	kci_conn_turn_over(conn);
	r = kci_call_run_locked(call, NULL);
	conn->watching = false;
	return r;
}
