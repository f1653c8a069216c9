/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ten thousand channels and a thousand connections cost.
 *
 * scale_idle_*: the memory and the wake-ups of a daemon in which all of them have
 * been used and are idle. The others: processor time of the daemon for one
 * operation where there are many channels, connections, attachments or waiting
 * receivers, beside the same operation where there are few. The ratio says what the
 * others cost, and should be 1.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_place.h"
#include "tests/bench/bench_report.h"

#define BATCH 32u
#define LIMIT_BYTES (24.0 * 1024 * 1024)
#define LARGE (1u << 20)
#define LIST_COUNT 50u
#define FEW 10u
#define MANY 1000u
#define CHANNELS_LEAST 100u
#define SERIES 3 /* in a round; the least of them is what an operation costs undisturbed */

static struct bench_place few = { .n_conns = 100, .n_channels = CHANNELS_LEAST, .message = 64 };
static struct bench_place channels_1k = { .n_conns = 100, .n_channels = 1000, .message = 64 };
static struct bench_place channels_10k = { .n_conns = 100, .n_channels = 10000, .message = 64 };
static struct bench_place conns_1k = { .n_conns = 1001, .n_channels = 100, .message = 64 };
static struct bench_place idle = { .n_conns = 1000, .n_channels = 10000, .message = 1024 };
static unsigned long times; /* operations of each sort in a round */

/* ---- memory and wake-ups ---------------------------------------------------- */

static int start_idle(void)
{
	return idle.daemon.pid > 0 ? 0 : bench_place_start(&idle);
}

static unsigned settled; /* rounds in which it has come to rest */

static int settle(unsigned round)
{
	int r = start_idle();

	if (r == 0 && settled <= round)
		r = bench_place_settle(&idle);
	if (r == 0)
		settled = round + 1;
	return r;
}

static int take_status(const struct bench_figure *f, struct bench_pair *ret)
{
	long kib;
	int r = settle(f->n);

	if (r < 0)
		return r;
	kib = bench_place_status(&idle, f->arg);
	if (kib < 0)
		return bench_why(-ENOTSUP, "no %s in /proc/PID/status", (const char *)f->arg);
	*ret = (struct bench_pair){ (double)kib * 1024, LIMIT_BYTES };
	return 0;
}

/* Every connection has a large message to and fro once more; then all is idle again. */
static int take_status_after(const struct bench_figure *f, struct bench_pair *ret)
{
	int r = start_idle();

	if (r == 0)
		r = bench_place_use(&idle, LARGE - 4096);
	settled = f->n;
	return r < 0 ? r : take_status(f, ret);
}

static int take_wakeups(const struct bench_figure *f, struct bench_pair *ret)
{
	struct pollfd alive;
	long before;
	int r = settle(f->n);

	if (r < 0)
		return r;
	before = bench_place_switches(&idle);
	alive = (struct pollfd){ .fd = idle.daemon.pidfd, .events = POLLIN };
	if (poll(&alive, 1, bench_options.quick ? 1000 : 5000) != 0)
		return bench_why(-ECHILD, "kcorod has ended");
	ret->ours = (double)(bench_place_switches(&idle) - before);
	return 0;
}

/* ---- operations ------------------------------------------------------------- */

enum op {
	OP_PING,
	OP_MAKE,
	OP_OPEN,
	OP_INFO,
	OP_SEND_RECV,
	OP_CANCEL,
	OP_DETACH,
	OP_CLOSE,
	OP_DESTROY,
	OP_LIST,
	OPS
};

/* In the course of one series, everything by the first connection. */
struct series {
	struct bench_place *place;
	uint32_t probe, probe_next; /* attachment to the first probe; its next delivery */
	uint32_t opened;            /* number of the first attachment that was opened */
};

