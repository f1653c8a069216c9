/* SPDX-License-Identifier: BSD-3-Clause */
/* Our side, over the socket: see bench_kc.h. */
#include "tests/bench/bench_kc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "kcoro/ipc.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_report.h"
#include "tests/lib/daemon.h"

static struct kct_daemon middle;
static unsigned measurements; /* each has channels of its own */

/* ---- the daemon ------------------------------------------------------------- */

static void find_build(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *at;

	if (getenv("KC_BUILDDIR") || n < 0)
		return;
	path[n] = '\0';
	at = strstr(path, "/tests/bench/");
	if (at) {
		*at = '\0';
		setenv("KC_BUILDDIR", path, 1);
	}
}

int bench_kc_daemon(struct kct_daemon *d, const char *config)
{
	int r;

	find_build();
	r = kct_daemon_start(d, config, NULL);
	if (r < 0)
		fprintf(stderr, "cannot start kcorod: %s\n", strerror(-r));
	return r;
}

int bench_kc_start(void)
{
	return 0;
}

int bench_kc_stop(void)
{
	return middle.pid > 0 ? kct_daemon_stop(&middle) : 0;
}

/* ---- clients ---------------------------------------------------------------- */

struct clients {
	const struct bench_shape *shape;
	bool pingpong;
	unsigned index;
};

struct client {
	const struct bench_shape *shape;
	kc_ipc_conn_t *conn;
	kc_chan_t *send, *recv;
};

static int failed(struct bench_worker *worker, const char *what, long code)
{
	return bench_worker_fails(worker, "%s: %s %s", what, kc_error_name((int)code),
				  kc_error_detail());
}

/* Make or open the channel of this letter; it closes when its last sender is done. */
static int attach(struct client *c, char letter, unsigned roles, kc_chan_t **ret)
{
	const struct bench_shape *s = c->shape;
	struct kc_chan_options options = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	char name[64];

	options.kind = s->kind;
	options.capacity = s->capacity;
	options.flags = KC_CHAN_AUTO_CLOSE;
	if (s->messages) {
		options.max_msg = s->elem;
		options.max_bytes = s->elem * s->capacity;
	} else {
		options.elem_size = s->elem;
	}
	open.roles = roles;
	open.credit = roles & KC_RECEIVER ? s->credit : 0;
	open.window = roles & KC_SENDER ? s->window : 0;
	snprintf(name, sizeof(name), "bench/c%u%c", measurements, letter);
	return kc_ipc_chan_make(c->conn, name, &options, &open, ret);
}

static long send_one(kc_chan_t *ch, const void *elem)
{
	int r = kc_chan_send(ch, elem, -1);

	return r == 0 ? 1 : r;
}

static int sender_run(struct client *c, struct bench_result *result, uint64_t left)
{
	const struct bench_shape *s = c->shape;
	size_t batch = s->batch ? s->batch : 1;
	struct kc_msg *msgs = calloc(batch, sizeof(*msgs));
	char *buf = calloc(batch, s->elem);
	long r = buf && msgs ? 0 : KC_ENOMEM;

	for (size_t i = 0; r == 0 && i < batch; i++)
		msgs[i] = (struct kc_msg){ .data = buf + i * s->elem, .len = s->elem };
	while (r >= 0 && left > 0) {
		size_t n = left < batch ? (size_t)left : batch, done = 0;

		if (s->touch)
			result->sum += bench_write(buf, n * s->elem, left);
		while (r >= 0 && done < n) {
			if (s->batch == 0)
				r = send_one(c->send, buf);
			else if (s->messages)
				r = kc_chan_send_msgs(c->send, msgs + done, n - done, -1, NULL);
			else
				r = kc_chan_send_many(c->send, buf + done * s->elem, n - done, -1,
						      NULL);
			done += r > 0 ? (size_t)r : 0;
		}
		left -= n;
	}
	free(msgs);
	free(buf);
	return r < 0 ? (int)r : 0;
}

/* Receive once: how many, or a code. */
static long receive(struct client *c, char *buf, struct kc_msg *msgs, uint64_t *sum)
{
	const struct bench_shape *s = c->shape;
	long n;

	if (s->messages) {
		n = kc_chan_recv_msgs(c->recv, buf, s->batch * s->elem, msgs, s->batch, -1, NULL);
		for (long i = 0; s->touch && i < n; i++)
			*sum += bench_read(msgs[i].data, msgs[i].len);
		return n;
	}
	if (s->batch == 0) {
		n = kc_chan_recv(c->recv, buf, -1);
		n = n == 0 ? 1 : n;
	} else {
		n = kc_chan_recv_many(c->recv, buf, s->batch, -1, NULL);
	}
	if (s->touch && n > 0)
		*sum += bench_read(buf, (size_t)n * s->elem);
	return n;
}

