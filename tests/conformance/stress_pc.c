/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stress_pc: four producers, four consumers, 100,000 elements each. Every element
 * arrives exactly once or is on the books, and each consumer sees the elements of
 * one producer in their order.
 */
#include "tests/conformance/program.h"

#include <stdatomic.h>
#include <string.h>

#define PRODUCERS    4
#define CONSUMERS    4
#define PER_PRODUCER 100000u

struct stress {
	struct kct_case c;
	uint32_t per_producer;
	uint64_t seed;
	size_t batch; /* 1: single calls */
	_Atomic unsigned char *seen;
};

struct worker {
	struct stress *s;
	uint32_t number;
	uint64_t random;
	uint64_t n; /* received */
};

static uint64_t element(uint32_t producer, uint32_t i)
{
	return (uint64_t)producer << 32 | i;
}

static size_t batch_of(struct worker *w)
{
	return w->s->batch == 1 ? 1 : 1 + kct_random(&w->random) % w->s->batch;
}

static long produce(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	uint64_t batch[64];
	uint32_t i = 0;

	while (i < s->per_producer) {
		size_t n = batch_of(w);
		long r;

		if (n > s->per_producer - i)
			n = s->per_producer - i;
		for (size_t k = 0; k < n; k++)
			batch[k] = element(w->number, i + (uint32_t)k);
		if (n == 1)
			r = kc_chan_send(s->c.pair.tx, batch, -1) == 0 ? 1 : -1;
		else
			r = kc_chan_send_many(s->c.pair.tx, batch, n, -1, NULL);
		if (r < 1)
			return -1;
		i += (uint32_t)r;
	}
	return 0;
}

/* 0, or what went wrong as the number of a line. */
static long consume(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	int64_t last[PRODUCERS];
	uint64_t batch[64];

	for (int p = 0; p < PRODUCERS; p++)
		last[p] = -1;
	for (;;) {
		size_t want = batch_of(w);
		long r;

		if (want == 1)
			r = kc_chan_recv(s->c.pair.rx, batch, -1);
		else
			r = kc_chan_recv_many(s->c.pair.rx, batch, want, -1, NULL);
		if (r == KC_EPIPE)
			return 0;
		if (r < 0)
			return __LINE__;
		for (long k = 0; k < (want == 1 ? 1 : r); k++) {
			uint32_t p = (uint32_t)(batch[k] >> 32);
			uint32_t i = (uint32_t)batch[k];

			if (p >= PRODUCERS || i >= s->per_producer)
				return __LINE__;
			if ((int64_t)i <= last[p])
				return __LINE__;
			last[p] = i;
			if (atomic_fetch_add(&s->seen[p * s->per_producer + i], 1) != 0)
				return __LINE__;
			w->n++;
		}
	}
}

static void run(const struct kc_chan_options *opts, uint32_t per_producer, size_t batch)
{
	static _Atomic unsigned char seen[PRODUCERS * PER_PRODUCER];
	struct stress s = { .per_producer = per_producer, .batch = batch, .seen = seen };
	struct kct_call producers[PRODUCERS], consumers[CONSUMERS];
	struct worker pw[PRODUCERS], cw[CONSUMERS];
	struct kc_chan_snapshot snap;
	uint64_t received = 0;

	memset((void *)seen, 0, sizeof(seen));
	s.seed = kct_seed();
	case_make(&s.c, KCT_FIXED, opts);
	for (uint32_t i = 0; i < CONSUMERS; i++) {
		cw[i] = (struct worker){ .s = &s, .number = i, .random = s.seed + i };
		kct_call_start(&consumers[i], consume, &cw[i]);
	}
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		pw[i] = (struct worker){ .s = &s, .number = i, .random = s.seed + 100 + i };
		kct_call_start(&producers[i], produce, &pw[i]);
	}
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(kct_call_join(&producers[i]), 0);
	assert_int_equal(kc_chan_close(s.c.pair.tx), 0);
	for (int i = 0; i < CONSUMERS; i++) {
		assert_int_equal(kct_call_join(&consumers[i]), 0);
		received += cw[i].n;
	}
	s.c.sent = (uint64_t)PRODUCERS * per_producer;
	s.c.received = received;
	assert_int_equal(kc_chan_snapshot(s.c.pair.rx, &snap), 0);
	s.c.conflated = snap.ledger.conflated;
	s.c.dropped_oldest = snap.ledger.dropped_oldest;
	s.c.dropped_newest = snap.ledger.dropped_newest;
	if (opts->overflow == KC_OVERFLOW_BLOCK && opts->kind != KC_CONFLATED)
		assert_int_equal(received, s.c.sent);
	assert_int_equal(snap.ledger.queued, 0);
	assert_int_equal(snap.bytes_sent, s.c.sent * sizeof(uint64_t));
	assert_int_equal(snap.bytes_received, received * sizeof(uint64_t));
	case_end(&s.c);
}

static void buffered_4_by_4_by_100000(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 64);

	run(&o, PER_PRODUCER, 1);
}

static void buffered_in_batches_4_by_4_by_100000(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 100);

	run(&o, PER_PRODUCER, 64);
}

static void a_single_place(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 1);

	run(&o, PER_PRODUCER / 20, 1);
}

static void rendezvous(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_RENDEZVOUS, 0);

	run(&o, PER_PRODUCER / 20, 1);
}

static void rendezvous_in_batches(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_RENDEZVOUS, 0);

	run(&o, PER_PRODUCER / 10, 16);
}

static void unlimited(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_UNLIMITED, 1000);

	run(&o, PER_PRODUCER / 5, 8);
}

static void conflated(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_CONFLATED, 0);

	run(&o, PER_PRODUCER / 5, 1);
}

static void drop_oldest(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 16);

	o.overflow = KC_OVERFLOW_DROP_OLDEST;
	run(&o, PER_PRODUCER / 5, 8);
}

static void drop_newest(void **state)
{
	struct kc_chan_options o = case_options(KCT_FIXED, KC_BUFFERED, 16);

	o.overflow = KC_OVERFLOW_DROP_NEWEST;
	run(&o, PER_PRODUCER / 5, 8);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(buffered_4_by_4_by_100000),
	KCT_TEST(buffered_in_batches_4_by_4_by_100000),
	KCT_TEST(a_single_place),
	KCT_TEST(rendezvous),
	KCT_TEST(rendezvous_in_batches),
	KCT_TEST(unlimited),
	KCT_TEST(conflated),
	KCT_TEST(drop_oldest),
	KCT_TEST(drop_newest),
};

KCT_PROGRAM(tests)
