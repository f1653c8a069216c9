/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Local channels: everybody's turn comes, also beside those who only try and those who
 * move more at a time than fits; and close reaches threads and coroutines alike. What is
 * counted are turns, never time.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

#define CREW	 5
#define ROUNDS	 20
#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* Half of every crew are coroutines on these two workers, half threads. */
static kc_sched_t *sched;

static int setup(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	int r = kct_setup(state);

	o.workers = 2;
	return r ? r : kc_sched_create(&sched, &o);
}

static int teardown(void **state)
{
	int r = kc_sched_drain(sched, KCT_PATIENCE_MS);

	if (r == 0)
		r = kc_sched_destroy(sched);
	return kct_teardown(state) != 0 || r != 0;
}

static void start(struct kct_call *call, int i, long (*fn)(void *arg), void *arg)
{
	kct_calls_in(i % 2 ? sched : NULL);
	kct_call_start(call, fn, arg);
	kct_calls_in(NULL);
}

/* ---- turns --------------------------------------------------------------------- */

struct member {
	kc_chan_t *ch;
	uint32_t me;
	_Atomic uint32_t turns;
};

static long member_recv(void *arg)
{
	struct member *m = arg;
	uint32_t v;
	int r;

	while ((r = kc_chan_recv(m->ch, &v, -1)) == 0)
		atomic_fetch_add(&m->turns, 1);
	return r == KC_EPIPE ? 0 : __LINE__;
}

static long member_send(void *arg)
{
	struct member *m = arg;
	int r;

	while ((r = kc_chan_send(m->ch, &m->me, -1)) == 0)
		atomic_fetch_add(&m->turns, 1);
	return r == KC_EPIPE ? 0 : __LINE__;
}

static void receivers_that_wait_have_one_turn_each(void **state)
{
	for (size_t capacity = 0; capacity < 3; capacity++) {
		kc_chan_t *ch = kct_chan_make(capacity ? KC_BUFFERED : KC_RENDEZVOUS, capacity);
		struct member members[CREW];
		struct kct_call calls[CREW];

		for (uint32_t i = 0; i < CREW; i++) {
			members[i] = (struct member){ .ch = ch, .me = i };
			start(&calls[i], (int)i, member_recv, &members[i]);
		}
		for (uint32_t round = 1; round <= ROUNDS; round++) {
			/* all of them wait: whoever had a turn is behind the others */
			kct_chan_wait_for(ch, 0, CREW);
			for (int i = 0; i < CREW; i++)
				assert_int_equal(atomic_load(&members[i].turns), round - 1);
			for (uint32_t i = 0; i < CREW; i++)
				assert_int_equal(kc_chan_send(ch, &round, -1), 0);
		}
		kct_chan_wait_for(ch, 0, CREW);
		kc_chan_close(ch);
		for (int i = 0; i < CREW; i++) {
			assert_int_equal(kct_call_join(&calls[i]), 0);
			assert_int_equal(atomic_load(&members[i].turns), ROUNDS);
		}
		kc_chan_destroy(ch);
	}
}

