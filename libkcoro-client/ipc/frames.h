/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of large frames, between one that was dealt with and the next.
 *
 * The kernel takes long to hand out fresh pages, longer than to copy what then lies
 * in them. So while large frames keep coming, each is read into the memory of an
 * earlier one.
 */
#ifndef KCI_FRAMES_H
#define KCI_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/stream.h"

#define KCI_FRAMES_MAX 4u

struct kci_frames {
	uint8_t *buf[KCI_FRAMES_MAX];
	size_t cap[KCI_FRAMES_MAX];
	unsigned n;
};

void kci_frames_done(struct kci_frames *frames);

/* Take back the memory of a frame: cap bytes, from kcp_stream_take_buffer(). */
void kci_frames_put(struct kci_frames *frames, uint8_t *buf, size_t cap);

/* Let the stream read its next frame into one of them, if it expects a large one. */
void kci_frames_lend(struct kci_frames *frames, struct kcp_stream *stream);

#endif
