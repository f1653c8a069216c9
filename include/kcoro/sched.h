/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_SCHED_H
#define KCORO_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Coroutines and the schedulers they run on.
 *
 * A coroutine is a function with a stack of its own. A scheduler runs any number
 * of them on a few threads, its workers. A blocking kc_ call parks the
 * coroutine it is made from instead of blocking the worker: channels, tokens and
 * joins are used as from threads, and both may meet on one channel.
 *
 *	static long hello(void *arg)
 *	{
 *		kc_sleep_ms(10);
 *		return 42;
 *	}
 *
 *	kc_coro_t *co;
 *	long result;
 *	kc_spawn(&co, NULL, hello, NULL);      // NULL: the default scheduler
 *	kc_join(co, &result, -1);
 *
 * Coroutines are not preempted: one that computes for long, or blocks in a call
 * that is not kcoro's, keeps its worker. A woken coroutine runs where its waker ran;
 * idle workers take over what waits there. Coroutines that do little else than get in
 * one another's way at a channel, on several workers, move together to one of them.
 *
 * A coroutine may go on on another thread after each blocking call. What belongs
 * to a thread is therefore not a coroutine's: errno, thread-local variables,
 * kc_error_detail() (ask for it before the next call that may block), and a mutex
 * of the system must not be held across such a call.
 *
 * In a forked child a scheduler and a coroutine of the parent give KC_EFORKED; a
 * coroutine that forked goes on in the child as a plain thread, which ends with it.
 */

/* What a coroutine runs; the result goes to whoever joins it. */
typedef long (*kc_coro_fn)(void *arg);

/* kc_sched_options.flags */
#define KC_SCHED_DETERMINISTIC 1u /* see kc_sched_run() */

#define KC_WORKERS_MAX 256u
#define KC_STACK_MIN 16384u        /* bytes */
#define KC_STACK_DEFAULT 65536u    /* stack_size where none is given */
#define KC_STACK_MAX 1073741824u
#define KC_COROS_MAX 16777216u
#define KC_COROS_DEFAULT 1048576u  /* max_coros where none is given */
#define KC_STACKS_WARM 2048u       /* warm_stacks where none is given */
#define KC_CORO_NAME_MAX 31u       /* bytes of a name; what is longer is cut */

/*
 * How to make a scheduler. Start from KC_SCHED_OPTIONS_INIT and set what matters:
 *
 *	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
 *	o.workers = 1;
 */
struct kc_sched_options {
	size_t size;        /* sizeof(struct kc_sched_options): lets the struct grow */
	unsigned workers;   /* 1..KC_WORKERS_MAX; 0 = one for each processor */
	unsigned flags;     /* KC_SCHED_* */
	size_t stack_size;  /* KC_STACK_MIN..KC_STACK_MAX, rounded up to pages; 0 = default */
	size_t max_coros;   /* 1..KC_COROS_MAX; 0 = default */
	size_t warm_stacks; /* free stacks whose memory is kept; 0 = default */
	uint64_t seed;      /* KC_SCHED_DETERMINISTIC: of the order */
};

#define KC_SCHED_OPTIONS_INIT                                                                      \
	{                                                                                          \
		sizeof(struct kc_sched_options), 0, 0, 0, 0, 0, 0                                  \
	}

/* What a scheduler has done; each number is exact when nothing runs. */
struct kc_sched_stats {
	size_t size;         /* set by the caller: sizeof(struct kc_sched_stats) */
	unsigned workers;
	unsigned idle;       /* workers asleep */
	uint64_t spawned;    /* coroutines ever */
	uint64_t ended;      /* of those */
	uint64_t switches;   /* times a coroutine was entered */
	uint64_t handoffs;   /* times a woken coroutine was entered next after its waker */
	uint64_t steals;     /* times a worker took from another */
	uint64_t sleeps;     /* times a worker went to sleep */
	uint64_t timers;     /* waits with a deadline now */
	uint64_t fd_waits;   /* kc_wait_fd() now */
	uint64_t overflows;  /* coroutines that wrote below their stack, where that was seen late */
	uint64_t stacks;     /* made; in use, or free and warm, or free and cold */
	uint64_t stacks_used;
	uint64_t stacks_warm;
};

KC_BEGIN_DECLS

