/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coroutines that get in one another's way on two workers end up on one, and are left there for
 * a while. Seen from inside: one coroutine holds its worker and says that it is the one whose
 * thread another crosses.
 */
#include "kcoro.h"
#include "libkcoro-client/port/biased.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/engine.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

#define PATIENCE_NS (20 * KC_NS_PER_SEC)
#define TRIES	    50

struct scene {
	_Atomic(struct kci_worker *) held; /* by the first coroutine */
	_Atomic bool moved, let_go;
	unsigned crossings;
	struct kci_worker *before, *after, *spread;
	uint64_t together, spread_ns; /* until when they are left alone; when that was over */
};

/* A name for the thread of the worker that is held. */
static const char tag;

static bool until(_Atomic bool *what)
{
	uint64_t deadline = kci_clock_now() + PATIENCE_NS;

	while (!atomic_load(what) && kci_clock_now() < deadline)
		kci_relax();
	return atomic_load(what);
}

/* Holds its worker until somebody waits behind it, or it is told to go. */
static long hold(void *arg)
{
	struct scene *s = arg;
	struct kci_worker *w = kci_worker_self();
	uint64_t deadline = kci_clock_now() + PATIENCE_NS;

	atomic_store(&w->bias, &tag);
	atomic_store(&s->held, w);
	while (!atomic_load(&w->slot) && !atomic_load(&s->let_go) && kci_clock_now() < deadline)
		kci_relax();
	return kci_clock_now() < deadline ? 0 : __LINE__;
}

static long cross(void *arg)
{
	struct scene *s = arg;

	s->before = kci_worker_self();
	/* no look at timers in between: this one does not stop */
	s->before->crossings = 0;
	for (unsigned i = 0; i < s->crossings; i++)
		kci_coro_crossed(&tag);
	s->after = kci_worker_self();
	s->together = atomic_load(&s->after->together);
	atomic_store(&s->let_go, true);
	return 0;
}

/* Run the two on a pool of two workers. */
static void meet(struct scene *s, kc_sched_t *sched, kc_coro_fn crosser)
{
	kc_coro_t *first = kct_coro_spawn(sched, hold, s), *second;
	uint64_t deadline = kci_clock_now() + PATIENCE_NS;

	while (!atomic_load(&s->held) && kci_clock_now() < deadline)
		kci_relax();
	assert_non_null(atomic_load(&s->held));
	second = kct_coro_spawn(sched, crosser, s);
	assert_int_equal(kct_coro_join(second), 0);
	assert_int_equal(kct_coro_join(first), 0);
	assert_true(s->before != atomic_load(&s->held));
}

/* The same until the second one has moved. That may fail: when the thread of the first one does
 * not run for a while, the other worker takes back what seems to be stuck behind it. */
static struct scene meet_and_move(kc_sched_t *sched, kc_coro_fn crosser)
{
	for (int i = 0; i < TRIES; i++) {
		struct scene s = { .crossings = KCI_CROSSINGS };

		meet(&s, sched, crosser);
		if (s.after == atomic_load(&s.held))
			return s;
	}
	fail_msg("it has not moved in %d tries", TRIES);
	return (struct scene){ .crossings = 0 };
}

static void who_crosses_often_moves(void **state)
{
	kc_sched_t *sched = kct_sched_make(2);

	(void)state;
	(void)meet_and_move(sched, cross);
	kct_sched_unmake(sched);
}

static void who_crosses_now_and_then_stays(void **state)
{
	struct scene s = { .crossings = KCI_CROSSINGS - 1 };
	kc_sched_t *sched = kct_sched_make(2);

	(void)state;
	meet(&s, sched, cross);
	assert_ptr_equal(s.after, s.before);
	kct_sched_unmake(sched);
}

static long spread(void *arg)
{
	struct scene *s = arg;

	s->spread = kci_worker_self();
	s->spread_ns = kci_clock_now();
	atomic_store(&s->moved, true);
	return 0;
}

static long cross_and_hold(void *arg)
{
	struct scene *s = arg;

	(void)cross(s);
	if (kc_spawn(NULL, NULL, spread, s) < 0)
		return __LINE__;
	return until(&s->moved) ? 0 : __LINE__;
}

/* What waits behind those who moved is left there, but not for ever, though they never stop. */
static void those_who_moved_are_left_alone(void **state)
{
	kc_sched_t *sched = kct_sched_make(2);
	struct scene s = meet_and_move(sched, cross_and_hold);

	(void)state;
	assert_true(s.spread != s.after);
	assert_true(s.spread_ns >= s.together);
	kct_sched_unmake(sched);
}

static long count(void *arg)
{
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
	return 0;
}

static long cross_and_spawn(void *arg)
{
	struct scene *s = arg;
	static _Atomic unsigned n;

	(void)cross(s);
	for (unsigned i = 0; i < 2 * KCI_TOGETHER; i++)
		if (kc_spawn(NULL, NULL, count, &n) < 0)
			return __LINE__;
	if (kc_spawn(NULL, NULL, spread, s) < 0)
		return __LINE__;
	return until(&s->moved) ? 0 : __LINE__;
}

/* Many are real load: somebody takes half of them at once, and the last one at some time. */
static void many_spread_all_the_same(void **state)
{
	kc_sched_t *sched = kct_sched_make(2);
	struct scene s = meet_and_move(sched, cross_and_spawn);

	(void)state;
	assert_true(s.spread != s.after);
	assert_true(kct_sched_stats(sched).steals > 0);
	kct_sched_unmake(sched);
}

/* One worker is nobody's neighbour, and a thread has none. */
static long cross_alone(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 4 * KCI_CROSSINGS; i++)
		kci_coro_crossed(&tag);
	return 0;
}

static void nobody_to_move_to(void **state)
{
	kc_sched_t *sched = kct_sched_make(1);

	(void)state;
	assert_int_equal(kct_coro_join(kct_coro_spawn(sched, cross_alone, NULL)), 0);
	assert_int_equal(cross_alone(NULL), 0);
	kct_sched_unmake(sched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(who_crosses_often_moves),
		KCT_TEST(who_crosses_now_and_then_stays),
		KCT_TEST(those_who_moved_are_left_alone),
		KCT_TEST(many_spread_all_the_same),
		KCT_TEST(nobody_to_move_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
