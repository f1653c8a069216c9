/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a select is used: timers, the select to which clauses are added, the block that reads like a
 * switch, leases; and what it refuses.
 */
#include "tests/conformance/selector.h"

#include <limits.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* ---- timers ------------------------------------------------------------------- */

static void a_timer_goes_off_once(void **state)
{
	uint64_t start = kc_sched_now();
	struct kc_clause c[] = { kc_clause_after(KCT_SHORT_MS), kc_clause_after(-1) };

	assert_int_equal(kc_select(c, 2, 0, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_select(c, 2, 0, KCT_PATIENCE_MS, NULL), 0);
	assert_int_equal(c[0].result, 0);
	assert_true(kc_sched_now() - start >= KCT_SHORT_MS * NS_PER_MS);
	assert_true(c[0].due_ns == UINT64_MAX);
	assert_int_equal(kc_select(c, 2, 0, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_select(c, 2, 0, KCT_SHORT_MS, NULL), KC_ETIME);
	/* from the first: at once */
	c[1] = kc_clause_after(0);
	assert_int_equal(kc_select(c, 2, 0, 0, NULL), 1);
	assert_int_equal(kc_select(c, 2, 0, 0, NULL), KC_EAGAIN);
}

static void a_timer_runs_over_many_selects(void **state)
{
	uint64_t start = kc_sched_now(), v;
	unsigned n = 0;
	struct kct_case c;
	struct kc_clause clauses[2];
	int won;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	clauses[0] = kc_clause_recv(c.pair.rx, &v);
	clauses[1] = kc_clause_after(8 * KCT_SHORT_MS);
	while ((won = kc_select(clauses, 2, 0, KCT_SHORT_MS, NULL)) != 1) {
		if (won == 0)
			c.received++;
		else
			assert_int_equal(won, KC_ETIME);
		if (n++ % 2)
			assert_int_equal(case_send(&c, n, 0, NULL), 0);
	}
	assert_true(n > 0);
	assert_true(kc_sched_now() - start >= 8 * KCT_SHORT_MS * NS_PER_MS);
	case_end(&c);
}

static void the_sooner_timer_wins(void **state)
{
	/* as far apart as a loaded machine needs them */
	struct kc_clause c[] = { kc_clause_after(2 * KCT_PATIENCE_MS),
				 kc_clause_after(KCT_PATIENCE_MS), kc_clause_after(KCT_SHORT_MS) };

	assert_int_equal(kc_select(c, 3, 0, -1, NULL), 2);
	c[1] = kc_clause_after(KCT_SHORT_MS);
	assert_int_equal(kc_select(c, 3, 0, -1, NULL), 1);
	/* a bound that is sooner */
	assert_int_equal(kc_select(c, 3, 0, KCT_SHORT_MS, NULL), KC_ETIME);
}

static void a_tick_comes_again(void **state)
{
	uint64_t start = kc_sched_now(), due, looked;
	struct kc_clause c[] = { kc_clause_tick(KCT_SHORT_MS), kc_clause_tick(0),
				 kc_clause_tick(-5) };

	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(kc_select(c, 3, 0, KCT_PATIENCE_MS, NULL), 0);
		assert_int_equal(c[0].result, 0);
		assert_true(kc_sched_now() - start >= i * KCT_SHORT_MS * NS_PER_MS);
	}
	/* those that nobody was there for are left out, and the others stay where they were */
	due = c[0].due_ns;
	assert_int_equal(kc_select(&c[1], 2, 0, 4 * KCT_SHORT_MS, NULL), KC_ETIME);
	looked = kc_sched_now();
	assert_int_equal(kc_select(c, 3, 0, 0, NULL), 0);
	assert_true(c[0].due_ns > looked);
	assert_true(c[0].due_ns - due >= 4 * KCT_SHORT_MS * NS_PER_MS);
	assert_int_equal((c[0].due_ns - due) % (KCT_SHORT_MS * NS_PER_MS), 0);
}

static void a_timer_is_a_clause_among_others(void **state)
{
	bool seen[2] = { false, false };
	struct kct_case c;
	struct kc_clause clauses[2];
	uint64_t v;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	clauses[0] = kc_clause_recv(c.pair.rx, &v);
	/* a daemon is asked once in a while only, as long as something is ready here */
	for (int i = 0; i < 1000000 && !(seen[0] && seen[1]); i++) {
		int won;

		clauses[1] = kc_clause_after(0);
		won = kc_select(clauses, 2, 0, -1, NULL);
		assert_in_range(won, 0, 1);
		seen[won] = true;
		if (won == 0) {
			c.received++;
			assert_int_equal(case_send(&c, 1, 0, NULL), 0);
		}
	}
	assert_true(seen[0] && seen[1]);
	for (int i = 0; i < 20 && kct_placement.traits & KCT_HAS_DROP_HOOK; i++) {
		clauses[1] = kc_clause_after(0);
		assert_int_equal(kc_select(&clauses[0], 2, KC_SELECT_PRIORITY, -1, NULL), 0);
		c.received++;
		assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	}
	/* with KC_SELECT_READY it has gone off as well */
	clauses[0].kind = KC_CLAUSE_OFF;
	clauses[1] = kc_clause_after(0);
	assert_int_equal(kc_select(clauses, 2, KC_SELECT_READY, -1, NULL), 1);
	assert_int_equal(kc_select(clauses, 2, KC_SELECT_READY, 0, NULL), KC_EAGAIN);
	case_end(&c);
}

static void a_timer_ends_a_wait_at_channels(void **state)
{
	struct kct_case c;
	struct kct_selector s;

	case_start(&c, KCT_FIXED, KC_RENDEZVOUS, 0);
	selector_init(&s);
	(void)selector_add(&s, &c, false, 0);
	(void)selector_add_clause(&s, kc_clause_after(2 * KCT_SHORT_MS));
	assert_int_equal(selector_run(&s, KCT_PATIENCE_MS), 1);
	/* nobody is left standing there */
	assert_int_equal(case_send(&c, 1, 0, NULL), KC_EAGAIN);
	case_end(&c);
}

/* ---- a select to which clauses are added ---------------------------------------- */

static void clauses_are_added_and_taken_away(void **state)
{
	struct kct_case c[2];
	kc_select_t *sel;
	kc_cancel_t *token;
	uint64_t in[2], out = 9;
	int index = 77, result = 77;

	for (int i = 0; i < 2; i++)
		case_start(&c[i], KCT_FIXED, KC_BUFFERED, 1);
	assert_int_equal(kc_cancel_init(&token), 0);
	assert_int_equal(kc_select_create(&sel, token), 0);
	assert_int_equal(kc_select_add_recv(sel, c[0].pair.rx, &in[0]), 0);
	assert_int_equal(kc_select_add_recv(sel, c[1].pair.rx, &in[1]), 1);
	assert_int_equal(kc_select_add_recv(sel, NULL, &in[1]), 2);
	assert_int_equal(kc_select_wait(sel, 0, &index, &result), KC_EAGAIN);
	assert_int_equal(kc_select_wait(sel, KCT_SHORT_MS, &index, &result), KC_ETIME);
	assert_int_equal(index, 77);
	assert_int_equal(result, 77);
	assert_int_equal(case_send(&c[1], 5, 0, NULL), 0);
	assert_int_equal(kc_select_wait(sel, -1, &index, &result), 0);
	assert_int_equal(index, 1);
	assert_int_equal(result, 0);
	assert_int_equal(in[1], 5);
	c[1].received++;
	/* the clauses stay, and can be changed */
	assert_int_equal(kc_select_add_send(sel, c[1].pair.tx, &out), 3);
	assert_non_null(kc_select_clause(sel, 3));
	assert_null(kc_select_clause(sel, 4));
	assert_int_equal(kc_select_clause(sel, 3)->kind, KC_CLAUSE_SEND);
	assert_int_equal(kc_select_wait(sel, -1, &index, NULL), 0);
	assert_int_equal(index, 3);
	c[1].sent++;
	kc_select_clause(sel, 1)->kind = KC_CLAUSE_OFF;
	assert_int_equal(kc_select_wait(sel, 0, &index, &result), KC_EAGAIN);
	kc_select_clause(sel, 1)->kind = KC_CLAUSE_RECV;
	assert_int_equal(kc_select_wait(sel, 0, &index, &result), 0);
	assert_int_equal(in[1], 9);
	c[1].received++;
	/* a failure of a clause is its result */
	assert_int_equal(kc_chan_close(c[0].pair.tx), 0);
	kc_select_clause(sel, 3)->kind = KC_CLAUSE_OFF;
	assert_int_equal(kc_select_wait(sel, -1, &index, &result), 0);
	assert_int_equal(index, 0);
	assert_int_equal(result, KC_EPIPE);
	assert_int_equal(kc_select_reset(sel), 0);
	assert_null(kc_select_clause(sel, 0));
	assert_int_equal(kc_select_add_recv(sel, c[1].pair.rx, &in[1]), 0);
	assert_int_equal(kc_select_wait(sel, 0, &index, &result), KC_EAGAIN);
	/* the reference to the token is its own */
	kc_cancel_trigger(token);
	kc_cancel_destroy(token);
	assert_int_equal(kc_select_wait(sel, -1, &index, &result), KC_ECANCELED);
	kc_select_destroy(sel);
	kc_select_destroy(NULL);
	for (int i = 0; i < 2; i++)
		case_end(&c[i]);
}

static void an_added_select_has_its_bounds_and_flags(void **state)
{
	struct kc_clause clause = kc_clause_after(-1);
	struct kct_case c;
	kc_select_t *sel;
	uint64_t v;
	int index;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 4);
	assert_int_equal(kc_select_create(NULL, NULL), KC_EINVAL);
	assert_int_equal(kc_select_create(&sel, NULL), 0);
	assert_int_equal(kc_select_add(NULL, &clause), KC_EINVAL);
	assert_int_equal(kc_select_add(sel, NULL), KC_EINVAL);
	assert_int_equal(kc_select_wait(NULL, 0, &index, NULL), KC_EINVAL);
	assert_int_equal(kc_select_reset(NULL), KC_EINVAL);
	assert_null(kc_select_clause(NULL, 0));
	assert_int_equal(kc_select_set_flags(NULL, 0), KC_EINVAL);
	assert_int_equal(kc_select_set_flags(sel, 4), KC_EINVAL);
	assert_int_equal(kc_select_set_flags(sel, KC_SELECT_PRIORITY), 0);
	for (int i = 0; i < (int)KC_SELECT_MAX; i++)
		assert_int_equal(kc_select_add_recv(sel, c.pair.rx, &v), i);
	assert_int_equal(kc_select_add_recv(sel, c.pair.rx, &v), KC_EINVAL);
	assert_string_not_equal(kc_error_detail(), "");
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(kc_select_wait(sel, -1, &index, NULL), 0);
		assert_int_equal(index, 0);
		assert_int_equal(v, i);
		c.received++;
	}
	kc_select_destroy(sel);
	case_end(&c);
}

