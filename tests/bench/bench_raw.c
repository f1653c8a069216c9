/* SPDX-License-Identifier: BSD-3-Clause */
/* The references for sockets: see bench_raw.h. */
#include "tests/bench/bench_raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_report.h"

#define WIRES_MAX (BENCH_CREW_MAX - 1)

/* One socket pair for each client, the senders' first. */
struct wires {
	unsigned n;
	int client[WIRES_MAX], relay[WIRES_MAX];
	const struct bench_shape *shape;
	bool pingpong;
	unsigned index; /* of the client that is being made */
};

/* ---- bytes ------------------------------------------------------------------ */

static int write_all(int fd, const void *buf, size_t n)
{
	const char *at = buf;

	while (n > 0) {
		ssize_t w = write(fd, at, n);

		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0) {
			at += w;
			n -= (size_t)w;
		}
	}
	return 0;
}

/* n bytes, or fewer at the end of the stream. Negative errno. */
static ssize_t read_all(int fd, void *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)buf + got, n - got);

		if (r == 0)
			break;
		if (r < 0 && errno != EINTR)
			return -errno;
		got += r > 0 ? (size_t)r : 0;
	}
	return (ssize_t)got;
}

static int alone_failed(struct bench_worker *worker, const char *what, ssize_t r)
{
	return bench_worker_fails(worker, "%s: %s", what, r < 0 ? strerror((int)-r) : "too short");
}

/* ---- the relay -------------------------------------------------------------- */

static unsigned inputs(const struct wires *w)
{
	return w->pingpong ? 2 : w->shape->senders;
}

static int output(const struct wires *w, unsigned input, unsigned *turn)
{
	if (w->pingpong)
		return w->relay[1 - input];
	if (w->shape->batch)
		return w->relay[w->shape->senders + input];
	return w->relay[w->shape->senders + (*turn)++ % w->shape->receivers];
}

/* One message, or a gulp of whatever is there: 1, 0 at the end, or a negative errno. */
static int forward(const struct wires *w, unsigned input, unsigned *turn, void *buf)
{
	int from = w->relay[input];
	ssize_t n;
	int r;

	if (w->shape->batch) {
		do
			n = read(from, buf, BENCH_GULP);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			n = -errno;
	} else {
		n = read_all(from, buf, w->shape->elem);
	}
	if (n <= 0)
		return (int)n;
	r = write_all(output(w, input, turn), buf, (size_t)n);
	return r < 0 ? r : 1;
}

static int relay_epoll(const struct wires *w, void *buf)
{
	struct epoll_event events[WIRES_MAX];
	unsigned open = inputs(w), turn = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC), r = 1;

	for (unsigned i = 0; ep >= 0 && i < open; i++) {
		events[0] = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
		if (epoll_ctl(ep, EPOLL_CTL_ADD, w->relay[i], &events[0]) < 0)
			return -errno;
	}
	while (open > 0 && r >= 0) {
		int n = epoll_wait(ep, events, WIRES_MAX, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n && r >= 0; i++) {
			unsigned input = events[i].data.u32;

			r = forward(w, input, &turn, buf);
			if (r > 0)
				continue;
			epoll_ctl(ep, EPOLL_CTL_DEL, w->relay[input], NULL);
			/* in a ping-pong nobody waits for the other's end */
			open = w->pingpong ? 0 : open - 1;
		}
	}
	close(ep);
	return r < 0 ? r : 0;
}

static int relay(struct bench_worker *worker, void *arg)
{
	struct wires *w = arg;
	size_t size = w->shape->elem > BENCH_GULP ? w->shape->elem : BENCH_GULP;
	void *buf = malloc(size);
	unsigned turn = 0;
	int r = buf ? 0 : -ENOMEM;

	for (unsigned i = 0; i < w->n; i++)
		close(w->client[i]);
	if (bench_worker_ready(worker) < 0)
		return -EIO;
	if (r == 0 && inputs(w) > 1)
		r = relay_epoll(w, buf);
	else if (r == 0 && w->shape->batch == 0)
		r = relay_epoll(w, buf);
	else if (r == 0)
		while ((r = forward(w, 0, &turn, buf)) > 0)
			;
	free(buf);
	return r < 0 ? alone_failed(worker, "relay", r) : 0;
}

/* ---- clients ---------------------------------------------------------------- */

/* Elements that a client moves with one call. */
static size_t chunk(const struct bench_shape *s)
{
	return s->batch == 0 || s->elem > BENCH_GULP ? 1 : BENCH_GULP / s->elem;
}

static int keep_own(const struct wires *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		close(w->relay[i]);
		if (i != w->index)
			close(w->client[i]);
	}
	return w->client[w->index];
}

static int sender(struct bench_worker *worker, void *arg)
{
	const struct wires *w = arg;
	const struct bench_shape *s = w->shape;
	struct bench_result *result = worker->result;
	uint64_t left = bench_share(s, w->index);
	void *buf = calloc(chunk(s), s->elem);
	int fd = keep_own(w), r = buf ? 0 : -ENOMEM;

	if (bench_worker_ready(worker) < 0)
		return -EIO;
	while (r == 0 && left > 0) {
		size_t n = left < chunk(s) ? (size_t)left : chunk(s);

		if (s->touch)
			result->sum += bench_write(buf, n * s->elem, left);
		r = write_all(fd, buf, n * s->elem);
		left -= n;
	}
	free(buf);
	return r < 0 ? alone_failed(worker, "send", r) : 0;
}

