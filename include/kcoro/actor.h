/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_ACTOR_H
#define KCORO_ACTOR_H

#include <stddef.h>

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Actors: a thread of their own, or a coroutine, that receives from a channel and hands
 * every element to a function.
 *
 * An actor ends when it is stopped, when its token is set, when its channel is
 * closed and drained, or when `process` returns non-zero; the reason reaches
 * the on-done callback. The channel may live in any placement and is not the actor's, or
 * it is made for the actor as its mailbox. An actor that ended may be started again, as
 * often as it was given leave to.
 *
 *	static int work(const void *msg, size_t len, void *user) { ...; return 0; }
 *
 *	struct kc_actor_ctx ctx = { .chan = ch, .msg_size = 8, .timeout_ms = -1,
 *				    .process = work };
 *	kc_actor_t *a;
 *	kc_actor_start(&a, &ctx);
 *	...
 *	kc_actor_stop(a);                // waits for the end, then frees
 *
 * With a mailbox, on a coroutine, and with restarts:
 *
 *	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
 *	struct kc_restart_options again = KC_RESTART_OPTIONS_INIT;
 *	box.elem_size = 8;
 *	box.capacity = 64;
 *	box.overflow = KC_OVERFLOW_DROP_OLDEST;
 *	again.policy = KC_RESTART_ON_FAILURE;
 *	again.max_restarts = 5;
 *	struct kc_actor_ctx ctx = { .mailbox = &box, .timeout_ms = -1, .process = work,
 *				    .sched = sched, .restart = &again };
 *	kc_actor_start(&a, &ctx);
 *	kc_chan_send(kc_actor_mailbox(a), &v, -1);
 */

/* Which ends are followed by a restart. Never that of a channel that is closed and drained, of
 * an actor that was stopped or cancelled, or beyond max_restarts. */
enum kc_restart {
	KC_RESTART_NEVER = 0,
	KC_RESTART_ON_FAILURE = 1, /* process, or a receive, gave a negative result */
	KC_RESTART_ALWAYS = 2,     /* or process a positive one */
};

#define KC_RESTARTS_MAX 1024u
#define KC_BACKOFF_FACTOR_MAX 1000u
#define KC_BACKOFF_MAX_DEFAULT 60000l /* backoff_max_ms where none is given */

/*
 * How an actor is restarted. Start from KC_RESTART_OPTIONS_INIT and set what matters.
 *
 * Before the first restart it waits for backoff_ms, before each further one that many times
 * longer, but not longer than backoff_max_ms; restarts that lie back by window_ms or more do
 * not count. The actor goes on with the next element; the one that was being processed is not
 * given again.
 */
struct kc_restart_options {
	size_t size; /* sizeof(struct kc_restart_options): lets the struct grow */
	enum kc_restart policy;
	unsigned max_restarts;   /* within window_ms, 1..KC_RESTARTS_MAX: then it ends for good */
	long window_ms;          /* 0: its whole life */
	long backoff_ms;         /* 0: at once */
	unsigned backoff_factor; /* 1..KC_BACKOFF_FACTOR_MAX; 0 = 2 */
	long backoff_max_ms;     /* at least backoff_ms; 0 = KC_BACKOFF_MAX_DEFAULT */
	/* Called before each restart, after the wait, where process is called; may be NULL. */
	void (*on_restart)(void *user, int result);
};

#define KC_RESTART_OPTIONS_INIT                                                                    \
	{                                                                                          \
		sizeof(struct kc_restart_options), KC_RESTART_NEVER, 0, 0, 0, 0, 0, 0              \
	}

struct kc_chan_options;

struct kc_actor_ctx {
	kc_chan_t *chan; /* where to receive; NULL: its mailbox */
	size_t msg_size; /* the channel's element size; the largest message for a message
			  * channel; 0: what the channel says */
	long timeout_ms; /* per receive; a receive that times out is simply made again */
	/* Returns 0 to go on; anything else ends the actor with that result. */
	int (*process)(const void *msg, size_t len, void *user);
	void *user;
	kc_cancel_t *token; /* may be NULL; a reference is taken */
	kc_sched_t *sched;  /* it is a coroutine there; NULL: a thread of its own */
	const struct kc_chan_options *mailbox;    /* how to make a local channel that is the actor's
						   * own; NULL: chan is given */
	const struct kc_restart_options *restart; /* NULL: never */
};

/* Called once, where the actor runs (or on the caller's thread, if the actor had ended
 * already), when it has ended for good: KC_EPIPE after close, KC_ECANCELED after stop or
 * cancel, or the non-zero result of process. */
typedef void (*kc_actor_done_fn)(kc_actor_t *actor, int result, void *arg);

KC_BEGIN_DECLS

/**
 * kc_actor_start() - start an actor
 * @ret:           the actor, to be given to kc_actor_stop(); written on success
 * @ctx:           copied, with what it points to; the token member is not looked at
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL, no channel or two, no process, msg_size does not fit the channel,
 *                      or an option is out of range; the detail says which
 *          KC_ENOMEM   no memory or no thread
 *          KC_EDQUOT   the scheduler has as many coroutines as it may
 *          KC_EFORKED  the channel, the token or the scheduler came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_actor_start(kc_actor_t **ret, const struct kc_actor_ctx *ctx);

/**
 * kc_actor_start_ex() - start an actor that a token can end
 * @ret:           the actor, to be given to kc_actor_stop(); written on success
 * @ctx:           copied, with what it points to; its token, if any, becomes the parent of
 *                 the actor's own
 *
 * Returns: as kc_actor_start()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_actor_start_ex(kc_actor_t **ret, const struct kc_actor_ctx *ctx);

/**
 * kc_actor_mailbox() - the channel of an actor
 * @actor:         an actor
 *
 * A mailbox of its own is closed when the actor ends for good, and destroyed by
 * kc_actor_stop(); until then anybody may use the channel as any other.
 *
 * Returns: the channel, not to be destroyed; NULL for NULL and for an actor that came through
 *          a fork.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_chan_t *kc_actor_mailbox(kc_actor_t *actor);

/**
 * kc_actor_restarts() - how often an actor was restarted
 * @actor:         an actor
 *
 * Returns: a number, or
 *          KC_EINVAL   actor is NULL
 *          KC_EFORKED  the actor came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC long kc_actor_restarts(kc_actor_t *actor);

/**
 * kc_actor_cancel() - ask an actor to end, without waiting
 * @actor:         may be NULL
 *
 * A receive that waits ends at once, and so does the wait before a restart; an element
 * being processed is finished.
 * Thread:  any, the actor's own included.
 * Since:   0.1
 */
KC_PUBLIC void kc_actor_cancel(kc_actor_t *actor);

/**
 * kc_actor_stop() - end an actor, wait for its end, free it
 * @actor:         an actor; gone afterwards
 *
 * Must be called once for every started actor, also one that ended by itself or with its
 * scope.
 *
 * Returns: the result the on-done callback gets, or
 *          KC_EINVAL   NULL, or called from the actor's own process, on-restart or on-done
 *                      function
 *          KC_EFORKED  the actor came through a fork
 * Thread:  any but the actor's own.
 * Since:   0.1
 */
KC_PUBLIC int kc_actor_stop(kc_actor_t *actor);

/**
 * kc_actor_on_done() - be told when an actor ends
 * @actor:         an actor
 * @fn:            called once; at once if the actor has ended already
 * @arg:           handed to fn
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL
 *          KC_EEXIST   a callback was set before
 *          KC_EFORKED  the actor came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_actor_on_done(kc_actor_t *actor, kc_actor_done_fn fn, void *arg);

KC_END_DECLS

#endif
