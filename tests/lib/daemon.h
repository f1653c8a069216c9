/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kcorod of a test's own.
 *
 * kct_daemon_start() binds the socket itself and passes it to the program
 * (LISTEN_FDS), so a client may connect as soon as the call returns and nothing
 * waits for a file to appear. Everything lies in a private folder that
 * kct_daemon_stop() removes. The daemon dies with the thread that started it, so a
 * test that crashes leaves none behind.
 *
 *	struct kct_daemon d;
 *	assert_int_equal(kct_daemon_start(&d, NULL, NULL), 0);
 *	... connect to d.path ...
 *	assert_int_equal(kct_daemon_stop(&d), 0);
 */
#ifndef KCT_DAEMON_H
#define KCT_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct kct_daemon {
	char dir[64];   /* private folder */
	char path[96];  /* the socket */
	char lock[104]; /* path + ".lock", of a daemon that binds by itself */
	pid_t pid;      /* 0: not running */
	int pidfd;
	int log_fd; /* what the daemon writes to stdout and stderr goes to this file */
};

/*
 * Start kcorod with a listening socket passed.
 * @config: text of a configuration file, or NULL
 * @args:   further arguments, NULL-terminated, or NULL
 *
 * Returns 0, or a negative errno.
 */
int kct_daemon_start(struct kct_daemon *d, const char *config, const char *const *args);

/* The same, but kcorod binds d->path by itself; returns when the socket is there. */
int kct_daemon_start_bound(struct kct_daemon *d, const char *config, const char *const *args);

/* The same once more after its end, in the same folder, which is as its end left it. */
int kct_daemon_restart_bound(struct kct_daemon *d);

/* kct_daemon_start() or, with `bound`, kct_daemon_start_bound(), after `prepare` was called in
 * the new process, between fork and exec: only calls that are safe there. 0 from it: go on. */
int kct_daemon_start_prepared(struct kct_daemon *d, bool bound, int (*prepare)(void *arg),
			      void *arg);

/* kct_daemon_start() with so many descriptors and no more. */
struct rlimit;
int kct_daemon_start_limited(struct kct_daemon *d, const struct rlimit *descriptors);

/* Only the private folder: d->dir, d->path. kct_daemon_stop() removes it. */
int kct_daemon_prepare(struct kct_daemon *d);

/* Run kcorod with exactly these arguments in a prepared folder, without a socket. */
int kct_daemon_run(struct kct_daemon *d, const char *const *args);

/* Wait for the end of the program. Returns its exit status (128 + the signal if one ended
 * it), or -ETIMEDOUT. The folder stays. */
int kct_daemon_wait(struct kct_daemon *d, int timeout_ms);

/* SIGTERM if it runs, wait (at most 20 s, then SIGKILL), remove the folder. Returns the exit
 * status as kct_daemon_wait(); if it is not 0 the daemon's log goes to stderr. */
int kct_daemon_stop(struct kct_daemon *d);

/* SIGKILL, wait, remove the folder. */
void kct_daemon_kill(struct kct_daemon *d);

/* A connected, blocking, CLOEXEC socket, or a negative errno. */
int kct_daemon_connect(const struct kct_daemon *d);

/* What it has written so far (the beginning of it), terminated. */
size_t kct_daemon_log(const struct kct_daemon *d, char *buf, size_t size);

/* How many descriptors the daemon has open now, or a negative errno. */
int kct_daemon_fds(const struct kct_daemon *d);

#endif
