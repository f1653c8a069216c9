/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is particular to local channels: their memory, and how they go. The rest
 * is in the conformance suite.
 */
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

static kc_chan_t *make(enum kc_kind kind, size_t capacity)
{
	kc_chan_t *ch = NULL;

	assert_int_equal(kc_chan_make(&ch, kind, sizeof(uint64_t), capacity), 0);
	return ch;
}

static long send_main(void *arg)
{
	uint64_t v = 9;

	return kc_chan_send(arg, &v, -1);
}

static long recv_main(void *arg)
{
	uint64_t v;

	return kc_chan_recv(arg, &v, -1);
}

/* ---- destroying ---------------------------------------------------------- */

static void destroy_ends_the_calls_that_wait(void **state)
{
	struct kct_call calls[6];
	uint64_t v = 1;
	kc_chan_t *ch = make(KC_BUFFERED, 1);

	for (int i = 0; i < 3; i++)
		kct_call_start(&calls[i], recv_main, ch);
	kct_chan_wait_for(ch, 0, 3);
	kc_chan_destroy(ch);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_call_join(&calls[i]), KC_EPIPE);

	ch = make(KC_BUFFERED, 1);
	assert_int_equal(kc_chan_send(ch, &v, -1), 0);
	for (int i = 0; i < 3; i++)
		kct_call_start(&calls[i], send_main, ch);
	kct_chan_wait_for(ch, 3, 0);
	kc_chan_destroy(ch);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_call_join(&calls[i]), KC_EPIPE);
}

static void destroy_frees_only_what_nobody_uses(void **state)
{
	/* the sanitizers are the judges: calls leave while destroy is under way */
	for (int round = 0; round < 300; round++) {
		struct kct_call calls[4];
		kc_chan_t *ch = make(KC_RENDEZVOUS, 0);

		for (int i = 0; i < 4; i++)
			kct_call_start(&calls[i], recv_main, ch);
		kct_chan_wait_for(ch, 0, 4);
		kc_chan_destroy(ch);
		for (int i = 0; i < 4; i++)
			assert_int_equal(kct_call_join(&calls[i]), KC_EPIPE);
	}
}

struct dropped {
	kc_chan_t *ch;
	kc_chan_t *other;
	int n;
	long len;
	int sent;
};

static void use_channels(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	struct dropped *d = arg;
	uint64_t v;

	d->n++;
	memcpy(&v, elem, sizeof(v));
	/* this channel and another: no lock is held, both still work */
	d->len = kc_chan_len(d->ch);
	if (d->other)
		d->sent += kc_chan_try_send(d->other, &v) == 0;
	if (reason == KC_DROP_DESTROYED && kc_chan_try_recv(d->ch, &v) != KC_EPIPE)
		d->n = -100;
}

static void the_hook_may_use_channels_while_one_is_destroyed(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct dropped d = { .len = -1 };
	uint64_t v;

	o.elem_size = sizeof(v);
	o.capacity = 4;
	o.on_drop = use_channels;
	o.on_drop_arg = &d;
	d.other = make(KC_BUFFERED, 10);
	assert_int_equal(kc_chan_make_ex(&d.ch, &o), 0);
	for (v = 0; v < 4; v++)
		assert_int_equal(kc_chan_send(d.ch, &v, -1), 0);
	kc_chan_destroy(d.ch);
	assert_int_equal(d.n, 4);
	assert_int_equal(d.sent, 4);
	assert_int_equal(d.len, 0);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(kc_chan_try_recv(d.other, &v), 0);
		assert_int_equal(v, i);
	}
	kc_chan_destroy(d.other);
}

/* ---- memory -------------------------------------------------------------- */

