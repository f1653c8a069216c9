/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our side, over the socket: a kcorod of the program's own in the middle, and
 * clients that use the public calls alone.
 */
#ifndef BENCH_KC_H
#define BENCH_KC_H

#include "tests/bench/bench_shape.h"
#include "tests/lib/daemon.h"

/* Start a kcorod with its listening socket passed; it is found in $KC_BUILDDIR or in the
 * build tree the program lies in. 0, or a negative errno after a line on stderr. */
int bench_kc_daemon(struct kct_daemon *d, const char *config);

/* The same for the one that the following measurements use, once the first of them is made:
 * figures that need no daemon shall not meet one, nor end it before it can catch a signal. */
int bench_kc_start(void);
/* SIGTERM and wait, if it was started. 0, or an exit status that is not. */
int bench_kc_stop(void);

/* The senders' elements go through one channel to the receivers, in the shape's batches.
 * 0 or a negative errno after bench_why(). */
int bench_kc_stream(const struct bench_shape *shape, enum bench_count count,
		    struct bench_outcome *ret);

/* An element to a second process through one channel, and back through another. */
int bench_kc_pingpong(const struct bench_shape *shape, enum bench_count count,
		      struct bench_outcome *ret);

#endif
