/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A place in the file system where clients find the daemon.
 *
 * PATH.lock decides who owns PATH: whoever holds a lock on it. So the socket of a
 * daemon that lives is never taken away, and one left behind by a crash is replaced.
 * The socket is bound under another name and renamed into place once it listens: a
 * client that sees it can connect.
 */
#ifndef KCD_ENDPOINT_H
#define KCD_ENDPOINT_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define KCD_ENDPOINT_PATH 104 /* the name while it is bound has four bytes more */
#define KCD_ENDPOINT_WHY 384

struct kcd_endpoint {
	char path[KCD_ENDPOINT_PATH];
	int lock_fd; /* -1: none */
	dev_t dev;   /* of the socket, so that only our own is removed */
	ino_t ino;
};

/*
 * Bind and listen. `group` may be NULL. On success the descriptor (CLOEXEC, non-blocking)
 * is the caller's, and kcd_endpoint_close() is called at the end. On failure a KC_E* code
 * with a sentence in `why`.
 */
int kcd_endpoint_open(struct kcd_endpoint *ret, const char *path, mode_t mode, const char *group,
		      int *ret_fd, char why[KCD_ENDPOINT_WHY]);

/* Remove the socket, if it is still ours, and let go of the lock. */
void kcd_endpoint_close(struct kcd_endpoint *endpoint);

/* Where a daemon listens that was told nothing: 0, or KC_EINVAL (there is no such
 * place for this user). Makes the folder. `*ret_system`: it serves the whole system. */
int kcd_endpoint_default(char path[KCD_ENDPOINT_PATH], int *ret_system, char why[KCD_ENDPOINT_WHY]);

#endif
