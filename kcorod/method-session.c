/* SPDX-License-Identifier: BSD-3-Clause */
/* HELLO, BYE, PING, CONFIRM, CANCEL. */
#include "kcorod/dispatch.h"
#include "kcorod/output.h"
#include "kcoro/error.h"
#include "proto/tlv.h"

#define PROGRAM_NAME "kcorod " PACKAGE_VERSION

/* The versions do not overlap, or a feature is wanted that is not there. */
static void refuse_version(struct kcd_call *call, const char *why)
{
	struct kcp_buf *buf = kcd_call_begin(call, KC_ENOTSUP);

	kcp_put_u32(buf, KCP_T_VERSION_MIN, KCP_VERSION);
	kcp_put_u32(buf, KCP_T_VERSION_MAX, KCP_VERSION);
	kcp_put_text(buf, KCP_T_DETAIL, why);
	kcd_call_end(call);
	kcd_conn_linger(call->conn);
}

void kcd_do_hello(struct kcd_call *call)
{
	struct kcd_daemon *d = call->daemon;
	struct kcd_session *session;
	struct kcp_buf *buf;
	char program[KCP_PROGRAM_MAX + 1];
	struct kcd_log_about about;
	int r;

	if (call->session) {
		kcd_call_reply(call, KC_EPROTO, "HELLO was said already");
		return;
	}
	if (kcp_num(call->args, KCP_T_VERSION_MIN, 0) > KCP_VERSION ||
	    kcp_num(call->args, KCP_T_VERSION_MAX, 0) < KCP_VERSION) {
		refuse_version(call, "this daemon speaks version 1");
		return;
	}
	if (kcp_num(call->args, KCP_T_FEATURES, 0) != 0) {
		refuse_version(call, "FEATURES asks for one this daemon does not have");
		return;
	}
	r = kcd_session_new(call->conn,
			    (uint32_t)kcp_num(call->args, KCP_T_MAX_FRAME, KCP_FRAME_DEFAULT),
			    &session);
	if (r < 0) {
		kcd_call_reply(call, r, NULL);
		kcd_conn_linger(call->conn);
		return;
	}
	kcd_timer_disarm(&d->timers, &call->conn->timer);
	session->last_id = call->header->id;
	call->conn->fresh = true;
	kcp_text(call->args, KCP_T_PROGRAM, program, sizeof(program));
	about = kcd_peer_about(session->peer, NULL);
	kcd_debug(KCD_DEBUG_CONN, &about, "HELLO from %s", program);

	buf = kcd_call_begin(call, 0);
	kcp_put_u32(buf, KCP_T_VERSION_MIN, KCP_VERSION);
	kcp_put_u32(buf, KCP_T_VERSION_MAX, KCP_VERSION);
	kcp_put_u64(buf, KCP_T_FEATURES, 0);
	kcp_put_bytes(buf, KCP_T_TOKEN, session->token, sizeof(session->token));
	kcp_put_u32(buf, KCP_T_MAX_FRAME, d->max_frame);
	kcp_put_u32(buf, KCP_T_GRACE_MS, (uint32_t)d->config.grace_ms);
	kcp_put_u32(buf, KCP_T_REQUESTS_MAX, (uint32_t)d->config.requests);
	kcp_put_text(buf, KCP_T_PROGRAM, PROGRAM_NAME);
	kcd_call_end(call);
}

void kcd_do_bye(struct kcd_call *call)
{
	kcd_conn_linger(call->conn);
	kcd_session_end(call->session, /* died= */ false);
}

void kcd_do_ping(struct kcd_call *call)
{
	kcd_call_reply(call, 0, NULL);
}

/* Every frame confirms; this one does nothing else. */
void kcd_do_confirm(struct kcd_call *call)
{
	(void)call;
}

void kcd_do_cancel(struct kcd_call *call)
{
	struct kcd_request *req = kcd_request_find(call->session,
						   kcp_num(call->args, KCP_T_REQUEST, 0));

	if (req && req->waiting)
		kcd_request_fail(req, KC_ECANCELED);
	kcd_call_reply(call, 0, NULL);
}
