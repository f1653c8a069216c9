/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chan_basic: the first things one does with a channel, as a program would.
 */
#include "tests/conformance/program.h"

#include <string.h>

static struct kct_pair make(enum kc_kind kind, size_t elem_size, size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kct_pair pair = { 0 };

	o.kind = kind;
	o.elem_size = elem_size;
	o.capacity = capacity;
	assert_int_equal(kct_placement.make(&pair, &o, false), 0);
	return pair;
}

static void balance_and_unmake(struct kct_pair *pair, uint64_t sent, uint64_t received)
{
	struct kc_chan_snapshot snap;

	assert_int_equal(kc_chan_snapshot(pair->rx, &snap), 0);
	assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
	assert_int_equal(snap.ledger.sent, sent);
	assert_int_equal(snap.ledger.received, received);
	kct_placement.unmake(pair);
}

static void buffered_send_receive_close(void **state)
{
	struct kct_pair p = make(KC_BUFFERED, sizeof(int), 2);
	int v;

	for (v = 1; v <= 2; v++)
		assert_int_equal(kc_chan_send(p.tx, &v, -1), 0);
	assert_int_equal(kc_chan_try_send(p.tx, &v), KC_EAGAIN);
	assert_int_equal(kc_chan_len(p.rx), 2);
	assert_int_equal(kc_chan_recv(p.rx, &v, -1), 0);
	assert_int_equal(v, 1);
	assert_int_equal(kc_chan_close(p.tx), 0);
	assert_int_equal(kc_chan_send(p.tx, &v, -1), KC_EPIPE);
	assert_int_equal(kc_chan_recv(p.rx, &v, -1), 0);
	assert_int_equal(v, 2);
	assert_int_equal(kc_chan_recv(p.rx, &v, -1), KC_EPIPE);
	balance_and_unmake(&p, 2, 2);
}

static void rendezvous_hands_over(void **state)
{
	struct kct_case c;
	struct kct_op op;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	assert_int_equal(case_send(&c, 1, 0, NULL), KC_EAGAIN);
	assert_int_equal(case_recv(&c, 0, NULL), KC_EAGAIN);
	op_start_blocked(&op, &c, false, 0, 1);
	assert_int_equal(case_send(&c, 42, -1, NULL), 0);
	assert_int_equal(op_join(&op), 42);
	case_end(&c);
}

static void conflated_shows_the_newest(void **state)
{
	struct kct_pair p = make(KC_CONFLATED, sizeof(int), 0);
	int v;

	for (v = 1; v <= 10; v++)
		assert_int_equal(kc_chan_send(p.tx, &v, -1), 0);
	assert_int_equal(kc_chan_recv(p.rx, &v, -1), 0);
	assert_int_equal(v, 10);
	balance_and_unmake(&p, 10, 1);
}

static void unlimited_never_waits_within_its_bytes(void **state)
{
	struct kct_pair p = make(KC_UNLIMITED, sizeof(int), 0);
	int n = 20000;
	int v;

	for (int i = 0; i < n; i++)
		assert_int_equal(kc_chan_try_send(p.tx, &i), 0);
	for (int i = 0; i < n; i++) {
		assert_int_equal(kc_chan_try_recv(p.rx, &v), 0);
		assert_int_equal(v, i);
	}
	assert_int_equal(kc_chan_try_recv(p.rx, &v), KC_EAGAIN);
	balance_and_unmake(&p, (uint64_t)n, (uint64_t)n);
}

static void messages_keep_their_lengths(void **state)
{
	struct kct_pair p = make(KC_BUFFERED, 0, 4);
	char buf[16];
	size_t len;

	assert_int_equal(kc_chan_send_msg(p.tx, "hello", 5, -1), 0);
	assert_int_equal(kc_chan_send_msg(p.tx, "", 0, -1), 0);
	assert_int_equal(kc_chan_recv_msg(p.rx, buf, sizeof(buf), &len, -1), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(kc_chan_recv_msg(p.rx, buf, sizeof(buf), &len, -1), 0);
	assert_int_equal(len, 0);
	balance_and_unmake(&p, 2, 2);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(buffered_send_receive_close), KCT_TEST(rendezvous_hands_over),
	KCT_TEST(conflated_shows_the_newest),  KCT_TEST(unlimited_never_waits_within_its_bytes),
	KCT_TEST(messages_keep_their_lengths),
};

KCT_PROGRAM(tests)
