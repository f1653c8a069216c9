/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callers see of a local channel while others use it can be explained, for each kind,
 * by calls that took place one after the other: threads, coroutines on two workers, both,
 * and coroutines in an order that is drawn. That the search for an explanation finds no
 * fault in good histories and all in bad ones is tested first.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kcoro.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/history.h"
#include "tests/lib/kct.h"

#define CALLERS	 4u
#define CALLS	 32u /* of each; two of them if it is a batch */
#define ROUNDS	 (KCI_TSAN || KCI_ASAN ? 15 : 60)
#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the search ------------------------------------------------------------------ */

/* Each row by a caller of its own; a row without a beginning ends the list. */
struct row {
	uint64_t began, ended;
	enum kct_verb verb;
	bool once;
	uint32_t value;
	long result;
};

struct story {
	const char *title;
	enum kc_kind kind;
	size_t capacity;
	enum kc_overflow overflow;
	bool good;
	unsigned least; /* calls that a bad one shrinks to */
	struct row rows[8];
};

#define S   KCT_SEND
#define R   KCT_RECV
#define BUF KC_BUFFERED
#define REN KC_RENDEZVOUS
#define CON KC_CONFLATED

static const struct story stories[] = {
	{ "nothing", BUF, 1, 0, true, 0, { { 0 } } },
	{ "never sent", BUF, 3, 0, false, 1, { { 1, 2, R, 0, 7, 0 } } },
	{ "twice",
	  BUF,
	  3,
	  0,
	  false,
	  3,
	  { { 1, 2, S, 0, 7, 0 }, { 3, 4, R, 0, 7, 0 }, { 5, 6, R, 0, 7, 0 } } },
	{ "received before it was sent",
	  BUF,
	  3,
	  0,
	  false,
	  1,
	  { { 1, 2, R, 0, 7, 0 }, { 3, 4, S, 0, 7, 0 } } },
	{ "received while it was sent",
	  BUF,
	  3,
	  0,
	  true,
	  0,
	  { { 1, 3, R, 0, 7, 0 }, { 2, 4, S, 0, 7, 0 } } },
	{ "out of order",
	  BUF,
	  3,
	  0,
	  false,
	  3,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, R, 0, 2, 0 },
	    { 7, 8, R, 0, 1, 0 } } },
	{ "in either order",
	  BUF,
	  3,
	  0,
	  true,
	  0,
	  { { 1, 4, S, 0, 1, 0 },
	    { 2, 3, S, 0, 2, 0 },
	    { 5, 6, R, 0, 2, 0 },
	    { 7, 8, R, 0, 1, 0 } } },
	{ "in one order to one and in the other to another",
	  BUF,
	  3,
	  0,
	  false,
	  4,
	  { { 1, 8, S, 0, 1, 0 },
	    { 2, 9, S, 0, 2, 0 },
	    { 10, 11, R, 0, 1, 0 },
	    { 12, 13, R, 0, 2, 0 },
	    { 14, 15, R, 0, 1, 0 } } },
	{ "lost", BUF, 3, 0, false, 2, { { 1, 2, S, 0, 1, 0 }, { 3, 4, R, 1, 0, KC_EAGAIN } } },
	{ "taken by one who is slow to say so",
	  BUF,
	  3,
	  0,
	  true,
	  0,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 6, R, 0, 1, 0 }, { 4, 5, R, 1, 0, KC_EAGAIN } } },
	{ "more than fit",
	  BUF,
	  1,
	  0,
	  false,
	  2,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, R, 0, 1, 0 },
	    { 7, 8, R, 0, 2, 0 } } },
	{ "full while there was room",
	  BUF,
	  2,
	  0,
	  false,
	  2,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, S, 1, 2, KC_EAGAIN } } },
	{ "full", BUF, 1, 0, true, 0, { { 1, 2, S, 0, 1, 0 }, { 3, 4, S, 1, 2, KC_EAGAIN } } },
	{ "would block, from a call that waits",
	  BUF,
	  1,
	  0,
	  false,
	  1,
	  { { 1, 2, R, 0, 0, KC_EAGAIN } } },
	{ "gave up",
	  BUF,
	  1,
	  0,
	  true,
	  0,
	  { { 1, 2, R, 0, 0, KC_ETIME }, { 3, 4, R, 0, 0, KC_ECANCELED } } },
	{ "a wrong length",
	  BUF,
	  3,
	  0,
	  false,
	  2,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, KCT_LEN, 0, 0, 2 } } },
	{ "a length on the way",
	  BUF,
	  3,
	  0,
	  true,
	  0,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 6, S, 0, 2, 0 }, { 4, 5, KCT_LEN, 0, 0, 2 } } },
	{ "purged and received",
	  BUF,
	  3,
	  0,
	  false,
	  3,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, KCT_PURGE, 0, 0, 1 }, { 5, 6, R, 0, 1, 0 } } },
	{ "closed too early",
	  BUF,
	  3,
	  0,
	  false,
	  1,
	  { { 1, 2, S, 0, 1, KC_EPIPE }, { 3, 4, KCT_CLOSE, 0, 0, 0 } } },
	{ "sent after close",
	  BUF,
	  3,
	  0,
	  false,
	  2,
	  { { 1, 2, KCT_CLOSE, 0, 0, 0 }, { 3, 4, S, 0, 1, 0 } } },
	{ "not drained",
	  BUF,
	  3,
	  0,
	  false,
	  3,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, KCT_CLOSE, 0, 0, 0 }, { 5, 6, R, 0, 0, KC_EPIPE } } },
	{ "drained",
	  BUF,
	  3,
	  0,
	  true,
	  0,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, KCT_CLOSE, 0, 0, 0 },
	    { 5, 6, R, 0, 1, 0 },
	    { 7, 8, R, 1, 0, KC_EPIPE },
	    { 9, 10, S, 1, 2, KC_EPIPE } } },
	{ "empty where it is closed",
	  BUF,
	  3,
	  0,
	  false,
	  2,
	  { { 1, 2, KCT_CLOSE, 0, 0, 0 }, { 3, 4, R, 1, 0, KC_EAGAIN } } },
	{ "the old value",
	  CON,
	  0,
	  0,
	  false,
	  3,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, S, 0, 2, 0 }, { 5, 6, R, 0, 1, 0 } } },
	{ "the newest value",
	  CON,
	  0,
	  0,
	  true,
	  0,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, R, 0, 2, 0 },
	    { 7, 8, R, 1, 0, KC_EAGAIN } } },
	{ "both values",
	  CON,
	  0,
	  0,
	  false,
	  4,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, R, 0, 2, 0 },
	    { 7, 8, R, 0, 1, 0 } } },
	{ "conflated, and waited", CON, 0, 0, false, 1, { { 1, 2, S, 0, 1, KC_ETIME } } },
	{ "the oldest was dropped",
	  BUF,
	  2,
	  KC_OVERFLOW_DROP_OLDEST,
	  true,
	  0,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, S, 0, 3, 0 },
	    { 7, 8, R, 0, 2, 0 },
	    { 9, 10, R, 0, 3, 0 } } },
	{ "the oldest was not dropped",
	  BUF,
	  2,
	  KC_OVERFLOW_DROP_OLDEST,
	  false,
	  4,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, S, 0, 3, 0 },
	    { 7, 8, R, 0, 1, 0 } } },
	{ "the newest was dropped",
	  BUF,
	  1,
	  KC_OVERFLOW_DROP_NEWEST,
	  true,
	  0,
	  { { 1, 2, S, 0, 1, 0 },
	    { 3, 4, S, 0, 2, 0 },
	    { 5, 6, R, 0, 1, 0 },
	    { 7, 8, R, 1, 0, KC_EAGAIN } } },
	{ "the newest was not dropped",
	  BUF,
	  1,
	  KC_OVERFLOW_DROP_NEWEST,
	  false,
	  3,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, S, 0, 2, 0 }, { 5, 6, R, 0, 2, 0 } } },
	{ "left before the other one came",
	  REN,
	  0,
	  0,
	  false,
	  1,
	  { { 1, 2, S, 0, 1, 0 }, { 3, 4, R, 0, 1, 0 } } },
	{ "met",
	  REN,
	  0,
	  0,
	  true,
	  0,
	  { { 1, 3, S, 0, 1, 0 }, { 2, 5, R, 1, 1, 0 }, { 4, 6, KCT_LEN, 0, 0, 0 } } },
	{ "met, and both only tried",
	  REN,
	  0,
	  0,
	  false,
	  2,
	  { { 1, 3, S, 1, 1, 0 }, { 2, 4, R, 1, 1, 0 } } },
	{ "one send, two receives",
	  REN,
	  0,
	  0,
	  false,
	  3,
	  { { 1, 6, S, 0, 1, 0 }, { 2, 4, R, 0, 1, 0 }, { 3, 5, R, 0, 1, 0 } } },
	{ "two who cannot both have met",
	  REN,
	  0,
	  0,
	  false,
	  4,
	  { { 1, 9, S, 0, 1, 0 }, { 2, 3, KCT_CLOSE, 0, 0, 0 }, { 4, 10, R, 0, 1, 0 } } },
};

