/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kinds of local channels under those who share them: exact bounds, exact counts, what
 * is left at the end, timeouts, turns. Each case runs with threads and again with
 * coroutines on two workers; the test itself is a thread in both.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/both.h"
#include "tests/lib/local.h"

#define CREW	   4
#define COUNT	   (KCI_TSAN ? 1000u : 4000u)
#define ARRAY(a)   (sizeof(a) / sizeof((a)[0]))
#define NS_PER_MS  UINT64_C(1000000)
#define DROPPED_BY 100 /* a reason is added to this */

/* ---- bounds -------------------------------------------------------------------- */

static void a_random_walk_finds_the_bounds_exact(void **state)
{
	static const size_t capacities[] = { 1, 2, 3, 7, 64, 1000 };
	uint64_t random = kct_seed();

	for (size_t c = 0; c < ARRAY(capacities); c++) {
		kc_chan_t *ch = kct_chan_make(KC_BUFFERED, capacities[c]);
		uint32_t head = 0, tail = 0, v; /* tail..head-1 are queued */

		for (int step = 0; step < 3000; step++) {
			size_t len = head - tail;
			/* long ways in one direction, so that the ends are met */
			bool in = (step / (int)(2 * capacities[c] + 1)) % 2 == 0;
			uint64_t dice = kct_random(&random) % 8;

			if (in ? dice > 0 : dice == 0) {
				v = head;
				if (len == capacities[c]) {
					assert_int_equal(kc_chan_try_send(ch, &v), KC_EAGAIN);
				} else {
					assert_int_equal(kc_chan_try_send(ch, &v), 0);
					head++;
				}
			} else if (len == 0) {
				assert_int_equal(kc_chan_try_recv(ch, &v), KC_EAGAIN);
			} else {
				assert_int_equal(kc_chan_try_recv(ch, &v), 0);
				assert_int_equal(v, tail++);
			}
			assert_int_equal(kc_chan_len(ch), head - tail);
		}
		kc_chan_destroy(ch);
	}
}

static long in_and_out(void *arg)
{
	kc_chan_t *ch = arg;
	uint32_t v = 1;

	for (unsigned i = 0; i < COUNT; i++) {
		long len;

		/* a place for each, so there is one; and then one element for each */
		if (kc_chan_try_send(ch, &v) != 0)
			return __LINE__;
		len = kc_chan_len(ch);
		if (len < 1 || len > CREW)
			return __LINE__;
		if (kc_chan_try_recv(ch, &v) != 0)
			return __LINE__;
		kc_yield();
	}
	return 0;
}

