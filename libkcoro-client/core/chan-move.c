/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where an element goes: the one place that knows the kinds and the overflow
 * policies. Everything here runs under the channel's locks, moves bytes and keeps
 * the books; waking and the on-drop hook are left to the caller, by kci_after.
 */
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/chan-local.h"

void kci_after_init(struct kci_after *after, const struct kci_local *lc)
{
	after->wake = NULL;
	after->wake_end = &after->wake;
	after->newest_from = 0;
	after->newest_to = 0;
	after->hooked = lc->on_drop != NULL;
	if (after->hooked)
		kci_queue_init(&after->dropped, lc->head.elem_size);
}

void kci_after_wake(struct kci_after *after, struct kci_op *op)
{
	kci_list_remove(&op->seat.link);
	op->wake_next = NULL;
	*after->wake_end = op;
	after->wake_end = &op->wake_next;
}

/* ---- who waits ----------------------------------------------------------- */

struct kci_seat *kci_local_first(struct kci_local *lc, struct kci_list *queue)
{
	struct kci_seat *seat;

	while ((seat = KCI_LIST_FIRST(queue, struct kci_seat, link)) && kci_seat_is_stale(seat))
		kci_local_leave(lc, seat);
	return seat;
}

struct kci_op *kci_local_claim(struct kci_local *lc, struct kci_seat *seat,
			       struct kci_after *after)
{
	struct kci_choice *choice = seat->choice;

	if (!choice)
		return KC_CONTAINER_OF(seat, struct kci_op, seat);
	kci_local_leave(lc, seat);
	if (!kci_seat_claim(seat))
		return NULL;
	kci_choice_become(choice, kci_clause_of(seat));
	if (!choice->probe)
		return &choice->op;
	kci_after_wake(after, &choice->op);
	return NULL;
}

/* ---- elements ------------------------------------------------------------ */

/* The next element a send has to move. */
static const void *next_elem(const struct kci_local *lc, const struct kci_op *op, size_t *ret_len)
{
	if (op->send->msgs) {
		*ret_len = op->send->msgs[op->done].len;
		return op->send->msgs[op->done].data;
	}
	*ret_len = lc->head.elem_size;
	return (const char *)op->send->elems + op->done * lc->head.elem_size;
}

/* For the byte counters: what a descriptor stands for, not the descriptor. */
static size_t payload(const struct kci_local *lc, const void *elem, size_t len)
{
	struct kc_zdesc desc;

	if (!lc->zcopy)
		return len;
	memcpy(&desc, elem, sizeof(desc));
	return desc.len;
}

static void account_sent(struct kci_local *lc, const void *elem, size_t len)
{
	lc->ledger.sent++;
	lc->bytes_sent += payload(lc, elem, len);
}

/* Room in a receiver's buffer; if there is none for its first element, that ends it. */
static bool has_room(struct kci_op *to, size_t len)
{
	struct kci_recv *recv = to->recv;

	if (len <= recv->cap - to->filled)
		return true;
	recv->needed = len;
	to->code = KC_EMSGSIZE; /* counts only if it is the first */
	return false;
}

/* Write an element into a receiver's buffer. false: it does not fit. */
static bool deliver(struct kci_local *lc, struct kci_op *to, const void *elem, size_t len)
{
	struct kci_recv *recv = to->recv;
	char *at;

	if (!has_room(to, len))
		return false;
	at = recv->buf;
	if (at) /* may be NULL where there is no room: then the element is empty */
		at += to->filled;
	if (len > 0)
		memcpy(at, elem, len);
	if (recv->msgs)
		recv->msgs[to->done] = (struct kc_msg){ .data = at, .len = len };
	to->filled += len;
	to->done++;
	lc->ledger.received++;
	lc->bytes_received += payload(lc, elem, len);
	return true;
}

/* Move as much as goes from a send straight into a receive. */
static void hand_over(struct kci_local *lc, struct kci_op *from, struct kci_op *to)
{
	while (from->done < from->send->n && to->done < to->recv->n) {
		size_t len;
		const void *elem = next_elem(lc, from, &len);

		if (!deliver(lc, to, elem, len))
			return;
		account_sent(lc, elem, len);
		from->done++;
	}
}

/* ---- the queue ----------------------------------------------------------- */

bool kci_local_fits(const struct kci_local *lc, size_t len)
{
	return kci_local_queued(lc) < lc->capacity &&
	       (lc->max_bytes == 0 || len <= lc->max_bytes - lc->queue.bytes);
}

const void *kci_local_in_slot(const struct kci_local *lc, const void *slot, struct kc_zdesc *room)
{
	if (!lc->bare_desc)
		return slot;
	*room = (struct kc_zdesc){ 0 };
	memcpy(room, slot, KCI_BARE_DESC);
	return room;
}

static const void *front(const struct kci_local *lc, size_t *ret_len, struct kc_zdesc *room)
{
	if (!lc->ring.most)
		return kci_queue_front(&lc->queue, ret_len);
	*ret_len = lc->head.elem_size;
	return kci_local_in_slot(lc,
				 kci_spsc_at(&lc->ring, atomic_load_explicit(&lc->out.head,
									     memory_order_relaxed)),
				 room);
}

static void pop(struct kci_local *lc)
{
	if (lc->ring.most)
		atomic_store_explicit(&lc->out.head,
				      atomic_load_explicit(&lc->out.head, memory_order_relaxed) + 1,
				      memory_order_release);
	else
		kci_queue_pop(&lc->queue);
}

