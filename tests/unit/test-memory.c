/* SPDX-License-Identifier: BSD-3-Clause */
/* Allocation and random bytes. */
#include <errno.h>
#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

static void allocations_come_and_go(void **state)
{
	unsigned char *p = KC_CALLOC(100, 10);

	assert_non_null(p);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	memset(p, 7, 1000);
	p = KC_REALLOC(p, 200, 10);
	assert_non_null(p);
	assert_int_equal(p[999], 7);
	KC_FREE(p);
	KC_FREE(NULL);
	p = KC_ALLOC(1);
	assert_non_null(p);
	KC_FREE(p);
}

static void an_overflow_is_no_memory(void **state)
{
	/* volatile: compilers see through the obvious */
	volatile size_t huge = SIZE_MAX / 2;
	char *p = KC_ALLOC(8);

	assert_null(KC_CALLOC(huge, 4));
	assert_null(KC_REALLOC(p, huge, 4));
	/* and p is still ours */
	p[7] = 1;
	KC_FREE(p);
}

static void nothing_is_still_an_object(void **state)
{
	char *p = KC_REALLOC(NULL, 0, 16);

	assert_non_null(p);
	p = KC_REALLOC(p, 16, 0);
	assert_non_null(p);
	KC_FREE(p);
}

static void a_test_can_make_each_of_them_fail(void **state)
{
	char *p = KC_ALLOC(8);
	void *q;

	kct_alloc_fail_from(2);
	q = KC_ALLOC(8);
	assert_non_null(q);
	KC_FREE(q);
	assert_null(KC_ALLOC(8));
	assert_null(KC_CALLOC(1, 8));
	assert_null(KC_REALLOC(p, 2, 8));
	assert_int_equal(kct_alloc_fail_end(), 4);
	q = KC_ALLOC(8);
	assert_non_null(q);
	KC_FREE(q);
	KC_FREE(p);
}

static void an_owning_local_is_freed(void **state)
{
	/* the leak checker is the judge */
	KC_CLEANUP(kci_freep) char *kept = KC_ALLOC(10);
	KC_CLEANUP(kci_freep) char *given = KC_ALLOC(10);
	char *taken = KC_STEAL(given);

	assert_non_null(kept);
	assert_null(given);
	KC_FREE(taken);
}

static void random_bytes_differ(void **state)
{
	unsigned char a[512] = { 0 }, b[512] = { 0 };

	errno = 4711;
	assert_int_equal(kci_random(a, sizeof(a)), 0);
	assert_int_equal(kci_random(b, sizeof(b)), 0);
	assert_int_equal(errno, 4711);
	assert_memory_not_equal(a, b, sizeof(a));
	/* all of it is filled: the last 16 bytes are not all 0 (2^-128) */
	assert_memory_not_equal(a + sizeof(a) - 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(kci_random(a, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(allocations_come_and_go),    KCT_TEST(an_overflow_is_no_memory),
		KCT_TEST(nothing_is_still_an_object), KCT_TEST(a_test_can_make_each_of_them_fail),
		KCT_TEST(an_owning_local_is_freed),   KCT_TEST(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
