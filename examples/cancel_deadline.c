/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cancel_deadline: a request that fans out to several workers, and ends as a whole.
 *
 *	cancel_deadline [--deadline MS]
 *
 * Every worker waits for a part of the answer on a channel of its own. The tokens
 * form a tree:
 *
 *	program -- request --+-- worker 1
 *	                     +-- worker 2
 *	                     +-- ...
 *
 * Setting the request's token ends all that is below it at once and nothing above
 * it, so the program goes on to the next request. Three requests are made:
 *
 *   1  every part comes: the request succeeds
 *   2  worker 2 may wait only so long for its part, which does not come: it gets
 *      KC_ETIME, its own deadline; it is the first to fail, so the request is
 *      cancelled and the workers that still wait get KC_ECANCELED, its decision
 *   3  parts are missing and nobody below has a deadline: that of the whole request
 *      passes (KC_ETIME, here), and those that wait get KC_ECANCELED
 *
 * Each time the missing parts come too late in the end. A wait that was cancelled has
 * taken nothing, so they lie in their channels, and the books of all channels say
 * that no part was lost. No daemon is needed.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kcoro.h"

#define WORKERS	   4
#define FOREVER_MS 60000 /* a deadline that is not going to pass */

/* What a worker says at its end. */
struct report {
	int worker;
	int result; /* 0, or why there is no part */
	int part;
};

struct worker {
	int number; /* from 1 */
	long limit_ms;
	kc_chan_t *parts;   /* what it waits on */
	kc_chan_t *reports; /* shared by all */
	kc_cancel_ctx_t ctx;
	pthread_t thread;
};

struct request {
	const char *name;
	long deadline_ms;
	long limit_ms; /* of worker 2 */
	int on_time;   /* the parts of so many workers come while they are waited for */
	int wanted;    /* result */
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "cancel_deadline: %s: %s (%s)\n", what, kc_strerror(code),
		kc_error_detail());
	return 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- a worker -------------------------------------------------------------------------------- */

static void *work(void *arg)
{
	struct worker *w = arg;
	struct report report = { .worker = w->number };
	int r;

	report.result = kc_chan_recv_c(w->parts, &report.part, w->limit_ms, w->ctx.token);
	r = kc_chan_send(w->reports, &report, 0); /* there is room for all */
	if (r != 0)
		failed("reporting", r);
	return NULL;
}

static int worker_start(struct worker *w, kc_cancel_t *parent)
{
	int r = kc_cancel_ctx_init(&w->ctx, parent);

	if (r != 0)
		return failed("making a token", r);
	r = pthread_create(&w->thread, NULL, work, w);
	if (r == 0)
		return 0;
	fprintf(stderr, "cancel_deadline: starting a thread: %s\n", strerror(r));
	kc_cancel_ctx_destroy(&w->ctx);
	return 1;
}

/* ---- a request ------------------------------------------------------------------------------- */

/* Takes one report from each of n workers. The first bad news, a worker's or that the deadline has
 * passed, cancels the request; the others then end, and report that. */
static int gather(const struct request *request, kc_cancel_t *token, kc_chan_t *reports, int n,
		  int *ret_taken)
{
	int64_t end = now_ms() + request->deadline_ms;
	int result = 0;

	*ret_taken = 0;
	while (n > 0) {
		int64_t left = end - now_ms();
		struct report report;
		int r;

		/* once cancelled, each wait ends at once: no deadline is needed any more */
		r = kc_chan_recv(reports, &report, result != 0 ? -1 : left > 0 ? (long)left : 0);
		if (r == 0) {
			n--;
			*ret_taken += report.result == 0;
			printf("  worker %d: %s\n", report.worker, kc_error_name(report.result));
			r = report.result;
		} else if (r == KC_EAGAIN || r == KC_ETIME) {
			r = KC_ETIME;
			printf("  deadline: %s\n", kc_error_name(r));
		} else {
			kc_cancel_trigger(token);
			failed("waiting for the workers", r);
			return r;
		}
		if (r != 0 && result == 0) {
			result = r;
			kc_cancel_trigger(token);
		}
	}
	return result;
}

