/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_throughput [P C MSGS CAP] - P senders, C receivers, MSGS elements in all
 * through one channel of capacity CAP, one blocking call per element.
 *
 * Between coroutines through a local channel, beside a ring that nobody shares; between
 * threads through one, beside the plainest ring that blocks (a
 * mutex and two conditions); between processes through kcorod, beside sockets and
 * a bare relay that forwards element by element.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "kcoro/ipc.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_coro_stream.h"
#include "tests/bench/bench_desc_stream.h"
#include "tests/bench/bench_kc.h"
#include "tests/bench/bench_raw.h"
#include "tests/bench/bench_report.h"

#define SIDE_MAX    16 /* senders, and receivers */
#define FIGURES_MAX 16
#define ELEM_MAX    64

static const struct bench_shape defaults[] = {
	{ .elem = 8, .senders = 1, .receivers = 1 },
	{ .elem = 64, .senders = 1, .receivers = 1, .touch = true },
	{ .elem = 8, .senders = 4, .receivers = 4 },
	{ .elem = 64, .senders = 4, .receivers = 4, .touch = true },
};
#define DEFAULT_CAP	     1024
#define DEFAULT_THREAD_COUNT 10000000
#define DEFAULT_SOCKET_COUNT 15000

/* ---- the reference for threads ---------------------------------------------- */

struct ring {
	KC_MUTEX_T lock;
	KC_COND_T not_full, not_empty;
	unsigned full_waits, empty_waits; /* who sleeps: nobody else is woken */
	size_t elem, capacity, first, n;
	bool closed;
	char *places;
};

static bool ring_open(struct ring *ring, const struct bench_shape *s)
{
	*ring = (struct ring){ .elem = s->elem, .capacity = s->capacity };
	KC_MUTEX_INIT(&ring->lock);
	KC_COND_INIT(&ring->not_full);
	KC_COND_INIT(&ring->not_empty);
	ring->places = calloc(s->capacity, s->elem);
	return ring->places != NULL;
}

static void ring_done(struct ring *ring)
{
	free(ring->places);
	KC_COND_DESTROY(&ring->not_empty);
	KC_COND_DESTROY(&ring->not_full);
	KC_MUTEX_DESTROY(&ring->lock);
}

static int ring_send(void *queue, const void *elem)
{
	struct ring *ring = queue;
	size_t at;
	bool wake;

	KC_MUTEX_LOCK(&ring->lock);
	while (ring->n == ring->capacity) {
		ring->full_waits++;
		KC_COND_WAIT(&ring->not_full, &ring->lock);
		ring->full_waits--;
	}
	at = ring->first + ring->n++;
	at = at < ring->capacity ? at : at - ring->capacity;
	memcpy(ring->places + at * ring->elem, elem, ring->elem);
	wake = ring->empty_waits > 0;
	KC_MUTEX_UNLOCK(&ring->lock);
	if (wake)
		KC_COND_SIGNAL(&ring->not_empty);
	return 0;
}

static int ring_recv(void *queue, void *elem)
{
	struct ring *ring = queue;
	bool wake, got;

	KC_MUTEX_LOCK(&ring->lock);
	while (ring->n == 0 && !ring->closed) {
		ring->empty_waits++;
		KC_COND_WAIT(&ring->not_empty, &ring->lock);
		ring->empty_waits--;
	}
	got = ring->n > 0;
	if (got) {
		memcpy(elem, ring->places + ring->first * ring->elem, ring->elem);
		ring->first = ring->first + 1 < ring->capacity ? ring->first + 1 : 0;
		ring->n--;
	}
	wake = got && ring->full_waits > 0;
	KC_MUTEX_UNLOCK(&ring->lock);
	if (wake)
		KC_COND_SIGNAL(&ring->not_full);
	return got ? 0 : KC_EPIPE;
}

static void ring_close(void *queue)
{
	struct ring *ring = queue;

	KC_MUTEX_LOCK(&ring->lock);
	ring->closed = true;
	KC_MUTEX_UNLOCK(&ring->lock);
	KC_COND_BROADCAST(&ring->not_empty);
}

/* ---- ours for threads ------------------------------------------------------- */

static int chan_send(void *queue, const void *elem)
{
	return kc_chan_send(queue, elem, -1);
}

static int chan_recv(void *queue, void *elem)
{
	return kc_chan_recv(queue, elem, -1);
}

static void chan_close(void *queue)
{
	kc_chan_close(queue);
}

/* ---- threads ---------------------------------------------------------------- */

struct queue_calls {
	int (*send)(void *queue, const void *elem);
	int (*recv)(void *queue, void *elem);
	void (*close)(void *queue);
};

