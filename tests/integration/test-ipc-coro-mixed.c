/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coroutines on connections to a real kcorod, beside threads on the same ones; and those of a
 * scheduler whose clock is virtual.
 */
#include <stdio.h>

#include "kcoro.h"
#include "tests/integration/ipc-coro.h"
#include "tests/lib/kcorod.h"

/* ---- a deterministic scheduler ---------------------------------------------------------- */

/* Its thread waits, and kcorod watches the deadline, by a clock that goes on. */
static long virtual_clock(void *arg)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	uint64_t value = 1;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	(void)arg;
	o.elem_size = sizeof(value);
	o.capacity = 4;
	open.credit = 4;
	if (kc_ipc_connect(&conn, kct_kcorod.path) < 0 ||
	    kc_ipc_chan_make(conn, "virtual", &o, &open, &ch) < 0)
		return __LINE__;
	if (kc_chan_recv(ch, &value, KCT_SHORT_MS) != KC_ETIME ||
	    kc_chan_send(ch, &value, -1) < 0 || kc_chan_recv(ch, &value, -1) < 0 ||
	    kc_ipc_chan_destroy(ch) < 0)
		return __LINE__;
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	return 0;
}

static void a_virtual_clock_holds_nothing_up(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *sched;
	kc_coro_t *co;
	long line;

	(void)state;
	o.flags = KC_SCHED_DETERMINISTIC;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	assert_int_equal(kc_spawn(&co, sched, virtual_clock, NULL), 0);
	assert_int_equal(kc_sched_run(sched), 0);
	assert_int_equal(kc_join(co, &line, 0), 0);
	assert_int_equal(line, 0);
	assert_int_equal(kc_sched_destroy(sched), 0);
}

/* ---- threads and coroutines ---------------------------------------------------------------- */

#define THREADS 4
#define COROS	12
#define ROUNDS	200

struct player {
	kc_ipc_conn_t *conn;
	unsigned number;
};

/* A channel of its own and one of all. */
static long play(void *arg)
{
	const struct player *p = arg;
	kc_chan_t *own, *all;
	char name[32];
	uint64_t value;

	(void)snprintf(name, sizeof(name), "mixed/n%u", p->number);
	if (coro_chan_make(p->conn, name, 1, &own) < 0 ||
	    coro_chan_make(p->conn, "mixed/all", 64, &all) < 0)
		return __LINE__;
	for (uint64_t i = 0; i < ROUNDS; i++) {
		if (kc_chan_send(own, &i, -1) < 0 || kc_chan_send(all, &i, -1) < 0)
			return __LINE__;
		if (kc_chan_recv(all, &value, -1) < 0 || kc_chan_recv(own, &value, -1) < 0 ||
		    value != i)
			return __LINE__;
		if (i % 50 == 0 &&
		    (kc_chan_recv(own, &value, 1) != KC_ETIME || kc_ipc_ping(p->conn) < 0))
			return __LINE__;
	}
	if (kc_ipc_chan_destroy(own) < 0)
		return __LINE__;
	kc_chan_destroy(own);
	kc_chan_destroy(all);
	return 0;
}

static void both_on_one_connection(unsigned workers)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct kct_call calls[THREADS + COROS];
	struct player p[THREADS + COROS];
	kc_ipc_conn_t *conn;
	kc_sched_t *sched;
	kc_chan_t *all;

	o.workers = workers;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	conn = kct_client(kct_kcorod.path);
	for (unsigned i = 0; i < THREADS + COROS; i++) {
		p[i] = (struct player){ .conn = conn, .number = i };
		kct_calls_in(i < THREADS ? NULL : sched);
		kct_call_start(&calls[i], play, &p[i]);
	}
	kct_calls_in(NULL);
	for (unsigned i = 0; i < THREADS + COROS; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	assert_int_equal(kc_ipc_chan_open(conn, "mixed/all", NULL, &all), 0);
	assert_int_equal(kc_chan_len(all), 0);
	assert_int_equal(kc_ipc_chan_destroy(all), 0);
	kc_chan_destroy(all);
	kc_ipc_disconnect(conn);
	assert_int_equal(kc_sched_destroy(sched), 0);
}

static void threads_and_coroutines_share_a_connection(void **state)
{
	(void)state;
	both_on_one_connection(1);
	both_on_one_connection(3);
}

/* A coroutine reads for a thread, and then a thread for a coroutine. */
static void either_reads_for_the_other(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_ipc_conn_t *conn, *ask;
	kc_chan_t *ch[2], *tx[2];
	kc_sched_t *sched;

	(void)state;
	o.workers = 1;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	conn = kct_client(kct_kcorod.path);
	ask = kct_client(kct_kcorod.path);
	for (int i = 0; i < 2; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "either/n%d", i);
		assert_int_equal(coro_chan_make(conn, name, 1, &ch[i]), 0);
		assert_int_equal(kc_ipc_chan_open(ask, name, NULL, &tx[i]), 0);
	}
	for (int first = 0; first < 2; first++) {
		struct receiver r[2];
		struct kct_call calls[2];

		/* the first one to wait reads; the thread is number 0 */
		for (int k = 0; k < 2; k++) {
			int i = k ? !first : first;

			r[i] = (struct receiver){ .ch = ch[i], .timeout_ms = -1 };
			kct_calls_in(i == 0 ? NULL : sched);
			kct_call_start(&calls[i], receiver_main, &r[i]);
			assert_true(receivers_wait(tx[i], 1));
		}
		kct_calls_in(NULL);
		/* the other one's element, and then its own */
		for (int k = 0; k < 2; k++) {
			int i = k ? first : !first;
			uint64_t value = (uint64_t)i + 1;

			assert_int_equal(kc_chan_send(tx[i], &value, -1), 0);
			assert_int_equal(kct_call_join(&calls[i]), 0);
			assert_int_equal(r[i].value, value);
		}
		/* and the reader's own first: the role goes over */
		for (int k = 0; k < 2; k++) {
			int i = k ? !first : first;

			kct_calls_in(i == 0 ? NULL : sched);
			kct_call_start(&calls[i], receiver_main, &r[i]);
			assert_true(receivers_wait(tx[i], 1));
		}
		kct_calls_in(NULL);
		for (int k = 0; k < 2; k++) {
			int i = k ? !first : first;
			uint64_t value = (uint64_t)i + 3;

			assert_int_equal(kc_chan_send(tx[i], &value, -1), 0);
			assert_int_equal(kct_call_join(&calls[i]), 0);
			assert_int_equal(r[i].value, value);
		}
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kc_ipc_chan_destroy(tx[i]), 0);
		kc_chan_destroy(tx[i]);
		kc_chan_destroy(ch[i]);
	}
	kc_ipc_disconnect(ask);
	kc_ipc_disconnect(conn);
	assert_int_equal(kc_sched_destroy(sched), 0);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(a_virtual_clock_holds_nothing_up),
	KCT_TEST(threads_and_coroutines_share_a_connection),
	KCT_TEST(either_reads_for_the_other),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
