/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Latches: the flag and the list of those who sleep, under one lock. Whoever waits takes the lock
 * again only if it was not woken, so ten thousand that were do not queue for it.
 */
#include "libkcoro-client/core/latch.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/waiter.h"

struct wait {
	struct kci_list link;
	struct kci_waiter waiter;
};

void kci_latch_init(struct kci_latch *latch)
{
	KC_MUTEX_INIT(&latch->lock);
	kci_list_init(&latch->waits);
	latch->open = false;
}

void kci_latch_done(struct kci_latch *latch)
{
	KC_MUTEX_DESTROY(&latch->lock);
}

void kci_latch_open(struct kci_latch *latch)
{
	struct wait *w;

	KC_MUTEX_LOCK(&latch->lock);
	latch->open = true;
	while ((w = KCI_LIST_FIRST(&latch->waits, struct wait, link))) {
		kci_list_remove(&w->link);
		kci_waiter_unpark(&w->waiter);
	}
	KC_MUTEX_UNLOCK(&latch->lock);
}

int kci_latch_wait(struct kci_latch *latch, long timeout_ms, kc_cancel_t *token)
{
	struct wait w;
	bool open;
	int r = kci_cancel_check(token);

	if (r < 0)
		return r;
	kci_waiter_init(&w.waiter);
	KC_MUTEX_LOCK(&latch->lock);
	open = latch->open;
	if (!open && timeout_ms != 0)
		kci_list_append(&latch->waits, &w.link);
	KC_MUTEX_UNLOCK(&latch->lock);
	if (open)
		return 0;
	if (timeout_ms == 0)
		return KC_EAGAIN;
	r = kci_waiter_park(&w.waiter, kci_deadline_from_ms(timeout_ms), token);
	if (r == 0)
		return 0;
	KC_MUTEX_LOCK(&latch->lock);
	open = latch->open;
	if (!open)
		kci_list_remove(&w.link);
	KC_MUTEX_UNLOCK(&latch->lock);
	if (!open)
		return r;
	/* it was opened while this one woke up: that wins, and the unpark is on its way */
	kci_waiter_await(&w.waiter);
	return 0;
}
