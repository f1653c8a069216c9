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
#include <string.h>

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

/* Two words at once, as every processor of the last twenty years can: what is measured is the
 * channel, not how a compiler translates a loop. */
typedef uint64_t bench_words __attribute__((vector_size(16)));

/* Write all of n bytes (a multiple of 8) with words that begin at first. Returns their sum. */
static inline uint64_t bench_write(void *at, size_t n, uint64_t first)
{
	bench_words value = { first, first + 1 };
	size_t words = n / 8, i;

	for (i = 0; i + 2 <= words; i += 2, value += 2)
		memcpy((uint64_t *)at + i, &value, sizeof(value));
	if (i < words)
		memcpy((uint64_t *)at + i, &value, sizeof(uint64_t));
	return words ? words * first + words * (words - 1) / 2 : 0;
}

/* Read all of n bytes: the sum of their words. */
static inline uint64_t bench_read(const void *at, size_t n)
{
	const uint64_t *word = at;
	uint64_t sum[4] = { 0 }; /* of their own, lest each addition wait for the one before */
	size_t words = n / 8, i;

	for (i = 0; i + 4 <= words; i += 4)
		for (unsigned k = 0; k < 4; k++)
			sum[k] += word[i + k];
	for (; i < words; i++)
		sum[0] += word[i];
	return sum[0] + sum[1] + sum[2] + sum[3];
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
