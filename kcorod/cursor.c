/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements given ahead that the client takes without saying so.
 *
 * A client with a cursor writes there how far it has taken what it was given. Nobody
 * needs to know as long as nobody waits for the places or the credit that became free;
 * it is looked at when somebody asks after the channel, or comes from the client anyhow.
 * Once somebody does wait, `listen` asks the client to say TAKEN again: it writes `taken`
 * and then reads `listen`, we write `listen` and then read `taken`.
 */
#include "kcorod/channel-private.h"

#define GLANCE 8u /* cursors looked at in a glance */

bool kcd_attach_sync(struct kcd_attach *attach)
{
	struct kcp_cursor *cursor = attach->cursor;
	uint64_t taken, before, from = attach->synced;

	if (!cursor)
		return false;
	taken = atomic_load_explicit(&cursor->taken, memory_order_acquire);
	before = atomic_load_explicit(&cursor->before, memory_order_acquire);
	/* What was never given cannot have been taken. */
	if (taken > attach->next_delivery - 1)
		taken = attach->next_delivery - 1;
	if (before > taken)
		before = taken;
	if (taken > from && (kcd_attach_cut(attach, from + 1, taken - from) < 0 ||
			     (before > from && kcd_attach_cut(attach, from + 1, before - from) < 0)))
		return false; /* no memory: the next time */
	/* The program came back since: what it took until then is in good hands. */
	if (before > from) {
		kcd_attach_taken(attach, from + 1, before - from);
		from = before;
	}
	if (before >= from)
		kcd_attach_progress(attach);
	if (taken > from) {
		kcd_attach_taken(attach, from + 1, taken - from);
		from = taken;
	}
	if (from == attach->synced)
		return false;
	attach->synced = from;
	return true;
}

void kcd_channel_sync(struct kcd_channel *ch)
{
	struct kcd_attach *attach, *safe;

	/* No pump: where anybody waits for this, the sharers are listened to, and tell. */
	ch->held++;
	KCD_LIST_EACH (attach, safe, &ch->sharers, struct kcd_attach, sharer)
		(void)kcd_attach_sync(attach);
	ch->held--;
}

/* For what is nice to have, not for what somebody waits for. */
void kcd_channel_glance(struct kcd_channel *ch)
{
	struct kcd_list *last = ch->sharers.prev;

	ch->held++;
	for (unsigned i = 0; i < GLANCE && !kcd_list_empty(&ch->sharers); i++) {
		struct kcd_attach *attach = KCD_LIST_FIRST(&ch->sharers, struct kcd_attach, sharer);
		bool end = &attach->sharer == last;

		kcd_list_remove(&attach->sharer);
		kcd_list_append(&ch->sharers, &attach->sharer);
		(void)kcd_attach_sync(attach);
		if (end)
			break;
	}
	ch->held--;
}

/* Does anybody wait for what the sharers have not taken? */
static bool is_awaited(const struct kcd_channel *ch)
{
	return kcd_channel_has_queued(ch) || !kcd_list_empty(&ch->senders) || ch->closed ||
	       !kcd_list_empty(&ch->silent_senders);
}

bool kcd_channel_listen(struct kcd_channel *ch)
{
	struct kcd_attach *attach, *safe;
	bool asked = false, found = false;

	if (kcd_list_empty(&ch->sharers) || !is_awaited(ch))
		return false;
	/* Those who have been asked tell by themselves. */
	KCD_LIST_EACH (attach, safe, &ch->sharers, struct kcd_attach, sharer)
		if (!attach->listening)
			found |= kcd_attach_sync(attach);
	if (found)
		return true;
	KCD_LIST_EACH (attach, safe, &ch->sharers, struct kcd_attach, sharer) {
		if (attach->listening)
			continue;
		attach->listening = asked = true;
		atomic_store_explicit(&attach->cursor->listen, 1, memory_order_relaxed);
	}
	if (!asked)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	KCD_LIST_EACH (attach, safe, &ch->sharers, struct kcd_attach, sharer)
		found |= kcd_attach_sync(attach);
	return found;
}

void kcd_attach_hush(struct kcd_attach *attach)
{
	if (!attach->listening || is_awaited(attach->channel))
		return;
	attach->listening = false;
	atomic_store_explicit(&attach->cursor->listen, 0, memory_order_relaxed);
}

void kcd_attach_shares(struct kcd_attach *attach)
{
	if (!attach->cursor || attach->n_given == 0)
		kcd_list_remove(&attach->sharer);
	else if (kcd_list_empty(&attach->sharer))
		kcd_list_append(&attach->channel->sharers, &attach->sharer);
}

void kcd_attach_cursor(struct kcd_attach *attach, struct kcp_cursor *cursor)
{
	attach->cursor = cursor;
	kcd_attach_shares(attach);
	kcd_channel_pump(attach->channel);
}

/* The client may not know yet that its session is over: it tries to say TAKEN, and finds
 * out, before its program gets what goes back now. What it took before is in the cursor. */
void kcd_attach_end_cursor(struct kcd_attach *attach)
{
	if (!attach->cursor)
		return;
	atomic_store_explicit(&attach->cursor->listen, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	(void)kcd_attach_sync(attach);
	attach->cursor = NULL;
	kcd_attach_shares(attach);
}
