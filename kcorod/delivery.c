/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was given to clients, and what becomes of it.
 *
 * A record stands for a run of elements given together. A client settles any part
 * of it, so records are cut where need be; a whole batch taken or acknowledged in
 * order costs one record. Every way back leads through kcd_delivery_requeue().
 */
#include <string.h>

#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

static void delivery_lapse(struct kcd_timer *timer);

static struct kcd_delivery *delivery_new(uint64_t from, uint32_t n, uint32_t before)
{
	struct kcd_delivery *d = KC_ALLOC(sizeof(*d));

	if (!d)
		return NULL;
	*d = (struct kcd_delivery){ .from = from, .n = n, .before = before };
	kcd_list_init(&d->link);
	d->timer.fn = delivery_lapse;
	return d;
}

/* Off its attachment's list, if it is on one. */
static void delivery_unlink(struct kcd_delivery *d)
{
	if (d->attach && d->attach->settled_at == &d->link)
		d->attach->settled_at = d->link.prev;
	kcd_list_remove(&d->link);
}

static void delivery_free(struct kcd_channel *ch, struct kcd_delivery *d)
{
	kcd_timer_disarm(ch->timers, &d->timer);
	delivery_unlink(d);
	KC_FREE(d);
}

static bool delivery_arm(struct kcd_channel *ch, struct kcd_delivery *d)
{
	return kcd_timer_arm(ch->timers, &d->timer,
			     ch->timers->now_ns + d->lease_ms * KC_NS_PER_MS) == 0;
}

/* How many of `n` elements from `from` on fit into `max` and `space`. */
static uint32_t elements_fit(const struct kcd_channel *ch, uint64_t from, uint64_t n,
			     uint32_t max, uint64_t *space, uint64_t *ret_needed)
{
	uint32_t fit = 0;

	if (n > max)
		n = max;
	if (ch->opts.elem_size) {
		*ret_needed = ch->opts.elem_size;
		if (n > *space / ch->opts.elem_size)
			n = *space / ch->opts.elem_size;
		*space -= n * ch->opts.elem_size;
		return (uint32_t)n;
	}
	for (; fit < n; fit++) {
		uint32_t len;

		kcd_elements_get(&ch->elements, from + fit, &len);
		if (len > *space) {
			*ret_needed = len;
			break;
		}
		*space -= len;
	}
	return fit;
}

/* Give a record to an attachment: numbers, timer, books. False: no memory. */
static bool delivery_give(struct kcd_delivery *d, struct kcd_attach *attach, bool ahead,
			  bool lease, uint32_t lease_ms)
{
	struct kcd_channel *ch = attach->channel;
	uint64_t bytes;

	d->lease = lease;
	d->lease_ms = lease_ms;
	if (lease && !delivery_arm(ch, d))
		return false;
	d->attach = attach;
	d->ahead = ahead;
	d->state = KCD_GIVEN;
	d->first = attach->next_delivery;
	attach->next_delivery += d->n;
	kcd_list_remove(&d->link);
	kcd_list_append(&attach->deliveries, &d->link);
	if (d->before > 0)
		ch->redelivered += d->n;
	if (ahead) {
		attach->n_given += d->n;
		ch->n_given += d->n;
		attach->recall_vain = false;
		return true;
	}
	bytes = kcd_channel_bytes(ch, d->from, d->n);
	ch->queued_bytes -= bytes;
	ch->n_untaken += d->n;
	if (lease) {
		ch->ledger.leased += d->n;
	} else {
		ch->ledger.received += d->n;
		ch->bytes_received += bytes;
	}
	return true;
}

/* Out of the queue: the first `n` elements of the main queue, or of the first returned
 * record, as a record of their own. NULL: no memory. */
static struct kcd_delivery *queue_cut(struct kcd_channel *ch, uint32_t n)
{
	struct kcd_delivery *run, *d;

	if (ch->n_returned == 0) {
		d = delivery_new(ch->head, n, 0);
		if (d)
			ch->head += n;
		return d;
	}
	run = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link);
	if (run->n == n) {
		kcd_returned_remove(ch, run);
		d = run;
	} else {
		d = delivery_new(run->from, n, run->before);
		if (!d)
			return NULL;
		run->from += n;
		run->n -= n;
	}
	ch->n_returned -= n;
	return d;
}

struct kcd_delivery *kcd_delivery_detach_first(struct kcd_channel *ch)
{
	return queue_cut(ch, 1);
}

