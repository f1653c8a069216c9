/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for a descriptor on behalf of a connection, until something else happens there.
 *
 * A thread polls the descriptor together with conn->wake_fd. A coroutine parks: its
 * scheduler waits for the descriptor, and it hangs out a bell for the other things.
 *
 * Why no ring is lost. A bell is hung out with the lock held, by who has looked, under the
 * same lock, at what it would be rung for; and it is rung with the lock held. What
 * happens before finds no bell and is written to wake_fd, at the price that the next
 * thread looks once too often. A bell is taken down with the lock held, too, so who rings
 * one always rings it while its owner is still there; and whoever also wakes that owner,
 * because the descriptor is ready, does so under the scheduler's lock, which the owner
 * takes before it comes back here (kci_coro_wait_fds()).
 *
 * A select that reads, thread or coroutine, hangs out a bell that stirs its own waiter.
 */
#ifndef KCI_BELL_H
#define KCI_BELL_H

#include "libkcoro-client/ipc/conn.h"

/* In the frame of who waits. */
struct kci_bell {
	struct kci_waiter *waiter; /* who is to be stirred; NULL: a thread that polls wake_fd */
	struct kci_waiter own;
	_Atomic bool rung;
};

/* Lock held: from here on kci_conn_wake() ends the wait that follows; and the end of that. */
void kci_bell_hang(kc_ipc_conn_t *conn, struct kci_bell *bell);
void kci_bell_take(kc_ipc_conn_t *conn);
/* The first, for who waits with a waiter of its own. */
void kci_bell_hang_on(kc_ipc_conn_t *conn, struct kci_bell *bell, struct kci_waiter *waiter);

/*
 * Between the two, lock not held: the events of fd that came. 0: look again, because of
 * kci_conn_wake(), the deadline, or token (looked at for coroutines only). A code, with
 * words, if it cannot be waited for.
 */
int kci_bell_await(kc_ipc_conn_t *conn, struct kci_bell *bell, int fd, short events,
		   uint64_t deadline, kc_cancel_t *token);

/* All of it, lock not held, for who connects; KC_ECANCELED once the connection is dead. */
int kci_conn_await(kc_ipc_conn_t *conn, int fd, short events, uint64_t deadline);

/* Lock held: get the reader out of its wait. */
void kci_conn_wake(kc_ipc_conn_t *conn);

/* The same for a thread, with or without the lock. */
void kci_conn_ring(kc_ipc_conn_t *conn);

#endif
