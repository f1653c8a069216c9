/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The local placement: a channel in this process's heap.
 *
 * Two locks, one of each direction. Whoever has both may do anything, and that is
 * how everything is done (kci_local_lock()), with one exception: as long as nobody
 * waits, the channel is open and nobody listens on a descriptor (`gate` is 0), a
 * sender adds to the ring of a buffered channel with only the senders' lock, and a
 * receiver takes from it with only the receivers' (chan-fast.c). `gate` is written
 * with both locks and read with either. A channel without a ring has no use for a second
 * lock, so one stands for both.
 *
 * chan-queue.c and chan-ring.h store, chan-move.c decides where an element goes (a
 * waiting receiver, the queue, nowhere), chan-hands.c does so for most of a rendezvous,
 * chan-wait.c blocks the calling thread,
 * chan-local.c makes, closes and destroys, and chan-local-fd.c wakes who waits on a
 * descriptor.
 *
 * Invariants whenever both locks are free:
 * - a receiver waits only while the queue is empty and no sender waits;
 * - a sender waits only while what it sends does not fit;
 * - the books balance: sent = received + queued + conflated + dropped.
 */
#ifndef KCI_CHAN_LOCAL_H
#define KCI_CHAN_LOCAL_H

#include <stdbool.h>
#include <stddef.h>

#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/core/chan-queue.h"
#include "libkcoro-client/core/chan-ring.h"
#include "libkcoro-client/core/choice.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/port/biased.h"
#include "libkcoro-client/port/kcoro_port.h"

/* What a ring holds of a descriptor of the built-in backend: address and length, which come
 * first; the rest is 0. */
#define KCI_BARE_DESC offsetof(struct kc_zdesc, region_id)

/* What wakes who waits on a descriptor for a try of one direction to find something. */
struct kci_bell {
	int fd; /* an eventfd; -1: nobody asked */
	bool rung;
	size_t need; /* sends: bytes of the element there must be room for */
};

struct kci_local {
	struct kc_chan head;
	/* this lies in it, at a line's beginning */
	void *memory __attribute__((aligned(64)));
	bool bare_desc;	  /* descriptors, and their backend only wants to see them at the call */
	size_t capacity;  /* elements the queue may hold; 0 = it never holds any */
	size_t max_bytes; /* 0 = not bounded by bytes */
	enum kc_overflow overflow;
	kc_drop_fn on_drop;
	void *on_drop_arg;
	const struct kc_zcopy_ops *zcopy; /* descriptors: the backend; else NULL */
	void *zcopy_state;

	/* a direction each, in lines of their own; the first line of each holds all that an
	 * element costs */
	struct kci_biased send_lock __attribute__((aligned(64)));
	struct kci_spsc_in in;
	_Atomic uint32_t send_spins, send_lingers; /* chan-fast.c: how long it pays */
	struct kci_biased recv_lock __attribute__((aligned(64)));
	struct kci_spsc_out out;
	_Atomic uint32_t recv_spins, recv_lingers;

	_Atomic uint32_t gate __attribute__((aligned(64))); /* not 0: both locks are needed */
	struct kci_spsc ring;

	/* who waits, and what a select has to look at for that: one line */
	bool closed __attribute__((aligned(64)));
	bool watched; /* one of the bells was asked for */
	bool gated;   /* it has a ring, and so a gate; */
	bool direct;  /* or head.hands: kept here as well, for that one line */
	struct kci_waiter *undertaker; /* of who destroys the channel once all seats have left */
	struct kci_list senders; /* struct kci_seat, in the order they came */
	struct kci_list receivers;
	struct kci_list leaving; /* seats of selects that something was found for */

	struct kci_queue queue; /* what is not for the ring */
	struct kc_ledger ledger; /* queued is the queue's len */
	uint64_t bytes_sent; /* these without what chan-fast.c moved */
	uint64_t bytes_received;
	struct kci_bell send_bell, recv_bell;
};

/* Both locks, or the one that stands for both; by their owner at no cost. Nothing that may
 * switch to another coroutine in between. */
void kci_local_lock(struct kci_local *lc);
/* The same while others may be locked this way as well: nobody enters as the owner. */
void kci_local_lock_also(struct kci_local *lc);
/* Sets the gate as the channel is now. The channel may be gone afterwards. */
void kci_local_unlock(struct kci_local *lc);

/* Elements queued. */
static inline size_t kci_local_queued(const struct kci_local *lc)
{
	return lc->ring.most ? kci_spsc_len(&lc->in, &lc->out) : lc->queue.len;
}

/* What a locked section leaves to be done once the lock is free. */
struct kci_after {
	struct kci_op *wake; /* to unpark, in order */
	struct kci_op **wake_end;
	bool hooked;		  /* there is an on-drop hook */
	struct kci_queue dropped; /* copies for it */
	size_t newest_from;	  /* elements of the send from here on were dropped ... */
	size_t newest_to;	  /* ... up to here */
};

/* NULL if ch is not of this placement. */
struct kci_local *kci_local_get(kc_chan_t *ch);