long kcd_delivery_take(struct kcd_attach *attach, uint32_t max, uint64_t space, bool ahead,
		       bool lease, uint32_t lease_ms, struct kcd_delivery **ret_first,
		       uint32_t *ret_records, uint64_t *ret_needed)
{
	struct kcd_channel *ch = attach->channel;
	struct kcd_delivery *first = NULL;
	uint32_t records = 0, taken = 0;
	uint64_t needed = 0;
	long code = KC_ENOMEM;

	while (taken < max && kcd_channel_has_queued(ch)) {
		struct kcd_delivery *d;
		uint64_t from = ch->head, n = ch->tail - ch->head;
		uint32_t fit;

		if (ch->n_returned > 0) {
			d = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link);
			from = d->from;
			n = d->n;
		}
		fit = elements_fit(ch, from, n, max - taken, &space, &needed);
		if (fit == 0) {
			code = KC_EMSGSIZE;
			break;
		}
		d = queue_cut(ch, fit);
		if (!d)
			break;
		if (!delivery_give(d, attach, ahead, lease, lease_ms)) {
			kcd_delivery_requeue(ch, d, /* marked= */ false, /* in_place= */ true);
			break;
		}
		if (!first)
			first = d;
		records++;
		taken += fit;
		if (fit < n)
			break;
	}
	if (taken == 0) {
		*ret_needed = needed;
		return code;
	}
	*ret_first = first;
	*ret_records = records;
	return (long)taken;
}

bool kcd_delivery_bind(struct kcd_delivery *d, struct kcd_wait *receiver)
{
	if (!delivery_give(d, receiver->attach, /* ahead= */ false, receiver->lease,
			   receiver->lease_ms))
		return false;
	receiver->attach->channel->n_offered--;
	return true;
}

/* The first element of a SEND. */
static const uint8_t *first_element(const struct kcd_wait *sender, uint32_t *ret_len)
{
	const struct kcd_channel *ch = sender->attach->channel;
	const uint8_t *p = sender->elems;

	if (ch->opts.elem_size) {
		*ret_len = ch->opts.elem_size;
		return p;
	}
	*ret_len = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return p + 4;
}

bool kcd_delivery_fits(const struct kcd_wait *sender, struct kcd_wait *receiver)
{
	uint32_t len;

	(void)first_element(sender, &len);
	receiver->needed = len;
	return len <= receiver->space;
}

struct kcd_delivery *kcd_delivery_hand(struct kcd_wait *sender, struct kcd_wait *receiver,
				       bool provisional, int *ret_code)
{
	struct kcd_channel *ch = sender->attach->channel;
	uint32_t len;
	const uint8_t *data = first_element(sender, &len);
	struct kcd_delivery *d;
	int r;

	*ret_code = KC_ENOMEM;
	d = delivery_new(ch->elements.next, 1, 0);
	if (!d)
		return NULL;
	r = kcd_elements_append(&ch->elements, data, len, &sender->why);
	if (r < 0) {
		*ret_code = r;
		KC_FREE(d);
		return NULL;
	}
	ch->head = ch->tail = ch->elements.next;
	/* The books first as if it had been queued; a provisional element is on none. */
	ch->queued_bytes += len;
	ch->ledger.sent++;
	ch->bytes_sent += len;
	if (!delivery_give(d, receiver->attach, /* ahead= */ false, receiver->lease,
			   receiver->lease_ms)) {
		ch->queued_bytes -= len;
		ch->ledger.sent--;
		ch->bytes_sent -= len;
		kcd_elements_free(&ch->elements, d->from, 1);
		KC_FREE(d);
		return NULL;
	}
	if (!provisional)
		return d;
	d->sender = sender;
	sender->provisional = d;
	kcd_wait_engage(sender, KCD_HANDED);
	/* A sender that only tries shall not be held up by a receiver that sleeps. */
	if (sender->try_once)
		kcd_offer_settle(sender);
	return d;
}

/* The books of a delivery are undone: its elements count as queued. */
static void delivery_unbook(struct kcd_channel *ch, struct kcd_delivery *d)
{
	uint64_t bytes;

	if (d->state == KCD_GIVEN && d->ahead) {
		ch->n_given -= d->n;
		d->attach->n_given -= d->n;
		return;
	}
	bytes = kcd_channel_bytes(ch, d->from, d->n);
	ch->queued_bytes += bytes;
	if (d->state == KCD_GIVEN)
		ch->n_untaken -= d->n;
	if (d->lease) {
		ch->ledger.leased -= d->n;
	} else {
		ch->ledger.received -= d->n;
		ch->bytes_received -= bytes;
	}
}

