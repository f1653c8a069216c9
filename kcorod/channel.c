/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a channel: options, attachments, closing, destroying, its books. */
#include "kcorod/channel.h"

#include <string.h>

#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

static int options_check_bytes(struct kcd_channel_options *o, const char **ret_why)
{
	uint64_t least = o->elem_size ? o->elem_size : 2ull * o->max_msg;

	if (o->elem_size && o->kind != KCP_KIND_UNLIMITED) {
		*ret_why = "MAX_BYTES is for messages and unlimited channels";
		return o->max_bytes ? KC_EINVAL : 0;
	}
	if (o->max_bytes == 0)
		o->max_bytes = least > KCP_BYTES_DEFAULT ? least : KCP_BYTES_DEFAULT;
	*ret_why = "MAX_BYTES must hold two of the largest message, or one element";
	return o->max_bytes < least ? KC_EINVAL : 0;
}

int kcd_channel_options_check(struct kcd_channel_options *o, const char **ret_why)
{
	bool bounded = o->kind == KCP_KIND_BUFFERED || o->kind == KCP_KIND_UNLIMITED;

	*ret_why = "KIND is rendezvous, buffered, conflated or unlimited";
	if ((unsigned)o->kind > KCP_KIND_UNLIMITED)
		return KC_EINVAL;
	*ret_why = "CAPACITY of a buffered channel is 1..1048576";
	if (o->kind == KCP_KIND_BUFFERED && (o->capacity < 1 || o->capacity > KCP_CAPACITY_MAX))
		return KC_EINVAL;
	*ret_why = "CAPACITY is for buffered channels";
	if (o->kind != KCP_KIND_BUFFERED && o->capacity != 0)
		return KC_EINVAL;
	*ret_why = "ELEM_SIZE is at most 65536";
	if (o->elem_size > KCP_ELEM_MAX)
		return KC_EINVAL;
	*ret_why = "MAX_MSG is for messages, and at most 16777216";
	if (o->elem_size ? o->max_msg != 0 : o->max_msg > KCP_MSG_MAX)
		return KC_EINVAL;
	if (!o->elem_size && o->max_msg == 0)
		o->max_msg = KCP_MSG_DEFAULT;
	*ret_why = "OVERFLOW is block, drop oldest or drop newest";
	if ((unsigned)o->overflow > KCP_OVERFLOW_DROP_NEWEST)
		return KC_EINVAL;
	*ret_why = "OVERFLOW is for buffered and unlimited channels";
	if (!bounded && o->overflow != KCP_OVERFLOW_BLOCK)
		return KC_EINVAL;
	*ret_why = "MODE has nine bits";
	if (o->mode > 0777)
		return KC_EINVAL;
	*ret_why = "CHAN_FLAGS has an unknown bit";
	if (o->flags & ~(KCP_CHAN_AUTO_CLOSE | KCP_CHAN_LEASE_ONLY))
		return KC_EINVAL;
	return options_check_bytes(o, ret_why);
}

struct kcd_channel *kcd_channel_new(const struct kcd_channel_options *opts,
				    const struct kcd_channel_ops *ops, struct kcd_timers *timers,
				    struct kcd_budget *daemon, struct kcd_budget *user)
{
	struct kcd_channel *ch = KC_CALLOC(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->opts = *opts;
	ch->ops = ops;
	ch->timers = timers;
	kcd_elements_init(&ch->elements, opts->elem_size, daemon, user);
	kcd_list_init(&ch->returned);
	ch->returned_at = &ch->returned;
	kcd_list_init(&ch->senders);
	kcd_list_init(&ch->receivers);
	kcd_list_init(&ch->engaged);
	kcd_list_init(&ch->attachments);
	kcd_list_init(&ch->creditors);
	kcd_list_init(&ch->sharers);
	kcd_list_init(&ch->wanting);
	kcd_list_init(&ch->promised);
	kcd_list_init(&ch->withdrawn);
	kcd_list_init(&ch->askers);
	kcd_list_init(&ch->silent_senders);
	kcd_list_init(&ch->silent_receivers);
	kcd_list_init(&ch->holders);
	ch->recalls = 1;
	return ch;
}

struct kcd_channel *kcd_channel_free(struct kcd_channel *ch)
{
	if (!ch)
		return NULL;
	while (!kcd_list_empty(&ch->returned)) {
		struct kcd_delivery *d = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link);

		kcd_list_remove(&d->link);
		KC_FREE(d);
	}
	kcd_elements_done(&ch->elements);
	KC_FREE(ch);
	return NULL;
}

uint64_t kcd_channel_bytes(const struct kcd_channel *ch, uint64_t from, uint64_t n)
{
	uint64_t bytes = 0;

	if (ch->opts.elem_size)
		return n * ch->opts.elem_size;
	while (n > 0) {
		const void *data;
		size_t len;
		uint32_t run = kcd_elements_run(&ch->elements, from,
						n > UINT32_MAX ? UINT32_MAX : (uint32_t)n, &data,
						&len);

		bytes += len - 4ull * run;
		from += run;
		n -= run;
	}
	return bytes;
}

uint64_t kcd_channel_len(const struct kcd_channel *ch)
{
	return ch->tail - ch->head + ch->n_returned + ch->n_given + ch->n_offered;
}

void kcd_channel_ledger(const struct kcd_channel *ch, struct kc_ledger *ret)
{
	*ret = ch->ledger;
	ret->queued = kcd_channel_len(ch);
}

