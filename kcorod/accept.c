/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Letting elements into the queue: what has room goes in as it came, in one piece;
 * for the rest the channel's policy makes room, drops it, or lets it wait.
 */
#include "kcorod/channel-private.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"

uint64_t kcd_queue_places_left(const struct kcd_channel *ch)
{
	uint64_t places = kcd_channel_len(ch) + ch->n_reserved + ch->n_promised, most = 0;

	switch (ch->opts.kind) {
	case KCP_KIND_RENDEZVOUS:
		return 0;
	case KCP_KIND_CONFLATED:
		return UINT64_MAX;
	case KCP_KIND_BUFFERED:
		/* What is offered cannot be dropped to make room, and must not make a channel
		 * wait that never waits. */
		if (ch->opts.overflow == KCP_OVERFLOW_DROP_OLDEST)
			places -= ch->n_offered;
		most = ch->opts.capacity;
		break;
	case KCP_KIND_UNLIMITED:
		/* Empty messages have no bytes, but must have a bound. */
		most = ch->opts.max_bytes;
		break;
	}
	return places < most ? most - places : 0;
}

uint64_t kcd_queue_bytes_left(const struct kcd_channel *ch)
{
	uint64_t bytes = ch->queued_bytes + ch->promised_bytes;

	if (ch->opts.max_bytes == 0)
		return UINT64_MAX;
	return bytes < ch->opts.max_bytes ? ch->opts.max_bytes - bytes : 0;
}

bool kcd_queue_has_room(const struct kcd_channel *ch, uint64_t len)
{
	if (kcd_queue_places_left(ch) == 0)
		return false;
	/* a bound that is reached keeps out empty messages too */
	return ch->opts.max_bytes == 0 ||
	       (ch->queued_bytes <= ch->opts.max_bytes && len <= kcd_queue_bytes_left(ch));
}

/* How many of the elements at `data` can be queued as they are, and the bytes they take. */
static uint32_t queue_fit(const struct kcd_channel *ch, const uint8_t *data, uint32_t n,
			  size_t *ret_bytes)
{
	uint64_t places = kcd_queue_places_left(ch), left = kcd_queue_bytes_left(ch);
	uint32_t fit = 0;

	*ret_bytes = 0;
	if (ch->opts.kind == KCP_KIND_CONFLATED)
		return 0; /* each replaces the one before */
	if (n > places)
		n = (uint32_t)places;
	if (ch->opts.elem_size) {
		if (n > left / ch->opts.elem_size)
			n = (uint32_t)(left / ch->opts.elem_size);
		*ret_bytes = (size_t)n * ch->opts.elem_size;
		return n;
	}
	for (; fit < n; fit++) {
		uint32_t len = kcp_load_u32(data + *ret_bytes);

		if (len > left || len > ch->opts.max_msg)
			break;
		left -= len;
		*ret_bytes += 4 + (size_t)len;
	}
	return fit;
}

static bool queue_drop_oldest(struct kcd_channel *ch)
{
	struct kcd_delivery *d;

	if (!kcd_channel_has_queued(ch))
		return false;
	if (ch->n_returned == 0) {
		ch->queued_bytes -= kcd_channel_bytes(ch, ch->head, 1);
		kcd_elements_free(&ch->elements, ch->head++, 1);
	} else {
		d = KCD_LIST_FIRST(&ch->returned, struct kcd_delivery, link);
		ch->queued_bytes -= kcd_channel_bytes(ch, d->from, 1);
		kcd_elements_free(&ch->elements, d->from++, 1);
		ch->n_returned--;
		if (--d->n == 0) {
			kcd_returned_remove(ch, d);
			KC_FREE(d);
		}
	}
	ch->ledger.dropped_oldest++;
	return true;
}

enum room { ROOM_YES, ROOM_NO, ROOM_DROP };

static enum room queue_make_room(struct kcd_channel *ch, uint32_t len)
{
	if (ch->opts.kind == KCP_KIND_CONFLATED) {
		kcd_channel_drop_queued(ch, &ch->ledger.conflated);
		return ROOM_YES;
	}
	while (!kcd_queue_has_room(ch, len)) {
		if (kcd_queue_serve_receivers(ch))
			continue;
		if (ch->opts.overflow == KCP_OVERFLOW_DROP_NEWEST)
			return ROOM_DROP;
		if (ch->opts.overflow != KCP_OVERFLOW_DROP_OLDEST || !queue_drop_oldest(ch))
			return ROOM_NO;
	}
	return ROOM_YES;
}

static long queue_append(struct kcd_channel *ch, struct kcd_wait *wait, const uint8_t *data,
			 uint32_t n, size_t bytes)
{
	/* what is lent is kept whole, or not at all */
	bool all = n == wait->n;
	uint64_t first = ch->elements.next;
	long r = kcd_elements_append(&ch->elements, data, n, bytes, all ? wait->lender : NULL,
				     &wait->why);
	uint64_t payload;

	if (r < 0)
		return r;
	ch->tail = ch->elements.next;
	payload = kcd_channel_bytes(ch, first, (uint64_t)r);
	ch->queued_bytes += payload;
	ch->ledger.sent += (uint64_t)r;
	ch->bytes_sent += payload;
	return r;
}

/* One element for which there is no place as it is: the channel's policy makes one, or
 * drops it. 1, 0 (it has to wait), or a code. */
static long queue_accept_one(struct kcd_channel *ch, struct kcd_wait *wait, const uint8_t *data)
{
	size_t size = kcd_elements_size(&ch->elements, data);
	uint32_t len = (uint32_t)(ch->opts.elem_size ? size : size - 4);
	long r;

	if (!ch->opts.elem_size && len > ch->opts.max_msg)
		return KC_EMSGSIZE;
	switch (queue_make_room(ch, len)) {
	case ROOM_NO:
		return 0;
	case ROOM_DROP:
		ch->ledger.sent++;
		ch->bytes_sent += len;
		ch->ledger.dropped_newest++;
		return 1;
	case ROOM_YES:
		break;
	}
	r = queue_append(ch, wait, data, 1, size);
	if (r > 0 && ch->opts.kind == KCP_KIND_CONFLATED)
		kcd_queue_serve_receivers(ch);
	return r;
}

long kcd_queue_accept(struct kcd_channel *ch, struct kcd_wait *wait)
{
	const uint8_t *data = wait->elems;
	uint32_t done = 0;

	while (done < wait->n) {
		size_t bytes;
		uint32_t fit = queue_fit(ch, data, wait->n - done, &bytes);
		long r;

		if (fit > 0) {
			r = queue_append(ch, wait, data, fit, bytes);
		} else {
			bytes = kcd_elements_size(&ch->elements, data);
			r = queue_accept_one(ch, wait, data);
		}
		if (r < 0)
			return done ? (long)done : r;
		if (r == 0)
			break;
		done += (uint32_t)r;
		if (fit > (uint32_t)r)
			break; /* memory ended in the middle: the next try says why */
		data += bytes;
	}
	return (long)done;
}

long kcd_queue_force(struct kcd_channel *ch, struct kcd_wait *wait)
{
	return queue_append(ch, wait, wait->elems, wait->n, wait->elems_len);
}
