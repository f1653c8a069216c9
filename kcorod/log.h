/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines on stderr: level, what happened, then the channel and the client it
 * is about. Under systemd each line begins with <N>, the priority of the journal.
 *
 * KCORO_DEBUG=category,category (or "all") adds debug lines of those categories
 * whatever the level. What clients can cause is logged through kcd_log_client(),
 * which lets only so many lines a second through, so that nobody can fill a disk.
 */
#ifndef KCD_LOG_H
#define KCD_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum kcd_log_level {
	KCD_LOG_ERROR,
	KCD_LOG_WARNING,
	KCD_LOG_NOTICE,
	KCD_LOG_INFO,
	KCD_LOG_DEBUG,
};

enum kcd_debug {
	KCD_DEBUG_CONN = 1,    /* connections: accepted, closed, clogged */
	KCD_DEBUG_SESSION = 2, /* sessions: begun, suspended, resumed, ended */
	KCD_DEBUG_CHAN = 4,    /* channels: made, opened, closed, destroyed */
	KCD_DEBUG_FRAME = 8,   /* every frame from a client */
};

/* Whom a line is about; any part may be missing. */
struct kcd_log_about {
	const char *channel;
	pid_t pid; /* 0: none */
	uid_t uid;
};

/* Reads KCORO_DEBUG and finds out about systemd. */
void kcd_log_init(enum kcd_log_level level);

/* "error" .. "debug" -> level; false if there is no such level. */
bool kcd_log_level_parse(const char *text, enum kcd_log_level *ret);
const char *kcd_log_level_name(enum kcd_log_level level);

bool kcd_debugging(enum kcd_debug category);

/* The daemon's own affairs. `about` may be NULL. */
void kcd_log(enum kcd_log_level level, const struct kcd_log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What a client caused: bounded in number. */
void kcd_log_client(enum kcd_log_level level, const struct kcd_log_about *about, const char *fmt,
		    ...) __attribute__((format(printf, 3, 4)));

void kcd_debug(enum kcd_debug category, const struct kcd_log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One line as it would be written, without <N>: for tests. Returns its length. */
size_t kcd_log_format(char *buf, size_t size, enum kcd_log_level level,
		      const struct kcd_log_about *about, const char *text);

#endif
