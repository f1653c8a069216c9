/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Actors: a thread that receives and hands on.
 *
 * An actor uses nothing but public channel calls, so it works over every
 * placement. All that can end it from outside is one token of its own, which
 * stop and cancel trigger and which hangs below the user's, if there is one.
 */
#include "kcoro/actor.h"

#include "kcoro/cancel.h"
#include "kcoro/chan.h"
#include "kcoro/error.h"
#include "kcoro/zref.h"
#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/port/kcoro_port.h"

struct kc_actor {
	uint64_t process;
	struct kc_actor_ctx ctx;
	kc_cancel_t *token; /* its own */
	void *buf;	    /* one element */
	KC_THREAD_T thread;

	KC_MUTEX_T lock;
	struct kci_waiter *stopper; /* who waits until it is over */
	bool ended;
	bool over; /* its thread needs the lock no more */
	int result; /* once ended */
	kc_actor_done_fn done_fn;
	void *done_arg;
	bool done_running;
	KC_THREAD_T done_thread; /* who runs it */
	kc_coro_t *done_coro;	 /* and in which coroutine */
};

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

static void *actor_main(void *arg)
{
	kc_actor_t *a = arg;
	int r;

	do {
		size_t len;

		r = receive(a, &len);
		if (r == 0)
			r = a->ctx.process(a->buf, len, a->ctx.user);
		else if (r == KC_ETIME)
			r = 0;
	} while (r == 0);
	KC_MUTEX_LOCK(&a->lock);
	a->ended = true;
	a->result = r;
	if (a->done_fn)
		run_done(a);
	a->over = true;
	tell_stopper(a);
	KC_MUTEX_UNLOCK(&a->lock);
	return NULL;
}

static void actor_free(kc_actor_t *a)
{
	kc_cancel_destroy(a->token);
	KC_MUTEX_DESTROY(&a->lock);
	KC_FREE(a->buf);
	KC_FREE(a);
}

static int check_ctx(const struct kc_actor_ctx *ctx)
{
	const kc_chan_t *ch;

	if (!ctx || !ctx->chan || !ctx->process)
		return KC_EINVAL;
	ch = ctx->chan;
	if (ch->process != kci_process_id())
		return KC_EFORKED;
	if (ch->elem_size > 0 && ctx->msg_size != ch->elem_size)
		return kci_fail(KC_EINVAL, "msg_size is %zu; the channel's elements have %zu bytes",
				ctx->msg_size, ch->elem_size);
	if (ch->elem_size == 0 && (ctx->msg_size < ch->max_msg || ctx->msg_size > KC_MSG_MAX))
		return kci_fail(KC_EINVAL, "msg_size is %zu; the channel's messages have up to %zu",
				ctx->msg_size, ch->max_msg);
	return 0;
}

static int actor_new(kc_actor_t **ret, const struct kc_actor_ctx *ctx, kc_cancel_t *parent)
{
	kc_actor_t *a = KC_CALLOC(1, sizeof(*a));
	int r;

	if (!a)
		return KC_ENOMEM;
	a->process = kci_process_id();
	a->ctx = *ctx;
	KC_MUTEX_INIT(&a->lock);
	a->buf = KC_ALLOC(ctx->msg_size);
	if (!a->buf)
		r = KC_ENOMEM;
	else
		r = parent ? kc_cancel_init_child(&a->token, parent) : kc_cancel_init(&a->token);
	if (r == 0 && kci_thread_start(&a->thread, actor_main, a) < 0)
		r = kci_fail(KC_ENOMEM, "no thread");
	if (r < 0) {
		actor_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

int kc_actor_start(kc_actor_t **ret, const struct kc_actor_ctx *ctx)
{
	int r = ret ? check_ctx(ctx) : KC_EINVAL;

	if (r == 0)
		r = actor_new(ret, ctx, NULL);
	return (int)kci_result(r);
}

int kc_actor_start_ex(kc_actor_t **ret, const struct kc_actor_ctx *ctx)
{
	int r = ret ? check_ctx(ctx) : KC_EINVAL;

	if (r == 0)
		r = actor_new(ret, ctx, ctx->token);
	return (int)kci_result(r);
}

void kc_actor_cancel(kc_actor_t *actor)
{
	if (actor && actor->process == kci_process_id())
		kc_cancel_trigger(actor->token);
}

int kc_actor_stop(kc_actor_t *actor)
{
	struct kci_waiter waiter;
	bool own, waits;
	int r;

	if (!actor)
		return (int)kci_result(KC_EINVAL);
	if (actor->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
	KC_MUTEX_LOCK(&actor->lock);
	own = kci_thread_is_self(actor->thread) ||
	      (actor->done_running && kci_thread_is_self(actor->done_thread) &&
	       actor->done_coro == kci_coro_current());
	KC_MUTEX_UNLOCK(&actor->lock);
	if (own)
		return (int)kci_result(kci_fail(KC_EINVAL, "an actor cannot stop itself; "
							   "kc_actor_cancel() can"));
	kc_cancel_trigger(actor->token);
	/* until its thread is over, and the on-done function with it, which may be running on
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
	kci_thread_join(actor->thread);
	/* whoever woke this one may be about to give up the lock */
	KC_MUTEX_LOCK(&actor->lock);
	r = actor->result;
	KC_MUTEX_UNLOCK(&actor->lock);
	actor_free(actor);
	return r;
}

int kc_actor_on_done(kc_actor_t *actor, kc_actor_done_fn fn, void *arg)
{
	int r = 0;

	if (!actor || !fn)
		return (int)kci_result(KC_EINVAL);
	if (actor->process != kci_process_id())
		return (int)kci_result(KC_EFORKED);
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
