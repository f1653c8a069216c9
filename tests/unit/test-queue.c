/* SPDX-License-Identifier: BSD-3-Clause */
/* The storage of a local channel, against a model. */
#include <string.h>

#include "libkcoro-client/core/chan-queue.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

#define MODEL_MAX 512
#define LEN_MAX	  40000

static unsigned char buf[LEN_MAX];

static void put(struct kci_queue *q, unsigned char first, size_t len)
{
	memset(buf, first, len);
	assert_true(kci_queue_reserve(q, len));
	kci_queue_push(q, buf, len);
}

static void expect_front(const struct kci_queue *q, unsigned char first, size_t len)
{
	const unsigned char *elem;
	size_t got = 0;

	elem = kci_queue_front(q, &got);
	assert_int_equal(got, len);
	if (q->elem_size == 0)
		assert_int_equal((uintptr_t)elem % _Alignof(max_align_t), 0);
	if (len > 0) {
		assert_int_equal(elem[0], first);
		assert_int_equal(elem[len - 1], first);
	}
}

static void random_lengths_keep_their_order(void **state)
{
	uint64_t seed = kct_seed();
	size_t lens[MODEL_MAX];
	size_t head = 0, n = 0, bytes = 0;
	struct kci_queue q;

	kci_queue_init(&q, 0);
	for (int step = 0; step < 20000; step++) {
		uint64_t r = kct_random(&seed);
		/* mostly short, now and then far over a chunk; long runs of one or the other */
		size_t len = r % 50 == 0 ? (r >> 8) % LEN_MAX : (r >> 8) % 60;
		bool fills = step / 700 % 2;

		if (n < MODEL_MAX && (fills ? r >> 60 < 12 : r >> 60 < 6)) {
			put(&q, (unsigned char)len, len);
			lens[(head + n++) % MODEL_MAX] = len;
			bytes += len;
		} else if (n > 0) {
			expect_front(&q, (unsigned char)lens[head], lens[head]);
			kci_queue_pop(&q);
			bytes -= lens[head];
			head = (head + 1) % MODEL_MAX;
			n--;
		}
		assert_int_equal(q.len, n);
		assert_int_equal(q.bytes, bytes);
	}
	kci_queue_done(&q);
	assert_int_equal(q.len, 0);
	assert_null(q.head);
}

static void fixed_elements_of_every_size(void **state)
{
	static const size_t sizes[] = { 1, 3, 8, 24, 1000, 5000, 20000 };

	for (size_t i = 0; i < KC_ARRAY_SIZE(sizes); i++) {
		struct kci_queue q;
		unsigned char in = 0, out = 0;

		kci_queue_init(&q, sizes[i]);
		for (int round = 0; round < 50; round++) {
			for (int k = 0; k < 40; k++)
				put(&q, in++, sizes[i]);
			for (int k = 0; k < 39 - round % 2; k++) {
				expect_front(&q, out++, sizes[i]);
				kci_queue_pop(&q);
			}
		}
		while (q.len > 0) {
			expect_front(&q, out++, sizes[i]);
			kci_queue_pop(&q);
		}
		assert_int_equal(out, in);
		kci_queue_done(&q);
	}
}

static void around_empty_nothing_is_allocated(void **state)
{
	struct kci_queue q;

	kci_queue_init(&q, 8);
	put(&q, 1, 8);
	kci_queue_pop(&q);
	kct_alloc_fail_from(1);
	for (int i = 0; i < 10000; i++) {
		put(&q, (unsigned char)i, 8);
		put(&q, 7, 8);
		expect_front(&q, (unsigned char)i, 8);
		kci_queue_pop(&q);
		kci_queue_pop(&q);
	}
	assert_int_equal(kct_alloc_fail_end(), 0);
	kci_queue_done(&q);
}

static void a_queue_in_steady_state_lives_on_its_spare(void **state)
{
	struct kci_queue q;
	long allocations;

	kci_queue_init(&q, 8);
	for (int i = 0; i < 1000; i++)
		put(&q, 1, 8);
	kct_alloc_fail_from(0);
	for (int i = 0; i < 100000; i++) {
		put(&q, 1, 8);
		kci_queue_pop(&q);
	}
	allocations = kct_alloc_fail_end();
	assert_in_range(allocations, 0, 2);
	kci_queue_done(&q);
}

static void a_great_message_leaves_no_great_chunk(void **state)
{
	struct kci_queue q;

	kci_queue_init(&q, 0);
	put(&q, 1, LEN_MAX);
	kci_queue_pop(&q);
	assert_null(q.tail);
	assert_null(q.spare);
	kci_queue_done(&q);
}

static void no_memory_changes_nothing(void **state)
{
	struct kci_queue q;

	kci_queue_init(&q, 0);
	put(&q, 5, LEN_MAX);
	kct_alloc_fail_from(1);
	assert_false(kci_queue_reserve(&q, LEN_MAX));
	assert_int_equal(kct_alloc_fail_end(), 1);
	assert_int_equal(q.len, 1);
	expect_front(&q, 5, LEN_MAX);
	/* and the next try succeeds */
	put(&q, 6, LEN_MAX);
	kci_queue_pop(&q);
	expect_front(&q, 6, LEN_MAX);
	kci_queue_done(&q);
}

static void room_that_was_reserved_outlives_the_last_element(void **state)
{
	struct kci_queue q;

	kci_queue_init(&q, 0);
	put(&q, 5, LEN_MAX);
	/* an element makes room for another: reserve, then pop, then push */
	assert_true(kci_queue_reserve(&q, LEN_MAX));
	kci_queue_pop(&q);
	memset(buf, 6, LEN_MAX);
	kci_queue_push(&q, buf, LEN_MAX);
	expect_front(&q, 6, LEN_MAX);
	kci_queue_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(random_lengths_keep_their_order),
		KCT_TEST(fixed_elements_of_every_size),
		KCT_TEST(around_empty_nothing_is_allocated),
		KCT_TEST(a_queue_in_steady_state_lives_on_its_spare),
		KCT_TEST(a_great_message_leaves_no_great_chunk),
		KCT_TEST(no_memory_changes_nothing),
		KCT_TEST(room_that_was_reserved_outlives_the_last_element),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
