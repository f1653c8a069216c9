/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames over a socket.
 *
 * The input buffer has three sizes: small as long as nothing needs more, gulp once
 * a read filled the small one (many frames at a time then cost one system call),
 * and the announced size of a frame that fits neither. It goes back from a size that
 * is only worth keeping for large frames at once, and from the others after a while
 * without use: a connection that streams must not allocate per frame, and one that
 * idles must not hold what its largest frame needed.
 */
#include "proto/stream.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define STREAM_SMALL ((size_t)16 << 10)
#define STREAM_GULP ((size_t)64 << 10)
#define STREAM_KEEP ((size_t)256 << 10) /* a buffer above it goes as soon as it is empty */
#define STREAM_SMALL_READS 64u          /* small reads in a row that shrink the buffer */
#define STREAM_READ_MAX ((size_t)1 << 30)
#define STREAM_IOV_MAX 1024 /* the kernel's limit */

void kcp_stream_init(struct kcp_stream *stream, int fd, uint32_t max_frame, size_t out_max)
{
	*stream = (struct kcp_stream){ .fd = fd, .max_frame = max_frame, .out_max = out_max };
	kcp_buf_init(&stream->out, out_max);
}

static void stream_drop_input(struct kcp_stream *stream)
{
	KC_FREE(stream->in);
	stream->in = NULL;
	stream->in_cap = 0;
	stream->in_start = 0;
	stream->in_end = 0;
	stream->in_small = 0;
}

void kcp_stream_done(struct kcp_stream *stream)
{
	if (!stream)
		return;
	stream_drop_input(stream);
	stream->in_frame = 0;
	kcp_buf_done(&stream->out);
	stream->out_start = 0;
}

/* ---- input ----------------------------------------------------------------- */

/* The size the input buffer should have for the next read. */
static size_t stream_wanted_cap(const struct kcp_stream *stream, size_t used)
{
	size_t need = stream->in_frame > used ? stream->in_frame : used;

	if (!stream->in || need > stream->in_cap)
		return need > STREAM_SMALL ? need : STREAM_SMALL;
	/* the last read filled the buffer: there is more than it holds */
	if (stream->in_end == stream->in_cap && stream->in_cap < STREAM_GULP)
		return STREAM_GULP;
	if (need <= STREAM_SMALL && stream->in_small >= STREAM_SMALL_READS)
		return STREAM_SMALL;
	return stream->in_cap;
}

/* What is unread moves to the front of a buffer of the right size. */
static int stream_make_room(struct kcp_stream *stream)
{
	size_t used = stream->in_end - stream->in_start;
	size_t cap = stream_wanted_cap(stream, used);

	if (cap != stream->in_cap) {
		uint8_t *in = KC_ALLOC(cap);

		/* one that need not be larger does as it is */
		if (!in && (!stream->in || stream->in_frame > stream->in_cap))
			return KC_ENOMEM;
		if (in) {
			if (used)
				memcpy(in, stream->in + stream->in_start, used);
			stream_drop_input(stream);
			stream->in = in;
			stream->in_cap = cap;
			stream->in_end = used;
		}
	}
	if (stream->in_start) {
		memmove(stream->in, stream->in + stream->in_start, used);
		stream->in_start = 0;
		stream->in_end = used;
	}
	return stream->in_end < stream->in_cap ? 0 : KC_EINVAL;
}

