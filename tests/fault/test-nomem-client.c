/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library without memory, against a real kcorod: one allocation after the other fails,
 * alone or with all after it, in every call there is. A call that was refused had no
 * effect, succeeds when it is made again, and no element is lost or doubled by it.
 */
#include <stdio.h>
#include <string.h>

#include <kcoro.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"

#define NTH_MAX 500
#define CAPACITY 8u

static struct kct_daemon kcorod;

/* ---- memory ----------------------------------------------------------------- */

static long fail_nth, tried;
static bool fail_all;

static bool must_fail(size_t size)
{
	(void)size;
	tried++;
	return fail_nth > 0 && (tried == fail_nth || (fail_all && tried > fail_nth));
}

static void fail_from(long nth, bool all)
{
	fail_nth = nth;
	fail_all = all;
	tried = 0;
	kci_alloc_set_hook(must_fail);
}

static long memory_back(void)
{
	kci_alloc_set_hook(NULL);
	return tried;
}

/* ---- what the calls work with ----------------------------------------------- */

/* Two connections: one sends, the other receives, in three ways. */
static struct {
	kc_ipc_conn_t *conns[2];
	kc_chan_t *out, *in;     /* fixed elements */
	kc_chan_t *ahead;        /* the same channel, with credit */
	kc_chan_t *lease;        /* the same channel, for leases */
	kc_chan_t *msg_out, *msg_in;
	kc_chan_t *extra;        /* what a call made */
	kc_ipc_conn_t *extra_conn;
	struct kc_lease held;
	uint64_t next, expected; /* values sent, received */
} x;

static char message[100000], buffer[100000];

static void open_receivers(void)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;

	assert_int_equal(kc_ipc_connect(&x.conns[1], kcorod.path), 0);
	open.roles = KC_RECEIVER;
	assert_int_equal(kc_ipc_chan_open(x.conns[1], "fixed", &open, &x.in), 0);
	assert_int_equal(kc_ipc_chan_open(x.conns[1], "fixed", &open, &x.lease), 0);
	assert_int_equal(kc_ipc_chan_open(x.conns[1], "messages", &open, &x.msg_in), 0);
}

static void close_receivers(void)
{
	kc_chan_destroy(x.in);
	kc_chan_destroy(x.ahead);
	kc_chan_destroy(x.lease);
	kc_chan_destroy(x.msg_in);
	kc_ipc_disconnect(x.conns[1]);
}

static void begin(void)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;

	memset(&x, 0, sizeof(x));
	assert_int_equal(kc_ipc_connect(&x.conns[0], kcorod.path), 0);
	o.kind = KC_BUFFERED;
	o.elem_size = sizeof(uint64_t);
	o.capacity = CAPACITY;
	open.roles = KC_SENDER;
	assert_int_equal(kc_ipc_chan_make(x.conns[0], "fixed", &o, &open, &x.out), 0);
	o.kind = KC_UNLIMITED;
	o.elem_size = 0;
	o.capacity = 0;
	o.max_msg = sizeof(message);
	assert_int_equal(kc_ipc_chan_make(x.conns[0], "messages", &o, &open, &x.msg_out), 0);
	open_receivers();
}

static void finish(void)
{
	kc_chan_t *books[] = { x.out, x.msg_out };

	for (size_t i = 0; i < KC_ARRAY_SIZE(books); i++) {
		struct kc_ipc_chan_info info;

		assert_int_equal(kc_ipc_chan_info(books[i], &info), 0);
		assert_int_equal(kc_ledger_balance(&info.ledger), 0);
		assert_int_equal(info.ledger.lost_consumer, 0);
		assert_int_equal(info.len, 0);
		if (books[i] == x.out) {
			assert_int_equal(info.ledger.sent, x.next);
			assert_int_equal(info.ledger.received + info.ledger.dropped_purged, x.next);
		}
		assert_int_equal(kc_ipc_chan_destroy(books[i]), 0);
	}
	close_receivers();
	kc_chan_destroy(x.out);
	kc_chan_destroy(x.msg_out);
	kc_ipc_disconnect(x.conns[0]);
}