uint64_t kcd_channel_drop_queued(struct kcd_channel *ch, uint64_t *counter)
{
	uint64_t n = ch->tail - ch->head;

	if (n > 0) {
		ch->queued_bytes -= kcd_channel_bytes(ch, ch->head, n);
		kcd_elements_free(&ch->elements, ch->head, n);
		ch->head = ch->tail;
	}
	while (!kcd_list_empty(&ch->returned)) {
		struct kcd_delivery *d = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link);

		ch->queued_bytes -= kcd_channel_bytes(ch, d->from, d->n);
		kcd_elements_free(&ch->elements, d->from, d->n);
		n += d->n;
		kcd_returned_remove(ch, d);
		KC_FREE(d);
	}
	ch->n_returned = 0;
	*counter += n;
	return n;
}

uint64_t kcd_channel_purge(struct kcd_channel *ch)
{
	uint64_t n = kcd_channel_drop_queued(ch, &ch->ledger.dropped_purged);

	kcd_channel_pump(ch);
	return n;
}

bool kcd_channel_drained(const struct kcd_channel *ch, bool try_once)
{
	if (!ch->closed || kcd_channel_len(ch) > 0 || ch->ledger.leased > 0)
		return false;
	return try_once || ch->n_untaken == 0;
}

void kcd_channel_close(struct kcd_channel *ch)
{
	struct kcd_wait *wait;

	if (ch->closed)
		return;
	ch->closed = true;
	/* What is under way on a rendezvous is withdrawn before anyone is told, so that no
	 * sender hears "closed" about an element a receiver then keeps. */
	while (!kcd_list_empty(&ch->engaged)) {
		wait = KCD_LIST_FIRST(&ch->engaged, struct kcd_wait, link);
		if (!wait->send)
			break;
		kcd_offer_withdraw(wait, /* again= */ true);
	}
	while (!kcd_list_empty(&ch->senders)) {
		wait = KCD_LIST_FIRST(&ch->senders, struct kcd_wait, link);
		kcd_wait_finish(wait);
		ch->ops->done(wait, KC_EPIPE);
	}
	kcd_channel_pump(ch);
}

/* A destroyed channel is kept for receivers that drain it, and goes with its last
 * attachment. */
static void channel_wind_up(struct kcd_channel *ch)
{
	if (!ch->destroyed)
		return;
	if (ch->n_receivers == 0)
		kcd_channel_drop_queued(ch, &ch->ledger.dropped_destroyed);
	if (ch->n_attached == 0 && !ch->gone) {
		ch->gone = true;
		ch->ops->gone(ch);
	}
}

void kcd_channel_destroy(struct kcd_channel *ch)
{
	if (ch->destroyed)
		return;
	ch->destroyed = true;
	kcd_channel_close(ch);
	channel_wind_up(ch);
}

void kcd_attach_init(struct kcd_attach *attach, struct kcd_channel *ch)
{
	attach->channel = ch;
	kcd_list_init(&attach->creditor);
	kcd_list_init(&attach->holder);
	kcd_list_init(&attach->sharer);
	kcd_list_init(&attach->wanting);
	kcd_list_init(&attach->promised);
	kcd_list_init(&attach->withdrawn);
	attach->cursor = NULL;
	attach->window = attach->owed = 0;
	attach->granted = attach->used = attach->synced = 0;
	attach->listening = false;
	kcd_list_init(&attach->deliveries);
	attach->settled_at = &attach->deliveries;
	attach->credit = 0;
	attach->n_given = 0;
	attach->next_delivery = 1;
	attach->suspended = attach->recall_vain = false;
	attach->recall_choice = 0;
	attach->in_hand = attach->in_hand_bytes = 0;
	attach->send_bell = attach->recv_bell = NULL;
	kcd_list_append(&ch->attachments, &attach->link);
	ch->n_attached++;
	if (attach->roles & KCP_ROLE_RECEIVER)
		ch->n_receivers++;
	if (attach->roles & KCP_ROLE_SENDER)
		ch->n_senders++;
}

void kcd_attach_done(struct kcd_attach *attach, bool died)
{
	struct kcd_channel *ch = attach->channel;

	attach->credit = 0;
	kcd_list_remove(&attach->creditor);
	kcd_window_close(attach);
	kcd_attach_end_cursor(attach);
	if (died) {
		ch->ledger.received -= attach->in_hand;
		ch->ledger.lost_consumer += attach->in_hand;
		ch->bytes_received -= attach->in_hand_bytes;
	}
	attach->in_hand = attach->in_hand_bytes = 0;
	kcd_list_remove(&attach->link);
	ch->n_attached--;
	if (attach->roles & KCP_ROLE_RECEIVER)
		ch->n_receivers--;
	if (attach->roles & KCP_ROLE_SENDER)
		ch->n_senders--;
	kcd_attach_return_all(attach);
	kcd_attach_leave(attach);
	if ((attach->roles & KCP_ROLE_SENDER) && ch->n_senders == 0 &&
	    (ch->opts.flags & KCP_CHAN_AUTO_CLOSE))
		kcd_channel_close(ch);
	kcd_channel_pump(ch);
	channel_wind_up(ch);
}

void kcd_attach_progress(struct kcd_attach *attach)
{
	attach->in_hand = attach->in_hand_bytes = 0;
}
