/* SPDX-License-Identifier: BSD-3-Clause */
/* CHAN_LIST, CHAN_INFO, STATS: what there is to see. */
#include <string.h>
#include <unistd.h>

#include "kcorod/access.h"
#include "kcorod/dispatch.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/tlv.h"
#include "proto/values.h"

#define LIST_MIN 3u     /* channels in a page, at least, however many others wait */
#define LOOK_COST 1024u /* of looking at a channel that may be in nobody's cache */

static void put_ledger(uint64_t stats[KCP_STAT_MAX + 1], const struct kc_ledger *l)
{
	stats[KCP_S_SENT] = l->sent;
	stats[KCP_S_RECEIVED] = l->received;
	stats[KCP_S_QUEUED] = l->queued;
	stats[KCP_S_LEASED] = l->leased;
	stats[KCP_S_CONFLATED] = l->conflated;
	stats[KCP_S_DROPPED_OLDEST] = l->dropped_oldest;
	stats[KCP_S_DROPPED_NEWEST] = l->dropped_newest;
	stats[KCP_S_DROPPED_PURGED] = l->dropped_purged;
	stats[KCP_S_DROPPED_DESTROYED] = l->dropped_destroyed;
	stats[KCP_S_EXPIRED] = l->expired;
	stats[KCP_S_LOST_CONSUMER] = l->lost_consumer;
	stats[KCP_S_LOST_DAEMON] = l->lost_daemon;
}

static void put_channel(struct kcp_buf *buf, struct kcd_channel *ch)
{
	const struct kcd_channel_options *o = &ch->opts;
	uint64_t stats[KCP_STAT_MAX + 1] = { 0 };
	struct kc_ledger ledger;
	size_t at = kcp_tlv_begin(buf, KCP_T_CHANNEL);

	kcd_channel_sync(ch);
	kcd_channel_ledger(ch, &ledger);
	put_ledger(stats, &ledger);
	stats[KCP_S_BYTES_SENT] = ch->bytes_sent;
	stats[KCP_S_BYTES_RECEIVED] = ch->bytes_received;
	stats[KCP_S_LENGTH] = kcd_channel_len(ch);
	stats[KCP_S_BYTES] = ch->queued_bytes;
	stats[KCP_S_CLOSED] = ch->closed;
	stats[KCP_S_SENDERS] = ch->n_senders;
	stats[KCP_S_RECEIVERS] = ch->n_receivers;
	stats[KCP_S_WAITING_SENDERS] = ch->n_senders_waiting;
	stats[KCP_S_WAITING_RECEIVERS] = ch->n_receivers_waiting;
	stats[KCP_S_REDELIVERED] = ch->redelivered;

	kcp_put_u64(buf, KCP_T_CHAN_ID, ch->id);
	kcp_put_bytes(buf, KCP_T_NAME, ch->name, strlen(ch->name));
	kcp_put_u32(buf, KCP_T_KIND, o->kind);
	kcp_put_u32(buf, KCP_T_ELEM_SIZE, o->elem_size);
	kcp_put_u32(buf, KCP_T_CAPACITY, o->capacity);
	kcp_put_u32(buf, KCP_T_MAX_MSG, o->max_msg);
	kcp_put_u64(buf, KCP_T_MAX_BYTES, o->max_bytes);
	kcp_put_u32(buf, KCP_T_OVERFLOW, o->overflow);
	kcp_put_u32(buf, KCP_T_CHAN_FLAGS, o->flags);
	kcp_put_u32(buf, KCP_T_MODE, o->mode);
	kcp_put_u32(buf, KCP_T_UID, ch->uid);
	kcp_put_u32(buf, KCP_T_GID, ch->gid);
	kcp_put_stats(buf, stats);
	kcp_tlv_end(buf, at);
}

void kcd_chan_tell(struct kcd_call *call)
{
	struct kcp_buf *buf = kcd_call_begin(call, 0);

	put_channel(buf, call->channel);
	kcd_call_end(call);
}

void kcd_do_chan_info(struct kcd_call *call)
{
	if (!kcd_access_rights(call->session->peer, call->channel)) {
		kcd_call_reply(call, KC_ENOENT, "no such channel");
		return;
	}
	if (kcd_call_settle(call))
		kcd_chan_tell(call);
}

void kcd_do_chan_list(struct kcd_call *call)
{
	const struct kcp_arg *after = kcp_get(call->args, KCP_T_NAME);
	uint32_t max = (uint32_t)kcp_num(call->args, KCP_T_COUNT, KCP_LIST_MAX), n = 0;
	/* the flag, and the frame's own header */
	size_t room = call->session->max_frame - KCP_HEADER_SIZE - KCP_TLV_HEADER_SIZE - 4;
	struct kcp_buf *buf = kcd_call_begin(call, 0);
	struct kcd_channel *ch =
		kcd_registry_after(&call->daemon->registry,
				   after ? (const char *)after->data : "", after ? after->len : 0);
	struct kcd_turns *turns = &call->daemon->turns;

	if (max < 1 || max > KCP_LIST_MAX)
		max = KCP_LIST_MAX;
	for (; ch; ch = kcd_registry_next(&call->daemon->registry, ch)) {
		size_t before = buf->len;

		kcd_turns_spend(turns, LOOK_COST);
		if (!kcd_access_rights(call->session->peer, ch))
			continue;
		if (n >= LIST_MIN && !kcd_turns_lone(turns) && !kcd_turns_may(turns))
			max = n; /* others wait */
		if (n < max)
			put_channel(buf, ch);
		if (n == max || buf->len > room) {
			kcp_buf_truncate(buf, before);
			kcp_put_u32(buf, KCP_T_FLAGS, KCP_F_MORE);
			break;
		}
		kcd_turns_spend(turns, KCD_COST_ROW);
		n++;
	}
	kcd_call_end(call);
}

void kcd_do_stats(struct kcd_call *call)
{
	const struct kcd_daemon *d = call->daemon;
	uint64_t stats[KCP_STAT_MAX + 1] = { 0 };
	struct kcd_totals totals;
	struct kcp_buf *buf;

	kcd_daemon_totals(d, &totals);
	kcd_turns_spend(&call->daemon->turns, d->registry.n * LOOK_COST);
	put_ledger(stats, &totals.ledger);
	stats[KCP_S_BYTES_SENT] = totals.bytes_sent;
	stats[KCP_S_BYTES_RECEIVED] = totals.bytes_received;
	stats[KCP_S_REDELIVERED] = totals.redelivered;
	stats[KCP_S_LENGTH] = totals.ledger.queued;
	stats[KCP_S_BYTES] = d->bytes.used;
	stats[KCP_S_PID] = (uint64_t)getpid();
	stats[KCP_S_UPTIME_MS] = (kci_clock_now() - d->started_ns) / KC_NS_PER_MS;
	/* sessions that wait for their client are counted as connections only internally */
	stats[KCP_S_CONNECTIONS] = d->n_conns;
	stats[KCP_S_SESSIONS] = d->sessions.n;
	stats[KCP_S_CHANNELS] = d->registry.n;
	stats[KCP_S_FRAMES_IN] = d->frames_in;
	stats[KCP_S_FRAMES_OUT] = d->frames_out;
	stats[KCP_S_RESUMES] = d->resumes;
	buf = kcd_call_begin(call, 0);
	kcp_put_stats(buf, stats);
	kcp_put_text(buf, KCP_T_PROGRAM, "kcorod " PACKAGE_VERSION);
	kcd_call_end(call);
}
