/* SPDX-License-Identifier: BSD-3-Clause */
/* From a frame to its handler: see dispatch.h. */
#include "kcorod/dispatch.h"

#include <stdarg.h>
#include <stdio.h>

#include "kcorod/access.h"
#include "kcorod/output.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/message.h"
#include "proto/result.h"

enum {
	KEPT = 1,     /* has an effect: its reply is numbered and kept */
	ATTACHED = 2, /* has ATTACH */
	NAMED = 4,    /* has NAME or CHAN_ID */
};

static const struct method {
	void (*fn)(struct kcd_call *call);
	unsigned flags;
	uint32_t role;   /* the attachment must have it */
	uint32_t rights; /* any of these on the channel; 0: the handler asks itself */
} methods[] = {
	[KCP_HELLO] = { kcd_do_hello, 0, 0, 0 },
	[KCP_RESUME] = { kcd_do_resume, 0, 0, 0 },
	[KCP_BYE] = { kcd_do_bye, 0, 0, 0 },
	[KCP_PING] = { kcd_do_ping, 0, 0, 0 },
	[KCP_CONFIRM] = { kcd_do_confirm, 0, 0, 0 },
	[KCP_CANCEL] = { kcd_do_cancel, KEPT, 0, 0 },
	[KCP_CHAN_MAKE] = { kcd_do_chan_make, KEPT, 0, 0 },
	[KCP_CHAN_OPEN] = { kcd_do_chan_open, KEPT | NAMED, 0, 0 },
	[KCP_CHAN_DETACH] = { kcd_do_chan_detach, KEPT | ATTACHED, 0, 0 },
	[KCP_CHAN_LIST] = { kcd_do_chan_list, 0, 0, 0 },
	[KCP_CHAN_INFO] = { kcd_do_chan_info, NAMED, 0, 0 },
	[KCP_CHAN_CLOSE] = { kcd_do_chan_close, KEPT | NAMED, 0,
			     KCP_RIGHT_SEND | KCP_RIGHT_ADMIN },
	[KCP_CHAN_DESTROY] = { kcd_do_chan_destroy, KEPT | NAMED, 0, KCP_RIGHT_ADMIN },
	[KCP_CHAN_PURGE] = { kcd_do_chan_purge, KEPT | NAMED, 0, KCP_RIGHT_ADMIN },
	[KCP_CHAN_MAP] = { kcd_do_chan_map, ATTACHED, 0, 0 },
	[KCP_CHAN_WATCH] = { kcd_do_chan_watch, ATTACHED, 0, 0 },
	[KCP_SEND] = { kcd_do_send, KEPT | ATTACHED, KCP_ROLE_SENDER, KCP_RIGHT_SEND },
	[KCP_RECV] = { kcd_do_recv, KEPT | ATTACHED, KCP_ROLE_RECEIVER, KCP_RIGHT_RECV },
	[KCP_TAKEN] = { kcd_do_taken, KEPT | ATTACHED, 0, 0 },
	[KCP_ACK] = { kcd_do_ack, KEPT | ATTACHED, 0, 0 },
	[KCP_NACK] = { kcd_do_nack, KEPT | ATTACHED, 0, 0 },
	[KCP_EXTEND] = { kcd_do_extend, KEPT | ATTACHED, 0, 0 },
	[KCP_CREDIT] = { kcd_do_credit, KEPT | ATTACHED, KCP_ROLE_RECEIVER, KCP_RIGHT_RECV },
	[KCP_RETURN] = { kcd_do_return, ATTACHED, 0, 0 },
	[KCP_CLAIM] = { kcd_do_claim, KEPT, 0, 0 },
	[KCP_DECLINE] = { kcd_do_decline, KEPT, 0, 0 },
	[KCP_STATS] = { kcd_do_stats, 0, 0, 0 },
};

/* ---- replies ---------------------------------------------------------------- */

struct kcp_buf *kcd_call_begin(struct kcd_call *call, int code)
{
	struct kcp_buf *buf = &call->daemon->scratch;

