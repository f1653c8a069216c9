/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callers see of a local channel while others use it can be explained, for each kind,
 * by calls that took place one after the other (recorder.h).
 */
#include "kcoro.h"
#include "libkcoro-client/sched/sanitize.h"
#include "tests/lib/kct.h"
#include "tests/unit/recorder.h"

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

/* A channel, and what was done to it. */
static struct stage {
	struct kct_history h;
	kc_chan_t *ch;
	bool closes;
} stage;

/* A batch is not one step, so its elements are told as calls at the same time. */
static void call_batch(struct caller *c, enum kct_verb verb, uint32_t value, long timeout)
{
	struct stage *st = c->stage;
	kc_cancel_t *token = record_token(c);
	uint32_t v[2] = { value, value | 0x8000 };
	struct kct_deed *d[2];
	long n;

	for (int i = 0; i < 2; i++)
		d[i] = kct_history_begin(&st->h, c->who, verb, timeout == 0, v[i]);
	n = verb == KCT_SEND ? kc_chan_send_many(st->ch, v, 2, timeout, token)
			     : kc_chan_recv_many(st->ch, v, 2, timeout, token);
	/* what was not moved had no effect, for whatever reason */
	for (int i = 0; i < 2; i++)
		kct_history_end(&st->h, d[i], i < n ? 0 : n < 0 && i == 0 ? n : KC_ECANCELED, v[i]);
}

static void call(struct caller *c, uint32_t value)
{
	uint64_t dice = kct_random(&c->random) % 64;
	/* one may wait for all the others, who do the same: not for long, then */
	long timeout = dice % 4 < 2 ? 0 : 1 + (long)(dice % 4 - 2);
	kc_cancel_t *token = record_token(c);
	struct stage *st = c->stage;
	struct kct_deed *d;
	uint32_t got = 0;
	long r;

	if (dice == 0 && st->closes) {
		d = kct_history_begin(&st->h, c->who, KCT_CLOSE, false, 0);
		kct_history_end(&st->h, d, kc_chan_close(st->ch), 0);
	} else if (dice == 1) {
		d = kct_history_begin(&st->h, c->who, KCT_PURGE, false, 0);
		kct_history_end(&st->h, d, kc_chan_purge(st->ch), 0);
	} else if (dice < 6) {
		d = kct_history_begin(&st->h, c->who, KCT_LEN, false, 0);
		kct_history_end(&st->h, d, kc_chan_len(st->ch), 0);
	} else if (dice < 12) {
		/* often it sleeps, and is still asleep when a third one serves it */
		kc_cancel_trigger(record_token(&c->all[kct_random(&c->random) % CALLERS]));
	} else if (dice < 34) {
		d = kct_history_begin(&st->h, c->who, KCT_SEND, timeout == 0, value);
		kct_history_end(&st->h, d, kc_chan_send_c(st->ch, &value, timeout, token), 0);
	} else if (dice < 38) {
		call_batch(c, KCT_SEND, value, timeout);
	} else if (dice < 42) {
		call_batch(c, KCT_RECV, 0, timeout);
	} else {
		d = kct_history_begin(&st->h, c->who, KCT_RECV, timeout == 0, 0);
		r = kc_chan_recv_c(st->ch, &got, timeout, token);
		kct_history_end(&st->h, d, r, got);
	}
}

static void play(unsigned round, enum who who, kc_sched_t *s, uint64_t *random)
{
	size_t kind = round % ARRAY(kinds);
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	o.kind = kinds[kind].kind;
	o.elem_size = sizeof(uint32_t);
	o.overflow = kinds[kind].overflow;
	if (o.kind == KC_UNLIMITED)
		o.max_bytes = kinds[kind].capacity * sizeof(uint32_t);
	else
		o.capacity = kinds[kind].capacity;
	stage.closes = kct_random(random) % 2;
	assert_int_equal(kc_chan_make_ex(&stage.ch, &o), 0);
	kct_history_init(&stage.h, o.kind, kinds[kind].capacity, o.overflow);
	record_calls(&stage, call, CALLS, who, s, random);
	kc_chan_destroy(stage.ch);
}

static const struct recorder recorder = {
	.rounds = ROUNDS * ARRAY(kinds),
	.h = &stage.h,
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
