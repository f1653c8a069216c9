/* SPDX-License-Identifier: BSD-3-Clause */
/* Hundreds of receivers at one channel: everybody gets a turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/channel-sim.h"

#define N 200

static struct sim sim;
static struct sim_client sender, last, *crowd;
static struct sim_wait s, r;

static void begin(uint32_t credit)
{
	struct kcd_channel_options o = sim_options(KCP_KIND_BUFFERED, 4 * N);

	sim_init(&sim, &o);
	crowd = calloc(N, sizeof(*crowd));
	assert_non_null(crowd);
	sim_attach(&sim, &sender, KCP_ROLE_SENDER);
	sim_attach(&sim, &last, KCP_ROLE_RECEIVER);
	for (unsigned i = 0; i < N; i++) {
		sim_attach(&sim, &crowd[i], KCP_ROLE_RECEIVER);
		kcd_attach_credit(&crowd[i].attach, credit);
	}
}

static void end(void)
{
	sim_check(&sim);
	for (unsigned i = 0; i < N; i++)
		sim_detach(&crowd[i], false);
	sim_detach(&last, false);
	sim_detach(&sender, false);
	free(crowd);
	sim_done(&sim);
}

static void send(uint64_t value)
{
	assert_int_equal(sim_send(&s, &sender, &value, 1, true), 1);
}

/* One element at a time is given to one after the other, not to the first again and again. */
static void creditors_take_turns(void **state)
{
	(void)state;
	begin(16);
	for (uint64_t i = 0; i < 3 * N; i++)
		send(i);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(crowd[i].n_given, 3);
		for (uint64_t k = 0; k < 3; k++)
			assert_int_equal(crowd[i].given[k].value, i + k * N);
	}
	end();
}

/* Who cannot be given anything now is passed over, and has a turn again once it can. */
static void the_clogged_are_passed_over(void **state)
{
	(void)state;
	begin(16);
	for (unsigned i = 0; i < N; i += 2)
		crowd[i].n_given = SIM_GIVEN_MAX / 2;
	for (uint64_t i = 0; i < N; i++)
		send(i);
	for (unsigned i = 1; i < N; i += 2)
		assert_int_equal(crowd[i].n_given, 2);
	for (unsigned i = 1; i < N; i += 2)
		crowd[i].n_given += SIM_GIVEN_MAX / 2;
	/* Now nobody can. */
	send(N);
	assert_int_equal(kcd_channel_len(sim.ch), N + 1);
	for (unsigned i = 0; i < N; i++)
		assert_true(crowd[i].n_given == SIM_GIVEN_MAX / 2 + 2 * (i % 2));
	crowd[10].n_given = 0;
	kcd_attach_feed(&crowd[10].attach);
	assert_int_equal(crowd[10].n_given, 1);
	assert_int_equal(crowd[10].given[0].value, N);
	end();
}

/* Somebody waits and has nothing: each holder is asked once, one at a time, until one gives;
 * in the end that is every one of them. */
static void all_holders_are_asked(void **state)
{
	unsigned asked = 0;

	(void)state;
	begin(1);
	for (uint64_t i = 0; i < N; i++)
		send(i);
	assert_int_equal(sim_recv(&r, &last, 1, false, false), 0);
	for (;;) {
		struct sim_client *one = NULL;

		for (unsigned i = 0; i < N; i++) {
			if (!crowd[i].recalled)
				continue;
			assert_null(one);
			one = &crowd[i];
		}
		if (!one)
			break;
		asked++;
		one->recalled = false;
		if (asked == N)
			assert_int_equal(kcd_attach_return(&one->attach, sim_forget(one, 0), 1), 1);
		kcd_attach_recalled(&one->attach);
	}
	assert_int_equal(asked, N);
	assert_false(r.pending);
	assert_int_equal(r.result, 1);
	end();
}

/* Among a few, the one who holds most is asked. */
static void the_richest_of_a_few_is_asked(void **state)
{
	(void)state;
	begin(0);
	kcd_attach_credit(&crowd[3].attach, 2);
	kcd_attach_credit(&crowd[7].attach, 9);
	kcd_attach_credit(&crowd[5].attach, 4);
	for (uint64_t i = 0; i < 15; i++)
		send(i);
	assert_int_equal(sim_recv(&r, &last, 3, false, false), 0);
	assert_true(crowd[7].recalled);
	assert_int_equal(crowd[7].recall_wanted, 3);
	sim_cancel(&r);
	end();
}

/* A holder that leaves while it is being asked does not keep others from being asked. */
static void a_holder_leaves(void **state)
{
	(void)state;
	begin(0);
	kcd_attach_credit(&crowd[0].attach, 2);
	send(1);
	send(2);
	kcd_attach_credit(&crowd[1].attach, 1);
	send(3);
	assert_int_equal(sim_recv(&r, &last, 1, false, false), 0);
	assert_true(crowd[0].recalled);
	sim_detach(&crowd[0], false);
	assert_int_equal(r.result, 1); /* what it held came back */
	assert_int_equal(sim_recv(&r, &last, 1, false, false), 1);
	assert_int_equal(sim_recv(&r, &last, 1, false, false), 0);
	assert_true(crowd[1].recalled);
	sim_cancel(&r);
	sim_attach(&sim, &crowd[0], KCP_ROLE_RECEIVER);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creditors_take_turns),
		cmocka_unit_test(the_clogged_are_passed_over),
		cmocka_unit_test(all_holders_are_asked),
		cmocka_unit_test(the_richest_of_a_few_is_asked),
		cmocka_unit_test(a_holder_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
