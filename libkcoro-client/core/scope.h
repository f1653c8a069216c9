/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a scope is to its children: jobs, actors and other scopes.
 *
 * A child enters before it exists for anybody else and leaves once, when everything about its end
 * is settled; in between the scope cannot end. It also keeps the scope's memory until
 * kci_scope_unref(), which may come long after the scope's end.
 */
#ifndef KCI_SCOPE_H
#define KCI_SCOPE_H

#include "kcoro/error.h"
#include "kcoro/scope.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/latch.h"

struct kc_scope {
	uint64_t process;
	kc_cancel_t *token;
	kc_sched_t *sched;  /* where children run; NULL: see kc_spawn() */
	kc_scope_t *parent; /* it is a child of, NULL: of none */
	bool supervisor;
	long deadline_ms;
	_Atomic int state; /* enum kc_state; kc_scope_state() may be ahead of it */
	_Atomic long failure;
	_Atomic long reason;
	_Atomic bool held; /* its owner has not asked for the end yet, nor has anybody else */
	_Atomic uint32_t pending; /* children, and 1 while held; 0: it has ended */
	_Atomic uint32_t refs;
	struct kci_cancel_hook hook; /* lets go of it when the token is set */
	struct kci_latch end;
};

/* One more child, and one more reference. 0, KC_EINVAL (NULL), KC_EFORKED, or KC_ECANCELED: it is
 * cancelled or has ended. */
int kci_scope_enter(kc_scope_t *scope);
/* A child that has not left yet has failed with that result, which is not 0. */
void kci_scope_fail(kc_scope_t *scope, long result);
/* A child is gone. */
void kci_scope_leave(kc_scope_t *scope);
void kci_scope_unref(kc_scope_t *scope);

/* May a result be what became of a cancellation, and so be no failure of whoever was cancelled?
 * Its own wait was cancelled, or a neighbour was faster and has closed a channel between them. */
static inline bool kci_follows_cancel(long result)
{
	return result == KC_ECANCELED || result == KC_EPIPE;
}

/* Why a scope was cancelled; 0: it was not. The scope may have ended. */
long kci_scope_reason(kc_scope_t *scope);

/* The scope of the running job; NULL: none runs here, or it has none. */
kc_scope_t *kci_job_scope(void);

#endif
