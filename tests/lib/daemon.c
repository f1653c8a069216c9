/* SPDX-License-Identifier: BSD-3-Clause */
/* A kcorod of a test's own: see daemon.h. */
#include "tests/lib/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"

#define ARGS_MAX 32
#define START_MS 30000
#define STOP_MS 20000

int kct_daemon_prepare(struct kct_daemon *d)
{
	const char *tmp = getenv("TMPDIR");

	memset(d, 0, sizeof(*d));
	d->pidfd = d->log_fd = -1;
	/* A socket's path has at most 107 bytes. */
	if (!tmp || strlen(tmp) > 40)
		tmp = "/tmp";
	snprintf(d->dir, sizeof(d->dir), "%s/kcd.XXXXXX", tmp);
	if (!mkdtemp(d->dir))
		return -errno;
	snprintf(d->path, sizeof(d->path), "%s/kcorod.sock", d->dir);
	snprintf(d->lock, sizeof(d->lock), "%s.lock", d->path);
	return 0;
}

static void remove_folder(struct kct_daemon *d)
{
	DIR *dir = opendir(d->dir);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	rmdir(d->dir);
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, 1024) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* In the child, between fork and exec: only calls that are safe there. */
static void put_pid(char *at, pid_t pid)
{
	char digits[12];
	int n = 0;

	do
		digits[n++] = (char)('0' + pid % 10);
	while ((pid /= 10) > 0);
	while (n > 0)
		*at++ = digits[--n];
	*at = '\0';
}

/* Set for the next child alone. */
static int (*prepare_child)(void *arg);
static void *prepare_arg;

static int spawn(struct kct_daemon *d, int listen_fd, const char *const *argv)
{
	char program[512], log[96], listen_pid[32] = "LISTEN_PID=";
	const char *build = getenv("KC_BUILDDIR");
	char **env;
	size_t n = 0, k = 0;
	pid_t pid, parent = getpid();
	sigset_t none;

	snprintf(program, sizeof(program), "%s/kcorod/kcorod", build ? build : ".");
	snprintf(log, sizeof(log), "%s/log", d->dir);
	d->log_fd = open(log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (d->log_fd < 0)
		return -errno;
	while (environ[n])
		n++;
	env = calloc(n + 3, sizeof(*env));
	if (!env)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "LISTEN_", 7) != 0)
			env[k++] = environ[i];
	if (listen_fd >= 0) {
		env[k++] = (char *)"LISTEN_FDS=1";
		env[k++] = listen_pid;
	}
	pid = fork();
	if (pid < 0) {
		free(env);
		return -errno;
	}
	if (pid == 0) {
		put_pid(listen_pid + strlen("LISTEN_PID="), getpid());
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(126);
		/* a coroutine's thread takes no signals, but this one is stopped by one */
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* 3 may be any of ours: the log moves first. */
		if (dup2(d->log_fd, STDERR_FILENO) < 0 || dup2(d->log_fd, STDOUT_FILENO) < 0)
			_exit(126);
		if (listen_fd == 3)
			fcntl(3, F_SETFD, 0);
		else if (listen_fd >= 0 && dup2(listen_fd, 3) < 0)
			_exit(126);
		if (prepare_child && prepare_child(prepare_arg) != 0)
			_exit(126);
		execve(program, (char *const *)argv, env);
		_exit(127);
	}
	free(env);
	d->pid = pid;
	d->pidfd = pidfd_open(pid, 0);
	return d->pidfd < 0 ? -errno : 0;
}

/* Gather the arguments; a configuration is written to a file of its own. */
static int start(struct kct_daemon *d, int listen_fd, const char *config, const char *const *args)
{
	const char *argv[ARGS_MAX] = { "kcorod", "--socket", d->path };
	char path[96];
	int n = 3;

	if (config) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/kcorod.json", d->dir);
		f = fopen(path, "we");
		if (!f)
			return -errno;
		fputs(config, f);
		if (fclose(f) != 0)
			return -errno;
		argv[n++] = "--config";
		argv[n++] = path;
	}
	for (; args && *args; args++) {
		if (n == ARGS_MAX - 1)
			return -E2BIG;
		argv[n++] = *args;
	}
	return spawn(d, listen_fd, argv);
}

int kct_daemon_start(struct kct_daemon *d, const char *config, const char *const *args)
{
	int r = kct_daemon_prepare(d), fd;

	if (r < 0)
		return r;
	fd = listen_at(d->path);
	r = fd < 0 ? fd : start(d, fd, config, args);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		kct_daemon_kill(d);
	return r;
}

