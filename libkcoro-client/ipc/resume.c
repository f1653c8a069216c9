/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coming back after a break: connect, HELLO, RESUME, and send again what kcorod
 * never got. PROTOCOL.md section 5.3.
 *
 * The reader does this, without the lock while it waits. Meanwhile others may make
 * new calls, which stay in the outbox, and nobody can end one that was sent. So
 * what RESUME says is still true when its reply is here.
 */
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/call.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/debug.h"
#include "libkcoro-client/ipc/window.h"
#include "proto/frame.h"
#include "proto/values.h"

static int build_resume(const kc_ipc_conn_t *conn, const struct kci_hello *hello,
			struct kcp_buf *frame)
{
	size_t at, ids;

	kcp_buf_init(frame, hello->max_frame);
	at = kcp_frame_begin(frame, KCP_RESUME, 0, 2, conn->seq_seen);
	kcp_put_bytes(frame, KCP_T_TOKEN, conn->hello.token, sizeof(conn->hello.token));
	ids = kcp_tlv_begin(frame, KCP_T_REQUESTS);
	for (struct kci_list *l = conn->sent.next; l != &conn->sent; l = l->next) {
		const struct kci_request *request = KC_CONTAINER_OF(l, struct kci_request, link);

		if (!request->windowed || kci_windowed_is_open(request->windowed))
			kcp_buf_add_u64(frame, request->id);
	}
	kcp_tlv_end(frame, ids);
	for (size_t i = 0; i < KCI_CONN_BUCKETS; i++) {
		const struct kci_list *bucket = &conn->chans[i];

		for (struct kci_list *l = bucket->next; l != bucket; l = l->next) {
			const struct kci_schan *sc = KC_CONTAINER_OF(l, struct kci_schan, link);

			if (sc->roles & KC_RECEIVER)
				kci_schan_resume(sc, frame);
		}
	}
	return kcp_frame_end(frame, at);
}

/* The requests kcorod does not know go to the front of the outbox, in their order. */
static int send_again(kc_ipc_conn_t *conn, const struct kcp_ids *ids)
{
	struct kci_list again;
	struct kci_list *l = conn->sent.next;
	uint32_t n = 0;

	kci_list_init(&again);
	while (n < ids->count && l != &conn->sent) {
		struct kci_request *request = KC_CONTAINER_OF(l, struct kci_request, link);

		l = l->next;
		if (request->id != kcp_ids_at(ids, n))
			continue;
		n++;
		/* read from the old connection after we had asked */
		if (request->windowed && kci_windowed_is_accepted(request->windowed)) {
			kci_windowed_accepted(request->windowed);
			continue;
		}
		if (request->windowed)
			kci_windowed_again(request->windowed);
		kci_list_remove(&request->link);
		kci_list_remove(&request->hash);
		kci_list_append(&again, &request->link);
	}
	while (!kci_list_empty(&conn->outbox)) {
		l = conn->outbox.next;
		kci_list_remove(l);
		kci_list_append(&again, l);
	}
	while (!kci_list_empty(&again)) {
		l = again.next;
		kci_list_remove(l);
		kci_list_append(&conn->outbox, l);
	}
	return n == ids->count ? 0 : KC_EPROTO;
}

/* A RETURN may have been lost. */
static void return_again(kc_ipc_conn_t *conn)
{
	for (size_t i = 0; i < KCI_CONN_BUCKETS; i++) {
		struct kci_list *bucket = &conn->chans[i];

		for (struct kci_list *l = bucket->next; l != bucket; l = l->next) {
			struct kci_schan *sc = KC_CONTAINER_OF(l, struct kci_schan, link);

			kci_ahead_untell(&sc->ahead);
			if (sc->ahead.untold)
				kci_schan_recall(sc, 0);
		}
	}
}

/*
 * RESUME on a connection that has said HELLO. 0: the stream is the session's now.
 * *ret_retry: another connection may do better.
 */
