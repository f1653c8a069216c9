/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is at the other end of a socket, as the kernel tells it: the process that
 * connected, whoever holds the descriptor now. Its death is noticed through a
 * pidfd, which cannot be mistaken for another process of the same number.
 */
#ifndef KCD_PEER_H
#define KCD_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "kcorod/log.h"
#include "kcorod/loop.h"
#include "kcorod/quota.h"

struct kcd_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones; may be NULL */
	size_t n_groups;
	struct kcd_user *user;

	int pidfd; /* -1: the kernel gave none, its end will not be noticed */
	struct kcd_watch watch;
	bool dead;
	void (*died)(void *arg); /* called once, from the loop */
	void *arg;
};

/* The process that connected this socket. 0, KC_EACCES (it cannot be known), KC_EDQUOT (no
 * descriptor is left for its pidfd) or KC_ENOMEM. */
int kcd_peer_new(int fd, struct kcd_users *users, struct kcd_peer **ret);
struct kcd_peer *kcd_peer_free(struct kcd_peer *peer);

/* Watch for its end. 0 or KC_ENOMEM. */
int kcd_peer_watch(struct kcd_peer *peer, struct kcd_loop *loop);

/* Whether death can be noticed at all and has not been: such a process may come back. */
static inline bool kcd_peer_lives(const struct kcd_peer *peer)
{
	return peer->pidfd >= 0 && !peer->dead;
}

/* A pidfd the way of kernels that do not give one with the socket: by number, unless that is
 * another user's process by now. -1: none. */
int kcd_peer_pidfd_by_number(pid_t pid, uid_t uid);

bool kcd_peer_in_group(const struct kcd_peer *peer, gid_t gid);

struct kcd_log_about kcd_peer_about(const struct kcd_peer *peer, const char *channel);

#endif
