/* SPDX-License-Identifier: BSD-3-Clause */
/* TLVs: writing, walking, and what the parser refuses. */
#include "tests/lib/kct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"
#include "proto/tlv.h"

static int setup(void **state)
{
	struct kcp_buf *buf = malloc(sizeof(*buf));

	if (!buf)
		return -1;
	kcp_buf_init(buf, 1 << 20);
	*state = buf;
	return 0;
}

static int teardown(void **state)
{
	kcp_buf_done(*state);
	free(*state);
	return 0;
}

#define BUF_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* Parses what is in the buffer from an exact copy, so that a sanitizer sees each byte
 * read past the end. */
static int parse(struct kcp_buf *buf, const char **ret_why)
{
	uint8_t *copy = malloc(buf->len ? buf->len : 1);
	struct kcp_args args;
	static char why[KCP_ARG_WHY_SIZE];
	const char *reason = NULL;
	int r;

	assert_non_null(copy);
	if (buf->len)
		memcpy(copy, buf->data, buf->len);
	r = kcp_args_parse(&args, copy, buf->len, &reason);
	free(copy);
	assert_true((r != 0) == (reason != NULL));
	if (reason && ret_why) {
		snprintf(why, sizeof(why), "%s", reason);
		*ret_why = why;
	}
	return r;
}

static void parsed_values_are_those_written(void **state)
{
	struct kcp_buf *buf = *state;
	struct kcp_args args;
	const struct kcp_arg *arg;
	char text[16];

	kcp_put_u32(buf, KCP_T_ATTACH, 0xfedcba98);
	kcp_put_u64(buf, KCP_T_CHAN_ID, 0xfedcba9876543210);
	kcp_put_text(buf, KCP_T_NAME, "jobs");
	kcp_put_bytes(buf, KCP_T_TOKEN, "0123456789abcdef", 16);
	kcp_put_bytes(buf, KCP_T_ELEMENTS, NULL, 0);
	memset(&args, 0xaa, sizeof(args));
	assert_int_equal(kcp_args_parse(&args, buf->data, buf->len, NULL), 0);
	assert_true(kcp_has(&args, KCP_T_ATTACH));
	assert_false(kcp_has(&args, KCP_T_COUNT));
	assert_true(kcp_num(&args, KCP_T_ATTACH, 1) == 0xfedcba98);
	assert_true(kcp_num(&args, KCP_T_CHAN_ID, 1) == 0xfedcba9876543210);
	assert_int_equal(kcp_num(&args, KCP_T_COUNT, 256), 256);
	assert_null(kcp_get(&args, KCP_T_COUNT));
	arg = kcp_get(&args, KCP_T_TOKEN);
	assert_int_equal(arg->len, 16);
	assert_memory_equal(arg->data, "0123456789abcdef", 16);
	assert_int_equal(kcp_get(&args, KCP_T_ELEMENTS)->len, 0);
	assert_int_equal(kcp_text(&args, KCP_T_NAME, text, sizeof(text)), 4);
	assert_string_equal(text, "jobs");
}

static void nothing_parses_as_nothing(void **state)
{
	struct kcp_args args;
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_tlv tlv;

	assert_int_equal(kcp_args_parse(&args, NULL, 0, NULL), 0);
	assert_true(args.present == 0);
	assert_int_equal(kcp_args_each(&args, &iter, KCP_T_CHANNEL, &tlv), 0);
}

static void every_cut_of_a_sequence_is_refused_or_shorter(void **state)
{
	struct kcp_buf *buf = *state;
	size_t whole;

	kcp_put_u32(buf, KCP_T_ATTACH, 1);
	kcp_put_text(buf, KCP_T_NAME, "jobs");
	kcp_put_u64(buf, KCP_T_SPACE, 2);
	whole = buf->len;
	for (size_t len = 0; len <= whole; len++) {
		/* 12 and 24 are where one TLV ends and the next begins */
		int expected = len == 0 || len == 12 || len == 24 || len == whole ? 0 : KC_EPROTO;

		buf->len = len;
		assert_int_equal(parse(buf, NULL), expected);
	}
	buf->len = whole;
}

