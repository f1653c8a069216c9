/* SPDX-License-Identifier: BSD-3-Clause */
/* Time: deadlines saturate, never wrap, never end a wait too soon. */
#include <limits.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

static void the_clock_does_not_go_back(void **state)
{
	uint64_t last = kci_clock_now();

	for (int i = 0; i < 10000; i++) {
		uint64_t now = kci_clock_now();

		assert_true(now >= last);
		last = now;
	}
}

static void a_deadline_lies_its_timeout_ahead(void **state)
{
	uint64_t before = kci_clock_now();
	uint64_t deadline = kci_deadline_from_ms(250);
	uint64_t after = kci_clock_now();

	assert_true(deadline >= before + 250 * KC_NS_PER_MS);
	assert_true(deadline <= after + 250 * KC_NS_PER_MS);
}

static void zero_is_now_and_negative_is_never(void **state)
{
	uint64_t before = kci_clock_now();
	uint64_t deadline = kci_deadline_from_ms(0);

	assert_true(deadline >= before && deadline <= kci_clock_now());
	assert_int_equal(kci_deadline_left(deadline), 0);
	assert_true(kci_deadline_from_ms(-1) == KC_NEVER);
	assert_true(kci_deadline_from_ms(LONG_MIN) == KC_NEVER);
}

static void long_timeouts_saturate(void **state)
{
	uint64_t year = kci_deadline_from_ms(365L * 24 * 3600 * 1000);

	assert_true(kci_deadline_from_ms(LONG_MAX) == KC_NEVER);
	assert_true(kci_deadline_from_ms(LONG_MAX / 1000000 + 1) >= year);
	assert_true(year > kci_clock_now() + 364 * UINT64_C(86400) * KC_NS_PER_SEC);
}

static void every_timeout_is_far_enough_ahead(void **state)
{
	for (int shift = 0; shift < 62; shift++) {
		for (long part = 1; part < 50; part++) {
			long ms = (LONG_MAX >> shift) / part;
			unsigned __int128 ns = (unsigned __int128)ms * KC_NS_PER_MS;
			unsigned __int128 before = kci_clock_now() + ns;
			uint64_t deadline = kci_deadline_from_ms(ms);
			unsigned __int128 after = kci_clock_now() + ns;

			if (before >= KC_NEVER)
				assert_true(deadline == KC_NEVER);
			else if (after < KC_NEVER)
				assert_true(deadline >= before && deadline <= after);
		}
	}
	/* the product still fits, the sum does not */
	assert_true(kci_deadline_from_ms((long)(UINT64_MAX / KC_NS_PER_MS)) == KC_NEVER);
}

static void what_is_left_shrinks_to_nothing(void **state)
{
	uint64_t left = kci_deadline_left(kci_deadline_from_ms(1000));

	assert_true(left > 0 && left <= 1000 * KC_NS_PER_MS);
	assert_int_equal(kci_deadline_left(1), 0);
	assert_int_equal(kci_deadline_left(kci_clock_now()), 0);
	assert_true(kci_deadline_left(KC_NEVER) == KC_NEVER);
}

static void poll_gets_milliseconds_rounded_up(void **state)
{
	assert_int_equal(kci_deadline_poll_ms(KC_NEVER), -1);
	assert_int_equal(kci_deadline_poll_ms(0), 0);
	for (uint64_t ns = 1; ns < KC_NS_PER_SEC; ns = ns * 3 + 1) {
		uint64_t deadline = kci_clock_now() + ns;
		int ms = kci_deadline_poll_ms(deadline);

		/* so long it is not too short a wait, whenever it is looked at */
		assert_true((uint64_t)ms * KC_NS_PER_MS >= kci_deadline_left(deadline));
		assert_true((uint64_t)ms <= ns / KC_NS_PER_MS + 1);
	}
	assert_in_range(kci_deadline_poll_ms(kci_clock_now() + 5000 * KC_NS_PER_SEC), 4000000,
			5000000);
	assert_int_equal(kci_deadline_poll_ms(KC_NEVER - 1), INT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(the_clock_does_not_go_back),
		KCT_TEST(a_deadline_lies_its_timeout_ahead),
		KCT_TEST(zero_is_now_and_negative_is_never),
		KCT_TEST(long_timeouts_saturate),
		KCT_TEST(every_timeout_is_far_enough_ahead),
		KCT_TEST(what_is_left_shrinks_to_nothing),
		KCT_TEST(poll_gets_milliseconds_rounded_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
