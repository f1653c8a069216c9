/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Actors: a thread or a coroutine that receives and hands on.
 *
 * An actor uses nothing but public channel calls, so it works over every
 * placement. All that can end it from outside is one token of its own, which
 * stop and cancel trigger and which hangs below the user's or its scope's, if there
 * is one. A restart is another turn of the same loop in the same place, so nobody
 * else need know of it.
 *
 * There is one reference for where it runs and one for the handle. Once it is over
 * the first of them touches nothing but the lock and the counter: everything the user
 * may wait for has happened by then.
 */
#include "kcoro/actor.h"

#include "kcoro/cancel.h"
#include "kcoro/chan.h"
#include "kcoro/error.h"
#include "kcoro/sched.h"
#include "kcoro/zref.h"
#include "libkcoro-client/core/actor.h"
#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/core/scope.h"
#include "libkcoro-client/core/supervisor.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/port/kcoro_port.h"

struct kc_actor {
	uint64_t process;
	_Atomic uint32_t refs;
	struct kc_actor_ctx ctx; /* what it points to is below, or not the actor's */
	kc_chan_t *mailbox;	 /* NULL: it has none of its own */
	kc_scope_t *scope;	 /* may be NULL */
	kc_cancel_t *token;	 /* its own */
	void *buf;		 /* one element */
	KC_THREAD_T thread;
	struct kci_supervisor supervisor;
	_Atomic long restarts;

	KC_MUTEX_T lock;
	struct kci_waiter *stopper; /* who waits until it is over */
	bool ended;
	bool over;  /* where it ran, nothing is left to do */
	int result; /* once ended */
	kc_actor_done_fn done_fn;
	void *done_arg;
	bool done_running;
	KC_THREAD_T done_thread; /* who runs it */
	kc_coro_t *done_coro;	 /* and in which coroutine */
};

/* The actor whose thread this is. */
static _Thread_local kc_actor_t *thread_actor __attribute__((tls_model("initial-exec")));

/* ---- where it runs -------------------------------------------------------- */

static int receive(kc_actor_t *a, size_t *ret_len)
{
	kc_chan_t *ch = a->ctx.chan;
	/* a receive that found nothing is made again, so a try would only spin */
	long timeout_ms = a->ctx.timeout_ms == 0 ? -1 : a->ctx.timeout_ms;

	if (ch->capabilities & KC_CHAN_CAP_MSG)
		return kc_chan_recv_msg_c(ch, a->buf, a->ctx.msg_size, ret_len, timeout_ms,
					  a->token);
	*ret_len = a->ctx.msg_size;
	if (ch->capabilities & KC_CHAN_CAP_PTR)
		return kc_chan_recv_desc_c(ch, a->buf, timeout_ms, a->token);
	return kc_chan_recv_c(ch, a->buf, timeout_ms, a->token);
}

/* Until it ends. Returns why; *ret_told: somebody wanted that, so it is neither a failure nor
 * followed by a restart. */
static int live(kc_actor_t *a, bool *ret_told)
{
	size_t len;
	int r;

	do {
		r = receive(a, &len);
		if (r == 0) {
			r = a->ctx.process(a->buf, len, a->ctx.user);
			*ret_told = kci_follows_cancel(r) && kc_cancel_is_set(a->token);
		} else if (r == KC_ETIME) {
			r = 0;
		} else {
			*ret_told = kci_follows_cancel(r);
		}
	} while (r == 0);
	return r;
}

/* All its lives. Returns the result of the last; *ret_failed: that is a failure. */
static int live_on(kc_actor_t *a, bool *ret_failed)
{
	for (;;) {
		bool told = false;
		int r = live(a, &told);
		long delay_ms;

		*ret_failed = r < 0 && !told;
		if (told || kc_cancel_is_set(a->token) ||
		    !kci_supervisor_allows(&a->supervisor, *ret_failed, kci_clock_now(), &delay_ms))
			return r;
		if (kc_sleep_ms_c(delay_ms, a->token) < 0) {
			*ret_failed = false;
			return KC_ECANCELED;
		}
		kci_supervisor_restarted(&a->supervisor, kci_clock_now());
		atomic_fetch_add_explicit(&a->restarts, 1, memory_order_relaxed);
		if (a->supervisor.how.on_restart)
			a->supervisor.how.on_restart(a->ctx.user, r);
	}
}

/* Wake who stops it, if nothing is left to wait for; with the lock held. */
static void tell_stopper(kc_actor_t *a)
{
	if (a->stopper && a->over && !a->done_running)
		kci_waiter_unpark(KC_STEAL(a->stopper));
}

/* Run the on-done function on this thread; called and left with the lock held. */
static void run_done(kc_actor_t *a)
{
	a->done_running = true;
	a->done_thread = kci_thread_self();
	a->done_coro = kci_coro_current();
	KC_MUTEX_UNLOCK(&a->lock);
	a->done_fn(a, a->result, a->done_arg);
	KC_MUTEX_LOCK(&a->lock);
	a->done_running = false;
	tell_stopper(a);
}

