/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traces of the connection. One line is one write, so that lines of many threads
 * and of the daemon do not mix.
 */
#include "libkcoro-client/ipc/debug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"

#define CATEGORY       "ipc"
#define LINE_MAX_BYTES 512

static KC_ONCE_T once = KC_ONCE_INIT;
static bool enabled;

static bool is_word(const char *word, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(word, wanted, len) == 0;
}

static void debug_init(void)
{
	const char *list = secure_getenv("KCORO_DEBUG");

	while (list && *list) {
		size_t len = strcspn(list, ",");

		if (is_word(list, len, CATEGORY) || is_word(list, len, "all"))
			enabled = true;
		list += len + (list[len] == ',');
	}
}

bool kci_debug_on(void)
{
	KC_ONCE(&once, debug_init);
	return enabled;
}

void kci_debug_print(const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int head = snprintf(line, sizeof(line), "kcoro[%d] " CATEGORY ": ", (int)getpid());
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line + head, sizeof(line) - (size_t)head - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	line[len++] = '\n';
	/* a trace that cannot be written is no reason to fail */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
