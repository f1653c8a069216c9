/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Select over several channels: which clause wins, what becomes of the others, and whom a select
 * meets.
 */
#include "tests/conformance/selector.h"

#include <string.h>

#include "libkcoro-client/sched/sanitize.h"

#define CHANNELS 4u

/* A select on a daemon's channel is some round trips. */
static unsigned rounds(void)
{
	unsigned n = kct_placement.traits & KCT_HAS_DROP_HOOK ? 4000 : 600;

	return KCI_TSAN || KCI_ASAN ? n / 4 : n;
}

static void start_all(struct kct_case *c, unsigned n, enum kc_kind kind, size_t capacity)
{
	for (unsigned i = 0; i < n; i++)
		case_start(&c[i], KCT_FIXED, kind, capacity);
}

static void end_all(struct kct_case *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		case_end(&c[i]);
}

/* ---- one clause and no other ------------------------------------------------ */

static void each_select_takes_one_element(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_UNLIMITED, KC_CONFLATED };
	struct kct_case c[6];
	struct kct_selector s;
	uint32_t left[6], next[6] = { 0 }, sum = 0;

	selector_init(&s);
	for (unsigned i = 0; i < 6; i++) {
		case_start(&c[i], i % 2 ? KCT_MSG : KCT_FIXED, kinds[i % 3], 10);
		left[i] = kinds[i % 3] == KC_CONFLATED ? 1 : 10;
		for (uint32_t k = 0; k < left[i]; k++)
			assert_int_equal(case_send(&c[i], k, 0, NULL), 0);
		case_arrived(&c[i]);
		sum += left[i];
		(void)selector_add(&s, &c[i], false, 0);
	}
	for (; sum > 0; sum--) {
		int won = selector_run(&s, KCT_PATIENCE_MS);

		assert_int_equal(selector_settle(&s, won), next[won]++);
		assert_true(next[won] <= left[won]);
		for (int i = 0; i < 6; i++)
			assert_int_equal(kc_chan_len(c[i].pair.rx), left[i] - next[i]);
	}
	assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
	end_all(c, 6);
}

static void each_select_fills_one_place(void **state)
{
	struct kct_case c[CHANNELS];
	struct kct_selector s;

	selector_init(&s);
	start_all(c, CHANNELS, KC_BUFFERED, 5);
	for (uint32_t i = 0; i < CHANNELS; i++)
		(void)selector_add(&s, &c[i], true, i);
	for (uint32_t n = 0; n < 5 * CHANNELS; n++) {
		uint64_t sum = 0;

		assert_int_equal(selector_settle(&s, selector_run(&s, KCT_PATIENCE_MS)), 0);
		for (unsigned i = 0; i < CHANNELS; i++)
			sum += (uint64_t)kc_chan_len(c[i].pair.rx);
		assert_int_equal(sum, n + 1);
	}
	assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
	for (unsigned i = 0; i < CHANNELS; i++)
		for (unsigned k = 0; k < 5; k++)
			assert_int_equal(case_recv(&c[i], 0, NULL), i);
	end_all(c, CHANNELS);
}

static void who_waited_and_lost_is_in_nobodys_way(void **state)
{
	struct kct_case c[CHANNELS];
	struct kct_selector s;

	start_all(c, CHANNELS, KC_BUFFERED, 1);
	for (unsigned win = 0; win < CHANNELS; win++) {
		selector_init(&s);
		for (unsigned i = 0; i < CHANNELS; i++)
			(void)selector_add(&s, &c[i], false, 0);
		selector_start_blocked(&s, 0);
		assert_int_equal(case_send(&c[win], win, 0, NULL), 0);
		assert_int_equal(selector_join(&s), win);
		assert_int_equal(selector_settle(&s, (int)win), win);
		/* nobody stands there any more: what comes stays, and can be had */
		for (unsigned i = 0; i < CHANNELS; i++) {
			assert_int_equal(case_send(&c[i], 9, 0, NULL), 0);
			assert_int_equal(case_recv(&c[i], 0, NULL), 9);
			assert_int_equal(case_recv(&c[i], 0, NULL), KC_EAGAIN);
		}
	}
	end_all(c, CHANNELS);
}

