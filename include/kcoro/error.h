/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_ERROR_H
#define KCORO_ERROR_H

#include "kcoro/version.h"

/*
 * Result codes.
 *
 * Every call returns 0 (or a documented count) on success and one of these
 * negative codes on failure. Values are negated Linux errno where one fits, so
 * they mean the same on every Linux machine; the wire carries result numbers of
 * its own (proto/PROTOCOL.md, section "Results").
 */
#define KC_ENOENT (-2)         /* no such channel, or a stale id */
#define KC_EAGAIN (-11)        /* would block (a try found nothing to do) */
#define KC_ENOMEM (-12)        /* out of memory */
#define KC_EACCES (-13)        /* the caller lacks the right; the detail names it */
#define KC_EEXIST (-17)        /* exists with other options; the detail says which */
#define KC_EINVAL (-22)        /* nonsensical argument or wrong family of calls */
#define KC_EPIPE (-32)         /* closed (send), closed and drained (receive) */
#define KC_ENAMETOOLONG (-36)  /* socket path or channel name too long */
#define KC_ETIME (-62)         /* deadline passed */
#define KC_EPROTO (-71)        /* the peer broke the protocol */
#define KC_EMSGSIZE (-90)      /* message over the limit, or buffer too small */
#define KC_ENOTSUP (-95)       /* not possible on this placement or channel */
#define KC_ECONNRESET (-104)   /* daemon gone and not back within the grace */
#define KC_EDQUOT (-122)       /* a quota is used up; the detail names it */
#define KC_ECANCELED (-125)    /* the token was cancelled */
#define KC_EFORKED (-1001)     /* handle inherited through fork */
#define KC_EBROKEN (-1002)     /* shared state found corrupt and fenced off */

KC_BEGIN_DECLS

/**
 * kc_strerror() - one sentence for a result code
 * @code:          a KC_E* code, or 0
 *
 * Returns: a static string, never NULL; an unknown code gives "unknown result".
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC const char *kc_strerror(int code);

/**
 * kc_error_name() - the name of a result code
 * @code:          a KC_E* code, or 0
 *
 * Returns: a static string such as "KC_EPIPE" ("KC_OK" for 0, "KC_E?" if unknown).
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC const char *kc_error_name(int code);

/**
 * kc_error_detail() - what exactly the last failing call of this thread met
 *
 * Codes are few; the detail names the thing and the limit: which option of an
 * existing channel differs, which right is missing, which quota is used up.
 *
 * Returns: a string that stays valid until this thread's next failing kc_ call;
 *          "" when the last failure had nothing to add.
 * Thread:  any; the text is the calling thread's own.
 * Since:   0.1
 */
KC_PUBLIC const char *kc_error_detail(void);

KC_END_DECLS

#endif
