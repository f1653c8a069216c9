/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kind x operation x mode x state, one case per cell.
 *
 * The cells are made from tables; what a cell expects follows from a few rules
 * (expect_* below), which are the contract in short.
 */
#include "tests/conformance/suite.h"

#include <stdio.h>
#include <string.h>

#define CAPACITY 3
#define BATCH	 2

enum state {
	NOT_READY, /* open; the operation would have to wait */
	READY,	   /* open; it can be done at once */
	CLOSING,   /* closed, something still queued */
	CLOSED,	   /* closed and drained */
	N_STATES,
};

enum mode {
	TRY,
	TIMED,
	FOREVER,
	CANCELLED_BEFORE,
	CANCELLED_DURING,
	CLOSED_DURING,
	TIMED_AND_MET,
	N_MODES,
};

static const char *const state_names[] = { "not ready", "ready", "closing", "closed" };
static const char *const mode_names[] = {
	"try",		 "timed",	 "forever", "cancelled before", "cancelled during",
	"closed during", "timed and met"
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

/* ---- operations ---------------------------------------------------------- */

/* One run of an operation, on this thread or another. */
struct run {
	const struct operation *operation;
	struct kct_pair pair;
	uint32_t first; /* of the numbers it sends */
	long timeout_ms;
	kc_cancel_t *token;
	uint64_t got[BATCH]; /* the numbers it received */
};

/* How many elements moved, 1 or more, or a code. */
struct operation {
	const char *name;
	enum kct_family family;
	bool is_send;
	long (*run)(struct run *r);
};

static unsigned char blocks[256];

static long zero_is_one(int r)
{
	return r == 0 ? 1 : r;
}

static long run_send(struct run *r)
{
	uint64_t v = r->first;

	return zero_is_one(kc_chan_send_c(r->pair.tx, &v, r->timeout_ms, r->token));
}

static long run_recv(struct run *r)
{
	return zero_is_one(kc_chan_recv_c(r->pair.rx, &r->got[0], r->timeout_ms, r->token));
}

static long run_send_msg(struct run *r)
{
	uint64_t v = r->first;

	return zero_is_one(kc_chan_send_msg_c(r->pair.tx, &v, sizeof(v), r->timeout_ms, r->token));
}

static long run_recv_msg(struct run *r)
{
	size_t len = 0;
	int n = kc_chan_recv_msg_c(r->pair.rx, &r->got[0], sizeof(r->got[0]), &len, r->timeout_ms,
				   r->token);

	return n == 0 && len != sizeof(r->got[0]) ? KC_EPROTO : zero_is_one(n);
}

static long run_send_many(struct run *r)
{
	uint64_t v[BATCH];

	for (uint32_t i = 0; i < BATCH; i++)
		v[i] = r->first + i;
	return kc_chan_send_many(r->pair.tx, v, BATCH, r->timeout_ms, r->token);
}

static long run_recv_many(struct run *r)
{
	return kc_chan_recv_many(r->pair.rx, r->got, BATCH, r->timeout_ms, r->token);
}

static long run_send_msgs(struct run *r)
{
	uint64_t v[BATCH];
	struct kc_msg msgs[BATCH];

	for (uint32_t i = 0; i < BATCH; i++) {
		v[i] = r->first + i;
		msgs[i] = (struct kc_msg){ .data = &v[i], .len = sizeof(v[i]) };
	}
	return kc_chan_send_msgs(r->pair.tx, msgs, BATCH, r->timeout_ms, r->token);
}

static long run_recv_msgs(struct run *r)
{
	struct kc_msg msgs[BATCH];
	long n = kc_chan_recv_msgs(r->pair.rx, r->got, sizeof(r->got), msgs, BATCH, r->timeout_ms,
				   r->token);

	for (long i = 0; i < n; i++)
		if (msgs[i].data != &r->got[i] || msgs[i].len != sizeof(r->got[i]))
			return KC_EPROTO;
	return n;
}

static long run_send_desc(struct run *r)
{
	struct kc_zdesc desc = { .addr = &blocks[r->first], .len = 1 };

	return zero_is_one(kc_chan_send_desc_c(r->pair.tx, &desc, r->timeout_ms, r->token));
}

static long run_recv_desc(struct run *r)
{
	struct kc_zdesc desc = { 0 };
	int n = kc_chan_recv_desc_c(r->pair.rx, &desc, r->timeout_ms, r->token);

	if (n == 0)
		r->got[0] = (uint64_t)((unsigned char *)desc.addr - blocks);
	return zero_is_one(n);
}

static const struct operation operations[] = {
	{ "send", KCT_FIXED, true, run_send },
	{ "recv", KCT_FIXED, false, run_recv },
	{ "send_msg", KCT_MSG, true, run_send_msg },
	{ "recv_msg", KCT_MSG, false, run_recv_msg },
	{ "send_many", KCT_FIXED, true, run_send_many },
	{ "recv_many", KCT_FIXED, false, run_recv_many },
	{ "send_msgs", KCT_MSG, true, run_send_msgs },
	{ "recv_msgs", KCT_MSG, false, run_recv_msgs },
	{ "send_desc", KCT_DESC, true, run_send_desc },
	{ "recv_desc", KCT_DESC, false, run_recv_desc },
};

/* The single operations that bring a channel into a state, by family. */
static const struct operation *const single_send[] = { &operations[0], &operations[2],
						       &operations[8] };
static const struct operation *const single_recv[] = { &operations[1], &operations[3],
						       &operations[9] };

/* ---- cells --------------------------------------------------------------- */

struct cell {
	enum kc_kind kind;
	const struct operation *operation;
	enum state state;
	enum mode mode;
	char name[80];
};

#define N_KINDS	     (sizeof(kinds) / sizeof(kinds[0]))
#define N_OPERATIONS (sizeof(operations) / sizeof(operations[0]))
#define N_CELLS_MAX  (N_KINDS * N_OPERATIONS * N_STATES * N_MODES)

static struct cell cells[N_CELLS_MAX];
static struct CMUnitTest tests[N_CELLS_MAX];

static bool exists(const struct cell *cell)
{
	const struct operation *op = cell->operation;

	if (op->family == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
		return false;
	/* a conflated channel always takes a value */
	if (cell->state == NOT_READY && cell->kind == KC_CONFLATED && op->is_send)
		return false;
	/* a rendezvous queues nothing */
	if (cell->state == CLOSING && cell->kind == KC_RENDEZVOUS)
		return false;
	/* only what has to wait can be met by an event meanwhile */
	if (cell->state != NOT_READY && cell->mode > CANCELLED_BEFORE)
		return false;
	return true;
}

/* ---- one cell ------------------------------------------------------------ */

struct bench {
	const struct cell *cell;
	struct kct_case c;
	kc_cancel_t *token;
	struct run run;
	struct kct_call call;
	uint64_t next_out; /* the number a receive gets next */
};

static long run_main(void *arg)
{
	struct run *r = arg;

	return r->operation->run(r);
}

static struct run make_run(struct bench *b, const struct operation *op, uint32_t first, long ms)
{
	return (struct run){
		.operation = op,
		.pair = b->c.pair,
		.first = first,
		.timeout_ms = ms,
		.got = { UINT64_MAX, UINT64_MAX },
	};
}

/* Book what a run moved, and look at what it received. */
static void settle(struct bench *b, const struct run *r, long n)
{
	assert_in_range(n, 1, BATCH);
	if (r->operation->is_send) {
		b->c.sent += (uint64_t)n;
		return;
	}
	for (long i = 0; i < n; i++)
		assert_int_equal(r->got[i], b->next_out++);
	b->c.received += (uint64_t)n;
}

static long single(struct bench *b, bool is_send, uint32_t number, long timeout_ms)
{
	enum kct_family family = b->cell->operation->family;
	struct run r = make_run(b, is_send ? single_send[family] : single_recv[family], number,
				timeout_ms);
	long n = r.operation->run(&r);

	if (n > 0)
		settle(b, &r, n);
	return n;
}

static void start_blocked(struct bench *b, struct run *r)
{
	kct_call_start(&b->call, run_main, r);
	assert_true(kct_placement.wait_blocked(&b->c.pair, r->operation->is_send,
					       !r->operation->is_send));
}

/* Fill until a try finds no room; returns the number the next send is to have. */
static uint32_t fill(struct bench *b)
{
	uint32_t number = 0;
	long n;

	while ((n = single(b, true, number, 0)) > 0)
		number++;
	assert_int_equal(n, KC_EAGAIN);
	assert_int_equal(number, b->cell->kind == KC_RENDEZVOUS ? 0 : CAPACITY);
	return number;
}

static void drain_and_end(struct bench *b)
{
	while (single(b, false, 0, 0) > 0)
		;
	kc_cancel_destroy(b->token);
	case_end(&b->c);
}

/* The operation has to wait, and one of the things that end a wait happens. */
static void wait_not_ready(struct bench *b)
{
	bool is_send = b->run.operation->is_send;
	long n;

	b->run.timeout_ms = b->cell->mode == TIMED_AND_MET ? KCT_PATIENCE_MS : -1;
	start_blocked(b, &b->run);
	switch (b->cell->mode) {
	case CANCELLED_DURING:
		kc_cancel_trigger(b->token);
		assert_int_equal(kct_call_join(&b->call), KC_ECANCELED);
		break;
	case CLOSED_DURING:
		assert_int_equal(kc_chan_close(b->c.pair.tx), 0);
		assert_int_equal(kct_call_join(&b->call), KC_EPIPE);
		break;
	default:
		if (is_send) {
			/* its element may be the one that is taken: book it first */
			struct run taker = make_run(b, single_recv[b->run.operation->family], 0,
						    KCT_PATIENCE_MS);

			n = taker.operation->run(&taker);
			settle(b, &b->run, kct_call_join(&b->call));
			settle(b, &taker, n);
		} else {
			assert_int_equal(single(b, true, 0, KCT_PATIENCE_MS), 1);
			settle(b, &b->run, kct_call_join(&b->call));
		}
		break;
	}
}

static void cell_not_ready(struct bench *b)
{
	uint64_t start;

	if (b->run.operation->is_send)
		b->run.first = fill(b);
	switch (b->cell->mode) {
	case TRY:
		b->run.timeout_ms = 0;
		assert_int_equal(b->run.operation->run(&b->run), KC_EAGAIN);
		break;
	case TIMED:
		b->run.timeout_ms = KCT_SHORT_MS;
		start = now_ns();
		assert_int_equal(b->run.operation->run(&b->run), KC_ETIME);
		assert_true(now_ns() - start >= KCT_SHORT_MS * UINT64_C(1000000));
		break;
	case CANCELLED_BEFORE:
		kc_cancel_trigger(b->token);
		b->run.timeout_ms = -1;
		assert_int_equal(b->run.operation->run(&b->run), KC_ECANCELED);
		break;
	default:
		wait_not_ready(b);
		break;
	}
}

static long timeout_of(enum mode mode)
{
	if (mode == TRY)
		return 0;
	return mode == TIMED ? KCT_PATIENCE_MS : -1;
}

static void cell_ready(struct bench *b)
{
	enum kct_family family = b->run.operation->family;
	bool is_send = b->run.operation->is_send;
	bool meets = b->cell->kind == KC_RENDEZVOUS;
	struct run other = make_run(b, is_send ? single_recv[family] : single_send[family], 0, -1);
	long n;

	if (meets)
		start_blocked(b, &other);
	else if (!is_send)
		assert_int_equal(single(b, true, 0, 0), 1);
	b->run.timeout_ms = timeout_of(b->cell->mode);
	if (b->cell->mode == CANCELLED_BEFORE) {
		long before = kc_chan_len(b->c.pair.rx);

		kc_cancel_trigger(b->token);
		assert_int_equal(b->run.operation->run(&b->run), KC_ECANCELED);
		assert_int_equal(kc_chan_len(b->c.pair.rx), before);
		b->run.token = NULL; /* and now it goes: nothing was taken or lost */
	}
	n = b->run.operation->run(&b->run);
	if (meets && !is_send)
		settle(b, &other, kct_call_join(&b->call));
	settle(b, &b->run, n);
	if (meets && is_send)
		settle(b, &other, kct_call_join(&b->call));
	if (b->cell->kind == KC_CONFLATED && is_send && n == BATCH) {
		b->c.conflated++;
		b->next_out++;
	}
}

static void cell_closed(struct bench *b)
{
	bool closing = b->cell->state == CLOSING;
	bool takes = closing && !b->run.operation->is_send;

	if (closing)
		assert_int_equal(single(b, true, 0, 0), 1);
	assert_int_equal(kc_chan_close(b->c.pair.tx), 0);
	b->run.timeout_ms = timeout_of(b->cell->mode);
	if (b->cell->mode == CANCELLED_BEFORE) {
		kc_cancel_trigger(b->token);
		assert_int_equal(b->run.operation->run(&b->run), KC_ECANCELED);
		b->run.token = NULL;
	}
	if (takes)
		settle(b, &b->run, b->run.operation->run(&b->run));
	assert_int_equal(b->run.operation->run(&b->run), KC_EPIPE);
	assert_int_equal(kc_chan_len(b->c.pair.rx), closing && !takes);
}

static void run_cell(void **state)
{
	/* initial_state of the test, see matrix_tests() */
	const struct cell *cell = *state;
	struct bench b = { .cell = cell };

	case_start(&b.c, cell->operation->family, cell->kind, CAPACITY);
	assert_int_equal(kc_cancel_init(&b.token), 0);
	b.run = make_run(&b, cell->operation, 0, 0);
	b.run.token = b.token;
	if (cell->state == NOT_READY)
		cell_not_ready(&b);
	else if (cell->state == READY)
		cell_ready(&b);
	else
		cell_closed(&b);
	drain_and_end(&b);
}

const struct CMUnitTest *matrix_tests(size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < N_CELLS_MAX; i++) {
		struct cell *cell = &cells[n];
		size_t at = i;

		cell->mode = (enum mode)(at % N_MODES);
		at /= N_MODES;
		cell->state = (enum state)(at % N_STATES);
		at /= N_STATES;
		cell->operation = &operations[at % N_OPERATIONS];
		at /= N_OPERATIONS;
		cell->kind = kinds[at].kind;
		if (!exists(cell))
			continue;
		snprintf(cell->name, sizeof(cell->name), "%s, %s, %s, %s", kinds[at].name,
			 cell->operation->name, state_names[cell->state], mode_names[cell->mode]);
		tests[n] =
			(struct CMUnitTest){ cell->name, run_cell, kct_setup, kct_teardown, cell };
		n++;
	}
	*ret_n = n;
	return tests;
}