/**
 * kc_sched_create() - make a scheduler and start its workers
 * @ret:           the scheduler; written on success
 * @opts:          how; NULL is KC_SCHED_OPTIONS_INIT
 *
 * A deterministic scheduler has one worker, which is whoever calls kc_sched_run().
 *
 * Returns: 0, or
 *          KC_EINVAL   ret is NULL, or an option is out of range; the detail says which
 *          KC_ENOMEM   no memory or no thread
 *          KC_ENOTSUP  this thread has a shadow stack, which a switch does not move
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_create(kc_sched_t **ret, const struct kc_sched_options *opts);

/**
 * kc_sched_default() - the scheduler for computing: a worker for each processor
 * @ret:           the scheduler, made by the first call; written on success
 *
 * It is the library's and stays until the process ends; a forked child has its own.
 *
 * Returns: 0, or
 *          KC_EINVAL   ret is NULL
 *          KC_ENOMEM   no memory or no thread
 *          KC_ENOTSUP  this thread has a shadow stack, which a switch does not move
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_default(kc_sched_t **ret);

/**
 * kc_sched_io() - the scheduler for what blocks: 64 workers
 * @ret:           the scheduler, made by the first call; written on success
 *
 * For coroutines that call what is not kcoro's and blocks, such as reading files.
 *
 * Returns: as kc_sched_default()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_io(kc_sched_t **ret);

/**
 * kc_sched_single() - the scheduler with one worker
 * @ret:           the scheduler, made by the first call; written on success
 *
 * Its coroutines never run at the same time, so what only they touch needs no lock.
 *
 * Returns: as kc_sched_default()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_single(kc_sched_t **ret);

/**
 * kc_sched_drain() - wait until every coroutine of a scheduler has ended
 * @sched:         the scheduler
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 *
 * Coroutines that were spawned meanwhile are waited for as well.
 *
 * Returns: 0, or
 *          KC_EAGAIN   timeout 0 and there are some
 *          KC_ETIME    deadline passed
 *          KC_EINVAL   NULL, a deterministic scheduler, or called from one of the coroutines
 *          KC_EFORKED  the scheduler came through a fork
 * Thread:  any, coroutines of other schedulers included.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_drain(kc_sched_t *sched, long timeout_ms);

/**
 * kc_sched_run() - run a deterministic scheduler on this thread
 * @sched:         made with KC_SCHED_DETERMINISTIC
 *
 * Runs until every coroutine has ended. Which of those that can go on is next is
 * drawn from the seed, and the clock is virtual: it stands still while any of them
 * can go on, and then jumps to the next deadline. So the same seed gives the same
 * order, also of timeouts, as long as nothing else (threads, the real clock,
 * addresses) decides what the coroutines do. kc_wait_fd() gives KC_ENOTSUP; a call on
 * a connection to kcorod may block the thread.
 *
 * Returns: 0, or
 *          KC_EAGAIN   those left wait for what nobody among them will do; more may be
 *                      spawned or woken, and the call made again
 *          KC_EINVAL   NULL, not deterministic, or called from a coroutine
 *          KC_EFORKED  the scheduler came through a fork
 * Thread:  any, one at a time.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_run(kc_sched_t *sched);

/**
 * kc_sched_now() - the clock that timeouts follow
 *
 * Returns: nanoseconds of CLOCK_MONOTONIC; within a deterministic scheduler those of its
 *          virtual clock, which begins at one second.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC uint64_t kc_sched_now(void);

/**
 * kc_sched_stats() - what a scheduler has done
 * @sched:         the scheduler
 * @ret:           its size member set; filled on success
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL, or ret->size is not that of the struct
 *          KC_EFORKED  the scheduler came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_stats(kc_sched_t *sched, struct kc_sched_stats *ret);

/**
 * kc_sched_destroy() - stop the workers and free a scheduler
 * @sched:         from kc_sched_create(); may be NULL
 *
 * Every coroutine must have ended (kc_sched_drain()); those that nobody joined go with
 * the scheduler.
 *
 * Returns: 0, or
 *          KC_EAGAIN   coroutines are left; nothing has happened
 *          KC_EINVAL   one of the library's own schedulers, or called from a coroutine of it
 *          KC_EFORKED  the scheduler came through a fork
 * Thread:  any, once nobody else uses the scheduler.
 * Since:   0.1
 */
KC_PUBLIC int kc_sched_destroy(kc_sched_t *sched);

