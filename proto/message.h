/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages: who may send which, in what form, with which TLVs. The table is
 * messages.def, PROTOCOL.md section 6 in code; both sides check against it, so a
 * handler meets only frames of the right shape.
 */
#ifndef KCP_MESSAGE_H
#define KCP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/tlv.h"

enum kcp_form {
	KCP_REQUEST = 1, /* of a client, id not 0, gets one reply */
	KCP_NOTICE = 2,  /* of a client, id 0 */
	KCP_EVENT = 4,   /* of the daemon, id 0 */
	KCP_REPLY = 8,   /* of the daemon, to the request of the same id */
};

/* Sets of TLVs are masks of KCP_TLV_BIT(). */
struct kcp_shape {
	uint64_t required; /* in a reply: when RESULT is OK */
	uint64_t optional;
	uint64_t one_of; /* exactly one of these; 0: no such rule */
	uint32_t flags;  /* bits that KCP_T_FLAGS may have */
};

struct kcp_message {
	uint16_t type;
	unsigned forms; /* of enum kcp_form */
	const char *name;
	struct kcp_shape sent; /* as request, notice or event */
	struct kcp_shape reply;
};

/* NULL if there is no such message. */
const struct kcp_message *kcp_message_find(uint16_t type);

/* "SEND"; "?" if there is no such message. Never NULL. */
const char *kcp_message_name(uint16_t type);

/*
 * kcp_header_form - what a frame is, by its header alone
 *
 * Returns an enum kcp_form, or KC_EPROTO: a reply from a client, a reply to nothing, or
 * an id on a frame of the daemon that is no reply.
 */
int kcp_header_form(const struct kcp_header *header, bool from_client);

/*
 * kcp_message_check - does this message, in this form, have these TLVs?
 * @args:    as parsed; known TLVs that are optional to know are allowed anywhere
 * @ret_why: may be NULL; set on failure only: a sentence that names the TLV, valid as
 *           long as *args
 *
 * Returns 0, KC_EPROTO (the form does not exist, a TLV is missing or has no place here), or
 * KC_EINVAL (a number outside the bounds of its TLV, a bit in FLAGS that means nothing
 * here). Names and the inside of lists are left to name.h and values.h.
 */
int kcp_message_check(const struct kcp_message *msg, struct kcp_args *args, enum kcp_form form,
		      const char **ret_why);

/* The same for the TLVs inside KCP_T_ATTACHMENT or KCP_T_CHANNEL. */
int kcp_container_check(uint16_t type, struct kcp_args *args, const char **ret_why);

#endif
