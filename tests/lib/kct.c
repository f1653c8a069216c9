/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests share: fixtures, helper threads, failing allocations.
 */
#include "tests/lib/kct.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/port/kcoro_port.h"

/* ---- fixtures ------------------------------------------------------------ */

static pthread_mutex_t blocked_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t blocked_cond;
static pthread_once_t blocked_once = PTHREAD_ONCE_INIT;
static int fds_before;
/* The coroutine in kct_wait_until(), if any; guarded by blocked_lock. */
static struct kci_waiter *blocked_waiter;
static kc_sched_t *calls_in;

int kct_fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the folder itself */
}

static void on_block(void)
{
	pthread_mutex_lock(&blocked_lock);
	pthread_cond_broadcast(&blocked_cond);
	/* not for its own parking */
	if (blocked_waiter && blocked_waiter->coro != kc_current())
		kci_waiter_unpark(KC_STEAL(blocked_waiter));
	pthread_mutex_unlock(&blocked_lock);
}

static void blocked_init(void)
{
	kci_cond_init(&blocked_cond);
}

int kct_setup(void **state)
{
	(void)state;
	pthread_once(&blocked_once, blocked_init);
	kci_waiter_set_hook(on_block);
	fds_before = kct_fd_count();
	return fds_before < 0;
}

int kct_teardown(void **state)
{
	int after = kct_fd_count();

	(void)state;
	kci_waiter_set_hook(NULL);
	if (after != fds_before)
		print_error("%d descriptors open before the test, %d after\n", fds_before, after);
	return after != fds_before;
}

/* ---- threads ------------------------------------------------------------- */

static void *call_main(void *arg)
{
	struct kct_call *call = arg;

	call->result = call->fn(call->arg);
	return NULL;
}

void kct_call_start(struct kct_call *call, long (*fn)(void *arg), void *arg)
{
	call->fn = fn;
	call->arg = arg;
	call->result = 0;
	call->coro = NULL;
	if (calls_in) {
		assert_int_equal(kc_spawn(&call->coro, calls_in, fn, arg), 0);
		return;
	}
	assert_int_equal(pthread_create(&call->thread, NULL, call_main, call), 0);
}

void kct_calls_in(kc_sched_t *sched)
{
	calls_in = sched;
}

kc_sched_t *kct_calls_where(void)
{
	return calls_in;
}

long kct_call_join(struct kct_call *call)
{
	if (call->coro) {
		assert_int_equal(kc_join(call->coro, &call->result, -1), 0);
		return call->result;
	}
	assert_int_equal(pthread_join(call->thread, NULL), 0);
	return call->result;
}

void kct_event_set(struct kct_event *event)
{
	pthread_mutex_lock(&event->lock);
	event->happened = true;
	pthread_cond_broadcast(&event->cond);
	pthread_mutex_unlock(&event->lock);
}

void kct_event_wait(struct kct_event *event)
{
	/* what never happens is ended by the time limit of the whole test */
	pthread_mutex_lock(&event->lock);
	while (!event->happened)
		pthread_cond_wait(&event->cond, &event->lock);
	pthread_mutex_unlock(&event->lock);
}

/* The same in a coroutine, whose thread must not block. */
static bool coro_wait_until(bool (*pred)(void *arg), void *arg, uint64_t deadline)
{
	struct kci_waiter waiter;
	bool held;
	int r = 0;

	for (;;) {
		kci_waiter_init(&waiter);
		pthread_mutex_lock(&blocked_lock);
		held = pred(arg);
		blocked_waiter = held || r < 0 ? NULL : &waiter;
		pthread_mutex_unlock(&blocked_lock);
		if (held || r < 0)
			return held;
		r = kci_waiter_park(&waiter, deadline, NULL);
		if (r < 0) {
			bool found;

			pthread_mutex_lock(&blocked_lock);
			found = blocked_waiter != &waiter;
			blocked_waiter = NULL;
			pthread_mutex_unlock(&blocked_lock);
			if (found)
				kci_waiter_await(&waiter);
		}
	}
}

bool kct_wait_until(bool (*pred)(void *arg), void *arg)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	bool held;
	int r = 0;

	if (kc_current())
		return coro_wait_until(pred, arg, deadline);
	pthread_mutex_lock(&blocked_lock);
	while (!(held = pred(arg)) && r == 0)
		r = kci_cond_timedwait(&blocked_cond, &blocked_lock, deadline);
	pthread_mutex_unlock(&blocked_lock);
	return held;
}

/* ---- failing allocations ------------------------------------------------- */

static _Thread_local long alloc_fail_from;
static _Thread_local long alloc_tried;
static _Thread_local bool alloc_watched;

static bool on_alloc(size_t size)
{
	(void)size;
	if (!alloc_watched)
		return false;
	alloc_tried++;
	return alloc_fail_from > 0 && alloc_tried >= alloc_fail_from;
}

void kct_alloc_fail_from(long nth)
{
	alloc_fail_from = nth;
	alloc_tried = 0;
	alloc_watched = true;
	kci_alloc_set_hook(on_alloc);
}

long kct_alloc_fail_end(void)
{
	kci_alloc_set_hook(NULL);
	alloc_watched = false;
	return alloc_tried;
}

/* ---- random numbers ------------------------------------------------------ */

uint64_t kct_seed(void)
{
	const char *given = getenv("KCT_SEED");
	uint64_t seed = 0;
	char *end;

	if (given) {
		errno = 0;
		seed = strtoull(given, &end, 0);
		assert_true(errno == 0 && *given && !*end);
	} else {
		assert_int_equal(kci_random(&seed, sizeof(seed)), 0);
	}
	printf("# KCT_SEED=0x%" PRIx64 "\n", seed);
	fflush(stdout);
	return seed;
}

uint64_t kct_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---- forks --------------------------------------------------------------- */

int kct_in_child(int (*fn)(void *arg), void *arg)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* another thread may have been inside of it, and will never leave here */
		kci_waiter_set_hook(NULL);
		_exit(fn(arg));
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
