/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams between coroutines: see bench_coro_stream.h. */
#include "tests/bench/bench_coro_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_shape.h"

#define PAIRS_MAX 16
#define ELEM_MAX  64
#define BLOCKS	  128u /* more than a channel holds */

struct stream {
	const struct bench_coro_shape *shape;
	unsigned long count; /* of each sender */
	kc_chan_t *ch;
	char (*blocks)[BENCH_BLOCK];
	uint64_t sum;
};

/* ---- the reference ------------------------------------------------------------ */

static double bare(const struct bench_coro_shape *s, unsigned long count)
{
	size_t size = s->elem ? s->elem : sizeof(struct kc_zdesc);
	char *ring = calloc(s->capacity, size);
	char elem[ELEM_MAX] = { 0 };
	uint64_t begin = kci_clock_now();

	if (!ring)
		return 0;
	for (unsigned long done = 0; done < count; done += s->capacity) {
		for (unsigned i = 0; i < s->capacity; i++) {
			memcpy(ring + i * size, elem, size);
			__asm__ volatile("" : : "r"(ring) : "memory");
		}
		for (unsigned i = 0; i < s->capacity; i++) {
			memcpy(elem, ring + i * size, size);
			__asm__ volatile("" : : "r"(elem) : "memory");
		}
	}
	begin = kci_clock_now() - begin;
	free(ring);
	return (double)count * 1e9 / (double)begin;
}

/* ---- ours --------------------------------------------------------------------- */

static long send_elems(void *arg)
{
	const struct stream *s = arg;
	_Alignas(64) char elem[ELEM_MAX] = { 0 };
	int r = 0;

	for (unsigned long i = 0; i < s->count && r == 0; i++)
		r = kc_chan_send(s->ch, elem, -1);
	return r;
}

static long recv_elems(void *arg)
{
	const struct stream *s = arg;
	_Alignas(64) char elem[ELEM_MAX];
	long n = 0;

	while (kc_chan_recv(s->ch, elem, -1) == 0)
		n++;
	return n;
}

static long send_blocks(void *arg)
{
	const struct stream *s = arg;
	int r = 0;

	for (unsigned long i = 0; i < s->count && r == 0; i++) {
		char *block = s->blocks[i % BLOCKS];

		if (s->shape->write)
			(void)bench_write(block, BENCH_BLOCK, i);
		r = kc_chan_send_ptr(s->ch, block, BENCH_BLOCK, -1);
	}
	return r;
}

static long recv_blocks(void *arg)
{
	struct stream *s = arg;
	void *block;
	size_t len;
	long n = 0;

	for (; kc_chan_recv_ptr(s->ch, &block, &len, -1) == 0; n++)
		if (s->shape->read)
			s->sum += bench_read(block, len);
	return n;
}

static int run(struct stream *s, kc_sched_t *sched, double *ret)
{
	kc_coro_t *senders[PAIRS_MAX], *receivers[PAIRS_MAX];
	bool desc = s->shape->elem == 0;
	uint64_t begin = kci_clock_now();
	long n = 0, result = 0;
	int r = 0;

	for (unsigned i = 0; i < s->shape->pairs && r == 0; i++) {
		r = kc_spawn(&receivers[i], sched, desc ? recv_blocks : recv_elems, s);
		if (r == 0)
			r = kc_spawn(&senders[i], sched, desc ? send_blocks : send_elems, s);
	}
	if (r < 0)
		return bench_why(r, "kc_spawn: %s", kc_error_name(r));
	for (unsigned i = 0; i < s->shape->pairs; i++)
		if (kc_join(senders[i], &result, -1) < 0 || result < 0)
			r = -EIO;
	(void)kc_chan_close(s->ch);
	for (unsigned i = 0; i < s->shape->pairs; i++) {
		if (kc_join(receivers[i], &result, -1) < 0)
			r = -EIO;
		n += result;
	}
	begin = kci_clock_now() - begin;
	if (r == 0 && (unsigned long)n != s->count * s->shape->pairs)
		r = bench_why(-EIO, "%ld elements arrived", n);
	*ret = (double)n * 1e9 / (double)begin;
	return r;
}

int bench_coro_stream(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct bench_coro_shape *shape = f->arg;
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	unsigned long count = bench_scaled(shape->count, 10000);
	struct stream s = { .shape = shape, .count = count / shape->pairs };
	kc_sched_t *sched = NULL;
	int r;

	ret->reference = bare(shape, count);
	o.workers = shape->workers;
	r = kc_sched_create(&sched, &o);
	if (r == 0)
		r = shape->elem ? kc_chan_make(&s.ch, KC_BUFFERED, shape->elem, shape->capacity)
				: kc_chan_make_ptr(&s.ch, KC_BUFFERED, shape->capacity);
	if (r == 0 && !shape->elem) {
		s.blocks = calloc(BLOCKS, BENCH_BLOCK);
		r = s.blocks ? 0 : KC_ENOMEM;
	}
	if (r < 0)
		return bench_why(r, "%s %s", kc_error_name(r), kc_error_detail());
	r = run(&s, sched, &ret->ours);
	kc_chan_destroy(s.ch);
	kc_sched_destroy(sched);
	free(s.blocks);
	return r;
}
