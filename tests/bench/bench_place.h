/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kcorod with so many connections and channels, each of which has been used and
 * is idle, and what its process costs: processor time, memory, wake-ups.
 */
#ifndef BENCH_PLACE_H
#define BENCH_PLACE_H

#include <stdint.h>
#include <time.h>

#include "tests/bench/bench_wire.h"
#include "tests/lib/daemon.h"

struct bench_place {
	unsigned n_conns, n_channels;
	uint32_t message; /* bytes of those sent through each channel */

	struct kct_daemon daemon;
	struct bench_wire *conns;
	clockid_t clock;
};

/* The name of a channel; they sort by number. */
#define BENCH_NAME_SIZE 32
void bench_place_name(char name[BENCH_NAME_SIZE], unsigned channel);

/* Start it, connect, make and use. 0 or a negative errno after bench_why(). */
int bench_place_start(struct bench_place *p);
/* Twice is as good as once. 0, or an exit status that is not. */
int bench_place_stop(struct bench_place *p);

/* One message to and fro through a channel of each connection. */
int bench_place_use(struct bench_place *p, uint32_t message);

/* Nanoseconds of processor time its process has had. */
uint64_t bench_place_cpu(const struct bench_place *p);

/* A number of /proc/PID/status, such as "VmRSS" in KiB. -1: there is none. */
long bench_place_status(const struct bench_place *p, const char *key);

/* Context switches of all its threads so far. */
long bench_place_switches(const struct bench_place *p);

/* Until it has nothing to do: it sleeps, and no longer because of this. */
int bench_place_settle(struct bench_place *p);

#endif
