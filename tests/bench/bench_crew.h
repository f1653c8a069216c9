/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A crew: the processes of one measurement.
 *
 * Each worker is a forked child that makes itself ready, waits for the common
 * start, works, and leaves what it found in memory shared with the program. No
 * worker outlives its measurement: when one fails the others are ended, each has
 * an alarm, and all die with the program.
 *
 *	bench_crew_begin(&crew);
 *	bench_crew_add(&crew, send_all, &shape, BENCH_CPU_ANY);
 *	bench_crew_add(&crew, receive_all, &shape, BENCH_CPU_ANY);
 *	r = bench_crew_run(&crew, NULL);
 *	... crew.result[0], crew.result[1] ...
 *	bench_crew_end(&crew);
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/bench_calls.h"

#define BENCH_CREW_MAX	     33 /* 16 senders, 16 receivers, a relay */
#define BENCH_CREW_LIMIT_SEC 600

/* What a worker found. All times by CLOCK_MONOTONIC, which all processes share. */
struct bench_result {
	uint64_t begin_ns; /* work began */
	uint64_t end_ns;   /* the last element was sent or received */
	uint64_t elements; /* sent, received or sent round */
	uint64_t sum;	   /* of all words of the elements, where they were touched */
	double middle_ns;  /* median of the round trips */
	char why[160];	   /* of a failure */
};

struct bench_worker {
	struct bench_result *result;
	int ready_fd, go_fd;
};

typedef int (*bench_work_fn)(struct bench_worker *worker, void *arg);

struct bench_crew {
	unsigned n;
	unsigned left;
	int failed;
	pid_t pid[BENCH_CREW_MAX];
	int pidfd[BENCH_CREW_MAX];
	int ready[2], go[2];
	struct bench_result *result;
};

/* 0 or a negative errno after bench_why(). */
int bench_crew_begin(struct bench_crew *crew);

/* One more worker, on a CPU or on BENCH_CPU_ANY; arg is as the worker's copy has it. It calls
 * bench_worker_ready() once, and returns 0 or what bench_worker_fails() returns. */
int bench_crew_add(struct bench_crew *crew, bench_work_fn work, void *arg, int cpu);

/* Start all at once, count calls if asked to, and wait for the end. */
int bench_crew_run(struct bench_crew *crew, struct bench_calls *calls);

void bench_crew_end(struct bench_crew *crew);

/* In a worker: ready; returns when all are, with result->begin_ns set. */
int bench_worker_ready(struct bench_worker *worker);

/* In a worker: note what failed. Returns -EIO. */
int bench_worker_fails(struct bench_worker *worker, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
