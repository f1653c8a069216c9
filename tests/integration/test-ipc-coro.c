/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coroutines on connections to a real kcorod. Most of them on one worker: a call that
 * blocked it would never come back, and the test's time limit would end it.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kcoro.h"
#include "tests/integration/ipc-coro.h"
#include "tests/integration/ipc-relay.h"
#include "tests/lib/kcorod.h"

/* Run fn(arg) in a coroutine of so many workers, with its helpers: what it returns, 0 or the
 * line that went wrong. stack_size 0: as large as usual. */
static void run(long (*fn)(void *arg), void *arg, unsigned workers, size_t stack_size)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *sched;
	kc_coro_t *co;
	long line;

	o.workers = workers;
	o.stack_size = stack_size;
	assert_int_equal(kc_sched_create(&sched, &o), 0);
	assert_int_equal(kc_spawn(&co, sched, fn, arg), 0);
	assert_int_equal(kc_join(co, &line, -1), 0);
	if (line)
		fail_msg("line %ld: %s", line, kc_error_detail());
	assert_int_equal(kc_sched_drain(sched, KCT_PATIENCE_MS), 0);
	assert_int_equal(kc_sched_destroy(sched), 0);
}

/* A connection and a channel, and the end of both. */
static int begin(const char *path, const char *name, kc_ipc_conn_t **conn, kc_chan_t **ret)
{
	int r = kc_ipc_connect(conn, path);

	return r < 0 ? r : coro_chan_make(*conn, name, 1, ret);
}

static int end(kc_ipc_conn_t *conn, kc_chan_t *ch)
{
	int r = kc_ipc_chan_destroy(ch);

	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	return r;
}

/* So many receivers, until all of them wait in the channel. */
static bool all_wait(struct receiver *r, uint32_t n, kc_chan_t *ch)
{
	for (uint32_t i = 0; i < n; i++) {
		r[i] = (struct receiver){ .ch = ch, .timeout_ms = -1 };
		if (kc_spawn(&r[i].co, NULL, receiver_main, &r[i]) < 0)
			return false;
	}
	return receivers_wait(ch, n);
}

/* Do all of them end with this? */
static bool all_end(struct receiver *r, uint32_t n, long with)
{
	for (uint32_t i = 0; i < n; i++) {
		long result;

		if (kc_join(r[i].co, &result, -1) < 0 || result != with)
			return false;
	}
	return true;
}

/* ---- one worker -------------------------------------------------------------------------- */

#define MANY 100

/* Each waits on a channel of its own; the others go on all the while, on the same connection
 * and without one, and one of them sends to each. */
static long many_wait(void *arg)
{
	static struct receiver r[MANY];
	kc_ipc_conn_t *conn;
	char name[32];

	(void)arg;
	if (kc_ipc_connect(&conn, kct_kcorod.path) < 0)
		return __LINE__;
	for (unsigned i = 0; i < MANY; i++) {
		r[i] = (struct receiver){ .timeout_ms = -1 };
		(void)snprintf(name, sizeof(name), "many/n%u", i);
		if (coro_chan_make(conn, name, 1, &r[i].ch) < 0 ||
		    kc_spawn(&r[i].co, NULL, receiver_main, &r[i]) < 0)
			return __LINE__;
	}
	for (unsigned i = 0; i < MANY; i++)
		if (!receivers_wait(r[i].ch, 1))
			return __LINE__;
	for (unsigned i = 0; i < MANY; i++) {
		kc_yield();
		if (kc_sleep_ms(i % 20 == 0) < 0 || kc_ipc_ping(conn) < 0 ||
		    kc_join(r[i].co, NULL, 0) != KC_EAGAIN)
			return __LINE__;
	}
	for (uint64_t i = 0; i < MANY; i++)
		if (kc_chan_send(r[MANY - 1 - i].ch, &i, -1) < 0)
			return __LINE__;
	for (unsigned i = 0; i < MANY; i++) {
		long result;

		if (kc_join(r[i].co, &result, -1) < 0 || result < 0 || r[i].value != MANY - 1 - i ||
		    kc_ipc_chan_destroy(r[i].ch) < 0)
			return __LINE__;
		kc_chan_destroy(r[i].ch);
	}
	kc_ipc_disconnect(conn);
	return 0;
}

static void a_hundred_wait_on_one_worker(void **state)
{
	(void)state;
	run(many_wait, NULL, 1, 0);
}

static void the_smallest_stack_will_do(void **state)
{
	(void)state;
	run(many_wait, NULL, 1, KC_STACK_MIN);
}