void kcd_delivery_withdraw(struct kcd_delivery *d)
{
	struct kcd_channel *ch = d->attach->channel;
	uint64_t bytes = kcd_channel_bytes(ch, d->from, d->n);

	delivery_unbook(ch, d);
	ch->queued_bytes -= bytes;
	ch->ledger.sent -= d->n;
	ch->bytes_sent -= bytes;
	kcd_elements_free(&ch->elements, d->from, d->n);
	delivery_free(ch, d);
}

/* In front of which record of the returned list an element belongs. What comes back
 * together comes back in some order, so the search begins where the latest one ended:
 * a client that returns thousands one by one must not cost the daemon millions. */
static struct kcd_list *returned_place(struct kcd_channel *ch, uint64_t from)
{
	struct kcd_list *at = ch->returned_at;

	while (at != &ch->returned && KCD_CONTAINER(at, struct kcd_delivery, link)->from < from)
		at = at->next;
	while (at->prev != &ch->returned &&
	       KCD_CONTAINER(at->prev, struct kcd_delivery, link)->from > from)
		at = at->prev;
	return at;
}

void kcd_delivery_requeue(struct kcd_channel *ch, struct kcd_delivery *d, bool marked,
			  bool in_place)
{
	uint64_t to = d->from + d->n;
	uint64_t *gone = NULL;

	if (ch->opts.kind == KCP_KIND_CONFLATED && ch->tail != to)
		gone = &ch->ledger.conflated; /* something newer came */
	if (ch->destroyed && ch->n_receivers == 0)
		gone = &ch->ledger.dropped_destroyed;
	kcd_timer_disarm(ch->timers, &d->timer);
	delivery_unlink(d);
	d->attach = NULL;
	if (gone) {
		*gone += d->n;
		ch->queued_bytes -= kcd_channel_bytes(ch, d->from, d->n);
		kcd_elements_free(&ch->elements, d->from, d->n);
		KC_FREE(d);
		return;
	}
	/* The main queue of a rendezvous stays empty: its next element may be handed over
	 * at any time, past what came back. */
	if (to == ch->head && !marked && d->before == 0 &&
	    ch->opts.kind != KCP_KIND_RENDEZVOUS) {
		ch->head = d->from; /* nothing overtook it: as if it had never left */
		KC_FREE(d);
		return;
	}
	if (marked || (to != ch->head && !in_place))
		d->before++;
	kcd_list_insert(returned_place(ch, d->from), &d->link);
	ch->returned_at = &d->link;
	ch->n_returned += d->n;
}

/* A delivery goes back where it came from. */
static void delivery_return(struct kcd_delivery *d)
{
	struct kcd_attach *attach = d->attach;
	struct kcd_channel *ch = attach->channel;

	if (d->sender) {
		kcd_offer_withdraw(d->sender, /* again= */ true);
		return;
	}
	delivery_unbook(ch, d);
	kcd_delivery_requeue(ch, d, d->state == KCD_LEASED, /* in_place= */ false);
	kcd_attach_update_credit(attach);
}

static void delivery_lapse(struct kcd_timer *timer)
{
	struct kcd_delivery *d = KCD_CONTAINER(timer, struct kcd_delivery, timer);
	struct kcd_channel *ch = d->attach->channel;

	delivery_return(d);
	kcd_channel_pump(ch);
}

void kcd_attach_return_all(struct kcd_attach *attach)
{
	/* From the latest to the earliest, so that each finds its place still free. */
	while (!kcd_list_empty(&attach->deliveries))
		delivery_return(
			KCD_CONTAINER(attach->deliveries.prev, struct kcd_delivery, link));
}

/* Cut a record so that `d` begins at delivery `first`; what was before stays in a
 * record of its own in front. False: no memory. */
static bool delivery_cut_front(struct kcd_channel *ch, struct kcd_delivery *d, uint64_t first)
{
	uint32_t n = (uint32_t)(first - d->first);
	struct kcd_delivery *front = delivery_new(d->from, n, d->before);

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
		(void)delivery_arm(ch, d); /* is armed: only moves */
		return true;
	}
	attach->in_hand += d->n;
	attach->in_hand_bytes += bytes;
	kcd_elements_free(&ch->elements, d->from, d->n);
	delivery_free(ch, d);
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
		delivery_free(ch, d);
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
			delivery_return(d);
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
		(void)delivery_arm(attach->channel, d); /* is armed: only moves */
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
		delivery_return(d);
	}
	return known;
}
