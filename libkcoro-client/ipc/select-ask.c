/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One clause of a select on a daemon's channel: what can be done at once, asking for an
 * offer, and what became of that.
 */
#include "libkcoro-client/ipc/select.h"

#include <stdio.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/cursor.h"
#include "libkcoro-client/ipc/window.h"

/* A round trip for a clause that lost to local ones costs a hundred of those: so seldom. */
#define ASK_NS KC_NS_PER_MS

static struct kci_schan *schan_of(const struct kc_clause *clause)
{
	return kci_schan_of(clause->ch);
}

/* ---- one clause by itself --------------------------------------------------------- */

/* What it means as a call of its own; the two may be in one memory with it. */
static void recv_of(struct kc_clause *c, struct kci_recv *recv, struct kc_msg *msg, long timeout_ms)
{
	bool plain = c->kind == KC_CLAUSE_RECV;

	*recv = (struct kci_recv){
		.buf = c->buf,
		.cap = plain ? c->ch->elem_size : c->size,
		.n = 1,
		.msgs = plain ? NULL : msg,
		.leases = c->kind == KC_CLAUSE_RECV_LEASE ? c->lease : NULL,
		.timeout_ms = timeout_ms,
	};
}

static void send_of(const struct kc_clause *c, struct kci_send *send, struct kc_msg *msg,
		    long timeout_ms)
{
	bool plain = c->kind == KC_CLAUSE_SEND;

	*msg = (struct kc_msg){ .data = c->elem, .len = c->size };
	*send = (struct kci_send){
		.elems = plain ? c->elem : NULL,
		.msgs = plain ? NULL : msg,
		.n = 1,
		.timeout_ms = timeout_ms,
	};
}

/* It took effect: r as from a call. */
static void clause_ended(struct kc_clause *c, const struct kci_recv *recv, const struct kc_msg *msg,
			 long r)
{
	c->result = r < 0 ? (int)r : 0;
	if (recv && c->kind != KC_CLAUSE_RECV)
		c->len = r < 0 ? recv->needed : msg->len;
	if (r < 0)
		kci_chan_failed(c->ch, recv == NULL, (int)r);
}

static bool try_send(struct kc_clause *c, bool ask)
{
	struct kci_schan *sc = schan_of(c);
	struct kci_send send;
	struct kc_msg msg;
	long r;

	if (!ask && !sc->window)
		return false;
	send_of(c, &send, &msg, 0);
	if (ask) {
		r = kci_schan_send(c->ch, &send);
	} else {
		int saved = kci_conn_lock(sc->conn);

		r = kci_window_send(sc, &send);
		kci_conn_unlock(sc->conn, saved);
	}
	if (r == 0 || r == KC_EAGAIN)
		return false;
	clause_ended(c, NULL, NULL, r);
	return true;
}

static bool try_recv(struct kc_clause *c, bool ask, bool probe)
{
	struct kci_schan *sc = schan_of(c);
	struct kci_receive rc;
	struct kci_recv recv;
	struct kc_msg msg = { 0 };
	long r = 0;

	recv_of(c, &recv, &msg, 0);
	if (sc->lease && !recv.leases) {
		r = KC_ENOTSUP;
	} else if (ask) {
		r = kci_schan_recv(c->ch, &recv);
	} else {
		int saved = kci_conn_lock(sc->conn);

		kci_cursor_back(sc);
		kci_receive_init(&rc, sc, &recv);
		if (probe)
			r = sc->ahead.n > 0;
		else if (sc->ahead.n > 0 && sc->conn->state == KCI_LIVE)
			r = kci_receive_ahead(&rc);
		kci_conn_unlock(sc->conn, saved);
	}
	if (r == 0 || r == KC_EAGAIN)
		return false;
	if (probe && r > 0)
		c->result = 0;
	else
		clause_ended(c, &recv, &msg, r);
	return true;
}

static bool is_live(kc_ipc_conn_t *conn)
{
	int saved = kci_conn_lock(conn);
	bool live = conn->state != KCI_BROKEN;

	kci_conn_unlock(conn, saved);
	return live;
}

bool kci_asked_try(struct kci_select *s, struct kc_clause *c, bool ask)
{
	bool probe = s->choice.probe;

	/* who only wants to know asks for an offer, in any case; and who has other clauses need not
	 * wait for a kcorod that is away */
	ask = ask && !probe && (s->tries || is_live(schan_of(c)->conn));
	if (ask)
		atomic_store_explicit(&schan_of(c)->asked_ns, kci_clock_now(),
				      memory_order_relaxed);
	if (kci_clause_sends(c))
		return !probe && try_send(c, ask);
	return try_recv(c, ask, probe);
}

