/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors to wait on: see notify.h.
 */
#include "libkcoro-client/ipc/notify.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/chan-socket.h"

void kci_notify_init(struct kci_notify *notify)
{
	notify->fd = -1;
	notify->taken = 0;
}

void kci_notify_done(struct kci_notify *notify)
{
	int saved = kci_thread_nocancel();

	if (notify->fd >= 0)
		(void)close(notify->fd);
	notify->fd = -1;
	kci_thread_nocancel_end(saved);
}

void kci_notify_silence(struct kci_notify *notify, uint64_t rings)
{
	char bytes[64];

	while (notify->fd >= 0 && notify->taken < rings) {
		uint64_t left = rings - notify->taken;
		ssize_t n = recv(notify->fd, bytes,
				 left < sizeof(bytes) ? (size_t)left : sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* hung up */
		notify->taken += (uint64_t)n;
	}
}

void kci_notify_hang_up(struct kci_notify *notify)
{
	if (notify->fd >= 0)
		(void)shutdown(notify->fd, SHUT_RDWR);
}

static int on_watched(struct kci_call *call, struct kcp_args *args, int code)
{
	struct kci_notify *notify = call->arg;
	int fd;

	if (code < 0)
		return 0;
	fd = kcp_stream_fd(&call->conn->stream);
	if (fd < 0) {
		(void)snprintf(call->detail, sizeof(call->detail),
			       "the descriptor did not arrive: none is left, or what lies "
			       "between this program and kcorod passes bytes alone");
		return KC_ENOMEM;
	}
	notify->fd = fd;
	notify->taken = kcp_num(args, KCP_T_RINGS, 0);
	return 0;
}

static int watch(struct kci_schan *sc, unsigned direction, struct kci_notify *notify)
{
	kc_ipc_conn_t *conn = sc->conn;
	struct kci_call call;
	int r;

	kci_call_init(&call, conn, KCP_CHAN_WATCH);
	kcp_put_u32(&call.head, KCP_T_ATTACH, sc->attach);
	kcp_put_u32(&call.head, KCP_T_ROLES,
		    direction == KC_SENDER ? KCP_ROLE_SENDER : KCP_ROLE_RECEIVER);
	call.on_reply = on_watched;
	call.arg = notify;
	r = kci_call_run_fd(&call);
	kci_call_done(&call);
	return r < 0 ? (int)kci_schan_code(sc, &call, r, -1) : notify->fd;
}

int kci_schan_fd(kc_chan_t *ch, unsigned direction)
{
	struct kci_schan *sc = kci_schan_of(ch);
	struct kci_notify *notify = direction == KC_SENDER ? &sc->send_notify : &sc->recv_notify;
	kc_ipc_conn_t *conn = sc->conn;
	int r, saved;

	if (!(sc->roles & direction))
		return kci_fail(KC_EACCES, "the handle was not opened as a %s",
				direction == KC_SENDER ? "sender" : "receiver");
	saved = kci_conn_lock_fd(conn);
	r = notify->fd >= 0 ? notify->fd : watch(sc, direction, notify);
	kci_conn_unlock_fd(conn, saved);
	return r;
}
