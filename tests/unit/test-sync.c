/* SPDX-License-Identifier: BSD-3-Clause */
/* Futexes, conditions and threads. */
#include <errno.h>
#include <limits.h>
#include <signal.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

static void a_futex_that_differs_does_not_wait(void **state)
{
	_Atomic uint32_t word = 1;

	assert_int_equal(kci_futex_wait(&word, 0, KC_NEVER), 0);
}

static void a_futex_wait_ends_at_its_deadline(void **state)
{
	_Atomic uint32_t word = 0;
	uint64_t deadline = kci_deadline_from_ms(KCT_SHORT_MS);
	int r;

	errno = 4711;
	do
		r = kci_futex_wait(&word, 0, deadline);
	while (r == 0);
	assert_int_equal(r, -ETIMEDOUT);
	assert_true(kci_clock_now() >= deadline);
	assert_int_equal(errno, 4711);
	/* one that has passed already does not wait at all */
	assert_int_equal(kci_futex_wait(&word, 0, 1), -ETIMEDOUT);
}

struct relay {
	_Atomic uint32_t word;
	uint32_t turns;
};

static long relay_main(void *arg)
{
	struct relay *r = arg;

	/* even: mine; odd: theirs */
	for (uint32_t i = 0; i < r->turns; i++) {
		uint32_t v;

		while ((v = atomic_load(&r->word)) != 2 * i)
			(void)kci_futex_wait(&r->word, v, KC_NEVER);
		atomic_store(&r->word, 2 * i + 1);
		kci_futex_wake(&r->word, INT_MAX);
	}
	return r->turns;
}

static void two_threads_take_turns_by_a_futex(void **state)
{
	struct relay r = { .turns = 2000 };
	struct kct_call call;

	kct_call_start(&call, relay_main, &r);
	for (uint32_t i = 0; i < r.turns; i++) {
		uint32_t v;

		while ((v = atomic_load(&r.word)) != 2 * i + 1)
			(void)kci_futex_wait(&r.word, v, KC_NEVER);
		atomic_store(&r.word, 2 * i + 2);
		kci_futex_wake(&r.word, INT_MAX);
	}
	assert_int_equal(kct_call_join(&call), r.turns);
}

static void a_condition_ends_at_its_deadline(void **state)
{
	KC_MUTEX_T lock = KC_MUTEX_INITIALIZER;
	KC_COND_T cond;
	uint64_t deadline = kci_deadline_from_ms(KCT_SHORT_MS);
	int r;

	KC_COND_INIT(&cond);
	KC_MUTEX_LOCK(&lock);
	do
		r = KC_COND_TIMEDWAIT_ABS(&cond, &lock, deadline);
	while (r == 0);
	KC_MUTEX_UNLOCK(&lock);
	assert_int_equal(r, -ETIMEDOUT);
	assert_true(kci_clock_now() >= deadline);
	KC_COND_DESTROY(&cond);
	KC_MUTEX_DESTROY(&lock);
}

struct box {
	KC_MUTEX_T lock;
	KC_COND_T cond;
	int value;
};

static long box_main(void *arg)
{
	struct box *b = arg;

	KC_MUTEX_LOCK(&b->lock);
	b->value = 1;
	KC_COND_SIGNAL(&b->cond);
	while (b->value != 2)
		KC_COND_WAIT(&b->cond, &b->lock);
	KC_MUTEX_UNLOCK(&b->lock);
	return 5;
}

static void a_condition_passes_a_value_both_ways(void **state)
{
	struct box b = { .value = 0 };
	struct kct_call call;

	KC_MUTEX_INIT(&b.lock);
	KC_COND_INIT(&b.cond);
	kct_call_start(&call, box_main, &b);
	KC_MUTEX_LOCK(&b.lock);
	while (b.value != 1)
		assert_int_equal(KC_COND_TIMEDWAIT_ABS(&b.cond, &b.lock,
						       kci_deadline_from_ms(LONG_MAX)),
				 0);
	b.value = 2;
	KC_COND_BROADCAST(&b.cond);
	KC_MUTEX_UNLOCK(&b.lock);
	assert_int_equal(kct_call_join(&call), 5);
	KC_COND_DESTROY(&b.cond);
	KC_MUTEX_DESTROY(&b.lock);
}

static void *mask_main(void *arg)
{
	sigset_t *mask = arg;

	(void)pthread_sigmask(SIG_SETMASK, NULL, mask);
	return NULL;
}

static void a_thread_takes_no_signals_from_its_host(void **state)
{
	sigset_t before, after, inside;
	KC_THREAD_T thread;

	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	assert_int_equal(kci_thread_start(&thread, mask_main, &inside), 0);
	kci_thread_join(thread);
	assert_int_equal(sigismember(&inside, SIGTERM), 1);
	assert_int_equal(sigismember(&inside, SIGALRM), 1);
	assert_int_equal(sigismember(&inside, SIGUSR1), 1);
	/* but its own faults reach the host's handlers */
	assert_int_equal(sigismember(&inside, SIGSEGV), 0);
	assert_int_equal(sigismember(&inside, SIGBUS), 0);
	assert_int_equal(sigismember(&inside, SIGABRT), 0);
	/* and the starter's mask is as it was */
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

static void *self_main(void *arg)
{
	return kci_thread_is_self(*(KC_THREAD_T *)arg) ? arg : NULL;
}

static void a_thread_knows_itself(void **state)
{
	KC_THREAD_T self = kci_thread_self();
	pthread_t other;
	void *r;

	assert_true(kci_thread_is_self(self));
	assert_int_equal(pthread_create(&other, NULL, self_main, &self), 0);
	assert_int_equal(pthread_join(other, &r), 0);
	assert_null(r);
}

static void cancellation_is_held_off_and_comes_back(void **state)
{
	int saved = kci_thread_nocancel();
	int inner = kci_thread_nocancel();
	int now;

	assert_int_equal(saved, PTHREAD_CANCEL_ENABLE);
	assert_int_equal(inner, PTHREAD_CANCEL_DISABLE);
	kci_thread_nocancel_end(inner);
	assert_int_equal(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &now), 0);
	assert_int_equal(now, PTHREAD_CANCEL_DISABLE);
	kci_thread_nocancel_end(saved);
	assert_int_equal(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &now), 0);
	assert_int_equal(now, PTHREAD_CANCEL_ENABLE);
}

static int once_calls;

static void once_fn(void)
{
	once_calls++;
}

static void once_is_once(void **state)
{
	static KC_ONCE_T once = KC_ONCE_INIT;

	KC_ONCE(&once, once_fn);
	KC_ONCE(&once, once_fn);
	assert_int_equal(once_calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_futex_that_differs_does_not_wait),
		KCT_TEST(a_futex_wait_ends_at_its_deadline),
		KCT_TEST(two_threads_take_turns_by_a_futex),
		KCT_TEST(a_condition_ends_at_its_deadline),
		KCT_TEST(a_condition_passes_a_value_both_ways),
		KCT_TEST(a_thread_takes_no_signals_from_its_host),
		KCT_TEST(a_thread_knows_itself),
		KCT_TEST(cancellation_is_held_off_and_comes_back),
		KCT_TEST(once_is_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
