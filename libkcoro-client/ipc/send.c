/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing: requests, notices, and what the socket did not take at once.
 *
 * A request is only begun when nothing waits to be written, so at most one frame's
 * head and a few notices are ever copied, and that only when the daemon is slower
 * than we are; elements are written from where the caller has them. Everything
 * leaves in the order in which it was asked for; a notice is built right behind what
 * waits and so precedes every later request.
 */
#include <poll.h>
#include <sys/uio.h>

#include "kcoro/error.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/call.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/debug.h"
#include "proto/frame.h"
#include "proto/message.h"

size_t kci_notice_begin(kc_ipc_conn_t *conn, uint16_t type)
{
	return kcp_frame_begin(kcp_stream_out(&conn->stream), type, 0, 0, conn->seq_seen);
}

int kci_notice_end(kc_ipc_conn_t *conn, size_t at)
{
	int r = kcp_frame_end(kcp_stream_out(&conn->stream), at);

	if (r == 0)
		conn->unconfirmed = 0;
	return r;
}

static void transmit(kc_ipc_conn_t *conn, struct kci_request *request)
{
	struct iovec iov[2] = {
		{ .iov_base = request->head, .iov_len = request->head_len },
		{ .iov_base = (void *)request->extra, .iov_len = request->extra_len },
	};
	int r;

	if (request->id == 0)
		request->id = ++conn->last_id;
	kci_request_stamp(request, conn->seq_seen);
	KCI_DEBUG("> %s id %llu, %zu bytes", kcp_message_name(request->type),
		  (unsigned long long)request->id, request->head_len + request->extra_len);
	kci_list_remove(&request->link);
	kci_list_append(&conn->sent, &request->link);
	kci_list_append(&conn->by_id[request->id % KCI_CONN_BUCKETS], &request->hash);
	/* the bytes stay where they are until the reply has come: only then the call ends, or
	 * with the connection, after which nothing is written any more */
	r = kcp_stream_lend(&conn->stream, iov, request->extra_len ? 2 : 1);
	if (r == 0)
		conn->unconfirmed = 0;
	else if (r == KC_EMSGSIZE || r == KC_EDQUOT)
		/* cannot be: the output is empty and holds the largest frame */
		kci_conn_fail(conn, KC_EPROTO, "a frame is larger than kcorod accepts");
	else
		kci_conn_break(conn, "cannot write");
}

/* Output that waits. false: nothing more can be written now. */
static bool flush(kc_ipc_conn_t *conn)
{
	int r = kcp_stream_pending(&conn->stream) ? kcp_stream_flush(&conn->stream) : 0;

	if (r < 0 && r != KC_EAGAIN)
		kci_conn_break(conn, "cannot write");
	return r == 0;
}

/* Answers to RECALL; what finds no room stays on the list. */
static void answer_recalls(kc_ipc_conn_t *conn)
{
	struct kci_schan *sc;

	while ((sc = KCI_LIST_FIRST(&conn->recalls, struct kci_schan, recalled))) {
		int r = kci_schan_give_back(sc);

		/* nothing would try again, and others wait for the elements */
		if (r == KC_ENOMEM)
			kci_conn_fail(conn, KC_ECONNRESET, "no memory to give elements back");
		if (r < 0)
			return;
	}
}

static void confirm(kc_ipc_conn_t *conn)
{
	if (conn->unconfirmed >= KCP_CONFIRM_EVERY)
		(void)kci_notice_end(conn, kci_notice_begin(conn, KCP_CONFIRM));
}

void kci_conn_pump(kc_ipc_conn_t *conn)
{
	struct kci_request *request;

	while (conn->state == KCI_LIVE && flush(conn)) {
		/* before the requests: a receive that gives elements back wants them again */
		answer_recalls(conn);
		if (kcp_stream_pending(&conn->stream))
			continue;
		request = KCI_LIST_FIRST(&conn->outbox, struct kci_request, link);
		if (request) {
			transmit(conn, request);
			continue;
		}
		confirm(conn);
		if (kcp_stream_pending(&conn->stream))
			continue;
		for (struct kci_list *l = conn->waiting.next; l != &conn->waiting; l = l->next) {
			struct kci_wait *wait = KC_CONTAINER_OF(l, struct kci_wait, link);

			if (wait->drain)
				kci_wait_ready(wait);
		}
		return;
	}
	/* somebody else waits for the socket, and not for room to write */
	if (conn->polling && !(conn->poll_events & POLLOUT))
		kci_conn_wake(conn);
}
