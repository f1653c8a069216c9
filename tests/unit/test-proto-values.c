/* SPDX-License-Identifier: BSD-3-Clause */
/* Values with an inside: ranges, ids, elements, statistics. */
#include "tests/lib/kct.h"

#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/values.h"

/* One TLV, parsed. */
struct fixture {
	struct kcp_buf buf;
	struct kcp_args args;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	kcp_buf_init(&f->buf, 1 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kcp_buf_done(&f->buf);
	free(f);
	return 0;
}

#define VALUE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void parse(struct fixture *f)
{
	assert_int_equal(f->buf.failed, 0);
	assert_int_equal(kcp_args_parse(&f->args, f->buf.data, f->buf.len, NULL), 0);
}

/* n ranges; then what the parser says of them. */
static int ranges_of(struct fixture *f, const struct kcp_range *list, size_t n,
		     struct kcp_ranges *ret)
{
	const char *why = NULL;
	size_t at;
	int r;

	kcp_buf_clear(&f->buf);
	at = kcp_tlv_begin(&f->buf, KCP_T_RANGES);
	for (size_t i = 0; i < n; i++)
		kcp_put_range(&f->buf, list[i].first, list[i].count);
	kcp_tlv_end(&f->buf, at);
	parse(f);
	r = kcp_ranges_parse(ret, &f->args, &why);
	assert_true((r != 0) == (why != NULL));
	return r;
}

static void ranges_come_back_as_written(void **state)
{
	static const struct kcp_range list[] = {
		{ 0, 1 }, { 2, 5 }, { 8, 1 }, { UINT64_C(1) << 40, 1 }, { UINT64_MAX - 1, 1 }
	};
	struct kcp_ranges ranges;

	assert_int_equal(ranges_of(*state, list, KC_ARRAY_SIZE(list), &ranges), 0);
	assert_int_equal(ranges.count, KC_ARRAY_SIZE(list));
	for (uint32_t i = 0; i < ranges.count; i++) {
		assert_true(kcp_ranges_at(&ranges, i).first == list[i].first);
		assert_true(kcp_ranges_at(&ranges, i).count == list[i].count);
	}
}

static void ranges_that_break_their_rules_are_refused(void **state)
{
	static const struct kcp_range bad[][2] = {
		{ { 1, 0 }, { 5, 1 } },          /* empty */
		{ { 5, 1 }, { 9, 0 } },          /* the second */
		{ { 1, 2 }, { 3, 1 } },          /* touching */
		{ { 1, 5 }, { 3, 1 } },          /* overlapping */
		{ { 5, 1 }, { 1, 1 } },          /* falling */
		{ { 5, 1 }, { 5, 1 } },          /* twice */
		{ { 1, UINT64_MAX }, { 5, 1 } }, /* past the last number */
		{ { 1, 1 }, { UINT64_MAX, 1 } },
		{ { 0, UINT64_MAX }, { 3, 1 } }, /* nothing can come after it */
	};
	struct kcp_ranges ranges = { .count = 77 };

	for (size_t i = 0; i < KC_ARRAY_SIZE(bad); i++)
		assert_int_equal(ranges_of(*state, bad[i], 2, &ranges), KC_EPROTO);
	assert_int_equal(ranges.count, 77);
}

static void absent_lists_are_empty(void **state)
{
	struct fixture *f = *state;
	struct kcp_ranges ranges = { .count = 77 };
	struct kcp_ids ids = { .count = 77 };
	uint64_t stats[KCP_STAT_MAX + 1] = { 1, 2, 3 };

	parse(f);
	assert_int_equal(kcp_ranges_parse(&ranges, &f->args, NULL), 0);
	assert_int_equal(ranges.count, 0);
	assert_int_equal(kcp_ids_parse(&ids, &f->args, NULL), 0);
	assert_int_equal(ids.count, 0);
	assert_int_equal(kcp_stats_parse(stats, &f->args, NULL), 0);
	assert_int_equal(stats[1], 0);
	assert_int_equal(kcp_delivered_before(&f->args, 0), 0);
}

static void ids_must_rise(void **state)
{
	static const struct {
		uint64_t id[3];
		int expected;
	} cases[] = {
		{ { 1, 2, 3 }, 0 },
		{ { 1, UINT64_MAX - 1, UINT64_MAX }, 0 },
		{ { 1, 1, 2 }, KC_EPROTO },
		{ { 1, 3, 2 }, KC_EPROTO },
		{ { UINT64_MAX, 0, 1 }, KC_EPROTO },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < KC_ARRAY_SIZE(cases); i++) {
		struct kcp_ids ids;
		size_t at;

		kcp_buf_clear(&f->buf);
		at = kcp_tlv_begin(&f->buf, KCP_T_REQUESTS);
		for (size_t j = 0; j < 3; j++)
			kcp_buf_add_u64(&f->buf, cases[i].id[j]);
		kcp_tlv_end(&f->buf, at);
		parse(f);
		assert_int_equal(kcp_ids_parse(&ids, &f->args, NULL), cases[i].expected);
		if (cases[i].expected)
			continue;
		assert_int_equal(ids.count, 3);
		for (uint32_t j = 0; j < 3; j++)
			assert_true(kcp_ids_at(&ids, j) == cases[i].id[j]);
	}
}

static void fixed_elements_are_counted_and_walked(void **state)
{
	struct fixture *f = *state;
	struct kcp_elems elems;
	uint32_t len;

	kcp_put_bytes(&f->buf, KCP_T_ELEMENTS, "aaabbbccc", 9);
	parse(f);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 3, NULL), 0);
	assert_int_equal(elems.count, 3);
	assert_int_equal(elems.bytes, 9);
	for (uint32_t i = 0; i < 3; i++) {
		const uint8_t *data = kcp_elems_next(&elems, &len);

		assert_int_equal(len, 3);
		assert_int_equal(data[0], 'a' + i);
		assert_int_equal(elems.count, 2 - i);
		assert_int_equal(elems.bytes, 9 - 3 * (i + 1));
	}
	assert_null(kcp_elems_next(&elems, &len));
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 9, NULL), 0);
	assert_int_equal(elems.count, 1);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 2, NULL), KC_EINVAL);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 10, NULL), KC_EINVAL);
}

