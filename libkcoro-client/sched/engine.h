/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coroutines, workers and schedulers from the inside.
 *
 * A coroutine that stops (parks, yields, ends) takes the next one from its worker's
 * queue and switches to it directly; the worker's own stack (its origin) runs only
 * when there is nothing more in the queue or something else is due. Nobody may touch
 * a coroutine before it is off its stack. So what is to become of it is noted in the
 * worker, and done by whoever runs next: kci_arrive().
 *
 * Where a ready coroutine is:
 *
 *	slot	woken by a coroutine of this worker, or come over from another one;
 *		entered next, so that partners take turns on one processor. At most
 *		KCI_HANDOFFS times in a row while others wait in the ring
 *	ring	the worker's queue, first in first out; other workers steal half of it
 *	global	what came from outside, and what a ring had no room for
 *
 * Sleeping and waking is idle.c's, deadlines timer.c's, descriptors fd.c's.
 */
#ifndef KCI_ENGINE_H
#define KCI_ENGINE_H

#include <signal.h>

#include "kcoro/sched.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/sched/sanitize.h"
#include "libkcoro-client/sched/stack.h"

#define KCI_RING	1024u
#define KCI_HANDOFFS	16u
/* In one another's way so often between two looks at timers, which is 50 to 200 us: a tenth of the
 * time or more is lost, and a coroutine moves. */
#define KCI_CROSSINGS	64u
/* Those that moved together are left alone for so long, unless more than so many wait there. */
#define KCI_TOGETHER_NS (4 * KC_NS_PER_MS)
#define KCI_TOGETHER	32u
#define KCI_CACHE_MOST	1024u /* free coroutines a worker keeps for itself */
#define KCI_CACHE_LEAST 32u

/* kc_coro.end: one of these, or the waiter of the one who joins. */
#define KCI_END_OPEN	 ((uintptr_t)0)
#define KCI_END_DETACHED ((uintptr_t)1)
#define KCI_END_OVER	 ((uintptr_t)2)

/* An alarm in the scheduler's heap; its links are timer.c's. Together with the stack it fills
 * the second cache line of a coroutine, so that the heap touches one line of each. */
struct kci_timer {
	uint64_t deadline;
	_Atomic uint32_t *flags; /* NULL: not in the heap, and then the rest says nothing */
	struct kci_timer *left, *right;
	struct kci_timer *parent; /* NULL: the root */
	uint32_t rank;		  /* 1 + that of right; never more than that of left */
};

/* At the top of its own stack, so that a parked coroutine costs one page. */
struct kc_coro {
	/* one cache line: all that a coroutine without waits needs */
	void *sp;	      /* its context while it is away */
	struct kc_coro *next; /* in the global queue */
	struct kc_sched *sched;
	kc_coro_fn fn;
	void *arg;
	_Atomic uintptr_t end;
	union {
		long result;	      /* once it has ended */
		struct kc_coro *skip; /* in the global queue: some places further, perhaps */
	};
	bool broken; /* it wrote below its stack */
	bool canary; /* it may have: nothing else stops it */
	bool named;  /* name holds something */

	struct kci_stack stack;
	struct kci_timer timer;
	struct kci_fiber fiber;
	char name[KC_CORO_NAME_MAX + 1];
};

enum kci_leaving { KCI_LEAVE_PARK, KCI_LEAVE_YIELD, KCI_LEAVE_MOVE, KCI_LEAVE_END };

/* Counted by the worker alone, read by anybody. */
struct kci_counts {
	_Atomic uint64_t spawned, ended, switches, handoffs, steals, sleeps, overflows;
};

struct kci_worker {
	/* what every switch touches */
	struct kc_sched *sched;
	uint64_t process;
	bool shared, deterministic; /* the scheduler's */
	bool ending;		    /* somebody's end is being told */
	struct kc_coro *current;    /* NULL: on the origin */
	void *origin;		    /* its context while a coroutine runs */
	struct kc_coro *left;	    /* who was left just now, and why */
	enum kci_leaving why;
	uint32_t mask;		 /* LEAVE_PARK: what it waits for */
	_Atomic uint32_t *flags; /* and where */
	struct kci_worker *to;	 /* LEAVE_MOVE */
	unsigned budget;	 /* coroutines to enter before the origin has a turn */
	unsigned span;		 /* what budget begins with */
	unsigned handoffs;	 /* in a row */
	_Atomic(struct kc_coro *) slot;
	unsigned n_cache;
	struct kci_counts counts;
	struct kci_fiber fiber; /* the origin's */

