/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Senders with windows between real processes and a real kcorod: what a send that
 * returned has sent is there, whoever dies, and nobody is left out.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kcorod.h"

#define WINDOWED 3	     /* senders with a window; one more has none */
#define EACH	 2000	     /* elements of each sender */
#define BATCH	 8u
#define BATCHED	 20000u	     /* elements of each, in batches */
#define KILLED	 100	     /* elements of a process that is killed */

static int make(kc_ipc_conn_t **conn, kc_chan_t **ch, size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	int r = kc_ipc_connect(conn, kct_kcorod.path);

	o.elem_size = sizeof(uint64_t);
	o.capacity = capacity;
	return r < 0 ? r : kc_ipc_chan_make(*conn, "windows", &o, NULL, ch);
}

static int attach(kc_ipc_conn_t **conn, kc_chan_t **ch, unsigned window)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	int r = kc_ipc_connect(conn, kct_kcorod.path);

	o.roles = KC_SENDER;
	o.window = window;
	return r < 0 ? r : kc_ipc_chan_open(*conn, "windows", &o, ch);
}

static void unmake(kc_ipc_conn_t *conn, kc_chan_t *ch, uint64_t sent)
{
	struct kc_ipc_chan_info info;

	assert_int_equal(kc_ipc_chan_info(ch, &info), 0);
	assert_int_equal(kc_ledger_balance(&info.ledger), 0);
	assert_int_equal(info.ledger.sent, sent);
	assert_int_equal(info.ledger.received, sent);
	assert_int_equal(kc_ledger_lost(&info.ledger), 0);
	assert_int_equal(kc_ipc_chan_destroy(ch), 0);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
}

/* Sends until it has sent so many, then kills itself: nothing of it runs after the last
 * send has returned. */
static void send_and_die(unsigned window)
{
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	if (attach(&conn, &ch, window) == 0)
		for (uint64_t i = 0; i < KILLED; i++)
			if (kc_chan_send(ch, &i, -1) < 0)
				_exit(1);
	(void)kill(getpid(), SIGKILL);
	_exit(1);
}

