/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiters: one word of flags, on which a thread sleeps in a futex or for which a
 * coroutine is parked (core/park.h).
 *
 * A thread says so in the word (KCI_PARKED) before it sleeps, and whoever raises a flag
 * wakes it only then. Before that it tries two things that are far cheaper where the
 * answer comes at once. It looks for a while, which pays if the other one runs on another
 * processor: twice as long the next time if it did, half as long if not. And it yields
 * once, which pays if the other one is ready to run on this very processor; then that
 * comes first, and there is no need to look, until it does not pay any more.
 *
 * Two threads that both sleep answer one another so late that a short look never finds
 * anything, although both would answer at once if neither slept. So now and then one looks
 * for as long as a wake-up takes.
 */
#include "libkcoro-client/core/waiter.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/park.h"

#define LOOKS_LEAST 64u	 /* about a microsecond */
#define LOOKS_MOST  512u
#define LOOKS_PROBE 4096u /* as long as it takes to wake another processor */
#define PROBE_EVERY 64u	  /* waits */
/* To yield is wrong where somebody who has nothing to do with this thread takes the processor
 * for a time slice; then it is not tried for so many waits, more each time. */
#define YIELD_NS    (UINT64_C(50) * 1000)
#define PAUSE_LEAST 16u
#define PAUSE_MOST  65536u

/* What has paid of late, on this thread. */
static _Thread_local struct {
	uint32_t looks;	 /* 0: not known yet */
	uint32_t misses; /* looks in a row that found nothing */
	bool yields;	 /* the last yield paid */
	uint32_t pause;	 /* after the next yield that does not pay */
	uint32_t paused; /* waits until one is tried again */
} habit __attribute__((tls_model("initial-exec")));

static _Atomic(void (*)(void)) park_hook;

void kci_waiter_set_hook(void (*fn)(void))
{
	atomic_store(&park_hook, fn);
}

void kci_waiter_init(struct kci_waiter *w)
{
	atomic_init(&w->flags, 0);
	w->fd = -1;
	w->coro = kci_coro_current();
}

/* Of a thread that polls: who takes PARKED down writes once to its eventfd, which stays until
 * that is done (thread_poll()). */
static void raise_by_fd(struct kci_waiter *w, uint32_t flag)
{
	const uint64_t one = 1;
	int fd = w->fd;
	uint32_t old = atomic_load_explicit(&w->flags, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&w->flags, &old, (old | flag) & ~KCI_PARKED,
						      memory_order_acq_rel, memory_order_relaxed))
		;
	if (old & KCI_PARKED)
		(void)!write(fd, &one, sizeof(one));
}

static void raise_flag(struct kci_waiter *w, uint32_t flag)
{
	_Atomic uint32_t *word = &w->flags;
	kc_coro_t *coro = w->coro;

	if (coro) {
		kci_coro_raise(coro, word, flag);
		return;
	}
	if (w->fd >= 0) {
		raise_by_fd(w, flag);
		return;
	}
	/* with this the owner may leave and the word be gone; waking its address is
	 * harmless then */
	if (atomic_fetch_or_explicit(word, flag, memory_order_acq_rel) & KCI_PARKED)
		kci_futex_wake(word, 1);
}

void kci_waiter_unpark(struct kci_waiter *w)
{
	raise_flag(w, KCI_UNPARKED);
}

static bool is_up(struct kci_waiter *w, uint32_t mask)
{
	return atomic_load_explicit(&w->flags, memory_order_acquire) & mask;
}

bool kci_waiter_is_unparked(struct kci_waiter *w)
{
	return is_up(w, KCI_UNPARKED);
}

void kci_waiter_stir(struct kci_waiter *w)
{
	raise_flag(w, KCI_STIRRED);
}

void kci_waiter_calm(struct kci_waiter *w)
{
	atomic_fetch_and_explicit(&w->flags, ~KCI_STIRRED, memory_order_acquire);
}

static void on_cancel(struct kci_cancel_hook *hook)
{
	raise_flag(KC_CONTAINER_OF(hook, struct kci_waiter, hook), KCI_CANCELLED);
}

static bool look(struct kci_waiter *w, uint32_t mask)
{
	uint32_t known = habit.looks ? habit.looks : LOOKS_MOST / 4;
	uint32_t looks = ++habit.misses % PROBE_EVERY == 0 ? LOOKS_PROBE : known;

	for (uint32_t i = 0; i < looks; i++) {
		if (is_up(w, mask)) {
			habit.looks = known < LOOKS_MOST ? known * 2 : known;
			habit.misses = 0;
			return true;
		}
		kci_relax();
	}
	habit.looks = known > LOOKS_LEAST ? known / 2 : known;
	return false;
}

static bool yield(struct kci_waiter *w, uint32_t mask)
{
	uint64_t begin;

	if (habit.paused > 0) {
		habit.paused--;
		return false;
	}
	begin = kci_clock_now();
	kci_thread_yield();
	if (kci_clock_now() - begin < YIELD_NS && is_up(w, mask)) {
		habit.pause = 0;
		habit.yields = true;
		return true;
	}
	habit.yields = false;
	habit.pause = habit.pause < PAUSE_LEAST	    ? PAUSE_LEAST :
		      habit.pause < PAUSE_MOST / 2 ? habit.pause * 2 :
						      PAUSE_MOST;
	habit.paused = habit.pause;
	return false;
}

