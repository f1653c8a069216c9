/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for a descriptor: see bell.h.
 */
#include "libkcoro-client/ipc/bell.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/ipc/debug.h"

void kci_bell_hang_on(kc_ipc_conn_t *conn, struct kci_bell *bell, struct kci_waiter *waiter)
{
	atomic_init(&bell->rung, false);
	bell->waiter = waiter;
	conn->bell = bell;
}

void kci_bell_hang(kc_ipc_conn_t *conn, struct kci_bell *bell)
{
	bell->waiter = NULL;
	if (!kci_coro_polling())
		return;
	kci_waiter_init(&bell->own);
	kci_bell_hang_on(conn, bell, &bell->own);
}

void kci_bell_take(kc_ipc_conn_t *conn)
{
	conn->bell = NULL;
}

void kci_conn_ring(kc_ipc_conn_t *conn)
{
	const uint64_t one = 1;

	/* full means that a wake-up is pending already */
	if (write(conn->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void kci_conn_wake(kc_ipc_conn_t *conn)
{
	struct kci_bell *bell = conn->bell;

	if (!bell)
		kci_conn_ring(conn);
	else if (!atomic_exchange_explicit(&bell->rung, true, memory_order_acq_rel))
		kci_waiter_stir(bell->waiter);
}

/* For ppoll(): NULL is for ever. */
static const struct timespec *time_left(uint64_t deadline, struct timespec *buf)
{
	uint64_t left = kci_deadline_left(deadline);

	if (left == KC_NEVER)
		return NULL;
	buf->tv_sec = (time_t)(left / KC_NS_PER_SEC);
	buf->tv_nsec = (long)(left % KC_NS_PER_SEC);
	return buf;
}

static int thread_await(kc_ipc_conn_t *conn, int fd, short events, uint64_t deadline)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = events },
		{ .fd = conn->wake_fd, .events = POLLIN },
	};
	struct timespec left;
	uint64_t count;

	if (ppoll(p, 2, time_left(deadline, &left), NULL) <= 0)
		return 0;
	if (!p[1].revents)
		return p[0].revents;
	if (read(conn->wake_fd, &count, sizeof(count)) < 0)
		KCI_DEBUG("eventfd: errno %d", errno);
	return 0;
}

static int coro_await(struct kci_bell *bell, int fd, short events, uint64_t deadline,
		      kc_cancel_t *token)
{
	struct kci_fd_wait wait = { .fd = fd, .events = events };
	int r;

	/* what the thread was told belongs to others from here on */
	kci_detail_clear();
	r = kci_coro_wait_fds(bell->waiter, &wait, 1, deadline, token);
	if (atomic_load_explicit(&bell->rung, memory_order_acquire) || r == KC_ETIME ||
	    r == KC_ECANCELED)
		return 0;
	return r < 0 ? r : wait.came;
}

int kci_bell_await(kc_ipc_conn_t *conn, struct kci_bell *bell, int fd, short events,
		   uint64_t deadline, kc_cancel_t *token)
{
	return bell->waiter ? coro_await(bell, fd, events, deadline, token)
			   : thread_await(conn, fd, events, deadline);
}

int kci_conn_await(kc_ipc_conn_t *conn, int fd, short events, uint64_t deadline)
{
	struct kci_bell bell;
	bool dead;
	int r = 0;

	KC_MUTEX_LOCK(&conn->lock);
	dead = conn->state == KCI_DEAD;
	kci_bell_hang(conn, &bell);
	KC_MUTEX_UNLOCK(&conn->lock);
	if (!dead)
		r = kci_bell_await(conn, &bell, fd, events, deadline, NULL);
	KC_MUTEX_LOCK(&conn->lock);
	kci_bell_take(conn);
	dead = conn->state == KCI_DEAD;
	KC_MUTEX_UNLOCK(&conn->lock);
	return dead ? KC_ECANCELED : r;
}
