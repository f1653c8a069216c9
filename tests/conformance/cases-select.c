/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Select: kind x family x direction x situation, one case per cell.
 *
 * The clause that a cell is about stands among others that are not ready: two of other
 * channels, one that is off, one without a channel. What those channels hold is compared at
 * the end, so that a select that took or put something for a clause that lost is found.
 */
#include "tests/conformance/selector.h"

#include <stdio.h>
#include <string.h>

#define CAPACITY 2
#define CLAUSES	 5
#define NUMBER	 7u /* what the cell's clause sends or receives */

enum situation {
	READY,
	READY_LATER,
	TRY,
	DEADLINE,
	CANCELLED_BEFORE,
	CANCELLED_DURING,
	CLOSED,
	CLOSED_DURING,
	DRAINED,
	TOO_LONG,
	TOO_LONG_LATER,
	N_SITUATIONS,
};

static const char *const situation_names[] = {
	"ready",  "ready later",   "try",     "deadline", "cancelled before", "cancelled during",
	"closed", "closed during", "drained", "too long", "too long later",
};

static const struct {
	enum kc_kind kind;
	const char *name;
} kinds[] = {
	{ KC_RENDEZVOUS, "rendezvous" },
	{ KC_BUFFERED, "buffered" },
	{ KC_CONFLATED, "conflated" },
	{ KC_UNLIMITED, "unlimited" },
};

static const char *const family_names[] = { "fixed", "messages", "descriptors" };

struct cell {
	enum kc_kind kind;
	enum kct_family family;
	bool is_send;
	enum situation situation;
	unsigned at; /* among the clauses */
	char name[80];
};

#define N_KINDS	    (sizeof(kinds) / sizeof(kinds[0]))
#define N_CELLS_MAX (N_KINDS * 3 * 2 * N_SITUATIONS)

static struct cell cells[N_CELLS_MAX];
static struct CMUnitTest tests[N_CELLS_MAX];

