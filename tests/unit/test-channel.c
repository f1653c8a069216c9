/* SPDX-License-Identifier: BSD-3-Clause */
/* The channel engine, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kcoro/error.h"
#include "tests/unit/channel-sim.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)

static struct sim sim;
static struct sim_client a, b, c;
static struct sim_wait s, s2, r, r2;
static const uint64_t v[] = { 11, 12, 13, 14, 15, 16, 17, 18 };

static void begin(enum kcp_kind kind, uint32_t capacity, enum kcp_overflow overflow)
{
	struct kcd_channel_options o = sim_options(kind, capacity);

	o.overflow = overflow;
	sim_init(&sim, &o);
	sim_attach(&sim, &a, BOTH);
	sim_attach(&sim, &b, BOTH);
	sim_attach(&sim, &c, BOTH);
}

static void end(void)
{
	struct sim_client *all[] = { &a, &b, &c };

	sim_check(&sim);
	for (unsigned i = 0; i < 3; i++)
		if (all[i]->attached)
			sim_detach(all[i], false);
	sim_check(&sim);
	sim_done(&sim);
}

static struct kc_ledger ledger(void)
{
	struct kc_ledger l;

	kcd_channel_ledger(sim.ch, &l);
	return l;
}

static void capacity_is_exact_and_a_batch_is_cut(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 5, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 8, true), 5);
	assert_int_equal(sim_send(&s, &a, v + 5, 3, true), KC_EAGAIN);
	assert_int_equal(sim_recv(&r, &b, 2, false, true), 2);
	assert_int_equal(b.given[0].value, 11);
	assert_int_equal(b.given[1].value, 12);
	/* The place is free as soon as the element is on its way. */
	assert_int_equal(sim_send(&s, &a, v + 5, 3, true), 2);
	sim_check(&sim);
	assert_int_equal(ledger().received, 2);
	end();
}

static void waiting_receivers_are_served_in_order(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 1, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_recv(&r2, &c, 1, false, false), 0);
	assert_int_equal(sim.ch->n_receivers_waiting, 2);
	assert_int_equal(sim_send(&s, &a, v, 3, true), 3);
	assert_int_equal(b.given[0].value, 11);
	assert_int_equal(c.given[0].value, 12);
	assert_int_equal(kcd_channel_len(sim.ch), 1);
	end();
}

static void waiting_senders_keep_their_order_and_get_the_rest_back_at_close(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 1, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 1, false), 1);
	assert_int_equal(sim_send(&s, &a, v + 1, 1, false), 0);
	assert_int_equal(sim_send(&s2, &b, v + 2, 1, false), 0);
	assert_int_equal(sim_recv(&r, &c, 1, false, true), 1);
	assert_false(s.pending);
	assert_int_equal(s.result, 1);
	assert_true(s2.pending);
	kcd_channel_close(sim.ch);
	assert_int_equal(s2.result, KC_EPIPE);
	assert_int_equal(sim_send(&s2, &b, v + 2, 1, false), KC_EPIPE);
	assert_int_equal(sim_recv(&r, &c, 1, false, true), 1);
	assert_int_equal(c.given[1].value, 12);
	assert_int_equal(sim_take(&c, 0), 11);
	assert_int_equal(sim_take(&c, 0), 12);
	assert_int_equal(sim_recv(&r, &c, 1, false, true), KC_EPIPE);
	end();
}

static void a_closed_channel_is_drained_only_when_nothing_can_come_back(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 4, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 1, true), 1);
	kcd_channel_close(sim.ch);
	assert_int_equal(sim_recv(&r, &b, 1, true, true), 1);
	assert_int_equal(sim_recv(&r2, &c, 1, true, true), KC_EAGAIN);
	assert_int_equal(sim_recv(&r2, &c, 1, true, false), 0);
	sim_detach(&b, true);
	assert_false(r2.pending);
	assert_int_equal(r2.result, 1);
	assert_int_equal(c.given[0].value, 11);
	assert_int_equal(kcd_attach_ack(&c.attach, c.given[0].number, 1), 1);
	assert_int_equal(sim_recv(&r2, &c, 1, true, false), KC_EPIPE);
	end();
}

