/* SPDX-License-Identifier: BSD-3-Clause */
/* Deficit round robin, without a daemon: users are shares, connections are seats with frames of
 * a given price. */
#include "kcorod/turns.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

#define ENDLESS UINT64_MAX

/* What a share has done. */
struct tally {
	uint64_t round, work;
};

struct conn {
	struct kcd_seat seat;
	struct tally *tally;
	struct tally own;
	uint64_t price;  /* of a frame */
	uint64_t frames; /* that wait */
	uint64_t served, visits;
	uint64_t when; /* it was visited last, among all visits */
	bool one_by_one; /* the next frame comes after the service of this one */
};

static struct kcd_turns turns;
static uint64_t visits;

static void serve(struct kcd_seat *seat)
{
	struct conn *c = KCD_CONTAINER(seat, struct conn, seat);

	c->visits++;
	c->when = ++visits;
	/* in each round that serves it, a share pays for asking who is there */
	if (c->tally->round != turns.round)
		c->tally->work += KCD_COST_CALL;
	c->tally->round = turns.round;
	while (c->frames > 0) {
		if (!kcd_turns_may(&turns)) {
			kcd_turns_join(&turns, seat);
			return;
		}
		c->frames -= c->frames != ENDLESS;
		c->served++;
		c->tally->work += c->price;
		kcd_turns_spend(&turns, c->price);
		if (c->one_by_one)
			return;
	}
}

static void sit(struct conn *c, struct kcd_share *share, uint64_t price, uint64_t frames)
{
	*c = (struct conn){ .price = price, .frames = frames };
	c->tally = &c->own;
	kcd_seat_init(&c->seat, share);
	if (frames > 0)
		kcd_turns_join(&turns, &c->seat);
}

/* |a - b| at most a quantum and a frame, and what one had saved before: what deficit round robin
 * promises at any moment. */
static void assert_near(uint64_t a, uint64_t b, uint64_t frame)
{
	uint64_t far = a > b ? a - b : b - a;

	if (far > KCD_SAVED + KCD_QUANTUM + frame)
		fail_msg("%llu and %llu", (unsigned long long)a, (unsigned long long)b);
}

/* A user with a thousand connections, one with one, one with large frames: the same work. */
static void test_one_share_each(void **state)
{
	static struct conn many[1000];
	struct conn one, large;
	struct kcd_share a, b, c;
	struct tally tally = { 0 };
	const uint64_t frame = UINT64_C(1) << 20;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	kcd_share_init(&c);
	for (size_t i = 0; i < KC_ARRAY_SIZE(many); i++) {
		sit(&many[i], &a, 4096, ENDLESS);
		many[i].tally = &tally;
	}
	sit(&one, &b, 100, ENDLESS);
	sit(&large, &c, frame, ENDLESS);
	for (int round = 0; round < 2000; round++) {
		uint64_t done = tally.work + one.own.work + large.own.work;

		turns.work = 0;
		assert_int_equal(kcd_turns_round(&turns), 3);
		done = tally.work + one.own.work + large.own.work - done;
		assert_in_range(turns.work, done, done + KC_ARRAY_SIZE(many) + 2);
		assert_near(tally.work, one.own.work, 4096);
		assert_near(one.own.work, large.own.work, frame);
	}
	assert_true(large.served > 10);
}

/* Who has a frame of any price waiting gets it served in the round it came in for, however
 * many others there are. */
static void test_nobody_starves(void **state)
{
	static struct kcd_share shares[100];
	static struct conn floods[KC_ARRAY_SIZE(shares)];
	struct kcd_share share;
	struct conn meek;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&share);
	sit(&meek, &share, KCD_COST_FRAME, 0);
	for (size_t i = 0; i < KC_ARRAY_SIZE(shares); i++) {
		kcd_share_init(&shares[i]);
		sit(&floods[i], &shares[i], 1 + i * 10000, ENDLESS);
	}
	for (uint64_t round = 1; round <= 1000; round++) {
		meek.frames = 1;
		kcd_turns_join(&turns, &meek.seat);
		kcd_turns_round(&turns);
		assert_int_equal(meek.served, round);
	}
	for (size_t i = 0; i < KC_ARRAY_SIZE(shares); i++)
		assert_near(floods[i].own.work, floods[0].own.work, 1000000);
}

