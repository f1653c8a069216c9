/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coroutines on local channels, as programs are written with them: queues, a sieve, what
 * each end of a channel may do before and after it is closed, and crowds, whose sums must
 * agree however many workers there are.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

/* ---- a sieve ----------------------------------------------------------------- */

#define PRIMES 150

struct sieve {
	kc_chan_t *ch[PRIMES + 1]; /* ch[i]: what the primes before the i-th do not divide */
	unsigned prime[PRIMES];
	_Atomic unsigned ended;
};

struct stage {
	struct sieve *sieve;
	unsigned i;
};

static long numbers(void *arg)
{
	struct sieve *s = arg;

	for (unsigned n = 2;; n++)
		if (kc_chan_send(s->ch[0], &n, -1) != 0)
			break;
	atomic_fetch_add(&s->ended, 1);
	return 0;
}

static long filter(void *arg)
{
	struct stage *st = arg;
	kc_chan_t *in = st->sieve->ch[st->i], *out = st->sieve->ch[st->i + 1];
	unsigned prime = st->sieve->prime[st->i], n;

	while (kc_chan_recv(in, &n, -1) == 0)
		if (n % prime != 0 && kc_chan_send(out, &n, -1) != 0)
			break;
	/* whoever feeds this one learns that nobody listens any more */
	kc_chan_close(in);
	atomic_fetch_add(&st->sieve->ended, 1);
	return 0;
}

static long sieve_main(void *arg)
{
	static struct stage stages[PRIMES];
	struct sieve *s = arg;

	if (kc_spawn(NULL, NULL, numbers, s) != 0)
		return __LINE__;
	for (unsigned i = 0; i < PRIMES; i++) {
		if (kc_chan_recv(s->ch[i], &s->prime[i], -1) != 0)
			return __LINE__;
		stages[i] = (struct stage){ s, i };
		if (kc_spawn(NULL, NULL, filter, &stages[i]) != 0)
			return __LINE__;
	}
	return kc_chan_close(s->ch[PRIMES]);
}

static void sieve(unsigned n_workers, enum kc_kind kind, size_t capacity)
{
	struct sieve s = { .ended = 0 };
	unsigned found = 0;

	for (unsigned i = 0; i <= PRIMES; i++)
		assert_int_equal(kc_chan_make(&s.ch[i], kind, sizeof(unsigned), capacity), 0);
	assert_int_equal(kct_sched_main(n_workers, sieve_main, &s), 0);
	for (unsigned n = 2; found < PRIMES; n++) {
		bool prime = true;

		for (unsigned d = 2; d * d <= n; d++)
			prime = prime && n % d != 0;
		if (prime)
			assert_int_equal(s.prime[found++], n);
	}
	assert_int_equal(atomic_load(&s.ended), PRIMES + 1);
	for (unsigned i = 0; i <= PRIMES; i++)
		kc_chan_destroy(s.ch[i]);
}

static void a_sieve_of_rendezvous_finds_the_primes(void **state)
{
	for (size_t i = 0; i < KCT_RUNS; i++)
		sieve(kct_workers[i], KC_RENDEZVOUS, 0);
}

static void a_sieve_of_buffers_finds_the_same(void **state)
{
	for (size_t i = 0; i < KCT_RUNS; i++)
		sieve(kct_workers[i], KC_BUFFERED, 1 + 6 * i);
}

/* ---- queues --------------------------------------------------------------------- */

#define LINE 100

/* One of a line: waits for the one before it, takes its number, lets the next one go. */
struct link {
	kc_chan_t *ch, *before, *after;
	int want;
};

static long take_in_turn(void *arg)
{
	struct link *l = arg;
	char turn;
	int v;

	if (kc_chan_recv(l->before, &turn, -1) != 0 || kc_chan_recv(l->ch, &v, -1) != 0)
		return __LINE__;
	if (v != l->want)
		return __LINE__;
	return kc_chan_send(l->after, &turn, -1);
}

struct line {
	kc_chan_t *ch, *turn[LINE + 1];
	struct link links[LINE];
};

static long line_main(void *arg)
{
	struct line *line = arg;
	kc_coro_t *co[LINE];
	char turn = 1;
	long r;

	for (int i = 0; i < LINE; i++) {
		line->links[i] = (struct link){ line->ch, line->turn[i], line->turn[i + 1], i };
		if (kc_spawn(&co[i], NULL, take_in_turn, &line->links[i]) != 0)
			return __LINE__;
	}
	if (kc_chan_send(line->turn[0], &turn, -1) != 0)
		return __LINE__;
	for (int i = 0; i < LINE; i++)
		if (kc_chan_send(line->ch, &i, -1) != 0)
			return __LINE__;
	if (kc_chan_recv(line->turn[LINE], &turn, -1) != 0)
		return __LINE__;
	for (int i = 0; i < LINE; i++)
		if (kc_join(co[i], &r, -1) != 0 || r != 0)
			return __LINE__;
	return kc_chan_len(line->ch);
}