static void name_of(char name[BENCH_NAME_SIZE], enum op op, const struct series *s, unsigned i)
{
	if (op == OP_MAKE || op == OP_CLOSE || op == OP_DESTROY)
		snprintf(name, BENCH_NAME_SIZE, "probe/c%06u", i);
	else if (op == OP_LIST) /* of the same ones everywhere */
		bench_place_name(name, i % (CHANNELS_LEAST - LIST_COUNT));
	else /* as many everywhere, so that what the others cost is all that differs */
		bench_place_name(name,
				 i % CHANNELS_LEAST * (s->place->n_channels / CHANNELS_LEAST));
}

/* Add the i-th operation of a sort. Returns how many replies will come. */
static unsigned put(struct series *s, enum op op, unsigned i)
{
	struct bench_wire *w = s->place->conns;
	char name[BENCH_NAME_SIZE];
	static const char text[64] = "something to send";
	uint64_t id;

	name_of(name, op, s, i);
	switch (op) {
	case OP_PING:
		bench_wire_plain(w, KCP_PING, 0);
		break;
	case OP_MAKE:
		bench_wire_make(w, name, 64);
		break;
	case OP_OPEN:
		bench_wire_attach(w, name, KCP_ROLE_RECEIVER, 0);
		break;
	case OP_INFO:
		bench_wire_named(w, KCP_CHAN_INFO, name);
		break;
	case OP_SEND_RECV:
		bench_wire_send(w, s->probe, text, sizeof(text));
		bench_wire_recv(w, s->probe, 1);
		bench_wire_taken(w, s->probe, s->probe_next++);
		return 2;
	case OP_CANCEL:
		id = bench_wire_recv(w, s->probe, 1);
		bench_wire_begin(w, KCP_CANCEL);
		kcp_put_u64(&w->out, KCP_T_REQUEST, id);
		bench_wire_end(w);
		return 1; /* the other one says CANCELED */
	case OP_DETACH:
		bench_wire_plain(w, KCP_CHAN_DETACH, s->opened + i);
		break;
	case OP_CLOSE:
		bench_wire_named(w, KCP_CHAN_CLOSE, name);
		break;
	case OP_DESTROY:
		bench_wire_named(w, KCP_CHAN_DESTROY, name);
		break;
	case OP_LIST:
		bench_wire_list(w, name, LIST_COUNT);
		break;
	case OPS:
		break;
	}
	return 1;
}

static int collect(struct bench_wire *w, enum op op, unsigned n)
{
	struct kcp_header header;
	struct kcp_args args;
	int r;

	if (op != OP_CANCEL)
		return bench_wire_collect(w, n, KCP_OK, NULL);
	r = bench_wire_push(w);
	for (unsigned i = 0; r == 0 && i < 2 * n; i++) {
		r = bench_wire_next(w, &header, &args);
		if (r == 0 && kcp_num(&args, KCP_T_RESULT, KCP_OK) !=
				      (header.type == KCP_RECV ? KCP_CANCELED : KCP_OK))
			r = bench_why(-EIO, "a RECV was not cancelled");
	}
	return r;
}

static int run_op(struct series *s, enum op op, unsigned long n, double *ret_ns)
{
	uint64_t begin = bench_place_cpu(s->place);
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n;) {
		unsigned replies = 0;

		for (unsigned k = 0; k < BATCH && i < n; k++, i++)
			replies += put(s, op, i);
		r = collect(s->place->conns, op, replies);
	}
	*ret_ns = (double)(bench_place_cpu(s->place) - begin) / (double)n;
	return r;
}

/* The attachment number that comes next. */
static int next_attach(struct bench_wire *w, uint32_t *ret)
{
	struct kcp_args args;
	char name[BENCH_NAME_SIZE];
	int r;

	bench_place_name(name, 0);
	bench_wire_attach(w, name, KCP_ROLE_RECEIVER, 0);
	r = bench_wire_collect(w, 1, KCP_OK, &args);
	if (r < 0)
		return r;
	*ret = (uint32_t)kcp_num(&args, KCP_T_ATTACH, 0) + 1;
	bench_wire_plain(w, KCP_CHAN_DETACH, *ret - 1);
	return bench_wire_collect(w, 1, KCP_OK, NULL);
}