static int resume_on(kc_ipc_conn_t *conn, struct kcp_stream *stream, const struct kci_hello *hello,
		     bool *ret_retry)
{
	struct kcp_args args;
	struct kcp_buf frame;
	struct kcp_ids ids;
	int r;

	*ret_retry = false;
	KC_MUTEX_LOCK(&conn->lock);
	r = build_resume(conn, hello, &frame);
	KC_MUTEX_UNLOCK(&conn->lock);
	if (r == 0)
		r = kci_handshake_request(conn, stream, conn->grace_until, &frame, &args,
					  ret_retry);
	kcp_buf_done(&frame);
	if (r < 0)
		return r;
	if (kcp_ids_parse(&ids, &args, NULL) < 0)
		return kci_fail(KC_EPROTO, "kcorod's RESUME makes no sense");

	KC_MUTEX_LOCK(&conn->lock);
	if (conn->state == KCI_BROKEN) {
		r = send_again(conn, &ids);
		return_again(conn);
		conn->hello.max_frame = hello->max_frame;
		conn->hello.grace_ms = hello->grace_ms;
		conn->hello.requests_max = hello->requests_max;
		conn->stream = *stream;
		conn->unconfirmed = 0;
		conn->state = KCI_LIVE;
		KCI_DEBUG("resumed; %u requests are sent again", ids.count);
	} else {
		r = KC_ECANCELED;
	}
	KC_MUTEX_UNLOCK(&conn->lock);
	return r < 0 && r != KC_ECANCELED ? kci_fail(r, "RESUME names a request of nobody") : r;
}

/* One connection: HELLO and RESUME. Takes fd. */
static int attempt(kc_ipc_conn_t *conn, int fd, bool *ret_retry)
{
	struct kcp_stream stream;
	struct kci_hello hello;
	int r;

	kcp_stream_init(&stream, fd, KCI_FRAME_MAX, KCI_OUT_MAX);
	r = kci_handshake_hello(conn, &stream, conn->grace_until, &hello, ret_retry);
	/* its place among the connections may be held by the one that broke */
	if (r == KC_EDQUOT)
		*ret_retry = true;
	if (r == 0)
		r = resume_on(conn, &stream, &hello, ret_retry);
	if (r < 0) {
		kcp_stream_done(&stream);
		(void)close(fd);
	}
	return r;
}

/* Until the session is back: 0; else why it is lost, with words. */
static int come_back(kc_ipc_conn_t *conn)
{
	bool retry = true;
	int r = 0;

	while (retry) {
		int fd = kci_socket_connect(conn->path, conn->grace_until);

		if (fd < 0)
			r = kci_socket_await(conn, conn->grace_until, &fd);
		if (fd < 0 && r < 0)
			return r;
		if (fd < 0)
			continue;
		if (++conn->attempts > KCI_ATTEMPTS_MAX) {
			(void)close(fd);
			return kci_fail(KC_ECONNRESET, "kcorod hangs up again and again");
		}
		r = attempt(conn, fd, &retry);
		if (r == 0 || r == KC_ECANCELED || kci_deadline_left(conn->grace_until) == 0)
			return r;
	}
	return r;
}

void kci_conn_resume(kc_ipc_conn_t *conn)
{
	const char *why;
	int r;

	kcp_stream_done(&conn->stream);
	if (conn->stream.fd >= 0)
		(void)close(conn->stream.fd);
	conn->stream.fd = -1;
	KC_MUTEX_UNLOCK(&conn->lock);
	kci_detail_clear();
	r = come_back(conn);
	KC_MUTEX_LOCK(&conn->lock);
	why = r == KC_ETIME ? "kcorod did not come back in time" : kc_error_detail();
	if (!why[0])
		why = kc_strerror(r);
	/* KC_ECANCELED: the connection was ended meanwhile, for another reason */
	if (r < 0)
		kci_conn_fail(conn, r == KC_EPROTO ? KC_EPROTO : KC_ECONNRESET,
			      "%s: the session is lost: %s", conn->path, why);
	kci_detail_clear();
}
