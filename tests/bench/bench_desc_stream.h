/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors from one thread to another, many at a time, nobody touching the blocks. The
 * reference is a bare ring of as many addresses and lengths, whose two sides publish once a batch
 * and spin.
 */
#ifndef BENCH_DESC_STREAM_H
#define BENCH_DESC_STREAM_H

#include "tests/bench/bench_report.h"

/* f->arg: const unsigned long *, how many descriptors. */
int bench_desc_stream(const struct bench_figure *f, struct bench_pair *ret);

#endif
