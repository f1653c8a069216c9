/* SPDX-License-Identifier: BSD-3-Clause */
/* Schedulers under load: storms of park and unpark, bursts, many timers, rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

/* ThreadSanitizer stands only so many coroutines at a time, and slows everything down. */
#define MANY   (KCI_TSAN ? 3000u : KCI_ASAN ? 20000u : 100000u)
#define STORMS (KCI_TSAN ? 3000u : 20000u)

/* ---- storms ----------------------------------------------------------------- */

/* A place where one parks and others unpark, as in test-waiter, but each side may be a
 * coroutine or a thread. */
struct swap {
	pthread_mutex_t lock;
	struct kci_waiter *waiting;
	bool over;
	uint64_t seed;
	unsigned rounds;
	_Atomic long unparked;
};

static long parker(void *arg)
{
	struct swap *s = arg;
	uint64_t random = s->seed;
	long completed = 0;

	for (unsigned i = 0; i < s->rounds; i++) {
		uint64_t wait = kct_random(&random) % 30000;
		struct kci_waiter w;
		bool found;

		kci_waiter_init(&w);
		pthread_mutex_lock(&s->lock);
		s->waiting = &w;
		pthread_mutex_unlock(&s->lock);
		/* one in four without a deadline */
		if (kci_waiter_park(&w, wait % 4 ? kci_clock_now() + wait : KC_NEVER, NULL) == 0) {
			completed++;
			continue;
		}
		pthread_mutex_lock(&s->lock);
		found = s->waiting != &w;
		if (!found)
			s->waiting = NULL;
		pthread_mutex_unlock(&s->lock);
		if (found) {
			kci_waiter_await(&w);
			completed++;
		}
	}
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_mutex_unlock(&s->lock);
	return completed;
}

static long unparker(void *arg)
{
	struct swap *s = arg;
	bool over = false;

	while (!over) {
		struct kci_waiter *w;

		pthread_mutex_lock(&s->lock);
		w = KC_STEAL(s->waiting);
		over = s->over;
		pthread_mutex_unlock(&s->lock);
		if (w) {
			kci_waiter_unpark(w);
			atomic_fetch_add(&s->unparked, 1);
		}
		kc_yield();
	}
	return 0;
}

#define SWAPS 4

static void storm(unsigned workers, bool thread_unparks)
{
	kc_sched_t *sched = kct_sched_make(workers);
	struct swap swaps[SWAPS];
	kc_coro_t *parkers[SWAPS], *unparkers[SWAPS];
	struct kct_call threads[SWAPS];
	uint64_t seed = kct_seed();

	for (int i = 0; i < SWAPS; i++) {
		swaps[i] = (struct swap){ .lock = PTHREAD_MUTEX_INITIALIZER,
					  .seed = kct_random(&seed),
					  .rounds = STORMS / SWAPS };
		assert_int_equal(kc_spawn(&parkers[i], sched, parker, &swaps[i]), 0);
		if (thread_unparks)
			kct_call_start(&threads[i], unparker, &swaps[i]);
		else
			assert_int_equal(kc_spawn(&unparkers[i], sched, unparker, &swaps[i]), 0);
	}
	for (int i = 0; i < SWAPS; i++) {
		long completed;

		assert_int_equal(kc_join(parkers[i], &completed, KCT_PATIENCE_MS), 0);
		if (thread_unparks)
			assert_int_equal(kct_call_join(&threads[i]), 0);
		else
			assert_int_equal(kc_join(unparkers[i], NULL, KCT_PATIENCE_MS), 0);
		assert_int_equal(completed, atomic_load(&swaps[i].unparked));
	}
	assert_int_equal(kct_sched_stats(sched).timers, 0);
	kct_sched_unmake(sched);
}

static void no_wake_up_is_lost_among_coroutines(void **state)
{
	storm(1, false);
	storm(2, false);
	storm(4, false);
}

static void no_wake_up_is_lost_between_threads_and_coroutines(void **state)
{
	storm(1, true);
	storm(3, true);
}

/* ---- channels, both kinds of callers ---------------------------------------- */

struct traffic {
	kc_chan_t *ch;
	unsigned n;
	_Atomic uint64_t sum;
};

static long sender(void *arg)
{
	struct traffic *t = arg;

	for (uint64_t i = 1; i <= t->n; i++)
		if (kc_chan_send(t->ch, &i, -1) != 0)
			return __LINE__;
	return 0;
}

static long receiver(void *arg)
{
	struct traffic *t = arg;
	uint64_t v;
	int r;

	while ((r = kc_chan_recv(t->ch, &v, -1)) == 0)
		atomic_fetch_add(&t->sum, v);
	return r == KC_EPIPE ? 0 : r;
}

