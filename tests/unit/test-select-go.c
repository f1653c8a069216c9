/* SPDX-License-Identifier: BSD-3-Clause */
/* Select as programs of many goroutines use it, on local channels of every shape. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/both.h"
#include "tests/lib/local.h"

static kc_chan_t *make(size_t capacity)
{
	return kct_chan_make(capacity ? KC_BUFFERED : KC_RENDEZVOUS, capacity);
}

/* ---- one value goes through one select ------------------------------------------ */

#define LANES 4u

struct lanes {
	kc_chan_t *lane[LANES], *out;
	unsigned which; /* of a receiver */
	uint32_t n;
};

/* Whichever of the lanes takes the next number. */
static long spread(void *arg)
{
	struct lanes *l = arg;
	struct kc_clause c[LANES];
	uint32_t v;

	for (unsigned i = 0; i < LANES; i++)
		c[i] = kc_clause_send(l->lane[i], &v);
	for (v = 0; v < l->n; v++) {
		int won = kc_select(c, LANES, 0, -1, NULL);

		if (won < 0 || c[won].result != 0)
			return __LINE__;
	}
	for (unsigned i = 0; i < LANES; i++)
		if (kc_chan_close(l->lane[i]) != 0)
			return __LINE__;
	return 0;
}

static long forward(void *arg)
{
	struct lanes *l = arg;
	struct kc_clause c = { 0 };
	uint32_t v;
	int won;

	c = kc_clause_recv(l->lane[l->which], &v);
	while ((won = kc_select(&c, 1, 0, -1, NULL)) == 0 && c.result == 0)
		if (kc_chan_send(l->out, &v, -1) != 0)
			return __LINE__;
	return won == 0 && c.result == KC_EPIPE ? 0 : __LINE__;
}

static void no_value_is_received_twice(void **state)
{
	for (size_t capacity = 0; capacity < 2; capacity++) {
		struct lanes l = { .out = make(8), .n = KCT_SCALED(20000u) }, each[LANES];
		struct kct_call sender, receivers[LANES];
		uint8_t *seen = calloc(l.n, 1);

		assert_non_null(seen);
		for (unsigned i = 0; i < LANES; i++)
			l.lane[i] = make(capacity);
		for (unsigned i = 0; i < LANES; i++) {
			each[i] = l;
			each[i].which = i;
			kct_call_start(&receivers[i], forward, &each[i]);
		}
		kct_call_start(&sender, spread, &l);
		for (uint32_t i = 0; i < l.n; i++) {
			uint32_t v;

			assert_int_equal(kc_chan_recv(l.out, &v, KCT_PATIENCE_MS), 0);
			assert_true(v < l.n);
			assert_int_equal(seen[v]++, 0);
		}
		assert_int_equal(kct_call_join(&sender), 0);
		for (unsigned i = 0; i < LANES; i++) {
			assert_int_equal(kct_call_join(&receivers[i]), 0);
			kc_chan_destroy(l.lane[i]);
		}
		kc_chan_destroy(l.out);
		free(seen);
	}
}

/* ---- what blocks and what does not ------------------------------------------------ */

/* Whether a select of one clause goes at once: by a try and by waiting. */
static bool goes(struct kc_clause c)
{
	int now = kc_select(&c, 1, 0, 0, NULL), later;

	assert_true(now == 0 || now == KC_EAGAIN);
	later = kc_select(&c, 1, 0, KCT_SHORT_MS, NULL);
	assert_int_equal(later, now == 0 ? 0 : KC_ETIME);
	return now == 0;
}

static void clauses_that_block_and_clauses_that_do_not(void **state)
{
	kc_chan_t *none = make(0), *two = make(4), *full = make(1), *closed = make(1);
	uint32_t v = 1;

	assert_int_equal(kc_chan_send(full, &v, 0), 0);
	assert_int_equal(kc_chan_close(closed), 0);
	assert_false(goes(kc_clause_recv(NULL, &v)));
	assert_false(goes(kc_clause_send(NULL, &v)));
	assert_false(goes(kc_clause_recv(none, &v)));
	assert_false(goes(kc_clause_send(none, &v)));
	assert_false(goes(kc_clause_recv(two, &v)));
	assert_true(goes(kc_clause_send(two, &v)));
	assert_true(goes(kc_clause_recv(two, &v)));
	assert_false(goes(kc_clause_send(full, &v)));
	/* a closed one never blocks, in no direction, however often */
	assert_true(goes(kc_clause_recv(closed, &v)));
	assert_true(goes(kc_clause_send(closed, &v)));
	assert_true(goes(kc_clause_recv(closed, &v)));
	kc_chan_destroy(none);
	kc_chan_destroy(two);
	kc_chan_destroy(full);
	kc_chan_destroy(closed);
}

