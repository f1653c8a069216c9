/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The codec against the golden vectors, one case per vector: written from the
 * fields a frame must come out byte for byte, and read from the bytes the fields
 * must come back.
 */
#include "tests/lib/kct.h"

#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "proto/message.h"
#include "proto/values.h"
#include "tests/lib/golden.h"

/* ---- fields to bytes ---------------------------------------------------------- */

static size_t put_fields(struct kcp_buf *buf, const struct kct_vector *v, size_t i, unsigned depth);

static void put_list(struct kcp_buf *buf, const struct kct_field *f)
{
	size_t at = kcp_tlv_begin(buf, f->type);

	for (size_t i = 0; i < f->count; i++) {
		if (f->form == KCP_FORM_U32S)
			kcp_buf_add_u32(buf, (uint32_t)f->list[i]);
		else
			kcp_buf_add_u64(buf, f->list[i]);
	}
	kcp_tlv_end(buf, at);
}

static void put_statistics(struct kcp_buf *buf, const struct kct_vector *v, size_t first,
			   size_t end)
{
	uint64_t stats[KCP_STAT_MAX + 1] = { 0 };

	for (size_t i = first; i < end; i++)
		stats[v->fields[i].type] = v->fields[i].list[0];
	kcp_put_stats(buf, stats);
}

/* Returns the index of the field after this one and all inside it. */
static size_t put_field(struct kcp_buf *buf, const struct kct_vector *v, size_t i)
{
	const struct kct_field *f = &v->fields[i];
	size_t at, end;

	switch (f->form) {
	case KCP_FORM_U32:
		kcp_put_u32(buf, f->type, (uint32_t)f->list[0]);
		return i + 1;
	case KCP_FORM_U64:
		kcp_put_u64(buf, f->type, f->list[0]);
		return i + 1;
	case KCP_FORM_TEXT:
		/* the reader leaves room for one more byte */
		f->data[f->len] = '\0';
		kcp_put_text(buf, f->type, (const char *)f->data);
		return i + 1;
	case KCP_FORM_BYTES:
		kcp_put_bytes(buf, f->type, f->data, f->len);
		return i + 1;
	case KCP_FORM_TLVS:
		if (f->type == KCP_T_STATISTICS) {
			for (end = i + 1; end < v->n_fields && v->fields[end].depth > f->depth;)
				end++;
			put_statistics(buf, v, i + 1, end);
			return end;
		}
		at = kcp_tlv_begin(buf, f->type);
		end = put_fields(buf, v, i + 1, f->depth + 1);
		kcp_tlv_end(buf, at);
		return end;
	default:
		put_list(buf, f);
		return i + 1;
	}
}

static size_t put_fields(struct kcp_buf *buf, const struct kct_vector *v, size_t i, unsigned depth)
{
	while (i < v->n_fields && v->fields[i].depth >= depth)
		i = put_field(buf, v, i);
	return i;
}

static void encode_and_compare(const struct kct_vector *v)
{
	struct kcp_buf buf;
	size_t at;

	kcp_buf_init(&buf, KCP_FRAME_DEFAULT);
	at = kcp_frame_begin(&buf, v->type, v->form == KCP_REPLY ? KCP_HF_REPLY : 0, v->id, v->seq);
	put_fields(&buf, v, 0, 0);
	assert_int_equal(kcp_frame_end(&buf, at), 0);
	assert_int_equal(buf.len, v->len);
	assert_memory_equal(buf.data, v->frame, v->len);
	kcp_buf_done(&buf);
}

/* ---- bytes to fields ---------------------------------------------------------- */

static void check_list(struct kcp_args *args, const struct kct_field *f)
{
	struct kcp_ranges ranges;
	struct kcp_ids ids;

	if (f->type == KCP_T_RANGES) {
		assert_int_equal(kcp_ranges_parse(&ranges, args, NULL), 0);
		assert_int_equal(ranges.count, f->count / 2);
		for (uint32_t i = 0; i < ranges.count; i++) {
			assert_true(kcp_ranges_at(&ranges, i).first == f->list[(size_t)i * 2]);
			assert_true(kcp_ranges_at(&ranges, i).count == f->list[(size_t)i * 2 + 1]);
		}
	} else if (f->type == KCP_T_REQUESTS) {
		assert_int_equal(kcp_ids_parse(&ids, args, NULL), 0);
		assert_int_equal(ids.count, f->count);
		for (uint32_t i = 0; i < ids.count; i++)
			assert_true(kcp_ids_at(&ids, i) == f->list[i]);
	} else {
		assert_int_equal(f->type, KCP_T_DELIVERED_BEFORE);
		assert_int_equal(kcp_get(args, f->type)->len, f->count * 4);
		for (uint32_t i = 0; i < f->count; i++)
			assert_int_equal(kcp_delivered_before(args, i), f->list[i]);
	}
}

