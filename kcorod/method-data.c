/* SPDX-License-Identifier: BSD-3-Clause */
/* SEND, RECV, CREDIT. */
#include "kcorod/dispatch.h"
#include "kcorod/output.h"
#include "kcoro/error.h"
#include "proto/tlv.h"

/* The channel has been asked; n is its answer, 0: the request waits, unless it was
 * answered from inside the call. */
static void finish(struct kcd_call *call, long n, uint64_t timeout_ms)
{
	struct kcd_request *req = call->req;
	const char *limit = NULL;

	if (n == 0 && req->waiting) {
		int r = kcd_request_wait(req, timeout_ms, &limit);

		if (r == 0)
			return;
		req->wait.why = limit;
		n = r;
	}
	if (n == 0)
		return;
	kcd_request_settle(req);
	kcd_request_answer_moved(req, n);
	/* What a RECV took made room, and more may be given ahead, but only behind its reply:
	 * deliveries are numbered in the order in which they are sent. */
	if (n > 0 && req->type == KCP_RECV)
		kcd_channel_pump(call->channel);
}

static bool prepare(struct kcd_call *call, uint32_t flags, uint64_t timeout_ms)
{
	struct kcd_wait *wait = &call->req->wait;
	bool select = kcp_has(call->args, KCP_T_GROUP) && (flags & KCP_F_OFFER);

	wait->offer = flags & KCP_F_OFFER;
	wait->try_once = timeout_ms == 0;
	wait->promised = flags & KCP_F_PROMISED;
	if (kcd_request_prepare(call->req, call->att, select,
				kcp_num(call->args, KCP_T_GROUP, 0)) == 0)
		return true;
	kcd_call_reply(call, KC_ENOMEM, NULL);
	return false;
}

/* A large frame's memory becomes the channel's. */
static uint8_t *take_frame(void *arg)
{
	struct kcd_conn *conn = arg;
	size_t size;

	return kcp_stream_take_buffer(&conn->stream, &size);
}

void kcd_do_send(struct kcd_call *call)
{
	const struct kcd_lender lender = { .size = call->conn->stream.in_cap,
					   .take = take_frame,
					   .arg = call->conn };
	uint32_t flags = (uint32_t)kcp_num(call->args, KCP_T_FLAGS, 0);
	uint64_t timeout_ms = kcp_num(call->args, KCP_T_TIMEOUT_MS, UINT64_MAX);
	const struct kcp_arg *elems = kcp_get(call->args, KCP_T_ELEMENTS);
	struct kcd_wait *wait = &call->req->wait;

	kcd_wait_init(wait, &call->att->attach, /* send= */ true);
	wait->elems = elems->data;
	wait->elems_len = elems->len;
	wait->lender = &lender;
	if (prepare(call, flags, timeout_ms)) {
		finish(call, kcd_channel_send(wait), timeout_ms);
		kcd_turns_spend(&call->daemon->turns, (uint64_t)wait->n * KCD_COST_ELEMENT);
	}
}

