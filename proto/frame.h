/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: 32 bytes of header, then TLVs. PROTOCOL.md section 2.
 *
 *	size_t at = kcp_frame_begin(buf, KCP_SEND, 0, id, seq);
 *	kcp_put_u32(buf, KCP_T_ATTACH, attach);
 *	kcp_put_bytes(buf, KCP_T_ELEMENTS, data, len);
 *	r = kcp_frame_end(buf, at);
 *
 * or, when the elements need not be copied, they go last and from where they are:
 *
 *	kcp_put_head(buf, KCP_T_ELEMENTS, len);
 *	r = kcp_frame_end_extra(buf, at, len);
 *	iov = { { buf->data + at, buf->len - at }, { data, len } };
 */
#ifndef KCP_FRAME_H
#define KCP_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/wire.h"

struct kcp_header {
	uint8_t flags; /* KCP_HF_ */
	uint16_t type; /* any number: kcp_message_find() knows those that exist */
	uint32_t length;
	uint64_t id;
	uint64_t seq;
};

void kcp_header_encode(const struct kcp_header *header, uint8_t ret[KCP_HEADER_SIZE]);

/*
 * kcp_header_decode - read and check the 32 bytes of a header
 * @max_frame: the largest frame this side accepts, header included
 * @ret_why:   may be NULL; set on failure only: a static sentence for people
 *
 * Returns 0, KC_EPROTO (magic, version, reserved bits or fields), or KC_EMSGSIZE
 * (longer than max_frame).
 */
int kcp_header_decode(const uint8_t data[KCP_HEADER_SIZE], uint32_t max_frame,
		      struct kcp_header *ret, const char **ret_why);

/* Starts a frame at the buffer's end; the result names it to kcp_frame_end(). */
size_t kcp_frame_begin(struct kcp_buf *buf, uint16_t type, uint8_t flags, uint64_t id,
		       uint64_t seq);

/*
 * kcp_frame_end - fill in the length
 *
 * Returns 0, or what the buffer failed with since kcp_frame_begin(); then the
 * frame is gone, and the buffer usable and as it was before it.
 */
int kcp_frame_end(struct kcp_buf *buf, size_t at);

/* The same for a frame whose last extra_len bytes are not in the buffer; KC_EMSGSIZE if
 * the whole then has no 32-bit length. The buffer's max does not see these bytes. */
int kcp_frame_end_extra(struct kcp_buf *buf, size_t at, size_t extra_len);

#endif
