/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stress_mixed: threads that do everything at once to one channel, on every kind
 * and policy: tries, timed and cancellable calls, batches, purges, and a close at
 * some moment. Nothing arrives twice or damaged, and the books agree with what
 * the threads were told.
 */
#include "tests/conformance/program.h"

#include <stdatomic.h>
#include <string.h>

#define WORKERS	   6
#define OPERATIONS 250
#define BATCH	   7
#define ELEMENTS   (WORKERS * OPERATIONS * BATCH)

struct shared {
	struct kct_case c;
	bool purges;
	bool closes;
	_Atomic unsigned char seen[ELEMENTS];
	pthread_mutex_t lock;
	kc_cancel_t *tokens[WORKERS]; /* of the calls in progress, for others to trigger */
};

struct worker {
	struct shared *s;
	unsigned number;
	uint64_t random;
	uint32_t next; /* number of the next element */
	uint64_t sent;
	uint64_t received;
	uint64_t purged;
};

/* What an element looks like: its number, then a pattern as long as the number says. */
struct element {
	uint64_t number;
	unsigned char pattern[KCT_MSG_MAX - sizeof(uint64_t)];
};

static size_t element_len(uint64_t number)
{
	return sizeof(number) + number % (KCT_MSG_MAX - sizeof(number) + 1);
}

static void element_make(struct element *e, uint64_t number)
{
	e->number = number;
	memset(e->pattern, (int)(number & 0xff), sizeof(e->pattern));
}

/* 0, or the number of a line. */
static long take(struct worker *w, const void *data, size_t len, bool message)
{
	struct element e;

	if (len > sizeof(e) || len < sizeof(e.number))
		return __LINE__;
	memcpy(&e, data, len);
	if (e.number >= ELEMENTS)
		return __LINE__;
	if (message && len != element_len(e.number))
		return __LINE__;
	for (size_t i = 0; message && i < len - sizeof(e.number); i++)
		if (e.pattern[i] != (unsigned char)e.number)
			return __LINE__;
	if (atomic_fetch_add(&w->s->seen[e.number], 1) != 0)
		return __LINE__;
	w->received++;
	return 0;
}

static long send_some(struct worker *w, long timeout_ms, kc_cancel_t *token)
{
	size_t n = 1 + kct_random(&w->random) % BATCH;
	uint64_t first = (uint64_t)w->number * OPERATIONS * BATCH + w->next;
	kc_chan_t *ch = w->s->c.pair.tx;
	struct element e[BATCH];
	struct kc_msg msgs[BATCH];
	uint64_t numbers[BATCH];
	long r;

	for (size_t i = 0; i < n; i++) {
		numbers[i] = first + i;
		element_make(&e[i], first + i);
		msgs[i] = (struct kc_msg){ &e[i], element_len(first + i) };
	}
	if (w->s->c.family == KCT_MSG)
		r = kc_chan_send_msgs(ch, msgs, n, timeout_ms, token);
	else
		r = kc_chan_send_many(ch, numbers, n, timeout_ms, token);
	if (r > 0) {
		w->sent += (uint64_t)r;
		w->next += (uint32_t)r;
	}
	return r;
}

static long receive_some(struct worker *w, long timeout_ms, kc_cancel_t *token, long *ret_bad)
{
	size_t n = 1 + kct_random(&w->random) % BATCH;
	kc_chan_t *ch = w->s->c.pair.rx;
	struct kc_msg msgs[BATCH];
	char buf[BATCH * KCT_MSG_MAX];
	uint64_t numbers[BATCH];
	long r;

	*ret_bad = 0;
	if (w->s->c.family == KCT_MSG)
		r = kc_chan_recv_msgs(ch, buf, sizeof(buf), msgs, n, timeout_ms, token);
	else
		r = kc_chan_recv_many(ch, numbers, n, timeout_ms, token);
	for (long i = 0; i < r && !*ret_bad; i++) {
		if (w->s->c.family == KCT_MSG)
			*ret_bad = take(w, msgs[i].data, msgs[i].len, true);
		else
			*ret_bad = take(w, &numbers[i], sizeof(numbers[i]), false);
	}
	return r;
}

/* Publish a token for the next call, and trigger somebody else's now and then. */
static kc_cancel_t *swap_token(struct worker *w)
{
	kc_cancel_t *mine = NULL, *old, *victim = NULL;
	uint64_t r = kct_random(&w->random);

	if (kc_cancel_init(&mine) < 0)
		return NULL;
	pthread_mutex_lock(&w->s->lock);
	old = w->s->tokens[w->number];
	w->s->tokens[w->number] = kc_cancel_ref(mine);
	if (r % 4 == 0)
		victim = kc_cancel_ref(w->s->tokens[(r >> 8) % WORKERS]);
	pthread_mutex_unlock(&w->s->lock);
	kc_cancel_destroy(old);
	kc_cancel_trigger(victim);
	kc_cancel_destroy(victim);
	return mine;
}

