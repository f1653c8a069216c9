/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Power series, computed by networks of coroutines that know each other only by rendezvous
 * channels. A wake-up that goes astray stops the whole, an element that does gives a wrong
 * number; the networks have circles, grow while they run, and are taken down from one end.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

/* ---- power series ------------------------------------------------------------ */

#define TERMS	  12
#define NODES_MAX 1024
#define CHANS_MAX 4096

struct ratio {
	int64_t num, den; /* den > 0, no common factor */
};

/* A series, one coefficient for each that is asked for: nobody computes ahead, so one
 * that is defined by itself does not wait for itself. Whoever loses interest closes it. */
struct stream {
	kc_chan_t *ask;	 /* of char */
	kc_chan_t *give; /* of struct ratio */
};

/* A coroutine with up to two series to read and one to give. */
struct node {
	struct net *net;
	struct stream *in[2], *out;
	struct stream own; /* out is this one, but for the last in a circle */
	struct ratio c;
	kc_chan_t *turn;	 /* copies: who may ask the original; shared by the two */
	kc_chan_t *mine, *other; /* copies: what the other one got already */
};

struct net {
	struct node nodes[NODES_MAX];
	kc_chan_t *chans[CHANS_MAX];
	_Atomic unsigned n_nodes, n_chans;
	_Atomic int broken; /* the first line where something went wrong */
};

static void break_net(struct net *net, int line)
{
	int none = 0;

	atomic_compare_exchange_strong(&net->broken, &none, line);
}

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t t = a % b;

		a = b;
		b = t;
	}
	return a < 0 ? -a : a;
}

static struct ratio times(struct net *net, struct ratio a, struct ratio b)
{
	int64_t g = gcd(a.num, b.den), h = gcd(b.num, a.den);
	struct ratio r;

	if (__builtin_mul_overflow(a.num / g, b.num / h, &r.num) ||
	    __builtin_mul_overflow(a.den / h, b.den / g, &r.den))
		break_net(net, __LINE__);
	return r;
}

static struct ratio plus(struct net *net, struct ratio a, struct ratio b)
{
	int64_t g = gcd(a.den, b.den), x, y;
	struct ratio r;

	if (__builtin_mul_overflow(a.num, b.den / g, &x) ||
	    __builtin_mul_overflow(b.num, a.den / g, &y) || __builtin_add_overflow(x, y, &r.num) ||
	    __builtin_mul_overflow(a.den / g, b.den, &r.den)) {
		break_net(net, __LINE__);
		return a;
	}
	g = gcd(r.num, r.den);
	return (struct ratio){ r.num / g, r.den / g };
}

/* Networks of the test's own making have bounds, and without memory there is no test. */
static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "no room for a %s\n", what);
	abort();
}

static kc_chan_t *net_chan(struct net *net, enum kc_kind kind, size_t elem_size, size_t capacity)
{
	unsigned i = atomic_fetch_add(&net->n_chans, 1);

	must(i < CHANS_MAX && kc_chan_make(&net->chans[i], kind, elem_size, capacity) == 0,
	     "channel");
	return net->chans[i];
}

static void stream_init(struct net *net, struct stream *s)
{
	s->ask = net_chan(net, KC_RENDEZVOUS, 1, 0);
	s->give = net_chan(net, KC_RENDEZVOUS, sizeof(struct ratio), 0);
}

static struct node *node_new(struct net *net, struct stream *a, struct stream *b)
{
	unsigned i = atomic_fetch_add(&net->n_nodes, 1);

	must(i < NODES_MAX, "node");
	net->nodes[i].net = net;
	net->nodes[i].in[0] = a;
	net->nodes[i].in[1] = b;
	return &net->nodes[i];
}

static bool stream_get(struct stream *s, struct ratio *ret)
{
	char please = 1;

	return kc_chan_send(s->ask, &please, -1) == 0 && kc_chan_recv(s->give, ret, -1) == 0;
}

static void stream_close(struct stream *s)
{
	kc_chan_close(s->ask);
	kc_chan_close(s->give);
}

