/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCOROCTL_STOP_H
#define KCOROCTL_STOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "kcoro.h"

/*
 * An orderly end on SIGINT, SIGTERM and SIGHUP.
 *
 * A signal sets a token, so that a call that waits in the library returns
 * knowing what became of its elements. A second signal ends the process at once.
 * Signals that were ignored when kcoroctl started stay ignored.
 */
struct cmd_stop {
	kc_cancel_t *token; /* set by the first signal */
	int stopped_fd;	    /* readable from then on */
	int signal_fd;
	int end_fd; /* ends the thread that waits for signals */
	kc_chan_t *chan;
	kc_actor_t *actor;
	sigset_t before;
	int signo; /* the first signal; read it once the actor has ended */
};

/* 0 or a KC_E* code */
int cmd_stop_init(struct cmd_stop *stop);
/* Undoes cmd_stop_init(). If a signal came the process now ends by it, so that the shell sees
 * what happened; else returns. */
void cmd_stop_done(struct cmd_stop *stop);
bool cmd_stop_is_set(const struct cmd_stop *stop);
/* Waits until fd is ready for `events` (poll): 1 ready, 0 a signal came first, or that and
 * `grace_ms` passed without fd becoming ready. */
int cmd_stop_wait(const struct cmd_stop *stop, int fd, short events, int grace_ms);

#endif