/**
 * kc_sched_report_overflow() - one clear line when a coroutine's stack overflows
 *
 * Installs a handler for SIGSEGV and SIGBUS. A fault in the guard of the running
 * coroutine's stack writes a line with its name to standard error; then, as for every
 * other fault, the handler that was there before gets the signal. Schedulers that
 * were created before are not covered.
 *
 * Returns: 0, or
 *          KC_EEXIST   it is installed already
 *          KC_ENOMEM   the handlers could not be installed
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sched_report_overflow(void);

/**
 * kc_spawn() - start a coroutine
 * @ret:           the coroutine, to be given to kc_join() or kc_detach() once; NULL: it is
 *                 detached from the beginning
 * @sched:         where; NULL: where the caller runs, or for a thread the default
 * @fn:            what it runs
 * @arg:           handed to fn
 *
 * Returns: 0, or
 *          KC_EINVAL   fn is NULL
 *          KC_ENOMEM   no memory
 *          KC_EDQUOT   max_coros coroutines exist; the detail says how many that is
 *          KC_ENOTSUP  as kc_sched_default()
 *          KC_EFORKED  the scheduler came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_spawn(kc_coro_t **ret, kc_sched_t *sched, kc_coro_fn fn, void *arg);

/**
 * kc_join() - wait for the end of a coroutine
 * @coro:          the coroutine; gone once this returns 0 or KC_EBROKEN
 * @ret_result:    what its function returned; may be NULL
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0, or
 *          KC_EAGAIN   timeout 0 and it runs
 *          KC_ETIME    deadline passed
 *          KC_EINVAL   coro is NULL or the caller, or somebody joins it already
 *          KC_EBROKEN  it ended, and had written below its stack
 *          KC_EFORKED  it came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_join(kc_coro_t *coro, long *ret_result, long timeout_ms);

/**
 * kc_join_c() - the same, until a token is set
 * @coro:          the coroutine; gone once this returns 0 or KC_EBROKEN
 * @ret_result:    what its function returned; may be NULL
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 * @token:         may be NULL
 *
 * Returns: as kc_join(), or
 *          KC_ECANCELED  the token was set first
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_join_c(kc_coro_t *coro, long *ret_result, long timeout_ms,
				      kc_cancel_t *token);

/**
 * kc_detach() - give up the right to join a coroutine
 * @coro:          may be NULL
 *
 * It goes when it ends.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_detach(kc_coro_t *coro);

/**
 * kc_yield() - let the others have a turn
 *
 * Outside a coroutine nothing happens.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_yield(void);

/**
 * kc_sleep_ms() - wait for some time
 * @ms:            milliseconds; < 0 is without bound
 *
 * Returns: 0.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC int kc_sleep_ms(long ms);

/**
 * kc_sleep_ms_c() - wait for some time or until a token is set
 * @ms:            milliseconds; < 0 is without bound
 * @token:         may be NULL
 *
 * Returns: 0, or
 *          KC_ECANCELED  the token was set first
 *          KC_EFORKED    the token was made before a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_sleep_ms_c(long ms, kc_cancel_t *token);

/**
 * kc_wait_fd() - wait until a descriptor is ready
 * @fd:            an open descriptor
 * @events:        POLLIN, POLLOUT, POLLPRI, POLLRDHUP of poll(2)
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 *
 * The descriptor must stay open meanwhile. Other coroutines may wait for it too.
 *
 * Returns: the events that came, POLLERR and POLLHUP included, or
 *          KC_EAGAIN   timeout 0 and none
 *          KC_ETIME    deadline passed
 *          KC_EINVAL   not an open descriptor, or other events
 *          KC_ENOMEM   no memory
 *          KC_ENOTSUP  from a deterministic scheduler
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_wait_fd(int fd, short events, long timeout_ms);

/**
 * kc_wait_fd_c() - the same, until a token is set
 * @fd:            an open descriptor
 * @events:        POLLIN, POLLOUT, POLLPRI, POLLRDHUP of poll(2)
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 * @token:         may be NULL
 *
 * Returns: as kc_wait_fd(), or
 *          KC_ECANCELED  the token was set first
 *          KC_EFORKED    the token was made before a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_wait_fd_c(int fd, short events, long timeout_ms,
					 kc_cancel_t *token);

/**
 * kc_current() - the running coroutine
 *
 * Returns: it, or NULL on a plain thread. Not to be joined or detached by this.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_coro_t *kc_current(void);

/**
 * kc_coro_set_name() - name the running coroutine
 * @name:          copied; cut after KC_CORO_NAME_MAX bytes; NULL or "" takes it away
 *
 * For people: the debugger's list and the report of an overflow. On a plain thread
 * nothing happens.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_coro_set_name(const char *name);

/**
 * kc_coro_name() - the name of the running coroutine
 *
 * Returns: its name, "" if it has none or on a plain thread; valid until it ends or is
 *          named anew.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC const char *kc_coro_name(void);

KC_END_DECLS

#endif
