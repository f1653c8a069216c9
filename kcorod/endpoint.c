/* SPDX-License-Identifier: BSD-3-Clause */
/* A place in the file system: see endpoint.h. */
#include "kcorod/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kcoro/error.h"

#define BACKLOG 1024

#define SAY(why, ...) snprintf((why), KCD_ENDPOINT_WHY, __VA_ARGS__)

static int code_of(int e)
{
	switch (e) {
	case EACCES:
	case EPERM:
	case EROFS:
		return KC_EACCES;
	case ENOENT:
	case ENOTDIR:
		return KC_ENOENT;
	default:
		return KC_EINVAL;
	}
}

/* ---- the lock --------------------------------------------------------------- */

static void lock_write_pid(int fd)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* For people; nothing depends on it. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
		errno = 0;
}

static void lock_read_pid(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	buf[strspn(buf, "0123456789")] = '\0';
}

/* The owner removes the lock file at its end; so what was locked may be a file that has no
 * name any more, and then it is tried again. */
static int lock_take(const char *path, char *why)
{
	char lock[KCD_ENDPOINT_PATH + 8], pid[16];

	snprintf(lock, sizeof(lock), "%s.lock", path);
	for (int tries = 0; tries < 16; tries++) {
		struct stat ours, now;
		int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

		if (fd < 0) {
			int e = errno;

			SAY(why, "%s: cannot be opened: %s", lock, strerror(e));
			return code_of(e);
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			lock_read_pid(fd, pid, sizeof(pid));
			SAY(why, "%s: another kcorod%s%s serves it", path, *pid ? ", pid " : "",
			    pid);
			close(fd);
			return KC_EEXIST;
		}
		if (fstat(fd, &ours) == 0 && stat(lock, &now) == 0 && ours.st_ino == now.st_ino &&
		    ours.st_dev == now.st_dev) {
			lock_write_pid(fd);
			return fd;
		}
		close(fd);
	}
	SAY(why, "%s: changes all the time", lock);
	return KC_EEXIST;
}

static void lock_release(const char *path, int fd)
{
	char lock[KCD_ENDPOINT_PATH + 8];

	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock); /* while it is held: nobody else can have taken it */
	close(fd);
}

/* ---- the socket ------------------------------------------------------------- */

static void set_addr(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(addr->sun_path, path, strlen(path) + 1);
}

/* We hold the lock, so what is there is no kcorod's; but it may be somebody else's. */
static int check_present(const char *path, char *why)
{
	struct sockaddr_un addr;
	struct stat st;
	int fd, r;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		SAY(why, "%s: is there and is no socket", path);
		return KC_EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		SAY(why, "%s: no socket: %s", path, strerror(errno));
		return KC_ENOMEM;
	}
	set_addr(&addr, path);
	r = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	/* A full queue is somebody's too. */
	if (r == 0 || errno == EAGAIN) {
		SAY(why, "%s: another program listens there", path);
		r = KC_EEXIST;
	} else {
		r = 0;
	}
	close(fd);
	return r;
}

static int set_owner(const char *path, mode_t mode, const char *group, char *why)
{
	if (group) {
		const struct group *g = getgrnam(group);

		if (!g) {
			SAY(why, "%s: no such group: %s", path, group);
			return KC_EINVAL;
		}
		if (chown(path, (uid_t)-1, g->gr_gid) < 0) {
			SAY(why, "%s: cannot be given to group %s: %s", path, group,
			    strerror(errno));
			return KC_EACCES;
		}
	}
	if (chmod(path, mode) < 0) {
		SAY(why, "%s: its mode cannot be set: %s", path, strerror(errno));
		return KC_EACCES;
	}
	return 0;
}

/* Bind under another name, which nobody may use before all is set. */
static int bind_new(const char *path, mode_t mode, const char *group, int *ret_fd, char *why)
{
	char name[KCD_ENDPOINT_PATH + 4];
	struct sockaddr_un addr;
	mode_t saved;
	int fd, r;

	snprintf(name, sizeof(name), "%s.new", path);
	unlink(name); /* left by one that was killed at just this point */
	set_addr(&addr, name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		SAY(why, "%s: no socket: %s", path, strerror(errno));
		return KC_ENOMEM;
	}
	saved = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(saved);
	if (r < 0) {
		r = code_of(errno);
		SAY(why, "%s: cannot be bound: %s", path, strerror(errno));
		close(fd);
		return r;
	}
	r = set_owner(name, mode, group, why);
	if (r == 0 && (listen(fd, BACKLOG) < 0 || rename(name, path) < 0)) {
		r = code_of(errno);
		SAY(why, "%s: cannot be listened at: %s", path, strerror(errno));
	}
	if (r < 0) {
		unlink(name);
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int kcd_endpoint_open(struct kcd_endpoint *ret, const char *path, mode_t mode, const char *group,
		      int *ret_fd, char why[KCD_ENDPOINT_WHY])
{
	struct stat st;
	int lock_fd, r;

	if (strlen(path) >= KCD_ENDPOINT_PATH) {
		SAY(why, "%.100s...: longer than %d bytes", path, KCD_ENDPOINT_PATH - 1);
		return KC_ENAMETOOLONG;
	}
	lock_fd = lock_take(path, why);
	if (lock_fd < 0)
		return lock_fd;
	r = check_present(path, why);
	if (r == 0)
		r = bind_new(path, mode, group, ret_fd, why);
	if (r < 0) {
		lock_release(path, lock_fd);
		return r;
	}
	*ret = (struct kcd_endpoint){ .lock_fd = lock_fd };
	memcpy(ret->path, path, strlen(path) + 1);
	if (lstat(path, &st) == 0) {
		ret->dev = st.st_dev;
		ret->ino = st.st_ino;
	}
	return 0;
}

void kcd_endpoint_close(struct kcd_endpoint *endpoint)
{
	struct stat st;

	if (endpoint->lock_fd < 0)
		return;
	if (lstat(endpoint->path, &st) == 0 && st.st_dev == endpoint->dev &&
	    st.st_ino == endpoint->ino)
		unlink(endpoint->path);
	lock_release(endpoint->path, endpoint->lock_fd);
	endpoint->lock_fd = -1;
}

int kcd_endpoint_default(char path[KCD_ENDPOINT_PATH], int *ret_system, char why[KCD_ENDPOINT_WHY])
{
	const char *service = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
	char folder[KCD_ENDPOINT_PATH];
	int n;

	*ret_system = geteuid() == 0 || (service && *service);
	if (service && *service)
		n = snprintf(folder, sizeof(folder), "%s", service);
	else if (geteuid() == 0)
		n = snprintf(folder, sizeof(folder), "/run/kcorod");
	else if (user && *user == '/')
		n = snprintf(folder, sizeof(folder), "%s/kcorod", user);
	else {
		SAY(why, "no place for a socket: give --socket PATH, or set XDG_RUNTIME_DIR");
		return KC_EINVAL;
	}
	if (n >= (int)sizeof(folder) ||
	    snprintf(path, KCD_ENDPOINT_PATH, "%s/kcorod.sock", folder) >= KCD_ENDPOINT_PATH) {
		SAY(why, "%s/kcorod.sock: too long for a socket: give --socket PATH", folder);
		return KC_ENAMETOOLONG;
	}
	if (mkdir(folder, 0755) < 0 && errno != EEXIST) {
		SAY(why, "%s: cannot be made: %s", folder, strerror(errno));
		return code_of(errno);
	}
	return 0;
}
