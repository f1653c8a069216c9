/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Windows: see window.h.
 */
#include "libkcoro-client/ipc/window.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/result.h"
#include "proto/values.h"

#define FRAME_MOST (65536u + 128u) /* of elements sent in this way: each is copied once */
#define KEPT_MOST (1u << 20)	   /* bytes kept for one handle */
#define FRAME_HEAD 128u		   /* header and TLVs beside the value of ELEMENTS need less */

struct kci_windowed {
	struct kci_request request; /* its frame is below; it has no call */
	struct kci_list link;	    /* sc->windowed, by rising ids */
	struct kci_schan *sc;
	struct kci_wait *wait; /* of the call that awaits it; NULL: that has returned */
	bool done;	       /* for that call: what became of it */
	int result;
	uint32_t n; /* elements */
	size_t flags_at;
	size_t size;
	uint8_t frame[];
};

static void windowed_free(struct kci_windowed *w)
{
	w->sc->kept -= w->size;
	kci_list_remove(&w->link);
	kci_list_remove(&w->request.link);
	kci_list_remove(&w->request.hash);
	KC_FREE(w);
}

/* Whoever awaits it frees it; else nobody needs it any more. */
static void windowed_ends(struct kci_windowed *w, int result)
{
	if (!w->wait) {
		/* its call said that it was sent: the next one has to tell */
		if (result < 0)
			w->sc->late = result;
		windowed_free(w);
		return;
	}
	w->done = true;
	w->result = result;
	kci_list_remove(&w->request.link);
	kci_list_remove(&w->request.hash);
	kci_wait_ready(w->wait);
}

bool kci_windowed_is_accepted(const struct kci_windowed *w)
{
	return w->request.id <=
	       atomic_load_explicit(&w->sc->cursor->accepted, memory_order_acquire);
}

bool kci_windowed_is_open(const struct kci_windowed *w)
{
	/* a reply that somebody awaits may be lost: kcorod does not keep it */
	return w->wait || !kci_windowed_is_accepted(w);
}

void kci_windowed_accepted(struct kci_windowed *w)
{
	windowed_ends(w, 0);
}

void kci_windowed_again(struct kci_windowed *w)
{
	/* what its call was told still holds if the channel has closed meanwhile */
	if (!w->wait)
		kcp_store_u32(w->frame + w->flags_at, KCP_F_WINDOW | KCP_F_PROMISED);
}

void kci_windowed_replied(struct kci_windowed *w, struct kcp_args *args)
{
	int code = kcp_result_to_code((uint32_t)kcp_num(args, KCP_T_RESULT, KCP_PROTO));

	/* it was not covered, and so has used up nothing */
	if (!kci_windowed_is_accepted(w))
		w->sc->used -= w->n;
	if (code == 0) {
		uint64_t count = kcp_num(args, KCP_T_COUNT, 0);

		/* for the call that awaits it, some is enough */
		if (count < w->n && w->wait)
			w->n = (uint32_t)count;
		else if (count < w->n)
			code = KC_EDQUOT;
	}
	windowed_ends(w, code);
}

void kci_windowed_fail(struct kci_windowed *w, int code)
{
	windowed_ends(w, code);
}

static struct kci_windowed *windowed_first(const struct kci_schan *sc)
{
	return KCI_LIST_FIRST(&sc->windowed, struct kci_windowed, link);
}

/* Forget what is known to be accepted and nobody awaits. */
static void prune(struct kci_schan *sc)
{
	struct kci_windowed *w;

	while ((w = windowed_first(sc)) && !w->wait && kci_windowed_is_accepted(w))
		windowed_free(w);
}

void kci_window_done(struct kci_schan *sc)
{
	struct kci_windowed *w;

	while ((w = windowed_first(sc)))
		windowed_free(w);
}

/* May a frame be written right now, before everything else? */
static bool is_clear(const kc_ipc_conn_t *conn)
{
	return conn->state == KCI_LIVE && kci_list_empty(&conn->outbox) &&
	       kci_list_empty(&conn->recalls) && kcp_stream_pending(&conn->stream) == 0;
}

static uint64_t granted(const struct kci_schan *sc)
{
	uint64_t all = atomic_load_explicit(&sc->cursor->granted, memory_order_acquire);

	return all > sc->used ? all - sc->used : 0;
}

/* How many elements go into the frame, and the bytes of ELEMENTS they need; 0: none. */
static size_t fit(const struct kci_schan *sc, const struct kci_send *op, size_t n,
		  size_t *ret_bytes)
{
	if (op->msgs) {
		n = kci_messages_fit(sc, op, n, FRAME_MOST - FRAME_HEAD, ret_bytes);
	} else {
		if (n > (FRAME_MOST - FRAME_HEAD) / sc->elem_size)
			n = (FRAME_MOST - FRAME_HEAD) / sc->elem_size;
		*ret_bytes = n * sc->elem_size;
	}
	return *ret_bytes <= FRAME_MOST - FRAME_HEAD &&
			       *ret_bytes + FRAME_HEAD <= KEPT_MOST - sc->kept
		       ? n
		       : 0;
}

