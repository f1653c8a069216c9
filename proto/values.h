/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values with a structure of their own: sets of deliveries, lists of request ids,
 * elements, statistics. Each is checked whole before any of it is used, then read
 * in place. A set or list that exists is one that was checked.
 */
#ifndef KCP_VALUES_H
#define KCP_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/tlv.h"

/* ---- RANGES ------------------------------------------------------------------
 * To write: kcp_tlv_begin(), kcp_put_range() for each in rising order, kcp_tlv_end().
 */

struct kcp_range {
	uint64_t first;
	uint64_t count; /* not 0; first + count does not overflow */
};

struct kcp_ranges {
	const uint8_t *data;
	uint32_t count;
};

/* The RANGES of a sequence; absent is the empty set. Returns 0, or KC_EPROTO. */
int kcp_ranges_parse(struct kcp_ranges *ret, struct kcp_args *args, const char **ret_why);

static inline struct kcp_range kcp_ranges_at(const struct kcp_ranges *ranges, uint32_t i)
{
	return (struct kcp_range){ .first = kcp_load_u64(ranges->data + (size_t)i * 16),
				   .count = kcp_load_u64(ranges->data + (size_t)i * 16 + 8) };
}

void kcp_put_range(struct kcp_buf *buf, uint64_t first, uint64_t count);

/* ---- REQUESTS ----------------------------------------------------------------
 * To write: kcp_tlv_begin(), kcp_buf_add_u64() for each in rising order, kcp_tlv_end().
 */

struct kcp_ids {
	const uint8_t *data;
	uint32_t count;
};

/* The REQUESTS of a sequence; absent is the empty list. Returns 0, or KC_EPROTO. */
int kcp_ids_parse(struct kcp_ids *ret, struct kcp_args *args, const char **ret_why);

static inline uint64_t kcp_ids_at(const struct kcp_ids *ids, uint32_t i)
{
	return kcp_load_u64(ids->data + (size_t)i * 8);
}

/* ---- ELEMENTS and DELIVERED_BEFORE -------------------------------------------- */

struct kcp_elems {
	const uint8_t *pos;
	const uint8_t *end;
	uint32_t elem_size; /* 0: messages */
	uint32_t count;     /* elements from pos on */
	uint64_t bytes;     /* of elements alone, from pos on */
};

/*
 * kcp_elems_parse - check ELEMENTS and stand in front of the first one
 * @elem_size: of the channel; 0 for messages
 *
 * Returns 0, or KC_EINVAL: absent, empty, or no whole number of elements. Messages may be
 * of any length that fits the frame: MAX_MSG is the channel's business.
 */
int kcp_elems_parse(struct kcp_elems *ret, struct kcp_args *args, uint32_t elem_size,
		    const char **ret_why);

/* Take the next element; NULL at the end. */
const uint8_t *kcp_elems_next(struct kcp_elems *elems, uint32_t *ret_len);

/* One message inside ELEMENTS that was begun with kcp_tlv_begin(): its length, then len
 * bytes. (Fixed elements are just bytes.) */
void kcp_put_message(struct kcp_buf *buf, const void *data, uint32_t len);

/* DELIVERED_BEFORE of the i-th element, 0 if absent or shorter. */
uint32_t kcp_delivered_before(const struct kcp_args *args, uint32_t i);

/* ---- STATISTICS ---------------------------------------------------------------- */

/* Indexed by enum kcp_stat. Zeros are left out on the wire. */
void kcp_put_stats(struct kcp_buf *buf, const uint64_t stats[KCP_STAT_MAX + 1]);

/* The STATISTICS of a sequence; what is absent is 0, what is unknown is skipped.
 * Returns 0, or KC_EPROTO (ret is then not written). */
int kcp_stats_parse(uint64_t ret[KCP_STAT_MAX + 1], struct kcp_args *args, const char **ret_why);

#endif
