/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the channel engine share with each other and nobody else. */
#ifndef KCD_CHANNEL_PRIVATE_H
#define KCD_CHANNEL_PRIVATE_H

#include "kcorod/channel.h"

/* Bytes of the elements [from, from + n), lengths in front of messages aside. */
uint64_t kcd_channel_bytes(const struct kcd_channel *ch, uint64_t from, uint64_t n);

/* Drop what waits in main queue and returned list into one of the ledger's counters. */
uint64_t kcd_channel_drop_queued(struct kcd_channel *ch, uint64_t *counter);

/* Is there nothing left that a receiver could ever get? With `try_once`, elements on
 * their way to another receiver do not count. */
bool kcd_channel_drained(const struct kcd_channel *ch, bool try_once);

/* Take a record off the returned list. */
static inline void kcd_returned_remove(struct kcd_channel *ch, struct kcd_delivery *d)
{
	if (ch->returned_at == &d->link)
		ch->returned_at = d->link.prev;
	kcd_list_remove(&d->link);
}

static inline bool kcd_channel_has_queued(const struct kcd_channel *ch)
{
	return ch->tail > ch->head || ch->n_returned > 0;
}

/* --- queue.c --- */

/* Put a wait on its channel's queue, at the place of its ticket (a new one gets one). */
void kcd_wait_enqueue(struct kcd_wait *wait);
/* Off the queue, to the channel's engaged ones. */
void kcd_wait_engage(struct kcd_wait *wait, enum kcd_wait_state state);
/* Off whatever list, no longer waiting. */
void kcd_wait_finish(struct kcd_wait *wait);
/* May it be served: its select, if it belongs to one, is not busy? */
static inline bool kcd_wait_is_free(const struct kcd_wait *wait)
{
	return !wait->group || (!wait->group->active && !wait->group->claimed);
}

/* First that may be served. */
struct kcd_wait *kcd_wait_first(struct kcd_list *queue);

/* Serve those who wait to receive from what is queued. True if anything moved. */
bool kcd_queue_serve_receivers(struct kcd_channel *ch);

/* --- accept.c --- */

/* Places, and bytes, that nobody has or was promised. */
uint64_t kcd_queue_places_left(const struct kcd_channel *ch);
uint64_t kcd_queue_bytes_left(const struct kcd_channel *ch);
/* May an element of `len` bytes be queued? */
bool kcd_queue_has_room(const struct kcd_channel *ch, uint64_t len);

/* Accept from the front of a SEND what fits: how many, 0 if nothing does, or a code. */
long kcd_queue_accept(struct kcd_channel *ch, struct kcd_wait *wait);

/* Accept all of a SEND, closed or full as the channel may be. */
long kcd_queue_force(struct kcd_channel *ch, struct kcd_wait *wait);

/* --- delivery.c --- */

/* A record of elements [from, from + n) that is nobody's yet. NULL: no memory. */
struct kcd_delivery *kcd_delivery_new(uint64_t from, uint32_t n, uint32_t before);
void kcd_delivery_free(struct kcd_channel *ch, struct kcd_delivery *d);
/* Start its lease anew. Fails (no memory) only if it was not running. */
bool kcd_delivery_arm(struct kcd_channel *ch, struct kcd_delivery *d);
/* It goes back where it came from. */
void kcd_delivery_return(struct kcd_delivery *d);

/*
 * Take up to `max` elements of `space` bytes from the queue for an attachment.
 * Returns how many (> 0), KC_EMSGSIZE (*ret_needed) or KC_ENOMEM.
 */
long kcd_delivery_take(struct kcd_attach *attach, uint32_t max, uint64_t space, bool ahead,
		       bool lease, uint32_t lease_ms, struct kcd_delivery **ret_first,
		       uint32_t *ret_records, uint64_t *ret_needed);

/* Bytes of the first queued element. */
uint64_t kcd_delivery_first_bytes(const struct kcd_channel *ch);

/* Take the first queued element out of the queue, as a record without attachment. */
struct kcd_delivery *kcd_delivery_detach_first(struct kcd_channel *ch);

