/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Result codes in words, and the detail of a thread's last failure.
 */
#include "kcoro/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"

#define DETAIL_MAX 512

static const struct {
	int code;
	const char *name;
	const char *text;
} codes[] = {
	{ 0, "KC_OK", "success" },
	{ KC_ENOENT, "KC_ENOENT", "no such channel" },
	{ KC_EAGAIN, "KC_EAGAIN", "the operation would have to wait" },
	{ KC_ENOMEM, "KC_ENOMEM", "out of memory" },
	{ KC_EACCES, "KC_EACCES", "permission denied" },
	{ KC_EEXIST, "KC_EEXIST", "it exists already, with other options" },
	{ KC_EINVAL, "KC_EINVAL", "invalid argument" },
	{ KC_EPIPE, "KC_EPIPE", "the channel is closed" },
	{ KC_ENAMETOOLONG, "KC_ENAMETOOLONG", "the name or path is too long" },
	{ KC_ETIME, "KC_ETIME", "the deadline has passed" },
	{ KC_EPROTO, "KC_EPROTO", "the peer broke the protocol" },
	{ KC_EMSGSIZE, "KC_EMSGSIZE", "the message is too long" },
	{ KC_ENOTSUP, "KC_ENOTSUP", "not possible on this channel" },
	{ KC_ECONNRESET, "KC_ECONNRESET", "the connection to the daemon is lost" },
	{ KC_EDQUOT, "KC_EDQUOT", "a quota is used up" },
	{ KC_ECANCELED, "KC_ECANCELED", "the operation was cancelled" },
	{ KC_EFORKED, "KC_EFORKED", "the handle was inherited through a fork" },
	{ KC_EBROKEN, "KC_EBROKEN", "the channel's state is corrupt and was fenced off" },
};

static _Thread_local char detail[DETAIL_MAX];
static _Thread_local bool detail_fresh; /* set by the call that is running now */

const char *kc_strerror(int code)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			return codes[i].text;
	return "unknown result";
}

const char *kc_error_name(int code)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "KC_E?";
}

const char *kc_error_detail(void)
{
	return detail;
}

int kc_version(void)
{
	return KC_VERSION_NUMBER;
}

static void __attribute__((format(printf, 1, 0))) detail_set(const char *fmt, va_list ap)
{
	/* cut, never overrun; an unprintable format leaves "" */
	if (vsnprintf(detail, sizeof(detail), fmt, ap) < 0)
		detail[0] = '\0';
	detail_fresh = true;
}

void kci_detail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	detail_set(fmt, ap);
	va_end(ap);
}

int kci_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	detail_set(fmt, ap);
	va_end(ap);
	return code;
}

int kci_pass(int code)
{
	detail_fresh = code < 0;
	return code;
}

void kci_detail_clear(void)
{
	detail[0] = '\0';
	detail_fresh = false;
}

long kci_result(long r)
{
	if (r < 0) {
		if (!detail_fresh)
			detail[0] = '\0';
		detail_fresh = false;
	}
	return r;
}
