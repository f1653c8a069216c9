/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Daemon's channels: opening, and everything but moving elements.
 */
#include "libkcoro-client/ipc/chan-socket.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/options.h"
#include "libkcoro-client/ipc/window.h"
#include "proto/name.h"

uint32_t kci_kind_to_wire(enum kc_kind kind)
{
	switch (kind) {
	case KC_BUFFERED:
		return KCP_KIND_BUFFERED;
	case KC_CONFLATED:
		return KCP_KIND_CONFLATED;
	case KC_UNLIMITED:
		return KCP_KIND_UNLIMITED;
	default:
		return KCP_KIND_RENDEZVOUS;
	}
}

enum kc_kind kci_kind_from_wire(uint64_t kind)
{
	switch (kind) {
	case KCP_KIND_BUFFERED:
		return KC_BUFFERED;
	case KCP_KIND_CONFLATED:
		return KC_CONFLATED;
	case KCP_KIND_UNLIMITED:
		return KC_UNLIMITED;
	default:
		return KC_RENDEZVOUS;
	}
}

struct kci_schan *kci_schan_find(kc_ipc_conn_t *conn, uint32_t attach)
{
	struct kci_list *bucket = &conn->chans[attach % KCI_CONN_BUCKETS];

	for (struct kci_list *l = bucket->next; l != bucket; l = l->next) {
		struct kci_schan *sc = KC_CONTAINER_OF(l, struct kci_schan, link);

		if (sc->attach == attach)
			return sc;
	}
	return NULL;
}

void kci_schans_hang_up(kc_ipc_conn_t *conn)
{
	for (size_t i = 0; i < KCI_CONN_BUCKETS; i++) {
		struct kci_list *bucket = &conn->chans[i];

		for (struct kci_list *l = bucket->next; l != bucket; l = l->next) {
			struct kci_schan *sc = KC_CONTAINER_OF(l, struct kci_schan, link);

			kci_notify_hang_up(&sc->send_notify);
			kci_notify_hang_up(&sc->recv_notify);
		}
	}
}

long kci_schan_code(const struct kci_schan *sc, const struct kci_call *call, long r,
		    long timeout_ms)
{
	switch (r) {
	case KC_ECANCELED:
		return call->cancelled && !sc->detaching ? KC_ECANCELED : KC_EPIPE;
	case KC_ENOENT:
		return sc->detaching ? KC_EPIPE : KC_ENOENT;
	case KC_EAGAIN:
		return timeout_ms > 0 ? KC_ETIME : KC_EAGAIN;
	default:
		return r;
	}
}

long kci_schan_simple(struct kci_schan *sc, uint16_t type)
{
	struct kci_call call;
	long r;

	kci_call_init(&call, sc->conn, type);
	kcp_put_u64(&call.head, KCP_T_CHAN_ID, sc->id);
	r = kci_call_run(&call, NULL);
	kci_call_done(&call);
	return r < 0 ? r : (long)call.count;
}

static int schan_close(kc_chan_t *ch)
{
	return (int)kci_schan_simple(kci_schan_of(ch), KCP_CHAN_CLOSE);
}

static long schan_purge(kc_chan_t *ch)
{
	return kci_schan_simple(kci_schan_of(ch), KCP_CHAN_PURGE);
}

static long schan_len(kc_chan_t *ch)
{
	struct kci_schan *sc = kci_schan_of(ch);
	struct kc_ipc_chan_info info;
	int r = kci_chan_info(sc->conn, NULL, sc->id, &info);

	return r < 0 ? r : (long)info.len;
}

static int schan_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *ret)
{
	struct kci_schan *sc = kci_schan_of(ch);
	struct kc_ipc_chan_info info;
	int r = kci_chan_info(sc->conn, NULL, sc->id, &info);

	if (r < 0)
		return r;
	ret->time_ns = kci_clock_now();
	ret->id = info.id;
	ret->closed = info.closed;
	ret->capacity = info.capacity;
	ret->len = info.len;
	ret->bytes_sent = info.bytes_sent;
	ret->bytes_received = info.bytes_received;
	ret->redelivered = info.redelivered;
	ret->ledger = info.ledger;
	return 0;
}

