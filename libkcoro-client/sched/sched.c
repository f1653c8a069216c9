/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Schedulers as objects: making, draining, counting, freeing; the library's own
 * three; and the run of a deterministic one.
 */
#include <string.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/sched/engine.h"
#include "libkcoro-client/sched/switch.h"

#define IO_WORKERS 64u

/* The virtual clock's beginning: not 0, which deadlines might take for none. */
#define CLOCK_FIRST KC_NS_PER_SEC

/* For debuggers only (kcoro-gdb.py); one that finds no place is not listed. */
_Atomic(struct kc_sched *) kci_scheds[64];

static _Atomic(struct kc_sched *) own_default, own_io, own_single;

/* ---- making ----------------------------------------------------------------- */

static int options_check(const struct kc_sched_options *o)
{
	if (o->size != sizeof(*o))
		return kci_fail(KC_EINVAL, "size is %zu; struct kc_sched_options has %zu bytes",
				o->size, sizeof(*o));
	if (o->workers > KC_WORKERS_MAX)
		return kci_fail(KC_EINVAL, "workers is %u; at most %u", o->workers, KC_WORKERS_MAX);
	if (o->flags & ~KC_SCHED_DETERMINISTIC)
		return kci_fail(KC_EINVAL, "flags has unknown bits: 0x%x", o->flags);
	if (o->flags & KC_SCHED_DETERMINISTIC && o->workers > 1)
		return kci_fail(KC_EINVAL, "workers is %u; a deterministic scheduler has one",
				o->workers);
	if (o->stack_size != 0 && (o->stack_size < KC_STACK_MIN || o->stack_size > KC_STACK_MAX))
		return kci_fail(KC_EINVAL, "stack_size is %zu; it must be %u to %u", o->stack_size,
				KC_STACK_MIN, KC_STACK_MAX);
	if (o->max_coros > KC_COROS_MAX)
		return kci_fail(KC_EINVAL, "max_coros is %zu; at most %u", o->max_coros,
				KC_COROS_MAX);
	return 0;
}

static unsigned processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > (long)KC_WORKERS_MAX ? KC_WORKERS_MAX : (unsigned)n;
}

/* How many free coroutines each worker keeps: together half of what is kept warm. */
static unsigned cache_max(size_t warm, unsigned workers)
{
	size_t each = warm / 2 / workers;

	return each < KCI_CACHE_LEAST  ? KCI_CACHE_LEAST
	       : each > KCI_CACHE_MOST ? KCI_CACHE_MOST
				       : (unsigned)each;
}

static void worker_init(struct kc_sched *s, unsigned index)
{
	struct kci_worker *w = &s->workers[index];

	w->sched = s;
	w->process = s->process;
	w->shared = s->shared;
	w->deterministic = s->deterministic;
	w->index = index;
	w->span = 64;
	w->random = index;
	w->watch = KC_NS_PER_MS;
	kci_list_init(&w->idle);
}

static void sched_free(struct kc_sched *s)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(kci_scheds); i++) {
		struct kc_sched *listed = s;

		(void)atomic_compare_exchange_strong(&kci_scheds[i], &listed, NULL);
	}
	for (unsigned i = 0; i < s->n_workers; i++)
		kci_cache_flush(&s->workers[i]);
	kci_fds_done(s);
	kci_stack_pool_done(&s->stacks);
	KC_MUTEX_DESTROY(&s->global_lock);
	KC_MUTEX_DESTROY(&s->idle_lock);
	KC_MUTEX_DESTROY(&s->drain_lock);
	KC_MUTEX_DESTROY(&s->timer_lock);
	KC_MUTEX_DESTROY(&s->fds_lock);
	KC_FREE(s->workers_memory);
	KC_FREE(s);
}

static struct kc_sched *sched_new(const struct kc_sched_options *o)
{
	struct kc_sched *s = KC_CALLOC(1, sizeof(*s));
	size_t warm = o->warm_stacks ? o->warm_stacks : KC_STACKS_WARM;
	uintptr_t at;

