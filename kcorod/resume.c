/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RESUME: a session comes back on a new connection (PROTOCOL.md section 5.3).
 *
 * First the books are brought to where the client stands, while the session is
 * still suspended and nothing is written. Only then does it get the connection, and what the client missed is
 * written in the order the protocol gives. Last the session wakes up.
 */
#include "kcorod/dispatch.h"
#include "kcorod/output.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/tlv.h"

/* What one ATTACHMENT says. */
struct seen {
	struct kcd_attachment *att;
	uint64_t upto; /* highest delivery seen */
	struct kcp_ranges untaken;
};

/* The next ATTACHMENT that this session has; false: there is no other. */
static bool next_seen(struct kcd_call *call, struct kcd_session *session,
		      struct kcp_tlv_iter *iter, struct kcp_args *args, struct seen *ret)
{
	struct kcp_tlv tlv;

	if (!kcp_has(call->args, KCP_T_ATTACHMENT))
		return false;
	while (kcp_args_each(call->args, iter, KCP_T_ATTACHMENT, &tlv)) {
		/* Its shape was checked. */
		if (kcp_args_parse(args, tlv.data, tlv.len, NULL) < 0 ||
		    kcp_ranges_parse(&ret->untaken, args, NULL) < 0)
			return false;
		ret->att = kcd_attachment_find(session, (uint32_t)kcp_num(args, KCP_T_ATTACH, 0));
		ret->upto = kcp_num(args, KCP_T_DELIVERY, 0);
		if (ret->att)
			return true;
	}
	return false;
}

/* Of one record: what the client has seen and does not hold untaken is TAKEN. */
static int take_record(struct seen *seen, const struct kcd_delivery *d, uint32_t *at)
{
	uint64_t pos = d->first, end = d->first + d->n;

	if (end - 1 > seen->upto)
		end = seen->upto + 1;
	while (pos < end) {
		struct kcp_range hole = { .first = UINT64_MAX, .count = 0 };
		uint64_t upto;

		while (*at < seen->untaken.count) {
			hole = kcp_ranges_at(&seen->untaken, *at);
			if (hole.first + hole.count > pos)
				break;
			hole = (struct kcp_range){ .first = UINT64_MAX, .count = 0 };
			++*at;
		}
		upto = hole.first < end ? hole.first : end;
		if (upto > pos && kcd_attach_cut(&seen->att->attach, pos, upto - pos) < 0)
			return KC_ENOMEM;
		if (upto > pos)
			kcd_attach_taken(&seen->att->attach, pos, upto - pos);
		pos = upto;
		if (hole.first <= pos)
			pos = hole.first + hole.count;
	}
	return 0;
}

/* A TAKEN that was lost with the connection is made good. What is provisional is taken
 * by a request, which the client sends again. */
static int take_seen(struct seen *seen)
{
	struct kcd_delivery *d, *safe;
	uint32_t at = 0;
	int r = 0;

	kcd_channel_hold(seen->att->attach.channel);
	(void)kcd_attach_sync(&seen->att->attach);
	KCD_LIST_EACH (d, safe, &seen->att->attach.deliveries, struct kcd_delivery, link) {
		if (d->first > seen->upto || r < 0)
			break;
		if (d->state == KCD_GIVEN && !d->sender)
			r = take_record(seen, d, &at);
	}
	kcd_channel_release(seen->att->attach.channel);
	return r;
}

/* A reply that consists of elements can be written again as long as all of them are
 * where they were put; if a lease lapsed the rest goes back as well. */
static bool reproducible(struct kcd_request *req)
{
	struct kcd_attachment *att;

	if (req->reply)
		return true;
	att = kcd_attachment_find(req->session, req->attach);
	if (!att)
		return false;
	if (kcd_output_find(&att->attach, req->first, req->n))
		return true;
	kcd_attach_return(&att->attach, req->first, req->n);
	kcd_channel_pump(att->attach.channel);
	return false;
}

static void drop_lost_replies(struct kcd_session *session)
{
	struct kcd_request *req, *safe;

	KCD_LIST_EACH (req, safe, &session->kept, struct kcd_request, link)
		if (!reproducible(req))
			kcd_request_drop(req);
}

/* Of the ids asked about, those unknown: they come again. 0 or KC_ENOMEM. */
static int note_unknown(struct kcd_session *session, const struct kcp_ids *asked)
{
	KC_FREE(session->resend);
	session->resend = NULL;
	session->n_resend = session->resent = 0;
	if (asked->count == 0)
		return 0;
	session->resend = KC_CALLOC(asked->count, sizeof(*session->resend));
	if (!session->resend)
		return KC_ENOMEM;
	for (uint32_t i = 0; i < asked->count; i++) {
		uint64_t id = kcp_ids_at(asked, i);

		if (!kcd_request_find(session, id))
			session->resend[session->n_resend++] = id;
	}
	return 0;
}

/* The connection leaves the session that HELLO began, which ends. Whoever connected now
 * is the one whose death ends the old session. */
static void change_hands(struct kcd_conn *conn, struct kcd_session *session)
{
	struct kcd_session *young = conn->session;
	struct kcd_peer *peer = session->peer;

	session->peer = young->peer;
	session->peer->arg = session;
	young->peer = peer;
	young->peer->arg = young;
	session->max_frame = young->max_frame;
	young->conn = NULL;
	session->conn = conn;
	conn->session = session;
	kcd_session_end(young, /* died= */ false);
}

