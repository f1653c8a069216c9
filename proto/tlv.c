/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLVs. The types are one table made from tlvs.def and indexed by number, so that
 * parsing costs one step per TLV however many there are.
 */
#include "proto/tlv.h"

#include <stdio.h>
#include <string.h>

#include "kcoro/error.h"
#include "proto/bytes.h"

#define TLV_NUMBER(type) ((type) & ~KCP_TLV_OPTIONAL)

static const struct kcp_tlv_info tlvs[KCP_TLV_KNOWN_MAX + 1] = {
#define KCP_TLV(name, form, ...)                                                                   \
	[TLV_NUMBER(KCP_T_##name)] = { KCP_T_##name, KCP_FORM_##form, false, __VA_ARGS__, #name },
#define KCP_TLV_REPEATED(name, form, ...)                                                          \
	[TLV_NUMBER(KCP_T_##name)] = { KCP_T_##name, KCP_FORM_##form, true, __VA_ARGS__, #name },
#include "proto/tlvs.def"
#undef KCP_TLV
#undef KCP_TLV_REPEATED
};

_Static_assert(KCP_TLV_KNOWN_MAX < 64, "a set of TLVs is a 64-bit mask");

const struct kcp_tlv_info *kcp_tlv_info(uint16_t type)
{
	uint16_t number = TLV_NUMBER(type);

	if (number > KCP_TLV_KNOWN_MAX || tlvs[number].form == KCP_FORM_NONE ||
	    tlvs[number].type != type)
		return NULL;
	return &tlvs[number];
}

const char *kcp_tlv_name(uint16_t type)
{
	const struct kcp_tlv_info *info = kcp_tlv_info(type);

	return info ? info->name : "?";
}

/* ---- writing --------------------------------------------------------------- */

static void tlv_head(uint8_t *place, uint16_t type, uint32_t len)
{
	kcp_store_u16(place, type);
	kcp_store_u16(place + 2, 0);
	kcp_store_u32(place + 4, len);
}

void kcp_put_head(struct kcp_buf *buf, uint16_t type, size_t len)
{
	uint8_t *place;

	if (len > UINT32_MAX) {
		if (!buf->failed)
			buf->failed = KC_EMSGSIZE;
		return;
	}
	place = kcp_buf_extend(buf, KCP_TLV_HEADER_SIZE);
	if (place)
		tlv_head(place, type, (uint32_t)len);
}

void kcp_put_u32(struct kcp_buf *buf, uint16_t type, uint32_t value)
{
	uint8_t *place = kcp_buf_extend(buf, KCP_TLV_HEADER_SIZE + 4);

	if (!place)
		return;
	tlv_head(place, type, 4);
	kcp_store_u32(place + KCP_TLV_HEADER_SIZE, value);
}

void kcp_put_u64(struct kcp_buf *buf, uint16_t type, uint64_t value)
{
	uint8_t *place = kcp_buf_extend(buf, KCP_TLV_HEADER_SIZE + 8);

	if (!place)
		return;
	tlv_head(place, type, 8);
	kcp_store_u64(place + KCP_TLV_HEADER_SIZE, value);
}

void kcp_put_bytes(struct kcp_buf *buf, uint16_t type, const void *data, size_t len)
{
	kcp_put_head(buf, type, len);
	kcp_buf_add(buf, data, len);
}

void kcp_put_text(struct kcp_buf *buf, uint16_t type, const char *text)
{
	const struct kcp_tlv_info *info = kcp_tlv_info(type);
	size_t len = text ? strlen(text) : 0;

	if (info && (type & KCP_TLV_OPTIONAL) && len > info->hi) {
		len = (size_t)info->hi;
		/* the byte cut off must not continue a character */
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	kcp_put_bytes(buf, type, text, len);
}

size_t kcp_tlv_begin(struct kcp_buf *buf, uint16_t type)
{
	size_t at = buf->len;

	kcp_put_head(buf, type, 0);
	return at;
}

void kcp_tlv_end(struct kcp_buf *buf, size_t at)
{
	kcp_tlv_end_extra(buf, at, 0);
}

void kcp_tlv_end_extra(struct kcp_buf *buf, size_t at, size_t extra_len)
{
	size_t len;

	if (buf->failed)
		return;
	len = buf->len - at - KCP_TLV_HEADER_SIZE + extra_len;
	if (len > UINT32_MAX)
		buf->failed = KC_EMSGSIZE;
	else
		kcp_store_u32(buf->data + at + 4, (uint32_t)len);
}

/* ---- walking --------------------------------------------------------------- */

void kcp_tlv_iter_init(struct kcp_tlv_iter *iter, const void *data, size_t len)
{
	iter->pos = data;
	iter->end = len ? iter->pos + len : iter->pos;
}

static int tlv_fault(const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return KC_EPROTO;
}

int kcp_tlv_next(struct kcp_tlv_iter *iter, struct kcp_tlv *ret, const char **ret_why)
{
	const uint8_t *pos = iter->pos;
	size_t left = (size_t)(iter->end - pos);
	uint32_t len;

	if (left == 0)
		return 0;
	if (left < KCP_TLV_HEADER_SIZE)
		return tlv_fault(ret_why, "the header of the last TLV is cut off");
	if (kcp_load_u16(pos + 2))
		return tlv_fault(ret_why, "the reserved field of a TLV is not 0");
	len = kcp_load_u32(pos + 4);
	if (len > left - KCP_TLV_HEADER_SIZE)
		return tlv_fault(ret_why, "a TLV is longer than what contains it");
	ret->type = kcp_load_u16(pos);
	ret->len = len;
	ret->data = pos + KCP_TLV_HEADER_SIZE;
	iter->pos = ret->data + len;
	return 1;
}

/* ---- parsing a sequence ---------------------------------------------------- */

static int args_fault(struct kcp_args *args, const char **ret_why, const char *name,
		      const char *why)
{
	snprintf(args->why, sizeof(args->why), "%s %s", name, why);
	return tlv_fault(ret_why, args->why);
}

static bool list_has_size(const struct kcp_tlv_info *info, uint32_t len, uint32_t entry)
{
	return len % entry == 0 && len / entry >= info->lo && len / entry <= info->hi;
}

static bool tlv_has_size(const struct kcp_tlv_info *info, uint32_t len)
{
	switch (info->form) {
	case KCP_FORM_U32:
		return len == 4;
	case KCP_FORM_U64:
		return len == 8;
	case KCP_FORM_BYTES:
	case KCP_FORM_TEXT:
		return list_has_size(info, len, 1);
	case KCP_FORM_U32S:
		return list_has_size(info, len, 4);
	case KCP_FORM_U64S:
		return list_has_size(info, len, 8);
	case KCP_FORM_PAIRS:
		return list_has_size(info, len, 16);
	default:
		return true;
	}
}

static void args_store(struct kcp_args *args, const struct kcp_tlv_info *info,
		       const struct kcp_tlv *tlv)
{
	struct kcp_arg *arg = &args->arg[TLV_NUMBER(info->type)];

	arg->data = tlv->data;
	arg->len = tlv->len;
	if (info->form == KCP_FORM_U32)
		arg->num = kcp_load_u32(tlv->data);
	else if (info->form == KCP_FORM_U64)
		arg->num = kcp_load_u64(tlv->data);
	args->present |= KCP_TLV_BIT(info->type);
}

int kcp_args_parse(struct kcp_args *ret, const void *data, size_t len, const char **ret_why)
{
	struct kcp_tlv_iter iter;
	struct kcp_tlv tlv;
	unsigned n = 0;
	int r;

	ret->present = 0;
	ret->data = data;
	ret->len = len;
	kcp_tlv_iter_init(&iter, data, len);
	while ((r = kcp_tlv_next(&iter, &tlv, ret_why)) > 0) {
		const struct kcp_tlv_info *info = kcp_tlv_info(tlv.type);

		if (++n > KCP_TLVS_MAX)
			return tlv_fault(ret_why, "more TLVs than a frame may hold");
		if (!info) {
			if (tlv.type & KCP_TLV_OPTIONAL)
				continue;
			snprintf(ret->why, sizeof(ret->why), "TLV 0x%04x is not known", tlv.type);
			return tlv_fault(ret_why, ret->why);
		}
		if (!tlv_has_size(info, tlv.len))
			return args_fault(ret, ret_why, info->name, "has the wrong size");
		if (!kcp_has(ret, tlv.type))
			args_store(ret, info, &tlv);
		else if (!info->repeated)
			return args_fault(ret, ret_why, info->name, "occurs twice");
	}
	return r;
}

size_t kcp_text(const struct kcp_args *args, uint16_t type, char *buf, size_t size)
{
	const struct kcp_arg *arg = kcp_get(args, type);
	size_t len = arg ? arg->len : 0;

	if (len > size - 1)
		len = size - 1;
	for (size_t i = 0; i < len; i++)
		buf[i] = arg->data[i] < 32 || arg->data[i] == 127 ? '?' : (char)arg->data[i];
	buf[len] = '\0';
	return len;
}

int kcp_args_each(const struct kcp_args *args, struct kcp_tlv_iter *iter, uint16_t type,
		  struct kcp_tlv *ret)
{
	if (!kcp_has(args, type))
		return 0;
	if (!iter->pos)
		kcp_tlv_iter_init(iter, args->data, args->len);
	while (kcp_tlv_next(iter, ret, NULL) > 0) {
		if (ret->type == type)
			return 1;
	}
	return 0;
}