static bool asked(struct node *n)
{
	char please;

	return kc_chan_recv(n->out->ask, &please, -1) == 0;
}

static bool give(struct node *n, struct ratio c)
{
	return kc_chan_send(n->out->give, &c, -1) == 0;
}

/* A node that ends takes those with it that it read, and those who read it. */
static long node_end(struct node *n)
{
	stream_close(n->out);
	for (int i = 0; i < 2; i++)
		if (n->in[i])
			stream_close(n->in[i]);
	return 0;
}

static void node_start(struct node *n, kc_coro_fn fn)
{
	must(kc_spawn(NULL, NULL, fn, n) == 0, "coroutine");
}

static struct stream *start(struct net *net, kc_coro_fn fn, struct ratio c, struct stream *a,
			    struct stream *b)
{
	struct node *n = node_new(net, a, b);

	n->c = c;
	n->out = &n->own;
	stream_init(net, n->out);
	node_start(n, fn);
	return n->out;
}

/* ---- what there is to compute with ---- */

static const struct ratio zero = { 0, 1 }, one = { 1, 1 }, minus_one = { -1, 1 };

/* c + cx + cxx ... */
static long repeat_main(void *arg)
{
	struct node *n = arg;

	while (asked(n) && give(n, n->c))
		;
	return node_end(n);
}

static long relay_main(void *arg)
{
	struct node *n = arg;
	struct ratio a;

	while (asked(n) && stream_get(n->in[0], &a) && give(n, a))
		;
	return node_end(n);
}

static long add_main(void *arg)
{
	struct node *n = arg;
	struct ratio a, b;

	while (asked(n) && stream_get(n->in[0], &a) && stream_get(n->in[1], &b) &&
	       give(n, plus(n->net, a, b)))
		;
	return node_end(n);
}

static long scale_main(void *arg)
{
	struct node *n = arg;
	struct ratio a;

	while (asked(n) && stream_get(n->in[0], &a) && give(n, times(n->net, n->c, a)))
		;
	return node_end(n);
}

/* c + xF */
static long cons_main(void *arg)
{
	struct node *n = arg;
	struct ratio a = n->c;

	while (asked(n) && give(n, a) && stream_get(n->in[0], &a))
		;
	return node_end(n);
}

/* c + the integral of F */
static long integrate_main(void *arg)
{
	struct node *n = arg;
	struct ratio a, part = { 1, 1 };

	if (asked(n) && give(n, n->c))
		for (; asked(n) && stream_get(n->in[0], &a); part.den++)
			if (!give(n, times(n->net, a, part)))
				break;
	return node_end(n);
}

static long derive_main(void *arg)
{
	struct node *n = arg;
	struct ratio a, power = { 1, 1 };

	if (asked(n) && stream_get(n->in[0], &a))
		for (; stream_get(n->in[0], &a); power.num++)
			if (!give(n, times(n->net, a, power)) || !asked(n))
				break;
	return node_end(n);
}

/* One of the two copies: what the other one had to ask for lies in `mine`. */
static long copy_main(void *arg)
{
	struct node *n = arg;
	struct ratio a;
	char turn = 1;

	while (asked(n)) {
		bool have = kc_chan_try_recv(n->mine, &a) == 0;

		if (!have) {
			if (kc_chan_recv(n->turn, &turn, -1) != 0)
				break_net(n->net, __LINE__);
			/* the other one may have had the turn before */
			have = kc_chan_try_recv(n->mine, &a) == 0;
			if (!have) {
				have = stream_get(n->in[0], &a);
				if (have && kc_chan_send(n->other, &a, 0) != 0)
					break_net(n->net, __LINE__);
			}
			if (kc_chan_send(n->turn, &turn, 0) != 0)
				break_net(n->net, __LINE__);
		}
		if (!have || !give(n, a))
			break;
	}
	return node_end(n);
}

