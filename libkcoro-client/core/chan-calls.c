/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The public spellings of send and receive: each says what it means as one
 * kci_send or kci_recv.
 */
#include "kcoro/chan.h"
#include "kcoro/error.h"
#include "kcoro/ipc.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/chan-call.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"

static int zero_or_code(long r)
{
	return r < 0 ? (int)r : 0;
}

/* ---- fixed elements ------------------------------------------------------ */

long __attribute__((noinline))
kci_send_rest(kc_chan_t *ch, enum kci_family family, const void *elems, size_t n, long timeout_ms,
	      kc_cancel_t *token, bool tried, long r)
{
	struct kci_send op = {
		.elems = elems,
		.n = n,
		.timeout_ms = timeout_ms,
		.token = token,
		.counted = tried,
	};

	if (r < 0 || !elems)
		return kci_result(r < 0 ? r : KC_EINVAL);
	return kci_chan_send(ch, family, &op);
}

long __attribute__((noinline))
kci_recv_rest(kc_chan_t *ch, enum kci_family family, void *ret_elems, size_t n, long timeout_ms,
	      kc_cancel_t *token, bool tried, long r)
{
	struct kci_recv op = {
		.buf = ret_elems,
		.n = n,
		.timeout_ms = timeout_ms,
		.token = token,
		.counted = tried,
	};

	if (r < 0 || !ret_elems)
		return kci_result(r < 0 ? r : KC_EINVAL);
	return kci_chan_recv(ch, family, &op);
}

static long send_any(kc_chan_t *ch, const void *elems, size_t n, long timeout_ms,
		     kc_cancel_t *token)
{
	bool fast = elems && n - 1 < KC_BATCH_MAX && kci_is_fast(ch, KCI_FAST_FIXED, token);
	long r = fast ? kci_fast_send(ch, elems, n, timeout_ms, !token) : 0;

	return r > 0 ? r : kci_send_rest(ch, KCI_FIXED, elems, n, timeout_ms, token, fast, r);
}

static long recv_any(kc_chan_t *ch, void *ret_elems, size_t n, long timeout_ms, kc_cancel_t *token)
{
	bool fast = ret_elems && n - 1 < KC_BATCH_MAX && kci_is_fast(ch, KCI_FAST_FIXED, token);
	long r = fast ? kci_fast_recv(ch, ret_elems, n, timeout_ms, !token) : 0;

	return r > 0 ? r : kci_recv_rest(ch, KCI_FIXED, ret_elems, n, timeout_ms, token, fast, r);
}

static inline int send_one(kc_chan_t *ch, const void *elem, long timeout_ms)
{
	if (elem && kci_is_fast(ch, KCI_FAST_FIXED, NULL))
		return kci_fast_send_one(ch, elem, timeout_ms);
	return zero_or_code(
		kci_send_rest(ch, KCI_FIXED, elem, 1, timeout_ms, NULL, /* tried= */ false, 0));
}

static inline int recv_one(kc_chan_t *ch, void *ret_elem, long timeout_ms)
{
	if (ret_elem && kci_is_fast(ch, KCI_FAST_FIXED, NULL))
		return kci_fast_recv_one(ch, ret_elem, timeout_ms);
	return zero_or_code(
		kci_recv_rest(ch, KCI_FIXED, ret_elem, 1, timeout_ms, NULL, /* tried= */ false, 0));
}

int kc_chan_send(kc_chan_t *ch, const void *elem, long timeout_ms)
{
	return send_one(ch, elem, timeout_ms);
}

int kc_chan_recv(kc_chan_t *ch, void *ret_elem, long timeout_ms)
{
	return recv_one(ch, ret_elem, timeout_ms);
}

int kc_chan_try_send(kc_chan_t *ch, const void *elem)
{
	return send_one(ch, elem, 0);
}

int kc_chan_try_recv(kc_chan_t *ch, void *ret_elem)
{
	return recv_one(ch, ret_elem, 0);
}

int kc_chan_send_c(kc_chan_t *ch, const void *elem, long timeout_ms, kc_cancel_t *token)
{
	return zero_or_code(send_any(ch, elem, 1, timeout_ms, token));
}

int kc_chan_recv_c(kc_chan_t *ch, void *ret_elem, long timeout_ms, kc_cancel_t *token)
{
	return zero_or_code(recv_any(ch, ret_elem, 1, timeout_ms, token));
}