bool kcd_send_promised(struct kcd_call *call)
{
	uint32_t flags = (uint32_t)kcp_num(call->args, KCP_T_FLAGS, 0);
	const struct kcp_arg *elems = kcp_get(call->args, KCP_T_ELEMENTS);
	struct kcd_attachment *att;
	struct kcd_wait wait;
	struct kcd_lender lender;
	struct kcp_buf *buf;

	if (!(flags & KCP_F_WINDOW) || (flags & KCP_F_OFFER) || call->header->id == 0)
		return false;
	att = kcd_attachment_find(call->session, (uint32_t)kcp_num(call->args, KCP_T_ATTACH, 0));
	if (!att)
		return false;
	lender = (struct kcd_lender){ .size = call->conn->stream.in_cap,
				      .take = take_frame,
				      .arg = call->conn };
	kcd_wait_init(&wait, &att->attach, /* send= */ true);
	wait.elems = elems->data;
	wait.elems_len = elems->len;
	wait.lender = &lender;
	wait.promised = flags & KCP_F_PROMISED;
	if (kcd_wait_check(&wait) < 0 || !kcd_window_covers(&wait)) {
		/* Before `granted` may rise again: the client may not have looked at it yet since
		 * it wrote this. */
		if (att->attach.cursor)
			atomic_store_explicit(&att->attach.cursor->refused, call->header->id,
					      memory_order_release);
		return false;
	}
	(void)kcd_attach_sync(&att->attach);
	kcd_attach_progress(&att->attach);
	kcd_window_accept(&wait);
	kcd_turns_spend(&call->daemon->turns, (uint64_t)wait.n * KCD_COST_ELEMENT);
	atomic_store_explicit(&att->attach.cursor->accepted, call->header->id,
			      memory_order_release);
	/* The client writes `awaits` and then reads `accepted`: it sees this, or we that. What
	 * the cursor tells as well need not be kept. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&att->attach.cursor->awaits, memory_order_relaxed) == 0)
		return true;
	buf = kcd_call_begin(call, 0);
	kcp_put_u32(buf, KCP_T_COUNT, wait.n);
	kcd_call_end(call);
	return true;
}

/* What does not go together. NULL: all is well. */
static const char *recv_fault(const struct kcd_call *call, uint32_t flags, uint32_t count,
			      int *ret_code)
{
	*ret_code = KC_EINVAL;
	if (count < 1 || count > KCP_BATCH_MAX)
		return "COUNT must be 1 to 65536";
	if ((flags & KCP_F_OFFER) && count != 1)
		return "an offer is for one element";
	if (flags & KCP_F_LEASE)
		return NULL;
	if (call->att->attach.lease)
		return "this attachment asks for leases";
	*ret_code = KC_ENOTSUP;
	return call->channel->opts.flags & KCP_CHAN_LEASE_ONLY
		       ? "this channel gives elements as leases only"
		       : NULL;
}

void kcd_do_recv(struct kcd_call *call)
{
	uint32_t flags = (uint32_t)kcp_num(call->args, KCP_T_FLAGS, 0);
	uint32_t count = (uint32_t)kcp_num(call->args, KCP_T_COUNT, 1);
	uint64_t space = kcp_num(call->args, KCP_T_SPACE, UINT64_MAX);
	uint64_t timeout_ms = kcp_num(call->args, KCP_T_TIMEOUT_MS, UINT64_MAX);
	struct kcd_wait *wait = &call->req->wait;
	const char *why;
	int code;

	why = recv_fault(call, flags, count, &code);
	if (why) {
		kcd_call_reply(call, code, why);
		return;
	}
	kcd_wait_init(wait, &call->att->attach, /* send= */ false);
	if (!kcd_output_clamp(call->session, call->channel, &count, &space)) {
		wait->needed = call->channel->opts.elem_size;
		kcd_request_answer_moved(call->req, KC_EMSGSIZE);
		return;
	}
	wait->max = count;
	wait->space = space;
	wait->lease = flags & KCP_F_LEASE;
	wait->lease_ms = (uint32_t)kcp_num(call->args, KCP_T_LEASE_MS, call->att->attach.lease_ms);
	if (prepare(call, flags, timeout_ms))
		finish(call, kcd_channel_recv(wait), timeout_ms);
}

void kcd_do_credit(struct kcd_call *call)
{
	uint32_t credit = (uint32_t)kcp_num(call->args, KCP_T_CREDIT, 0);
	struct kcd_attach *attach = &call->att->attach;

	if (credit && !kcd_output_can_give(call->session, call->channel)) {
		kcd_call_reply(call, KC_EMSGSIZE,
			       "MAX_FRAME is smaller than the channel's largest element");
		return;
	}
	if (credit && !attach->lease && (call->channel->opts.flags & KCP_CHAN_LEASE_ONLY)) {
		kcd_call_reply(call, KC_ENOTSUP, "this channel gives elements as leases only");
		return;
	}
	kcd_call_reply(call, 0, NULL);
	kcd_attach_credit(attach, credit);
}