static struct kci_windowed *windowed_new(struct kci_schan *sc, const struct kci_send *op,
					 size_t n, size_t bytes)
{
	size_t size = FRAME_HEAD + bytes;
	struct kci_windowed *w = KC_ALLOC(sizeof(*w) + size);
	struct kcp_buf buf;
	size_t at;

	if (!w)
		return NULL;
	memset(w, 0, sizeof(*w));
	kci_list_init(&w->link);
	kci_list_init(&w->request.link);
	kci_list_init(&w->request.hash);
	buf = (struct kcp_buf){ .data = w->frame, .cap = size, .max = size };
	at = kcp_frame_begin(&buf, KCP_SEND, 0, 0, 0);
	kcp_put_u32(&buf, KCP_T_ATTACH, sc->attach);
	kcp_put_u32(&buf, KCP_T_FLAGS, KCP_F_WINDOW);
	w->flags_at = buf.len - 4;
	if (op->timeout_ms >= 0)
		kcp_put_u64(&buf, KCP_T_TIMEOUT_MS,
			    (uint64_t)op->timeout_ms < KCP_TIMEOUT_MAX_MS ? (uint64_t)op->timeout_ms
									  : KCP_TIMEOUT_MAX_MS);
	kcp_put_head(&buf, KCP_T_ELEMENTS, bytes);
	if (op->msgs) {
		for (size_t i = 0; i < n; i++)
			kcp_put_message(&buf, op->msgs[i].data, (uint32_t)op->msgs[i].len);
	} else {
		kcp_buf_add(&buf, op->elems, bytes);
	}
	if (kcp_frame_end(&buf, at) < 0) {
		KC_FREE(w);
		return NULL;
	}
	w->request.type = KCP_SEND;
	w->request.windowed = w;
	w->request.head = w->frame;
	w->request.head_len = buf.len;
	w->sc = sc;
	w->n = (uint32_t)n;
	w->size = size;
	sc->kept += size;
	kci_list_append(&sc->windowed, &w->link);
	return w;
}

/* The token is set: what the SEND's own reply says counts. */
static void cancel(kc_ipc_conn_t *conn, uint64_t id)
{
	struct kci_call call;

	kci_call_init(&call, conn, KCP_CANCEL);
	kcp_put_u64(&call.head, KCP_T_REQUEST, id);
	call.urgent = true;
	(void)kci_call_run_locked(&call, NULL);
	kci_call_done(&call);
}

/* The promise was withdrawn, or the connection is not what it was: the reply tells, or the
 * cursor. */
static long await(struct kci_windowed *w, const struct kci_send *op)
{
	struct kci_schan *sc = w->sc;
	kc_ipc_conn_t *conn = sc->conn;
	long r;

	/* kcorod writes `accepted` and then reads `awaits`: we see that, or a reply comes */
	atomic_store_explicit(&sc->cursor->awaits, ++sc->n_awaiting, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (!w->done && conn->state == KCI_LIVE && kci_windowed_is_accepted(w))
		w->done = true;
	if (!w->done && kci_conn_wait(conn, w->wait, op->token) == KC_ECANCELED) {
		cancel(conn, w->request.id);
		if (!w->done)
			(void)kci_conn_wait(conn, w->wait, NULL);
	}
	atomic_store_explicit(&sc->cursor->awaits, --sc->n_awaiting, memory_order_relaxed);
	r = w->result;
	if (r == 0)
		r = (long)w->n;
	else if (conn->state == KCI_DEAD)
		r = kci_conn_dead(conn);
	else if (r == KC_EAGAIN && op->timeout_ms > 0)
		r = KC_ETIME;
	else if (sc->detaching && (r == KC_ECANCELED || r == KC_ENOENT))
		r = KC_EPIPE;
	w->wait = NULL;
	windowed_free(w);
	return r;
}

long kci_window_send(struct kci_schan *sc, const struct kci_send *op)
{
	kc_ipc_conn_t *conn = sc->conn;
	struct kci_windowed *w;
	struct kci_wait wait;
	uint64_t most;
	size_t n, bytes;

	if (sc->late < 0) {
		int code = sc->late;

		sc->late = 0;
		return kci_fail(code, "what was sent before could not be accepted after all");
	}
	if (!sc->window || !sc->cursor)
		return 0;
	prune(sc);
	most = granted(sc);
	if (most == 0 || !is_clear(conn))
		return 0;
	n = fit(sc, op, op->n < most ? op->n : (size_t)most, &bytes);
	w = n ? windowed_new(sc, op, n, bytes) : NULL;
	if (!w)
		return 0;
	kci_wait_init(&wait);
	w->wait = &wait;
	sc->used += n;
	kci_list_append(&conn->outbox, &w->request.link);
	kci_conn_pump(conn);
	conn->windowed_id = w->request.id;
	/* what the socket has not taken yet would be lost with this process */
	if (conn->state == KCI_LIVE && kcp_stream_pending(&conn->stream))
		(void)kci_conn_drain(conn, NULL);
	/* kcorod lowers `granted` and then reads what we wrote: either it finds this SEND, or
	 * we find that. It may have read it after that, and raised `granted` again since: then it
	 * wrote `refused` before. */
	atomic_thread_fence(memory_order_seq_cst);
	if (conn->state != KCI_LIVE || w->done ||
	    atomic_load_explicit(&sc->cursor->granted, memory_order_acquire) < sc->used ||
	    atomic_load_explicit(&sc->cursor->refused, memory_order_relaxed) >= w->request.id)
		return await(w, op);
	w->wait = NULL;
	return (long)n;
}
