/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages: lengths, limits, buffers that are too small.
 */
#include "tests/conformance/suite.h"

#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"

static void messages_of_any_length_arrive_whole(void **state)
{
	static const size_t lens[] = { 0, 1, 2, 15, 16, 17, 100, 4096, 65535, KC_MSG_DEFAULT };
	static unsigned char in[KC_MSG_DEFAULT], out[KC_MSG_DEFAULT];
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kct_case c;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 31);
	o.capacity = 20; /* max_msg: the default */
	case_make(&c, KCT_MSG, &o);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		assert_int_equal(kc_chan_send_msg(c.pair.tx, in, lens[i], 0), 0);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = 12345;

		memset(out, 0, sizeof(out));
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, out, sizeof(out), &len, 0), 0);
		assert_int_equal(len, lens[i]);
		assert_memory_equal(in, out, len);
		assert_true(len == sizeof(out) || out[len] == 0);
	}
	c.sent = c.received = sizeof(lens) / sizeof(lens[0]);
	case_end(&c);
}

static void the_largest_message_there_is_arrives(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	unsigned char *in = KC_CALLOC(2, KC_MSG_MAX);
	unsigned char *out = in + KC_MSG_MAX;
	struct kct_case c;
	size_t len = 0;

	assert_non_null(in);
	for (size_t i = 0; i < KC_MSG_MAX; i += 4096)
		in[i] = (unsigned char)(i >> 12) | 1;
	in[KC_MSG_MAX - 1] = 77;
	o.capacity = 2;
	o.max_msg = KC_MSG_MAX;
	case_make(&c, KCT_MSG, &o);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, in, KC_MSG_MAX, -1), 0);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, out, KC_MSG_MAX, &len, -1), 0);
	assert_int_equal(len, KC_MSG_MAX);
	assert_int_equal(memcmp(in, out, KC_MSG_MAX), 0);
	c.sent = c.received = 1;
	case_end(&c);
	KC_FREE(in);
}

static void an_empty_message_is_an_element(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

	for (size_t k = 0; k < 3; k++) {
		struct kct_case c;
		size_t len = 99;

		case_start(&c, KCT_MSG, kinds[k], 4);
		assert_int_equal(kc_chan_send_msg(c.pair.tx, NULL, 0, 0), 0);
		assert_int_equal(kc_chan_len(c.pair.rx), 1);
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, NULL, 0, &len, 0), 0);
		assert_int_equal(len, 0);
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, NULL, 0, &len, 0), KC_EAGAIN);
		c.sent = c.received = 1;
		case_end(&c);
	}
}

static void a_message_over_the_limit_is_refused(void **state)
{
	static const char buf[KCT_MSG_MAX + 1];
	struct kct_case c;

	case_start(&c, KCT_MSG, KC_BUFFERED, 4);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, sizeof(buf), -1), KC_EMSGSIZE);
	assert_string_not_equal(kc_error_detail(), "");
	assert_int_equal(kc_chan_len(c.pair.rx), 0);
	assert_int_equal(kc_chan_send_msg(c.pair.tx, buf, sizeof(buf) - 1, -1), 0);
	c.sent = 1;
	case_end(&c);
}

static void a_buffer_too_small_leaves_the_message(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

	for (size_t k = 0; k < 3; k++) {
		char buf[KCT_MSG_MAX] = { 0 };
		struct kct_case c;
		size_t len = 0;

		case_start(&c, KCT_MSG, kinds[k], 4);
		assert_int_equal(kc_chan_send_msg(c.pair.tx, "hello", 5, 0), 0);
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, 4, &len, 0), KC_EMSGSIZE);
		assert_int_equal(len, 5);
		len = 0;
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, NULL, 0, &len, -1), KC_EMSGSIZE);
		assert_int_equal(len, 5);
		assert_int_equal(kc_chan_len(c.pair.rx), 1);
		assert_int_equal(buf[0], 0);
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, 5, &len, 0), 0);
		assert_memory_equal(buf, "hello", 5);
		c.sent = c.received = 1;
		case_end(&c);
	}
}

struct small_recv {
	struct kct_call call;
	kc_chan_t *ch;
	char buf[4];
	size_t len;
};

static long small_recv_main(void *arg)
{
	struct small_recv *r = arg;

	return kc_chan_recv_msg(r->ch, r->buf, sizeof(r->buf), &r->len, -1);
}

static void a_waiting_receiver_with_a_small_buffer_is_told(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

	for (size_t k = 0; k < 3; k++) {
		struct small_recv r = { 0 };
		char buf[KCT_MSG_MAX];
		struct kct_case c;
		size_t len;

		case_start(&c, KCT_MSG, kinds[k], 4);
		r.ch = c.pair.rx;
		kct_call_start(&r.call, small_recv_main, &r);
		assert_true(kct_placement.wait_blocked(&c.pair, 0, 1));
		assert_int_equal(kc_chan_send_msg(c.pair.tx, "hello", 5, 0), 0);
		assert_int_equal(kct_call_join(&r.call), KC_EMSGSIZE);
		assert_int_equal(r.len, 5);
		/* it is still there for whoever has the room */
		assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, sizeof(buf), &len, 0), 0);
		assert_memory_equal(buf, "hello", 5);
		c.sent = c.received = 1;
		case_end(&c);
	}
}

static void a_rendezvous_sender_keeps_what_did_not_fit(void **state)
{
	struct kct_case c;
	struct kct_op op;
	char buf[4];
	size_t len = 0;

	case_start(&c, KCT_MSG, KC_RENDEZVOUS, 0);
	op_start_blocked(&op, &c, true, 5, 1);
	assert_int_equal(kc_chan_recv_msg(c.pair.rx, buf, sizeof(buf), &len, 0), KC_EMSGSIZE);
	assert_int_equal(len, sizeof(uint64_t));
	assert_int_equal(case_recv(&c, 0, NULL), 5);
	assert_int_equal(op_join(&op), 0);
	case_end(&c);
}

const struct CMUnitTest *message_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(messages_of_any_length_arrive_whole),
		KCT_TEST(the_largest_message_there_is_arrives),
		KCT_TEST(an_empty_message_is_an_element),
		KCT_TEST(a_message_over_the_limit_is_refused),
		KCT_TEST(a_buffer_too_small_leaves_the_message),
		KCT_TEST(a_waiting_receiver_with_a_small_buffer_is_told),
		KCT_TEST(a_rendezvous_sender_keeps_what_did_not_fit),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
