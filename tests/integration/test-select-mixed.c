/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One select over channels of this process, of kcorod by several connections, and timers.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/both.h"
#include "tests/lib/kcorod.h"
#include "tests/lib/local.h"

#define CHANNELS 4u /* two local ones, then two of kcorod, by a connection each */
#define LOCAL	 2u
#define ROUNDS	 (KCI_TSAN || KCI_ASAN ? 300u : 1500u)

struct mix {
	kc_ipc_conn_t *conn[3]; /* the last one asks */
	kc_chan_t *ch[CHANNELS];
};

static void mix_make(struct mix *m, enum kc_kind kind, size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	static unsigned number;

	o.kind = kind;
	o.elem_size = sizeof(uint32_t);
	o.capacity = capacity;
	for (unsigned i = 0; i < 3; i++)
		m->conn[i] = kct_client(kct_kcorod.path);
	for (unsigned i = 0; i < CHANNELS; i++) {
		char name[32];

		if (i < LOCAL) {
			m->ch[i] = kct_chan_make(kind, capacity);
			continue;
		}
		snprintf(name, sizeof(name), "mixed/n%u", ++number);
		assert_int_equal(kc_ipc_chan_make(m->conn[i - LOCAL], name, &o, NULL, &m->ch[i]),
				 0);
	}
}

static void mix_unmake(struct mix *m)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct kc_chan_snapshot snap;

		if (m->ch[i]) {
			assert_int_equal(kc_chan_snapshot(m->ch[i], &snap), 0);
			assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
			assert_int_equal(kc_ledger_lost(&snap.ledger), 0);
			assert_int_equal(snap.ledger.leased, 0);
		}
		if (i >= LOCAL && m->ch[i])
			assert_int_equal(kc_ipc_chan_destroy(m->ch[i]), 0);
		kc_chan_destroy(m->ch[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		kc_ipc_disconnect(m->conn[i]);
}

/* Until so many wait at a channel of either kind. */
static void wait_for(struct mix *m, unsigned i, unsigned senders, unsigned receivers)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	struct kc_ipc_chan_info info;

	if (i < LOCAL) {
		kct_chan_wait_for(m->ch[i], senders, receivers);
		return;
	}
	do {
		assert_int_equal(kc_ipc_info(m->conn[2], NULL, kc_ipc_chan_id(m->ch[i]), &info), 0);
		if (info.waiting_senders == senders && info.waiting_receivers == receivers)
			return;
	} while (kci_deadline_left(deadline) > 0);
	fail_msg("nobody came to channel %u", i);
}

/* A select over all of them, and a timer, on a thread or in a coroutine of its own. */
struct chooser {
	struct kct_call call;
	struct kc_clause clauses[CHANNELS + 1];
	uint32_t values[CHANNELS];
	kc_cancel_t *token;
};

static long choose(void *arg)
{
	struct chooser *c = arg;

	return kc_select(c->clauses, CHANNELS + 1, 0, KCT_PATIENCE_MS, c->token);
}

static void chooser_start(struct chooser *c, struct mix *m, bool sends, long timer_ms)
{
	memset(c, 0, sizeof(*c));
	for (uint32_t i = 0; i < CHANNELS; i++) {
		c->values[i] = sends ? 10 + i : 0;
		c->clauses[i] = sends ? kc_clause_send(m->ch[i], &c->values[i])
				      : kc_clause_recv(m->ch[i], &c->values[i]);
	}
	c->clauses[CHANNELS] = kc_clause_after(timer_ms);
	kct_call_start(&c->call, choose, c);
	for (unsigned i = 0; i < CHANNELS && timer_ms < 0; i++)
		wait_for(m, i, sends, !sends);
}

static void nobody_is_left(struct mix *m)
{
	for (unsigned i = 0; i < CHANNELS; i++)
		wait_for(m, i, 0, 0);
}

static void whichever_gets_something_wins(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct chooser c;
		struct mix m;

		mix_make(&m, kind ? KC_BUFFERED : KC_RENDEZVOUS, (size_t)kind);
		for (uint32_t i = 0; i < CHANNELS; i++) {
			uint32_t v = 100 + i;

			chooser_start(&c, &m, false, -1);
			assert_int_equal(kc_chan_send(m.ch[i], &v, KCT_PATIENCE_MS), 0);
			assert_int_equal(kct_call_join(&c.call), i);
			assert_int_equal(c.clauses[i].result, 0);
			assert_int_equal(c.values[i], 100 + i);
			nobody_is_left(&m);
		}
		mix_unmake(&m);
	}
}

static void whichever_takes_something_wins(void **state)
{
	struct chooser c;
	struct mix m;

	mix_make(&m, KC_RENDEZVOUS, 0);
	for (uint32_t i = 0; i < CHANNELS; i++) {
		uint32_t v = 0;

		chooser_start(&c, &m, true, -1);
		assert_int_equal(kc_chan_recv(m.ch[i], &v, KCT_PATIENCE_MS), 0);
		assert_int_equal(v, 10 + i);
		assert_int_equal(kct_call_join(&c.call), i);
		assert_int_equal(c.clauses[i].result, 0);
		nobody_is_left(&m);
	}
	mix_unmake(&m);
}

