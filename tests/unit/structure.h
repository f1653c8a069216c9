/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happened in a random tree of scopes, jobs and actors, and the laws it has to keep.
 */
#ifndef STRUCTURE_H
#define STRUCTURE_H

#include <stdint.h>

#define NODES_MAX  64
#define EVENTS_MAX 8192

/* Who was cancelled returns within so long; nobody sleeps for half of it without listening. */
#define HEARD_MS     1000u
#define LONG_WAIT_MS 20000

enum node_kind { A_SCOPE, A_JOB, AN_ACTOR, A_PRODUCER };

struct node {
	enum node_kind kind;
	int scope; /* whose child it is; -1: nobody's */
	int above; /* whose token is above its own: a scope or a job; -1: none */
	int supervisor;
	int waits; /* it waits for a scope that is not cancelled with it */
	long deadline_ms; /* 0: none */
};

enum event_kind {
	BEGUN,	   /* it may run from now on */
	RETURNED,  /* a: its result; b: its state until then (jobs and producers) */
	STATE,	   /* a: its state as told to somebody else */
	RESULT,	   /* a: its result as told to somebody else */
	CANCEL,	   /* somebody cancels it, or destroys it */
	CANCELLED, /* that call has returned */
	TOKEN,	   /* a: whether its token was found set after a cancellation above it */
	PRODUCT,   /* a: what a receive from its channel gave, after its scope's end */
	ENDED,	   /* a scope: the wait for it is over. a: its state, -1 if it is gone; b: its
		    * result; c: its reason */
};

struct event {
	enum event_kind kind;
	int node;
	long a, b, c;
	uint64_t ms;
};

struct history {
	struct node nodes[NODES_MAX];
	int n_nodes;
	struct event events[EVENTS_MAX];
	int n_events;
};

/* structure-live.c: live through the tree that a seed grows. What happened, until the next one;
 * *ret_broken: 0, or the line of a call that gave what it must not. Asserts. */
struct history *structure_live(uint64_t seed, int *ret_broken);
/* Look once more at what is left, and let it go; not if a call was broken. */
void structure_end(void);

/* structure.c: the law that is broken, and by which event; NULL: none. */
const char *history_judge(const struct history *h, int *ret_event);

#endif
