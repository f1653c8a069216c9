/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_select - what it costs to wait for one of many.
 *
 *	select_ready_N		one select over N receives from buffered channels that all hold
 *				an element of 8 bytes, and the send that fills the place of the
 *				one it took, against a receive and the send after it
 *	select_block_N		a stream: one coroutine selects over N receives from rendezvous
 *				channels, another one of the worker sends to them, going round,
 *				and both do nothing else. So every other select waits and is
 *				woken by a send, and the one after it finds the sender waiting,
 *				against the same with receives from one channel
 *	select_park_N		the same where every select waits: the sender yields after each
 *				send, which is a try that finds the select waiting, or the figure
 *				fails
 *
 * The refill of the first and the sends and switches of the others are part of both sides.
 */
#include <errno.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_report.h"

#define CLAUSES_MAX  64u
#define READY_ROUNDS 1000000u
#define BLOCK_ROUNDS 300000u

enum how { READY, BLOCK, PARK };

struct shape {
	unsigned n;
	enum how how;
};

/* One measurement: n of 0 is a plain receive from one channel. */
struct lane {
	kc_chan_t *ch[CLAUSES_MAX];
	unsigned n;
	enum how how;
	unsigned long warm, rounds;
	double ns; /* a round */
	int failed;
};

static inline int take_one(struct lane *l, struct kc_clause *clauses, uint64_t *value)
{
	if (l->n == 0)
		return kc_chan_recv(l->ch[0], value, -1);
	return kc_select(clauses, l->n, 0, -1, NULL);
}

static void make_clauses(struct lane *l, struct kc_clause *clauses, uint64_t *value)
{
	for (unsigned i = 0; i < l->n; i++)
		clauses[i] = kc_clause_recv(l->ch[i], value);
}

static long ready_rounds(void *arg)
{
	struct kc_clause clauses[CLAUSES_MAX];
	struct lane *l = arg;
	uint64_t value = 1, begin = 0;
	int at = 0;

	make_clauses(l, clauses, &value);
	for (unsigned i = 0; i < (l->n ? l->n : 1); i++)
		l->failed |= kc_chan_send(l->ch[i], &value, 0);
	for (unsigned long i = 0; i < l->warm + l->rounds && at >= 0 && !l->failed; i++) {
		if (i == l->warm)
			begin = kci_clock_now();
		at = take_one(l, clauses, &value);
		if (at >= 0)
			l->failed = kc_chan_send(l->ch[at], &value, -1);
	}
	l->ns = (double)(kci_clock_now() - begin) / (double)l->rounds;
	return at < 0 ? at : l->failed;
}

static long block_rounds(void *arg)
{
	struct kc_clause clauses[CLAUSES_MAX];
	struct lane *l = arg;
	unsigned long total = l->warm + l->rounds;
	uint64_t value = 0, begin = 0;
	int at = 0;

	make_clauses(l, clauses, &value);
	for (unsigned long i = 0; i < total && at >= 0; i++) {
		if (i == l->warm)
			begin = kci_clock_now();
		at = take_one(l, clauses, &value);
		if (at >= 0 && value != i)
			at = -EIO;
	}
	l->ns = (double)(kci_clock_now() - begin) / (double)l->rounds;
	return at < 0 ? at : 0;
}

/* Spawned second: whoever it sends to first waits already. */
static long send_round(void *arg)
{
	struct lane *l = arg;
	unsigned n = l->n ? l->n : 1, at = 0;

	for (uint64_t i = 0; i < l->warm + l->rounds && l->failed == 0; i++) {
		l->failed = kc_chan_send(l->ch[at], &i, l->how == PARK ? 0 : -1);
		at = at + 1 == n ? 0 : at + 1;
		if (l->how == PARK)
			kc_yield();
	}
	/* so that nobody is left waiting for what does not come */
	for (unsigned i = 0; i < n && l->failed; i++)
		kc_chan_close(l->ch[i]);
	return 0;
}

static int run(const struct shape *s, unsigned n, double *ret_ns)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct lane l = { .n = n, .how = s->how };
	bool blocks = s->how != READY;
	kc_coro_t *taker, *sender = NULL;
	kc_sched_t *sched;
	long result = 0;
	int r;

	l.rounds = bench_scaled(blocks ? BLOCK_ROUNDS : READY_ROUNDS, 1000);
	l.warm = l.rounds / 10 + 1;
	o.workers = 1;
	r = kc_sched_create(&sched, &o);
	if (r < 0)
		return bench_why(r, "kc_sched_create: %s", kc_error_name(r));
	for (unsigned i = 0; i < (n ? n : 1) && r == 0; i++)
		r = kc_chan_make(&l.ch[i], blocks ? KC_RENDEZVOUS : KC_BUFFERED,
				 sizeof(uint64_t), !blocks);
	if (r == 0)
		r = kc_spawn(&taker, sched, blocks ? block_rounds : ready_rounds, &l);
	if (r == 0 && blocks && kc_spawn(&sender, sched, send_round, &l) < 0) {
		l.failed = KC_ENOMEM;
		kc_chan_close(l.ch[0]);
	}
	if (r == 0)
		r = kc_join(taker, &result, -1);
	if (r == 0 && sender)
		r = kc_join(sender, NULL, -1);
	if (r < 0)
		bench_why(r, "%s %s", kc_error_name(r), kc_error_detail());
	else if (result != 0 || l.failed)
		r = bench_why(-EIO, "a round failed: %ld, %d", result, l.failed);
	*ret_ns = l.ns;
	for (unsigned i = 0; i < CLAUSES_MAX; i++)
		kc_chan_destroy(l.ch[i]);
	kc_sched_destroy(sched);
	return r;
}

static int take(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct shape *s = f->arg;
	int r = run(s, 0, &ret->reference);

	return r < 0 ? r : run(s, s->n, &ret->ours);
}

static int nothing(void)
{
	return 0;
}

#define FIGURE(name_, n_, how_)                                                                    \
	{                                                                                          \
		.name = name_, .unit = "ns", .reference = "recv", .take = take,                    \
		.arg = &(const struct shape){ n_, how_ }, .class = BENCH_CLASS_ONE_CPU,            \
	}

static struct bench_figure figures[] = {
	FIGURE("select_ready_2", 2, READY),   FIGURE("select_ready_8", 8, READY),
	FIGURE("select_ready_64", 64, READY), FIGURE("select_block_2", 2, BLOCK),
	FIGURE("select_block_8", 8, BLOCK),   FIGURE("select_block_64", 64, BLOCK),
	FIGURE("select_park_2", 2, PARK),     FIGURE("select_park_8", 8, PARK),
	FIGURE("select_park_64", 64, PARK),
};

int main(int argc, char **argv)
{
	bench_arguments(argc, argv, "", NULL, NULL, 0);
	return bench_run(figures, KC_ARRAY_SIZE(figures), nothing, nothing);
}
