/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLVs: writing, walking, and parsing a whole sequence at once. PROTOCOL.md
 * section 3.
 *
 * kcp_args_parse() is what handlers see: after it every TLV has been checked for
 * bounds, size, duplicates and unknown types, and is found by its number without
 * a search. Nothing is copied: values point into the frame.
 */
#ifndef KCP_TLV_H
#define KCP_TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/wire.h"

/* ---- what is known about each type (tlvs.def) ------------------------------ */

enum kcp_tlv_form {
	KCP_FORM_NONE,  /* no such TLV */
	KCP_FORM_U32,   /* lo..hi are bounds of the value */
	KCP_FORM_U64,   /* the same */
	KCP_FORM_BYTES, /* lo..hi are bounds of the length */
	KCP_FORM_TEXT,  /* the same */
	KCP_FORM_U32S,  /* a list of u32; lo..hi are bounds of their number */
	KCP_FORM_U64S,  /* a list of u64, the same */
	KCP_FORM_PAIRS, /* a list of two u64, the same */
	KCP_FORM_TLVS,  /* a container */
};

struct kcp_tlv_info {
	uint16_t type; /* bit 15 included */
	uint8_t form;  /* enum kcp_tlv_form */
	bool repeated; /* may occur more than once */
	uint64_t lo;
	uint64_t hi;
	const char *name; /* "ATTACH" */
};

/* NULL if unknown; the number has to match with bit 15. */
const struct kcp_tlv_info *kcp_tlv_info(uint16_t type);

/* "ATTACH"; "?" if unknown. Never NULL. */
const char *kcp_tlv_name(uint16_t type);

/* ---- writing ----------------------------------------------------------------
 * Failures are the buffer's (kcp_buf.failed); kcp_frame_end() reports them.
 */

/* Only the 8 bytes in front of a value of len bytes. */
void kcp_put_head(struct kcp_buf *buf, uint16_t type, size_t len);

void kcp_put_u32(struct kcp_buf *buf, uint16_t type, uint32_t value);
void kcp_put_u64(struct kcp_buf *buf, uint16_t type, uint64_t value);
void kcp_put_bytes(struct kcp_buf *buf, uint16_t type, const void *data, size_t len);

/* A string. DETAIL and PROGRAM, which people read, are cut to what they may hold
 * (never inside a UTF-8 character); NULL is the empty string. */
void kcp_put_text(struct kcp_buf *buf, uint16_t type, const char *text);

/* A value of unknown length, such as a container: begin, write, end. */
size_t kcp_tlv_begin(struct kcp_buf *buf, uint16_t type);
void kcp_tlv_end(struct kcp_buf *buf, size_t at);

/* The same for a value of which so many bytes are not in the buffer. */
void kcp_tlv_end_extra(struct kcp_buf *buf, size_t at, size_t extra_len);

/* ---- walking ---------------------------------------------------------------- */

struct kcp_tlv {
	uint16_t type;
	uint32_t len;
	const uint8_t *data; /* points into the sequence */
};

struct kcp_tlv_iter {
	const uint8_t *pos;
	const uint8_t *end;
};

void kcp_tlv_iter_init(struct kcp_tlv_iter *iter, const void *data, size_t len);

/* 1 and the next TLV, 0 at the end, or KC_EPROTO (ret_why may be NULL; static text). */
int kcp_tlv_next(struct kcp_tlv_iter *iter, struct kcp_tlv *ret, const char **ret_why);

/* ---- parsing a sequence ------------------------------------------------------ */

struct kcp_arg {
	const uint8_t *data; /* points into the sequence */
	uint32_t len;
	uint64_t num; /* the value of U32 and U64 */
};

#define KCP_ARG_WHY_SIZE 128

/*
 * `present` says which entries of `arg` hold something; the rest is never
 * cleared (it would cost more than the parsing), so go through kcp_has() and its
 * kin. Of a repeated TLV the entry holds the first.
 */
struct kcp_args {
	uint64_t present;
	const uint8_t *data; /* the sequence itself, for kcp_args_each() */
	size_t len;
	struct kcp_arg arg[KCP_TLV_KNOWN_MAX + 1];
	char why[KCP_ARG_WHY_SIZE]; /* what ret_why points to after a failure */
};

#define KCP_TLV_BIT(type) (UINT64_C(1) << ((type) & ~KCP_TLV_OPTIONAL & 0x3fu))

/*
 * kcp_args_parse - parse the payload of a frame, or the value of a container
 * @ret_why: may be NULL; set on failure only: a sentence for people that names the
 *           TLV, valid as long as *ret
 *
 * Checks bounds, reserved fields, sizes, duplicates, unknown types (optional ones are
 * skipped) and the number of TLVs; not what the values mean nor what belongs to
 * the message (kcp_message_check()), and not the inside of lists, elements and
 * containers (values.h).
 *
 * Returns 0, or KC_EPROTO.
 */
int kcp_args_parse(struct kcp_args *ret, const void *data, size_t len, const char **ret_why);

static inline bool kcp_has(const struct kcp_args *args, uint16_t type)
{
	return args->present & KCP_TLV_BIT(type);
}

/* NULL if absent. */
static inline const struct kcp_arg *kcp_get(const struct kcp_args *args, uint16_t type)
{
	return kcp_has(args, type) ? &args->arg[type & ~KCP_TLV_OPTIONAL] : NULL;
}

static inline uint64_t kcp_num(const struct kcp_args *args, uint16_t type, uint64_t absent)
{
	return kcp_has(args, type) ? args->arg[type & ~KCP_TLV_OPTIONAL].num : absent;
}

/*
 * kcp_text - a text as a string
 * @buf, @size: size at least 1; always terminated, cut if too small
 *
 * Control characters (0 to 31, 127) become '?': texts end in logs and on terminals.
 * Absent gives "". Returns the length of the string.
 */
size_t kcp_text(const struct kcp_args *args, uint16_t type, char *buf, size_t size);

/* Walk a repeated TLV of a parsed sequence: start with a zeroed iterator; 1 and the next
 * one, or 0 at the end. */
int kcp_args_each(const struct kcp_args *args, struct kcp_tlv_iter *iter, uint16_t type,
		  struct kcp_tlv *ret);

#endif