static void a_length_past_the_end_is_refused(void **state)
{
	static const uint32_t lengths[] = { 9, 10, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };

	for (size_t i = 0; i < KC_ARRAY_SIZE(lengths); i++) {
		struct kcp_buf *buf = *state;
		const char *why;

		kcp_buf_clear(buf);
		kcp_put_u64(buf, KCP_T_REQUEST, 1);
		kcp_store_u32(buf->data + 4, lengths[i]);
		assert_int_equal(parse(buf, &why), KC_EPROTO);
		assert_non_null(strstr(why, "longer"));
	}
}

static void the_reserved_field_is_checked(void **state)
{
	struct kcp_buf *buf = *state;
	const char *why;

	kcp_put_u64(buf, KCP_T_REQUEST, 1);
	buf->data[3] = 0x80;
	assert_int_equal(parse(buf, &why), KC_EPROTO);
	assert_non_null(strstr(why, "reserved"));
}

static void numbers_have_one_size(void **state)
{
	for (uint32_t n = 1; n <= KCP_TLV_KNOWN_MAX; n++) {
		const struct kcp_tlv_info *info = kcp_tlv_info((uint16_t)n);
		uint32_t size;

		if (!info)
			info = kcp_tlv_info((uint16_t)(n | KCP_TLV_OPTIONAL));
		assert_non_null(info);
		if (info->form != KCP_FORM_U32 && info->form != KCP_FORM_U64)
			continue;
		size = info->form == KCP_FORM_U32 ? 4 : 8;
		for (uint32_t len = 0; len <= 12; len++) {
			struct kcp_buf *buf = *state;
			const char *why = NULL;

			kcp_buf_clear(buf);
			kcp_put_bytes(buf, info->type, "\0\0\0\0\0\0\0\0\0\0\0", len);
			assert_int_equal(parse(buf, &why), len == size ? 0 : KC_EPROTO);
			/* the reason names the TLV */
			if (why)
				assert_ptr_equal(strstr(why, info->name), why);
		}
	}
}

/* A TLV of len bytes, all 0. */
static int parse_length(struct kcp_buf *buf, uint16_t type, size_t len)
{
	uint8_t *place;

	kcp_buf_clear(buf);
	kcp_put_head(buf, type, len);
	place = kcp_buf_extend(buf, len);
	assert_non_null(place);
	memset(place, 0, len);
	return parse(buf, NULL);
}

static void texts_bytes_and_lists_have_bounds(void **state)
{
	static const struct {
		uint16_t type;
		size_t len;
		int expected;
	} cases[] = {
		{ KCP_T_NAME, 0, KC_EPROTO },     { KCP_T_NAME, 1, 0 },
		{ KCP_T_NAME, 255, 0 },           { KCP_T_NAME, 256, KC_EPROTO },
		{ KCP_T_DETAIL, 0, 0 },           { KCP_T_DETAIL, 255, 0 },
		{ KCP_T_DETAIL, 256, KC_EPROTO }, { KCP_T_PROGRAM, 63, 0 },
		{ KCP_T_PROGRAM, 64, KC_EPROTO }, { KCP_T_TOKEN, 15, KC_EPROTO },
		{ KCP_T_TOKEN, 16, 0 },           { KCP_T_TOKEN, 17, KC_EPROTO },
		{ KCP_T_RANGES, 0, 0 },           { KCP_T_RANGES, 8, KC_EPROTO },
		{ KCP_T_RANGES, 16, 0 },          { KCP_T_RANGES, 24, KC_EPROTO },
		{ KCP_T_REQUESTS, 4, KC_EPROTO }, { KCP_T_REQUESTS, 24, 0 },
		{ KCP_T_REQUESTS, 65536 * 8, 0 }, { KCP_T_REQUESTS, 65537 * 8, KC_EPROTO },
		{ KCP_T_RANGES, 65536 * 15, 0 },  { KCP_T_DELIVERED_BEFORE, 12, 0 },
		{ KCP_T_ELEMENTS, 1, 0 },         { KCP_T_DELIVERED_BEFORE, 6, KC_EPROTO },
	};

	for (size_t i = 0; i < KC_ARRAY_SIZE(cases); i++)
		assert_int_equal(parse_length(*state, cases[i].type, cases[i].len),
				 cases[i].expected);
}

static void ranges_have_65536_entries_at_most(void **state)
{
	struct kcp_buf *buf = *state;

	kcp_buf_done(buf);
	kcp_buf_init(buf, 1 << 21);
	assert_int_equal(parse_length(buf, KCP_T_RANGES, KCP_RANGES_MAX * 16), 0);
	assert_int_equal(parse_length(buf, KCP_T_RANGES, (KCP_RANGES_MAX + 1) * 16), KC_EPROTO);
}