static void a_timer_a_token_or_a_close_ends_it(void **state)
{
	struct chooser c;
	struct mix m;

	mix_make(&m, KC_RENDEZVOUS, 0);
	chooser_start(&c, &m, false, 2 * KCT_SHORT_MS);
	assert_int_equal(kct_call_join(&c.call), CHANNELS);
	nobody_is_left(&m);
	memset(&c, 0, sizeof(c));
	for (unsigned i = 0; i < CHANNELS; i++)
		c.clauses[i] = kc_clause_recv(m.ch[i], &c.values[i]);
	assert_int_equal(kc_cancel_init(&c.token), 0);
	kct_call_start(&c.call, choose, &c);
	for (unsigned i = 0; i < CHANNELS; i++)
		wait_for(&m, i, 0, 1);
	kc_cancel_trigger(c.token);
	assert_int_equal(kct_call_join(&c.call), KC_ECANCELED);
	kc_cancel_destroy(c.token);
	nobody_is_left(&m);
	for (unsigned i = 0; i < CHANNELS; i++) {
		chooser_start(&c, &m, false, KCT_PATIENCE_MS);
		assert_int_equal(kc_chan_close(m.ch[i]), 0);
		assert_int_equal(kct_call_join(&c.call), i);
		assert_int_equal(c.clauses[i].result, KC_EPIPE);
		/* for the others' turn */
		if (i < LOCAL)
			kc_chan_destroy(m.ch[i]);
		else
			assert_int_equal(kc_ipc_chan_destroy(m.ch[i]), 0);
		if (i >= LOCAL)
			kc_chan_destroy(m.ch[i]);
		m.ch[i] = NULL;
	}
	mix_unmake(&m);
}

static void who_is_cut_off_is_told(void **state)
{
	struct chooser c;
	struct mix m;

	mix_make(&m, KC_RENDEZVOUS, 0);
	chooser_start(&c, &m, false, -1);
	kc_ipc_disconnect(m.conn[1]);
	m.conn[1] = NULL;
	assert_int_equal(kct_call_join(&c.call), 3);
	assert_int_equal(c.clauses[3].result, KC_ECONNRESET);
	kc_chan_destroy(m.ch[3]);
	m.ch[3] = NULL;
	wait_for(&m, 2, 0, 0);
	mix_unmake(&m);
}

static void what_kcorod_has_is_not_starved(void **state)
{
	struct kc_clause clauses[2];
	uint32_t v = 1, in[2];
	unsigned won[2] = { 0, 0 };
	struct mix m;
	uint64_t deadline;

	mix_make(&m, KC_BUFFERED, 4);
	assert_int_equal(kc_chan_send(m.ch[0], &v, 0), 0);
	assert_int_equal(kc_chan_send(m.ch[2], &v, 0), 0);
	clauses[0] = kc_clause_recv(m.ch[0], &in[0]);
	clauses[1] = kc_clause_recv(m.ch[2], &in[1]);
	deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	/* this process's own is always ready */
	while (won[1] < 10 && kci_deadline_left(deadline) > 0) {
		int at = kc_select(clauses, 2, 0, -1, NULL);

		assert_in_range(at, 0, 1);
		assert_int_equal(clauses[at].result, 0);
		won[at]++;
		assert_int_equal(kc_chan_send(m.ch[at ? 2 : 0], &v, 0), 0);
	}
	assert_int_equal(won[1], 10);
	assert_true(won[0] > 0);
	mix_unmake(&m);
}

/* ---- many ------------------------------------------------------------------------------- */

struct flood {
	struct mix *m;
	unsigned which;
	kc_chan_t *quit;
	_Atomic uint32_t *seen; /* of each channel, of each number */
	_Atomic uint32_t *left;
};

static long flood_send(void *arg)
{
	struct flood *f = arg;

	for (uint32_t i = 0; i < ROUNDS; i++)
		if (kc_chan_send(f->m->ch[f->which], &i, KCT_PATIENCE_MS) != 0)
			return __LINE__;
	return 0;
}

/* Sends as well, to any: numbers from ROUNDS on. */
static long flood_send_any(void *arg)
{
	struct flood *f = arg;
	struct kc_clause clauses[CHANNELS];
	uint32_t next[CHANNELS];

	for (unsigned i = 0; i < CHANNELS; i++) {
		next[i] = ROUNDS;
		clauses[i] = kc_clause_send(f->m->ch[i], &next[i]);
	}
	for (uint32_t n = 0; n < ROUNDS * CHANNELS; n++) {
		int won = kc_select(clauses, CHANNELS, 0, KCT_PATIENCE_MS, NULL);

		if (won < 0 || clauses[won].result != 0)
			return won < 0 ? won : clauses[won].result;
		if (++next[won] == 2 * ROUNDS)
			clauses[won].kind = KC_CLAUSE_OFF;
	}
	return 0;
}

