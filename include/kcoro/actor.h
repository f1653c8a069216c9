/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_ACTOR_H
#define KCORO_ACTOR_H

#include <stddef.h>

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Actors: a thread of their own that receives from a channel and hands every
 * element to a function.
 *
 * An actor ends when it is stopped, when its token is set, when its channel is
 * closed and drained, or when `process` returns non-zero; the reason reaches
 * the on-done callback. The channel may live in any placement; the actor does
 * not own it.
 *
 *	static int work(const void *msg, size_t len, void *user) { ...; return 0; }
 *
 *	struct kc_actor_ctx ctx = { .chan = ch, .msg_size = 8, .timeout_ms = -1,
 *				    .process = work };
 *	kc_actor_t *a;
 *	kc_actor_start(&a, &ctx);
 *	...
 *	kc_actor_stop(a);                // waits for the end, then frees
 */
struct kc_actor_ctx {
	kc_chan_t *chan;
	size_t msg_size; /* the channel's element size; the largest message for a message
			  * channel */
	long timeout_ms; /* per receive; a receive that times out is simply made again */
	/* Returns 0 to go on; anything else ends the actor with that result. */
	int (*process)(const void *msg, size_t len, void *user);
	void *user;
	kc_cancel_t *token; /* may be NULL; a reference is taken */
};

/* Called once, on the actor's thread (or the caller's, if the actor had ended
 * already): KC_EPIPE after close, KC_ECANCELED after stop or cancel, or the
 * non-zero result of process. */
typedef void (*kc_actor_done_fn)(kc_actor_t *actor, int result, void *arg);

KC_BEGIN_DECLS

/**
 * kc_actor_start() - start an actor
 * @ret:           the actor; written on success
 * @ctx:           copied; the token member is not looked at
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL, no channel, no process, or msg_size does not fit the channel
 *          KC_ENOMEM   no memory or no thread
 *          KC_EFORKED  the channel came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_actor_start(kc_actor_t **ret, const struct kc_actor_ctx *ctx);

/**
 * kc_actor_start_ex() - start an actor that a token can end
 * @ret:           the actor; written on success
 * @ctx:           copied; its token, if any, becomes the parent of the actor's own
 *
 * Returns: as kc_actor_start()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_actor_start_ex(kc_actor_t **ret, const struct kc_actor_ctx *ctx);

/**
 * kc_actor_cancel() - ask an actor to end, without waiting
 * @actor:         may be NULL
 *
 * A receive that waits ends at once; an element being processed is finished.
 * Thread:  any, the actor's own included.
 * Since:   0.1
 */
KC_PUBLIC void kc_actor_cancel(kc_actor_t *actor);

/**
 * kc_actor_stop() - end an actor, wait for its end, free it
 * @actor:         an actor; gone afterwards
 *
 * Must be called once for every started actor, also one that ended by itself.
 *
 * Returns: the result the on-done callback gets, or
 *          KC_EINVAL   NULL, or called from the actor's own process or on-done function
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
