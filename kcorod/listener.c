/* SPDX-License-Identifier: BSD-3-Clause */
/* Where connections come from: see listener.h. */
#include "kcorod/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcorod/conn.h"
#include "kcorod/daemon.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/result.h"
#include "proto/tlv.h"

#define ACCEPT_BATCH 64 /* connections taken in one turn */
#define RETRY_NS KC_NS_PER_SEC
#define NO_DESCRIPTOR "the daemon has no descriptor left"

static int reserve_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_retry(struct kcd_timer *timer)
{
	kcd_listener_retry(KCD_CONTAINER(timer, struct kcd_listener, retry));
}

void kcd_listener_init(struct kcd_listener *listener, struct kcd_daemon *daemon)
{
	*listener = (struct kcd_listener){ .daemon = daemon,
					   .reserve_fd = reserve_open(),
					   .retry.fn = on_retry };
	listener->endpoint.lock_fd = -1;
}

void kcd_listener_done(struct kcd_listener *listener)
{
	kcd_timer_disarm(&listener->daemon->timers, &listener->retry);
	/* The name first: who still sees it shall not find nobody behind it. */
	kcd_endpoint_close(&listener->endpoint);
	for (int i = 0; i < listener->n; i++) {
		kcd_watch_done(&listener->sockets[i].watch);
		close(listener->sockets[i].fd);
	}
	listener->n = 0;
	if (listener->reserve_fd >= 0)
		close(listener->reserve_fd);
	listener->reserve_fd = -1;
}

/* Tell somebody who cannot be served. The socket is new and its buffer empty, so that one
 * attempt to write is enough. */
static void turn_away(int fd, int code, const char *why)
{
	struct kcp_buf buf;
	size_t at;

	kcp_buf_init(&buf, 1024);
	at = kcp_frame_begin(&buf, KCP_ERROR, 0, 0, 0);
	kcp_put_u32(&buf, KCP_T_RESULT, kcp_result_from_code(code));
	kcp_put_text(&buf, KCP_T_DETAIL, why);
	if (kcp_frame_end(&buf, at) == 0)
		(void)!send(fd, buf.data, buf.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	kcp_buf_done(&buf);
	close(fd);
}

static void admit(struct kcd_listener *listener, int fd)
{
	struct kcd_conn *conn;
	const char *limit = NULL;
	int r = kcd_conn_new(listener->daemon, fd, &conn, &limit);

	if (r == 0)
		return;
	if (!limit)
		limit = r == KC_EDQUOT ? NO_DESCRIPTOR : "no memory";
	kcd_log_client(KCD_LOG_NOTICE, NULL, "connection refused: %s", limit);
	turn_away(fd, r, limit);
}

/* No descriptor is left: the reserve lets one in, to be told. False: nobody waited. */
static bool turn_away_one(struct kcd_listener *listener, int listen_fd)
{
	int fd;

	if (listener->reserve_fd >= 0)
		close(listener->reserve_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		turn_away(fd, KC_EDQUOT, NO_DESCRIPTOR);
	listener->reserve_fd = reserve_open();
	if (fd < 0)
		return false;
	kcd_log_client(KCD_LOG_WARNING, NULL, "no descriptor left: a connection was refused");
	return true;
}

/* The sockets stay readable: looked at again and again, they would keep the processor busy. */
static void stall(struct kcd_listener *listener, bool stalled)
{
	struct kcd_timers *timers = &listener->daemon->timers;

	listener->stalled = stalled;
	if (stalled)
		(void)kcd_timer_arm(timers, &listener->retry, timers->now_ns + RETRY_NS);
	else
		kcd_timer_disarm(timers, &listener->retry);
	for (int i = 0; i < listener->n; i++)
		(void)kcd_watch_set(&listener->sockets[i].watch, !stalled, false);
}

void kcd_listener_retry(struct kcd_listener *listener)
{
	if (!listener->stalled)
		return;
	if (listener->reserve_fd < 0)
		listener->reserve_fd = reserve_open();
	stall(listener, listener->reserve_fd < 0);
}

static void on_connection(struct kcd_watch *watch, bool readable, bool writable)
{
	struct kcd_listen *socket = KCD_CONTAINER(watch, struct kcd_listen, watch);
	struct kcd_listener *listener = socket->listener;

	(void)readable;
	(void)writable;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			admit(listener, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE) {
			if (listener->reserve_fd < 0) {
				stall(listener, true);
				return;
			}
			if (!turn_away_one(listener, socket->fd))
				return;
			continue;
		}
		if (errno == ENOMEM || errno == ENOBUFS)
			stall(listener, true);
		if (errno != EINTR && errno != ECONNABORTED)
			return; /* nobody waits; or a fault that the next turn meets again */
	}
}

int kcd_listener_add(struct kcd_listener *listener, int fd)
{
	struct kcd_listen *socket = &listener->sockets[listener->n];
	int flags = fcntl(fd, F_GETFL), r;

	if (listener->n == KCD_LISTENERS_MAX)
		return KC_ENOMEM;
	/* Whoever passed it may have made it a blocking one. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return KC_EINVAL;
	*socket = (struct kcd_listen){ .listener = listener, .fd = fd };
	r = kcd_watch_init(&socket->watch, listener->daemon->loop, fd, on_connection);
	if (r == 0)
		r = kcd_watch_set(&socket->watch, true, false);
	if (r < 0)
		kcd_watch_done(&socket->watch);
	else
		listener->n++;
	return r;
}

int kcd_listener_bind(struct kcd_listener *listener, char why[KCD_ENDPOINT_WHY])
{
	const struct kcd_config *c = &listener->daemon->config;
	char path[KCD_ENDPOINT_PATH];
	int system = geteuid() == 0, fd, r;
	mode_t mode;

	if (!*c->socket_path) {
		r = kcd_endpoint_default(path, &system, why);
		if (r < 0)
			return r;
	}
	mode = c->socket_mode != KCD_CONFIG_MODE_AUTO ? (mode_t)c->socket_mode
						      : system ? 0666 : 0600;
	r = kcd_endpoint_open(&listener->endpoint, *c->socket_path ? c->socket_path : path, mode,
			      *c->socket_group ? c->socket_group : NULL, &fd, why);
	if (r < 0)
		return r;
	r = kcd_listener_add(listener, fd);
	if (r < 0) {
		snprintf(why, KCD_ENDPOINT_WHY, "%s: no memory", listener->endpoint.path);
		close(fd);
	}
	return r;
}
