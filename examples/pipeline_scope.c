/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pipeline_scope: a pipeline over channels of kcorod that ends as a whole.
 *
 *	pipeline_scope [--items N] [--fail STAGE]
 *
 * Four stages, each a job, with a channel in kcorod between one and the next:
 *
 *	source -> pipeline/numbers -> square -> pipeline/squares -> half -> pipeline/halves -> sink
 *
 * The stages could be processes of their own, on these very channels. Here they are
 * children of one scope, so that no stage is left behind:
 *
 *   when all is well   a stage closes the channel it sends to when it is done; the
 *                      next one takes what is left in it and is done, too
 *   --fail STAGE       that one fails at half of the items. The scope cancels the
 *                      others, those that wait to send or to receive included, and
 *                      ends when the last of them has
 *
 * What is in the channels then is dropped by kc_chan_purge(), and the books of each
 * say where every item went. They balance, for a send or receive that was cancelled
 * has moved nothing.
 *
 * Without KCORO_SOCKET in the environment a private kcorod is started for the run.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/private_daemon.h"
#include "kcoro.h"

#define STAGES	  4
#define CHANNELS  (STAGES - 1)
#define CAPACITY  8 /* fewer than there are items: stages have to wait for one another */
#define ITEMS_MAX 1000000

static const char *const stage_names[STAGES] = { "source", "square", "half", "sink" };
static const char *const channel_names[CHANNELS] = { "pipeline/numbers", "pipeline/squares",
						     "pipeline/halves" };

struct pipeline {
	uint64_t items;
	int fail; /* the stage that is to fail; -1: none */
	kc_chan_t *channels[CHANNELS];
	uint64_t sum; /* what comes out */
};

struct stage {
	struct pipeline *pipeline;
	int number;
	kc_job_t *job;
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "pipeline_scope: %s: %s (%s)\n", what, kc_strerror(code),
		kc_error_detail());
	return 1;
}

/* ---- the stages --------------------------------------------------------------------------------
 */

/* The item at a place: taken from the channel before the stage, or the next number. */
static int take(const struct stage *s, uint64_t place, uint64_t *item, kc_cancel_t *token)
{
	if (s->number > 0)
		return kc_chan_recv_c(s->pipeline->channels[s->number - 1], item, -1, token);
	*item = place;
	return place <= s->pipeline->items ? 0 : KC_EPIPE;
}

static int give(const struct stage *s, uint64_t item, kc_cancel_t *token)
{
	if (s->number < CHANNELS)
		return kc_chan_send_c(s->pipeline->channels[s->number], &item, -1, token);
	s->pipeline->sum += item;
	return 0;
}