static void senders_that_wait_have_one_turn_each(void **state)
{
	for (size_t capacity = 0; capacity < 3; capacity++) {
		kc_chan_t *ch = kct_chan_make(capacity ? KC_BUFFERED : KC_RENDEZVOUS, capacity);
		uint32_t got[CREW] = { 0 }, v = CREW;
		struct member members[CREW];
		struct kct_call calls[CREW];

		/* full of the test's own */
		for (size_t i = 0; i < capacity; i++)
			assert_int_equal(kc_chan_send(ch, &v, 0), 0);
		for (uint32_t i = 0; i < CREW; i++) {
			members[i] = (struct member){ .ch = ch, .me = i };
			start(&calls[i], (int)i, member_send, &members[i]);
		}
		kct_chan_wait_for(ch, CREW, 0);
		for (size_t i = 0; i < capacity; i++) {
			assert_int_equal(kc_chan_recv(ch, &v, -1), 0);
			assert_int_equal(v, CREW);
			kct_chan_wait_for(ch, CREW, 0);
		}
		for (uint32_t round = 1; round <= ROUNDS; round++) {
			for (int i = 0; i < CREW; i++) {
				assert_int_equal(kc_chan_recv(ch, &v, -1), 0);
				assert_in_range(v, 0, CREW - 1);
				got[v]++;
				/* who was served stands at the end of the line again */
				kct_chan_wait_for(ch, CREW, 0);
			}
			for (int i = 0; i < CREW; i++)
				assert_int_equal(got[i], round);
		}
		kc_chan_close(ch);
		for (int i = 0; i < CREW; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		kc_chan_destroy(ch);
	}
}

struct impatient {
	kc_chan_t *ch;
	_Atomic bool over;
	_Atomic uint32_t sent;
};

static long impatient_send(void *arg)
{
	struct impatient *im = arg;
	uint32_t v = 1;

	while (!atomic_load(&im->over)) {
		int r = kc_chan_try_send(im->ch, &v);

		if (r == 0)
			atomic_fetch_add(&im->sent, 1);
		else if (r != KC_EAGAIN)
			return __LINE__;
		kc_yield();
	}
	return 0;
}

static long impatient_recv(void *arg)
{
	struct impatient *im = arg;
	uint32_t v;
	int r;

	/* until it is drained, so that none of the tries counts for nothing */
	for (;;) {
		r = kc_chan_try_recv(im->ch, &v);
		if (r == KC_EPIPE)
			return 0;
		if (r != 0 && r != KC_EAGAIN)
			return __LINE__;
		kc_yield();
	}
}

#define PATIENT 200

static long patient_send(void *arg)
{
	struct impatient *im = arg;
	uint32_t v = 2;

	for (int i = 0; i < PATIENT; i++)
		if (kc_chan_send(im->ch, &v, -1) != 0)
			return __LINE__;
	return 0;
}

static long patient_recv(void *arg)
{
	struct impatient *im = arg;
	uint32_t v;

	for (int i = 0; i < PATIENT; i++)
		if (kc_chan_recv(im->ch, &v, -1) != 0)
			return __LINE__;
	return 0;
}

static void those_who_wait_are_not_starved_by_those_who_try(void **state)
{
	for (size_t capacity = 1; capacity <= 2; capacity++) {
		struct impatient im = { .ch = kct_chan_make(KC_BUFFERED, capacity) };
		struct kct_call hammers[4], tx, rx;

		for (int i = 0; i < 4; i++)
			start(&hammers[i], i, i < 2 ? impatient_send : impatient_recv, &im);
		start(&tx, 0, patient_send, &im);
		start(&rx, 1, patient_recv, &im);
		/* that these end is what is tested */
		assert_int_equal(kct_call_join(&tx), 0);
		assert_int_equal(kct_call_join(&rx), 0);
		atomic_store(&im.over, true);
		for (int i = 0; i < 2; i++)
			assert_int_equal(kct_call_join(&hammers[i]), 0);
		kc_chan_close(im.ch);
		for (int i = 2; i < 4; i++)
			assert_int_equal(kct_call_join(&hammers[i]), 0);
		assert_int_equal(kc_chan_len(im.ch), 0);
		kc_chan_destroy(im.ch);
	}
}

static void a_try_does_not_pass_a_waiting_sender(void **state)
{
	kc_chan_t *ch = kct_chan_make(KC_BUFFERED, 1);
	struct member m = { .ch = ch, .me = 42 };
	struct kct_call call;
	uint32_t v = 1;

	assert_int_equal(kc_chan_send(ch, &v, 0), 0);
	start(&call, 1, member_send, &m);
	kct_chan_wait_for(ch, 1, 0);
	for (int round = 0; round < 100; round++) {
		assert_int_equal(kc_chan_recv(ch, &v, 0), 0);
		assert_int_equal(v, round ? 42 : 1);
		/* the place went to who waited, within the receive */
		assert_int_equal(kc_chan_len(ch), 1);
		assert_int_equal(kc_chan_try_send(ch, &v), KC_EAGAIN);
		kct_chan_wait_for(ch, 1, 0);
	}
	kc_chan_close(ch);
	assert_int_equal(kct_call_join(&call), 0);
	assert_int_equal(atomic_load(&m.turns), 100);
	kc_chan_destroy(ch);
}

/* ---- more than fits -------------------------------------------------------------- */

struct haul {
	kc_chan_t *ch;
	size_t elem_size, n, at_a_time;
	uint8_t *elems;
};

static long haul_send(void *arg)
{
	struct haul *h = arg;

	for (size_t done = 0; done < h->n;) {
		size_t n = h->n - done < h->at_a_time ? h->n - done : h->at_a_time;
		long r = kc_chan_send_many(h->ch, h->elems + done * h->elem_size, n, -1, NULL);

		if (r <= 0 || (size_t)r > n)
			return __LINE__;
		done += (size_t)r;
	}
	return kc_chan_close(h->ch);
}

static void batches_far_over_the_capacity_arrive_in_order(void **state)
{
	static const struct {
		size_t elem_size, n, capacity, tx, rx;
	} hauls[] = {
		{ 1, KC_BATCH_MAX, 3, KC_BATCH_MAX, 7 },
		{ 8, 5000, 1, 5000, 5000 },
		{ 8, 5000, 0, 1000, 64 },
		{ 8, 5000, 64, 1, 5000 },
		{ KC_ELEM_MAX, 40, 2, 40, 40 },
		{ 3, KC_BATCH_MAX, KC_BATCH_MAX - 1, KC_BATCH_MAX, KC_BATCH_MAX },
	};

	for (size_t i = 0; i < ARRAY(hauls); i++) {
		size_t size = hauls[i].elem_size, n = hauls[i].n, done = 0;
		uint64_t random = 1 + i;
		struct haul h = { .elem_size = size, .n = n, .at_a_time = hauls[i].tx };
		uint8_t *got = malloc((n + hauls[i].rx) * size);
		struct kct_call call;
		long r;

		h.elems = malloc(n * size);
		assert_non_null(h.elems);
		assert_non_null(got);
		for (size_t b = 0; b < n * size; b++)
			h.elems[b] = (uint8_t)kct_random(&random);
		assert_int_equal(kc_chan_make(&h.ch,
					      hauls[i].capacity ? KC_BUFFERED : KC_RENDEZVOUS, size,
					      hauls[i].capacity),
				 0);
		start(&call, (int)i, haul_send, &h);
		while ((r = kc_chan_recv_many(h.ch, got + done * size, hauls[i].rx, -1, NULL)) >
		       0) {
			done += (size_t)r;
			assert_true(done <= n);
		}
		assert_int_equal(r, KC_EPIPE);
		assert_int_equal(done, n);
		assert_memory_equal(got, h.elems, n * size);
		assert_int_equal(kct_call_join(&call), 0);
		kc_chan_destroy(h.ch);
		free(h.elems);
		free(got);
	}
}

static void a_batch_moves_what_fits_and_no_more(void **state)
{
	kc_chan_t *ch = kct_chan_make(KC_BUFFERED, 5);
	uint32_t v[12];

	for (uint32_t i = 0; i < 12; i++)
		v[i] = i;
	assert_int_equal(kc_chan_send_many(ch, v, 3, -1, NULL), 3);
	assert_int_equal(kc_chan_send_many(ch, v + 3, 9, -1, NULL), 2);
	assert_int_equal(kc_chan_send_many(ch, v + 5, 7, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_chan_send_many(ch, v + 5, 7, KCT_SHORT_MS, NULL), KC_ETIME);
	assert_int_equal(kc_chan_len(ch), 5);
	assert_int_equal(kc_chan_send_many(ch, v, 0, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_many(ch, v, KC_BATCH_MAX + 1u, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_many(ch, v, KC_BATCH_MAX + 1u, 0, NULL), KC_EINVAL);
	memset(v, 0xff, sizeof(v));
	assert_int_equal(kc_chan_recv_many(ch, v, 12, -1, NULL), 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(v[i], i);
	/* nothing is written beyond what was taken */
	assert_int_equal(v[5], UINT32_MAX);
	assert_int_equal(kc_chan_recv_many(ch, v, 12, 0, NULL), KC_EAGAIN);
	kc_chan_destroy(ch);
}

/* ---- the end ---------------------------------------------------------------------- */

static void close_reaches_threads_and_coroutines(void **state)
{
	for (int round = 0; round < ROUNDS; round++) {
		kc_chan_t *ch = kct_chan_make(round % 2 ? KC_BUFFERED : KC_RENDEZVOUS, round % 2);
		struct member members[CREW];
		struct kct_call calls[CREW];
		uint32_t v = CREW;

		/* receivers in some rounds, senders in the others */
		if (round % 4 == 1)
			assert_int_equal(kc_chan_send(ch, &v, 0), 0);
		for (uint32_t i = 0; i < CREW; i++) {
			members[i] = (struct member){ .ch = ch, .me = i };
			start(&calls[i], (int)i, round % 4 < 2 ? member_send : member_recv,
			      &members[i]);
		}
		kct_chan_wait_for(ch, round % 4 < 2 ? CREW : 0, round % 4 < 2 ? 0 : CREW);
		kc_chan_close(ch);
		for (int i = 0; i < CREW; i++) {
			assert_int_equal(kct_call_join(&calls[i]), 0);
			assert_int_equal(atomic_load(&members[i].turns), 0);
		}
		assert_int_equal(kc_chan_len(ch), round % 4 == 1);
		kc_chan_destroy(ch);
	}
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(receivers_that_wait_have_one_turn_each),
		CASE(senders_that_wait_have_one_turn_each),
		CASE(those_who_wait_are_not_starved_by_those_who_try),
		CASE(a_try_does_not_pass_a_waiting_sender),
		CASE(batches_far_over_the_capacity_arrive_in_order),
		CASE(a_batch_moves_what_fits_and_no_more),
		CASE(close_reaches_threads_and_coroutines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