static void copies(struct net *net, struct stream *in, struct stream *ret[2])
{
	struct node *n[2] = { node_new(net, in, NULL), node_new(net, in, NULL) };
	kc_chan_t *turn = net_chan(net, KC_BUFFERED, 1, 1);
	char token = 1;

	must(kc_chan_send(turn, &token, 0) == 0, "turn");
	for (int i = 0; i < 2; i++) {
		n[i]->turn = turn;
		n[i]->mine = n[!i]->other = net_chan(net, KC_UNLIMITED, sizeof(struct ratio), 0);
		ret[i] = n[i]->out = &n[i]->own;
		stream_init(net, ret[i]);
	}
	for (int i = 0; i < 2; i++)
		node_start(n[i], copy_main);
}

/* (f + xF)(g + xG) = fg + x(fG + gF + xFG): a product begets another with each term. */
static long multiply_main(void *arg)
{
	struct node *n = arg;
	struct net *net = n->net;
	struct stream *F[2], *G[2], *near, *far;
	struct ratio f, g, a;

	if (!asked(n) || !stream_get(n->in[0], &f) || !stream_get(n->in[1], &g) ||
	    !give(n, times(net, f, g)) || !asked(n))
		return node_end(n);
	copies(net, n->in[0], F);
	copies(net, n->in[1], G);
	near = start(net, add_main, zero, start(net, scale_main, f, G[0], NULL),
		     start(net, scale_main, g, F[0], NULL));
	far = start(net, multiply_main, zero, F[1], G[1]);
	far = start(net, add_main, zero, near, start(net, cons_main, zero, far, NULL));
	while (stream_get(far, &a) && give(n, a) && asked(n))
		;
	stream_close(far);
	return node_end(n);
}

/* A series defined by itself: who built it read `hole` where it stands for itself. */
static struct stream *fill(struct net *net, struct stream *series, struct node *hole)
{
	struct stream *both[2];

	copies(net, series, both);
	hole->in[0] = both[1];
	node_start(hole, relay_main);
	return both[0];
}

static struct node *hole_new(struct net *net)
{
	struct node *hole = node_new(net, NULL, NULL);

	hole->out = &hole->own;
	stream_init(net, hole->out);
	return hole;
}

/* E = 1 + the integral of E F', where F has no constant term */
static struct stream *exponential(struct net *net, struct stream *f)
{
	struct node *e = hole_new(net);
	struct stream *inner =
		start(net, multiply_main, zero, e->out, start(net, derive_main, zero, f, NULL));

	return fill(net, start(net, integrate_main, one, inner, NULL), e);
}

/* 1/(f + xF) is R = 1/f - xFR/f */
static long reciprocal_main(void *arg)
{
	struct node *n = arg, *r;
	struct net *net = n->net;
	struct stream *s;
	struct ratio f, a;

	if (!asked(n) || !stream_get(n->in[0], &f))
		return node_end(n);
	f = f.num < 0 ? (struct ratio){ -f.den, -f.num } : (struct ratio){ f.den, f.num };
	r = hole_new(net);
	s = start(net, multiply_main, zero, n->in[0], r->out);
	s = start(net, scale_main, times(net, minus_one, f), s, NULL);
	s = fill(net, start(net, cons_main, f, s, NULL), r);
	while (stream_get(s, &a) && give(n, a) && asked(n))
		;
	stream_close(s);
	return node_end(n);
}

/* ---- the cases ---- */

/* c x */
static struct stream *line(struct net *net, struct ratio c)
{
	struct stream *nothing = start(net, repeat_main, zero, NULL, NULL);

	return start(net, cons_main, zero, start(net, cons_main, c, nothing, NULL), NULL);
}

/* S = the integral of (1 - the integral of S) */
static struct stream *sine(struct net *net)
{
	struct node *s = hole_new(net);
	struct stream *cosine = start(net, integrate_main, one,
				      start(net, scale_main, minus_one, s->out, NULL), NULL);

	return fill(net, start(net, integrate_main, zero, cosine, NULL), s);
}