static const struct queue_calls ring_calls = { ring_send, ring_recv, ring_close };
static const struct queue_calls chan_calls = { chan_send, chan_recv, chan_close };

/* All threads of one measurement begin at once. */
struct start {
	KC_MUTEX_T lock;
	KC_COND_T cond;
	bool go;
};

struct worker {
	struct start *start;
	const struct queue_calls *calls;
	void *queue;
	const struct bench_shape *shape;
	unsigned index; /* of a sender */
	struct bench_result *result;
	int failed;
	KC_THREAD_T thread;
};

static void start_wait(struct worker *w)
{
	KC_MUTEX_LOCK(&w->start->lock);
	while (!w->start->go)
		KC_COND_WAIT(&w->start->cond, &w->start->lock);
	KC_MUTEX_UNLOCK(&w->start->lock);
	w->result->begin_ns = kci_clock_now();
}

static void *send_all(void *arg)
{
	struct worker *w = arg;
	_Alignas(64) char elem[ELEM_MAX] = { 0 };
	uint64_t sum = 0;

	start_wait(w);
	for (uint64_t left = bench_share(w->shape, w->index); left > 0 && !w->failed; left--) {
		if (w->shape->touch)
			sum += bench_write(elem, w->shape->elem, left);
		w->failed = w->calls->send(w->queue, elem);
	}
	w->result->sum = sum;
	return NULL;
}

static void *receive_all(void *arg)
{
	struct worker *w = arg;
	_Alignas(64) char elem[ELEM_MAX];
	uint64_t sum = 0, n = 0;
	int r;

	start_wait(w);
	for (; (r = w->calls->recv(w->queue, elem)) == 0; n++)
		if (w->shape->touch)
			sum += bench_read(elem, w->shape->elem);
	w->result->end_ns = kci_clock_now();
	w->result->sum = sum;
	w->result->elements = n;
	w->failed = r == KC_EPIPE ? 0 : r;
	return NULL;
}

static int run_threads(const struct bench_shape *s, const struct queue_calls *calls, void *queue,
		       struct bench_outcome *ret)
{
	struct bench_result results[2 * SIDE_MAX] = { 0 };
	struct worker workers[2 * SIDE_MAX] = { 0 };
	struct start start = { .go = false };
	unsigned n = s->senders + s->receivers, started = 0;
	int r = 0;

	KC_MUTEX_INIT(&start.lock);
	KC_COND_INIT(&start.cond);
	for (; started < n && r == 0; started += r == 0) {
		workers[started] = (struct worker){ .start = &start,
						    .calls = calls,
						    .queue = queue,
						    .shape = s,
						    .index = started,
						    .result = &results[started] };
		r = kci_thread_start(&workers[started].thread,
				     started < s->senders ? send_all : receive_all,
				     &workers[started]);
	}
	if (r < 0) {
		bench_why(r, "cannot start thread %u", started);
		calls->close(queue);
	}
	KC_MUTEX_LOCK(&start.lock);
	start.go = true;
	KC_MUTEX_UNLOCK(&start.lock);
	KC_COND_BROADCAST(&start.cond);
	for (unsigned i = 0; i < started; i++) {
		kci_thread_join(workers[i].thread);
		if (i + 1 == s->senders)
			calls->close(queue);
		if (r == 0 && workers[i].failed)
			r = bench_why(-EIO, "thread %u: %s", i, kc_error_name(workers[i].failed));
	}
	KC_COND_DESTROY(&start.cond);
	KC_MUTEX_DESTROY(&start.lock);
	return r < 0 ? r : bench_stream_outcome(s, results, ret);
}

static int take_threads(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct bench_shape *s = f->arg;
	struct bench_outcome reference, ours;
	struct ring ring;
	kc_chan_t *ch;
	int r = ring_open(&ring, s) ? 0 : bench_why(-ENOMEM, "no memory for the ring");

	if (r == 0)
		r = run_threads(s, &ring_calls, &ring, &reference);
	ring_done(&ring);
	if (r < 0)
		return r;
	r = kc_chan_make(&ch, KC_BUFFERED, s->elem, s->capacity);
	if (r < 0)
		return bench_why(r, "kc_chan_make: %s %s", kc_error_name(r), kc_error_detail());
	r = run_threads(s, &chan_calls, ch, &ours);
	kc_chan_destroy(ch);
	if (r == 0)
		*ret = (struct bench_pair){ ours.rate, reference.rate };
	return r;
}

/* ---- processes -------------------------------------------------------------- */

