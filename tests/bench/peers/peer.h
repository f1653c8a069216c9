/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs for peers have in common, in C and in C++: a table of figures, one of which
 * is measured once for each run:
 *
 *	peer-NAME [--quick] FIGURE	prints: figure, value, unit, separated by tabs
 *	peer-NAME --about		prints what is measured here, and its version
 *
 * They are built apart from the project, with what the machine happens to have (build.sh).
 */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PEER_QUICK 100 /* --quick divides the work by this, as in our programs */

struct peer_figure {
	const char *name;
	const char *unit;
	/* One measurement of n repetitions. The value, or a negative number after a line on
	 * stderr. */
	double (*take)(const struct peer_figure *figure, unsigned long n);
	unsigned long n;
	unsigned sides;	   /* senders, and receivers */
	unsigned capacity; /* of the channel */
};

static inline uint64_t peer_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ns for each of n since start */
static inline double peer_each(uint64_t start, double n)
{
	return (double)(peer_now() - start) / n;
}

static inline int peer_run(int argc, char **argv, const char *about,
			   const struct peer_figure *figures, size_t n)
{
	unsigned long divide = 1, repeat;
	double value;
	int i = 1;

	if (argc == 2 && strcmp(argv[1], "--about") == 0) {
		printf("%s\n", about);
		return 0;
	}
	if (i < argc && strcmp(argv[i], "--quick") == 0) {
		divide = PEER_QUICK;
		i++;
	}
	for (size_t k = 0; i + 1 == argc && k < n; k++) {
		if (strcmp(figures[k].name, argv[i]) != 0)
			continue;
		repeat = figures[k].n / divide;
		value = figures[k].take(&figures[k], repeat ? repeat : 1);
		if (value < 0)
			return 1;
		printf("%s\t%.9g\t%s\n", figures[k].name, value, figures[k].unit);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	fprintf(stderr, "usage: %s [--quick] FIGURE | --about\n", argv[0]);
	return 2;
}

#endif
