/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending to a daemon's channel.
 *
 * Fixed elements, and a message alone, go to the socket from where the caller has
 * them. Messages of a batch are mostly small: copying them into one block costs
 * less than a vector of thousands of pieces.
 */
#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "libkcoro-client/ipc/window.h"
#include "proto/values.h"

/* Header and TLVs of a SEND beside the value of ELEMENTS need less. */
#define SEND_OVERHEAD 128u
/* So much fits behind them where they are built. */
#define COPY_MOST 512u
_Static_assert(SEND_OVERHEAD + COPY_MOST <= KCI_CALL_HEAD, "the head holds both");

/* Elements that could be accepted at once: what a SEND carries beyond that travels
 * in vain. Receivers that wait may take some more, which is as good a step. */
static size_t room(const struct kci_schan *sc)
{
	if (sc->kind == KC_RENDEZVOUS)
		return 1;
	if (sc->kind == KC_BUFFERED && sc->overflow == KC_OVERFLOW_BLOCK)
		return sc->capacity;
	return KC_BATCH_MAX;
}

size_t kci_messages_fit(const struct kci_schan *sc, const struct kci_send *op, size_t n,
			size_t max, size_t *ret_bytes)
{
	size_t bytes = 4 + op->msgs[0].len;
	size_t i;

	if (sc->max_bytes && sc->max_bytes < max)
		max = (size_t)sc->max_bytes;
	for (i = 1; i < n && op->msgs[i].len + 4 <= max - (bytes < max ? bytes : max); i++)
		bytes += 4 + op->msgs[i].len;
	*ret_bytes = bytes;
	return i;
}

/* ELEMENTS of the first messages; a block that holds them, or NULL, is in *ret_block. */
static int put_messages(struct kci_call *call, const struct kci_send *op, size_t n, size_t bytes,
			uint8_t **ret_block)
{
	struct kcp_buf packed;

	kcp_put_head(&call->head, KCP_T_ELEMENTS, bytes);
	if (n == 1) {
		kcp_buf_add_u32(&call->head, (uint32_t)op->msgs[0].len);
		kci_call_extra(call, op->msgs[0].data, op->msgs[0].len);
		return 0;
	}
	kcp_buf_init(&packed, bytes);
	(void)kcp_buf_reserve(&packed, bytes);
	for (size_t i = 0; i < n; i++)
		kcp_put_message(&packed, op->msgs[i].data, (uint32_t)op->msgs[i].len);
	if (packed.failed) {
		kcp_buf_done(&packed);
		return KC_ENOMEM;
	}
	*ret_block = packed.data;
	kci_call_extra(call, packed.data, packed.len);
	return 0;
}

struct sending {
	struct kci_schan *sc;
	size_t n; /* elements in the frame */
};

static int on_sent(struct kci_call *call, struct kcp_args *args, int code)
{
	struct sending *s = call->arg;

	if (code == KC_EAGAIN)
		kci_notify_silence(&s->sc->send_notify, kcp_num(args, KCP_T_RINGS, 0));
	return code == 0 && (call->count < 1 || call->count > s->n) ? KC_EPROTO : 0;
}

/* ELEMENTS of fixed size: a few bytes go along with the head. */
static void put_elements(struct kci_call *call, const void *elems, size_t bytes)
{
	kcp_put_head(&call->head, KCP_T_ELEMENTS, bytes);
	if (bytes <= COPY_MOST)
		kcp_buf_add(&call->head, elems, bytes);
	else
		kci_call_extra(call, elems, bytes);
}

void kci_schan_put_one(struct kci_schan *sc, const struct kci_send *op, struct kci_call *call)
{
	if (op->msgs)
		(void)put_messages(call, op, 1, 4 + op->msgs[0].len, NULL);
	else
		put_elements(call, op->elems, sc->elem_size);
}

long kci_schan_send(kc_chan_t *ch, const struct kci_send *op)
{
	struct kci_schan *sc = kci_schan_of(ch);
	int saved = kci_conn_lock(sc->conn);
	size_t max = sc->conn->hello.max_frame - SEND_OVERHEAD;
	size_t n = op->n < room(sc) ? op->n : room(sc);
	struct sending s = { .sc = sc };
	uint8_t *block = NULL;
	struct kci_call call;
	size_t bytes;
	long r = kci_window_send(sc, op);

	if (r != 0) {
		kci_conn_unlock(sc->conn, saved);
		return r;
	}
	kci_call_init(&call, sc->conn, KCP_SEND);
	kcp_put_u32(&call.head, KCP_T_ATTACH, sc->attach);
	kci_call_timeout(&call, op->timeout_ms, kci_deadline_from_ms(op->timeout_ms));
	if (op->msgs) {
		/* a channel's largest message fits kcorod's largest frame */
		n = kci_messages_fit(sc, op, n, max, &bytes);
		r = put_messages(&call, op, n, bytes, &block);
	} else {
		if (n > max / sc->elem_size)
			n = max / sc->elem_size;
		put_elements(&call, op->elems, n * sc->elem_size);
	}
	s.n = n;
	call.on_reply = on_sent;
	call.arg = &s;
	if (r == 0)
		r = kci_call_run_locked(&call, op->token);
	r = r == 0 ? (long)call.count : kci_schan_code(sc, &call, r, op->timeout_ms);
	kci_conn_unlock(sc->conn, saved);
	kci_call_done(&call);
	KC_FREE(block);
	return r;
}
