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
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/stream-fd.h"

#define STREAM_SMALL ((size_t)16 << 10)
#define STREAM_GULP ((size_t)64 << 10)
#define STREAM_KEEP ((size_t)256 << 10) /* a buffer above it goes as soon as it is empty */
#define STREAM_SMALL_READS 64u          /* small reads in a row that shrink the buffer */
#define STREAM_LARGE ((size_t)32 << 10) /* frames that are worth a buffer of their own */
#define STREAM_LARGE_RARE 64u		/* frames without a large one: no more are expected */
#define STREAM_LEND ((size_t)4 << 10)	/* what is shorter is copied */
#define STREAM_READ_MAX ((size_t)1 << 30)
#define STREAM_IOV_MAX 1024 /* the kernel's limit */
#define STREAM_IOV 64	    /* pieces of one write */

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

/* Pieces from the i-th on will not be written. */
static void stream_drop_pieces(struct kcp_stream *stream, unsigned i)
{
	while (stream->n_pieces > i) {
		struct kcp_piece *p = &stream->pieces[--stream->n_pieces];

		stream->lent -= p->len;
		if (p->done)
			p->done(p->arg);
	}
}

void kcp_stream_done(struct kcp_stream *stream)
{
	if (!stream)
		return;
	stream_drop_input(stream);
	stream->in_frame = 0;
	stream->in_large = 0;
	kcp_buf_done(&stream->out);
	stream->out_start = 0;
	stream_drop_pieces(stream, 0);
	KC_FREE(stream->pieces);
	stream->pieces = NULL;
	stream->cap_pieces = 0;
	kcp_fds_done(stream);
}

/* ---- input ----------------------------------------------------------------- */

