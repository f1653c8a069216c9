/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conformance suite: clauses of numbered elements, and selects at work on threads of their
 * own. A select may hold clauses of several cases; the account of each is its own.
 */
#ifndef KCT_SELECTOR_H
#define KCT_SELECTOR_H

#include "tests/conformance/suite.h"

#define SELECTOR_MAX 8u

/* Where a clause's element is, or goes. */
struct kct_room {
	uint64_t value;
	struct kc_zdesc desc;
	unsigned char buf[KCT_MSG_MAX];
};

/* The clause that sends or receives one number by the case's family. */
struct kc_clause case_clause(struct kct_case *c, bool is_send, uint32_t number,
			     struct kct_room *room);
/* What it did, having taken effect: 0 or the number received, or what it failed with. Counts a
 * success in the case's account. */
long case_settle(struct kct_case *c, const struct kc_clause *clause, const struct kct_room *room);

/* What was sent is the channel's: a send that does not await its reply may be overtaken by what
 * is done on another connection. */
void case_arrived(struct kct_case *c);

/* A select on a thread of its own. */
struct kct_selector {
	struct kct_call call;
	struct kc_clause clauses[SELECTOR_MAX];
	struct kct_room rooms[SELECTOR_MAX];
	struct kct_case *cases[SELECTOR_MAX]; /* NULL: a clause of none */
	unsigned n;
	unsigned flags;
	long timeout_ms;
	kc_cancel_t *token;
};

/* Without clauses; it waits until the test would give up. */
void selector_init(struct kct_selector *s);
/* Returns the clause's index. */
unsigned selector_add(struct kct_selector *s, struct kct_case *c, bool is_send, uint32_t number);
unsigned selector_add_clause(struct kct_selector *s, struct kc_clause clause);
/* Here and now, with this timeout: as kc_select(). */
int selector_run(struct kct_selector *s, long timeout_ms);
void selector_start(struct kct_selector *s);
/* Returns once it waits at each of its channels, where so many others may wait before it. */
void selector_start_blocked(struct kct_selector *s, unsigned before);
int selector_join(struct kct_selector *s);
/* As case_settle() of the clause that took effect. */
long selector_settle(struct kct_selector *s, int won);

#endif
