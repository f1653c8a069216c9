/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Logging: see log.h. One write() per line, so that lines of several processes
 * that share a stderr do not mix.
 */
#include "kcorod/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"

#define LINE_MAX_BYTES 1024
#define CLIENT_LINES 50u /* per second */

static const struct {
	const char *name;
	int priority; /* as in syslog */
} levels[] = { { "error", 3 }, { "warning", 4 }, { "notice", 5 }, { "info", 6 }, { "debug", 7 } };

static const struct {
	const char *name;
	unsigned bit;
} categories[] = {
	{ "conn", KCD_DEBUG_CONN },
	{ "session", KCD_DEBUG_SESSION },
	{ "chan", KCD_DEBUG_CHAN },
	{ "frame", KCD_DEBUG_FRAME },
};

static enum kcd_log_level limit = KCD_LOG_INFO;
static unsigned debug_bits;
static bool with_priority;

/* Is stderr the stream to the journal that systemd made for us? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, ours) == 0;
}

static unsigned debug_parse(const char *list)
{
	unsigned bits = 0;

	while (list && *list) {
		size_t len = strcspn(list, ",");

		if (len == 3 && memcmp(list, "all", 3) == 0)
			bits = UINT32_MAX;
		for (size_t i = 0; i < KC_ARRAY_SIZE(categories); i++)
			if (strlen(categories[i].name) == len &&
			    memcmp(list, categories[i].name, len) == 0)
				bits |= categories[i].bit;
		list += len + (list[len] == ',');
	}
	return bits;
}

void kcd_log_init(enum kcd_log_level level)
{
	limit = level;
	debug_bits = debug_parse(getenv("KCORO_DEBUG"));
	with_priority = stderr_is_journal();
}

bool kcd_log_level_parse(const char *text, enum kcd_log_level *ret)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(levels); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret = (enum kcd_log_level)i;
			return true;
		}
	}
	return false;
}

const char *kcd_log_level_name(enum kcd_log_level level)
{
	return levels[level].name;
}

bool kcd_debugging(enum kcd_debug category)
{
	return limit == KCD_LOG_DEBUG || (debug_bits & category);
}

/* snprintf tells what it would have written; a line is cut instead. */
static size_t add(char *buf, size_t size, size_t at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static size_t add(char *buf, size_t size, size_t at, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + at, size - at, fmt, ap);
	va_end(ap);
	if (n < 0)
		return at;
	return (size_t)n < size - at ? at + (size_t)n : size - 1;
}

size_t kcd_log_format(char *buf, size_t size, enum kcd_log_level level,
		      const struct kcd_log_about *about, const char *text)
{
	size_t n = add(buf, size, 0, "kcorod: %s: %s", levels[level].name, text);

	if (about && about->channel)
		n = add(buf, size, n, " channel=%s", about->channel);
	if (about && about->pid > 0)
		n = add(buf, size, n, " pid=%d uid=%u", (int)about->pid, (unsigned)about->uid);
	return n;
}

__attribute__((format(printf, 3, 0))) static void emit(enum kcd_log_level level,
						       const struct kcd_log_about *about,
						       const char *fmt, va_list ap)
{
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };
	char text[LINE_MAX_BYTES - 256], line[LINE_MAX_BYTES];
	int saved = errno;
	size_t n = 0;

	vsnprintf(text, sizeof(text), fmt, ap);
	if (with_priority)
		n = add(line, sizeof(line), 0, "<%d>", levels[level].priority);
	/* one byte is kept for the newline */
	n += kcd_log_format(line + n, sizeof(line) - 1 - n, level, about, text);
	line[n++] = '\n';
	/* Nobody to tell if the log itself cannot be written. Nor does the daemon wait for whoever
	 * reads it: what a full pipe does not take is lost. */
	if (poll(&log, 1, /* timeout= */ 0) > 0)
		while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
			;
	errno = saved;
}

void kcd_log(enum kcd_log_level level, const struct kcd_log_about *about, const char *fmt, ...)
{
	va_list ap;

	if (level > limit)
		return;
	va_start(ap, fmt);
	emit(level, about, fmt, ap);
	va_end(ap);
}

void kcd_log_client(enum kcd_log_level level, const struct kcd_log_about *about, const char *fmt,
		    ...)
{
	static uint64_t second;
	static unsigned lines, hidden;
	uint64_t now;
	va_list ap;

	if (level > limit)
		return;
	now = kci_clock_now() / KC_NS_PER_SEC;
	if (now != second) {
		second = now;
		lines = 0;
		if (hidden > 0)
			kcd_log(KCD_LOG_NOTICE, NULL, "%u more lines about clients left out",
				hidden);
		hidden = 0;
	}
	if (lines++ >= CLIENT_LINES) {
		hidden++;
		return;
	}
	va_start(ap, fmt);
	emit(level, about, fmt, ap);
	va_end(ap);
}

void kcd_debug(enum kcd_debug category, const struct kcd_log_about *about, const char *fmt, ...)
{
	va_list ap;

	if (!kcd_debugging(category))
		return;
	va_start(ap, fmt);
	emit(KCD_LOG_DEBUG, about, fmt, ap);
	va_end(ap);
}
