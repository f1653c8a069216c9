/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_CANCEL_H
#define KCORO_CANCEL_H

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Cancellation tokens.
 *
 * A token is a reference-counted flag that is set once and never cleared.
 * Tokens form a tree of any depth: setting one sets everything below it, at
 * once and exactly once. Every blocking call has a form (`_c`) that takes a
 * token and returns KC_ECANCELED when the token is set before the operation
 * completed. A token already set at entry means no effect at all; during a
 * wait a completed operation wins, then cancellation, then the deadline.
 *
 *	kc_cancel_t *stop;
 *	kc_cancel_init(&stop);
 *	...                                   // thread A
 *	kc_chan_recv_c(ch, &v, -1, stop);     // KC_ECANCELED once B triggers
 *	...                                   // thread B
 *	kc_cancel_trigger(stop);
 *	kc_cancel_destroy(stop);
 *
 * All calls may be made from any thread. In a forked child a token of the
 * parent gives KC_EFORKED (void calls do nothing, kc_cancel_is_set returns 1).
 */

/* A token of one's own below a parent: made with kc_cancel_ctx_init(). */
typedef struct kc_cancel_ctx {
	kc_cancel_t *parent; /* a reference is held; may be NULL */
	kc_cancel_t *token;  /* the context's own token */
} kc_cancel_ctx_t;

KC_BEGIN_DECLS

/**
 * kc_cancel_init() - make a token without a parent
 * @ret:           the new token; the caller holds one reference
 *
 * Returns: 0, or
 *          KC_EINVAL   ret is NULL
 *          KC_ENOMEM   no memory
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_cancel_init(kc_cancel_t **ret);

/**
 * kc_cancel_init_child() - make a token below another
 * @ret:           the new token; the caller holds one reference
 * @parent:        its parent; a reference is taken until the child goes
 *
 * A parent that is already set gives a child that is already set.
 *
 * Returns: 0, or
 *          KC_EINVAL   ret or parent is NULL
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  parent was made before a fork
 * Thread:  any; concurrent with trigger, ref and unref of the parent.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_cancel_init_child(kc_cancel_t **ret, kc_cancel_t *parent);

/**
 * kc_cancel_ref() - take one more reference
 * @token:         may be NULL
 *
 * Returns: token.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_cancel_t *kc_cancel_ref(kc_cancel_t *token);

/**
 * kc_cancel_destroy() - give a reference back
 * @token:         may be NULL
 *
 * The token goes when the last reference goes; it is not triggered by that.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_cancel_destroy(kc_cancel_t *token);

/**
 * kc_cancel_trigger() - set a token and everything below it
 * @token:         may be NULL (nothing happens)
 *
 * When the call returns every token below is set and every wait on one of
 * them has been woken. Triggering again does nothing.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_cancel_trigger(kc_cancel_t *token);

/**
 * kc_cancel_is_set() - ask whether a token is set
 * @token:         may be NULL
 *
 * Returns: 1 if set, else 0 (NULL: 0).
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC int kc_cancel_is_set(const kc_cancel_t *token);

/**
 * kc_cancel_wait() - wait until a token is set
 * @token:         the token
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0 once set, or
 *          KC_EAGAIN   timeout 0 and not set
 *          KC_ETIME    deadline passed
 *          KC_EINVAL   token is NULL
 *          KC_EFORKED  token was made before a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_cancel_wait(kc_cancel_t *token, long timeout_ms);

/**
 * kc_cancel_ctx_init() - fill a context with a token below a parent
 * @ctx:           the context to fill
 * @parent:        may be NULL (the token is then a root); a reference is taken
 *
 * Returns: 0, or
 *          KC_EINVAL   ctx is NULL
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  parent was made before a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_cancel_ctx_init(kc_cancel_ctx_t *ctx, kc_cancel_t *parent);

/**
 * kc_cancel_ctx_destroy() - give back what a context holds and clear it
 * @ctx:           may be NULL
 *
 * Thread:  any, once nobody else uses the context.
 * Since:   0.1
 */
KC_PUBLIC void kc_cancel_ctx_destroy(kc_cancel_ctx_t *ctx);

KC_END_DECLS

#endif
