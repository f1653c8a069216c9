/* SPDX-License-Identifier: BSD-3-Clause */
/* Options: defaults, bounds, and headers of another version than the library. */
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/core/options.h"
#include "tests/lib/kct.h"

static void messages_get_their_defaults(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_chan_options full;

	o.capacity = 10;
	assert_int_equal(kci_options_check(&o, &full), 0);
	assert_int_equal(full.kind, KC_BUFFERED);
	assert_int_equal(full.elem_size, 0);
	assert_int_equal(full.max_msg, KC_MSG_DEFAULT);
	assert_int_equal(full.max_bytes, KC_CHAN_BYTES_DEFAULT);
	assert_int_equal(full.overflow, KC_OVERFLOW_BLOCK);
	assert_int_equal(full.mode, 0700);
}

static void the_byte_bound_holds_two_of_the_largest(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_chan_options full;

	o.capacity = 1;
	o.max_msg = KC_MSG_MAX;
	assert_int_equal(kci_options_check(&o, &full), 0);
	assert_int_equal(full.max_bytes, 2 * (size_t)KC_MSG_MAX);
	o.max_bytes = 2 * (size_t)KC_MSG_MAX - 1;
	assert_int_equal(kci_options_check(&o, &full), KC_EINVAL);
	o.max_bytes++;
	assert_int_equal(kci_options_check(&o, &full), 0);
}

static void fixed_elements_are_bounded_by_bytes_only_if_unlimited(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_chan_options full;

	o.elem_size = 100;
	o.capacity = 5;
	assert_int_equal(kci_options_check(&o, &full), 0);
	assert_int_equal(full.max_bytes, 0);
	o.kind = KC_UNLIMITED;
	o.capacity = 0;
	assert_int_equal(kci_options_check(&o, &full), 0);
	assert_int_equal(full.max_bytes, KC_CHAN_BYTES_DEFAULT);
	o.max_bytes = 99;
	assert_int_equal(kci_options_check(&o, &full), KC_EINVAL);
	o.max_bytes = 100;
	assert_int_equal(kci_options_check(&o, &full), 0);
}

static void each_kind_is_accepted_at_its_bounds(void **state)
{
	static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED,
					      KC_UNLIMITED };

	for (size_t k = 0; k < 4; k++) {
		struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
		struct kc_chan_options full;

		o.kind = kinds[k];
		o.elem_size = KC_ELEM_MAX;
		o.capacity = kinds[k] == KC_BUFFERED ? KC_CAPACITY_MAX : 0;
		assert_int_equal(kci_options_check(&o, &full), 0);
		o.elem_size = 1;
		o.capacity = kinds[k] == KC_BUFFERED;
		assert_int_equal(kci_options_check(&o, &full), 0);
		o.mode = 0777;
		o.flags = KC_CHAN_AUTO_CLOSE | KC_CHAN_LEASE_ONLY;
		assert_int_equal(kci_options_check(&o, &full), 0);
	}
}

/* What a program compiled with a later header might hand over. */
struct later {
	struct kc_chan_options known;
	unsigned long more;
};

static void later_options_are_accepted_while_they_are_0(void **state)
{
	struct later l = { .known = KC_CHAN_OPTIONS_INIT };
	struct kc_chan_options full;

	l.known.size = sizeof(l);
	l.known.capacity = 3;
	assert_int_equal(kci_options_check(&l.known, &full), 0);
	assert_int_equal(full.capacity, 3);
	l.more = 1;
	assert_int_equal(kci_options_check(&l.known, &full), KC_EINVAL);
}

static void a_size_that_cannot_be_is_refused(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_chan_options full;

	o.capacity = 1;
	o.size = 0;
	assert_int_equal(kci_options_check(&o, &full), KC_EINVAL);
	o.size = (size_t)-1;
	assert_int_equal(kci_options_check(&o, &full), KC_EINVAL);
}

static void a_refusal_writes_nothing(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_chan_options full, before;

	memset(&full, 0x55, sizeof(full));
	before = full;
	assert_int_equal(kci_options_check(&o, &full), KC_EINVAL);
	assert_memory_equal(&full, &before, sizeof(full));
}

static void local_channels_refuse_what_is_the_daemons(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_chan_t *ch = NULL;

	o.capacity = 1;
	o.flags = KC_CHAN_AUTO_CLOSE;
	assert_int_equal(kc_chan_make_ex(&ch, &o), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "flags"));
	o.flags = KC_CHAN_LEASE_ONLY;
	assert_int_equal(kc_chan_make_ex(&ch, &o), KC_EINVAL);
	o.flags = 0;
	o.mode = 0700;
	assert_int_equal(kc_chan_make_ex(&ch, &o), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "mode"));
	o.mode = 0;
	assert_int_equal(kc_chan_make_ex(NULL, &o), KC_EINVAL);
	assert_int_equal(kc_chan_make_ex(&ch, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_make(NULL, KC_BUFFERED, 1, 1), KC_EINVAL);
	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, 0, 1), KC_EINVAL);
	assert_null(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(messages_get_their_defaults),
		KCT_TEST(the_byte_bound_holds_two_of_the_largest),
		KCT_TEST(fixed_elements_are_bounded_by_bytes_only_if_unlimited),
		KCT_TEST(each_kind_is_accepted_at_its_bounds),
		KCT_TEST(later_options_are_accepted_while_they_are_0),
		KCT_TEST(a_size_that_cannot_be_is_refused),
		KCT_TEST(a_refusal_writes_nothing),
		KCT_TEST(local_channels_refuse_what_is_the_daemons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
