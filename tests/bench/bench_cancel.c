/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_cancel - how fast waits end.
 *
 *	cancel_10k		from kc_cancel_trigger() until each of 10,000 coroutines that
 *				wait to receive with that token has returned from it, on one
 *				worker, against kc_chan_close() of the same channel
 *	cancel_tree_10k		the same where each waits with a token of its own, in a tree
 *				whose root is triggered: ten children each, four levels
 *	cancel_scope_10k	the same where each is a job of one scope, from the return of one
 *				more job that fails until kc_scope_wait_all() has returned
 */
#include <errno.h>
#include <stdlib.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_report.h"

#define WAITERS 10000u
#define BRANCH	10u

struct crowd {
	unsigned n;
	kc_chan_t *ch;
	kc_cancel_t **tokens; /* by coroutine; or one for all */
	kc_cancel_t *root;
	bool tree;
	unsigned next, returned; /* one worker: nobody else looks */
	int failed;
	uint64_t end_ns;
};

static long wait_in_crowd(void *arg)
{
	struct crowd *c = arg;
	kc_cancel_t *token = c->tree ? c->tokens[c->next++] : c->root;
	uint64_t value;
	int r = kc_chan_recv_c(c->ch, &value, -1, token);

	if (r != KC_ECANCELED && r != KC_EPIPE)
		c->failed = r < 0 ? r : -EIO;
	if (++c->returned == c->n)
		c->end_ns = kci_clock_now();
	return 0;
}

static long do_nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* Level by level: the parent of i is the one that comes before its group of ten. */
static int make_tree(struct crowd *c)
{
	int r = 0;

	for (unsigned i = 0; c->tree && i < c->n && r == 0; i++)
		r = kc_cancel_init_child(&c->tokens[i],
					 i < BRANCH ? c->root : c->tokens[i / BRANCH - 1]);
	return r;
}

/* How long it takes until all have returned, from a coroutine's own act. */
static long end_waits(void *arg)
{
	struct crowd *c = arg;
	uint64_t begin = kci_clock_now();

	if (c->failed == 1) {
		c->failed = 0;
		(void)kc_chan_close(c->ch);
	} else {
		kc_cancel_trigger(c->root);
	}
	return (long)begin;
}

static int run(bool tree, bool closes, double *ret)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct crowd c = { .n = (unsigned)bench_scaled(WAITERS, 100), .tree = tree };
	kc_coro_t **coros = calloc(c.n, sizeof(*coros));
	kc_sched_t *sched = NULL;
	kc_coro_t *last;
	long begin = 0;
	int r;

	o.workers = 1;
	c.tokens = calloc(c.n, sizeof(kc_cancel_t *));
	r = coros && c.tokens ? kc_sched_create(&sched, &o) : KC_ENOMEM;
	if (r == 0)
		r = kc_cancel_init(&c.root);
	if (r == 0)
		r = make_tree(&c);
	if (r == 0)
		r = kc_chan_make(&c.ch, KC_RENDEZVOUS, sizeof(uint64_t), 0);
	for (unsigned i = 0; i < c.n && r == 0; i++)
		r = kc_spawn(&coros[i], sched, wait_in_crowd, &c);
	/* first in, first out: behind it all wait */
	if (r == 0)
		r = kc_spawn(&last, sched, do_nothing, NULL);
	if (r == 0)
		r = kc_join(last, NULL, -1);
	if (r < 0)
		return bench_why(r, "%s %s", kc_error_name(r), kc_error_detail());
	c.failed = closes;
	r = kc_spawn(&last, sched, end_waits, &c);
	/* one wake-up of this thread, at the end, and none for each of them in between */
	if (r == 0)
		r = kc_sched_drain(sched, -1);
	if (r == 0)
		r = kc_join(last, &begin, -1);
	for (unsigned i = 0; i < c.n && r == 0; i++)
		r = kc_join(coros[i], NULL, -1);
	if (r == 0 && (c.failed || c.returned != c.n))
		r = bench_why(-EIO, "%u returned, code %d", c.returned, c.failed);
	*ret = (double)(c.end_ns - (uint64_t)begin);
	kc_chan_destroy(c.ch);
	for (unsigned i = 0; i < c.n && tree; i++)
		kc_cancel_destroy(c.tokens[i]);
	kc_cancel_destroy(c.root);
	kc_sched_destroy(sched);
	free(c.tokens);
	free(coros);
	return r;
}

static int take(const struct bench_figure *f, struct bench_pair *ret)
{
	const bool *tree = f->arg;
	int r = run(*tree, /* closes= */ true, &ret->reference);

	return r < 0 ? r : run(*tree, /* closes= */ false, &ret->ours);
}

static long wait_as_job(kc_job_t *self, void *arg)
{
	struct crowd *c = arg;
	uint64_t value;
	int r = kc_chan_recv_c(c->ch, &value, -1, kc_job_token(self));

	c->returned++;
	return r;
}

static long fail(kc_job_t *self, void *arg)
{
	struct crowd *c = arg;

	(void)self;
	c->end_ns = kci_clock_now();
	return -EIO;
}

static int run_scope(double *ret)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct kc_scope_options so = KC_SCOPE_OPTIONS_INIT;
	struct crowd c = { .n = (unsigned)bench_scaled(WAITERS, 100) };
	kc_scope_t *scope = NULL;
	long result;
	int r;

	o.workers = 1;
	r = kc_sched_create(&so.sched, &o);
	if (r == 0)
		r = kc_scope_init_ex(&scope, &so);
	if (r == 0)
		r = kc_chan_make(&c.ch, KC_RENDEZVOUS, sizeof(uint64_t), 0);
	for (unsigned i = 0; i < c.n && r == 0; i++)
		r = kc_scope_launch(scope, wait_as_job, &c, NULL);
	/* first in, first out: before it all wait */
	if (r == 0)
		r = kc_scope_launch(scope, fail, &c, NULL);
	if (r == 0)
		r = kc_scope_wait_all(scope, -1);
	if (r < 0)
		return bench_why(r, "%s %s", kc_error_name(r), kc_error_detail());
	*ret = (double)(kci_clock_now() - c.end_ns);
	result = kc_scope_result(scope);
	if (result != -EIO || c.returned != c.n)
		r = bench_why(-EIO, "%u returned, result %ld", c.returned, result);
	kc_scope_destroy(scope);
	kc_chan_destroy(c.ch);
	if (r == 0)
		r = kc_sched_drain(so.sched, -1);
	kc_sched_destroy(so.sched);
	return r;
}

static int take_scope(const struct bench_figure *f, struct bench_pair *ret)
{
	int r = run(/* tree= */ true, /* closes= */ true, &ret->reference);

	(void)f;
	return r < 0 ? r : run_scope(&ret->ours);
}

static int nothing(void)
{
	return 0;
}

static struct bench_figure figures[] = {
	{ .name = "cancel_10k",
	  .unit = "ns",
	  .reference = "close",
	  .take = take,
	  .arg = &(const bool){ false },
	  .class = BENCH_CLASS_ONE_CPU },
	{ .name = "cancel_tree_10k",
	  .unit = "ns",
	  .reference = "close",
	  .take = take,
	  .arg = &(const bool){ true },
	  .class = BENCH_CLASS_ONE_CPU },
	{ .name = "cancel_scope_10k",
	  .unit = "ns",
	  .reference = "close",
	  .take = take_scope,
	  .class = BENCH_CLASS_ONE_CPU },
};

int main(int argc, char **argv)
{
	bench_arguments(argc, argv, "", NULL, NULL, 0);
	return bench_run(figures, KC_ARRAY_SIZE(figures), nothing, nothing);
}
