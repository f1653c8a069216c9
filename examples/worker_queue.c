/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker_queue: jobs in kcorod, done by several processes, each at least once.
 *
 *	worker_queue [--jobs N] [--workers N] [--crash]
 *
 * starts a producer and some workers, each a process of its own. A worker takes a
 * job under a lease and
 *
 *   acknowledges it when it is done (kc_chan_ack): it is off the books;
 *   gives it back if it cannot do it now (kc_chan_nack): every 5th job, the first
 *   time it comes;
 *   asks for more time if it takes long (kc_chan_extend): every 7th job.
 *
 * A lease that is given back, or whose holder dies, makes the job come again, to
 * anybody, marked as redelivered and with the number of its deliveries. To see that:
 *
 *   --crash  one worker kills itself (SIGKILL) in the middle of a job
 *
 * At the end the channel's books are printed; they must say that every job was
 * done. The roles are arguments too, so each can be run in a shell of its own:
 *
 *	worker_queue producer CHANNEL JOBS
 *	worker_queue worker CHANNEL NUMBER [crash]
 *
 * Without KCORO_SOCKET in the environment a private kcorod is started for the run.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/private_daemon.h"
#include "kcoro.h"

#define WORKERS_MAX 64
#define JOBS_MAX    1000000
#define CAPACITY    16	  /* fewer than there are jobs: the producer has to wait now and then */
#define LEASE_MS    10000 /* longer than a job takes */
#define LONG_MS	    60000 /* for one that takes long */

struct job {
	uint32_t number;
};

static int failed(const char *what, int code)
{
	fprintf(stderr, "worker_queue: %s: %s (%s)\n", what, kc_strerror(code), kc_error_detail());
	return 1;
}

/* Every process has a connection of its own: one made before a fork is not the child's. Create or
 * open: it does not matter who comes first. */
static int join(const char *name, unsigned roles, kc_ipc_conn_t **conn, kc_chan_t **ret)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	int r = kc_ipc_connect(conn, NULL);

	if (r != 0)
		return failed("connecting", r);
	opts.kind = KC_BUFFERED;
	opts.capacity = CAPACITY;
	opts.elem_size = sizeof(struct job);
	opts.flags = KC_CHAN_LEASE_ONLY; /* nobody takes a job without answering for it */
	how.roles = roles;
	how.lease_ms = LEASE_MS;
	r = kc_ipc_chan_make(*conn, name, &opts, &how, ret);
	if (r == 0)
		return 0;
	kc_ipc_disconnect(*conn);
	return failed("making the channel", r);
}

/* ---- the roles ------------------------------------------------------------------------------- */

static int produce(kc_chan_t *queue, uint32_t jobs)
{
	for (uint32_t i = 1; i <= jobs; i++) {
		struct job job = { i };
		int r = kc_chan_send(queue, &job, -1);

		if (r != 0)
			return failed("sending", r);
	}
	return 0;
}

/* What becomes of one job. KC_ENOENT is no fault: the lease has ended, the job comes again. */
static int job_do(kc_chan_t *queue, const struct job *job, const struct kc_lease *lease, int me)
{
	int r = 0;

	if (job->number % 5 == 0 && lease->deliveries == 1) {
		printf("worker %d: job %" PRIu32 " given back\n", me, job->number);
		r = kc_chan_nack(queue, lease);
		return r == 0 || r == KC_ENOENT ? 0 : failed("giving back", r);
	}
	if (job->number % 7 == 0) {
		r = kc_chan_extend(queue, lease, LONG_MS);
		if (r == 0)
			printf("worker %d: job %" PRIu32 " gets more time\n", me, job->number);
	}
	/* here the job is done; last of all that is told */
	if (r == 0)
		r = kc_chan_ack(queue, lease);
	if (r == 0)
		printf("worker %d: job %" PRIu32 " done, delivery %" PRIu32 "%s\n", me, job->number,
		       lease->deliveries, lease->redelivered ? ", redelivered" : "");
	return r == 0 || r == KC_ENOENT ? 0 : failed("answering for a job", r);
}