/* ---- before and after ------------------------------------------------------- */

static void put(unsigned n)
{
	for (; n > 0; n--) {
		uint64_t value = x.next++;

		assert_int_equal(kc_chan_send(x.out, &value, 0), 0);
	}
}

static void put_one(void)
{
	put(1);
}

static void put_all(void)
{
	put(CAPACITY);
}

/* All that was sent is there once, in order, and nothing else. */
static void get_from(kc_chan_t *ch)
{
	uint64_t value;
	int r;

	while ((r = kc_chan_recv(ch, &value, x.expected < x.next ? -1 : 0)) == 0)
		assert_int_equal(value, x.expected++);
	assert_int_equal(r, KC_EAGAIN);
	assert_int_equal(x.expected, x.next);
}

static void get_all(void)
{
	get_from(x.in);
}

static void open_ahead_again(void)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;

	open.roles = KC_RECEIVER;
	open.credit = CAPACITY;
	assert_int_equal(kc_ipc_chan_open(x.conns[1], "fixed", &open, &x.ahead), 0);
}

static void open_ahead(void)
{
	open_ahead_again();
	put_all(); /* they are in the socket, not read */
}

static void get_ahead(void)
{
	get_from(x.ahead);
	kc_chan_destroy(x.ahead);
	x.ahead = NULL;
}

static void take_lease(void)
{
	uint64_t value;
	size_t len;

	put_one();
	assert_int_equal(kc_chan_recv_lease(x.lease, &value, sizeof(value), &len, &x.held, -1, NULL),
			 0);
	assert_int_equal(value, x.expected);
}

static void ack(void)
{
	assert_int_equal(kc_chan_ack(x.lease, &x.held), 0);
	x.expected++;
	get_all();
}

static void was_acked(void)
{
	x.expected++;
	get_all();
}

static void put_message(void)
{
	assert_int_equal(kc_chan_send_msg(x.msg_out, message, sizeof(message), -1), 0);
}

static void get_message(void)
{
	size_t len;

	assert_int_equal(kc_chan_recv_msg(x.msg_in, buffer, sizeof(buffer), &len, -1), 0);
	assert_int_equal(len, sizeof(message));
	assert_memory_equal(buffer, message, len);
	assert_int_equal(kc_chan_recv_msg(x.msg_in, buffer, sizeof(buffer), &len, 0), KC_EAGAIN);
}

static void close_extra(void)
{
	kc_chan_destroy(x.extra);
	x.extra = NULL;
}

static void destroy_extra(void)
{
	int r = kc_ipc_chan_destroy(x.extra);

	assert_true(r == 0 || r == KC_ENOENT);
	close_extra();
}

static void disconnect_extra(void)
{
	kc_ipc_disconnect(x.extra_conn);
	x.extra_conn = NULL;
}

/* ---- the calls -------------------------------------------------------------- */

static long call_connect(void)
{
	return kc_ipc_connect(&x.extra_conn, kcorod.path);
}

static long call_ping(void)
{
	return kc_ipc_ping(x.conns[0]);
}

static long call_make(void)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;

	o.kind = KC_UNLIMITED;
	o.elem_size = 8;
	o.capacity = 0;
	open.credit = 4;
	return kc_ipc_chan_make(x.conns[0], "extra", &o, &open, &x.extra);
}

static void make_extra(void)
{
	assert_int_equal(call_make(), 0);
}

static long call_open(void)
{
	return kc_ipc_chan_open(x.conns[1], "fixed", NULL, &x.extra);
}

static long call_open_id(void)
{
	return kc_ipc_chan_open_id(x.conns[1], kc_ipc_chan_id(x.out), NULL, &x.extra);
}

static long call_close(void)
{
	return kc_chan_close(x.extra);
}

