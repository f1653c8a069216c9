/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Select under pressure: closes, timeouts and tries in loops, partners who look for each other,
 * channels that go through channels, one place for many.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/both.h"
#include "tests/lib/local.h"

#define CREW 4u

static kc_chan_t *make(size_t capacity)
{
	return kct_chan_make(capacity ? KC_BUFFERED : KC_RENDEZVOUS, capacity);
}

static struct kc_clause *one(struct kc_clause *room, struct kc_clause c)
{
	*room = c;
	return room;
}

/* ---- one of five ------------------------------------------------------------------- */

static void the_only_one_that_is_ready_wins(void **state)
{
	struct kc_clause c[5];
	kc_chan_t *ch[5];
	uint32_t v[5], sent = 9;

	for (unsigned i = 0; i < 5; i++) {
		ch[i] = kct_chan_make(KC_UNLIMITED, 0);
		c[i] = kc_clause_recv(ch[i], &v[i]);
	}
	for (int round = 0; round < 25; round++) {
		int at = round % 5;

		assert_int_equal(kc_chan_send(ch[at], &sent, -1), 0);
		assert_int_equal(kc_select(c, 5, 0, round % 2 ? -1 : 0, NULL), at);
		assert_int_equal(v[at], 9);
	}
	for (unsigned i = 0; i < 5; i++)
		kc_chan_destroy(ch[i]);
}

/* ---- the two ends of a stream --------------------------------------------------------- */

struct ends {
	kc_chan_t *ch[2], *done;
	uint32_t n;
	uint64_t seed;
	_Atomic uint64_t sum;
};

/* Alternating plain calls and selects, in and out of step with the other end. */
static long stress_send(void *arg)
{
	struct ends *e = arg;

	for (uint32_t i = 0; i < e->n; i++) {
		struct kc_clause c[2];
		uint32_t v = i;

		for (int k = 0; k < 2; k++) {
			c[0] = kc_clause_send(e->ch[0], &v);
			c[1] = kc_clause_send(e->ch[1], &v);
			if (kc_select(c, 2, 0, -1, NULL) < 0)
				return __LINE__;
		}
		if (kc_chan_send(e->done, &v, -1) != 0)
			return __LINE__;
	}
	return 0;
}

static long stress_recv(void *arg)
{
	struct ends *e = arg;

	for (uint32_t i = 0; i < e->n; i++) {
		struct kc_clause c[2];
		uint32_t v[2], done;

		for (int k = 0; k < 2; k++) {
			int won;

			c[0] = kc_clause_recv(e->ch[0], &v[0]);
			c[1] = kc_clause_recv(e->ch[1], &v[1]);
			won = kc_select(c, 2, 0, -1, NULL);
			if (won < 0 || v[won] != i)
				return __LINE__;
		}
		if (kc_chan_recv(e->done, &done, -1) != 0 || done != i)
			return __LINE__;
	}
	return 0;
}