/* All operations in a place. What it made is gone afterwards. */
static int run_series(struct bench_place *place, double ret_ns[OPS])
{
	struct series s = { .place = place, .probe_next = 1 };
	struct bench_wire *w = place->conns;
	int r = next_attach(w, &s.probe);

	s.opened = s.probe + (uint32_t)times;
	for (int op = 0; r == 0 && op < OPS; op++)
		r = run_op(&s, (enum op)op, op == OP_LIST ? times / 8 : times, &ret_ns[op]);
	for (unsigned i = 0; r == 0 && i < times; i++) {
		bench_wire_plain(w, KCP_CHAN_DETACH, s.probe + i);
		if (i % BATCH == BATCH - 1 || i == times - 1)
			r = bench_wire_collect(w, i % BATCH + 1, KCP_OK, NULL);
	}
	return r;
}

static struct measured {
	struct bench_place *place;
	unsigned rounds; /* done: each is made once and looked at by every figure */
	double ns[OPS];
} measured[] = { { .place = &few },
		 { .place = &channels_1k },
		 { .place = &channels_10k },
		 { .place = &conns_1k } };

static int measure(struct measured *m, unsigned round)
{
	int r = m->place->daemon.pid > 0 ? 0 : bench_place_start(m->place);

	if (r < 0 || m->rounds > round)
		return r;
	m->rounds = round + 1;
	for (int i = 0; r == 0 && i < SERIES; i++) {
		double ns[OPS];

		r = run_series(m->place, ns);
		for (int op = 0; op < OPS; op++)
			if (i == 0 || ns[op] < m->ns[op])
				m->ns[op] = ns[op];
	}
	return r;
}

/* arg: which of measured[] */
struct growth {
	enum op op;
	unsigned place;
};

static int take_op(const struct bench_figure *f, struct bench_pair *ret)
{
	const struct growth *g = f->arg;
	int r = measure(&measured[0], f->n);

	if (r == 0)
		r = measure(&measured[g->place], f->n);
	if (r == 0)
		*ret = (struct bench_pair){ measured[g->place].ns[g->op], measured[0].ns[g->op] };
	return r;
}

/* ---- many at one channel, many attachments ----------------------------------- */

enum crowd {
	CROWD_RECV,   /* each waits with a RECV; per element */
	CROWD_CLOSE,  /* the same, woken by a close; per receiver */
	CROWD_CREDIT, /* each has credit; per element */
	CROWD_BYE,    /* attachments of one connection that leaves; per attachment */
};

static uint32_t crowd_attach[MANY];

/* conns[0] sends, those behind it receive. */
static int gather(struct bench_place *p, enum crowd crowd, unsigned n, uint32_t *ret_sender)
{
	struct kcp_args args;
	int r;

	bench_wire_make(p->conns, "crowd", 64);
	r = bench_wire_collect(p->conns, 1, KCP_OK, &args);
	*ret_sender = r < 0 ? 0 : (uint32_t)kcp_num(&args, KCP_T_ATTACH, 0);
	for (unsigned i = 0; r == 0 && i < n; i++) {
		struct bench_wire *w = &p->conns[1 + i];

		bench_wire_attach(w, "crowd", KCP_ROLE_RECEIVER, crowd == CROWD_CREDIT ? 16 : 0);
		r = bench_wire_collect(w, 1, KCP_OK, &args);
		if (r < 0)
			break;
		crowd_attach[i] = (uint32_t)kcp_num(&args, KCP_T_ATTACH, 0);
		if (crowd != CROWD_CREDIT)
			bench_wire_recv(w, crowd_attach[i], 1);
		r = bench_wire_push(w);
	}
	return r;
}