static long stage_run(kc_job_t *self, void *arg)
{
	const struct stage *s = arg;
	kc_cancel_t *token = kc_job_token(self);
	int r = 0, closed = 0;

	for (uint64_t place = 1; r == 0; place++) {
		uint64_t item;

		r = take(s, place, &item, token);
		if (r != 0)
			break;
		if (s->pipeline->fail == s->number && place > s->pipeline->items / 2)
			r = -EIO; /* with the item in hand, as it goes */
		if (s->number == 1)
			item *= item;
		else if (s->number == 2)
			item /= 2;
		if (r == 0)
			r = give(s, item, token);
	}
	/* whatever happened, nothing more will come */
	if (s->number < CHANNELS)
		closed = kc_chan_close(s->pipeline->channels[s->number]);
	return r == KC_EPIPE ? closed : r;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static void tell(const struct stage *s)
{
	const char *how = "ended in another way";
	long r = kc_job_result(s->job);

	switch (kc_job_state(s->job)) {
	case KC_STATE_COMPLETED:
		how = "completed";
		break;
	case KC_STATE_CANCELLED:
		how = "cancelled";
		break;
	case KC_STATE_FAILED:
		how = "failed";
		break;
	}
	printf("%s: %s", stage_names[s->number], how);
	if (r < 0)
		printf(" (%s)", r == -EIO ? "the item was bad" : kc_strerror((int)r));
	printf("\n");
}

static int stages_run(struct pipeline *p)
{
	struct stage stages[STAGES] = { 0 };
	kc_scope_t *scope;
	long result = 0;
	int bad = 0, r = kc_scope_init(&scope, NULL);

	if (r != 0)
		return failed("making the scope", r);
	for (int i = 0; i < STAGES && r == 0; i++) {
		stages[i].pipeline = p;
		stages[i].number = i;
		r = kc_scope_launch(scope, stage_run, &stages[i], &stages[i].job);
	}
	/* a stage that fails may do so before the last one is there */
	if (r != 0 && r != KC_ECANCELED)
		bad = failed("starting a stage", r);
	if (bad)
		kc_scope_cancel(scope, 0);
	r = kc_scope_wait_all(scope, -1);
	if (r != 0)
		bad = failed("waiting for the stages", r);
	for (int i = 0; i < STAGES; i++) {
		if (stages[i].job)
			tell(&stages[i]);
		kc_job_release(stages[i].job);
	}
	result = kc_scope_result(scope);
	if (!bad && result != (p->fail < 0 ? 0 : -EIO)) {
		fprintf(stderr, "pipeline_scope: the result is %ld\n", result);
		bad = 1;
	}
	kc_scope_destroy(scope);
	return bad;
}

/* Nobody uses it any more: drops what is left in it and looks at its books. */
static int channel_end(kc_chan_t *ch, const char *name)
{
	struct kc_chan_snapshot books;
	int r = kc_chan_close(ch); /* its stage may not have been there to do so */
	long dropped = r == 0 ? kc_chan_purge(ch) : r;
	int64_t off;

	r = dropped < 0 ? (int)dropped : kc_chan_snapshot(ch, &books);
	if (r != 0)
		return failed("closing the books", r);
	off = kc_ledger_balance(&books.ledger);
	printf("%s: %s, sent %" PRIu64 " = received %" PRIu64 " + dropped %" PRIu64 "\n", name,
	       books.closed ? "closed" : "open", books.ledger.sent, books.ledger.received,
	       kc_ledger_dropped(&books.ledger));
	if (off == 0 && books.closed && books.len == 0)
		return 0;
	fprintf(stderr, "pipeline_scope: the books of %s are off by %" PRId64 "\n", name, off);
	return 1;
}

static uint64_t wanted_sum(uint64_t items)
{
	uint64_t sum = 0;

	for (uint64_t i = 1; i <= items; i++)
		sum += i * i / 2;
	return sum;
}

static int pipeline_run(struct pipeline *p)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	kc_ipc_conn_t *conn;
	int bad = 0, r = kc_ipc_connect(&conn, NULL);

	if (r != 0)
		return failed("connecting", r);
	opts.elem_size = sizeof(uint64_t);
	opts.capacity = CAPACITY;
	for (int i = 0; i < CHANNELS && r == 0; i++)
		r = kc_ipc_chan_make(conn, channel_names[i], &opts, NULL, &p->channels[i]);
	bad = r == 0 ? stages_run(p) : failed("making a channel", r);
	for (int i = 0; i < CHANNELS && !bad; i++)
		bad = channel_end(p->channels[i], channel_names[i]);
	for (int i = 0; i < CHANNELS; i++) {
		/* it would stay in the daemon */
		r = p->channels[i] ? kc_ipc_chan_destroy(p->channels[i]) : 0;
		if (r != 0)
			bad = failed("destroying a channel", r);
		kc_chan_destroy(p->channels[i]);
	}
	kc_ipc_disconnect(conn);
	if (!bad && p->fail < 0)
		printf("sum %" PRIu64 "\n", p->sum);
	if (!bad && p->fail < 0 && p->sum != wanted_sum(p->items)) {
		fprintf(stderr, "pipeline_scope: the sum should be %" PRIu64 "\n",
			wanted_sum(p->items));
		bad = 1;
	}
	return bad;
}

static int usage(FILE *to, int status)
{
	fprintf(to,
		"usage: pipeline_scope [--items N] [--fail STAGE]\n"
		"\n"
		"  --items N     how many go through, 2..%d (default 100)\n"
		"  --fail STAGE  source, square, half or sink fails at half of them\n",
		ITEMS_MAX);
	return status;
}

/* The number of a stage, or -1. */
static int stage_find(const char *name)
{
	for (int i = 0; i < STAGES; i++)
		if (strcmp(stage_names[i], name) == 0)
			return i;
	return -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "items", required_argument, NULL, 'i' },
		{ "fail", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct pipeline p = { .items = 100, .fail = -1 };
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			errno = 0;
			p.items = strtoumax(optarg, &end, 10);
			if (errno || end == optarg || *end || *optarg == '-' || p.items < 2 ||
			    p.items > ITEMS_MAX)
				return usage(stderr, 2);
			break;
		case 'f':
			p.fail = stage_find(optarg);
			if (p.fail < 0)
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
	if (ex_private_daemon(argv) < 0)
		return 1;
	return pipeline_run(&p);
}
