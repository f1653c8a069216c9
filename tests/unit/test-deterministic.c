/* SPDX-License-Identifier: BSD-3-Clause */
/* Deterministic schedulers: the same seed, the same interleaving; a clock that jumps. */
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

static kc_sched_t *make(uint64_t seed)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;

	o.flags = KC_SCHED_DETERMINISTIC;
	o.seed = seed;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	return s;
}

/* ---- a program with every kind of wait --------------------------------------- */

#define WORKERS 6
#define EVENTS	4096

struct story {
	kc_chan_t *ch;
	kc_cancel_t *token;
	uint64_t random;
	uint32_t events[EVENTS]; /* who did what, in order */
	unsigned n;
	uint64_t end; /* on the virtual clock */
};

static struct story *story;

static void note(unsigned who, unsigned what)
{
	if (story->n < EVENTS)
		story->events[story->n++] = who << 8 | what;
}

static long act(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;
	uint64_t v = who;

	for (unsigned i = 0; i < 20; i++) {
		int r;

		switch (kct_random(&story->random) % 5) {
		case 0:
			kc_yield();
			note(who, 0);
			break;
		case 1:
			r = kc_sleep_ms_c((long)(kct_random(&story->random) % 50), story->token);
			note(who, r == 0 ? 1 : 2);
			break;
		case 2:
		case 3:
			r = kc_chan_send_c(story->ch, &v, (long)(kct_random(&story->random) % 30),
					   story->token);
			note(who, r == 0 ? 3 : 4);
			break;
		default:
			r = kc_chan_recv_c(story->ch, &v, (long)(kct_random(&story->random) % 30),
					   story->token);
			note(who, r == 0 ? 16 + (unsigned)v : 5);
			break;
		}
	}
	return 0;
}

static long cancel_late(void *arg)
{
	(void)kc_sleep_ms(400);
	kc_cancel_trigger(story->token);
	note(99, 0);
	return 0;
}

static void tell(struct story *st, uint64_t seed)
{
	kc_sched_t *s = make(seed);

	memset(st, 0, sizeof(*st));
	story = st;
	st->random = seed;
	assert_int_equal(kc_chan_make(&st->ch, KC_BUFFERED, 8, 2), 0);
	assert_int_equal(kc_cancel_init(&st->token), 0);
	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(kc_spawn(NULL, s, act, (void *)i), 0);
	assert_int_equal(kc_spawn(NULL, s, cancel_late, NULL), 0);
	assert_int_equal(kc_sched_run(s), 0);
	st->end = kc_sched_now();
	kc_chan_destroy(st->ch);
	kc_cancel_destroy(st->token);
	assert_int_equal(kc_sched_destroy(s), 0);
}

static struct story first, second, other;

static void the_same_seed_tells_the_same_story(void **state)
{
	uint64_t seeds = kct_seed();
	unsigned different = 0;

	tell(&other, 1);
	for (int i = 0; i < 200; i++) {
		uint64_t seed = kct_random(&seeds);

		tell(&first, seed);
		tell(&second, seed);
		assert_true(first.n >= WORKERS * 20);
		assert_int_equal(first.n, second.n);
		assert_memory_equal(first.events, second.events, sizeof(first.events));
		different += memcmp(first.events, other.events, sizeof(first.events)) != 0;
	}
	assert_int_equal(different, 200);
}

/* The order alone, with everything else the same, comes from the seed too. */
static char order[8];
static unsigned n_order;

static long stand_in_line(void *arg)
{
	order[n_order++] = (char)('a' + (uintptr_t)arg);
	return 0;
}

static void seeds_give_every_order(void **state)
{
	bool seen[6] = { false };
	const char *const orders[6] = { "abc", "acb", "bac", "bca", "cab", "cba" };

	for (uint64_t seed = 0; seed < 200; seed++) {
		kc_sched_t *s = make(seed);

		n_order = 0;
		memset(order, 0, sizeof(order));
		for (uintptr_t i = 0; i < 3; i++)
			assert_int_equal(kc_spawn(NULL, s, stand_in_line, (void *)i), 0);
		assert_int_equal(kc_sched_run(s), 0);
		for (int i = 0; i < 6; i++)
			seen[i] |= strcmp(order, orders[i]) == 0;
		assert_int_equal(kc_sched_destroy(s), 0);
	}
	for (int i = 0; i < 6; i++)
		assert_true(seen[i]);
}

/* ---- the clock --------------------------------------------------------------- */

static long sleep_a_day(void *arg)
{
	uint64_t start = kc_sched_now();

	if (kc_sleep_ms(24L * 3600 * 1000) != 0)
		return __LINE__;
	*(uint64_t *)arg = kc_sched_now() - start;
	return 0;
}

static void a_day_passes_at_once_and_exactly(void **state)
{
	kc_sched_t *s = make(7);
	uint64_t before = kci_clock_now(), slept = 0;

	assert_int_equal(kc_spawn(NULL, s, sleep_a_day, &slept), 0);
	assert_int_equal(kc_sched_run(s), 0);
	assert_true(slept == 24 * 3600 * KC_NS_PER_SEC);
	assert_true(kci_clock_now() - before < 3600 * KC_NS_PER_SEC);
	assert_int_equal(kc_sched_destroy(s), 0);
}

/* ---- who is stuck ------------------------------------------------------------ */

static long wait_for(void *arg)
{
	return kc_cancel_wait(arg, -1);
}

static long run_inside(void *arg)
{
	return kc_sched_run(arg);
}

static void those_that_nobody_wakes_are_told_of(void **state)
{
	kc_sched_t *s = make(7), *inner = make(8);
	kc_cancel_t *go;
	kc_coro_t *co;
	long r;

	assert_int_equal(kc_cancel_init(&go), 0);
	assert_int_equal(kc_spawn(&co, s, wait_for, go), 0);
	assert_int_equal(kc_sched_run(s), KC_EAGAIN);
	assert_int_equal(kc_sched_destroy(s), KC_EAGAIN);
	assert_int_equal(kc_sched_drain(s, -1), KC_EINVAL);
	kc_cancel_trigger(go);
	assert_int_equal(kc_sched_run(s), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	assert_int_equal(r, 0);
	assert_int_equal(kc_spawn(&co, s, run_inside, inner), 0);
	assert_int_equal(kc_sched_run(s), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	assert_int_equal(r, KC_EINVAL);
	kc_cancel_destroy(go);
	assert_int_equal(kc_sched_destroy(s), 0);
	assert_int_equal(kc_sched_destroy(inner), 0);
}

/* More than a ring holds: the global queue takes part. */
static long count(void *arg)
{
	kc_yield();
	++*(unsigned *)arg;
	return 0;
}

static void more_than_a_ring_holds(void **state)
{
	kc_sched_t *s = make(7);
	unsigned n = 0;

	for (int i = 0; i < 3000; i++)
		assert_int_equal(kc_spawn(NULL, s, count, &n), 0);
	assert_int_equal(kc_sched_run(s), 0);
	assert_int_equal(n, 3000);
	assert_int_equal(kc_sched_destroy(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(the_same_seed_tells_the_same_story),
		KCT_TEST(seeds_give_every_order),
		KCT_TEST(a_day_passes_at_once_and_exactly),
		KCT_TEST(those_that_nobody_wakes_are_told_of),
		KCT_TEST(more_than_a_ring_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
