/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A million pending deadlines: each is raised once, in order, unless it was cleared, and
 * the work grows with the logarithm of how many there are.
 *
 * Not the time but the steps are counted. What it costs to take an alarm out of the heap
 * is how many children it has, which can be seen from outside before it goes. Coroutines
 * that slept would need a stack each, so these only look like ones, and nobody runs the
 * scheduler that they belong to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kcoro.h"
#include "libkcoro-client/sched/engine.h"
#include "tests/lib/kct.h"

#define N (KCI_TSAN || KCI_ASAN ? 100000u : 1000000u)

/* No clock comes so far during a test. */
#define FAR (UINT64_C(1) << 62)

struct sleeper {
	kc_coro_t coro;
	_Atomic uint32_t flags;
};

struct crowd {
	kc_sched_t *sched;
	struct sleeper *sleepers;
	uint64_t random;
	uint64_t steps, removals, most;
};

static int setup(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct crowd *c = calloc(1, sizeof(*c));
	int r = kct_setup(state);

	if (r != 0 || !c)
		return -1;
	o.flags = KC_SCHED_DETERMINISTIC;
	r = kc_sched_create(&c->sched, &o);
	if (r != 0)
		return r;
	c->sleepers = calloc(N, sizeof(*c->sleepers));
	c->random = kct_seed();
	for (unsigned i = 0; c->sleepers && i < N; i++)
		c->sleepers[i].coro.sched = c->sched;
	*state = c;
	return c->sleepers ? 0 : -1;
}

static int teardown(void **state)
{
	struct crowd *c = *state;
	int r = kc_sched_destroy(c->sched);

	free(c->sleepers);
	free(c);
	return kct_teardown(state) != 0 || r != 0;
}

static uint64_t pending(struct crowd *c)
{
	return atomic_load(&c->sched->n_timers);
}

static void count_steps(struct crowd *c, const struct kci_timer *t)
{
	uint64_t n = 1;

	for (const struct kci_timer *child = t->child; child; child = child->next)
		n++;
	c->steps += n;
	c->removals++;
	if (n > c->most)
		c->most = n;
}

/* What was counted since the last time is at most `each` steps for each doubling. */
static void judge_steps(struct crowd *c, const char *what, unsigned each)
{
	unsigned log2 = 0;

	while (UINT64_C(1) << log2 < N)
		log2++;
	printf("# %s: %.1f steps each, at most %" PRIu64 " at once\n", what,
	       (double)c->steps / (double)c->removals, c->most);
	assert_true(c->steps <= c->removals * each * log2);
	c->steps = c->removals = c->most = 0;
}

static void arm(struct crowd *c, unsigned i, uint64_t deadline)
{
	struct sleeper *s = &c->sleepers[i];

	assert_int_equal(atomic_load(&s->flags), 0);
	assert_true(kci_coro_alarm_set(&s->coro, &s->flags, deadline));
}

static void disarm(struct crowd *c, unsigned i)
{
	count_steps(c, &c->sleepers[i].coro.timer);
	kci_coro_alarm_clear(&c->sleepers[i].coro);
}

/* Raise all that are left, one deadline after the other; how many were there? */
static uint64_t fire_all(struct crowd *c)
{
	uint64_t n = 0, last = 0;

	while (c->sched->timers) {
		const struct kci_timer *t = c->sched->timers;
		uint64_t deadline = t->deadline;
		_Atomic uint32_t *flags = t->flags;

		assert_true(deadline > last);
		assert_true(atomic_load(&c->sched->timer_next) == deadline);
		/* not before its time */
		assert_int_equal(kci_timers_run(c->sched, deadline - 1), 0);
		assert_int_equal(atomic_load(flags), 0);
		count_steps(c, t);
		assert_int_equal(kci_timers_run(c->sched, deadline), 1);
		assert_int_equal(atomic_load(flags), KCI_EXPIRED);
		last = deadline;
		n++;
	}
	assert_true(pending(c) == 0);
	assert_true(atomic_load(&c->sched->timer_next) == KC_NEVER);
	return n;
}

