/* SPDX-License-Identifier: BSD-3-Clause */
/* The element log: what is appended can be read until it is freed, in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kcorod/elements.h"
#include "kcoro/error.h"
#include "proto/bytes.h"

#define N 4000

static uint32_t fill(uint8_t *buf, uint32_t elem_size, uint64_t seq)
{
	uint32_t len = elem_size ? elem_size : (uint32_t)(seq * 7919 % 300);

	if (!elem_size && seq % 500 == 499)
		len = 100000; /* larger than any ordinary segment */
	for (uint32_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(seq * 31 + i);
	return len;
}

static void check(const struct kcd_elements *es, uint32_t elem_size, uint64_t seq)
{
	static uint8_t want[100000];
	uint32_t len, want_len = fill(want, elem_size, seq);
	const void *data = kcd_elements_get(es, seq, &len);

	assert_int_equal(len, want_len);
	assert_memory_equal(data, want, len);
}

/* One element in travelling form behind buf[at]: where the next goes. */
static size_t put(uint8_t *buf, size_t at, uint32_t elem_size, const void *data, uint32_t len)
{
	if (!elem_size) {
		kcp_store_u32(buf + at, len);
		at += 4;
	}
	memcpy(buf + at, data, len);
	return at + len;
}

static long append_one(struct kcd_elements *es, const void *data, uint32_t len, const char **limit)
{
	static uint8_t buf[100004];

	return kcd_elements_append(es, buf, 1, put(buf, 0, es->elem_size, data, len), NULL, limit);
}

static uint8_t *lend(void *arg)
{
	uint8_t **at = arg;
	uint8_t *data = *at;

	*at = NULL;
	return data;
}

/* Append n elements, from memory that may be kept if `lent`. */
static void append_batch(struct kcd_elements *es, uint32_t n, bool lent)
{
	static uint8_t elem[100000];
	uint8_t *data = malloc((size_t)n * sizeof(elem) / 4 + sizeof(elem));
	struct kcd_lender lender = { .take = lend, .arg = &data };
	const char *limit;
	uint64_t seq = es->next;
	size_t bytes = 0;

	assert_non_null(data);
	for (uint32_t i = 0; i < n; i++)
		bytes = put(data, bytes, es->elem_size, elem, fill(elem, es->elem_size, seq + i));
	lender.size = bytes;
	assert_int_equal(kcd_elements_append(es, data, n, bytes, lent ? &lender : NULL, &limit), n);
	assert_int_equal(es->next, seq + n);
	free(data); /* NULL if it was kept */
}

/* What is held stays as it was when its elements are gone. */
struct held {
	struct kcd_segment *segment;
	const void *data;
	size_t bytes;
	uint8_t *copy;
};

static void hold(struct kcd_elements *es, uint64_t seq, struct held *ret)
{
	(void)kcd_elements_run(es, seq, 1, &ret->data, &ret->bytes);
	ret->segment = kcd_elements_hold(es, seq, ret->bytes);
	if (!ret->segment)
		return;
	ret->copy = malloc(ret->bytes);
	assert_non_null(ret->copy);
	memcpy(ret->copy, ret->data, ret->bytes);
}

static void let_go(struct held *held)
{
	if (!held->segment)
		return;
	assert_memory_equal(held->data, held->copy, held->bytes);
	kcd_segment_release(held->segment);
	free(held->copy);
	*held = (struct held){ 0 };
}

static void churn(uint32_t elem_size, unsigned seed)
{
	static uint8_t live[N + 64];
	struct kcd_budget budget = { .max = 1u << 30, .name = "test" };
	struct held held[8] = { { 0 } };
	struct kcd_elements es;
	uint64_t n_live = 0, seq = 0;

	print_message("# elem_size %u seed %u\n", elem_size, seed);
	memset(live, 0, sizeof(live));
	kcd_elements_init(&es, elem_size, &budget, NULL);
	while (seq < N) {
		uint32_t n = rand_r(&seed) % 4 ? 1 : 1 + (uint32_t)rand_r(&seed) % 64;
		struct held *some = &held[rand_r(&seed) % 8];
		uint64_t at;

		append_batch(&es, n, rand_r(&seed) % 2);
		for (uint32_t i = 0; i < n; i++)
			live[seq++] = 1;
		n_live += n;
		at = (uint64_t)rand_r(&seed) % seq;
		if (live[at]) {
			let_go(some);
			hold(&es, at, some);
		}
		/* Free a stretch of what lives around a random place. */
		while (at < seq && live[at] && n_live > 100) {
			check(&es, elem_size, at);
			kcd_elements_free(&es, at, 1);
			live[at++] = 0;
			n_live--;
		}
	}
	for (uint64_t i = 0; i < seq; i++)
		if (live[i])
			check(&es, elem_size, i);
	for (uint64_t i = 0; i < seq; i++)
		if (live[i])
			kcd_elements_free(&es, i, 1);
	assert_int_equal(es.held, 0);
	assert_int_equal(budget.used, 0);
	assert_true(es.cap <= 64);
	kcd_elements_done(&es);
	assert_true(budget.used == 0);
	for (size_t i = 0; i < 8; i++)
		let_go(&held[i]);
}

