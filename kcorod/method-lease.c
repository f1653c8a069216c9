/* SPDX-License-Identifier: BSD-3-Clause */
/* TAKEN, ACK, NACK, EXTEND: what a client makes of its deliveries. */
#include "kcorod/dispatch.h"
#include "kcoro/error.h"
#include "proto/tlv.h"

typedef uint64_t (*settle_fn)(struct kcd_call *call, struct kcp_range range);

/* Do it for every range: the number of deliveries that were known. All of it, or nothing and
 * KC_ENOMEM. */
static int each_range(struct kcd_call *call, settle_fn fn, uint64_t *ret)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < call->ranges.count; i++) {
		struct kcp_range range = kcp_ranges_at(&call->ranges, i);

		if (kcd_attach_cut(&call->att->attach, range.first, range.count) < 0)
			return KC_ENOMEM;
	}
	kcd_channel_hold(call->channel);
	for (uint32_t i = 0; i < call->ranges.count; i++)
		n += fn(call, kcp_ranges_at(&call->ranges, i));
	kcd_channel_release(call->channel);
	kcd_attach_hush(&call->att->attach);
	kcd_turns_spend(&call->daemon->turns, (uint64_t)call->ranges.count * KCD_COST_ELEMENT);
	*ret = n;
	return 0;
}

/* There is no memory for it. A notice has nobody to tell; but what it said is made good when
 * its client resumes, as if it had been lost on the way. */
static void refuse(struct kcd_call *call)
{
	if (call->header->id)
		kcd_call_reply(call, KC_ENOMEM, NULL);
	else
		kcd_conn_break(call->conn);
}

static void settle(struct kcd_call *call, settle_fn fn, bool with_count)
{
	struct kcp_buf *buf;
	uint64_t n;

	if (each_range(call, fn, &n) < 0) {
		refuse(call);
		return;
	}
	if (n == 0) {
		kcd_call_reply(call, KC_ENOENT, "no such delivery");
		return;
	}
	buf = kcd_call_begin(call, 0);
	if (with_count)
		kcp_put_u32(buf, KCP_T_COUNT, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
	kcd_call_end(call);
}

static uint64_t taken(struct kcd_call *call, struct kcp_range range)
{
	return kcd_attach_taken(&call->att->attach, range.first, range.count);
}

static uint64_t ack(struct kcd_call *call, struct kcp_range range)
{
	return kcd_attach_ack(&call->att->attach, range.first, range.count);
}

static uint64_t nack(struct kcd_call *call, struct kcp_range range)
{
	return kcd_attach_nack(&call->att->attach, range.first, range.count);
}

static uint64_t extend(struct kcd_call *call, struct kcp_range range)
{
	return kcd_attach_extend(&call->att->attach, range.first, range.count,
				 (uint32_t)kcp_num(call->args, KCP_T_LEASE_MS, 0));
}

static uint64_t give_back(struct kcd_call *call, struct kcp_range range)
{
	return kcd_attach_return(&call->att->attach, range.first, range.count);
}

void kcd_do_taken(struct kcd_call *call)
{
	settle(call, taken, /* with_count= */ false);
}

void kcd_do_ack(struct kcd_call *call)
{
	settle(call, ack, /* with_count= */ true);
}

void kcd_do_nack(struct kcd_call *call)
{
	settle(call, nack, /* with_count= */ true);
}

void kcd_do_extend(struct kcd_call *call)
{
	settle(call, extend, /* with_count= */ true);
}

/* Without RANGES it has none to spare, which is an answer to RECALL too. */
void kcd_do_return(struct kcd_call *call)
{
	uint64_t n;

	if (each_range(call, give_back, &n) < 0)
		refuse(call);
	else
		kcd_attach_recalled(&call->att->attach);
}
