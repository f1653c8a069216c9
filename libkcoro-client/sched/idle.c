/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a worker: finding work, sleeping without it, being woken for it.
 *
 * That no wake-up is lost rests on three rules.
 *
 * 1. A worker that wants to sleep first announces it (n_idle, under idle_lock), then
 *    passes a full fence, then looks once more at the global queue and at every
 *    ring, and only then sleeps on its bell. Whoever puts something into the global
 *    queue passes a full fence after that and then reads n_idle and searchers. One of
 *    the two sees the other. The same holds for an alarm or a descriptor (the keeper
 *    looks at them after its announcement), and for the bell itself: it is rung by
 *    an exchange and slept on by its value.
 *
 * 2. A worker never sleeps while its own slot or ring holds anything. So what a worker
 *    puts there is never lost, and needs no fence: at worst nobody helps. Help is
 *    called with plain reads, which may be out of date; hence
 *
 * 3. while some workers are busy and others asleep, one of those asleep, the keeper,
 *    wakes now and then and looks at the busy ones' rings, and at slots behind which a
 *    coroutine has not stopped for a while. The keeper decides under idle_lock, by
 *    n_idle, whether somebody is busy, and sleeps without bound if nobody is; a worker
 *    that became busy afterwards passed through that lock, so it sees that nobody
 *    watches, and wakes a watcher with the first coroutine it makes ready.
 *
 * At most one woken worker searches at a time, unless it found something and there
 * is more: so a burst wakes workers one after the other, and a pair that takes turns
 * wakes nobody. A searcher that stops searching does so before its last look.
 *
 * A coroutine that moves to another worker (kci_coro_crossed()) goes into that one's slot, and
 * rings its bell: either the bell is found rung, or its owner is asleep and is woken.
 *
 * The keeper is also the one whose sleep ends at the next alarm, and who waits for
 * descriptors. It is woken for work only if nobody else is asleep. While all work,
 * each looks after both between coroutines.
 */
#include "libkcoro-client/port/biased.h"
#include "libkcoro-client/sched/engine.h"

/* bell */
#define AWAKE	0u
#define ASLEEP	1u /* in a futex */
#define POLLING 2u /* in kci_fds_poll() */
#define RUNG	3u
#define CALLED	4u /* rung while in kci_fds_poll(), and perhaps still there */

/* How long a keeper watches busy workers at a time: doubled while it finds nothing. */
#define WATCH_LEAST KC_NS_PER_MS
#define WATCH_MOST  (16 * KC_NS_PER_MS)

/* How often a busy worker looks at alarms and descriptors, about. */
#define HOUSEKEEP_LEAST (KC_NS_PER_MS / 20)
#define HOUSEKEEP_MOST	(KC_NS_PER_MS / 5)
#define SPAN_MOST	1024u

/* ---- bells ------------------------------------------------------------------ */

static void ring(struct kci_worker *w)
{
	uint32_t old = atomic_load_explicit(&w->bell, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(
		&w->bell, &old, old == POLLING || old == CALLED ? CALLED : RUNG,
		memory_order_seq_cst, memory_order_relaxed))
		;
	if (old == ASLEEP)
		kci_futex_wake(&w->bell, 1);
	else if (old == POLLING)
		kci_fds_ring(w->sched);
}

/* Two may poll for a moment: one that was called and is not back yet, and the next keeper. Who hears
 * the bell may have heard it for the other one. */
static void call_others(struct kci_worker *w)
{
	struct kc_sched *s = w->sched;

	for (unsigned i = 0; i < s->n_workers; i++) {
		if (&s->workers[i] == w ||
		    atomic_load_explicit(&s->workers[i].bell, memory_order_seq_cst) != CALLED)
			continue;
		kci_fds_ring(s);
		break;
	}
}

static void bell_wait(struct kci_worker *w, bool keeps, uint64_t deadline)
{
	bool polls = keeps && atomic_load_explicit(&w->sched->n_fds, memory_order_acquire) > 0;
	uint32_t how = polls ? POLLING : ASLEEP;
	uint32_t bell = AWAKE;

	if (atomic_compare_exchange_strong_explicit(&w->bell, &bell, how, memory_order_seq_cst,
						    memory_order_seq_cst)) {
		kci_count(&w->counts.sleeps, 1);
		if (!polls)
			(void)kci_futex_wait(&w->bell, how, deadline);
		else if (kci_fds_poll(w->sched, deadline))
			call_others(w);
	}
	/* an exchange: it sees what was given before the bell was rung */
	(void)atomic_exchange_explicit(&w->bell, AWAKE, memory_order_seq_cst);
}

/* ---- waking ----------------------------------------------------------------- */

/* With idle_lock held: w is asleep no more. */
static void leave_idle(struct kc_sched *s, struct kci_worker *w)
{
	kci_list_remove(&w->idle);
	atomic_fetch_sub_explicit(&s->n_idle, 1, memory_order_relaxed);
	if (s->keeper == w) {
		s->keeper = NULL;
		atomic_store_explicit(&s->watched, false, memory_order_relaxed);
	}
	w->searching = true;
	atomic_fetch_add_explicit(&s->searchers, 1, memory_order_seq_cst);
}

