/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The on-drop hook: every element that is the channel's and will not be received,
 * once, with its reason. Only placements that have the hook run these.
 */
#include "tests/conformance/suite.h"

#include <string.h>

#define SEEN_MAX 32

struct seen {
	struct kct_pair *pair; /* looked at from within the hook: no lock may be held */
	size_t n;
	uint64_t number[SEEN_MAX];
	enum kc_drop_reason reason[SEEN_MAX];
};

static unsigned char blocks[SEEN_MAX];

static void on_drop(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	struct seen *seen = arg;
	struct kc_zdesc desc;
	uint64_t number = UINT64_MAX;

	if (len == sizeof(desc)) {
		memcpy(&desc, elem, len);
		number = (uint64_t)((unsigned char *)desc.addr - blocks);
	} else if (len == sizeof(number)) {
		memcpy(&number, elem, len);
	}
	if (seen->n < SEEN_MAX) {
		seen->number[seen->n] = number;
		seen->reason[seen->n] = reason;
	}
	seen->n++;
	if (kc_chan_len(seen->pair->tx) < 0)
		seen->n = SEEN_MAX; /* too many: the test fails */
}

static int send_one(struct kct_case *c, uint32_t number)
{
	struct kc_zdesc desc = { .addr = &blocks[number], .len = 1 };

	if (c->family != KCT_DESC)
		return case_send(c, number, 0, NULL);
	c->sent++;
	return kc_chan_send_desc(c->pair.tx, &desc, 0);
}

static void expect(const struct seen *seen, size_t n, uint64_t first, enum kc_drop_reason reason)
{
	assert_int_equal(seen->n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(seen->number[i], first + i);
		assert_int_equal(seen->reason[i], reason);
	}
}

static void make(struct kct_case *c, struct seen *seen, enum kct_family family, enum kc_kind kind,
		 enum kc_overflow overflow)
{
	struct kc_chan_options o = case_options(family, kind, 3);

	*seen = (struct seen){ .pair = &c->pair };
	o.overflow = overflow;
	o.on_drop = on_drop;
	o.on_drop_arg = seen;
	case_make(c, family, &o);
}

static void each_policy_hands_over_what_it_drops(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_DESC; f++) {
		struct seen seen;
		struct kct_case c;

		make(&c, &seen, f, KC_BUFFERED, KC_OVERFLOW_DROP_OLDEST);
		for (uint32_t n = 0; n < 8; n++)
			assert_int_equal(send_one(&c, n), 0);
		expect(&seen, 5, 0, KC_DROP_OLDEST);
		c.dropped_oldest = 5;
		seen.n = 0;
		case_end(&c);
		expect(&seen, 3, 5, KC_DROP_DESTROYED);

		make(&c, &seen, f, KC_BUFFERED, KC_OVERFLOW_DROP_NEWEST);
		for (uint32_t n = 0; n < 8; n++)
			assert_int_equal(send_one(&c, n), 0);
		expect(&seen, 5, 3, KC_DROP_NEWEST);
		c.dropped_newest = 5;
		seen.n = 0;
		case_end(&c);
		expect(&seen, 3, 0, KC_DROP_DESTROYED);

		make(&c, &seen, f, KC_CONFLATED, KC_OVERFLOW_BLOCK);
		for (uint32_t n = 0; n < 8; n++)
			assert_int_equal(send_one(&c, n), 0);
		expect(&seen, 7, 0, KC_DROP_CONFLATED);
		c.conflated = 7;
		seen.n = 0;
		case_end(&c);
		expect(&seen, 1, 7, KC_DROP_DESTROYED);
	}
}

static void purge_hands_over_what_it_drops(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_DESC; f++) {
		struct seen seen;
		struct kct_case c;

		make(&c, &seen, f, KC_UNLIMITED, KC_OVERFLOW_BLOCK);
		for (uint32_t n = 0; n < 3; n++)
			assert_int_equal(send_one(&c, n), 0);
		assert_int_equal(kc_chan_purge(c.pair.tx), 3);
		expect(&seen, 3, 0, KC_DROP_PURGED);
		c.dropped_purged = 3;
		seen.n = 0;
		case_end(&c);
		expect(&seen, 0, 0, KC_DROP_DESTROYED);
	}
}

static void a_batch_hands_over_each_dropped_element(void **state)
{
	static const enum kc_overflow policies[] = { KC_OVERFLOW_DROP_OLDEST,
						     KC_OVERFLOW_DROP_NEWEST };
	uint64_t v[10];
	struct kc_msg msgs[10];

	for (uint32_t i = 0; i < 10; i++) {
		v[i] = i;
		msgs[i] = (struct kc_msg){ &v[i], sizeof(v[i]) };
	}
	for (size_t p = 0; p < 2; p++) {
		for (enum kct_family f = KCT_FIXED; f <= KCT_MSG; f++) {
			struct seen seen;
			struct kct_case c;

			make(&c, &seen, f, KC_BUFFERED, policies[p]);
			if (f == KCT_FIXED)
				assert_int_equal(kc_chan_send_many(c.pair.tx, v, 10, 0, NULL), 10);
			else
				assert_int_equal(kc_chan_send_msgs(c.pair.tx, msgs, 10, 0, NULL),
						 10);
			c.sent = 10;
			expect(&seen, 7, p == 0 ? 0 : 3, p == 0 ? KC_DROP_OLDEST : KC_DROP_NEWEST);
			if (p == 0)
				c.dropped_oldest = 7;
			else
				c.dropped_newest = 7;
			case_end(&c);
		}
	}
}

static void what_is_received_or_refused_is_not_dropped(void **state)
{
	struct seen seen;
	struct kct_case c;

	make(&c, &seen, KCT_FIXED, KC_BUFFERED, KC_OVERFLOW_BLOCK);
	for (uint32_t n = 0; n < 3; n++)
		assert_int_equal(case_send(&c, n, 0, NULL), 0);
	assert_int_equal(case_send(&c, 3, 0, NULL), KC_EAGAIN);
	assert_int_equal(case_send(&c, 3, 1, NULL), KC_ETIME);
	for (uint32_t n = 0; n < 3; n++)
		assert_int_equal(case_recv(&c, 0, NULL), n);
	assert_int_equal(kc_chan_close(c.pair.tx), 0);
	assert_int_equal(case_send(&c, 3, 0, NULL), KC_EPIPE);
	case_end(&c);
	assert_int_equal(seen.n, 0);
}

const struct CMUnitTest *drop_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(each_policy_hands_over_what_it_drops),
		KCT_TEST(purge_hands_over_what_it_drops),
		KCT_TEST(a_batch_hands_over_each_dropped_element),
		KCT_TEST(what_is_received_or_refused_is_not_dropped),
	};

	*ret_n = kct_placement.traits & KCT_HAS_DROP_HOOK ? sizeof(tests) / sizeof(tests[0]) : 0;
	return tests;
}
