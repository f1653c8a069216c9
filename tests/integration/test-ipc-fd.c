/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors to wait on of a real kcorod's channels: credit and leases, roles and
 * quotas, connections that are cut while somebody polls, daemons that die.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro.h"
#include "tests/integration/ipc-relay.h"
#include "tests/lib/kcorod.h"

#define detail_has(word) assert_non_null(strstr(kc_error_detail(), word))

static kc_chan_t *attach(kc_ipc_conn_t *conn, enum kc_kind kind, size_t capacity, unsigned roles,
			 unsigned credit, int lease)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	kc_chan_t *ch;

	o.kind = kind;
	o.elem_size = sizeof(uint64_t);
	o.capacity = capacity;
	how.roles = roles;
	how.credit = credit;
	how.lease = lease;
	assert_int_equal(kc_ipc_chan_make(conn, "fd", &o, &how, &ch), 0);
	return ch;
}

static int poll_ms(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n;
}

static void assert_readable(int fd)
{
	assert_int_equal(poll_ms(fd, KCT_PATIENCE_MS), 1);
}

static void assert_silent(int fd)
{
	assert_int_equal(poll_ms(fd, 0), 0);
}

static void send_number(kc_chan_t *ch, uint64_t v)
{
	assert_int_equal(kc_chan_send(ch, &v, 0), 0);
}

static long recv_number(kc_chan_t *ch)
{
	uint64_t v;
	int r = kc_chan_recv(ch, &v, 0);

	return r < 0 ? r : (long)v;
}

/* ---- one daemon ---------------------------------------------------------------- */

static void elements_given_ahead_make_it_readable(void **state)
{
	kc_ipc_conn_t *a, *b;
	kc_chan_t *tx, *rx;
	int fd;

	a = kct_client(kct_kcorod.path);
	b = kct_client(kct_kcorod.path);
	tx = attach(a, KC_BUFFERED, 16, KC_SENDER, 0, 0);
	rx = attach(b, KC_BUFFERED, 16, KC_RECEIVER, 4, 0);
	fd = kc_chan_fd(rx, KC_RECEIVER);
	assert_silent(fd);
	for (int round = 0; round < 20; round++) {
		/* more than there is credit for, less, and none */
		int n = round % 7;

		for (int i = 0; i < n; i++)
			send_number(tx, (uint64_t)(round * 100 + i));
		for (int i = 0; i < n; i++) {
			/* also while what is left lies in the handle */
			assert_readable(fd);
			assert_int_equal(recv_number(rx), round * 100 + i);
		}
		assert_int_equal(recv_number(rx), KC_EAGAIN);
		assert_silent(fd);
	}
	kc_chan_destroy(rx);
	/* also those that were given before anybody asked for a descriptor */
	rx = attach(b, KC_BUFFERED, 16, KC_RECEIVER, 4, 0);
	send_number(tx, 1);
	send_number(tx, 2);
	assert_int_equal(recv_number(rx), 1);
	fd = kc_chan_fd(rx, KC_RECEIVER);
	assert_readable(fd);
	assert_int_equal(recv_number(rx), 2);
	assert_int_equal(recv_number(rx), KC_EAGAIN);
	assert_silent(fd);
	kc_chan_destroy(tx);
	kc_chan_destroy(rx);
	kc_ipc_disconnect(a);
	kc_ipc_disconnect(b);
}