void kci_wake_one(struct kc_sched *s)
{
	struct kci_worker *w;

	KC_MUTEX_LOCK(&s->idle_lock);
	w = KCI_LIST_FIRST(&s->idle, struct kci_worker, idle);
	if (w && w == s->keeper && w->idle.next != &s->idle)
		w = KC_CONTAINER_OF(w->idle.next, struct kci_worker, idle);
	if (w)
		leave_idle(s, w);
	KC_MUTEX_UNLOCK(&s->idle_lock);
	if (w)
		ring(w);
}

void kci_notify_outside(struct kc_sched *s)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (kci_can_wake(s))
		kci_wake_one(s);
}

bool kci_worker_give(struct kci_worker *to, struct kc_coro *co)
{
	struct kc_coro *none = NULL;

	if (!atomic_compare_exchange_strong_explicit(&to->slot, &none, co, memory_order_seq_cst,
						     memory_order_relaxed))
		return false;
	atomic_store_explicit(&to->together, kci_clock_now() + KCI_TOGETHER_NS, memory_order_relaxed);
	ring(to);
	return true;
}

/* It stays among those asleep, and reckons anew. */
static void ring_keeper(struct kc_sched *s, bool unless_polling)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&s->n_idle, memory_order_relaxed) == 0)
		return;
	KC_MUTEX_LOCK(&s->idle_lock);
	if (s->keeper && !(unless_polling &&
			   atomic_load_explicit(&s->keeper->bell, memory_order_relaxed) == POLLING))
		ring(s->keeper);
	KC_MUTEX_UNLOCK(&s->idle_lock);
}

void kci_notify_alarm(struct kc_sched *s)
{
	ring_keeper(s, false);
}

void kci_notify_fd(struct kc_sched *s)
{
	/* who polls already sees the new one */
	ring_keeper(s, true);
}

void kci_stop(struct kc_sched *s)
{
	atomic_store_explicit(&s->stopping, true, memory_order_seq_cst);
	for (unsigned i = 0; i < s->n_started; i++)
		ring(&s->workers[i]);
}

/* ---- finding ---------------------------------------------------------------- */

/* Of a ring, what others may take now. */
static uint32_t ring_open(const struct kci_worker *w, uint64_t now)
{
	uint64_t together = atomic_load_explicit(&w->together, memory_order_relaxed);

	return kci_ring_open(w, together > now ? together : 0);
}

/* Is there anything that a woken worker could take? */
static bool work_visible(const struct kc_sched *s)
{
	uint64_t now = kci_clock_now();

	if (atomic_load_explicit(&s->n_global, memory_order_relaxed) > 0)
		return true;
	for (unsigned i = 0; i < s->n_workers; i++)
		if (ring_open(&s->workers[i], now) > 0)
			return true;
	return false;
}

static struct kc_coro *steal(struct kci_worker *w, uint64_t now)
{
	struct kc_sched *s = w->sched;
	unsigned first;

	w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	first = (unsigned)(w->random >> 33) % s->n_workers;
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct kci_worker *from = &s->workers[(first + i) % s->n_workers];
		struct kc_coro *co = NULL;

		if (from != w && ring_open(from, now) > 0)
			co = kci_ring_steal(w, from);
		if (co) {
			kci_count(&w->counts.steals, 1);
			return co;
		}
	}
	return NULL;
}

/* The watcher's look: a slot whose worker has entered nobody since the last one. */
static struct kc_coro *steal_stuck(struct kci_worker *w)
{
	struct kc_sched *s = w->sched;

	for (unsigned i = 0; i < s->n_workers; i++) {
		struct kci_worker *from = &s->workers[i];
		uint64_t entered =
			atomic_load_explicit(&from->counts.switches, memory_order_relaxed);
		struct kc_coro *co = NULL;

		if (from == w || !atomic_load_explicit(&from->slot, memory_order_relaxed))
			continue;
		/* something waits there, so the next look comes soon */
		w->watch = WATCH_LEAST;
		if (entered ==
		    atomic_exchange_explicit(&from->entered, entered, memory_order_relaxed))
			co = atomic_exchange_explicit(&from->slot, NULL, memory_order_acq_rel);
		if (co) {
			kci_count(&w->counts.steals, 1);
			return co;
		}
	}
	return NULL;
}

