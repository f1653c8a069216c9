/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting the system calls of other processes: see bench_calls.h. */
#include "tests/bench/bench_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench_report.h"

#define TRACEFS	   "/sys/kernel/tracing"
#define TRACEPOINT "events/raw_syscalls/sys_enter/id"

/* ---- the kernel's counter --------------------------------------------------- */

static int read_id(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32] = "";
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && atoi(text) > 0 ? atoi(text) : -ENOENT;
}

/* Where nobody has mounted it: a child mounts it for itself alone, reads and goes. */
static int read_id_privately(void)
{
	int ends[2], id = -ENOENT, status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) == 0 &&
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		    mount("tracefs", TRACEFS, "tracefs", 0, NULL) == 0)
			id = read_id(TRACEFS "/" TRACEPOINT);
		_exit(write(ends[1], &id, sizeof(id)) != sizeof(id));
	}
	close(ends[1]);
	if (pid < 0 || read(ends[0], &id, sizeof(id)) != sizeof(id))
		id = -ENOENT;
	close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return id;
}

/* Its number, or a negative errno; found once. */
static int tracepoint(void)
{
	static int id;

	if (id == 0)
		id = read_id(TRACEFS "/" TRACEPOINT);
	if (id < 0)
		id = read_id("/sys/kernel/debug/tracing/" TRACEPOINT);
	if (id < 0)
		id = read_id_privately();
	return id;
}

static int open_counters(struct bench_calls *c)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	int id = tracepoint();

	if (id < 0)
		return id;
	attr.config = (uint64_t)id;
	attr.inherit = 1;
	for (unsigned i = 0; i < c->n; i++) {
		c->fd[i] = (int)syscall(SYS_perf_event_open, &attr, c->pid[i], -1, -1,
					PERF_FLAG_FD_CLOEXEC);
		if (c->fd[i] < 0)
			return -errno;
	}
	return 0;
}

/* ---- tracing ---------------------------------------------------------------- */

static int seize(struct bench_calls *c)
{
	c->traced = true;
	for (unsigned i = 0; i < c->n; i++)
		if (ptrace(PTRACE_SEIZE, c->pid[i], NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
		    ptrace(PTRACE_INTERRUPT, c->pid[i], NULL, NULL) < 0)
			return -errno;
	return 0;
}

static void stopped(struct bench_calls *c, pid_t pid, int status)
{
	int sig = WSTOPSIG(status);

	for (unsigned i = 0; i < c->n; i++)
		if (c->pid[i] == pid && sig == (SIGTRAP | 0x80))
			c->count[i]++; /* at entry and at exit: bench_calls_end() halves */
	if (sig == (SIGTRAP | 0x80) || status >> 16 != 0)
		sig = 0;
	ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig);
}

int bench_calls_follow(struct bench_calls *c, bool (*ended)(void *arg, pid_t pid, int status),
		       void *arg)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno != EINTR)
			return -errno;
		if (pid > 0 && WIFSTOPPED(status))
			stopped(c, pid, status);
		else if (pid > 0 && ended(arg, pid, status))
			return 0;
	}
}

static void detach(struct bench_calls *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		int status;

		/* those that ended are not there any more */
		if (ptrace(PTRACE_INTERRUPT, c->pid[i], NULL, NULL) == 0 &&
		    waitpid(c->pid[i], &status, __WALL) == c->pid[i] && WIFSTOPPED(status))
			ptrace(PTRACE_DETACH, c->pid[i], NULL, NULL);
		c->count[i] = (c->count[i] + 1) / 2;
	}
}

/* ---- both ------------------------------------------------------------------- */

void bench_calls_add(struct bench_calls *calls, pid_t pid)
{
	if (calls->n == BENCH_CALLS_MAX)
		return;
	calls->fd[calls->n] = -1;
	calls->pid[calls->n++] = pid;
}

int bench_calls_begin(struct bench_calls *calls)
{
	static bool told;
	int r = open_counters(calls), t;

	if (r == 0)
		return 0;
	bench_calls_end(calls);
	t = seize(calls);
	if (t < 0)
		bench_calls_end(calls);
	if (t < 0)
		return bench_why(-ENOTSUP,
				 "cannot count system calls: the kernel's counter: %s; "
				 "ptrace: %s",
				 strerror(-r), strerror(-t));
	if (!told)
		fprintf(stderr,
			"system calls are counted by tracing (the kernel's counter: %s): "
			"calls per element are those of slowed processes\n",
			strerror(-r));
	told = true;
	return 0;
}

void bench_calls_end(struct bench_calls *calls)
{
	if (calls->traced)
		detach(calls);
	for (unsigned i = 0; i < calls->n; i++) {
		if (calls->fd[i] < 0)
			continue;
		if (read(calls->fd[i], &calls->count[i], sizeof(calls->count[i])) !=
		    sizeof(calls->count[i]))
			calls->count[i] = 0;
		close(calls->fd[i]);
		calls->fd[i] = -1;
	}
}

uint64_t bench_calls_total(const struct bench_calls *calls)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < calls->n; i++)
		total += calls->count[i];
	return total;
}