static void leases_count_as_elements(void **state)
{
	kc_ipc_conn_t *a, *b;

	a = kct_client(kct_kcorod.path);
	b = kct_client(kct_kcorod.path);
	for (int ahead = 0; ahead < 2; ahead++) {
		kc_chan_t *tx = attach(a, KC_BUFFERED, 16, KC_SENDER, 0, 0);
		kc_chan_t *rx = attach(b, KC_BUFFERED, 16, KC_RECEIVER, ahead ? 4 : 0, ahead);
		int fd = kc_chan_fd(rx, KC_RECEIVER);
		struct kc_lease lease;
		uint64_t v;
		size_t len;

		assert_int_equal(kc_chan_recv_lease(rx, &v, 8, &len, &lease, 0, NULL), KC_EAGAIN);
		assert_silent(fd);
		send_number(tx, 5);
		assert_readable(fd);
		assert_int_equal(kc_chan_recv_lease(rx, &v, 8, &len, &lease, 0, NULL), 0);
		/* closed, but not drained: it may come back, and does */
		assert_int_equal(kc_chan_close(tx), 0);
		assert_int_equal(kc_chan_recv_lease(rx, &v, 8, &len, &(struct kc_lease){ 0 }, 0,
						    NULL),
				 KC_EAGAIN);
		assert_silent(fd);
		assert_int_equal(kc_chan_nack(rx, &lease), 0);
		assert_readable(fd);
		assert_int_equal(kc_chan_recv_lease(rx, &v, 8, &len, &lease, 0, NULL), 0);
		assert_int_equal(lease.redelivered, 1);
		assert_int_equal(kc_chan_recv_lease(rx, &v, 8, &len, &(struct kc_lease){ 0 }, 0,
						    NULL),
				 KC_EAGAIN);
		assert_silent(fd);
		/* drained */
		assert_int_equal(kc_chan_ack(rx, &lease), 0);
		assert_readable(fd);
		assert_int_equal(kc_chan_recv_lease(rx, &v, 8, &len, &lease, 0, NULL), KC_EPIPE);
		assert_readable(fd);
		assert_int_equal(kc_ipc_chan_destroy(tx), 0);
		kc_chan_destroy(tx);
		kc_chan_destroy(rx);
	}
	kc_ipc_disconnect(a);
	kc_ipc_disconnect(b);
}

static void a_role_is_needed(void **state)
{
	kc_ipc_conn_t *conn;
	kc_chan_t *tx, *rx, *observer;

	conn = kct_client(kct_kcorod.path);
	tx = attach(conn, KC_BUFFERED, 1, KC_SENDER, 0, 0);
	rx = attach(conn, KC_BUFFERED, 1, KC_RECEIVER, 0, 0);
	observer = attach(conn, KC_BUFFERED, 1, KC_OBSERVER, 0, 0);
	assert_int_equal(kc_chan_fd(tx, KC_RECEIVER), KC_EACCES);
	detail_has("not opened as a receiver");
	assert_int_equal(kc_chan_fd(rx, KC_SENDER), KC_EACCES);
	detail_has("not opened as a sender");
	assert_int_equal(kc_chan_fd(observer, KC_SENDER), KC_EACCES);
	assert_true(kc_chan_fd(tx, KC_SENDER) >= 0);
	assert_true(kc_chan_fd(rx, KC_RECEIVER) >= 0);
	kc_chan_destroy(tx);
	kc_chan_destroy(rx);
	kc_chan_destroy(observer);
	kc_ipc_disconnect(conn);
}

/* The daemon's descriptors, once it is done with what was asked before. */
static int daemon_fds(const struct kct_daemon *d, kc_ipc_conn_t *conn)
{
	assert_int_equal(kc_ipc_ping(conn), 0);
	return kct_daemon_fds(d);
}

static void quotas_are_named_and_given_back(void **state)
{
	static const char *const configs[] = {
		"{ \"limits\": { \"descriptors\": 2 } }",
		"{ \"user_limits\": { \"descriptors\": 2 } }",
	};
	static const char *const names[] = { "limits.descriptors", "user_limits.descriptors" };

	for (size_t i = 0; i < KC_ARRAY_SIZE(configs); i++) {
		struct kct_daemon d;
		kc_ipc_conn_t *conn;
		kc_chan_t *a, *b;
		int before, fds;

		assert_int_equal(kct_daemon_start(&d, configs[i], NULL), 0);
		conn = kct_client(d.path);
		a = attach(conn, KC_BUFFERED, 1, KC_SENDER | KC_RECEIVER, 0, 0);
		b = attach(conn, KC_BUFFERED, 1, KC_SENDER | KC_RECEIVER, 0, 0);
		before = kct_fd_count();
		fds = daemon_fds(&d, conn);
		for (int round = 0; round < 3; round++) {
			assert_true(kc_chan_fd(a, KC_SENDER) >= 0);
			assert_true(kc_chan_fd(a, KC_RECEIVER) >= 0);
			assert_int_equal(daemon_fds(&d, conn), fds + 2);
			assert_int_equal(kct_fd_count(), before + 2);
			assert_int_equal(kc_chan_fd(b, KC_SENDER), KC_EDQUOT);
			detail_has(names[i]);
			kc_chan_destroy(a);
			/* what is left over is nobody's */
			assert_int_equal(daemon_fds(&d, conn), fds);
			assert_int_equal(kct_fd_count(), before);
			a = b;
			b = attach(conn, KC_BUFFERED, 1, KC_SENDER | KC_RECEIVER, 0, 0);
		}
		kc_chan_destroy(a);
		kc_chan_destroy(b);
		kc_ipc_disconnect(conn);
		assert_int_equal(kct_daemon_stop(&d), 0);
	}
}