int kcp_stream_fill(struct kcp_stream *stream)
{
	struct iovec iov;
	/* no room for control messages: the kernel closes descriptors sent along */
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	int r = stream_make_room(stream);

	if (r)
		return r;
	iov.iov_base = stream->in + stream->in_end;
	iov.iov_len = stream->in_cap - stream->in_end;
	if (iov.iov_len > STREAM_READ_MAX)
		iov.iov_len = STREAM_READ_MAX;
	do {
		n = recvmsg(stream->fd, &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			return KC_EAGAIN;
		return errno == ENOMEM || errno == ENOBUFS ? KC_ENOMEM : KC_ECONNRESET;
	}
	stream->in_end += (size_t)n;
	if (stream->in_end > STREAM_SMALL)
		stream->in_small = 0;
	else if (stream->in_small < STREAM_SMALL_READS)
		stream->in_small++;
	return (int)n;
}

int kcp_stream_next(struct kcp_stream *stream, struct kcp_header *ret_header,
		    const uint8_t **ret_payload, const char **ret_why)
{
	size_t used = stream->in_end - stream->in_start;
	struct kcp_header header;
	int r;

	if (used < KCP_HEADER_SIZE) {
		if (!used && stream->in_cap > STREAM_KEEP)
			stream_drop_input(stream);
		return 0;
	}
	r = kcp_header_decode(stream->in + stream->in_start, stream->max_frame, &header, ret_why);
	if (r)
		return r;
	stream->in_frame = KCP_HEADER_SIZE + (size_t)header.length;
	if (used < stream->in_frame)
		return 0;
	*ret_header = header;
	*ret_payload = stream->in + stream->in_start + KCP_HEADER_SIZE;
	stream->in_start += stream->in_frame;
	stream->in_frame = 0;
	return 1;
}

/* ---- output ---------------------------------------------------------------- */

/* Bytes written: 0 if the socket takes nothing now, or KC_ECONNRESET. */
static ssize_t stream_write(struct kcp_stream *stream, const struct iovec *iov, int n)
{
	const struct msghdr msg = { .msg_iov = (struct iovec *)iov,
				    .msg_iovlen =
					    (size_t)(n < STREAM_IOV_MAX ? n : STREAM_IOV_MAX) };
	ssize_t written;

	do {
		written = sendmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (written < 0 && errno == EINTR);
	if (written >= 0)
		return written;
	/* the kernel short of memory is a full socket that will be tried again */
	if (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS)
		return 0;
	stream->out_failed = KC_ECONNRESET;
	return KC_ECONNRESET;
}

/* After a write: an empty buffer starts anew, and one that is mostly behind us moves up,
 * which costs no more than what was written. */
static void stream_settle_output(struct kcp_stream *stream)
{
	size_t pending = kcp_stream_pending(stream);

	if (!pending) {
		stream->out_start = 0;
		kcp_buf_clear(&stream->out);
		if (stream->out.cap > STREAM_KEEP)
			kcp_buf_done(&stream->out);
	} else if (stream->out_start >= pending) {
		memmove(stream->out.data, stream->out.data + stream->out_start, pending);
		stream->out_start = 0;
		kcp_buf_truncate(&stream->out, pending);
	}
	/* what is written already is no part of what may wait */
	stream->out.max = stream->out_max + stream->out_start;
}

/* Is there room for len more bytes, and is it of any use? */
static int stream_check_output(const struct kcp_stream *stream, size_t len)
{
	if (stream->out_failed)
		return stream->out_failed;
	if (len > stream->out_max)
		return KC_EMSGSIZE;
	return len > stream->out_max - kcp_stream_pending(stream) ? KC_EDQUOT : 0;
}

/* Copy all but the first skip bytes behind what waits. */
static int stream_keep(struct kcp_stream *stream, const struct iovec *iov, int n, size_t skip)
{
	size_t before = stream->out.len;
	int r;

	for (int i = 0; i < n; i++) {
		size_t len = iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		kcp_buf_add(&stream->out, (const uint8_t *)iov[i].iov_base + skip, len - skip);
		skip = 0;
	}
	r = stream->out.failed;
	if (r)
		kcp_buf_truncate(&stream->out, before);
	return r;
}

int kcp_stream_send(struct kcp_stream *stream, const struct iovec *iov, int n)
{
	size_t total = 0;
	ssize_t written = 0;
	int r;

	for (int i = 0; i < n; i++) {
		if (__builtin_add_overflow(total, iov[i].iov_len, &total))
			return KC_EMSGSIZE;
	}
	r = stream_check_output(stream, total);
	if (r)
		return r;
	if (!kcp_stream_pending(stream) && total) {
		written = stream_write(stream, iov, n);
		if (written < 0)
			return (int)written;
	}
	r = stream_keep(stream, iov, n, (size_t)written);
	/* half a frame is out and the other half is lost: nothing after it would make sense */
	if (r && written)
		stream->out_failed = r;
	return r;
}

int kcp_stream_queue(struct kcp_stream *stream, const void *data, size_t len)
{
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	int r = stream_check_output(stream, len);

	return r ? r : stream_keep(stream, &iov, 1, 0);
}

int kcp_stream_flush(struct kcp_stream *stream)
{
	if (stream->out_failed)
		return stream->out_failed;
	while (kcp_stream_pending(stream)) {
		const struct iovec iov = { .iov_base = stream->out.data + stream->out_start,
					   .iov_len = kcp_stream_pending(stream) };
		ssize_t written = stream_write(stream, &iov, 1);

		if (written < 0)
			return (int)written;
		stream->out_start += (size_t)written;
		stream_settle_output(stream);
		if (!written)
			return KC_EAGAIN;
	}
	return 0;
}

size_t kcp_stream_release(struct kcp_stream *stream)
{
	if (stream->in_start == stream->in_end)
		stream_drop_input(stream);
	if (!kcp_stream_pending(stream)) {
		kcp_buf_done(&stream->out);
		stream->out_start = 0;
		stream->out.max = stream->out_max;
	}
	return stream->in_cap + stream->out.cap;
}
