/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a session, its attachments, and what channels tell it: see session.h. */
#include "kcorod/dispatch.h"
#include "kcorod/session.h"

#include <string.h>

#include "kcorod/notifier.h"
#include "kcorod/output.h"
#include "kcorod/request.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"


/* ---- beginning and end ------------------------------------------------------ */

static void on_grace(struct kcd_timer *timer)
{
	struct kcd_session *session = KCD_CONTAINER(timer, struct kcd_session, grace);
	struct kcd_log_about about = kcd_peer_about(session->peer, NULL);

	kcd_debug(KCD_DEBUG_SESSION, &about, "grace is over");
	kcd_session_end(session, /* died= */ false);
}

static void on_death(void *arg)
{
	struct kcd_session *session = arg;

	if (session->conn)
		kcd_conn_peer_died(session->conn);
	else
		kcd_session_end(session, /* died= */ true);
}

int kcd_session_new(struct kcd_conn *conn, uint32_t max_frame, struct kcd_session **ret)
{
	struct kcd_daemon *d = conn->daemon;
	struct kcd_session *session = KC_CALLOC(1, sizeof(*session));
	struct kcd_log_about about;
	int r;

	if (!session)
		return KC_ENOMEM;
	if (kci_random(session->token, sizeof(session->token)) < 0) {
		KC_FREE(session);
		return KC_ENOTSUP;
	}
	r = kcd_map_add(&d->sessions, &session->node, kcp_load_u64(session->token));
	if (r == 0) {
		r = kcd_peer_watch(conn->peer, d->loop);
		/* Armed from now on: that a connection breaks needs no memory. */
		session->grace.fn = on_grace;
		if (r == 0)
			r = kcd_timer_arm(&d->timers, &session->grace, KCD_TIMER_NEVER);
		if (r < 0)
			kcd_map_remove(&d->sessions, &session->node);
	}
	if (r < 0) {
		KC_FREE(session);
		return r;
	}
	session->daemon = d;
	session->max_frame = max_frame < d->max_frame ? max_frame : d->max_frame;
	kcd_list_init(&session->waiting);
	kcd_list_init(&session->kept);
	kcd_list_init(&session->attached);
	kcd_list_init(&session->starved);
	session->peer = KC_STEAL(conn->peer);
	session->peer->died = on_death;
	session->peer->arg = session;
	session->conn = conn;
	conn->session = session;
	about = kcd_peer_about(session->peer, NULL);
	kcd_debug(KCD_DEBUG_SESSION, &about, "session begins");
	*ret = session;
	return 0;
}

/* The map knows half of the token; the other half is compared without telling by the
 * time it takes how much of it was right. */
struct kcd_session *kcd_session_find(struct kcd_daemon *d, const uint8_t token[KCP_TOKEN_SIZE])
{
	struct kcd_map_node *node = kcd_map_find(&d->sessions, kcp_load_u64(token));
	struct kcd_session *session;
	uint8_t differ = 0;

	if (!node)
		return NULL;
	session = KCD_CONTAINER(node, struct kcd_session, node);
	for (size_t i = 0; i < KCP_TOKEN_SIZE; i++)
		differ |= session->token[i] ^ token[i];
	return differ ? NULL : session;
}

/* Do something with every waiting request of an attachment. That may answer any of them,
 * which takes it off its list: so they are walked from one list to another. */
static void each_wait(struct kcd_attachment *att, void (*fn)(struct kcd_wait *wait))
{
	struct kcd_list walked;

	kcd_list_init(&walked);
	while (!kcd_list_empty(&att->requests)) {
		struct kcd_request *req =
			KCD_LIST_FIRST(&att->requests, struct kcd_request, of_attachment);

		kcd_list_remove(&req->of_attachment);
		kcd_list_append(&walked, &req->of_attachment);
		fn(&req->wait);
	}
	while (!kcd_list_empty(&walked)) {
		struct kcd_list *link = walked.next;

		kcd_list_remove(link);
		kcd_list_append(&att->requests, link);
	}
}

static void suspend(struct kcd_session *session)
{
	struct kcd_daemon *d = session->daemon;
	struct kcd_log_about about = kcd_peer_about(session->peer, NULL);
	struct kcd_attachment *att, *safe;

	(void)kcd_timer_arm(&d->timers, &session->grace,
			    d->timers.now_ns + d->config.grace_ms * KC_NS_PER_MS);
	kcd_debug(KCD_DEBUG_SESSION, &about, "suspended for %u ms", (unsigned)d->config.grace_ms);
	session->suspended = true;
	session->peer->user->connections++;
	d->connections++;
	KCD_LIST_EACH (att, safe, &session->attached, struct kcd_attachment, link) {
		each_wait(att, kcd_wait_suspend);
		kcd_attach_suspend(&att->attach);
		kcd_notifiers_ring(att);
	}
}