/* ---- attaching and detaching ------------------------------------------------ */

/* The daemon says nothing about the attachment from here on. */
static int on_detached(struct kci_call *call, struct kcp_args *args, int code)
{
	struct kci_schan *sc = call->arg;

	(void)args;
	(void)code;
	kci_list_remove(&sc->link);
	return 0;
}

static void schan_destroy(kc_chan_t *ch)
{
	struct kci_schan *sc = kci_schan_of(ch);
	kc_ipc_conn_t *conn = sc->conn;
	int saved = kci_conn_lock(conn);
	struct kci_call call;

	sc->detaching = true;
	kci_schan_stir(sc, UINT64_MAX);
	kci_call_init(&call, conn, KCP_CHAN_DETACH);
	kcp_put_u32(&call.head, KCP_T_ATTACH, sc->attach);
	call.urgent = true;
	call.on_reply = on_detached;
	call.arg = sc;
	/* ends every wait on the handle; on a dead connection all have ended */
	(void)kci_call_run_locked(&call, NULL);
	kci_call_done(&call);
	kci_detail_clear();
	kci_conn_unlock(conn, saved);

	kci_chan_wait_idle(ch);
	saved = kci_conn_lock(conn);
	kci_list_remove(&sc->link);
	kci_list_remove(&sc->recalled);
	kci_ahead_done(&sc->ahead);
	kci_window_done(sc);
	kci_conn_unlock(conn, saved);
	kci_notify_done(&sc->send_notify);
	kci_notify_done(&sc->recv_notify);
	KC_FREE(sc);
	kci_conn_leave(conn);
}

const struct kci_chan_ops kci_schan_ops = {
	.send = kci_schan_send,
	.recv = kci_schan_recv,
	.close = schan_close,
	.purge = schan_purge,
	.len = schan_len,
	.snapshot = schan_snapshot,
	.destroy = schan_destroy,
	.fd = kci_schan_fd,
	.ack = kci_schan_ack,
	.nack = kci_schan_nack,
	.extend = kci_schan_extend,
	.select = &kci_schan_select,
};

/* Does credit have an effect on this channel? (PROTOCOL.md, CREDIT) */
static bool may_be_given_ahead(const struct kci_schan *sc)
{
	return (sc->kind == KC_BUFFERED || sc->kind == KC_UNLIMITED) &&
	       sc->overflow != KC_OVERFLOW_DROP_OLDEST;
}

/* Are places promised on this channel? (PROTOCOL.md section 7.6) */
static bool may_have_window(const struct kci_schan *sc)
{
	return (sc->kind == KC_BUFFERED || sc->kind == KC_UNLIMITED) &&
	       sc->overflow == KC_OVERFLOW_BLOCK;
}

/* The reply to CHAN_MAKE or CHAN_OPEN. The handle is entered here and not by the thread
 * that opens: DELIVER may be the very next frame. */
static int on_opened(struct kci_call *call, struct kcp_args *args, int code)
{
	struct kci_schan *sc = call->arg;
	kc_ipc_conn_t *conn = call->conn;

	if (code < 0)
		return 0;
	sc->id = kcp_num(args, KCP_T_CHAN_ID, 0);
	sc->attach = (uint32_t)kcp_num(args, KCP_T_ATTACH, 0);
	sc->kind = kci_kind_from_wire(kcp_num(args, KCP_T_KIND, 0));
	sc->elem_size = (uint32_t)kcp_num(args, KCP_T_ELEM_SIZE, 0);
	sc->max_msg = (uint32_t)kcp_num(args, KCP_T_MAX_MSG, 0);
	sc->capacity = (uint32_t)kcp_num(args, KCP_T_CAPACITY, 0);
	sc->max_bytes = kcp_num(args, KCP_T_MAX_BYTES, 0);
	sc->overflow = (enum kc_overflow)kcp_num(args, KCP_T_OVERFLOW, 0);
	sc->given_ahead = sc->brisk = sc->credit > 0 && may_be_given_ahead(sc);
	if (kci_schan_find(conn, sc->attach))
		return KC_EPROTO;
	kci_list_append(&conn->chans[sc->attach % KCI_CONN_BUCKETS], &sc->link);
	return 0;
}

