/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first frames of a connection, HELLO and RESUME: one request at a time, on
 * a stream nobody else uses yet.
 */
#include <string.h>

#include "kcoro/error.h"
#include "kcoro/version.h"
#include "libkcoro-client/core/detail.h"
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

int kci_handshake_reply(struct kcp_stream *stream, uint16_t type, uint64_t id,
			struct kcp_args *ret_args)
{
	const struct kcp_header request = { .type = type, .id = id };
	struct kcp_header header;
	const uint8_t *payload;
	const char *why;
	int r = kcp_stream_next(stream, &header, &payload, &why);

	if (r == 0)
		return 0;
	r = r < 0 ? kci_fail(KC_EPROTO, "no kcorod answered: %s", why)
		  : read_reply(&header, payload, &request, ret_args);
	return r < 0 ? r : 1;
}

int kci_handshake_hello(struct kcp_stream *stream)
{
	struct kcp_buf *out = kcp_stream_out(stream);
	size_t at = kcp_frame_begin(out, KCP_HELLO, 0, KCI_HELLO_ID, 0);

	kcp_put_u32(out, KCP_T_VERSION_MIN, KCP_VERSION);
	kcp_put_u32(out, KCP_T_VERSION_MAX, KCP_VERSION);
	kcp_put_u32(out, KCP_T_MAX_FRAME, KCI_FRAME_MAX);
	kcp_put_text(out, KCP_T_PROGRAM, "libkcoro-client " KC_VERSION_STRING);
	return kcp_frame_end(out, at);
}

int kci_handshake_welcome(struct kcp_stream *stream, struct kci_hello *ret)
{
	struct kcp_args args;
	int r = kci_handshake_reply(stream, KCP_HELLO, KCI_HELLO_ID, &args);

	if (r == KC_ENOTSUP)
		return kci_fail(KC_EPROTO, "kcorod does not speak version 1 of the protocol");
	if (r <= 0)
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
	return kcp_buf_reserve(kcp_stream_out(stream), NOTICE_MAX) ? 1 : KC_ENOMEM;
}
