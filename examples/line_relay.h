/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLES_LINE_RELAY_H
#define EXAMPLES_LINE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro.h"

/* What the processes of line_relay share. They are forked before any of them connects: a connection
 * made before a fork is not the child's. */
struct lr_job {
	const char *folder;
	const char *channel;
	const char *data; /* the file, mapped */
	size_t size;
	size_t longest; /* line, bytes */
	uint64_t lines;
	int producers, consumers;
	int ready_fd; /* consumers write a byte when they are about to receive */
};

/* How a consumer is going to end. */
enum lr_end { LR_LIVES, LR_DIES_BLOCKED, LR_DIES_HOLDING };

/* Connects and makes or opens the channel; 0, or 1 when the fault was told. */
int lr_join(const struct lr_job *job, const struct kc_ipc_open_options *how, kc_ipc_conn_t **conn,
	    kc_chan_t **ret);
/* The life of a process; returns its exit status. */
int lr_produce(const struct lr_job *job, int i);
int lr_consume(const struct lr_job *job, int i, enum lr_end end);

extern const char *lr_role; /* for messages */
int lr_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int lr_fail_kc(const char *what, long code);

#endif
