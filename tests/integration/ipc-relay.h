/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A relay between clients and a kcorod that cuts connections.
 *
 * A thread of its own passes bytes on. Each connection has a fate, drawn when it
 * begins: after so many bytes in one direction it is cut on both sides, in the
 * middle of whatever travels; what the relay still holds is lost. A descriptor goes
 * on with the bytes it came with. Since the relay
 * is a thread of the test, kcorod sees the same process on every connection.
 */
#ifndef KCT_IPC_RELAY_H
#define KCT_IPC_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

#define RELAY_LINES 16 /* connections at one time */

struct relay_pipe {
	unsigned char data[16384];
	size_t from, to; /* what waits to be written */
	int fd;		 /* to go along with it, or -1 */
	uint64_t left;	 /* bytes until the cut */
};

struct relay_line {
	bool used;
	int fd[2];		   /* the client's side, kcorod's side */
	struct relay_pipe pipe[2]; /* what comes from the one, from the other */
};

struct relay {
	char path[108]; /* clients connect here */
	const char *daemon;
	uint64_t random;
	uint64_t cut_max;	  /* the longest life of a connection, in bytes; 0: for ever */
	_Atomic unsigned allowed; /* so many cuts may still happen; none at first */
	_Atomic unsigned cuts;
	bool keeps_fds;		  /* descriptors do not go on */
	int listen_fd;
	int stop_fd;
	int cut_fd;
	struct kct_event was_cut;
	struct relay_line lines[RELAY_LINES];
	struct kct_call thread;
};

/* Everything asserts: for the test's own thread. */
void relay_start(struct relay *r, const char *daemon, uint64_t seed, uint64_t cut_max);
void relay_stop(struct relay *r);

/* Cut all connections there are; they are when it returns. */
void relay_cut(struct relay *r);

#endif