/* The size the input buffer should have for the next read. */
static size_t stream_wanted_cap(const struct kcp_stream *stream, size_t used)
{
	size_t need = stream->in_frame > used ? stream->in_frame : used;

	/* a large frame mostly comes behind another: one read should bring it whole */
	if (!stream->in && stream->in_large > need)
		return stream->in_large;
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
	ssize_t n;
	int r = stream_make_room(stream);

	if (r)
		return r;
	iov.iov_base = stream->in + stream->in_end;
	iov.iov_len = stream->in_cap - stream->in_end;
	if (iov.iov_len > STREAM_READ_MAX)
		iov.iov_len = STREAM_READ_MAX;
	n = kcp_fds_read(stream, &iov);
	if (n < 0) {
		if (errno == EAGAIN) {
			if (!stream->in_end && stream->in_cap > STREAM_KEEP)
				stream_drop_input(stream);
			return KC_EAGAIN;
		}
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
	if (stream->in_frame >= STREAM_LARGE) {
		stream->in_large = stream->in_frame;
		stream->in_since = 0;
	} else if (++stream->in_since >= STREAM_LARGE_RARE) {
		stream->in_large = 0;
	}
	stream->in_frame = 0;
	return 1;
}

uint8_t *kcp_stream_take_buffer(struct kcp_stream *stream, size_t *ret_cap)
{
	size_t left = stream->in_end - stream->in_start;
	uint8_t *taken = stream->in, *in = NULL;

	if (left > STREAM_SMALL || !stream->in_start)
		return NULL;
	if (left) {
		in = KC_ALLOC(STREAM_SMALL);
		if (!in)
			return NULL;
		memcpy(in, taken + stream->in_start, left);
	}
	*ret_cap = stream->in_cap;
	stream->in = in;
	stream->in_cap = in ? STREAM_SMALL : 0;
	stream->in_start = 0;
	stream->in_end = left;
	return taken;
}

void kcp_stream_give_buffer(struct kcp_stream *stream, uint8_t *buf, size_t cap)
{
	if (stream->in || cap < stream->in_large || cap - stream->in_large > cap / 8) {
		KC_FREE(buf);
		return;
	}
	stream->in = buf;
	stream->in_cap = cap;
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
		if (stream->n_out_fds)
			written = kcp_fds_write(stream, iov[0].iov_base, iov[0].iov_len);
		else if (n == 1) /* for which the kernel has less to do */
			written = send(stream->fd, iov[0].iov_base, iov[0].iov_len,
				       MSG_DONTWAIT | MSG_NOSIGNAL);
		else
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

/* What is to be written next, up to STREAM_IOV pieces of it: how many. */
static int stream_gather(const struct kcp_stream *stream, struct iovec iov[STREAM_IOV])
{
	size_t pos = stream->out_start;
	unsigned i = 0;
	int n = 0;

	for (; i < stream->n_pieces && n + 2 < STREAM_IOV; i++) {
		const struct kcp_piece *p = &stream->pieces[i];

		if (p->at > pos)
			iov[n++] = (struct iovec){ stream->out.data + pos, p->at - pos };
		iov[n++] = (struct iovec){ (void *)p->data, p->len };
		pos = p->at;
	}
	if (i == stream->n_pieces && stream->out.len > pos)
		iov[n++] = (struct iovec){ stream->out.data + pos, stream->out.len - pos };
	return n;
}

/* So many bytes have been written. */
static void stream_advance(struct kcp_stream *stream, size_t n)
{
	unsigned i = 0;

	while (i < stream->n_pieces) {
		struct kcp_piece *p = &stream->pieces[i];
		size_t before = p->at - stream->out_start;

		if (n < before)
			break;
		stream->out_start = p->at;
		n -= before;
		if (n < p->len) {
			p->data += n;
			p->len -= n;
			stream->lent -= n;
			n = 0;
			break;
		}
		n -= p->len;
		stream->lent -= p->len;
		if (p->done)
			p->done(p->arg);
		i++;
	}
	stream->out_start += n;
	stream->n_pieces -= i;
	if (i && stream->n_pieces)
		memmove(stream->pieces, stream->pieces + i,
			stream->n_pieces * sizeof(*stream->pieces));
}

/* After a write: an empty buffer starts anew, and one that is mostly behind us moves up,
 * which costs no more than what was written. */
static void stream_settle_output(struct kcp_stream *stream)
{
	size_t left = stream->out.len - stream->out_start;

	if (!kcp_stream_pending(stream)) {
		stream->out_start = 0;
		kcp_buf_clear(&stream->out);
		if (stream->out.cap > STREAM_KEEP)
			kcp_buf_done(&stream->out);
	} else if (stream->out_start && stream->out_start >= left) {
		if (left)
			memmove(stream->out.data, stream->out.data + stream->out_start, left);
		for (unsigned i = 0; i < stream->n_pieces; i++)
			stream->pieces[i].at -= stream->out_start;
		stream->out_start = 0;
		kcp_buf_truncate(&stream->out, left);
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
	/* what was lent for frames built in place may be over the bound by one frame */
	if (kcp_stream_pending(stream) >= stream->out_max)
		return len ? KC_EDQUOT : 0;
	return len > stream->out_max - kcp_stream_pending(stream) ? KC_EDQUOT : 0;
}

int kcp_stream_insert(struct kcp_stream *stream, const void *data, size_t len,
		      void (*done)(void *arg), void *arg)
{
	if (stream->n_pieces == stream->cap_pieces) {
		unsigned cap = stream->cap_pieces ? 2 * stream->cap_pieces : 4;
		struct kcp_piece *pieces = KC_REALLOC(stream->pieces, cap, sizeof(*pieces));

		if (!pieces)
			return KC_ENOMEM;
		stream->pieces = pieces;
		stream->cap_pieces = cap;
	}
	stream->pieces[stream->n_pieces++] = (struct kcp_piece){
		.at = stream->out.len, .data = data, .len = len, .done = done, .arg = arg
	};
	stream->lent += len;
	return 0;
}

long kcp_stream_frame_end(struct kcp_stream *stream, size_t at)
{
	unsigned first = stream->n_pieces;
	size_t extra = 0;
	int r;

	/* a frame begins with its header, so a piece at `at` belongs to the frame before */
	while (first > 0 && stream->pieces[first - 1].at > at)
		extra += stream->pieces[--first].len;
	r = kcp_frame_end_extra(&stream->out, at, extra);
	if (r < 0) {
		stream_drop_pieces(stream, first);
		return r;
	}
	return (long)(stream->out.len - at + extra);
}

/* Keep all but the first skip bytes behind what waits: copied, or where they are. */
static int stream_keep(struct kcp_stream *stream, const struct iovec *iov, int n, size_t skip,
		       bool lent)
{
	size_t before = stream->out.len;
	unsigned pieces = stream->n_pieces;
	int r;

	for (int i = 0; i < n; i++) {
		const uint8_t *data = iov[i].iov_base;
		size_t len = iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		if (!lent || len - skip < STREAM_LEND ||
		    kcp_stream_insert(stream, data + skip, len - skip, NULL, NULL) < 0)
			kcp_buf_add(&stream->out, data + skip, len - skip);
		skip = 0;
	}
	r = stream->out.failed;
	if (r) {
		kcp_buf_truncate(&stream->out, before);
		stream_drop_pieces(stream, pieces);
	}
	return r;
}

static int stream_send(struct kcp_stream *stream, const struct iovec *iov, int n, bool lent)
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
	r = stream_keep(stream, iov, n, (size_t)written, lent);
	/* half a frame is out and the other half is lost: nothing after it would make sense */
	if (r && written)
		stream->out_failed = r;
	return r;
}

int kcp_stream_send(struct kcp_stream *stream, const struct iovec *iov, int n)
{
	return stream_send(stream, iov, n, /* lent= */ false);
}

int kcp_stream_lend(struct kcp_stream *stream, const struct iovec *iov, int n)
{
	return stream_send(stream, iov, n, /* lent= */ true);
}

void kcp_stream_keep_lent(struct kcp_stream *stream)
{
	for (unsigned i = 0; i < stream->n_pieces; i++) {
		struct kcp_piece *p = &stream->pieces[i];
		void *copy;

		if (p->done)
			continue;
		copy = KC_ALLOC(p->len);
		if (!copy) {
			stream->out_failed = KC_ENOMEM;
			stream_drop_pieces(stream, i);
			return;
		}
		p->data = memcpy(copy, p->data, p->len);
		p->done = kci_free;
		p->arg = copy;
	}
}

int kcp_stream_flush(struct kcp_stream *stream)
{
	struct iovec iov[STREAM_IOV];

	if (stream->out_failed)
		return stream->out_failed;
	while (kcp_stream_pending(stream)) {
		ssize_t written = stream_write(stream, iov, stream_gather(stream, iov));

		if (written < 0)
			return (int)written;
		stream_advance(stream, (size_t)written);
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
