/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shape of a measurement: how many send what to how many. The same shape
 * drives the library's side and the reference's; both touch the bytes with the
 * same functions, time their round trips with the same one, and are judged by the
 * same sums: a benchmark that loses or garbles an element fails.
 */
#ifndef BENCH_SHAPE_H
#define BENCH_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro/chan.h"
#include "tests/bench/bench_crew.h"

struct bench_shape {
	enum kc_kind kind;
	size_t elem;	 /* bytes of an element */
	size_t capacity; /* of the channel, elements */
	size_t batch;	 /* elements per call; 0: the calls for one element */
	unsigned credit; /* of each receiver */
	unsigned window; /* of each sender */
	bool messages;	 /* elements are messages */
	bool touch;	 /* the sender writes and the receiver reads every byte */
	unsigned senders, receivers;
	uint64_t count; /* elements in all; of a ping-pong the round trips */
	int cpu;	/* where everything runs: a number or BENCH_CPU_ANY */
};

/* Whose system calls are counted. */
enum bench_count { BENCH_COUNT_NONE, BENCH_COUNT_ALL, BENCH_COUNT_MIDDLE };

struct bench_outcome {
	double rate;	/* elements a second, from the first sender's start to the last arrival */
	double trip_ns; /* median of the round trips */
	double calls;	/* counted, per element or round trip */
};

/* Write all of n bytes (a multiple of 8) with words that begin at first. Returns their sum. */
static inline uint64_t bench_write(void *at, size_t n, uint64_t first)
{
	uint64_t *word = at, words = n / 8;

	for (size_t i = 0; i < words; i++)
		word[i] = first + i;
	return words ? words * first + words * (words - 1) / 2 : 0;
}

/* Read all of n bytes: the sum of their words. */
static inline uint64_t bench_read(const void *at, size_t n)
{
	const uint64_t *word = at;
	uint64_t sum = 0;

	for (size_t i = 0; i < n / 8; i++)
		sum += word[i];
	return sum;
}

/* How many elements the sender of this number has to send. */
uint64_t bench_share(const struct bench_shape *shape, unsigned index);

/* Go round trip.count times, after a tenth of that to warm up; result->middle_ns is the
 * median. 0, or what trip() returned when it was not 0. */
int bench_trips(struct bench_result *result, uint64_t count, int (*trip)(void *arg), void *arg);
/* How many that are, the warming ones included. */
uint64_t bench_trips_total(uint64_t count);

/* What n results say: the senders' first, then the receivers'. 0, or -EIO after bench_why()
 * if not all that was sent arrived as it was sent. */
int bench_stream_outcome(const struct bench_shape *shape, const struct bench_result *results,
			 struct bench_outcome *ret);

#endif
