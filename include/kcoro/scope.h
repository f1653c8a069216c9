/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_SCOPE_H
#define KCORO_SCOPE_H

#include <stddef.h>

#include "kcoro/chan.h"
#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Scopes and jobs: work that is begun together ends together.
 *
 * A job is a function that runs in a coroutine, with a token and a result of its own. A
 * scope holds any number of jobs, actors and other scopes, its children, and never ends
 * before the last of them. A child that fails cancels the others, unless the scope is a
 * supervisor; cancelling a scope cancels all that is below it, at any depth, at once.
 *
 *	static long fetch(kc_job_t *self, void *arg)
 *	{
 *		struct page *p = arg;
 *		// KC_ECANCELED once another one has failed
 *		return kc_chan_recv_c(p->from, p->text, -1, kc_job_token(self));
 *	}
 *
 *	kc_scope_t *scope;
 *	kc_scope_init(&scope, NULL);
 *	for (int i = 0; i < n; i++)
 *		kc_scope_launch(scope, fetch, &pages[i], NULL);
 *	kc_scope_wait_all(scope, -1);
 *	result = kc_scope_result(scope);      // 0, or what the first failure was
 *	kc_scope_destroy(scope);
 *
 * Nothing here is preempted: who is cancelled has to notice it, by a call that takes its
 * token or by kc_cancel_is_set().
 *
 * A negative result is a failure. But of a job whose token was set before its function had
 * returned, KC_ECANCELED, KC_EPIPE (its neighbour was cancelled, too, and has closed the
 * channel) and everything from 0 up are the end of a cancelled job and no failure; so it ends
 * as KC_STATE_CANCELLED, else as KC_STATE_COMPLETED or KC_STATE_FAILED.
 * A scope has failed when a child has and it is no supervisor; that is then a failure of
 * the scope it is a child of, too.
 *
 * In a forked child all of this gives KC_EFORKED; calls that return nothing do nothing.
 */

/* How far a job or a scope is. It only ever goes to one of a greater number. */
enum kc_state {
	KC_STATE_ACTIVE = 0,
	KC_STATE_COMPLETING = 1, /* a job: its function has returned; a scope: its end is waited
				  * for, and comes with that of its last child */
	KC_STATE_CANCELLING = 2, /* the token is set */
	KC_STATE_COMPLETED = 3,  /* from here on it has ended */
	KC_STATE_CANCELLED = 4,
	KC_STATE_FAILED = 5,
};

/* What a job runs; self is its own, and valid until the function returns. */
typedef long (*kc_job_fn)(kc_job_t *self, void *arg);

/* The same for kc_scope_produce(), with the channel to send to. */
typedef long (*kc_produce_fn)(kc_job_t *self, kc_chan_t *ch, void *arg);

/* kc_scope_options.flags */
#define KC_SCOPE_SUPERVISOR 1u /* a child that fails cancels nobody else */

/*
 * How to make a scope. Start from KC_SCOPE_OPTIONS_INIT and set what matters:
 *
 *	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
 *	o.parent = scope;
 *	o.deadline_ms = 500;
 */
struct kc_scope_options {
	size_t size;        /* sizeof(struct kc_scope_options): lets the struct grow */
	kc_cancel_t *token; /* the parent of the scope's own token; NULL: none. A reference is
			     * taken */
	kc_scope_t *parent; /* the scope this is a child of; NULL: none. Then no token */
	kc_sched_t *sched;  /* where the children run; NULL: as the parent's, else as kc_spawn() */
	long deadline_ms;   /* after which it is cancelled, with reason KC_ETIME; 0: none */
	unsigned flags;     /* KC_SCOPE_* */
};

#define KC_SCOPE_OPTIONS_INIT                                                                      \
	{                                                                                          \
		sizeof(struct kc_scope_options), 0, 0, 0, 0, 0                                     \
	}

struct kc_actor_ctx;

