/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that sends anything: the bytes go through a real socket pair in pieces into
 * a stream, and every frame that comes out goes as far as a handler would see it.
 *
 * The first byte of the input is the size of the pieces (0: all at once), the
 * second says whose frames these are. What must hold whatever comes: frames are the
 * input, cut without gaps; no buffer grows beyond what was announced and allowed;
 * a refusal has a reason.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "proto/message.h"
#include "proto/stream.h"

#define FRAME_MAX 100000u
#define SMALL ((size_t)16 << 10)
#define GULP ((size_t)64 << 10)

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_frame(const struct kcp_header *header, const uint8_t *payload, bool from_client)
{
	const struct kcp_message *msg = kcp_message_find(header->type);
	int form = kcp_header_form(header, from_client);
	const char *why = NULL;
	struct kcp_args args;
	int r;

	if (form < 0 || !msg)
		return;
	r = kcp_args_parse(&args, payload, header->length, &why);
	if (!r)
		r = kcp_message_check(msg, &args, (enum kcp_form)form, &why);
	MUST((r != 0) == (why != NULL));
	MUST(!why || strlen(why) > 0);
}

/* All whole frames that are in the stream; false once it cannot be read any further. */
static bool take_frames(struct kcp_stream *stream, const uint8_t **expected, bool from_client)
{
	struct kcp_header header;
	const uint8_t *payload;
	const char *why = NULL;
	int r;

	while ((r = kcp_stream_next(stream, &header, &payload, &why)) > 0) {
		uint8_t bytes[KCP_HEADER_SIZE];

		kcp_header_encode(&header, bytes);
		MUST(!memcmp(bytes, *expected, sizeof(bytes)));
		*expected += sizeof(bytes);
		MUST(!memcmp(payload, *expected, header.length));
		*expected += header.length;
		MUST(header.length <= FRAME_MAX - KCP_HEADER_SIZE);
		take_frame(&header, payload, from_client);
	}
	MUST(r == 0 || ((r == KC_EPROTO || r == KC_EMSGSIZE) && why));
	MUST(stream->in_cap <= (FRAME_MAX > GULP ? FRAME_MAX : GULP));
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kcp_stream stream;
	const uint8_t *expected, *end = data + size;
	size_t piece;
	bool from_client;
	int fds[2];

	if (size < 2)
		return 0;
	piece = data[0] ? data[0] : size;
	from_client = data[1] & 1;
	data += 2;
	expected = data;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return 0;
	kcp_stream_init(&stream, fds[0], FRAME_MAX, SMALL);
	while (data < end) {
		size_t len = (size_t)(end - data) < piece ? (size_t)(end - data) : piece;
		ssize_t n = send(fds[1], data, len, MSG_NOSIGNAL);
		int r;

		MUST(n > 0 || errno == EAGAIN);
		if (n > 0)
			data += n;
		while ((r = kcp_stream_fill(&stream)) > 0) {
			if (!take_frames(&stream, &expected, from_client)) {
				data = end;
				break;
			}
		}
		MUST(r > 0 || r == KC_EAGAIN);
	}
	kcp_stream_done(&stream);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
