/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process full of hostile clients: keeps a number of connections busy with
 * scripts until it is killed, which is how all of them vanish at once.
 */
#ifndef FAULT_CROWD_H
#define FAULT_CROWD_H

#include <stdint.h>
#include <sys/types.h>

#include "tests/fault/scripts.h"
#include "tests/lib/daemon.h"

/* Counted by all crowds together, in memory they share. */
struct crowd_count {
	_Atomic uint64_t opened;        /* connections */
	_Atomic uint64_t bytes;         /* written */
	_Atomic uint64_t ended;         /* by the daemon, before the client had enough */
	_Atomic uint64_t of[SCRIPT_KINDS];
};

struct crowd {
	pid_t pid;
	uid_t uid; /* throw-away; 0: the caller's */
	unsigned connections;
	uint64_t seed;
	struct crowd_count *count;
};

/* Start one against a daemon. 0, or a negative errno. */
int crowd_start(struct crowd *crowd, const struct kct_daemon *d);

/* SIGKILL. 0, or -1 if it had ended by itself. */
int crowd_kill(struct crowd *crowd);

#endif