static void traffic(enum kc_kind kind, size_t capacity, unsigned workers)
{
	struct traffic t = { .n = STORMS / 4 };
	kc_sched_t *s = kct_sched_make(workers);
	struct kct_call threads[2];
	kc_coro_t *tx[3], *rx[3];
	uint64_t each = (uint64_t)t.n * (t.n + 1) / 2;

	assert_int_equal(kc_chan_make(&t.ch, kind, 8, capacity), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kc_spawn(&rx[i], s, receiver, &t), 0);
		assert_int_equal(kc_spawn(&tx[i], s, sender, &t), 0);
	}
	kct_call_start(&threads[0], sender, &t);
	kct_call_start(&threads[1], receiver, &t);
	for (int i = 0; i < 3; i++) {
		long r;

		assert_int_equal(kc_join(tx[i], &r, KCT_PATIENCE_MS), 0);
		assert_int_equal(r, 0);
	}
	assert_int_equal(kct_call_join(&threads[0]), 0);
	kc_chan_close(t.ch);
	for (int i = 0; i < 3; i++) {
		long r;

		assert_int_equal(kc_join(rx[i], &r, KCT_PATIENCE_MS), 0);
		assert_int_equal(r, 0);
	}
	assert_int_equal(kct_call_join(&threads[1]), 0);
	assert_true(atomic_load(&t.sum) == 4 * each);
	kc_chan_destroy(t.ch);
	kct_sched_unmake(s);
}

static void threads_and_coroutines_share_channels(void **state)
{
	for (unsigned workers = 1; workers <= 3; workers++) {
		traffic(KC_RENDEZVOUS, 0, workers);
		traffic(KC_BUFFERED, 7, workers);
	}
}

/* ---- numbers ---------------------------------------------------------------- */

static long until_closed(void *arg)
{
	uint64_t v;

	return kc_chan_recv(arg, &v, -1) == KC_EPIPE ? 0 : __LINE__;
}

static long end_at_once(void *arg)
{
	(void)arg;
	return 0;
}

/* Nobody joins them: it is for a worker to give back what is too much, once it has time. */
static void a_burst_of_detached_ones_leaves_what_is_to_be_kept(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;

	o.flags = KC_SCHED_DETERMINISTIC;
	o.warm_stacks = 100;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(kc_spawn(NULL, s, end_at_once, NULL), 0);
	assert_int_equal(kc_sched_run(s), 0);
	assert_int_equal(kct_sched_stats(s).ended, 3000);
	assert_in_range(kct_sched_stats(s).stacks_used + kct_sched_stats(s).stacks_warm, 1, 100);
	assert_int_equal(kc_sched_destroy(s), 0);
}

static void very_many_park_at_a_time(void **state)
{
	kc_sched_t *s = kct_sched_make(2);
	kc_coro_t **co = calloc(MANY, sizeof(*co));
	kc_chan_t *ch;

	assert_non_null(co);
	assert_int_equal(kc_chan_make(&ch, KC_RENDEZVOUS, 8, 0), 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(kc_spawn(&co[i], s, until_closed, ch), 0);
	kc_chan_close(ch);
	for (unsigned i = 0; i < MANY; i++) {
		long r;

		assert_int_equal(kc_join(co[i], &r, KCT_PATIENCE_MS), 0);
		assert_int_equal(r, 0);
	}
	/* the burst is over: what is kept is what was asked for */
	assert_true(kct_sched_stats(s).stacks_used + kct_sched_stats(s).stacks_warm <=
		    2 * KC_STACKS_WARM);
	free(co);
	kc_chan_destroy(ch);
	kct_sched_unmake(s);
}

static long nothing(void *arg)
{
	return 0;
}

static long spawn_many(void *arg)
{
	unsigned batches = MANY / 100;
	kc_coro_t *co[1000];

	for (unsigned b = 0; b < batches; b++) {
		for (unsigned i = 0; i < KC_ARRAY_SIZE(co); i++)
			if (kc_spawn(&co[i], NULL, nothing, NULL) < 0)
				return __LINE__;
		for (unsigned i = 0; i < KC_ARRAY_SIZE(co); i++)
			if (kc_join(co[i], NULL, -1) < 0)
				return __LINE__;
	}
	return 0;
}

/* a million, where no sanitizer is in the way */
static void a_million_are_spawned_without_growth(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		kc_sched_t *s = kct_sched_make(workers);
		kc_coro_t *co;
		long r;

		assert_int_equal(kc_spawn(&co, s, spawn_many, NULL), 0);
		assert_int_equal(kc_join(co, &r, -1), 0);
		assert_int_equal(r, 0);
		assert_int_equal(kct_sched_stats(s).spawned, (uint64_t)(MANY / 100) * 1000 + 1);
		assert_int_equal(kct_sched_stats(s).ended, kct_sched_stats(s).spawned);
		/* never more than a batch in use at one time, plus what the workers keep */
		assert_true(kct_sched_stats(s).stacks <= 1001 + 2 * KC_STACKS_WARM);
		kct_sched_unmake(s);
	}
}

