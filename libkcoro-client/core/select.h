/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A select from the inside: what its files share.
 *
 * select.c checks, tries and waits; select-local.c does to local channels what that needs,
 * and struct kci_remote_ops to others; select-clause.c makes clauses, and holds the public
 * forms that gather them.
 */
#ifndef KCI_SELECT_H
#define KCI_SELECT_H

#include "libkcoro-client/core/choice.h"

/* One kc_select() under way. */
struct kci_select {
	struct kc_clause *clauses;
	size_t n;
	size_t n_active; /* that are not off */
	size_t n_remote; /* of channels that are not local; the first of them: */
	struct kc_clause *remote;
	size_t n_timers;
	size_t n_descs; /* clauses, the first so many that send descriptors, with memory */
	unsigned flags;
	bool tries; /* timeout 0 */
	bool seen;  /* each clause has been looked at */
	kc_cancel_t *token;
	struct kci_choice choice;
};

/* How a placement beyond this process takes part. */
struct kci_remote_ops {
	/* Can it be carried out without a round trip? */
	bool (*is_ready)(const struct kc_clause *clause);
	/* Carry out the clause if that can be done at once: true, and its result is set. `ask`:
	 * a round trip may be made to find out. */
	bool (*try_clause)(struct kci_select *s, struct kc_clause *clause, bool ask);
	/* Is it time that it is asked, although others are ready? */
	bool (*is_due)(const struct kc_clause *clause);
	/* Then: ask for all clauses of the select that are not local, and wait for the answers but
	 * shortly. The one that took effect, or NULL. After kci_choice_begin(). */
	struct kc_clause *(*ask)(struct kci_select *s);
	/*
	 * Wait, with all clauses of the select, until one has taken effect: it; or NULL with the
	 * reason in *ret_code: KC_EAGAIN (all are to be tried again), KC_ETIME at the deadline,
	 * KC_ECANCELED, or another failure.
	 */
	struct kc_clause *(*wait)(struct kci_select *s, uint64_t deadline, int *ret_code);
};

static inline bool kci_clause_is_off(const struct kc_clause *clause)
{
	return clause->kind == KC_CLAUSE_OFF || (clause->kind != KC_CLAUSE_TIMER && !clause->ch);
}

/* A send or a receive that is not off. */
static inline bool kci_clause_has_channel(const struct kc_clause *clause)
{
	return clause->kind != KC_CLAUSE_OFF && clause->kind != KC_CLAUSE_TIMER && clause->ch;
}

static inline bool kci_clause_is_local(const struct kc_clause *clause)
{
	return kci_clause_has_channel(clause) && !clause->ch->ops->select;
}

static inline bool kci_clause_is_remote(const struct kc_clause *clause)
{
	return kci_clause_has_channel(clause) && clause->ch->ops->select;
}

/* A number below n, any. */
static inline size_t kci_select_draw(size_t n)
{
	return (size_t)(((kci_random_draw() >> 32) * n) >> 32);
}

/* Of those that are ready each is to be as likely as the others, whatever their places are: the
 * n-th that is found, n from 2, takes the place of the one chosen so far with a chance of 1/n. */
static inline bool kci_select_takes_over(size_t n)
{
	return kci_select_draw(n) == 0;
}

/* On a local channel of fixed elements, and nothing is wrong with it. */
static inline bool kci_clause_is_usual(const struct kc_clause *clause)
{
	return (clause->kind == KC_CLAUSE_RECV ?
			clause->buf != NULL :
			clause->kind == KC_CLAUSE_SEND && clause->elem != NULL) &&
	       clause->ch && clause->ch->fast == KCI_FAST_FIXED &&
	       kci_process_is(clause->ch->process);
}

static inline bool kci_timer_is_due(const struct kc_clause *clause, uint64_t now)
{
	return clause->due_ns <= now && clause->due_ns != KC_NEVER;
}

/* ---- select-local.c ---------------------------------------------------------- */

/* Carry out the clause if that can be done at once: true, and its result is set. */
bool kci_local_try_clause(struct kci_select *s, struct kc_clause *clause);

/* A clause that sends a descriptor goes by the channel's backend: 0, or why it may not; 1: it has
 * memory of its own from here on, which goes with kci_local_clauses_done(). */
int kci_local_clause_desc(struct kc_clause *clause);
void kci_local_clauses_done(struct kci_select *s);

/* Could it be, at this moment? */
bool kci_local_peek_clause(struct kci_select *s, struct kc_clause *clause);

/*
 * Look at all clauses, none of which is remote. That is done as the owner of all locks, or not at
 * all. As long as they are unchecked those that are not of the usual sort are for others, too;
 * and if s->seen, they have been checked by that.
 */
enum kci_sat {
	KCI_SAT,      /* none is ready, and each local one has a seat (but with s->tries) */
	KCI_READY,    /* *ret_ready could be carried out a moment ago, and is as good as any other */
	KCI_NOT_OURS, /* it takes other ways */
};
enum kci_sat kci_local_look(struct kci_select *s, uint64_t now, struct kc_clause **ret_ready);
enum kci_sat kci_local_look_unchecked(struct kci_select *s, struct kc_clause **ret_ready);

/* Take a seat for every local clause. false: one of them is ready, and no seat is taken. */
bool kci_local_sit(struct kci_select *s);
/* Give all seats up: the clause that was claimed, completed, or NULL. */
struct kc_clause *kci_local_stand(struct kci_select *s);

#endif
