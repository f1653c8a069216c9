/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * actor_pool: a pool of actors that work on requests from one channel, and a
 * collector that gathers their results from another.
 *
 *	actor_pool [--workers N] [--requests N]
 *	actor_pool --socket PATH [--channel NAME] ...
 *
 * An actor is a thread that hands each element of its channel to a function. It
 * ends when its channel is closed and drained, or when its token is set; both are
 * shown here. A first pool is stopped by its token when half of the results have
 * come: each worker finishes what it has in hand, the rest stays in the channel.
 * A second pool goes on with the rest and ends because the channel is closed. The
 * on-done callback tells of each actor when and why it ended.
 *
 * With --socket the two channels, NAME/requests and NAME/results, live in the
 * kcorod that listens there; nothing else changes, so other processes could send
 * the requests. Without it they are local. To try it:
 *
 *	kcoroctl session -- sh -c 'actor_pool --socket "$KCORO_SOCKET"'
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kcoro.h"

#define WORKERS_MAX  64
#define REQUESTS_MAX 100000

struct request {
	uint32_t number;
};

struct result {
	uint32_t number;
	uint32_t answer;
};

/* What an actor's end looks like to the one who waits for it. */
struct end {
	int worker; /* 0 is the collector */
	int result;
};

struct pool;

struct worker {
	int number;
	struct pool *pool;
	kc_actor_t *actor;
};

struct pool {
	int workers, requests;
	kc_ipc_conn_t *conn; /* NULL: the channels are local */
	kc_chan_t *request_chan, *result_chan;
	kc_chan_t *end_chan; /* of struct end, always local */
	kc_cancel_t *stop;   /* of the first pool */
	struct worker worker[WORKERS_MAX + 1];
	int results; /* the collector's, until it has ended */
	uint64_t sum;
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "actor_pool: %s: %s (%s)\n", what, kc_strerror(code), kc_error_detail());
	return 1;
}

/* ---- what the actors do ---------------------------------------------------------------------- */

/* The work: how many numbers divide n. */
static uint32_t divisors(uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t d = 1; d <= n; d++)
		count += n % d == 0;
	return count;
}

static int work(const void *msg, size_t len, void *user)
{
	const struct request *request = msg;
	const struct worker *w = user;
	struct result result = { request->number, divisors(request->number) };

	(void)len;
	/* without the token: a request that was taken is answered, also while the pool stops */
	return kc_chan_send(w->pool->result_chan, &result, -1);
}

static int collect(const void *msg, size_t len, void *user)
{
	const struct result *result = msg;
	struct pool *pool = ((struct worker *)user)->pool;

	(void)len;
	pool->sum += result->answer;
	if (++pool->results == pool->requests / 2)
		kc_cancel_trigger(pool->stop);
	return 0;
}

/* On the thread of the actor that ends. There is room for all of them, so it never waits. */
static void ended(kc_actor_t *actor, int result, void *arg)
{
	const struct worker *w = arg;
	struct end end = { w->number, result };
	int r = kc_chan_send(w->pool->end_chan, &end, 0);

	(void)actor;
	if (r != 0)
		failed("telling of an end", r);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static int start(struct pool *pool, int number, kc_cancel_t *token)
{
	struct worker *w = &pool->worker[number];
	struct kc_actor_ctx ctx = {
		.chan = number ? pool->request_chan : pool->result_chan,
		.msg_size = number ? sizeof(struct request) : sizeof(struct result),
		.timeout_ms = -1,
		.process = number ? work : collect,
		.user = w,
		.token = token,
	};
	int r;

	w->number = number;
	w->pool = pool;
	r = kc_actor_start_ex(&w->actor, &ctx);
	if (r == 0)
		r = kc_actor_on_done(w->actor, ended, w);
	return r == 0 ? 0 : failed("starting an actor", r);
}

/* Waits for the ends of n actors, then frees them. An actor that is still at work must not be
 * stopped here: kc_actor_stop() would not let it drain its channel. */
static int join(struct pool *pool, const char *who, int n, int wanted)
{
	int bad = 0;

	while (n-- > 0) {
		struct end end;
		int r = kc_chan_recv(pool->end_chan, &end, -1);

		if (r != 0)
			return failed("waiting for an actor", r);
		kc_actor_stop(pool->worker[end.worker].actor);
		pool->worker[end.worker].actor = NULL;
		printf("%s ", who);
		if (end.worker > 0)
			printf("%d ", end.worker);
		printf("ended: %s\n", kc_strerror(end.result));
		bad |= end.result != wanted;
	}
	return bad;
}

static int pool_start(struct pool *pool, kc_cancel_t *token)
{
	int bad = 0;

	for (int i = 1; i <= pool->workers && !bad; i++)
		bad = start(pool, i, token);
	return bad;
}

static int run(struct pool *pool)
{
	long left;
	int r;

	if (start(pool, 0, NULL) || pool_start(pool, pool->stop))
		return 1;
	for (uint32_t i = 1; i <= (uint32_t)pool->requests; i++) {
		struct request request = { i };

		r = kc_chan_send(pool->request_chan, &request, -1);
		if (r != 0)
			return failed("sending a request", r);
	}
	if (join(pool, "first pool: worker", pool->workers, KC_ECANCELED))
		return 1;
	left = kc_chan_len(pool->request_chan);
	if (left < 0)
		return failed("looking at the requests", (int)left);
	printf("first pool: stopped by its token; %ld requests wait for the next one\n", left);

	if (pool_start(pool, NULL))
		return 1;
	r = kc_chan_close(pool->request_chan);
	if (r != 0)
		return failed("closing the requests", r);
	if (join(pool, "second pool: worker", pool->workers, KC_EPIPE))
		return 1;
	r = kc_chan_close(pool->result_chan);
	if (r != 0)
		return failed("closing the results", r);
	return join(pool, "collector", 1, KC_EPIPE);
}

static int check(const struct pool *pool)
{
	uint64_t sum = 0;

	for (uint32_t i = 1; i <= (uint32_t)pool->requests; i++)
		sum += divisors(i);
	printf("%d requests, %d results, sum %" PRIu64 "\n", pool->requests, pool->results,
	       pool->sum);
	if (pool->results == pool->requests && pool->sum == sum)
		return 0;
	fprintf(stderr, "actor_pool: the sum should be %" PRIu64 "\n", sum);
	return 1;
}

/* ---- where the channels live ----------------------------------------------------------------- */

static int chan_make(struct pool *pool, const char *name, const char *what, size_t elem_size,
		     int capacity, kc_chan_t **ret)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	char path[KC_NAME_MAX + 1];
	int n = snprintf(path, sizeof(path), "%s/%s", name, what), r;

	opts.kind = KC_BUFFERED;
	opts.elem_size = elem_size;
	opts.capacity = (size_t)capacity;
	if (n < 0 || (size_t)n >= sizeof(path))
		r = KC_ENAMETOOLONG;
	else if (pool->conn)
		r = kc_ipc_chan_make(pool->conn, path, &opts, NULL, ret);
	else
		r = kc_chan_make_ex(ret, &opts);
	return r == 0 ? 0 : failed("making a channel", r);
}

