/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * distributed_channels: one channel, three processes.
 *
 *	distributed_channels [--debug]
 *
 * starts a server, a consumer and a producer, each a process of its own:
 *
 *   server    makes a channel in kcorod and tells the channel's id
 *   consumer  attaches by that id and receives until the channel is closed
 *   producer  attaches by that id, sends the numbers 0 to 9, closes the channel
 *
 * An id names one channel for good, so it is all that the others need to be told.
 * The roles are arguments too, so each can be run in a shell of its own:
 *
 *	distributed_channels server            (prints the id, ends with its input)
 *	distributed_channels consumer ID
 *	distributed_channels producer ID
 *
 * Without KCORO_SOCKET in the environment a private kcorod is started for the run.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/private_daemon.h"
#include "kcoro.h"

#define MESSAGES 10

static bool debug;
static const char *role = "main";

static void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void trace(const char *format, ...)
{
	va_list args;

	if (!debug)
		return;
	va_start(args, format);
	fprintf(stderr, "[%s %ld] ", role, (long)getpid());
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

/* Says what failed and why; 1 is the exit status of a role that failed. */
static int failed(const char *what, int code)
{
	fprintf(stderr, "%s: %s: %s (%s)\n", role, what, kc_strerror(code), kc_error_detail());
	return 1;
}

/* ---- the three roles ----------------------------------------------------------------------- */

static int serve(kc_ipc_conn_t *conn)
{
	struct kc_chan_options opts = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	kc_chan_t *ch;
	char end;
	int r;

	opts.kind = KC_BUFFERED;
	opts.capacity = 4; /* fewer than there are numbers: the producer has to wait now and then */
	opts.elem_size = sizeof(int);
	how.roles = KC_OBSERVER; /* neither sends nor receives */
	r = kc_ipc_chan_make(conn, "example/numbers", &opts, &how, &ch);
	if (r != 0)
		return failed("making the channel", r);
	trace("made channel example/numbers");
	printf("%" PRIx64 "\n", kc_ipc_chan_id(ch));
	fflush(stdout);

	/* nobody ever writes: this ends when those who hold the other end have gone */
	while (read(STDIN_FILENO, &end, 1) < 0 && errno == EINTR)
		continue;
	trace("destroying the channel");
	r = kc_ipc_chan_destroy(ch);
	kc_chan_destroy(ch);
	return r == 0 ? 0 : failed("destroying the channel", r);
}

static int produce(kc_chan_t *ch)
{
	int r;

	for (int i = 0; i < MESSAGES; i++) {
		trace("sending %d", i);
		r = kc_chan_send(ch, &i, -1); /* waits while the channel is full */
		if (r != 0)
			return failed("sending", r);
		printf("sent %d\n", i);
	}
	trace("closing: the consumer still gets what is in the channel");
	r = kc_chan_close(ch);
	return r == 0 ? 0 : failed("closing", r);
}

static int consume(kc_chan_t *ch)
{
	int value, r, next = 0;

	while ((r = kc_chan_recv(ch, &value, -1)) == 0) {
		printf("received %d\n", value);
		if (value != next++) {
			fprintf(stderr, "consumer: %d came out of order\n", value);
			return 1;
		}
	}
	if (r != KC_EPIPE) /* closed and drained: the one good end */
		return failed("receiving", r);
	trace("closed and drained");
	if (next != MESSAGES) {
		fprintf(stderr, "consumer: %d messages instead of %d\n", next, MESSAGES);
		return 1;
	}
	return 0;
}

static int attach(kc_ipc_conn_t *conn, const char *id_text, bool sender)
{
	struct kc_ipc_open_options how = KC_IPC_OPEN_OPTIONS_INIT;
	uint64_t id;
	char *end;
	kc_chan_t *ch;
	int r;

	errno = 0;
	id = strtoumax(id_text, &end, 16);
	if (errno || end == id_text || *end) {
		fprintf(stderr, "%s: '%s' is no id\n", role, id_text);
		return 2;
	}
	how.roles = sender ? KC_SENDER : KC_RECEIVER;
	r = kc_ipc_chan_open_id(conn, id, &how, &ch);
	if (r != 0)
		return failed("attaching", r);
	trace("attached to %" PRIx64, id);
	r = sender ? produce(ch) : consume(ch);
	kc_chan_destroy(ch); /* detaches; the channel stays */
	return r;
}

/* Every role has a connection of its own: one made before a fork is not the child's. */
static int play(const char *name, const char *id_text)
{
	kc_ipc_conn_t *conn;
	int r;

	role = name;
	r = kc_ipc_connect(&conn, NULL);
	if (r != 0)
		return failed("connecting", r);
	trace("connected");
	r = strcmp(name, "server") == 0 ? serve(conn) : attach(conn, id_text, name[0] == 'p');
	kc_ipc_disconnect(conn);
	fflush(stdout);
	return r;
}

/* ---- the process that starts them ----------------------------------------------------------- */

struct server {
	pid_t pid;
	int to;	    /* its standard input */
	FILE *from; /* its standard output */
};

static int server_start(struct server *s)
{
	int in[2], out[2];

	/* close-on-exec, and the children below close what is not theirs */
	if (pipe2(in, O_CLOEXEC) < 0)
		return -1;
	if (pipe2(out, O_CLOEXEC) < 0)
		return -1;
	s->pid = fork();
	if (s->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		close(out[0]);
		_exit(play("server", NULL));
	}
	close(in[0]);
	close(out[1]);
	s->to = in[1];
	s->from = fdopen(out[0], "r");
	return s->pid < 0 || !s->from ? -1 : 0;
}

static pid_t role_start(const char *name, const char *id_text, const struct server *s)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	close(s->to); /* else the server would wait for us, too */
	_exit(play(name, id_text));
}