static void send_unknown(struct kcd_call *call, const struct kcd_session *session)
{
	struct kcp_buf *buf = kcd_call_begin(call, 0);
	size_t at;

	if (session->n_resend > 0) {
		at = kcp_tlv_begin(buf, KCP_T_REQUESTS);
		for (uint32_t i = 0; i < session->n_resend; i++)
			kcp_buf_add_u64(buf, session->resend[i]);
		kcp_tlv_end(buf, at);
	}
	kcd_call_end(call);
}

/* What was given ahead and not seen, up to delivery `upto`. */
static void send_ahead(struct kcd_attachment *att, uint64_t upto)
{
	struct kcd_delivery *d, *safe;

	KCD_LIST_EACH (d, safe, &att->attach.deliveries, struct kcd_delivery, link) {
		if (d->first > upto)
			break;
		if (d->ahead && d->state == KCD_GIVEN)
			kcd_output_deliver(att, d, att->seen);
	}
}

/* Kept replies, and in front of those with elements what was given ahead before them: the
 * numbers of an attachment's deliveries rise on every connection. */
static void send_kept(struct kcd_session *session)
{
	struct kcd_request *req, *safe;

	KCD_LIST_EACH (req, safe, &session->kept, struct kcd_request, link) {
		struct kcd_attachment *att;

		if (req->reply) {
			kcd_output_reply(session->conn, req->type, req->node.key, req->seq,
					 req->reply, req->reply_len);
			continue;
		}
		att = kcd_attachment_find(session, req->attach);
		send_ahead(att, req->first);
		kcd_output_recv(req, att, kcd_output_find(&att->attach, req->first, req->n));
		if (att->seen < req->first + req->n - 1)
			att->seen = req->first + req->n - 1;
	}
}

/* The rest of what was given ahead; what was asked for came with its reply. */
static void send_deliveries(struct kcd_session *session)
{
	struct kcd_attachment *att, *safe;

	KCD_LIST_EACH (att, safe, &session->attached, struct kcd_attachment, link)
		send_ahead(att, UINT64_MAX);
}

static void send_offers(struct kcd_session *session)
{
	struct kcd_request *req, *safe;

	KCD_LIST_EACH (req, safe, &session->waiting, struct kcd_request, link)
		if (req->attachment && req->wait.state == KCD_OFFERED)
			kcd_output_offer(req);
}

/* Bring the books to where the client stands: 0, or KC_ENOMEM half way, which another RESUME
 * goes on from. */
static int catch_up(struct kcd_call *call, struct kcd_session *session)
{
	struct kcp_tlv_iter iter = { 0 };
	struct kcd_attachment *att, *safe;
	struct kcp_args args;
	struct seen seen;

	kcd_requests_confirm(session, call->header->seq);
	KCD_LIST_EACH (att, safe, &session->attached, struct kcd_attachment, link)
		att->seen = 0;
	while (next_seen(call, session, &iter, &args, &seen)) {
		seen.att->seen = seen.upto;
		kcd_attach_progress(&seen.att->attach);
		if (take_seen(&seen) < 0)
			return KC_ENOMEM;
	}
	drop_lost_replies(session);
	return 0;
}

/* The session asked for, suspended; NULL: answered. */
static struct kcd_session *find(struct kcd_call *call)
{
	struct kcd_session *session =
		kcd_session_find(call->daemon, kcp_get(call->args, KCP_T_TOKEN)->data);

	if (!session || session == call->session) {
		kcd_call_reply(call, KC_ECONNRESET, "no such session, or its grace is over");
		return NULL;
	}
	if (session->peer->uid != call->session->peer->uid) {
		kcd_call_reply(call, KC_EACCES, "the session belongs to another user");
		return NULL;
	}
	if (session->conn) {
		/* The client noticed first that the old connection is of no use. */
		kcd_conn_break(session->conn);
	}
	if (session->ended) {
		kcd_call_reply(call, KC_ECONNRESET, "its process has ended");
		return NULL;
	}
	return session;
}

void kcd_do_resume(struct kcd_call *call)
{
	struct kcd_session *session;
	struct kcd_log_about about;
	int r;

	if (!call->fresh) {
		kcd_call_reply(call, KC_EINVAL, "RESUME must follow HELLO");
		return;
	}
	session = find(call);
	if (!session)
		return;
	r = catch_up(call, session);
	if (r == 0)
		r = note_unknown(session, &call->ids);
	/* Once the session has changed hands the reply must not fail any more. */
	if (r == 0 && !kcp_buf_reserve(kcd_call_begin(call, 0),
				       2 * KCP_TLV_HEADER_SIZE + 8 * (size_t)session->n_resend))
		r = KC_ENOMEM;
	if (r < 0) {
		kcd_call_reply(call, r, NULL);
		return;
	}
	change_hands(call->conn, session);
	call->session = session;
	call->daemon->resumes++;
	about = kcd_peer_about(session->peer, NULL);
	kcd_debug(KCD_DEBUG_SESSION, &about, "resumed, %u requests come again",
		  session->n_resend);
	send_unknown(call, session);
	send_kept(session);
	send_deliveries(session);
	send_offers(session);
	kcd_session_wake(session);
}