/* One more element: it is the i-th receiver's turn to get it. */
static int serve_one(struct bench_place *p, enum crowd crowd, uint32_t sender, unsigned i,
		     uint64_t delivery)
{
	struct bench_wire *w = &p->conns[1 + i];
	struct kcp_header header;
	struct kcp_args args;
	int r;

	bench_wire_send(p->conns, sender, "element", 7);
	r = bench_wire_collect(p->conns, 1, KCP_OK, NULL);
	if (r == 0)
		r = bench_wire_next(w, &header, &args);
	if (r == 0 && !kcp_has(&args, KCP_T_ELEMENTS))
		r = bench_why(-EIO, "receiver %u got something else", i);
	bench_wire_taken(w, crowd_attach[i], delivery);
	if (crowd != CROWD_CREDIT)
		bench_wire_recv(w, crowd_attach[i], 1);
	return r < 0 ? r : bench_wire_push(w);
}

static int serve_all(struct bench_place *p, enum crowd crowd, uint32_t sender, unsigned n,
		     double *ret_ns)
{
	uint64_t begin = bench_place_cpu(p);
	unsigned rounds = (unsigned)(times < n ? 1 : times / n);
	int r = 0;

	for (unsigned round = 0; r == 0 && round < rounds; round++)
		for (unsigned i = 0; r == 0 && i < n; i++)
			r = serve_one(p, crowd, sender, i, round + 1);
	*ret_ns = (double)(bench_place_cpu(p) - begin) / rounds / n;
	return r;
}

static int close_all(struct bench_place *p, unsigned n, double *ret_ns)
{
	uint64_t begin = bench_place_cpu(p);
	int r;

	bench_wire_named(p->conns, KCP_CHAN_CLOSE, "crowd");
	r = bench_wire_collect(p->conns, 1, KCP_OK, NULL);
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = bench_wire_collect(&p->conns[1 + i], 1, KCP_PIPE, NULL);
	*ret_ns = (double)(bench_place_cpu(p) - begin) / n;
	return r;
}

static int disperse(struct bench_place *p, enum crowd crowd, uint32_t sender, unsigned n)
{
	double ns;
	int r = crowd == CROWD_RECV ? close_all(p, n, &ns) : 0;

	bench_wire_named(p->conns, KCP_CHAN_DESTROY, "crowd");
	bench_wire_plain(p->conns, KCP_CHAN_DETACH, sender);
	r = r < 0 ? r : bench_wire_collect(p->conns, 2, KCP_OK, NULL);
	for (unsigned i = 0; r == 0 && i < n; i++) {
		bench_wire_plain(&p->conns[1 + i], KCP_CHAN_DETACH, crowd_attach[i]);
		r = bench_wire_collect(&p->conns[1 + i], 1, KCP_OK, NULL);
	}
	return r;
}

static int run_crowd(struct bench_place *p, enum crowd crowd, unsigned n, double *ret_ns)
{
	uint32_t sender;
	int r = gather(p, crowd, n, &sender);

	if (r == 0)
		r = crowd == CROWD_CLOSE ? close_all(p, n, ret_ns)
					 : serve_all(p, crowd, sender, n, ret_ns);
	return r < 0 ? r : disperse(p, crowd, sender, n);
}

/* A connection with so many attachments says BYE. */
static int run_bye(struct bench_place *p, unsigned n, double *ret_ns)
{
	struct bench_wire w;
	uint64_t begin;
	char byte, name[BENCH_NAME_SIZE];
	int r = bench_wire_open(&w, p->daemon.path);

	for (unsigned i = 0; r == 0 && i < n; i++) {
		bench_place_name(name, i % p->n_channels);
		bench_wire_attach(&w, name, KCP_ROLE_RECEIVER, 0);
		if (i % BATCH == BATCH - 1 || i == n - 1)
			r = bench_wire_collect(&w, i % BATCH + 1, KCP_OK, NULL);
	}
	bench_wire_notice(&w, KCP_BYE);
	bench_wire_end(&w);
	begin = bench_place_cpu(p);
	if (r == 0)
		r = bench_wire_push(&w);
	if (r == 0 && read(w.fd, &byte, 1) != 0)
		r = bench_why(-EIO, "BYE was answered");
	bench_wire_close(&w);
	/* The connection is closed before the turn is over; this is answered after it. */
	bench_wire_plain(p->conns, KCP_PING, 0);
	r = r < 0 ? r : bench_wire_collect(p->conns, 1, KCP_OK, NULL);
	*ret_ns = (double)(bench_place_cpu(p) - begin) / n;
	return r;
}