static int receiver_run(struct client *c, struct bench_result *result)
{
	size_t batch = c->shape->batch ? c->shape->batch : 1;
	struct kc_msg *msgs = calloc(batch, sizeof(*msgs));
	char *buf = malloc(batch * c->shape->elem);
	long n = KC_ENOMEM;

	while (buf && msgs && (n = receive(c, buf, msgs, &result->sum)) > 0) {
		result->elements += (uint64_t)n;
		result->end_ns = kci_clock_now();
	}
	free(msgs);
	free(buf);
	return n == KC_EPIPE ? 0 : (int)n;
}

static int trip(void *arg)
{
	struct client *c = arg;
	char ball[4096] = { 0 };
	int r = kc_chan_send(c->send, ball, -1);

	return r == 0 ? kc_chan_recv(c->recv, ball, -1) : r;
}

static int echo_run(struct client *c)
{
	char ball[4096];
	int r;

	while ((r = kc_chan_recv(c->recv, ball, -1)) == 0 &&
	       (r = kc_chan_send(c->send, ball, -1)) == 0)
		;
	return r == KC_EPIPE ? 0 : r;
}

static int run_client(struct client *c, const struct clients *all, struct bench_result *result)
{
	if (all->pingpong && all->index == 0)
		return bench_trips(result, c->shape->count, trip, c);
	if (all->pingpong)
		return echo_run(c);
	if (c->send)
		return sender_run(c, result, bench_share(c->shape, all->index));
	return receiver_run(c, result);
}

static int client(struct bench_worker *worker, void *arg)
{
	const struct clients *all = arg;
	struct client c = { .shape = all->shape };
	bool sends = all->pingpong || all->index < all->shape->senders;
	bool receives = all->pingpong || !sends;
	char out = all->pingpong && all->index == 1 ? 'b' : 'a';
	int r = kc_ipc_connect(&c.conn, middle.path);

	if (r == 0 && sends)
		r = attach(&c, out, KC_SENDER, &c.send);
	if (r == 0 && receives)
		r = attach(&c, all->pingpong && out == 'a' ? 'b' : 'a', KC_RECEIVER, &c.recv);
	if (r < 0)
		return failed(worker, "attach", r);
	if (bench_worker_ready(worker) < 0)
		return -EIO;
	r = run_client(&c, all, worker->result);
	if (r < 0)
		return failed(worker, sends ? "send" : "receive", r);
	r = c.recv ? kc_ipc_chan_destroy(c.recv) : 0;
	if (r < 0 && r != KC_ENOENT) /* another receiver was faster */
		return failed(worker, "destroy", r);
	kc_chan_destroy(c.send);
	kc_chan_destroy(c.recv);
	kc_ipc_disconnect(c.conn);
	return 0;
}

/* ---- a measurement ---------------------------------------------------------- */

/* Everything up to the results, which are left in the crew. */
static int run(struct bench_crew *crew, struct clients *all, enum bench_count count,
	       double *ret_calls)
{
	const struct bench_shape *s = all->shape;
	unsigned n = all->pingpong ? 2 : s->senders + s->receivers;
	struct bench_calls calls = { 0 };
	int r = middle.pid > 0 ? 0 : bench_kc_daemon(&middle, NULL);

	if (r < 0)
		return bench_why(r, "cannot start kcorod: %s", strerror(-r));
	r = bench_cpu_pin(middle.pid, s->cpu);
	if (r < 0)
		return bench_why(r, "cannot put kcorod on CPU %d: %s", s->cpu, strerror(-r));
	measurements++;
	for (all->index = 0; r == 0 && all->index < n; all->index++)
		r = bench_crew_add(crew, client, all, s->cpu);
	bench_calls_add(&calls, middle.pid);
	for (unsigned i = 0; count == BENCH_COUNT_ALL && i < crew->n; i++)
		bench_calls_add(&calls, crew->pid[i]);
	if (r == 0)
		r = bench_crew_run(crew, count == BENCH_COUNT_NONE ? NULL : &calls);
	*ret_calls = (double)bench_calls_total(&calls);
	return r;
}

int bench_kc_stream(const struct bench_shape *shape, enum bench_count count,
		    struct bench_outcome *ret)
{
	struct clients all = { .shape = shape };
	struct bench_crew crew;
	double calls = 0;
	int r = bench_crew_begin(&crew);

	if (r == 0)
		r = run(&crew, &all, count, &calls);
	if (r == 0)
		r = bench_stream_outcome(shape, crew.result, ret);
	if (r == 0)
		ret->calls = calls / (double)shape->count;
	bench_crew_end(&crew);
	return r;
}

int bench_kc_pingpong(const struct bench_shape *shape, enum bench_count count,
		      struct bench_outcome *ret)
{
	struct clients all = { .shape = shape, .pingpong = true };
	struct bench_crew crew;
	double calls = 0;
	int r = bench_crew_begin(&crew);

	if (r == 0)
		r = run(&crew, &all, count, &calls);
	if (r == 0) {
		ret->trip_ns = crew.result[0].middle_ns;
		ret->calls = calls / (double)crew.result[0].elements;
	}
	bench_crew_end(&crew);
	return r;
}