bool kci_asked_is_ready(const struct kc_clause *c)
{
	struct kci_schan *sc = kci_schan_of(c->ch);
	int saved = kci_conn_lock(sc->conn);
	bool ready = kci_clause_sends(c) ? sc->window > 0 : sc->ahead.n > 0;

	kci_conn_unlock(sc->conn, saved);
	return ready;
}

bool kci_asked_is_due(const struct kc_clause *c)
{
	struct kci_schan *sc = kci_schan_of(c->ch);
	uint64_t asked = atomic_load_explicit(&sc->asked_ns, memory_order_relaxed);
	bool due;
	int saved;

	if (kci_clock_now() - asked < ASK_NS)
		return false;
	saved = kci_conn_lock(sc->conn);
	/* while kcorod is away, or answers nothing, others need not wait for it */
	if (sc->conn->n_abandoned > 0)
		kci_conn_look(sc->conn);
	due = sc->conn->state != KCI_BROKEN && sc->conn->n_abandoned == 0;
	kci_conn_unlock(sc->conn, saved);
	return due;
}

/* ---- asking for offers; the connection's lock held --------------------------------- */

static struct asked *asked_of(struct kci_call *call)
{
	return KC_CONTAINER_OF(call, struct asked, call);
}

static void on_offer(struct kci_call *call)
{
	struct asked *a = asked_of(call);

	a->offered = true;
	kci_wait_ready(&a->part->wait);
}

static int on_recv(struct kci_call *call, struct kcp_args *args, int code)
{
	struct asked *a = asked_of(call);

	a->replied = true;
	kci_wait_ready(&a->part->wait);
	return kci_receive_replied(call, args, code);
}

static int on_send(struct kci_call *call, struct kcp_args *args, int code)
{
	struct asked *a = asked_of(call);

	(void)args;
	a->replied = true;
	kci_wait_ready(&a->part->wait);
	return code == 0 && call->count != 1 ? KC_EPROTO : 0;
}

static void build_send(struct asked *a)
{
	kci_call_init(&a->call, a->sc->conn, KCP_SEND);
	kcp_put_u32(&a->call.head, KCP_T_ATTACH, a->sc->attach);
	kcp_put_u32(&a->call.head, KCP_T_FLAGS, KCP_F_OFFER);
	kci_call_timeout(&a->call, a->send.timeout_ms, 0);
	a->call.on_reply = on_send;
}

int kci_asked_start(struct asked *a, bool try_once, uint64_t group)
{
	/* a try is answered at once; all others end by their select */
	long timeout_ms = try_once ? 0 : -1;
	int r;

	a->offered = a->replied = false;
	if (kci_clause_sends(a->clause)) {
		send_of(a->clause, &a->send, &a->msg, timeout_ms);
		build_send(a);
	} else {
		recv_of(a->clause, &a->recv, &a->msg, timeout_ms);
		kci_receive_init(&a->rc, a->sc, &a->recv);
		kci_receive_begin(&a->rc, &a->call, KCP_F_OFFER);
		a->call.on_reply = on_recv;
	}
	kcp_put_u64(&a->call.head, KCP_T_GROUP, group);
	if (kci_clause_sends(a->clause))
		/* last: the value may lie somewhere else */
		kci_schan_put_one(a->sc, &a->send, &a->call);
	a->call.on_offer = on_offer;
	if (a->sc->conn->state == KCI_DEAD) {
		/* that is what becomes of this clause, as of one that was under way */
		a->replied = true;
		a->call.result = a->sc->conn->dead_code;
		(void)snprintf(a->call.detail, sizeof(a->call.detail), "%.*s",
			       (int)KCP_DETAIL_MAX, a->sc->conn->dead_detail);
		return 0;
	}
	r = kci_call_start(&a->call);
	if (r < 0 && !kci_clause_sends(a->clause))
		kci_receive_end(&a->rc);
	return r;
}

long kci_asked_outcome(struct asked *a)
{
	long r = a->call.result;

	if (r == 0 && kci_clause_sends(a->clause))
		return 1;
	if (r == 0) {
		r = kci_receive_conclude(&a->rc);
		return r == 0 ? kci_receive_ahead(&a->rc) : r;
	}
	/* it was cancelled since something was given ahead */
	if (r == KC_ECANCELED && a->call.cancelled && !a->sc->detaching)
		return 0;
	if (r == KC_EAGAIN)
		return 0;
	if (a->call.detail[0])
		kci_detail("%s", a->call.detail);
	return kci_schan_code(a->sc, &a->call, r, -1);
}

void kci_asked_end(struct asked *a)
{
	if (!kci_clause_sends(a->clause))
		kci_receive_end(&a->rc);
	kci_call_done(&a->call);
}

void kci_asked_finish(struct asked *a, long r)
{
	clause_ended(a->clause, kci_clause_sends(a->clause) ? NULL : &a->recv, &a->msg, r);
}
