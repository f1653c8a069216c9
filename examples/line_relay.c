/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * line_relay: every line of a file through a channel, from several processes to
 * several others, none lost whoever dies on the way.
 *
 *	line_relay [options] FILE FOLDER
 *
 * Producers share the file between them and send its lines in batches. Consumers
 * receive under leases: a line is acknowledged only once it was written to
 * FOLDER/lines.N, so a consumer that is killed in between loses nothing; what it
 * held goes to another, marked as redelivered, and is also written to
 * FOLDER/redelivered.N. At the end the channel's books are printed. Comparing the
 * lines with the file is left to the caller (tests/main-job).
 *
 * --kill-blocked  a further consumer is killed while it waits for its first line
 * --kill-holding  a further consumer is killed while it holds lines, some under
 *                 leases and some only given ahead
 *
 * An element is a line without its newline; it may hold any other byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "examples/line_relay.h"

#define WORKERS_MAX 64	  /* of each sort */
#define WAIT_MS	    60000 /* for what must happen soon: a hang becomes an error */

/* Groups of processes that begin to work together, when their gate opens. */
enum group { BLOCKED, HOLDING, CONSUMERS, PRODUCERS, GROUPS };

struct child {
	pid_t pid; /* 0 = has ended */
	enum group group;
};

struct relay {
	struct lr_job job;
	bool kill_blocked, kill_holding;
	int gate[GROUPS][2]; /* closing the writing end opens it */
	int ready[2];
	struct child children[2 * WORKERS_MAX + 2];
	int n_children;
};

/* ---- the file -------------------------------------------------------------------------------- */

