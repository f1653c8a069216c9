/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the stream share: one end of a socket pair under a stream, the
 * other end bare, and frames whose contents can be recognised.
 */
#ifndef STREAM_PAIR_H
#define STREAM_PAIR_H

#include "tests/lib/kct.h"

#include "proto/stream.h"

#define FRAME_MAX 1114112u
#define OUT_MAX ((size_t)1 << 20)

/* a: the stream under test; b: the bare other end, non-blocking too */
struct fixture {
	struct kcp_stream a;
	int b;
};

int stream_pair_setup(void **state);
int stream_pair_teardown(void **state);

#define STREAM_TEST(fn) cmocka_unit_test_setup_teardown(fn, stream_pair_setup, stream_pair_teardown)

/* Wait until poll() reports something for fd. */
void wait_for(int fd, short events);

void write_all(int fd, const void *data, size_t len);

/* A frame of type PING whose payload is one skippable TLV of len bytes, all of one value. */
void make_frame(struct kcp_buf *buf, uint64_t id, size_t len);

/* Is it that frame? */
void check_frame(const struct kcp_header *header, const uint8_t *payload, uint64_t id);

/* Read what the other end got, and count whole frames of rising ids from *next on. The
 * reader begins with fd -1. */
unsigned drain(int fd, struct kcp_stream *reader, uint64_t *next);

#endif
