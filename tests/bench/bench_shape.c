/* SPDX-License-Identifier: BSD-3-Clause */
/* The shape of a measurement: see bench_shape.h. */
#include "tests/bench/bench_shape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_report.h"

uint64_t bench_share(const struct bench_shape *shape, unsigned index)
{
	return shape->count / shape->senders + (index < shape->count % shape->senders);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t bench_trips_total(uint64_t count)
{
	return count + count / 10 + 1;
}

int bench_trips(struct bench_result *result, uint64_t count, int (*trip)(void *arg), void *arg)
{
	uint64_t *ns = malloc(count * sizeof(*ns));
	uint64_t before = 0;
	int r = ns ? 0 : -ENOMEM;

	for (uint64_t i = bench_trips_total(count) - count; r == 0 && i > 0; i--)
		r = trip(arg);
	if (r == 0)
		before = kci_clock_now();
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		uint64_t now;

		r = trip(arg);
		now = kci_clock_now();
		ns[i] = now - before;
		before = now;
	}
	if (r == 0) {
		qsort(ns, count, sizeof(*ns), compare);
		result->middle_ns = (double)ns[count / 2];
		result->elements = bench_trips_total(count);
	}
	free(ns);
	return r;
}

int bench_stream_outcome(const struct bench_shape *shape, const struct bench_result *results,
			 struct bench_outcome *ret)
{
	uint64_t begin = UINT64_MAX, end = 0, sent = 0, received = 0, elements = 0;

	for (unsigned i = 0; i < shape->senders; i++) {
		sent += results[i].sum;
		if (results[i].begin_ns < begin)
			begin = results[i].begin_ns;
	}
	for (unsigned i = 0; i < shape->receivers; i++) {
		const struct bench_result *result = &results[shape->senders + i];

		received += result->sum;
		elements += result->elements;
		if (result->end_ns > end)
			end = result->end_ns;
	}
	if (elements != shape->count || sent != received)
		return bench_why(-EIO, "%" PRIu64 " elements of %" PRIu64 " arrived, %s", elements,
				 shape->count,
				 sent == received ? "intact" : "not as they were sent");
	ret->rate = (double)elements * 1e9 / (double)(end > begin ? end - begin : 1);
	return 0;
}