static void one_channel_may_be_in_several_clauses(void **state)
{
	struct kct_case c;
	struct kct_selector s;
	unsigned seen = 0;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	for (uint32_t n = 0; n < 128; n++) {
		int won;

		selector_init(&s);
		for (unsigned i = 0; i < 3; i++)
			(void)selector_add(&s, &c, false, 0);
		/* ready at once, or later */
		if (n % 2)
			assert_int_equal(case_send(&c, n, 0, NULL), 0);
		else
			selector_start_blocked(&s, 0);
		if (n % 2 == 0)
			assert_int_equal(case_send(&c, n, 0, NULL), 0);
		won = n % 2 ? selector_run(&s, -1) : selector_join(&s);
		assert_int_equal(selector_settle(&s, won), n);
		for (int i = 0; i < 3; i++)
			assert_true(i == won || s.rooms[i].value == UINT64_MAX);
		seen |= n % 2 ? 1u << won : 0;
	}
	assert_int_equal(seen, 7);
	/* both sides of it: room first, then an element */
	selector_init(&s);
	(void)selector_add(&s, &c, true, 5);
	(void)selector_add(&s, &c, false, 0);
	assert_int_equal(selector_run(&s, -1), 0);
	assert_int_equal(selector_settle(&s, 0), 0);
	s.clauses[0].kind = KC_CLAUSE_OFF;
	assert_int_equal(selector_run(&s, -1), 1);
	assert_int_equal(selector_settle(&s, 1), 5);
	assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
	case_end(&c);
}