static int work(kc_chan_t *queue, int me, bool crash)
{
	struct kc_lease lease;
	struct job job;
	size_t len;
	int r;

	while ((r = kc_chan_recv_lease(queue, &job, sizeof(job), &len, &lease, -1, NULL)) == 0) {
		if (crash) {
			printf("worker %d: job %" PRIu32 " begun, and killed\n", me, job.number);
			fflush(stdout);
			kill(getpid(), SIGKILL);
		}
		if (job_do(queue, &job, &lease, me) != 0)
			return 1;
	}
	/* closed and drained: no job is left, and none can come back */
	return r == KC_EPIPE ? 0 : failed("receiving", r);
}

static int role_run(char **args, uint32_t number)
{
	bool worker = strcmp(args[0], "worker") == 0;
	kc_ipc_conn_t *conn;
	kc_chan_t *queue;
	int bad;

	if (join(args[1], worker ? KC_RECEIVER : KC_SENDER, &conn, &queue) != 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0); /* lines of several processes do not mix */
	bad = worker ? work(queue, (int)number, args[3] != NULL) : produce(queue, number);
	kc_chan_destroy(queue);
	kc_ipc_disconnect(conn);
	return bad;
}

/* ---- the process that starts them ------------------------------------------------------------ */

/* This program anew, in one of its roles. Between fork and exec the child uses nothing of kcoro:
 * what it inherited would give it KC_EFORKED. */
static pid_t role_start(const char *role, const char *channel, uint32_t number, bool crash)
{
	char text[16];
	char *line[] = { (char *)"worker_queue",	 (char *)role, (char *)channel, text,
			 crash ? (char *)"crash" : NULL, NULL };
	pid_t pid;

	snprintf(text, sizeof(text), "%" PRIu32, number);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execv("/proc/self/exe", line);
		_exit(127);
	}
	if (pid < 0)
		perror("worker_queue: fork");
	return pid;
}

struct crew {
	int workers;
	uint32_t jobs;
	bool crash;
	const char *channel;
	pid_t producer, worker[WORKERS_MAX]; /* 0 = has ended */
	int running;
};

static int workers_start(struct crew *crew, int from, int to, bool crash)
{
	for (int i = from; i < to; i++) {
		crew->worker[i] = role_start("worker", crew->channel, (uint32_t)i + 1, crash);
		if (crew->worker[i] < 0)
			return 1;
		crew->running++;
	}
	return 0;
}

/* One of them has ended: 0 if it was to end in this way. */
static int ended(struct crew *crew, kc_chan_t *queue, pid_t pid, int status)
{
	bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	int i = 0, r;

	crew->running--;
	if (pid == crew->producer) {
		crew->producer = 0;
		r = done ? kc_chan_close(queue) : 0; /* the workers drain it, then end */
		if (r != 0)
			return failed("closing", r);
	} else {
		while (crew->worker[i] != pid)
			i++;
		crew->worker[i] = 0;
		if (crew->crash && i == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			return workers_start(crew, 1, crew->workers, false);
	}
	if (!done)
		fprintf(stderr, "worker_queue: a process failed\n");
	return !done;
}

static int crew_run(struct crew *crew, kc_chan_t *queue)
{
	crew->producer = role_start("producer", crew->channel, crew->jobs, false);
	if (crew->producer < 0)
		return 1;
	crew->running = 1;
	/* who is going to crash is alone with the producer, so that it surely gets a job */
	if (workers_start(crew, 0, crew->crash ? 1 : crew->workers, crew->crash) != 0)
		return 1;
	while (crew->running > 0) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		if (pid < 0) {
			perror("worker_queue: waitpid");
			return 1;
		}
		if (ended(crew, queue, pid, status) != 0)
			return 1;
	}
	return 0;
}

