/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client made of frames, for measurements in which the library's own work would
 * stand in the way: a thousand of them fit into one program, and many requests
 * are written before the first reply is read.
 *
 *	bench_wire_begin(&w, KCP_PING);
 *	bench_wire_end(&w);
 *	... more ...
 *	r = bench_wire_collect(&w, n);
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "proto/frame.h"
#include "proto/tlv.h"

struct bench_wire {
	int fd; /* -1: not connected */
	uint64_t id, seq;
	struct kcp_buf out;
	size_t at;
	uint8_t *in;
	size_t in_start, in_end, in_cap;
};

/* All functions that return an int: 0 or a negative errno after bench_why(). */

/* Connect and exchange HELLO. */
int bench_wire_open(struct bench_wire *w, const char *path);
/* Hang up without a word. Twice is as good as once. */
void bench_wire_close(struct bench_wire *w);

/* A request (returns its id) or a notice: begin, add TLVs to w->out, end. */
uint64_t bench_wire_begin(struct bench_wire *w, uint16_t type);
void bench_wire_notice(struct bench_wire *w, uint16_t type);
void bench_wire_end(struct bench_wire *w);

/* Write what was ended. */
int bench_wire_push(struct bench_wire *w);

/* The next frame; *ret is valid until the next call. */
int bench_wire_next(struct bench_wire *w, struct kcp_header *ret_header, struct kcp_args *ret);

/* Write, then read n replies, each of which must say `result`; *ret_last may be NULL. */
int bench_wire_collect(struct bench_wire *w, unsigned n, uint32_t result,
		       struct kcp_args *ret_last);

/* ---- the messages, shortly; none is written before the next push or collect ------- */

/* A channel of messages, or another attachment to it; roles both. */
void bench_wire_make(struct bench_wire *w, const char *name, uint32_t capacity);
void bench_wire_attach(struct bench_wire *w, const char *name, uint32_t roles, uint32_t credit);
/* CHAN_INFO, _CLOSE, _DESTROY; CHAN_LIST of what comes after the name. */
void bench_wire_named(struct bench_wire *w, uint16_t type, const char *name);
void bench_wire_list(struct bench_wire *w, const char *after, uint32_t count);
void bench_wire_send(struct bench_wire *w, uint32_t attach, const void *data, uint32_t len);
uint64_t bench_wire_recv(struct bench_wire *w, uint32_t attach, uint32_t count);
/* A notice: this delivery was taken. */
void bench_wire_taken(struct bench_wire *w, uint32_t attach, uint64_t delivery);
/* A request that has only an ATTACH, or none (0). */
void bench_wire_plain(struct bench_wire *w, uint16_t type, uint32_t attach);

#endif