/* 0 if the process ended with exit status 0 */
static int role_wait(const char *name, pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		fprintf(stderr, "the %s could not be started\n", name);
		return 1;
	}
	trace("the %s has ended", name);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "the %s failed\n", name);
	return 1;
}

static int all_roles(void)
{
	struct server server;
	pid_t producer, consumer;
	char id_text[32];
	int bad;

	if (server_start(&server) < 0) {
		perror("starting the server");
		return 1;
	}
	/* waits until the server has made the channel; if it fails there is no line */
	if (!fgets(id_text, sizeof(id_text), server.from)) {
		role_wait("server", server.pid);
		return 1;
	}
	id_text[strcspn(id_text, "\n")] = '\0';
	trace("the channel has id %s", id_text);

	consumer = role_start("consumer", id_text, &server);
	producer = role_start("producer", id_text, &server);
	bad = role_wait("producer", producer);
	if (bad && consumer > 0)
		kill(consumer, SIGTERM); /* nobody will close the channel for it */
	bad |= role_wait("consumer", consumer);
	close(server.to); /* its input ends, so it cleans up and ends */
	bad |= role_wait("server", server.pid);
	fclose(server.from);
	if (bad)
		return 1;
	printf("Example complete\n");
	return 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: distributed_channels [--debug] [server | consumer ID | producer ID]\n");
	return 2;
}

int main(int argc, char **argv)
{
	char **args = argv + 1;

	(void)argc;
	if (*args && strcmp(*args, "--debug") == 0) {
		debug = true;
		args++;
	}
	if (!*args) {
		if (ex_private_daemon(argv) < 0)
			return 1;
		return all_roles();
	}
	if (strcmp(args[0], "server") == 0 && !args[1])
		return play("server", NULL);
	if (!args[1] || args[2])
		return usage();
	if (strcmp(args[0], "consumer") == 0 || strcmp(args[0], "producer") == 0)
		return play(args[0], args[1]);
	return usage();
}