/* Bind an offered element to the attachment that claimed it, as if given in reply to
 * RECV. False: no memory, nothing changed. */
bool kcd_delivery_bind(struct kcd_delivery *d, struct kcd_wait *receiver);

/* Rendezvous: does the sender's element fit what the receiver has room for? If not,
 * receiver->needed says what it would take. */
bool kcd_delivery_fits(const struct kcd_wait *sender, struct kcd_wait *receiver);

/*
 * Rendezvous: the first element of a sender goes to a receiver. Provisional: the
 * sender is done when the receiver takes it, else it is done now by the caller.
 * Returns the record, or NULL without memory (*ret_code: why).
 */
struct kcd_delivery *kcd_delivery_hand(struct kcd_wait *sender, struct kcd_wait *receiver,
				       bool provisional, int *ret_code);

/* Undo a hand-over: the element is the sender's again. Frees the record. */
void kcd_delivery_withdraw(struct kcd_delivery *d);

/* A record's elements return to the queue; it has left its attachment and the books
 * count its elements as queued again. `in_place`: unmarked whatever happened since. */
void kcd_delivery_requeue(struct kcd_channel *ch, struct kcd_delivery *d, bool marked,
			  bool in_place);

/* Everything an attachment was given returns. */
void kcd_attach_return_all(struct kcd_attach *attach);

/* --- credit.c --- */

/* An attachment is on the channel's list of creditors while it may be given more. */
void kcd_attach_update_credit(struct kcd_attach *attach);
/* It detaches: on none of these lists any more. */
void kcd_attach_leave(struct kcd_attach *attach);
/* Give elements ahead to whoever has credit; ask for them back where others wait. */
void kcd_channel_give_ahead(struct kcd_channel *ch);
void kcd_channel_recall(struct kcd_channel *ch);

/* --- bell.c --- */

/* Let those bells ring that have reason to. */
void kcd_channel_ring(struct kcd_channel *ch);

/* --- cursor.c --- */

/* The attachment ends: nothing is taken by its cursor from here on. */
void kcd_attach_end_cursor(struct kcd_attach *attach);
/* n_given or the cursor of an attachment changed. */
void kcd_attach_shares(struct kcd_attach *attach);
/* Look at the cursors of some sharers, in turn. */
void kcd_channel_glance(struct kcd_channel *ch);
/* If somebody waits for what clients were given ahead, let them tell. True: some had taken
 * already. */
bool kcd_channel_listen(struct kcd_channel *ch);

/* --- window.c --- */

/* May this channel's senders have windows? */
bool kcd_window_fits(const struct kcd_channel *ch);
/* Promise what there is to promise. */
void kcd_channel_grant(struct kcd_channel *ch);
/* The session has no connection any more; the attachment ends. */
void kcd_window_suspend(struct kcd_attach *attach);
void kcd_window_close(struct kcd_attach *attach);
/* A SEND whose client was promised a place on a connection that broke: its program takes it
 * for sent, so it goes past those who wait, over the capacity, and into a closed channel.
 * 0: so much was not promised. */
long kcd_window_accept_late(struct kcd_wait *wait);

/* --- offer.c --- */

/* Bound how long a wait may stay engaged. */
void kcd_offer_settle(struct kcd_wait *wait);
void kcd_offer_element(struct kcd_wait *receiver);
void kcd_offer_place(struct kcd_wait *sender);
/* Bring a sender and a receiver of a rendezvous together. False: not now (no memory). */
bool kcd_offer_meet(struct kcd_wait *sender, struct kcd_wait *receiver);
/* Give back what an engaged wait holds; its partner waits again at its place, and so
 * does the wait itself with `again`, else it is finished. A CLAIM still pending is
 * answered in the negative. Does not pump this channel. */
void kcd_offer_withdraw(struct kcd_wait *wait, bool again);
/* The select this wait belongs to is free for another clause. */
void kcd_offer_release(struct kcd_wait *wait);

#endif
