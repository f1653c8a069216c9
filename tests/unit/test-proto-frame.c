/* SPDX-License-Identifier: BSD-3-Clause */
/* Frame headers, and frames built in a buffer. */
#include "tests/lib/kct.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/tlv.h"

static const struct kcp_header some_header = {
	.flags = KCP_HF_REPLY,
	.type = 0x1234,
	.length = 0x01020304,
	.id = 0x1122334455667788,
	.seq = 0x99aabbccddeeff00,
};

static const uint8_t some_bytes[KCP_HEADER_SIZE] = {
	0x4b, 0x43, 0x01, 0x01, 0x34, 0x12, 0x00, 0x00, 0x04, 0x03, 0x02,
	0x01, 0x00, 0x00, 0x00, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
	0x22, 0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
};

static void a_header_has_the_bytes_of_the_document(void **state)
{
	uint8_t bytes[KCP_HEADER_SIZE];
	struct kcp_header header;
	const char *why = NULL;

	kcp_header_encode(&some_header, bytes);
	assert_memory_equal(bytes, some_bytes, sizeof(bytes));
	assert_int_equal(kcp_header_decode(bytes, UINT32_MAX, &header, &why), 0);
	assert_null(why);
	assert_int_equal(header.flags, some_header.flags);
	assert_int_equal(header.type, some_header.type);
	assert_int_equal(header.length, some_header.length);
	assert_true(header.id == some_header.id);
	assert_true(header.seq == some_header.seq);
}

static void every_bit_that_must_not_be_is_refused(void **state)
{
	/* all of magic and version, the other flags, both reserved fields */
	static const struct {
		size_t at;
		uint8_t bits;
	} fixed[] = { { 0, 0xff }, { 1, 0xff },  { 2, 0xff },  { 3, 0xfe },  { 6, 0xff },
		      { 7, 0xff }, { 12, 0xff }, { 13, 0xff }, { 14, 0xff }, { 15, 0xff } };

	for (size_t i = 0; i < KC_ARRAY_SIZE(fixed); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t bytes[KCP_HEADER_SIZE];
			struct kcp_header header = { .id = 77 };
			const char *why = NULL;

			if (!(fixed[i].bits & (1u << bit)))
				continue;
			memcpy(bytes, some_bytes, sizeof(bytes));
			bytes[fixed[i].at] ^= (uint8_t)(1u << bit);
			assert_int_equal(kcp_header_decode(bytes, UINT32_MAX, &header, &why),
					 KC_EPROTO);
			assert_non_null(why);
			/* written only on success */
			assert_int_equal(header.id, 77);
		}
	}
}

static void a_frame_may_be_max_frame_long_and_no_longer(void **state)
{
	uint8_t bytes[KCP_HEADER_SIZE];
	struct kcp_header header = { .length = 100 };
	const char *why = NULL;

	kcp_header_encode(&header, bytes);
	assert_int_equal(kcp_header_decode(bytes, 132, &header, NULL), 0);
	assert_int_equal(kcp_header_decode(bytes, 131, &header, &why), KC_EMSGSIZE);
	assert_non_null(why);
	assert_int_equal(kcp_header_decode(bytes, 0, &header, NULL), KC_EMSGSIZE);
	header.length = UINT32_MAX;
	kcp_header_encode(&header, bytes);
	/* 32 + 2^32 - 1 does not wrap */
	assert_int_equal(kcp_header_decode(bytes, UINT32_MAX, &header, NULL), KC_EMSGSIZE);
}

static void frames_follow_each_other_in_one_buffer(void **state)
{
	struct kcp_buf buf;
	struct kcp_header header;
	size_t first, second;

	kcp_buf_init(&buf, 4096);
	first = kcp_frame_begin(&buf, KCP_PING, 0, 5, 6);
	assert_int_equal(kcp_frame_end(&buf, first), 0);
	second = kcp_frame_begin(&buf, KCP_CANCEL, 0, 7, 8);
	kcp_put_u64(&buf, KCP_T_REQUEST, 5);
	assert_int_equal(kcp_frame_end(&buf, second), 0);
	assert_int_equal(first, 0);
	assert_int_equal(second, KCP_HEADER_SIZE);
	assert_int_equal(buf.len, 2 * KCP_HEADER_SIZE + 16);
	assert_int_equal(kcp_header_decode(buf.data, 4096, &header, NULL), 0);
	assert_int_equal(header.type, KCP_PING);
	assert_int_equal(header.length, 0);
	assert_int_equal(kcp_header_decode(buf.data + second, 4096, &header, NULL), 0);
	assert_int_equal(header.type, KCP_CANCEL);
	assert_int_equal(header.length, 16);
	assert_int_equal(header.id, 7);
	assert_int_equal(header.seq, 8);
	kcp_buf_done(&buf);
}