static void unsuspend(struct kcd_session *session)
{
	if (!session->suspended)
		return;
	session->suspended = false;
	session->peer->user->connections--;
	session->daemon->connections--;
	(void)kcd_timer_arm(&session->daemon->timers, &session->grace, KCD_TIMER_NEVER);
}

void kcd_session_wake(struct kcd_session *session)
{
	struct kcd_attachment *att, *safe;

	unsuspend(session);
	KCD_LIST_EACH (att, safe, &session->attached, struct kcd_attachment, link) {
		each_wait(att, kcd_wait_resume);
		kcd_attach_resume(&att->attach);
	}
}

void kcd_session_lost(struct kcd_session *session)
{
	struct kcd_daemon *d = session->daemon;

	if (session->ended)
		return;
	if (d->stopping)
		kcd_session_end(session, /* died= */ false);
	else if (!kcd_peer_lives(session->peer))
		kcd_session_end(session, /* died= */ true);
	else if (d->config.grace_ms == 0)
		kcd_session_end(session, /* died= */ false);
	else
		suspend(session);
}

static void session_bury(struct kcd_corpse *corpse)
{
	struct kcd_session *session = KCD_CONTAINER(corpse, struct kcd_session, corpse);

	kcd_warm_later(session->daemon);
	kcd_peer_free(session->peer);
	kcd_map_done(&session->requests);
	kcd_map_done(&session->attachments);
	kcd_map_done(&session->groups);
	kcd_page_free(session->page);
	KC_FREE(session->resend);
	KC_FREE(session);
}

/* Receivers first, so that the end of one wait does not serve another one. */
static void end_requests(struct kcd_session *session)
{
	struct kcd_attachment *att, *safe;
	struct kcd_request *req;

	KCD_LIST_EACH (att, safe, &session->attached, struct kcd_attachment, link)
		each_wait(att, kcd_wait_suspend);
	while (!kcd_list_empty(&session->waiting)) {
		req = KCD_LIST_FIRST(&session->waiting, struct kcd_request, link);
		if (req->attachment)
			kcd_wait_end(&req->wait);
		kcd_request_drop(req);
	}
	while (!kcd_list_empty(&session->kept))
		kcd_request_drop(
			KCD_LIST_FIRST(&session->kept, struct kcd_request, link));
}

void kcd_session_end(struct kcd_session *session, bool died)
{
	struct kcd_daemon *d = session->daemon;
	struct kcd_log_about about = kcd_peer_about(session->peer, NULL);

	if (session->ended)
		return;
	kcd_debug(KCD_DEBUG_SESSION, &about, "session ends%s", died ? ", its process died" : "");
	session->ended = true;
	if (session->conn)
		session->conn->session = NULL;
	session->conn = NULL;
	unsuspend(session);
	kcd_timer_disarm(&d->timers, &session->grace);
	kcd_share_spend(&session->peer->user->share,
			session->attachments.n * KCD_COST_OBJECT +
				session->requests.n * KCD_COST_FRAME);
	end_requests(session);
	while (!kcd_list_empty(&session->attached))
		kcd_attachment_end(
			KCD_LIST_FIRST(&session->attached, struct kcd_attachment, link),
			/* code= */ 0, died);
	kcd_map_remove(&d->sessions, &session->node);
	kcd_reap_later(&d->graves, &session->corpse, session_bury);
}

/* ---- attachments ------------------------------------------------------------ */

int kcd_attachment_new(struct kcd_session *session, struct kcd_attachment **ret,
		       const char **ret_limit)
{
	struct kcd_attachment *att;

	kcd_turns_spend(&session->daemon->turns, KCD_COST_OBJECT);
	if (session->attachments.n >= session->daemon->config.attachments) {
		*ret_limit = "limits.attachments";
		return KC_EDQUOT;
	}
	att = KC_CALLOC(1, sizeof(*att));
	if (!att)
		return KC_ENOMEM;
	do
		session->last_attach++;
	while (session->last_attach == 0 ||
	       kcd_map_find(&session->attachments, session->last_attach));
	if (kcd_map_add(&session->attachments, &att->node, session->last_attach) < 0) {
		KC_FREE(att);
		return KC_ENOMEM;
	}
	att->session = session;
	att->number = session->last_attach;
	kcd_list_init(&att->requests);
	kcd_list_init(&att->drain);
	kcd_list_append(&session->attached, &att->link);
	*ret = att;
	return 0;
}

