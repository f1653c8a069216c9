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

/* Lines are to be shared by nobody who need not. */
static struct kci_local *local_alloc(void)
{
	void *memory = KC_CALLOC(1, sizeof(struct kci_local) + 64);
	struct kci_local *lc = (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);

	if (!memory)
		return NULL;
	lc->memory = memory;
	return lc;
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
	lc = local_alloc();
	if (!lc)
		return KC_ENOMEM;
	kci_chan_init(&lc->head, &local_ops, o.kind, o.elem_size, o.max_msg,
		      o.elem_size == 0 ? KC_CHAN_CAP_MSG : 0);
	lc->capacity = capacity_of(&o);
	lc->max_bytes = o.max_bytes;
	lc->overflow = o.overflow;
	lc->on_drop = o.on_drop;
	lc->on_drop_arg = o.on_drop_arg;
	kci_biased_init(&lc->send_lock);
	kci_biased_init(&lc->recv_lock);
	kci_bell_init(&lc->send_bell);
	kci_bell_init(&lc->recv_bell);
	kci_queue_init(&lc->queue, o.elem_size);
	kci_list_init(&lc->senders);
	kci_list_init(&lc->receivers);
	kci_list_init(&lc->leaving);
	kci_local_shape(lc);
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
		struct kci_seat *seat;

		while ((seat = kci_local_first(lc, lists[i]))) {
			struct kci_op *op = kci_local_claim(lc, seat, after);

			if (!op)
				continue;
			op->code = KC_EPIPE;
			kci_chan_failed(&lc->head, op->send != NULL, KC_EPIPE);
			kci_after_wake(after, op);
		}
	}
}

static int local_close(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_after after;

	kci_after_init(&after, lc);
	kci_local_lock(lc);
	close_locked(lc, &after);
	kci_local_ring(lc);
	kci_local_unlock(lc);
	kci_after_run(lc, &after, NULL);
	return 0;
}

/* What was queued, taken away. */
struct taken {
	struct kci_queue queue;
	struct kci_spsc ring;
	size_t first, n; /* of the ring */
};

/* Under the locks; one of the books' counters says where it went. Returns how many. */
static size_t take_all(struct kci_local *lc, uint64_t *counter, struct taken *ret)
{
	size_t n = kci_local_queued(lc);

	*counter += n;
	ret->queue = lc->queue;
	kci_queue_init(&lc->queue, ret->queue.elem_size);
	kci_spsc_steal(&lc->ring, &lc->in, &lc->out, &ret->ring, &ret->first, &ret->n);
	return n;
}

/* Without them. */
static void drop_taken(struct kci_local *lc, struct taken *taken, enum kc_drop_reason reason)
{
	kci_local_drop_all(lc, &taken->queue, reason);
	for (size_t i = 0; lc->on_drop && i < taken->n; i++) {
		const void *slot = kci_spsc_at(&taken->ring, taken->first + i);
		struct kc_zdesc room;

		kci_local_drop(lc, kci_local_in_slot(lc, slot, &room), lc->head.elem_size, reason);
	}
	KC_FREE(taken->ring.slots);
}

static long local_purge(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct taken purged;
	struct kci_after after;
	long n;

	kci_after_init(&after, lc);
	kci_local_lock(lc);
	n = (long)take_all(lc, &lc->ledger.dropped_purged, &purged);
	kci_local_refill(lc, &after);
	kci_local_ring(lc);
	kci_local_unlock(lc);
	kci_after_run(lc, &after, NULL);
	drop_taken(lc, &purged, KC_DROP_PURGED);
	return n;
}

static long local_len(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	long n;

	kci_local_lock(lc);
	n = (long)kci_local_queued(lc);
	kci_local_unlock(lc);
	return n;
}

static int local_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *ret)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);

	ret->capacity = ch->kind == KC_BUFFERED ? lc->capacity : 0;
	kci_local_lock(lc);
	ret->time_ns = kci_clock_now();
	ret->closed = lc->closed;
	ret->len = kci_local_queued(lc);
	ret->bytes_sent = lc->bytes_sent +
			  (lc->bare_desc ? lc->in.bytes : lc->in.sent * ch->elem_size);
	ret->bytes_received = lc->bytes_received + (lc->bare_desc ? lc->out.bytes
								  : lc->out.received * ch->elem_size);
	ret->ledger = lc->ledger;
	ret->ledger.sent += lc->in.sent;
	ret->ledger.received += lc->out.received;
	ret->ledger.queued = ret->len;
	kci_local_unlock(lc);
	return 0;
}

static void local_destroy(kc_chan_t *ch)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct taken left;

	(void)local_close(ch);
	kci_local_await_seats(lc);
	kci_chan_wait_idle(ch);
	kci_local_lock(lc);
	(void)take_all(lc, &lc->ledger.dropped_destroyed, &left);
	kci_local_unlock(lc);
	/* the hook may still look at this channel: it goes only afterwards */
	drop_taken(lc, &left, KC_DROP_DESTROYED);
	if (lc->zcopy && lc->zcopy->detach)
		lc->zcopy->detach(lc->zcopy_state);
	kci_queue_done(&lc->queue);
	kci_bell_done(&lc->send_bell);
	kci_bell_done(&lc->recv_bell);
	KC_FREE(lc->memory);
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

	kci_local_lock(lc);
	*ret_senders = list_len(&lc->senders);
	*ret_receivers = list_len(&lc->receivers);
	kci_local_unlock(lc);
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
	.counts_failures = true,
};
