/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The laws of structure. Everything is judged by what was noted; nothing is asked of the library.
 */
#include "tests/unit/structure.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "kcoro.h"

struct judge {
	const struct history *h;
	int begun[NODES_MAX];	 /* the event; INT_MAX: never */
	int returned[NODES_MAX]; /* the same; of a scope: its end */
	int final[NODES_MAX];	 /* enum kc_state that follows from its return */
	int failed[NODES_MAX];	 /* a scope: the event by which it did */
	int told[NODES_MAX];	 /* the last state that was seen */
	int reached[NODES_MAX];	 /* the first TOKEN; INT_MAX: none */
	int at;			 /* where the fault is */
};

static bool is_child(const struct node *n)
{
	return n->kind != A_SCOPE;
}

/* What a return means, by the words of the contract. */
static int final_state(const struct node *n, const struct event *e)
{
	if (n->kind == AN_ACTOR)
		return e->a == KC_ECANCELED	      ? KC_STATE_CANCELLED
		       : e->a < 0 && e->a != KC_EPIPE ? KC_STATE_FAILED
						      : KC_STATE_COMPLETED;
	if (e->b == KC_STATE_CANCELLING)
		return e->a < 0 && e->a != KC_ECANCELED && e->a != KC_EPIPE ? KC_STATE_FAILED
									    : KC_STATE_CANCELLED;
	return e->a < 0 ? KC_STATE_FAILED : KC_STATE_COMPLETED;
}

/* When everybody began and returned: the frame for everything else. */
static const char *frame(struct judge *j)
{
	const struct history *h = j->h;

	for (int i = 0; i < h->n_nodes; i++) {
		j->begun[i] = j->returned[i] = j->failed[i] = j->reached[i] = INT_MAX;
		j->told[i] = -1;
	}
	for (j->at = 0; j->at < h->n_events; j->at++) {
		const struct event *e = &h->events[j->at];

		if (e->kind == BEGUN && j->begun[e->node] == INT_MAX)
			j->begun[e->node] = j->at;
		if (e->kind != RETURNED && e->kind != ENDED)
			continue;
		if (j->returned[e->node] != INT_MAX)
			return "each child ends once";
		j->returned[e->node] = j->at;
		if (e->kind == RETURNED)
			j->final[e->node] = final_state(&h->nodes[e->node], e);
	}
	for (int i = 0; i < h->n_nodes; i++)
		if (j->begun[i] != INT_MAX && j->returned[i] == INT_MAX)
			return "each child ends";
	return NULL;
}

/* By which event each scope failed: the first of those that come up to it. */
static void failures(struct judge *j)
{
	const struct history *h = j->h;

	for (int i = 0; i < h->n_nodes; i++) {
		if (!is_child(&h->nodes[i]) || j->returned[i] == INT_MAX ||
		    j->final[i] != KC_STATE_FAILED)
			continue;
		for (int s = h->nodes[i].scope; s >= 0; s = h->nodes[s].scope) {
			if (j->returned[i] < j->failed[s])
				j->failed[s] = j->returned[i];
			if (h->nodes[s].supervisor)
				break;
		}
	}
}

/* Was there, before an event, a reason for the token of a node to be set? */
static bool has_cause(const struct judge *j, int node, int before)
{
	const struct history *h = j->h;

	for (int n = node; n >= 0; n = h->nodes[n].above) {
		const struct node *x = &h->nodes[n];

		if (x->kind == A_SCOPE && !x->supervisor && j->failed[n] < before)
			return true;
		if (x->deadline_ms &&
		    h->events[before].ms >= h->events[j->begun[n]].ms + (uint64_t)x->deadline_ms)
			return true;
		/* what has ended is destroyed, which sets its token for whoever is still below it
		 */
		for (int i = 0; i < before; i++)
			if ((h->events[i].kind == CANCEL || h->events[i].kind == ENDED) &&
			    h->events[i].node == n)
				return true;
	}
	return false;
}

