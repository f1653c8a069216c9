/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_TYPES_H
#define KCORO_TYPES_H

/* The opaque handles, declared once so that each header stands alone in C99. */
typedef struct kc_chan kc_chan_t;         /* a channel: kcoro/chan.h */
typedef struct kc_cancel kc_cancel_t;     /* a cancellation token: kcoro/cancel.h */
typedef struct kc_actor kc_actor_t;       /* an actor: kcoro/actor.h */
typedef struct kc_select kc_select_t;     /* a select: kcoro/select.h */
typedef struct kc_sched kc_sched_t;       /* a scheduler: kcoro/sched.h */
typedef struct kc_coro kc_coro_t;         /* a coroutine: kcoro/sched.h */
typedef struct kc_scope kc_scope_t;       /* a scope: kcoro/scope.h */
typedef struct kc_job kc_job_t;           /* a job: kcoro/scope.h */
typedef struct kc_ipc_conn kc_ipc_conn_t; /* a connection to kcorod: kcoro/ipc.h */

#endif