static void messages_are_counted_and_walked(void **state)
{
	static const char *const messages[] = { "first", "", "the third", "" };
	struct fixture *f = *state;
	struct kcp_elems elems;
	uint32_t len;
	size_t at = kcp_tlv_begin(&f->buf, KCP_T_ELEMENTS);

	for (size_t i = 0; i < 4; i++)
		kcp_put_message(&f->buf, messages[i], (uint32_t)strlen(messages[i]));
	kcp_tlv_end(&f->buf, at);
	parse(f);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 0, NULL), 0);
	assert_int_equal(elems.count, 4);
	assert_int_equal(elems.bytes, 14);
	for (size_t i = 0; i < 4; i++) {
		const uint8_t *data = kcp_elems_next(&elems, &len);

		/* an empty one is one, too */
		assert_non_null(data);
		assert_int_equal(len, strlen(messages[i]));
		assert_memory_equal(data, messages[i], len);
	}
	assert_null(kcp_elems_next(&elems, &len));
	assert_int_equal(elems.count, 0);
	assert_int_equal(elems.bytes, 0);
}

static void messages_that_overrun_are_refused(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} bad[] = {
		{ "\1\0\0", 3 },                           /* no whole length */
		{ "\1\0\0\0", 4 },                         /* nothing behind it */
		{ "\2\0\0\0a", 5 },                        /* too little behind it */
		{ "\0\0\0\0\1", 5 },                       /* a good one, then one byte */
		{ "\1\0\0\0a\xff\xff\xff\xff", 9 },        /* 4 GiB */
		{ "\1\0\0\0a\xfc\xff\xff\xff\0\0\0", 12 }, /* a length that could wrap */
	};

	for (size_t i = 0; i < KC_ARRAY_SIZE(bad); i++) {
		struct fixture *f = *state;
		struct kcp_elems elems;
		const char *why = NULL;

		kcp_buf_clear(&f->buf);
		kcp_put_bytes(&f->buf, KCP_T_ELEMENTS, bad[i].data, bad[i].len);
		parse(f);
		assert_int_equal(kcp_elems_parse(&elems, &f->args, 0, &why), KC_EINVAL);
		assert_non_null(why);
	}
}

