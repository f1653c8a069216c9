/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting and disconnecting.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/bell.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/debug.h"
#include "proto/frame.h"

#define SYSTEM_SOCKET "/run/kcorod/kcorod.sock"
#define USER_SOCKET   "/kcorod/kcorod.sock" /* below XDG_RUNTIME_DIR */

/* What nobody answers within this time is no daemon. */
#define CONNECT_MS 10000

/* How long a daemon that does not read delays our leaving. */
#define BYE_MS 1000

/* The socket of the default places, and a descriptor connected to it. */
static int connect_default(char path[KCI_PATH_SIZE], uint64_t deadline)
{
	const char *given = secure_getenv("KCORO_SOCKET");
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	int fd, n;

	if (given && *given) {
		if (strlen(given) >= KCI_PATH_SIZE)
			return kci_fail(
				KC_ENAMETOOLONG,
				"%s: KCORO_SOCKET has %zu bytes, a socket's path at most %zu",
				given, strlen(given), KCI_PATH_SIZE - 1);
		memcpy(path, given, strlen(given) + 1);
		return kci_socket_connect(path, deadline);
	}
	if (runtime && *runtime) {
		n = snprintf(path, KCI_PATH_SIZE, "%s" USER_SOCKET, runtime);
		fd = n < (int)KCI_PATH_SIZE ? kci_socket_connect(path, deadline) : -1;
		if (fd >= 0)
			return fd;
	}
	memcpy(path, SYSTEM_SOCKET, sizeof(SYSTEM_SOCKET));
	return kci_socket_connect(path, deadline);
}

static int open_socket(kc_ipc_conn_t *conn, const char *path, uint64_t deadline)
{
	if (!path)
		return connect_default(conn->path, deadline);
	if (strlen(path) >= KCI_PATH_SIZE)
		return kci_fail(KC_ENAMETOOLONG, "%s: %zu bytes; a socket's path has at most %zu",
				path, strlen(path), KCI_PATH_SIZE - 1);
	memcpy(conn->path, path, strlen(path) + 1);
	return kci_socket_connect(path, deadline);
}

/* Write what waits, and read once when there is something. 0, or a code. */
static int exchange(kc_ipc_conn_t *conn, uint64_t deadline)
{
	struct kcp_stream *stream = &conn->stream;
	short events = POLLIN;
	int r = kcp_stream_flush(stream);
	int came;

	if (r < 0 && r != KC_EAGAIN)
		return kci_fail(r, "kcorod hung up");
	if (r == KC_EAGAIN)
		events |= POLLOUT;
	came = kci_conn_await(conn, stream->fd, events, deadline);
	if (came < 0)
		return came;
	if (came == 0 && kci_deadline_left(deadline) == 0)
		return kci_fail(KC_ECONNRESET, "kcorod does not answer");
	if (!(came & ~POLLOUT))
		return 0;
	r = kcp_stream_fill(stream);
	if (r == 0 || r == KC_ECONNRESET)
		return kci_fail(KC_ECONNRESET, "kcorod hung up");
	return r > 0 || r == KC_EAGAIN ? 0 : r;
}

static int shake_hands(kc_ipc_conn_t *conn, uint64_t deadline)
{
	int r = kci_handshake_hello(&conn->stream);

	while (r == 0) {
		r = kci_handshake_welcome(&conn->stream, &conn->hello);
		if (r == 0)
			r = exchange(conn, deadline);
	}
	return r < 0 ? r : 0;
}

static int connect_new(kc_ipc_conn_t *conn, const char *path)
{
	uint64_t deadline = kci_deadline_from_ms(CONNECT_MS);
	int fd = open_socket(conn, path, deadline);
	int r;

	if (fd < 0)
		return fd;
	kcp_stream_init(&conn->stream, fd, KCI_FRAME_MAX, KCI_OUT_MAX);
	kci_detail_clear();
	r = shake_hands(conn, deadline);
	if (r < 0) {
		char why[256];

		(void)snprintf(why, sizeof(why), "%s", kc_error_detail());
		return kci_fail(r, "%s: %s", conn->path, why[0] ? why : kc_strerror(r));
	}
	conn->last_id = KCI_HELLO_ID;
	KCI_DEBUG("connected to %s", conn->path);
	return 0;
}

int kc_ipc_connect(kc_ipc_conn_t **ret, const char *path)
{
	kc_ipc_conn_t *conn;
	int saved;
	int r = ret ? kci_conn_new(&conn) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	saved = kci_thread_nocancel();
	r = connect_new(conn, path);
	if (r == 0)
		*ret = conn;
	else
		kci_conn_unref(conn);
	kci_thread_nocancel_end(saved);
	return (int)kci_result(r);
}

/* Lock held, but for the waits: the connection is dead, so nobody else uses the stream any
 * more. Without BYE leases and elements given ahead would stay with the session for its
 * grace. What kcorod still sends is read, or it might not read on. */
static void say_bye(kc_ipc_conn_t *conn)
{
	uint64_t deadline = kci_deadline_from_ms(BYE_MS);
	struct kcp_stream *stream = &conn->stream;
	uint8_t bin[4096];

	if (kci_notice_end(conn, kci_notice_begin(conn, KCP_BYE)) < 0)
		return;
	while (kcp_stream_flush(stream) == KC_EAGAIN && kci_deadline_left(deadline)) {
		struct kci_bell bell;
		int came;

		kci_bell_hang(conn, &bell);
		KC_MUTEX_UNLOCK(&conn->lock);
		came = kci_bell_await(conn, &bell, stream->fd, POLLIN | POLLOUT, deadline, NULL);
		KC_MUTEX_LOCK(&conn->lock);
		kci_bell_take(conn);
		if (came < 0 || (came & POLLIN && read(stream->fd, bin, sizeof(bin)) == 0))
			return;
	}
}

void kc_ipc_disconnect(kc_ipc_conn_t *conn)
{
	bool live;
	int saved;

	if (!conn || conn->process != kci_process_id())
		return;
	saved = kci_conn_lock(conn);
	live = conn->state == KCI_LIVE;
	kci_conn_end(conn, KC_ECONNRESET, "the connection was ended by kc_ipc_disconnect()");
	kci_conn_take_over(conn);
	if (live)
		say_bye(conn);
	if (conn->stream.fd >= 0)
		(void)close(conn->stream.fd);
	conn->stream.fd = -1;
	kci_resume_done(conn);
	kci_conn_hand_over(conn);
	kci_conn_unlock(conn, saved);
	kci_conn_leave(conn);
}
