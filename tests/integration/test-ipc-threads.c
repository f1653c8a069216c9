/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many threads on one connection to a real kcorod, and running out of memory.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "kcoro.h"
#include "tests/integration/ipc-relay.h"
#include "tests/lib/kcorod.h"

static struct kc_chan_options buffered(size_t elem_size, size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	o.elem_size = elem_size;
	o.capacity = capacity;
	return o;
}

static kc_chan_t *make(kc_ipc_conn_t *conn, const char *name, struct kc_chan_options o)
{
	kc_chan_t *ch;
	int r = kc_ipc_chan_make(conn, name, &o, NULL, &ch);

	if (r < 0)
		fail_msg("%s: %d %s", name, r, kc_error_detail());
	return ch;
}

/* Destroy in the daemon, and give the handle back. */
static void finish(kc_chan_t *ch)
{
	assert_int_equal(kc_ipc_chan_destroy(ch), 0);
	kc_chan_destroy(ch);
}

/* ---- threads ------------------------------------------------------------------------------ */

#define THREADS 12
#define ROUNDS	60

struct mixed {
	kc_ipc_conn_t *conn;
	unsigned number;
};

static int count_listed(const struct kc_ipc_chan_info *info, void *arg)
{
	++*(int *)arg;
	return 0;
}

/* A channel of its own and one of all, made, used, asked about, given back. */
static long mixed_main(void *arg)
{
	const struct kc_chan_options own = buffered(8, 2), shared = buffered(8, THREADS * 2);
	struct mixed *m = arg;
	struct kc_ipc_chan_info info;
	kc_chan_t *a, *b;
	char name[32];
	uint64_t value;
	int n = 0;

	(void)snprintf(name, sizeof(name), "mixed/t%u", m->number);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		if (kc_ipc_chan_make(m->conn, name, &own, NULL, &a) < 0 ||
		    kc_ipc_chan_make(m->conn, "mixed/all", &shared, NULL, &b) < 0)
			return __LINE__;
		if (kc_chan_send(a, &i, -1) < 0 || kc_chan_send(b, &i, -1) < 0)
			return __LINE__;
		if (kc_chan_recv(b, &value, -1) < 0 || kc_chan_recv(a, &value, -1) < 0)
			return __LINE__;
		if (value != i || kc_chan_recv(a, &value, 1) != KC_ETIME)
			return __LINE__;
		if (kc_ipc_chan_info(a, &info) < 0 || info.ledger.received != 1)
			return __LINE__;
		if (i % 10 == 0 && kc_ipc_list(m->conn, count_listed, &n) < 0)
			return __LINE__;
		if (kc_ipc_ping(m->conn) < 0 || kc_ipc_chan_destroy(a) < 0)
			return __LINE__;
		kc_chan_destroy(a);
		kc_chan_destroy(b);
	}
	return n >= ROUNDS / 10 ? 0 : __LINE__;
}

static void many_threads_share_a_connection(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	struct kct_call calls[THREADS];
	struct mixed m[THREADS];
	kc_chan_t *ch;

	for (unsigned i = 0; i < THREADS; i++) {
		m[i] = (struct mixed){ .conn = conn, .number = i };
		kct_call_start(&calls[i], mixed_main, &m[i]);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	assert_int_equal(kc_ipc_chan_open(conn, "mixed/all", NULL, &ch), 0);
	finish(ch);
	kc_ipc_disconnect(conn);
}

/* Both directions of one connection full at the same time: nobody may be stuck. */
#define BIG	   ((size_t)1 << 20)
#define BIG_ROUNDS 20

static long big_send_main(void *arg)
{
	static unsigned char bytes[BIG];
	int r = 0;

	for (int i = 0; i < BIG_ROUNDS && r == 0; i++)
		r = kc_chan_send_msg(arg, bytes, sizeof(bytes), -1);
	return r;
}

static long big_recv_main(void *arg)
{
	static _Thread_local unsigned char bytes[BIG];
	size_t len = 0;
	int r = 0;

	for (int i = 0; i < BIG_ROUNDS && r == 0; i++) {
		r = kc_chan_recv_msg(arg, bytes, sizeof(bytes), &len, -1);
		if (r == 0 && len != BIG)
			return __LINE__;
	}
	return r;
}

static void large_messages_pass_in_both_directions(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	struct kct_call calls[8];
	kc_chan_t *ch;

	o.capacity = 4;
	o.max_msg = BIG;
	ch = make(conn, "big", o);
	for (int i = 0; i < 8; i++)
		kct_call_start(&calls[i], i < 4 ? big_send_main : big_recv_main, ch);
	for (int i = 0; i < 8; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	finish(ch);
	kc_ipc_disconnect(conn);
}

/* With a cancellation pending: the first cancellation point would end the thread. */
static void *cancelled_main(void *arg)
{
	uint64_t value = 1;

	(void)pthread_cancel(pthread_self());
	if (kc_chan_send(arg, &value, -1) == 0 && kc_chan_recv(arg, &value, -1) == 0 &&
	    kc_chan_recv(arg, &value, KCT_SHORT_MS) == KC_ETIME &&
	    kc_chan_send(arg, &value, -1) == 0)
		return arg;
	return NULL;
}

static void no_call_is_a_cancellation_point(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	kc_chan_t *ch = make(conn, "cancelled", buffered(8, 4));
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, cancelled_main, ch), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, ch);
	assert_int_equal(kc_chan_len(ch), 1);
	finish(ch);
	kc_ipc_disconnect(conn);
}

