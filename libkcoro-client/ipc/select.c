/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clauses of a select on a daemon's channels. PROTOCOL.md section 9.
 *
 * Each such clause is a SEND or RECV that asks for an offer. Kcorod reserves what an offer
 * needs; the select claims one of them, after it has given up its seats in local channels
 * and knows that none of those was claimed. So of all clauses one takes effect: by a local
 * counterpart that claims a seat, or by one CLAIM, of which kcorod says whether it still
 * stood. All other requests are cancelled. Nobody waits for their replies, which may be long in
 * coming where kcorod has died: the memory they need stays until they are here.
 *
 * The select waits for several connections at a time, and where nobody reads one of them
 * it is the reader (conn.h): it then waits for all their descriptors at once. Whatever
 * concerns it stirs its one waiter: a seat that is claimed, an offer or a reply that
 * somebody else has read, a reader that leaves.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/ipc/select.h"

/* Others are ready, and wait for kcorod's answer no longer than this. */
#define ASK_WAIT_NS (5 * KC_NS_PER_MS)

/* ---- all of them -------------------------------------------------------------------- */

static struct part *part_of(struct remote *rm, kc_ipc_conn_t *conn)
{
	for (size_t i = 0; i < rm->n_parts; i++)
		if (rm->parts[i].conn == conn)
			return &rm->parts[i];
	if (rm->n_parts == rm->most_parts)
		return NULL;
	rm->parts[rm->n_parts].conn = conn;
	return &rm->parts[rm->n_parts++];
}

/* Kcorod offers what it was asked for first, if that is ready, and answers first who was first:
 * so no clause is to be always first. */
static void shuffle(struct remote *rm)
{
	for (size_t i = rm->n; i > 1; i--) {
		size_t other = kci_select_draw(i);
		struct kc_clause *c = rm->asked[i - 1].clause;

		rm->asked[i - 1].clause = rm->asked[other].clause;
		rm->asked[other].clause = c;
	}
}

static int remote_new(struct kci_select *s, bool tries, struct remote **ret)
{
	size_t parts = s->n_remote < KCI_POLL_MOST ? s->n_remote : KCI_POLL_MOST;
	struct remote *rm = KC_CALLOC(1, sizeof(*rm) + s->n_remote * sizeof(struct asked) +
						 parts * (sizeof(struct part) +
							  sizeof(struct kci_fd_wait)));

	if (!rm)
		return KC_ENOMEM;
	rm->parts = (struct part *)(void *)&rm->asked[s->n_remote];
	rm->fds = (struct kci_fd_wait *)(void *)&rm->parts[parts];
	rm->most_parts = parts;
	atomic_init(&rm->users, 1);
	rm->s = s;
	rm->tries = tries;
	rm->waiter = &s->choice.op.waiter;
	for (struct kc_clause *c = s->clauses; c < s->clauses + s->n; c++)
		if (kci_clause_is_remote(c))
			rm->asked[rm->n++].clause = c;
	if (!(s->flags & KC_SELECT_PRIORITY))
		shuffle(rm);
	for (struct asked *a = rm->asked; a < rm->asked + rm->n; a++) {
		a->rm = rm;
		a->sc = kci_schan_of(a->clause->ch);
		a->part = part_of(rm, a->sc->conn);
		if (!a->part) {
			KC_FREE(rm);
			return kci_fail(KC_EDQUOT, "clauses of over %u connections",
					KCI_POLL_MOST);
		}
		a->part->n++;
	}
	*ret = rm;
	return 0;
}

static int begin(struct remote *rm)
{
	int r = 0;

	for (size_t i = 0; i < rm->n_parts; i++) {
		struct part *p = &rm->parts[i];

		kci_wait_init(&p->wait);
		p->wait.waiter = rm->waiter;
		part_lock(p);
		kci_list_append(&p->conn->waiting, &p->wait.link);
		if (p->conn->n_abandoned > 0)
			kci_conn_look(p->conn);
		if (r == 0 && kci_part_may_ask(rm, p))
			r = kci_part_ask(rm, p);
		part_unlock(p);
	}
	return r;
}

/* Is there a clause that may yet be offered? */
static bool is_open(struct remote *rm)
{
	bool open = false;

	for (size_t k = 0; k < rm->n && !open; k++) {
		part_lock(rm->asked[k].part);
		open = !kci_asked_has_ended(&rm->asked[k]);
		part_unlock(rm->asked[k].part);
	}
	return open;
}