static void tell(struct kct_history *h, const struct story *story)
{
	kct_history_init(h, story->kind, story->capacity, story->overflow);
	for (unsigned i = 0; i < ARRAY(story->rows) && story->rows[i].began; i++) {
		const struct row *row = &story->rows[i];

		h->deeds[i] = (struct kct_deed){ row->verb,  row->once,	 i,	    row->result,
						 row->value, row->began, row->ended };
		atomic_store(&h->n, i + 1);
	}
}

static void stories_are_told_apart(void **state)
{
	static struct kct_history h;

	for (size_t i = 0; i < ARRAY(stories); i++) {
		tell(&h, &stories[i]);
		if (kct_history_check(&h) !=
		    (stories[i].good ? KCT_LINEARIZABLE : KCT_NOT_LINEARIZABLE))
			fail_msg("%s", stories[i].title);
		kct_history_shrink(&h);
		assert_int_equal(kct_history_check(&h),
				 stories[i].good ? KCT_LINEARIZABLE : KCT_NOT_LINEARIZABLE);
		if (!stories[i].good && atomic_load(&h.n) > stories[i].least) {
			kct_history_print(&h);
			fail_msg("%s: %u calls", stories[i].title, atomic_load(&h.n));
		}
	}
}

/* A channel that keeps its promises, whose callers are slow: each call takes place at a
 * time of its own and begins before and ends after it. */
