/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The laws of structure (structure.h) hold in random trees, and a history in which one is broken
 * is told from the others. The seed is printed if a law is broken:
 *
 *	KCT_STRUCTURE_SEED=n tests/unit/test-structure
 *
 * tries that one alone and prints what happened.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/unit/structure.h"

#define SEEDS 10000

/* The one in question. */
static struct history *h;

/* ---- seeds ------------------------------------------------------------------- */

static const char *const kinds[] = { "scope", "job", "actor", "producer" };
static const char *const events[] = { "begun",	   "returned", "state",	  "result", "cancel",
				      "cancelled", "token",    "product", "ended" };

static void print_history(void)
{
	for (int i = 0; i < h->n_nodes; i++)
		print_message("# node %d: %s in %d below %d%s, deadline %ld\n", i,
			      kinds[h->nodes[i].kind], h->nodes[i].scope, h->nodes[i].above,
			      h->nodes[i].supervisor ? ", supervisor" : "",
			      h->nodes[i].deadline_ms);
	for (int i = 0; i < h->n_events; i++)
		print_message("# event %d at %" PRIu64 ": %s %d: %ld %ld %ld\n", i,
			      h->events[i].ms, events[h->events[i].kind], h->events[i].node,
			      h->events[i].a, h->events[i].b, h->events[i].c);
}

struct tally {
	unsigned nodes, events, failed, cancelled, late;
};

static void try_seed(uint64_t seed, struct tally *t, bool print)
{
	const char *law;
	int at, broken;

	h = structure_live(seed, &broken);
	if (broken) {
		print_history();
		print_error("KCT_STRUCTURE_SEED=%" PRIu64 ": structure-live.c:%d\n", seed, broken);
		fail();
	}
	structure_end();
	law = history_judge(h, &at);
	if (print || law)
		print_history();
	if (law) {
		print_error("KCT_STRUCTURE_SEED=%" PRIu64 ": %s (event %d)\n", seed, law, at);
		fail();
	}
	t->nodes += (unsigned)h->n_nodes;
	t->events += (unsigned)h->n_events;
	for (int i = 0; i < h->n_events; i++) {
		const struct event *e = &h->events[i];

		t->failed += e->kind == ENDED && e->a == KC_STATE_FAILED;
		t->cancelled += e->kind == ENDED && e->a == KC_STATE_CANCELLED;
		t->late += e->kind == ENDED && e->c == KC_ETIME;
	}
}

static void laws_hold_for_every_seed(void **state)
{
	const char *given = getenv("KCT_STRUCTURE_SEED");
	struct tally t = { 0 };

	if (given) {
		try_seed(strtoull(given, NULL, 0), &t, true);
		return;
	}
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		try_seed(seed, &t, false);
	print_message("# %u nodes, %u events; scopes: %u failed, %u cancelled, %u of those late\n",
		      t.nodes, t.events, t.failed, t.cancelled, t.late);
	/* nothing that was to be tried is missing */
	assert_true(t.failed > SEEDS / 10 && t.cancelled > SEEDS / 10 && t.late > SEEDS / 100);
}

/* ---- the judge --------------------------------------------------------------- */

static int find(enum event_kind kind, bool (*pred)(const struct event *e))
{
	for (int i = 0; i < h->n_events; i++)
		if (h->events[i].kind == kind && (!pred || pred(&h->events[i])))
			return i;
	return -1;
}

static void move(int from, int to)
{
	struct event e = h->events[from];

	memmove(&h->events[from], &h->events[from + 1],
		(size_t)(to - from) * sizeof(struct event));
	h->events[to] = e;
}

static bool in_root(const struct event *e)
{
	return h->nodes[e->node].scope == 0 && h->nodes[e->node].kind != A_SCOPE;
}

static bool of_root(const struct event *e)
{
	return e->node == 0 && e->a >= 0;
}

static bool completed(const struct event *e)
{
	return e->a == KC_STATE_COMPLETED && h->nodes[e->node].kind == A_JOB;
}

static bool cancelled_job(const struct event *e)
{
	return e->a == KC_ECANCELED && e->b == KC_STATE_CANCELLING;
}

static bool failed_root(const struct event *e)
{
	return of_root(e) && e->a == KC_STATE_FAILED;
}

/* Break a law in a history that keeps all; false: this one has nothing to break. */
static bool plant(int fault)
{
	int i = -1, end = find(ENDED, of_root);

	switch (fault) {
	case 0: /* a child of the root returns after it ended */
		i = find(RETURNED, in_root);
		if (i < 0 || end < i)
			return false;
		move(i, end);
		return true;
	case 1:
		i = find(RETURNED, NULL);
		if (i < 0)
			return false;
		h->events[h->n_events++] = h->events[i];
		return true;
	case 2:
		i = find(RETURNED, NULL);
		if (i < 0)
			return false;
		move(i, --h->n_events);
		return true;
	case 3:
		i = find(TOKEN, NULL);
		if (i >= 0)
			h->events[i].a = 0;
		return i >= 0;
	case 4:
		i = find(STATE, completed);
		if (i >= 0)
			h->events[h->n_events++] = (struct event){ .kind = STATE,
								     .node = h->events[i].node,
								     .a = KC_STATE_ACTIVE };
		return i >= 0;
	case 5: /* the cause of a cancellation */
		i = find(RETURNED, cancelled_job);
		if (i < 0)
			return false;
		for (int n = 0; n < h->n_nodes; n++)
			h->nodes[n].deadline_ms = 0;
		for (int e = 0; e < h->n_events; e++) {
			if (h->events[e].kind == CANCEL)
				h->events[e].kind = BEGUN;
			if (h->events[e].kind == RETURNED && e != i)
				h->events[e].a = 0;
		}
		return true;
	case 6:
		i = find(PRODUCT, NULL);
		if (i >= 0)
			h->events[i].a = KC_EAGAIN;
		return i >= 0;
	case 7:
		i = find(RESULT, NULL);
		if (i >= 0)
			h->events[i].a ^= 1;
		return i >= 0;
	case 8: /* the root is said to have completed */
		i = find(ENDED, failed_root);
		if (i >= 0)
			h->events[i].a = KC_STATE_COMPLETED;
		return i >= 0;
	default: /* or with another failure */
		i = find(ENDED, failed_root);
		if (i >= 0)
			h->events[i].b--;
		return i >= 0;
	}
}

static void planted_faults_are_found(void **state)
{
	for (int fault = 0; fault < 10; fault++) {
		unsigned planted = 0;

		for (uint64_t seed = 0; seed < 200 && planted < 5; seed++) {
			int at, broken;

			h = structure_live(seed, &broken);
			structure_end();
			assert_null(history_judge(h, &at));
			if (!plant(fault))
				continue;
			planted++;
			if (!history_judge(h, &at)) {
				print_error("fault %d of seed %" PRIu64 " is not found\n", fault,
					    seed);
				fail();
			}
		}
		assert_int_equal(planted, 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(laws_hold_for_every_seed),
		KCT_TEST(planted_faults_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