static void without_descriptors_the_daemon_says_so(void **state)
{
	struct rlimit few, saved;
	struct kct_daemon d;
	kc_ipc_conn_t *conn;
	kc_chan_t *chans[32];
	int n = 0, r = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	few = saved;
	few.rlim_cur = few.rlim_max = 32;
	assert_int_equal(kct_daemon_start_limited(&d, &few), 0);
	conn = kct_client(d.path);
	while (r >= 0 && n < 32) {
		chans[n] = attach(conn, KC_BUFFERED, 1, KC_SENDER | KC_RECEIVER, 0, 0);
		r = kc_chan_fd(chans[n++], KC_RECEIVER);
	}
	assert_int_equal(r, KC_ENOMEM);
	detail_has("kcorod has no descriptor left");
	/* it serves on, and there is one again once another is given back */
	send_number(chans[0], 7);
	assert_readable(kc_chan_fd(chans[0], KC_RECEIVER));
	assert_readable(kc_chan_fd(chans[1], KC_RECEIVER));
	kc_chan_destroy(chans[1]);
	kc_chan_destroy(chans[2]);
	assert_readable(kc_chan_fd(chans[n - 1], KC_RECEIVER));
	for (int i = 0; i < n; i++)
		if (i != 1 && i != 2)
			kc_chan_destroy(chans[i]);
	kc_ipc_disconnect(conn);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

static void without_descriptors_the_library_says_so(void **state)
{
	struct rlimit saved, none;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	int lowest;

	conn = kct_client(kct_kcorod.path);
	ch = attach(conn, KC_BUFFERED, 1, KC_SENDER | KC_RECEIVER, 0, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
	close(lowest);
	none = saved;
	none.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(kc_chan_fd(ch, KC_SENDER), KC_ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
	detail_has("did not arrive");
	/* the one that was lost is replaced */
	assert_readable(kc_chan_fd(ch, KC_SENDER));
	send_number(ch, 1);
	assert_int_equal(kc_chan_send(ch, &(uint64_t){ 2 }, 0), KC_EAGAIN);
	assert_silent(kc_chan_fd(ch, KC_SENDER));
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
}

static void what_passes_bytes_alone_is_noticed(void **state)
{
	struct relay relay;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	relay_start(&relay, kct_kcorod.path, 1, 0);
	relay.keeps_fds = true;
	conn = kct_client(relay.path);
	ch = attach(conn, KC_BUFFERED, 1, KC_SENDER | KC_RECEIVER, 0, 0);
	assert_int_equal(kc_chan_fd(ch, KC_SENDER), KC_ENOMEM);
	detail_has("bytes alone");
	/* and does no harm */
	send_number(ch, 4);
	assert_int_equal(recv_number(ch), 4);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	relay_stop(&relay);
}

/* ---- ends ----------------------------------------------------------------------- */

static void a_daemon_killed_makes_it_readable_for_good(void **state)
{
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	int rx, tx;

	conn = kct_client(kct_kcorod.path);
	ch = attach(conn, KC_RENDEZVOUS, 0, KC_SENDER | KC_RECEIVER, 0, 0);
	rx = kc_chan_fd(ch, KC_RECEIVER);
	tx = kc_chan_fd(ch, KC_SENDER);
	assert_silent(rx);
	assert_silent(tx);
	kct_daemon_kill(&kct_kcorod);
	assert_readable(rx);
	assert_readable(tx);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(recv_number(ch), KC_ECONNRESET);
		assert_readable(rx);
		assert_readable(tx);
	}
	/* what was given stays given; what was not cannot be */
	assert_int_equal(kc_chan_fd(ch, KC_RECEIVER), rx);
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
}

static void disconnecting_makes_it_readable_for_good(void **state)
{
	kc_ipc_conn_t *conn;
	kc_chan_t *ch, *other;
	int fd;

	conn = kct_client(kct_kcorod.path);
	ch = attach(conn, KC_BUFFERED, 1, KC_RECEIVER, 0, 0);
	other = attach(conn, KC_BUFFERED, 1, KC_RECEIVER, 0, 0);
	fd = kc_chan_fd(ch, KC_RECEIVER);
	assert_silent(fd);
	kc_ipc_disconnect(conn);
	assert_readable(fd);
	assert_int_equal(recv_number(ch), KC_ECONNRESET);
	assert_readable(fd);
	assert_int_equal(kc_chan_fd(other, KC_RECEIVER), KC_ECONNRESET);
	kc_chan_destroy(ch);
	kc_chan_destroy(other);
}

static void a_channel_destroyed_makes_it_readable(void **state)
{
	kc_ipc_conn_t *conn;
	kc_chan_t *ch, *other;
	int fd;

	conn = kct_client(kct_kcorod.path);
	ch = attach(conn, KC_BUFFERED, 1, KC_RECEIVER, 0, 0);
	other = attach(conn, KC_BUFFERED, 1, KC_OBSERVER, 0, 0);
	fd = kc_chan_fd(ch, KC_RECEIVER);
	assert_silent(fd);
	assert_int_equal(kc_ipc_chan_destroy(other), 0);
	assert_readable(fd);
	assert_int_equal(recv_number(ch), KC_EPIPE);
	kc_chan_destroy(ch);
	kc_chan_destroy(other);
	kc_ipc_disconnect(conn);
}

/* ---- connections that break ------------------------------------------------------ */

static void a_cut_wakes_who_polls_and_is_repaired_by_a_try(void **state)
{
	struct relay relay;
	kc_ipc_conn_t *conn, *direct;
	struct kc_ipc_daemon_stats stats;
	kc_chan_t *rx, *tx;
	int fd;

	relay_start(&relay, kct_kcorod.path, 1, 0);
	direct = kct_client(kct_kcorod.path);
	conn = kct_client(relay.path);
	tx = attach(direct, KC_BUFFERED, 4, KC_SENDER, 0, 0);
	rx = attach(conn, KC_BUFFERED, 4, KC_RECEIVER, 0, 0);
	fd = kc_chan_fd(rx, KC_RECEIVER);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(recv_number(rx), KC_EAGAIN);
		assert_silent(fd);
		relay_cut(&relay);
		assert_readable(fd);
		assert_int_equal(recv_number(rx), KC_EAGAIN);
		assert_silent(fd);
		assert_int_equal(kc_ipc_stats(direct, &stats), 0);
		assert_int_equal(stats.resumes, i + 1);
		/* the same descriptor serves on */
		send_number(tx, 9);
		assert_readable(fd);
		assert_int_equal(recv_number(rx), 9);
	}
	/* what is sent while nobody is connected is found as well */
	assert_int_equal(recv_number(rx), KC_EAGAIN);
	relay_cut(&relay);
	send_number(tx, 10);
	assert_readable(fd);
	assert_int_equal(recv_number(rx), 10);
	kc_chan_destroy(rx);
	kc_chan_destroy(tx);
	kc_ipc_disconnect(conn);
	kc_ipc_disconnect(direct);
	relay_stop(&relay);
}

static void a_grace_that_ends_makes_it_readable_for_good(void **state)
{
	struct relay relay;
	kc_ipc_conn_t *conn;
	struct pollfd p = { .events = POLLIN };
	kc_chan_t *rx;
	uint64_t deadline;

	relay_start(&relay, kct_kcorod.path, 1, 0);
	conn = kct_client(relay.path);
	rx = attach(conn, KC_BUFFERED, 4, KC_RECEIVER, 0, 0);
	p.fd = kc_chan_fd(rx, KC_RECEIVER);
	assert_silent(p.fd);
	relay_stop(&relay);
	/* nobody tries: the daemon hangs up by itself */
	deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	p.events = POLLRDHUP;
	while (poll(&p, 1, kci_deadline_poll_ms(deadline)) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(p.revents & POLLHUP);
	assert_readable(p.fd);
	assert_int_equal(recv_number(rx), KC_ECONNRESET);
	assert_readable(p.fd);
	kc_chan_destroy(rx);
	kc_ipc_disconnect(conn);
}

/* Elements through a relay that cuts at random, by programs that wait for nothing but
 * descriptors. */
struct worker {
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	uint32_t n;
	uint64_t random;
	char fault[200];
};

static long fault(struct worker *w, int line, long r)
{
	(void)snprintf(w->fault, sizeof(w->fault), "line %d: %ld (%s)", line, r, kc_error_detail());
	return -1;
}

static long produce(void *arg)
{
	struct worker *w = arg;
	kc_chan_t *ch = w->ch;
	int fd = kc_chan_fd(ch, KC_SENDER);
	uint64_t next = 0;

	if (fd < 0)
		return fault(w, __LINE__, fd);
	while (next < w->n) {
		uint64_t v[8];
		size_t n = 1 + kct_random(&w->random) % 8;
		long r;

		for (size_t i = 0; i < n; i++)
			v[i] = next + i;
		r = kc_chan_send_many(ch, v, n < w->n - next ? n : w->n - next, 0, NULL);
		if (r > 0)
			next += (uint64_t)r;
		else if (r != KC_EAGAIN)
			return fault(w, __LINE__, r);
		else if (poll_ms(fd, KCT_PATIENCE_MS) != 1)
			return fault(w, __LINE__, (long)next);
	}
	return 0;
}

static long consume(void *arg)
{
	struct worker *w = arg;
	kc_chan_t *ch = w->ch;
	int fd = kc_chan_fd(ch, KC_RECEIVER);
	uint64_t next = 0;

	if (fd < 0)
		return fault(w, __LINE__, fd);
	while (next < w->n) {
		uint64_t v[8];
		long r = kc_chan_recv_many(ch, v, 1 + kct_random(&w->random) % 8, 0, NULL);

		if (r < 0 && r != KC_EAGAIN)
			return fault(w, __LINE__, r);
		for (long i = 0; i < r; i++)
			if (v[i] != next++)
				return fault(w, __LINE__, (long)v[i]);
		/* also when it was not the last one that could be had */
		if ((r < 0 || kct_random(&w->random) % 4 == 0) && next < w->n &&
		    poll_ms(fd, KCT_PATIENCE_MS) != 1)
			return fault(w, __LINE__, (long)next);
	}
	return 0;
}

static void cuts_at_random_lose_no_wake(void **state)
{
	uint64_t seed = kct_seed();
	unsigned cuts = 0;

	for (int i = 0; i < 6; i++) {
		struct worker tx = { .n = 3000, .random = kct_random(&seed) };
		struct worker rx = { .n = 3000, .random = kct_random(&seed) };
		size_t capacity = 1 + kct_random(&seed) % 16;
		struct kct_call calls[2];
		struct relay relay;

		relay_start(&relay, kct_kcorod.path, kct_random(&seed), 30000);
		tx.conn = kct_client(relay.path);
		rx.conn = kct_client(relay.path);
		tx.ch = attach(tx.conn, KC_BUFFERED, capacity, KC_SENDER, 0, 0);
		rx.ch = attach(rx.conn, KC_BUFFERED, capacity, KC_RECEIVER, i % 2 ? 5 : 0, 0);
		atomic_store(&relay.allowed, 100);
		kct_call_start(&calls[0], produce, &tx);
		kct_call_start(&calls[1], consume, &rx);
		if (kct_call_join(&calls[0]))
			print_error("producer: %s\n", tx.fault);
		if (kct_call_join(&calls[1]))
			print_error("consumer: %s\n", rx.fault);
		assert_string_equal(tx.fault, "");
		assert_string_equal(rx.fault, "");
		atomic_store(&relay.allowed, 0);
		assert_int_equal(kc_ipc_chan_destroy(tx.ch), 0);
		kc_chan_destroy(tx.ch);
		kc_chan_destroy(rx.ch);
		kc_ipc_disconnect(tx.conn);
		kc_ipc_disconnect(rx.conn);
		cuts += atomic_load(&relay.cuts);
		relay_stop(&relay);
	}
	print_message("# %u cuts\n", cuts);
	assert_true(cuts >= 6);
}

static const struct CMUnitTest tests[] = {
	KCT_KCOROD_TEST(elements_given_ahead_make_it_readable),
	KCT_KCOROD_TEST(leases_count_as_elements),
	KCT_KCOROD_TEST(a_role_is_needed),
	KCT_TEST(quotas_are_named_and_given_back),
	KCT_TEST(without_descriptors_the_daemon_says_so),
	KCT_KCOROD_TEST(without_descriptors_the_library_says_so),
	KCT_KCOROD_TEST(what_passes_bytes_alone_is_noticed),
	KCT_KCOROD_TEST_WITH(a_daemon_killed_makes_it_readable_for_good,
			     "{ \"session\": { \"grace_ms\": 200 } }"),
	KCT_KCOROD_TEST(disconnecting_makes_it_readable_for_good),
	KCT_KCOROD_TEST(a_channel_destroyed_makes_it_readable),
	KCT_KCOROD_TEST(a_cut_wakes_who_polls_and_is_repaired_by_a_try),
	KCT_KCOROD_TEST_WITH(a_grace_that_ends_makes_it_readable_for_good,
			     "{ \"session\": { \"grace_ms\": 50 } }"),
	KCT_KCOROD_TEST(cuts_at_random_lose_no_wake),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
