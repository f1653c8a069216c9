/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests from arrival to confirmation: see request.h. */
#include "kcorod/request.h"

#include <stdio.h>
#include <string.h>

#include "kcorod/notifier.h"
#include "kcorod/output.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/result.h"
#include "proto/tlv.h"

static void on_deadline(struct kcd_timer *timer)
{
	kcd_request_fail(KCD_CONTAINER(timer, struct kcd_request, deadline), KC_ETIME);
}

int kcd_request_new(struct kcd_session *session, uint64_t id, uint16_t type,
		    struct kcd_request **ret)
{
	struct kcd_daemon *d = session->daemon;
	struct kcd_request *req;

	if (session->requests.n >= d->config.requests)
		return KC_EDQUOT;
	req = kcd_pool_get(&d->requests);
	if (!req)
		return KC_ENOMEM;
	memset(req, 0, offsetof(struct kcd_request, room));
	req->attach = req->n = 0;
	req->first = 0;
	if (kcd_map_add(&session->requests, &req->node, id) < 0) {
		kcd_pool_put(&d->requests, req);
		return KC_ENOMEM;
	}
	req->session = session;
	req->type = type;
	req->deadline.fn = on_deadline;
	kcd_list_init(&req->link);
	kcd_list_init(&req->of_attachment);
	*ret = req;
	return 0;
}

struct kcd_request *kcd_request_find(struct kcd_session *session, uint64_t id)
{
	struct kcd_map_node *node = kcd_map_find(&session->requests, id);

	return node ? KCD_CONTAINER(node, struct kcd_request, node) : NULL;
}

/* ---- selects ---------------------------------------------------------------- */

static struct kcd_select *select_get(struct kcd_session *session, uint64_t number)
{
	struct kcd_map_node *node = kcd_map_find(&session->groups, number);
	struct kcd_select *select;

	if (node)
		return KCD_CONTAINER(node, struct kcd_select, node);
	select = KC_CALLOC(1, sizeof(*select));
	if (!select)
		return NULL;
	if (kcd_map_add(&session->groups, &select->node, number) < 0) {
		KC_FREE(select);
		return NULL;
	}
	select->session = session;
	kcd_group_init(&select->group);
	return select;
}

static void select_bury(struct kcd_corpse *corpse)
{
	KC_FREE(KCD_CONTAINER(corpse, struct kcd_select, corpse));
}

/* A clause has left; a select without clauses goes. */
static void select_put(struct kcd_select *select)
{
	struct kcd_session *session = select->session;

	if (!kcd_list_empty(&select->group.waits))
		return;
	kcd_map_remove(&session->groups, &select->node);
	kcd_reap_later(&session->daemon->graves, &select->corpse, select_bury);
}

/* ---- waiting ---------------------------------------------------------------- */

int kcd_request_prepare(struct kcd_request *req, struct kcd_attachment *att, bool has_group,
			uint64_t group)
{
	if (has_group) {
		req->select = select_get(req->session, group);
		if (!req->select)
			return KC_ENOMEM;
		req->wait.group = &req->select->group;
		kcd_list_append(&req->select->group.waits, &req->wait.grouped);
	}
	req->attachment = att;
	req->waiting = true;
	kcd_list_append(&att->requests, &req->of_attachment);
	kcd_list_append(&req->session->waiting, &req->link);
	return 0;
}

/* A waiting SEND is accepted: the channel keeps the frame. */
static uint8_t *lend_on(void *arg)
{
	struct kcd_request *req = arg;

	kcd_budgets_give(&req->session->daemon->bytes, &req->session->peer->user->bytes,
			 req->wait.elems_len);
	req->lender.size = 0;
	return KC_STEAL(req->elems);
}

