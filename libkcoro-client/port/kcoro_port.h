/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one door to locks, clocks, futexes, threads, memory and process identity.
 *
 * Nothing else in the tree calls these facilities directly, so that one place
 * keeps the promises all of them share: time is CLOCK_MONOTONIC in nanoseconds
 * and saturates instead of wrapping; no wait is a pthread cancellation point;
 * EINTR never gets out; every allocation can be made to fail by a test. Results
 * are 0 or a negated errno; this layer knows nothing of kcoro's own codes.
 */
#ifndef KCORO_PORT_H
#define KCORO_PORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- small vocabulary ---------------------------------------------------- */

#define KC_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define KC_ARRAY_SIZE(a)		   (sizeof(a) / sizeof((a)[0]))

/* An owning local: fn(&local) runs when it goes out of scope. */
#define KC_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Take a pointer out of its variable: ownership leaves with the value. */
#define KC_STEAL(ptr)                                                                              \
	({                                                                                         \
		__typeof__(ptr) kc_stolen_ = (ptr);                                                \
		(ptr) = NULL;                                                                      \
		kc_stolen_;                                                                        \
	})

/* ---- time ---------------------------------------------------------------- */

/* A deadline that never comes. */
#define KC_NEVER UINT64_MAX

#define KC_NS_PER_MS  UINT64_C(1000000)
#define KC_NS_PER_SEC UINT64_C(1000000000)

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t kci_clock_now(void);

/* From now on this thread's clock is *now, which the caller moves; NULL: the real one. */
void kci_clock_set_virtual(const uint64_t *now);

/* timeout_ms as the public calls mean it, from now on: < 0 is KC_NEVER, 0 is
 * now, anything else saturates at KC_NEVER (584 years) rather than wrap. */
uint64_t kci_deadline_from_ms(long timeout_ms);

/* Nanoseconds left; 0 once passed; KC_NEVER stays KC_NEVER. */
uint64_t kci_deadline_left(uint64_t deadline);

/* What to hand to poll(): -1 for KC_NEVER, else milliseconds rounded up, at most
 * INT_MAX. poll() may therefore return early but never ends a wait too soon:
 * ask kci_deadline_left() again. */
int kci_deadline_poll_ms(uint64_t deadline);

/* ---- locks and conditions ------------------------------------------------ */

#define KC_MUTEX_T	     pthread_mutex_t
#define KC_MUTEX_INITIALIZER PTHREAD_MUTEX_INITIALIZER
#define KC_MUTEX_INIT(m)     ((void)pthread_mutex_init((m), NULL))
#define KC_MUTEX_DESTROY(m)  ((void)pthread_mutex_destroy(m))
#define KC_MUTEX_LOCK(m)     ((void)pthread_mutex_lock(m))
#define KC_MUTEX_UNLOCK(m)   ((void)pthread_mutex_unlock(m))

#define KC_COND_T	   pthread_cond_t
#define KC_COND_INIT(c)	   kci_cond_init(c)
#define KC_COND_DESTROY(c) ((void)pthread_cond_destroy(c))
#define KC_COND_WAIT(c, m) kci_cond_wait((c), (m))
/* 0, or -ETIMEDOUT once deadline (of kci_deadline_from_ms()) has passed. */
#define KC_COND_TIMEDWAIT_ABS(c, m, deadline) kci_cond_timedwait((c), (m), (deadline))
#define KC_COND_SIGNAL(c)		      ((void)pthread_cond_signal(c))
#define KC_COND_BROADCAST(c)		      ((void)pthread_cond_broadcast(c))

void kci_cond_init(pthread_cond_t *cond);
void kci_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int kci_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline);

#define KC_ONCE_T	  pthread_once_t
#define KC_ONCE_INIT	  PTHREAD_ONCE_INIT
#define KC_ONCE(once, fn) ((void)pthread_once((once), (fn)))

/* ---- futex (private to the process) -------------------------------------- */

/* Sleep while *word == expected. Returns 0 for every reason to look again (woken,
 * the word differs, a signal), -ETIMEDOUT once the deadline has passed. */
int kci_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);

/* Wake at most n of those who wait on word. */
void kci_futex_wake(_Atomic uint32_t *word, int n);

/* ---- threads ------------------------------------------------------------- */

#define KC_THREAD_T pthread_t

/* Start a thread with every asynchronous signal blocked: a library's thread must
 * not steal its host's signals. 0, or -EAGAIN / -ENOMEM. */
int kci_thread_start(pthread_t *ret, void *(*fn)(void *), void *arg);
void kci_thread_join(pthread_t thread);
/* Nobody will join it: it goes when it ends. */
void kci_thread_detach(pthread_t thread);
pthread_t kci_thread_self(void);
bool kci_thread_is_self(pthread_t thread);

/* No kc_ call may be a cancellation point. Code that blocks in one of libc's
 * (poll, read, sendmsg, close) brackets it with these two. */
int kci_thread_nocancel(void);
void kci_thread_nocancel_end(int saved);

/* Let somebody else who is ready to run have this processor. */
void kci_thread_yield(void);

/* In a loop that waits for another processor. */
static inline void kci_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- memory -------------------------------------------------------------- */

#define KC_ALLOC(size)	   kci_alloc(size)
#define KC_CALLOC(n, size) kci_calloc((n), (size))
/* n * size is checked for overflow; on failure ptr stays as it was. */
#define KC_REALLOC(ptr, n, size) kci_realloc((ptr), (n), (size))
#define KC_FREE(ptr)		 kci_free(ptr)

void *kci_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *kci_calloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *kci_realloc(void *ptr, size_t n, size_t size);
void kci_free(void *ptr);

/* Give back to the system what the allocator holds and nobody uses, as far as it can be.
 * Costs time in proportion to that: for quiet moments. */
void kci_memory_trim(void);

/* For KC_CLEANUP on any pointer: frees what it points to. */
void kci_freep(void *ptr_to_ptr);

/* For a process of ours, never for a host of the library: free memory up to so many bytes
 * is kept for the next allocation instead of given back to the kernel, whose fresh pages
 * cost more than a copy of what then lies in them. */
void kci_memory_keep(size_t bytes);

/* For tests: asked before every allocation, true makes it fail. NULL takes it away. */
typedef bool (*kci_alloc_hook_fn)(size_t size);
void kci_alloc_set_hook(kci_alloc_hook_fn hook);

/* ---- process identity ---------------------------------------------------- */

/* A number, never 0, that differs from that of every process this one was forked
 * from, however it was forked. Objects remember it when made; a mismatch later
 * means they came through a fork. Costs two loads. */
uint64_t kci_process_id(void);

/* kci_process_id() == id, for an id that this process or an ancestor got from there. */
extern _Atomic(_Atomic uint64_t *) kci_process_page;
static inline bool kci_process_is(uint64_t id)
{
	_Atomic uint64_t *page = atomic_load_explicit(&kci_process_page, memory_order_acquire);

	return atomic_load_explicit(page, memory_order_relaxed) == id;
}

/* ---- random -------------------------------------------------------------- */

/* n bytes from the kernel. 0, or a negated errno. */
int kci_random(void *buf, size_t n);

/* The next of a series of numbers that are as good as drawn; the state may begin with anything. */
uint64_t kci_random_next(uint64_t *state);

/* One of this thread's series. */
uint64_t kci_random_draw(void);

/* From now on this thread's series is that of *state; NULL: its own. */
void kci_random_set_state(uint64_t *state);

#endif
