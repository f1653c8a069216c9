/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One clause of a select on a daemon's channel. select-ask.c deals with each by itself,
 * select.c with all of a select, and with their connections.
 */
#ifndef KCI_IPC_SELECT_H
#define KCI_IPC_SELECT_H

#include "kcoro/error.h"
#include "libkcoro-client/core/select.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/recv.h"

/* A connection with clauses. */
struct part {
	kc_ipc_conn_t *conn;
	uint32_t n;
	struct kci_wait wait; /* ready: something came for one of them */
	struct kci_bell bell;
	bool asked;   /* for its clauses */
	bool reading; /* this select is its reader */
	bool polled;  /* and waits for its descriptor, the n-th of all */
	size_t nth;
};

struct remote;

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
