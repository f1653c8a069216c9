/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Places promised to senders, who then need not await each reply (PROTOCOL.md 7.6).
 *
 * A sender with a window is granted places ahead of its sends. A promised place is
 * nobody else's, so what is sent for it is accepted without fail. When somebody has to
 * wait for a place, or the channel is about to close, promises are withdrawn: `granted`
 * in the cursor goes down, and then what the client has written until now is read. It
 * writes its SEND and then reads `granted`, we write `granted` and then read its SENDs:
 * so either we find what it sent, or it finds that it has to await the reply.
 */
#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

/* The most one element may be. */
static uint64_t unit(const struct kcd_channel *ch)
{
	return ch->opts.elem_size ? ch->opts.elem_size : ch->opts.max_msg;
}

static uint32_t outstanding(const struct kcd_attach *attach)
{
	return (uint32_t)(attach->granted - attach->used);
}

bool kcd_window_fits(const struct kcd_channel *ch)
{
	return (ch->opts.kind == KCP_KIND_BUFFERED || ch->opts.kind == KCP_KIND_UNLIMITED) &&
	       ch->opts.overflow == KCP_OVERFLOW_BLOCK;
}

static void tell(struct kcd_attach *attach)
{
	atomic_store_explicit(&attach->cursor->granted, attach->granted, memory_order_release);
}

/* n of its promises are no more. */
static void unpromise(struct kcd_attach *attach, uint32_t n)
{
	struct kcd_channel *ch = attach->channel;

	ch->n_promised -= n;
	ch->promised_bytes -= n * unit(ch);
	kcd_elements_unreserve(&ch->elements, n * unit(ch));
	if (outstanding(attach) == 0)
		kcd_list_remove(&attach->promised);
	if (attach->window > 0 && outstanding(attach) <= attach->window / 2 &&
	    kcd_list_empty(&attach->wanting))
		kcd_list_append(&ch->wanting, &attach->wanting);
}

void kcd_window_open(struct kcd_attach *attach, uint32_t window)
{
	struct kcd_channel *ch = attach->channel;

	if (!attach->cursor || !kcd_window_fits(ch) || !(attach->roles & KCP_ROLE_SENDER))
		return;
	ch->n_windows += (window > 0) - (attach->window > 0);
	attach->window = window;
	if (window == 0)
		kcd_list_remove(&attach->wanting);
	unpromise(attach, 0);
	kcd_channel_pump(ch);
}

/* All that was withdrawn has been read. */
static void settle(struct kcd_channel *ch)
{
	if (!kcd_list_empty(&ch->withdrawn))
		return;
	/* Who tried and waited for this is told at the end of the pump. */
	ch->try_requeued = true;
	if (ch->closing) {
		ch->closing = false;
		kcd_channel_close(ch);
	}
	kcd_channel_pump(ch);
	ch->ops->settled(ch);
}

/* What was promised and not used is not promised any more. */
static void revoke(struct kcd_attach *attach)
{
	uint32_t left = outstanding(attach);
	bool awaited = !kcd_list_empty(&attach->withdrawn);

	kcd_list_remove(&attach->withdrawn);
	attach->granted = attach->used;
	if (attach->cursor)
		tell(attach);
	unpromise(attach, left);
	if (awaited)
		settle(attach->channel);
}

void kcd_window_suspend(struct kcd_attach *attach)
{
	uint32_t left = outstanding(attach);

	/* All that its connection brought has been read; what the client had sent beyond that
	 * comes again. That may not have come yet from the connection before. */
	if (attach->owed < left)
		attach->owed = left;
	revoke(attach);
}

void kcd_window_close(struct kcd_attach *attach)
{
	if (attach->window > 0)
		attach->channel->n_windows--;
	attach->window = 0;
	kcd_list_remove(&attach->wanting);
	revoke(attach);
}

