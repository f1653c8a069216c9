/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What clients say of their deliveries: TAKEN, ACK, NACK, EXTEND, RETURN.
 *
 * A client settles any part of what it was given, so records are cut where need
 * be; a whole batch settled in order costs one record. Searches begin where the
 * latest one of the attachment ended, since most come in order.
 */
#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

/* Cut a record so that `d` begins at delivery `first`; what was before stays in a
 * record of its own in front. False: no memory. */
static bool delivery_cut_front(struct kcd_channel *ch, struct kcd_delivery *d, uint64_t first)
{
	uint32_t n = (uint32_t)(first - d->first);
	struct kcd_delivery *front = kcd_delivery_new(d->from, n, d->before);

	if (!front)
		return false;
	front->attach = d->attach;
	front->first = d->first;
	front->state = d->state;
	front->ahead = d->ahead;
	front->lease = d->lease;
	front->lease_ms = d->lease_ms;
	if (d->lease && kcd_timer_arm(ch->timers, &front->timer, d->timer.due_ns) < 0) {
		KC_FREE(front);
		return false;
	}
	kcd_list_insert(&d->link, &front->link);
	d->first += n;
	d->from += n;
	d->n -= n;
	return true;
}

/* Where to look for a delivery: ranges of a frame rise, so mostly where the latest search
 * ended, or else at the beginning. */
static struct kcd_list *search_begin(const struct kcd_attach *attach, uint64_t first)
{
	struct kcd_list *at = attach->settled_at;

	if (at != &attach->deliveries && KCD_CONTAINER(at, struct kcd_delivery, link)->first <= first)
		return at;
	return attach->deliveries.next;
}

struct kcd_delivery *kcd_attach_find(struct kcd_attach *attach, uint64_t first)
{
	struct kcd_list *at = search_begin(attach, first);

	while (at != &attach->deliveries &&
	       KCD_CONTAINER(at, struct kcd_delivery, link)->first < first)
		at = at->next;
	attach->settled_at = at->prev;
	if (at == &attach->deliveries || KCD_CONTAINER(at, struct kcd_delivery, link)->first != first)
		return NULL;
	return KCD_CONTAINER(at, struct kcd_delivery, link);
}

int kcd_attach_cut(struct kcd_attach *attach, uint64_t first, uint64_t n)
{
	struct kcd_list *pos = search_begin(attach, first);
	uint64_t end = first + n;

	for (; pos != &attach->deliveries; pos = pos->next) {
		struct kcd_delivery *d = KCD_CONTAINER(pos, struct kcd_delivery, link);

		if (d->first >= end)
			break;
		if (d->first < first && d->first + d->n > first &&
		    !delivery_cut_front(attach->channel, d, first))
			return KC_ENOMEM;
		if (d->first + d->n > end && !delivery_cut_front(attach->channel, d, end))
			return KC_ENOMEM;
	}
	return 0;
}

/* The record that holds exactly those of the deliveries [first, end) that the next
 * record from *pos on has in common with them; NULL when there is none (left). */
static struct kcd_delivery *delivery_next(struct kcd_attach *attach, struct kcd_list **pos,
					  uint64_t first, uint64_t end)
{
	for (;;) {
		struct kcd_delivery *d;

		attach->settled_at = (*pos)->prev;
		if (*pos == &attach->deliveries)
			return NULL;
		d = KCD_CONTAINER(*pos, struct kcd_delivery, link);
		if (d->first >= end)
			return NULL;
		if (d->first + d->n <= first) {
			*pos = d->link.next;
			continue;
		}
		if (d->first < first && !delivery_cut_front(attach->channel, d, first))
			return NULL;
		if (d->first + d->n > end) {
			if (!delivery_cut_front(attach->channel, d, end))
				return NULL;
			d = KCD_CONTAINER(d->link.prev, struct kcd_delivery, link);
		}
		*pos = d->link.next;
		return d;
	}
}

/* A rendezvous is complete: the receiver has the element. */
static void delivery_confirm(struct kcd_delivery *d)
{
	struct kcd_wait *sender = d->sender;
	struct kcd_channel *ch = d->attach->channel;
	bool claimed = sender->state == KCD_CLAIMED;

	d->sender = NULL;
	sender->provisional = NULL;
	if (sender->group)
		sender->group->claimed = true;
	kcd_wait_finish(sender);
	ch->ops->done(sender, 1);
	if (claimed)
		ch->ops->claimed(sender, true);
}