static void twice_is_refused_unless_repeated(void **state)
{
	for (uint32_t n = 1; n <= KCP_TLV_KNOWN_MAX; n++) {
		const struct kcp_tlv_info *info = kcp_tlv_info((uint16_t)n);
		struct kcp_buf *buf = *state;
		const char *why = NULL;
		size_t len;

		if (!info)
			info = kcp_tlv_info((uint16_t)(n | KCP_TLV_OPTIONAL));
		len = info->form == KCP_FORM_U32 ? 4 : 8;
		if (info->type == KCP_T_TOKEN)
			len = 16;
		if (info->form == KCP_FORM_PAIRS)
			len = 16;
		kcp_buf_clear(buf);
		kcp_put_bytes(buf, info->type, "................", len);
		kcp_put_bytes(buf, info->type, "................", len);
		assert_int_equal(parse(buf, &why), info->repeated ? 0 : KC_EPROTO);
		if (why)
			assert_non_null(strstr(why, "twice"));
	}
	assert_true(kcp_tlv_info(KCP_T_ATTACHMENT)->repeated);
	assert_true(kcp_tlv_info(KCP_T_CHANNEL)->repeated);
}

static void unknown_ones_are_refused_or_skipped_as_their_number_says(void **state)
{
	struct kcp_buf *buf = *state;
	struct kcp_args args;
	const char *why;

	kcp_put_bytes(buf, 0x8000 | (KCP_TLV_KNOWN_MAX + 1), "abc", 3);
	kcp_put_bytes(buf, 0xffff, "abc", 3);
	/* even twice, and even where the number without bit 15 is known */
	kcp_put_bytes(buf, 0xffff, "abc", 3);
	kcp_put_bytes(buf, KCP_T_ATTACH | KCP_TLV_OPTIONAL, "abc", 3);
	kcp_put_u32(buf, KCP_T_ATTACH, 7);
	assert_int_equal(kcp_args_parse(&args, buf->data, buf->len, NULL), 0);
	assert_true(args.present == KCP_TLV_BIT(KCP_T_ATTACH));
	assert_int_equal(kcp_num(&args, KCP_T_ATTACH, 0), 7);

	kcp_put_bytes(buf, KCP_TLV_KNOWN_MAX + 1, "abc", 3);
	assert_int_equal(parse(buf, &why), KC_EPROTO);
	assert_non_null(strstr(why, "0x002e"));
	kcp_buf_clear(buf);
	kcp_put_bytes(buf, KCP_T_DETAIL & ~KCP_TLV_OPTIONAL, "abc", 3);
	assert_int_equal(parse(buf, &why), KC_EPROTO);
	kcp_buf_clear(buf);
	kcp_put_bytes(buf, 0, NULL, 0);
	assert_int_equal(parse(buf, &why), KC_EPROTO);
}

static void there_is_a_limit_to_their_number(void **state)
{
	struct kcp_buf *buf = *state;
	const char *why;

	for (unsigned i = 0; i < KCP_TLVS_MAX; i++)
		kcp_put_head(buf, 0xfff0, 0);
	assert_int_equal(buf->failed, 0);
	assert_int_equal(parse(buf, NULL), 0);
	kcp_put_head(buf, 0xfff0, 0);
	assert_int_equal(parse(buf, &why), KC_EPROTO);
	assert_non_null(strstr(why, "more TLVs"));
}

static void repeated_ones_are_walked_in_order(void **state)
{
	struct kcp_buf *buf = *state;
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_args args, inner;
	struct kcp_tlv tlv;

	for (uint32_t i = 1; i <= 3; i++) {
		size_t at = kcp_tlv_begin(buf, KCP_T_ATTACHMENT);

		kcp_put_u32(buf, KCP_T_ATTACH, i);
		kcp_tlv_end(buf, at);
		kcp_put_u32(buf, 0xfff0, 0);
	}
	assert_int_equal(kcp_args_parse(&args, buf->data, buf->len, NULL), 0);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(kcp_args_each(&args, &iter, KCP_T_ATTACHMENT, &tlv), 1);
		assert_int_equal(kcp_args_parse(&inner, tlv.data, tlv.len, NULL), 0);
		assert_int_equal(kcp_num(&inner, KCP_T_ATTACH, 0), i);
	}
	assert_int_equal(kcp_args_each(&args, &iter, KCP_T_ATTACHMENT, &tlv), 0);
	/* the entry of a repeated one holds the first */
	assert_ptr_equal(kcp_get(&args, KCP_T_ATTACHMENT)->data, buf->data + 8);
}