static int receiver(struct bench_worker *worker, void *arg)
{
	const struct wires *w = arg;
	const struct bench_shape *s = w->shape;
	struct bench_result *result = worker->result;
	size_t size = chunk(s) * s->elem;
	void *buf = malloc(size);
	int fd = keep_own(w);
	ssize_t n = buf ? 0 : -ENOMEM;

	if (bench_worker_ready(worker) < 0)
		return -EIO;
	while (buf && (n = read_all(fd, buf, size)) > 0) {
		if (s->touch)
			result->sum += bench_read(buf, (size_t)n);
		result->elements += (size_t)n / s->elem;
		result->end_ns = kci_clock_now();
	}
	free(buf);
	return n < 0 ? alone_failed(worker, "receive", n) : 0;
}

struct ball {
	int fd;
	size_t size;
	char bytes[4096];
};

static int trip(void *arg)
{
	struct ball *ball = arg;
	int r = write_all(ball->fd, ball->bytes, ball->size);
	ssize_t n = r == 0 ? read_all(ball->fd, ball->bytes, ball->size) : r;

	return n == (ssize_t)ball->size ? 0 : -EIO;
}

static int pinger(struct bench_worker *worker, void *arg)
{
	const struct wires *w = arg;
	struct ball ball = { .fd = keep_own(w), .size = w->shape->elem };
	int r;

	if (bench_worker_ready(worker) < 0)
		return -EIO;
	r = bench_trips(worker->result, w->shape->count, trip, &ball);
	return r < 0 ? alone_failed(worker, "ping", r) : 0;
}

static int echo(struct bench_worker *worker, void *arg)
{
	const struct wires *w = arg;
	struct ball ball = { .fd = keep_own(w), .size = w->shape->elem };
	ssize_t n;
	int r = 0;

	if (bench_worker_ready(worker) < 0)
		return -EIO;
	while (r == 0 && (n = read_all(ball.fd, ball.bytes, ball.size)) == (ssize_t)ball.size)
		r = write_all(ball.fd, ball.bytes, ball.size);
	return r < 0 ? alone_failed(worker, "echo", r) : 0;
}

/* ---- a measurement ---------------------------------------------------------- */

static int wires_open(struct wires *w, unsigned n)
{
	for (; w->n < n; w->n++) {
		int ends[2];

		if (w->n == WIRES_MAX)
			return bench_why(-EMFILE, "more than %d clients", WIRES_MAX);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
			return bench_why(-errno, "socketpair: %s", strerror(errno));
		w->client[w->n] = ends[0];
		w->relay[w->n] = ends[1];
	}
	return 0;
}

static void wires_close(struct wires *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		close(w->client[i]);
		close(w->relay[i]);
	}
	w->n = 0;
}

static bench_work_fn client(const struct wires *w)
{
	if (w->pingpong)
		return w->index == 0 ? pinger : echo;
	return w->index < w->shape->senders ? sender : receiver;
}

/* Everything up to the results, which are left in the crew. */
static int run(struct bench_crew *crew, struct wires *w, enum bench_count count, double *ret_calls)
{
	const struct bench_shape *s = w->shape;
	struct bench_calls calls = { 0 };
	int r = wires_open(w, w->pingpong ? 2 : s->senders + s->receivers);

	for (w->index = 0; r == 0 && w->index < w->n; w->index++)
		r = bench_crew_add(crew, client(w), w, s->cpu);
	if (r == 0)
		r = bench_crew_add(crew, relay, w, s->cpu);
	/* theirs alone from now on, or nobody would see the end of a stream */
	wires_close(w);
	for (unsigned i = 0; i < crew->n; i++)
		if (count == BENCH_COUNT_ALL || i == crew->n - 1)
			bench_calls_add(&calls, crew->pid[i]);
	if (r == 0)
		r = bench_crew_run(crew, count == BENCH_COUNT_NONE ? NULL : &calls);
	*ret_calls = (double)bench_calls_total(&calls);
	return r;
}

int bench_raw_stream(const struct bench_shape *shape, enum bench_count count,
		     struct bench_outcome *ret)
{
	struct wires wires = { .shape = shape };
	struct bench_crew crew;
	double calls = 0;
	int r = bench_crew_begin(&crew);

	if (r == 0)
		r = run(&crew, &wires, count, &calls);
	if (r == 0)
		r = bench_stream_outcome(shape, crew.result, ret);
	if (r == 0)
		ret->calls = calls / (double)shape->count;
	bench_crew_end(&crew);
	return r;
}

int bench_raw_pingpong(const struct bench_shape *shape, enum bench_count count,
		       struct bench_outcome *ret)
{
	struct wires wires = { .shape = shape, .pingpong = true };
	struct bench_crew crew;
	double calls = 0;
	int r = bench_crew_begin(&crew);

	if (r == 0)
		r = run(&crew, &wires, count, &calls);
	if (r == 0) {
		ret->trip_ns = crew.result[0].middle_ns;
		ret->calls = calls / (double)crew.result[0].elements;
	}
	bench_crew_end(&crew);
	return r;
}
