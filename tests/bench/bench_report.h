/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one form of all benchmarks.
 *
 * A program is a table of figures. bench_run() takes them in rounds, in each of
 * which every figure measures its reference and then ours, so that both meet the
 * same weather; it prints medians. With --tsv there is one line per figure:
 *
 *	name  median  min  max  unit  reference  ratio  class
 *
 * ratio is the median of the rounds' ratios, ours to the reference. A figure that
 * could not be taken has n/a in place of its numbers and the reason on stderr.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>

#include "tests/bench/bench_cpu.h"

#define BENCH_ROUNDS 5
#define BENCH_QUICK  100 /* --quick divides the work by this, and makes one round */

struct bench_options {
	bool tsv;
	bool quick;
	const char *only; /* the one figure to take, or NULL */
	/* Fewer rounds than BENCH_ROUNDS, for whoever interleaves programs; 0: all */
	unsigned long rounds;
};

/* What one round gives; reference is not looked at for a figure without one. */
struct bench_pair {
	double ours;
	double reference;
};

struct bench_figure {
	char name[64];
	const char *unit;      /* "ns", "1/s", "calls", "bytes" */
	const char *reference; /* its name, or NULL */
	/* Where it runs. NONE: the distance is probed in each round */
	enum bench_class class;
	bool no_class; /* a number that does not depend on it */
	/* Measure once. 0; or a negative errno after bench_why(): -ENOTSUP if this machine does
	 * not allow the figure, anything else if what is measured is at fault. */
	int (*take)(const struct bench_figure *figure, struct bench_pair *ret);
	const void *arg;
	unsigned n;

	/* what bench_run() gathers */
	double ours[BENCH_ROUNDS], theirs[BENCH_ROUNDS], ratio[BENCH_ROUNDS];
	unsigned classes[BENCH_CLASSES];
	int failed;
	char why[256];
};

/* The options of this program; also for the figures to look at. */
extern struct bench_options bench_options;

/* Read --tsv, --quick, --rounds N and --only FIGURE; whole numbers from 1 to max[i] go to ret[i].
 * Ends the program on --help and on anything else. Returns how many numbers there were, at most
 * n. */
int bench_arguments(int argc, char **argv, const char *usage, const unsigned long *max,
		    unsigned long *ret, int n);

/* n, or with --quick a hundredth of it, at least least. */
unsigned long bench_scaled(unsigned long n, unsigned long least);

/* Why the figure being taken cannot be. Returns code. */
int bench_why(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Take all figures and print them, between start() and stop(), which return 0 if all is well.
 * Returns the program's exit status. */
int bench_run(struct bench_figure *figures, unsigned n, int (*start)(void), int (*stop)(void));

#endif
