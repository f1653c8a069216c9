/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending, receiving and waiting.
 *
 * Each call first tries at once; what cannot proceed is queued. Whatever changes a
 * channel ends with the pump, which lets everything proceed that can: receivers
 * are served before senders are let in, so that an element never finds the
 * channel full while somebody waits for it.
 */
#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"

void kcd_wait_init(struct kcd_wait *wait, struct kcd_attach *attach, bool send)
{
	*wait = (struct kcd_wait){ .attach = attach, .send = send };
	kcd_list_init(&wait->link);
	kcd_list_init(&wait->grouped);
}

static uint32_t *wait_counter(struct kcd_wait *wait)
{
	struct kcd_channel *ch = wait->attach->channel;

	return wait->send ? &ch->n_senders_waiting : &ch->n_receivers_waiting;
}

void kcd_wait_enqueue(struct kcd_wait *wait)
{
	struct kcd_channel *ch = wait->attach->channel;
	struct kcd_list *queue = wait->send ? &ch->senders : &ch->receivers, *at = queue;
	bool back = wait->ticket != 0;

	if (wait->state == KCD_IDLE)
		(*wait_counter(wait))++;
	else if (wait->try_once)
		ch->try_requeued = true;
	wait->state = KCD_WAITING;
	if (!back)
		wait->ticket = ++ch->next_ticket;
	kcd_list_remove(&wait->link);
	if (wait->suspended)
		return;
	/* one that comes back is older than most */
	if (back)
		for (at = queue->next; at != queue; at = at->next)
			if (KCD_CONTAINER(at, struct kcd_wait, link)->ticket > wait->ticket)
				break;
	kcd_list_insert(at, &wait->link);
}

void kcd_wait_engage(struct kcd_wait *wait, enum kcd_wait_state state)
{
	struct kcd_list *engaged = &wait->attach->channel->engaged;

	kcd_list_remove(&wait->link);
	kcd_list_insert(wait->send ? engaged->next : engaged, &wait->link);
	wait->state = state;
}

void kcd_wait_finish(struct kcd_wait *wait)
{
	if (wait->state == KCD_IDLE)
		return;
	if (!wait->suspended)
		(*wait_counter(wait))--;
	wait->state = KCD_IDLE;
	kcd_list_remove(&wait->link);
	kcd_list_remove(&wait->grouped);
	kcd_timer_disarm(wait->attach->channel->timers, &wait->settle);
}

struct kcd_wait *kcd_wait_first(struct kcd_list *queue)
{
	struct kcd_wait *wait, *safe;

	KCD_LIST_EACH (wait, safe, queue, struct kcd_wait, link)
		if (kcd_wait_is_free(wait))
			return wait;
	return NULL;
}

bool kcd_queue_serve_receivers(struct kcd_channel *ch)
{
	bool moved = false;
	struct kcd_wait *wait;

	while (kcd_channel_has_queued(ch) && (wait = kcd_wait_first(&ch->receivers)) != NULL) {
		long n;

		moved = true;
		if (wait->offer) {
			kcd_offer_element(wait);
			continue;
		}
		n = kcd_delivery_take(wait->attach, wait->max, wait->space, /* ahead= */ false,
				      wait->lease, wait->lease_ms, &wait->first,
				      &wait->n_deliveries, &wait->needed);
		kcd_wait_finish(wait);
		ch->ops->done(wait, n);
	}
	return moved;
}

/* Let waiting senders in. True if anything moved. */
static bool queue_serve_senders(struct kcd_channel *ch)
{
	bool moved = false;
	struct kcd_wait *wait;

	while ((wait = kcd_wait_first(&ch->senders)) != NULL) {
		long n;

		if (wait->offer) {
			/* A policy that drops always has room in the end. */
			if (ch->opts.overflow == KCP_OVERFLOW_BLOCK &&
			    !kcd_queue_has_room(ch, wait->first_len))
				break;
			kcd_offer_place(wait);
			moved = true;
			continue;
		}
		n = kcd_queue_accept(ch, wait);
		if (n == 0)
			break;
		moved = true;
		kcd_wait_finish(wait);
		ch->ops->done(wait, n);
	}
	return moved;
}

/* First that may be served and is no clause of this select (NULL: any). */
static struct kcd_wait *first_not_of(struct kcd_list *queue, const struct kcd_group *group)
{
	struct kcd_wait *wait, *safe;