/* The oldest makes room. false: no memory for the copy the hook is to see. */
static bool evict(struct kci_local *lc, struct kci_after *after)
{
	size_t len;
	const void *elem = kci_queue_front(&lc->queue, &len);

	if (lc->on_drop) {
		if (!kci_queue_reserve(&after->dropped, len))
			return false;
		kci_queue_push(&after->dropped, elem, len);
	}
	kci_queue_pop(&lc->queue);
	if (lc->head.kind == KC_CONFLATED)
		lc->ledger.conflated++;
	else
		lc->ledger.dropped_oldest++;
	return true;
}

static void drop_newest(struct kci_local *lc, struct kci_op *op, struct kci_after *after)
{
	/* the lock is held and nobody receives: what does not fit now, and all that
	 * comes behind it in order, will not fit either */
	after->newest_from = op->done;
	after->newest_to = op->send->n;
	for (; op->done < op->send->n; op->done++) {
		size_t len;
		const void *elem = next_elem(lc, op, &len);

		account_sent(lc, elem, len);
		lc->ledger.dropped_newest++;
	}
}

/* Queue one element. false: it has to wait, or op->code says why not. */
static bool enqueue(struct kci_local *lc, struct kci_op *op, struct kci_after *after)
{
	bool evicts = lc->head.kind == KC_CONFLATED || lc->overflow == KC_OVERFLOW_DROP_OLDEST;
	size_t len;
	const void *elem = next_elem(lc, op, &len);

	if (!kci_local_fits(lc, len) && !evicts) {
		if (lc->overflow == KC_OVERFLOW_DROP_NEWEST) {
			drop_newest(lc, op, after);
			return true;
		}
		return false;
	}
	if (lc->ring.most ? !kci_spsc_reserve(&lc->ring, &lc->in, &lc->out)
			  : !kci_queue_reserve(&lc->queue, len)) {
		op->code = KC_ENOMEM;
		return false;
	}
	while (!kci_local_fits(lc, len)) {
		if (!evict(lc, after)) {
			op->code = KC_ENOMEM;
			return false;
		}
	}
	if (lc->ring.most)
		kci_spsc_add(&lc->ring, &lc->in, elem, 1);
	else
		kci_queue_push(&lc->queue, elem, len);
	account_sent(lc, elem, len);
	op->done++;
	return true;
}

/* ---- clauses -------------------------------------------------------------- */

bool kci_local_has_room(const struct kci_local *lc, size_t len)
{
	return kci_local_fits(lc, len) || lc->head.kind == KC_CONFLATED ||
	       lc->overflow != KC_OVERFLOW_BLOCK;
}

/* Would a clause that sends be taken? Not by its own select. */
static bool would_take(struct kci_local *lc, struct kci_seat *seat)
{
	for (struct kci_list *at = lc->receivers.next; at != &lc->receivers; at = at->next) {
		const struct kci_seat *other = KC_CONTAINER_OF(at, struct kci_seat, link);

		if (other->choice != seat->choice && !kci_seat_is_stale(other))
			return true;
	}
	return kci_local_has_room(lc, kci_clause_len(lc, kci_clause_of(seat)));
}

/* ---- the two directions -------------------------------------------------- */

void kci_local_put(struct kci_local *lc, struct kci_op *op, struct kci_after *after)
{
	while (op->done < op->send->n) {
		struct kci_seat *seat = kci_local_first(lc, &lc->receivers);
		struct kci_op *receiver = seat ? kci_local_claim(lc, seat, after) : NULL;

		if (receiver) {
			/* ends the receiver's wait in any case: with an element, or
			 * because the first is longer than the room it has */
			hand_over(lc, op, receiver);
			kci_after_wake(after, receiver);
		} else if (!seat && !enqueue(lc, op, after)) {
			return;
		}
	}
}

void kci_local_refill(struct kci_local *lc, struct kci_after *after)
{
	struct kci_seat *seat;

	while ((seat = kci_local_first(lc, &lc->senders))) {
		struct kci_op *sender;

		/* a clause is claimed only if it will proceed */
		if (seat->choice && !would_take(lc, seat))
			return;
		sender = kci_local_claim(lc, seat, after);
		if (!sender)
			continue;
		kci_local_put(lc, sender, after);
		if (sender->done == 0 && sender->code == 0)
			return;
		kci_after_wake(after, sender);
	}
}

void kci_local_take(struct kci_local *lc, struct kci_op *op, struct kci_after *after)
{
	while (op->done < op->recv->n) {
		struct kci_seat *seat;
		struct kci_op *sender;

		if (kci_local_queued(lc) > 0) {
			size_t len;
			struct kc_zdesc room;
			const void *elem = front(lc, &len, &room);

			if (!deliver(lc, op, elem, len))
				break;
			pop(lc);
			continue;
		}
		/* what waits to get in comes after what is in, so it need not go through
		 * the queue */
		seat = kci_local_first(lc, &lc->senders);
		if (!seat || (seat->choice && !has_room(op, kci_clause_len(lc, kci_clause_of(seat)))))
			break;
		sender = kci_local_claim(lc, seat, after);
		if (!sender)
			continue;
		hand_over(lc, sender, op);
		if (sender->done == 0)
			break;
		kci_after_wake(after, sender);
	}
	if (op->done > 0)
		kci_local_refill(lc, after);
}
