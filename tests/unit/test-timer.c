/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap of timers: order, disarming, arming anew, functions that arm timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kcorod/list.h"
#include "kcorod/timer.h"

#define N 500

struct probe {
	struct kcd_timer timer;
	uint64_t due;
	int runs;
};

static uint64_t last_due;
static struct kcd_timers timers;

static void probe_run(struct kcd_timer *timer)
{
	struct probe *p = KCD_CONTAINER(timer, struct probe, timer);

	assert_true(p->due >= last_due);
	last_due = p->due;
	p->runs++;
}

static void runs_in_order_and_only_what_is_due(void **state)
{
	static struct probe probes[N];
	unsigned seed = 12345;

	(void)state;
	kcd_timers_init(&timers);
	assert_true(kcd_timers_next(&timers) == UINT64_MAX);
	for (int i = 0; i < N; i++) {
		probes[i].due = 1 + (uint64_t)rand_r(&seed) % 1000;
		probes[i].timer.fn = probe_run;
		assert_int_equal(kcd_timer_arm(&timers, &probes[i].timer, probes[i].due), 0);
	}
	for (int i = 0; i < N; i += 3)
		kcd_timer_disarm(&timers, &probes[i].timer);
	for (int i = 1; i < N; i += 3) {
		probes[i].due = 1 + (uint64_t)rand_r(&seed) % 1000;
		assert_int_equal(kcd_timer_arm(&timers, &probes[i].timer, probes[i].due), 0);
	}
	last_due = 0;
	kcd_timers_run(&timers, 500);
	for (int i = 0; i < N; i++)
		assert_int_equal(probes[i].runs, i % 3 != 0 && probes[i].due <= 500);
	kcd_timers_run(&timers, 1000);
	for (int i = 0; i < N; i++)
		assert_int_equal(probes[i].runs, i % 3 != 0);
	assert_true(kcd_timers_next(&timers) == UINT64_MAX);
	kcd_timers_done(&timers);
}

static void arm_again(struct kcd_timer *timer)
{
	struct probe *p = KCD_CONTAINER(timer, struct probe, timer);

	p->runs++;
	assert_int_equal(kcd_timer_arm(&timers, timer, p->due), 0);
}

static void a_timer_that_arms_itself_in_the_past_does_not_hang_the_loop(void **state)
{
	struct probe p = { .timer.fn = arm_again, .due = 5 };

	(void)state;
	kcd_timers_init(&timers);
	assert_int_equal(kcd_timer_arm(&timers, &p.timer, 5), 0);
	kcd_timers_run(&timers, 10);
	assert_int_equal(p.runs, 1);
	assert_true(kcd_timer_armed(&p.timer));
	kcd_timers_done(&timers);
	assert_false(kcd_timer_armed(&p.timer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_in_order_and_only_what_is_due),
		cmocka_unit_test(a_timer_that_arms_itself_in_the_past_does_not_hang_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
