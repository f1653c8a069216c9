/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Conditions on the monotonic clock, and threads.
 *
 * pthread_cond_wait() is a cancellation point; a kc_ call must not be one, so
 * cancellation is held off around it.
 */
#include "libkcoro-client/port/kcoro_port.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

void kci_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	/* none of these allocates or fails on Linux for a clock that exists */
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void kci_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	int saved = kci_thread_nocancel();

	(void)pthread_cond_wait(cond, mutex);
	kci_thread_nocancel_end(saved);
}

int kci_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline / KC_NS_PER_SEC),
		.tv_nsec = (long)(deadline % KC_NS_PER_SEC),
	};
	int saved, r;

	if (deadline == KC_NEVER) {
		kci_cond_wait(cond, mutex);
		return 0;
	}
	saved = kci_thread_nocancel();
	r = pthread_cond_timedwait(cond, mutex, &ts);
	kci_thread_nocancel_end(saved);
	return r == ETIMEDOUT ? -ETIMEDOUT : 0;
}

int kci_thread_start(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	/* faults stay deliverable: a host's crash reporter must see ours as well */
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t mask, saved;
	int r;

	(void)sigfillset(&mask);
	for (size_t i = 0; i < KC_ARRAY_SIZE(faults); i++)
		(void)sigdelset(&mask, faults[i]);
	(void)pthread_sigmask(SIG_BLOCK, &mask, &saved);
	r = pthread_create(ret, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -r;
}

void kci_thread_join(pthread_t thread)
{
	int saved = kci_thread_nocancel();

	(void)pthread_join(thread, NULL);
	kci_thread_nocancel_end(saved);
}

void kci_thread_detach(pthread_t thread)
{
	(void)pthread_detach(thread);
}

pthread_t kci_thread_self(void)
{
	return pthread_self();
}

bool kci_thread_is_self(pthread_t thread)
{
	return pthread_equal(thread, pthread_self()) != 0;
}

int kci_thread_nocancel(void)
{
	int saved = PTHREAD_CANCEL_ENABLE;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &saved);
	return saved;
}

void kci_thread_nocancel_end(int saved)
{
	(void)pthread_setcancelstate(saved, NULL);
}

void kci_thread_yield(void)
{
	(void)sched_yield();
}