static void overflow_policies(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 2, KCP_OVERFLOW_DROP_OLDEST);
	assert_int_equal(sim_send(&s, &a, v, 5, true), 5);
	assert_int_equal(sim_recv(&r, &b, 8, false, true), 2);
	assert_int_equal(b.given[0].value, 14);
	assert_int_equal(ledger().dropped_oldest, 3);
	end();
	begin(KCP_KIND_BUFFERED, 2, KCP_OVERFLOW_DROP_NEWEST);
	assert_int_equal(sim_send(&s, &a, v, 5, true), 5);
	assert_int_equal(sim_recv(&r, &b, 8, false, true), 2);
	assert_int_equal(b.given[1].value, 12);
	assert_int_equal(ledger().dropped_newest, 3);
	end();
}

static void conflated_keeps_the_newest_and_counts_the_rest(void **state)
{
	(void)state;
	begin(KCP_KIND_CONFLATED, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 3, true), 3);
	assert_int_equal(sim_recv(&r, &b, 8, true, true), 1);
	assert_int_equal(b.given[0].value, 13);
	assert_int_equal(ledger().conflated, 2);
	/* A returned value revives only if nothing newer came. */
	assert_int_equal(kcd_attach_nack(&b.attach, sim_forget(&b, 0), 1), 1);
	assert_int_equal(kcd_channel_len(sim.ch), 1);
	assert_int_equal(sim_recv(&r, &b, 1, true, true), 1);
	assert_int_equal(b.given[0].before, 1);
	assert_int_equal(sim_send(&s, &a, v + 3, 1, true), 1);
	assert_int_equal(kcd_attach_nack(&b.attach, sim_forget(&b, 0), 1), 1);
	assert_int_equal(kcd_channel_len(sim.ch), 1);
	assert_int_equal(ledger().conflated, 3);
	kcd_channel_close(sim.ch);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_int_equal(b.given[0].value, 14);
	end();
}

static void a_rendezvous_completes_when_the_receiver_has_it(void **state)
{
	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 1, true), KC_EAGAIN);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), KC_EAGAIN);
	assert_int_equal(sim_send(&s, &a, v, 1, false), 0);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_true(s.pending);
	assert_int_equal(sim_take(&b, 0), 11);
	assert_false(s.pending);
	assert_int_equal(s.result, 1);
	/* The other way round, and a try that finds somebody waiting. */
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_send(&s, &a, v + 1, 1, true), 0);
	assert_int_equal(r.result, 1);
	assert_int_equal(sim_take(&b, 0), 12);
	assert_int_equal(s.result, 1);
	end();
}

static void a_receiver_that_vanishes_gives_the_element_back_to_its_sender(void **state)
{
	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_recv(&r2, &c, 1, false, false), 0);
	assert_int_equal(sim_send(&s, &a, v, 1, false), 0);
	assert_int_equal(r.result, 1);
	sim_detach(&b, true);
	assert_int_equal(r2.result, 1);
	assert_true(s.pending);
	assert_int_equal(sim_take(&c, 0), 11);
	assert_int_equal(s.result, 1);
	assert_int_equal(ledger().sent, 1);
	assert_int_equal(ledger().received, 1);
	end();
}

static void a_rendezvous_can_be_withdrawn_until_it_is_taken(void **state)
{
	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_send(&s, &a, v, 1, false), 0);
	sim_cancel(&s);
	assert_int_equal(s.result, KC_ECANCELED);
	assert_int_equal(sim_take(&b, 0), 0);
	assert_int_equal(ledger().sent, 0);
	/* By close. */
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_send(&s, &a, v, 1, false), 0);
	kcd_channel_close(sim.ch);
	assert_int_equal(s.result, KC_EPIPE);
	assert_int_equal(sim_take(&b, 0), 0);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), KC_EPIPE);
	end();
}

static void a_rendezvous_element_that_does_not_fit_stays_with_its_sender(void **state)
{
	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	r.wait.space = 7;
	assert_int_equal(sim_send(&s, &a, v, 1, false), 0);
	assert_int_equal(r.result, KC_EMSGSIZE);
	assert_int_equal(r.wait.needed, 8);
	assert_true(s.pending);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_int_equal(sim_take(&b, 0), 11);
	assert_int_equal(s.result, 1);
	end();
}

static void a_try_is_not_held_up_by_a_receiver_that_sleeps(void **state)
{
	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_send(&s, &a, v, 1, true), 0);
	sim_pass_ms(&sim, 1001);
	assert_false(s.pending);
	assert_int_equal(s.result, KC_EAGAIN);
	assert_int_equal(sim_take(&b, 0), 0);
	end();
}

