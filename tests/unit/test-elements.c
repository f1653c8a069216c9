/* SPDX-License-Identifier: BSD-3-Clause */
/* The element log: what is appended can be read until it is freed, in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kcorod/elements.h"
#include "kcoro/error.h"

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

static void churn(uint32_t elem_size, unsigned seed)
{
	static uint8_t buf[100000];
	static uint8_t live[N];
	struct kcd_budget budget = { .max = 1u << 30, .name = "test" };
	struct kcd_elements es;
	const char *limit = NULL;
	uint64_t n_live = 0;

	print_message("# elem_size %u seed %u\n", elem_size, seed);
	memset(live, 0, sizeof(live));
	kcd_elements_init(&es, elem_size, &budget, NULL);
	for (uint64_t seq = 0; seq < N; seq++) {
		uint64_t at = (uint64_t)rand_r(&seed) % (seq + 1);

		assert_int_equal(es.next, seq);
		assert_int_equal(kcd_elements_append(&es, buf, fill(buf, elem_size, seq), &limit),
				 0);
		live[seq] = 1;
		n_live++;
		/* Free a stretch of what lives around a random place. */
		while (at <= seq && live[at] && n_live > 100) {
			check(&es, elem_size, at);
			kcd_elements_free(&es, at, 1);
			live[at++] = 0;
			n_live--;
		}
	}
	for (uint64_t seq = 0; seq < N; seq++)
		if (live[seq])
			check(&es, elem_size, seq);
	for (uint64_t seq = 0; seq < N; seq++)
		if (live[seq])
			kcd_elements_free(&es, seq, 1);
	assert_int_equal(es.held, 0);
	assert_int_equal(budget.used, 0);
	assert_true(es.cap <= 64);
	kcd_elements_done(&es);
	assert_true(budget.used == 0);
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
	assert_int_equal(kcd_elements_append(&es, "abc", 3, &limit), 0);
	assert_int_equal(kcd_elements_append(&es, "", 0, &limit), 0);
	assert_int_equal(kcd_elements_append(&es, "z", 1, &limit), 0);
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
	assert_int_equal(kcd_elements_append(&es, big, sizeof(big), &limit), 0);
	assert_int_equal(kcd_elements_append(&es, big, sizeof(big), &limit), KC_EDQUOT);
	assert_string_equal(limit, "bytes_per_uid");
	assert_int_equal(es.next, 1);
	kcd_elements_free(&es, 0, 1);
	assert_int_equal(kcd_elements_append(&es, big, sizeof(big), &limit), 0);
	kcd_elements_done(&es);
	assert_int_equal(daemon.used, 0);
	assert_int_equal(user.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_elements_survive_any_order_of_freeing),
		cmocka_unit_test(messages_survive_any_order_of_freeing),
		cmocka_unit_test(a_run_has_the_travelling_form),
		cmocka_unit_test(a_budget_that_is_used_up_refuses_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