	KCD_LIST_EACH (wait, safe, queue, struct kcd_wait, link)
		if (kcd_wait_is_free(wait) && (!group || wait->group != group))
			return wait;
	return NULL;
}

/* A select never meets itself. */
static bool queue_meet(struct kcd_channel *ch)
{
	bool moved = false;

	while (!kcd_channel_has_queued(ch)) {
		struct kcd_wait *sender = kcd_wait_first(&ch->senders);
		struct kcd_wait *receiver = sender ? first_not_of(&ch->receivers, sender->group)
						   : NULL;

		/* all who receive are clauses of the select that sends first */
		if (sender && !receiver) {
			receiver = kcd_wait_first(&ch->receivers);
			sender = receiver ? first_not_of(&ch->senders, receiver->group) : NULL;
		}
		if (!sender || !receiver || !kcd_offer_meet(sender, receiver))
			break;
		moved = true;
	}
	return moved;
}

/* End those who wait for what cannot come any more. */
static void queue_dismiss(struct kcd_channel *ch)
{
	struct kcd_wait *wait, *safe;

	if (ch->try_requeued) {
		struct kcd_list *queues[] = { &ch->senders, &ch->receivers };

		ch->try_requeued = false;
		for (size_t i = 0; i < KC_ARRAY_SIZE(queues); i++) {
			KCD_LIST_EACH (wait, safe, queues[i], struct kcd_wait, link) {
				if (!wait->try_once)
					continue;
				kcd_wait_finish(wait);
				ch->ops->done(wait, KC_EAGAIN);
			}
		}
	}
	if (!kcd_channel_drained(ch, /* try_once= */ false))
		return;
	KCD_LIST_EACH (wait, safe, &ch->receivers, struct kcd_wait, link) {
		kcd_wait_finish(wait);
		ch->ops->done(wait, KC_EPIPE);
	}
}

/* Let those who wait proceed until nothing moves. */
static void queue_proceed(struct kcd_channel *ch)
{
	bool moved;

	do {
		ch->pump_again = false;
		moved = kcd_queue_serve_receivers(ch);
		if (ch->closed)
			continue; /* who still waits to send is about to be told */
		if (ch->opts.kind == KCP_KIND_RENDEZVOUS)
			moved |= queue_meet(ch);
		else
			moved |= queue_serve_senders(ch);
	} while (moved || ch->pump_again);
}

void kcd_channel_pump(struct kcd_channel *ch)
{
	if (ch->pumping || ch->held > 0) {
		ch->pump_again = true;
		return;
	}
	ch->pumping = true;
	do {
		queue_proceed(ch);
		kcd_channel_give_ahead(ch);
	} while (kcd_channel_listen(ch));
	kcd_channel_grant(ch);
	kcd_channel_recall(ch);
	queue_dismiss(ch);
	ch->pumping = false;
	if (!kcd_list_empty(&ch->silent_receivers) || !kcd_list_empty(&ch->silent_senders))
		kcd_channel_ring(ch);
}

void kcd_channel_hold(struct kcd_channel *ch)
{
	ch->held++;
}

void kcd_channel_release(struct kcd_channel *ch)
{
	if (--ch->held == 0 && ch->pump_again)
		kcd_channel_pump(ch);
}

int kcd_wait_check(struct kcd_wait *wait)
{
	const struct kcd_channel *ch = wait->attach->channel;
	size_t left = wait->elems_len;
	const uint8_t *pos = wait->elems;

	wait->why = "ELEMENTS is no whole number of elements";
	wait->n = 0;
	wait->cut = false;
	wait->first_len = ch->opts.elem_size;
	if (ch->opts.elem_size) {
		if (left == 0 || left % ch->opts.elem_size != 0 ||
		    left / ch->opts.elem_size > KCP_BATCH_MAX)
			return KC_EINVAL;
		wait->n = (uint32_t)(left / ch->opts.elem_size);
		return 0;
	}
	while (left > 0) {
		const uint8_t *before = pos;
		uint32_t len;

		if (left < 4)
			return KC_EINVAL;
		len = kcp_load_u32(pos);
		pos += 4 + (size_t)len;
		if (len > left - 4 || wait->n == KCP_BATCH_MAX)
			return KC_EINVAL;
		if (wait->n == 0 && len > ch->opts.max_msg)
			return KC_EMSGSIZE;
		if (wait->n == 0)
			wait->first_len = len;
		wait->cut |= len > ch->opts.max_msg;
		left -= (size_t)(pos - before);
		wait->n++;
	}
	return wait->n ? 0 : KC_EINVAL;
}

