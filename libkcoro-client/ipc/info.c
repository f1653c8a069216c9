/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asking the daemon: channels, itself.
 */
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "proto/message.h"
#include "proto/values.h"

static int broken(kc_ipc_conn_t *conn, const char *why)
{
	int saved = kci_conn_lock(conn);
	int r;

	kci_conn_fail(conn, KC_EPROTO, "kcorod broke the protocol: %s", why);
	r = kci_conn_dead(conn);
	kci_conn_unlock(conn, saved);
	return r;
}

static void ledger_read(const uint64_t stats[KCP_STAT_MAX + 1], struct kc_ledger *ret)
{
	*ret = (struct kc_ledger){
		.sent = stats[KCP_S_SENT],
		.received = stats[KCP_S_RECEIVED],
		.queued = stats[KCP_S_QUEUED],
		.leased = stats[KCP_S_LEASED],
		.conflated = stats[KCP_S_CONFLATED],
		.dropped_oldest = stats[KCP_S_DROPPED_OLDEST],
		.dropped_newest = stats[KCP_S_DROPPED_NEWEST],
		.dropped_purged = stats[KCP_S_DROPPED_PURGED],
		.dropped_destroyed = stats[KCP_S_DROPPED_DESTROYED],
		.expired = stats[KCP_S_EXPIRED],
		.lost_consumer = stats[KCP_S_LOST_CONSUMER],
		.lost_daemon = stats[KCP_S_LOST_DAEMON],
	};
}

/* The value of one CHANNEL. 0, or KC_EPROTO with *ret_why. */
static int info_read(const uint8_t *data, size_t len, struct kc_ipc_chan_info *ret,
		     const char **ret_why)
{
	uint64_t stats[KCP_STAT_MAX + 1];
	struct kcp_args args;

	*ret_why = "a CHANNEL that makes no sense";
	if (kcp_args_parse(&args, data, len, NULL) < 0 ||
	    kcp_container_check(KCP_T_CHANNEL, &args, NULL) < 0 ||
	    kcp_stats_parse(stats, &args, NULL) < 0)
		return KC_EPROTO;
	*ret = (struct kc_ipc_chan_info){
		.id = kcp_num(&args, KCP_T_CHAN_ID, 0),
		.kind = kci_kind_from_wire(kcp_num(&args, KCP_T_KIND, 0)),
		.elem_size = (size_t)kcp_num(&args, KCP_T_ELEM_SIZE, 0),
		.capacity = (size_t)kcp_num(&args, KCP_T_CAPACITY, 0),
		.max_msg = (size_t)kcp_num(&args, KCP_T_MAX_MSG, 0),
		.max_bytes = (size_t)kcp_num(&args, KCP_T_MAX_BYTES, 0),
		.overflow = (enum kc_overflow)kcp_num(&args, KCP_T_OVERFLOW, 0),
		.flags = (unsigned)kcp_num(&args, KCP_T_CHAN_FLAGS, 0),
		.mode = (unsigned)kcp_num(&args, KCP_T_MODE, 0),
		.uid = (unsigned)kcp_num(&args, KCP_T_UID, 0),
		.gid = (unsigned)kcp_num(&args, KCP_T_GID, 0),
		.closed = stats[KCP_S_CLOSED] != 0,
		.len = stats[KCP_S_LENGTH],
		.bytes = stats[KCP_S_BYTES],
		.senders = (uint32_t)stats[KCP_S_SENDERS],
		.receivers = (uint32_t)stats[KCP_S_RECEIVERS],
		.waiting_senders = (uint32_t)stats[KCP_S_WAITING_SENDERS],
		.waiting_receivers = (uint32_t)stats[KCP_S_WAITING_RECEIVERS],
		.bytes_sent = stats[KCP_S_BYTES_SENT],
		.bytes_received = stats[KCP_S_BYTES_RECEIVED],
		.redelivered = stats[KCP_S_REDELIVERED],
	};
	(void)kcp_text(&args, KCP_T_NAME, ret->name, sizeof(ret->name));
	ledger_read(stats, &ret->ledger);
	return 0;
}

int kci_chan_info(kc_ipc_conn_t *conn, const char *name, uint64_t id, struct kc_ipc_chan_info *ret)
{
	struct kc_ipc_chan_info info;
	struct kci_call call;
	struct kcp_args args;
	const char *why = "";
	int r;

	kci_call_init(&call, conn, KCP_CHAN_INFO);
	if (name)
		kcp_put_text(&call.head, KCP_T_NAME, name);
	else
		kcp_put_u64(&call.head, KCP_T_CHAN_ID, id);
	call.on_reply = kci_call_keep;
	r = kci_call_run(&call, NULL);
	if (r == 0) {
		const struct kcp_arg *channel;

		/* parsed once before: the reply was checked */
		(void)kcp_args_parse(&args, call.kept, call.kept_len, NULL);
		channel = kcp_get(&args, KCP_T_CHANNEL);
		r = info_read(channel->data, channel->len, &info, &why);
		if (r < 0)
			r = broken(conn, why);
	}
	kci_call_done(&call);
	if (r == 0)
		*ret = info;
	return r;
}

int kc_ipc_chan_info(kc_chan_t *ch, struct kc_ipc_chan_info *ret)
{
	int r = ret ? kci_chan_enter(ch) : KC_EINVAL;
	struct kci_schan *sc;

	if (r < 0)
		return (int)kci_result(r);
	sc = kci_schan_of(ch);
	r = sc ? kci_chan_info(sc->conn, NULL, sc->id, ret)
	       : kci_fail(KC_EINVAL, "a local channel: see kc_chan_snapshot()");
	kci_chan_leave(ch);
	return (int)kci_result(r);
}

