/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams between coroutines, and of descriptors: the figures of bench_throughput that need no
 * thread and no process of their own. */
#ifndef BENCH_CORO_STREAM_H
#define BENCH_CORO_STREAM_H

#include "tests/bench/bench_report.h"

struct bench_coro_shape {
	unsigned workers;  /* of the scheduler; 0: one for each processor */
	unsigned pairs;	   /* senders, and receivers */
	unsigned capacity;
	unsigned elem;	   /* bytes; 0: descriptors of BENCH_BLOCK bytes */
	bool write, read;  /* descriptors: of every byte */
	unsigned long count; /* elements in all */
};

#define BENCH_BLOCK 512u

/* f->arg is a shape. Beside a ring that nobody shares, filled and drained in turn. */
int bench_coro_stream(const struct bench_figure *f, struct bench_pair *ret);

#endif
