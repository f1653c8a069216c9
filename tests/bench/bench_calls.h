/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counting the system calls of other processes.
 *
 * The kernel's own counter (the tracepoint raw_syscalls:sys_enter) costs the
 * counted process next to nothing and is used where it is allowed. Elsewhere the
 * processes, which must be children of this one, are traced: that counts as
 * exactly, but slows each call so much that what saturates is another balance,
 * and says so on stderr once.
 */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_CALLS_MAX 32

struct bench_calls {
	unsigned n;
	bool traced;
	pid_t pid[BENCH_CALLS_MAX];
	int fd[BENCH_CALLS_MAX];
	uint64_t count[BENCH_CALLS_MAX];
};

/* Add one process before bench_calls_begin(). */
void bench_calls_add(struct bench_calls *calls, pid_t pid);

/* Count from now on. 0, or a negative errno after bench_why(). */
int bench_calls_begin(struct bench_calls *calls);

/* If calls->traced: keep the traced processes going, and hand the end of every child to
 * ended(), until that says true. 0 or a negative errno. */
int bench_calls_follow(struct bench_calls *calls, bool (*ended)(void *arg, pid_t pid, int status),
		       void *arg);

/* Count no more. The counts are valid if bench_calls_begin() and all that followed succeeded. */
void bench_calls_end(struct bench_calls *calls);

uint64_t bench_calls_total(const struct bench_calls *calls);

#endif