	kcp_buf_clear(buf);
	kcp_put_u32(buf, KCP_T_RESULT, kcp_result_from_code(code));
	return buf;
}

void kcd_call_end(struct kcd_call *call)
{
	struct kcp_buf *buf = &call->daemon->scratch;

	if (call->header->id == 0)
		return;
	if (buf->failed) {
		kcp_buf_clear(buf);
		kcp_put_u32(buf, KCP_T_RESULT, KCP_NOMEM);
	}
	if (call->req)
		kcd_request_answer(call->req, buf);
	else
		kcd_output_reply(call->conn, call->header->type, call->header->id, 0, buf->data,
				 buf->len);
}

void kcd_call_reply(struct kcd_call *call, int code, const char *detail)
{
	struct kcp_buf *buf = kcd_call_begin(call, code);

	if (detail)
		kcp_put_text(buf, KCP_T_DETAIL, detail);
	kcd_call_end(call);
}

void kcd_call_replyf(struct kcd_call *call, int code, const char *fmt, ...)
{
	char detail[KCP_DETAIL_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	kcd_call_reply(call, code, detail);
}

void kcd_call_over_limit(struct kcd_call *call, const char *limit)
{
	kcd_call_replyf(call, KC_EDQUOT, "%s is used up", limit);
}

/* ---- what all messages have in common --------------------------------------- */

/* New ids rise; those that RESUME asked for come again, also rising, before any new one. */
static bool id_accept(struct kcd_session *session, uint64_t id)
{
	bool asked = false;

	while (session->resent < session->n_resend && session->resend[session->resent] <= id)
		asked = session->resend[session->resent++] == id;
	if (id > session->last_id) {
		session->last_id = id;
		return true;
	}
	return asked;
}

/* Find what the message is about. False: answered. */
static bool find_attachment(struct kcd_call *call, const struct method *method)
{
	call->att = kcd_attachment_find(call->session,
					(uint32_t)kcp_num(call->args, KCP_T_ATTACH, 0));
	if (!call->att) {
		kcd_call_reply(call, KC_ENOENT, "no such attachment");
		return false;
	}
	call->channel = call->att->attach.channel;
	(void)kcd_attach_sync(&call->att->attach);
	kcd_attach_progress(&call->att->attach);
	if (method->role && !(call->att->attach.roles & method->role)) {
		kcd_call_replyf(call, KC_EACCES, "not attached as a %s",
				method->role == KCP_ROLE_SENDER ? "sender" : "receiver");
		return false;
	}
	return true;
}

static bool find_channel(struct kcd_call *call)
{
	const struct kcp_arg *name = kcp_get(call->args, KCP_T_NAME);
	char text[KCP_NAME_MAX + 1];

	if (name) {
		call->channel = kcd_registry_by_name(&call->daemon->registry,
						     (const char *)name->data, name->len);
		kcp_text(call->args, KCP_T_NAME, text, sizeof(text));
	} else {
		call->channel = kcd_registry_by_id(&call->daemon->registry,
						   kcp_num(call->args, KCP_T_CHAN_ID, 0));
		snprintf(text, sizeof(text), "@%llx",
			 (unsigned long long)kcp_num(call->args, KCP_T_CHAN_ID, 0));
	}
	if (call->channel)
		return true;
	kcd_call_replyf(call, KC_ENOENT, "no channel %.200s", text);
	return false;
}

static bool check_rights(struct kcd_call *call, uint32_t rights)
{
	if (!rights || (kcd_access_rights(call->session->peer, call->channel) & rights))
		return true;
	kcd_call_replyf(call, KC_EACCES, "no right to %s", kcd_access_name(rights));
	return false;
}

static void run(struct kcd_call *call, const struct method *method)
{
	if ((method->flags & ATTACHED) && !find_attachment(call, method))
		return;
	if ((method->flags & NAMED) && !find_channel(call))
		return;
	if (!check_rights(call, method->rights))
		return;
	method->fn(call);
}

static void debug_frame(struct kcd_conn *conn, const struct kcp_header *header)
{
	struct kcd_log_about about = kcd_conn_about(conn);

	kcd_debug(KCD_DEBUG_FRAME, &about, "%s id %llu seq %llu length %u",
		  kcp_message_name(header->type), (unsigned long long)header->id,
		  (unsigned long long)header->seq, header->length);
}

/* Levels of faults: PROTOCOL.md section 2. A fault in a notice has nobody to tell but the
 * connection. */
static void refuse(struct kcd_call *call, int code, const char *why)
{
	if (call->header->id)
		kcd_call_reply(call, code, why);
	else
		kcd_conn_fault(call->conn, KC_EPROTO, why);
}

/* A record for the reply, if it is one that is kept. False: answered. */
static bool make_request(struct kcd_call *call, const struct method *method)
{
	int r;

	if (!(method->flags & KEPT) || call->header->id == 0)
		return true;
	r = kcd_request_new(call->session, call->header->id, call->header->type, &call->req);
	if (r == KC_EDQUOT)
		kcd_call_over_limit(call, "limits.requests");
	else if (r < 0)
		kcd_call_reply(call, r, NULL);
	return r == 0;
}

/* The shape of everything in the frame, lists and containers included. */
static int parse(struct kcd_call *call, const struct kcp_message *message, int form,
		 const uint8_t *payload, struct kcp_args *inner, const char **ret_why)
{
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_ranges ranges;
	struct kcp_tlv tlv;
	int r = kcp_args_parse(call->args, payload, call->header->length, ret_why);

	if (r == 0)
		r = kcp_message_check(message, call->args, (enum kcp_form)form, ret_why);
	if (r == 0)
		r = kcp_ranges_parse(&call->ranges, call->args, ret_why);
	if (r == 0)
		r = kcp_ids_parse(&call->ids, call->args, ret_why);
	while (r == 0 && kcp_has(call->args, KCP_T_ATTACHMENT) &&
	       kcp_args_each(call->args, &iter, KCP_T_ATTACHMENT, &tlv)) {
		r = kcp_args_parse(inner, tlv.data, tlv.len, ret_why);
		if (r == 0)
			r = kcp_container_check(KCP_T_ATTACHMENT, inner, ret_why);
		if (r == 0)
			r = kcp_ranges_parse(&ranges, inner, ret_why);
	}
	return r;
}

void kcd_dispatch(struct kcd_conn *conn, const struct kcp_header *header, const uint8_t *payload)
{
	const struct kcp_message *message = kcp_message_find(header->type);
	const struct method *method;
	struct kcp_args args, inner;
	struct kcd_call call = {
		.daemon = conn->daemon,
		.conn = conn,
		.session = conn->session,
		.header = header,
		.args = &args,
		.fresh = conn->fresh,
	};
	int form = kcp_header_form(header, /* from_client= */ true), r;
	const char *why = NULL;

	if (kcd_debugging(KCD_DEBUG_FRAME))
		debug_frame(conn, header);
	conn->fresh = false;
	if (form < 0) {
		kcd_conn_fault(conn, KC_EPROTO, "a reply from a client");
		return;
	}
	if (!conn->session && (header->type != KCP_HELLO || form != KCP_REQUEST)) {
		kcd_conn_fault(conn, KC_EPROTO, "HELLO must come first");
		return;
	}
	if (conn->session) {
		if (form == KCP_REQUEST && !id_accept(conn->session, header->id)) {
			kcd_conn_fault(conn, KC_EPROTO, "the id of a request does not rise");
			return;
		}
		/* RESUME speaks of the numbers of another session. */
		if (header->type != KCP_RESUME)
			kcd_requests_confirm(conn->session, header->seq);
	}
	method = header->type < KC_ARRAY_SIZE(methods) ? &methods[header->type] : NULL;
	if (!message || !method || !method->fn) {
		refuse(&call, KC_ENOTSUP, "no such message");
		return;
	}
	r = parse(&call, message, form, payload, &inner, &why);
	if (r < 0) {
		refuse(&call, r, why);
		return;
	}
	if (header->type == KCP_SEND && kcd_send_promised(&call))
		return;
	if (make_request(&call, method))
		run(&call, method);
}