/* ---- the block that reads like a switch ------------------------------------------ */

static unsigned evaluated;

static kc_chan_t *evaluate(kc_chan_t *ch)
{
	evaluated++;
	return ch;
}

static void a_block_carries_out_one_case(void **state)
{
	struct kct_case a, b;
	uint64_t in = 0, out = 4;
	int took = -1;

	case_start(&a, KCT_FIXED, KC_BUFFERED, 1);
	case_start(&b, KCT_FIXED, KC_BUFFERED, 1);
	for (int i = 0; i < 4; i++) {
		took = -1;
		evaluated = 0;
		if (i == 1)
			assert_int_equal(case_recv(&b, 0, NULL), 4);
		if (i == 2)
			assert_int_equal(case_send(&a, 6, 0, NULL), 0);
		/* 0: there is room in b; 1: again; 2: an element in a; 3: nothing */
		KC_SELECT(i == 3 ? KCT_SHORT_MS : -1, NULL)
		{
			KC_CASE_RECV(evaluate(a.pair.rx), &in, r)
			{
				assert_int_equal(r, 0);
				took = 0;
			}
			KC_CASE_SEND(evaluate(b.pair.tx), &out, r)
			{
				assert_int_equal(r, 0);
				took = 1;
			}
			KC_CASE_AFTER(KCT_PATIENCE_MS)
			{
				took = 2;
			}
			KC_CASE_NONE(code)
			{
				assert_int_equal(code, KC_ETIME);
				took = 3;
			}
		}
		assert_int_equal(evaluated, 2);
		assert_int_equal(took, i < 2 ? 1 : i == 2 ? 0 : 3);
		b.sent += took == 1;
		a.received += took == 0;
	}
	assert_int_equal(in, 6);
	case_end(&a);
	case_end(&b);
}