int kci_name_check(const char *name)
{
	const char *why;

	if (!name)
		return kci_fail(KC_EINVAL, "name is NULL");
	if (kcp_name_check(name, strnlen(name, KC_NAME_MAX + 1), &why) < 0)
		return kci_fail(KC_EINVAL, "name: %s", why);
	return 0;
}

static int check_open(const struct kc_ipc_open_options *o)
{
	if (o->size < sizeof(*o))
		return kci_fail(KC_EINVAL,
				"open options: size is %zu; start from KC_IPC_OPEN_OPTIONS_INIT",
				o->size);
	if (o->size > sizeof(*o))
		return kci_fail(KC_EINVAL, "open options: newer than this library");
	if (o->roles != KC_OBSERVER && (o->roles == 0 || o->roles & ~(KC_SENDER | KC_RECEIVER)))
		return kci_fail(KC_EINVAL,
				"roles is %#x; KC_SENDER, KC_RECEIVER, both, or KC_OBSERVER alone",
				o->roles);
	if (o->credit > KC_CREDIT_MAX)
		return kci_fail(KC_EINVAL, "credit is %u; at most %u", o->credit, KC_CREDIT_MAX);
	if (o->credit > 0 && !(o->roles & KC_RECEIVER))
		return kci_fail(KC_EINVAL, "credit is for receivers");
	if (o->lease_ms < 1 || o->lease_ms > KC_LEASE_MAX_MS)
		return kci_fail(KC_EINVAL, "lease_ms is %u; 1 to %u", o->lease_ms, KC_LEASE_MAX_MS);
	if (o->lease != 0 && o->lease != 1)
		return kci_fail(KC_EINVAL, "lease is %d; 0 or 1", o->lease);
	if (o->lease && o->credit == 0)
		return kci_fail(KC_EINVAL, "lease needs credit");
	if (o->window > KC_WINDOW_MAX)
		return kci_fail(KC_EINVAL, "window is %u; at most %u", o->window, KC_WINDOW_MAX);
	if (o->window > 0 && !(o->roles & KC_SENDER))
		return kci_fail(KC_EINVAL, "window is for senders");
	return 0;
}

static void put_options(struct kcp_buf *buf, const struct kc_chan_options *o)
{
	kcp_put_u32(buf, KCP_T_KIND, kci_kind_to_wire(o->kind));
	kcp_put_u32(buf, KCP_T_ELEM_SIZE, (uint32_t)o->elem_size);
	kcp_put_u32(buf, KCP_T_CAPACITY, (uint32_t)o->capacity);
	kcp_put_u32(buf, KCP_T_MAX_MSG, (uint32_t)o->max_msg);
	kcp_put_u64(buf, KCP_T_MAX_BYTES, o->max_bytes);
	kcp_put_u32(buf, KCP_T_OVERFLOW, (uint32_t)o->overflow);
	kcp_put_u32(buf, KCP_T_MODE, o->mode);
	kcp_put_u32(buf, KCP_T_CHAN_FLAGS,
		    (o->flags & KC_CHAN_AUTO_CLOSE ? KCP_CHAN_AUTO_CLOSE : 0) |
			    (o->flags & KC_CHAN_LEASE_ONLY ? KCP_CHAN_LEASE_ONLY : 0));
}