/* ---- each form of sending against each of receiving ------------------------------- */

struct form {
	kc_chan_t *ch, *never;
	unsigned how;
	bool sends;
	uint32_t n;
};

static long act(void *arg)
{
	struct form *f = arg;
	struct kc_clause c[3];
	uint32_t v = 0;
	unsigned n;

	c[0] = f->sends ? kc_clause_send(f->ch, &v) : kc_clause_recv(f->ch, &v);
	c[1] = kc_clause_recv(f->never, &v);
	c[2] = c[0];
	/* a call; alone; beside one that never goes; that, and itself once more */
	n = f->how;
	for (uint32_t i = 0; i < f->n; i++) {
		int r;

		v = f->sends ? i : UINT32_MAX;
		if (n == 0)
			r = f->sends ? kc_chan_send(f->ch, &v, -1) : kc_chan_recv(f->ch, &v, -1);
		else
			r = kc_select(c, n, 0, -1, NULL);
		if (r < 0 || r == 1 || v != i)
			return __LINE__;
	}
	return 0;
}

static void every_form_meets_every_other(void **state)
{
	static const size_t capacities[] = { 0, 1, 10, 100 };

	for (size_t k = 0; k < KCT_ARRAY(capacities); k++) {
		for (unsigned way = 0; way < 16; way++) {
			struct form f[2] = { { .ch = make(capacities[k]), .never = make(0) } };

			f[0].n = KCT_SCALED(400u);
			f[1] = f[0];
			f[0].how = way % 4;
			f[1].how = way / 4;
			f[0].sends = true;
			KCT_RUN_ALL(2, act, f);
			assert_int_equal(kc_chan_len(f[0].ch), 0);
			kc_chan_destroy(f[0].ch);
			kc_chan_destroy(f[0].never);
		}
	}
}

/* ---- senders, receivers and selects of both in one crowd ---------------------------- */

struct crowd {
	kc_chan_t *ch[LANES];
	unsigned which;
	uint32_t n;
	_Atomic uint32_t *seen; /* n numbers of two senders for each lane */
};

static long crowd_send(void *arg)
{
	struct crowd *c = arg;

	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t v = i;

		if (kc_chan_send(c->ch[c->which], &v, -1) != 0)
			return __LINE__;
	}
	return 0;
}

static long crowd_send_any(void *arg)
{
	struct crowd *c = arg;
	struct kc_clause clauses[LANES];
	uint32_t next[LANES];

	for (unsigned i = 0; i < LANES; i++) {
		next[i] = c->n;
		clauses[i] = kc_clause_send(c->ch[i], &next[i]);
	}
	for (uint32_t left = c->n * LANES; left > 0; left--) {
		int won = kc_select(clauses, LANES, 0, -1, NULL);

		if (won < 0 || clauses[won].result != 0)
			return __LINE__;
		if (++next[won] == 2 * c->n)
			clauses[won].kind = KC_CLAUSE_OFF;
	}
	return 0;
}

static long crowd_got(struct crowd *c, unsigned which, uint32_t v)
{
	if (v >= 2 * c->n)
		return __LINE__;
	atomic_fetch_add(&c->seen[which * 2 * c->n + v], 1);
	return 0;
}

static long crowd_recv(void *arg)
{
	struct crowd *c = arg;

	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t v;

		if (kc_chan_recv(c->ch[c->which], &v, -1) != 0 || crowd_got(c, c->which, v))
			return __LINE__;
	}
	return 0;
}

static long crowd_recv_any(void *arg)
{
	struct crowd *c = arg;
	struct kc_clause clauses[LANES];
	uint32_t v[LANES], left[LANES];

	for (unsigned i = 0; i < LANES; i++) {
		left[i] = c->n;
		clauses[i] = kc_clause_recv(c->ch[i], &v[i]);
	}
	for (uint32_t all = c->n * LANES; all > 0; all--) {
		int won = kc_select(clauses, LANES, 0, -1, NULL);

		if (won < 0 || clauses[won].result != 0 || crowd_got(c, (unsigned)won, v[won]) != 0)
			return __LINE__;
		if (--left[won] == 0)
			clauses[won].ch = NULL;
	}
	return 0;
}