static void as_many_clauses_as_there_may_be(void **state)
{
	static struct kc_clause clauses[KC_SELECT_MAX + 1];
	static uint64_t rooms[KC_SELECT_MAX + 1];
	struct kct_case c[CHANNELS];
	struct kct_selector waits;

	start_all(c, CHANNELS, KC_BUFFERED, 1);
	for (unsigned i = 0; i <= KC_SELECT_MAX; i++)
		clauses[i] = kc_clause_recv(c[i % CHANNELS].pair.rx, &rooms[i]);
	assert_int_equal(kc_select(clauses, KC_SELECT_MAX + 1, 0, 0, NULL), KC_EINVAL);
	assert_string_not_equal(kc_error_detail(), "");
	assert_int_equal(kc_select(clauses, KC_SELECT_MAX, 0, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_select(clauses, KC_SELECT_MAX, 0, KCT_SHORT_MS, NULL), KC_ETIME);
	for (uint32_t n = 0; n < CHANNELS; n++) {
		int won;

		assert_int_equal(case_send(&c[n], n, 0, NULL), 0);
		won = kc_select(clauses, KC_SELECT_MAX, 0, -1, NULL);
		assert_in_range(won, 0, KC_SELECT_MAX - 1);
		assert_int_equal((unsigned)won % CHANNELS, n);
		assert_int_equal(clauses[won].result, 0);
		assert_int_equal(rooms[won], n);
		c[n].received++;
	}
	/* a crowd of seats is no crowd of receivers */
	selector_init(&waits);
	for (unsigned i = 0; i < SELECTOR_MAX; i++)
		(void)selector_add(&waits, &c[i % CHANNELS], false, 0);
	selector_start_blocked(&waits, 0);
	assert_int_equal(case_send(&c[1], 3, 0, NULL), 0);
	assert_int_equal(selector_settle(&waits, selector_join(&waits)), 3);
	assert_int_equal(case_send(&c[1], 4, 0, NULL), 0);
	case_arrived(&c[1]);
	assert_int_equal(kc_chan_len(c[1].pair.rx), 1);
	end_all(c, CHANNELS);
}

/* ---- which clause ------------------------------------------------------------ */

static void those_ready_are_equally_likely(void **state)
{
	unsigned counts[CHANNELS] = { 0 }, n = rounds();
	struct kct_case c[CHANNELS];
	struct kct_selector s;
	double sum = 0, expected;

	selector_init(&s);
	start_all(c, CHANNELS, KC_BUFFERED, 1);
	for (unsigned i = 0; i < CHANNELS; i++) {
		assert_int_equal(case_send(&c[i], 1, 0, NULL), 0);
		(void)selector_add(&s, &c[i], false, 0);
	}
	for (unsigned i = 0; i < n; i++) {
		int won = selector_run(&s, -1);

		assert_int_equal(selector_settle(&s, won), 1);
		counts[won]++;
		assert_int_equal(case_send(&c[won], 1, 0, NULL), 0);
	}
	expected = (double)n / CHANNELS;
	for (unsigned i = 0; i < CHANNELS; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	/* with three degrees of freedom once in a hundred million times, if it is fair */
	if (sum > 40)
		fail_msg("%u %u %u %u of %u", counts[0], counts[1], counts[2], counts[3], n);
	end_all(c, CHANNELS);
}

static void with_priority_the_first_wins(void **state)
{
	struct kct_case c[CHANNELS];
	struct kct_selector s;

	selector_init(&s);
	s.flags = KC_SELECT_PRIORITY;
	start_all(c, CHANNELS, KC_BUFFERED, 8);
	for (unsigned i = 0; i < CHANNELS; i++) {
		for (unsigned k = 0; k < 8; k++)
			assert_int_equal(case_send(&c[i], k, 0, NULL), 0);
		case_arrived(&c[i]);
		(void)selector_add(&s, &c[i], false, 0);
	}
	for (unsigned i = 0; i < CHANNELS; i++)
		for (unsigned k = 0; k < 8; k++) {
			assert_int_equal(selector_run(&s, k % 2 ? -1 : 0), i);
			assert_int_equal(selector_settle(&s, (int)i), k);
		}
	assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
	/* while it waits there is no first: who comes, wins */
	selector_start_blocked(&s, 0);
	assert_int_equal(case_send(&c[2], 5, 0, NULL), 0);
	assert_int_equal(selector_join(&s), 2);
	assert_int_equal(selector_settle(&s, 2), 5);
	end_all(c, CHANNELS);
}

static void ready_says_so_and_does_nothing(void **state)
{
	static const enum kc_kind kinds[] = { KC_BUFFERED, KC_CONFLATED, KC_UNLIMITED };

	for (size_t k = 0; k < 3; k++) {
		struct kct_case c, full;
		struct kct_selector s;

		case_start(&c, KCT_FIXED, kinds[k], 1);
		case_start(&full, KCT_FIXED, KC_BUFFERED, 1);
		assert_int_equal(case_send(&full, 1, 0, NULL), 0);
		selector_init(&s);
		s.flags = KC_SELECT_READY;
		(void)selector_add(&s, &full, true, 2);
		(void)selector_add(&s, &c, false, 0);
		assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
		assert_int_equal(selector_run(&s, KCT_SHORT_MS), KC_ETIME);
		/* an element that comes stays for whoever takes it */
		selector_start_blocked(&s, 0);
		assert_int_equal(case_send(&c, 5, 0, NULL), 0);
		assert_int_equal(selector_join(&s), 1);
		assert_int_equal(s.rooms[1].value, UINT64_MAX);
		assert_int_equal(selector_run(&s, -1), 1);
		assert_int_equal(kc_chan_len(c.pair.rx), 1);
		assert_int_equal(case_recv(&c, 0, NULL), 5);
		/* and so does room */
		selector_start_blocked(&s, 0);
		assert_int_equal(case_recv(&full, 0, NULL), 1);
		assert_int_equal(selector_join(&s), 0);
		assert_int_equal(selector_run(&s, -1), 0);
		assert_int_equal(kc_chan_len(full.pair.rx), 0);
		assert_int_equal(case_send(&full, 3, 0, NULL), 0);
		/* what would fail is ready */
		assert_int_equal(kc_chan_close(c.pair.tx), 0);
		assert_int_equal(selector_run(&s, -1), 1);
		case_end(&c);
		case_end(&full);
	}
}

static void ready_on_a_rendezvous_takes_nobody_away(void **state)
{
	struct kct_selector s;
	struct kct_case c;
	struct kct_op op;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	for (int send = 0; send < 2; send++) {
		selector_init(&s);
		s.flags = KC_SELECT_READY;
		(void)selector_add(&s, &c, send, 0);
		assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
		op_start_blocked(&op, &c, !send, 4, 1);
		assert_int_equal(selector_run(&s, 0), 0);
		assert_int_equal(selector_run(&s, -1), 0);
		if (send)
			assert_int_equal(case_send(&c, 6, 0, NULL), 0);
		else
			assert_int_equal(case_recv(&c, 0, NULL), 4);
		assert_int_equal(op_join(&op), send ? 6 : 0);
	}
	case_end(&c);
}

/* ---- who meets whom ---------------------------------------------------------- */

static void a_select_does_not_meet_itself(void **state)
{
	for (unsigned way = 0; way < 12; way++) {
		enum kct_family family = (enum kct_family)(way / 4);
		struct kct_selector s;
		struct kct_case c;

		if (family == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
			continue;
		case_start(&c, family, KC_RENDEZVOUS, 0);
		selector_init(&s);
		(void)selector_add(&s, &c, way % 2, 1);
		(void)selector_add(&s, &c, !(way % 2), 1);
		assert_int_equal(selector_run(&s, 0), KC_EAGAIN);
		assert_int_equal(selector_run(&s, KCT_SHORT_MS), KC_ETIME);
		/* but others, on either side */
		selector_start_blocked(&s, 0);
		if (way % 4 < 2) {
			assert_int_equal(case_send(&c, 5, KCT_PATIENCE_MS, NULL), 0);
			assert_int_equal(selector_settle(&s, selector_join(&s)), 5);
		} else {
			assert_int_equal(case_recv(&c, KCT_PATIENCE_MS, NULL), 1);
			assert_int_equal(selector_settle(&s, selector_join(&s)), 0);
		}
		case_end(&c);
	}
}

/* Nor when somebody leaves, and it is looked at again who can go on. */
static void who_leaves_does_not_make_a_select_meet_itself(void **state)
{
	for (unsigned way = 0; way < 12; way++) {
		enum kct_family family = (enum kct_family)(way / 4);
		struct kct_selector leaves, stays;
		struct kct_case c;

		if (family == KCT_DESC && !(kct_placement.traits & KCT_HAS_DESCRIPTORS))
			continue;
		case_start(&c, family, KC_RENDEZVOUS, 0);
		selector_init(&leaves);
		selector_init(&stays);
		for (unsigned i = 0; i < 2; i++) {
			(void)selector_add(&leaves, &c, (way + i) % 2, 1);
			(void)selector_add(&stays, &c, (way + i) % 2, 2);
		}
		selector_start_blocked(&leaves, 0);
		if (way % 4 < 2)
			assert_int_equal(case_send(&c, 5, KCT_PATIENCE_MS, NULL), 0);
		else
			assert_int_equal(case_recv(&c, KCT_PATIENCE_MS, NULL), 1);
		/* the first may not have left yet when this one comes */
		assert_int_equal(selector_run(&stays, KCT_SHORT_MS), KC_ETIME);
		assert_int_equal(selector_settle(&leaves, selector_join(&leaves)),
				 way % 4 < 2 ? 5 : 0);
		case_end(&c);
	}
}

static void two_selects_meet(void **state)
{
	/* which of the two comes first, and whether they may meet on either channel or on one */
	for (unsigned round = 0; round < 16; round++) {
		bool either = round & 2, sender_first = round & 4;
		struct kct_case x, y;
		struct kct_selector a, b;
		int a_won, b_won;
		long a_did, b_did;

		case_start(&x, KCT_FIXED, KC_RENDEZVOUS, 0);
		case_start(&y, KCT_MSG, KC_RENDEZVOUS, 0);
		selector_init(&a);
		selector_init(&b);
		(void)selector_add(&a, &x, sender_first, 10);
		(void)selector_add(&b, &x, !sender_first, 11);
		(void)selector_add(&a, &y, either ? !sender_first : sender_first, 20);
		(void)selector_add(&b, &y, sender_first, 21);
		selector_start_blocked(&a, 0);
		if (round & 1) {
			/* at the same time as the others go */
			selector_start(&b);
			b_won = selector_join(&b);
		} else {
			b_won = selector_run(&b, KCT_PATIENCE_MS);
		}
		a_won = selector_join(&a);
		assert_int_equal(a_won, b_won);
		if (!either)
			assert_int_equal(a_won, 0);
		b_did = selector_settle(&b, b_won);
		a_did = selector_settle(&a, a_won);
		/* one of them has sent, and the other has what that was */
		if (a_did == 0)
			assert_int_equal(b_did, a_won ? 20 : 10);
		else
			assert_int_equal(a_did, a_won ? 21 : 11);
		assert_true((a_did == 0) != (b_did == 0));
		case_end(&x);
		case_end(&y);
	}
}

/* A plain call, a select, a plain call, a select: in this order they are served. */
static void selects_and_plain_calls_have_their_turns(void **state)
{
	for (unsigned way = 0; way < 4; way++) {
		bool send = way & 1;
		struct kct_selector s[2];
		struct kct_case c, other;
		struct kct_op ops[2];

		case_start(&c, KCT_FIXED, way & 2 ? KC_BUFFERED : KC_RENDEZVOUS, 1);
		case_start(&other, KCT_FIXED, KC_RENDEZVOUS, 0);
		if (send && way & 2)
			assert_int_equal(case_send(&c, 100, 0, NULL), 0);
		for (unsigned i = 0; i < 2; i++) {
			op_start_blocked(&ops[i], &c, send, 2 * i, 2 * i + 1);
			selector_init(&s[i]);
			(void)selector_add(&s[i], &c, send, 2 * i + 1);
			(void)selector_add(&s[i], &other, true, 9);
			selector_start(&s[i]);
			assert_true(kct_placement.wait_blocked(&c.pair, send ? 2 * i + 2 : 0,
							       send ? 0 : 2 * i + 2));
			assert_true(kct_placement.wait_blocked(&other.pair, i + 1, 0));
		}
		if (send && way & 2)
			assert_int_equal(case_recv(&c, KCT_PATIENCE_MS, NULL), 100);
		for (uint32_t i = 0; i < 4; i++) {
			/* the number tells the sender, or is told to the receiver */
			if (send)
				assert_int_equal(case_recv(&c, KCT_PATIENCE_MS, NULL), i);
			else
				assert_int_equal(case_send(&c, i, KCT_PATIENCE_MS, NULL), 0);
			if (way & 2 && send)
				continue;
			if (i % 2 == 0) {
				assert_int_equal(op_join(&ops[i / 2]), send ? 0 : i);
			} else {
				assert_int_equal(selector_join(&s[i / 2]), 0);
				assert_int_equal(selector_settle(&s[i / 2], 0), send ? 0 : i);
			}
		}
		for (unsigned i = 0; i < 2 && way & 2 && send; i++) {
			assert_int_equal(op_join(&ops[i]), 0);
			assert_int_equal(selector_settle(&s[i], selector_join(&s[i])), 0);
		}
		case_end(&c);
		case_end(&other);
	}
}

static void who_waits_behind_a_select_that_left_is_served(void **state)
{
	struct kct_case c, other;
	struct kct_selector s;
	struct kct_op op;
	int won;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	case_start(&other, KCT_FIXED, KC_BUFFERED, 1);
	for (int i = 0; i < 8; i++) {
		selector_init(&s);
		(void)selector_add(&s, &c, false, 0);
		(void)selector_add(&s, &other, false, 0);
		selector_start_blocked(&s, 0);
		op_start_blocked(&op, &c, false, 0, 2);
		assert_int_equal(case_send(&other, 7, 0, NULL), 0);
		case_arrived(&other);
		/* the select has been served elsewhere, though it may not know yet; or it may choose,
		 * where it is for the select to decide */
		assert_int_equal(case_send(&c, 8, i % 2 ? 0 : KCT_PATIENCE_MS, NULL), 0);
		won = selector_join(&s);
		/* only a daemon's: here it has been claimed for the first */
		assert_true(won == 1 || !(kct_placement.traits & KCT_HAS_DROP_HOOK));
		assert_int_equal(selector_settle(&s, won), won == 0 ? 8 : 7);
		if (won == 0) {
			assert_int_equal(case_recv(&other, 0, NULL), 7);
			assert_int_equal(case_send(&c, 8, KCT_PATIENCE_MS, NULL), 0);
		}
		assert_int_equal(op_join(&op), 8);
	}
	case_end(&c);
	case_end(&other);
}

/* ---- the end of a channel ---------------------------------------------------- */

static void a_channel_may_go_under_selects(void **state)
{
	for (int round = 0; round < 8; round++) {
		struct kct_case own[3], gone;
		struct kct_selector s[3];

		start_all(own, 3, KC_BUFFERED, 1);
		case_start(&gone, KCT_FIXED, KC_RENDEZVOUS, 0);
		for (unsigned i = 0; i < 3; i++) {
			selector_init(&s[i]);
			(void)selector_add(&s[i], &own[i], false, 0);
			(void)selector_add(&s[i], &gone, false, 0);
			selector_start(&s[i]);
			assert_true(kct_placement.wait_blocked(&gone.pair, 0, i + 1));
			assert_true(kct_placement.wait_blocked(&own[i].pair, 0, 1));
		}
		/* one of them is served just before */
		assert_int_equal(case_send(&own[round % 3], 7, 0, NULL), 0);
		kct_placement.unmake(&gone.pair);
		for (unsigned i = 0; i < 3; i++) {
			int won = selector_join(&s[i]);

			/* a daemon's element may still be there */
			if (kct_placement.traits & KCT_HAS_DROP_HOOK)
				assert_int_equal(won, i != (unsigned)round % 3);
			if (won == 0) {
				assert_int_equal(i, round % 3);
				assert_int_equal(selector_settle(&s[i], 0), 7);
			} else {
				/* a daemon's may be found gone already */
				assert_int_equal(won, 1);
				assert_true(s[i].clauses[1].result == KC_EPIPE ||
					    (s[i].clauses[1].result < 0 &&
					     kct_placement.traits & KCT_HAS_LEASES));
			}
		}
		end_all(own, 3);
	}
}

const struct CMUnitTest *select_many_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(each_select_takes_one_element),
		KCT_TEST(each_select_fills_one_place),
		KCT_TEST(who_waited_and_lost_is_in_nobodys_way),
		KCT_TEST(one_channel_may_be_in_several_clauses),
		KCT_TEST(as_many_clauses_as_there_may_be),
		KCT_TEST(those_ready_are_equally_likely),
		KCT_TEST(with_priority_the_first_wins),
		KCT_TEST(ready_says_so_and_does_nothing),
		KCT_TEST(ready_on_a_rendezvous_takes_nobody_away),
		KCT_TEST(a_select_does_not_meet_itself),
		KCT_TEST(who_leaves_does_not_make_a_select_meet_itself),
		KCT_TEST(two_selects_meet),
		KCT_TEST(selects_and_plain_calls_have_their_turns),
		KCT_TEST(who_waits_behind_a_select_that_left_is_served),
		KCT_TEST(a_channel_may_go_under_selects),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