static void a_lease_lapses_and_the_element_comes_back_marked(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 8, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 4, true), 4);
	assert_int_equal(sim_recv(&r, &b, 3, true, true), 3);
	assert_int_equal(kcd_attach_taken(&b.attach, 1, 3), 3);
	assert_int_equal(ledger().leased, 3);
	assert_int_equal(kcd_attach_ack(&b.attach, 2, 1), 1);
	assert_int_equal(kcd_attach_ack(&b.attach, 2, 1), 0);
	sim_pass_ms(&sim, 600);
	assert_int_equal(kcd_attach_extend(&b.attach, 3, 1, 1000), 1);
	sim_pass_ms(&sim, 600);
	assert_int_equal(ledger().leased, 1);
	assert_int_equal(sim_recv(&r, &c, 8, true, true), 2);
	assert_int_equal(c.given[0].value, 11);
	assert_int_equal(c.given[0].before, 1);
	assert_int_equal(c.given[1].value, 14);
	assert_int_equal(c.given[1].before, 0);
	assert_int_equal(kcd_attach_ack(&b.attach, 1, 1), 0);
	sim_pass_ms(&sim, 600);
	sim_check(&sim);
	end();
}

static void what_was_only_on_its_way_comes_back_unmarked_in_its_place(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 8, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 4, true), 4);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_int_equal(ledger().received, 2);
	sim_detach(&b, true);
	assert_int_equal(ledger().received, 0);
	assert_int_equal(sim_recv(&r, &c, 8, false, true), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(c.given[i].value, v[i]);
		assert_int_equal(c.given[i].before, 0);
	}
	end();
}

static void what_was_overtaken_comes_back_marked(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 8, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 3, true), 3);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_int_equal(sim_recv(&r, &c, 1, false, true), 1);
	sim_detach(&b, true);
	assert_int_equal(sim_recv(&r, &c, 8, false, true), 2);
	assert_int_equal(c.given[1].value, 11);
	assert_int_equal(c.given[1].before, 1);
	assert_int_equal(c.given[2].value, 13);
	assert_int_equal(c.given[2].before, 0);
	assert_int_equal(sim.ch->redelivered, 1);
	end();
}

static void what_was_taken_last_by_a_process_that_died_is_lost(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 8, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 4, true), 4);
	assert_int_equal(sim_recv(&r, &b, 2, false, true), 2);
	assert_int_equal(sim_take(&b, 0), 11);
	kcd_attach_progress(&b.attach);
	assert_int_equal(sim_take(&b, 0), 12);
	sim_detach(&b, true);
	assert_int_equal(ledger().received, 1);
	assert_int_equal(ledger().lost_consumer, 1);
	end();
}

static void credit_gives_ahead_and_recall_brings_back(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 4, KCP_OVERFLOW_BLOCK);
	kcd_attach_credit(&b.attach, 3);
	assert_int_equal(sim_send(&s, &a, v, 4, true), 4);
	assert_int_equal(b.n_given, 3);
	/* They still count in length and capacity. */
	assert_int_equal(kcd_channel_len(sim.ch), 4);
	assert_int_equal(sim_send(&s, &a, v + 4, 1, true), KC_EAGAIN);
	assert_int_equal(sim_take(&b, 0), 11);
	assert_int_equal(b.n_given, 3); /* the window moved on */
	assert_int_equal(sim_recv(&r, &c, 1, false, false), 0);
	assert_true(b.recalled);
	assert_int_equal(b.recall_wanted, 1);
	b.recalled = false;
	assert_int_equal(kcd_attach_return(&b.attach, sim_forget(&b, 2), 1), 1);
	kcd_attach_recalled(&b.attach);
	assert_int_equal(r.result, 1);
	assert_int_equal(c.given[0].value, 14);
	assert_int_equal(c.given[0].before, 0);
	end();
}