/* Start one that binds by itself; done when another socket is in place than before. */
static int start_bound(struct kct_daemon *d, const char *config, const char *const *args)
{
	uint64_t deadline = kci_deadline_from_ms(START_MS);
	struct stat was = { 0 }, now;
	int r = 0, in;

	(void)stat(d->path, &was);
	/* The socket is renamed into place: when its name is there it can be connected to. */
	in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (in < 0 || inotify_add_watch(in, d->dir, IN_MOVED_TO) < 0)
		r = -errno;
	else
		r = start(d, -1, config, args);
	while (r == 0 && (stat(d->path, &now) < 0 || now.st_ino == was.st_ino)) {
		struct pollfd p[2] = { { .fd = in, .events = POLLIN },
				       { .fd = d->pidfd, .events = POLLIN } };
		char events[4096];

		if (poll(p, 2, kci_deadline_poll_ms(deadline)) < 0 && errno != EINTR)
			r = -errno;
		else if (p[1].revents)
			r = -ECHILD;
		else if (kci_deadline_left(deadline) == 0)
			r = -ETIMEDOUT;
		else if (p[0].revents && read(in, events, sizeof(events)) < 0 && errno != EAGAIN)
			r = -errno;
	}
	if (in >= 0)
		close(in);
	if (r < 0)
		kct_daemon_kill(d);
	return r;
}

int kct_daemon_start_bound(struct kct_daemon *d, const char *config, const char *const *args)
{
	int r = kct_daemon_prepare(d);

	return r < 0 ? r : start_bound(d, config, args);
}

int kct_daemon_start_prepared(struct kct_daemon *d, bool bound, int (*prepare)(void *arg),
			      void *arg)
{
	int r;

	prepare_child = prepare;
	prepare_arg = arg;
	r = bound ? kct_daemon_start_bound(d, NULL, NULL) : kct_daemon_start(d, NULL, NULL);
	prepare_child = NULL;
	return r;
}

static int limit_descriptors(void *arg)
{
	return setrlimit(RLIMIT_NOFILE, arg);
}

int kct_daemon_start_limited(struct kct_daemon *d, const struct rlimit *limit)
{
	struct rlimit copy = *limit;

	return kct_daemon_start_prepared(d, /* bound= */ false, limit_descriptors, &copy);
}

static void close_fds(struct kct_daemon *d)
{
	if (d->pidfd >= 0)
		close(d->pidfd);
	if (d->log_fd >= 0)
		close(d->log_fd);
	d->pidfd = d->log_fd = -1;
}

int kct_daemon_restart_bound(struct kct_daemon *d)
{
	close_fds(d);
	return start_bound(d, NULL, NULL);
}

int kct_daemon_run(struct kct_daemon *d, const char *const *args)
{
	const char *argv[ARGS_MAX] = { "kcorod" };
	int n = 1;

	for (; args && *args; args++) {
		if (n == ARGS_MAX - 1)
			return -E2BIG;
		argv[n++] = *args;
	}
	return spawn(d, -1, argv);
}

int kct_daemon_wait(struct kct_daemon *d, int timeout_ms)
{
	uint64_t deadline = kci_deadline_from_ms(timeout_ms);
	struct pollfd p = { .fd = d->pidfd, .events = POLLIN };
	int status;

	while (poll(&p, 1, kci_deadline_poll_ms(deadline)) <= 0)
		if (kci_deadline_left(deadline) == 0)
			return -ETIMEDOUT;
	while (waitpid(d->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	d->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int finish(struct kct_daemon *d, int sig, bool tell)
{
	int status = 0;

	if (d->pid > 0) {
		kill(d->pid, sig);
		status = kct_daemon_wait(d, STOP_MS);
		if (status == -ETIMEDOUT) {
			kill(d->pid, SIGKILL);
			kct_daemon_wait(d, -1);
		}
	}
	if (tell && status != 0 && d->log_fd >= 0) {
		char text[65536];

		kct_daemon_log(d, text, sizeof(text));
		fprintf(stderr, "# kcorod ended with %d:\n%s", status, text);
	}
	close_fds(d);
	remove_folder(d);
	return status;
}

int kct_daemon_stop(struct kct_daemon *d)
{
	return finish(d, SIGTERM, true);
}

void kct_daemon_kill(struct kct_daemon *d)
{
	finish(d, SIGKILL, false);
}

int kct_daemon_connect(const struct kct_daemon *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(addr.sun_path, d->path, strlen(d->path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

size_t kct_daemon_log(const struct kct_daemon *d, char *buf, size_t size)
{
	ssize_t n = pread(d->log_fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

int kct_daemon_fds(const struct kct_daemon *d)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)d->pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}
