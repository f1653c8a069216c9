/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Something that can wait for exactly one wake-up.
 *
 * That is a thread, asleep in a futex, or a coroutine, parked by its scheduler.
 * Whoever blocks makes a waiter in its own frame, lets others find it (under a lock
 * of theirs), drops that lock and parks; whoever completes the operation unparks it
 * once. Nothing outside waiter.c knows what a waiter is made of.
 *
 * An unpark that comes before the park is kept. What ends a wait is decided by
 * the flags at wake-up in a fixed order: unparked, then cancelled, then the
 * deadline. A caller that gets KC_ECANCELED or KC_ETIME must still make sure that
 * nobody can find its waiter any more; if it turns out that somebody had found it
 * already, the unpark is on its way and is waited for with kci_waiter_await().
 *
 * Who waits for several things at once, of which some are only to be looked at, can be
 * stirred as well, as often as may be, by those who find the waiter under a lock, until it
 * has made sure under that lock that they do not find it any more.
 */
#ifndef KCI_WAITER_H
#define KCI_WAITER_H

#include <stdint.h>

#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/port/kcoro_port.h"

struct kci_fd_wait;

#define KCI_POLL_MOST 64u /* descriptors waited for at a time */

struct kci_waiter {
	_Atomic uint32_t flags;
	int fd; /* of a thread that waits for descriptors too: an eventfd to wake it by; or -1 */
	kc_coro_t *coro; /* who made it; NULL: a thread */
	struct kci_cancel_hook hook;
};

void kci_waiter_init(struct kci_waiter *w);

/* 0 once unparked or stirred, KC_ECANCELED once token (may be NULL) is set, KC_ETIME at the
 * deadline. */
int kci_waiter_park(struct kci_waiter *w, uint64_t deadline, kc_cancel_t *token);

/* Wait for an unpark that is certain to come. */
void kci_waiter_await(struct kci_waiter *w);

/*
 * The same, or until one of the descriptors, KCI_POLL_MOST at most, has one of its events: 0
 * then, too. A thread needs an eventfd of its own in w->fd for this, and for every other
 * wait until that is -1 again.
 */
int kci_waiter_poll(struct kci_waiter *w, struct kci_fd_wait *fds, size_t n, uint64_t deadline,
		    kc_cancel_t *token);

/* Has it been unparked? */
bool kci_waiter_is_unparked(struct kci_waiter *w);

/* Let it look; and, by who waits and is about to look: what was stirred until now is seen. */
void kci_waiter_stir(struct kci_waiter *w);
void kci_waiter_calm(struct kci_waiter *w);

/* At most once per init. The waiter may be gone by the time this returns: the
 * caller must not touch it, nor what lies in the same frame, afterwards. */
void kci_waiter_unpark(struct kci_waiter *w);

/* For tests: called by every kci_waiter_park() before it sleeps, after others can
 * find the waiter; so a test can wait until somebody really is blocked. NULL
 * takes it away. */
void kci_waiter_set_hook(void (*fn)(void));

#endif