KC_BEGIN_DECLS

/**
 * kc_scope_init() - make a scope
 * @ret:           the scope, to be given to kc_scope_destroy(); written on success
 * @parent:        the parent of the scope's token; may be NULL; a reference is taken
 *
 * Returns: 0, or
 *          KC_EINVAL   ret is NULL
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  the token was made before a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_init(kc_scope_t **ret, kc_cancel_t *parent);

/**
 * kc_scope_init_ex() - make a scope with every option
 * @ret:           the scope, to be given to kc_scope_destroy(); written on success
 * @opts:          options
 *
 * A scope with a parent is waited for by it, is cancelled with it, and fails it; it ends
 * like any other, by kc_scope_wait_all(), a cancellation or kc_scope_destroy(). A deadline
 * counts from the call and costs a coroutine on the scope's scheduler, no thread, until
 * the scope ends.
 *
 * Returns: 0, or
 *          KC_EINVAL     NULL, or an option is out of range; the detail says which
 *          KC_ENOMEM     no memory
 *          KC_ECANCELED  the parent is cancelled or has ended
 *          KC_EFORKED    the token, the parent or the scheduler came through a fork
 *          and with a deadline also
 *          KC_EDQUOT     the scheduler has as many coroutines as it may
 *          KC_ENOTSUP    as kc_sched_default()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_init_ex(kc_scope_t **ret, const struct kc_scope_options *opts);

/**
 * kc_scope_launch() - start a job in a scope
 * @scope:         the scope
 * @fn:            what it runs
 * @arg:           handed to fn
 * @ret:           the job, to be given to kc_job_release(); NULL: it goes when it ends;
 *                 written on success
 *
 * Returns: 0, or
 *          KC_EINVAL     scope or fn is NULL
 *          KC_ENOMEM     no memory
 *          KC_ECANCELED  the scope is cancelled or has ended
 *          KC_EDQUOT     the scheduler has as many coroutines as it may
 *          KC_ENOTSUP    as kc_sched_default()
 *          KC_EFORKED    the scope came through a fork
 * Thread:  any, the scope's own children included.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_launch(kc_scope_t *scope, kc_job_fn fn, void *arg,
					    kc_job_t **ret);

/**
 * kc_scope_actor() - start an actor in a scope
 * @scope:         the scope
 * @ctx:           as for kc_actor_start_ex() (kcoro/actor.h); its token has to be NULL, for
 *                 the scope's takes that place
 * @ret:           the actor, to be given to kc_actor_stop(); NULL: it goes when it ends;
 *                 written on success
 *
 * The actor fails the scope with a negative result, except that of a channel that is closed
 * and drained, and those that follow its being cancelled, as of a job.
 *
 * Returns: as kc_actor_start_ex(), or
 *          KC_ECANCELED  the scope is cancelled or has ended
 * Thread:  any, the scope's own children included.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_actor(kc_scope_t *scope, const struct kc_actor_ctx *ctx,
					   kc_actor_t **ret);

/**
 * kc_scope_produce() - start a job that sends into a channel of its own
 * @scope:         the scope
 * @kind:          enum kc_kind
 * @elem_size:     bytes per element, 1..KC_ELEM_MAX
 * @capacity:      KC_BUFFERED: 1..KC_CAPACITY_MAX; other kinds: 0
 * @fn:            what the job runs
 * @arg:           handed to fn
 * @ret:           the channel, which is closed when fn has returned; written on success
 *
 * The channel is local and the caller's: to be destroyed once a receive has given KC_EPIPE
 * or the scope has ended.
 *
 * Returns: as kc_scope_launch(), and KC_EINVAL also where kc_chan_make() gives that
 * Thread:  any, the scope's own children included.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_produce(kc_scope_t *scope, enum kc_kind kind, size_t elem_size,
					     size_t capacity, kc_produce_fn fn, void *arg,
					     kc_chan_t **ret);

/**
 * kc_scope_wait_all() - wait until a scope has ended
 * @scope:         the scope
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 *
 * Also asks for the end: the scope ends with the last of its children, if this call is still
 * there or not; until then they, and others, may launch more. With a timeout of 0 that is so
 * only if no child is left.
 *
 * Returns: 0 once it has ended, however, or
 *          KC_EAGAIN   timeout 0 and children are left
 *          KC_ETIME    deadline passed
 *          KC_EINVAL   scope is NULL, or the call came from a job or actor below it
 *          KC_EFORKED  the scope came through a fork
 * Thread:  any, several at once.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_wait_all(kc_scope_t *scope, long timeout_ms);

/**
 * kc_scope_wait_all_c() - the same, until a token is set
 * @scope:         the scope
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 * @token:         may be NULL; ends the wait and nothing else
 *
 * Returns: as kc_scope_wait_all(), or
 *          KC_ECANCELED  the token was set first
 * Thread:  any, several at once.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_scope_wait_all_c(kc_scope_t *scope, long timeout_ms,
						kc_cancel_t *token);

/**
 * kc_scope_cancel() - cancel a scope and everything below it, without waiting
 * @scope:         may be NULL
 * @reason:        for kc_scope_reason() and kc_job_reason(); 0 stands for KC_ECANCELED
 *
 * When the call returns every token below is set and every wait on one of them has been
 * woken. The first reason stays. The scope ends with the last of its children.
 * Thread:  any, the scope's own children included.
 * Since:   0.1
 */
