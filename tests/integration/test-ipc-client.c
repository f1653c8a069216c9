/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client library against a real kcorod: finding it, making and opening channels,
 * asking.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
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

#define assert_detail(word) assert_non_null(strstr(kc_error_detail(), word))

/* ---- finding the daemon ---------------------------------------------------------- */

static void a_missing_socket_is_named(void **state)
{
	kc_ipc_conn_t *conn;

	assert_int_equal(kc_ipc_connect(&conn, "/nowhere/kcorod.sock"), KC_ENOENT);
	assert_detail("/nowhere/kcorod.sock");
	assert_detail("start kcorod");
	assert_int_equal(kc_ipc_connect(NULL, NULL), KC_EINVAL);
	assert_int_equal(kc_ipc_connect(&conn, ""), KC_ENOENT);
}

static void a_path_too_long_is_named(void **state)
{
	kc_ipc_conn_t *conn;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(kc_ipc_connect(&conn, path), KC_ENAMETOOLONG);
	assert_detail("xxxx");
	assert_int_equal(setenv("KCORO_SOCKET", path, 1), 0);
	assert_int_equal(kc_ipc_connect(&conn, NULL), KC_ENAMETOOLONG);
	assert_int_equal(unsetenv("KCORO_SOCKET"), 0);
}

static void a_socket_nobody_listens_at_is_named(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	kc_ipc_conn_t *conn;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/stale", kct_kcorod.dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(kc_ipc_connect(&conn, addr.sun_path), KC_ECONNRESET);
	assert_detail("/stale");
	assert_int_equal(unlink(addr.sun_path), 0);
}

