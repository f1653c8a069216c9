/* SPDX-License-Identifier: BSD-3-Clause */
/* Result codes in words, and whose text kc_error_detail() is. */
#include <errno.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/core/detail.h"
#include "tests/lib/kct.h"

static const struct {
	int code;
	int value;
	const char *name;
} codes[] = {
	{ 0, 0, "KC_OK" },
	{ KC_ENOENT, -ENOENT, "KC_ENOENT" },
	{ KC_EAGAIN, -EAGAIN, "KC_EAGAIN" },
	{ KC_ENOMEM, -ENOMEM, "KC_ENOMEM" },
	{ KC_EACCES, -EACCES, "KC_EACCES" },
	{ KC_EEXIST, -EEXIST, "KC_EEXIST" },
	{ KC_EINVAL, -EINVAL, "KC_EINVAL" },
	{ KC_EPIPE, -EPIPE, "KC_EPIPE" },
	{ KC_ENAMETOOLONG, -ENAMETOOLONG, "KC_ENAMETOOLONG" },
	{ KC_ETIME, -ETIME, "KC_ETIME" },
	{ KC_EPROTO, -EPROTO, "KC_EPROTO" },
	{ KC_EMSGSIZE, -EMSGSIZE, "KC_EMSGSIZE" },
	{ KC_ENOTSUP, -ENOTSUP, "KC_ENOTSUP" },
	{ KC_ECONNRESET, -ECONNRESET, "KC_ECONNRESET" },
	{ KC_EDQUOT, -EDQUOT, "KC_EDQUOT" },
	{ KC_ECANCELED, -ECANCELED, "KC_ECANCELED" },
	{ KC_EFORKED, -1001, "KC_EFORKED" },
	{ KC_EBROKEN, -1002, "KC_EBROKEN" },
};

#define N_CODES (sizeof(codes) / sizeof(codes[0]))

static void every_code_has_its_value_and_name(void **state)
{
	for (size_t i = 0; i < N_CODES; i++) {
		assert_int_equal(codes[i].code, codes[i].value);
		assert_string_equal(kc_error_name(codes[i].code), codes[i].name);
	}
	assert_string_equal(kc_error_name(-9999), "KC_E?");
	assert_string_equal(kc_error_name(1), "KC_E?");
}

static void every_code_has_words_of_its_own(void **state)
{
	for (size_t i = 0; i < N_CODES; i++) {
		assert_string_not_equal(kc_strerror(codes[i].code), "");
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(kc_strerror(codes[i].code),
						kc_strerror(codes[k].code));
	}
	assert_string_equal(kc_strerror(-9999), "unknown result");
	assert_string_equal(kc_strerror(5), "unknown result");
}

static void the_version_is_that_of_the_headers(void **state)
{
	assert_int_equal(kc_version(), KC_VERSION_NUMBER);
	assert_int_equal(KC_VERSION_NUMBER,
			 KC_VERSION_MAJOR * 10000 + KC_VERSION_MINOR * 100 + KC_VERSION_PATCH);
}

static void the_detail_is_the_last_failures(void **state)
{
	kc_chan_t *ch;
	int v = 1;

	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, sizeof(v), 0), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "capacity"));
	/* a call that succeeds leaves it */
	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, sizeof(v), 1), 0);
	assert_non_null(strstr(kc_error_detail(), "capacity"));
	/* one that fails with nothing to add clears it */
	assert_int_equal(kc_chan_try_recv(ch, &v), KC_EAGAIN);
	assert_string_equal(kc_error_detail(), "");
	assert_int_equal(kc_chan_send_msg(ch, &v, 1, 0), KC_EINVAL);
	assert_string_not_equal(kc_error_detail(), "");
	assert_int_equal(kc_chan_send(ch, NULL, 0), KC_EINVAL);
	assert_string_equal(kc_error_detail(), "");
	kc_chan_destroy(ch);
}

static long other_thread(void *arg)
{
	(void)arg;
	if (kc_error_detail()[0])
		return 1;
	return kci_result(kci_fail(KC_EINVAL, "theirs"));
}

static void each_thread_has_its_own(void **state)
{
	struct kct_call call;

	assert_int_equal(kci_result(kci_fail(KC_EINVAL, "mine %d", 7)), KC_EINVAL);
	kct_call_start(&call, other_thread, NULL);
	assert_int_equal(kct_call_join(&call), KC_EINVAL);
	assert_string_equal(kc_error_detail(), "mine 7");
}

static void a_failure_that_was_dealt_with_leaves_no_words(void **state)
{
	kci_detail("a first try");
	kci_detail_clear();
	assert_int_equal(kci_result(KC_EAGAIN), KC_EAGAIN);
	assert_string_equal(kc_error_detail(), "");
}

static void a_long_detail_is_cut(void **state)
{
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	kci_detail("%s", text);
	assert_true(strlen(kc_error_detail()) > 100);
	assert_true(strlen(kc_error_detail()) < 1000);
	assert_int_equal(kci_result(5), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(every_code_has_its_value_and_name),
		KCT_TEST(every_code_has_words_of_its_own),
		KCT_TEST(the_version_is_that_of_the_headers),
		KCT_TEST(the_detail_is_the_last_failures),
		KCT_TEST(each_thread_has_its_own),
		KCT_TEST(a_failure_that_was_dealt_with_leaves_no_words),
		KCT_TEST(a_long_detail_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
