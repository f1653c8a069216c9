/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is at the other end: see peer.h. */
#include "kcorod/peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

/* Since Linux 6.5; asked for by number, since the headers here may be older than the
 * kernel, and the kernel older than both. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* A number of groups no real process comes near to. */
#define GROUPS_MAX ((size_t)65536)

int kcd_peer_pidfd_by_number(pid_t pid, uid_t uid)
{
	int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1; /* CLOEXEC */
	struct stat st;
	char path[32];

	/* The number may have been given away since the process connected. */
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (pidfd >= 0 && (stat(path, &st) < 0 || st.st_uid != uid)) {
		close(pidfd);
		pidfd = -1;
	}
	return pidfd;
}

static int pidfd_of(int fd, pid_t pid, uid_t uid)
{
	socklen_t len = sizeof(int);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd; /* CLOEXEC */
	return errno == ENOPROTOOPT ? kcd_peer_pidfd_by_number(pid, uid) : -1;
}

/* Supplementary groups; without them the peer has its primary group alone. */
static int groups_of(int fd, struct kcd_peer *peer)
{
	socklen_t len = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
	    len == 0 || len > GROUPS_MAX * sizeof(gid_t))
		return 0;
	peer->groups = KC_ALLOC(len);
	if (!peer->groups)
		return KC_ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &len) == 0)
		peer->n_groups = len / sizeof(gid_t);
	return 0;
}

int kcd_peer_new(int fd, struct kcd_users *users, struct kcd_peer **ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct kcd_peer *peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof(cred))
		return KC_EACCES;
	peer = KC_CALLOC(1, sizeof(*peer));
	if (!peer)
		return KC_ENOMEM;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	peer->pidfd = pidfd_of(fd, cred.pid, cred.uid);
	if (peer->pidfd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* Better none than one whose death would go unnoticed. */
		kcd_peer_free(peer);
		return KC_EDQUOT;
	}
	peer->user = kcd_users_get(users, cred.uid);
	if (!peer->user || groups_of(fd, peer) < 0) {
		kcd_peer_free(peer);
		return KC_ENOMEM;
	}
	*ret = peer;
	return 0;
}

struct kcd_peer *kcd_peer_free(struct kcd_peer *peer)
{
	if (!peer)
		return NULL;
	kcd_watch_done(&peer->watch);
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	kcd_user_unref(peer->user);
	KC_FREE(peer->groups);
	KC_FREE(peer);
	return NULL;
}

static void on_death(struct kcd_watch *watch, bool readable, bool writable)
{
	struct kcd_peer *peer = KCD_CONTAINER(watch, struct kcd_peer, watch);

	(void)readable;
	(void)writable;
	/* It stays readable from now on. */
	(void)kcd_watch_set(watch, false, false);
	peer->dead = true;
	if (peer->died)
		peer->died(peer->arg);
}

int kcd_peer_watch(struct kcd_peer *peer, struct kcd_loop *loop)
{
	int r;

	if (peer->pidfd < 0)
		return 0;
	r = kcd_watch_init(&peer->watch, loop, peer->pidfd, on_death);
	return r < 0 ? r : kcd_watch_set(&peer->watch, true, false);
}

bool kcd_peer_in_group(const struct kcd_peer *peer, gid_t gid)
{
	if (peer->gid == gid)
		return true;
	for (size_t i = 0; i < peer->n_groups; i++)
		if (peer->groups[i] == gid)
			return true;
	return false;
}

struct kcd_log_about kcd_peer_about(const struct kcd_peer *peer, const char *channel)
{
	return (struct kcd_log_about){ .channel = channel, .pid = peer->pid, .uid = peer->uid };
}