static void the_places_are_looked_at_in_order(void **state)
{
	const char *was = getenv("XDG_RUNTIME_DIR");
	char saved[200], runtime[100], dir[120], link[140];
	kc_ipc_conn_t *conn;

	(void)snprintf(saved, sizeof(saved), "%s", was ? was : "");
	(void)snprintf(runtime, sizeof(runtime), "%s/run", kct_kcorod.dir);
	(void)snprintf(dir, sizeof(dir), "%s/kcorod", runtime);
	(void)snprintf(link, sizeof(link), "%s/kcorod.sock", dir);
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(symlink(kct_kcorod.path, link), 0);
	/* the user's */
	assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
	assert_int_equal(kc_ipc_connect(&conn, NULL), 0);
	kc_ipc_disconnect(conn);
	/* KCORO_SOCKET forbids the others */
	assert_int_equal(setenv("KCORO_SOCKET", "/nowhere/else", 1), 0);
	assert_int_equal(kc_ipc_connect(&conn, NULL), KC_ENOENT);
	assert_detail("/nowhere/else");
	assert_int_equal(setenv("KCORO_SOCKET", kct_kcorod.path, 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/nowhere", 1), 0);
	assert_int_equal(kc_ipc_connect(&conn, NULL), 0);
	kc_ipc_disconnect(conn);
	assert_int_equal(unsetenv("KCORO_SOCKET"), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", saved, 1), 0);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(rmdir(runtime), 0);
}

/* ---- channels ------------------------------------------------------------------------ */

static void making_what_exists_opens_it(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	struct kc_chan_options o = buffered(8, 4);
	kc_chan_t *a = make(conn, "jobs/a", o), *b = make(conn, "jobs/a", o), *c;

	assert_int_not_equal(kc_ipc_chan_id(a), 0);
	assert_int_equal(kc_ipc_chan_id(a), kc_ipc_chan_id(b));
	assert_int_equal(kc_chan_capabilities(a), KC_CHAN_CAP_REMOTE | KC_CHAN_CAP_LEASE);
	o.capacity = 5;
	assert_int_equal(kc_ipc_chan_make(conn, "jobs/a", &o, NULL, &c), KC_EEXIST);
	assert_true(strlen(kc_error_detail()) > 0);
	kc_chan_destroy(b);
	finish(a);
	kc_ipc_disconnect(conn);
}

static void an_id_outlives_no_channel(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	kc_chan_t *a = make(conn, "short", buffered(8, 4)), *b;
	uint64_t id = kc_ipc_chan_id(a);

	assert_int_equal(kc_ipc_chan_open_id(conn, id, NULL, &b), 0);
	assert_int_equal(kc_ipc_chan_id(b), id);
	assert_int_equal(kc_ipc_chan_destroy(a), 0);
	assert_int_equal(kc_ipc_chan_destroy(a), KC_ENOENT);
	assert_int_equal(kc_chan_len(a), KC_ENOENT);
	kc_chan_destroy(b);
	kc_chan_destroy(a);
	a = make(conn, "short", buffered(8, 4));
	assert_int_not_equal(kc_ipc_chan_id(a), id);
	assert_int_equal(kc_ipc_chan_open_id(conn, id, NULL, &b), KC_ENOENT);
	assert_int_equal(kc_ipc_chan_open_id(conn, 0, NULL, &b), KC_ENOENT);
	assert_int_equal(kc_ipc_chan_open(conn, "no/such", NULL, &b), KC_ENOENT);
	assert_detail("no/such");
	finish(a);
	kc_ipc_disconnect(conn);
}

static int open_code(kc_ipc_conn_t *conn, struct kc_ipc_open_options o)
{
	kc_chan_t *ch;
	int r = kc_ipc_chan_open(conn, "options", &o, &ch);

	if (r == 0)
		kc_chan_destroy(ch);
	return r;
}

static void nonsense_is_refused_with_words(void **state)
{
	static const char *const names[] = {
		"", "/", "a/", "a//b", ".", "a/../b", "-a", "a b", "1"
	};
	const struct kc_ipc_open_options init = KC_IPC_OPEN_OPTIONS_INIT;
	struct kc_chan_options o = buffered(8, 4);
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	kc_chan_t *ch = make(conn, "options", o), *other;
	struct kc_ipc_open_options w;
	char longest[KC_NAME_MAX + 2];

	for (size_t i = 0; i < KC_ARRAY_SIZE(names); i++) {
		assert_int_equal(kc_ipc_chan_make(conn, names[i], &o, NULL, &other), KC_EINVAL);
		assert_detail("name");
	}
	memset(longest, 'n', sizeof(longest));
	longest[KC_NAME_MAX + 1] = '\0';
	assert_int_equal(kc_ipc_chan_open(conn, longest, NULL, &other), KC_EINVAL);
	longest[KC_NAME_MAX] = '\0';
	other = make(conn, longest, o);
	finish(other);

	o.on_drop = (kc_drop_fn)abort;
	assert_int_equal(kc_ipc_chan_make(conn, "x", &o, NULL, &other), KC_EINVAL);
	assert_detail("on_drop");
	o = buffered(8, 0);
	assert_int_equal(kc_ipc_chan_make(conn, "x", &o, NULL, &other), KC_EINVAL);
	assert_detail("capacity");
	assert_int_equal(kc_ipc_chan_make(conn, "x", NULL, NULL, &other), KC_EINVAL);
	assert_int_equal(kc_ipc_chan_make(conn, NULL, &o, NULL, &other), KC_EINVAL);
	assert_int_equal(kc_ipc_chan_open(NULL, "x", NULL, &other), KC_EINVAL);

	w = init, w.size = 3;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	w = init, w.roles = 0;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	w = init, w.roles = KC_OBSERVER | KC_SENDER;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	w = init, w.credit = KC_CREDIT_MAX + 1;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	w = init, w.credit = 1, w.roles = KC_SENDER;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	w = init, w.lease_ms = 0;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	w = init, w.lease = 1;
	assert_int_equal(open_code(conn, w), KC_EINVAL);
	assert_detail("credit");
	assert_int_equal(open_code(conn, init), 0);
	finish(ch);
	kc_ipc_disconnect(conn);
}

static void roles_are_kept_to(void **state)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	kc_chan_t *ch = make(conn, "roles", buffered(8, 4)), *tx, *rx, *look;
	uint64_t value = 1;

	o.roles = KC_SENDER;
	assert_int_equal(kc_ipc_chan_open(conn, "roles", &o, &tx), 0);
	o.roles = KC_RECEIVER;
	assert_int_equal(kc_ipc_chan_open(conn, "roles", &o, &rx), 0);
	o.roles = KC_OBSERVER;
	assert_int_equal(kc_ipc_chan_open(conn, "roles", &o, &look), 0);
	assert_int_equal(kc_chan_recv(tx, &value, 0), KC_EACCES);
	assert_int_equal(kc_chan_send(rx, &value, 0), KC_EACCES);
	assert_int_equal(kc_chan_send(look, &value, 0), KC_EACCES);
	assert_true(strlen(kc_error_detail()) > 0);
	assert_int_equal(kc_chan_send(tx, &value, 0), 0);
	assert_int_equal(kc_chan_len(look), 1);
	assert_int_equal(kc_chan_purge(look), 1);
	kc_chan_destroy(tx);
	kc_chan_destroy(rx);
	kc_chan_destroy(look);
	finish(ch);
	kc_ipc_disconnect(conn);
}

/* ---- asking ---------------------------------------------------------------------------- */

static void info_tells_what_was_asked_for(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	struct kc_ipc_chan_info info, again;
	struct kc_chan_snapshot snap;
	kc_chan_t *ch, *local;

	o.kind = KC_UNLIMITED;
	o.max_msg = 1000;
	o.max_bytes = 5000;
	o.overflow = KC_OVERFLOW_DROP_OLDEST;
	o.flags = KC_CHAN_AUTO_CLOSE;
	o.mode = 0640;
	ch = make(conn, "all/of.it", o);
	assert_int_equal(kc_chan_send_msg(ch, "hello", 5, -1), 0);
	assert_int_equal(kc_ipc_info(conn, "all/of.it", 0, &info), 0);
	assert_int_equal(info.id, kc_ipc_chan_id(ch));
	assert_string_equal(info.name, "all/of.it");
	assert_int_equal(info.kind, KC_UNLIMITED);
	assert_int_equal(info.elem_size, 0);
	assert_int_equal(info.capacity, 0);
	assert_int_equal(info.max_msg, 1000);
	assert_int_equal(info.max_bytes, 5000);
	assert_int_equal(info.overflow, KC_OVERFLOW_DROP_OLDEST);
	assert_int_equal(info.flags, KC_CHAN_AUTO_CLOSE);
	assert_int_equal(info.mode, 0640);
	assert_int_equal(info.uid, getuid());
	assert_int_equal(info.gid, getgid());
	assert_int_equal(info.closed, 0);
	assert_int_equal(info.len, 1);
	assert_int_equal(info.bytes, 5);
	assert_int_equal(info.senders, 1);
	assert_int_equal(info.receivers, 1);
	assert_int_equal(info.bytes_sent, 5);
	assert_int_equal(info.ledger.queued, 1);
	assert_int_equal(kc_ledger_balance(&info.ledger), 0);
	assert_int_equal(kc_ipc_info(conn, NULL, info.id, &again), 0);
	assert_string_equal(info.name, again.name);
	assert_memory_equal(&info.ledger, &again.ledger, sizeof(info.ledger));
	assert_int_equal(kc_ipc_chan_info(ch, &again), 0);
	assert_int_equal(info.id, again.id);
	assert_memory_equal(&info.ledger, &again.ledger, sizeof(info.ledger));
	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(snap.id, info.id);
	assert_int_equal(snap.len, 1);
	assert_int_equal(kc_ipc_info(conn, "nothing", 0, &info), KC_ENOENT);
	assert_int_equal(kc_ipc_info(conn, NULL, 0, &info), KC_ENOENT);
	assert_int_equal(kc_ipc_info(conn, "all/", 0, &info), KC_EINVAL);
	finish(ch);
	assert_int_equal(kc_chan_make(&local, KC_BUFFERED, 8, 1), 0);
	assert_int_equal(kc_ipc_chan_info(local, &info), KC_EINVAL);
	assert_int_equal(kc_ipc_chan_destroy(local), KC_EINVAL);
	assert_int_equal(kc_ipc_chan_id(local), 0);
	kc_chan_destroy(local);
	kc_ipc_disconnect(conn);
}

#define LISTED 600 /* more than one reply holds */

struct listing {
	kc_ipc_conn_t *conn;
	int n;
	char last[KC_NAME_MAX + 1];
	int stop_at;
};

static int on_listed(const struct kc_ipc_chan_info *info, void *arg)
{
	struct listing *l = arg;

	if (strncmp(info->name, "list/", 5) != 0)
		return 0;
	/* fn may use the connection */
	if (strcmp(info->name, l->last) <= 0 || kc_ipc_ping(l->conn) < 0)
		return -1000;
	memcpy(l->last, info->name, sizeof(l->last));
	return ++l->n == l->stop_at ? 77 : 0;
}

static void a_list_holds_every_channel_once(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	struct listing l = { .conn = conn };
	kc_chan_t *chans[LISTED];
	char name[32];

	for (int i = 0; i < LISTED; i++) {
		(void)snprintf(name, sizeof(name), "list/n%d", i);
		chans[i] = make(conn, name, buffered(8, 1));
	}
	assert_int_equal(kc_ipc_list(conn, on_listed, &l), 0);
	assert_int_equal(l.n, LISTED);
	l = (struct listing){ .conn = conn, .stop_at = 5 };
	assert_int_equal(kc_ipc_list(conn, on_listed, &l), 77);
	assert_int_equal(kc_ipc_list(conn, NULL, &l), KC_EINVAL);
	for (int i = 0; i < LISTED; i++)
		finish(chans[i]);
	kc_ipc_disconnect(conn);
}

static void stats_tell_who_answers(void **state)
{
	kc_ipc_conn_t *conn = kct_client(kct_kcorod.path);
	struct kc_ipc_daemon_stats stats;

	assert_int_equal(kc_ipc_stats(conn, &stats), 0);
	assert_int_equal(stats.pid, kct_kcorod.pid);
	assert_string_equal(stats.version, KC_VERSION_STRING);
	assert_true(stats.connections >= 1 && stats.sessions >= 1);
	assert_true(stats.frames_in >= 2);
	assert_int_equal(kc_ledger_balance(&stats.ledger), 0);
	assert_int_equal(kc_ipc_stats(conn, NULL), KC_EINVAL);
	assert_int_equal(kc_ipc_ping(conn), 0);
	assert_int_equal(kc_ipc_ping(NULL), KC_EINVAL);
	kc_ipc_disconnect(conn);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(a_missing_socket_is_named),
	KCT_TEST(a_path_too_long_is_named),
	KCT_TEST(a_socket_nobody_listens_at_is_named),
	KCT_TEST(the_places_are_looked_at_in_order),
	KCT_TEST(making_what_exists_opens_it),
	KCT_TEST(an_id_outlives_no_channel),
	KCT_TEST(nonsense_is_refused_with_words),
	KCT_TEST(roles_are_kept_to),
	KCT_TEST(info_tells_what_was_asked_for),
	KCT_TEST(a_list_holds_every_channel_once),
	KCT_TEST(stats_tell_who_answers),
};

int main(void)
{
	return cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end);
}
