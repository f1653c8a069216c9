/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's turn: wait, read, and give each frame to whom it belongs.
 */
#include <poll.h>

#include "kcoro/error.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/call.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/debug.h"
#include "libkcoro-client/ipc/window.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/result.h"

/* These return NULL, or why the frame makes no sense. */

static const char *on_event(kc_ipc_conn_t *conn, uint16_t type, struct kcp_args *args)
{
	char text[KCP_DETAIL_MAX + 1];
	struct kci_schan *sc;
	int code;

	if (type == KCP_ERROR) {
		/* a fault of ours, or what made the daemon end the session */
		code = kcp_result_to_code((uint32_t)kcp_num(args, KCP_T_RESULT, KCP_PROTO));
		(void)kcp_text(args, KCP_T_DETAIL, text, sizeof(text));
		kci_conn_fail(conn, code == KC_EPROTO ? KC_EPROTO : KC_ECONNRESET,
			      "kcorod ended the connection: %s", text);
		return NULL;
	}
	if (type == KCP_OFFER) {
		struct kci_request *request =
			kci_request_find(conn, kcp_num(args, KCP_T_REQUEST, 0));

		if (!request)
			return NULL; /* cancelled meanwhile */
		if (!request->call || !request->call->on_offer)
			return "an offer for a request that asked for none";
		request->call->on_offer(request->call);
		return NULL;
	}
	sc = kci_schan_find(conn, (uint32_t)kcp_num(args, KCP_T_ATTACH, 0));
	if (!sc)
		return "an event for no attachment";
	if (type == KCP_DELIVER)
		return kci_schan_deliver(sc, args);
	if (type != KCP_RECALL)
		return "an event nobody asked for";
	kci_schan_recall(sc, (uint32_t)kcp_num(args, KCP_T_COUNT, 0));
	return NULL;
}

static const char *on_reply(kc_ipc_conn_t *conn, const struct kcp_header *header,
			    struct kcp_args *args)
{
	struct kci_request *request = kci_request_find(conn, header->id);

	/* one that the cursor had told us of already */
	bool known = !request && header->type == KCP_SEND && header->id <= conn->windowed_id;

	if (!known && (!request || request->type != header->type))
		return "a reply to no request";
	if (header->seq) {
		if (header->seq <= conn->seq_seen)
			return "reply numbers do not rise";
		conn->seq_seen = header->seq;
		conn->unconfirmed++;
	}
	if (header->id > conn->answered)
		conn->answered = header->id;
	conn->attempts = 0;
	if (request && request->windowed)
		kci_windowed_replied(request->windowed, args);
	else if (request)
		kci_call_replied(request, args);
	return NULL;
}

static void dispatch(kc_ipc_conn_t *conn, const struct kcp_header *header, const uint8_t *payload)
{
	const struct kcp_message *msg = kcp_message_find(header->type);
	int form = kcp_header_form(header, false);
	const char *why = NULL;
	struct kcp_args args;

	KCI_DEBUG("< %s id %llu seq %llu, %u bytes", kcp_message_name(header->type),
		  (unsigned long long)header->id, (unsigned long long)header->seq, header->length);
	if (!msg || form < 0)
		why = "no such message";
	else if (kcp_args_parse(&args, payload, header->length, &why) == 0 &&
		 kcp_message_check(msg, &args, (enum kcp_form)form, &why) == 0)
		why = form == KCP_REPLY ? on_reply(conn, header, &args)
					: on_event(conn, header->type, &args);
	if (why)
		kci_conn_fail(conn, KC_EPROTO, "kcorod broke the protocol: %s", why);
}

static void hand_out(kc_ipc_conn_t *conn)
{
	struct kcp_header header;
	const uint8_t *payload;
	const char *why;
	int r = 1;

	while (conn->state == KCI_LIVE &&
	       (r = kcp_stream_next(&conn->stream, &header, &payload, &why)) > 0)
		dispatch(conn, &header, payload);
	if (r < 0)
		kci_conn_fail(conn, KC_EPROTO, "kcorod broke the protocol: %s", why);
	/* only the reply to CHAN_WATCH has a descriptor, and that is awaited */
	if (!conn->watching)
		kcp_stream_drop_fd(&conn->stream);
}