static void a_recall_in_vain_is_not_repeated_for_ever(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 4, KCP_OVERFLOW_BLOCK);
	kcd_attach_credit(&b.attach, 4);
	assert_int_equal(sim_send(&s, &a, v, 1, true), 1);
	assert_int_equal(sim_recv(&r, &c, 1, false, false), 0);
	assert_true(b.recalled);
	b.recalled = false;
	kcd_attach_recalled(&b.attach);
	assert_false(b.recalled);
	assert_int_equal(sim_take(&b, 0), 11);
	assert_true(r.pending);
	assert_int_equal(sim_send(&s, &a, v + 1, 1, true), 1);
	assert_int_equal(c.given[0].value, 12);
	end();
}

static void a_receive_that_crosses_with_what_was_given_ahead_recalls_nothing(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 8, KCP_OVERFLOW_BLOCK);
	kcd_attach_credit(&b.attach, 2);
	assert_int_equal(sim_send(&s, &a, v, 2, true), 2);
	assert_int_equal(b.n_given, 2);
	assert_int_equal(sim_recv(&r, &b, 8, false, false), 0);
	assert_false(b.recalled);
	/* Newer elements may come as the reply; their numbers say that they are newer. */
	assert_int_equal(sim_send(&s, &a, v + 2, 1, true), 1);
	assert_int_equal(r.result, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(sim_take(&b, 0), v[i]);
	end();
}

static void a_suspended_session_gets_nothing_and_keeps_its_place(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 4, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_recv(&r2, &c, 1, false, false), 0);
	kcd_attach_suspend(&b.attach);
	kcd_wait_suspend(&r.wait);
	assert_int_equal(sim.ch->n_receivers_waiting, 1);
	assert_int_equal(sim_send(&s, &a, v, 1, true), 1);
	assert_true(r.pending);
	assert_int_equal(c.given[0].value, 11);
	assert_int_equal(sim_recv(&r2, &c, 1, false, false), 0);
	kcd_wait_resume(&r.wait);
	kcd_attach_resume(&b.attach);
	assert_int_equal(sim_send(&s, &a, v + 1, 1, true), 1);
	assert_int_equal(b.given[0].value, 12);
	assert_true(r2.pending);
	sim_cancel(&r2);
	end();
}

static void destroy_lets_receivers_drain_and_drops_the_rest(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 4, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 3, true), 3);
	kcd_channel_destroy(sim.ch);
	assert_int_equal(sim_recv(&r, &b, 1, false, true), 1);
	assert_int_equal(sim_take(&b, 0), 11);
	sim_detach(&a, false);
	sim_detach(&b, false);
	assert_false(sim.gone);
	sim_detach(&c, false);
	assert_true(sim.gone);
	assert_int_equal(ledger().dropped_destroyed, 2);
	end();
}

static void auto_close_waits_for_the_last_sender(void **state)
{
	struct kcd_channel_options o = sim_options(KCP_KIND_BUFFERED, 4);

	(void)state;
	o.flags = KCP_CHAN_AUTO_CLOSE;
	sim_init(&sim, &o);
	sim_attach(&sim, &c, KCP_ROLE_RECEIVER);
	assert_int_equal(sim_recv(&r, &c, 1, false, false), 0);
	sim_attach(&sim, &a, KCP_ROLE_SENDER);
	sim_attach(&sim, &b, KCP_ROLE_SENDER);
	sim_detach(&a, false);
	assert_false(sim.ch->closed);
	sim_detach(&b, false);
	assert_true(sim.ch->closed);
	assert_int_equal(r.result, KC_EPIPE);
	end();
}

static void purge_drops_what_is_queued_only(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 4, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_send(&s, &a, v, 4, true), 4);
	assert_int_equal(sim_recv(&r, &b, 1, true, true), 1);
	assert_int_equal(sim_send(&s, &a, v + 4, 1, true), 1);
	assert_int_equal(sim_send(&s, &a, v + 5, 1, false), 0);
	assert_int_equal(kcd_channel_purge(sim.ch), 4);
	assert_int_equal(s.result, 1);
	assert_int_equal(ledger().dropped_purged, 4);
	assert_int_equal(ledger().leased, 1);
	end();
}

