/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leases and credit between real clients and a real kcorod: acknowledged, returned,
 * lapsed, and given back by the death of their holder.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "tests/lib/kcorod.h"

/* A channel of 64-bit numbers with a sender, and a receiver on another connection. */
struct scene {
	kc_ipc_conn_t *tx_conn;
	kc_ipc_conn_t *rx_conn;
	kc_chan_t *tx;
	kc_chan_t *rx;
	uint64_t id;
};

static struct kc_ipc_open_options receiver(unsigned credit, int lease, unsigned lease_ms)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;

	o.roles = KC_RECEIVER;
	o.credit = credit;
	o.lease = lease;
	o.lease_ms = lease_ms;
	return o;
}

static void scene_begin(struct scene *s, struct kc_ipc_open_options rx)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options tx = KC_IPC_OPEN_OPTIONS_INIT;

	tx.roles = KC_SENDER;
	o.elem_size = sizeof(uint64_t);
	o.capacity = 64;
	s->tx_conn = kct_client(kct_kcorod.path);
	s->rx_conn = kct_client(kct_kcorod.path);
	assert_int_equal(kc_ipc_chan_make(s->tx_conn, "leases", &o, &tx, &s->tx), 0);
	s->id = kc_ipc_chan_id(s->tx);
	assert_int_equal(kc_ipc_chan_open_id(s->rx_conn, s->id, &rx, &s->rx), 0);
}

static void scene_end(struct scene *s, uint64_t received)
{
	struct kc_ipc_chan_info info;

	assert_int_equal(kc_ipc_ping(s->rx_conn), 0);
	assert_int_equal(kc_ipc_chan_info(s->tx, &info), 0);
	assert_int_equal(kc_ledger_balance(&info.ledger), 0);
	assert_int_equal(info.ledger.received, received);
	assert_int_equal(kc_ledger_lost(&info.ledger), 0);
	assert_int_equal(kc_ipc_chan_destroy(s->tx), 0);
	kc_chan_destroy(s->tx);
	kc_chan_destroy(s->rx);
	kc_ipc_disconnect(s->tx_conn);
	kc_ipc_disconnect(s->rx_conn);
}

static void send_numbers(struct scene *s, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++)
		assert_int_equal(kc_chan_send(s->tx, &i, -1), 0);
}

static void recv_lease(kc_chan_t *ch, uint64_t expected, uint32_t deliveries, struct kc_lease *ret)
{
	uint64_t value = UINT64_MAX;
	size_t len = 0;

	assert_int_equal(kc_chan_recv_lease(ch, &value, sizeof(value), &len, ret, -1, NULL), 0);
	assert_int_equal(value, expected);
	assert_int_equal(len, sizeof(value));
	assert_int_equal(ret->deliveries, deliveries);
	assert_int_equal(ret->redelivered, deliveries > 1);
}

