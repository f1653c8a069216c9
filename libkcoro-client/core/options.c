/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checking of kc_chan_options, the same for every placement.
 */
#include "libkcoro-client/core/options.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"

#define MODE_DEFAULT 0700u
#define MODE_ALL     0777u
#define FLAGS_ALL    (KC_CHAN_AUTO_CLOSE | KC_CHAN_LEASE_ONLY)

/* The options in this library's own layout, whatever version the caller knows. */
static int options_import(const struct kc_chan_options *opts, struct kc_chan_options *ret)
{
	/* 0.1 had every member up to mode */
	const size_t smallest = offsetof(struct kc_chan_options, mode) + sizeof(opts->mode);
	size_t known = opts->size < sizeof(*ret) ? opts->size : sizeof(*ret);
	const unsigned char *bytes = (const unsigned char *)opts;

	if (opts->size < smallest || opts->size > 4096)
		return kci_fail(KC_EINVAL, "options: size is %zu; start from KC_CHAN_OPTIONS_INIT",
				opts->size);
	/* a member that a newer header has and this library does not know */
	for (size_t i = known; i < opts->size; i++)
		if (bytes[i])
			return kci_fail(KC_EINVAL, "options: newer than this library");
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, opts, known);
	return 0;
}

static int check_kind(const struct kc_chan_options *o)
{
	switch (o->kind) {
	case KC_BUFFERED:
		if (o->capacity < 1 || o->capacity > KC_CAPACITY_MAX)
			return kci_fail(KC_EINVAL,
					"capacity is %zu; a buffered channel has 1 to %u",
					o->capacity, KC_CAPACITY_MAX);
		break;
	case KC_RENDEZVOUS:
	case KC_CONFLATED:
	case KC_UNLIMITED:
		if (o->capacity != 0)
			return kci_fail(KC_EINVAL,
					"capacity is %zu; only a buffered channel has one",
					o->capacity);
		break;
	default:
		return kci_fail(KC_EINVAL, "kind is %d, which is none", (int)o->kind);
	}
	switch (o->overflow) {
	case KC_OVERFLOW_BLOCK:
		return 0;
	case KC_OVERFLOW_DROP_OLDEST:
	case KC_OVERFLOW_DROP_NEWEST:
		/* the other two are never full: one keeps nothing, one replaces */
		if (o->kind == KC_BUFFERED || o->kind == KC_UNLIMITED)
			return 0;
		return kci_fail(KC_EINVAL,
				"overflow: only buffered and unlimited channels drop when full");
	default:
		return kci_fail(KC_EINVAL, "overflow is %d, which is no policy", (int)o->overflow);
	}
}

static int check_sizes(struct kc_chan_options *o)
{
	size_t least; /* that max_bytes must be */

	if (o->elem_size > KC_ELEM_MAX)
		return kci_fail(KC_EINVAL, "elem_size is %zu; at most %u", o->elem_size,
				KC_ELEM_MAX);
	if (o->elem_size == 0) {
		if (o->max_msg == 0)
			o->max_msg = KC_MSG_DEFAULT;
		if (o->max_msg > KC_MSG_MAX)
			return kci_fail(KC_EINVAL, "max_msg is %zu; at most %u", o->max_msg,
					KC_MSG_MAX);
		least = 2 * o->max_msg;
	} else {
		if (o->max_msg != 0)
			return kci_fail(KC_EINVAL, "max_msg is for messages (elem_size 0)");
		if (o->kind != KC_UNLIMITED) {
			if (o->max_bytes != 0)
				return kci_fail(KC_EINVAL,
						"max_bytes is for messages and unlimited channels");
			return 0;
		}
		least = o->elem_size;
	}
	if (o->max_bytes == 0)
		o->max_bytes = least > KC_CHAN_BYTES_DEFAULT ? least : KC_CHAN_BYTES_DEFAULT;
	if (o->max_bytes < least)
		return kci_fail(KC_EINVAL, "max_bytes is %zu; at least %zu", o->max_bytes, least);
	return 0;
}

int kci_options_check(const struct kc_chan_options *opts, struct kc_chan_options *ret)
{
	struct kc_chan_options o;
	int r = options_import(opts, &o);

	if (r == 0)
		r = check_kind(&o);
	if (r == 0)
		r = check_sizes(&o);
	if (r < 0)
		return r;
	if (o.flags & ~FLAGS_ALL)
		return kci_fail(KC_EINVAL, "flags: unknown bit in %#x", o.flags);
	if (o.mode & ~MODE_ALL)
		return kci_fail(KC_EINVAL, "mode is %#o; at most 0777", o.mode);
	if (o.mode == 0)
		o.mode = MODE_DEFAULT;
	*ret = o;
	return 0;
}