static void make_up(struct kct_history *h, uint64_t *random, unsigned n)
{
	uint32_t queue[2];
	unsigned len = 0;

	kct_history_init(h, KC_BUFFERED, 2, KC_OVERFLOW_BLOCK);
	for (unsigned i = 0; i < n; i++) {
		uint64_t moment = 1000 + 100 * (uint64_t)i;
		struct kct_deed d = { .verb = kct_random(random) % 2 ? S : R, .who = i };

		/* no two ends at the same time: the last digits are the call's own */
		d.began = (moment - kct_random(random) % 300) * KCT_HISTORY_MAX + i;
		d.ended = (moment + 1 + kct_random(random) % 300) * KCT_HISTORY_MAX + i;
		if (d.verb == S) {
			d.value = i + 1;
			d.once = len == 2;
			d.result = len == 2 ? KC_EAGAIN : 0;
			if (len < 2)
				queue[len++] = d.value;
		} else {
			d.once = len == 0;
			d.result = len == 0 ? KC_EAGAIN : 0;
			d.value = len ? queue[0] : 0;
			queue[0] = queue[1];
			len -= len > 0;
		}
		h->deeds[i] = d;
	}
	atomic_store(&h->n, n);
}

static void what_keeps_its_promises_is_explained(void **state)
{
	static struct kct_history h;
	uint64_t random = kct_seed();

	for (int round = 0; round < 50; round++) {
		make_up(&h, &random, 200);
		assert_int_equal(kct_history_check(&h), KCT_LINEARIZABLE);
	}
}

static void one_fault_in_a_long_history_is_found_and_told_briefly(void **state)
{
	static struct kct_history h;
	uint64_t random = kct_seed();

	for (int round = 0; round < 10; round++) {
		unsigned at = 50 + (unsigned)(kct_random(&random) % 100);

		make_up(&h, &random, 200);
		/* a value from nowhere, in the midst of the others */
		h.deeds[at].verb = R;
		h.deeds[at].result = 0;
		h.deeds[at].value = 100000;
		assert_int_equal(kct_history_check(&h), KCT_NOT_LINEARIZABLE);
		kct_history_shrink(&h);
		assert_int_equal(kct_history_check(&h), KCT_NOT_LINEARIZABLE);
		/* nothing after the fault is of interest */
		assert_true(atomic_load(&h.n) < at + 10);
	}
}

