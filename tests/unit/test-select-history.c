/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What selects do to several channels at once can be explained, for each channel, by calls
 * that took place one after the other (tests/lib/history.h): the clause that won is such a
 * call, and one that lost had no effect, so that an element that was taken for it, sent by it,
 * doubled or overtaken has no explanation. Threads, coroutines on two workers, both, and
 * coroutines in an order that is drawn; the same seed draws the same one.
 */
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"
#include "tests/unit/recorder.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))
#define CALLS	 24u
#define CHANNELS 3u
#define CLAUSES	 (CHANNELS + 1)
#define ROUNDS	 (KCI_TSAN || KCI_ASAN ? 20u : 120u)

static const struct {
	enum kc_kind kind;
	size_t capacity;
	enum kc_overflow overflow;
} kinds[] = {
	{ KC_RENDEZVOUS, 0, KC_OVERFLOW_BLOCK },     { KC_BUFFERED, 1, KC_OVERFLOW_BLOCK },
	{ KC_RENDEZVOUS, 0, KC_OVERFLOW_BLOCK },     { KC_BUFFERED, 3, KC_OVERFLOW_BLOCK },
	{ KC_CONFLATED, 0, KC_OVERFLOW_BLOCK },	     { KC_UNLIMITED, 8, KC_OVERFLOW_BLOCK },
	{ KC_BUFFERED, 2, KC_OVERFLOW_DROP_OLDEST }, { KC_BUFFERED, 2, KC_OVERFLOW_DROP_NEWEST },
};

/* Channels that are used together, and what was done to each. */
struct stage {
	struct kct_history h[CHANNELS];
	kc_chan_t *ch[CHANNELS];
	bool closes;
};

/* A clause at each of some of the channels, and one more at any of them. */
static void choose(struct caller *c, uint32_t value)
{
	struct stage *st = c->stage;
	uint64_t dice = kct_random(&c->random);
	/* one may wait for all the others, who do the same: not for long, then */
	long timeout = dice % 4 < 2 ? 0 : (long)(dice % 4) - 1;
	unsigned flags = dice >> 2 & 1 ? KC_SELECT_PRIORITY : 0;
	struct kct_deed *deeds[CLAUSES] = { NULL };
	struct kct_history *h[CLAUSES];
	struct kc_clause clauses[CLAUSES];
	uint32_t room[CLAUSES];
	int won;

	for (uint32_t i = 0; i < CLAUSES; i++) {
		unsigned at = i < CHANNELS ? i : (unsigned)(dice >> 8) % CHANNELS;
		uint64_t what = kct_random(&c->random) % 8;
		bool sends = what < 4;

		room[i] = sends ? value | i << 24 : 0;
		h[i] = &st->h[at];
		clauses[i] = sends ? kc_clause_send(st->ch[at], &room[i])
				   : kc_clause_recv(st->ch[at], &room[i]);
		if (what == 7)
			clauses[i].kind = KC_CLAUSE_OFF;
		else
			deeds[i] = kct_history_begin(h[i], c->who, sends ? KCT_SEND : KCT_RECV,
						     timeout == 0, room[i]);
	}
	won = kc_select(clauses, CLAUSES, flags, timeout, record_token(c));
	for (int i = 0; i < (int)CLAUSES; i++) {
		/* where another won, nobody knows, and it does not matter, what this one met */
		long result = won == i ? clauses[i].result : won >= 0 ? KC_ECANCELED : won;

		if (deeds[i])
			kct_history_end(h[i], deeds[i], result, room[i]);
	}
}

static void call(struct caller *c, uint32_t value)
{
	uint64_t dice = kct_random(&c->random) % 64;
	unsigned i = (unsigned)(kct_random(&c->random) % CHANNELS);
	kc_cancel_t *token = record_token(c);
	struct stage *st = c->stage;
	struct kct_history *h = &st->h[i];
	kc_chan_t *ch = st->ch[i];
	struct kct_deed *d;
	uint32_t got = 0;
	long r;

	if (dice == 0 && st->closes) {
		d = kct_history_begin(h, c->who, KCT_CLOSE, false, 0);
		kct_history_end(h, d, kc_chan_close(ch), 0);
	} else if (dice == 1) {
		d = kct_history_begin(h, c->who, KCT_PURGE, false, 0);
		kct_history_end(h, d, kc_chan_purge(ch), 0);
	} else if (dice < 4) {
		d = kct_history_begin(h, c->who, KCT_LEN, false, 0);
		kct_history_end(h, d, kc_chan_len(ch), 0);
	} else if (dice < 10) {
		kc_cancel_trigger(record_token(&c->all[kct_random(&c->random) % CALLERS]));
	} else if (dice < 18) {
		d = kct_history_begin(h, c->who, KCT_SEND, false, value);
		kct_history_end(h, d, kc_chan_send_c(ch, &value, 1, token), 0);
	} else if (dice < 26) {
		d = kct_history_begin(h, c->who, KCT_RECV, false, 0);
		r = kc_chan_recv_c(ch, &got, 1, token);
		kct_history_end(h, d, r, got);
	} else {
		choose(c, value);
	}
}