static void elements_come_in_order_to_a_line_of_receivers(void **state)
{
	const struct {
		enum kc_kind kind;
		size_t capacity;
	} kinds[] = { { KC_RENDEZVOUS, 0 }, { KC_BUFFERED, 10 }, { KC_UNLIMITED, 0 } };

	for (size_t w = 0; w < KCT_RUNS; w++) {
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			struct line line;

			assert_int_equal(kc_chan_make(&line.ch, kinds[k].kind, sizeof(int),
						      kinds[k].capacity),
					 0);
			for (int i = 0; i <= LINE; i++)
				assert_int_equal(kc_chan_make(&line.turn[i], KC_RENDEZVOUS, 1, 0),
						 0);
			assert_int_equal(kct_sched_main(kct_workers[w], line_main, &line), 0);
			for (int i = 0; i <= LINE; i++)
				kc_chan_destroy(line.turn[i]);
			kc_chan_destroy(line.ch);
		}
	}
}

static long fill_then_empty(void *arg)
{
	kc_chan_t *ch = arg;
	int v;

	/* alone: whatever waited would wait for ever */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10; i++)
			if (kc_chan_send(ch, &i, -1) != 0 || kc_chan_len(ch) != i + 1)
				return __LINE__;
		if (kc_chan_try_send(ch, &round) != KC_EAGAIN)
			return __LINE__;
		for (int i = 0; i < 10; i++)
			if (kc_chan_recv(ch, &v, -1) != 0 || v != i || kc_chan_len(ch) != 9 - i)
				return __LINE__;
		if (kc_chan_try_recv(ch, &v) != KC_EAGAIN)
			return __LINE__;
	}
	return 0;
}

static void a_buffer_serves_one_who_is_alone(void **state)
{
	for (size_t w = 0; w < KCT_RUNS; w++) {
		kc_chan_t *ch;

		assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, sizeof(int), 10), 0);
		assert_int_equal(kct_sched_main(kct_workers[w], fill_then_empty, ch), 0);
		kc_chan_destroy(ch);
	}
}

/* ---- many hands ------------------------------------------------------------------ */

struct chain {
	kc_chan_t *from;
	unsigned left;
};

/* Makes its own right neighbour: a chain as long as `left`, from which a number comes back. */
static long chain_link(void *arg)
{
	struct chain *me = arg, next = { NULL, me->left - 1 };
	unsigned v = 0;
	long r = 0;

	if (me->left > 0) {
		r = kc_chan_make(&next.from, KC_RENDEZVOUS, sizeof(v), 0);
		if (r == 0)
			r = kc_spawn(NULL, NULL, chain_link, &next);
		if (r == 0)
			r = kc_chan_recv(next.from, &v, -1);
		/* it waits for this one to have the number, then touches nothing of it */
		kc_chan_destroy(next.from);
	}
	v++;
	/* a broken chain is seen by its length */
	return kc_chan_send(me->from, &v, -1) != 0 ? -1 : r;
}

static void a_number_comes_back_through_a_long_chain(void **state)
{
	for (size_t w = 0; w < KCT_RUNS; w++) {
		struct chain first = { NULL, 1000 };
		unsigned v;

		assert_int_equal(kc_chan_make(&first.from, KC_BUFFERED, sizeof(v), 1), 0);
		assert_int_equal(kct_sched_main(kct_workers[w], chain_link, &first), 0);
		assert_int_equal(kc_chan_recv(first.from, &v, 0), 0);
		assert_int_equal(v, first.left + 1);
		kc_chan_destroy(first.from);
	}
}

#define HANDS 8
#define EACH  1500

struct crowd {
	kc_chan_t *ch;
	unsigned batch; /* elements at a time, where more than one */
	bool impatient; /* tries before it waits */
	_Atomic unsigned n_senders;
	_Atomic uint64_t sum, count;
};

static int put(struct crowd *c, const uint32_t *v)
{
	if (c->impatient && kc_chan_try_send(c->ch, v) == 0)
		return 0;
	return kc_chan_send(c->ch, v, -1);
}