/* ---- recorded ---------------------------------------------------------------------- */

static const struct {
	enum kc_kind kind;
	size_t capacity;
	enum kc_overflow overflow;
} kinds[] = {
	{ KC_RENDEZVOUS, 0, KC_OVERFLOW_BLOCK },     { KC_BUFFERED, 1, KC_OVERFLOW_BLOCK },
	{ KC_BUFFERED, 3, KC_OVERFLOW_BLOCK },	     { KC_CONFLATED, 0, KC_OVERFLOW_BLOCK },
	{ KC_UNLIMITED, 8, KC_OVERFLOW_BLOCK },	     { KC_BUFFERED, 2, KC_OVERFLOW_DROP_OLDEST },
	{ KC_BUFFERED, 2, KC_OVERFLOW_DROP_NEWEST },
};

struct caller {
	struct kct_history *h;
	kc_chan_t *ch, *gate;
	struct caller *all;
	kc_cancel_t *over;	    /* set by the first who is done: nobody waits for who is gone */
	kc_cancel_t *tokens[CALLS]; /* below it, one for each call */
	_Atomic unsigned at;	    /* the call it is in */
	bool closes;
	unsigned who;
	uint64_t random;
};

/* A batch is not one step, so its elements are told as calls at the same time. */
static void call_batch(struct caller *c, enum kct_verb verb, uint32_t value, long timeout)
{
	kc_cancel_t *token = c->tokens[atomic_load(&c->at)];
	uint32_t v[2] = { value, value | 0x8000 };
	struct kct_deed *d[2];
	long n;

	for (int i = 0; i < 2; i++)
		d[i] = kct_history_begin(c->h, c->who, verb, timeout == 0, v[i]);
	n = verb == KCT_SEND ? kc_chan_send_many(c->ch, v, 2, timeout, token)
			     : kc_chan_recv_many(c->ch, v, 2, timeout, token);
	/* what was not moved had no effect, for whatever reason */
	for (int i = 0; i < 2; i++)
		kct_history_end(c->h, d[i], i < n ? 0 : n < 0 && i == 0 ? n : KC_ECANCELED, v[i]);
}

static void call(struct caller *c, uint32_t value)
{
	uint64_t dice = kct_random(&c->random) % 64;
	/* one may wait for all the others, who do the same: not for long, then */
	long timeout = dice % 4 < 2 ? 0 : 1 + (long)(dice % 4 - 2);
	unsigned at = atomic_load(&c->at);
	struct caller *other;
	struct kct_deed *d;
	uint32_t got = 0;
	long r;

	if (dice == 0 && c->closes) {
		d = kct_history_begin(c->h, c->who, KCT_CLOSE, false, 0);
		kct_history_end(c->h, d, kc_chan_close(c->ch), 0);
	} else if (dice == 1) {
		d = kct_history_begin(c->h, c->who, KCT_PURGE, false, 0);
		kct_history_end(c->h, d, kc_chan_purge(c->ch), 0);
	} else if (dice < 6) {
		d = kct_history_begin(c->h, c->who, KCT_LEN, false, 0);
		kct_history_end(c->h, d, kc_chan_len(c->ch), 0);
	} else if (dice < 12) {
		/* often it sleeps, and is still asleep when a third one serves it */
		other = &c->all[kct_random(&c->random) % CALLERS];
		kc_cancel_trigger(other->tokens[atomic_load(&other->at)]);
	} else if (dice < 34) {
		d = kct_history_begin(c->h, c->who, KCT_SEND, timeout == 0, value);
		kct_history_end(c->h, d, kc_chan_send_c(c->ch, &value, timeout, c->tokens[at]), 0);
	} else if (dice < 38) {
		call_batch(c, KCT_SEND, value, timeout);
	} else if (dice < 42) {
		call_batch(c, KCT_RECV, 0, timeout);
	} else {
		d = kct_history_begin(c->h, c->who, KCT_RECV, timeout == 0, 0);
		r = kc_chan_recv_c(c->ch, &got, timeout, c->tokens[at]);
		kct_history_end(c->h, d, r, got);
	}
}

static long caller_main(void *arg)
{
	struct caller *c = arg;
	char none;

	/* they all begin when it is closed */
	if (kc_chan_recv(c->gate, &none, -1) != KC_EPIPE)
		return __LINE__;
	for (uint32_t i = 0; i < CALLS; i++) {
		atomic_store(&c->at, i);
		call(c, c->who << 16 | i);
		if (kct_random(&c->random) % 4 == 0)
			kc_yield();
	}
	kc_cancel_trigger(c->over);
	return 0;
}

