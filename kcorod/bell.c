/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bells: who waits outside of any request for a try to be worth its while.
 *
 * Whatever changes a channel ends with the pump, and the pump ends here. So a bell
 * that is silent with something to find is never left behind: not by what arrives,
 * leaves, closes or gives up waiting, and not by the try that silenced it.
 *
 * A try that is just being looked at waits in its queue for a moment. It does not
 * count as somebody waiting: two programs that only try would else ring each other's
 * bells for ever.
 */
#include "kcorod/channel-private.h"

/* The first that will still be waiting when this call is over. */
static const struct kcd_wait *lasting(const struct kcd_list *queue)
{
	for (const struct kcd_list *at = queue->next; at != queue; at = at->next) {
		const struct kcd_wait *wait = KCD_CONTAINER(at, struct kcd_wait, link);

		if (!wait->try_once && kcd_wait_is_free(wait))
			return wait;
	}
	return NULL;
}

static bool would_send(const struct kcd_channel *ch, uint32_t need)
{
	if (ch->closed)
		return true;
	if (lasting(&ch->senders))
		return false; /* behind those */
	if (ch->opts.kind == KCP_KIND_RENDEZVOUS)
		return lasting(&ch->receivers) != NULL;
	/* What is only promised is withdrawn for a try. */
	if (kcd_queue_has_room(ch, need) || !kcd_list_empty(&ch->promised))
		return true;
	return ch->opts.overflow == KCP_OVERFLOW_DROP_NEWEST ||
	       (ch->opts.overflow == KCP_OVERFLOW_DROP_OLDEST && kcd_channel_has_queued(ch));
}

static bool would_receive(const struct kcd_channel *ch)
{
	if (kcd_channel_has_queued(ch) || kcd_channel_drained(ch, /* try_once= */ true))
		return true;
	return ch->opts.kind == KCP_KIND_RENDEZVOUS && lasting(&ch->senders);
}

void kcd_channel_ring(struct kcd_channel *ch)
{
	struct kcd_bell *bell, *safe;

	if (!kcd_list_empty(&ch->silent_receivers) && would_receive(ch))
		KCD_LIST_EACH (bell, safe, &ch->silent_receivers, struct kcd_bell, link)
			kcd_bell_ring(bell);
	/* The least anyone can need is asked about first: mostly that is the end of it. */
	if (!kcd_list_empty(&ch->silent_senders) && would_send(ch, ch->opts.elem_size))
		KCD_LIST_EACH (bell, safe, &ch->silent_senders, struct kcd_bell, link)
			if (would_send(ch, bell->need))
				kcd_bell_ring(bell);
}

/* It has not rung, and rings at once if there is reason to. */
static void await(struct kcd_bell *bell)
{
	struct kcd_channel *ch = bell->attach->channel;

	bell->rung = false;
	if (bell->send ? would_send(ch, bell->need) : would_receive(ch))
		kcd_bell_ring(bell);
	else if (kcd_list_empty(&bell->link))
		kcd_list_append(bell->send ? &ch->silent_senders : &ch->silent_receivers,
				&bell->link);
}

void kcd_bell_hang(struct kcd_bell *bell, struct kcd_attach *attach, bool send)
{
	*(send ? &attach->send_bell : &attach->recv_bell) = bell;
	kcd_list_init(&bell->link);
	bell->attach = attach;
	bell->send = send;
	bell->need = attach->channel->opts.elem_size;
	await(bell);
	/* What was given ahead lies with the client, or is on its way there. It rang a bell
	 * that hung then, and the client does not silence that before it has used it up. */
	if (!send && attach->n_given > 0)
		kcd_bell_ring(bell);
}

void kcd_bell_take_down(struct kcd_bell *bell)
{
	*(bell->send ? &bell->attach->send_bell : &bell->attach->recv_bell) = NULL;
	kcd_list_remove(&bell->link);
}

void kcd_bell_silence(struct kcd_bell *bell, uint32_t need)
{
	if (bell->send)
		bell->need = need;
	await(bell);
}

void kcd_bell_ring(struct kcd_bell *bell)
{
	if (bell->rung)
		return;
	bell->rung = true;
	kcd_list_remove(&bell->link);
	bell->attach->channel->ops->ring(bell);
}
