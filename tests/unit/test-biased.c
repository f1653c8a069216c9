/* SPDX-License-Identifier: BSD-3-Clause */
/* Biased locks: one at a time, whoever owns them, and owners come and go. */
#include <stdio.h>
#include <stdlib.h>

#include "libkcoro-client/port/biased.h"
#include "tests/lib/kct.h"

#define THREADS 4
#define PASSES	20000u

static struct kci_biased lock, other;
static uint64_t inside[2], outside; /* guarded by both; by the first one */
static uint64_t seed;

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* One section. Returns whether it was an owner's. */
static bool section(struct kci_biased *l)
{
	struct kci_bias *me = kci_bias_here;
	bool owned = kci_biased_enter(l, me);

	if (!owned)
		kci_biased_take(l);
	outside++;
	assert_true(kci_biased_inside(me) == owned);
	if (owned)
		kci_biased_leave(me);
	else
		kci_biased_release(l);
	return owned;
}

static long run(void *arg)
{
	uint64_t state = seed + (uintptr_t)arg * UINT64_C(0x9e3779b97f4a7c15) + 1, owned = 0;

	for (uint64_t done = 0; done < PASSES;) {
		/* long runs of one thread, so that it becomes the owner, and short ones */
		uint64_t n = draw(&state) % 4 ? draw(&state) % 8 : draw(&state) % 2000;

		for (uint64_t i = 0; i <= n && done < PASSES; i++, done++)
			owned += section(&lock);
		if (draw(&state) % 8 == 0) {
			/* both: never as an owner of only one */
			struct kci_bias *me = kci_bias_here;
			bool both = kci_biased_enter_both(&lock, &other, me);

			if (!both) {
				kci_biased_take(&lock);
				kci_biased_take(&other);
			}
			inside[0]++;
			inside[1] += 2;
			if (both) {
				kci_biased_leave(me);
			} else {
				kci_biased_release(&other);
				kci_biased_release(&lock);
			}
		}
	}
	return (long)owned;
}

static void test_one_at_a_time(void **state)
{
	struct kct_call calls[THREADS];
	long owned = 0;

	(void)state;
	kci_biased_init(&lock);
	kci_biased_init(&other);
	outside = 0;
	for (uintptr_t i = 0; i < THREADS; i++)
		kct_call_start(&calls[i], run, (void *)i);
	for (int i = 0; i < THREADS; i++)
		owned += kct_call_join(&calls[i]);
	print_message("# seed %llu: %ld of %u sections as an owner\n", (unsigned long long)seed,
		      owned, THREADS * PASSES);
	assert_int_equal(outside, THREADS * PASSES);
	assert_int_equal(inside[1], 2 * inside[0]);
}

static long own(void *arg)
{
	bool owned = false;

	(void)arg;
	for (int i = 0; i < 100000 && !owned; i++)
		owned = section(&lock);
	return owned;
}

/* Whoever has it often and alone becomes its owner; a thread that ended is no hindrance. */
static void test_owners_come_and_go(void **state)
{
	struct kct_call call;

	(void)state;
	kci_biased_init(&lock);
	kct_call_start(&call, own, NULL);
	if (!kct_call_join(&call))
		skip();		      /* the kernel has no barrier to offer */
	assert_false(section(&lock)); /* taken away from one that is no more */
	assert_true(own(NULL));
	kct_call_start(&call, own, NULL);
	assert_true(kct_call_join(&call));
	assert_false(section(&lock));
}

static void test_try(void **state)
{
	(void)state;
	kci_biased_init(&lock);
	assert_true(kci_biased_try(&lock));
	assert_false(kci_biased_try(&lock));
	kci_biased_release(&lock);
	assert_true(kci_biased_try(&lock));
	kci_biased_release(&lock);
}

int main(void)
{
	const char *given = getenv("KC_SEED");
	const struct CMUnitTest tests[] = {
		KCT_TEST(test_one_at_a_time),
		KCT_TEST(test_owners_come_and_go),
		KCT_TEST(test_try),
	};

	seed = given ? strtoull(given, NULL, 10) : kci_clock_now();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