static long crowd_sender(void *arg)
{
	struct crowd *c = arg;
	uint32_t who = atomic_fetch_add(&c->n_senders, 1), batch[16];
	unsigned n = c->batch;

	for (uint32_t i = 0; i < EACH; i += n) {
		for (unsigned k = 0; k < n; k++)
			batch[k] = who << 16 | (i + k);
		if (n == 1) {
			if (put(c, batch) != 0)
				return __LINE__;
			continue;
		}
		for (unsigned done = 0; done < n;) {
			long r = kc_chan_send_many(c->ch, batch + done, n - done, -1, NULL);

			if (r <= 0)
				return __LINE__;
			done += (unsigned)r;
		}
	}
	return 0;
}

static long crowd_receiver(void *arg)
{
	struct crowd *c = arg;
	uint32_t batch[16];
	int last[HANDS];
	long n;

	memset(last, -1, sizeof(last));
	for (;;) {
		n = c->impatient && kc_chan_try_recv(c->ch, batch) == 0
			    ? 1
			    : kc_chan_recv_many(c->ch, batch, c->batch, -1, NULL);
		if (n < 0)
			return n == KC_EPIPE ? 0 : __LINE__;
		for (long k = 0; k < n; k++) {
			uint32_t who = batch[k] >> 16;
			int i = (int)(batch[k] & 0xffff);

			/* what one sends comes to each receiver in its order */
			if (who >= HANDS || i <= last[who])
				return __LINE__;
			last[who] = i;
			atomic_fetch_add(&c->sum, batch[k]);
			atomic_fetch_add(&c->count, 1);
		}
	}
}

static long crowd_main(void *arg)
{
	struct crowd *c = arg;
	kc_coro_t *tx[HANDS], *rx[HANDS];
	long r;

	for (int i = 0; i < HANDS; i++)
		if (kc_spawn(&rx[i], NULL, crowd_receiver, c) != 0 ||
		    kc_spawn(&tx[i], NULL, crowd_sender, c) != 0)
			return __LINE__;
	for (int i = 0; i < HANDS; i++)
		if (kc_join(tx[i], &r, -1) != 0 || r != 0)
			return r;
	kc_chan_close(c->ch);
	for (int i = 0; i < HANDS; i++)
		if (kc_join(rx[i], &r, -1) != 0 || r != 0)
			return r;
	return 0;
}

static void crowd(enum kc_kind kind, size_t capacity, unsigned batch, bool impatient)
{
	uint64_t want = 0;

	for (uint64_t who = 0; who < HANDS; who++)
		want += EACH * (who << 16) + (uint64_t)EACH * (EACH - 1) / 2;
	for (size_t w = 0; w < KCT_RUNS; w++) {
		struct crowd c = { .batch = batch, .impatient = impatient };
		struct kc_chan_snapshot snap;

		assert_int_equal(kc_chan_make(&c.ch, kind, sizeof(uint32_t), capacity), 0);
		assert_int_equal(kct_sched_main(kct_workers[w], crowd_main, &c), 0);
		assert_true(atomic_load(&c.count) == (uint64_t)HANDS * EACH);
		assert_true(atomic_load(&c.sum) == want);
		assert_int_equal(kc_chan_snapshot(c.ch, &snap), 0);
		assert_true(snap.ledger.sent == (uint64_t)HANDS * EACH);
		assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
		kc_chan_destroy(c.ch);
	}
}

static void sums_agree_for_any_number_of_workers(void **state)
{
	crowd(KC_RENDEZVOUS, 0, 1, false);
	crowd(KC_BUFFERED, 1, 1, false);
	crowd(KC_BUFFERED, 64, 1, false);
	crowd(KC_UNLIMITED, 0, 1, false);
}

static void sums_agree_for_those_who_try_first(void **state)
{
	crowd(KC_RENDEZVOUS, 0, 1, true);
	crowd(KC_BUFFERED, 3, 1, true);
}

static void sums_agree_for_batches(void **state)
{
	/* a divisor of EACH: batches of 15, through a smaller buffer as well */
	crowd(KC_RENDEZVOUS, 0, 15, false);
	crowd(KC_BUFFERED, 4, 15, false);
	crowd(KC_BUFFERED, 64, 15, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_sieve_of_rendezvous_finds_the_primes),
		KCT_TEST(a_sieve_of_buffers_finds_the_same),
		KCT_TEST(elements_come_in_order_to_a_line_of_receivers),
		KCT_TEST(a_buffer_serves_one_who_is_alone),
		KCT_TEST(a_number_comes_back_through_a_long_chain),
		KCT_TEST(sums_agree_for_any_number_of_workers),
		KCT_TEST(sums_agree_for_those_who_try_first),
		KCT_TEST(sums_agree_for_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