static long call_destroy(void)
{
	return kc_ipc_chan_destroy(x.extra);
}

static long call_send(void)
{
	uint64_t value = x.next;
	long r = kc_chan_send(x.out, &value, -1);

	x.next += r == 0;
	return r;
}

static long call_send_in_vain(void)
{
	uint64_t value = 0;
	long r = kc_chan_send(x.out, &value, KCT_SHORT_MS);

	return r == KC_ETIME ? 0 : r;
}

static long call_send_many(void)
{
	uint64_t values[CAPACITY];
	long r;

	for (unsigned i = 0; i < CAPACITY; i++)
		values[i] = x.next + i;
	r = kc_chan_send_many(x.out, values, CAPACITY, -1, NULL);
	x.next += r > 0 ? (uint64_t)r : 0;
	return r;
}

static long call_recv(void)
{
	uint64_t value;
	long r = kc_chan_recv(x.in, &value, -1);

	if (r == 0)
		assert_int_equal(value, x.expected++);
	return r;
}

static long call_recv_in_vain(void)
{
	uint64_t value;
	long r = kc_chan_recv(x.in, &value, KCT_SHORT_MS);

	return r == KC_ETIME ? 0 : r;
}

static long call_recv_ahead(void)
{
	uint64_t value;
	long r = kc_chan_recv(x.ahead, &value, -1);

	if (r == 0)
		assert_int_equal(value, x.expected++);
	return r;
}

static long call_recv_many(void)
{
	uint64_t values[CAPACITY];
	long r = kc_chan_recv_many(x.in, values, CAPACITY, -1, NULL);

	for (long i = 0; i < r; i++)
		assert_int_equal(values[i], x.expected++);
	return r;
}

static long call_send_msg(void)
{
	return kc_chan_send_msg(x.msg_out, message, sizeof(message), -1);
}

static long call_recv_msg(void)
{
	size_t len;

	memset(buffer, 0, sizeof(buffer));
	return kc_chan_recv_msg(x.msg_in, buffer, sizeof(buffer), &len, -1);
}

static void was_received(void)
{
	size_t len;

	assert_memory_equal(buffer, message, sizeof(message));
	assert_int_equal(kc_chan_recv_msg(x.msg_in, buffer, sizeof(buffer), &len, 0), KC_EAGAIN);
}

static long call_recv_lease(void)
{
	uint64_t value;
	size_t len;
	long r = kc_chan_recv_lease(x.lease, &value, sizeof(value), &len, &x.held, -1, NULL);

	if (r == 0)
		assert_int_equal(value, x.expected);
	return r;
}

static long call_ack(void)
{
	return kc_chan_ack(x.lease, &x.held);
}

static long call_nack(void)
{
	return kc_chan_nack(x.lease, &x.held);
}

static long call_extend(void)
{
	return kc_chan_extend(x.lease, &x.held, 20000);
}

static long call_purge(void)
{
	return kc_chan_purge(x.out);
}

static void was_purged(void)
{
	x.expected = x.next;
	get_all();
}

static long call_len(void)
{
	return kc_chan_len(x.in);
}

static long call_info(void)
{
	struct kc_ipc_chan_info info;

	return kc_ipc_info(x.conns[0], "fixed", 0, &info);
}