static void a_frame_that_fails_leaves_those_before_it(void **state)
{
	struct kcp_buf buf;
	size_t at;

	kcp_buf_init(&buf, 100);
	at = kcp_frame_begin(&buf, KCP_PING, 0, 1, 0);
	assert_int_equal(kcp_frame_end(&buf, at), 0);
	at = kcp_frame_begin(&buf, KCP_CHAN_INFO, 0, 2, 0);
	kcp_put_text(&buf, KCP_T_NAME, "a-name-that-does-not-fit-into-what-is-left");
	assert_int_equal(kcp_frame_end(&buf, at), KC_EMSGSIZE);
	assert_int_equal(buf.len, KCP_HEADER_SIZE);
	assert_int_equal(buf.failed, 0);
	at = kcp_frame_begin(&buf, KCP_PING, 0, 2, 0);
	assert_int_equal(kcp_frame_end(&buf, at), 0);
	/* not even the header fits */
	at = kcp_frame_begin(&buf, KCP_PING, 0, 3, 0);
	assert_int_equal(kcp_frame_end(&buf, at), 0);
	at = kcp_frame_begin(&buf, KCP_PING, 0, 4, 0);
	assert_int_equal(kcp_frame_end(&buf, at), KC_EMSGSIZE);
	assert_int_equal(buf.len, 3 * KCP_HEADER_SIZE);
	kcp_buf_done(&buf);
}

static void the_last_value_may_lie_elsewhere(void **state)
{
	static const char elements[] = "0123456789";
	struct kcp_buf whole, split;
	size_t at;

	kcp_buf_init(&whole, 4096);
	at = kcp_frame_begin(&whole, KCP_SEND, 0, 9, 0);
	kcp_put_u32(&whole, KCP_T_ATTACH, 3);
	kcp_put_bytes(&whole, KCP_T_ELEMENTS, elements, 10);
	assert_int_equal(kcp_frame_end(&whole, at), 0);

	kcp_buf_init(&split, 4096);
	at = kcp_frame_begin(&split, KCP_SEND, 0, 9, 0);
	kcp_put_u32(&split, KCP_T_ATTACH, 3);
	kcp_put_head(&split, KCP_T_ELEMENTS, 10);
	assert_int_equal(kcp_frame_end_extra(&split, at, 10), 0);
	assert_int_equal(split.len, whole.len - 10);
	kcp_buf_add(&split, elements, 10);
	assert_memory_equal(split.data, whole.data, whole.len);
	kcp_buf_done(&whole);
	kcp_buf_done(&split);
}

static void a_frame_without_a_32_bit_length_is_refused(void **state)
{
	struct kcp_buf buf;
	size_t at;

	kcp_buf_init(&buf, 4096);
	at = kcp_frame_begin(&buf, KCP_SEND, 0, 9, 0);
	kcp_put_head(&buf, KCP_T_ELEMENTS, 1);
	assert_int_equal(kcp_frame_end_extra(&buf, at, UINT32_MAX - KCP_HEADER_SIZE - 8), 0);
	assert_true(kcp_load_u32(buf.data + 8) == UINT32_MAX - KCP_HEADER_SIZE);
	assert_int_equal(kcp_frame_end_extra(&buf, at, UINT32_MAX - KCP_HEADER_SIZE - 7),
			 KC_EMSGSIZE);
	assert_int_equal(buf.len, 0);
	at = kcp_frame_begin(&buf, KCP_SEND, 0, 9, 0);
	assert_int_equal(kcp_frame_end_extra(&buf, at, SIZE_MAX), KC_EMSGSIZE);
	kcp_buf_done(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_header_has_the_bytes_of_the_document),
		KCT_TEST(every_bit_that_must_not_be_is_refused),
		KCT_TEST(a_frame_may_be_max_frame_long_and_no_longer),
		KCT_TEST(frames_follow_each_other_in_one_buffer),
		KCT_TEST(a_frame_that_fails_leaves_those_before_it),
		KCT_TEST(the_last_value_may_lie_elsewhere),
		KCT_TEST(a_frame_without_a_32_bit_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