static int file_map(struct lr_job *job, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *p, *end;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return lr_fail("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return lr_fail("%s is no regular file", path);
	job->size = (size_t)st.st_size;
	if (job->size > 0) {
		void *map = mmap(NULL, job->size, PROT_READ, MAP_PRIVATE, fd, 0);

		if (map == MAP_FAILED)
			return lr_fail("%s: %s", path, strerror(errno));
		job->data = map;
	} else {
		job->data = "";
	}
	close(fd);
	for (p = job->data, end = job->data + job->size; p < end; job->lines++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((newline ? newline : end) - p);

		if (len > job->longest)
			job->longest = len;
		p += len + 1;
	}
	if (job->longest > KC_MSG_MAX)
		return lr_fail("%s has a line of %zu bytes; a message has at most %u", path,
			       job->longest, KC_MSG_MAX);
	return 0;
}

/* ---- processes ------------------------------------------------------------------------------- */

static void gate_open(struct relay *r, enum group group)
{
	close(r->gate[group][1]);
	r->gate[group][1] = -1;
}

static int child_live(struct relay *r, enum group group, int i)
{
	char byte;

	for (int g = 0; g < GROUPS; g++)
		close(r->gate[g][1]);
	close(r->ready[0]);
	lr_role = group == PRODUCERS ? "producer" : "consumer";
	while (read(r->gate[group][0], &byte, 1) < 0 && errno == EINTR)
		continue;
	switch (group) {
	case PRODUCERS:
		close(r->ready[1]);
		return lr_produce(&r->job, i);
	case BLOCKED:
		return lr_consume(&r->job, i, LR_DIES_BLOCKED);
	case HOLDING:
		return lr_consume(&r->job, i, LR_DIES_HOLDING);
	default:
		return lr_consume(&r->job, i, LR_LIVES);
	}
}

static int child_start(struct relay *r, enum group group, int i)
{
	pid_t pid = fork();

	if (pid == 0)
		exit(child_live(r, group, i));
	if (pid < 0)
		return lr_fail("starting a process: %s", strerror(errno));
	r->children[r->n_children++] = (struct child){ pid, group };
	return 0;
}

static int children_start(struct relay *r)
{
	int n = 0, bad = 0;

	for (int i = 0; i < r->job.consumers; i++)
		bad |= child_start(r, CONSUMERS, n++);
	if (r->kill_blocked)
		bad |= child_start(r, BLOCKED, n++);
	if (r->kill_holding)
		bad |= child_start(r, HOLDING, n++);
	for (int i = 0; i < r->job.producers; i++)
		bad |= child_start(r, PRODUCERS, i);
	close(r->ready[1]);
	return bad;
}

/* Waits until no process of the group is left. Any process that ends badly, of whatever group,
 * spoils the job. */
static int group_wait(struct relay *r, enum group group, int want_signal)
{
	for (;;) {
		bool left = false;
		int status;
		pid_t pid;

		for (int i = 0; i < r->n_children; i++)
			left = left || (r->children[i].pid && r->children[i].group == group);
		if (!left)
			return 0;
		pid = waitpid(-1, &status, 0);
		for (int i = 0; i < r->n_children; i++) {
			bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;

			if (pid <= 0 || r->children[i].pid != pid)
				continue;
			r->children[i].pid = 0;
			if (want_signal && r->children[i].group == group)
				good = WIFSIGNALED(status) && WTERMSIG(status) == want_signal;
			if (!good)
				return lr_fail("a process ended with status 0x%x",
					       (unsigned)status);
		}
	}
}

static int group_kill(struct relay *r, enum group group)
{
	for (int i = 0; i < r->n_children; i++) {
		if (r->children[i].pid && r->children[i].group == group)
			kill(r->children[i].pid, SIGKILL);
	}
	return group_wait(r, group, SIGKILL);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until n consumers have told that they are about to receive, or hold what they took. */
static int ready_wait(struct relay *r, int n)
{
	struct pollfd fd = { .fd = r->ready[0], .events = POLLIN };
	char byte;

	for (; n > 0; n--) {
		int got;

		do {
			got = poll(&fd, 1, WAIT_MS);
		} while (got < 0 && errno == EINTR);
		if (got == 0 || read(r->ready[0], &byte, 1) != 1)
			return lr_fail("a consumer does not begin");
	}
	return 0;
}

/* Until the daemon has a receiver in its queue. There is no event for that outside of the daemon,
 * so it is asked, each time waiting for its answer: the consumer told that it is about to receive,
 * so its request is on the way. */
static int blocked_wait(kc_chan_t *ch)
{
	struct kc_ipc_chan_info info;
	double end = now() + WAIT_MS / 1e3;

	do {
		int result = kc_ipc_chan_info(ch, &info);

		if (result != 0)
			return lr_fail_kc("looking at the channel", result);
	} while (info.waiting_receivers == 0 && now() < end);
	return info.waiting_receivers ? 0 : lr_fail("the consumer does not wait");
}

/* ---- the job --------------------------------------------------------------------------------- */

static int run(struct relay *r, kc_chan_t *ch, double *ret_seconds)
{
	double begin;
	int result;

	if (r->kill_blocked) {
		gate_open(r, BLOCKED);
		if (ready_wait(r, 1) != 0 || blocked_wait(ch) != 0 || group_kill(r, BLOCKED) != 0)
			return 1;
	}
	if (r->kill_holding) {
		/* alone with the producers, so that it surely gets something to hold */
		begin = now();
		gate_open(r, HOLDING);
		gate_open(r, PRODUCERS);
		if (ready_wait(r, 1) != 0)
			return 1;
		gate_open(r, CONSUMERS);
		if (ready_wait(r, r->job.consumers) != 0 || group_kill(r, HOLDING) != 0)
			return 1;
	} else {
		gate_open(r, CONSUMERS);
		if (ready_wait(r, r->job.consumers) != 0)
			return 1;
		begin = now();
		gate_open(r, PRODUCERS);
	}
	if (group_wait(r, PRODUCERS, 0) != 0)
		return 1;
	result = kc_chan_close(ch); /* the consumers drain it, then end */
	if (result != 0)
		return lr_fail_kc("closing the channel", result);
	if (group_wait(r, CONSUMERS, 0) != 0)
		return 1;
	*ret_seconds = now() - begin;
	return 0;
}

static int report(const struct lr_job *job, kc_chan_t *ch, double seconds)
{
	struct kc_ipc_chan_info info;
	int result = kc_ipc_chan_info(ch, &info);

	if (result != 0)
		return lr_fail_kc("reading the books", result);
	printf("elements             %" PRIu64 "\n", job->lines);
	printf("bytes                %zu\n", job->size);
	printf("seconds              %.3f\n", seconds);
	printf("elements per second  %.0f\n", (double)job->lines / seconds);
	printf("redelivered          %" PRIu64 "\n", info.redelivered);
	return 0;
}

static int job_run(struct relay *r)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	kc_ipc_conn_t *conn = NULL;
	kc_chan_t *ch = NULL;
	double seconds = 0;
	int bad;

	for (int g = 0; g < GROUPS; g++) {
		if (pipe2(r->gate[g], O_CLOEXEC) < 0)
			return lr_fail("making a pipe: %s", strerror(errno));
	}
	if (pipe2(r->ready, O_CLOEXEC) < 0)
		return lr_fail("making a pipe: %s", strerror(errno));
	r->job.ready_fd = r->ready[1];
	bad = children_start(r);
	how.roles = KC_OBSERVER;
	bad = bad || lr_join(&r->job, &how, &conn, &ch) || run(r, ch, &seconds) ||
	      report(&r->job, ch, seconds);
	if (bad) {
		for (int g = 0; g < GROUPS; g++)
			group_kill(r, (enum group)g);
	}
	kc_chan_destroy(ch);
	kc_ipc_disconnect(conn);
	return bad;
}

static int usage(void)
{
	fprintf(stderr, "usage: line_relay [--producers N] [--consumers N] [--channel NAME]\n"
			"                  [--kill-blocked] [--kill-holding] FILE FOLDER\n");
	return 2;
}

/* 1..WORKERS_MAX, or 0 */
static int count_parse(const char *text)
{
	char *end;
	intmax_t n;

	errno = 0;
	n = strtoimax(text, &end, 10);
	return errno || end == text || *end || n < 1 || n > WORKERS_MAX ? 0 : (int)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "producers", required_argument, NULL, 'p' },
		{ "consumers", required_argument, NULL, 'c' },
		{ "channel", required_argument, NULL, 'n' },
		{ "kill-blocked", no_argument, NULL, 'b' },
		{ "kill-holding", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct relay r = { .job = { .channel = "line-relay", .producers = 4, .consumers = 4 } };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			r.job.producers = count_parse(optarg);
			break;
		case 'c':
			r.job.consumers = count_parse(optarg);
			break;
		case 'n':
			r.job.channel = optarg;
			break;
		case 'b':
			r.kill_blocked = true;
			break;
		case 'h':
			r.kill_holding = true;
			break;
		default:
			return usage();
		}
	}
	if (argc - optind != 2 || r.job.producers == 0 || r.job.consumers == 0)
		return usage();
	r.job.folder = argv[optind + 1];
	if (file_map(&r.job, argv[optind]) != 0)
		return 1;
	if (r.kill_holding && r.job.lines == 0)
		return lr_fail("an empty file gives a consumer nothing to hold");
	return job_run(&r);
}
