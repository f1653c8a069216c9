/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The grammar of channel names: PROTOCOL.md section 11. Both sides check, the
 * client for a quick and clear answer, the daemon because it trusts nobody.
 */
#ifndef KCP_NAME_H
#define KCP_NAME_H

#include <stddef.h>

/*
 * kcp_name_check - is this a channel's name?
 * @name:    len bytes, need not be terminated; NULL with len 0 is an empty name
 * @ret_why: may be NULL; set on failure only: a static sentence for people
 *
 * Returns 0, KC_EINVAL, or KC_ENAMETOOLONG for more than KCP_NAME_MAX bytes.
 */
int kcp_name_check(const char *name, size_t len, const char **ret_why);

#endif