/* ---- time ------------------------------------------------------------------- */

struct sleeper {
	uint64_t wait; /* ns */
	uint64_t late;
	kc_cancel_t *token;
};

static long sleeper(void *arg)
{
	struct sleeper *sl = arg;
	uint64_t due = kci_clock_now() + sl->wait;
	struct kci_waiter w;
	int r;

	kci_waiter_init(&w);
	r = kci_waiter_park(&w, due, sl->token);
	if (r == KC_ECANCELED)
		return 1;
	if (r != KC_ETIME || kci_clock_now() < due)
		return -1;
	return 0;
}

static void deadlines_come_in_any_number_and_order(void **state)
{
	enum { N = 2000 };
	static struct sleeper sl[N];
	static kc_coro_t *co[N];
	uint64_t random = kct_seed();

	for (unsigned workers = 1; workers <= 2; workers++) {
		kc_sched_t *s = kct_sched_make(workers);
		unsigned cancelled = 0;
		kc_cancel_t *token;

		assert_int_equal(kc_cancel_init(&token), 0);
		for (int i = 0; i < N; i++) {
			/* every third would sleep for an hour, and is cancelled */
			sl[i].token = i % 3 == 0 ? token : NULL;
			sl[i].wait = i % 3 == 0 ? 3600 * KC_NS_PER_SEC
						: kct_random(&random) % (20 * KC_NS_PER_MS);
			assert_int_equal(kc_spawn(&co[i], s, sleeper, &sl[i]), 0);
		}
		for (int i = 0; i < N; i++) {
			long r;

			if (i == N / 2)
				kc_cancel_trigger(token);
			if (i % 3 == 0 && i < N / 2)
				continue;
			assert_int_equal(kc_join(co[i], &r, KCT_PATIENCE_MS), 0);
			assert_int_equal(r, i % 3 == 0);
			cancelled += r == 1;
		}
		for (int i = 0; i < N / 2; i += 3) {
			long r;

			assert_int_equal(kc_join(co[i], &r, KCT_PATIENCE_MS), 0);
			assert_int_equal(r, 1);
		}
		assert_true(cancelled > 0);
		assert_int_equal(kct_sched_stats(s).timers, 0);
		kc_cancel_destroy(token);
		kct_sched_unmake(s);
	}
}

/* ---- rest ------------------------------------------------------------------- */

static long yield_some(void *arg)
{
	for (int i = 0; i < 1000; i++)
		kc_yield();
	return 0;
}

static void a_pool_at_rest_does_not_wake(void **state)
{
	kc_sched_t *s = kct_sched_make(3);
	uint64_t deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	struct kc_sched_stats before, after;
	struct kci_waiter w;

	for (int i = 0; i < 20; i++)
		assert_int_equal(kc_spawn(NULL, s, yield_some, NULL), 0);
	assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
	/* a watcher may look once more; a wait of this thread is as good as any */
	do {
		before = kct_sched_stats(s);
		kci_waiter_init(&w);
		assert_int_equal(kci_waiter_park(&w, kci_deadline_from_ms(100), NULL), KC_ETIME);
		after = kct_sched_stats(s);
	} while ((after.idle != 3 || after.sleeps != before.sleeps) && kci_clock_now() < deadline);
	before = after;
	assert_int_equal(before.idle, 3);
	kci_waiter_init(&w);
	assert_int_equal(kci_waiter_park(&w, kci_deadline_from_ms(1000), NULL), KC_ETIME);
	after = kct_sched_stats(s);
	assert_int_equal(after.sleeps, before.sleeps);
	assert_int_equal(after.switches, before.switches);
	kct_sched_unmake(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(no_wake_up_is_lost_among_coroutines),
		KCT_TEST(no_wake_up_is_lost_between_threads_and_coroutines),
		KCT_TEST(threads_and_coroutines_share_channels),
		KCT_TEST(a_burst_of_detached_ones_leaves_what_is_to_be_kept),
		KCT_TEST(very_many_park_at_a_time),
		KCT_TEST(a_million_are_spawned_without_growth),
		KCT_TEST(deadlines_come_in_any_number_and_order),
		KCT_TEST(a_pool_at_rest_does_not_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
