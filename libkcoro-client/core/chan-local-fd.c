/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors to wait on for a local channel: an eventfd for each direction that was
 * asked for.
 *
 * A bell rings when a try would find something, and is silent again once a try found
 * nothing. Both are decided under the channel's locks, at the end of each section that
 * may have changed anything, so whenever the lock is free: it has rung, or a try would
 * find nothing. That neither misses nor, since nobody else silences it, stays.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/chan-local.h"
#include "libkcoro-client/core/detail.h"

void kci_bell_init(struct kci_bell *bell)
{
	*bell = (struct kci_bell){ .fd = -1 };
}

void kci_bell_done(struct kci_bell *bell)
{
	int saved = kci_thread_nocancel();

	if (bell->fd >= 0)
		(void)close(bell->fd);
	bell->fd = -1;
	kci_thread_nocancel_end(saved);
}

static bool would_send(const struct kci_local *lc)
{
	if (lc->closed || !kci_list_empty(&lc->receivers))
		return true;
	if (!kci_list_empty(&lc->senders))
		return false; /* behind those */
	return lc->head.kind == KC_CONFLATED || lc->overflow != KC_OVERFLOW_BLOCK ||
	       kci_local_fits(lc, lc->send_bell.need);
}

static bool would_receive(const struct kci_local *lc)
{
	return lc->closed || kci_local_queued(lc) > 0 || !kci_list_empty(&lc->senders);
}

static void ring(struct kci_bell *bell)
{
	int saved = kci_thread_nocancel();

	/* cannot fail but for a counter that is full, which is as readable */
	(void)eventfd_write(bell->fd, 1);
	kci_thread_nocancel_end(saved);
	bell->rung = true;
}

static void silence(struct kci_bell *bell)
{
	int saved = kci_thread_nocancel();
	eventfd_t count;

	(void)eventfd_read(bell->fd, &count);
	kci_thread_nocancel_end(saved);
	bell->rung = false;
}

void kci_local_ring_watched(struct kci_local *lc)
{
	if (lc->send_bell.fd >= 0 && !lc->send_bell.rung && would_send(lc))
		ring(&lc->send_bell);
	if (lc->recv_bell.fd >= 0 && !lc->recv_bell.rung && would_receive(lc))
		ring(&lc->recv_bell);
}

void kci_local_silence(struct kci_local *lc, const struct kci_op *op)
{
	struct kci_bell *bell = op->send ? &lc->send_bell : &lc->recv_bell;

	if (bell->fd < 0)
		return;
	if (op->send)
		bell->need = op->send->msgs ? op->send->msgs[0].len : lc->head.elem_size;
	if (bell->rung)
		silence(bell);
}

int kci_local_fd(kc_chan_t *ch, unsigned direction)
{
	struct kci_local *lc = kci_local_get(ch);
	struct kci_bell *bell = direction == KC_SENDER ? &lc->send_bell : &lc->recv_bell;
	int fd;

	kci_local_lock(lc);
	if (bell->fd < 0) {
		bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		bell->need = lc->head.elem_size;
		lc->watched |= bell->fd >= 0;
		kci_local_ring(lc);
	}
	fd = bell->fd;
	kci_local_unlock(lc);
	return fd >= 0 ? fd : kci_fail(KC_ENOMEM, "no descriptor is left for an eventfd");
}
