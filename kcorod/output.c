/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames to the client: see output.h. */
#include "kcorod/output.h"

#include "proto/frame.h"
#include "proto/tlv.h"

#define LEND_MIN 4096u /* what is shorter is copied */

static uint32_t room(const struct kcd_session *session)
{
	return session->max_frame - KCD_ELEMENTS_OVERHEAD;
}

bool kcd_output_clamp(const struct kcd_session *session, const struct kcd_channel *ch,
		      uint32_t *count, uint64_t *space)
{
	uint64_t have = room(session), most;

	if (ch->opts.elem_size) {
		/* 4: its DELIVERED_BEFORE */
		most = have / (ch->opts.elem_size + 4u);
		if (*count > most)
			*count = (uint32_t)most;
		return most > 0;
	}
	/* 8: the length in front of each message, and its DELIVERED_BEFORE. The count leaves
	 * room for the largest message; the bytes for as many as are counted. */
	most = have - 8 > ch->opts.max_msg ? (have - ch->opts.max_msg) / 8 : 1;
	if (*count > most)
		*count = (uint32_t)most;
	most = have - 8ull * *count;
	if (*space > most)
		*space = most;
	return true;
}

bool kcd_output_can_give(const struct kcd_session *session, const struct kcd_channel *ch)
{
	uint32_t largest = ch->opts.elem_size ? ch->opts.elem_size : ch->opts.max_msg;

	return largest <= room(session) - 8;
}

void kcd_output_reply(struct kcd_conn *conn, uint16_t type, uint64_t id, uint64_t seq,
		      const void *payload, size_t len)
{
	struct kcp_buf *out = conn ? kcd_conn_out(conn) : NULL;
	size_t at;

	if (!out)
		return;
	at = kcp_frame_begin(out, type, KCP_HF_REPLY, id, seq);
	kcp_buf_add(out, payload, len);
	kcd_conn_sent(conn, at);
}

static const struct kcd_delivery *next_record(const struct kcd_delivery *d)
{
	return KCD_CONTAINER(d->link.next, struct kcd_delivery, link);
}

/* The bytes of elements [from, from + n) as they travel. */
static size_t travelling_size(const struct kcd_channel *ch, uint64_t from, uint32_t n)
{
	size_t size = 0;

	while (n > 0) {
		const void *data;
		size_t len;
		uint32_t run = kcd_elements_run(&ch->elements, from, n, &data, &len);

		size += len;
		from += run;
		n -= run;
	}
	return size;
}

/* Long runs are written from the channel's memory, which is held until then. Returns the
 * bytes that are not in the buffer. */
static size_t put_run(struct kcd_conn *conn, struct kcd_channel *ch, uint64_t from, uint32_t n)
{
	struct kcp_buf *out = kcp_stream_out(&conn->stream);
	size_t lent = 0;

	while (n > 0) {
		struct kcd_segment *held = NULL;
		const void *data;
		size_t len;
		uint32_t run = kcd_elements_run(&ch->elements, from, n, &data, &len);

		if (len >= LEND_MIN)
			held = kcd_elements_hold(&ch->elements, from, len);
		if (held && kcp_stream_insert(&conn->stream, data, len, kcd_segment_release,
					      held) < 0) {
			kcd_segment_release(held);
			held = NULL;
		}
		if (held)
			lent += len;
		else
			kcp_buf_add(out, data, len);
		from += run;
		n -= run;
	}
	return lent;
}

void kcd_output_recv(struct kcd_request *req, struct kcd_attachment *att,
		     const struct kcd_delivery *first)
{
	struct kcd_conn *conn = req->session->conn;
	struct kcp_buf *out = conn ? kcd_conn_out(conn) : NULL;
	const struct kcd_delivery *d;
	bool marked = false, provisional = false;
	size_t at, value, lent = 0;
	uint32_t left;

	if (!out)
		return;
	at = kcp_frame_begin(out, req->type, KCP_HF_REPLY, req->node.key, req->seq);
	kcp_put_u32(out, KCP_T_RESULT, KCP_OK);
	kcp_put_u32(out, KCP_T_COUNT, req->n);
	kcp_put_u64(out, KCP_T_DELIVERY, req->first);
	kcd_turns_spend(&conn->daemon->turns, (uint64_t)req->n * KCD_COST_ELEMENT);
	value = kcp_tlv_begin(out, KCP_T_ELEMENTS);
	for (d = first, left = req->n; left > 0; left -= d->n, d = next_record(d)) {
		lent += put_run(conn, att->attach.channel, d->from, d->n);
		marked |= d->before > 0;
		provisional |= d->sender != NULL;
	}
	kcp_tlv_end_extra(out, value, lent);
	if (marked) {
		value = kcp_tlv_begin(out, KCP_T_DELIVERED_BEFORE);
		for (d = first, left = req->n; left > 0; left -= d->n, d = next_record(d))
			for (uint32_t i = 0; i < d->n; i++)
				kcp_buf_add_u32(out, d->before);
		kcp_tlv_end(out, value);
	}
	if (provisional)
		kcp_put_u32(out, KCP_T_FLAGS, KCP_F_PROVISIONAL);
	kcd_conn_sent(conn, at);
}