static void an_acknowledged_element_is_done(void **state)
{
	struct kc_lease lease;
	struct scene s;

	scene_begin(&s, receiver(0, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 1, 1);
	recv_lease(s.rx, 1, 1, &lease);
	assert_int_equal(kc_chan_len(s.rx), 0);
	assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	assert_int_equal(kc_chan_ack(s.rx, &lease), KC_ENOENT);
	assert_int_equal(kc_chan_nack(s.rx, &lease), KC_ENOENT);
	assert_int_equal(kc_chan_extend(s.rx, &lease, 1000), KC_ENOENT);
	scene_end(&s, 1);
}

static void a_refused_element_comes_back_marked_and_in_its_place(void **state)
{
	struct kc_lease lease;
	struct scene s;

	scene_begin(&s, receiver(0, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 1, 2);
	recv_lease(s.rx, 1, 1, &lease);
	assert_int_equal(kc_chan_nack(s.rx, &lease), 0);
	recv_lease(s.rx, 1, 2, &lease);
	assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	recv_lease(s.rx, 2, 1, &lease);
	assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	scene_end(&s, 2);
}

static void a_lapsed_lease_returns_its_element(void **state)
{
	struct kc_lease lapsed, lease;
	struct scene s;

	scene_begin(&s, receiver(0, 0, KCT_SHORT_MS));
	send_numbers(&s, 1, 1);
	recv_lease(s.rx, 1, 1, &lapsed);
	/* waits until it is back */
	recv_lease(s.rx, 1, 2, &lease);
	assert_int_equal(kc_chan_ack(s.rx, &lapsed), KC_ENOENT);
	assert_int_equal(kc_chan_extend(s.rx, &lease, 60000), 0);
	assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	scene_end(&s, 1);
}

static void many_are_acknowledged_at_once(void **state)
{
	struct kc_lease leases[40];
	struct kc_msg msgs[40];
	uint64_t values[40];
	struct scene s;
	long got = 0;

	scene_begin(&s, receiver(0, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 0, 40);
	while (got < 40) {
		long r =
			kc_chan_recv_leases(s.rx, values + got, sizeof(values) - (size_t)got * 8,
					    msgs + got, leases + got, (size_t)(40 - got), -1, NULL);

		assert_in_range(r, 1, 40 - got);
		got += r;
	}
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(values[i], i);
	/* some twice, in any order */
	leases[39] = leases[3];
	leases[0] = leases[38];
	assert_int_equal(kc_chan_ack_many(s.rx, leases, 40), 38);
	kc_chan_destroy(s.rx);
	s.rx = NULL;
	assert_int_equal(kc_chan_len(s.tx), 2);
	scene_end(&s, 38);
}

/* ---- holders that die ------------------------------------------------------------ */

struct holder {
	uint64_t id;
	struct kc_ipc_open_options open;
	int tell; /* a pipe: a byte once it holds what it should */
};

/* Takes the one lease, or lets elements be given ahead, and stops. */
static void hold(const struct holder *h)
{
	struct kc_lease lease;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	uint64_t value;
	size_t len;

	if (kc_ipc_connect(&conn, kct_kcorod.path) == 0 &&
	    kc_ipc_chan_open_id(conn, h->id, &h->open, &ch) == 0 &&
	    kc_chan_recv_lease(ch, &value, sizeof(value), &len, &lease, -1, NULL) == 0 &&
	    write(h->tell, "x", 1) == 1)
		for (;;)
			pause();
	_exit(1);
}

static pid_t start_holder(struct holder *h)
{
	int fds[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(fds), 0);
	h->tell = fds[1];
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		hold(h);
	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	return pid;
}

static void kill_holder(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(WIFSIGNALED(status));
}

static void a_lease_returns_when_its_holder_dies(void **state)
{
	struct kc_lease lease;
	struct holder h;
	struct scene s;
	pid_t pid;

	scene_begin(&s, receiver(0, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 1, 1);
	h = (struct holder){ .id = s.id, .open = receiver(0, 0, KC_LEASE_MAX_MS) };
	pid = start_holder(&h);
	assert_int_equal(kc_chan_len(s.tx), 0);
	kill_holder(pid);
	recv_lease(s.rx, 1, 2, &lease);
	assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	scene_end(&s, 1);
}

static void what_was_given_ahead_returns_unmarked(void **state)
{
	struct kc_lease lease;
	struct holder h;
	struct scene s;
	pid_t pid;

	scene_begin(&s, receiver(0, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 1, 10);
	h = (struct holder){ .id = s.id, .open = receiver(5, 1, KC_LEASE_MAX_MS) };
	pid = start_holder(&h);
	kill_holder(pid);
	/* the one its program had may have been seen; the others cannot */
	recv_lease(s.rx, 1, 2, &lease);
	assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	for (uint64_t i = 2; i <= 10; i++) {
		recv_lease(s.rx, i, 1, &lease);
		assert_int_equal(kc_chan_ack(s.rx, &lease), 0);
	}
	scene_end(&s, 10);
}

/* ---- credit ------------------------------------------------------------------------- */

static void elements_ahead_come_without_asking(void **state)
{
	struct kc_ipc_daemon_stats before, after;
	struct scene s;
	uint64_t value;

	scene_begin(&s, receiver(32, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 0, 32);
	assert_int_equal(kc_ipc_stats(s.rx_conn, &before), 0);
	for (uint64_t i = 0; i < 32; i++) {
		assert_int_equal(kc_chan_recv(s.rx, &value, 0), 0);
		assert_int_equal(value, i);
	}
	assert_int_equal(kc_ipc_stats(s.rx_conn, &after), 0);
	/* the question itself: no RECV, and no TAKEN either, since nobody waits for the places */
	assert_int_equal(after.frames_in - before.frames_in, 1);
	assert_int_equal(after.ledger.received - before.ledger.received, 32);
	scene_end(&s, 32);
}

static long recv_main(void *arg)
{
	uint64_t value;
	int r = kc_chan_recv(arg, &value, -1);

	return r < 0 ? r : (long)value;
}

static bool is_recalled(void *arg)
{
	struct kc_ipc_chan_info info;

	return kc_ipc_chan_info(arg, &info) == 0 && info.waiting_receivers == 0;
}

static void elements_ahead_are_called_back_for_who_waits(void **state)
{
	struct kc_ipc_open_options o = receiver(0, 0, KC_LEASE_DEFAULT_MS);
	kc_ipc_conn_t *conn;
	struct kct_call call;
	struct scene s;
	uint64_t value;
	kc_chan_t *ch;

	scene_begin(&s, receiver(8, 0, KC_LEASE_DEFAULT_MS));
	send_numbers(&s, 1, 4);
	assert_int_equal(kc_ipc_ping(s.rx_conn), 0);
	conn = kct_client(kct_kcorod.path);
	assert_int_equal(kc_ipc_chan_open_id(conn, s.id, &o, &ch), 0);
	kct_call_start(&call, recv_main, ch);
	/* the holder answers within any call on its connection */
	while (!is_recalled(s.tx) || kc_chan_len(s.tx) == 4)
		assert_int_equal(kc_ipc_ping(s.rx_conn), 0);
	assert_int_equal(kct_call_join(&call), 4);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_int_equal(kc_chan_recv(s.rx, &value, -1), 0);
		assert_int_equal(value, i);
	}
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	scene_end(&s, 4);
}

/* Receives one by one until the end; the sum, or a code. */
static long sum_main(void *arg)
{
	uint64_t value;
	long sum = 0;
	int r;

	while ((r = kc_chan_recv(arg, &value, -1)) == 0)
		sum += (long)value;
	return r == KC_EPIPE ? sum : r;
}

static void two_receivers_with_credit_starve_nobody(void **state)
{
	struct kc_ipc_open_options o = receiver(8, 0, KC_LEASE_DEFAULT_MS);
	struct kct_call a, b;
	kc_ipc_conn_t *conn;
	struct scene s;
	kc_chan_t *ch;
	long x, y;

	scene_begin(&s, o);
	conn = kct_client(kct_kcorod.path);
	assert_int_equal(kc_ipc_chan_open_id(conn, s.id, &o, &ch), 0);
	kct_call_start(&a, sum_main, s.rx);
	kct_call_start(&b, sum_main, ch);
	send_numbers(&s, 1, 5000);
	assert_int_equal(kc_chan_close(s.tx), 0);
	x = kct_call_join(&a);
	y = kct_call_join(&b);
	assert_true(x >= 0 && y >= 0);
	assert_int_equal(x + y, 5000 * 5001 / 2);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	scene_end(&s, 5000);
}

static void a_handle_given_back_returns_what_it_was_given(void **state)
{
	struct kc_ipc_open_options o = receiver(8, 0, KC_LEASE_DEFAULT_MS);
	struct scene s;
	uint64_t value;

	scene_begin(&s, o);
	send_numbers(&s, 1, 4);
	assert_int_equal(kc_ipc_ping(s.rx_conn), 0);
	kc_chan_destroy(s.rx);
	assert_int_equal(kc_ipc_chan_open_id(s.rx_conn, s.id, &o, &s.rx), 0);
	for (uint64_t i = 1; i <= 4; i++) {
		assert_int_equal(kc_chan_recv(s.rx, &value, -1), 0);
		assert_int_equal(value, i);
	}
	scene_end(&s, 4);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(an_acknowledged_element_is_done),
	KCT_TEST(a_refused_element_comes_back_marked_and_in_its_place),
	KCT_TEST(a_lapsed_lease_returns_its_element),
	KCT_TEST(many_are_acknowledged_at_once),
	KCT_TEST(a_lease_returns_when_its_holder_dies),
	KCT_TEST(what_was_given_ahead_returns_unmarked),
	KCT_TEST(elements_ahead_come_without_asking),
	KCT_TEST(elements_ahead_are_called_back_for_who_waits),
	KCT_TEST(two_receivers_with_credit_starve_nobody),
	KCT_TEST(a_handle_given_back_returns_what_it_was_given),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