static long opener_main(void *arg)
{
	return kc_chan_close(arg);
}

enum who { THREADS, COROUTINES, BOTH, DRAWN };

static void round_of(struct kct_history *h, size_t kind, enum who who, kc_sched_t *s,
		     uint64_t *random)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	bool closes = kct_random(random) % 2;
	struct caller callers[CALLERS];
	struct kct_call calls[CALLERS];
	kc_cancel_t *over;
	kc_chan_t *ch, *gate;

	o.kind = kinds[kind].kind;
	o.elem_size = sizeof(uint32_t);
	o.overflow = kinds[kind].overflow;
	if (o.kind == KC_UNLIMITED)
		o.max_bytes = kinds[kind].capacity * sizeof(uint32_t);
	else
		o.capacity = kinds[kind].capacity;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_make(&gate, KC_RENDEZVOUS, 1, 0), 0);
	assert_int_equal(kc_cancel_init(&over), 0);
	kct_history_init(h, o.kind, kinds[kind].capacity, o.overflow);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){
			.h = h,
			.ch = ch,
			.gate = gate,
			.all = callers,
			.over = over,
			.closes = closes,
			.who = i,
			.random = kct_random(random),
		};
		for (unsigned k = 0; k < CALLS; k++)
			assert_int_equal(kc_cancel_init_child(&callers[i].tokens[k], over), 0);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		kct_calls_in(who == THREADS || (who == BOTH && i % 2) ? NULL : s);
		kct_call_start(&calls[i], caller_main, &callers[i]);
	}
	if (who == DRAWN) {
		assert_int_equal(kc_spawn(NULL, s, opener_main, gate), 0);
		assert_int_equal(kc_sched_run(s), 0);
	} else {
		kc_chan_close(gate);
	}
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	for (unsigned i = 0; i < CALLERS; i++)
		for (unsigned k = 0; k < CALLS; k++)
			kc_cancel_destroy(callers[i].tokens[k]);
	kct_calls_in(NULL);
	kc_cancel_destroy(over);
	kc_chan_destroy(gate);
	kc_chan_destroy(ch);
}

static void recorded(enum who who)
{
	static struct kct_history h;
	uint64_t random = kct_seed();
	unsigned long calls = 0, overlaps = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
		kc_sched_t *s = NULL;

		o.workers = who == DRAWN ? 1 : 2;
		o.flags = who == DRAWN ? KC_SCHED_DETERMINISTIC : 0;
		o.seed = kct_random(&random);
		if (who != THREADS)
			assert_int_equal(kc_sched_create(&s, &o), 0);
		for (size_t k = 0; k < ARRAY(kinds); k++) {
			round_of(&h, k, who, s, &random);
			calls += atomic_load(&h.n);
			overlaps += kct_history_overlaps(&h);
			switch (kct_history_check(&h)) {
			case KCT_LINEARIZABLE:
				continue;
			case KCT_UNDECIDED:
				kct_history_print(&h);
				fail_msg("round %d: no end of the search", round);
				break;
			default:
				kct_history_shrink(&h);
				kct_history_print(&h);
				fail_msg("round %d cannot be explained", round);
			}
		}
		if (s && who != DRAWN)
			assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
		if (s)
			assert_int_equal(kc_sched_destroy(s), 0);
	}
	printf("# %lu of %lu calls beside another\n", overlaps, calls);
	assert_true(overlaps > 0);
}

static void histories_of_threads(void **state)
{
	recorded(THREADS);
}

static void histories_of_coroutines(void **state)
{
	recorded(COROUTINES);
}

static void histories_of_both(void **state)
{
	recorded(BOTH);
}

static void histories_in_an_order_that_is_drawn(void **state)
{
	recorded(DRAWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(stories_are_told_apart),
		KCT_TEST(what_keeps_its_promises_is_explained),
		KCT_TEST(one_fault_in_a_long_history_is_found_and_told_briefly),
		KCT_TEST(histories_of_threads),
		KCT_TEST(histories_of_coroutines),
		KCT_TEST(histories_of_both),
		KCT_TEST(histories_in_an_order_that_is_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
