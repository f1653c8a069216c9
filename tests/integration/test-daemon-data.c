/* SPDX-License-Identifier: BSD-3-Clause */
/* SEND and RECV: order, waiting, deadlines, CANCEL, batches, kinds, limits. */
#include <stdio.h>
#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)

static uint32_t count_of(const struct kct_frame *f)
{
	assert_int_equal(kct_result(f), KCP_OK);
	return (uint32_t)kcp_num(&f->args, KCP_T_COUNT, 0);
}

static void elements_come_in_the_order_sent(void **state)
{
	struct kct_wire w;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 100, BOTH);
	assert_int_equal(count_of(kct_reply(&w, kct_send_many(&w, at, "a", 3, 0))), 3);
	assert_int_equal(count_of(kct_reply(&w, kct_send(&w, at, "", 0))), 1);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 2, 0, 0)), 1, 2, "a0", "a1");
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 9, 0, 0)), 3, 2, "a2", "");
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, 0, 0)), KCP_AGAIN);
	kct_taken(&w, at, 1, 4);
	kct_assert_balanced(&w, "o");
	kct_wire_bye(&w);
}

static void fixed_elements_have_no_lengths(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "f", KCP_KIND_BUFFERED, 4, 100, BOTH);
	kct_begin(&w, KCP_SEND);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_bytes(&w.out, KCP_T_ELEMENTS, "abcdefghijkl", 12);
	assert_int_equal(count_of(kct_reply(&w, kct_end(&w))), 3);
	f = kct_reply(&w, kct_recv(&w, at, 10, 0, 0));
	assert_int_equal(count_of(f), 3);
	assert_int_equal(kcp_get(&f->args, KCP_T_ELEMENTS)->len, 12);
	assert_memory_equal(kcp_get(&f->args, KCP_T_ELEMENTS)->data, "abcdefghijkl", 12);
	kct_begin(&w, KCP_SEND);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_bytes(&w.out, KCP_T_ELEMENTS, "abcdef", 6);
	assert_int_equal(kct_result_of(&w, kct_end(&w)), KCP_INVAL);
	kct_begin(&w, KCP_SEND);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_bytes(&w.out, KCP_T_ELEMENTS, "", 0);
	assert_int_equal(kct_result_of(&w, kct_end(&w)), KCP_INVAL);
	kct_wire_bye(&w);
}

static void a_full_channel_takes_what_fits(void **state)
{
	struct kct_wire a, b;
	uint64_t waits;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "full", KCP_KIND_BUFFERED, 0, 4, KCP_ROLE_SENDER);
	in = kct_open(&b, "full", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(count_of(kct_reply(&a, kct_send_many(&a, out, "a", 6, KCT_FOREVER))), 4);
	assert_int_equal(kct_result_of(&a, kct_send(&a, out, "x", 0)), KCP_AGAIN);
	waits = kct_send_many(&a, out, "b", 3, KCT_FOREVER);
	kct_ping(&a);
	assert_int_equal(kct_stat(&b, "full", KCP_S_WAITING_SENDERS), 1);
	kct_assert_messages(kct_reply(&b, kct_recv(&b, in, 2, 0, 0)), 1, 2, "a0", "a1");
	assert_int_equal(count_of(kct_reply(&a, waits)), 2);
	kct_assert_messages(kct_reply(&b, kct_recv(&b, in, 9, 0, 0)), 3, 4, "a2", "a3", "b0", "b1");
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

static void waiting_receivers_are_served_in_order(void **state)
{
	struct kct_wire a, b;
	uint64_t first, second;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "w", KCP_KIND_BUFFERED, 0, 4, KCP_ROLE_SENDER);
	in = kct_open(&b, "w", KCP_ROLE_RECEIVER, 0, 0);
	first = kct_recv(&b, in, 1, 0, KCT_FOREVER);
	second = kct_recv(&b, in, 5, 0, KCT_FOREVER);
	kct_ping(&b);
	assert_int_equal(kct_stat(&b, "w", KCP_S_WAITING_RECEIVERS), 2);
	assert_int_equal(count_of(kct_reply(&a, kct_send_many(&a, out, "m", 3, 0))), 3);
	kct_assert_messages(kct_reply(&b, first), 1, 1, "m0");
	kct_assert_messages(kct_reply(&b, second), 2, 2, "m1", "m2");
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

static void deadlines_are_kept(void **state)
{
	struct kct_wire w;
	uint64_t start, recv, send;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "t", KCP_KIND_BUFFERED, 0, 1, BOTH);
	start = kci_clock_now();
	recv = kct_recv(&w, at, 1, 0, 30);
	assert_int_equal(kct_result_of(&w, recv), KCP_TIME);
	assert_true(kci_clock_now() - start >= 30 * KC_NS_PER_MS);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 30)), KCP_OK);
	start = kci_clock_now();
	send = kct_send(&w, at, "y", 30);
	assert_int_equal(kct_result_of(&w, send), KCP_TIME);
	assert_true(kci_clock_now() - start >= 30 * KC_NS_PER_MS);
	/* a huge one does not wrap */
	send = kct_send(&w, at, "z", KCP_TIMEOUT_MAX_MS);
	kct_ping(&w);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CANCEL, send)), KCP_OK);
	assert_int_equal(kct_result_of(&w, send), KCP_CANCELED);
	assert_int_equal(kct_stat(&w, "t", KCP_S_SENT), 1);
	kct_wire_bye(&w);
}

