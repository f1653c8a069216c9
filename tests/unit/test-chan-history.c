/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callers see of a local channel while others use it can be explained, for each kind,
 * by calls that took place one after the other (recorder.h).
 */
#include "kcoro.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"
#include "tests/unit/recorder.h"

#define CALLERS	 4u
#define CALLS	 32u /* of each; two of them if it is a batch */
#define ROUNDS	 (KCI_TSAN || KCI_ASAN ? 15 : 60)
#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	enum kc_kind kind;
	size_t capacity;
	enum kc_overflow overflow;
} kinds[] = {
	{ KC_RENDEZVOUS, 0, KC_OVERFLOW_BLOCK },     { KC_BUFFERED, 1, KC_OVERFLOW_BLOCK },
	{ KC_BUFFERED, 3, KC_OVERFLOW_BLOCK },	     { KC_CONFLATED, 0, KC_OVERFLOW_BLOCK },
	{ KC_UNLIMITED, 8, KC_OVERFLOW_BLOCK },	     { KC_BUFFERED, 2, KC_OVERFLOW_DROP_OLDEST },
	{ KC_BUFFERED, 2, KC_OVERFLOW_DROP_NEWEST },
};

struct caller {
	struct kct_history *h;
	kc_chan_t *ch, *gate;
	struct caller *all;
	kc_cancel_t *over;	    /* set by the first who is done: nobody waits for who is gone */
	kc_cancel_t *tokens[CALLS]; /* below it, one for each call */
	_Atomic unsigned at;	    /* the call it is in */
	bool closes;
	unsigned who;
	uint64_t random;
};

/* A batch is not one step, so its elements are told as calls at the same time. */
static void call_batch(struct caller *c, enum kct_verb verb, uint32_t value, long timeout)
{
	kc_cancel_t *token = c->tokens[atomic_load(&c->at)];
	uint32_t v[2] = { value, value | 0x8000 };
	struct kct_deed *d[2];
	long n;

	for (int i = 0; i < 2; i++)
		d[i] = kct_history_begin(c->h, c->who, verb, timeout == 0, v[i]);
	n = verb == KCT_SEND ? kc_chan_send_many(c->ch, v, 2, timeout, token)
			     : kc_chan_recv_many(c->ch, v, 2, timeout, token);
	/* what was not moved had no effect, for whatever reason */
	for (int i = 0; i < 2; i++)
		kct_history_end(c->h, d[i], i < n ? 0 : n < 0 && i == 0 ? n : KC_ECANCELED, v[i]);
}

static void call(struct caller *c, uint32_t value)
{
	uint64_t dice = kct_random(&c->random) % 64;
	/* one may wait for all the others, who do the same: not for long, then */
	long timeout = dice % 4 < 2 ? 0 : 1 + (long)(dice % 4 - 2);
	unsigned at = atomic_load(&c->at);
	struct caller *other;
	struct kct_deed *d;
	uint32_t got = 0;
	long r;

	if (dice == 0 && c->closes) {
		d = kct_history_begin(c->h, c->who, KCT_CLOSE, false, 0);
		kct_history_end(c->h, d, kc_chan_close(c->ch), 0);
	} else if (dice == 1) {
		d = kct_history_begin(c->h, c->who, KCT_PURGE, false, 0);
		kct_history_end(c->h, d, kc_chan_purge(c->ch), 0);
	} else if (dice < 6) {
		d = kct_history_begin(c->h, c->who, KCT_LEN, false, 0);
		kct_history_end(c->h, d, kc_chan_len(c->ch), 0);
	} else if (dice < 12) {
		/* often it sleeps, and is still asleep when a third one serves it */
		other = &c->all[kct_random(&c->random) % CALLERS];
		kc_cancel_trigger(other->tokens[atomic_load(&other->at)]);
	} else if (dice < 34) {
		d = kct_history_begin(c->h, c->who, KCT_SEND, timeout == 0, value);
		kct_history_end(c->h, d, kc_chan_send_c(c->ch, &value, timeout, c->tokens[at]), 0);
	} else if (dice < 38) {
		call_batch(c, KCT_SEND, value, timeout);
	} else if (dice < 42) {
		call_batch(c, KCT_RECV, 0, timeout);
	} else {
		d = kct_history_begin(c->h, c->who, KCT_RECV, timeout == 0, 0);
		r = kc_chan_recv_c(c->ch, &got, timeout, c->tokens[at]);
		kct_history_end(c->h, d, r, got);
	}
}

static long caller_main(void *arg)
{
	struct caller *c = arg;
	char none;

	/* they all begin when it is closed */
	if (kc_chan_recv(c->gate, &none, -1) != KC_EPIPE)
		return __LINE__;
	for (uint32_t i = 0; i < CALLS; i++) {
		atomic_store(&c->at, i);
		call(c, c->who << 16 | i);
		if (kct_random(&c->random) % 4 == 0)
			kc_yield();
	}
	kc_cancel_trigger(c->over);
	return 0;
}

static struct kct_history history;

static void play(unsigned round, enum who who, kc_sched_t *s, uint64_t *random)
{
	size_t kind = round % ARRAY(kinds);
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	bool closes = kct_random(random) % 2;
	struct caller callers[CALLERS];
	struct kct_call calls[CALLERS];
	kc_cancel_t *over;
	kc_chan_t *ch, *gate;

	o.kind = kinds[kind].kind;
	o.elem_size = sizeof(uint32_t);
	o.overflow = kinds[kind].overflow;
	if (o.kind == KC_UNLIMITED)
		o.max_bytes = kinds[kind].capacity * sizeof(uint32_t);
	else
		o.capacity = kinds[kind].capacity;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_make(&gate, KC_RENDEZVOUS, 1, 0), 0);
	assert_int_equal(kc_cancel_init(&over), 0);
	kct_history_init(&history, o.kind, kinds[kind].capacity, o.overflow);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){
			.h = &history,
			.ch = ch,
			.gate = gate,
			.all = callers,
			.over = over,
			.closes = closes,
			.who = i,
			.random = kct_random(random),
		};
		for (unsigned k = 0; k < CALLS; k++)
			assert_int_equal(kc_cancel_init_child(&callers[i].tokens[k], over), 0);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		record_caller_in(i, who, s);
		kct_call_start(&calls[i], caller_main, &callers[i]);
	}
	record_open(gate, who, s);
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	for (unsigned i = 0; i < CALLERS; i++)
		for (unsigned k = 0; k < CALLS; k++)
			kc_cancel_destroy(callers[i].tokens[k]);
	kc_cancel_destroy(over);
	kc_chan_destroy(gate);
	kc_chan_destroy(ch);
}

static const struct recorder recorder = {
	.rounds = ROUNDS * ARRAY(kinds),
	.h = &history,
	.n = 1,
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(histories_of_threads),
		KCT_TEST(histories_of_coroutines),
		KCT_TEST(histories_of_both),
		KCT_TEST(histories_in_an_order_that_is_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