static int block_within(void)
{
	int took = 0;

	KC_SELECT(-1, NULL)
	{
		KC_CASE_AFTER(0)
		{
			took = 100;
		}
	}
	return took;
}

static void a_block_can_be_left(void **state)
{
	struct kct_case a;
	int after = 0, none = 0, result = 0;
	uint64_t in = 0;

	case_start(&a, KCT_FIXED, KC_BUFFERED, 1);
	KC_SELECT(0, NULL)
	{
		KC_CASE_RECV(a.pair.rx, &in, r)
		{
			fail();
		}
		KC_CASE_NONE(code)
		{
			none = code;
		}
	}
	assert_int_equal(none, KC_EAGAIN);
	assert_int_equal(kc_chan_close(a.pair.tx), 0);
	for (;;) {
		KC_SELECT(-1, NULL)
		{
			KC_CASE_RECV(a.pair.rx, &in, r)
			{
				result = r;
				break;
			}
			after++;
		}
		break;
	}
	assert_int_equal(result, KC_EPIPE);
	assert_true(after <= 2);
	/* a block in another, and priority */
	KC_SELECT_EX(KC_SELECT_PRIORITY, -1, NULL)
	{
		KC_CASE_AFTER(0)
		{
			after = block_within();
		}
		KC_CASE_RECV(a.pair.rx, &in, r)
		{
			fail_msg("%d", r);
		}
	}
	assert_int_equal(after, 100);
	case_end(&a);
}