static void what_a_killed_sender_sent_arrives(void **state)
{
	static const size_t capacities[] = { KILLED, KILLED / 3, 1 };

	for (size_t k = 0; k < KC_ARRAY_SIZE(capacities); k++) {
		uint64_t value = UINT64_MAX;
		kc_ipc_conn_t *conn;
		kc_chan_t *ch;
		int status;
		pid_t pid;

		assert_int_equal(make(&conn, &ch, capacities[k]), 0);
		pid = fork();
		if (pid == 0)
			send_and_die(KILLED / 2);
		assert_true(pid > 0);
		for (uint64_t i = 0; i < KILLED; i++) {
			assert_int_equal(kc_chan_recv(ch, &value, KCT_PATIENCE_MS), 0);
			assert_int_equal(value, i);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		unmake(conn, ch, KILLED);
	}
}

struct sender {
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	uint64_t number;
};

static long send_all(void *arg)
{
	struct sender *s = arg;

	for (uint64_t i = 0; i < EACH; i++) {
		uint64_t value = s->number << 32 | i;
		int r = kc_chan_send(s->ch, &value, -1);

		if (r < 0)
			return r;
	}
	return 0;
}

/* All of them end, each one's elements come in order, and the first to end leaves none of
 * the others far behind: a sender without a window waits its turn, not for ever. */
static void nobody_is_left_out(void **state)
{
	struct sender senders[WINDOWED + 1];
	struct kct_call calls[WINDOWED + 1];
	uint64_t next[WINDOWED + 1] = { 0 }, least = EACH;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	assert_int_equal(make(&conn, &ch, 4), 0);
	for (unsigned i = 0; i <= WINDOWED; i++) {
		senders[i].number = i;
		assert_int_equal(attach(&senders[i].conn, &senders[i].ch, i < WINDOWED ? 4 : 0),
				 0);
	}
	for (unsigned i = 0; i <= WINDOWED; i++)
		kct_call_start(&calls[i], send_all, &senders[i]);
	for (unsigned n = 0; n < (WINDOWED + 1) * EACH; n++) {
		uint64_t value = UINT64_MAX;

		assert_int_equal(kc_chan_recv(ch, &value, KCT_PATIENCE_MS), 0);
		assert_in_range(value >> 32, 0, WINDOWED);
		assert_int_equal(value & UINT32_MAX, next[value >> 32]);
		if (++next[value >> 32] < EACH || least < EACH)
			continue;
		for (unsigned i = 0; i <= WINDOWED; i++)
			least = next[i] < least ? next[i] : least;
	}
	for (unsigned i = 0; i <= WINDOWED; i++) {
		assert_int_equal(kct_call_join(&calls[i]), 0);
		kc_chan_destroy(senders[i].ch);
		kc_ipc_disconnect(senders[i].conn);
	}
	print_message("# the last had sent %u when the first was done\n", (unsigned)least);
	assert_in_range(least, 1, EACH);
	unmake(conn, ch, (WINDOWED + 1) * EACH);
}

/* In batches, all on one CPU, where the daemon runs in the middle of a send: between what the
 * sender writes and what it reads after that, promises go and come back. */
static long send_batches(void *arg)
{
	struct sender *s = arg;
	uint64_t batch[BATCH], sent = 0;

	while (sent < BATCHED) {
		long n = BATCHED - sent < BATCH ? (long)(BATCHED - sent) : (long)BATCH;

		for (long i = 0; i < n; i++)
			batch[i] = s->number << 32 | (sent + (uint64_t)i);
		n = kc_chan_send_many(s->ch, batch, (size_t)n, -1, NULL);
		if (n < 0)
			return n;
		sent += (uint64_t)n;
	}
	return 0;
}

static void batches_lose_nothing(void **state)
{
	struct sender senders[WINDOWED];
	struct kct_call calls[WINDOWED];
	uint64_t next[WINDOWED] = { 0 }, values[2 * BATCH], sum = 0;
	struct kct_daemon all = kct_kcorod;
	cpu_set_t before, one;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &before))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(kct_daemon_start(&kct_kcorod, NULL, NULL), 0);
	assert_int_equal(make(&conn, &ch, 2 * BATCH), 0);
	for (unsigned i = 0; i < WINDOWED; i++) {
		senders[i].number = i;
		assert_int_equal(attach(&senders[i].conn, &senders[i].ch, BATCH + BATCH / 2), 0);
	}
	for (unsigned i = 0; i < WINDOWED; i++)
		kct_call_start(&calls[i], send_batches, &senders[i]);
	while (sum < WINDOWED * BATCHED) {
		long n = kc_chan_recv_many(ch, values, KC_ARRAY_SIZE(values), KCT_PATIENCE_MS, NULL);

		assert_true(n > 0);
		for (long i = 0; i < n; i++) {
			assert_in_range(values[i] >> 32, 0, WINDOWED - 1);
			assert_int_equal(values[i] & UINT32_MAX, next[values[i] >> 32]);
			next[values[i] >> 32]++;
		}
		sum += (uint64_t)n;
	}
	for (unsigned i = 0; i < WINDOWED; i++) {
		assert_int_equal(kct_call_join(&calls[i]), 0);
		kc_chan_destroy(senders[i].ch);
		kc_ipc_disconnect(senders[i].conn);
	}
	unmake(conn, ch, WINDOWED * BATCHED);
	assert_int_equal(kct_daemon_stop(&kct_kcorod), 0);
	kct_kcorod = all;
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void a_daemon_that_is_gone_is_told(void **state)
{
	struct kct_daemon mine = kct_kcorod;
	kc_ipc_conn_t *conns[2];
	kc_chan_t *chans[2];
	uint64_t value = 0;
	int r;

	assert_int_equal(kct_daemon_start(&kct_kcorod, "{ \"session\": { \"grace_ms\": 200 } }",
					  NULL),
			 0);
	assert_int_equal(make(&conns[0], &chans[0], 64), 0);
	assert_int_equal(attach(&conns[1], &chans[1], 32), 0);
	assert_int_equal(kc_chan_send(chans[1], &value, -1), 0);
	kct_daemon_kill(&kct_kcorod);
	kct_kcorod = mine;
	/* sends may return until it is known; not for ever, and none of them waits */
	for (value = 0; value < 64; value++) {
		r = kc_chan_send(chans[1], &value, KCT_PATIENCE_MS);
		if (r < 0)
			break;
	}
	assert_int_equal(r, KC_ECONNRESET);
	assert_int_equal(kc_ipc_ping(conns[1]), KC_ECONNRESET);
	for (int i = 0; i < 2; i++) {
		kc_chan_destroy(chans[i]);
		kc_ipc_disconnect(conns[i]);
	}
}

static void options_are_checked(void **state)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch, *other;

	assert_int_equal(make(&conn, &ch, 4), 0);
	o.window = KC_WINDOW_MAX + 1;
	assert_int_equal(kc_ipc_chan_open(conn, "windows", &o, &other), KC_EINVAL);
	o.window = 1;
	o.roles = KC_RECEIVER;
	assert_int_equal(kc_ipc_chan_open(conn, "windows", &o, &other), KC_EINVAL);
	o.roles = KC_SENDER;
	o.window = KC_WINDOW_MAX;
	assert_int_equal(kc_ipc_chan_open(conn, "windows", &o, &other), 0);
	kc_chan_destroy(other);
	unmake(conn, ch, 0);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(what_a_killed_sender_sent_arrives),
	KCT_TEST(nobody_is_left_out),
	KCT_TEST(batches_lose_nothing),
	KCT_TEST(a_daemon_that_is_gone_is_told),
	KCT_TEST(options_are_checked),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
