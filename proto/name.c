/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The grammar of names, byte by byte: no locale, no table, and a reason for each
 * way to be wrong, since people type these.
 */
#include "proto/name.h"

#include <stdbool.h>

#include "kcoro/error.h"
#include "proto/wire.h"

static bool name_is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool name_is_inner(char c)
{
	return name_is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static int name_fault(const char **ret_why, int code, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return code;
}

int kcp_name_check(const char *name, size_t len, const char **ret_why)
{
	bool first = true;

	if (len == 0)
		return name_fault(ret_why, KC_EINVAL, "a channel name must not be empty");
	if (len > KCP_NAME_MAX)
		return name_fault(ret_why, KC_ENAMETOOLONG, "a channel name has at most 255 bytes");
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/') {
			if (first)
				return name_fault(ret_why, KC_EINVAL,
						  "a channel name has no empty part: no / at its "
						  "beginning, and no two together");
			first = true;
		} else if (first) {
			if (!name_is_letter(name[i]))
				return name_fault(ret_why, KC_EINVAL,
						  "each part of a channel name begins with a "
						  "letter (A-Z, a-z) or _");
			first = false;
		} else if (!name_is_inner(name[i])) {
			return name_fault(ret_why, KC_EINVAL,
					  "a channel name consists of letters (A-Z, a-z), digits, "
					  "_, - and . in parts joined by /");
		}
	}
	if (first)
		return name_fault(ret_why, KC_EINVAL, "a channel name does not end with /");
	return 0;
}
