/* SPDX-License-Identifier: BSD-3-Clause */
/* Coroutines beside one another: whose turn it is, and those that sleep. */
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

/* ---- turns ------------------------------------------------------------------ */

static char order[64];
static size_t n_order;

static long take_turns(void *arg)
{
	for (int i = 0; i < 3; i++) {
		order[n_order++] = *(const char *)arg;
		kc_yield();
	}
	return 0;
}

static long spawn_turns(void *arg)
{
	static char letters[] = "abc";
	kc_coro_t *co[3];

	for (int i = 0; i < 3; i++)
		if (kc_spawn(&co[i], NULL, take_turns, &letters[i]) < 0)
			return __LINE__;
	for (int i = 0; i < 3; i++)
		if (kc_join(co[i], NULL, -1) < 0)
			return __LINE__;
	return 0;
}

static void those_that_yield_take_turns(void **state)
{
	kc_sched_t *s = kct_sched_make(1);

	memset(order, 0, sizeof(order));
	n_order = 0;
	assert_int_equal(kct_coro_join(kct_coro_spawn(s, spawn_turns, NULL)), 0);
	assert_string_equal(order, "abcabcabc");
	kct_sched_unmake(s);
}

struct hogs {
	kc_chan_t *to, *from;
	_Atomic bool stop;
	uint64_t trips;
};

static long hog_echo(void *arg)
{
	struct hogs *h = arg;
	uint64_t v;

	while (kc_chan_recv(h->to, &v, -1) == 0)
		if (kc_chan_send(h->from, &v, -1) < 0)
			break;
	return 0;
}

static long stop_hogs(void *arg)
{
	struct hogs *h = arg;

	atomic_store(&h->stop, true);
	return 0;
}

static long hog(void *arg)
{
	struct hogs *h = arg;
	uint64_t v = 0;

	/* never gets a turn if the two hand over to each other for ever */
	if (kc_spawn(NULL, NULL, stop_hogs, h) < 0)
		return __LINE__;
	while (!atomic_load(&h->stop)) {
		if (kc_chan_send(h->to, &v, -1) < 0 || kc_chan_recv(h->from, &v, -1) < 0)
			return __LINE__;
		h->trips++;
	}
	kc_chan_close(h->to);
	return 0;
}

static void partners_do_not_starve_the_others(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	struct hogs h = { 0 };
	kc_coro_t *co[2];

	assert_int_equal(kc_chan_make(&h.to, KC_RENDEZVOUS, 8, 0), 0);
	assert_int_equal(kc_chan_make(&h.from, KC_RENDEZVOUS, 8, 0), 0);
	co[0] = kct_coro_spawn(s, hog_echo, &h);
	co[1] = kct_coro_spawn(s, hog, &h);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kct_coro_join(co[i]), 0);
	kc_chan_destroy(h.to);
	kc_chan_destroy(h.from);
	kct_sched_unmake(s);
}

/* Wakes a partner and then does not stop until that one has run: on the pool another worker
 * has to take it out of the slot. */
static long wake_and_compute(void *arg)
{
	struct hogs *h = arg;
	uint64_t v = 1;

	if (kc_chan_send(h->to, &v, -1) < 0)
		return __LINE__;
	while (!atomic_load(&h->stop))
		;
	return 0;
}

static long be_woken(void *arg)
{
	struct hogs *h = arg;
	uint64_t v;

	if (kc_chan_recv(h->to, &v, -1) < 0)
		return __LINE__;
	return stop_hogs(h);
}

static void a_busy_worker_does_not_keep_a_woken_one(void **state)
{
	kc_sched_t *s = kct_sched_make(2);
	struct hogs h = { 0 };
	kc_coro_t *co[2];

	assert_int_equal(kc_chan_make(&h.to, KC_RENDEZVOUS, 8, 0), 0);
	co[0] = kct_coro_spawn(s, be_woken, &h);
	kct_chan_wait_for(h.to, 0, 1);
	co[1] = kct_coro_spawn(s, wake_and_compute, &h);
	assert_int_equal(kct_coro_join(co[0]), 0);
	assert_int_equal(kct_coro_join(co[1]), 0);
	kc_chan_destroy(h.to);
	kct_sched_unmake(s);
}

/* ---- time ------------------------------------------------------------------- */

static long sleep_long(void *arg)
{
	uint64_t start = kc_sched_now();

	if (kc_sleep_ms(KCT_SHORT_MS) != 0)
		return __LINE__;
	return kc_sched_now() - start >= KCT_SHORT_MS * KC_NS_PER_MS ? 0 : __LINE__;
}

static void coroutines_and_threads_sleep(void **state)
{
	kc_sched_t *s = kct_sched_make(2);
	kc_cancel_t *set;
	kc_coro_t *co[20];

	for (int i = 0; i < 20; i++)
		co[i] = kct_coro_spawn(s, sleep_long, NULL);
	assert_int_equal(sleep_long(NULL), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(kct_coro_join(co[i]), 0);
	assert_int_equal(kct_sched_stats(s).timers, 0);
	assert_int_equal(kc_sleep_ms(0), 0);
	assert_int_equal(kc_cancel_init(&set), 0);
	kc_cancel_trigger(set);
	assert_int_equal(kc_sleep_ms_c(-1, set), KC_ECANCELED);
	kc_cancel_destroy(set);
	kct_sched_unmake(s);
}

/* The worker that sets the alarm is not the one that sleeps until the next deadline. */
static void one_sleeps_on_a_pool_at_rest(void **state)
{
	kc_sched_t *s = kct_sched_make(2);

	for (int i = 0; i < 30; i++)
		assert_int_equal(kct_coro_join(kct_coro_spawn(s, sleep_long, NULL)), 0);
	kct_sched_unmake(s);
}

static long sleep_until_cancelled(void *arg)
{
	return kc_sleep_ms_c(-1, arg) == KC_ECANCELED ? 0 : __LINE__;
}

static void a_sleeping_coroutine_is_cancelled(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	kc_cancel_t *stop;
	kc_coro_t *co;

	assert_int_equal(kc_cancel_init(&stop), 0);
	co = kct_coro_spawn(s, sleep_until_cancelled, stop);
	kc_cancel_trigger(stop);
	assert_int_equal(kct_coro_join(co), 0);
	kc_cancel_destroy(stop);
	kct_sched_unmake(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(those_that_yield_take_turns),
		KCT_TEST(partners_do_not_starve_the_others),
		KCT_TEST(a_busy_worker_does_not_keep_a_woken_one),
		KCT_TEST(coroutines_and_threads_sleep),
		KCT_TEST(one_sleeps_on_a_pool_at_rest),
		KCT_TEST(a_sleeping_coroutine_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