/* Whoever reads for all is cancelled, or its time is up; another one reads on. */
static long readers_leave(void *arg)
{
	struct receiver r[3];
	kc_ipc_conn_t *conn;
	kc_cancel_t *token;
	uint64_t value = 7;
	kc_chan_t *ch;
	long result;

	(void)arg;
	if (begin(kct_kcorod.path, "leave", &conn, &ch) < 0 || kc_cancel_init(&token) < 0)
		return __LINE__;
	for (int i = 0; i < 3; i++)
		r[i] = (struct receiver){ .ch = ch, .timeout_ms = -1 };
	r[0].token = token;
	r[1].timeout_ms = KCT_SHORT_MS;
	for (int i = 0; i < 3; i++)
		if (kc_spawn(&r[i].co, NULL, receiver_main, &r[i]) < 0)
			return __LINE__;
	if (kc_join(r[1].co, &result, -1) < 0 || result != KC_ETIME || !receivers_wait(ch, 2))
		return __LINE__;
	kc_cancel_trigger(token);
	if (kc_join(r[0].co, &result, -1) < 0 || result != KC_ECANCELED)
		return __LINE__;
	if (kc_chan_send(ch, &value, -1) < 0 || kc_join(r[2].co, &result, -1) < 0 || result < 0 ||
	    r[2].value != value)
		return __LINE__;
	/* the same, if there is nobody else and nothing else happens */
	r[0].timeout_ms = KCT_SHORT_MS;
	r[0].token = NULL;
	if (receiver_main(&r[0]) != KC_ETIME)
		return __LINE__;
	kc_cancel_destroy(token);
	return end(conn, ch) < 0 ? __LINE__ : 0;
}

static void a_reader_may_leave(void **state)
{
	(void)state;
	run(readers_leave, NULL, 1, 0);
}

/* A handle goes; its calls have to return first. */
static long destroy_while_waited(void *arg)
{
	struct receiver r[4];
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	(void)arg;
	if (begin(kct_kcorod.path, "gone", &conn, &ch) < 0 || !all_wait(r, 4, ch))
		return __LINE__;
	kc_chan_destroy(ch);
	if (!all_end(r, 4, KC_EPIPE) || kc_ipc_chan_open(conn, "gone", NULL, &ch) < 0)
		return __LINE__;
	return end(conn, ch) < 0 ? __LINE__ : 0;
}

static void a_handle_goes_while_others_wait(void **state)
{
	(void)state;
	run(destroy_while_waited, NULL, 1, 0);
}

/* Calls whose reply has a descriptor: one after the other. */
static long descriptor(void *arg)
{
	return kc_chan_fd(arg, KC_RECEIVER);
}

static long many_descriptors(void *arg)
{
	kc_ipc_conn_t *conn;
	kc_chan_t *ch[8];
	kc_coro_t *co[8];
	char name[32];

	(void)arg;
	if (kc_ipc_connect(&conn, kct_kcorod.path) < 0)
		return __LINE__;
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "descriptor/n%u", i);
		if (coro_chan_make(conn, name, 1, &ch[i]) < 0)
			return __LINE__;
	}
	for (unsigned i = 0; i < 8; i++)
		if (kc_spawn(&co[i], NULL, descriptor, ch[i]) < 0)
			return __LINE__;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t value = i;
		long fd;

		if (kc_join(co[i], &fd, -1) < 0 || fd < 0 || kc_chan_send(ch[i], &value, -1) < 0 ||
		    kc_wait_fd((int)fd, POLLIN, -1) < 0 || kc_ipc_chan_destroy(ch[i]) < 0)
			return __LINE__;
		kc_chan_destroy(ch[i]);
	}
	kc_ipc_disconnect(conn);
	return 0;
}

static void descriptors_are_asked_for_one_by_one(void **state)
{
	(void)state;
	run(many_descriptors, NULL, 1, 0);
}

/* More than the socket takes, both ways. */
#define BIG	   ((size_t)1 << 20)
#define BIG_ROUNDS 8

static long send_big(void *arg)
{
	unsigned char *bytes = calloc(1, BIG);
	int r = bytes ? 0 : KC_ENOMEM;

	for (int i = 0; i < BIG_ROUNDS && r == 0; i++)
		r = kc_chan_send_msg(arg, bytes, BIG, -1);
	free(bytes);
	return r;
}

static long recv_big(void *arg)
{
	unsigned char *bytes = malloc(BIG);
	int r = bytes ? 0 : KC_ENOMEM;
	size_t len;

	for (int i = 0; i < BIG_ROUNDS && r == 0; i++) {
		r = kc_chan_recv_msg(arg, bytes, BIG, &len, -1);
		if (r == 0 && len != BIG)
			r = KC_EMSGSIZE;
	}
	free(bytes);
	return r;
}