static void a_great_capacity_costs_nothing_until_used(void **state)
{
	kc_chan_t *ch = NULL;
	long allocations;
	uint64_t v = 1;

	kct_alloc_fail_from(0);
	assert_int_equal(kc_chan_make(&ch, KC_BUFFERED, KC_ELEM_MAX, KC_CAPACITY_MAX), 0);
	allocations = kct_alloc_fail_end();
	assert_int_equal(allocations, 1);
	kc_chan_destroy(ch);

	ch = make(KC_BUFFERED, KC_CAPACITY_MAX);
	kct_alloc_fail_from(0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(kc_chan_try_send(ch, &v), 0);
	assert_in_range(kct_alloc_fail_end(), 1, 2);
	kc_chan_destroy(ch);
}

static void a_full_channel_of_the_largest_capacity_works(void **state)
{
	kc_chan_t *ch = make(KC_BUFFERED, KC_CAPACITY_MAX);
	uint64_t v;

	for (uint64_t i = 0; i < KC_CAPACITY_MAX; i++)
		assert_int_equal(kc_chan_try_send(ch, &i), 0);
	assert_int_equal(kc_chan_try_send(ch, &v), KC_EAGAIN);
	for (uint64_t i = 0; i < KC_CAPACITY_MAX; i++) {
		assert_int_equal(kc_chan_try_recv(ch, &v), 0);
		assert_int_equal(v, i);
	}
	kc_chan_destroy(ch);
}

static void empty_messages_do_not_make_an_unlimited_channel_endless(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_chan_t *ch;
	long n = 0;

	o.kind = KC_UNLIMITED;
	o.max_msg = 10;
	o.max_bytes = 1000;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	while (kc_chan_send_msg(ch, NULL, 0, 0) == 0)
		n++;
	assert_int_equal(n, 1000);
	kc_chan_destroy(ch);
}

static void check_balance(kc_chan_t *ch, uint64_t sent, uint64_t len)
{
	struct kc_chan_snapshot snap;

	assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
	assert_int_equal(kc_ledger_balance(&snap.ledger), 0);
	assert_int_equal(snap.ledger.sent, sent);
	assert_int_equal(snap.len, len);
}

/* Make one allocation after the other fail until the call succeeds. */
#define FAIL_EACH(call, r)                                                                         \
	for (long nth_ = 1;; nth_++) {                                                             \
		kct_alloc_fail_from(nth_);                                                         \
		(r) = (call);                                                                      \
		if (kct_alloc_fail_end() < nth_)                                                   \
			break;                                                                     \
		assert_int_equal((r), KC_ENOMEM);                                                  \
	}

static void no_memory_to_make_one(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_chan_t *ch = NULL;
	int r;

	FAIL_EACH(kc_chan_make(&ch, KC_BUFFERED, 8, 4), r);
	assert_int_equal(r, 0);
	kc_chan_destroy(ch);
	ch = NULL;
	o.capacity = 4;
	FAIL_EACH(kc_chan_make_ex(&ch, &o), r);
	assert_int_equal(r, 0);
	kc_chan_destroy(ch);
	FAIL_EACH(kc_chan_make_ptr(&ch, KC_BUFFERED, 4), r);
	assert_int_equal(r, 0);
	kc_chan_destroy(ch);
}

static void no_memory_to_send(void **state)
{
	kc_chan_t *ch = make(KC_BUFFERED, 100000);
	uint64_t v = 1;
	uint64_t n = 0;
	int r;

	/* many sends: each chunk's allocation fails once */
	for (; n < 20000; n++) {
		FAIL_EACH(kc_chan_send(ch, &v, -1), r);
		assert_int_equal(r, 0);
	}
	check_balance(ch, n, n);
	kc_chan_destroy(ch);
}

static void count_drop(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	(void)elem;
	(void)len;
	(void)reason;
	(*(uint64_t *)arg)++;
}

static void no_memory_for_what_is_dropped(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_CONFLATED };

	for (size_t k = 0; k < 2; k++) {
		struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
		struct kc_chan_snapshot snap;
		uint64_t dropped = 0;
		char buf[3000] = { 0 };
		kc_chan_t *ch;
		int r;

		o.kind = kinds[k];
		o.max_msg = sizeof(buf);
		if (kinds[k] == KC_BUFFERED) {
			o.capacity = 3;
			o.overflow = KC_OVERFLOW_DROP_OLDEST;
		}
		o.on_drop = count_drop;
		o.on_drop_arg = &dropped;
		assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
		for (size_t n = 0; n < 60; n++) {
			FAIL_EACH(kc_chan_send_msg(ch, buf, n * 50, -1), r);
			assert_int_equal(r, 0);
			check_balance(ch, n + 1, k || n == 0 ? 1 : n == 1 ? 2 : 3);
		}
		assert_int_equal(kc_chan_snapshot(ch, &snap), 0);
		assert_int_equal(dropped, snap.ledger.conflated + snap.ledger.dropped_oldest);
		kc_chan_destroy(ch);
	}
}

static long send_large(void *arg)
{
	static const char large[20000];

	return kc_chan_send_msg(arg, large, sizeof(large), -1);
}

static void a_waiting_sender_is_told_of_no_memory(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kct_call call;
	kc_chan_t *ch;
	char buf[10];
	size_t len;

	/* the receive that makes room moves the waiting message into the queue, which
	 * needs a chunk: it is the sender who lacks the memory, not the receiver */
	o.capacity = 1;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	assert_int_equal(kc_chan_send_msg(ch, "x", 1, -1), 0);
	kct_call_start(&call, send_large, ch);
	kct_chan_wait_for(ch, 1, 0);
	kct_alloc_fail_from(1);
	assert_int_equal(kc_chan_recv_msg(ch, buf, sizeof(buf), &len, 0), 0);
	assert_int_equal(kct_alloc_fail_end(), 1);
	assert_int_equal(kct_call_join(&call), KC_ENOMEM);
	check_balance(ch, 1, 0);
	kc_chan_destroy(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(destroy_ends_the_calls_that_wait),
		KCT_TEST(destroy_frees_only_what_nobody_uses),
		KCT_TEST(the_hook_may_use_channels_while_one_is_destroyed),
		KCT_TEST(a_great_capacity_costs_nothing_until_used),
		KCT_TEST(a_full_channel_of_the_largest_capacity_works),
		KCT_TEST(empty_messages_do_not_make_an_unlimited_channel_endless),
		KCT_TEST(no_memory_to_make_one),
		KCT_TEST(no_memory_to_send),
		KCT_TEST(no_memory_for_what_is_dropped),
		KCT_TEST(a_waiting_sender_is_told_of_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