/* With the lock held. */
static bool runs_done_here(const kc_actor_t *a)
{
	const kc_coro_t *coro = kci_coro_current();

	/* a coroutine may have changed threads meanwhile */
	return a->done_running && a->done_coro == coro &&
	       (coro || kci_thread_is_self(a->done_thread));
}

static void actor_unref(kc_actor_t *a)
{
	if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) > 1)
		return;
	kc_chan_destroy(a->mailbox);
	kc_cancel_destroy(a->token);
	kci_scope_unref(a->scope);
	kci_supervisor_done(&a->supervisor);
	KC_MUTEX_DESTROY(&a->lock);
	KC_FREE(a->buf);
	KC_FREE(a);
}

static void actor_run(kc_actor_t *a)
{
	bool failed;
	int r = live_on(a, &failed);

	/* nobody will receive from it any more */
	if (a->mailbox)
		(void)kc_chan_close(a->mailbox);
	if (failed && a->scope)
		kci_scope_fail(a->scope, r);
	KC_MUTEX_LOCK(&a->lock);
	a->ended = true;
	a->result = r;
	if (a->done_fn)
		run_done(a);
	KC_MUTEX_UNLOCK(&a->lock);
	kci_scope_leave(a->scope);
	KC_MUTEX_LOCK(&a->lock);
	a->over = true;
	tell_stopper(a);
	KC_MUTEX_UNLOCK(&a->lock);
	actor_unref(a);
}

static void *thread_main(void *arg)
{
	thread_actor = arg;
	actor_run(arg);
	return NULL;
}

static long coro_main(void *arg)
{
	actor_run(arg);
	return 0;
}

/* The actor whose function runs here. */
static kc_actor_t *actor_here(void)
{
	return kci_coro_current() ? kci_coro_arg(coro_main) : thread_actor;
}

kc_scope_t *kci_actor_scope(void)
{
	const kc_actor_t *a = actor_here();

	return a ? a->scope : NULL;
}

/* ---- starting ------------------------------------------------------------- */

static int check_ctx(const struct kc_actor_ctx *ctx)
{
	if (!ctx || !ctx->process)
		return KC_EINVAL;
	if (!ctx->chan && !ctx->mailbox)
		return kci_fail(KC_EINVAL, "there is neither chan nor mailbox");
	if (ctx->chan && ctx->mailbox)
		return kci_fail(KC_EINVAL, "there are both chan and mailbox");
	return ctx->chan && ctx->chan->process != kci_process_id() ? KC_EFORKED : 0;
}

static int check_msg_size(struct kc_actor_ctx *ctx)
{
	const kc_chan_t *ch = ctx->chan;

	if (ctx->msg_size == 0)
		ctx->msg_size = ch->elem_size > 0 ? ch->elem_size : ch->max_msg;
	if (ch->elem_size > 0 && ctx->msg_size != ch->elem_size)
		return kci_fail(KC_EINVAL, "msg_size is %zu; the channel's elements have %zu bytes",
				ctx->msg_size, ch->elem_size);
	if (ch->elem_size == 0 && (ctx->msg_size < ch->max_msg || ctx->msg_size > KC_MSG_MAX))
		return kci_fail(KC_EINVAL, "msg_size is %zu; the channel's messages have up to %zu",
				ctx->msg_size, ch->max_msg);
	return 0;
}

/* What ctx asks for; on failure the caller gives up what is there. */
static int actor_fill(kc_actor_t *a, const struct kc_actor_ctx *ctx, kc_cancel_t *parent)
{
	int r;

	a->process = kci_process_id();
	a->ctx = *ctx;
	KC_MUTEX_INIT(&a->lock);
	r = kci_supervisor_init(&a->supervisor, ctx->restart);
	if (r == 0 && ctx->mailbox) {
		r = kci_pass(kc_chan_make_ex(&a->mailbox, ctx->mailbox));
		a->ctx.chan = a->mailbox;
	}
	if (r == 0)
		r = check_msg_size(&a->ctx);
	if (r < 0)
		return r;
	a->buf = KC_ALLOC(a->ctx.msg_size);
	if (!a->buf)
		return KC_ENOMEM;
	return parent ? kc_cancel_init_child(&a->token, parent) : kc_cancel_init(&a->token);
}

static int actor_go(kc_actor_t *a, bool keep)
{
	if (a->ctx.sched)
		return kci_pass(kc_spawn(NULL, a->ctx.sched, coro_main, a));
	if (kci_thread_start(&a->thread, thread_main, a) < 0)
		return kci_fail(KC_ENOMEM, "no thread");
	if (!keep)
		kci_thread_detach(a->thread);
	return 0;
}