long kc_chan_send_many(kc_chan_t *ch, const void *elems, size_t n, long timeout_ms,
		       kc_cancel_t *token)
{
	return send_any(ch, elems, n, timeout_ms, token);
}

long kc_chan_recv_many(kc_chan_t *ch, void *ret_elems, size_t n, long timeout_ms,
		       kc_cancel_t *token)
{
	return recv_any(ch, ret_elems, n, timeout_ms, token);
}

/* ---- messages ------------------------------------------------------------ */

int kc_chan_send_msg(kc_chan_t *ch, const void *buf, size_t len, long timeout_ms)
{
	return kc_chan_send_msg_c(ch, buf, len, timeout_ms, NULL);
}

int kc_chan_recv_msg(kc_chan_t *ch, void *buf, size_t cap, size_t *ret_len, long timeout_ms)
{
	return kc_chan_recv_msg_c(ch, buf, cap, ret_len, timeout_ms, NULL);
}

int kc_chan_send_msg_c(kc_chan_t *ch, const void *buf, size_t len, long timeout_ms,
		       kc_cancel_t *token)
{
	struct kc_msg msg = { .data = buf, .len = len };

	return zero_or_code(kc_chan_send_msgs(ch, &msg, 1, timeout_ms, token));
}

int kc_chan_recv_msg_c(kc_chan_t *ch, void *buf, size_t cap, size_t *ret_len, long timeout_ms,
		       kc_cancel_t *token)
{
	struct kc_msg msg = { 0 };
	long r;

	if (!ret_len)
		return (int)kci_result(KC_EINVAL);
	r = kc_chan_recv_msgs(ch, buf, cap, &msg, 1, timeout_ms, token);
	if (r > 0 || r == KC_EMSGSIZE)
		*ret_len = msg.len;
	return zero_or_code(r);
}

long kc_chan_send_msgs(kc_chan_t *ch, const struct kc_msg *msgs, size_t n, long timeout_ms,
		       kc_cancel_t *token)
{
	struct kci_send op = {
		.msgs = msgs,
		.n = n,
		.timeout_ms = timeout_ms,
		.token = token,
	};

	return msgs ? kci_chan_send(ch, KCI_MSG, &op) : kci_result(KC_EINVAL);
}

static long recv_msgs(kc_chan_t *ch, enum kci_family family, struct kci_recv *op)
{
	long r;

	if (!op->msgs || (!op->buf && op->cap > 0))
		return kci_result(KC_EINVAL);
	r = kci_chan_recv(ch, family, op);
	if (r == KC_EMSGSIZE)
		op->msgs[0].len = op->needed;
	return r;
}

long kc_chan_recv_msgs(kc_chan_t *ch, void *buf, size_t cap, struct kc_msg *ret_msgs, size_t n,
		       long timeout_ms, kc_cancel_t *token)
{
	struct kci_recv op = {
		.buf = buf,
		.cap = cap,
		.n = n,
		.msgs = ret_msgs,
		.timeout_ms = timeout_ms,
		.token = token,
	};

	return recv_msgs(ch, KCI_MSG, &op);
}

/* ---- leases -------------------------------------------------------------- */

int kc_chan_recv_lease(kc_chan_t *ch, void *buf, size_t cap, size_t *ret_len,
		       struct kc_lease *ret_lease, long timeout_ms, kc_cancel_t *token)
{
	struct kc_msg msg = { 0 };
	struct kc_lease lease;
	long r;

	if (!ret_len || !ret_lease)
		return (int)kci_result(KC_EINVAL);
	r = kc_chan_recv_leases(ch, buf, cap, &msg, &lease, 1, timeout_ms, token);
	if (r > 0 || r == KC_EMSGSIZE)
		*ret_len = msg.len;
	if (r > 0)
		*ret_lease = lease;
	return zero_or_code(r);
}

long kc_chan_recv_leases(kc_chan_t *ch, void *buf, size_t cap, struct kc_msg *ret_msgs,
			 struct kc_lease *ret_leases, size_t n, long timeout_ms, kc_cancel_t *token)
{
	struct kci_recv op = {
		.buf = buf,
		.cap = cap,
		.n = n,
		.msgs = ret_msgs,
		.leases = ret_leases,
		.timeout_ms = timeout_ms,
		.token = token,
	};

	return ret_leases ? recv_msgs(ch, KCI_LEASE, &op) : kci_result(KC_EINVAL);
}