struct kcd_delivery *kcd_output_find(struct kcd_attach *attach, uint64_t first, uint32_t n)
{
	struct kcd_delivery *found = kcd_attach_find(attach, first), *d = found;
	uint64_t next = first, end = first + n;

	while (d && next < end) {
		if (&d->link == &attach->deliveries || d->first != next || d->state != KCD_GIVEN)
			return NULL;
		next += d->n;
		d = KCD_CONTAINER(d->link.next, struct kcd_delivery, link);
	}
	return next == end ? found : NULL;
}

/* One DELIVER: n elements of a record, from the i-th on. */
static void deliver(struct kcd_attachment *att, const struct kcd_delivery *d, uint32_t i,
		    uint32_t n)
{
	struct kcd_channel *ch = att->attach.channel;
	struct kcd_conn *conn = att->session->conn;
	struct kcp_buf *out;
	size_t at, value;

	if (n > 1 && travelling_size(ch, d->from + i, n) + 4ull * n > room(att->session)) {
		deliver(att, d, i, n / 2);
		deliver(att, d, i + n / 2, n - n / 2);
		return;
	}
	out = conn ? kcd_conn_out(conn) : NULL;
	if (!out)
		return;
	at = kcp_frame_begin(out, KCP_DELIVER, 0, 0, 0);
	kcp_put_u32(out, KCP_T_ATTACH, att->number);
	kcp_put_u32(out, KCP_T_COUNT, n);
	kcp_put_u64(out, KCP_T_DELIVERY, d->first + i);
	kcd_turns_spend(&conn->daemon->turns, (uint64_t)n * KCD_COST_ELEMENT);
	value = kcp_tlv_begin(out, KCP_T_ELEMENTS);
	kcp_tlv_end_extra(out, value, put_run(conn, ch, d->from + i, n));
	if (d->before > 0) {
		value = kcp_tlv_begin(out, KCP_T_DELIVERED_BEFORE);
		for (uint32_t k = 0; k < n; k++)
			kcp_buf_add_u32(out, d->before);
		kcp_tlv_end(out, value);
	}
	kcd_conn_sent(conn, at);
}

void kcd_output_deliver(struct kcd_attachment *att, const struct kcd_delivery *d, uint64_t seen)
{
	uint32_t skip = 0;

	if (seen >= d->first)
		skip = seen - d->first + 1 < d->n ? (uint32_t)(seen - d->first + 1) : d->n;
	if (skip < d->n)
		deliver(att, d, skip, d->n - skip);
}

void kcd_output_recall(struct kcd_attachment *att, uint32_t n)
{
	struct kcd_conn *conn = att->session->conn;
	struct kcp_buf *out = conn ? kcd_conn_out(conn) : NULL;
	size_t at;

	if (!out)
		return;
	at = kcp_frame_begin(out, KCP_RECALL, 0, 0, 0);
	kcp_put_u32(out, KCP_T_ATTACH, att->number);
	kcp_put_u32(out, KCP_T_COUNT, n);
	kcd_conn_sent(conn, at);
}

void kcd_output_offer(struct kcd_request *req)
{
	struct kcd_conn *conn = req->session->conn;
	struct kcp_buf *out = conn ? kcd_conn_out(conn) : NULL;
	size_t at;

	if (!out)
		return;
	at = kcp_frame_begin(out, KCP_OFFER, 0, 0, 0);
	kcp_put_u64(out, KCP_T_REQUEST, req->node.key);
	kcd_conn_sent(conn, at);
}
