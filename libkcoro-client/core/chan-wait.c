/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocking: the part of a local channel's send and receive that waits, and what
 * is done once the lock is free.
 */
#include "kcoro/error.h"
#include "libkcoro-client/core/chan-local.h"
#include "libkcoro-client/core/detail.h"

void kci_local_drop(struct kci_local *lc, const void *elem, size_t len, enum kc_drop_reason reason)
{
	struct kc_zdesc desc;

	if (lc->zcopy) {
		/* the hook stands in for the receiver, so it sees what one would see */
		desc = *(const struct kc_zdesc *)elem;
		if (lc->zcopy->recv)
			lc->zcopy->recv(lc->zcopy_state, &desc);
		elem = &desc;
	}
	lc->on_drop(lc->on_drop_arg, elem, len, reason);
}

void kci_local_drop_all(struct kci_local *lc, struct kci_queue *q, enum kc_drop_reason reason)
{
	while (lc->on_drop && q->len > 0) {
		size_t len;
		const void *elem = kci_queue_front(q, &len);

		kci_local_drop(lc, elem, len, reason);
		kci_queue_pop(q);
	}
	kci_queue_done(q);
}

void kci_after_run(struct kci_local *lc, struct kci_after *after, const struct kci_send *send)
{
	struct kci_op *op = after->wake;

	while (op) {
		struct kci_op *next = op->wake_next; /* op may be gone once unparked */

		kci_waiter_unpark(&op->waiter);
		op = next;
	}
	/* without a hook the channel may be gone by now */
	if (!after->hooked)
		return;
	kci_local_drop_all(lc, &after->dropped,
			   lc->head.kind == KC_CONFLATED ? KC_DROP_CONFLATED : KC_DROP_OLDEST);
	for (size_t i = after->newest_from; i < after->newest_to; i++) {
		if (send->msgs)
			kci_local_drop(lc, send->msgs[i].data, send->msgs[i].len, KC_DROP_NEWEST);
		else
			kci_local_drop(lc, (const char *)send->elems + i * lc->head.elem_size,
			     lc->head.elem_size, KC_DROP_NEWEST);
	}
}

/* Wait, after op was appended to a list and the lock given up, until it is
 * completed or has to leave. 0, KC_ECANCELED or KC_ETIME. */
static int wait_for_completion(struct kci_local *lc, struct kci_op *op, uint64_t deadline,
			       kc_cancel_t *token)
{
	int r = kci_waiter_park(&op->waiter, deadline, token);
	struct kci_after after;

	if (r == 0)
		return 0;
	kci_after_init(&after, lc);
	kci_local_lock(lc);
	if (kci_list_empty(&op->seat.link)) {
		/* completed while this thread woke up: that wins */
		kci_local_unlock(lc);
		kci_waiter_await(&op->waiter);
		return 0;
	}
	kci_list_remove(&op->seat.link);
	kci_chan_failed(&lc->head, op->send != NULL, r);
	/* it may have been a sender whose message did not fit and that held up others */
	kci_local_refill(lc, &after);
	kci_local_ring(lc);
	kci_local_unlock(lc);
	kci_after_run(lc, &after, NULL);
	return r;
}

static long op_result(const struct kci_op *op)
{
	return op->done > 0 ? (long)op->done : op->code;
}

long kci_local_send(kc_chan_t *ch, const struct kci_send *send)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	uint64_t deadline =
		send->timeout_ms > 0 ? kci_deadline_from_ms(send->timeout_ms) : KC_NEVER;
	struct kci_op op;
	struct kci_after after;
	struct kci_send rewritten;
	struct kc_zdesc desc;
	bool waits;
	int r;

	kci_op_init(&op, send, NULL);
	if (lc->zcopy) {
		desc = *(const struct kc_zdesc *)send->elems;
		if (!desc.addr || desc.len == 0)
			return kci_fail(KC_EINVAL, "a descriptor needs an address and a length");
		r = lc->zcopy->send(lc->zcopy_state, &desc);
		if (r < 0)
			return r;
		rewritten = *send;
		rewritten.elems = &desc;
		op.send = &rewritten;
	}
	kci_after_init(&after, lc);
	kci_local_lock(lc);
	if (lc->closed)
		op.code = KC_EPIPE;
	else if (kci_local_is_next(lc))
		kci_local_put(lc, &op, &after);
	waits = op.done == 0 && op.code == 0;
	if (waits && send->timeout_ms == 0) {
		op.code = KC_EAGAIN;
		kci_local_silence(lc, &op);
		waits = false;
	}
	if (waits) {
		kci_waiter_init(&op.waiter);
		kci_list_append(&lc->senders, &op.seat.link);
	} else if (op.done == 0) {
		kci_chan_failed(ch, true, op.code);
	}
	kci_local_ring(lc);
	kci_local_unlock(lc);
	kci_after_run(lc, &after, op.send);
	if (waits) {
		r = wait_for_completion(lc, &op, deadline, send->token);
		if (r < 0)
			return r;
	}
	return op_result(&op);
}

long kci_local_recv(kc_chan_t *ch, struct kci_recv *recv)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	uint64_t deadline =
		recv->timeout_ms > 0 ? kci_deadline_from_ms(recv->timeout_ms) : KC_NEVER;
	struct kci_op op;
	const struct kc_zcopy_ops *zcopy = lc->zcopy;
	struct kci_after after;
	bool waits;
	int r;

	kci_op_init(&op, NULL, recv);
	kci_after_init(&after, lc);
	kci_local_lock(lc);
	kci_local_take(lc, &op, &after);
	waits = op.done == 0 && op.code == 0;
	if (waits && lc->closed) {
		op.code = KC_EPIPE;
		waits = false;
	} else if (waits && recv->timeout_ms == 0) {
		op.code = KC_EAGAIN;
		kci_local_silence(lc, &op);
		waits = false;
	}
	if (waits) {
		kci_spsc_trim(&lc->ring, &lc->in, &lc->out);
		kci_waiter_init(&op.waiter);
		kci_list_append(&lc->receivers, &op.seat.link);
	} else if (op.done == 0) {
		kci_chan_failed(ch, false, op.code);
	}
	kci_local_ring(lc);
	kci_local_unlock(lc);
	kci_after_run(lc, &after, NULL);
	if (waits) {
		r = wait_for_completion(lc, &op, deadline, recv->token);
		if (r < 0)
			return r;
	}
	r = op.code;
	if (op.done > 0 && zcopy && zcopy->recv)
		zcopy->recv(lc->zcopy_state, recv->buf);
	return op.done > 0 ? (long)op.done : r;
}
