/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame header. Fields are named by their offset in PROTOCOL.md section 2, not
 * by a struct laid over the bytes: no padding, alignment or byte order of a
 * compiler gets near the wire.
 */
#include "proto/frame.h"

#include "kcoro/error.h"
#include "proto/bytes.h"

#define AT_MAGIC 0
#define AT_VERSION 2
#define AT_FLAGS 3
#define AT_TYPE 4
#define AT_RESERVED 6
#define AT_LENGTH 8
#define AT_RESERVED2 12
#define AT_ID 16
#define AT_SEQ 24

void kcp_header_encode(const struct kcp_header *header, uint8_t ret[KCP_HEADER_SIZE])
{
	kcp_store_u16(ret + AT_MAGIC, KCP_MAGIC);
	ret[AT_VERSION] = KCP_VERSION;
	ret[AT_FLAGS] = header->flags;
	kcp_store_u16(ret + AT_TYPE, header->type);
	kcp_store_u16(ret + AT_RESERVED, 0);
	kcp_store_u32(ret + AT_LENGTH, header->length);
	kcp_store_u32(ret + AT_RESERVED2, 0);
	kcp_store_u64(ret + AT_ID, header->id);
	kcp_store_u64(ret + AT_SEQ, header->seq);
}

static int header_fault(const char **ret_why, int code, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return code;
}

int kcp_header_decode(const uint8_t data[KCP_HEADER_SIZE], uint32_t max_frame,
		      struct kcp_header *ret, const char **ret_why)
{
	uint32_t length = kcp_load_u32(data + AT_LENGTH);

	if (kcp_load_u16(data + AT_MAGIC) != KCP_MAGIC)
		return header_fault(ret_why, KC_EPROTO,
				    "no kcoro frame: it does not begin with the magic number");
	if (data[AT_VERSION] != KCP_VERSION)
		return header_fault(ret_why, KC_EPROTO, "frame of another protocol version");
	if (data[AT_FLAGS] & ~KCP_HF_REPLY)
		return header_fault(ret_why, KC_EPROTO, "unknown flag in the frame header");
	if (kcp_load_u16(data + AT_RESERVED) || kcp_load_u32(data + AT_RESERVED2))
		return header_fault(ret_why, KC_EPROTO,
				    "a reserved field of the frame header is not 0");
	if (max_frame < KCP_HEADER_SIZE || length > max_frame - KCP_HEADER_SIZE)
		return header_fault(ret_why, KC_EMSGSIZE,
				    "frame longer than the MAX_FRAME of this side");

	ret->flags = data[AT_FLAGS];
	ret->type = kcp_load_u16(data + AT_TYPE);
	ret->length = length;
	ret->id = kcp_load_u64(data + AT_ID);
	ret->seq = kcp_load_u64(data + AT_SEQ);
	return 0;
}

size_t kcp_frame_begin(struct kcp_buf *buf, uint16_t type, uint8_t flags, uint64_t id, uint64_t seq)
{
	const struct kcp_header header = { .flags = flags, .type = type, .id = id, .seq = seq };
	size_t at = buf->len;
	uint8_t *place = kcp_buf_extend(buf, KCP_HEADER_SIZE);

	if (place)
		kcp_header_encode(&header, place);
	return at;
}

int kcp_frame_end(struct kcp_buf *buf, size_t at)
{
	return kcp_frame_end_extra(buf, at, 0);
}

int kcp_frame_end_extra(struct kcp_buf *buf, size_t at, size_t extra_len)
{
	int r = buf->failed;
	size_t length = r ? 0 : buf->len - at - KCP_HEADER_SIZE;

	if (!r && (extra_len > UINT32_MAX - KCP_HEADER_SIZE ||
		   length > UINT32_MAX - KCP_HEADER_SIZE - extra_len))
		r = KC_EMSGSIZE;
	if (r) {
		kcp_buf_truncate(buf, at);
		return r;
	}
	kcp_store_u32(buf->data + at + AT_LENGTH, (uint32_t)(length + extra_len));
	return 0;
}