/* Some order of 0..N-1. */
static unsigned *shuffled(struct crowd *c)
{
	unsigned *order = malloc(N * sizeof(*order));

	assert_non_null(order);
	for (unsigned i = 0; i < N; i++) {
		unsigned j = (unsigned)(kct_random(&c->random) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

static void in_any_order_and_half_are_cancelled(void **state)
{
	struct crowd *c = *state;
	unsigned *order = shuffled(c);

	for (unsigned i = 0; i < N; i++)
		arm(c, i, FAR + order[i]);
	assert_true(pending(c) == N);
	for (unsigned i = 0; i < N / 2; i++)
		disarm(c, order[i]);
	judge_steps(c, "cancelled in any order", 2);
	assert_true(pending(c) == N - N / 2);
	assert_true(fire_all(c) == N - N / 2);
	judge_steps(c, "raised", 2);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(atomic_load(&c->sleepers[order[i]].flags),
				 i < N / 2 ? 0 : KCI_EXPIRED);
	/* what is not pending may be cleared, too */
	kci_coro_alarm_clear(&c->sleepers[0].coro);
	free(order);
}

static void in_the_order_in_which_they_are_due(void **state)
{
	struct crowd *c = *state;

	for (unsigned i = 0; i < N; i++)
		arm(c, i, FAR + i);
	assert_true(fire_all(c) == N);
	judge_steps(c, "first come, first raised", 2);
}

static void in_the_opposite_order(void **state)
{
	struct crowd *c = *state;

	for (unsigned i = N; i-- > 0;)
		arm(c, i, FAR + i);
	assert_true(fire_all(c) == N);
	judge_steps(c, "last come, first raised", 2);
}

static void at_the_same_moment(void **state)
{
	struct crowd *c = *state;

	for (unsigned i = 0; i < N; i++)
		arm(c, i, FAR);
	assert_int_equal(kci_timers_run(c->sched, FAR - 1), 0);
	assert_int_equal(kci_timers_run(c->sched, FAR), N);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(atomic_load(&c->sleepers[i].flags), KCI_EXPIRED);
	assert_true(pending(c) == 0);
}

/* Most deadlines never come: the call they belong to ends before. */
static void those_that_come_and_go_among_many(void **state)
{
	struct crowd *c = *state;
	uint64_t next = 0;

	/* deadlines rise as they do when every call waits equally long */
	for (unsigned i = 0; i < N; i++)
		arm(c, i, FAR + next++);
	for (unsigned i = 0; i < N; i++) {
		unsigned which = (unsigned)(kct_random(&c->random) % N);

		disarm(c, which);
		arm(c, which, FAR + next++);
	}
	judge_steps(c, "come and gone, later and later", 2);
	for (unsigned i = 0; i < N; i++) {
		unsigned which = (unsigned)(kct_random(&c->random) % N);

		disarm(c, which);
		/* no two the same: the lower digits are its own */
		arm(c, which, FAR + next + (kct_random(&c->random) % N) * N + which);
	}
	judge_steps(c, "come and gone, in any order", 2);
	/* the last to come is the first to go */
	for (unsigned i = 0; i < N / 2; i++)
		disarm(c, i);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < N / 20; i++)
			arm(c, i, FAR + i);
		for (unsigned i = N / 20; i-- > 0;)
			disarm(c, i);
	}
	judge_steps(c, "come and gone at once", 2);
	assert_true(fire_all(c) == N - N / 2);
	judge_steps(c, "raised in the end", 2);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(in_any_order_and_half_are_cancelled),
		CASE(in_the_order_in_which_they_are_due),
		CASE(in_the_opposite_order),
		CASE(at_the_same_moment),
		CASE(those_that_come_and_go_among_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