/* Had a scope above a node failed when that returned? */
static bool failed_above(const struct judge *j, int node)
{
	const struct history *h = j->h;

	for (int n = h->nodes[node].above; n >= 0; n = h->nodes[n].above)
		if (h->nodes[n].kind == A_SCOPE && !h->nodes[n].supervisor &&
		    j->failed[n] < j->returned[node])
			return true;
	return false;
}

static const char *on_return(struct judge *j, const struct event *e)
{
	const struct node *n = &j->h->nodes[e->node];
	int final = j->final[e->node], reached = j->reached[e->node];

	if (reached < j->at && !n->waits && e->ms > j->h->events[reached].ms + HEARD_MS)
		return "who is cancelled returns soon";
	if (final == KC_STATE_CANCELLED && n->kind != AN_ACTOR && !has_cause(j, e->node, j->at))
		return "nobody is cancelled without a cause";
	if (final == KC_STATE_COMPLETED && n->kind != AN_ACTOR && failed_above(j, e->node))
		return "a failing child cancels its siblings";
	return NULL;
}

static const char *on_state(struct judge *j, const struct event *e)
{
	int before = j->told[e->node];

	if (e->a < before)
		return "states only move forward";
	/* a cancellation is not taken back */
	if (before == KC_STATE_CANCELLING && e->a == KC_STATE_COMPLETED)
		return "who is cancelled does not complete";
	j->told[e->node] = (int)e->a;
	if (is_child(&j->h->nodes[e->node]) && e->a >= KC_STATE_COMPLETED) {
		if (j->returned[e->node] > j->at)
			return "nobody ends before its function has returned";
		if (e->a != j->final[e->node])
			return "the state follows from the result";
	}
	return NULL;
}

static const char *on_scope_end(struct judge *j, const struct event *e)
{
	const struct history *h = j->h;
	const struct node *s = &h->nodes[e->node];
	bool failed = j->failed[e->node] < j->at;

	for (int i = 0; i < h->n_nodes; i++) {
		/* who waits for a scope below may be told later than who waits for this one */
		bool seen = h->nodes[i].kind == A_SCOPE && j->told[i] >= KC_STATE_COMPLETED;

		if (h->nodes[i].scope == e->node && j->begun[i] < j->at && j->returned[i] > j->at &&
		    !seen)
			return "a scope does not end before its children";
	}
	if (e->a < 0)
		return NULL;
	if (e->b != (failed ? h->events[j->failed[e->node]].a : 0))
		return "its result is the first failure";
	if ((e->a == KC_STATE_FAILED) != (failed && !s->supervisor))
		return "a scope fails by its children and no other way";
	if (e->a == KC_STATE_CANCELLED && !has_cause(j, e->node, j->at))
		return "no scope is cancelled without a cause";
	if (e->a < KC_STATE_COMPLETED)
		return "who waited finds it at its end";
	if (e->c == KC_ETIME && !s->deadline_ms && s->scope < 0)
		return "KC_ETIME is of a deadline";
	return NULL;
}

static const char *on_event(struct judge *j, const struct event *e)
{
	switch (e->kind) {
	case RETURNED:
		return on_return(j, e);
	case STATE:
		return on_state(j, e);
	case RESULT:
		return e->a == j->h->events[j->returned[e->node]].a
			       ? NULL
			       : "the result is the returned one";
	case TOKEN:
		if (j->reached[e->node] > j->at)
			j->reached[e->node] = j->at;
		return e->a ? NULL : "a cancellation reaches all that is below";
	case PRODUCT:
		return e->a == KC_EPIPE ? NULL : "a product is closed";
	case ENDED:
		return on_scope_end(j, e);
	default:
		return NULL;
	}
}

const char *history_judge(const struct history *h, int *ret_event)
{
	static struct judge j;
	const char *law;

	memset(&j, 0, sizeof(j));
	j.h = h;
	law = frame(&j);
	if (!law)
		failures(&j);
	for (j.at = law ? j.at : 0; !law && j.at < h->n_events; j.at++) {
		law = on_event(&j, &h->events[j.at]);
		if (law)
			break;
	}
	*ret_event = j.at;
	return law;
}