/* Queue a request that could not proceed at once, unless it was to try only. */
static long wait_or_give_up(struct kcd_channel *ch, struct kcd_wait *wait)
{
	kcd_wait_enqueue(wait);
	kcd_channel_pump(ch);
	if (wait->state != KCD_WAITING)
		return 0;
	/* It may be that only promises are in the way, or that what was sent for them is still
	 * to be read: even a try waits for that. */
	if ((wait->send || wait->try_once) && kcd_channel_withdraw(ch))
		return 0;
	if (!wait->try_once)
		return 0;
	kcd_wait_finish(wait);
	return KC_EAGAIN;
}

long kcd_channel_send(struct kcd_wait *wait)
{
	struct kcd_channel *ch = wait->attach->channel;
	long n;
	int r = kcd_wait_check(wait);

	if (r < 0)
		return r;
	n = wait->promised ? kcd_window_accept_late(wait) : 0;
	if (n > 0)
		return n;
	if (ch->closed)
		return KC_EPIPE;
	if (wait->offer && wait->n != 1) {
		wait->why = "an offer is for one element";
		return KC_EINVAL;
	}
	if (ch->opts.kind != KCP_KIND_RENDEZVOUS && !wait->offer &&
	    !kcd_wait_first(&ch->senders)) {
		n = kcd_queue_accept(ch, wait);
		if (n != 0) {
			if (n > 0)
				kcd_channel_pump(ch);
			return n;
		}
	}
	return wait_or_give_up(ch, wait);
}

long kcd_channel_recv(struct kcd_wait *wait)
{
	struct kcd_channel *ch = wait->attach->channel;
	struct kcd_wait *sender;

	if (kcd_channel_drained(ch, wait->try_once))
		return KC_EPIPE;
	if (wait->offer)
		return wait_or_give_up(ch, wait);
	if (kcd_channel_has_queued(ch))
		return kcd_delivery_take(wait->attach, wait->max, wait->space, /* ahead= */ false,
					 wait->lease, wait->lease_ms, &wait->first,
					 &wait->n_deliveries, &wait->needed);
	sender = kcd_wait_first(&ch->senders);
	if (ch->opts.kind == KCP_KIND_RENDEZVOUS && sender && !sender->offer) {
		int code;

		if (!kcd_delivery_fits(sender, wait))
			return KC_EMSGSIZE;
		wait->first = kcd_delivery_hand(sender, wait, /* provisional= */ true, &code);
		if (wait->first) {
			wait->n_deliveries = 1;
			return 1;
		}
		kcd_wait_finish(sender);
		ch->ops->done(sender, code);
	}
	return wait_or_give_up(ch, wait);
}

void kcd_wait_end(struct kcd_wait *wait)
{
	if (wait->state == KCD_IDLE)
		return;
	if (wait->state == KCD_WAITING)
		kcd_wait_finish(wait);
	else
		kcd_offer_withdraw(wait, /* again= */ false);
	kcd_channel_pump(wait->attach->channel);
}

void kcd_wait_suspend(struct kcd_wait *wait)
{
	if (wait->send || wait->suspended || wait->state == KCD_IDLE)
		return;
	/* An offer waits to be settled, for as long as offers do; a plain receiver that was
	 * paired with one lets its partner go. */
	if (wait->state == KCD_PAIRED)
		kcd_offer_withdraw(wait, /* again= */ true);
	(*wait_counter(wait))--;
	wait->suspended = true;
	if (wait->state == KCD_WAITING)
		kcd_list_remove(&wait->link);
	kcd_channel_pump(wait->attach->channel);
}

void kcd_wait_resume(struct kcd_wait *wait)
{
	if (!wait->suspended)
		return;
	wait->suspended = false;
	(*wait_counter(wait))++;
	if (wait->state == KCD_WAITING)
		kcd_wait_enqueue(wait);
	kcd_channel_pump(wait->attach->channel);
}