static void a_crowd_of_all_comes_out_even(void **state)
{
	static const size_t capacities[LANES] = { 0, 0, 2, 3 };
	struct crowd c = { .n = KCT_SCALED(4000u) }, each[LANES];
	struct kct_call calls[2 * LANES + 2];
	unsigned n = 0;

	c.seen = calloc(LANES * 2 * c.n, sizeof(*c.seen));
	assert_non_null(c.seen);
	for (unsigned i = 0; i < LANES; i++)
		c.ch[i] = make(capacities[i]);
	for (unsigned i = 0; i < LANES; i++) {
		each[i] = c;
		each[i].which = i;
		kct_call_start(&calls[n++], crowd_send, &each[i]);
		kct_call_start(&calls[n++], crowd_recv, &each[i]);
	}
	kct_call_start(&calls[n++], crowd_send_any, &c);
	kct_call_start(&calls[n++], crowd_recv_any, &c);
	while (n > 0)
		assert_int_equal(kct_call_join(&calls[--n]), 0);
	for (uint32_t i = 0; i < LANES * 2 * c.n; i++)
		assert_int_equal(atomic_load(&c.seen[i]), 1);
	for (unsigned i = 0; i < LANES; i++) {
		assert_int_equal(kc_chan_len(c.ch[i]), 0);
		kc_chan_destroy(c.ch[i]);
	}
	free(c.seen);
}

/* ---- with oneself -------------------------------------------------------------------- */

struct self {
	kc_chan_t *ch;
	uint32_t who;
	size_t capacity;
};

static long both_ways(void *arg)
{
	struct self *s = arg;

	for (uint32_t i = 0; i < KCT_SCALED(8000u); i++) {
		uint32_t v = UINT32_MAX;
		bool send_first = s->who == 0 || i % 2 == 0;
		struct kc_clause c[2];
		int won;

		c[!send_first] = kc_clause_send(s->ch, &s->who);
		c[send_first] = kc_clause_recv(s->ch, &v);
		won = kc_select(c, 2, 0, -1, NULL);
		if (won < 0 || c[won].result != 0)
			return __LINE__;
		if ((won == (int)send_first) != (v != UINT32_MAX))
			return __LINE__;
		if (s->capacity == 0 && v == s->who)
			return __LINE__;
	}
	return 0;
}

static void nobody_receives_what_it_offers(void **state)
{
	static const size_t capacities[] = { 0, 10 };

	for (size_t k = 0; k < 2; k++) {
		struct self s[2];

		s[0] = (struct self){ make(capacities[k]), 0, capacities[k] };
		s[1] = s[0];
		s[1].who = 1;
		KCT_RUN_ALL(2, both_ways, s);
		kc_chan_destroy(s[0].ch);
	}
}

/* ---- chance -------------------------------------------------------------------------- */

static long count_ones(void *arg)
{
	struct form *f = arg;
	uint32_t v, ones = 0;

	for (uint32_t i = 0; i < f->n; i++) {
		if (kc_chan_recv(f->ch, &v, -1) != 0)
			return KC_EPROTO;
		ones += v;
	}
	return ones;
}

static void two_sends_to_one_channel_are_drawn(void **state)
{
	static const size_t capacities[] = { 0, 400 };

	for (size_t k = 0; k < 2; k++) {
		struct form f = { .ch = make(capacities[k]), .n = 400 };
		const uint32_t zero = 0, one = 1;
		struct kc_clause c[2];
		struct kct_call call;
		long ones;

		c[0] = kc_clause_send(f.ch, &zero);
		c[1] = kc_clause_send(f.ch, &one);
		if (capacities[k] == 0)
			kct_call_start(&call, count_ones, &f);
		for (uint32_t i = 0; i < f.n; i++) {
			/* who comes first waits, so that both could go */
			if (capacities[k] == 0)
				kct_chan_wait_for(f.ch, 0, 1);
			assert_in_range(kc_select(c, 2, 0, -1, NULL), 0, 1);
		}
		ones = capacities[k] ? count_ones(&f) : kct_call_join(&call);
		/* six times the deviation */
		assert_in_range(ones, 140, 260);
		kc_chan_destroy(f.ch);
	}
}

static void many_that_are_ready_have_their_share(void **state)
{
	enum { N = 64, TRIALS = 64 * 200 };

	struct kc_clause c[N];
	unsigned counts[N] = { 0 };
	kc_chan_t *ch[N];
	uint32_t v = 0;
	double sum = 0;

	for (unsigned i = 0; i < N; i++) {
		ch[i] = make(1);
		assert_int_equal(kc_chan_send(ch[i], &v, 0), 0);
		c[i] = kc_clause_recv(ch[i], &v);
	}
	for (unsigned i = 0; i < TRIALS; i++) {
		int won = kc_select(c, N, 0, -1, NULL);

		assert_in_range(won, 0, N - 1);
		counts[won]++;
		assert_int_equal(kc_chan_send(ch[won], &v, 0), 0);
	}
	for (unsigned i = 0; i < N; i++) {
		double d = counts[i] - (double)TRIALS / N;

		sum += d * d / ((double)TRIALS / N);
		kc_chan_destroy(ch[i]);
	}
	/* 63 degrees of freedom, expected 63 with a deviation of 11; the other end, too: a
	 * mere rotation would not be chance */
	assert_true(sum > 10 && sum < 160);
}