/* ---- leases ------------------------------------------------------------------------ */

static void a_lease_may_be_what_is_waited_for(void **state)
{
	struct kct_case a, b;
	struct kc_lease lease, other;
	struct kc_clause c[2];
	uint64_t v = 0, w = 0;

	case_start(&a, KCT_FIXED, KC_BUFFERED, 2);
	case_start(&b, KCT_FIXED, KC_BUFFERED, 2);
	c[0] = kc_clause_recv_lease(a.pair.rx, &v, sizeof(v), &lease);
	c[1] = kc_clause_recv_lease(b.pair.rx, &w, sizeof(w), &other);
	if (!(kct_placement.traits & KCT_HAS_LEASES)) {
		assert_int_equal(kc_select(c, 2, 0, 0, NULL), KC_ENOTSUP);
		case_end(&a);
		case_end(&b);
		return;
	}
	assert_int_equal(kc_select(c, 2, 0, 0, NULL), KC_EAGAIN);
	assert_int_equal(case_send(&a, 5, 0, NULL), 0);
	for (unsigned delivery = 1; delivery <= 2; delivery++) {
		assert_int_equal(kc_select(c, 2, 0, -1, NULL), 0);
		assert_int_equal(c[0].result, 0);
		assert_int_equal(c[0].len, sizeof(v));
		assert_int_equal(v, 5);
		assert_int_equal(lease.deliveries, delivery);
		assert_int_equal(delivery == 1 ? kc_chan_nack(a.pair.rx, &lease)
					       : kc_chan_ack(a.pair.rx, &lease),
				 0);
	}
	a.received++;
	assert_int_equal(kc_select(c, 2, 0, KCT_SHORT_MS, NULL), KC_ETIME);
	/* both ready: the one that loses is not leased, and not marked */
	assert_int_equal(case_send(&a, 6, 0, NULL), 0);
	assert_int_equal(case_send(&b, 7, 0, NULL), 0);
	case_arrived(&a);
	case_arrived(&b);
	assert_int_equal(kc_select(c, 2, KC_SELECT_PRIORITY, -1, NULL), 0);
	assert_int_equal(kc_chan_ack(a.pair.rx, &lease), 0);
	a.received++;
	assert_int_equal(kc_chan_len(b.pair.rx), 1);
	assert_int_equal(kc_select(c, 2, 0, -1, NULL), 1);
	assert_int_equal(w, 7);
	assert_int_equal(other.deliveries, 1);
	assert_int_equal(other.redelivered, 0);
	assert_int_equal(kc_chan_ack(b.pair.rx, &other), 0);
	b.received++;
	case_end(&a);
	case_end(&b);
}