/* A channel of the daemon would stay there. */
static void chan_end(const struct pool *pool, kc_chan_t *ch)
{
	int r = pool->conn && ch ? kc_ipc_chan_destroy(ch) : 0;

	if (r != 0)
		failed("destroying a channel", r);
	kc_chan_destroy(ch);
}

static int pool_run(struct pool *pool, const char *socket, const char *name)
{
	int r = socket ? kc_ipc_connect(&pool->conn, socket) : 0, bad;

	if (r != 0)
		return failed("connecting", r);
	/* what the first pool leaves has room; results wait until they are collected */
	bad = chan_make(pool, name, "requests", sizeof(struct request), pool->requests,
			&pool->request_chan) ||
	      chan_make(pool, name, "results", sizeof(struct result), pool->workers,
			&pool->result_chan);
	if (!bad) {
		r = kc_cancel_init(&pool->stop);
		if (r == 0)
			r = kc_chan_make(&pool->end_chan, KC_BUFFERED, sizeof(struct end),
					 (size_t)pool->workers + 1);
		bad = r == 0 ? run(pool) : failed("preparing", r);
	}
	/* only after an error is there any left to stop; the collector last, since the others may
	 * wait for it */
	for (int i = pool->workers; i >= 0; i--)
		kc_actor_stop(pool->worker[i].actor);
	if (!bad)
		bad = check(pool);
	chan_end(pool, pool->request_chan);
	chan_end(pool, pool->result_chan);
	kc_chan_destroy(pool->end_chan);
	kc_cancel_destroy(pool->stop);
	kc_ipc_disconnect(pool->conn);
	return bad;
}

static int usage(FILE *to, int status)
{
	fprintf(to,
		"usage: actor_pool [--workers N] [--requests N] [--socket PATH [--channel NAME]]\n"
		"\n"
		"  --workers N     actors in the pool, 1..%d (default 4)\n"
		"  --requests N    2..%d (default 100)\n"
		"  --socket PATH   the channels live in the kcorod there, not in this process\n"
		"  --channel NAME  they are called NAME/requests and NAME/results (default\n"
		"                  actor-pool)\n",
		WORKERS_MAX, REQUESTS_MAX);
	return status;
}

/* min..max, or 0 */
static int count_parse(const char *text, int min, int max)
{
	char *end;
	intmax_t n;

	errno = 0;
	n = strtoimax(text, &end, 10);
	return errno || end == text || *end || n < min || n > max ? 0 : (int)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "workers", required_argument, NULL, 'w' },
		{ "requests", required_argument, NULL, 'r' },
		{ "socket", required_argument, NULL, 's' },
		{ "channel", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct pool pool = { .workers = 4, .requests = 100 };
	const char *socket = NULL, *name = "actor-pool";
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			pool.workers = count_parse(optarg, 1, WORKERS_MAX);
			break;
		case 'r':
			pool.requests = count_parse(optarg, 2, REQUESTS_MAX);
			break;
		case 's':
			socket = optarg;
			break;
		case 'c':
			name = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc || pool.workers == 0 || pool.requests == 0)
		return usage(stderr, 2);
	return pool_run(&pool, socket, name);
}
