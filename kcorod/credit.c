/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements given ahead, and asked back.
 *
 * A receiver with credit gets elements it has not asked for yet, so that a stream
 * needs no request per batch. Receivers that wait come first; only what is left
 * over is given ahead, in turns. When later a receiver waits on an empty queue, one
 * who holds many is asked to give some back.
 */
#include "kcorod/channel-private.h"
#include "libkcoro-client/port/kcoro_port.h"

#define AHEAD_ELEMENTS 1024u /* given to one attachment before it is the next one's turn */
#define AHEAD_BYTES 65536u
#define RECALL_CHOICE 16 /* of those who were given something, to ask the one who has most */

/* On a list or off it. */
static void list_when(struct kcd_list *list, struct kcd_list *link, bool on)
{
	if (!on)
		kcd_list_remove(link);
	else if (kcd_list_empty(link))
		kcd_list_append(list, link);
}

void kcd_attach_update_credit(struct kcd_attach *attach)
{
	struct kcd_channel *ch = attach->channel;

	list_when(&ch->creditors, &attach->creditor,
		  attach->credit > attach->n_given && !attach->suspended && ch->recalling != attach);
	list_when(&ch->holders, &attach->holder,
		  attach->n_given > 0 && !attach->suspended && !attach->recall_vain);
}

/* The recall it was asked for, if any, is over. */
static void recall_over(struct kcd_attach *attach)
{
	if (attach->channel->recalling == attach)
		attach->channel->recalling = NULL;
	kcd_attach_update_credit(attach);
}

void kcd_attach_recalled(struct kcd_attach *attach)
{
	recall_over(attach);
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
	(void)kcd_attach_sync(attach);
	kcd_window_suspend(attach);
	attach->suspended = true;
	recall_over(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_attach_resume(struct kcd_attach *attach)
{
	attach->suspended = false;
	kcd_attach_update_credit(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_attach_feed(struct kcd_attach *attach)
{
	kcd_list_remove(&attach->creditor);
	kcd_attach_update_credit(attach);
	kcd_channel_pump(attach->channel);
}

void kcd_attach_leave(struct kcd_attach *attach)
{
	recall_over(attach);
	kcd_list_remove(&attach->creditor);
	kcd_list_remove(&attach->holder);
}

/* One turn of a creditor: how many it was given. */
static long give(struct kcd_attach *attach)
{
	struct kcd_channel *ch = attach->channel;
	uint64_t needed, window = attach->credit - attach->n_given;
	uint32_t max = window < AHEAD_ELEMENTS ? (uint32_t)window : AHEAD_ELEMENTS, records;
	uint64_t space = ch->opts.max_msg > AHEAD_BYTES ? ch->opts.max_msg : AHEAD_BYTES;
	struct kcd_delivery *d;
	long n = kcd_delivery_take(attach, max, space, /* ahead= */ true, attach->lease,
				   attach->lease_ms, &d, &records, &needed);

	if (n <= 0)
		return n;
	kcd_attach_update_credit(attach);
	if (attach->recv_bell)
		kcd_bell_ring(attach->recv_bell);
	while (records-- > 0) {
		struct kcd_list *next = d->link.next;

		ch->ops->give(attach, d);
		d = KCD_CONTAINER(next, struct kcd_delivery, link);
	}
	return n;
}

void kcd_channel_give_ahead(struct kcd_channel *ch)
{
	const struct kcd_attach *refused = NULL; /* the first since something was given */

	/* One turn each; who had it goes to the end of the list. Who can take nothing now has
	 * had its turn too, until all that are left are such. */
	while (kcd_channel_has_queued(ch) && !kcd_list_empty(&ch->creditors)) {
		struct kcd_attach *attach =
			KCD_LIST_FIRST(&ch->creditors, struct kcd_attach, creditor);

		if (attach == refused)
			break;
		kcd_list_remove(&attach->creditor);
		kcd_list_append(&ch->creditors, &attach->creditor);
		if (!ch->ops->may_give(attach)) {
			/* The session may have taken it off the list until it can. */
			if (!refused && ch->creditors.prev == &attach->creditor)
				refused = attach;
			continue;
		}
		if (give(attach) <= 0)
			break; /* no memory */
		refused = NULL;
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
	struct kcd_attach *most = NULL;
	struct kcd_wait *wait;
	uint64_t want;

	if (ch->recalling || kcd_list_empty(&ch->holders) || kcd_channel_has_queued(ch) ||
	    !(wait = recall_for(ch)))
		return; /* one at a time */
	/* Not all of a thousand are compared for each element, but all come to it in turn. */
	for (int i = 0; i < RECALL_CHOICE; i++) {
		struct kcd_attach *attach = KCD_LIST_FIRST(&ch->holders, struct kcd_attach, holder);

		if (attach->recall_choice == ch->recalls)
			break; /* all were looked at */
		attach->recall_choice = ch->recalls;
		kcd_list_remove(&attach->holder);
		kcd_list_append(&ch->holders, &attach->holder);
		/* what the waiting one was given itself is on its way to it: asked back, it would
		 * only come again, out of order */
		if (attach != wait->attach && (!most || attach->n_given > most->n_given))
			most = attach;
	}
	ch->recalls++;
	if (!most)
		return;
	want = (most->n_given + 1) / 2;
	if (want > wait->max)
		want = wait->max;
	ch->recalling = most;
	most->recall_vain = true;
	kcd_attach_update_credit(most);
	ch->ops->recall(most, (uint32_t)want);
}
