/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is given to clients, and how it comes back.
 *
 * A record stands for a run of elements given together. Every way back leads
 * through kcd_delivery_requeue().
 */
#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"

static void delivery_lapse(struct kcd_timer *timer);

struct kcd_delivery *kcd_delivery_new(uint64_t from, uint32_t n, uint32_t before)
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

void kcd_delivery_free(struct kcd_channel *ch, struct kcd_delivery *d)
{
	kcd_timer_disarm(ch->timers, &d->timer);
	delivery_unlink(d);
	KC_FREE(d);
}

bool kcd_delivery_arm(struct kcd_channel *ch, struct kcd_delivery *d)
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
	if (lease && !kcd_delivery_arm(ch, d))
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
		kcd_attach_shares(attach);
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
		d = kcd_delivery_new(ch->head, n, 0);
		if (d)
			ch->head += n;
		return d;
	}
	run = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link);
	if (run->n == n) {
		kcd_returned_remove(ch, run);
		d = run;
	} else {
		d = kcd_delivery_new(run->from, n, run->before);
		if (!d)
			return NULL;
		run->from += n;
		run->n -= n;
	}
	ch->n_returned -= n;
	return d;
}

uint64_t kcd_delivery_first_bytes(const struct kcd_channel *ch)
{
	uint64_t from = ch->head;

	if (ch->n_returned > 0)
		from = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link)->from;
	return kcd_channel_bytes(ch, from, 1);
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

/* Bytes of the first element of a SEND. */
static uint32_t first_length(const struct kcd_wait *sender)
{
	const struct kcd_channel *ch = sender->attach->channel;

	return ch->opts.elem_size ? ch->opts.elem_size : kcp_load_u32(sender->elems);
}

bool kcd_delivery_fits(const struct kcd_wait *sender, struct kcd_wait *receiver)
{
	receiver->needed = first_length(sender);
	return receiver->needed <= receiver->space;
}

struct kcd_delivery *kcd_delivery_hand(struct kcd_wait *sender, struct kcd_wait *receiver,
				       bool provisional, int *ret_code)
{
	struct kcd_channel *ch = sender->attach->channel;
	uint32_t len = first_length(sender);
	struct kcd_delivery *d;
	long r;

	*ret_code = KC_ENOMEM;
	d = kcd_delivery_new(ch->elements.next, 1, 0);
	if (!d)
		return NULL;
	r = kcd_elements_append(&ch->elements, sender->elems, 1,
				kcd_elements_size(&ch->elements, sender->elems), NULL,
				&sender->why);
	if (r < 0) {
		*ret_code = (int)r;
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
		kcd_attach_shares(d->attach);
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
	kcd_delivery_free(ch, d);
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
void kcd_delivery_return(struct kcd_delivery *d)
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

	kcd_delivery_return(d);
	kcd_channel_pump(ch);
}

void kcd_attach_return_all(struct kcd_attach *attach)
{
	/* From the latest to the earliest, so that each finds its place still free. */
	while (!kcd_list_empty(&attach->deliveries))
		kcd_delivery_return(
			KCD_CONTAINER(attach->deliveries.prev, struct kcd_delivery, link));
}