KC_PUBLIC void kc_scope_cancel(kc_scope_t *scope, long reason);

/**
 * kc_scope_token() - the token of a scope
 * @scope:         the scope
 *
 * Setting it cancels the scope.
 *
 * Returns: the token, the scope's own, which is valid as long as the scope is; NULL for NULL
 *          and for a scope that came through a fork.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_cancel_t *kc_scope_token(kc_scope_t *scope);

/**
 * kc_scope_state() - how far a scope is
 * @scope:         the scope
 *
 * Returns: enum kc_state, or
 *          KC_EINVAL   scope is NULL
 *          KC_EFORKED  the scope came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC int kc_scope_state(kc_scope_t *scope);

/**
 * kc_scope_result() - the first failure of a child
 * @scope:         the scope
 *
 * That of a supervisor's child is told, too, though the scope does not fail by it.
 *
 * Returns: the result of the first child that failed, 0 if none has, or
 *          KC_EINVAL   scope is NULL
 *          KC_EFORKED  the scope came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC long kc_scope_result(kc_scope_t *scope);

/**
 * kc_scope_reason() - why a scope was cancelled
 * @scope:         the scope
 *
 * That is what kc_scope_cancel() was given, the result of the child that failed, KC_ETIME
 * after its deadline, the reason of its parent, or KC_ECANCELED if only a token was set.
 *
 * Returns: the reason, 0 if it was not cancelled, or
 *          KC_EINVAL   scope is NULL
 *          KC_EFORKED  the scope came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC long kc_scope_reason(kc_scope_t *scope);

/**
 * kc_scope_destroy() - cancel a scope, wait for its end, free it
 * @scope:         may be NULL; gone afterwards
 *
 * Returns: 0, or
 *          KC_EINVAL   called from a job or actor below the scope; nothing has happened
 *          KC_EFORKED  the scope came through a fork
 * Thread:  any, once nobody else uses the scope.
 * Since:   0.1
 */
KC_PUBLIC int kc_scope_destroy(kc_scope_t *scope);