/* What is to be done before one waits. false: there is nothing to wait for. */
static bool prepare(kc_ipc_conn_t *conn, const struct kci_wait *wait)
{
	bool broken = conn->state == KCI_BROKEN;

	if (broken && !wait->ready && !kci_resume_go(conn)) {
		/* what came behind the reply */
		if (conn->state == KCI_LIVE)
			hand_out(conn);
		return false;
	}
	if (!broken)
		kci_conn_pump(conn);
	if (conn->state != (broken ? KCI_BROKEN : KCI_LIVE) || wait->ready)
		return false;
	conn->polling = true;
	if (!broken) {
		conn->poll_fd = conn->stream.fd;
		conn->poll_events = POLLIN;
		conn->poll_until = KC_NEVER;
		if (kcp_stream_pending(&conn->stream))
			conn->poll_events |= POLLOUT;
		kci_frames_lend(&conn->frames, &conn->stream);
	}
	kcp_stream_take_fds(&conn->stream, conn->watching);
	return true;
}

/* The input half of the stream is the reader's: this needs no lock. What kcp_stream_fill() says;
 * not if woken: something may have changed that reading depends on. */
static int fill(kc_ipc_conn_t *conn, int came)
{
	return came > 0 && came & ~POLLOUT && conn->poll_fd == conn->stream.fd
		       ? kcp_stream_fill(&conn->stream)
		       : KC_EAGAIN;
}

static void finish(kc_ipc_conn_t *conn, int came, int filled)
{
	kci_bell_take(conn);
	conn->polling = false;
	if (conn->turn_over)
		kci_wait_ready(conn->turn_over);
	if (conn->state == KCI_DEAD)
		return;
	if (came < 0) {
		kci_conn_fail(conn, KC_ECONNRESET, "no memory or no descriptor to wait with");
	} else if (conn->state == KCI_BROKEN) {
		kci_resume_came(conn, came, filled);
	} else if (filled > 0) {
		hand_out(conn);
		/* not left to the next turn: this may have been the last for now */
		if (!kci_list_empty(&conn->recalls) || conn->unconfirmed >= KCP_CONFIRM_EVERY)
			kci_conn_pump(conn);
	} else if (filled == KC_ENOMEM) {
		kci_conn_fail(conn, KC_ECONNRESET, "no memory for what kcorod sent");
	} else if (filled != KC_EAGAIN) {
		kci_conn_break(conn, filled == 0 ? "hung up" : "cannot read");
	}
}

void kci_conn_turn(kc_ipc_conn_t *conn, const struct kci_wait *wait, kc_cancel_t *token)
{
	struct kci_bell bell;
	uint64_t until;
	int came, filled;

	if (!prepare(conn, wait))
		return;
	until = wait->deadline < conn->poll_until ? wait->deadline : conn->poll_until;
	kci_bell_hang(conn, &bell);
	KC_MUTEX_UNLOCK(&conn->lock);
	came = kci_bell_await(conn, &bell, conn->poll_fd, conn->poll_events, until, token);
	filled = fill(conn, came);
	KC_MUTEX_LOCK(&conn->lock);
	finish(conn, came, filled);
}

bool kci_conn_turn_begin(kc_ipc_conn_t *conn, const struct kci_wait *wait, struct kci_bell *bell,
			 struct kci_waiter *waiter)
{
	if (!prepare(conn, wait))
		return false;
	kci_bell_hang_on(conn, bell, waiter);
	return true;
}

void kci_conn_turn_end(kc_ipc_conn_t *conn, int came)
{
	finish(conn, came, fill(conn, came));
}

void kci_conn_look(kc_ipc_conn_t *conn)
{
	struct kci_wait wait;

	if (conn->reading || conn->state != KCI_LIVE)
		return;
	kci_wait_init(&wait);
	conn->reading = true;
	if (prepare(conn, &wait))
		finish(conn, POLLIN, fill(conn, POLLIN));
	conn->reading = false;
	kci_conn_pass_on(conn);
}

void kci_conn_turn_over(kc_ipc_conn_t *conn)
{
	struct kci_wait wait;

	if (!conn->polling)
		return;
	/* waking it is not enough: it may have been woken by the socket, and be about to read */
	kci_wait_init(&wait);
	conn->turn_over = &wait;
	kci_conn_wake(conn);
	(void)kci_conn_wait(conn, &wait, NULL);
	conn->turn_over = NULL;
}