/* The elements of a SEND outlive its frame. 0, KC_ENOMEM or KC_EDQUOT with the limit. */
static int keep_elements(struct kcd_request *req, const char **ret_limit)
{
	struct kcd_daemon *d = req->session->daemon;
	struct kcd_wait *wait = &req->wait;
	const struct kcd_lender *lender = wait->lender;
	int r = kcd_budgets_take(&d->bytes, &req->session->peer->user->bytes, wait->elems_len,
				 ret_limit);

	wait->lender = NULL;
	if (r < 0)
		return r;
	if (lender && kcd_elements_worth_keeping(wait->elems_len, lender->size))
		req->elems = lender->take(lender->arg);
	if (req->elems) {
		req->lender = (struct kcd_lender){ .size = lender->size,
						   .take = lend_on,
						   .arg = req };
		wait->lender = &req->lender;
		return 0;
	}
	req->elems = kcd_bufs_get(&d->bufs, wait->elems_len);
	if (!req->elems) {
		kcd_budgets_give(&d->bytes, &req->session->peer->user->bytes, wait->elems_len);
		return KC_ENOMEM;
	}
	memcpy(req->elems, wait->elems, wait->elems_len);
	wait->elems = req->elems;
	return 0;
}

static void drop_elements(struct kcd_request *req)
{
	struct kcd_daemon *d = req->session->daemon;

	if (!req->elems)
		return;
	if (req->lender.size)
		KC_FREE(req->elems);
	else
		kcd_bufs_put(&d->bufs, req->elems, req->wait.elems_len);
	kcd_budgets_give(&d->bytes, &req->session->peer->user->bytes, req->wait.elems_len);
	req->elems = NULL;
}

int kcd_request_wait(struct kcd_request *req, uint64_t timeout_ms, const char **ret_limit)
{
	struct kcd_daemon *d = req->session->daemon;
	struct kcd_wait *wait = &req->wait;
	int r = wait->send ? keep_elements(req, ret_limit) : 0;

	if (r == 0 && timeout_ms > 0 && timeout_ms < UINT64_MAX) {
		uint64_t now = d->timers.now_ns, most = (UINT64_MAX - 1 - now) / KC_NS_PER_MS;

		r = kcd_timer_arm(&d->timers, &req->deadline,
				  timeout_ms > most ? UINT64_MAX - 1
						    : now + timeout_ms * KC_NS_PER_MS);
	}
	if (r < 0)
		kcd_wait_end(wait);
	return r;
}

void kcd_request_settle(struct kcd_request *req)
{
	struct kcd_daemon *d = req->session->daemon;

	if (!req->waiting)
		return;
	req->waiting = false;
	kcd_list_remove(&req->link);
	kcd_list_remove(&req->of_attachment);
	kcd_timer_disarm(&d->timers, &req->deadline);
	drop_elements(req);
	if (req->select) {
		kcd_list_remove(&req->wait.grouped);
		select_put(KC_STEAL(req->select));
	}
}

void kcd_request_fail(struct kcd_request *req, int code)
{
	if (!req->attachment && !req->claimed)
		return; /* about a channel: under way, and answered soon */
	if (req->claimed) {
		/* A CLAIM that is not decided is part of the request it claims. */
		kcd_request_fail(req->claimed, code);
		return;
	}
	kcd_wait_end(&req->wait);
	kcd_request_settle(req);
	kcd_request_answer_code(req, code, NULL);
}

void kcd_request_claimed(struct kcd_request *req, bool ok)
{
	struct kcd_request *claim = KC_STEAL(req->claim);

	if (!claim)
		return;
	claim->claimed = NULL;
	kcd_request_settle(claim);
	kcd_request_answer_code(claim, ok ? 0 : KC_EAGAIN, NULL);
}

/* ---- replies ---------------------------------------------------------------- */

static void bury(struct kcd_corpse *corpse)
{
	struct kcd_request *req = KCD_CONTAINER(corpse, struct kcd_request, corpse);
	struct kcd_daemon *d = req->session->daemon;

	if (req->reply != req->room)
		kcd_bufs_put(&d->bufs, req->reply, req->reply_len);
	kcd_pool_put(&d->requests, req);
}

void kcd_request_drop(struct kcd_request *req)
{
	kcd_request_settle(req);
	kcd_list_remove(&req->link);
	kcd_map_remove(&req->session->requests, &req->node);
	kcd_reap_later(&req->session->daemon->graves, &req->corpse, bury);
}

