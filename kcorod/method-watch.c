/* SPDX-License-Identifier: BSD-3-Clause */
/* CHAN_WATCH. */
#include <unistd.h>

#include "kcorod/access.h"
#include "kcorod/dispatch.h"
#include "kcorod/notifier.h"
#include "kcoro/error.h"
#include "proto/tlv.h"

/* May the client do what it wants to wait for? False: answered. */
static bool allowed(struct kcd_call *call, uint32_t role)
{
	uint32_t right = role == KCP_ROLE_SENDER ? KCP_RIGHT_SEND : KCP_RIGHT_RECV;

	if (role != KCP_ROLE_SENDER && role != KCP_ROLE_RECEIVER)
		kcd_call_reply(call, KC_EINVAL, "ROLES must be one of sender and receiver");
	else if (!(call->att->attach.roles & role))
		kcd_call_replyf(call, KC_EACCES, "not attached as a %s",
				role == KCP_ROLE_SENDER ? "sender" : "receiver");
	else if (!(kcd_access_rights(call->session->peer, call->channel) & right))
		kcd_call_replyf(call, KC_EACCES, "no right to %s", kcd_access_name(right));
	else
		return true;
	return false;
}

void kcd_do_chan_watch(struct kcd_call *call)
{
	uint32_t role = (uint32_t)kcp_num(call->args, KCP_T_ROLES, 0);
	const char *limit;
	struct kcp_buf *buf;
	uint64_t rings;
	int fd, r;

	if (!allowed(call, role))
		return;
	r = kcd_notifier_make(call->att, role == KCP_ROLE_SENDER, &fd, &rings, &limit);
	if (r == KC_EDQUOT) {
		kcd_call_over_limit(call, limit);
		return;
	}
	if (r < 0) {
		kcd_call_reply(call, r, "kcorod has no descriptor left");
		return;
	}
	buf = kcd_call_begin(call, 0);
	kcp_put_u64(buf, KCP_T_RINGS, rings);
	if (buf->failed || kcd_conn_pass(call->conn, fd) < 0) {
		close(fd);
		kcd_call_reply(call, KC_ENOMEM, "too many descriptors wait to be read");
		return;
	}
	kcd_call_end(call);
}