	if (!s)
		return NULL;
	s->process = kci_process_id();
	s->deterministic = o->flags & KC_SCHED_DETERMINISTIC;
	s->n_workers = s->deterministic ? 1 : o->workers ? o->workers : processors();
	s->shared = s->n_workers > 1;
	s->cache_max = cache_max(warm, s->n_workers);
	s->random = o->seed;
	s->clock = CLOCK_FIRST;
	/* each worker in cache lines of its own */
	s->workers_memory = KC_CALLOC(1, s->n_workers * sizeof(*s->workers) + 64);
	if (!s->workers_memory) {
		KC_FREE(s);
		return NULL;
	}
	at = ((uintptr_t)s->workers_memory + 63) & ~(uintptr_t)63;
	s->workers = (struct kci_worker *)at;
	kci_stack_pool_init(&s->stacks, o->stack_size ? o->stack_size : KC_STACK_DEFAULT,
			    o->max_coros ? o->max_coros : KC_COROS_DEFAULT, warm / 2,
			    KCI_GUARD_INSTALL);
	KC_MUTEX_INIT(&s->global_lock);
	KC_MUTEX_INIT(&s->idle_lock);
	KC_MUTEX_INIT(&s->drain_lock);
	KC_MUTEX_INIT(&s->timer_lock);
	KC_MUTEX_INIT(&s->fds_lock);
	kci_list_init(&s->idle);
	kci_list_init(&s->drains);
	atomic_init(&s->timer_next, KC_NEVER);
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_init(s, i);
	return s;
}

static void workers_join(struct kc_sched *s)
{
	kci_stop(s);
	for (unsigned i = 0; i < s->n_started; i++)
		kci_thread_join(s->workers[i].thread);
}