static int report(const struct crew *crew, kc_chan_t *queue)
{
	struct kc_ipc_chan_info info;
	const struct kc_ledger *l = &info.ledger;
	int r = kc_ipc_chan_info(queue, &info);

	if (r != 0)
		return failed("reading the books", r);
	printf("sent %" PRIu64 " = received %" PRIu64 " + queued %" PRIu64 " + leased %" PRIu64
	       " + conflated %" PRIu64 " + dropped %" PRIu64 " + expired %" PRIu64
	       " + lost %" PRIu64 "\n",
	       l->sent, l->received, l->queued, l->leased, l->conflated, kc_ledger_dropped(l),
	       l->expired, kc_ledger_lost(l));
	printf("redelivered %" PRIu64 "\n", info.redelivered);
	if (l->sent == crew->jobs && l->received == l->sent && kc_ledger_balance(l) == 0)
		return 0;
	fprintf(stderr, "worker_queue: not every job was done\n");
	return 1;
}

static void kill_one(pid_t pid)
{
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		waitpid(pid, NULL, 0);
}

static void crew_kill(const struct crew *crew)
{
	kill_one(crew->producer);
	for (int i = 0; i < crew->workers; i++)
		kill_one(crew->worker[i]);
}

static int crew_start(struct crew *crew)
{
	char channel[64];
	kc_ipc_conn_t *conn;
	kc_chan_t *queue;
	int bad, r;

	snprintf(channel, sizeof(channel), "example/jobs-%ld", (long)getpid());
	crew->channel = channel;
	if (join(channel, KC_OBSERVER, &conn, &queue) != 0)
		return 1;
	bad = crew_run(crew, queue) || report(crew, queue);
	if (bad)
		crew_kill(crew);
	r = kc_ipc_chan_destroy(queue);
	if (r != 0)
		bad = failed("destroying the channel", r);
	kc_chan_destroy(queue);
	kc_ipc_disconnect(conn);
	return bad;
}

static int usage(FILE *to, int status)
{
	fprintf(to,
		"usage: worker_queue [--jobs N] [--workers N] [--crash]\n"
		"       worker_queue producer CHANNEL JOBS\n"
		"       worker_queue worker CHANNEL NUMBER [crash]\n"
		"\n"
		"  --jobs N     1..%d (default 20)\n"
		"  --workers N  processes that do them, 2..%d (default 3)\n"
		"  --crash      one of them kills itself in the middle of a job\n",
		JOBS_MAX, WORKERS_MAX);
	return status;
}

/* min..max, or 0 */
static int count_parse(const char *text, int min, int max)
{
	char *end;
	intmax_t n;

	errno = 0;
	n = strtoimax(text, &end, 10);
	return errno || end == text || *end || n < min || n > max ? 0 : (int)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "jobs", required_argument, NULL, 'j' },
		{ "workers", required_argument, NULL, 'w' },
		{ "crash", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct crew crew = { .workers = 3, .jobs = 20 };
	char **args;
	int c, n;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			crew.jobs = (uint32_t)count_parse(optarg, 1, JOBS_MAX);
			break;
		case 'w':
			crew.workers = count_parse(optarg, 2, WORKERS_MAX);
			break;
		case 'c':
			crew.crash = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (crew.jobs == 0 || crew.workers == 0)
		return usage(stderr, 2);
	args = argv + optind;
	n = argc - optind;
	if (n == 0)
		return ex_private_daemon(argv) < 0 ? 1 : crew_start(&crew);
	if ((n == 3 && (strcmp(args[0], "producer") == 0 || strcmp(args[0], "worker") == 0)) ||
	    (n == 4 && strcmp(args[0], "worker") == 0 && strcmp(args[3], "crash") == 0)) {
		int number = count_parse(args[2], 1, JOBS_MAX);

		return number ? role_run(args, (uint32_t)number) : usage(stderr, 2);
	}
	return usage(stderr, 2);
}