static void texts_for_people_are_cut_between_characters(void **state)
{
	struct kcp_buf *buf = *state;
	char text[400];

	memset(text, 'x', sizeof(text));
	text[399] = '\0';
	kcp_put_text(buf, KCP_T_DETAIL, text);
	assert_int_equal(kcp_load_u32(buf->data + 4), 255);
	/* bytes 253 to 255 are one character: 253 bytes are left */
	memcpy(text + 253, "\xe2\x82\xac", 3);
	kcp_buf_clear(buf);
	kcp_put_text(buf, KCP_T_DETAIL, text);
	assert_int_equal(kcp_load_u32(buf->data + 4), 253);
	kcp_buf_clear(buf);
	kcp_put_text(buf, KCP_T_PROGRAM, NULL);
	assert_int_equal(kcp_load_u32(buf->data + 4), 0);
	assert_int_equal(parse(buf, NULL), 0);
}

static void control_characters_do_not_reach_terminals(void **state)
{
	struct kcp_buf *buf = *state;
	struct kcp_args args;
	char text[8];

	kcp_put_bytes(buf, KCP_T_DETAIL, "a\x1b[\0\x7f\nb\xc3\xa4", 9);
	assert_int_equal(kcp_args_parse(&args, buf->data, buf->len, NULL), 0);
	assert_int_equal(kcp_text(&args, KCP_T_DETAIL, text, sizeof(text)), 7);
	assert_string_equal(text, "a?[???b");
	assert_int_equal(kcp_text(&args, KCP_T_DETAIL, text, 1), 0);
	assert_string_equal(text, "");
	assert_int_equal(kcp_text(&args, KCP_T_NAME, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void a_container_that_fails_shows_in_the_buffer(void **state)
{
	struct kcp_buf *buf = *state;
	size_t at;

	kcp_buf_done(buf);
	kcp_buf_init(buf, 20);
	at = kcp_tlv_begin(buf, KCP_T_CHANNEL);
	kcp_put_u32(buf, KCP_T_KIND, 1);
	assert_int_equal(buf->failed, 0);
	kcp_put_u32(buf, KCP_T_UID, 1);
	kcp_tlv_end(buf, at);
	assert_int_equal(buf->failed, KC_EMSGSIZE);
	kcp_buf_clear(buf);
	kcp_put_head(buf, KCP_T_ELEMENTS, (size_t)UINT32_MAX + 1);
	assert_int_equal(buf->failed, KC_EMSGSIZE);
}

static void every_type_has_a_name(void **state)
{
	assert_string_equal(kcp_tlv_name(KCP_T_ATTACH), "ATTACH");
	assert_string_equal(kcp_tlv_name(KCP_T_DETAIL), "DETAIL");
	assert_string_equal(kcp_tlv_name(KCP_T_DETAIL & ~KCP_TLV_OPTIONAL), "?");
	assert_string_equal(kcp_tlv_name(0), "?");
	assert_string_equal(kcp_tlv_name(0x8000), "?");
	assert_string_equal(kcp_tlv_name(0xffff), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BUF_TEST(parsed_values_are_those_written),
		BUF_TEST(nothing_parses_as_nothing),
		BUF_TEST(every_cut_of_a_sequence_is_refused_or_shorter),
		BUF_TEST(a_length_past_the_end_is_refused),
		BUF_TEST(the_reserved_field_is_checked),
		BUF_TEST(numbers_have_one_size),
		BUF_TEST(texts_bytes_and_lists_have_bounds),
		BUF_TEST(ranges_have_65536_entries_at_most),
		BUF_TEST(twice_is_refused_unless_repeated),
		BUF_TEST(unknown_ones_are_refused_or_skipped_as_their_number_says),
		BUF_TEST(there_is_a_limit_to_their_number),
		BUF_TEST(repeated_ones_are_walked_in_order),
		BUF_TEST(texts_for_people_are_cut_between_characters),
		BUF_TEST(control_characters_do_not_reach_terminals),
		BUF_TEST(a_container_that_fails_shows_in_the_buffer),
		BUF_TEST(every_type_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