/* ---- what is refused --------------------------------------------------------------- */

/* The detail names the clause by its index. */
static void refused(struct kc_clause clause, int code)
{
	struct kc_clause c[3] = { kc_clause_after(-1), kc_clause_after(-1), clause };

	assert_int_equal(kc_select(c, 3, 0, 0, NULL), code);
	assert_non_null(strstr(kc_error_detail(), "2"));
	assert_int_equal(kc_select(c, 3, 0, -1, NULL), code);
	assert_int_equal(kc_select(c, 3, KC_SELECT_READY, -1, NULL), code);
}

static void nonsense_is_refused(void **state)
{
	static const unsigned bad_flags[] = { 4, 1u << 31, ~0u };
	struct kc_zdesc desc = { 0 };
	unsigned char long_one[KCT_MSG_MAX + 1] = { 0 };
	struct kc_clause c;
	struct kct_case fixed, msg;
	uint64_t v = 0;

	case_start(&fixed, KCT_FIXED, KC_BUFFERED, 2);
	case_start(&msg, KCT_MSG, KC_BUFFERED, 2);
	assert_int_equal(case_send(&fixed, 1, 0, NULL), 0);
	assert_int_equal(case_send(&msg, 1, 0, NULL), 0);
	c = kc_clause_recv(fixed.pair.rx, &v);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(kc_select(&c, 1, bad_flags[i], -1, NULL), KC_EINVAL);
		assert_string_not_equal(kc_error_detail(), "");
	}
	assert_int_equal(kc_select(NULL, 1, 0, -1, NULL), KC_EINVAL);
	assert_int_equal(kc_select(&c, SIZE_MAX, 0, -1, NULL), KC_EINVAL);
	refused(kc_clause_recv(fixed.pair.rx, NULL), KC_EINVAL);
	refused(kc_clause_send(fixed.pair.tx, NULL), KC_EINVAL);
	refused(kc_clause_recv_msg(msg.pair.rx, NULL, 5), KC_EINVAL);
	refused(kc_clause_send_msg(msg.pair.tx, NULL, 5), KC_EINVAL);
	refused(kc_clause_recv(msg.pair.rx, &v), KC_EINVAL);
	refused(kc_clause_send(msg.pair.tx, &v), KC_EINVAL);
	refused(kc_clause_recv_msg(fixed.pair.rx, &v, sizeof(v)), KC_EINVAL);
	refused(kc_clause_send_msg(fixed.pair.tx, &v, sizeof(v)), KC_EINVAL);
	refused(kc_clause_recv_desc(fixed.pair.rx, &desc), KC_EINVAL);
	refused(kc_clause_send_desc(fixed.pair.tx, &desc), KC_EINVAL);
	refused(kc_clause_recv_desc(fixed.pair.rx, NULL), KC_EINVAL);
	refused(kc_clause_send_msg(msg.pair.tx, long_one, sizeof(long_one)), KC_EMSGSIZE);
	c.kind = 99;
	refused(c, KC_EINVAL);
	c.kind = -1;
	refused(c, KC_EINVAL);
	/* and nothing came of all this */
	assert_int_equal(case_recv(&fixed, 0, NULL), 1);
	assert_int_equal(case_recv(&msg, 0, NULL), 1);
	assert_int_equal(case_recv(&fixed, 0, NULL), KC_EAGAIN);
	case_end(&fixed);
	case_end(&msg);
}