static void an_offer_reserves_and_declining_puts_back_unmarked(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 1, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_offer_recv(&r, &b, NULL), 0);
	assert_false(r.offered);
	assert_int_equal(sim_send(&s, &a, v, 1, true), 1);
	assert_true(r.offered);
	assert_int_equal(kcd_channel_len(sim.ch), 1);
	assert_int_equal(sim_recv(&r2, &c, 1, false, true), KC_EAGAIN);
	sim_cancel(&r);
	assert_int_equal(sim_recv(&r2, &c, 1, false, true), 1);
	assert_int_equal(c.given[0].before, 0);
	/* Claimed. */
	assert_int_equal(sim_offer_recv(&r, &b, NULL), 0);
	assert_int_equal(sim_send(&s, &a, v + 1, 1, true), 1);
	assert_int_equal(kcd_wait_claim(&r.wait), KCD_CLAIM_OK);
	assert_int_equal(r.result, 1);
	assert_int_equal(b.given[0].value, 12);
	/* A place. */
	assert_int_equal(sim_offer_send(&s, &a, 13, NULL), 0);
	assert_true(s.offered);
	assert_int_equal(sim_send(&s2, &b, v + 3, 1, true), KC_EAGAIN);
	assert_int_equal(kcd_wait_claim(&s.wait), KCD_CLAIM_OK);
	assert_int_equal(s.result, 1);
	assert_int_equal(kcd_wait_claim(&s.wait), KCD_CLAIM_AGAIN);
	end();
}

static void an_offer_nobody_settles_is_withdrawn(void **state)
{
	(void)state;
	begin(KCP_KIND_BUFFERED, 1, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_offer_recv(&r, &b, NULL), 0);
	assert_int_equal(sim_recv(&r2, &c, 1, false, false), 0);
	assert_int_equal(sim_send(&s, &a, v, 1, true), 1);
	assert_true(r.offered);
	sim_pass_ms(&sim, 1001);
	assert_int_equal(r2.result, 1);
	assert_true(r.pending);
	assert_int_equal(kcd_wait_claim(&r.wait), KCD_CLAIM_AGAIN);
	sim_cancel(&r);
	end();
}

static void two_selects_meet_on_a_rendezvous(void **state)
{
	struct kcd_group gs, gr;

	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	kcd_group_init(&gs);
	kcd_group_init(&gr);
	assert_int_equal(sim_offer_send(&s, &a, 11, &gs), 0);
	assert_int_equal(sim_offer_recv(&r, &b, &gr), 0);
	assert_true(s.offered);
	assert_true(r.offered);
	assert_int_equal(kcd_wait_claim(&s.wait), KCD_CLAIM_PENDING);
	/* The other declines: the claim fails, the sender waits on. */
	sim_cancel(&r);
	assert_int_equal(s.claimed, -1);
	assert_true(s.pending);
	kcd_group_init(&gr);
	assert_int_equal(sim_offer_recv(&r, &b, &gr), 0);
	s.claimed = 0;
	assert_int_equal(kcd_wait_claim(&r.wait), KCD_CLAIM_PENDING);
	assert_int_equal(kcd_wait_claim(&s.wait), KCD_CLAIM_OK);
	assert_int_equal(s.result, 1);
	assert_int_equal(r.claimed, 1);
	assert_int_equal(b.given[0].value, 11);
	assert_int_equal(sim_take(&b, 0), 11);
	end();
}

static void one_clause_of_a_select_is_offered_at_a_time(void **state)
{
	struct kcd_group g;

	(void)state;
	begin(KCP_KIND_BUFFERED, 2, KCP_OVERFLOW_BLOCK);
	kcd_group_init(&g);
	assert_int_equal(sim_offer_recv(&r, &b, &g), 0);
	assert_int_equal(sim_offer_recv(&r2, &b, &g), 0);
	assert_int_equal(sim_send(&s, &a, v, 2, true), 2);
	assert_true(r.offered);
	assert_false(r2.offered);
	/* Declined: the next clause gets its turn, and the very same element. */
	sim_cancel(&r);
	assert_true(r2.offered);
	assert_int_equal(kcd_wait_claim(&r2.wait), KCD_CLAIM_OK);
	assert_int_equal(b.given[0].value, 11);
	end();
}

static void a_select_that_sends_meets_a_plain_receiver(void **state)
{
	(void)state;
	begin(KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK);
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_offer_send(&s, &a, 11, NULL), 0);
	assert_true(s.offered);
	assert_true(r.pending);
	assert_int_equal(kcd_wait_claim(&s.wait), KCD_CLAIM_PENDING);
	assert_int_equal(r.result, 1);
	assert_int_equal(sim_take(&b, 0), 11);
	assert_int_equal(s.claimed, 1);
	assert_int_equal(s.result, 1);
	/* And once more with a receiver that dies instead of taking it. */
	assert_int_equal(sim_recv(&r, &b, 1, false, false), 0);
	assert_int_equal(sim_offer_send(&s, &a, 12, NULL), 0);
	assert_int_equal(kcd_wait_claim(&s.wait), KCD_CLAIM_PENDING);
	sim_detach(&b, true);
	assert_int_equal(s.claimed, -1);
	assert_true(s.pending);
	sim_cancel(&s);
	assert_int_equal(ledger().sent, 1);
	end();
}

