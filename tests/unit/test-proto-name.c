/* SPDX-License-Identifier: BSD-3-Clause */
/* The grammar of channel names, and the results table. */
#include "tests/lib/kct.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/name.h"
#include "proto/result.h"
#include "proto/wire.h"

static void good_names_are_good(void **state)
{
	static const char *const names[] = { "a",     "_",     "Z9",      "jobs",      "a/b",
					     "a/b/c", "_1/_2", "a-b_c.d", "a.",        "A.b.c/D-e",
					     "a..b",  "x-",    "a---",    "plant/l1/t" };

	for (size_t i = 0; i < KC_ARRAY_SIZE(names); i++)
		assert_int_equal(kcp_name_check(names[i], strlen(names[i]), NULL), 0);
}

static void bad_names_are_refused_with_a_reason(void **state)
{
	static const char *const names[] = { "/",     "/a",        "a/",   "a//b", ".",   "..",
					     "a/.",   "a/..",      "../a", ".a",   "-a",  "1",
					     "a/1",   "a b",       "a\n",  "a\tb", "a@b", "@1",
					     "a\x7f", "a\xc3\xa4", "a*",   "a\\b", "a:b", "a,b" };

	for (size_t i = 0; i < KC_ARRAY_SIZE(names); i++) {
		const char *why = NULL;

		assert_int_equal(kcp_name_check(names[i], strlen(names[i]), &why), KC_EINVAL);
		assert_non_null(why);
		assert_true(strlen(why) > 10);
	}
}

static void a_nul_inside_is_no_end(void **state)
{
	assert_int_equal(kcp_name_check("ab\0cd", 5, NULL), KC_EINVAL);
	assert_int_equal(kcp_name_check("ab\0cd", 2, NULL), 0);
}

static void the_length_is_1_to_255(void **state)
{
	char name[KCP_NAME_MAX + 1];
	const char *why = "untouched";

	memset(name, 'n', sizeof(name));
	assert_int_equal(kcp_name_check(NULL, 0, &why), KC_EINVAL);
	why = "untouched";
	assert_int_equal(kcp_name_check(name, KCP_NAME_MAX, &why), 0);
	assert_string_equal(why, "untouched");
	assert_int_equal(kcp_name_check(name, KCP_NAME_MAX + 1, &why), KC_ENAMETOOLONG);
	assert_string_not_equal(why, "untouched");
	/* the length decides before the grammar does */
	name[0] = '/';
	assert_int_equal(kcp_name_check(name, KCP_NAME_MAX + 1, NULL), KC_ENAMETOOLONG);
}

static void every_result_goes_there_and_back(void **state)
{
	for (uint32_t i = KCP_OK; i <= KCP_BROKEN; i++) {
		int code = kcp_result_to_code(i);

		assert_true(i == KCP_OK ? code == 0 : code < 0);
		assert_int_equal(kcp_result_from_code(code), i);
		assert_string_not_equal(kcp_result_name(i), "?");
	}
}

static void unknown_results_and_codes_have_a_meaning(void **state)
{
	assert_int_equal(kcp_result_to_code(KCP_BROKEN + 1), KC_EPROTO);
	assert_int_equal(kcp_result_to_code(UINT32_MAX), KC_EPROTO);
	assert_string_equal(kcp_result_name(KCP_BROKEN + 1), "?");
	assert_string_equal(kcp_result_name(UINT32_MAX), "?");
	assert_int_equal(kcp_result_from_code(KC_ENAMETOOLONG), KCP_INVAL);
	assert_int_equal(kcp_result_from_code(KC_EFORKED), KCP_INVAL);
	assert_int_equal(kcp_result_from_code(-99999), KCP_INVAL);
	assert_int_equal(kcp_result_from_code(1), KCP_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(good_names_are_good),
		KCT_TEST(bad_names_are_refused_with_a_reason),
		KCT_TEST(a_nul_inside_is_no_end),
		KCT_TEST(the_length_is_1_to_255),
		KCT_TEST(every_result_goes_there_and_back),
		KCT_TEST(unknown_results_and_codes_have_a_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