static void no_elements_are_refused(void **state)
{
	struct fixture *f = *state;
	struct kcp_elems elems;

	parse(f);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 0, NULL), KC_EINVAL);
	kcp_put_bytes(&f->buf, KCP_T_ELEMENTS, NULL, 0);
	parse(f);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 0, NULL), KC_EINVAL);
	assert_int_equal(kcp_elems_parse(&elems, &f->args, 8, NULL), KC_EINVAL);
}

static void delivered_before_is_0_where_it_says_nothing(void **state)
{
	struct fixture *f = *state;
	size_t at = kcp_tlv_begin(&f->buf, KCP_T_DELIVERED_BEFORE);

	kcp_buf_add_u32(&f->buf, 0);
	kcp_buf_add_u32(&f->buf, UINT32_MAX);
	kcp_tlv_end(&f->buf, at);
	parse(f);
	assert_int_equal(kcp_delivered_before(&f->args, 0), 0);
	assert_true(kcp_delivered_before(&f->args, 1) == UINT32_MAX);
	assert_int_equal(kcp_delivered_before(&f->args, 2), 0);
	assert_int_equal(kcp_delivered_before(&f->args, UINT32_MAX), 0);
}

static void statistics_come_back_as_written(void **state)
{
	struct fixture *f = *state;
	uint64_t in[KCP_STAT_MAX + 1] = { 0 };
	uint64_t out[KCP_STAT_MAX + 1];

	for (unsigned i = 1; i <= KCP_STAT_MAX; i++)
		in[i] = i % 3 ? UINT64_MAX - i : 0;
	kcp_put_stats(&f->buf, in);
	/* only what is not 0 travels */
	assert_int_equal(f->buf.len, 8 + (KCP_STAT_MAX - KCP_STAT_MAX / 3) * 16);
	parse(f);
	memset(out, 0xaa, sizeof(out));
	assert_int_equal(kcp_stats_parse(out, &f->args, NULL), 0);
	assert_memory_equal(in, out, sizeof(in));
}

/* STATISTICS of one entry of number with len bytes, and one more of KCP_S_SENT. */
static int stats_with(struct fixture *f, uint16_t number, size_t len,
		      uint64_t ret[KCP_STAT_MAX + 1])
{
	size_t at;

	kcp_buf_clear(&f->buf);
	at = kcp_tlv_begin(&f->buf, KCP_T_STATISTICS);
	kcp_put_bytes(&f->buf, number, "\1\0\0\0\0\0\0\0\0", len);
	kcp_put_u64(&f->buf, KCP_S_SENT, 5);
	kcp_tlv_end(&f->buf, at);
	parse(f);
	return kcp_stats_parse(ret, &f->args, NULL);
}

static void unknown_statistics_are_skipped_and_broken_ones_refused(void **state)
{
	uint64_t stats[KCP_STAT_MAX + 1] = { 0 };

	assert_int_equal(stats_with(*state, KCP_STAT_MAX + 1, 3, stats), 0);
	assert_int_equal(stats[KCP_S_SENT], 5);
	assert_int_equal(stats_with(*state, 0, 8, stats), 0);
	assert_int_equal(stats_with(*state, 0xffff, 0, stats), 0);
	stats[KCP_S_SENT] = 77;
	assert_int_equal(stats_with(*state, KCP_S_RESUMES, 7, stats), KC_EPROTO);
	assert_int_equal(stats_with(*state, KCP_S_RESUMES, 9, stats), KC_EPROTO);
	assert_int_equal(stats_with(*state, KCP_S_SENT, 8, stats), KC_EPROTO);
	/* written only on success */
	assert_int_equal(stats[KCP_S_SENT], 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VALUE_TEST(ranges_come_back_as_written),
		VALUE_TEST(ranges_that_break_their_rules_are_refused),
		VALUE_TEST(absent_lists_are_empty),
		VALUE_TEST(ids_must_rise),
		VALUE_TEST(fixed_elements_are_counted_and_walked),
		VALUE_TEST(messages_are_counted_and_walked),
		VALUE_TEST(messages_that_overrun_are_refused),
		VALUE_TEST(no_elements_are_refused),
		VALUE_TEST(delivered_before_is_0_where_it_says_nothing),
		VALUE_TEST(statistics_come_back_as_written),
		VALUE_TEST(unknown_statistics_are_skipped_and_broken_ones_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
