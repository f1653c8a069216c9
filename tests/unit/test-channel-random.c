/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel engine under random calls from eight clients: every element that was
 * accepted is, in the end, received exactly once, dropped and counted, or lost with
 * a consumer that died; the books balance after every step; and whoever listens to a
 * bell misses nothing. The seed is printed;
 * KC_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kcoro/error.h"
#include "tests/unit/channel-sim.h"

#define CLIENTS 8
#define WAITS 3 /* per client */
#define STEPS 20000
#define VALUES 200000

static struct sim sim;
static struct sim_client clients[CLIENTS];
static struct sim_wait waits[CLIENTS][WAITS];
static struct kcd_group groups[CLIENTS];
static struct listener {
	struct sim_bell bells[2]; /* for receives, for sends */
	struct sim_wait probe[2]; /* tries */
	bool probing[2];
} listeners[CLIENTS];
static unsigned n_silenced, n_heard;
static uint8_t taken[VALUES]; /* how often each value was received for good */
static uint64_t next_value, n_taken;
static unsigned seed;

static unsigned roll(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void receive_for_good(uint64_t value)
{
	assert_true(value > 0 && value < VALUES);
	assert_int_equal(taken[value], 0);
	taken[value] = 1;
	n_taken++;
}

static struct sim_wait *idle_wait(unsigned i)
{
	for (unsigned k = 0; k < WAITS; k++)
		if (!waits[i][k].pending)
			return &waits[i][k];
	return NULL;
}

static void step_send(unsigned i)
{
	struct sim_wait *w = idle_wait(i);
	uint64_t values[8];
	unsigned n = 1 + roll(8);

	if (!w || next_value + n >= VALUES)
		return;
	for (unsigned k = 0; k < n; k++)
		values[k] = ++next_value;
	if (roll(6) == 0)
		(void)sim_offer_send(w, &clients[i], values[0], &groups[i]);
	else
		(void)sim_send(w, &clients[i], values, n, roll(2));
}

static void step_recv(unsigned i)
{
	struct sim_wait *w = idle_wait(i);

	if (!w || clients[i].n_given > SIM_GIVEN_MAX / 2)
		return;
	if (roll(6) == 0)
		(void)sim_offer_recv(w, &clients[i], &groups[i]);
	else
		(void)sim_recv(w, &clients[i], 1 + roll(6), roll(2), roll(2));
}

static void step_settle(unsigned i)
{
	struct sim_client *c = &clients[i];
	unsigned k;
	uint64_t value, number;

	if (c->n_given == 0)
		return;
	k = roll(c->n_given);
	value = c->given[k].value;
	number = c->given[k].number;
	kcd_attach_progress(&c->attach);
	switch (roll(5)) {
	case 0: /* for good, whichever way it was given */
	case 1:
		sim_forget(c, k);
		if (kcd_attach_ack(&c->attach, number, 1))
			receive_for_good(value);
		break;
	case 2:
		sim_forget(c, k);
		(void)kcd_attach_nack(&c->attach, number, 1);
		break;
	case 3:
		(void)kcd_attach_extend(&c->attach, number, 1, 500 + roll(1000));
		break;
	case 4:
		if (kcd_attach_return(&c->attach, number, 1))
			sim_forget(c, k);
		kcd_channel_pump(sim.ch); /* as behind a whole RETURN */
		break;
	}
}

static void hang_bells(unsigned i)
{
	for (int send = 0; send < 2; send++)
		kcd_bell_hang(&listeners[i].bells[send].bell, &clients[i].attach, send);
}

static void take_bells_down(unsigned i)
{
	for (int send = 0; send < 2; send++) {
		kcd_bell_take_down(&listeners[i].bells[send].bell);
		sim_cancel(&listeners[i].probe[send]);
		listeners[i].probing[send] = false;
	}
}

/* As kcorod does with the answer to a try. */
static void probe_ended(struct listener *l, int send)
{
	struct kcd_bell *bell = &l->bells[send].bell;

	if (l->probe[send].pending)
		return;
	l->probing[send] = false;
	if (l->probe[send].result != KC_EAGAIN)
		return;
	kcd_bell_silence(bell, sizeof(uint64_t));
	n_silenced += !bell->rung;
}

/* A bell that is silent means that a try finds nothing; and then it stays silent. */
static void step_listen(unsigned i)
{
	struct listener *l = &listeners[i];
	int send = (int)roll(2);
	struct kcd_bell *bell = &l->bells[send].bell;
	bool rung = bell->rung;
	uint64_t value = next_value + 1;
	long r;

	if (clients[i].attach.suspended || l->probing[send] || value == VALUES ||
	    clients[i].n_given > SIM_GIVEN_MAX / 2)
		return;
	l->probing[send] = true;
	if (send)
		r = sim_send(&l->probe[1], &clients[i], &value, 1, true);
	else
		r = sim_recv(&l->probe[0], &clients[i], 1 + roll(3), false, true);
	next_value += send && r != KC_EAGAIN;
	if (r != KC_EAGAIN) {
		assert_true(rung);
		n_heard++;
	}
	probe_ended(l, send);
	/* nothing else happened: it must not ring for the same once more */
	if (r == KC_EAGAIN)
		assert_false(bell->rung);
}

static void step_offers(unsigned i)
{
	for (unsigned k = 0; k < WAITS; k++) {
		struct sim_wait *w = &waits[i][k];

		if (!w->pending || !w->offered)
			continue;
		if (roll(2)) {
			if (kcd_wait_claim(&w->wait) != KCD_CLAIM_PENDING)
				w->offered = false;
		} else {
			sim_cancel(w);
		}
	}
}

static void end_waits(unsigned i)
{
	for (unsigned k = 0; k < WAITS; k++)
		sim_cancel(&waits[i][k]);
	kcd_group_init(&groups[i]);
}

static void step_reattach(unsigned i)
{
	end_waits(i);
	take_bells_down(i);
	kcd_attach_progress(&clients[i].attach);
	sim_detach(&clients[i], roll(2));
	sim_attach(&sim, &clients[i], KCP_ROLE_SENDER | KCP_ROLE_RECEIVER);
	kcd_attach_credit(&clients[i].attach, roll(3) ? 0 : 1 + roll(20));
	hang_bells(i);
}

static void step_session(unsigned i)
{
	bool suspend = !clients[i].attach.suspended;

	if (suspend)
		kcd_attach_suspend(&clients[i].attach);
	for (int send = 0; suspend && send < 2; send++)
		kcd_bell_ring(&listeners[i].bells[send].bell);
	for (unsigned k = 0; k < WAITS; k++) {
		if (!waits[i][k].pending)
			continue;
		if (suspend)
			kcd_wait_suspend(&waits[i][k].wait);
		else
			kcd_wait_resume(&waits[i][k].wait);
	}
	if (!suspend)
		kcd_attach_resume(&clients[i].attach);
}

static void answer_recall(unsigned i)
{
	struct sim_client *c = &clients[i];

	if (!c->recalled)
		return;
	c->recalled = false;
	for (unsigned n = roll(c->recall_wanted + 1); n > 0 && c->n_given > 0; n--) {
		uint64_t number = c->given[c->n_given - 1].number;

		if (!kcd_attach_return(&c->attach, number, 1))
			break;
		sim_forget(c, c->n_given - 1);
	}
	kcd_attach_recalled(&c->attach);
}

static void step(void)
{
	unsigned i = roll(CLIENTS);

	answer_recall(i);
	for (int send = 0; send < 2; send++)
		if (listeners[i].probing[send])
			probe_ended(&listeners[i], send);
	switch (roll(24)) {
	case 0 ... 5:
		step_send(i);
		break;
	case 6 ... 10:
		step_recv(i);
		break;
	case 11 ... 14:
		step_settle(i);
		break;
	case 15:
		step_offers(i);
		break;
	case 16:
		sim_cancel(&waits[i][roll(WAITS)]);
		break;
	case 17:
		if (roll(10) == 0)
			step_reattach(i);
		else
			step_session(i);
		break;
	case 18:
		sim_pass_ms(&sim, roll(200));
		break;
	case 19:
		if (roll(200) == 0)
			(void)kcd_channel_purge(sim.ch);
		break;
	case 20 ... 23:
		step_listen(i);
		break;
	}
}

static void run(enum kcp_kind kind, uint32_t capacity, enum kcp_overflow overflow)
{
	struct kcd_channel_options o = sim_options(kind, capacity);
	struct kc_ledger l;
	struct sim_wait drain;
	unsigned first = seed;

	o.overflow = overflow;
	memset(waits, 0, sizeof(waits));
	memset(taken, 0, sizeof(taken));
	next_value = n_taken = n_silenced = n_heard = 0;
	memset(listeners, 0, sizeof(listeners));
	sim_init(&sim, &o);
	for (unsigned i = 0; i < CLIENTS; i++) {
		kcd_group_init(&groups[i]);
		sim_attach(&sim, &clients[i], KCP_ROLE_SENDER | KCP_ROLE_RECEIVER);
		hang_bells(i);
	}
	for (unsigned k = 0; k < STEPS; k++) {
		step();
		sim_check(&sim);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		end_waits(i);
		take_bells_down(i);
		if (i > 0)
			sim_detach(&clients[i], false);
	}
	/* What the last client holds goes back with its lease, then it drains the rest. */
	if (clients[0].attach.suspended)
		kcd_attach_resume(&clients[0].attach);
	clients[0].n_given = 0;
	kcd_attach_credit(&clients[0].attach, 0);
	sim_detach(&clients[0], false);
	sim_attach(&sim, &clients[0], KCP_ROLE_RECEIVER);
	kcd_channel_close(sim.ch);
	while (sim_recv(&drain, &clients[0], 64, false, true) > 0)
		while (clients[0].n_given > 0)
			receive_for_good(sim_take(&clients[0], 0));
	assert_int_equal(drain.result, KC_EPIPE);
	sim_check(&sim);
	kcd_channel_ledger(sim.ch, &l);
	print_message("# seed %u kind %d: sent %llu received %llu\n", first, (int)kind,
		      (unsigned long long)l.sent, (unsigned long long)l.received);
	assert_int_equal(l.queued + l.leased, 0);
	assert_int_equal(l.received, n_taken);
	assert_true(l.sent > 200);
	print_message("# %u tries in vain, %u not\n", n_silenced, n_heard);
	assert_true(n_heard > 0 && n_heard + n_silenced > 500);
	sim_detach(&clients[0], false);
	assert_int_equal(sim.ch->elements.n, 0);
	sim_done(&sim);
}

static void nothing_is_lost_or_doubled(void **state)
{
	static const struct {
		enum kcp_kind kind;
		uint32_t capacity;
		enum kcp_overflow overflow;
	} cases[] = {
		{ KCP_KIND_BUFFERED, 1, KCP_OVERFLOW_BLOCK },
		{ KCP_KIND_BUFFERED, 7, KCP_OVERFLOW_BLOCK },
		{ KCP_KIND_BUFFERED, 7, KCP_OVERFLOW_DROP_OLDEST },
		{ KCP_KIND_BUFFERED, 7, KCP_OVERFLOW_DROP_NEWEST },
		{ KCP_KIND_RENDEZVOUS, 0, KCP_OVERFLOW_BLOCK },
		{ KCP_KIND_CONFLATED, 0, KCP_OVERFLOW_BLOCK },
		{ KCP_KIND_UNLIMITED, 0, KCP_OVERFLOW_BLOCK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(cases[i].kind, cases[i].capacity, cases[i].overflow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_or_doubled),
	};
	const char *given = getenv("KC_SEED");

	seed = given ? (unsigned)strtoul(given, NULL, 10) : 20260101;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
