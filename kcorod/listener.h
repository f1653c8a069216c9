/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where connections come from: sockets passed by systemd, or one of our own. Who
 * cannot be served is told so before the door closes, even when the daemon has no
 * descriptor left: one is kept in reserve for that.
 */
#ifndef KCD_LISTENER_H
#define KCD_LISTENER_H

#include <stdbool.h>

#include "kcorod/endpoint.h"
#include "kcorod/loop.h"
#include "kcorod/timer.h"

struct kcd_daemon;

#define KCD_LISTENERS_MAX 8

struct kcd_listener {
	struct kcd_daemon *daemon;
	struct kcd_listen {
		struct kcd_listener *listener;
		struct kcd_watch watch;
		int fd;
	} sockets[KCD_LISTENERS_MAX];
	int n;
	int reserve_fd; /* -1: used up */
	bool stalled;   /* nothing can be accepted: wait until a connection ends, or ... */
	struct kcd_timer retry; /* ... for a while, since others use up the same */
	struct kcd_endpoint endpoint;
};

void kcd_listener_init(struct kcd_listener *listener, struct kcd_daemon *daemon);

/* Close all sockets and remove our own from the file system. */
void kcd_listener_done(struct kcd_listener *listener);

/* Accept connections on a listening socket, which becomes the listener's. 0 or KC_ENOMEM. */
int kcd_listener_add(struct kcd_listener *listener, int fd);

/* Listen where the configuration says, or where a daemon of this user does: 0, or a
 * KC_E* code with a sentence. */
int kcd_listener_bind(struct kcd_listener *listener, char why[KCD_ENDPOINT_WHY]);

/* A descriptor may have become free. */
void kcd_listener_retry(struct kcd_listener *listener);

#endif