/* ---- leaving ------------------------------------------------------------------------- */

struct leaver {
	kc_chan_t *c, *d;
	unsigned twice;
};

static long select_two_or_three(void *arg)
{
	struct leaver *l = arg;
	uint32_t v[3] = { 0 };
	struct kc_clause c[3] = { kc_clause_recv(l->c, &v[0]), kc_clause_recv(l->d, &v[1]),
				  kc_clause_recv(l->c, &v[2]) };
	int won = kc_select(c, 2 + l->twice, 0, -1, NULL);

	return won < 0 ? won : won * 100 + (long)v[won];
}

static long recv_one(void *arg)
{
	uint32_t v;
	int r = kc_chan_recv(arg, &v, -1);

	return r < 0 ? r : (long)v;
}

static void who_leaves_takes_nobody_along(void **state)
{
	/* plain, select, plain; or with the select twice in the queue */
	for (unsigned round = 0; round < 40; round++) {
		struct leaver l = { make(0), make(0), round % 2 };
		struct kct_call first, chooser, last;
		uint32_t v;

		kct_call_start(&first, recv_one, l.c);
		kct_chan_wait_for(l.c, 0, 1);
		kct_call_start(&chooser, select_two_or_three, &l);
		kct_chan_wait_for(l.c, 0, 2 + l.twice);
		kct_call_start(&last, recv_one, l.c);
		kct_chan_wait_for(l.c, 0, 3 + l.twice);
		v = 7;
		assert_int_equal(kc_chan_send(l.d, &v, KCT_PATIENCE_MS), 0);
		assert_int_equal(kct_call_join(&chooser), 107);
		kct_chan_wait_for(l.c, 0, 2);
		for (v = 1; v <= 2; v++)
			assert_int_equal(kc_chan_send(l.c, &v, KCT_PATIENCE_MS), 0);
		assert_int_equal(kct_call_join(&first), 1);
		assert_int_equal(kct_call_join(&last), 2);
		kc_chan_destroy(l.c);
		kc_chan_destroy(l.d);
	}
}

/* ---- many into one, each closed when it is done ---------------------------------------- */

#define SOURCES 16u

static long source(void *arg)
{
	struct form *f = arg;

	for (uint32_t i = 0; i < f->n; i++)
		if (kc_chan_send(f->ch, &i, -1) != 0)
			return __LINE__;
	return kc_chan_close(f->ch);
}

static long gather(void *arg)
{
	struct form *f = arg;
	struct kc_clause c[SOURCES];
	uint32_t v[SOURCES], next[SOURCES] = { 0 };
	unsigned open = SOURCES;

	for (unsigned i = 0; i < SOURCES; i++)
		c[i] = kc_clause_recv(f[i].ch, &v[i]);
	while (open > 0) {
		int won = kc_select(c, SOURCES, 0, -1, NULL);

		if (won < 0)
			return __LINE__;
		if (c[won].result == KC_EPIPE) {
			c[won].kind = KC_CLAUSE_OFF;
			open--;
			if (next[won] != f[won].n)
				return __LINE__;
		} else if (c[won].result != 0 || v[won] != next[won]++) {
			return __LINE__;
		}
	}
	/* all are off */
	return kc_select(c, SOURCES, 0, -1, NULL) == KC_EINVAL ? 0 : __LINE__;
}

static void many_into_one_until_all_are_closed(void **state)
{
	for (size_t capacity = 0; capacity < 4; capacity += 3) {
		struct kct_call calls[SOURCES], all;
		struct form f[SOURCES];

		for (unsigned i = 0; i < SOURCES; i++)
			f[i] = (struct form){ .ch = make(capacity), .n = KCT_SCALED(80u * i) };
		kct_call_start(&all, gather, f);
		for (unsigned i = 0; i < SOURCES; i++)
			kct_call_start(&calls[i], source, &f[i]);
		assert_int_equal(kct_call_join(&all), 0);
		for (unsigned i = 0; i < SOURCES; i++) {
			assert_int_equal(kct_call_join(&calls[i]), 0);
			kc_chan_destroy(f[i].ch);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_BOTH(no_value_is_received_twice),
		KCT_TEST(clauses_that_block_and_clauses_that_do_not),
		KCT_BOTH(every_form_meets_every_other),
		KCT_BOTH(a_crowd_of_all_comes_out_even),
		KCT_BOTH(nobody_receives_what_it_offers),
		KCT_BOTH(two_sends_to_one_channel_are_drawn),
		KCT_TEST(many_that_are_ready_have_their_share),
		KCT_BOTH(who_leaves_takes_nobody_along),
		KCT_BOTH(many_into_one_until_all_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