/* 0 once there are news, or a seat was claimed, or, for a try, there will be none; KC_ETIME,
 * KC_ECANCELED, or another code. */
static int await_news(struct remote *rm, uint64_t deadline)
{
	for (;;) {
		bool news = false, again = false;
		uint64_t until = deadline;
		size_t n_fds = 0, begun;
		int r = 0;

		kci_waiter_calm(rm->waiter);
		for (begun = 0; begun < rm->n_parts && !news && r == 0; begun++) {
			struct part *p = &rm->parts[begun];
			int state;

			part_lock(p);
			state = kci_part_begin(rm, p, &n_fds, &until);
			part_unlock(p);
			news = state == PART_NEWS;
			again |= state == PART_AGAIN;
			r = state < 0 ? state : 0;
		}
		if (r == 0 && !news && !again && !kci_waiter_is_unparked(rm->waiter))
			r = kci_waiter_poll(rm->waiter, rm->fds, n_fds, until, rm->s->token);
		else
			for (size_t i = 0; i < n_fds; i++)
				rm->fds[i].came = 0;
		for (size_t i = 0; i < begun; i++) {
			part_lock(&rm->parts[i]);
			news |= kci_part_end(rm, &rm->parts[i]);
			part_unlock(&rm->parts[i]);
		}
		if (news || kci_waiter_is_unparked(rm->waiter) || (rm->tries && !is_open(rm)))
			return 0;
		/* a connection's time is up, which is its own affair */
		if (r == KC_ETIME && kci_deadline_left(deadline) > 0)
			r = 0;
		if (r == 0)
			r = kci_cancel_check(rm->s->token);
		if (r < 0)
			return r;
	}
}

/* Read no more, so that whoever waits from here on, this select included, may. */
static void leave(struct remote *rm)
{
	for (size_t i = 0; i < rm->n_parts; i++) {
		struct part *p = &rm->parts[i];

		part_lock(p);
		kci_list_remove(&p->wait.link);
		kci_part_want_room(p, false);
		if (p->reading)
			p->conn->reading = p->reading = false;
		/* or it was woken to become the reader */
		if (!p->conn->reading)
			kci_conn_pass_on(p->conn);
		part_unlock(p);
	}
}

/* ---- the end -------------------------------------------------------------------------- */

/* Cancel what is under way, but for one. */
static void cancel_others(struct remote *rm, const struct asked *but)
{
	for (size_t i = 0; i < rm->n_parts; i++) {
		struct part *p = &rm->parts[i];

		part_lock(p);
		for (size_t k = 0; k < rm->n; k++)
			if (rm->asked[k].part == p && &rm->asked[k] != but)
				kci_call_cancel(&rm->asked[k].call);
		/* the one that is claimed pumps for its own connection */
		if (!but || but->part != p)
			kci_conn_pump(p->conn);
		part_unlock(p);
	}
}

static void remote_unref(struct remote *rm)
{
	if (atomic_fetch_sub_explicit(&rm->users, 1, memory_order_acq_rel) == 1)
		KC_FREE(rm);
}

static void on_end(struct kci_call *call)
{
	struct asked *a = KC_CONTAINER_OF(call, struct asked, call);

	remote_unref(a->rm);
}

/* Cancelled as it is, without having been claimed. */
static void end(struct remote *rm, struct asked *a)
{
	struct kci_call *call = &a->call;

	if (call->outstanding > 0) {
		kci_call_abandon(call, on_end);
		atomic_fetch_add_explicit(&rm->users, 1, memory_order_relaxed);
	}
	kci_asked_end(a);
}

/* None of all that were asked for will take effect from here on. */
static void end_all(struct remote *rm)
{
	cancel_others(rm, NULL);
	for (size_t k = 0; k < rm->n; k++) {
		struct asked *a = &rm->asked[k];

		if (!a->call.conn)
			continue; /* never asked for */
		part_lock(a->part);
		end(rm, a);
		part_unlock(a->part);
	}
}

/* Claim an offer: as kci_asked_outcome(). */
static long claim(struct remote *rm, struct asked *a)
{
	struct kci_call *call = &rm->claim;
	long r;

	cancel_others(rm, a);
	part_lock(a->part);
	kci_call_init(call, a->part->conn, KCP_CLAIM);
	kcp_put_u64(&call->head, KCP_T_REQUEST, a->call.request.id);
	call->urgent = true;
	r = kci_call_run_locked(call, NULL);
	kci_call_done(call);
	/* its own reply comes before that of a CLAIM with success */
	if (r == KC_EAGAIN && a->call.outstanding > 0)
		r = 0;
	else
		r = kci_asked_outcome(a);
	part_unlock(a->part);
	return r;
}