static long work(void *arg)
{
	struct worker *w = arg;
	uint64_t close_at = w->s->closes && w->number == 0 ? OPERATIONS / 2 : UINT64_MAX;

	for (uint64_t i = 0; i < OPERATIONS; i++) {
		static const long timeouts[] = { 0, 0, 1, 2 };
		uint64_t what = kct_random(&w->random);
		long timeout_ms = timeouts[what >> 8 & 3];
		kc_cancel_t *token = swap_token(w);
		long bad = 0;
		long r;

		if (!token)
			return __LINE__;
		if (i == close_at && kc_chan_close(w->s->c.pair.tx) < 0)
			return __LINE__;
		if (w->s->purges && what % 64 == 0) {
			r = kc_chan_purge(w->s->c.pair.rx);
			if (r < 0)
				return __LINE__;
			w->purged += (uint64_t)r;
		} else if (what & 1) {
			r = send_some(w, timeout_ms, token);
		} else {
			r = receive_some(w, timeout_ms, token, &bad);
		}
		kc_cancel_destroy(token);
		if (bad)
			return bad;
		if (r < 0 && r != KC_EAGAIN && r != KC_ETIME && r != KC_ECANCELED &&
		    !(r == KC_EPIPE && w->s->closes))
			return __LINE__;
	}
	return 0;
}

static void run(enum kct_family family, enum kc_kind kind, enum kc_overflow overflow,
		uint64_t *seed)
{
	static struct shared s;
	struct kc_chan_options o = case_options(family, kind, 0);
	struct kct_call calls[WORKERS];
	struct worker w[WORKERS], last = { .s = &s };
	struct kc_chan_snapshot snap;
	uint64_t purged = 0;
	long bad;

	o.overflow = overflow;
	if (kind == KC_BUFFERED)
		o.capacity = 1 + kct_random(seed) % 20;
	if (kind == KC_UNLIMITED || family == KCT_MSG)
		o.max_bytes = 2 * KCT_MSG_MAX + kct_random(seed) % 500;
	memset(&s, 0, sizeof(s));
	case_make(&s.c, family, &o);
	s.purges = kct_random(seed) & 1;
	s.closes = kct_random(seed) & 1;
	pthread_mutex_init(&s.lock, NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){ .s = &s, .number = i, .random = kct_random(seed) };
		kct_call_start(&calls[i], work, &w[i]);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(kct_call_join(&calls[i]), 0);
		s.c.sent += w[i].sent;
		s.c.received += w[i].received;
		purged += w[i].purged;
	}
	for (unsigned i = 0; i < WORKERS; i++)
		kc_cancel_destroy(s.tokens[i]);
	/* half of the time something is left in it */
	if (kct_random(seed) & 1) {
		while (receive_some(&last, 0, NULL, &bad) > 0)
			assert_int_equal(bad, 0);
		s.c.received += last.received;
	}
	assert_int_equal(kc_chan_snapshot(s.c.pair.rx, &snap), 0);
	s.c.conflated = snap.ledger.conflated;
	s.c.dropped_oldest = snap.ledger.dropped_oldest;
	s.c.dropped_newest = snap.ledger.dropped_newest;
	s.c.dropped_purged = purged;
	if (overflow != KC_OVERFLOW_DROP_OLDEST)
		assert_int_equal(snap.ledger.dropped_oldest, 0);
	if (overflow != KC_OVERFLOW_DROP_NEWEST)
		assert_int_equal(snap.ledger.dropped_newest, 0);
	if (kind != KC_CONFLATED)
		assert_int_equal(snap.ledger.conflated, 0);
	case_end(&s.c);
	pthread_mutex_destroy(&s.lock);
}

static void over(enum kct_family family)
{
	static const struct {
		enum kc_kind kind;
		enum kc_overflow overflow;
	} ways[] = {
		{ KC_RENDEZVOUS, KC_OVERFLOW_BLOCK },
		{ KC_BUFFERED, KC_OVERFLOW_BLOCK },
		{ KC_BUFFERED, KC_OVERFLOW_DROP_OLDEST },
		{ KC_BUFFERED, KC_OVERFLOW_DROP_NEWEST },
		{ KC_CONFLATED, KC_OVERFLOW_BLOCK },
		{ KC_UNLIMITED, KC_OVERFLOW_BLOCK },
		{ KC_UNLIMITED, KC_OVERFLOW_DROP_OLDEST },
		{ KC_UNLIMITED, KC_OVERFLOW_DROP_NEWEST },
	};
	uint64_t seed = kct_seed();

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		run(family, ways[i].kind, ways[i].overflow, &seed);
}

static void fixed_elements(void **state)
{
	over(KCT_FIXED);
}

static void messages(void **state)
{
	over(KCT_MSG);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(fixed_elements),
	KCT_TEST(messages),
};

KCT_PROGRAM(tests)
