/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Structured values. Every check is one pass over bytes that are in memory already
 * and allocates nothing, so a hostile list costs its sender as much as us.
 */
#include "proto/values.h"

#include "kcoro/error.h"

static int value_fault(const char **ret_why, int code, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return code;
}

/* ---- RANGES ---------------------------------------------------------------- */

int kcp_ranges_parse(struct kcp_ranges *ret, struct kcp_args *args, const char **ret_why)
{
	const struct kcp_arg *arg = kcp_get(args, KCP_T_RANGES);
	struct kcp_ranges ranges = { .data = arg ? arg->data : NULL,
				     .count = arg ? arg->len / 16 : 0 };
	uint64_t end = 0;

	for (uint32_t i = 0; i < ranges.count; i++) {
		struct kcp_range range = kcp_ranges_at(&ranges, i);

		if (!range.count)
			return value_fault(ret_why, KC_EPROTO, "RANGES holds an empty range");
		if (range.count > UINT64_MAX - range.first)
			return value_fault(ret_why, KC_EPROTO,
					   "RANGES holds a range past the last number");
		if (i > 0 && range.first <= end)
			return value_fault(ret_why, KC_EPROTO,
					   "RANGES must rise, and no two may touch");
		end = range.first + range.count;
	}
	*ret = ranges;
	return 0;
}

void kcp_put_range(struct kcp_buf *buf, uint64_t first, uint64_t count)
{
	kcp_buf_add_u64(buf, first);
	kcp_buf_add_u64(buf, count);
}

/* ---- REQUESTS -------------------------------------------------------------- */

int kcp_ids_parse(struct kcp_ids *ret, struct kcp_args *args, const char **ret_why)
{
	const struct kcp_arg *arg = kcp_get(args, KCP_T_REQUESTS);
	struct kcp_ids ids = { .data = arg ? arg->data : NULL, .count = arg ? arg->len / 8 : 0 };

	for (uint32_t i = 1; i < ids.count; i++) {
		if (kcp_ids_at(&ids, i) <= kcp_ids_at(&ids, i - 1))
			return value_fault(ret_why, KC_EPROTO, "REQUESTS must rise");
	}
	*ret = ids;
	return 0;
}

/* ---- ELEMENTS and DELIVERED_BEFORE ----------------------------------------- */

static int messages_count(const uint8_t *pos, const uint8_t *end, uint32_t *ret)
{
	uint32_t n = 0;

	while (pos < end) {
		size_t left = (size_t)(end - pos);
		uint32_t len;

		if (left < 4)
			return KC_EINVAL;
		len = kcp_load_u32(pos);
		if (len > left - 4)
			return KC_EINVAL;
		pos += 4 + (size_t)len;
		n++;
	}
	*ret = n;
	return 0;
}

int kcp_elems_parse(struct kcp_elems *ret, struct kcp_args *args, uint32_t elem_size,
		    const char **ret_why)
{
	const struct kcp_arg *arg = kcp_get(args, KCP_T_ELEMENTS);
	uint32_t count = 0;

	if (!arg || !arg->len)
		return value_fault(ret_why, KC_EINVAL, "ELEMENTS holds no element");
	if (elem_size) {
		if (arg->len % elem_size)
			return value_fault(ret_why, KC_EINVAL,
					   "ELEMENTS is no whole number of elements");
		count = arg->len / elem_size;
	} else if (messages_count(arg->data, arg->data + arg->len, &count)) {
		return value_fault(ret_why, KC_EINVAL,
				   "a message in ELEMENTS is longer than what is left of it");
	}
	*ret = (struct kcp_elems){
		.pos = arg->data,
		.end = arg->data + arg->len,
		.elem_size = elem_size,
		.count = count,
		.bytes = elem_size ? arg->len : arg->len - (uint64_t)count * 4,
	};
	return 0;
}

const uint8_t *kcp_elems_next(struct kcp_elems *elems, uint32_t *ret_len)
{
	const uint8_t *data = elems->pos;
	uint32_t len = elems->elem_size;

	if (data == elems->end)
		return NULL;
	if (!len) {
		len = kcp_load_u32(data);
		data += 4;
	}
	elems->pos = data + len;
	elems->count--;
	elems->bytes -= len;
	*ret_len = len;
	return data;
}

void kcp_put_message(struct kcp_buf *buf, const void *data, uint32_t len)
{
	kcp_buf_add_u32(buf, len);
	kcp_buf_add(buf, data, len);
}

uint32_t kcp_delivered_before(const struct kcp_args *args, uint32_t i)
{
	const struct kcp_arg *arg = kcp_get(args, KCP_T_DELIVERED_BEFORE);

	return arg && i < arg->len / 4 ? kcp_load_u32(arg->data + (size_t)i * 4) : 0;
}

/* ---- STATISTICS ------------------------------------------------------------ */

void kcp_put_stats(struct kcp_buf *buf, const uint64_t stats[KCP_STAT_MAX + 1])
{
	size_t at = kcp_tlv_begin(buf, KCP_T_STATISTICS);

	for (uint16_t i = 1; i <= KCP_STAT_MAX; i++) {
		if (stats[i])
			kcp_put_u64(buf, i, stats[i]);
	}
	kcp_tlv_end(buf, at);
}

int kcp_stats_parse(uint64_t ret[KCP_STAT_MAX + 1], struct kcp_args *args, const char **ret_why)
{
	const struct kcp_arg *arg = kcp_get(args, KCP_T_STATISTICS);
	uint64_t stats[KCP_STAT_MAX + 1] = { 0 };
	uint64_t seen = 0;
	struct kcp_tlv_iter iter;
	struct kcp_tlv tlv;
	int r;

	kcp_tlv_iter_init(&iter, arg ? arg->data : NULL, arg ? arg->len : 0);
	while ((r = kcp_tlv_next(&iter, &tlv, ret_why)) > 0) {
		if (tlv.type == 0 || tlv.type > KCP_STAT_MAX)
			continue;
		if (tlv.len != 8)
			return value_fault(ret_why, KC_EPROTO,
					   "a number in STATISTICS has the wrong size");
		if (seen & (UINT64_C(1) << tlv.type))
			return value_fault(ret_why, KC_EPROTO,
					   "a number in STATISTICS occurs twice");
		seen |= UINT64_C(1) << tlv.type;
		stats[tlv.type] = kcp_load_u64(tlv.data);
	}
	if (r < 0)
		return r;
	memcpy(ret, stats, sizeof(stats));
	return 0;
}