static void keep(struct kcd_request *req)
{
	req->seq = ++req->session->last_seq;
	kcd_list_append(&req->session->kept, &req->link);
}

void kcd_request_answer(struct kcd_request *req, const struct kcp_buf *payload)
{
	struct kcd_session *session = req->session;
	struct kcd_daemon *d = session->daemon;

	if (session->ended) {
		kcd_request_drop(req);
		return;
	}
	req->reply = payload->len <= KCD_REPLY_INLINE ? req->room
						      : kcd_bufs_get(&d->bufs, payload->len);
	if (!req->reply) {
		/* It reaches a client that stays connected. */
		kcd_output_reply(session->conn, req->type, req->node.key, 0, payload->data,
				 payload->len);
		kcd_request_drop(req);
		return;
	}
	req->reply_len = (uint32_t)payload->len;
	memcpy(req->reply, payload->data, payload->len);
	keep(req);
	kcd_output_reply(session->conn, req->type, req->node.key, req->seq, req->reply,
			 req->reply_len);
}

static struct kcp_buf *begin(struct kcd_request *req, int code, const char *detail)
{
	struct kcp_buf *buf = &req->session->daemon->scratch;

	kcp_buf_clear(buf);
	kcp_put_u32(buf, KCP_T_RESULT, kcp_result_from_code(code));
	if (detail)
		kcp_put_text(buf, KCP_T_DETAIL, detail);
	return buf;
}

void kcd_request_answer_code(struct kcd_request *req, int code, const char *detail)
{
	kcd_request_answer(req, begin(req, code, detail));
}

static void answer_elements(struct kcd_request *req, uint32_t n)
{
	struct kcd_attachment *att = kcd_attachment_of(req->wait.attach);
	const struct kcd_delivery *first = req->wait.first;

	if (req->session->ended) {
		kcd_request_drop(req);
		return;
	}
	req->attach = att->number;
	req->first = first->first;
	req->n = n;
	keep(req);
	kcd_output_recv(req, att, first);
}

/* A try found nothing. Whoever waits for one to find something hears of that from here on,
 * and knows by RINGS what it heard before. */
static void answer_again(struct kcd_request *req)
{
	const struct kcd_wait *wait = &req->wait;
	struct kcd_attachment *att = kcd_attachment_of(wait->attach);
	struct kcd_notifier *notifier = wait->send ? att->send_notifier : att->recv_notifier;
	struct kcp_buf *buf = begin(req, KC_EAGAIN, NULL);

	if (notifier)
		kcp_put_u64(buf, KCP_T_RINGS, notifier->rings);
	kcd_request_answer(req, buf);
	if (notifier)
		kcd_bell_silence(&notifier->bell, wait->first_len);
}

void kcd_request_answer_moved(struct kcd_request *req, long n)
{
	struct kcp_buf *buf;
	char detail[KCP_DETAIL_MAX];

	if (n > 0 && req->type == KCP_RECV) {
		answer_elements(req, (uint32_t)n);
		return;
	}
	if (n > 0) {
		buf = begin(req, 0, NULL);
		kcp_put_u32(buf, KCP_T_COUNT, (uint32_t)n);
	} else if (n == KC_EMSGSIZE && req->type == KCP_RECV) {
		buf = begin(req, KC_EMSGSIZE, NULL);
		kcp_put_u64(buf, KCP_T_NEEDED, req->wait.needed);
	} else if (n == KC_EDQUOT && req->wait.why) {
		snprintf(detail, sizeof(detail), "%s is used up", req->wait.why);
		buf = begin(req, KC_EDQUOT, detail);
	} else if (n == KC_EAGAIN) {
		answer_again(req);
		return;
	} else {
		buf = begin(req, (int)n, n == KC_EINVAL ? req->wait.why : NULL);
	}
	kcd_request_answer(req, buf);
}

void kcd_requests_confirm(struct kcd_session *session, uint64_t seq)
{
	while (!kcd_list_empty(&session->kept)) {
		struct kcd_request *req = KCD_LIST_FIRST(&session->kept, struct kcd_request, link);

		if (req->seq > seq)
			break;
		kcd_request_drop(req);
	}
}