static void cancel_ends_a_wait_and_nothing_else(void **state)
{
	struct kct_wire w;
	uint64_t recv, cancel;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "c", KCP_KIND_BUFFERED, 0, 1, BOTH);
	recv = kct_recv(&w, at, 1, 0, KCT_FOREVER);
	cancel = kct_about(&w, KCP_CANCEL, recv);
	assert_int_equal(kct_next(&w)->header.id, recv); /* before that of CANCEL */
	assert_int_equal(kct_result(w.frames[w.n_frames - 1]), KCP_CANCELED);
	assert_int_equal(kct_result_of(&w, cancel), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CANCEL, recv)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CANCEL, 123456)), KCP_OK);
	assert_int_equal(kct_stat(&w, "c", KCP_S_WAITING_RECEIVERS), 0);
	kct_wire_bye(&w);
}

static void space_and_count_bound_a_receive(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "s", KCP_KIND_BUFFERED, 0, 10, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "12345678", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "1234", 0)), KCP_OK);
	kct_begin(&w, KCP_RECV);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u64(&w.out, KCP_T_SPACE, 7);
	f = kct_reply(&w, kct_end(&w));
	assert_int_equal(kct_result(f), KCP_MSGSIZE);
	assert_int_equal(kcp_num(&f->args, KCP_T_NEEDED, 0), 8);
	kct_begin(&w, KCP_RECV);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_COUNT, 5);
	kcp_put_u64(&w.out, KCP_T_SPACE, 11);
	kct_assert_messages(kct_reply(&w, kct_end(&w)), 1, 1, "12345678");
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 0, 0, 0)), KCP_INVAL);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 65537, 0, 0)), KCP_INVAL);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 65536, 0, 0)), 2, 1, "1234");
	kct_wire_bye(&w);
}

/* Replies fit the frames the client takes, whatever it asks for. */
static void replies_fit_the_frames_of_the_client(void **state)
{
	static char text[60001];
	struct kct_wire w;
	uint64_t got = 0;
	uint32_t at;
	uint64_t id;

	(void)state;
	kct_wire_connect(&w, fixture.path);
	kct_begin(&w, KCP_HELLO);
	kcp_put_u32(&w.out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&w.out, KCP_T_VERSION_MAX, 1);
	kcp_put_u32(&w.out, KCP_T_MAX_FRAME, KCP_FRAME_MIN_MAX);
	id = kct_end(&w);
	assert_int_equal(kct_result_of(&w, id), KCP_OK);
	at = kct_make(&w, "fit", KCP_KIND_BUFFERED, 0, 1000, BOTH);
	memset(text, 'x', 60000);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, text, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 900, 0)), KCP_OK);
	while (got < 901) {
		const struct kct_frame *f = kct_reply(&w, kct_recv(&w, at, 65536, 0, 0));

		got += count_of(f);
		assert_true(f->header.length + KCP_HEADER_SIZE <= KCP_FRAME_MIN_MAX);
	}
	at = kct_make(&w, "fixed", KCP_KIND_BUFFERED, 65536, 10, BOTH);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, 0, 0)), KCP_MSGSIZE);
	kct_wire_bye(&w);
}

