/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of a message's shape. All sets are masks, so a good message costs a few
 * comparisons; only a bad one pays for a sentence.
 */
#include "proto/message.h"

#include <stdio.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define MESSAGE_MAX KCP_STATS

static const struct kcp_message messages[MESSAGE_MAX + 1] = {
#define KCP_MESSAGE(msg, kinds, req, opt, one, bits, reply_req, reply_opt, reply_bits)             \
	[KCP_##msg] = {                                                                            \
		.type = KCP_##msg,                                                                 \
		.forms = (kinds) | (KCP_REQUEST & (kinds) ? KCP_REPLY : 0u),                       \
		.name = #msg,                                                                      \
		.sent = { .required = (req),                                                       \
			  .optional = (opt),                                                       \
			  .one_of = (one),                                                         \
			  .flags = (bits) },                                                       \
		.reply = { .required = (reply_req),                                                \
			   .optional = (reply_opt),                                                \
			   .flags = (reply_bits) },                                                \
	},
#define KCP_CONTAINER(name, req, opt)
#include "proto/messages.def"
#undef KCP_MESSAGE
#undef KCP_CONTAINER
};

static const struct {
	uint16_t type;
	struct kcp_shape shape;
} containers[] = {
#define KCP_MESSAGE(...)
#define KCP_CONTAINER(name, req, opt) { KCP_T_##name, { .required = (req), .optional = (opt) } },
#include "proto/messages.def"
#undef KCP_MESSAGE
#undef KCP_CONTAINER
};

/* TLVs whose number says that they may be skipped: nobody fails for meeting one */
#define SKIPPABLE                                                                                  \
	(KCP_TLV_BIT(KCP_T_FEATURES_OFFERED) | KCP_TLV_BIT(KCP_T_PROGRAM) |                        \
	 KCP_TLV_BIT(KCP_T_DETAIL))

const struct kcp_message *kcp_message_find(uint16_t type)
{
	return type <= MESSAGE_MAX && messages[type].name ? &messages[type] : NULL;
}

const char *kcp_message_name(uint16_t type)
{
	const struct kcp_message *msg = kcp_message_find(type);

	return msg ? msg->name : "?";
}

int kcp_header_form(const struct kcp_header *header, bool from_client)
{
	bool reply = header->flags & KCP_HF_REPLY;

	if (from_client) {
		if (reply)
			return KC_EPROTO;
		return header->id ? KCP_REQUEST : KCP_NOTICE;
	}
	if (reply != (header->id != 0))
		return KC_EPROTO;
	return reply ? KCP_REPLY : KCP_EVENT;
}

/* One sentence about the first TLV of a set. */
static int shape_fault(struct kcp_args *args, const char **ret_why, int code, uint64_t set,
		       const char *format, const char *where)
{
	uint16_t number = (uint16_t)__builtin_ctzll(set);
	const struct kcp_tlv_info *info = kcp_tlv_info(number);

	if (!info)
		info = kcp_tlv_info(number | KCP_TLV_OPTIONAL);
	if (ret_why) {
		snprintf(args->why, sizeof(args->why), "%s %s %s", info ? info->name : "?", format,
			 where);
		*ret_why = args->why;
	}
	return code;
}

/* Bounds of the numbers that are present. */
static int shape_check_numbers(struct kcp_args *args, const char *where, const char **ret_why)
{
	for (uint64_t left = args->present & ~SKIPPABLE; left; left &= left - 1) {
		uint16_t number = (uint16_t)__builtin_ctzll(left);
		const struct kcp_tlv_info *info = kcp_tlv_info(number);
		const struct kcp_arg *arg = &args->arg[number];

		if (info->form != KCP_FORM_U32 && info->form != KCP_FORM_U64)
			continue;
		if (arg->num < info->lo || arg->num > info->hi)
			return shape_fault(args, ret_why, KC_EINVAL, KCP_TLV_BIT(number),
					   "is out of its bounds in", where);
	}
	return 0;
}

static int shape_check(const struct kcp_shape *shape, uint64_t required, struct kcp_args *args,
		       const char *where, const char **ret_why)
{
	uint64_t extra = args->present & ~(required | shape->required | shape->optional |
					   shape->one_of | SKIPPABLE);
	uint64_t missing = required & ~args->present;
	uint64_t chosen = args->present & shape->one_of;

	if (extra)
		return shape_fault(args, ret_why, KC_EPROTO, extra, "has no place in", where);
	if (missing)
		return shape_fault(args, ret_why, KC_EPROTO, missing, "is missing in", where);
	if (shape->one_of && !chosen)
		return shape_fault(args, ret_why, KC_EPROTO, shape->one_of,
				   "(or what may stand for it) is missing in", where);
	if (chosen & (chosen - 1))
		return shape_fault(args, ret_why, KC_EPROTO, chosen & (chosen - 1),
				   "stands beside another that names the same in", where);
	if (kcp_num(args, KCP_T_FLAGS, 0) & ~(uint64_t)shape->flags)
		return shape_fault(args, ret_why, KC_EINVAL, KCP_TLV_BIT(KCP_T_FLAGS),
				   "has a bit that means nothing in", where);
	return shape_check_numbers(args, where, ret_why);
}

int kcp_message_check(const struct kcp_message *msg, struct kcp_args *args, enum kcp_form form,
		      const char **ret_why)
{
	const uint64_t result = KCP_TLV_BIT(KCP_T_RESULT);

	if (!(msg->forms & form)) {
		if (ret_why) {
			snprintf(args->why, sizeof(args->why), "%s cannot be %s", msg->name,
				 form == KCP_REQUEST  ? "a request"
				 : form == KCP_NOTICE ? "a notice"
				 : form == KCP_EVENT  ? "an event"
						      : "a reply");
			*ret_why = args->why;
		}
		return KC_EPROTO;
	}
	if (form != KCP_REPLY)
		return shape_check(&msg->sent, msg->sent.required, args, msg->name, ret_why);
	/* a failure need not tell what success would have */
	return shape_check(&msg->reply,
			   kcp_num(args, KCP_T_RESULT, KCP_OK) == KCP_OK
				   ? result | msg->reply.required
				   : result,
			   args, msg->name, ret_why);
}

int kcp_container_check(uint16_t type, struct kcp_args *args, const char **ret_why)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(containers); i++) {
		const struct kcp_shape *shape = &containers[i].shape;

		if (containers[i].type == type)
			return shape_check(shape, shape->required, args, kcp_tlv_name(type),
					   ret_why);
	}
	return KC_EPROTO;
}
