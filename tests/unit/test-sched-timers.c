/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A million pending deadlines: each is raised once, in order, unless it was cleared, and
 * the work of each time grows with the logarithm of how many there are.
 *
 * Not the time but the steps are counted, as far as they can be seen from outside. To add
 * an alarm costs as many as there are others above it afterwards, which it was melded with.
 * To take one out costs the right spines below it, which are melded, and the ranks above
 * it that change, and one more that is looked at. Whether it ends there is seen by a wrong
 * rank further up, which stays wrong. Now and then the whole heap is looked at.
 *
 * Coroutines that slept would need a stack each, so these only look like ones, and nobody
 * runs the scheduler that they belong to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kcoro.h"
#include "libkcoro-client/sched/engine.h"
#include "tests/lib/kct.h"

/* So many, and less than LOG2 doublings make them. */
#if KCI_TSAN || KCI_ASAN
#define N    100000u
#define LOG2 17u
#else
#define N    1000000u
#define LOG2 20u
#endif

/* No clock comes so far during a test. */
#define FAR (UINT64_C(1) << 62)

/* The whole heap is looked at after so many changes. */
#define NOW_AND_THEN (N / 2)

/* No node has it. */
#define WRONG_RANK UINT32_C(1000)

struct sleeper {
	kc_coro_t coro;
	_Atomic uint32_t flags;
};

/* What some operations cost. */
struct cost {
	uint64_t steps, times, most;
};

