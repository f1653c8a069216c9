/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first frames of a connection, HELLO and RESUME: one request at a time, on
 * a stream nobody else uses yet.
 */
#include <poll.h>
#include <string.h>

#include "kcoro/error.h"
#include "kcoro/version.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/conn.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/result.h"

#define NOTICE_MAX 1024u /* a TAKEN of fifty ranges */

/* The result of a reply, or of the ERROR in its place. */
static int result_of(const struct kcp_args *args)
{
	char text[KCP_DETAIL_MAX + 1];
	int code = kcp_result_to_code((uint32_t)kcp_num(args, KCP_T_RESULT, KCP_PROTO));

	(void)kcp_text(args, KCP_T_DETAIL, text, sizeof(text));
	return code < 0 && text[0] ? kci_fail(code, "kcorod refused: %s", text) : code;
}

/* Is this the reply to the request? 0 and *ret_args, or a code. */
static int read_reply(const struct kcp_header *header, const uint8_t *payload,
		      const struct kcp_header *request, struct kcp_args *ret_args)
{
	const struct kcp_message *msg = kcp_message_find(header->type);
	int form = kcp_header_form(header, false);
	const char *why = "not a reply";

	if (!msg || form < 0 || kcp_args_parse(ret_args, payload, header->length, &why) < 0 ||
	    kcp_message_check(msg, ret_args, (enum kcp_form)form, &why) < 0)
		return kci_fail(KC_EPROTO, "no kcorod that speaks version 1 answered: %s", why);
	if (form == KCP_EVENT && header->type == KCP_ERROR) {
		int code = result_of(ret_args);

		return code < 0 ? code : KC_EPROTO;
	}
	if (form != KCP_REPLY || header->id != request->id || header->type != request->type)
		return kci_fail(KC_EPROTO, "no kcorod that speaks version 1 answered");
	return result_of(ret_args);
}

/* Write what waits, and read once when there is something. 0, or a code. */
static int exchange(kc_ipc_conn_t *conn, struct kcp_stream *stream, uint64_t deadline)
{
	short events = kcp_stream_pending(stream) ? POLLIN | POLLOUT : POLLIN;
	int came, r;

	/* what else it was woken for is seen to when the handshake is over */
	came = kci_conn_await(conn, stream->fd, events, deadline);
	if (came < 0)
		return came;
	if (came == 0)
		return kci_deadline_left(deadline)
			       ? 0
			       : kci_fail(KC_ECONNRESET, "kcorod does not answer");
	if (came & POLLOUT) {
		r = kcp_stream_flush(stream);
		if (r < 0 && r != KC_EAGAIN)
			return kci_fail(r, "kcorod hung up");
	}
	if (!(came & ~POLLOUT))
		return 0;
	r = kcp_stream_fill(stream);
	if (r == 0 || r == KC_ECONNRESET)
		return kci_fail(KC_ECONNRESET, "kcorod hung up");
	return r > 0 || r == KC_EAGAIN ? 0 : r;
}

int kci_handshake_request(kc_ipc_conn_t *conn, struct kcp_stream *stream, uint64_t deadline,
			  const struct kcp_buf *frame, struct kcp_args *ret_args, bool *ret_io)
{
	const struct iovec iov = { .iov_base = frame->data, .iov_len = frame->len };
	struct kcp_header request, header;
	const uint8_t *payload;
	int r;

	*ret_io = true;
	r = kcp_header_decode(frame->data, UINT32_MAX, &request, NULL);
	if (r == 0)
		r = kcp_stream_send(stream, &iov, 1);
	while (r == 0) {
		const char *why;

		r = kcp_stream_next(stream, &header, &payload, &why);
		if (r == 0) {
			r = exchange(conn, stream, deadline);
			continue;
		}
		*ret_io = false;
		return r < 0 ? kci_fail(KC_EPROTO, "no kcorod answered: %s", why)
			     : read_reply(&header, payload, &request, ret_args);
	}
	return r;
}

int kci_handshake_hello(kc_ipc_conn_t *conn, struct kcp_stream *stream, uint64_t deadline,
			struct kci_hello *ret, bool *ret_io)
{
	struct kcp_args args;
	struct kcp_buf frame;
	size_t at;
	int r;

	*ret_io = false;
	kcp_buf_init(&frame, KCP_FRAME_MIN_MAX);
	at = kcp_frame_begin(&frame, KCP_HELLO, 0, 1, 0);
	kcp_put_u32(&frame, KCP_T_VERSION_MIN, KCP_VERSION);
	kcp_put_u32(&frame, KCP_T_VERSION_MAX, KCP_VERSION);
	kcp_put_u32(&frame, KCP_T_MAX_FRAME, KCI_FRAME_MAX);
	kcp_put_text(&frame, KCP_T_PROGRAM, "libkcoro-client " KC_VERSION_STRING);
	r = kcp_frame_end(&frame, at);
	if (r == 0)
		r = kci_handshake_request(conn, stream, deadline, &frame, &args, ret_io);
	kcp_buf_done(&frame);
	if (r == KC_ENOTSUP)
		return kci_fail(KC_EPROTO, "kcorod does not speak version 1 of the protocol");
	if (r < 0)
		return r;
	if (kcp_num(&args, KCP_T_VERSION_MIN, 0) != KCP_VERSION ||
	    kcp_num(&args, KCP_T_VERSION_MAX, 0) != KCP_VERSION ||
	    kcp_num(&args, KCP_T_FEATURES, 1) != 0 || kcp_num(&args, KCP_T_REQUESTS_MAX, 0) == 0)
		return kci_fail(KC_EPROTO, "kcorod's HELLO makes no sense");
	memcpy(ret->token, kcp_get(&args, KCP_T_TOKEN)->data, sizeof(ret->token));
	ret->max_frame = (uint32_t)kcp_num(&args, KCP_T_MAX_FRAME, 0);
	if (ret->max_frame > KCI_FRAME_MAX)
		ret->max_frame = KCI_FRAME_MAX;
	ret->grace_ms = (uint32_t)kcp_num(&args, KCP_T_GRACE_MS, 0);
	ret->requests_max = (uint32_t)kcp_num(&args, KCP_T_REQUESTS_MAX, 0);
	/* TAKEN cannot be refused: all but the longest will need no memory. */
	return kcp_buf_reserve(kcp_stream_out(stream), NOTICE_MAX) ? 0 : KC_ENOMEM;
}