static void options_are_checked(void **state)
{
	struct kcd_channel_options o;
	const char *why = NULL;

	(void)state;
	o = sim_options(KCP_KIND_BUFFERED, 0);
	assert_int_equal(kcd_channel_options_check(&o, &why), KC_EINVAL);
	assert_non_null(why);
	o = sim_options(KCP_KIND_BUFFERED, KCP_CAPACITY_MAX + 1);
	assert_int_equal(kcd_channel_options_check(&o, &why), KC_EINVAL);
	o = sim_options(KCP_KIND_RENDEZVOUS, 1);
	assert_int_equal(kcd_channel_options_check(&o, &why), KC_EINVAL);
	o = sim_options(KCP_KIND_BUFFERED, 1);
	o.max_bytes = 8;
	assert_int_equal(kcd_channel_options_check(&o, &why), KC_EINVAL);
	o = sim_options(KCP_KIND_BUFFERED, 1);
	o.elem_size = 0;
	o.max_msg = 1000000;
	assert_int_equal(kcd_channel_options_check(&o, &why), 0);
	assert_int_equal(o.max_bytes, 2000000);
	o.max_bytes = 1999999;
	assert_int_equal(kcd_channel_options_check(&o, &why), KC_EINVAL);
	o = sim_options(KCP_KIND_CONFLATED, 0);
	o.overflow = KCP_OVERFLOW_DROP_OLDEST;
	assert_int_equal(kcd_channel_options_check(&o, &why), KC_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(capacity_is_exact_and_a_batch_is_cut),
		cmocka_unit_test(waiting_receivers_are_served_in_order),
		cmocka_unit_test(waiting_senders_keep_their_order_and_get_the_rest_back_at_close),
		cmocka_unit_test(a_closed_channel_is_drained_only_when_nothing_can_come_back),
		cmocka_unit_test(overflow_policies),
		cmocka_unit_test(conflated_keeps_the_newest_and_counts_the_rest),
		cmocka_unit_test(a_rendezvous_completes_when_the_receiver_has_it),
		cmocka_unit_test(a_receiver_that_vanishes_gives_the_element_back_to_its_sender),
		cmocka_unit_test(a_rendezvous_can_be_withdrawn_until_it_is_taken),
		cmocka_unit_test(a_rendezvous_element_that_does_not_fit_stays_with_its_sender),
		cmocka_unit_test(a_try_is_not_held_up_by_a_receiver_that_sleeps),
		cmocka_unit_test(a_lease_lapses_and_the_element_comes_back_marked),
		cmocka_unit_test(what_was_only_on_its_way_comes_back_unmarked_in_its_place),
		cmocka_unit_test(what_was_overtaken_comes_back_marked),
		cmocka_unit_test(what_was_taken_last_by_a_process_that_died_is_lost),
		cmocka_unit_test(credit_gives_ahead_and_recall_brings_back),
		cmocka_unit_test(a_recall_in_vain_is_not_repeated_for_ever),
		cmocka_unit_test(a_receive_that_crosses_with_what_was_given_ahead_recalls_nothing),
		cmocka_unit_test(a_suspended_session_gets_nothing_and_keeps_its_place),
		cmocka_unit_test(destroy_lets_receivers_drain_and_drops_the_rest),
		cmocka_unit_test(auto_close_waits_for_the_last_sender),
		cmocka_unit_test(purge_drops_what_is_queued_only),
		cmocka_unit_test(an_offer_reserves_and_declining_puts_back_unmarked),
		cmocka_unit_test(an_offer_nobody_settles_is_withdrawn),
		cmocka_unit_test(two_selects_meet_on_a_rendezvous),
		cmocka_unit_test(one_clause_of_a_select_is_offered_at_a_time),
		cmocka_unit_test(a_select_that_sends_meets_a_plain_receiver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