static void messages_over_the_limit_are_refused(void **state)
{
	static char text[70001];
	struct kct_wire w;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "l", KCP_KIND_BUFFERED, 0, 10, BOTH);
	memset(text, 'x', 70000);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, text, 0)), KCP_MSGSIZE);
	text[65536] = '\0';
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, text, 0)), KCP_OK);
	kct_wire_bye(&w);
}

static void overflow_policies_drop(void **state)
{
	static const uint32_t policies[] = { KCP_OVERFLOW_DROP_OLDEST, KCP_OVERFLOW_DROP_NEWEST };

	(void)state;
	for (int i = 0; i < 2; i++) {
		char name[8];
		struct kct_wire w;
		const struct kct_frame *f;
		uint32_t at;

		client(&w);
		snprintf(name, sizeof(name), "p%d", i);
		kct_begin(&w, KCP_CHAN_MAKE);
		kcp_put_text(&w.out, KCP_T_NAME, name);
		kcp_put_u32(&w.out, KCP_T_KIND, KCP_KIND_BUFFERED);
		kcp_put_u32(&w.out, KCP_T_ELEM_SIZE, 0);
		kcp_put_u32(&w.out, KCP_T_CAPACITY, 2);
		kcp_put_u32(&w.out, KCP_T_OVERFLOW, policies[i]);
		kcp_put_u32(&w.out, KCP_T_ROLES, BOTH);
		f = kct_reply(&w, kct_end(&w));
		assert_int_equal(kct_result(f), KCP_OK);
		at = (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
		assert_int_equal(count_of(kct_reply(&w, kct_send_many(&w, at, "m", 5, 0))), 5);
		f = kct_reply(&w, kct_recv(&w, at, 9, 0, 0));
		if (i == 0)
			kct_assert_messages(f, 1, 2, "m3", "m4");
		else
			kct_assert_messages(f, 1, 2, "m0", "m1");
		assert_int_equal(kct_stat(&w, name, i ? KCP_S_DROPPED_NEWEST
						      : KCP_S_DROPPED_OLDEST),
				 3);
		kct_assert_balanced(&w, name);
		kct_wire_bye(&w);
	}
}

static void conflated_keeps_the_newest(void **state)
{
	struct kct_wire w;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "c", KCP_KIND_CONFLATED, 0, 0, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "1", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "2", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 5, 0, 0)), 1, 1, "2");
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, 0, 0)), KCP_AGAIN);
	assert_int_equal(kct_stat(&w, "c", KCP_S_CONFLATED), 1);
	kct_wire_bye(&w);
}

