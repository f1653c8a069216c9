/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a benchmark runs.
 *
 * A virtual machine's CPUs move between cores, so the same program meets
 * neighbours one moment and strangers the next. Each measurement therefore either
 * has everything on one CPU, or is told how far apart the two were just then.
 */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <sys/types.h>

enum bench_class {
	BENCH_CLASS_NONE, /* not known, or of no meaning */
	BENCH_CLASS_ONE_CPU,
	BENCH_CLASS_SMT,
	BENCH_CLASS_NEAR,
	BENCH_CLASS_FAR,
	BENCH_CLASSES
};

#define BENCH_CPU_ANY (-1)

/* As it stands in the last column. */
const char *bench_class_name(enum bench_class class);

/* The CPU where everything is put that shall share one: the last this process may use, since
 * the first serves most interrupts. */
int bench_cpu_shared(void);

/* Put a process (0: this thread) on one CPU, or with BENCH_CPU_ANY back on all this program
 * was started with. 0 or a negative errno. */
int bench_cpu_pin(pid_t pid, int cpu);

/* Hand a cache line to and fro between the first two CPUs and judge by the time. */
enum bench_class bench_cpu_probe(void);

#endif
