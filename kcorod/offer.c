/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Offers to selects, and the meeting of a sender and a receiver on a rendezvous.
 *
 * A clause of a select cannot simply be served: another clause, perhaps on a
 * channel the daemon never heard of, may win at the same moment. So the daemon
 * reserves and asks. While a clause is offered, its select (its group) is offered
 * nothing else; that, and the bound on how long an offer stands, is why two selects
 * that wait for each other on two channels cannot lock each other out.
 *
 * On a rendezvous either side may be a clause:
 *
 *	plain, plain      handed over, provisional until the receiver takes it
 *	clause, plain     the clause is offered, the other side is paired
 *	clause, clause    both are offered; the first to claim waits for the other
 */
#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define SETTLE_NS (KCP_SETTLE_MS * KC_NS_PER_MS)

void kcd_group_init(struct kcd_group *group)
{
	kcd_list_init(&group->waits);
	group->active = NULL;
	group->claimed = false;
}

/* Not settled in time: the wait goes to the end of its queue, so that somebody who
 * does not answer holds up nobody twice in a row. */
static void offer_expired(struct kcd_timer *timer)
{
	struct kcd_wait *wait = KCD_CONTAINER(timer, struct kcd_wait, settle);
	struct kcd_channel *ch = wait->attach->channel;

	wait->ticket = 0;
	kcd_offer_withdraw(wait, /* again= */ true);
	kcd_channel_pump(ch);
}

/* Without memory for the timer the wait stays engaged until it is settled, ended by
 * its deadline, or closed. */
void kcd_offer_settle(struct kcd_wait *wait)
{
	struct kcd_timers *timers = wait->attach->channel->timers;

	wait->settle.fn = offer_expired;
	(void)kcd_timer_arm(timers, &wait->settle, timers->now_ns + SETTLE_NS);
}

static void offer_begin(struct kcd_wait *wait)
{
	kcd_wait_engage(wait, KCD_OFFERED);
	if (wait->group)
		wait->group->active = wait;
	kcd_offer_settle(wait);
	wait->attach->channel->ops->offer(wait);
}

void kcd_offer_release(struct kcd_wait *wait)
{
	struct kcd_group *group = wait->group;
	struct kcd_list *link;
	unsigned n = 0;

	if (!group || group->active != wait)
		return;
	group->active = NULL;
	for (link = group->waits.next; link != &group->waits; link = link->next)
		n++;
	/* A pump may end any of the clauses, so none is remembered: each in turn goes to the
	 * end of the list. */
	for (; n > 0 && !group->active && !kcd_list_empty(&group->waits); n--) {
		struct kcd_wait *other = KCD_LIST_FIRST(&group->waits, struct kcd_wait, grouped);

		kcd_list_remove(&other->grouped);
		kcd_list_append(&group->waits, &other->grouped);
		if (other != wait && other->state == KCD_WAITING)
			kcd_channel_pump(other->attach->channel);
	}
}

void kcd_offer_element(struct kcd_wait *receiver)
{
	struct kcd_channel *ch = receiver->attach->channel;
	uint64_t bytes = kcd_delivery_first_bytes(ch);

	if (bytes > receiver->space) {
		receiver->needed = bytes;
		kcd_wait_finish(receiver);
		ch->ops->done(receiver, KC_EMSGSIZE);
		return;
	}
	receiver->offered = kcd_delivery_detach_first(ch);
	if (!receiver->offered) {
		kcd_wait_finish(receiver);
		ch->ops->done(receiver, KC_ENOMEM);
		return;
	}
	ch->n_offered++;
	offer_begin(receiver);
}

void kcd_offer_place(struct kcd_wait *sender)
{
	struct kcd_channel *ch = sender->attach->channel;

	sender->reserved = true;
	ch->n_reserved++;
	ch->queued_bytes += sender->first_len;
	offer_begin(sender);
}

bool kcd_offer_meet(struct kcd_wait *sender, struct kcd_wait *receiver)
{
	struct kcd_channel *ch = sender->attach->channel;
	int code;

	if (!kcd_delivery_fits(sender, receiver)) {
		kcd_wait_finish(receiver);
		ch->ops->done(receiver, KC_EMSGSIZE);
		return true;
	}
	if (!sender->offer && !receiver->offer) {
		receiver->first = kcd_delivery_hand(sender, receiver, /* provisional= */ true,
						    &code);
		if (!receiver->first) {
			kcd_wait_finish(sender);
			ch->ops->done(sender, code);
			return true;
		}
		receiver->n_deliveries = 1;
		kcd_wait_finish(receiver);
		ch->ops->done(receiver, 1);
		return true;
	}
	sender->partner = receiver;
	receiver->partner = sender;
	kcd_wait_engage(sender, KCD_PAIRED);
	kcd_wait_engage(receiver, KCD_PAIRED);
	if (sender->offer)
		offer_begin(sender);
	if (receiver->offer)
		offer_begin(receiver);
	return true;
}

