/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reaching the daemon's socket, and waiting for it to come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/debug.h"

/* What may mean that somebody listens now, or that the watch has to be set anew. */
#define WATCHED (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

static int connect_failed(const char *path, int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return kci_fail(KC_ENOENT,
				"%s: there is no such socket; start kcorod, or set KCORO_SOCKET to "
				"the socket of one that runs",
				path);
	case EACCES:
	case EPERM:
		return kci_fail(KC_EACCES,
				"%s: permission denied; the socket's mode and group in kcorod's "
				"configuration say who may connect",
				path);
	case EPROTOTYPE:
		return kci_fail(KC_EPROTO, "%s: not a socket of kcorod", path);
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return kci_fail(KC_ENOMEM, "%s: no memory or no descriptor for a socket", path);
	case EAGAIN:
		return kci_fail(KC_ECONNRESET, "%s: kcorod does not accept connections", path);
	default:
		return kci_fail(KC_ECONNRESET, "%s: nobody listens there; start kcorod", path);
	}
}

/* These give 0 or an errno, and no part of them is in kci_socket_connect(), where errno is not
 * that of the same thread all the time. */

static int __attribute__((noinline)) set_flags(int fd, int flags)
{
	return fcntl(fd, F_SETFL, flags) < 0 ? errno : 0;
}

static int __attribute__((noinline)) connect_once(int fd, const struct sockaddr_un *addr)
{
	int r;

	do {
		r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	} while (r < 0 && errno == EINTR);
	return r < 0 ? errno : 0;
}

/* A full backlog has no event to wait for but the end of a connect() that blocks: a thread
 * makes that one, and is gone when the coroutine goes on. */
struct aside {
	int fd;
	const struct sockaddr_un *addr;
	int err;
	struct kci_waiter waiter;
};

static void *connect_blocking(void *arg)
{
	struct aside *a = arg;

	a->err = set_flags(a->fd, 0);
	if (a->err == 0)
		a->err = connect_once(a->fd, a->addr);
	kci_waiter_unpark(&a->waiter);
	return NULL;
}

static int connect_aside(int fd, const struct sockaddr_un *addr)
{
	struct aside a = { .fd = fd, .addr = addr };
	KC_THREAD_T thread;

	kci_waiter_init(&a.waiter);
	if (kci_thread_start(&thread, connect_blocking, &a) < 0)
		return ENOMEM;
	kci_detail_clear();
	kci_waiter_await(&a.waiter);
	/* it has nothing left to do */
	kci_thread_join(thread);
	return a.err;
}

int kci_socket_connect(const char *path, uint64_t deadline)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	uint64_t left = kci_deadline_left(deadline);
	struct timeval limit = {
		.tv_sec = (time_t)(left / KC_NS_PER_SEC),
		/* 0 would be no limit at all */
		.tv_usec = (suseconds_t)(left % KC_NS_PER_SEC / 1000 + 1) % 1000000,
	};
	bool parks = kci_coro_polling() != NULL;
	size_t len = strlen(path);
	int fd, err;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return kci_fail(len ? KC_ENAMETOOLONG : KC_ENOENT,
				"\"%s\": a socket's path has 1 to %zu bytes", path,
				sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (parks ? SOCK_NONBLOCK : 0), 0);
	if (fd < 0)
		return connect_failed(path, errno);
	/* a full backlog is waited for in connect(), for so long */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		KCI_DEBUG("SO_SNDTIMEO: errno %d", errno);
	err = connect_once(fd, &addr);
	if (err == EAGAIN && parks)
		err = connect_aside(fd, &addr);
	if (err == 0)
		err = set_flags(fd, O_NONBLOCK);
	if (err) {
		(void)close(fd);
		return connect_failed(path, err);
	}
	return fd;
}

/* Watch the folder of path, or the nearest above it that exists. */
static int watch(int in, const char *path)
{
	char dir[KCI_PATH_SIZE];
	size_t len = strlen(path);

	memcpy(dir, path, len + 1);
	for (;;) {
		while (len > 0 && dir[len - 1] != '/')
			len--;
		while (len > 1 && dir[len - 1] == '/')
			len--;
		dir[len] = '\0';
		if (inotify_add_watch(in, len ? dir : ".", WATCHED) >= 0)
			return 0;
		if ((errno != ENOENT && errno != ENOTDIR) || len <= 1)
			return kci_fail(KC_ECONNRESET, "%s: cannot watch for its return", path);
	}
}

int kci_socket_watch(const char *path)
{
	int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int r;

	if (in < 0)
		return kci_fail(KC_ECONNRESET, "%s: cannot watch for its return", path);
	r = watch(in, path);
	if (r == 0)
		return in;
	(void)close(in);
	return r;
}