static void attachment_bury(struct kcd_corpse *corpse)
{
	KC_FREE(KCD_CONTAINER(corpse, struct kcd_attachment, corpse));
}

void kcd_attachment_free(struct kcd_attachment *att)
{
	kcd_list_remove(&att->link);
	kcd_list_remove(&att->drain);
	kcd_map_remove(&att->session->attachments, &att->node);
	kcd_reap_later(&att->session->daemon->graves, &att->corpse, attachment_bury);
}

void kcd_attachment_end(struct kcd_attachment *att, int code, bool died)
{
	struct kcp_cursor *cursor;

	kcd_notifiers_free(att);
	while (!kcd_list_empty(&att->requests))
		kcd_request_fail(KCD_LIST_FIRST(&att->requests, struct kcd_request,
						of_attachment),
				 code);
	cursor = att->attach.cursor;
	kcd_attach_done(&att->attach, died);
	if (cursor)
		kcd_page_give(att->session->page, cursor);
	kcd_attachment_free(att);
}

struct kcd_attachment *kcd_attachment_find(struct kcd_session *session, uint32_t number)
{
	struct kcd_map_node *node = kcd_map_find(&session->attachments, number);

	return node ? KCD_CONTAINER(node, struct kcd_attachment, node) : NULL;
}

void kcd_session_feed(struct kcd_session *session)
{
	struct kcd_list starved;

	/* Those of now: the output may be full again before all had their turn. */
	kcd_list_init(&starved);
	while (!kcd_list_empty(&session->starved)) {
		struct kcd_list *link = session->starved.next;

		kcd_list_remove(link);
		kcd_list_append(&starved, link);
	}
	while (!kcd_list_empty(&starved))
		kcd_attach_feed(KCD_LIST_FIRST(&starved, struct kcd_attach, creditor));
}

/* ---- what channels tell ----------------------------------------------------- */

static struct kcd_request *request_of(struct kcd_wait *wait)
{
	return KCD_CONTAINER(wait, struct kcd_request, wait);
}

static void on_done(struct kcd_wait *wait, long n)
{
	struct kcd_request *req = request_of(wait);

	kcd_request_settle(req);
	kcd_request_answer_moved(req, n);
}

static void on_give(struct kcd_attach *attach, struct kcd_delivery *delivery)
{
	kcd_output_deliver(kcd_attachment_of(attach), delivery, /* seen= */ 0);
}

static void on_recall(struct kcd_attach *attach, uint32_t n)
{
	kcd_output_recall(kcd_attachment_of(attach), n);
}

static void on_offer(struct kcd_wait *wait)
{
	kcd_output_offer(request_of(wait));
}

static void on_claimed(struct kcd_wait *wait, bool ok)
{
	kcd_request_claimed(request_of(wait), ok);
}

static void on_drain(struct kcd_attach *attach)
{
	struct kcd_attachment *att = kcd_attachment_of(attach);
	struct kcd_daemon *d = att->session->daemon;

	att->drain_from = ++d->drain_moment;
	if (kcd_list_empty(&att->drain))
		kcd_list_append(&d->drains, &att->drain);
}

static void on_settled(struct kcd_channel *ch)
{
	if (ch->destroying)
		kcd_channel_destroy(ch);
	while (!kcd_list_empty(&ch->askers)) {
		struct kcd_request *req =
			KCD_LIST_FIRST(&ch->askers, struct kcd_request, of_attachment);

		kcd_request_settle(req);
		kcd_chan_settled(req, ch);
	}
}

static bool on_may_give(struct kcd_attach *attach)
{
	struct kcd_session *session = kcd_attachment_of(attach)->session;

	if (session->conn && kcd_conn_may_give(session->conn))
		return true;
	kcd_list_remove(&attach->creditor);
	kcd_list_append(&session->starved, &attach->creditor);
	return false;
}

static void on_gone(struct kcd_channel *ch)
{
	/* The first budget of a channel's memory is the daemon's own. */
	kcd_daemon_channel_gone(KCD_CONTAINER(ch->elements.budgets[0], struct kcd_daemon, bytes),
				ch);
}

const struct kcd_channel_ops kcd_session_ops = {
	.done = on_done,
	.give = on_give,
	.recall = on_recall,
	.offer = on_offer,
	.claimed = on_claimed,
	.gone = on_gone,
	.drain = on_drain,
	.settled = on_settled,
	.ring = kcd_notifier_ring,
	.may_give = on_may_give,
};