/* The client has it: a lease begins, or the element is off the books (and so is `d`:
 * false is returned). */
static bool delivery_taken(struct kcd_delivery *d)
{
	struct kcd_attach *attach = d->attach;
	struct kcd_channel *ch = attach->channel;
	uint64_t bytes;

	if (d->state == KCD_LEASED)
		return true;
	if (d->sender)
		delivery_confirm(d);
	bytes = kcd_channel_bytes(ch, d->from, d->n);
	if (d->ahead) {
		attach->n_given -= d->n;
		ch->n_given -= d->n;
		kcd_attach_shares(attach);
		ch->queued_bytes -= bytes;
		attach->recall_vain = false;
		if (d->lease) {
			ch->ledger.leased += d->n;
		} else {
			ch->ledger.received += d->n;
			ch->bytes_received += bytes;
		}
		kcd_attach_update_credit(attach);
	} else {
		ch->n_untaken -= d->n;
	}
	if (d->lease) {
		d->state = KCD_LEASED;
		(void)kcd_delivery_arm(ch, d); /* is armed: only moves */
		return true;
	}
	attach->in_hand += d->n;
	attach->in_hand_bytes += bytes;
	kcd_elements_free(&ch->elements, d->from, d->n);
	kcd_delivery_free(ch, d);
	return false;
}

uint64_t kcd_attach_taken(struct kcd_attach *attach, uint64_t first, uint64_t n)
{
	struct kcd_list *pos = search_begin(attach, first);
	struct kcd_delivery *d;
	uint64_t known = 0;

	while ((d = delivery_next(attach, &pos, first, first + n)) != NULL) {
		known += d->n;
		(void)delivery_taken(d);
	}
	kcd_channel_pump(attach->channel);
	return known;
}

uint64_t kcd_attach_ack(struct kcd_attach *attach, uint64_t first, uint64_t n)
{
	struct kcd_channel *ch = attach->channel;
	struct kcd_list *pos = search_begin(attach, first);
	struct kcd_delivery *d;
	uint64_t known = 0;

	while ((d = delivery_next(attach, &pos, first, first + n)) != NULL) {
		known += d->n;
		if (!delivery_taken(d))
			continue;
		ch->ledger.leased -= d->n;
		ch->ledger.received += d->n;
		ch->bytes_received += kcd_channel_bytes(ch, d->from, d->n);
		kcd_elements_free(&ch->elements, d->from, d->n);
		kcd_delivery_free(ch, d);
	}
	kcd_channel_pump(ch);
	return known;
}

uint64_t kcd_attach_nack(struct kcd_attach *attach, uint64_t first, uint64_t n)
{
	struct kcd_list *pos = search_begin(attach, first);
	struct kcd_delivery *d;
	uint64_t known = 0;

	while ((d = delivery_next(attach, &pos, first, first + n)) != NULL) {
		known += d->n;
		if (!d->lease || delivery_taken(d))
			kcd_delivery_return(d);
	}
	kcd_channel_pump(attach->channel);
	return known;
}

uint64_t kcd_attach_extend(struct kcd_attach *attach, uint64_t first, uint64_t n,
			   uint32_t lease_ms)
{
	struct kcd_list *pos = search_begin(attach, first);
	struct kcd_delivery *d;
	uint64_t known = 0;

	while ((d = delivery_next(attach, &pos, first, first + n)) != NULL) {
		if (!d->lease)
			continue;
		known += d->n;
		d->lease_ms = lease_ms;
		(void)delivery_taken(d);
		(void)kcd_delivery_arm(attach->channel, d); /* is armed: only moves */
	}
	kcd_channel_pump(attach->channel);
	return known;
}

uint64_t kcd_attach_return(struct kcd_attach *attach, uint64_t first, uint64_t n)
{
	struct kcd_list *pos = search_begin(attach, first);
	struct kcd_delivery *d;
	uint64_t known = 0;

	while ((d = delivery_next(attach, &pos, first, first + n)) != NULL) {
		if (d->state != KCD_GIVEN)
			continue;
		known += d->n;
		kcd_delivery_return(d);
	}
	return known;
}