/* chan-move.c, all under the lock */
void kci_after_init(struct kci_after *after, const struct kci_local *lc);
/* op ends its wait: off its list, to be unparked. */
void kci_after_wake(struct kci_after *after, struct kci_op *op);
/* Move what goes of a send or a receive; done and code say how far it came. */
void kci_local_put(struct kci_local *lc, struct kci_op *op, struct kci_after *after);
void kci_local_take(struct kci_local *lc, struct kci_op *op, struct kci_after *after);
/* There may be room: those who wait to send, in order. */
void kci_local_refill(struct kci_local *lc, struct kci_after *after);
/* Something was found for the select of this seat: it is in nobody's way any more. */
static inline void kci_local_leave(struct kci_local *lc, struct kci_seat *seat)
{
	kci_list_remove(&seat->link);
	kci_list_append(&lc->leaving, &seat->link);
}
/* Bytes of what a clause sends. */
static inline size_t kci_clause_len(const struct kci_local *lc, const struct kc_clause *clause)
{
	return lc->head.elem_size ? lc->head.elem_size : clause->size;
}
/* The first who waits in one of the two queues, or NULL; stale seats in front of it leave. */
struct kci_seat *kci_local_first(struct kci_local *lc, struct kci_list *queue);
/* What waits on this seat, to be completed; NULL: that was a select for which something was found
 * before, or one that only wants to know. The seat is off the queue then. */
struct kci_op *kci_local_claim(struct kci_local *lc, struct kci_seat *seat,
			       struct kci_after *after);
/* Is there room for so many bytes more, or will be, as the channel drops something for it? */
bool kci_local_has_room(const struct kci_local *lc, size_t len);
/* May a send proceed, or is it behind others? Where receivers wait as well, all senders that wait
 * are of the same select as these. */
static inline bool kci_local_is_next(struct kci_local *lc)
{
	return kci_list_empty(&lc->senders) || !kci_local_first(lc, &lc->senders) ||
	       kci_local_first(lc, &lc->receivers);
}

/* The element in a slot of the ring: there, or spread out in room. */
const void *kci_local_in_slot(const struct kci_local *lc, const void *slot, struct kc_zdesc *room);
bool kci_local_fits(const struct kci_local *lc, size_t len);

/* chan-local-fd.c */
void kci_bell_init(struct kci_bell *bell);
void kci_bell_done(struct kci_bell *bell);
int kci_local_fd(kc_chan_t *ch, unsigned direction);
/* Under the lock, at the end of whatever may have changed something. */
void kci_local_ring_watched(struct kci_local *lc);
static inline void kci_local_ring(struct kci_local *lc)
{
	if (lc->watched)
		kci_local_ring_watched(lc);
}
/* Under the lock: op was a try, and found nothing. */
void kci_local_silence(struct kci_local *lc, const struct kci_op *op);

/* chan-wait.c, without the lock */
long kci_local_send(kc_chan_t *ch, const struct kci_send *send);
long kci_local_recv(kc_chan_t *ch, struct kci_recv *recv);
void kci_after_run(struct kci_local *lc, struct kci_after *after, const struct kci_send *send);
/* Hand every element of q to the on-drop hook and empty it. */
void kci_local_drop_all(struct kci_local *lc, struct kci_queue *q, enum kc_drop_reason reason);
void kci_local_drop(struct kci_local *lc, const void *elem, size_t len, enum kc_drop_reason reason);

/* The call is in progress until kci_chan_leave(). */
static inline void kci_local_count(struct kci_local *lc)
{
	atomic_fetch_add_explicit(&lc->head.calls, 1, memory_order_acquire);
}

/* For the books: what a descriptor stands for. */
static inline uint64_t kci_local_desc_len(const struct kci_local *lc, const void *elem)
{
	return lc->bare_desc ? ((const struct kc_zdesc *)elem)->len : 0;
}

/* No more than address and length has come out of the ring. */
static inline void kci_bare_complete(struct kc_zdesc *desc)
{
	desc->region_id = 0;
	desc->offset = 0;
	desc->flags = 0;
}

/* chan-hands.c, for a channel with head.hands. 1: the element has gone from hand to hand; 0: that is
 * for the long way to do, and the call is counted; or a code. */
long kci_hand_send(struct kci_local *lc, const void *elem, bool single, bool waits);
long kci_hand_recv(struct kci_local *lc, void *ret_elem, bool single, bool waits);

/* select-local.c: for kc_chan_destroy(), once the channel is closed: until no seat is left. */
void kci_local_await_seats(struct kci_local *lc);

/* chan-fast.c */
/* Carry out a clause, if it takes no more than a ring and a lock that this thread owns. */
bool kci_fast_clause(struct kci_local *lc, const struct kc_clause *clause);

/* What kind and size of elements mean for how the channel works; before its first use. */
void kci_local_shape(struct kci_local *lc);

/* For tests: how many wait at this moment. */
void kci_local_waiting(kc_chan_t *ch, unsigned *ret_senders, unsigned *ret_receivers);

#endif