static long flood_recv(void *arg)
{
	struct flood *f = arg;
	struct kc_clause clauses[CHANNELS + 2];
	uint32_t v[CHANNELS], none;

	for (unsigned i = 0; i < CHANNELS; i++)
		clauses[i] = kc_clause_recv(f->m->ch[i], &v[i]);
	clauses[CHANNELS] = kc_clause_recv(f->quit, &none);
	clauses[CHANNELS + 1] = kc_clause_tick(1);
	for (;;) {
		int won = kc_select(clauses, CHANNELS + 2, 0, KCT_PATIENCE_MS, NULL);

		if (won == CHANNELS)
			return clauses[CHANNELS].result == KC_EPIPE ? 0 : __LINE__;
		if (won == CHANNELS + 1)
			continue;
		if (won < 0 || clauses[won].result != 0 || v[won] >= 2 * ROUNDS)
			return won < 0 ? won : __LINE__;
		atomic_fetch_add(&f->seen[(unsigned)won * 2 * ROUNDS + v[won]], 1);
		/* the last one ends it for all */
		if (atomic_fetch_sub(f->left, 1) == 1 && kc_chan_close(f->quit) != 0)
			return __LINE__;
	}
}

static void each_number_comes_once(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct kct_call tx[CHANNELS], any, rx[3];
		struct flood f, each[CHANNELS];
		_Atomic uint32_t left = CHANNELS * 2 * ROUNDS;
		struct mix m;

		mix_make(&m, kind ? KC_BUFFERED : KC_RENDEZVOUS, 3 * (size_t)kind);
		f = (struct flood){ .m = &m,
				    .left = &left,
				    .quit = kct_chan_make(KC_RENDEZVOUS, 0) };
		f.seen = calloc(CHANNELS * 2 * ROUNDS, sizeof(*f.seen));
		assert_non_null(f.seen);
		for (unsigned i = 0; i < 3; i++)
			kct_call_start(&rx[i], flood_recv, &f);
		for (unsigned i = 0; i < CHANNELS; i++) {
			each[i] = f;
			each[i].which = i;
			kct_call_start(&tx[i], flood_send, &each[i]);
		}
		kct_call_start(&any, flood_send_any, &f);
		for (unsigned i = 0; i < CHANNELS; i++)
			assert_int_equal(kct_call_join(&tx[i]), 0);
		assert_int_equal(kct_call_join(&any), 0);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(kct_call_join(&rx[i]), 0);
		for (uint32_t i = 0; i < CHANNELS * 2 * ROUNDS; i++)
			assert_int_equal(atomic_load(&f.seen[i]), 1);
		for (unsigned i = 0; i < CHANNELS; i++) {
			struct kc_chan_snapshot snap;

			assert_int_equal(kc_chan_snapshot(m.ch[i], &snap), 0);
			assert_int_equal(snap.ledger.received, 2 * ROUNDS);
			assert_int_equal(snap.len, 0);
		}
		kc_chan_destroy(f.quit);
		mix_unmake(&m);
		free(f.seen);
	}
}

/* ---- a worker of one's own -------------------------------------------------------------- */

struct worker {
	struct mix *m;
	unsigned turns;
	bool over;
};

static long select_all(void *arg)
{
	struct worker *w = arg;
	struct kc_clause clauses[CHANNELS];
	uint32_t v[CHANNELS];
	int won;

	for (unsigned i = 0; i < CHANNELS; i++)
		clauses[i] = kc_clause_recv(w->m->ch[i], &v[i]);
	won = kc_select(clauses, CHANNELS, 0, KCT_PATIENCE_MS, NULL);
	w->over = true;
	return won;
}

/* Goes on while the other one waits, and ends its wait after some turns. */
static long turn_and_send(void *arg)
{
	struct worker *w = arg;
	uint32_t v = 1;

	while (!w->over && w->turns < 1000) {
		w->turns++;
		kc_yield();
	}
	if (w->over)
		return __LINE__;
	return kc_chan_send(w->m->ch[3], &v, KCT_PATIENCE_MS);
}

static void a_select_in_a_coroutine_keeps_no_worker(void **state)
{
	kc_sched_t *s = kct_sched_make(1);
	struct worker w = { 0 };
	kc_coro_t *chooser, *other;
	struct mix m;

	mix_make(&m, KC_RENDEZVOUS, 0);
	w.m = &m;
	chooser = kct_coro_spawn(s, select_all, &w);
	other = kct_coro_spawn(s, turn_and_send, &w);
	assert_int_equal(kct_coro_join(other), 0);
	assert_int_equal(kct_coro_join(chooser), 3);
	assert_int_equal(w.turns, 1000);
	kct_sched_unmake(s);
	mix_unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_BOTH(whichever_gets_something_wins),
		KCT_BOTH(whichever_takes_something_wins),
		KCT_BOTH(a_timer_a_token_or_a_close_ends_it),
		KCT_BOTH(who_is_cut_off_is_told),
		KCT_TEST(what_kcorod_has_is_not_starved),
		KCT_BOTH(each_number_comes_once),
		KCT_TEST(a_select_in_a_coroutine_keeps_no_worker),
	};

	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
