/* SPDX-License-Identifier: BSD-3-Clause */
/* The one form of all benchmarks: see bench_report.h. */
#include "tests/bench/bench_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"

#define USAGE " [--tsv] [--quick] [--rounds N] [--only FIGURE]"

struct bench_options bench_options;

static char why_now[256];

int bench_why(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why_now, sizeof(why_now), fmt, ap);
	va_end(ap);
	return code;
}

unsigned long bench_scaled(unsigned long n, unsigned long least)
{
	if (bench_options.quick)
		n /= BENCH_QUICK;
	return n > least ? n : least;
}

/* ---- arguments -------------------------------------------------------------- */

static bool number_parse(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < 1 || value > max)
		return false;
	*ret = value;
	return true;
}

int bench_arguments(int argc, char **argv, const char *usage, const unsigned long *max,
		    unsigned long *ret, int n)
{
	int numbers = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--tsv") == 0) {
			bench_options.tsv = true;
		} else if (strcmp(argv[i], "--quick") == 0) {
			bench_options.quick = true;
		} else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
			bench_options.only = argv[++i];
		} else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc &&
			   number_parse(argv[i + 1], BENCH_ROUNDS, &bench_options.rounds)) {
			i++;
		} else if (strcmp(argv[i], "--help") == 0) {
			printf("usage: %s" USAGE "%s\n", argv[0], usage);
			exit(0);
		} else if (numbers < n && number_parse(argv[i], max[numbers], &ret[numbers])) {
			numbers++;
		} else {
			fprintf(stderr, "%s: cannot use \"%s\"\nusage: %s" USAGE "%s\n", argv[0],
				argv[i], argv[0], usage);
			exit(2);
		}
	}
	return numbers;
}

/* ---- rounds ----------------------------------------------------------------- */

static void take(struct bench_figure *f)
{
	struct bench_pair pair = { 0 };
	enum bench_class class = f->class;
	int r;

	if (class == BENCH_CLASS_NONE && !f->no_class)
		class = bench_cpu_probe();
	snprintf(why_now, sizeof(why_now), "no reason given");
	r = f->take(f, &pair);
	if (r < 0) {
		f->failed = r;
		snprintf(f->why, sizeof(f->why), "%s", why_now);
		fprintf(stderr, "%s: n/a: %s\n", f->name, f->why);
		return;
	}
	f->ours[f->n] = pair.ours;
	f->theirs[f->n] = pair.reference;
	f->ratio[f->n] = f->reference ? pair.ours / pair.reference : 0;
	f->n++;
	f->classes[class]++;
}

/* ---- printing --------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* What most rounds met, of those whose probe told anything. */
static const char *class_of(const struct bench_figure *f)
{
	unsigned most = BENCH_CLASS_NONE, rounds = 0;

	for (unsigned c = BENCH_CLASS_NONE + 1; c < BENCH_CLASSES; c++) {
		if (f->classes[c] > rounds) {
			rounds = f->classes[c];
			most = c;
		}
	}
	return bench_class_name((enum bench_class)most);
}

/* A number with as many digits as it is worth. */
static const char *number(char buf[32], double v)
{
	snprintf(buf, 32, v >= 1000 || v <= -1000 ? "%.0f" : "%.4g", v);
	return buf;
}

static void print(struct bench_figure *f)
{
	const char *reference = f->reference ? f->reference : "-";
	char mid[32] = "n/a", low[32] = "n/a", high[32] = "n/a", ratio[32] = "-", theirs[32] = "-";
	bool taken = f->failed == 0 && f->n > 0;
	const char *class = taken ? class_of(f) : "-";

	if (taken) {
		number(mid, median(f->ours, f->n));
		number(low, f->ours[0]);
		number(high, f->ours[f->n - 1]);
	} else {
		snprintf(ratio, sizeof(ratio), "n/a");
	}
	if (taken && f->reference) {
		snprintf(ratio, sizeof(ratio), "%.3f", median(f->ratio, f->n));
		number(theirs, median(f->theirs, f->n));
	}
	if (bench_options.tsv)
		printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f->name, mid, low, high, f->unit,
		       reference, ratio, class);
	else
		printf("%-30s %12s %12s %12s %-5s  %-12s %8s %-7s %12s\n", f->name, mid, low, high,
		       f->unit, reference, ratio, class, theirs);
}

int bench_run(struct bench_figure *figures, unsigned n, int (*start)(void), int (*stop)(void))
{
	unsigned long rounds = bench_options.rounds ? bench_options.rounds : BENCH_ROUNDS;
	int status = 0;
	unsigned only = 0;

	while (bench_options.only && only < n &&
	       strcmp(figures[only].name, bench_options.only) != 0)
		only++;
	if (only == n) {
		fprintf(stderr, "no figure \"%s\" here\n", bench_options.only);
		return 2;
	}
	if (bench_options.only) {
		figures += only;
		n = 1;
	}
	if (start() != 0)
		return 1;
	if (bench_options.quick)
		rounds = 1;
	for (unsigned long round = 0; round < rounds; round++)
		for (unsigned i = 0; i < n; i++)
			if (figures[i].failed == 0)
				take(&figures[i]);
	if (stop() != 0)
		status = 1;
	if (!bench_options.tsv)
		printf("%-30s %12s %12s %12s %-5s  %-12s %8s %-7s %12s\n", "figure", "median",
		       "min", "max", "unit", "reference", "ratio", "class", "its median");
	for (unsigned i = 0; i < n; i++) {
		print(&figures[i]);
		if (figures[i].failed != 0 && figures[i].failed != -ENOTSUP)
			status = 1;
	}
	return fflush(stdout) == 0 ? status : 1;
}
