/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coming back after a break: connect, HELLO, RESUME, and send again what kcorod
 * never got. PROTOCOL.md section 5.3.
 *
 * The reader does this, step by step, and waits in between like for anything else: so a
 * select that reads sees to its other clauses meanwhile, and who stops being the reader
 * leaves it to the next. Others may make new calls, which stay in the outbox, and nobody can
 * end one that was sent. So what RESUME says is still true when its reply is here.
 */
#include <poll.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/call.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/debug.h"
#include "libkcoro-client/ipc/window.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/values.h"

/* Put RESUME into the output. */
static int ask(kc_ipc_conn_t *conn)
{
	struct kcp_buf *frame = kcp_stream_out(&conn->stream);
	size_t at = kcp_frame_begin(frame, KCP_RESUME, 0, KCI_RESUME_ID, conn->seq_seen);
	size_t ids;
	int r;

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
	r = kcp_frame_end(frame, at);
	return r == 0 && frame->len - at > conn->resume.hello.max_frame ? KC_EMSGSIZE : r;
}

/* Nobody waits for it, and what it was to send is not there any more. Its CANCEL ends with it. */
static bool is_idle(const struct kci_request *request)
{
	return request->call && request == &request->call->request && request->call->on_end;
}

/* The requests kcorod does not know go to the front of the outbox, in their order. */
static int send_again(kc_ipc_conn_t *conn, const struct kcp_ids *ids)
{
	struct kci_list *l = conn->sent.next;
	struct kci_list again, idle;
	struct kci_request *request;
	uint32_t n = 0;

	kci_list_init(&again);
	kci_list_init(&idle);
	while (n < ids->count && l != &conn->sent) {
		request = KC_CONTAINER_OF(l, struct kci_request, link);
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
		kci_list_append(is_idle(request) ? &idle : &again, &request->link);
	}
	while ((request = KCI_LIST_FIRST(&idle, struct kci_request, link)))
		kci_call_fail(request->call, KC_ECANCELED, "");
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

/* kcorod took the session up again. */
static int resumed(kc_ipc_conn_t *conn, struct kcp_args *args)
{
	const struct kci_hello *hello = &conn->resume.hello;
	struct kcp_ids ids;

	if (kcp_ids_parse(&ids, args, NULL) < 0)
		return kci_fail(KC_EPROTO, "kcorod's RESUME makes no sense");
	if (send_again(conn, &ids) < 0)
		return kci_fail(KC_EPROTO, "RESUME names a request of nobody");
	return_again(conn);
	conn->hello.max_frame = hello->max_frame;
	conn->hello.grace_ms = hello->grace_ms;
	conn->hello.requests_max = hello->requests_max;
	conn->unconfirmed = 0;
	conn->state = KCI_LIVE;
	KCI_DEBUG("resumed; %u requests are sent again", ids.count);
	return 0;
}

static void unwatch(kc_ipc_conn_t *conn)
{
	if (conn->resume.watch_fd >= 0)
		(void)close(conn->resume.watch_fd);
	conn->resume.watch_fd = -1;
}

/* The connection there is, if any, is of no use. */
static void start_over(kc_ipc_conn_t *conn)
{
	kcp_stream_done(&conn->stream);
	if (conn->stream.fd >= 0)
		(void)close(conn->stream.fd);
	conn->stream.fd = -1;
	conn->resume.at = KCI_RESUME_CONNECT;
}

/* The steps return 1: the next one; 0: something is to be waited for, or all is over; or a
 * code, with words: the session is lost. */

static int connect_step(kc_ipc_conn_t *conn)
{
	int fd;

	KC_MUTEX_UNLOCK(&conn->lock);
	fd = kci_socket_connect(conn->path, conn->grace_until);
	KC_MUTEX_LOCK(&conn->lock);
	if (conn->state != KCI_BROKEN) {
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	if (fd < 0 && conn->resume.watch_fd >= 0) {
		conn->resume.at = KCI_RESUME_WATCH;
		return 0;
	}
	if (fd < 0) {
		/* and once more, as it may come back just before the watch is set */
		conn->resume.watch_fd = kci_socket_watch(conn->path);
		return conn->resume.watch_fd < 0 ? conn->resume.watch_fd : 1;
	}
	unwatch(conn);
	if (++conn->attempts > KCI_ATTEMPTS_MAX) {
		(void)close(fd);
		return kci_fail(KC_ECONNRESET, "kcorod hangs up again and again");
	}
	kcp_stream_init(&conn->stream, fd, KCI_FRAME_MAX, KCI_OUT_MAX);
	conn->resume.at = KCI_RESUME_HELLO;
	return kci_handshake_hello(&conn->stream) < 0 ? KC_ENOMEM : 1;
}

static int hello_step(kc_ipc_conn_t *conn)
{
	int r = kci_handshake_welcome(&conn->stream, &conn->resume.hello);

	if (r == KC_EDQUOT) {
		/* its place among the connections may be held by the one that broke */
		start_over(conn);
		return 1;
	}
	if (r <= 0)
		return r;
	conn->resume.at = KCI_RESUME_ASK;
	r = ask(conn);
	return r < 0 ? r : 1;
}

static int ask_step(kc_ipc_conn_t *conn)
{
	struct kcp_args args;
	int r = kci_handshake_reply(&conn->stream, KCP_RESUME, KCI_RESUME_ID, &args);

	return r <= 0 ? r : resumed(conn, &args);
}

static int step(kc_ipc_conn_t *conn)
{
	bool connected = conn->resume.at >= KCI_RESUME_HELLO;
	int r;

	if (kci_deadline_left(conn->grace_until) == 0)
		return connected ? kci_fail(KC_ECONNRESET, "kcorod does not answer")
				 : kci_fail(KC_ETIME, "kcorod did not come back in time");
	r = connected ? kcp_stream_flush(&conn->stream) : 0;
	if (r < 0 && r != KC_EAGAIN) {
		start_over(conn);
		return 1;
	}
	switch (conn->resume.at) {
	case KCI_RESUME_CLOSE:
		start_over(conn);
		return 1;
	case KCI_RESUME_CONNECT:
		return connect_step(conn);
	case KCI_RESUME_HELLO:
		return hello_step(conn);
	case KCI_RESUME_ASK:
		return ask_step(conn);
	case KCI_RESUME_WATCH:
		break;
	}
	return 0;
}

bool kci_resume_go(kc_ipc_conn_t *conn)
{
	int r;

	kci_detail_clear();
	do {
		r = step(conn);
	} while (r > 0 && conn->state == KCI_BROKEN);
	if (r < 0) {
		const char *why = kc_error_detail();

		kci_conn_fail(conn, r == KC_EPROTO ? KC_EPROTO : KC_ECONNRESET,
			      "%s: the session is lost: %s", conn->path,
			      why[0] ? why : kc_strerror(r));
	}
	/* not of the call that happens to read; nor is why there is nobody to connect to */
	kci_detail_clear();
	if (conn->state != KCI_BROKEN)
		return false;
	conn->poll_fd = conn->resume.at == KCI_RESUME_WATCH ? conn->resume.watch_fd
							    : conn->stream.fd;
	conn->poll_events = POLLIN;
	if (kcp_stream_pending(&conn->stream))
		conn->poll_events |= POLLOUT;
	conn->poll_until = conn->grace_until;
	return true;
}

void kci_resume_came(kc_ipc_conn_t *conn, int came, int filled)
{
	/* what exactly happened there does not matter: all is tried anew */
	if (conn->resume.at == KCI_RESUME_WATCH && came > 0) {
		unwatch(conn);
		conn->resume.at = KCI_RESUME_CONNECT;
	}
	if (conn->resume.at >= KCI_RESUME_HELLO && filled <= 0 && filled != KC_EAGAIN)
		start_over(conn);
}

void kci_resume_done(kc_ipc_conn_t *conn)
{
	unwatch(conn);
}