/* A rendezvous is complete when the receiver has confirmed, not before. */
static void a_rendezvous_needs_both(void **state)
{
	struct kct_wire a, b;
	const struct kct_frame *f;
	uint64_t send, recv, taken;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "r", KCP_KIND_RENDEZVOUS, 0, 0, KCP_ROLE_SENDER);
	in = kct_open(&b, "r", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&a, kct_send(&a, out, "x", 0)), KCP_AGAIN);
	assert_int_equal(kct_result_of(&b, kct_recv(&b, in, 1, 0, 0)), KCP_AGAIN);

	send = kct_send(&a, out, "1", KCT_FOREVER);
	kct_ping(&a);
	f = kct_reply(&b, kct_recv(&b, in, 1, 0, KCT_FOREVER));
	kct_assert_messages(f, 1, 1, "1");
	assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), KCP_F_PROVISIONAL);
	kct_ping(&a);
	assert_false(kct_has(&a, KCP_SEND)); /* not answered yet */
	assert_int_equal(kct_result_of(&b, kct_settle(&b, KCP_TAKEN, in, 1, 1, 0)), KCP_OK);
	assert_int_equal(count_of(kct_reply(&a, send)), 1);

	/* the sender gives up before it is confirmed: the element never was */
	recv = kct_recv(&b, in, 1, 0, KCT_FOREVER);
	kct_ping(&b);
	send = kct_send(&a, out, "2", KCT_FOREVER);
	f = kct_reply(&b, recv);
	kct_assert_messages(f, 2, 1, "2");
	assert_int_equal(kct_result_of(&a, kct_about(&a, KCP_CANCEL, send)), KCP_OK);
	assert_int_equal(kct_result_of(&a, send), KCP_CANCELED);
	taken = kct_settle(&b, KCP_TAKEN, in, 2, 1, 0);
	assert_int_equal(kct_result_of(&b, taken), KCP_NOENT);
	assert_int_equal(kct_stat(&a, "r", KCP_S_SENT), 1);
	assert_int_equal(kct_stat(&a, "r", KCP_S_RECEIVED), 1);

	/* a try that finds a receiver waits for it, but not for ever */
	recv = kct_recv(&b, in, 1, 0, KCT_FOREVER);
	kct_ping(&b);
	send = kct_send(&a, out, "3", 0);
	assert_int_equal(kct_result_of(&a, send), KCP_AGAIN); /* a second later */
	assert_int_equal(kct_result_of(&b, recv), KCP_OK);
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

/* What waits is held for somebody, and that somebody pays for it. */
static void waiting_sends_are_charged(void **state)
{
	static char text[65001];
	struct kct_wire w;
	const struct kct_frame *f;
	uint32_t at, dquot = 0;
	uint64_t ids[40];

	(void)state;
	client(&w);
	at = kct_make(&w, "b", KCP_KIND_RENDEZVOUS, 0, 0, KCP_ROLE_SENDER);
	memset(text, 'x', 65000);
	for (int i = 0; i < 40; i++)
		ids[i] = kct_send(&w, at, text, KCT_FOREVER);
	kct_ping(&w);
	for (int i = 0; i < 40; i++) {
		kct_about(&w, KCP_CANCEL, ids[i]);
		f = kct_reply(&w, ids[i]);
		if (kct_result(f) == KCP_DQUOT) {
			assert_string_equal(kct_detail(f), "user_limits.bytes is used up");
			dquot++;
		} else {
			assert_int_equal(kct_result(f), KCP_CANCELED);
		}
	}
	assert_int_equal(dquot, 40 - 1048576 / 65004);
	kct_ping(&w);
	assert_int_equal(kct_stat(&w, NULL, KCP_S_BYTES), 0);
	kct_wire_bye(&w);
}

/* Whoever does not read is not read from, and costs nobody else anything. */
static void a_client_that_does_not_read_is_held_back(void **state)
{
	struct kct_wire slow, other;
	uint32_t at;
	static char text[50001];
	int answered = 0;

	(void)state;
	client(&slow);
	client(&other);
	memset(text, 'x', 50000);
	at = kct_make(&slow, "slow", KCP_KIND_CONFLATED, 0, 0, BOTH);
	assert_int_equal(kct_result_of(&slow, kct_send(&slow, at, text, 0)), KCP_OK);
	for (int i = 0; i < 200; i++) {
		kct_begin(&slow, KCP_RECV);
		kcp_put_u32(&slow.out, KCP_T_ATTACH, at);
		kcp_put_u32(&slow.out, KCP_T_FLAGS, KCP_F_LEASE);
		kcp_put_u64(&slow.out, KCP_T_TIMEOUT_MS, 0);
		kct_end_later(&slow);
		kct_begin(&slow, KCP_SEND);
		kcp_put_u32(&slow.out, KCP_T_ATTACH, at);
		{
			size_t e = kcp_tlv_begin(&slow.out, KCP_T_ELEMENTS);

			kcp_put_message(&slow.out, text, 50000);
			kcp_tlv_end(&slow.out, e);
		}
		kct_end_later(&slow);
	}
	/* 10 MB each way: written by hand while the answers are left where they are, as long
	 * as the socket takes anything */
	kct_raw(&slow, slow.out.data, 500000);
	kct_ping(&other);
	assert_int_equal(kct_stat(&other, NULL, KCP_S_CONNECTIONS), 3);
	/* now it reads, and gets all of it */
	for (size_t pos = 500000; pos < slow.out.len;) {
		size_t n = slow.out.len - pos < 100000 ? slow.out.len - pos : 100000;

		kct_raw(&slow, slow.out.data + pos, n);
		pos += n;
		while (answered < 400 && answered < (int)(pos / 25100) - 20) {
			kct_next(&slow);
			answered++;
		}
	}
	kcp_buf_clear(&slow.out);
	while (answered < 400) {
		kct_next(&slow);
		answered++;
	}
	kct_wire_bye(&slow);
	kct_wire_bye(&other);
}

