/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Something that happens once and that any number wait for: the end of a job, a scope, an actor.
 *
 * Whoever opens it and whoever waits each keep the memory until their own call has returned: by
 * the time one of those that were woken goes on, the one who opens may still hold the lock.
 */
#ifndef KCI_LATCH_H
#define KCI_LATCH_H

#include "kcoro/cancel.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/port/kcoro_port.h"

struct kci_latch {
	KC_MUTEX_T lock;
	struct kci_list waits; /* those that sleep */
	bool open;
};

void kci_latch_init(struct kci_latch *latch);
void kci_latch_done(struct kci_latch *latch);

/* Once. May be called from a hook of a token (core/cancel.h): nobody who holds the lock calls
 * anything of tokens. What was written before is seen by whoever finds it open. */
void kci_latch_open(struct kci_latch *latch);

/* Until it is open: 0, KC_EAGAIN (timeout 0), KC_ETIME, KC_ECANCELED, or KC_EFORKED (the token). */
int kci_latch_wait(struct kci_latch *latch, long timeout_ms, kc_cancel_t *token);

#endif
