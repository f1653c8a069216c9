/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nonsense is refused and changes nothing.
 */
#include "tests/conformance/suite.h"

#include <limits.h>
#include <string.h>

static void fixed_calls_are_refused_on_other_channels(void **state)
{
	for (enum kct_family f = KCT_MSG; f <= KCT_DESC; f++) {
		struct kct_case c;
		uint64_t v[8] = { 0 };

		if (f == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
			continue;
		case_start(&c, f, KC_BUFFERED, 2);
		assert_int_equal(kc_chan_send(c.pair.tx, v, -1), KC_EINVAL);
		assert_string_not_equal(kc_error_detail(), "");
		assert_int_equal(kc_chan_recv(c.pair.rx, v, -1), KC_EINVAL);
		assert_int_equal(kc_chan_try_send(c.pair.tx, v), KC_EINVAL);
		assert_int_equal(kc_chan_try_recv(c.pair.rx, v), KC_EINVAL);
		assert_int_equal(kc_chan_send_c(c.pair.tx, v, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_recv_c(c.pair.rx, v, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_send_many(c.pair.tx, v, 1, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_recv_many(c.pair.rx, v, 1, -1, NULL), KC_EINVAL);
		case_end(&c);
	}
}

static void message_calls_are_refused_on_other_channels(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_DESC; f += 2) {
		struct kc_msg msg = { "x", 1 };
		struct kct_case c;
		char buf[64];
		size_t len;

		if (f == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
			continue;
		case_start(&c, f, KC_BUFFERED, 2);
		assert_int_equal(kc_chan_send_msg(c.pair.tx, "x", 1, -1), KC_EINVAL);
		assert_string_not_equal(kc_error_detail(), "");
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, sizeof(buf), &len, -1),
				 KC_EINVAL);
		assert_int_equal(kc_chan_send_msg_c(c.pair.tx, "x", 1, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_recv_msg_c(c.pair.rx, buf, sizeof(buf), &len, -1, NULL),
				 KC_EINVAL);
		assert_int_equal(kc_chan_send_msgs(c.pair.tx, &msg, 1, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_recv_msgs(c.pair.rx, buf, sizeof(buf), &msg, 1, -1, NULL),
				 KC_EINVAL);
		case_end(&c);
	}
}

static void descriptor_calls_are_refused_on_other_channels(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_MSG; f++) {
		struct kct_case c;
		char block[1];
		struct kc_zdesc desc = { .addr = block, .len = 1 };
		uint64_t region, offset;
		void *ptr;
		size_t len;

		case_start(&c, f, KC_BUFFERED, 2);
		assert_int_equal(kc_chan_send_desc(c.pair.tx, &desc, -1), KC_EINVAL);
		assert_int_equal(kc_chan_recv_desc(c.pair.rx, &desc, -1), KC_EINVAL);
		assert_int_equal(kc_chan_send_desc_c(c.pair.tx, &desc, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_recv_desc_c(c.pair.rx, &desc, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_send_ptr(c.pair.tx, block, 1, -1), KC_EINVAL);
		assert_int_equal(kc_chan_recv_ptr(c.pair.rx, &ptr, &len, -1), KC_EINVAL);
		assert_int_equal(kc_chan_send_ptr_c(c.pair.tx, block, 1, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_recv_ptr_c(c.pair.rx, &ptr, &len, -1, NULL), KC_EINVAL);
		assert_int_equal(kc_chan_send_zref(c.pair.tx, block, 1, 0, 0, -1), KC_EINVAL);
		assert_int_equal(kc_chan_recv_zref(c.pair.rx, &ptr, &len, &region, &offset, -1),
				 KC_EINVAL);
		case_end(&c);
	}
}

static void missing_pointers_are_refused(void **state)
{
	struct kc_msg msg = { NULL, 1 };
	struct kct_case c;
	char buf[8];
	size_t len = 77;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(kc_chan_send(c.pair.tx, NULL, 0), KC_EINVAL);
	assert_int_equal(kc_chan_recv(c.pair.rx, NULL, 0), KC_EINVAL);
	assert_int_equal(kc_chan_send_many(c.pair.tx, NULL, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_many(c.pair.rx, NULL, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_snapshot(c.pair.tx, NULL), KC_EINVAL);
	case_end(&c);

	case_start(&c, KCT_MSG, KC_BUFFERED, 2);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, NULL, 1, 0), KC_EINVAL);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, NULL, 1, &len, 0), KC_EINVAL);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, sizeof(buf), NULL, 0), KC_EINVAL);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, NULL, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_send_msgs(c.pair.tx, &msg, 1, 0, NULL), KC_EINVAL);
	assert_int_equal(kc_chan_recv_msgs(c.pair.rx, buf, sizeof(buf), NULL, 1, 0, NULL),
			 KC_EINVAL);
	assert_int_equal(len, 77);
	case_end(&c);
}

static void a_missing_channel_is_refused(void **state)
{
	struct kc_chan_snapshot snap;
	struct kc_zdesc desc = { 0 };
	uint64_t v = 0;
	size_t len;

	assert_int_equal(kc_chan_send(NULL, &v, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv(NULL, &v, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_msg(NULL, &v, 1, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv_msg(NULL, &v, 1, &len, -1), KC_EINVAL);
	assert_int_equal(kc_chan_send_desc(NULL, &desc, -1), KC_EINVAL);
	assert_int_equal(kc_chan_recv_desc(NULL, &desc, -1), KC_EINVAL);
	assert_int_equal(kc_chan_close(NULL), KC_EINVAL);
	assert_int_equal(kc_chan_purge(NULL), KC_EINVAL);
	assert_int_equal(kc_chan_len(NULL), KC_EINVAL);
	assert_int_equal(kc_chan_snapshot(NULL, &snap), KC_EINVAL);
	assert_int_equal(kc_chan_capabilities(NULL), 0);
	kc_chan_destroy(NULL);
}

static void refuse(struct kc_chan_options o, const char *word)
{
	struct kct_pair pair = { 0 };

	assert_int_equal(kct_placement.make(&pair, &o, false), KC_EINVAL);
	assert_null(pair.tx);
	assert_non_null(strstr(kc_error_detail(), word));
}

#define REFUSE(family, kind, capacity, member, value, word)                                        \
	do {                                                                                       \
		struct kc_chan_options o_ = case_options((family), (kind), (capacity));            \
		o_.member = (value);                                                               \
		refuse(o_, (word));                                                                \
	} while (0)

static void options_that_make_no_sense_are_refused(void **state)
{
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, size, 8, "size");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, kind, (enum kc_kind)7, "kind");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, kind, (enum kc_kind)(-3), "kind");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, capacity, 0, "capacity");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, capacity, KC_CAPACITY_MAX + 1, "capacity");
	REFUSE(KCT_FIXED, KC_RENDEZVOUS, 0, capacity, 1, "capacity");
	REFUSE(KCT_FIXED, KC_CONFLATED, 0, capacity, 1, "capacity");
	REFUSE(KCT_FIXED, KC_UNLIMITED, 0, capacity, 1, "capacity");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, elem_size, KC_ELEM_MAX + 1, "elem_size");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, max_msg, 10, "max_msg");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, max_bytes, 1000, "max_bytes");
	REFUSE(KCT_FIXED, KC_UNLIMITED, 0, max_bytes, 7, "max_bytes");
	REFUSE(KCT_MSG, KC_BUFFERED, 1, max_msg, KC_MSG_MAX + 1, "max_msg");
	REFUSE(KCT_MSG, KC_BUFFERED, 1, max_bytes, 2 * KCT_MSG_MAX - 1, "max_bytes");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, overflow, (enum kc_overflow)3, "overflow");
	REFUSE(KCT_FIXED, KC_RENDEZVOUS, 0, overflow, KC_OVERFLOW_DROP_OLDEST, "overflow");
	REFUSE(KCT_FIXED, KC_CONFLATED, 0, overflow, KC_OVERFLOW_DROP_NEWEST, "overflow");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, flags, 0x80000000u, "flags");
	REFUSE(KCT_FIXED, KC_BUFFERED, 1, mode, 01000, "mode");
}