	/* the ring: head is moved by who takes, tail by this worker alone */
	_Atomic uint32_t head __attribute__((aligned(64)));
	_Atomic uint32_t tail __attribute__((aligned(64)));
	_Atomic(struct kc_coro *) ring[KCI_RING];

	/* free ones; an array, so that the next is known before the last is in the cache */
	struct kc_coro *cache[KCI_CACHE_MOST];

	/* idle.c */
	_Atomic uint32_t bell __attribute__((aligned(64)));
	struct kci_list idle;	  /* guarded by the scheduler's idle_lock */
	bool searching;		  /* counted in the scheduler's searchers */
	uint64_t watch;		  /* how long to watch the others next, ns */
	uint64_t housekept;	  /* when it last looked at timers and descriptors */
	_Atomic uint64_t entered; /* counts.switches when a watcher last looked */
	unsigned crossings;	  /* since it last looked at timers */
	_Atomic(const void *) bias;	/* its thread as an owner of locks */
	_Atomic uint64_t together; /* until when few in its ring are left to it; 0: they are not */
	uint64_t random;
	KC_THREAD_T thread;
	unsigned index;

	/* overflow.c */
	void *signal_stack;
	stack_t signal_before;
};

struct kc_sched {
	uint64_t process;
	bool own; /* the library's: not to be destroyed */
	bool deterministic;
	bool shared; /* more than one worker: others may look into a ring */
	unsigned n_workers;
	unsigned n_started;
	unsigned cache_max; /* of a worker's free coroutines */
	struct kci_worker *workers;
	void *workers_memory;
	struct kci_stack_pool stacks;

	KC_MUTEX_T global_lock; /* guards what follows */
	struct kc_coro *first, *last;
	_Atomic uint32_t n_global;

	/* from threads that are no workers of this one */
	_Atomic uint64_t spawned_outside;

	/* idle.c */
	KC_MUTEX_T idle_lock;
	struct kci_list idle; /* workers asleep; the keeper, if any, is last */
	struct kci_worker *keeper;
	_Atomic uint32_t n_idle;
	_Atomic uint32_t searchers;
	_Atomic bool watched; /* somebody looks now and then whether slots are stuck */
	_Atomic bool stopping;

	/* drain */
	KC_MUTEX_T drain_lock;
	struct kci_list drains;
	_Atomic uint32_t n_drains;

	/* timer.c */
	KC_MUTEX_T timer_lock;
	struct kci_timer *timers; /* the root of the heap */
	_Atomic uint64_t timer_next;
	_Atomic uint64_t n_timers;

	/* fd.c */
	struct kci_fds *fds;
	_Atomic uint32_t n_fds;
	KC_MUTEX_T fds_lock;

	/* deterministic */
	uint64_t clock;
	uint64_t random;
	_Atomic bool running;
};

/* ---- run.c ---------------------------------------------------------------- */

extern _Thread_local struct kci_worker *kci_worker_here
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

/* This thread's worker; NULL on others, and in a forked child, which has this thread's
 * variables but no worker. Inline only for the beginning of a function that no other is
 * part of: after a switch the compiler may still have the address of the variable of the
 * thread it came from. kci_worker_self() may be called anywhere. */
static inline struct kci_worker *kci_worker_first(void)
{
	struct kci_worker *w = kci_worker_here;

	return w && kci_process_is(w->process) ? w : NULL;
}
struct kci_worker *kci_worker_self(void);
/* Make it this thread's (NULL: none any more). Returns which one was. */
struct kci_worker *kci_worker_set(struct kci_worker *w);

/* Enter a coroutine from the origin; returns once nothing more is to be entered or the
 * budget is used up. */
void kci_worker_enter(struct kci_worker *w, struct kc_coro *co);
/* The next one ready on this worker, or NULL. */
struct kc_coro *kci_worker_next(struct kci_worker *w);
/* Append to the ring; what it has no room for goes to the global queue. */
void kci_ring_push(struct kci_worker *w, struct kc_coro *co);
struct kc_coro *kci_ring_pop(struct kci_worker *w);
/* Take half of another's ring, the first of them to be entered. */
struct kc_coro *kci_ring_steal(struct kci_worker *w, struct kci_worker *from);

