/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clauses of a select on a daemon's channels. select-ask.c deals with each by itself,
 * select-part.c with those of one connection, select.c with all of a select.
 */
#ifndef KCI_IPC_SELECT_H
#define KCI_IPC_SELECT_H

#include "kcoro/error.h"
#include "libkcoro-client/core/select.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/recv.h"

struct remote;

/* A connection with clauses. */
struct part {
	kc_ipc_conn_t *conn;
	uint32_t n; /* clauses */
	struct kci_wait wait; /* ready: something came for one of them */
	struct kci_bell bell;
	bool asked;   /* for its clauses */
	bool reading; /* this select is its reader */
	bool polled;  /* and waits for its descriptor, the n-th of all */
	size_t nth;
};

/* A clause that asks for an offer. */
struct asked {
	struct remote *rm; /* the select's; once abandoned, nothing else of what follows is there */
	struct kc_clause *clause;
	struct kci_schan *sc;
	struct part *part;
	struct kci_call call;
	bool offered, replied;
	struct kci_send send;
	struct kci_recv recv;
	struct kc_msg msg;
	struct kci_receive rc;
};

/* What a select has beyond this process. */
struct remote {
	struct kci_select *s;
	struct kci_waiter *waiter;
	struct part *parts;
	size_t n_parts, most_parts;
	struct kci_fd_wait *fds; /* as many as parts */
	_Atomic size_t users;	 /* the select, and calls that it has abandoned */
	bool tries;		 /* each clause is asked for once: no seats, and no wait for more */
	struct kci_call claim;
	size_t n;
	struct asked asked[];
};

/* The locks of connections are held one at a time, within kci_thread_nocancel(). */
static inline void part_lock(struct part *p)
{
	KC_MUTEX_LOCK(&p->conn->lock);
}

static inline void part_unlock(struct part *p)
{
	KC_MUTEX_UNLOCK(&p->conn->lock);
}

/* ---- select-part.c; the connection's lock held -------------------------------- */

/* A select that waits asks no more where nobody has answered so much that was abandoned: it would
 * only add to that. Who only tries wants the answer. */
bool kci_part_may_ask(const struct remote *rm, const struct part *p);

/* Ask for its clauses. On failure those that were asked for are to be ended all the same. */
int kci_part_ask(struct remote *rm, struct part *p);

/* It waits, or not, until it may ask. */
void kci_part_want_room(struct part *p, bool wants);

enum part_state {
	PART_WAITS,
	PART_NEWS,
	PART_AGAIN, /* it is to be looked at once more before one waits */
};

/* About to wait: as the reader if nobody else is, who has its descriptor added to rm->fds and *until
 * made no later than it can wait; else as one who may become it. An enum part_state, or a code. */
int kci_part_begin(struct remote *rm, struct part *p, size_t *n_fds, uint64_t *until);

/* The other end of it: are there news? */
bool kci_part_end(struct remote *rm, struct part *p);

/* ---- select-ask.c -------------------------------------------------------------- */

/* By itself, at once: see struct kci_remote_ops. */
bool kci_asked_try(struct kci_select *s, struct kc_clause *clause, bool ask);
bool kci_asked_is_ready(const struct kc_clause *clause);
bool kci_asked_is_due(const struct kc_clause *clause);

/* These with the connection's lock held. */

/* Ask for an offer; kci_asked_end() is for afterwards, if a->call.conn is set. */
int kci_asked_start(struct asked *a, bool try_once, uint64_t group);

/* Nothing of its own is on its way any more. */
static inline bool kci_asked_has_ended(const struct asked *a)
{
	return a->replied || a->call.outstanding == 0;
}

/* A try that found nothing is none. */
static inline bool kci_asked_has_news(const struct asked *a)
{
	if (!a->call.conn)
		return false; /* not asked for yet */
	return kci_asked_has_ended(a) ? a->call.result != KC_EAGAIN : a->offered;
}

/* What a call that has ended did: how many elements it moved, a code, or 0 if all is to be tried
 * again. */
long kci_asked_outcome(struct asked *a);

/* After the call has ended. */
void kci_asked_end(struct asked *a);

/* Without the lock: the clause took effect, r being what became of it. */
void kci_asked_finish(struct asked *a, long r);

#endif
