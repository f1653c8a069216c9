/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Results on the wire <-> KC_E* codes. Only numbers of the protocol travel, never
 * a host's errno; this is the one place that knows both. PROTOCOL.md section 4.
 */
#ifndef KCP_RESULT_H
#define KCP_RESULT_H

#include <stdint.h>

/* A code the wire has no number for (KC_ENAMETOOLONG, KC_EFORKED) is KCP_INVAL. */
uint32_t kcp_result_from_code(int kc_code);

/* A number this side does not know is KC_EPROTO. */
int kcp_result_to_code(uint32_t result);

/* "PIPE"; "?" for an unknown number. Never NULL. */
const char *kcp_result_name(uint32_t result);

#endif
