/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One table, read in both directions. A number of the wire is its index, so that
 * a gap or a doubled number cannot be written down.
 */
#include "proto/result.h"

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/wire.h"

static const struct {
	int code;
	const char *name;
} results[] = {
	[KCP_OK] = { 0, "OK" },
	[KCP_AGAIN] = { KC_EAGAIN, "AGAIN" },
	[KCP_TIME] = { KC_ETIME, "TIME" },
	[KCP_CANCELED] = { KC_ECANCELED, "CANCELED" },
	[KCP_PIPE] = { KC_EPIPE, "PIPE" },
	[KCP_INVAL] = { KC_EINVAL, "INVAL" },
	[KCP_MSGSIZE] = { KC_EMSGSIZE, "MSGSIZE" },
	[KCP_NOENT] = { KC_ENOENT, "NOENT" },
	[KCP_EXIST] = { KC_EEXIST, "EXIST" },
	[KCP_ACCES] = { KC_EACCES, "ACCES" },
	[KCP_DQUOT] = { KC_EDQUOT, "DQUOT" },
	[KCP_NOMEM] = { KC_ENOMEM, "NOMEM" },
	[KCP_NOTSUP] = { KC_ENOTSUP, "NOTSUP" },
	[KCP_PROTO] = { KC_EPROTO, "PROTO" },
	[KCP_CONNRESET] = { KC_ECONNRESET, "CONNRESET" },
	[KCP_BROKEN] = { KC_EBROKEN, "BROKEN" },
};

uint32_t kcp_result_from_code(int kc_code)
{
	for (uint32_t i = 0; i < KC_ARRAY_SIZE(results); i++) {
		if (results[i].code == kc_code)
			return i;
	}
	return KCP_INVAL;
}

int kcp_result_to_code(uint32_t result)
{
	return result < KC_ARRAY_SIZE(results) ? results[result].code : KC_EPROTO;
}

const char *kcp_result_name(uint32_t result)
{
	return result < KC_ARRAY_SIZE(results) ? results[result].name : "?";
}