/* Connections of one user are served in turn, those that have little to say within the same
 * quantum. */
static void test_seats_in_turn(void **state)
{
	struct kcd_share share, other;
	struct conn c[5], rival;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&share);
	kcd_share_init(&other);
	sit(&rival, &other, 1000, ENDLESS);
	for (int i = 0; i < 5; i++)
		sit(&c[i], &share, 1000, ENDLESS);
	for (int round = 0; round < 50; round++)
		kcd_turns_round(&turns);
	for (int i = 0; i < 5; i++)
		assert_int_equal(c[i].visits, 10);

	for (int i = 0; i < 4; i++)
		c[i].frames = 2;
	for (int round = 0; round < 5; round++)
		kcd_turns_round(&turns);
	for (int i = 0; i < 4; i++)
		assert_int_equal(c[i].frames, 0);
}

/* What was used too much is remembered while others wait, whether one comes back at once or
 * only has one frame at a time. */
static void test_debts(void **state)
{
	struct kcd_share a, b;
	struct conn large, small;
	const uint64_t frame = 10 * KCD_QUANTUM;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	sit(&small, &b, 1000, ENDLESS);
	sit(&large, &a, frame, 0);
	large.one_by_one = true;
	for (int round = 0; round < 1000; round++) {
		if (large.frames == 0) {
			large.frames = 1;
			kcd_turns_join(&turns, &large.seat);
		}
		kcd_turns_round(&turns);
		assert_near(large.own.work, small.own.work, frame);
	}
	assert_in_range(large.served, 90, 101);

	/* Little is saved up for later. */
	large.frames = 0;
	large.one_by_one = false;
	large.price = 1000;
	for (int round = 0; round < 1000; round++)
		kcd_turns_round(&turns);
	large.own.work = small.own.work = 0;
	large.frames = ENDLESS;
	kcd_turns_join(&turns, &large.seat);
	for (int round = 0; round < 1000; round++)
		kcd_turns_round(&turns);
	assert_near(large.own.work, small.own.work, 1000);
}

/* Who awaits each answer is served at once, as long as that is less than its share. */
static void test_savings(void **state)
{
	struct kcd_share a, b;
	struct conn trips, flood;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	sit(&flood, &b, 1000, ENDLESS);
	sit(&trips, &a, 4 * KCD_QUANTUM, 0);
	trips.one_by_one = true;
	for (int round = 0; round < 1000; round++) {
		bool comes = round % 8 == 0;

		if (comes) {
			trips.frames = 1;
			kcd_turns_join(&turns, &trips.seat);
		}
		kcd_turns_round(&turns);
		assert_int_equal(trips.frames, 0);
	}
}

/* If everybody owes, rounds in which nobody may do anything are not gone through. */
static void test_all_owe(void **state)
{
	struct kcd_share a, b;
	struct conn c[2];

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	sit(&c[0], &a, 1000 * KCD_QUANTUM, ENDLESS);
	sit(&c[1], &b, 3000 * KCD_QUANTUM, ENDLESS);
	for (uint64_t round = 0; round < 100; round++) {
		uint64_t served = c[0].served + c[1].served;

		assert_int_equal(kcd_turns_round(&turns), 2);
		assert_true(c[0].served + c[1].served > served);
	}
	assert_in_range(c[0].served, 3 * c[1].served - 3, 3 * c[1].served + 3);
}

/* Who had nothing to do in a round goes before those who had, in the next one; who had, stays
 * behind them. */
static void test_who_comes_goes_first(void **state)
{
	struct kcd_share a, b;
	struct conn flood, meek;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	sit(&flood, &a, 1, ENDLESS);
	sit(&meek, &b, 1, 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(kcd_turns_round(&turns), 1);
		meek.frames = 1;
		kcd_turns_join(&turns, &meek.seat);
		assert_int_equal(kcd_turns_round(&turns), 2);
		assert_true(meek.when < flood.when);
		meek.frames = 1;
		kcd_turns_join(&turns, &meek.seat);
		assert_int_equal(kcd_turns_round(&turns), 2);
		assert_true(meek.when > flood.when);
	}
}