static void make(struct kct_history *h, kc_chan_t **ret, size_t kind)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	o.kind = kinds[kind].kind;
	o.elem_size = sizeof(uint32_t);
	o.overflow = kinds[kind].overflow;
	if (o.kind == KC_UNLIMITED)
		o.max_bytes = kinds[kind].capacity * sizeof(uint32_t);
	else
		o.capacity = kinds[kind].capacity;
	assert_int_equal(kc_chan_make_ex(ret, &o), 0);
	kct_history_init(h, o.kind, kinds[kind].capacity, o.overflow);
}

static void play_on(struct stage *st, unsigned round, enum who who, kc_sched_t *s,
		    uint64_t *random)
{
	st->closes = kct_random(random) % 2;
	for (unsigned i = 0; i < CHANNELS; i++)
		make(&st->h[i], &st->ch[i], (round * CHANNELS + i) % ARRAY(kinds));
	record_calls(st, call, CALLS, who, s, random);
	for (unsigned i = 0; i < CHANNELS; i++)
		kc_chan_destroy(st->ch[i]);
}

static struct stage recorded;

static void play(unsigned round, enum who who, kc_sched_t *s, uint64_t *random)
{
	play_on(&recorded, round, who, s, random);
}

static const struct recorder recorder = {
	.rounds = ROUNDS,
	.h = recorded.h,
	.n = CHANNELS,
	.play = play,
};

static void histories_of_threads(void **state)
{
	record(&recorder, THREADS);
}

static void histories_of_coroutines(void **state)
{
	record(&recorder, COROUTINES);
}

static void histories_of_both(void **state)
{
	record(&recorder, MIXED);
}

static void histories_in_an_order_that_is_drawn(void **state)
{
	record(&recorder, DRAWN);
}

/* ---- the same seed ----------------------------------------------------------------- */

static bool is_same(const struct kct_history *a, const struct kct_history *b)
{
	unsigned n = atomic_load(&a->n);

	if (n != atomic_load(&b->n))
		return false;
	for (unsigned i = 0; i < n; i++) {
		const struct kct_deed *x = &a->deeds[i], *y = &b->deeds[i];

		if (x->verb != y->verb || x->who != y->who || x->result != y->result ||
		    x->value != y->value || x->began != y->began || x->ended != y->ended)
			return false;
	}
	return true;
}

static void tell(struct stage *st, unsigned round, uint64_t seed)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;

	o.flags = KC_SCHED_DETERMINISTIC;
	o.seed = kct_random(&seed);
	assert_int_equal(kc_sched_create(&s, &o), 0);
	play_on(st, round, DRAWN, s, &seed);
	assert_int_equal(kc_sched_destroy(s), 0);
}

static void the_same_seed_chooses_the_same(void **state)
{
	static struct stage first, second, other;
	uint64_t seeds = kct_seed();
	unsigned different = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t seed = kct_random(&seeds);

		tell(&first, round, seed);
		tell(&second, round, seed);
		tell(&other, round, seed + 1);
		for (unsigned i = 0; i < CHANNELS; i++) {
			assert_true(is_same(&first.h[i], &second.h[i]));
			different += !is_same(&first.h[i], &other.h[i]);
		}
	}
	assert_true(different > ROUNDS);
}

/* Only what a select draws is told apart by this: nothing else here is a matter of chance. */
static long draw(void *arg)
{
	enum { N = 4, TIMES = 48 };

	char *drawn = arg;
	struct kc_clause c[N];
	kc_chan_t *ch[N];
	uint32_t v = 0;

	for (unsigned i = 0; i < N; i++) {
		if (kc_chan_make(&ch[i], KC_BUFFERED, sizeof(v), 1) != 0 ||
		    kc_chan_send(ch[i], &v, 0) != 0)
			return __LINE__;
		c[i] = kc_clause_recv(ch[i], &v);
	}
	for (unsigned i = 0; i < TIMES; i++) {
		int won = kc_select(c, N, 0, -1, NULL);

		if (won < 0 || kc_chan_send(ch[won], &v, 0) != 0)
			return __LINE__;
		drawn[i] = (char)('a' + won);
	}
	for (unsigned i = 0; i < N; i++)
		kc_chan_destroy(ch[i]);
	return 0;
}

static void a_seed_decides_what_is_drawn(void **state)
{
	uint64_t seeds = kct_seed();
	unsigned same = 0;

	for (unsigned round = 0; round < 20; round++) {
		char drawn[3][64] = { "", "", "" };
		uint64_t seed = kct_random(&seeds);

		for (unsigned i = 0; i < 3; i++) {
			struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
			kc_sched_t *s;
			kc_coro_t *co;

			o.flags = KC_SCHED_DETERMINISTIC;
			o.seed = i < 2 ? seed : seed + 1;
			assert_int_equal(kc_sched_create(&s, &o), 0);
			co = kct_coro_spawn(s, draw, drawn[i]);
			assert_int_equal(kc_sched_run(s), 0);
			assert_int_equal(kct_coro_join(co), 0);
			assert_int_equal(kc_sched_destroy(s), 0);
		}
		assert_string_equal(drawn[0], drawn[1]);
		same += strcmp(drawn[0], drawn[2]) == 0;
	}
	assert_int_equal(same, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(histories_of_threads),
		KCT_TEST(histories_of_coroutines),
		KCT_TEST(histories_of_both),
		KCT_TEST(histories_in_an_order_that_is_drawn),
		KCT_TEST(the_same_seed_chooses_the_same),
		KCT_TEST(a_seed_decides_what_is_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