static bool exists(const struct cell *cell)
{
	if (cell->family == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
		return false;
	switch (cell->situation) {
	case READY_LATER:
	case TRY:
	case DEADLINE:
	case CANCELLED_DURING:
	case CLOSED_DURING:
		/* a conflated channel always takes a value */
		return cell->kind != KC_CONFLATED || !cell->is_send;
	case DRAINED:
		/* a rendezvous queues nothing */
		return cell->kind != KC_RENDEZVOUS && !cell->is_send;
	case TOO_LONG:
	case TOO_LONG_LATER:
		return cell->family == KCT_MSG && !cell->is_send;
	default:
		return true;
	}
}

/* ---- one cell ------------------------------------------------------------ */

struct bench {
	const struct cell *cell;
	struct kct_case c, empty, full;
	struct kct_selector s;
	kc_cancel_t *token;
	struct kct_op other; /* the other side of a rendezvous */
};

/* Fill until there is no room: what the cell's select is to send then has to wait. */
static void fill(struct bench *b)
{
	uint32_t number = 100;
	int r;

	while ((r = case_send(&b->c, number, 0, NULL)) == 0)
		number++;
	assert_int_equal(r, KC_EAGAIN);
	assert_int_equal(number - 100, b->cell->kind == KC_RENDEZVOUS ? 0 : CAPACITY);
}

static void not_ready(struct bench *b)
{
	if (b->cell->is_send)
		fill(b);
}

static void make_ready(struct bench *b)
{
	if (b->cell->kind == KC_RENDEZVOUS)
		op_start_blocked(&b->other, &b->c, !b->cell->is_send, NUMBER, 1);
	else if (!b->cell->is_send)
		assert_int_equal(case_send(&b->c, NUMBER, 0, NULL), 0);
}

/* The cell's clause took effect, and so has the other side. */
static void took_effect(struct bench *b, int won)
{
	bool meets = b->cell->kind == KC_RENDEZVOUS;

	assert_int_equal(won, b->cell->at);
	if (b->cell->is_send) {
		assert_int_equal(selector_settle(&b->s, won), 0);
		if (meets)
			assert_int_equal(op_join(&b->other), NUMBER);
		else
			assert_int_equal(case_recv(&b->c, 0, NULL), NUMBER);
	} else {
		if (meets)
			assert_int_equal(op_join(&b->other), 0);
		assert_int_equal(selector_settle(&b->s, won), NUMBER);
	}
}

static void failed_with(struct bench *b, int won, int code)
{
	assert_int_equal(won, b->cell->at);
	assert_int_equal(b->s.clauses[won].result, code);
}

static const long timeouts[] = { 0, KCT_PATIENCE_MS, -1 };

static void cell_ready(struct bench *b)
{
	for (size_t i = 0; i < 3; i++) {
		make_ready(b);
		took_effect(b, selector_run(&b->s, timeouts[i]));
	}
}

static void cell_ready_later(struct bench *b)
{
	long first;

	not_ready(b);
	selector_start_blocked(&b->s, 0);
	if (!b->cell->is_send) {
		assert_int_equal(case_send(&b->c, NUMBER, KCT_PATIENCE_MS, NULL), 0);
		assert_int_equal(selector_join(&b->s), b->cell->at);
		assert_int_equal(selector_settle(&b->s, (int)b->cell->at), NUMBER);
		return;
	}
	first = case_recv(&b->c, KCT_PATIENCE_MS, NULL);
	assert_int_equal(selector_join(&b->s), b->cell->at);
	assert_int_equal(selector_settle(&b->s, (int)b->cell->at), 0);
	if (b->cell->kind == KC_RENDEZVOUS) {
		assert_int_equal(first, NUMBER);
		return;
	}
	assert_int_equal(first, 100);
	/* behind those that were there before */
	for (uint32_t i = 1; i < CAPACITY; i++)
		assert_int_equal(case_recv(&b->c, 0, NULL), 100 + i);
	assert_int_equal(case_recv(&b->c, 0, NULL), NUMBER);
}

static void cell_deadline(struct bench *b)
{
	uint64_t start;

	not_ready(b);
	start = now_ns();
	assert_int_equal(selector_run(&b->s, KCT_SHORT_MS), KC_ETIME);
	assert_true(now_ns() - start >= KCT_SHORT_MS * UINT64_C(1000000));
}

static void cell_cancelled_before(struct bench *b)
{
	long before;

	make_ready(b);
	before = kc_chan_len(b->c.pair.rx);
	kc_cancel_trigger(b->token);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(selector_run(&b->s, timeouts[i]), KC_ECANCELED);
	assert_int_equal(kc_chan_len(b->c.pair.rx), before);
	/* and now it goes: nothing was taken or lost */
	b->s.token = NULL;
	took_effect(b, selector_run(&b->s, -1));
}

static void cell_cancelled_during(struct bench *b)
{
	not_ready(b);
	b->s.timeout_ms = -1;
	selector_start_blocked(&b->s, 0);
	kc_cancel_trigger(b->token);
	assert_int_equal(selector_join(&b->s), KC_ECANCELED);
	/* it has left: nobody meets it, and what comes is for others */
	if (b->cell->kind == KC_RENDEZVOUS)
		assert_int_equal(b->cell->is_send ? case_recv(&b->c, 0, NULL)
						  : case_send(&b->c, 1, 0, NULL),
				 KC_EAGAIN);
	else if (!b->cell->is_send)
		assert_int_equal(case_send(&b->c, 1, 0, NULL), 0);
}

static void cell_closed(struct bench *b)
{
	assert_int_equal(kc_chan_close(b->c.pair.tx), 0);
	for (size_t i = 0; i < 3; i++)
		failed_with(b, selector_run(&b->s, timeouts[i]), KC_EPIPE);
	/* switched off, it is no more in the way */
	b->s.clauses[b->cell->at].kind = KC_CLAUSE_OFF;
	assert_int_equal(selector_run(&b->s, 0), KC_EAGAIN);
}

static void cell_closed_during(struct bench *b)
{
	not_ready(b);
	selector_start_blocked(&b->s, 0);
	assert_int_equal(kc_chan_close(b->c.pair.rx), 0);
	failed_with(b, selector_join(&b->s), KC_EPIPE);
}

static void cell_drained(struct bench *b)
{
	make_ready(b);
	assert_int_equal(kc_chan_close(b->c.pair.tx), 0);
	took_effect(b, selector_run(&b->s, -1));
	failed_with(b, selector_run(&b->s, -1), KC_EPIPE);
}

static void cell_too_long(struct bench *b)
{
	struct kc_clause *clause = &b->s.clauses[b->cell->at];

	clause->size = 2;
	if (b->cell->situation == TOO_LONG) {
		make_ready(b);
		failed_with(b, selector_run(&b->s, -1), KC_EMSGSIZE);
	} else {
		selector_start_blocked(&b->s, 0);
		if (b->cell->kind == KC_RENDEZVOUS)
			op_start_blocked(&b->other, &b->c, true, NUMBER, 1);
		else
			make_ready(b);
		failed_with(b, selector_join(&b->s), KC_EMSGSIZE);
	}
	assert_int_equal(clause->len, sizeof(uint64_t));
	/* it has stayed */
	clause->size = KCT_MSG_MAX;
	took_effect(b, selector_run(&b->s, -1));
}

static void run_cell(void **state)
{
	/* initial_state of the test, see select_tests() */
	const struct cell *cell = *state;
	struct bench b = { .cell = cell };

	case_start(&b.c, cell->family, cell->kind, CAPACITY);
	case_start(&b.empty, KCT_FIXED, KC_BUFFERED, 1);
	case_start(&b.full, KCT_MSG, KC_BUFFERED, 1);
	assert_int_equal(case_send(&b.full, 1, 0, NULL), 0);
	assert_int_equal(kc_cancel_init(&b.token), 0);
	selector_init(&b.s);
	b.s.token = b.token;
	for (unsigned i = 0; i < CLAUSES; i++) {
		static uint64_t none;

		if (i == cell->at) {
			(void)selector_add(&b.s, &b.c, cell->is_send, NUMBER);
		} else if (i == (cell->at + 1) % CLAUSES) {
			(void)selector_add(&b.s, &b.empty, false, 0);
		} else if (i == (cell->at + 2) % CLAUSES) {
			(void)selector_add(&b.s, &b.full, true, 2);
		} else if (i == (cell->at + 3) % CLAUSES) {
			(void)selector_add_clause(&b.s, kc_clause_recv(NULL, &none));
		} else {
			(void)selector_add(&b.s, &b.full, false, 0);
			b.s.clauses[i].kind = KC_CLAUSE_OFF;
		}
	}
	switch (cell->situation) {
	case READY:
		cell_ready(&b);
		break;
	case READY_LATER:
		cell_ready_later(&b);
		break;
	case TRY:
		not_ready(&b);
		assert_int_equal(selector_run(&b.s, 0), KC_EAGAIN);
		break;
	case DEADLINE:
		cell_deadline(&b);
		break;
	case CANCELLED_BEFORE:
		cell_cancelled_before(&b);
		break;
	case CANCELLED_DURING:
		cell_cancelled_during(&b);
		break;
	case CLOSED:
		cell_closed(&b);
		break;
	case CLOSED_DURING:
		cell_closed_during(&b);
		break;
	case DRAINED:
		cell_drained(&b);
		break;
	default:
		cell_too_long(&b);
		break;
	}
	while (case_recv(&b.c, 0, NULL) >= 0)
		;
	kc_cancel_destroy(b.token);
	assert_int_equal(case_recv(&b.empty, 0, NULL), KC_EAGAIN);
	assert_int_equal(case_recv(&b.full, 0, NULL), 1);
	case_end(&b.c);
	case_end(&b.empty);
	case_end(&b.full);
}

const struct CMUnitTest *select_tests(size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < N_CELLS_MAX; i++) {
		struct cell *cell = &cells[n];
		size_t at = i;

		cell->situation = (enum situation)(at % N_SITUATIONS);
		at /= N_SITUATIONS;
		cell->is_send = at % 2;
		at /= 2;
		cell->family = (enum kct_family)(at % 3);
		at /= 3;
		cell->kind = kinds[at].kind;
		cell->at = (unsigned)(n % CLAUSES);
		if (!exists(cell))
			continue;
		snprintf(cell->name, sizeof(cell->name), "select, %s, %s, %s, %s", kinds[at].name,
			 family_names[cell->family], cell->is_send ? "send" : "recv",
			 situation_names[cell->situation]);
		tests[n] =
			(struct CMUnitTest){ cell->name, run_cell, kct_setup, kct_teardown, cell };
		n++;
	}
	*ret_n = n;
	return tests;
}