/* Only one who has had all rounds for a while counts as alone, and who has always had. */
static void test_alone(void **state)
{
	struct kcd_share a, b;
	struct conn one, other;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	sit(&one, &a, 1000, ENDLESS);
	sit(&other, &b, 1000, 0);
	for (unsigned i = 0; i < 3; i++) {
		kcd_turns_round(&turns);
		assert_true(kcd_turns_lone(&turns));
		other.frames = 1;
		kcd_turns_join(&turns, &other.seat);
		kcd_turns_round(&turns);
		for (unsigned round = 0; round < KCD_ALONE; round++) {
			assert_false(kcd_turns_lone(&turns));
			kcd_turns_round(&turns);
		}
	}
}

/* With nobody else there every round serves. */
static void test_alone_owes_nothing(void **state)
{
	struct kcd_share a;
	struct conn large;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	sit(&large, &a, UINT64_C(1) << 40, ENDLESS);
	for (uint64_t round = 1; round <= 100; round++) {
		assert_int_equal(kcd_turns_round(&turns), 1);
		assert_int_equal(large.served, round);
	}
}

/* Any debt is paid in the end. */
static void test_debt_is_bounded(void **state)
{
	struct kcd_share a, b;
	struct conn one, rival;
	uint64_t rounds = 0;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_share_init(&b);
	kcd_share_spend(&a, UINT64_MAX);
	kcd_share_spend(&a, UINT64_MAX);
	sit(&one, &a, 1, ENDLESS);
	sit(&rival, &b, KCD_QUANTUM, ENDLESS);
	while (one.served == 0 && rounds++ < 10000000)
		kcd_turns_round(&turns);
	assert_in_range(rounds, 2, 1000000);
}

/* Work is charged to whoever is served, and to nobody between services. */
static void test_charges(void **state)
{
	struct kcd_share a;

	(void)state;
	kcd_turns_init(&turns, serve);
	kcd_share_init(&a);
	kcd_turns_spend(&turns, 1000);
	assert_false(kcd_turns_may(&turns));
	turns.now = &a;
	kcd_turns_spend(&turns, 1000);
	assert_int_equal(a.left, -1000);
}

/* A round looks at those who have something to do and at nobody else; who leaves is not
 * served. */
static void test_only_the_busy_cost(void **state)
{
	static struct kcd_share idle[10000];
	static struct conn idlers[KC_ARRAY_SIZE(idle)];
	struct kcd_share a, b;
	struct conn one, two;

	(void)state;
	kcd_turns_init(&turns, serve);
	assert_int_equal(kcd_turns_round(&turns), 0);
	for (size_t i = 0; i < KC_ARRAY_SIZE(idle); i++) {
		kcd_share_init(&idle[i]);
		sit(&idlers[i], &idle[i], 1, 1);
	}
	assert_int_equal(kcd_turns_round(&turns), KC_ARRAY_SIZE(idle));
	assert_false(kcd_turns_busy(&turns));
	kcd_share_init(&a);
	kcd_share_init(&b);
	sit(&one, &a, 1, ENDLESS);
	sit(&two, &b, 1, ENDLESS);
	kcd_turns_join(&turns, &two.seat);
	assert_int_equal(kcd_turns_round(&turns), 2);
	assert_int_equal(two.visits, 1);

	kcd_turns_leave(&two.seat);
	kcd_turns_leave(&two.seat);
	kcd_turns_round(&turns);
	assert_int_equal(two.visits, 1);
	assert_int_equal(kcd_turns_round(&turns), 1);
	kcd_share_done(&a);
	assert_false(kcd_turns_busy(&turns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(test_one_share_each),	 KCT_TEST(test_nobody_starves),
		KCT_TEST(test_seats_in_turn),	 KCT_TEST(test_debts),
		KCT_TEST(test_savings),		 KCT_TEST(test_all_owe),
		KCT_TEST(test_who_comes_goes_first), KCT_TEST(test_alone),
		KCT_TEST(test_alone_owes_nothing), KCT_TEST(test_debt_is_bounded),
		KCT_TEST(test_charges),		 KCT_TEST(test_only_the_busy_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