/* The clause to be settled, of those with news: any one, or with KC_SELECT_PRIORITY the first. */
static struct asked *choose(struct remote *rm)
{
	struct asked *found = NULL;
	size_t first = 0;

	if (!(rm->s->flags & KC_SELECT_PRIORITY))
		first = kci_select_draw(rm->n);
	for (size_t i = 0; i < rm->n && !found; i++) {
		struct asked *a = &rm->asked[(first + i) % rm->n];

		part_lock(a->part);
		if (kci_asked_has_news(a))
			found = a;
		part_unlock(a->part);
	}
	return found;
}

/* Without a seat: one of the clauses with news takes effect, or none, and all are to be tried
 * again. */
static struct kc_clause *settle(struct remote *rm)
{
	struct asked *a = choose(rm);
	bool offered;
	long r;

	if (!a)
		return NULL;
	part_lock(a->part);
	offered = a->offered && !a->replied;
	part_unlock(a->part);
	if (rm->s->choice.probe && offered) {
		a->clause->result = 0;
		return a->clause;
	}
	if (offered) {
		r = claim(rm, a);
	} else {
		part_lock(a->part);
		r = kci_asked_outcome(a);
		part_unlock(a->part);
	}
	if (r == 0)
		return NULL;
	kci_asked_finish(a, r);
	return a->clause;
}

static struct kc_clause *wait_seated(struct remote *rm, uint64_t deadline, int *ret_code)
{
	struct kci_select *s = rm->s;
	struct kc_clause *won = NULL;
	int r = begin(rm);

	if (r == 0)
		r = await_news(rm, deadline);
	leave(rm);
	if (!rm->tries)
		won = kci_local_stand(s);
	if (won && !kci_waiter_is_unparked(rm->waiter))
		kci_waiter_await(rm->waiter);
	if (won)
		kci_choice_finish(&s->choice, won);
	if (!won && r == 0)
		won = settle(rm);
	end_all(rm);
	*ret_code = r == 0 ? KC_EAGAIN : r;
	return won;
}

/* A thread needs something to be woken by while it waits for descriptors. */
static int waiter_prepare(struct kci_waiter *w)
{
	if (w->coro)
		return kci_coro_polling() ? 0
					  : kci_fail(KC_ENOTSUP,
						     "a select over a socket is not deterministic");
	w->fd = eventfd(0, EFD_CLOEXEC);
	return w->fd >= 0 ? 0 : kci_fail(KC_ENOMEM, "no descriptor is left for an eventfd");
}

static struct kc_clause *ask_for_all(struct kci_select *s, bool tries, uint64_t deadline,
				     int *ret_code)
{
	int saved = kci_thread_nocancel();
	struct kci_waiter *waiter = &s->choice.op.waiter;
	struct kc_clause *won = NULL;
	struct remote *rm = NULL;

	*ret_code = remote_new(s, tries, &rm);
	if (*ret_code == 0)
		*ret_code = waiter_prepare(waiter);
	if (*ret_code == 0 && !tries && !kci_local_sit(s))
		*ret_code = KC_EAGAIN;
	else if (*ret_code == 0)
		won = wait_seated(rm, deadline, ret_code);
	if (waiter->fd >= 0)
		(void)close(waiter->fd);
	if (rm)
		remote_unref(rm);
	kci_thread_nocancel_end(saved);
	return won;
}

static struct kc_clause *socket_wait(struct kci_select *s, uint64_t deadline, int *ret_code)
{
	return ask_for_all(s, s->tries, deadline, ret_code);
}

static struct kc_clause *socket_ask(struct kci_select *s)
{
	struct kc_clause *won;
	int code;

	won = ask_for_all(s, /* tries= */ true, kci_clock_now() + ASK_WAIT_NS, &code);
	if (won || code != KC_ENOTSUP)
		return won;
	/* in a deterministic scheduler the thread waits, for one after the other */
	for (struct kc_clause *c = s->clauses; c < s->clauses + s->n; c++)
		if (kci_clause_is_remote(c) && kci_asked_try(s, c, /* ask= */ true))
			return c;
	return NULL;
}

const struct kci_remote_ops kci_schan_select = {
	.is_ready = kci_asked_is_ready,
	.try_clause = kci_asked_try,
	.is_due = kci_asked_is_due,
	.ask = socket_ask,
	.wait = socket_wait,
};