/* Sleep until one of the flags in mask is up; 0 or KC_ETIME. */
static int thread_sleep(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	int r = 0;

	if ((habit.yields && yield(w, mask)) || look(w, mask) || yield(w, mask))
		return 0;
	for (;;) {
		uint32_t flags = atomic_load_explicit(&w->flags, memory_order_acquire);

		if (flags & mask)
			return 0;
		/* the flags are looked at once more after the deadline: what was
		 * completed in time wins */
		if (r < 0)
			return KC_ETIME;
		if (!(flags & KCI_PARKED)) {
			flags = atomic_fetch_or_explicit(&w->flags, KCI_PARKED,
							 memory_order_acq_rel);
			if (flags & mask)
				return 0;
			flags |= KCI_PARKED;
		}
		r = kci_futex_wait(&w->flags, flags, deadline);
	}
}

static int __attribute__((noinline))
coro_sleep(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	bool timed = deadline != KC_NEVER;

	if (timed && !kci_coro_alarm_set(w->coro, &w->flags, deadline))
		return atomic_load_explicit(&w->flags, memory_order_acquire) & mask ? 0 : KC_ETIME;
	if (timed)
		mask |= KCI_EXPIRED;
	while (!(atomic_load_explicit(&w->flags, memory_order_acquire) & mask))
		kci_coro_park(w->coro, &w->flags, mask);
	if (timed)
		kci_coro_alarm_clear(w->coro);
	return atomic_load_explicit(&w->flags, memory_order_acquire) & mask & ~KCI_EXPIRED ?
		       0 :
		       KC_ETIME;
}

/* In ppoll(): 0, or a code. */
static int __attribute__((noinline))
thread_poll(struct kci_waiter *w, uint32_t mask, struct kci_fd_wait *fds, size_t n,
		       uint64_t deadline)
{
	struct pollfd p[KCI_POLL_MOST + 1] = { { .fd = w->fd, .events = POLLIN } };
	uint64_t left = kci_deadline_left(deadline), count;
	struct timespec ts = { .tv_sec = (time_t)(left / KC_NS_PER_SEC),
			       .tv_nsec = (long)(left % KC_NS_PER_SEC) };
	int saved = kci_thread_nocancel(), got = 0;
	uint32_t flags;

	for (size_t i = 0; i < n; i++) {
		p[i + 1] = (struct pollfd){ .fd = fds[i].fd, .events = fds[i].events };
		fds[i].came = 0;
	}
	flags = atomic_fetch_or_explicit(&w->flags, KCI_PARKED, memory_order_acq_rel);
	if (!(flags & mask))
		got = ppoll(p, n + 1, deadline == KC_NEVER ? NULL : &ts, NULL);
	for (size_t i = 0; got > 0 && i < n; i++)
		fds[i].came = p[i + 1].revents;
	flags = atomic_fetch_and_explicit(&w->flags, ~KCI_PARKED, memory_order_acq_rel);
	/* somebody else took it down, and writes for certain: after that it is done with w->fd */
	if (!(flags & KCI_PARKED))
		(void)!read(w->fd, &count, sizeof(count));
	kci_thread_nocancel_end(saved);
	if (flags & mask || got > 0)
		return 0;
	return got < 0 && errno != EINTR ? KC_ENOMEM : kci_deadline_left(deadline) > 0 ? 0 : KC_ETIME;
}

static int __attribute__((noinline))
thread_wait(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	if (w->fd < 0)
		return thread_sleep(w, mask, deadline);
	while (!is_up(w, mask)) {
		int r = thread_poll(w, mask, NULL, 0, deadline);

		if (r < 0)
			return r;
	}
	return 0;
}

static inline int sleep_until(struct kci_waiter *w, uint32_t mask, uint64_t deadline)
{
	return w->coro ? coro_sleep(w, mask, deadline) : thread_wait(w, mask, deadline);
}

/* No frame of its own: a coroutine that has been away for long goes back through each. */
static inline int __attribute__((always_inline))
wait_for(struct kci_waiter *w, struct kci_fd_wait *fds, size_t n, uint64_t deadline,
		    kc_cancel_t *token)
{
	void (*hook)(void) = atomic_load_explicit(&park_hook, memory_order_acquire);
	uint32_t mask = KCI_UNPARKED | KCI_STIRRED;
	uint32_t flags;
	int r;

	if (token) {
		mask |= KCI_CANCELLED;
		if (!kci_cancel_hook_add(token, &w->hook, on_cancel))
			atomic_fetch_or_explicit(&w->flags, KCI_CANCELLED, memory_order_relaxed);
	}
	if (hook)
		hook();
	if (n > 0)
		r = thread_poll(w, mask, fds, n, deadline);
	else
		r = sleep_until(w, mask, deadline);
	/* Once it has raised its flag the hook is on no list and is not touched again: then there
	 * is no need to wait for a trigger that is at work on thousands of others. */
	if (token && !(atomic_load_explicit(&w->flags, memory_order_acquire) & KCI_CANCELLED))
		kci_cancel_hook_remove(token, &w->hook);
	flags = atomic_load_explicit(&w->flags, memory_order_acquire);
	if (flags & (KCI_UNPARKED | KCI_STIRRED))
		return 0;
	return flags & KCI_CANCELLED ? KC_ECANCELED : r;
}

int kci_waiter_park(struct kci_waiter *w, uint64_t deadline, kc_cancel_t *token)
{
	return wait_for(w, NULL, 0, deadline, token);
}

int kci_waiter_poll(struct kci_waiter *w, struct kci_fd_wait *fds, size_t n, uint64_t deadline,
		    kc_cancel_t *token)
{
	if (n == 0 || !w->coro)
		return wait_for(w, fds, n, deadline, token);
	return kci_coro_wait_fds(w, fds, n, deadline, token);
}

void kci_waiter_await(struct kci_waiter *w)
{
	(void)sleep_until(w, KCI_UNPARKED, KC_NEVER);
}
