/* SPDX-License-Identifier: BSD-3-Clause */
/* The growing buffer: its bound, its sticky failure, its memory. */
#include "tests/lib/kct.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/buf.h"

static void what_was_added_is_there_in_order(void **state)
{
	struct kcp_buf buf;
	uint8_t *place;

	kcp_buf_init(&buf, 1 << 20);
	assert_null(buf.data);
	kcp_buf_add(&buf, "ab", 2);
	kcp_buf_add_u32(&buf, 0x64636261);
	kcp_buf_add_u64(&buf, 0x6867666564636261);
	place = kcp_buf_extend(&buf, 3);
	assert_non_null(place);
	memcpy(place, "xyz", 3);
	assert_int_equal(buf.len, 17);
	assert_memory_equal(buf.data, "ababcdabcdefghxyz", 17);
	assert_int_equal(buf.failed, 0);
	kcp_buf_done(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.max, 1 << 20);
	kcp_buf_done(NULL);
}

static void contents_survive_growing(void **state)
{
	struct kcp_buf buf;

	kcp_buf_init(&buf, 100000);
	for (int i = 0; i < 100000; i++) {
		uint8_t byte = (uint8_t)(i % 251);

		kcp_buf_add(&buf, &byte, 1);
	}
	assert_int_equal(buf.failed, 0);
	assert_int_equal(buf.len, 100000);
	assert_true(buf.cap <= 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf.data[i], i % 251);
	kcp_buf_done(&buf);
}

static void the_bound_is_exact_and_the_failure_stays(void **state)
{
	struct kcp_buf buf;

	kcp_buf_init(&buf, 10);
	kcp_buf_add(&buf, "0123456789", 10);
	assert_int_equal(buf.failed, 0);
	assert_true(buf.cap <= 10);
	kcp_buf_add(&buf, "", 0);
	assert_int_equal(buf.failed, 0);
	kcp_buf_add(&buf, "x", 1);
	assert_int_equal(buf.failed, KC_EMSGSIZE);
	assert_int_equal(buf.len, 10);
	/* there would be room for this one, but something before it is missing */
	kcp_buf_truncate(&buf, 2);
	kcp_buf_add(&buf, "123456789", 9);
	kcp_buf_add(&buf, "a", 1);
	assert_int_equal(buf.failed, KC_EMSGSIZE);
	assert_int_equal(buf.len, 2);
	assert_null(kcp_buf_reserve(&buf, 1));
	assert_null(kcp_buf_extend(&buf, 0));
	kcp_buf_done(&buf);
}

static void a_length_that_would_wrap_is_refused(void **state)
{
	struct kcp_buf buf;

	kcp_buf_init(&buf, SIZE_MAX);
	kcp_buf_add(&buf, "abc", 3);
	assert_null(kcp_buf_reserve(&buf, SIZE_MAX - 2));
	assert_int_equal(buf.failed, KC_EMSGSIZE);
	assert_int_equal(buf.len, 3);
	kcp_buf_done(&buf);
}

static void clear_and_truncate_make_it_usable_again(void **state)
{
	struct kcp_buf buf;
	uint8_t *data;

	kcp_buf_init(&buf, 4);
	kcp_buf_add(&buf, "abcd", 4);
	data = buf.data;
	kcp_buf_add(&buf, "e", 1);
	assert_int_equal(buf.failed, KC_EMSGSIZE);
	kcp_buf_truncate(&buf, 3);
	assert_int_equal(buf.failed, 0);
	assert_int_equal(buf.len, 3);
	kcp_buf_add(&buf, "e", 1);
	assert_memory_equal(buf.data, "abce", 4);
	kcp_buf_clear(&buf);
	assert_int_equal(buf.len, 0);
	kcp_buf_add(&buf, "wxyz", 4);
	assert_ptr_equal(buf.data, data);
	assert_memory_equal(buf.data, "wxyz", 4);
	kcp_buf_done(&buf);
}

static void reserve_does_not_lengthen(void **state)
{
	struct kcp_buf buf;

	kcp_buf_init(&buf, 100);
	assert_non_null(kcp_buf_reserve(&buf, 0));
	assert_non_null(kcp_buf_reserve(&buf, 100));
	assert_int_equal(buf.len, 0);
	assert_true(buf.cap >= 100);
	kcp_buf_done(&buf);
}

static void without_memory_it_keeps_what_it_has(void **state)
{
	struct kcp_buf buf;

	kcp_buf_init(&buf, 100000);
	kcp_buf_add(&buf, "abc", 3);
	kct_alloc_fail_from(1);
	kcp_buf_extend(&buf, 5000);
	assert_true(kct_alloc_fail_end() > 0);
	assert_int_equal(buf.failed, KC_ENOMEM);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "abc", 3);
	kcp_buf_truncate(&buf, 3);
	assert_non_null(kcp_buf_extend(&buf, 5000));
	assert_memory_equal(buf.data, "abc", 3);
	kcp_buf_done(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_was_added_is_there_in_order),
		KCT_TEST(contents_survive_growing),
		KCT_TEST(the_bound_is_exact_and_the_failure_stays),
		KCT_TEST(a_length_that_would_wrap_is_refused),
		KCT_TEST(clear_and_truncate_make_it_usable_again),
		KCT_TEST(reserve_does_not_lengthen),
		KCT_TEST(without_memory_it_keeps_what_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
