/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of TAP: see tap.h.
 */
#include "tests/fault/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kcoro/error.h"

static int cases, failed;

void claim(bool holds, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", holds ? "" : "not ", ++cases);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	failed += !holds;
}

void bail(const char *what, int code)
{
	printf("Bail out! %s: %s\n", what, code ? kc_strerror(code) : "");
	exit(1);
}

int claims_end(void)
{
	printf("1..%d\n", cases);
	return failed > 0;
}