/* ---- no memory ------------------------------------------------------------------------------ */

/* All of it, until something fails. Whatever was begun is ended. */
static int a_bit_of_everything(void)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	const struct kc_msg msgs[2] = { { "one", 3 }, { "three", 5 } };
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_chan_info info;
	struct kc_lease leases[2];
	kc_ipc_conn_t *conn = NULL;
	kc_chan_t *ch = NULL;
	struct kc_msg got[2];
	char buf[64];
	size_t len;
	long r;
	int n = 0;

	open.credit = 4;
	o.capacity = 8;
	r = kc_ipc_connect(&conn, kct_kcorod.path);
	if (r == 0)
		r = kc_ipc_chan_make(conn, "memory", &o, &open, &ch);
	if (r == 0)
		r = kc_chan_send_msgs(ch, msgs, 2, -1, NULL);
	if (r >= 0)
		r = kc_chan_recv_msg(ch, buf, sizeof(buf), &len, -1);
	if (r == 0)
		r = kc_chan_recv_leases(ch, buf, sizeof(buf), got, leases, 1, -1, NULL);
	if (r >= 0)
		r = kc_chan_ack_many(ch, leases, 1);
	if (r >= 0)
		r = kc_ipc_chan_info(ch, &info);
	if (r == 0)
		r = kc_ipc_list(conn, count_listed, &n);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	return r < 0 ? (int)r : 0;
}

static void running_out_of_memory_is_survived(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	kc_chan_t *ch;
	long tried;
	int r;

	kct_alloc_fail_from(0);
	assert_int_equal(a_bit_of_everything(), 0);
	tried = kct_alloc_fail_end();
	assert_true(tried > 10);
	for (long i = 1; i <= tried; i++) {
		kct_alloc_fail_from(i);
		r = a_bit_of_everything();
		(void)kct_alloc_fail_end();
		/* one that can do without is no failure */
		if (r != 0 && r != KC_ENOMEM && r != KC_ECONNRESET)
			fail_msg("allocation %ld: %d %s", i, r, kc_error_detail());
		/* what it left behind would be in the way of the next */
		if (kc_ipc_chan_open(conn, "memory", NULL, &ch) == 0)
			finish(ch);
	}
	kc_ipc_disconnect(conn);
}

/* The connection breaks, and there is no memory to come back with. */
static void running_out_of_memory_during_a_resume_is_survived(void **state)
{
	struct relay relay;
	int resumed = 0;
	int lost = 0;

	relay_start(&relay, kct_kcorod.path, kct_seed(), /* cut_max= */ 1);
	for (long i = 1; resumed == 0; i++) {
		kc_ipc_conn_t *conn;
		int r;

		assert_int_equal(kc_ipc_connect(&conn, relay.path), 0);
		atomic_store(&relay.allowed, 1);
		kct_alloc_fail_from(i);
		r = kc_ipc_ping(conn);
		(void)kct_alloc_fail_end();
		if (r != 0 && r != KC_ENOMEM && r != KC_ECONNRESET)
			fail_msg("allocation %ld: %d %s", i, r, kc_error_detail());
		if (r == 0)
			resumed++;
		else
			lost++;
		kc_ipc_disconnect(conn);
	}
	assert_true(lost > 0);
	relay_stop(&relay);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(many_threads_share_a_connection),
	KCT_TEST(large_messages_pass_in_both_directions),
	KCT_TEST(no_call_is_a_cancellation_point),
	KCT_TEST(running_out_of_memory_is_survived),
	KCT_TEST(running_out_of_memory_during_a_resume_is_survived),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
