/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The references for sockets: processes that do with plain AF_UNIX stream
 * sockets, and a bare relay in the middle, what ours do with kcorod in the
 * middle. The relay has no protocol, no names, no queue and no books: it shows
 * what the machine can do at all.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "tests/bench/bench_shape.h"

#define BENCH_GULP 65536u

/*
 * The senders' elements go through one relay to the receivers. With shape->batch 0
 * everybody reads and writes one element per call, and the relay ("relay_epoll")
 * waits for each with epoll and hands them round; else all move gulps of 64 KiB, or
 * one element if that is larger, and the relay ("relay_gulp") has each sender's gulps
 * for the receiver of the same number. 0 or a negative errno after bench_why().
 */
int bench_raw_stream(const struct bench_shape *shape, enum bench_count count,
		     struct bench_outcome *ret);

/* An element to a second process and back, through relay_epoll both ways. */
int bench_raw_pingpong(const struct bench_shape *shape, enum bench_count count,
		       struct bench_outcome *ret);

#endif