/* Fill up one window as far as there is room, its fair share of it. True: it got some. */
static bool grant(struct kcd_attach *attach)
{
	struct kcd_channel *ch = attach->channel;
	uint64_t n = attach->window - outstanding(attach);
	uint64_t places = kcd_queue_places_left(ch), bytes = kcd_queue_bytes_left(ch);
	uint64_t share = places / ch->n_windows + (places % ch->n_windows > 0);

	if (n > share)
		n = share;
	if (ch->opts.max_bytes > 0 && n > bytes / unit(ch))
		n = bytes / unit(ch);
	if (n == 0 || kcd_elements_reserve(&ch->elements, n * unit(ch)) < 0)
		return false;
	attach->granted += n;
	ch->n_promised += n;
	ch->promised_bytes += n * unit(ch);
	if (kcd_list_empty(&attach->promised))
		kcd_list_append(&ch->promised, &attach->promised);
	tell(attach);
	return true;
}

void kcd_channel_grant(struct kcd_channel *ch)
{
	struct kcd_attach *attach, *safe;

	/* Who waits comes first, and who is asked back waits until that is done. */
	if (kcd_list_empty(&ch->wanting) || ch->closed || ch->closing ||
	    !kcd_list_empty(&ch->senders) || !kcd_list_empty(&ch->withdrawn))
		return;
	kcd_channel_glance(ch);
	KCD_LIST_EACH (attach, safe, &ch->wanting, struct kcd_attach, wanting) {
		if (attach->suspended)
			continue;
		if (!grant(attach))
			break;
		kcd_list_remove(&attach->wanting);
		if (outstanding(attach) <= attach->window / 2)
			kcd_list_append(&ch->wanting, &attach->wanting);
	}
}

bool kcd_channel_withdraw(struct kcd_channel *ch)
{
	struct kcd_attach *attach, *safe;

	if (kcd_list_empty(&ch->promised))
		return !kcd_list_empty(&ch->withdrawn);
	KCD_LIST_EACH (attach, safe, &ch->promised, struct kcd_attach, promised) {
		if (!kcd_list_empty(&attach->withdrawn))
			continue;
		kcd_list_append(&ch->withdrawn, &attach->withdrawn);
		atomic_store_explicit(&attach->cursor->granted, attach->used,
				      memory_order_release);
		ch->ops->drain(attach);
	}
	/* before anything of it is read */
	atomic_thread_fence(memory_order_seq_cst);
	return true;
}

void kcd_attach_drained(struct kcd_attach *attach)
{
	if (!kcd_list_empty(&attach->withdrawn))
		revoke(attach);
}

bool kcd_window_covers(const struct kcd_wait *wait)
{
	return !wait->cut && wait->n <= outstanding(wait->attach);
}

/* What of a SEND could not be queued, although the client was told that it would be. */
static void count_rest(struct kcd_channel *ch, const struct kcd_wait *wait, long n,
		       uint64_t *counter)
{
	uint64_t rest = wait->n - (uint64_t)(n > 0 ? n : 0);

	ch->ledger.sent += rest;
	*counter += rest;
}

void kcd_window_accept(struct kcd_wait *wait)
{
	struct kcd_attach *attach = wait->attach;
	struct kcd_channel *ch = attach->channel;

	attach->used += wait->n;
	unpromise(attach, wait->n);
	if (wait->promised)
		attach->owed -= attach->owed < wait->n ? attach->owed : wait->n;
	/* The places are there, even where what was returned has lifted the length since; memory
	 * may not be. */
	count_rest(ch, wait, kcd_queue_force(ch, wait), &ch->ledger.lost_daemon);
	kcd_channel_pump(ch);
}

long kcd_window_accept_late(struct kcd_wait *wait)
{
	struct kcd_channel *ch = wait->attach->channel;
	long n;

	if (wait->n > wait->attach->owed)
		return 0;
	wait->attach->owed -= wait->n;
	n = ch->destroyed ? 0 : kcd_queue_force(ch, wait);

	count_rest(ch, wait, n,
		   ch->destroyed ? &ch->ledger.dropped_destroyed : &ch->ledger.lost_daemon);
	kcd_channel_pump(ch);
	return (long)wait->n;
}

bool kcd_channel_close_soon(struct kcd_channel *ch)
{
	if (ch->closed || !kcd_channel_withdraw(ch)) {
		kcd_channel_close(ch);
		return true;
	}
	ch->closing = true;
	return false;
}
