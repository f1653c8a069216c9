/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A select while it waits, as channels see it.
 *
 * Whoever waits at a channel has a seat in one of its queues. The seat of a call by itself
 * is the beginning of a struct kci_op. A select has a seat for each clause, all of them
 * of one struct kci_choice; which of them gets something is decided by one word, `won`:
 *
 * - A counterpart that finds a seat, with the locks of its channel held, claims it: it
 *   changes `won` from NULL to the seat, by compare-and-swap, as others may do so at other
 *   channels. If it was the first, the choice's op is from there on that of this clause, and
 *   the counterpart completes it as any other and unparks it once its locks are free.
 *   If not, the seat is stale.
 * - In both cases the seat goes from the queue to the channel's list of those who leave. Only
 *   its select takes it off that, or off the queue, with the channel's locks held. So the
 *   channel is not destroyed before (chan-local.c), and neither seat nor choice go
 *   while a counterpart looks at them.
 * - The select takes its seats after it has seen that no clause is ready, with the locks of
 *   all its channels held meanwhile. So what was not ready then becomes so by somebody who
 *   finds the seat; and while the select itself acts on a channel, it has no seats, and nobody
 *   can claim it.
 * - Once all seats are given up nobody claims any more. If `won` is set then, the unpark
 *   has come or is on its way, and is awaited.
 */
#ifndef KCI_CHOICE_H
#define KCI_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "kcoro/select.h"
#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/core/waiter.h"

struct kci_choice;

struct kci_seat {
	struct kci_list link;
	struct kci_choice *choice; /* NULL: of a call by itself */
};

/* One call while it is at work; lies in the caller's frame, and on the list of
 * those who wait once it blocks. Exactly one of send and recv is set. */
struct kci_op {
	struct kci_seat seat; /* on no list: nobody can find it any more */
	struct kci_waiter waiter;
	struct kci_op *wake_next;
	const struct kci_send *send;
	struct kci_recv *recv;
	size_t done;   /* elements moved so far */
	size_t filled; /* bytes written to recv->buf */
	int code;      /* why it ended; counts only where nothing was moved; 0 = it has not */
};

/* The waiter is made if it is needed. */
static inline void kci_op_init(struct kci_op *op, const struct kci_send *send,
			       struct kci_recv *recv)
{
	kci_list_init(&op->seat.link);
	op->seat.choice = NULL;
	op->send = send;
	op->recv = recv;
	op->done = 0;
	op->filled = 0;
	op->code = 0;
}

struct kci_choice {
	_Atomic(struct kci_seat *) won;
	bool probe;	  /* it only wants to know: nothing is moved */
	struct kci_op op; /* of the clause that won; its seat is not used */
	struct kci_send send;
	struct kci_recv recv;
	struct kc_msg msg;
};

/* Before seats are taken. */
static inline void kci_choice_begin(struct kci_choice *choice)
{
	atomic_store_explicit(&choice->won, NULL, memory_order_relaxed);
	kci_list_init(&choice->op.seat.link);
	kci_waiter_init(&choice->op.waiter);
}

/* What a clause's own words are for. Local channels: */
struct kci_local_clause {
	struct kci_seat seat;
	struct kc_zdesc *desc; /* what it sends as the channel's backend wants it; or NULL */
} __attribute__((may_alias));
_Static_assert(sizeof(struct kci_local_clause) <= sizeof(((struct kc_clause *)0)->own),
	       "a clause has room for a seat");

static inline struct kci_local_clause *kci_clause_local(struct kc_clause *clause)
{
	return (struct kci_local_clause *)(void *)clause->own;
}

static inline struct kc_clause *kci_clause_of(struct kci_seat *seat)
{
	return KC_CONTAINER_OF(seat, struct kc_clause, own);
}

/* The choice's op is that of this clause from here on. */
void kci_choice_become(struct kci_choice *choice, struct kc_clause *clause);

/* The clause took effect, or failed, by the choice's op. */
void kci_choice_finish(struct kci_choice *choice, struct kc_clause *clause);

static inline bool kci_clause_sends(const struct kc_clause *clause)
{
	return clause->kind == KC_CLAUSE_SEND || clause->kind == KC_CLAUSE_SEND_MSG ||
	       clause->kind == KC_CLAUSE_SEND_DESC;
}

/* Is there a clause that has won already, so that its other seats are stale? */
static inline bool kci_seat_is_stale(const struct kci_seat *seat)
{
	return seat->choice &&
	       atomic_load_explicit(&seat->choice->won, memory_order_relaxed) != NULL;
}

/* With the locks of its channel held, the seat off its queue: claim it. */
static inline bool kci_seat_claim(struct kci_seat *seat)
{
	struct kci_seat *none = NULL;

	return atomic_compare_exchange_strong_explicit(&seat->choice->won, &none, seat,
						       memory_order_acq_rel,
						       memory_order_relaxed);
}

#endif