static void fixed_elements_survive_any_order_of_freeing(void **state)
{
	(void)state;
	churn(8, 1);
	churn(64, 2);
	churn(5000, 3);
}

static void messages_survive_any_order_of_freeing(void **state)
{
	(void)state;
	churn(0, 4);
	churn(0, 5);
}

static void a_run_has_the_travelling_form(void **state)
{
	struct kcd_elements es;
	const char *limit;
	const void *data;
	size_t bytes;
	static const uint8_t want[] = "\3\0\0\0abc\0\0\0\0\1\0\0\0z";

	(void)state;
	kcd_elements_init(&es, 0, NULL, NULL);
	assert_int_equal(append_one(&es, "abc", 3, &limit), 1);
	assert_int_equal(append_one(&es, "", 0, &limit), 1);
	assert_int_equal(append_one(&es, "z", 1, &limit), 1);
	assert_int_equal(kcd_elements_run(&es, 0, 3, &data, &bytes), 3);
	assert_int_equal(bytes, sizeof(want) - 1);
	assert_memory_equal(data, want, bytes);
	assert_int_equal(kcd_elements_run(&es, 1, 1, &data, &bytes), 1);
	assert_int_equal(bytes, 4);
	kcd_elements_done(&es);
}

static void a_budget_that_is_used_up_refuses_by_name(void **state)
{
	struct kcd_budget daemon = { .max = 10000, .name = "bytes_total" };
	struct kcd_budget user = { .max = 3000, .name = "bytes_per_uid" };
	struct kcd_elements es;
	const char *limit = NULL;
	static uint8_t big[2900];

	(void)state;
	kcd_elements_init(&es, 0, &daemon, &user);
	assert_int_equal(append_one(&es, big, sizeof(big), &limit), 1);
	assert_int_equal(append_one(&es, big, sizeof(big), &limit), KC_EDQUOT);
	assert_string_equal(limit, "bytes_per_uid");
	assert_int_equal(es.next, 1);
	kcd_elements_free(&es, 0, 1);
	assert_int_equal(append_one(&es, big, sizeof(big), &limit), 1);
	kcd_elements_done(&es);
	assert_int_equal(daemon.used, 0);
	assert_int_equal(user.used, 0);
}

static void a_large_frame_is_kept_and_a_wasteful_one_copied(void **state)
{
	uint8_t *frame = calloc(1, 100000), *same = frame;
	struct kcd_lender lender = { .size = 100000, .take = lend, .arg = &frame };
	struct kcd_elements es;
	const char *limit;
	size_t bytes;
	const void *data;

	(void)state;
	assert_non_null(frame);
	kcd_elements_init(&es, 1000, NULL, NULL);
	assert_int_equal(kcd_elements_append(&es, frame, 10, 10000, &lender, &limit), 10);
	assert_ptr_equal(frame, same);
	assert_int_equal(kcd_elements_append(&es, frame, 70, 70000, &lender, &limit), 70);
	assert_ptr_equal(frame, same);
	assert_int_equal(kcd_elements_append(&es, frame + 50, 99, 99000, &lender, &limit), 99);
	assert_null(frame);
	assert_int_equal(kcd_elements_run(&es, 80, 99, &data, &bytes), 99);
	assert_ptr_equal(data, same + 50);
	assert_int_equal(bytes, 99000);
	kcd_elements_done(&es);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_elements_survive_any_order_of_freeing),
		cmocka_unit_test(messages_survive_any_order_of_freeing),
		cmocka_unit_test(a_run_has_the_travelling_form),
		cmocka_unit_test(a_large_frame_is_kept_and_a_wasteful_one_copied),
		cmocka_unit_test(a_budget_that_is_used_up_refuses_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
