/* SPDX-License-Identifier: BSD-3-Clause */
/* Waking clients that wait on a descriptor: see notifier.h. */
#include "kcorod/notifier.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

static struct kcd_notifier **slot(struct kcd_attachment *att, bool send)
{
	return send ? &att->send_notifier : &att->recv_notifier;
}

static void uncharge(struct kcd_session *session)
{
	session->daemon->descriptors--;
	session->peer->user->descriptors--;
}

/* The daemon's limit and the user's, or neither. */
static int charge(struct kcd_session *session, const char **ret_limit)
{
	struct kcd_daemon *d = session->daemon;
	int r = kcd_count_take(&d->descriptors, d->config.descriptors, "limits.descriptors",
			       ret_limit);

	if (r < 0)
		return r;
	r = kcd_count_take(&session->peer->user->descriptors, d->config.user_descriptors,
			   "user_limits.descriptors", ret_limit);
	if (r < 0)
		d->descriptors--;
	return r;
}

static void notifier_free(struct kcd_attachment *att, bool send)
{
	struct kcd_notifier *n = KC_STEAL(*slot(att, send));

	if (!n)
		return;
	kcd_bell_take_down(&n->bell);
	close(n->fd);
	KC_FREE(n);
	uncharge(att->session);
}

int kcd_notifier_make(struct kcd_attachment *att, bool send, int *ret_fd, uint64_t *ret_rings,
		      const char **ret_limit)
{
	struct kcd_notifier *n = KC_CALLOC(1, sizeof(*n)), *old = *slot(att, send);
	int fds[2], r;

	if (!n)
		return KC_ENOMEM;
	n->rings = *ret_rings = old ? old->rings : 0;
	/* One place for each direction: the new one takes that of the old one. */
	r = old ? 0 : charge(att->session, ret_limit);
	if (r < 0) {
		KC_FREE(n);
		return r;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
		if (!old)
			uncharge(att->session);
		KC_FREE(n);
		return KC_ENOMEM;
	}
	/* Nothing is to come from the client, and nothing can. */
	(void)shutdown(fds[0], SHUT_RD);
	n->fd = fds[0];
	if (old) {
		kcd_bell_take_down(&old->bell);
		close(old->fd);
		KC_FREE(old);
	}
	*slot(att, send) = n;
	kcd_bell_hang(&n->bell, &att->attach, send);
	*ret_fd = fds[1];
	return 0;
}

void kcd_notifiers_free(struct kcd_attachment *att)
{
	notifier_free(att, false);
	notifier_free(att, true);
}

void kcd_notifiers_ring(struct kcd_attachment *att)
{
	if (att->recv_notifier)
		kcd_bell_ring(&att->recv_notifier->bell);
	if (att->send_notifier)
		kcd_bell_ring(&att->send_notifier->bell);
}

void kcd_notifier_ring(struct kcd_bell *bell)
{
	struct kcd_notifier *n = KCD_CONTAINER(bell, struct kcd_notifier, bell);
	struct kcd_conn *conn = kcd_attachment_of(bell->attach)->session->conn;

	if (send(n->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
		n->rings++;
	else if (errno != EPIPE && errno != ECONNRESET && conn)
		/* Hundreds of bytes that the client was told to take, and did not. Who has
		 * closed its end (EPIPE) only does not want to know. */
		kcd_conn_overflow(conn);
}
