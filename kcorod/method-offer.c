/* SPDX-License-Identifier: BSD-3-Clause */
/* CLAIM and DECLINE: what a client makes of an offer. */
#include "kcorod/dispatch.h"
#include "kcoro/error.h"

void kcd_do_claim(struct kcd_call *call)
{
	struct kcd_request *req = kcd_request_find(call->session,
						   kcp_num(call->args, KCP_T_REQUEST, 0));

	/* Too late, or never offered: whatever became of the request is told by its reply. */
	if (!req || !req->waiting || !req->attachment || req->claim) {
		kcd_call_reply(call, KC_EAGAIN, NULL);
		return;
	}
	switch (kcd_wait_claim(&req->wait)) {
	case KCD_CLAIM_OK:
		kcd_call_reply(call, 0, NULL);
		break;
	case KCD_CLAIM_AGAIN:
		kcd_call_reply(call, KC_EAGAIN, NULL);
		break;
	case KCD_CLAIM_PENDING:
		req->claim = call->req;
		call->req->claimed = req;
		call->req->waiting = true;
		kcd_list_append(&call->session->waiting, &call->req->link);
		break;
	}
}

void kcd_do_decline(struct kcd_call *call)
{
	kcd_do_cancel(call);
}