static size_t check_statistics(struct kcp_args *args, const struct kct_vector *v, size_t i,
			       unsigned depth)
{
	uint64_t stats[KCP_STAT_MAX + 1];

	assert_int_equal(kcp_stats_parse(stats, args, NULL), 0);
	for (; i < v->n_fields && v->fields[i].depth > depth; i++) {
		assert_true(stats[v->fields[i].type] == v->fields[i].list[0]);
		stats[v->fields[i].type] = 0;
	}
	for (unsigned s = 0; s <= KCP_STAT_MAX; s++)
		assert_int_equal(stats[s], 0);
	return i;
}

/* The fields from i on at this depth against a parsed sequence; returns the next. */
static size_t check_fields(struct kcp_args *args, const struct kct_vector *v, size_t i,
			   unsigned depth)
{
	struct kcp_tlv_iter each[KCP_TLV_KNOWN_MAX + 1] = { 0 };
	uint64_t seen = 0;

	while (i < v->n_fields && v->fields[i].depth >= depth) {
		const struct kct_field *f = &v->fields[i++];
		const struct kcp_arg *arg = kcp_get(args, f->type);
		struct kcp_args inner;
		struct kcp_tlv tlv;

		assert_non_null(arg);
		seen |= KCP_TLV_BIT(f->type);
		if (f->form == KCP_FORM_U32 || f->form == KCP_FORM_U64) {
			assert_true(arg->num == f->list[0]);
		} else if (f->form == KCP_FORM_TEXT || f->form == KCP_FORM_BYTES) {
			assert_int_equal(arg->len, f->len);
			if (f->len)
				assert_memory_equal(arg->data, f->data, f->len);
		} else if (f->type == KCP_T_STATISTICS) {
			i = check_statistics(args, v, i, f->depth);
		} else if (f->form == KCP_FORM_TLVS) {
			assert_int_equal(kcp_args_each(args, &each[f->type], f->type, &tlv), 1);
			assert_int_equal(kcp_args_parse(&inner, tlv.data, tlv.len, NULL), 0);
			assert_int_equal(kcp_container_check(f->type, &inner, NULL), 0);
			i = check_fields(&inner, v, i, f->depth + 1);
		} else {
			check_list(args, f);
		}
	}
	/* and nothing else is there */
	assert_true(args->present == seen);
	return i;
}

static void decode_and_compare(const struct kct_vector *v)
{
	const char *why = "";
	struct kcp_header header;
	struct kcp_args args;

	assert_int_equal(kcp_header_decode(v->frame, KCP_FRAME_DEFAULT, &header, &why), 0);
	assert_int_equal(header.type, v->type);
	assert_true(header.id == v->id);
	assert_true(header.seq == v->seq);
	assert_int_equal(header.length, v->len - KCP_HEADER_SIZE);
	assert_int_equal(kcp_header_form(&header, v->form & (KCP_REQUEST | KCP_NOTICE)), v->form);
	if (kcp_args_parse(&args, v->frame + KCP_HEADER_SIZE, header.length, &why) ||
	    kcp_message_check(kcp_message_find(v->type), &args, v->form, &why))
		fail_msg("%s", why);
	assert_int_equal(check_fields(&args, v, 0, 0), v->n_fields);
}

static void vector_holds(void **state)
{
	const struct kct_vector *v = *state;

	assert_true(v->len >= KCP_HEADER_SIZE);
	encode_and_compare(v);
	decode_and_compare(v);
}

int main(void)
{
	struct kct_golden golden = { 0 };
	struct CMUnitTest *tests;
	int r;

	if (kct_golden_load_all(&golden))
		return 1;
	tests = calloc(golden.count, sizeof(*tests));
	if (!tests)
		return 1;
	for (size_t i = 0; i < golden.count; i++)
		tests[i] = (struct CMUnitTest){ .name = golden.vectors[i].name,
						.test_func = vector_holds,
						.initial_state = &golden.vectors[i] };
	r = _cmocka_run_group_tests("golden", tests, golden.count, NULL, NULL);
	free(tests);
	kct_golden_done(&golden);
	return r;
}
