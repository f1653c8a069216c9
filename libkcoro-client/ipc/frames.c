/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of large frames.
 */
#include "libkcoro-client/ipc/frames.h"

#include "libkcoro-client/port/kcoro_port.h"

#define FRAME_KEPT ((size_t)2 << 20) /* what is larger is not kept */

void kci_frames_done(struct kci_frames *frames)
{
	while (frames->n > 0)
		KC_FREE(frames->buf[--frames->n]);
}

void kci_frames_put(struct kci_frames *frames, uint8_t *buf, size_t cap)
{
	if (!buf)
		return;
	if (frames->n == KCI_FRAMES_MAX || cap > FRAME_KEPT) {
		KC_FREE(buf);
		return;
	}
	frames->buf[frames->n] = buf;
	frames->cap[frames->n++] = cap;
}

void kci_frames_lend(struct kci_frames *frames, struct kcp_stream *stream)
{
	if (stream->in || !stream->in_large || frames->n == 0)
		return;
	frames->n--;
	kcp_stream_give_buffer(stream, frames->buf[frames->n], frames->cap[frames->n]);
}
