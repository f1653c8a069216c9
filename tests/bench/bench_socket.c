/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket placement beside a bare relay: what kcorod costs.
 *
 * Round trips have every process on one CPU, since waking another one costs more
 * than all else; each send awaits its reply, except where the sender has a window.
 * Streams run where the kernel puts
 * them; their rate is that of the elements which arrived, from the first sender's
 * start to the last arrival.
 */
#include <stdio.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_kc.h"
#include "tests/bench/bench_raw.h"
#include "tests/bench/bench_report.h"

/* A call moves 64 KiB, as a gulp of the relay does, or one element if that is larger; four calls
 * may be ahead of a receiver, and sixteen fill the channel. What is under way then stays within
 * the caches. */
#define PER_CALL(size) ((size) < BENCH_GULP ? BENCH_GULP / (size) : 1)
#define STREAM(size, n, many)                                                                      \
	{                                                                                          \
		.kind = KC_BUFFERED, .elem = (size), .batch = PER_CALL(size),                      \
		.capacity = 16 * PER_CALL(size), .credit = 4 * PER_CALL(size),                     \
		.window = 8 * PER_CALL(size),                                                      \
		.messages = (size) > KC_ELEM_MAX, .touch = true, .senders = (many),                \
		.receivers = (many), .count = (n), .cpu = BENCH_CPU_ANY                            \
	}

static struct bench_shape rtt = {
	.kind = KC_BUFFERED, .elem = 64, .capacity = 16, .credit = 16, .count = 5000
};
static struct bench_shape rtt_window = {
	.kind = KC_BUFFERED, .elem = 64, .capacity = 16, .credit = 16, .window = 16, .count = 5000
};
static struct bench_shape stream_64 = STREAM(64, 4 << 20, 1);
static struct bench_shape stream_4k = STREAM(4096, 64 << 10, 1);
static struct bench_shape stream_64k = STREAM(65536, 8 << 10, 1);
/* as much under way as of smaller ones would be 20 MiB, which is beyond most caches */
static struct bench_shape stream_1m = { .kind = KC_BUFFERED,
					.elem = 1 << 20,
					.batch = 1,
					.capacity = 4,
					.credit = 2,
					.messages = true,
					.touch = true,
					.senders = 1,
					.receivers = 1,
					.count = 512,
					.cpu = BENCH_CPU_ANY };
static struct bench_shape four_64 = STREAM(64, 4 << 20, 4);
static struct bench_shape single_64 = { .kind = KC_BUFFERED,
					.elem = 64,
					.capacity = 1024,
					.credit = 1024,
					.window = 512,
					.senders = 1,
					.receivers = 1,
					.count = 30000,
					.cpu = BENCH_CPU_ANY };

static int take_trip(const struct bench_figure *f, struct bench_pair *ret)
{
	struct bench_outcome reference, ours;
	int r = bench_raw_pingpong(f->arg, BENCH_COUNT_NONE, &reference);

	if (r == 0)
		r = bench_kc_pingpong(f->arg, BENCH_COUNT_NONE, &ours);
	if (r == 0)
		*ret = (struct bench_pair){ ours.trip_ns, reference.trip_ns };
	return r;
}

static int take_rate(const struct bench_figure *f, struct bench_pair *ret)
{
	struct bench_outcome reference, ours;
	int r = bench_raw_stream(f->arg, BENCH_COUNT_NONE, &reference);

	if (r == 0)
		r = bench_kc_stream(f->arg, BENCH_COUNT_NONE, &ours);
	if (r == 0)
		*ret = (struct bench_pair){ ours.rate, reference.rate };
	return r;
}

static int take_calls_per_element(const struct bench_figure *f, struct bench_pair *ret)
{
	struct bench_outcome reference, ours;
	int r = bench_raw_stream(f->arg, BENCH_COUNT_ALL, &reference);

	if (r == 0)
		r = bench_kc_stream(f->arg, BENCH_COUNT_ALL, &ours);
	if (r == 0)
		*ret = (struct bench_pair){ ours.calls, reference.calls };
	return r;
}

static int take_calls_per_trip(const struct bench_figure *f, struct bench_pair *ret)
{
	struct bench_outcome reference, ours;
	int r = bench_raw_pingpong(f->arg, BENCH_COUNT_MIDDLE, &reference);

	if (r == 0)
		r = bench_kc_pingpong(f->arg, BENCH_COUNT_MIDDLE, &ours);
	if (r == 0)
		*ret = (struct bench_pair){ ours.calls, reference.calls };
	return r;
}

#define RATE(label, shape, middle)                                                                 \
	{                                                                                          \
		.name = (label), .unit = "1/s", .reference = (middle), .take = take_rate,          \
		.arg = (shape)                                                                     \
	}

static struct bench_figure figures[] = {
	{ .name = "socket_rtt_64",
	  .unit = "ns",
	  .reference = "relay_epoll",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_trip,
	  .arg = &rtt },
	{ .name = "socket_rtt_64_window",
	  .unit = "ns",
	  .reference = "relay_epoll",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_trip,
	  .arg = &rtt_window },
	RATE("socket_stream_64_touch", &stream_64, "relay_gulp"),
	RATE("socket_stream_4k_touch", &stream_4k, "relay_gulp"),
	RATE("socket_stream_64k_touch", &stream_64k, "relay_gulp"),
	RATE("socket_stream_1m_touch", &stream_1m, "relay_gulp"),
	RATE("socket_4x4_64_touch", &four_64, "relay_gulp"),
	RATE("socket_single_64", &single_64, "relay_epoll"),
	{ .name = "socket_syscalls_per_element",
	  .unit = "calls",
	  .reference = "relay_gulp",
	  .no_class = true,
	  .take = take_calls_per_element,
	  .arg = &stream_64 },
	{ .name = "socket_daemon_syscalls_per_rtt",
	  .unit = "calls",
	  .reference = "relay_epoll",
	  .no_class = true,
	  .take = take_calls_per_trip,
	  .arg = &rtt },
	{ .name = "socket_daemon_syscalls_per_rtt_window",
	  .unit = "calls",
	  .reference = "relay_epoll",
	  .no_class = true,
	  .take = take_calls_per_trip,
	  .arg = &rtt_window },
};

int main(int argc, char **argv)
{
	struct bench_shape *shapes[] = { &rtt,	      &rtt_window, &stream_64, &stream_4k,
					 &stream_64k, &stream_1m,  &four_64,   &single_64 };

	bench_arguments(argc, argv, "", NULL, NULL, 0);
	for (size_t i = 0; i < KC_ARRAY_SIZE(shapes); i++)
		shapes[i]->count = bench_scaled(shapes[i]->count, 16);
	rtt.cpu = rtt_window.cpu = bench_cpu_shared();
	return bench_run(figures, KC_ARRAY_SIZE(figures), bench_kc_start, bench_kc_stop);
}