/* The parts that were withheld come now. Each lies in its channel, as the books say too. */
static int late_parts(struct worker *workers, int on_time, int taken)
{
	uint64_t sent = 0, received = 0, queued = 0;

	for (int i = 0; i < WORKERS; i++) {
		struct kc_chan_snapshot books;
		int part = 100 + i, r = 0;

		if (i >= on_time)
			r = kc_chan_send(workers[i].parts, &part, 0);
		if (r == 0)
			r = kc_chan_snapshot(workers[i].parts, &books);
		if (r != 0)
			return failed("sending a part too late", r);
		sent += books.ledger.sent;
		received += books.ledger.received;
		queued += books.ledger.queued;
	}
	printf("  parts: %" PRIu64 " sent = %" PRIu64 " received + %" PRIu64 " in the channels\n",
	       sent, received, queued);
	if (sent == WORKERS && received == (uint64_t)taken && queued == sent - received)
		return 0;
	fprintf(stderr, "cancel_deadline: a part was lost\n");
	return 1;
}

static int request_run(const struct request *request, kc_cancel_t *program, kc_chan_t *reports)
{
	struct worker workers[WORKERS] = { 0 };
	kc_cancel_ctx_t ctx = { 0 };
	int started = 0, taken = 0, bad = 0, result, r;

	printf("%s\n", request->name);
	r = kc_cancel_ctx_init(&ctx, program);
	if (r != 0)
		return failed("making a token", r);
	for (int i = 0; i < WORKERS && !bad; i++) {
		struct worker *w = &workers[i];
		int part = 100 + i;

		w->number = i + 1;
		w->limit_ms = w->number == 2 ? request->limit_ms : -1;
		w->reports = reports;
		r = kc_chan_make(&w->parts, KC_BUFFERED, sizeof(part), 1);
		if (r == 0 && i < request->on_time)
			r = kc_chan_send(w->parts, &part, 0);
		if (r != 0)
			bad = failed("preparing a worker", r);
		else
			bad = worker_start(w, ctx.token);
		started += !bad;
	}
	if (bad)
		kc_cancel_trigger(ctx.token);
	result = gather(request, ctx.token, reports, started, &taken);
	for (int i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		kc_cancel_ctx_destroy(&workers[i].ctx);
	}
	printf("  request: %s\n", kc_error_name(result));
	if (!bad && (result != request->wanted || kc_cancel_is_set(program))) {
		fprintf(stderr, "cancel_deadline: the request did not end as it should\n");
		bad = 1;
	}
	bad = bad || late_parts(workers, request->on_time, taken);
	for (int i = 0; i < WORKERS; i++)
		kc_chan_destroy(workers[i].parts);
	kc_cancel_ctx_destroy(&ctx);
	return bad;
}

static int program_run(long deadline_ms)
{
	const struct request requests[] = {
		{ "1: every part comes", FOREVER_MS, -1, WORKERS, 0 },
		{ "2: worker 2 fails", FOREVER_MS, deadline_ms, 1, KC_ETIME },
		{ "3: the deadline passes", deadline_ms, -1, 1, KC_ETIME },
	};
	kc_cancel_ctx_t program;
	kc_chan_t *reports = NULL;
	int r = kc_cancel_ctx_init(&program, NULL), bad;

	if (r == 0)
		r = kc_chan_make(&reports, KC_BUFFERED, sizeof(struct report), WORKERS);
	bad = r == 0 ? 0 : failed("preparing", r);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && !bad; i++)
		bad = request_run(&requests[i], program.token, reports);
	kc_chan_destroy(reports);
	kc_cancel_ctx_destroy(&program);
	return bad;
}

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: cancel_deadline [--deadline MS]\n"
		    "\n"
		    "  --deadline MS  after which the second and third request end, 1..60000\n"
		    "                 (default 100)\n");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "deadline", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	intmax_t deadline_ms = 100;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			errno = 0;
			deadline_ms = strtoimax(optarg, &end, 10);
			if (errno || end == optarg || *end || deadline_ms < 1 ||
			    deadline_ms > FOREVER_MS)
				return usage(stderr, 2);
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc)
		return usage(stderr, 2);
	return program_run((long)deadline_ms);
}