static int take_socket(const struct bench_figure *f, struct bench_pair *ret)
{
	struct bench_outcome reference, ours;
	int r = bench_raw_stream(f->arg, BENCH_COUNT_NONE, &reference);

	if (r == 0)
		r = bench_kc_stream(f->arg, BENCH_COUNT_NONE, &ours);
	if (r == 0)
		*ret = (struct bench_pair){ ours.rate, reference.rate };
	return r;
}

/* ---- the program ------------------------------------------------------------ */

static struct bench_shape shapes[FIGURES_MAX];
static struct bench_figure figures[FIGURES_MAX];

static void add(unsigned at, const struct bench_shape *base, bool socket, uint64_t count,
		size_t capacity)
{
	struct bench_shape *s = &shapes[at];
	struct bench_figure *f = &figures[at];

	*s = *base;
	s->kind = KC_BUFFERED;
	s->capacity = capacity;
	s->count = count;
	s->cpu = BENCH_CPU_ANY;
	s->credit = capacity < KC_CREDIT_MAX ? (unsigned)capacity : KC_CREDIT_MAX;
	snprintf(f->name, sizeof(f->name), "%s_%ux%u%s_%zu%s", socket ? "socket" : "thread",
		 s->senders, s->receivers, socket ? "_single" : "", s->elem,
		 s->touch ? "_touch" : "");
	f->unit = "1/s";
	f->reference = socket ? "relay_epoll" : "mutex_ring";
	f->take = socket ? take_socket : take_threads;
	f->arg = s;
}

static const struct {
	const char *name;
	struct bench_coro_shape shape;
	bool pool;
} coro[] = {
	{ "coro_1x1_cap64_8", { 1, 1, 64, 8, false, false, 5000000 }, false },
	{ "coro_1x1_cap64_64", { 1, 1, 64, 64, false, false, 5000000 }, false },
	{ "coro_4x4_cap64_8", { 1, 4, 64, 8, false, false, 5000000 }, false },
	{ "coro_pool_4x4_cap1024_8", { 2, 4, 1024, 8, false, false, 5000000 }, true },
	{ "zref_512", { 1, 1, 64, 0, false, false, 2000000 }, false },
	{ "zref_512_read", { 1, 1, 64, 0, false, true, 2000000 }, false },
	{ "zref_512_touch", { 1, 1, 64, 0, true, true, 2000000 }, false },
};

static unsigned long descs = 20000000;

static void add_coro(unsigned at, unsigned i)
{
	struct bench_figure *f = &figures[at];

	snprintf(f->name, sizeof(f->name), "%s", coro[i].name);
	f->unit = "1/s";
	f->reference = "bare_ring";
	f->class = coro[i].pool ? BENCH_CLASS_NONE : BENCH_CLASS_ONE_CPU;
	f->take = bench_coro_stream;
	f->arg = &coro[i].shape;
}

int main(int argc, char **argv)
{
	static const unsigned long max[] = { SIDE_MAX, SIDE_MAX, 1000000000, KC_CAPACITY_MAX };
	unsigned long numbers[4];
	int given = bench_arguments(argc, argv, " [SENDERS RECEIVERS ELEMENTS CAPACITY]", max,
				    numbers, 4);
	unsigned n = given ? 2 : KC_ARRAY_SIZE(defaults);

	if (given != 0 && given != 4) {
		fprintf(stderr, "%s: all four numbers or none\n", argv[0]);
		return 2;
	}
	for (unsigned i = 0; i < n; i++) {
		struct bench_shape base = defaults[i];

		if (given) {
			base.senders = (unsigned)numbers[0];
			base.receivers = (unsigned)numbers[1];
			add(i, &base, false, numbers[2], numbers[3]);
			add(n + i, &base, true, numbers[2], numbers[3]);
		} else {
			add(i, &base, false, bench_scaled(DEFAULT_THREAD_COUNT, 16), DEFAULT_CAP);
			add(n + i, &base, true, bench_scaled(DEFAULT_SOCKET_COUNT, 16),
			    DEFAULT_CAP);
		}
	}
	n *= 2;
	for (unsigned i = 0; !given && i < KC_ARRAY_SIZE(coro); i++)
		add_coro(n++, i);
	descs = bench_scaled(descs, 10000);
	if (!given)
		figures[n++] = (struct bench_figure){ .name = "zref_512_batch_2threads",
						      .unit = "1/s",
						      .reference = "bare_batched_ring",
						      .take = bench_desc_stream,
						      .arg = &descs };
	return bench_run(figures, n, bench_kc_start, bench_kc_stop);
}