/* T = the integral of 1 + TT */
static struct stream *tangent(struct net *net)
{
	struct node *t = hole_new(net);
	struct stream *both[2], *square, *unit;

	copies(net, t->out, both);
	square = start(net, multiply_main, zero, both[0], both[1]);
	unit = start(net, cons_main, one, start(net, repeat_main, zero, NULL, NULL), NULL);
	return fill(net,
		    start(net, integrate_main, zero, start(net, add_main, zero, unit, square),
			  NULL),
		    t);
}

static struct stream *e_to_the_x(struct net *net)
{
	return exponential(net, line(net, one));
}

static struct stream *one_over_e_to_the_x(struct net *net)
{
	return start(net, reciprocal_main, zero, e_to_the_x(net), NULL);
}

static struct stream *e_and_its_inverse(struct net *net)
{
	return start(net, multiply_main, zero, e_to_the_x(net),
		     exponential(net, line(net, minus_one)));
}

static struct stream *squares_of_sine_and_cosine(struct net *net)
{
	struct stream *s[2], *c[2];

	copies(net, sine(net), s);
	copies(net, start(net, derive_main, zero, sine(net), NULL), c);
	return start(net, add_main, zero, start(net, multiply_main, zero, s[0], s[1]),
		     start(net, multiply_main, zero, c[0], c[1]));
}

struct sum {
	struct net *net;
	struct stream *(*build)(struct net *net);
	struct ratio got[TERMS];
};

static long series_main(void *arg)
{
	struct sum *sum = arg;
	struct stream *s = sum->build(sum->net);
	long r = 0;

	for (int i = 0; i < TERMS && r == 0; i++)
		if (!stream_get(s, &sum->got[i]))
			r = __LINE__;
	stream_close(s);
	return r;
}

static void series(struct stream *(*build)(struct net *net), const struct ratio *want)
{
	for (size_t w = 0; w < KCT_RUNS; w++) {
		struct sum sum = { .build = build };
		struct net *net = sum.net = calloc(1, sizeof(*sum.net));

		assert_non_null(net);
		assert_int_equal(kct_sched_main(kct_workers[w], series_main, &sum), 0);
		assert_int_equal(atomic_load(&net->broken), 0);
		for (int i = 0; i < TERMS; i++)
			if (sum.got[i].num != want[i].num || sum.got[i].den != want[i].den)
				fail_msg("coefficient %d is %" PRId64 "/%" PRId64, i,
					 sum.got[i].num, sum.got[i].den);
		for (size_t i = 0; i < CHANS_MAX && net->chans[i]; i++)
			kc_chan_destroy(net->chans[i]);
		free(net);
	}
}

static void an_exponential_and_its_reciprocal(void **state)
{
	struct ratio want[TERMS] = { { 1, 1 } }, inverse[TERMS] = { { 1, 1 } };

	for (int i = 1; i < TERMS; i++) {
		want[i] = inverse[i] = (struct ratio){ 1, want[i - 1].den * i };
		inverse[i].num = i % 2 ? -1 : 1;
	}
	series(e_to_the_x, want);
	series(one_over_e_to_the_x, inverse);
}

static void products_that_cancel_out(void **state)
{
	struct ratio want[TERMS] = { { 1, 1 } };

	for (int i = 1; i < TERMS; i++)
		want[i] = zero;
	series(e_and_its_inverse, want);
	series(squares_of_sine_and_cosine, want);
}

static void a_tangent_is_defined_by_its_square(void **state)
{
	const struct ratio want[TERMS] = { { 0, 1 }, { 1, 1 },	   { 0, 1 }, { 1, 3 },
					   { 0, 1 }, { 2, 15 },	   { 0, 1 }, { 17, 315 },
					   { 0, 1 }, { 62, 2835 }, { 0, 1 }, { 1382, 155925 } };

	series(tangent, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(an_exponential_and_its_reciprocal),
		KCT_TEST(products_that_cancel_out),
		KCT_TEST(a_tangent_is_defined_by_its_square),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