/* ret NULL: nobody will stop it. The scope, if any, has been entered; on failure it is left. */
static int actor_start(kc_actor_t **ret, const struct kc_actor_ctx *ctx, kc_cancel_t *parent,
		       kc_scope_t *scope)
{
	kc_actor_t *a = KC_CALLOC(1, sizeof(*a));
	int r;

	if (!a) {
		kci_scope_leave(scope);
		kci_scope_unref(scope);
		return KC_ENOMEM;
	}
	atomic_init(&a->refs, 2);
	a->scope = scope;
	r = actor_fill(a, ctx, parent);
	if (r == 0)
		r = actor_go(a, ret);
	if (r < 0) {
		kci_scope_leave(scope);
		actor_unref(a);
	}
	if (r < 0 || !ret)
		actor_unref(a);
	else
		*ret = a;
	return r;
}

int kc_actor_start(kc_actor_t **ret, const struct kc_actor_ctx *ctx)
{
	int r = ret ? check_ctx(ctx) : KC_EINVAL;

	if (r == 0)
		r = actor_start(ret, ctx, NULL, NULL);
	return (int)kci_result(r);
}

int kc_actor_start_ex(kc_actor_t **ret, const struct kc_actor_ctx *ctx)
{
	int r = ret ? check_ctx(ctx) : KC_EINVAL;

	if (r == 0)
		r = actor_start(ret, ctx, ctx->token, NULL);
	return (int)kci_result(r);
}

int kc_scope_actor(kc_scope_t *scope, const struct kc_actor_ctx *ctx, kc_actor_t **ret)
{
	int r = check_ctx(ctx);

	if (r == 0 && ctx->token)
		r = kci_fail(KC_EINVAL, "an actor in a scope has that one's token above it");
	if (r == 0 && ctx->mailbox && !ret)
		r = kci_fail(KC_EINVAL, "nobody could reach the mailbox of an actor without ret");
	if (r == 0)
		r = kci_scope_enter(scope);
	if (r == 0)
		r = actor_start(ret, ctx, scope->token, scope);
	return (int)kci_result(r);
}

/* ---- handles -------------------------------------------------------------- */

static int actor_check(const kc_actor_t *actor)
{
	if (!actor)
		return KC_EINVAL;
	return kci_process_is(actor->process) ? 0 : KC_EFORKED;
}

kc_chan_t *kc_actor_mailbox(kc_actor_t *actor)
{
	return actor_check(actor) < 0 ? NULL : actor->ctx.chan;
}

long kc_actor_restarts(kc_actor_t *actor)
{
	int r = actor_check(actor);

	return r < 0 ? kci_result(r) : atomic_load_explicit(&actor->restarts, memory_order_relaxed);
}

void kc_actor_cancel(kc_actor_t *actor)
{
	if (actor_check(actor) == 0)
		kc_cancel_trigger(actor->token);
}

int kc_actor_stop(kc_actor_t *actor)
{
	struct kci_waiter waiter;
	bool own, waits;
	int r = actor_check(actor);

	if (r < 0)
		return (int)kci_result(r);
	KC_MUTEX_LOCK(&actor->lock);
	own = actor_here() == actor || runs_done_here(actor);
	KC_MUTEX_UNLOCK(&actor->lock);
	if (own)
		return (int)kci_result(kci_fail(KC_EINVAL, "an actor cannot stop itself; "
							   "kc_actor_cancel() can"));
	kc_cancel_trigger(actor->token);
	/* until it is over, and the on-done function with it, which may be running on
	 * the thread that set it; a coroutine parks meanwhile */
	KC_MUTEX_LOCK(&actor->lock);
	waits = !actor->over || actor->done_running;
	if (waits) {
		kci_waiter_init(&waiter);
		actor->stopper = &waiter;
	}
	KC_MUTEX_UNLOCK(&actor->lock);
	if (waits)
		kci_waiter_await(&waiter);
	if (!actor->ctx.sched)
		kci_thread_join(actor->thread);
	/* whoever woke this one may be about to give up the lock */
	KC_MUTEX_LOCK(&actor->lock);
	r = actor->result;
	KC_MUTEX_UNLOCK(&actor->lock);
	/* here, and not where it ran: its on-drop function is the caller's */
	kc_chan_destroy(KC_STEAL(actor->mailbox));
	actor_unref(actor);
	return r;
}

int kc_actor_on_done(kc_actor_t *actor, kc_actor_done_fn fn, void *arg)
{
	int r = fn ? actor_check(actor) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	KC_MUTEX_LOCK(&actor->lock);
	if (actor->done_fn) {
		r = kci_fail(KC_EEXIST, "an on-done function was set before");
	} else {
		actor->done_fn = fn;
		actor->done_arg = arg;
		if (actor->ended)
			run_done(actor);
	}
	KC_MUTEX_UNLOCK(&actor->lock);
	return (int)kci_result(r);
}