static int count_listed(const struct kc_ipc_chan_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static long call_list(void)
{
	int n = 0;
	long r = kc_ipc_list(x.conns[0], count_listed, &n);

	if (r == 0)
		assert_int_equal(n, 2);
	return r;
}

static long call_stats(void)
{
	struct kc_ipc_daemon_stats stats;

	return kc_ipc_stats(x.conns[0], &stats);
}

static const struct {
	const char *name;
	void (*before)(void);
	long (*call)(void);
	void (*after)(void);
} calls[] = {
	{ "connect", NULL, call_connect, disconnect_extra },
	{ "ping", NULL, call_ping, NULL },
	{ "make", NULL, call_make, destroy_extra },
	{ "open", NULL, call_open, close_extra },
	{ "open_id", NULL, call_open_id, close_extra },
	{ "close", make_extra, call_close, destroy_extra },
	{ "destroy", make_extra, call_destroy, close_extra },
	{ "send", NULL, call_send, get_all },
	{ "send, waiting", put_all, call_send_in_vain, get_all },
	{ "send_many", NULL, call_send_many, get_all },
	{ "recv", put_one, call_recv, get_all },
	{ "recv, waiting", NULL, call_recv_in_vain, get_all },
	{ "recv, given ahead", open_ahead, call_recv_ahead, get_ahead },
	{ "recv_many", put_all, call_recv_many, get_all },
	{ "send_msg", NULL, call_send_msg, get_message },
	{ "recv_msg", put_message, call_recv_msg, was_received },
	{ "recv_lease", put_one, call_recv_lease, ack },
	{ "ack", take_lease, call_ack, was_acked },
	{ "nack", take_lease, call_nack, get_all },
	{ "extend", take_lease, call_extend, ack },
	{ "purge", put_all, call_purge, was_purged },
	{ "len", NULL, call_len, NULL },
	{ "info", NULL, call_info, NULL },
	{ "list", NULL, call_list, NULL },
	{ "stats", NULL, call_stats, NULL },
};

/* A connection that has no memory for what kcorod gives it ends, and all of it goes back: what
 * the call asked for comes to the next one. The other connection is none the worse. */
static long after_the_end(size_t i)
{
	assert_int_equal(kc_ipc_ping(x.conns[0]), 0);
	assert_int_equal(kc_ipc_ping(x.conns[1]), KC_ECONNRESET);
	close_receivers();
	x.ahead = NULL;
	open_receivers();
	if (calls[i].call == call_recv_ahead)
		open_ahead_again();
	return calls[i].call();
}

/* One call on connections that are new and have no memory yet, its nth allocation failing.
 * Returns whether it had as many. */
static bool try_nth(size_t i, long nth, bool all, unsigned *refused, unsigned *ended)
{
	long r, n;

	begin();
	if (calls[i].before)
		calls[i].before();
	fail_from(nth, all);
	r = calls[i].call();
	n = memory_back();
	if (r == KC_ENOMEM) {
		++*refused;
		r = calls[i].call();
	} else if (r == KC_ECONNRESET) {
		++*ended;
		r = after_the_end(i);
	}
	if (r < 0)
		fail_msg("%s, allocation %ld%s: %s: %s", calls[i].name, nth,
			 all ? " and all after it" : "", kc_strerror((int)r), kc_error_detail());
	if (calls[i].after)
		calls[i].after();
	finish();
	return n >= nth;
}

static void every_call_without_memory(bool all)
{
	unsigned refused = 0, ended = 0;

	for (size_t i = 0; i < KC_ARRAY_SIZE(calls); i++)
		for (long nth = 1; try_nth(i, nth, all, &refused, &ended); nth++)
			assert_in_range(nth, 1, NTH_MAX);
	printf("# %u calls were refused, %u connections ended\n", refused, ended);
	assert_true(refused > 10);
}

static void one_allocation_fails(void **state)
{
	(void)state;
	every_call_without_memory(/* all= */ false);
}

static void all_allocations_fail_from_one_on(void **state)
{
	(void)state;
	every_call_without_memory(/* all= */ true);
}

static int start(void **state)
{
	(void)state;
	memset(message, 'm', sizeof(message));
	/* what a connection held that has ended for want of memory is back soon */
	return kct_daemon_start(&kcorod, "{ \"session\": { \"grace_ms\": 100 } }", NULL);
}

static int stop(void **state)
{
	(void)state;
	return kct_daemon_stop(&kcorod);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(one_allocation_fails),
		KCT_TEST(all_allocations_fail_from_one_on),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