static int take_crowd(const struct bench_figure *f, struct bench_pair *ret)
{
	enum crowd crowd = *(const enum crowd *)f->arg;
	struct bench_place *p = crowd == CROWD_BYE ? &channels_10k : &conns_1k;
	int r = p->daemon.pid > 0 ? 0 : bench_place_start(p);

	if (r == 0)
		r = crowd == CROWD_BYE ? run_bye(p, FEW * 10, &ret->reference)
				       : run_crowd(p, crowd, FEW, &ret->reference);
	if (r == 0)
		r = crowd == CROWD_BYE ? run_bye(p, MANY * 10, &ret->ours)
				       : run_crowd(p, crowd, MANY, &ret->ours);
	return r;
}

/* ---- figures ---------------------------------------------------------------- */

static int start(void)
{
	return 0; /* each place starts when it is wanted first */
}

static int stop(void)
{
	struct bench_place *places[] = { &few, &channels_1k, &channels_10k, &conns_1k, &idle };
	int status = 0;

	for (size_t i = 0; i < KC_ARRAY_SIZE(places); i++)
		if (bench_place_stop(places[i]) != 0)
			status = 1;
	return status;
}

#define GROWTH(label, what, where, fewer)                                                          \
	{                                                                                          \
		.name = label, .unit = "ns", .reference = fewer, .no_class = true,                 \
		.take = take_op, .arg = &(const struct growth){ what, where }                      \
	}
#define GROWTHS(label, what)                                                                       \
	GROWTH("scale_" label "_channels_1k", what, 1, "channels_100"),                            \
	GROWTH("scale_" label "_channels_10k", what, 2, "channels_100"),                           \
	GROWTH("scale_" label "_conns_1k", what, 3, "conns_100")
#define CROWD(label, what, fewer)                                                                  \
	{                                                                                          \
		.name = label, .unit = "ns", .reference = fewer, .no_class = true,                 \
		.take = take_crowd, .arg = &(const enum crowd){ what }                             \
	}
#define IDLE(label, how, key)                                                                      \
	{                                                                                          \
		.name = label, .unit = "bytes", .reference = "limit_24_mib", .no_class = true,     \
		.take = how, .arg = key                                                            \
	}

static struct bench_figure figures[] = {
	IDLE("scale_idle_rss", take_status, "VmRSS"),
	IDLE("scale_idle_rss_anon", take_status, "RssAnon"),
	{ .name = "scale_idle_wakeups", .unit = "switches", .no_class = true, .take = take_wakeups },
	IDLE("scale_idle_rss_after_1m", take_status_after, "VmRSS"),
	GROWTHS("ping", OP_PING),
	GROWTHS("make", OP_MAKE),
	GROWTHS("open", OP_OPEN),
	GROWTHS("info", OP_INFO),
	GROWTHS("send_recv", OP_SEND_RECV),
	GROWTHS("cancel", OP_CANCEL),
	GROWTHS("detach", OP_DETACH),
	GROWTHS("close", OP_CLOSE),
	GROWTHS("destroy", OP_DESTROY),
	GROWTHS("list_50", OP_LIST),
	CROWD("scale_recv_waiting_1000", CROWD_RECV, "waiting_10"),
	CROWD("scale_close_waiting_1000", CROWD_CLOSE, "waiting_10"),
	CROWD("scale_recv_credit_1000", CROWD_CREDIT, "receivers_10"),
	CROWD("scale_bye_attached_10k", CROWD_BYE, "attached_100"),
};

int main(int argc, char **argv)
{
	bench_arguments(argc, argv, "", NULL, NULL, 0);
	times = bench_scaled(2000, 64);
	if (bench_options.quick) { /* only to see that it works */
		channels_10k.n_channels /= 10;
		idle.n_channels /= 10;
		idle.n_conns /= 10;
	}
	return bench_run(figures, KC_ARRAY_SIZE(figures), start, stop);
}
