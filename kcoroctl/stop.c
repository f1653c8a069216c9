/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals that end a transfer.
 *
 * A signal handler may not call the library, and no call of the library returns
 * because of a signal. So the signals are blocked and one thread, an actor with
 * a local channel of its own, waits for them on a descriptor and sets the token.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kcoroctl/stop.h"

static void raise_flag(int fd)
{
	static const uint64_t one = 1;
	ssize_t n;

	/* fails only if the counter is about to overflow: it is raised then */
	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

/* The actor's one piece of work: returns when cmd_stop_done() says so. */
static int watch(const void *msg, size_t len, void *user)
{
	struct cmd_stop *stop = user;
	struct pollfd fds[] = {
		{ .fd = stop->end_fd, .events = POLLIN },
		{ .fd = stop->signal_fd, .events = POLLIN },
	};

	(void)msg;
	(void)len;
	for (;;) {
		struct signalfd_siginfo info;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			return 1;
		if (read(stop->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
			continue;
		if (stop->signo)
			_exit(128 + (int)info.ssi_signo);
		stop->signo = (int)info.ssi_signo;
		raise_flag(stop->stopped_fd);
		kc_cancel_trigger(stop->token);
	}
}

static void block(struct cmd_stop *stop, sigset_t *ret_set)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };

	sigemptyset(ret_set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct sigaction old;

		if (sigaction(wanted[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(ret_set, wanted[i]);
	}
	sigprocmask(SIG_BLOCK, ret_set, &stop->before);
}

static void release(struct cmd_stop *stop)
{
	const int fds[] = { stop->signal_fd, stop->end_fd, stop->stopped_fd };

	kc_chan_destroy(stop->chan);
	kc_cancel_destroy(stop->token);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	sigprocmask(SIG_SETMASK, &stop->before, NULL);
}

int cmd_stop_init(struct cmd_stop *stop)
{
	struct kc_actor_ctx ctx = { .msg_size = sizeof(int), .timeout_ms = -1, .process = watch };
	const int start = 1;
	sigset_t set;
	int result;

	*stop = (struct cmd_stop){ .stopped_fd = -1, .signal_fd = -1, .end_fd = -1 };
	block(stop, &set);
	stop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	stop->end_fd = eventfd(0, EFD_CLOEXEC);
	stop->stopped_fd = eventfd(0, EFD_CLOEXEC);
	result = stop->signal_fd < 0 || stop->end_fd < 0 || stop->stopped_fd < 0 ? KC_ENOMEM : 0;
	if (result == 0)
		result = kc_cancel_init(&stop->token);
	if (result == 0)
		result = kc_chan_make(&stop->chan, KC_BUFFERED, sizeof(start), 1);
	if (result == 0)
		result = kc_chan_send(stop->chan, &start, 0);
	if (result == 0) {
		ctx.chan = stop->chan;
		ctx.user = stop;
		result = kc_actor_start(&stop->actor, &ctx);
	}
	if (result != 0)
		release(stop);
	return result;
}

void cmd_stop_done(struct cmd_stop *stop)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };

	raise_flag(stop->end_fd);
	kc_actor_stop(stop->actor);
	release(stop);
	if (!stop->signo)
		return;
	sigaction(stop->signo, &plain, NULL);
	raise(stop->signo);
}

bool cmd_stop_is_set(const struct cmd_stop *stop)
{
	return kc_cancel_is_set(stop->token);
}

int cmd_stop_wait(const struct cmd_stop *stop, int fd, short events, int grace_ms)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = stop->stopped_fd, .events = POLLIN },
	};

	while (poll(fds, 2, -1) < 0) {
		/* only EINTR is possible: another signal than ours, such as SIGCONT */
	}
	if (fds[0].revents)
		return 1;
	if (grace_ms == 0)
		return 0;
	while (poll(fds, 1, grace_ms) < 0) {
		/* as above */
	}
	return fds[0].revents != 0;
}
