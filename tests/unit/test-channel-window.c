/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Windows and cursors of the channel engine under random calls: what a client wrote
 * while GRANTED covered it is accepted, whenever it is read; places are never promised
 * twice; what the cursors say is taken is counted once; and nothing stays promised or
 * charged when all are gone. The seed is printed; KC_SEED repeats a run.
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

#define SENDERS	  4 /* the last of them without a window */
#define RECEIVERS 3 /* the last of them without credit */
#define STEPS	  20000
#define WRITTEN	  64

static struct sender {
	struct sim_client client;
	struct kcp_cursor cursor;
	struct sim_wait wait;
	uint64_t used;
	uint64_t written[WRITTEN]; /* and not read */
	unsigned n_written;
} senders[SENDERS];
static struct receiver {
	struct sim_client client;
	struct kcp_cursor cursor;
	struct sim_wait wait;
} receivers[RECEIVERS];

static struct sim sim;
static struct kcd_budget budget;
static uint64_t next_value[SENDERS], n_accepted, n_taken;
static unsigned n_covered, n_withdrawn, n_told, n_quiet, seed;

static unsigned roll(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

/* The daemon reads what a client has written. Its program was told that it is sent. */
static void read_all(struct sender *s)
{
	for (unsigned i = 0; i < s->n_written; i++) {
		struct kcd_wait wait;

		kcd_wait_init(&wait, &s->client.attach, true);
		wait.elems = (const uint8_t *)&s->written[i];
		wait.elems_len = sizeof(s->written[i]);
		assert_int_equal(kcd_wait_check(&wait), 0);
		assert_true(kcd_window_covers(&wait));
		kcd_window_accept(&wait);
		n_accepted++;
	}
	s->n_written = 0;
}

static void drain(void)
{
	for (unsigned i = 0; i < SENDERS; i++) {
		struct sender *s = &senders[i];

		if (!s->client.draining)
			continue;
		n_withdrawn++;
		s->client.draining = false;
		read_all(s);
		kcd_attach_drained(&s->client.attach);
	}
}

static void step_write(unsigned i)
{
	struct sender *s = &senders[i];

	if (s->n_written == WRITTEN || atomic_load(&s->cursor.granted) <= s->used)
		return;
	s->used++;
	s->written[s->n_written++] = (uint64_t)i << 32 | next_value[i]++;
	n_covered++;
}

/* As any other SEND, in its place behind what was written before. */
static void step_send(unsigned i)
{
	struct sender *s = &senders[i];
	uint64_t value = (uint64_t)i << 32 | next_value[i];
	bool try = roll(2);

	if (s->wait.pending)
		return;
	if (s->wait.result == 1) {
		s->wait.result = 0;
		n_accepted++;
		next_value[i]++;
		return;
	}
	read_all(s);
	(void)sim_send(&s->wait, &s->client, &value, 1, try);
	if (s->wait.pending && roll(2))
		return;
	drain();
	if (s->wait.pending && try)
		fail_msg("a try waits for more than what was written");
	if (s->wait.pending)
		sim_cancel(&s->wait);
	if (s->wait.result == 1) {
		n_accepted++;
		next_value[i]++;
	}
	s->wait.result = 0;
}

/* TAKEN of the first of what was given, by the cursor, and in words if that is asked for. */
static void step_take(struct receiver *r)
{
	uint64_t number;

	if (r->client.n_given == 0)
		return;
	number = sim_forget(&r->client, 0);
	n_taken++;
	if (r->client.attach.credit == 0) {
		assert_true(kcd_attach_taken(&r->client.attach, number, 1) == 1);
		return;
	}
	atomic_store(&r->cursor.taken, number);
	if (!atomic_load(&r->cursor.listen)) {
		n_quiet++;
		return;
	}
	n_told++;
	(void)kcd_attach_sync(&r->client.attach);
	(void)kcd_attach_taken(&r->client.attach, number, 1);
	kcd_attach_hush(&r->client.attach);
}

static void step_recv(struct receiver *r)
{
	if (r->client.attach.credit == 0 && r->client.n_given == 0 && !r->wait.pending) {
		(void)sim_recv(&r->wait, &r->client, 1 + roll(4), false, true);
		drain();
		assert_false(r->wait.pending);
	}
	step_take(r);
}

static void step_break(unsigned i)
{
	struct sender *s = &senders[i];

	if (s->wait.pending)
		return;
	/* what was written is read before the end is seen */
	read_all(s);
	kcd_attach_suspend(&s->client.attach);
	s->client.draining = false;
	assert_true(atomic_load(&s->cursor.granted) == s->used);
	kcd_attach_resume(&s->client.attach);
}

static void check(void)
{
	const struct kcd_channel *ch = sim.ch;
	uint64_t promised = 0;

	kcd_channel_sync(sim.ch);
	for (unsigned i = 0; i < SENDERS; i++) {
		const struct kcd_attach *a = &senders[i].client.attach;

		assert_true(a->granted - a->used >= senders[i].n_written);
		assert_true(a->granted - a->used <= a->window);
		promised += a->granted - a->used;
	}
	assert_int_equal(ch->n_promised, promised);
	assert_int_equal(ch->promised_bytes, promised * sizeof(uint64_t));
	assert_int_equal(budget.used, ch->elements.held + ch->promised_bytes);
	/* nobody gave anything back */
	assert_true(kcd_channel_len(ch) + promised <= ch->opts.capacity);
	sim_check(&sim);
}

static void step(void)
{
	switch (roll(8)) {
	case 0:
	case 1:
	case 2:
		step_write(roll(SENDERS - 1));
		break;
	case 3:
		read_all(&senders[roll(SENDERS - 1)]);
		break;
	case 4:
		step_send(roll(4) ? SENDERS - 1 : roll(SENDERS));
		break;
	case 5:
		if (roll(20) == 0)
			step_break(roll(SENDERS - 1));
		else
			drain();
		break;
	default:
		step_recv(&receivers[roll(RECEIVERS)]);
	}
}

static void begin(uint32_t capacity, uint32_t window)
{
	struct kcd_channel_options o = sim_options(KCP_KIND_BUFFERED, capacity);

	memset(senders, 0, sizeof(senders));
	memset(receivers, 0, sizeof(receivers));
	memset(next_value, 0, sizeof(next_value));
	n_accepted = n_taken = 0;
	budget = (struct kcd_budget){ .max = UINT64_MAX };
	sim_init(&sim, &o);
	sim.ch->elements.budgets[0] = &budget;
	for (unsigned i = 0; i < SENDERS; i++) {
		sim_attach(&sim, &senders[i].client, KCP_ROLE_SENDER);
		kcd_attach_cursor(&senders[i].client.attach, &senders[i].cursor);
		kcd_window_open(&senders[i].client.attach, i < SENDERS - 1 ? window : 0);
	}
	for (unsigned i = 0; i < RECEIVERS; i++) {
		sim_attach(&sim, &receivers[i].client, KCP_ROLE_RECEIVER);
		kcd_attach_cursor(&receivers[i].client.attach, &receivers[i].cursor);
		kcd_attach_credit(&receivers[i].client.attach, i < RECEIVERS - 1 ? 3 : 0);
	}
}

/* Close, drain what there is, and let all go. */
static void end(void)
{
	struct kc_ledger l;

	for (unsigned i = 0; i < SENDERS; i++)
		if (senders[i].wait.pending)
			sim_cancel(&senders[i].wait);
		else if (senders[i].wait.result == 1)
			n_accepted++;
	if (!kcd_channel_close_soon(sim.ch)) {
		assert_false(sim.ch->closed);
		drain();
	}
	assert_true(sim.ch->closed);
	for (unsigned k = 0; k < 100; k++)
		for (unsigned i = 0; i < RECEIVERS; i++)
			step_recv(&receivers[i]);
	kcd_channel_sync(sim.ch);
	kcd_channel_ledger(sim.ch, &l);
	assert_int_equal(l.sent, n_accepted);
	assert_int_equal(l.received, n_taken);
	assert_int_equal(n_taken, n_accepted);
	assert_int_equal(kcd_channel_len(sim.ch), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		sim_detach(&senders[i].client, false);
	for (unsigned i = 0; i < RECEIVERS; i++)
		sim_detach(&receivers[i].client, false);
	assert_int_equal(sim.ch->n_promised, 0);
	assert_int_equal(sim.ch->promised_bytes, 0);
	assert_int_equal(sim.ch->n_windows, 0);
	sim_done(&sim);
	assert_int_equal(budget.used, 0);
}

static void what_is_promised_is_kept(void **state)
{
	static const struct {
		uint32_t capacity, window;
	} cases[] = { { 1, 1 }, { 3, 8 }, { 16, 4 }, { 100, 50 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned first = seed;

		begin(cases[i].capacity, cases[i].window);
		for (unsigned k = 0; k < STEPS; k++) {
			step();
			check();
		}
		end();
		print_message("# seed %u, until now: %u covered, %u withdrawn, %u quiet, %u told\n",
			      first, n_covered, n_withdrawn, n_quiet, n_told);
	}
	assert_true(n_covered > 1000 && n_withdrawn > 1000 && n_quiet > 1000 && n_told > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_promised_is_kept),
	};
	const char *given = getenv("KC_SEED");

	seed = given ? (unsigned)strtoul(given, NULL, 10) : 20260101;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
