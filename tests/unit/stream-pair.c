/* SPDX-License-Identifier: BSD-3-Clause */
/* The two ends of a stream under test. */
#include "tests/unit/stream-pair.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "proto/tlv.h"

int stream_pair_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	if (kct_setup(state))
		return -1;
	if (!f || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return -1;
	kcp_stream_init(&f->a, fds[0], FRAME_MAX, OUT_MAX);
	f->b = fds[1];
	*state = f;
	return 0;
}

int stream_pair_teardown(void **state)
{
	struct fixture *f = *state;

	kcp_stream_done(&f->a);
	close(f->a.fd);
	if (f->b >= 0)
		close(f->b);
	free(f);
	return kct_teardown(state);
}

void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	while (poll(&p, 1, KCT_PATIENCE_MS) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(p.revents != 0);
}

void write_all(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		data = (const char *)data + n;
		len -= (size_t)n;
	}
}

void make_frame(struct kcp_buf *buf, uint64_t id, size_t len)
{
	size_t at = kcp_frame_begin(buf, KCP_PING, 0, id, 0);
	uint8_t *place;

	kcp_put_head(buf, 0xfff0, len);
	place = kcp_buf_extend(buf, len);
	if (place)
		memset(place, (int)(id & 0xff), len);
	assert_int_equal(kcp_frame_end(buf, at), 0);
}

void check_frame(const struct kcp_header *header, const uint8_t *payload, uint64_t id)
{
	assert_int_equal(header->id, id);
	for (uint32_t i = 8; i < header->length; i++) {
		if (payload[i] != (uint8_t)(id & 0xff))
			fail_msg("byte %u of frame %lu", i, (unsigned long)id);
	}
}

unsigned drain(int fd, struct kcp_stream *reader, uint64_t *next)
{
	struct kcp_header header;
	const uint8_t *payload;
	unsigned n = 0;
	int r;

	if (reader->fd != fd)
		kcp_stream_init(reader, fd, FRAME_MAX, 0);
	while ((r = kcp_stream_fill(reader)) > 0) {
		while ((r = kcp_stream_next(reader, &header, &payload, NULL)) > 0) {
			check_frame(&header, payload, (*next)++);
			n++;
		}
		assert_int_equal(r, 0);
	}
	assert_int_equal(r, KC_EAGAIN);
	return n;
}
