/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames over a non-blocking AF_UNIX stream socket, for both sides.
 *
 * Input: one buffer that is small while frames are small, grows only for a frame
 * whose announced length was found allowed, and gives its memory back after a
 * large one. Output: written at once when nothing waits, else kept in a bounded
 * buffer until kcp_stream_flush(); long runs of bytes may stay where they are
 * meanwhile (kcp_stream_insert(), kcp_stream_lend()).
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/buf.h"
#include "proto/frame.h"

/* Bytes that are written from where they lie. */
struct kcp_piece {
	size_t at; /* behind so many bytes of the stream's buffer */
	const uint8_t *data;
	size_t len;
	void (*done)(void *arg); /* they are written, or never will be; may be NULL */
	void *arg;
};

#define KCP_STREAM_FDS 8 /* descriptors that may wait to be passed */

struct kcp_out_fd {
	int fd;
	size_t ahead; /* bytes to be written before it */
};

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
	size_t in_large;   /* size of the latest large frame; 0: they have become rare */
	unsigned in_since; /* frames since then */
	bool takes_fds;    /* see kcp_stream_take_fds() */
	bool has_fd;       /* one came: */
	int in_fd;

	/* output half */
	struct kcp_buf out; /* see kcp_stream_out() */
	size_t out_start;   /* bytes of it that are written already */
	size_t out_max;
	int out_failed; /* 0, or why nothing can be sent any more */
	struct kcp_piece *pieces; /* lent bytes between those of `out`, in their order */
	unsigned n_pieces, cap_pieces;
	size_t lent; /* bytes of all pieces */
	unsigned n_out_fds;
	struct kcp_out_fd out_fds[KCP_STREAM_FDS];
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

/* Frees the buffers and closes descriptors that came or were to be passed; leaves the
 * stream's own open. NULL is fine. */
void kcp_stream_done(struct kcp_stream *stream);

/*
 * kcp_stream_fill - read once
 *
 * Descriptors sent along are dropped by the kernel, unless kcp_stream_take_fds() was
 * called. Call it when kcp_stream_next() has
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
 * kcp_stream_take_buffer - keep the memory of the frame that kcp_stream_next() just gave
 * @ret_cap: its size
 *
 * For large frames, whose bytes then need not be copied: the payload stays where it is
 * and is the caller's to free with KC_FREE(result). NULL if so much has been read behind
 * the frame that this would not pay, or without memory; then nothing has changed.
 */
uint8_t *kcp_stream_take_buffer(struct kcp_stream *stream, size_t *ret_cap);

/* Read the next frame into this memory, which becomes the stream's, if that expects a large
 * one of about this size and has no buffer; else free it. */
void kcp_stream_give_buffer(struct kcp_stream *stream, uint8_t *buf, size_t cap);

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

/* The same, but what is long and not taken by the socket is not copied either: it must
 * stay as it is until it was written, or the stream is done with. */
int kcp_stream_lend(struct kcp_stream *stream, const struct iovec *iov, int n);

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

/* What was lent and is not written yet is about to change: keep copies. Without memory the
 * output ends. */
void kcp_stream_keep_lent(struct kcp_stream *stream);

/*
 * kcp_stream_insert - the frame being built in kcp_stream_out() goes on with these bytes
 *
 * They are written from where they lie, and must stay there until done(arg) is called,
 * which may be at once. KC_ENOMEM: nothing has changed; copy them instead.
 */
int kcp_stream_insert(struct kcp_stream *stream, const void *data, size_t len,
		      void (*done)(void *arg), void *arg);

/* kcp_frame_end() for a frame that kcp_stream_insert() may have been used for. Returns the
 * bytes of the whole frame, or what kcp_frame_end() fails with. */
long kcp_stream_frame_end(struct kcp_stream *stream, size_t at);

/* Write what waits. Returns 0 (nothing waits now), KC_EAGAIN (the socket is full), or
 * KC_ECONNRESET / KC_ENOMEM (the output has ended). */
int kcp_stream_flush(struct kcp_stream *stream);

/* ---- descriptors beside the frames: stream-fd.c ----------------------------- */

/* From now on a descriptor that comes along is kept, the latest one only; or dropped by the
 * kernel, as at first. Input half. */
void kcp_stream_take_fds(struct kcp_stream *stream, bool take);

/* The one that came, close-on-exec and now the caller's; KC_ENOENT if none did, or the
 * process had no room for it. */
int kcp_stream_fd(struct kcp_stream *stream);

/* Close the one that came, if any. */
void kcp_stream_drop_fd(struct kcp_stream *stream);

/* Pass fd along with the frame that is built next in kcp_stream_out(). 0, and fd is the
 * stream's, who closes it; KC_ENOMEM: too many wait already. Where the kernel will pass
 * no more, the frame goes without it. */
int kcp_stream_pass_fd(struct kcp_stream *stream, int fd);
/* Give back the buffers that hold nothing; the next frame gets new ones. Not between begin
 * and end of a frame, nor while the payload of one is looked at. Returns the bytes that the
 * stream has now. */
size_t kcp_stream_release(struct kcp_stream *stream);

/* Bytes that wait. */
static inline size_t kcp_stream_pending(const struct kcp_stream *stream)
{
	return stream->out.len - stream->out_start + stream->lent;
}

#endif