static void both_ends_select(void **state)
{
	for (size_t capacity = 0; capacity < 3; capacity++) {
		struct ends e = { { make(capacity), make(capacity) }, make(0), KCT_SCALED(3000u) };
		struct kct_call calls[2];

		kct_call_start(&calls[0], stress_send, &e);
		kct_call_start(&calls[1], stress_recv, &e);
		for (int i = 0; i < 2; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		for (int i = 0; i < 2; i++)
			kc_chan_destroy(e.ch[i]);
		kc_chan_destroy(e.done);
	}
}

/* ---- timeouts in loops ----------------------------------------------------------------- */

static long timed_send(void *arg)
{
	struct ends *e = arg;
	struct kc_clause c[3];
	uint32_t i = 0;

	c[0] = kc_clause_send(e->ch[0], &i);
	c[1] = kc_clause_send(e->ch[1], &i);
	c[2] = kc_clause_tick(2);
	while (i < e->n) {
		/* a bound of its own, a tick, or both; what was not sent stays */
		long bound = kct_random(&e->seed) % 2 ? 1 : -1;
		int won = kc_select(c, 3, 0, bound, NULL);

		if (won != KC_ETIME && (won < 0 || c[won].result != 0))
			return __LINE__;
		if (won == KC_ETIME && bound < 0)
			return __LINE__;
		i += won == 0 || won == 1;
	}
	return kc_chan_close(e->ch[0]) + kc_chan_close(e->ch[1]);
}

static long timed_recv(void *arg)
{
	struct ends *e = arg;
	struct kc_clause c[3];
	uint32_t v[2];
	unsigned open = 2;

	c[0] = kc_clause_recv(e->ch[0], &v[0]);
	c[1] = kc_clause_recv(e->ch[1], &v[1]);
	while (open > 0) {
		int won;

		c[2] = kc_clause_after((long)(kct_random(&e->seed) % 3) - 1);
		won = kc_select(c, 3, 0, kct_random(&e->seed) % 2 ? 1 : -1, NULL);
		if (won == KC_ETIME || won == 2)
			continue;
		if (won < 0)
			return __LINE__;
		if (c[won].result == KC_EPIPE) {
			c[won].kind = KC_CLAUSE_OFF;
			open--;
		} else {
			atomic_fetch_add(&e->sum, v[won] + 1);
		}
	}
	return 0;
}

static void giving_up_often_loses_nothing(void **state)
{
	uint64_t seed = kct_seed();

	for (size_t capacity = 0; capacity < 2; capacity++) {
		struct ends tx = { .ch = { make(capacity), make(capacity) }, .n = KCT_SCALED(4000u) };
		struct ends rx = tx;
		struct kct_call calls[2];

		tx.seed = kct_random(&seed);
		rx.seed = kct_random(&seed);
		kct_call_start(&calls[0], timed_send, &tx);
		kct_call_start(&calls[1], timed_recv, &rx);
		for (int i = 0; i < 2; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		assert_int_equal(atomic_load(&rx.sum), (uint64_t)tx.n * (tx.n + 1) / 2);
		for (int i = 0; i < 2; i++)
			kc_chan_destroy(tx.ch[i]);
	}
}

/* ---- partners --------------------------------------------------------------------------- */

struct partner {
	kc_chan_t *ch;
	uint32_t me, met;
	bool sent;
};

static long find_partner(void *arg)
{
	struct partner *p = arg;
	struct kc_clause c[2];
	uint32_t other = UINT32_MAX;
	int won;

	c[p->me % 2] = kc_clause_send(p->ch, &p->me);
	c[1 - p->me % 2] = kc_clause_recv(p->ch, &other);
	won = kc_select(c, 2, 0, -1, NULL);
	if (won < 0 || c[won].result != 0)
		return __LINE__;
	p->sent = won == (int)(p->me % 2);
	p->met = other;
	return p->sent == (other == UINT32_MAX) ? 0 : __LINE__;
}

static void all_find_partners(void **state)
{
	enum { N = 44 };

	for (unsigned round = 0; round < KCT_SCALED(40u); round++) {
		struct partner p[N];
		bool taken[N] = { false };
		kc_chan_t *ch = make(0);
		unsigned sent = 0;

		for (uint32_t i = 0; i < N; i++)
			p[i] = (struct partner){ .ch = ch, .me = i };
		KCT_RUN_ALL(N, find_partner, p);
		for (uint32_t i = 0; i < N; i++) {
			sent += p[i].sent;
			if (p[i].sent)
				continue;
			/* its partner sent, to nobody else, and is somebody else */
			assert_true(p[i].met < N && p[i].met != i && p[p[i].met].sent);
			assert_false(taken[p[i].met]);
			taken[p[i].met] = true;
		}
		assert_int_equal(sent, N / 2);
		kc_chan_destroy(ch);
	}
}

static void who_is_left_over_waits(void **state)
{
	enum { N = 11 };

	for (unsigned round = 0; round < KCT_SCALED(40u); round++) {
		struct partner p[N];
		struct kct_call calls[N];
		kc_chan_t *ch = make(0);
		uint32_t me = 1000;

		for (uint32_t i = 0; i < N; i++) {
			p[i] = (struct partner){ .ch = ch, .me = i };
			kct_call_start(&calls[i], find_partner, &p[i]);
		}
		/* one of them is still there, or will be */
		assert_int_equal(kc_chan_send(ch, &me, KCT_PATIENCE_MS), 0);
		for (uint32_t i = 0; i < N; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		assert_int_equal(kc_chan_send(ch, &me, 0), KC_EAGAIN);
		kc_chan_destroy(ch);
	}
}

/* ---- channels through channels ------------------------------------------------------------ */

struct relay {
	kc_chan_t *first;
	uint32_t n;
};

/* Each element is the channel where the next one will be. */
static long relay_send(void *arg)
{
	const struct relay *r = arg;
	kc_chan_t *at = r->first, *next;
	struct kc_clause c;

	for (uint32_t i = 0; i < r->n; i++) {
		if (kc_chan_make(&next, i % 2 ? KC_BUFFERED : KC_RENDEZVOUS, sizeof(next), i % 2))
			return __LINE__;
		if (kc_select(one(&c, kc_clause_send(at, &next)), 1, 0, -1, NULL) != 0)
			return __LINE__;
		at = next;
	}
	next = NULL;
	return kc_chan_send(at, &next, -1);
}

static long relay_recv(void *arg)
{
	const struct relay *r = arg;
	kc_chan_t *at = r->first, *next;
	struct kc_clause c;

	for (uint32_t i = 0; i <= r->n; i++) {
		if (kc_select(one(&c, kc_clause_recv(at, &next)), 1, 0, -1, NULL) != 0 || c.result)
			return __LINE__;
		/* as soon as it has brought its element, its sender being about to return */
		kc_chan_destroy(at);
		at = next;
	}
	return at ? __LINE__ : 0;
}

static void channels_go_through_channels(void **state)
{
	struct relay r = { .n = KCT_SCALED(4000u) };
	struct kct_call calls[2];

	assert_int_equal(kc_chan_make(&r.first, KC_RENDEZVOUS, sizeof(kc_chan_t *), 0), 0);
	kct_call_start(&calls[0], relay_send, &r);
	kct_call_start(&calls[1], relay_recv, &r);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
}

/* ---- a place for each, so there is always one ------------------------------------------------ */

static long in_and_out(void *arg)
{
	kc_chan_t *ch = arg;
	struct kc_clause c;
	uint32_t v = 1;

	for (uint32_t i = 0; i < KCT_SCALED(8000u); i++) {
		/* a try that fails would say it was full, or empty, at a moment when it was not */
		if (kc_select(one(&c, kc_clause_send(ch, &v)), 1, 0, i % 2 ? 0 : 1, NULL) != 0)
			return __LINE__;
		if (kc_select(one(&c, kc_clause_recv(ch, &v)), 1, 0, i % 3 ? 0 : 1, NULL) != 0)
			return __LINE__;
		kc_yield();
	}
	return 0;
}

static void who_has_put_one_in_finds_one(void **state)
{
	kc_chan_t *ch = make(CREW);
	struct kct_call calls[CREW];

	for (unsigned i = 0; i < CREW; i++)
		kct_call_start(&calls[i], in_and_out, ch);
	for (unsigned i = 0; i < CREW; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	assert_int_equal(kc_chan_len(ch), 0);
	kc_chan_destroy(ch);
}

/* ---- ready -------------------------------------------------------------------------------------
 */

/* Wait until something is ready, try it, and wait again if others were faster. */
static long take_when_ready(void *arg)
{
	struct ends *e = arg;
	struct kc_clause c[2];
	uint32_t v;
	unsigned open = 2;

	c[0] = kc_clause_recv(e->ch[0], &v);
	c[1] = kc_clause_recv(e->ch[1], &v);
	while (open > 0) {
		int won = kc_select(c, 2, KC_SELECT_READY, -1, NULL), r;

		if (won < 0)
			return __LINE__;
		r = kc_chan_try_recv(e->ch[won], &v);
		if (r == KC_EPIPE) {
			c[won].kind = KC_CLAUSE_OFF;
			open--;
		} else if (r == 0) {
			atomic_fetch_add(&e->sum, v + 1);
		} else if (r != KC_EAGAIN) {
			return __LINE__;
		}
	}
	return 0;
}

static long put_when_ready(void *arg)
{
	struct ends *e = arg;
	struct kc_clause c[2];
	uint32_t v = 0;

	c[0] = kc_clause_send(e->ch[0], &v);
	c[1] = kc_clause_send(e->ch[1], &v);
	while (v < e->n) {
		int won = kc_select(c, 2, KC_SELECT_READY, -1, NULL), r;

		if (won < 0)
			return __LINE__;
		r = kc_chan_try_send(e->ch[won], &v);
		if (r == 0)
			v++;
		else if (r != KC_EAGAIN)
			return __LINE__;
	}
	return 0;
}

static void who_is_told_of_readiness_gets_it_all(void **state)
{
	struct ends e = { .ch = { make(1), make(3) }, .n = KCT_SCALED(4000u) };
	struct kct_call tx[CREW], rx[CREW];

	for (unsigned i = 0; i < CREW; i++) {
		kct_call_start(&rx[i], take_when_ready, &e);
		kct_call_start(&tx[i], put_when_ready, &e);
	}
	for (unsigned i = 0; i < CREW; i++)
		assert_int_equal(kct_call_join(&tx[i]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kc_chan_close(e.ch[i]), 0);
	for (unsigned i = 0; i < CREW; i++)
		assert_int_equal(kct_call_join(&rx[i]), 0);
	assert_int_equal(atomic_load(&e.sum), CREW * ((uint64_t)e.n * (e.n + 1) / 2));
	for (int i = 0; i < 2; i++)
		kc_chan_destroy(e.ch[i]);
}

/* ---- jobs out, results back
 * ---------------------------------------------------------------------- */

struct shop {
	kc_chan_t *jobs, *results, *quit;
	uint32_t n;
};

static long shop_worker(void *arg)
{
	const struct shop *s = arg;
	uint32_t job, none;

	for (;;) {
		struct kc_clause c[2] = { kc_clause_recv(s->jobs, &job),
					  kc_clause_recv(s->quit, &none) };
		int won = kc_select(c, 2, 0, -1, NULL);

		if (won == 1)
			return c[1].result == KC_EPIPE ? 0 : __LINE__;
		if (won != 0 || c[0].result != 0)
			return __LINE__;
		job = job * 2 + 1;
		/* the results may be waited for, or it may have to stop */
		c[0] = kc_clause_send(s->results, &job);
		won = kc_select(c, 2, 0, -1, NULL);
		if (won == 1)
			return 0;
		if (won != 0 || c[0].result != 0)
			return __LINE__;
	}
}

static void jobs_go_out_and_results_come_back(void **state)
{
	for (size_t capacity = 0; capacity < 3; capacity += 2) {
		struct shop s = { make(capacity), make(capacity), make(0), KCT_SCALED(8000u) };
		uint8_t *seen = calloc(2 * s.n, 1);
		struct kct_call calls[CREW];
		uint32_t job = 0, result, back = 0;

		assert_non_null(seen);
		for (unsigned i = 0; i < CREW; i++)
			kct_call_start(&calls[i], shop_worker, &s);
		while (back < s.n) {
			struct kc_clause c[2] = { kc_clause_send(job < s.n ? s.jobs : NULL, &job),
						  kc_clause_recv(s.results, &result) };
			int won = kc_select(c, 2, 0, KCT_PATIENCE_MS, NULL);

			assert_in_range(won, 0, 1);
			assert_int_equal(c[won].result, 0);
			if (won == 0) {
				job++;
				continue;
			}
			assert_true(result < 2 * s.n && result % 2);
			assert_int_equal(seen[result]++, 0);
			back++;
		}
		assert_int_equal(kc_chan_close(s.quit), 0);
		for (unsigned i = 0; i < CREW; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		kc_chan_destroy(s.jobs);
		kc_chan_destroy(s.results);
		kc_chan_destroy(s.quit);
		free(seen);
	}
}

/* ---- a channel that goes
 * ---------------------------------------------------------------------------- */

struct doomed {
	kc_chan_t *stays, *goes;
};

static long wait_at_doomed(void *arg)
{
	struct doomed *d = arg;
	uint32_t v, w;
	struct kc_clause c[3] = { kc_clause_recv(d->stays, &v), kc_clause_recv(d->goes, &v),
				  kc_clause_recv(d->goes, &w) };
	int won = kc_select(c, 3, 0, -1, NULL);

	if (won == 0)
		return c[0].result == 0 ? 1 : __LINE__;
	return won > 0 && c[won].result == KC_EPIPE ? 2 : __LINE__;
}

static void a_channel_goes_when_all_have_left(void **state)
{
	uint64_t random = kct_seed();

	for (unsigned round = 0; round < KCT_SCALED(400u); round++) {
		/* each of those who wait has one of its own, and all have the other */
		struct kct_call calls[CREW];
		struct doomed d[CREW];
		unsigned served = 0;
		uint32_t v = 5;

		d[0].goes = make(0);
		for (unsigned i = 0; i < CREW; i++) {
			d[i] = (struct doomed){ make(0), d[0].goes };
			kct_call_start(&calls[i], wait_at_doomed, &d[i]);
			kct_chan_wait_for(d[i].stays, 0, 1);
		}
		for (unsigned i = 0; i < CREW; i++)
			if (kct_random(&random) % 2 && kc_chan_send(d[i].stays, &v, 0) == 0)
				served |= 1u << i;
		/* some of them may not know yet that they were served, and are still in it */
		kc_chan_destroy(d[0].goes);
		for (unsigned i = 0; i < CREW; i++) {
			assert_int_equal(kct_call_join(&calls[i]), served >> i & 1 ? 1 : 2);
			kc_chan_destroy(d[i].stays);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(the_only_one_that_is_ready_wins),
		KCT_BOTH(both_ends_select),
		KCT_BOTH(giving_up_often_loses_nothing),
		KCT_BOTH(all_find_partners),
		KCT_BOTH(who_is_left_over_waits),
		KCT_BOTH(channels_go_through_channels),
		KCT_BOTH(who_has_put_one_in_finds_one),
		KCT_BOTH(who_is_told_of_readiness_gets_it_all),
		KCT_BOTH(jobs_go_out_and_results_come_back),
		KCT_BOTH(a_channel_goes_when_all_have_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
