/* SPDX-License-Identifier: BSD-3-Clause */
/* The processes of one measurement: see bench_crew.h. */
#include "tests/bench/bench_crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/bench/bench_report.h"

#define RESULTS_SIZE (BENCH_CREW_MAX * sizeof(struct bench_result))

int bench_crew_begin(struct bench_crew *crew)
{
	memset(crew, 0, sizeof(*crew));
	crew->ready[0] = crew->ready[1] = crew->go[0] = crew->go[1] = -1;
	crew->result =
		mmap(NULL, RESULTS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crew->result == MAP_FAILED) {
		crew->result = NULL;
		return bench_why(-ENOMEM, "no memory for results");
	}
	if (pipe2(crew->ready, O_CLOEXEC) < 0 || pipe2(crew->go, O_CLOEXEC) < 0)
		return bench_why(-errno, "pipe2: %s", strerror(errno));
	return 0;
}

/* ---- in the worker ---------------------------------------------------------- */

int bench_worker_ready(struct bench_worker *worker)
{
	char byte = 0;

	if (write(worker->ready_fd, &byte, 1) != 1 || read(worker->go_fd, &byte, 1) != 1)
		return bench_worker_fails(worker, "the start never came");
	worker->result->begin_ns = kci_clock_now();
	return 0;
}

int bench_worker_fails(struct bench_worker *worker, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(worker->result->why, sizeof(worker->result->why), fmt, ap);
	va_end(ap);
	return -EIO;
}

static void work_on(struct bench_crew *crew, bench_work_fn work, void *arg, int cpu, pid_t parent)
{
	struct bench_worker worker = { .result = &crew->result[crew->n],
				       .ready_fd = crew->ready[1],
				       .go_fd = crew->go[0] };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	alarm(BENCH_CREW_LIMIT_SEC);
	signal(SIGPIPE, SIG_IGN);
	/* so that a missing start is seen as the end of the pipe */
	close(crew->go[1]);
	if (cpu != BENCH_CPU_ANY && bench_cpu_pin(0, cpu) < 0)
		bench_worker_fails(&worker, "cannot run on CPU %d", cpu);
	else if (work(&worker, arg) == 0)
		_exit(0);
	_exit(1);
}

/* ---- in the program --------------------------------------------------------- */

int bench_crew_add(struct bench_crew *crew, bench_work_fn work, void *arg, int cpu)
{
	pid_t parent = getpid(), pid;

	if (crew->n == BENCH_CREW_MAX)
		return bench_why(-EMFILE, "more than %d processes", BENCH_CREW_MAX);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		work_on(crew, work, arg, cpu, parent);
	if (pid < 0)
		return bench_why(-errno, "fork: %s", strerror(errno));
	crew->pidfd[crew->n] = pidfd_open(pid, 0);
	crew->pid[crew->n++] = pid;
	crew->left++;
	if (crew->pidfd[crew->n - 1] < 0)
		return bench_why(-errno, "pidfd_open: %s", strerror(errno));
	return 0;
}

static void kill_rest(struct bench_crew *crew)
{
	for (unsigned i = 0; i < crew->n; i++)
		if (crew->pid[i] > 0)
			kill(crew->pid[i], SIGKILL);
}

/* A child of the program has ended. Returns whether it was the last of the crew. */
static bool ended(void *arg, pid_t pid, int status)
{
	struct bench_crew *crew = arg;

	for (unsigned i = 0; i < crew->n; i++) {
		if (crew->pid[i] != pid)
			continue;
		crew->pid[i] = 0;
		crew->left--;
		if (status != 0 && crew->failed == 0) {
			const char *why = crew->result[i].why;

			crew->failed = bench_why(-EIO, "worker %u: %s (status %#x)", i,
						 *why ? why : "ended early", status);
			kill_rest(crew);
		}
	}
	return crew->left == 0;
}

/* Wait until somebody ends, or until a byte is there to read from fd (-1: none). */
static int wait_for(struct bench_crew *crew, int fd)
{
	struct pollfd p[BENCH_CREW_MAX + 1];
	int status;

	for (unsigned i = 0; i < crew->n; i++)
		p[i] = (struct pollfd){ .fd = crew->pid[i] > 0 ? crew->pidfd[i] : -1,
					.events = POLLIN };
	p[crew->n] = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (poll(p, crew->n + 1, -1) < 0)
		return errno == EINTR ? 0 : bench_why(-errno, "poll: %s", strerror(errno));
	for (unsigned i = 0; i < crew->n; i++)
		if (p[i].revents && waitpid(crew->pid[i], &status, 0) == crew->pid[i])
			ended(crew, crew->pid[i], status);
	return 0;
}

static int gather(struct bench_crew *crew)
{
	unsigned ready = 0;
	char bytes[BENCH_CREW_MAX];

	while (ready < crew->n) {
		int r = wait_for(crew, crew->ready[0]);
		struct pollfd p = { .fd = crew->ready[0], .events = POLLIN };
		ssize_t n = 0;

		if (r < 0 || crew->failed)
			return r < 0 ? r : crew->failed;
		if (poll(&p, 1, 0) > 0)
			n = read(crew->ready[0], bytes, crew->n);
		ready += n > 0 ? (unsigned)n : 0;
		if (crew->left < crew->n)
			return bench_why(-EIO, "a worker ended before the start");
	}
	return 0;
}

int bench_crew_run(struct bench_crew *crew, struct bench_calls *calls)
{
	char bytes[BENCH_CREW_MAX] = { 0 };
	int r = gather(crew);

	if (r == 0 && calls)
		r = bench_calls_begin(calls);
	if (r < 0)
		return r;
	if (write(crew->go[1], bytes, crew->n) != (ssize_t)crew->n)
		return bench_why(-EIO, "cannot start the workers");
	if (calls && calls->traced)
		r = bench_calls_follow(calls, ended, crew);
	while (r == 0 && crew->left > 0)
		r = wait_for(crew, -1);
	if (calls)
		bench_calls_end(calls);
	return r < 0 ? r : crew->failed;
}

void bench_crew_end(struct bench_crew *crew)
{
	int fds[] = { crew->ready[0], crew->ready[1], crew->go[0], crew->go[1] };

	kill_rest(crew);
	for (unsigned i = 0; i < crew->n; i++) {
		while (crew->pid[i] > 0 && waitpid(crew->pid[i], NULL, 0) < 0 && errno == EINTR)
			;
		if (crew->pidfd[i] >= 0)
			close(crew->pidfd[i]);
	}
	for (unsigned i = 0; i < KC_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (crew->result)
		munmap(crew->result, RESULTS_SIZE);
}