/* Back to waiting, or done with; and its select free again. */
static void offer_undo(struct kcd_wait *wait, bool again)
{
	bool claimed = wait->state == KCD_CLAIMED;

	wait->partner = NULL;
	kcd_timer_disarm(wait->attach->channel->timers, &wait->settle);
	if (again)
		kcd_wait_enqueue(wait);
	else
		kcd_wait_finish(wait);
	if (claimed)
		wait->attach->channel->ops->claimed(wait, false);
	kcd_offer_release(wait);
}

void kcd_offer_withdraw(struct kcd_wait *wait, bool again)
{
	struct kcd_channel *ch = wait->attach->channel;
	struct kcd_wait *partner = wait->partner;

	if (wait->provisional) {
		kcd_delivery_withdraw(wait->provisional);
		wait->provisional = NULL;
	}
	if (wait->offered) {
		ch->n_offered--;
		kcd_delivery_requeue(ch, wait->offered, /* marked= */ false, /* in_place= */ true);
		wait->offered = NULL;
	}
	if (wait->reserved) {
		ch->n_reserved--;
		ch->queued_bytes -= wait->first_len;
		wait->reserved = false;
	}
	offer_undo(wait, again);
	if (partner)
		offer_undo(partner, /* again= */ true);
}

/* Both sides agreed: the element changes hands for good. */
static enum kcd_claim offer_commit(struct kcd_wait *sender, struct kcd_wait *receiver)
{
	struct kcd_channel *ch = sender->attach->channel;
	struct kcd_wait *sides[] = { sender, receiver };
	int code;

	receiver->first = kcd_delivery_hand(sender, receiver, /* provisional= */ false, &code);
	if (!receiver->first)
		return KCD_CLAIM_AGAIN;
	receiver->n_deliveries = 1;
	for (size_t i = 0; i < KC_ARRAY_SIZE(sides); i++) {
		bool claimed = sides[i]->state == KCD_CLAIMED;

		sides[i]->partner = NULL;
		if (sides[i]->group)
			sides[i]->group->claimed = true;
		kcd_wait_finish(sides[i]);
		ch->ops->done(sides[i], 1);
		if (claimed)
			ch->ops->claimed(sides[i], true);
	}
	return KCD_CLAIM_OK;
}

static enum kcd_claim claim_partner(struct kcd_wait *wait)
{
	struct kcd_wait *partner = wait->partner;
	struct kcd_wait *sender = wait->send ? wait : partner;
	struct kcd_wait *receiver = wait->send ? partner : wait;
	int code;

	if (partner->state == KCD_OFFERED) {
		wait->state = KCD_CLAIMED;
		return KCD_CLAIM_PENDING;
	}
	if (partner->state == KCD_CLAIMED || receiver == wait)
		return offer_commit(sender, receiver);

	/* The clause sends and a plain receiver waits: that has to take the element first,
	 * as on any rendezvous. */
	receiver->first = kcd_delivery_hand(sender, receiver, /* provisional= */ true, &code);
	if (!receiver->first) {
		kcd_offer_withdraw(wait, /* again= */ true);
		return KCD_CLAIM_AGAIN;
	}
	sender->partner = receiver->partner = NULL;
	sender->state = KCD_CLAIMED;
	receiver->n_deliveries = 1;
	kcd_wait_finish(receiver);
	receiver->attach->channel->ops->done(receiver, 1);
	return KCD_CLAIM_PENDING;
}

enum kcd_claim kcd_wait_claim(struct kcd_wait *wait)
{
	struct kcd_channel *ch = wait->attach->channel;
	struct kcd_delivery *d = wait->offered;
	long n = 1;

	if (wait->state != KCD_OFFERED)
		return KCD_CLAIM_AGAIN;
	if (wait->partner)
		return claim_partner(wait);
	if (wait->send) {
		wait->reserved = false;
		ch->n_reserved--;
		ch->queued_bytes -= wait->first_len;
		n = kcd_queue_accept(ch, wait);
		if (n == 0) {
			kcd_offer_withdraw(wait, /* again= */ true);
			return KCD_CLAIM_AGAIN;
		}
	} else {
		if (!kcd_delivery_bind(d, wait))
			return KCD_CLAIM_AGAIN;
		wait->offered = NULL;
		wait->first = d;
		wait->n_deliveries = 1;
	}
	if (wait->group)
		wait->group->claimed = true;
	kcd_wait_finish(wait);
	ch->ops->done(wait, n);
	kcd_channel_pump(ch);
	return KCD_CLAIM_OK;
}