static void the_largest_capacity_is_accepted(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, KC_CAPACITY_MAX);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	case_end(&c);
}

static void timeouts_at_the_ends_of_the_range_work(void **state)
{
	struct kct_case c;
	struct kct_op op;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 1, LONG_MAX, NULL), 0);
	assert_int_equal(case_send(&c, 2, LONG_MIN, NULL), 0);
	assert_int_equal(case_recv(&c, LONG_MAX, NULL), 1);
	assert_int_equal(case_recv(&c, LONG_MIN, NULL), 2);
	case_end(&c);

	/* LONG_MAX is waited for, not wrapped into the past */
	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	op_start_blocked(&op, &c, false, 0, 1);
	assert_int_equal(case_send(&c, 3, LONG_MAX, NULL), 0);
	assert_int_equal(op_join(&op), 3);
	op_start_blocked(&op, &c, true, 4, 1);
	assert_int_equal(case_recv(&c, LONG_MAX, NULL), 4);
	assert_int_equal(op_join(&op), 0);
	case_end(&c);
}

static void leases_exist_only_where_the_channel_says_so(void **state)
{
	struct kct_case c;
	struct kc_lease lease = { 0 };
	uint64_t v;
	size_t len;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal((kc_chan_capabilities(c.pair.rx) & KC_CHAN_CAP_LEASE) != 0,
			 (kct_placement.traits & KCT_HAS_LEASES) != 0);
	if (!(kct_placement.traits & KCT_HAS_LEASES)) {
		assert_int_equal(kc_chan_recv_lease(c.pair.rx, &v, sizeof(v), &len, &lease, 0,
						    NULL),
				 KC_ENOTSUP);
		assert_int_equal(kc_chan_ack(c.pair.rx, &lease), KC_ENOTSUP);
		assert_int_equal(kc_chan_nack(c.pair.rx, &lease), KC_ENOTSUP);
		assert_int_equal(kc_chan_extend(c.pair.rx, &lease, 1000), KC_ENOTSUP);
	} else {
		/* nothing was leased: there is nothing to acknowledge */
		assert_int_equal(kc_chan_recv_lease(c.pair.rx, &v, sizeof(v), &len, &lease, 0,
						    NULL),
				 KC_EAGAIN);
		assert_int_equal(kc_chan_ack(c.pair.rx, &lease), KC_ENOENT);
	}
	case_end(&c);
}

const struct CMUnitTest *argument_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(fixed_calls_are_refused_on_other_channels),
		KCT_TEST(message_calls_are_refused_on_other_channels),
		KCT_TEST(descriptor_calls_are_refused_on_other_channels),
		KCT_TEST(missing_pointers_are_refused),
		KCT_TEST(a_missing_channel_is_refused),
		KCT_TEST(options_that_make_no_sense_are_refused),
		KCT_TEST(the_largest_capacity_is_accepted),
		KCT_TEST(timeouts_at_the_ends_of_the_range_work),
		KCT_TEST(leases_exist_only_where_the_channel_says_so),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