int kc_ipc_info(kc_ipc_conn_t *conn, const char *name, uint64_t id, struct kc_ipc_chan_info *ret)
{
	int r = ret ? kci_conn_enter(conn) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	if (name)
		r = kci_name_check(name);
	else if (id == 0)
		r = kci_fail(KC_ENOENT, "no id is 0");
	if (r == 0)
		r = kci_chan_info(conn, name, id, ret);
	kci_conn_leave(conn);
	return (int)kci_result(r);
}

/* ---- list ------------------------------------------------------------------- */

/* Hand the channels of one reply to fn. 1: there are more after `last`; 0: that was all;
 * *ret_result: what fn ended the list with, or a code. */
static bool list_page(kc_ipc_conn_t *conn, const struct kci_call *call,
		      int (*fn)(const struct kc_ipc_chan_info *info, void *arg), void *arg,
		      struct kc_ipc_chan_info *last, int *ret_result)
{
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_args args;
	struct kcp_tlv tlv;
	const char *why = "";
	bool any = false;

	(void)kcp_args_parse(&args, call->kept, call->kept_len, NULL);
	while (*ret_result == 0 && kcp_args_each(&args, &iter, KCP_T_CHANNEL, &tlv) > 0) {
		char before[sizeof(last->name)];

		memcpy(before, last->name, sizeof(before));
		if (info_read(tlv.data, tlv.len, last, &why) < 0)
			*ret_result = broken(conn, why);
		else if (strcmp(last->name, before) <= 0)
			/* or the list might never end */
			*ret_result = broken(conn, "a list out of order");
		else
			*ret_result = fn(last, arg);
		any = true;
	}
	return *ret_result == 0 && any && kcp_num(&args, KCP_T_FLAGS, 0) & KCP_F_MORE;
}

int kc_ipc_list(kc_ipc_conn_t *conn, int (*fn)(const struct kc_ipc_chan_info *info, void *arg),
		void *arg)
{
	struct kc_ipc_chan_info last = { .name = "" };
	int r = fn ? kci_conn_enter(conn) : KC_EINVAL;
	bool more = true;

	if (r < 0)
		return (int)kci_result(r);
	while (more) {
		struct kci_call call;

		kci_call_init(&call, conn, KCP_CHAN_LIST);
		if (last.name[0])
			kcp_put_text(&call.head, KCP_T_NAME, last.name);
		call.on_reply = kci_call_keep;
		r = kci_call_run(&call, NULL);
		more = r == 0 && list_page(conn, &call, fn, arg, &last, &r);
		kci_call_done(&call);
	}
	kci_conn_leave(conn);
	return (int)kci_result(r);
}

/* ---- the daemon --------------------------------------------------------------- */

int kc_ipc_ping(kc_ipc_conn_t *conn)
{
	struct kci_call call;
	int r = kci_conn_enter(conn);

	if (r < 0)
		return (int)kci_result(r);
	kci_call_init(&call, conn, KCP_PING);
	r = kci_call_run(&call, NULL);
	kci_call_done(&call);
	kci_conn_leave(conn);
	return (int)kci_result(r);
}

static int stats_read(kc_ipc_conn_t *conn, const struct kci_call *call,
		      struct kc_ipc_daemon_stats *ret)
{
	uint64_t stats[KCP_STAT_MAX + 1];
	char program[KCP_PROGRAM_MAX + 1];
	struct kcp_args args;
	const char *version;
	const char *why;

	(void)kcp_args_parse(&args, call->kept, call->kept_len, NULL);
	if (kcp_stats_parse(stats, &args, &why) < 0)
		return broken(conn, why);
	*ret = (struct kc_ipc_daemon_stats){
		.pid = stats[KCP_S_PID],
		.uptime_ms = stats[KCP_S_UPTIME_MS],
		.connections = stats[KCP_S_CONNECTIONS],
		.sessions = stats[KCP_S_SESSIONS],
		.channels = stats[KCP_S_CHANNELS],
		.bytes = stats[KCP_S_BYTES],
		.frames_in = stats[KCP_S_FRAMES_IN],
		.frames_out = stats[KCP_S_FRAMES_OUT],
		.resumes = stats[KCP_S_RESUMES],
	};
	/* "kcorod 0.1.0" */
	(void)kcp_text(&args, KCP_T_PROGRAM, program, sizeof(program));
	version = strchr(program, ' ');
	version = version ? version + 1 : program;
	memcpy(ret->version, version, strnlen(version, sizeof(ret->version) - 1));
	ledger_read(stats, &ret->ledger);
	return 0;
}

int kc_ipc_stats(kc_ipc_conn_t *conn, struct kc_ipc_daemon_stats *ret)
{
	struct kc_ipc_daemon_stats stats;
	struct kci_call call;
	int r = ret ? kci_conn_enter(conn) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	kci_call_init(&call, conn, KCP_STATS);
	call.on_reply = kci_call_keep;
	r = kci_call_run(&call, NULL);
	if (r == 0)
		r = stats_read(conn, &call, &stats);
	kci_call_done(&call);
	if (r == 0)
		*ret = stats;
	kci_conn_leave(conn);
	return (int)kci_result(r);
}
