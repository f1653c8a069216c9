/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements given ahead, and asked back.
 *
 * A receiver with credit gets elements it has not asked for yet, so that a stream
 * needs no request per batch. Receivers that wait come first; only what is left
 * over is given ahead, in turns. When later a receiver waits on an empty queue, the
 * one who holds most is asked to give some back.
 */
#include "kcorod/channel-private.h"
#include "libkcoro-client/port/kcoro_port.h"

#define AHEAD_ELEMENTS 1024u /* given to one attachment before it is the next one's turn */
#define AHEAD_BYTES 65536u

void kcd_attach_update_credit(struct kcd_attach *attach)
{
	struct kcd_channel *ch = attach->channel;
	bool may = attach->credit > attach->n_given && !attach->suspended && !attach->recalling;

	if (!may)
		kcd_list_remove(&attach->creditor);
	else if (kcd_list_empty(&attach->creditor))
		kcd_list_append(&ch->creditors, &attach->creditor);
}

void kcd_attach_recalled(struct kcd_attach *attach)
{
	attach->recalling = false;
	kcd_attach_update_credit(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_attach_credit(struct kcd_attach *attach, uint32_t credit)
{
	const struct kcd_channel_options *o = &attach->channel->opts;

	/* What is given ahead could not be dropped for something newer. */
	if (o->kind == KCP_KIND_RENDEZVOUS || o->kind == KCP_KIND_CONFLATED ||
	    o->overflow == KCP_OVERFLOW_DROP_OLDEST)
		return;
	attach->credit = credit;
	kcd_attach_update_credit(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_attach_suspend(struct kcd_attach *attach)
{
	attach->suspended = true;
	attach->recalling = false;
	kcd_attach_update_credit(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_attach_resume(struct kcd_attach *attach)
{
	attach->suspended = false;
	kcd_attach_update_credit(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_channel_give_ahead(struct kcd_channel *ch)
{
	struct kcd_attach *attach, *safe;

	/* One turn each, in the order of the list; who got something goes to its end. */
	while (kcd_channel_has_queued(ch) && !kcd_list_empty(&ch->creditors)) {
		bool gave = false;
		struct kcd_list turn;

		/* This round's creditors move to a list of their own, so that the walk ends. */
		turn = ch->creditors;
		turn.next->prev = turn.prev->next = &turn;
		kcd_list_init(&ch->creditors);
		KCD_LIST_EACH (attach, safe, &turn, struct kcd_attach, creditor) {
			struct kcd_delivery *d;
			uint64_t needed, window = attach->credit - attach->n_given;
			uint32_t max = window < AHEAD_ELEMENTS ? (uint32_t)window : AHEAD_ELEMENTS;
			uint32_t records;
			uint64_t space = ch->opts.max_msg > AHEAD_BYTES ? ch->opts.max_msg
									: AHEAD_BYTES;
			long n = 0;

			kcd_list_remove(&attach->creditor);
			kcd_list_append(&ch->creditors, &attach->creditor);
			if (!kcd_channel_has_queued(ch) || !ch->ops->may_give(attach))
				continue;
			n = kcd_delivery_take(attach, max, space, /* ahead= */ true, attach->lease,
					      attach->lease_ms, &d, &records, &needed);
			if (n <= 0)
				continue;
			gave = true;
			kcd_attach_update_credit(attach);
			if (attach->recv_bell)
				kcd_bell_ring(attach->recv_bell);
			while (records-- > 0) {
				struct kcd_list *next = d->link.next;

				ch->ops->give(attach, d);
				d = KCD_CONTAINER(next, struct kcd_delivery, link);
			}
		}
		if (!gave)
			break;
	}
}

/* The first receiver that waits with nothing of its own to go on with. What was given
 * ahead to a receiver crosses with the RECV it sends when its buffer is empty: that
 * RECV needs nobody's elements, least of all its own taken back past newer ones. */
static struct kcd_wait *recall_for(struct kcd_channel *ch)
{
	struct kcd_wait *wait, *safe;

	KCD_LIST_EACH (wait, safe, &ch->receivers, struct kcd_wait, link)
		if (wait->attach->n_given == 0)
			return wait;
	return NULL;
}

void kcd_channel_recall(struct kcd_channel *ch)
{
	struct kcd_attach *attach, *safe, *most = NULL;
	struct kcd_wait *wait;
	uint64_t want;

	if (ch->n_given == 0 || kcd_channel_has_queued(ch) || !(wait = recall_for(ch)))
		return;
	KCD_LIST_EACH (attach, safe, &ch->attachments, struct kcd_attach, link) {
		if (attach->recalling)
			return; /* one at a time */
		/* what the waiting one was given itself is on its way to it: asked back, it would
		 * only come again, out of order */
		if (attach == wait->attach)
			continue;
		if (attach->n_given > 0 && !attach->suspended && !attach->recall_vain &&
		    (!most || attach->n_given > most->n_given))
			most = attach;
	}
	if (!most)
		return;
	want = (most->n_given + 1) / 2;
	if (want > wait->max)
		want = wait->max;
	most->recalling = most->recall_vain = true;
	kcd_attach_update_credit(most);
	ch->ops->recall(most, (uint32_t)want);
}
