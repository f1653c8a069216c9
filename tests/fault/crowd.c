/* SPDX-License-Identifier: BSD-3-Clause */
/* A process full of hostile clients: see crowd.h. */
#include "tests/fault/crowd.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "proto/frame.h"
#include "proto/tlv.h"
#include "tests/lib/kct.h"

#define FIRST_MAX 512 /* the reply to HELLO fits */
#define STAY_MS 3000u /* at most, even if the daemon takes no more of it */

struct client {
	int fd; /* -1: none */
	struct script script;
	size_t sent;
	bool second;     /* the connection that resumes */
	uint64_t until;  /* how long it stays */
	bool written;    /* all of it */
	uint8_t first[FIRST_MAX];
	size_t first_len;
};

static struct crowd *crowd;
static uint64_t numbers;

/* Relative: the folder above belongs to somebody else. */
static void open_connection(struct client *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "kcorod.sock" };

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		_exit(1); /* the daemon is gone: that is what all this is about */
	c->sent = c->first_len = 0;
	c->written = false;
	c->until = kci_deadline_from_ms(STAY_MS);
	atomic_fetch_add(&crowd->count->opened, 1);
}

static void begin(struct client *c)
{
	script_new(&c->script, &numbers);
	atomic_fetch_add(&crowd->count->of[c->script.kind], 1);
	c->second = false;
	open_connection(c);
}

static void end(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

/* The token of the reply to HELLO, once it is there. */
static const uint8_t *token(const struct client *c)
{
	const struct kcp_arg *arg;
	struct kcp_header header;
	static struct kcp_args args;

	if (c->first_len < KCP_HEADER_SIZE ||
	    kcp_header_decode(c->first, FIRST_MAX, &header, NULL) < 0 ||
	    c->first_len < KCP_HEADER_SIZE + header.length ||
	    kcp_args_parse(&args, c->first + KCP_HEADER_SIZE, header.length, NULL) < 0)
		return NULL;
	arg = kcp_get(&args, KCP_T_TOKEN);
	return arg ? arg->data : NULL;
}

static void read_some(struct client *c)
{
	static uint8_t buf[65536];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
	size_t keep;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		atomic_fetch_add(&crowd->count->ended, 1);
		end(c);
		return;
	}
	keep = FIRST_MAX - c->first_len < (size_t)n ? FIRST_MAX - c->first_len : (size_t)n;
	memcpy(c->first + c->first_len, buf, keep);
	c->first_len += keep;
}

static void write_some(struct client *c)
{
	const struct kcp_buf *out = &c->script.out;
	ssize_t n = send(c->fd, out->data + c->sent, out->len - c->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN) {
		atomic_fetch_add(&crowd->count->ended, 1);
		end(c);
		return;
	}
	if (n > 0) {
		c->sent += (size_t)n;
		atomic_fetch_add(&crowd->count->bytes, (uint64_t)n);
	}
}

/* One look at a client: what it does next. */
static void step(struct client *c, short revents)
{
	bool trouble = revents & (POLLHUP | POLLERR);
	uint8_t copy[KCP_TOKEN_SIZE];

	if (c->script.reads && (trouble || (revents & POLLIN)))
		read_some(c);
	if (c->fd >= 0 && c->sent < c->script.out.len && (trouble || (revents & POLLOUT)))
		write_some(c);
	if (c->fd < 0) {
		begin(c);
		return;
	}
	if (!c->written && c->sent == c->script.out.len) {
		c->written = true;
		c->until = kci_deadline_from_ms((long)c->script.hold_ms);
	}
	if (c->written && c->script.again && !c->second && token(c)) {
		memcpy(copy, token(c), sizeof(copy));
		end(c);
		script_again(&c->script, copy, &numbers);
		c->second = true;
		open_connection(c);
	} else if (kci_deadline_left(c->until) == 0 || (!c->script.reads && trouble)) {
		end(c);
		begin(c);
	}
}

__attribute__((noreturn)) static void serve(void)
{
	struct client *clients = calloc(crowd->connections, sizeof(*clients));
	struct pollfd *polls = calloc(crowd->connections, sizeof(*polls));

	if (!clients || !polls)
		_exit(2);
	for (unsigned i = 0; i < crowd->connections; i++)
		begin(&clients[i]);
	for (;;) {
		uint64_t next = UINT64_MAX;

		for (unsigned i = 0; i < crowd->connections; i++) {
			struct client *c = &clients[i];

			polls[i].fd = c->fd;
			polls[i].events = (short)((c->script.reads ? POLLIN : 0) |
						  (c->sent < c->script.out.len ? POLLOUT : 0));
			if (c->until < next)
				next = c->until;
		}
		if (poll(polls, crowd->connections, kci_deadline_poll_ms(next)) < 0)
			_exit(3);
		for (unsigned i = 0; i < crowd->connections; i++)
			step(&clients[i], polls[i].revents);
	}
}

int crowd_start(struct crowd *which, const struct kct_daemon *d)
{
	pid_t parent = getpid();

	/* who is somebody else must be able to go there */
	if (chmod(d->dir, 0711) < 0)
		return -errno;
	which->pid = fork();
	if (which->pid < 0)
		return -errno;
	if (which->pid > 0)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	crowd = which;
	numbers = which->seed;
	if (getppid() != parent || chdir(d->dir) < 0)
		_exit(4);
	if (which->uid && (setgroups(0, NULL) < 0 || setgid(which->uid) < 0 ||
			   setuid(which->uid) < 0))
		_exit(5);
	if (which->uid) {
		/* the change of user has cleared it */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(4);
	}
	serve();
}

int crowd_kill(struct crowd *which)
{
	int status;

	if (which->pid <= 0)
		return 0;
	kill(which->pid, SIGKILL);
	while (waitpid(which->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	which->pid = 0;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : -1;
}
