/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From hand to hand: a rendezvous of elements of one size, where the one who comes second copies
 * between its own memory and that of the one who waits.
 */
#include "libkcoro-client/core/chan-local.h"

/* The lock of a channel without a ring, taken here without a call where its owner takes it.
 * NULL: it was taken like anybody else's. */
static inline struct kci_bias *hands_lock(struct kci_local *lc)
{
	struct kci_bias *me = kci_bias_here;

	if (kci_biased_enter(&lc->send_lock, me))
		return me;
	kci_local_lock(lc);
	return NULL;
}

static inline void hands_unlock(struct kci_local *lc, struct kci_bias *me)
{
	if (me)
		kci_biased_leave(me);
	else
		kci_local_unlock(lc);
}

/* An element goes from a sender that waits, or to a receiver that does, and the other is here. */
static inline void met(struct kci_local *lc, struct kci_bias *me, struct kci_op *op,
		       const void *elem)
{
	kci_list_remove(&op->seat.link);
	op->done = 1;
	lc->in.sent++;
	lc->out.received++;
	lc->in.bytes += kci_local_desc_len(lc, elem);
	lc->out.bytes += kci_local_desc_len(lc, elem);
	hands_unlock(lc, me);
	kci_waiter_unpark(&op->waiter);
}

/* The first who waits, a clause of a select being claimed. *ret_other: there is one for which
 * this is not the place. */
static inline struct kci_op *hands_first(struct kci_local *lc, struct kci_list *queue,
					 bool *ret_other)
{
	struct kci_seat *seat;

	*ret_other = false;
	while ((seat = KCI_LIST_FIRST(queue, struct kci_seat, link))) {
		if (__builtin_expect(!seat->choice, 1))
			return KC_CONTAINER_OF(seat, struct kci_op, seat);
		if (seat->choice->probe || lc->watched) {
			*ret_other = true;
			return NULL;
		}
		kci_local_leave(lc, seat);
		if (kci_seat_claim(seat)) {
			kci_choice_become(seat->choice, kci_clause_of(seat));
			return &seat->choice->op;
		}
	}
	return NULL;
}

/* Nobody is there. Without a deadline or a token nothing but a partner or the end of the channel
 * ends the wait, and neither leaves anything to be done with the channel. */
static inline long wait_to_meet(struct kci_local *lc, struct kci_bias *me, struct kci_op *op,
				struct kci_list *list)
{
	kci_waiter_init(&op->waiter);
	kci_list_append(list, &op->seat.link);
	hands_unlock(lc, me);
	(void)kci_waiter_park(&op->waiter, KC_NEVER, NULL);
	return op->done ? 1 : op->code;
}

long kci_hand_send(struct kci_local *lc, const void *elem, bool single, bool waits)
{
	size_t size = lc->head.elem_size;
	struct kci_send send = { .elems = elem, .n = 1, .timeout_ms = -1 };
	struct kci_op *to = NULL, op;
	struct kci_bias *me;
	bool other = true;

	me = hands_lock(lc);
	if (single)
		to = hands_first(lc, &lc->receivers, &other);
	if (to && to->recv->n == 1 && to->recv->cap >= size && !to->recv->msgs && !lc->watched) {
		kci_spsc_copy(to->recv->buf, elem, size);
		to->filled = size;
		met(lc, me, to, elem);
		return 1;
	}
	if (to || other || !waits || lc->closed || lc->watched || !lc->head.uncounted) {
		kci_local_count(lc);
		hands_unlock(lc, me);
		return 0;
	}
	kci_op_init(&op, &send, NULL);
	return wait_to_meet(lc, me, &op, &lc->senders);
}

long kci_hand_recv(struct kci_local *lc, void *ret_elem, bool single, bool waits)
{
	size_t size = lc->head.elem_size;
	struct kci_recv recv = { .buf = ret_elem, .cap = size, .n = 1, .timeout_ms = -1 };
	struct kci_op *from = NULL, op;
	struct kci_bias *me;
	bool other = true;

	me = hands_lock(lc);
	if (single)
		from = hands_first(lc, &lc->senders, &other);
	if (from && from->send->n == 1 && !lc->watched) {
		kci_spsc_copy(ret_elem, from->send->elems, size);
		met(lc, me, from, ret_elem);
		return 1;
	}
	if (from || other || !waits || lc->closed || lc->watched || !lc->head.uncounted) {
		kci_local_count(lc);
		hands_unlock(lc, me);
		return 0;
	}
	kci_op_init(&op, NULL, &recv);
	return wait_to_meet(lc, me, &op, &lc->receivers);
}