static int workers_start(struct kc_sched *s)
{
	for (; s->n_started < s->n_workers; s->n_started++) {
		struct kci_worker *w = &s->workers[s->n_started];
		int r = kci_overflow_prepare(w);

		if (r == 0 && kci_thread_start(&w->thread, kci_worker_main, w) < 0) {
			KC_FREE(KC_STEAL(w->signal_stack));
			r = kci_fail(KC_ENOMEM, "no thread for worker %u of %u", s->n_started + 1,
				     s->n_workers);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int sched_create(struct kc_sched **ret, const struct kc_sched_options *opts, bool own)
{
	static const struct kc_sched_options usual = KC_SCHED_OPTIONS_INIT;
	struct kc_sched *s;
	int r;

	if (!opts)
		opts = &usual;
	r = options_check(opts);
	if (r < 0)
		return r;
	if (!kci_switch_usable())
		return kci_fail(KC_ENOTSUP, "this thread has a shadow stack, which a switch of "
					    "coroutines does not move");
	s = sched_new(opts);
	if (!s)
		return KC_ENOMEM;
	s->own = own;
	if (!s->deterministic)
		r = workers_start(s);
	if (r < 0) {
		workers_join(s);
		sched_free(s);
		return r;
	}
	for (size_t i = 0; i < KC_ARRAY_SIZE(kci_scheds); i++) {
		struct kc_sched *nobody = NULL;

		if (atomic_compare_exchange_strong(&kci_scheds[i], &nobody, s))
			break;
	}
	*ret = s;
	return 0;
}

int kc_sched_create(kc_sched_t **ret, const struct kc_sched_options *opts)
{
	return (int)kci_result(ret ? sched_create(ret, opts, false) : KC_EINVAL);
}

/* One of the library's own, made by whoever asks first; a forked child makes its own. */
static int own_get(_Atomic(struct kc_sched *) *own, unsigned workers, struct kc_sched **ret)
{
	struct kc_sched_options opts = KC_SCHED_OPTIONS_INIT;
	struct kc_sched *s = atomic_load_explicit(own, memory_order_acquire);
	struct kc_sched *made;
	int r;

	if (s && s->process == kci_process_id()) {
		*ret = s;
		return 0;
	}
	opts.workers = workers;
	r = sched_create(&made, &opts, true);
	if (r < 0)
		return r;
	if (!atomic_compare_exchange_strong(own, &s, made)) {
		/* somebody was faster */
		workers_join(made);
		sched_free(made);
		made = s;
	}
	*ret = made;
	return 0;
}

int kci_sched_here(struct kc_sched **ret)
{
	return own_get(&own_default, 0, ret);
}

int kc_sched_default(kc_sched_t **ret)
{
	return (int)kci_result(ret ? own_get(&own_default, 0, ret) : KC_EINVAL);
}

int kc_sched_io(kc_sched_t **ret)
{
	return (int)kci_result(ret ? own_get(&own_io, IO_WORKERS, ret) : KC_EINVAL);
}

int kc_sched_single(kc_sched_t **ret)
{
	return (int)kci_result(ret ? own_get(&own_single, 1, ret) : KC_EINVAL);
}

/* ---- draining --------------------------------------------------------------- */

struct drain {
	struct kci_list link;
	struct kci_waiter waiter;
};

bool kci_sched_empty(struct kc_sched *s)
{
	uint64_t ended = 0, spawned = 0;

	/* Both only grow, and ended never passes spawned. If what had ended at first is as
	 * much as what has been spawned by later, there was a moment in between at which
	 * everything had ended. */
	for (unsigned i = 0; i < s->n_workers; i++)
		ended += atomic_load_explicit(&s->workers[i].counts.ended, memory_order_acquire);
	for (unsigned i = 0; i < s->n_workers; i++)
		spawned +=
			atomic_load_explicit(&s->workers[i].counts.spawned, memory_order_relaxed);
	return ended == spawned + atomic_load_explicit(&s->spawned_outside, memory_order_relaxed);
}

void kci_drain_check(struct kc_sched *s)
{
	struct drain *d;

	if (!kci_sched_empty(s))
		return;
	KC_MUTEX_LOCK(&s->drain_lock);
	while ((d = KCI_LIST_FIRST(&s->drains, struct drain, link))) {
		kci_list_remove(&d->link);
		kci_waiter_unpark(&d->waiter);
	}
	atomic_store_explicit(&s->n_drains, 0, memory_order_relaxed);
	KC_MUTEX_UNLOCK(&s->drain_lock);
}

static bool is_inside(const struct kc_sched *s)
{
	const struct kc_coro *co = kci_coro_current();

	return co && co->sched == s;
}

static int drain(struct kc_sched *s, uint64_t deadline)
{
	struct drain d;
	int r;

	kci_waiter_init(&d.waiter);
	KC_MUTEX_LOCK(&s->drain_lock);
	kci_list_append(&s->drains, &d.link);
	atomic_fetch_add_explicit(&s->n_drains, 1, memory_order_seq_cst);
	KC_MUTEX_UNLOCK(&s->drain_lock);
	/* the last one may have ended just before; a worker that finds nothing to do after
	 * that looks at n_drains */
	atomic_thread_fence(memory_order_seq_cst);
	kci_drain_check(s);
	r = kci_waiter_park(&d.waiter, deadline, NULL);
	if (r < 0) {
		bool listed;

		KC_MUTEX_LOCK(&s->drain_lock);
		listed = !kci_list_empty(&d.link);
		if (listed) {
			kci_list_remove(&d.link);
			atomic_fetch_sub_explicit(&s->n_drains, 1, memory_order_relaxed);
		}
		KC_MUTEX_UNLOCK(&s->drain_lock);
		if (!listed) {
			kci_waiter_await(&d.waiter);
			r = 0;
		}
	}
	return r;
}

int kc_sched_drain(kc_sched_t *sched, long timeout_ms)
{
	if (!sched)
		return (int)kci_result(KC_EINVAL);
	if (sched->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
	if (sched->deterministic)
		return (int)kci_result(kci_fail(KC_EINVAL, "a deterministic scheduler is run by "
							   "kc_sched_run()"));
	if (is_inside(sched))
		return (int)kci_result(kci_fail(KC_EINVAL, "a coroutine cannot wait for its own "
							   "scheduler to drain"));
	if (kci_sched_empty(sched))
		return 0;
	if (timeout_ms == 0)
		return (int)kci_result(KC_EAGAIN);
	return (int)kci_result(drain(sched, kci_deadline_from_ms(timeout_ms)));
}

int kc_sched_destroy(kc_sched_t *sched)
{
	if (!sched)
		return 0;
	if (sched->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
	if (sched->own || is_inside(sched))
		return (int)kci_result(
			kci_fail(KC_EINVAL, sched->own ? "the library's own schedulers stay"
						       : "called from one of its coroutines"));
	if (!kci_sched_empty(sched))
		return (int)kci_result(kci_fail(KC_EAGAIN, "coroutines are left"));
	workers_join(sched);
	sched_free(sched);
	return 0;
}

/* ---- deterministic ---------------------------------------------------------- */

static void run_all(struct kc_sched *s, struct kci_worker *w)
{
	for (;;) {
		struct kc_coro *co;

		w->budget = w->span;
		/* those from outside are drawn from as well */
		co = kci_global_take(w);
		if (co)
			kci_ring_push(w, co);
		co = kci_worker_next(w);
		if (co)
			kci_worker_enter(w, co);
		else if (s->timers)
			s->clock = s->timers->deadline;
		else
			return;
		if (w->process != kci_process_id())
			return;
		(void)kci_timers_run(s, s->clock);
	}
}

int kc_sched_run(kc_sched_t *sched)
{
	struct kci_worker *w;
	int r, saved;

	if (!sched)
		return (int)kci_result(KC_EINVAL);
	if (sched->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
	if (!sched->deterministic)
		return (int)kci_result(kci_fail(KC_EINVAL, "the scheduler is not deterministic"));
	if (kci_worker_self() ||
	    atomic_exchange_explicit(&sched->running, true, memory_order_acquire))
		return (int)kci_result(kci_fail(KC_EINVAL, "called from a coroutine, or by two"));
	w = &sched->workers[0];
	r = kci_overflow_prepare(w);
	if (r == 0) {
		kci_overflow_enter(w);
		kci_fiber_adopt(&w->fiber);
		(void)kci_worker_set(w);
		kci_clock_set_virtual(&sched->clock);
		kci_random_set_state(&sched->random);
		/* once for all: coroutines do not leave their calls in the order they came */
		saved = kci_thread_nocancel();
		run_all(sched, w);
		while (kci_stack_trim(&sched->stacks))
			;
		kci_thread_nocancel_end(saved);
		kci_clock_set_virtual(NULL);
		kci_random_set_state(NULL);
		(void)kci_worker_set(NULL);
		kci_overflow_leave(w);
		if (w->process != kci_process_id())
			r = KC_EFORKED;
		else if (!kci_sched_empty(sched))
			r = kci_fail(KC_EAGAIN, "the coroutines left wait for what none of them "
						"will do");
	}
	atomic_store_explicit(&sched->running, false, memory_order_release);
	return (int)kci_result(r);
}

uint64_t kc_sched_now(void)
{
	return kci_clock_now();
}

/* ---- counting --------------------------------------------------------------- */

int kc_sched_stats(kc_sched_t *sched, struct kc_sched_stats *ret)
{
	struct kc_sched_stats st = { .size = sizeof(st) };

	if (!sched || !ret)
		return (int)kci_result(KC_EINVAL);
	if (ret->size != sizeof(*ret))
		return (int)kci_result(kci_fail(KC_EINVAL,
						"size is %zu; struct kc_sched_stats has "
						"%zu bytes",
						ret->size, sizeof(*ret)));
	if (sched->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
	st.workers = sched->n_workers;
	st.idle = atomic_load_explicit(&sched->n_idle, memory_order_relaxed);
	st.spawned = atomic_load_explicit(&sched->spawned_outside, memory_order_relaxed);
	st.timers = atomic_load_explicit(&sched->n_timers, memory_order_relaxed);
	st.fd_waits = atomic_load_explicit(&sched->n_fds, memory_order_relaxed);
	for (unsigned i = 0; i < sched->n_workers; i++) {
		struct kci_counts *c = &sched->workers[i].counts;

		st.ended += atomic_load_explicit(&c->ended, memory_order_acquire);
		st.spawned += atomic_load_explicit(&c->spawned, memory_order_relaxed);
		st.switches += atomic_load_explicit(&c->switches, memory_order_relaxed);
		st.handoffs += atomic_load_explicit(&c->handoffs, memory_order_relaxed);
		st.steals += atomic_load_explicit(&c->steals, memory_order_relaxed);
		st.sleeps += atomic_load_explicit(&c->sleeps, memory_order_relaxed);
		st.overflows += atomic_load_explicit(&c->overflows, memory_order_relaxed);
	}
	KC_MUTEX_LOCK(&sched->stacks.lock);
	st.stacks = sched->stacks.n_cut;
	st.stacks_used = sched->stacks.n_used;
	st.stacks_warm = sched->stacks.n_warm;
	KC_MUTEX_UNLOCK(&sched->stacks.lock);
	*ret = st;
	return 0;
}