static void who_has_put_one_in_never_finds_it_empty(void **state)
{
	const struct {
		enum kc_kind kind;
		size_t capacity;
	} kinds[] = { { KC_BUFFERED, CREW }, { KC_UNLIMITED, 0 } };

	for (size_t k = 0; k < ARRAY(kinds); k++) {
		kc_chan_t *ch = kct_chan_make(kinds[k].kind, kinds[k].capacity);
		struct kct_call calls[CREW];

		for (int i = 0; i < CREW; i++)
			kct_call_start(&calls[i], in_and_out, ch);
		for (int i = 0; i < CREW; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		assert_int_equal(kc_chan_len(ch), 0);
		kc_chan_destroy(ch);
	}
}

static long send_nine(void *arg)
{
	uint32_t v = 9;

	return kc_chan_send(arg, &v, -1);
}

static void a_rendezvous_never_has_a_length(void **state)
{
	kc_chan_t *ch = kct_chan_make(KC_RENDEZVOUS, 0);
	struct kct_call calls[CREW];
	uint32_t v = 0;

	assert_int_equal(kc_chan_try_send(ch, &v), KC_EAGAIN);
	assert_int_equal(kc_chan_try_recv(ch, &v), KC_EAGAIN);
	for (int i = 0; i < CREW; i++)
		kct_call_start(&calls[i], send_nine, ch);
	kct_chan_wait_for(ch, CREW, 0);
	assert_int_equal(kc_chan_len(ch), 0);
	assert_int_equal(kc_chan_try_send(ch, &v), KC_EAGAIN);
	for (int i = 0; i < CREW; i++) {
		assert_int_equal(kc_chan_try_recv(ch, &v), 0);
		assert_int_equal(v, 9);
		assert_int_equal(kc_chan_len(ch), 0);
	}
	for (int i = 0; i < CREW; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	assert_int_equal(kc_chan_try_recv(ch, &v), KC_EAGAIN);
	kc_chan_destroy(ch);
}

static void unlimited_ends_at_its_bytes_and_goes_on_after(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kct_call call;
	kc_chan_t *ch;
	uint32_t v;

	o.kind = KC_UNLIMITED;
	o.elem_size = sizeof(v);
	o.max_bytes = 1000 * sizeof(v) + 3; /* not enough for one more */
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	for (v = 0; v < 1000; v++)
		assert_int_equal(kc_chan_send(ch, &v, -1), 0);
	assert_int_equal(kc_chan_try_send(ch, &v), KC_EAGAIN);
	assert_int_equal(kc_chan_send(ch, &v, KCT_SHORT_MS), KC_ETIME);
	kct_call_start(&call, send_nine, ch);
	kct_chan_wait_for(ch, 1, 0);
	assert_int_equal(kc_chan_recv(ch, &v, 0), 0);
	assert_int_equal(kct_call_join(&call), 0);
	assert_int_equal(kc_chan_len(ch), 1000);
	kc_chan_destroy(ch);
}

/* ---- time ------------------------------------------------------------------------ */

static void a_timeout_is_never_early_and_leaves_no_trace(void **state)
{
	const struct {
		enum kc_kind kind;
		size_t capacity;
	} kinds[] = { { KC_RENDEZVOUS, 0 }, { KC_BUFFERED, 2 } };

	for (size_t k = 0; k < ARRAY(kinds); k++) {
		kc_chan_t *ch = kct_chan_make(kinds[k].kind, kinds[k].capacity);
		uint32_t v = 77;
		uint64_t before = kc_sched_now();

		assert_int_equal(kc_chan_recv(ch, &v, KCT_SHORT_MS), KC_ETIME);
		assert_true(kc_sched_now() - before >= KCT_SHORT_MS * NS_PER_MS);
		assert_int_equal(v, 77);
		for (v = 0; v < kinds[k].capacity; v++)
			assert_int_equal(kc_chan_send(ch, &v, KCT_SHORT_MS), 0);
		before = kc_sched_now();
		v = 99;
		assert_int_equal(kc_chan_send(ch, &v, KCT_SHORT_MS), KC_ETIME);
		assert_true(kc_sched_now() - before >= KCT_SHORT_MS * NS_PER_MS);
		kct_chan_wait_for(ch, 0, 0);
		for (uint32_t i = 0; i < kinds[k].capacity; i++) {
			assert_int_equal(kc_chan_recv(ch, &v, KCT_SHORT_MS), 0);
			assert_int_equal(v, i);
		}
		assert_int_equal(kc_chan_recv(ch, &v, 0), KC_EAGAIN);
		kc_chan_destroy(ch);
	}
}

struct timed {
	kc_chan_t *ch;
	uint64_t seed;
};

/* Again and again until it goes: the contract says who gives up still has the element. */
static long timed_send(void *arg)
{
	struct timed *t = arg;

	for (uint32_t i = 0; i < COUNT / 4; i++) {
		int r;

		while ((r = kc_chan_send(t->ch, &i, 1 + (long)(kct_random(&t->seed) % 2))) ==
		       KC_ETIME)
			;
		if (r != 0)
			return __LINE__;
	}
	return kc_chan_close(t->ch);
}

static long timed_recv(void *arg)
{
	struct timed *t = arg;
	uint32_t v;

	for (uint32_t i = 0;; i++) {
		int r;

		while ((r = kc_chan_recv(t->ch, &v, 1 + (long)(kct_random(&t->seed) % 2))) ==
		       KC_ETIME)
			;
		if (r != 0)
			return r == KC_EPIPE && i == COUNT / 4 ? 0 : __LINE__;
		if (v != i)
			return __LINE__;
	}
}

static void two_who_both_give_up_often_still_meet(void **state)
{
	uint64_t seed = kct_seed();

	for (size_t capacity = 0; capacity < 3; capacity++) {
		kc_chan_t *ch = kct_chan_make(capacity ? KC_BUFFERED : KC_RENDEZVOUS, capacity);
		struct timed tx = { .ch = ch, .seed = kct_random(&seed) };
		struct timed rx = { .ch = ch, .seed = kct_random(&seed) };
		struct kct_call calls[2];

		kct_call_start(&calls[0], timed_send, &tx);
		kct_call_start(&calls[1], timed_recv, &rx);
		for (int i = 0; i < 2; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		kc_chan_destroy(ch);
	}
}

/* ---- counts ---------------------------------------------------------------------- */

struct tally {
	kc_chan_t *ch;
	_Atomic uint8_t *seen; /* how often each value came out */
};

static long tally_send(void *arg)
{
	struct tally *t = arg;

	for (uint32_t i = 0; i < COUNT; i++)
		if (kc_chan_send(t->ch, &i, -1) != 0)
			return __LINE__;
	return 0;
}

static long tally_recv(void *arg)
{
	struct tally *t = arg;
	uint32_t v;

	/* as many as one sends, so together all of them and none is left */
	for (uint32_t i = 0; i < COUNT; i++) {
		if (kc_chan_recv(t->ch, &v, -1) != 0 || v >= COUNT)
			return __LINE__;
		atomic_fetch_add(&t->seen[v], 1);
	}
	return 0;
}

static void each_value_comes_as_often_as_it_was_sent(void **state)
{
	const struct {
		enum kc_kind kind;
		size_t capacity;
	} kinds[] = {
		{ KC_RENDEZVOUS, 0 }, { KC_BUFFERED, 1 }, { KC_BUFFERED, 3 }, { KC_UNLIMITED, 0 }
	};

	for (size_t k = 0; k < ARRAY(kinds); k++) {
		struct tally t = { .ch = kct_chan_make(kinds[k].kind, kinds[k].capacity) };
		struct kct_call tx[CREW], rx[CREW];
		uint32_t v;

		t.seen = calloc(COUNT, sizeof(*t.seen));
		assert_non_null(t.seen);
		for (int i = 0; i < CREW; i++) {
			kct_call_start(&tx[i], tally_send, &t);
			kct_call_start(&rx[i], tally_recv, &t);
		}
		for (int i = 0; i < CREW; i++) {
			assert_int_equal(kct_call_join(&tx[i]), 0);
			assert_int_equal(kct_call_join(&rx[i]), 0);
		}
		for (uint32_t i = 0; i < COUNT; i++)
			assert_int_equal(atomic_load(&t.seen[i]), CREW);
		assert_int_equal(kc_chan_try_recv(t.ch, &v), KC_EAGAIN);
		kc_chan_destroy(t.ch);
		free(t.seen);
	}
}

/* Where each value of one sender went: received, dropped for a reason, or (0) nowhere. */
struct fates {
	kc_chan_t *ch;
	uint32_t steps;
	_Atomic int *fate;
	_Atomic uint32_t twice;
};

static void meet_fate(struct fates *f, uint32_t v, int fate)
{
	int none = 0;

	if (!atomic_compare_exchange_strong(&f->fate[v], &none, fate))
		atomic_fetch_add(&f->twice, 1);
}

static void on_drop(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	uint32_t v;

	memcpy(&v, elem, sizeof(v));
	meet_fate(arg, v, len == sizeof(v) ? DROPPED_BY + (int)reason : -1);
}

static long fates_recv(void *arg)
{
	struct fates *f = arg;
	uint32_t v;

	for (uint32_t i = 0; i < f->steps; i++) {
		if (kc_chan_recv(f->ch, &v, -1) != 0)
			return __LINE__;
		meet_fate(f, v, 1);
	}
	return 0;
}

static void what_is_left_goes_to_the_hook_once(void **state)
{
	static const struct {
		enum kc_kind kind;
		size_t capacity;
	} kinds[] = { { KC_BUFFERED, 50 }, { KC_UNLIMITED, 0 } };
	uint64_t random = kct_seed();

	for (int round = 0; round < 30; round++) {
		size_t k = (size_t)round % 2;
		uint32_t left = (uint32_t)(kct_random(&random) % 50);
		struct fates f = { .steps = (uint32_t)(kct_random(&random) % 2000) };
		struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
		struct kct_call call;

		o.kind = kinds[k].kind;
		o.elem_size = sizeof(uint32_t);
		o.capacity = kinds[k].capacity;
		o.on_drop = on_drop;
		o.on_drop_arg = &f;
		f.fate = calloc(f.steps + left + 1, sizeof(*f.fate));
		assert_non_null(f.fate);
		assert_int_equal(kc_chan_make_ex(&f.ch, &o), 0);
		kct_call_start(&call, fates_recv, &f);
		for (uint32_t v = 0; v < f.steps; v++)
			assert_int_equal(kc_chan_send(f.ch, &v, -1), 0);
		assert_int_equal(kct_call_join(&call), 0);
		for (uint32_t v = f.steps; v < f.steps + left; v++)
			assert_int_equal(kc_chan_send(f.ch, &v, 0), 0);
		kc_chan_destroy(f.ch);
		assert_int_equal(atomic_load(&f.twice), 0);
		for (uint32_t v = 0; v < f.steps + left; v++)
			assert_int_equal(atomic_load(&f.fate[v]),
					 v < f.steps ? 1 : DROPPED_BY + KC_DROP_DESTROYED);
		free(f.fate);
	}
}

static void one_shot_after_another(void **state)
{
	for (int round = 0; round < 300; round++) {
		kc_chan_t *ch = kct_chan_make(round % 2 ? KC_BUFFERED : KC_RENDEZVOUS, round % 2);
		struct kct_call call;
		uint32_t v = 0;

		/* the channel goes as soon as the element is there */
		kct_call_start(&call, send_nine, ch);
		assert_int_equal(kc_chan_recv(ch, &v, -1), 0);
		assert_int_equal(v, 9);
		kc_chan_destroy(ch);
		assert_int_equal(kct_call_join(&call), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_random_walk_finds_the_bounds_exact),
		KCT_BOTH(who_has_put_one_in_never_finds_it_empty),
		KCT_BOTH(a_rendezvous_never_has_a_length),
		KCT_BOTH(unlimited_ends_at_its_bytes_and_goes_on_after),
		KCT_TEST(a_timeout_is_never_early_and_leaves_no_trace),
		KCT_BOTH(two_who_both_give_up_often_still_meet),
		KCT_BOTH(each_value_comes_as_often_as_it_was_sent),
		KCT_BOTH(what_is_left_goes_to_the_hook_once),
		KCT_BOTH(one_shot_after_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
