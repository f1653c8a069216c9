/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames over a non-blocking AF_UNIX stream socket, for both sides.
 *
 * Input: one buffer that is small while frames are small, grows only for a frame
 * whose announced length was found allowed, and gives its memory back after a
 * large one. Output: written at once when nothing waits, else kept in a bounded
 * buffer until kcp_stream_flush().
 *
 * The stream neither polls nor owns the descriptor. It is not locked; but its
 * input half (fill, next, max_frame) and its output half (the rest) share nothing
 * but the descriptor, so two threads may drive one half each.
 *
 *	while ((r = kcp_stream_fill(s)) > 0)
 *		while ((r = kcp_stream_next(s, &header, &payload, &why)) > 0)
 *			...
 */
#ifndef KCP_STREAM_H
#define KCP_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/buf.h"
#include "proto/frame.h"

struct kcp_stream {
	int fd;

	/* input half */
	uint32_t max_frame; /* largest frame accepted; may be changed at any time */
	uint8_t *in;
	size_t in_cap;
	size_t in_start; /* unread bytes are in_start .. in_end */
	size_t in_end;
	size_t in_frame;   /* size of the frame at in_start; 0: not known yet */
	unsigned in_small; /* reads in a row that needed no more than the small buffer */

	/* output half */
	struct kcp_buf out; /* see kcp_stream_out() */
	size_t out_start;   /* bytes of it that are written already */
	size_t out_max;
	int out_failed; /* 0, or why nothing can be sent any more */
};

/*
 * kcp_stream_init
 * @fd:        connected, non-blocking; stays the caller's
 * @max_frame: largest frame accepted, header included
 * @out_max:   bytes that may wait for the peer; at least the largest frame sent
 *
 * Allocates nothing.
 */
void kcp_stream_init(struct kcp_stream *stream, int fd, uint32_t max_frame, size_t out_max);

/* Frees the buffers, leaves the descriptor open. NULL is fine. */
void kcp_stream_done(struct kcp_stream *stream);

/*
 * kcp_stream_fill - read once
 *
 * Descriptors sent along are dropped by the kernel. Call it when kcp_stream_next() has
 * returned 0: KC_EINVAL if the buffer is full of frames nobody took.
 *
 * Returns the bytes read (at least 1), 0 at the end of the stream, KC_EAGAIN,
 * KC_ECONNRESET (any error of the socket) or KC_ENOMEM (try again later).
 */
int kcp_stream_fill(struct kcp_stream *stream);

/*
 * kcp_stream_next - take the next whole frame
 * @ret_payload: ret_header->length bytes, valid until the next call of fill or next
 * @ret_why:     may be NULL; set on failure only: a static sentence for people
 *
 * Returns 1, 0 (more has to be read first), KC_EPROTO or KC_EMSGSIZE (the stream
 * cannot be read any further).
 */
int kcp_stream_next(struct kcp_stream *stream, struct kcp_header *ret_header,
		    const uint8_t **ret_payload, const char **ret_why);

/*
 * kcp_stream_send - send these bytes: whole frames, in pieces
 *
 * Writes at once if nothing waits; what the socket does not take is copied and waits for
 * kcp_stream_flush().
 *
 * Returns 0 (all of it written or waiting), or with nothing of it written or waiting:
 * KC_EDQUOT (too much waits already), KC_EMSGSIZE (more than out_max can ever hold),
 * KC_ECONNRESET (the peer is gone). KC_ENOMEM after a part was written ends the output
 * for good: every later call returns it too.
 */
int kcp_stream_send(struct kcp_stream *stream, const struct iovec *iov, int n);

/* The same without writing: for many replies and one write. */
int kcp_stream_queue(struct kcp_stream *stream, const void *data, size_t len);

/*
 * kcp_stream_out - the buffer of what waits, to build frames in place
 *
 * Only for kcp_frame_begin() ... kcp_frame_end(), whose failure (KC_EMSGSIZE: too much
 * waits) leaves what waited before as it was. No other call on the stream in between.
 */
static inline struct kcp_buf *kcp_stream_out(struct kcp_stream *stream)
{
	return &stream->out;
}

/* Write what waits. Returns 0 (nothing waits now), KC_EAGAIN (the socket is full), or
 * KC_ECONNRESET / KC_ENOMEM (the output has ended). */
int kcp_stream_flush(struct kcp_stream *stream);

/* Give back the buffers that hold nothing; the next frame gets new ones. Not between begin
 * and end of a frame, nor while the payload of one is looked at. Returns the bytes that the
 * stream has now. */
size_t kcp_stream_release(struct kcp_stream *stream);

/* Bytes that wait. */
static inline size_t kcp_stream_pending(const struct kcp_stream *stream)
{
	return stream->out.len - stream->out_start;
}

#endif