/* Alarms, descriptors, and how many coroutines to enter before the next time. */
static uint64_t housekeep(struct kci_worker *w, bool slept)
{
	struct kc_sched *s = w->sched;
	uint64_t now = kci_clock_now();
	uint64_t passed = now - w->housekept;
	uint64_t together;
	bool looks = false;

	if (!slept && passed > HOUSEKEEP_MOST && w->span > 1)
		w->span /= 2;
	else if (!slept && passed < HOUSEKEEP_LEAST && w->span < SPAN_MOST && w->budget == 0)
		w->span *= 2;
	w->budget = w->span;
	if (slept || passed >= HOUSEKEEP_LEAST) {
		w->housekept = now;
		looks = !slept;
		w->crossings = 0;
		atomic_store_explicit(&w->bias, kci_bias_here, memory_order_relaxed);
	}
	/* before a deadline is held against it: what was ready in time wins */
	if (atomic_load_explicit(&s->timer_next, memory_order_relaxed) <= now)
		looks = true;
	if (looks && atomic_load_explicit(&s->n_fds, memory_order_acquire) > 0)
		(void)kci_fds_poll(s, 0);
	kci_timers_run(s, now);
	together = atomic_load_explicit(&w->together, memory_order_relaxed);
	if (together > 0 && together <= now) {
		atomic_store_explicit(&w->together, 0, memory_order_relaxed);
		kci_notify(w);
	}
	return now;
}

/* It searches no more, having found something: if there is more, another one may. */
static void found(struct kci_worker *w)
{
	struct kc_sched *s = w->sched;

	if (!w->searching)
		return;
	w->searching = false;
	atomic_fetch_sub_explicit(&s->searchers, 1, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
	if (work_visible(s) && kci_can_wake(s))
		kci_wake_one(s);
}

static struct kc_coro *find(struct kci_worker *w, bool slept, bool watched)
{
	struct kc_sched *s = w->sched;
	bool turn = w->budget == 0;
	uint64_t now = housekeep(w, slept);
	struct kc_coro *co = NULL;

	/* what came from outside must not wait for the ring to run empty */
	if (turn)
		co = kci_global_take(w);
	if (!co)
		co = kci_worker_next(w);
	if (!co)
		co = kci_global_take(w);
	if (!co && s->shared)
		co = steal(w, now);
	if (!co && watched)
		co = steal_stuck(w);
	if (co)
		found(w);
	return co;
}

/* ---- sleeping --------------------------------------------------------------- */

/* Returns true if it slept as a watcher and nobody woke it. */
static bool sleep_idle(struct kci_worker *w)
{
	struct kc_sched *s = w->sched;
	uint64_t deadline = KC_NEVER;
	bool all_idle, keeps, timed = false;

	KC_MUTEX_LOCK(&s->idle_lock);
	kci_list_append(&s->idle, &w->idle);
	all_idle =
		atomic_fetch_add_explicit(&s->n_idle, 1, memory_order_seq_cst) + 1 == s->n_workers;
	if (w->searching) {
		w->searching = false;
		atomic_fetch_sub_explicit(&s->searchers, 1, memory_order_seq_cst);
	}
	if (!s->keeper || (!all_idle && !atomic_load_explicit(&s->watched, memory_order_relaxed)))
		s->keeper = w;
	keeps = s->keeper == w;
	if (keeps)
		atomic_store_explicit(&s->watched, !all_idle, memory_order_relaxed);
	KC_MUTEX_UNLOCK(&s->idle_lock);

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&s->n_drains, memory_order_relaxed) > 0)
		kci_drain_check(s);
	if (!atomic_load_explicit(&s->stopping, memory_order_relaxed) && !work_visible(s) &&
	    !atomic_load_explicit(&w->slot, memory_order_relaxed)) {
		if (keeps)
			deadline = atomic_load_explicit(&s->timer_next, memory_order_relaxed);
		if (keeps && !all_idle) {
			uint64_t look = kci_clock_now() + w->watch;

			timed = look < deadline;
			deadline = timed ? look : deadline;
		}
		bell_wait(w, keeps, deadline);
	}

	KC_MUTEX_LOCK(&s->idle_lock);
	if (!kci_list_empty(&w->idle))
		leave_idle(s, w); /* by itself */
	else
		timed = false;
	KC_MUTEX_UNLOCK(&s->idle_lock);
	if (timed && w->watch < WATCH_MOST)
		w->watch *= 2;
	else if (!timed)
		w->watch = WATCH_LEAST;
	return timed;
}

void *kci_worker_main(void *worker)
{
	struct kci_worker *w = worker;
	struct kc_sched *s = w->sched;
	bool slept = true, watched = false;

	/* Nobody can cancel this thread. A coroutine that holds cancellation off around a call
	 * and comes back on another thread finds the same there. */
	(void)kci_thread_nocancel();
	(void)kci_worker_set(w);
	kci_overflow_enter(w);
	kci_fiber_adopt(&w->fiber);
	while (!atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
		struct kc_coro *co = find(w, slept, watched);

		if (co) {
			kci_worker_enter(w, co);
			slept = watched = false;
			/* a coroutine forked and has ended in the child */
			if (w->process != kci_process_id())
				return NULL;
		} else if (kci_stack_trim(&s->stacks)) {
			slept = watched = false;
		} else {
			watched = sleep_idle(w);
			slept = true;
		}
	}
	(void)kci_worker_set(NULL);
	kci_overflow_leave(w);
	return NULL;
}