struct crowd {
	kc_sched_t *sched;
	struct sleeper *sleepers;
	uint64_t random;
	struct cost add, take;
	unsigned unseen; /* changes since the whole heap was looked at */
	unsigned every;	 /* which is done after so many */
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
	c->every = NOW_AND_THEN;
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

/* ---- the heap from outside ------------------------------------------------------ */

static uint32_t rank_of(const struct kci_timer *t)
{
	return t ? t->rank : 0;
}

/* The one after t, parents first; without recursion, since a left spine may be long. */
static const struct kci_timer *walk_on(const struct kci_timer *t)
{
	if (t->left || t->right)
		return t->left ? t->left : t->right;
	while (t->parent && (t->parent->right == t || !t->parent->right))
		t = t->parent;
	return t->parent ? t->parent->right : NULL;
}

static void look_at_all(struct crowd *c)
{
	const struct kci_timer *t = c->sched->timers;
	uint64_t n = 0;

	assert_true(!t || !t->parent);
	for (; t; t = walk_on(t)) {
		/* a circle would not end by itself */
		assert_true(++n <= pending(c));
		assert_non_null(t->flags);
		assert_true(!t->left || t->left->parent == t);
		assert_true(!t->right || t->right->parent == t);
		assert_true(!t->parent || t->parent->deadline <= t->deadline);
		assert_true(rank_of(t->left) >= rank_of(t->right));
		assert_int_equal(t->rank, rank_of(t->right) + 1);
	}
	assert_true(n == pending(c));
	c->unseen = 0;
}

static void look_now_and_then(struct crowd *c)
{
	if (++c->unseen >= c->every)
		look_at_all(c);
}

static unsigned right_spine(const struct kci_timer *t)
{
	unsigned n = 0;

	for (; t; t = t->right)
		n++;
	return n;
}

static void count(struct cost *cost, unsigned steps)
{
	cost->steps += steps;
	cost->times++;
	if (steps > cost->most)
		cost->most = steps;
}

static void judge(struct cost *cost, const char *what, const char *how, unsigned each)
{
	if (!cost->times)
		return;
	printf("# %s: %s in %.1f steps each, at most %" PRIu64 " at once\n", what, how,
	       (double)cost->steps / (double)cost->times, cost->most);
	assert_true(cost->most <= (uint64_t)each * LOG2);
	*cost = (struct cost){ 0 };
}

/* All that was counted since the last time. The right spine of n is log2(n + 1) long at most:
 * one is melded with an alarm that is added, and two when one is taken out, after which as
 * many ranks may change as a third one has. */
static void judge_steps(struct crowd *c, const char *what)
{
	judge(&c->add, what, "added", 1);
	judge(&c->take, what, "taken out", 3);
	look_at_all(c);
}

/* ---- alarms ---------------------------------------------------------------------- */

static void arm(struct crowd *c, unsigned i, uint64_t deadline)
{
	struct sleeper *s = &c->sleepers[i];
	unsigned steps = 0;

	assert_int_equal(atomic_load(&s->flags), 0);
	assert_true(kci_coro_alarm_set(&s->coro, &s->flags, deadline));
	for (const struct kci_timer *t = &s->coro.timer; t; t = t->parent) {
		assert_true(steps <= LOG2);
		steps++;
	}
	count(&c->add, steps);
	look_now_and_then(c);
}

static void disarm(struct crowd *c, unsigned i)
{
	const struct kci_timer *t = &c->sleepers[i].coro.timer;
	struct kci_timer *above[LOG2], *up;
	uint32_t ranks[LOG2], rank = 0;
	unsigned n = 0, steps;

	/* what was not set, or was raised already, costs nothing */
	if (!t->flags) {
		kci_coro_alarm_clear(&c->sleepers[i].coro);
		return;
	}
	steps = right_spine(t->left) + right_spine(t->right);
	for (up = t->parent; up && n < LOG2; up = up->parent) {
		above[n] = up;
		ranks[n++] = up->rank;
	}
	/* whoever comes as far as that puts it right */
	if (up) {
		rank = up->rank;
		up->rank = WRONG_RANK;
	}
	kci_coro_alarm_clear(&c->sleepers[i].coro);
	if (up) {
		assert_int_equal(up->rank, WRONG_RANK);
		up->rank = rank;
	}
	for (unsigned k = 0; k < n; k++) {
		steps++;
		if (above[k]->rank == ranks[k])
			break;
	}
	count(&c->take, steps);
	look_now_and_then(c);
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
		count(&c->take, right_spine(t->left) + right_spine(t->right));
		assert_int_equal(kci_timers_run(c->sched, deadline), 1);
		assert_int_equal(atomic_load(flags), KCI_EXPIRED);
		look_now_and_then(c);
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
	judge_steps(c, "cancelled in any order");
	assert_true(pending(c) == N - N / 2);
	assert_true(fire_all(c) == N - N / 2);
	judge_steps(c, "raised");
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
	judge_steps(c, "first come, first raised");
}

static void in_the_opposite_order(void **state)
{
	struct crowd *c = *state;

	unsigned *order = shuffled(c);

	for (unsigned i = N; i-- > 0;)
		arm(c, i, FAR + i);
	assert_true(fire_all(c) == N);
	judge_steps(c, "last come, first raised");
	/* one below the other, far down */
	for (unsigned i = N; i-- > 0;) {
		atomic_store(&c->sleepers[i].flags, 0);
		arm(c, i, FAR + i);
	}
	for (unsigned i = 0; i < N / 2; i++)
		disarm(c, order[i]);
	judge_steps(c, "cancelled from a long spine");
	assert_true(fire_all(c) == N - N / 2);
	judge_steps(c, "raised after that");
	free(order);
}

static void at_the_same_moment(void **state)
{
	struct crowd *c = *state;

	for (unsigned i = 0; i < N; i++)
		arm(c, i, FAR);
	assert_int_equal(kci_timers_run(c->sched, FAR - 1), 0);
	look_at_all(c);
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
	judge_steps(c, "come and gone, later and later");
	for (unsigned i = 0; i < N; i++) {
		unsigned which = (unsigned)(kct_random(&c->random) % N);

		disarm(c, which);
		/* no two the same: the lower digits are its own */
		arm(c, which, FAR + next + (kct_random(&c->random) % N) * N + which);
	}
	judge_steps(c, "come and gone, in any order");
	/* the last to come is the first to go */
	for (unsigned i = 0; i < N / 2; i++)
		disarm(c, i);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < N / 20; i++)
			arm(c, i, FAR + i);
		for (unsigned i = N / 20; i-- > 0;)
			disarm(c, i);
	}
	judge_steps(c, "come and gone at once");
	assert_true(fire_all(c) == N - N / 2);
	judge_steps(c, "raised in the end");
}

/* The shapes that come about among a few are many, and each is looked at. */
static void a_few_at_every_step(void **state)
{
	struct crowd *c = *state;
	unsigned few = 1, which;

	c->every = 1;
	for (unsigned step = 0; step < 30000; step++) {
		if (step % 300 == 0)
			few = 1 + (unsigned)(kct_random(&c->random) % 100);
		which = (unsigned)(kct_random(&c->random) % few);
		if (c->sleepers[which].coro.timer.flags) {
			disarm(c, which);
		} else {
			atomic_store(&c->sleepers[which].flags, 0);
			arm(c, which, FAR + kct_random(&c->random) % 50);
		}
		if (step % 100 == 0) {
			kci_timers_run(c->sched, FAR + kct_random(&c->random) % 50);
			look_at_all(c);
		}
	}
	judge_steps(c, "among a few");
	kci_timers_run(c->sched, FAR + 50);
	assert_true(pending(c) == 0);
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
		CASE(a_few_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