/* Half a frame costs memory, which the one who sent it pays for. */
static void unfinished_frames_are_charged(void **state)
{
	static uint8_t half[1000000];
	struct kcp_header h = { .type = KCP_SEND, .length = 1100000, .id = 9 };
	struct kct_wire a, b, other;

	(void)state;
	client(&a);
	client(&b);
	kcp_header_encode(&h, half);
	kct_raw(&a, half, sizeof(half));
	kct_ping(&watcher);
	kct_raw(&b, half, sizeof(half));
	kct_expect_error(&b, KCP_DQUOT);
	kct_wire_cut(&b);
	client(&other); /* small ones still come in */
	kct_wire_bye(&other);
	memset(half, 0, sizeof(half));
	kct_raw(&a, half, 100000 + KCP_HEADER_SIZE);
	assert_int_equal(kct_result_of(&a, 9), KCP_PROTO);
	a.next_id = 9;
	kct_wire_bye(&a);
}

/* Requests that waited can all be answered at once: then there is an end. */
static void too_much_output_ends_the_connection(void **state)
{
	struct kct_wire slow, other;
	uint32_t in, out;
	static char text[60001];

	(void)state;
	client(&slow);
	client(&other);
	out = kct_make(&other, "flood", KCP_KIND_BUFFERED, 0, 100, KCP_ROLE_SENDER);
	in = kct_open(&slow, "flood", KCP_ROLE_RECEIVER, 0, 0);
	memset(text, 'x', 60000);
	for (int i = 0; i < 60; i++)
		kct_recv(&slow, in, 1, 0, KCT_FOREVER);
	kct_ping(&slow);
	/* once it is cut off, what it was given fills the channel again */
	for (int i = 0; i < 60 && kct_result_of(&other, kct_send(&other, out, text, 0)) == KCP_OK;
	     i++)
		;
	kct_expect_error(&slow, KCP_DQUOT);
	kct_wire_cut(&slow);
	kct_assert_balanced(&other, "flood");
	kct_wire_bye(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(elements_come_in_the_order_sent),
		DAEMON_TEST(fixed_elements_have_no_lengths),
		DAEMON_TEST(a_full_channel_takes_what_fits),
		DAEMON_TEST(waiting_receivers_are_served_in_order),
		DAEMON_TEST(deadlines_are_kept),
		DAEMON_TEST(cancel_ends_a_wait_and_nothing_else),
		DAEMON_TEST(space_and_count_bound_a_receive),
		DAEMON_TEST(replies_fit_the_frames_of_the_client),
		DAEMON_TEST(messages_over_the_limit_are_refused),
		DAEMON_TEST(overflow_policies_drop),
		DAEMON_TEST(conflated_keeps_the_newest),
		DAEMON_TEST(a_rendezvous_needs_both),
		DAEMON_TEST_WITH(waiting_sends_are_charged,
				 "{ \"user_limits\": { \"bytes\": 1048576 } }"),
		DAEMON_TEST(a_client_that_does_not_read_is_held_back),
		DAEMON_TEST_WITH(unfinished_frames_are_charged,
				 "{ \"user_limits\": { \"buffers\": 1500000 } }"),
		DAEMON_TEST_WITH(too_much_output_ends_the_connection,
				 "{ \"limits\": { \"output_high\": 65536,"
				 " \"output_max\": 1048576 } }"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