static long big_messages(void *arg)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_ipc_conn_t *conn;
	kc_coro_t *co[8];
	kc_chan_t *ch;

	(void)arg;
	o.capacity = 2;
	o.max_msg = BIG;
	o.max_bytes = 2 * BIG;
	if (kc_ipc_connect(&conn, kct_kcorod.path) < 0 ||
	    kc_ipc_chan_make(conn, "big", &o, NULL, &ch) < 0)
		return __LINE__;
	for (int i = 0; i < 8; i++)
		if (kc_spawn(&co[i], NULL, i < 4 ? send_big : recv_big, ch) < 0)
			return __LINE__;
	for (int i = 0; i < 8; i++) {
		long result;

		if (kc_join(co[i], &result, -1) < 0 || result < 0)
			return __LINE__;
	}
	return end(conn, ch) < 0 ? __LINE__ : 0;
}

static void a_full_socket_parks_too(void **state)
{
	(void)state;
	run(big_messages, NULL, 1, 0);
}

/* ---- connecting --------------------------------------------------------------------------- */

/* A socket that has no room for one more until somebody accepts. */
static int full_socket(char path[108], int listener[2])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(path, 108, "%s/full", kct_kcorod.dir);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	listener[0] = fd;
	listener[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || listener[1] < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 0) < 0)
		return -1;
	/* with a backlog of none there is still room for one */
	return connect(listener[1], (struct sockaddr *)&addr, sizeof(addr));
}

static long connect_to(void *arg)
{
	kc_ipc_conn_t *conn;
	int r = kc_ipc_connect(&conn, arg);

	if (r == 0)
		kc_ipc_disconnect(conn);
	return r;
}

static long wait_for_room(void *arg)
{
	char path[108];
	int listener[2];
	kc_coro_t *co;
	long result;

	(void)arg;
	if (full_socket(path, listener) < 0 || kc_spawn(&co, NULL, connect_to, path) < 0)
		return __LINE__;
	/* it goes first, and comes back only when there is room */
	kc_yield();
	if (kc_join(co, NULL, KCT_SHORT_MS) != KC_ETIME)
		return __LINE__;
	for (int i = 0; i < 2; i++) {
		int fd = accept(listener[0], NULL, NULL);

		if (fd < 0)
			return __LINE__;
		close(fd);
	}
	/* that was no kcorod */
	if (kc_join(co, &result, -1) < 0 || result != KC_ECONNRESET)
		return __LINE__;
	close(listener[0]);
	close(listener[1]);
	unlink(path);
	return 0;
}

static void connecting_waits_for_room(void **state)
{
	(void)state;
	run(wait_for_room, NULL, 1, 0);
}

/* The connection is cut, again and again, while receives wait. */
static long cut_and_resumed(void *arg)
{
	struct relay *relay = arg;
	struct receiver r[4];
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	if (begin(relay->path, "cut", &conn, &ch) < 0)
		return __LINE__;
	for (int round = 0; round < 10; round++) {
		if (!all_wait(r, 4, ch))
			return __LINE__;
		relay_cut(relay);
		for (uint64_t i = 0; i < 4; i++)
			if (kc_chan_send(ch, &i, -1) < 0)
				return __LINE__;
		if (!all_end(r, 4, 0))
			return __LINE__;
	}
	return end(conn, ch) < 0 ? __LINE__ : 0;
}

static void a_break_is_not_seen(void **state)
{
	struct relay relay;

	(void)state;
	relay_start(&relay, kct_kcorod.path, kct_seed(), 0);
	run(cut_and_resumed, &relay, 1, KC_STACK_MIN);
	relay_stop(&relay);
}

/* kcorod is gone. Who waits for its return does so without the worker; words that are of no
 * use any more are nobody else's; and who ends the connection ends the wait. */
static long gone(void *arg)
{
	struct kct_daemon *d = arg;
	struct receiver r[2];
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;

	if (begin(d->path, "gone", &conn, &ch) < 0 || !all_wait(r, 2, ch))
		return __LINE__;
	kct_daemon_kill(d);
	for (int i = 0; i < 20; i++) {
		if (kc_sleep_ms(1) < 0 || kc_join(r[0].co, NULL, 0) != KC_EAGAIN)
			return __LINE__;
		if (kc_chan_send(NULL, &r, 0) != KC_EINVAL || kc_error_detail()[0])
			return __LINE__;
	}
	kc_ipc_disconnect(conn);
	if (!all_end(r, 2, KC_ECONNRESET))
		return __LINE__;
	kc_chan_destroy(ch);
	return 0;
}

static void waiting_for_its_return_parks_too(void **state)
{
	struct kct_daemon d;

	(void)state;
	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
	/* the daemon's end takes some, too */
	run(gone, &d, 1, 1 << 20);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(a_hundred_wait_on_one_worker),
	KCT_TEST(the_smallest_stack_will_do),
	KCT_TEST(a_reader_may_leave),
	KCT_TEST(a_handle_goes_while_others_wait),
	KCT_TEST(descriptors_are_asked_for_one_by_one),
	KCT_TEST(a_full_socket_parks_too),
	KCT_TEST(connecting_waits_for_room),
	KCT_TEST(a_break_is_not_seen),
	KCT_TEST(waiting_for_its_return_parks_too),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