static void what_would_be_for_ever_is_refused(void **state)
{
	struct kc_clause c[2] = { kc_clause_after(-1), kc_clause_recv(NULL, NULL) };
	kc_cancel_t *token;

	c[0].kind = KC_CLAUSE_OFF;
	assert_int_equal(kc_select(c, 2, 0, -1, NULL), KC_EINVAL);
	assert_string_not_equal(kc_error_detail(), "");
	assert_int_equal(kc_select(NULL, 0, 0, -1, NULL), KC_EINVAL);
	/* with a bound, or a token, it is a wait for that */
	assert_int_equal(kc_select(c, 2, 0, 0, NULL), KC_EAGAIN);
	assert_int_equal(kc_select(NULL, 0, 0, KCT_SHORT_MS, NULL), KC_ETIME);
	assert_int_equal(kc_cancel_init(&token), 0);
	assert_int_equal(kc_select(c, 2, 0, KCT_SHORT_MS, token), KC_ETIME);
	kc_cancel_trigger(token);
	assert_int_equal(kc_select(c, 2, 0, -1, token), KC_ECANCELED);
	kc_cancel_destroy(token);
}

static int in_child(void *arg)
{
	struct kct_case *c = arg;
	uint64_t v;
	struct kc_clause clause = kc_clause_recv(c->pair.rx, &v);

	return kc_select(&clause, 1, 0, 0, NULL) == KC_EFORKED ? 0 : 1;
}

static void a_forked_child_has_no_use_of_the_channels(void **state)
{
	struct kct_case c;

	case_start(&c, KCT_FIXED, KC_BUFFERED, 2);
	assert_int_equal(case_send(&c, 1, 0, NULL), 0);
	assert_int_equal(kct_in_child(in_child, &c), 0);
	assert_int_equal(case_recv(&c, 0, NULL), 1);
	case_end(&c);
}

const struct CMUnitTest *select_use_tests(size_t *ret_n)
{
	static const struct CMUnitTest tests[] = {
		KCT_TEST(a_timer_goes_off_once),
		KCT_TEST(a_timer_runs_over_many_selects),
		KCT_TEST(the_sooner_timer_wins),
		KCT_TEST(a_tick_comes_again),
		KCT_TEST(a_timer_is_a_clause_among_others),
		KCT_TEST(a_timer_ends_a_wait_at_channels),
		KCT_TEST(clauses_are_added_and_taken_away),
		KCT_TEST(an_added_select_has_its_bounds_and_flags),
		KCT_TEST(a_block_carries_out_one_case),
		KCT_TEST(a_block_can_be_left),
		KCT_TEST(a_lease_may_be_what_is_waited_for),
		KCT_TEST(nonsense_is_refused),
		KCT_TEST(what_would_be_for_ever_is_refused),
		KCT_TEST(a_forked_child_has_no_use_of_the_channels),
	};

	*ret_n = sizeof(tests) / sizeof(tests[0]);
	return tests;
}
