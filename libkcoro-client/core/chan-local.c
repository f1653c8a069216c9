/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Local channels: making, closing, looking, destroying.
 */
#include "libkcoro-client/core/chan-local.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/options.h"

static const struct kci_chan_ops local_ops;

struct kci_local *kci_local_get(kc_chan_t *ch)
{
	return ch->ops == &local_ops ? KC_CONTAINER_OF(ch, struct kci_local, head) : NULL;
}

/* The most elements the queue may hold. */
static size_t capacity_of(const struct kc_chan_options *o)
{
	switch (o->kind) {
	case KC_BUFFERED:
		return o->capacity;
	case KC_CONFLATED:
		return 1;
	case KC_UNLIMITED:
		/* bounded by bytes; empty messages have none and are bounded by this */
		return o->max_bytes;
	default:
		return 0;
	}
}

static int local_new(kc_chan_t **ret, const struct kc_chan_options *opts)
{
	struct kc_chan_options o;
	struct kci_local *lc;
	int r = kci_options_check(opts, &o);

	if (r < 0)
		return r;
	if (o.flags)
		return kci_fail(KC_EINVAL, "flags: auto-close and lease-only are for a daemon's "
					   "channels");
	if (opts->mode)
		return kci_fail(KC_EINVAL, "mode is for a daemon's channels");
	lc = KC_CALLOC(1, sizeof(*lc));
	if (!lc)
		return KC_ENOMEM;
	kci_chan_init(&lc->head, &local_ops, o.kind, o.elem_size, o.max_msg,
		      o.elem_size == 0 ? KC_CHAN_CAP_MSG : 0);
	lc->capacity = capacity_of(&o);
	lc->max_bytes = o.max_bytes;
	lc->overflow = o.overflow;
	lc->on_drop = o.on_drop;
	lc->on_drop_arg = o.on_drop_arg;
	KC_MUTEX_INIT(&lc->lock);
	kci_bell_init(&lc->send_bell);
	kci_bell_init(&lc->recv_bell);
	kci_queue_init(&lc->queue, o.elem_size);
	kci_list_init(&lc->senders);
	kci_list_init(&lc->receivers);
	*ret = &lc->head;
	return 0;
}

int kc_chan_make(kc_chan_t **ret, enum kc_kind kind, size_t elem_size, size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	if (!ret)
		return (int)kci_result(KC_EINVAL);
	if (elem_size == 0)
		return (int)kci_result(kci_fail(KC_EINVAL,
						"elem_size is 0; kc_chan_make_ex() makes "
						"message channels"));
	o.kind = kind;
	o.elem_size = elem_size;
	o.capacity = capacity;
	return (int)kci_result(local_new(ret, &o));
}

int kc_chan_make_ex(kc_chan_t **ret, const struct kc_chan_options *opts)
{
	if (!ret || !opts)
		return (int)kci_result(KC_EINVAL);
	return (int)kci_result(local_new(ret, opts));
}

/* Close under the lock: everybody's wait ends. */
static void close_locked(struct kci_local *lc, struct kci_after *after)
{
	struct kci_list *lists[] = { &lc->senders, &lc->receivers };

	lc->closed = true;
	/* receivers wait only while there is nothing to drain */
	for (size_t i = 0; i < KC_ARRAY_SIZE(lists); i++) {
		struct kci_op *op;

		while ((op = KCI_LIST_FIRST(lists[i], struct kci_op, link))) {
			op->code = KC_EPIPE;
			kci_after_wake(after, op);
		}
	}
}

static int local_close(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_after after;

	kci_after_init(&after, lc);
	KC_MUTEX_LOCK(&lc->lock);
	close_locked(lc, &after);
	kci_local_ring(lc);
	KC_MUTEX_UNLOCK(&lc->lock);
	kci_after_run(lc, &after, NULL);
	return 0;
}

/* Take everything out of the queue under the lock; one of the books' counters
 * says where it went. */
static struct kci_queue queue_take_all(struct kci_local *lc, uint64_t *counter)
{
	struct kci_queue all = lc->queue;

	*counter += all.len;
	kci_queue_init(&lc->queue, all.elem_size);
	return all;
}

static long local_purge(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_queue purged;
	struct kci_after after;
	long n;

	kci_after_init(&after, lc);
	KC_MUTEX_LOCK(&lc->lock);
	purged = queue_take_all(lc, &lc->ledger.dropped_purged);
	kci_local_refill(lc, &after);
	kci_local_ring(lc);
	KC_MUTEX_UNLOCK(&lc->lock);
	n = (long)purged.len;
	kci_after_run(lc, &after, NULL);
	kci_local_drop_all(lc, &purged, KC_DROP_PURGED);
	return n;
}

static long local_len(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	long n;

	KC_MUTEX_LOCK(&lc->lock);
	n = (long)lc->queue.len;
	KC_MUTEX_UNLOCK(&lc->lock);
	return n;
}

static int local_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *ret)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);

	ret->capacity = ch->kind == KC_BUFFERED ? lc->capacity : 0;
	KC_MUTEX_LOCK(&lc->lock);
	ret->time_ns = kci_clock_now();
	ret->closed = lc->closed;
	ret->len = lc->queue.len;
	ret->bytes_sent = lc->bytes_sent;
	ret->bytes_received = lc->bytes_received;
	ret->ledger = lc->ledger;
	ret->ledger.queued = lc->queue.len;
	KC_MUTEX_UNLOCK(&lc->lock);
	return 0;
}

static void local_destroy(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_queue left;

	(void)local_close(ch);
	kci_chan_wait_idle(ch);
	KC_MUTEX_LOCK(&lc->lock);
	left = queue_take_all(lc, &lc->ledger.dropped_destroyed);
	KC_MUTEX_UNLOCK(&lc->lock);
	/* the hook may still look at this channel: it goes only afterwards */
	kci_local_drop_all(lc, &left, KC_DROP_DESTROYED);
	if (lc->zcopy && lc->zcopy->detach)
		lc->zcopy->detach(lc->zcopy_state);
	kci_queue_done(&lc->queue);
	kci_bell_done(&lc->send_bell);
	kci_bell_done(&lc->recv_bell);
	KC_MUTEX_DESTROY(&lc->lock);
	KC_FREE(lc);
}

static unsigned list_len(const struct kci_list *list)
{
	unsigned n = 0;

	for (const struct kci_list *at = list->next; at != list; at = at->next)
		n++;
	return n;
}

void kci_local_waiting(kc_chan_t *ch, unsigned *ret_senders, unsigned *ret_receivers)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);

	KC_MUTEX_LOCK(&lc->lock);
	*ret_senders = list_len(&lc->senders);
	*ret_receivers = list_len(&lc->receivers);
	KC_MUTEX_UNLOCK(&lc->lock);
}

static const struct kci_chan_ops local_ops = {
	.send = kci_local_send,
	.recv = kci_local_recv,
	.close = local_close,
	.purge = local_purge,
	.len = local_len,
	.snapshot = local_snapshot,
	.destroy = local_destroy,
	.fd = kci_local_fd,
};