/**
 * kc_job_launch() - start a job without a scope
 * @ret:           the job, to be given to kc_job_release(); NULL: it goes when it ends;
 *                 written on success
 * @sched:         where; NULL: where the caller runs, or for a thread the default
 * @parent:        the parent of the job's token; may be NULL; a reference is taken
 * @fn:            what it runs
 * @arg:           handed to fn
 *
 * Nothing waits for such a job but kc_job_join(), and its failure reaches nobody else.
 *
 * Returns: 0, or
 *          KC_EINVAL   fn is NULL
 *          KC_ENOMEM   no memory
 *          KC_EDQUOT   the scheduler has as many coroutines as it may
 *          KC_ENOTSUP  as kc_sched_default()
 *          KC_EFORKED  the scheduler or the token came through a fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_job_launch(kc_job_t **ret, kc_sched_t *sched, kc_cancel_t *parent,
					  kc_job_fn fn, void *arg);

/**
 * kc_job_retain() - take one more reference
 * @job:           may be NULL
 *
 * Returns: job.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_job_t *kc_job_retain(kc_job_t *job);

/**
 * kc_job_release() - give a reference back
 * @job:           may be NULL
 *
 * A job that runs goes on.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_job_release(kc_job_t *job);

/**
 * kc_job_current() - the running job
 *
 * Returns: it, or NULL where none runs; valid until its function returns, or longer by
 *          kc_job_retain().
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_job_t *kc_job_current(void);

/**
 * kc_job_token() - the token of a job
 * @job:           the job
 *
 * Setting it cancels the job.
 *
 * Returns: the token, the job's own, which is valid as long as the job is; NULL for NULL and
 *          for a job that came through a fork.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC kc_cancel_t *kc_job_token(kc_job_t *job);

/**
 * kc_job_join() - wait until a job has ended
 * @job:           the job; stays the caller's
 * @ret_result:    what its function returned; may be NULL
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0 once it has ended, however, or
 *          KC_EAGAIN   timeout 0 and it runs
 *          KC_ETIME    deadline passed
 *          KC_EINVAL   job is NULL or the caller
 *          KC_EFORKED  the job came through a fork
 * Thread:  any, several at once.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_job_join(kc_job_t *job, long *ret_result, long timeout_ms);

/**
 * kc_job_join_c() - the same, until a token is set
 * @job:           the job; stays the caller's
 * @ret_result:    what its function returned; may be NULL
 * @timeout_ms:    0 = ask once, < 0 = without bound, > 0 = at most so long
 * @token:         may be NULL
 *
 * Returns: as kc_job_join(), or
 *          KC_ECANCELED  the token was set first
 * Thread:  any, several at once.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_job_join_c(kc_job_t *job, long *ret_result, long timeout_ms,
					  kc_cancel_t *token);

/**
 * kc_job_cancel() - cancel a job, without waiting
 * @job:           may be NULL
 * @reason:        for kc_job_reason(); 0 stands for KC_ECANCELED
 *
 * The first reason stays.
 * Thread:  any, the job itself included.
 * Since:   0.1
 */
KC_PUBLIC void kc_job_cancel(kc_job_t *job, long reason);

/**
 * kc_job_state() - how far a job is
 * @job:           the job
 *
 * Returns: enum kc_state, or
 *          KC_EINVAL   job is NULL
 *          KC_EFORKED  the job came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC int kc_job_state(kc_job_t *job);

/**
 * kc_job_result() - what the function of a job returned
 * @job:           the job
 *
 * Returns: it, 0 while the job has not ended, or
 *          KC_EINVAL   job is NULL
 *          KC_EFORKED  the job came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC long kc_job_result(kc_job_t *job);

/**
 * kc_job_reason() - why a job was cancelled
 * @job:           the job
 *
 * That is what kc_job_cancel() was given, the reason of its scope, or KC_ECANCELED if only a
 * token was set.
 *
 * Returns: the reason, 0 if it was not cancelled while it ran, or
 *          KC_EINVAL   job is NULL
 *          KC_EFORKED  the job came through a fork
 * Thread:  any; never blocks.
 * Since:   0.1
 */
KC_PUBLIC long kc_job_reason(kc_job_t *job);

KC_END_DECLS

#endif