/* Attach by name, or by id if name is NULL; opts: make it if it is not there. */
static int attach(kc_ipc_conn_t *conn, const char *name, uint64_t id,
		  const struct kc_chan_options *opts, const struct kc_ipc_open_options *open,
		  kc_chan_t **ret)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	struct kci_schan *sc;
	struct kci_call call;
	int r;

	if (open)
		o = *open;
	r = check_open(&o);
	if (r < 0)
		return r;
	sc = KC_CALLOC(1, sizeof(*sc));
	if (!sc)
		return KC_ENOMEM;
	sc->conn = conn;
	sc->roles = o.roles;
	sc->credit = o.credit;
	sc->lease = o.lease;
	kci_list_init(&sc->link);
	kci_list_init(&sc->receiving);
	kci_list_init(&sc->lurking);
	kci_list_init(&sc->windowed);
	kci_list_init(&sc->provisional);
	kci_list_init(&sc->recalled);
	kci_ahead_init(&sc->ahead, &conn->frames);
	kci_notify_init(&sc->send_notify);
	kci_notify_init(&sc->recv_notify);

	kci_call_init(&call, conn, opts ? KCP_CHAN_MAKE : KCP_CHAN_OPEN);
	if (name)
		kcp_put_text(&call.head, KCP_T_NAME, name);
	else
		kcp_put_u64(&call.head, KCP_T_CHAN_ID, id);
	if (opts)
		put_options(&call.head, opts);
	kcp_put_u32(&call.head, KCP_T_ROLES, o.roles);
	if (o.lease)
		kcp_put_u32(&call.head, KCP_T_FLAGS, KCP_F_LEASE);
	if (o.credit)
		kcp_put_u32(&call.head, KCP_T_CREDIT, o.credit);
	kcp_put_u32(&call.head, KCP_T_LEASE_MS, o.lease_ms);
	call.on_reply = on_opened;
	call.arg = sc;
	r = kci_call_run(&call, NULL);
	kci_call_done(&call);
	if (r < 0) {
		KC_FREE(sc);
		return r;
	}
	kci_chan_init(&sc->chan, &kci_schan_ops, sc->kind, sc->elem_size, sc->max_msg,
		      KC_CHAN_CAP_REMOTE | KC_CHAN_CAP_LEASE |
			      (sc->elem_size == 0 ? KC_CHAN_CAP_MSG : 0));
	kci_conn_ref(conn);
	if ((sc->given_ahead && !sc->lease) ||
	    (o.window > 0 && may_have_window(sc)))
		kci_cursor_map(sc, o.window);
	if (sc->cursor)
		sc->window = o.window;
	*ret = &sc->chan;
	return 0;
}

int kc_ipc_chan_make(kc_ipc_conn_t *conn, const char *name, const struct kc_chan_options *opts,
		     const struct kc_ipc_open_options *open, kc_chan_t **ret)
{
	struct kc_chan_options full;
	int r = ret && opts ? kci_conn_enter(conn) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = kci_name_check(name);
	if (r == 0)
		r = kci_options_check(opts, &full);
	if (r == 0 && full.on_drop)
		r = kci_fail(KC_EINVAL, "on_drop is for local channels");
	if (r == 0)
		r = attach(conn, name, 0, &full, open, ret);
	kci_conn_leave(conn);
	return (int)kci_result(r);
}

int kc_ipc_chan_open(kc_ipc_conn_t *conn, const char *name, const struct kc_ipc_open_options *open,
		     kc_chan_t **ret)
{
	int r = ret ? kci_conn_enter(conn) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = kci_name_check(name);
	if (r == 0)
		r = attach(conn, name, 0, NULL, open, ret);
	kci_conn_leave(conn);
	return (int)kci_result(r);
}

int kc_ipc_chan_open_id(kc_ipc_conn_t *conn, uint64_t id, const struct kc_ipc_open_options *open,
			kc_chan_t **ret)
{
	int r = ret ? kci_conn_enter(conn) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = id ? attach(conn, NULL, id, NULL, open, ret) : kci_fail(KC_ENOENT, "no id is 0");
	kci_conn_leave(conn);
	return (int)kci_result(r);
}

uint64_t kc_ipc_chan_id(kc_chan_t *ch)
{
	const struct kci_schan *sc;
	uint64_t id;

	if (kci_chan_enter(ch) < 0)
		return 0;
	sc = kci_schan_of(ch);
	id = sc ? sc->id : 0;
	kci_chan_leave(ch);
	return id;
}

int kc_ipc_chan_destroy(kc_chan_t *ch)
{
	int r = kci_chan_enter(ch);
	struct kci_schan *sc;

	if (r < 0)
		return (int)kci_result(r);
	sc = kci_schan_of(ch);
	r = sc ? (int)kci_schan_simple(sc, KCP_CHAN_DESTROY)
	       : kci_fail(KC_EINVAL, "a local channel: kc_chan_destroy() ends it");
	kci_chan_leave(ch);
	return (int)kci_result(r);
}