void kci_global_push(struct kc_sched *s, struct kc_coro *first, struct kc_coro *last, uint32_t n);
/* One to be entered, and a share of the others into the ring. */
struct kc_coro *kci_global_take(struct kci_worker *w);

/* ---- spawn.c -------------------------------------------------------------- */

/* The first function of every coroutine. */
void kci_coro_main(void *worker);
/* It is off its stack for good. */
void kci_coro_ended(struct kci_worker *w, struct kc_coro *co);
void kci_cache_flush(struct kci_worker *w);

/* ---- idle.c --------------------------------------------------------------- */

/* The life of a worker's thread. */
void *kci_worker_main(void *worker);
/* There is something new in this worker's ring: let an idle worker look. */
static inline void kci_notify(struct kci_worker *w);
/* Put one that has left its own worker into the slot of this one, if there is room. */
bool kci_worker_give(struct kci_worker *to, struct kc_coro *co);
/* There is something new in this worker's slot: it will be entered next, but somebody has
 * to see to it that it is not stuck behind a coroutine that does not stop. */
static inline void kci_notify_slot(struct kc_sched *s);
/* There is something new in the global queue. */
void kci_notify_outside(struct kc_sched *s);
/* The earliest deadline changed: whoever sleeps until then has to know. */
void kci_notify_alarm(struct kc_sched *s);
/* A descriptor is waited for: somebody has to poll. */
void kci_notify_fd(struct kc_sched *s);
void kci_stop(struct kc_sched *s);

/* ---- timer.c -------------------------------------------------------------- */

/* Raise what is due. Returns how many there were. */
unsigned kci_timers_run(struct kc_sched *s, uint64_t now);

/* ---- fd.c ----------------------------------------------------------------- */

/* Wait until the deadline or until rung, and wake those whose descriptors are ready. true: it was
 * rung, and will not be heard by another one who polls at the same time. With deadline 0 it only
 * looks, and hears nothing. */
bool kci_fds_poll(struct kc_sched *s, uint64_t deadline);
void kci_fds_ring(struct kc_sched *s);
void kci_fds_done(struct kc_sched *s);

/* ---- overflow.c ----------------------------------------------------------- */

/* A stack for the handler: to be had before the worker's thread begins, used on that thread
 * until it ends. Nothing happens while there is no reporter. */
int kci_overflow_prepare(struct kci_worker *w);
void kci_overflow_enter(struct kci_worker *w);
void kci_overflow_leave(struct kci_worker *w);

/* ---- sched.c -------------------------------------------------------------- */

/* The scheduler to spawn on where none was given. */
int kci_sched_here(struct kc_sched **ret);
/* Every coroutine has ended? Exact, see there. */
bool kci_sched_empty(struct kc_sched *s);
/* Wake those who drain, if so. */
void kci_drain_check(struct kc_sched *s);

/* ---- what idle.c argues ----------------------------------------------------- */

void kci_wake_one(struct kc_sched *s);

/* Entries of a ring that others may take, at the moment: those who moved together are left alone
 * for a while, unless they are many. */
static inline uint32_t kci_ring_open(const struct kci_worker *w, uint64_t together)
{
	uint32_t n = atomic_load_explicit(&w->tail, memory_order_acquire) -
		     atomic_load_explicit(&w->head, memory_order_relaxed);

	return together && n <= KCI_TOGETHER ? 0 : n;
}

/* Is somebody asleep, and nobody on the way? */
static inline bool kci_can_wake(const struct kc_sched *s)
{
	return atomic_load_explicit(&s->n_idle, memory_order_relaxed) > 0 &&
	       atomic_load_explicit(&s->searchers, memory_order_relaxed) == 0;
}

static inline void kci_notify(struct kci_worker *w)
{
	struct kc_sched *s = w->sched;

	if (s->shared && kci_can_wake(s) &&
	    kci_ring_open(w, atomic_load_explicit(&w->together, memory_order_relaxed)) > 0)
		kci_wake_one(s);
}

static inline void kci_notify_slot(struct kc_sched *s)
{
	if (s->shared && kci_can_wake(s) &&
	    !atomic_load_explicit(&s->watched, memory_order_relaxed))
		kci_wake_one(s);
}

static inline void kci_count(_Atomic uint64_t *count, uint64_t n)
{
	/* one writer: no need for a locked instruction */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#endif
