/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/channel-sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kcoro/error.h"

static void client_receive(struct sim_client *c, struct kcd_delivery *d, uint32_t records)
{
	for (; records > 0; records--) {
		for (uint32_t i = 0; i < d->n; i++) {
			struct sim_given *g = &c->given[c->n_given++];
			uint32_t len;
			const void *data = kcd_elements_get(&c->attach.channel->elements,
							    d->from + i, &len);

			assert_true(c->n_given <= SIM_GIVEN_MAX);
			assert_int_equal(len, sizeof(g->value));
			memcpy(&g->value, data, len);
			g->number = d->first + i;
			g->before = d->before;
			if (c->n_given > 1)
				assert_true(g->number > g[-1].number);
		}
		d = KCD_CONTAINER(d->link.next, struct kcd_delivery, link);
	}
}

static void wait_finished(struct sim_wait *w, long n)
{
	w->pending = false;
	w->result = n;
	if (n > 0 && !w->wait.send)
		client_receive(w->client, w->wait.first, w->wait.n_deliveries);
}

static void on_done(struct kcd_wait *wait, long n)
{
	struct sim_wait *w = KCD_CONTAINER(wait, struct sim_wait, wait);

	assert_true(w->pending);
	assert_true(n != 0);
	wait_finished(w, n);
}

static void on_give(struct kcd_attach *attach, struct kcd_delivery *d)
{
	client_receive(KCD_CONTAINER(attach, struct sim_client, attach), d, 1);
}

static void on_recall(struct kcd_attach *attach, uint32_t n)
{
	struct sim_client *c = KCD_CONTAINER(attach, struct sim_client, attach);

	assert_false(c->recalled);
	assert_true(n > 0);
	c->recalled = true;
	c->recall_wanted = n;
}

static void on_offer(struct kcd_wait *wait)
{
	KCD_CONTAINER(wait, struct sim_wait, wait)->offered = true;
}

static void on_claimed(struct kcd_wait *wait, bool ok)
{
	struct sim_wait *w = KCD_CONTAINER(wait, struct sim_wait, wait);

	w->claimed = ok ? 1 : -1;
	w->offered = false;
}

static struct sim *the_sim;

static void on_gone(struct kcd_channel *ch)
{
	assert_ptr_equal(ch, the_sim->ch);
	the_sim->gone = true;
}

static bool on_may_give(struct kcd_attach *attach)
{
	struct sim_client *c = KCD_CONTAINER(attach, struct sim_client, attach);

	return c->n_given < SIM_GIVEN_MAX / 2;
}

static void on_ring(struct kcd_bell *bell)
{
	assert_true(bell->rung);
	KCD_CONTAINER(bell, struct sim_bell, bell)->rings++;
}

static void on_drain(struct kcd_attach *attach)
{
	KCD_CONTAINER(attach, struct sim_client, attach)->draining = true;
}

static void on_settled(struct kcd_channel *ch)
{
	assert_ptr_equal(ch, the_sim->ch);
	assert_true(kcd_list_empty(&ch->withdrawn));
}

static const struct kcd_channel_ops ops = {
	.done = on_done,
	.give = on_give,
	.recall = on_recall,
	.offer = on_offer,
	.claimed = on_claimed,
	.gone = on_gone,
	.ring = on_ring,
	.drain = on_drain,
	.settled = on_settled,
	.may_give = on_may_give,
};

struct kcd_channel_options sim_options(enum kcp_kind kind, uint32_t capacity)
{
	struct kcd_channel_options o = { .kind = kind,
					 .elem_size = sizeof(uint64_t),
					 .capacity = capacity,
					 .mode = 0700 };

	return o;
}

void sim_init(struct sim *sim, const struct kcd_channel_options *opts)
{
	struct kcd_channel_options o = *opts;
	const char *why;

	assert_int_equal(kcd_channel_options_check(&o, &why), 0);
	*sim = (struct sim){ .gone = false };
	kcd_timers_init(&sim->timers);
	sim->timers.now_ns = 1;
	sim->ch = kcd_channel_new(&o, &ops, &sim->timers, NULL, NULL);
	assert_non_null(sim->ch);
	the_sim = sim;
}

void sim_done(struct sim *sim)
{
	sim->ch = kcd_channel_free(sim->ch);
	assert_null(sim->ch);
	kcd_timers_done(&sim->timers);
}

void sim_attach(struct sim *sim, struct sim_client *c, uint32_t roles)
{
	memset(c, 0, sizeof(*c));
	c->attached = true;
	c->attach.roles = roles;
	c->attach.lease_ms = 1000;
	kcd_attach_init(&c->attach, sim->ch);
}

void sim_detach(struct sim_client *c, bool died)
{
	c->attached = false;
	c->n_given = 0;
	kcd_attach_done(&c->attach, died);
}

void sim_pass_ms(struct sim *sim, uint64_t ms)
{
	kcd_timers_run(&sim->timers, sim->timers.now_ns + ms * 1000000);
}

static long request(struct sim_wait *w, long r)
{
	if (r == 0) {
		/* As a session does: what was borrowed becomes the request's own. */
		w->wait.elems = (const uint8_t *)w->values;
		return w->pending ? 0 : w->result;
	}
	wait_finished(w, r);
	return r;
}

static void prepare(struct sim_wait *w, struct sim_client *c, bool send, bool try_once)
{
	memset(w, 0, sizeof(*w));
	w->client = c;
	w->pending = true;
	kcd_wait_init(&w->wait, &c->attach, send);
	w->wait.try_once = try_once;
	w->wait.space = UINT64_MAX;
	w->wait.max = 1;
	w->wait.lease_ms = 1000;
}

static void join(struct sim_wait *w, struct kcd_group *group)
{
	w->wait.offer = true;
	if (!group)
		return;
	w->wait.group = group;
	kcd_list_append(&group->waits, &w->wait.grouped);
}

long sim_send(struct sim_wait *w, struct sim_client *c, const uint64_t *values, uint32_t n,
	      bool try_once)
{
	prepare(w, c, true, try_once);
	memcpy(w->values, values, n * sizeof(*values));
	w->wait.elems = (const uint8_t *)values;
	w->wait.elems_len = n * sizeof(*values);
	return request(w, kcd_channel_send(&w->wait));
}

long sim_recv(struct sim_wait *w, struct sim_client *c, uint32_t max, bool lease, bool try_once)
{
	prepare(w, c, false, try_once);
	w->wait.max = max;
	w->wait.lease = lease;
	request(w, kcd_channel_recv(&w->wait));
	kcd_channel_pump(c->attach.channel);
	return w->pending ? 0 : w->result;
}

long sim_offer_send(struct sim_wait *w, struct sim_client *c, uint64_t value,
		    struct kcd_group *group)
{
	prepare(w, c, true, false);
	join(w, group);
	w->values[0] = value;
	w->wait.elems = (const uint8_t *)w->values;
	w->wait.elems_len = sizeof(value);
	return request(w, kcd_channel_send(&w->wait));
}

long sim_offer_recv(struct sim_wait *w, struct sim_client *c, struct kcd_group *group)
{
	prepare(w, c, false, false);
	join(w, group);
	return request(w, kcd_channel_recv(&w->wait));
}

void sim_cancel(struct sim_wait *w)
{
	if (!w->pending)
		return;
	kcd_wait_end(&w->wait);
	if (w->pending) {
		w->pending = false;
		w->result = KC_ECANCELED;
	}
}

uint64_t sim_forget(struct sim_client *c, unsigned i)
{
	uint64_t number = c->given[i].number;

	memmove(&c->given[i], &c->given[i + 1], (c->n_given - i - 1) * sizeof(c->given[0]));
	c->n_given--;
	return number;
}

uint64_t sim_take(struct sim_client *c, unsigned i)
{
	uint64_t value = c->given[i].value;
	uint64_t number = sim_forget(c, i);

	return kcd_attach_taken(&c->attach, number, 1) ? value : 0;
}

void sim_check(const struct sim *sim)
{
	const struct kcd_channel *ch = sim->ch;
	struct kc_ledger l;
	uint64_t n_returned = 0, bytes = 0;
	struct kcd_delivery *d, *safe;
	uint64_t last = 0;

	kcd_channel_ledger(ch, &l);
	assert_true(l.sent == l.received + l.queued + l.leased + l.conflated + l.dropped_oldest +
				      l.dropped_newest + l.dropped_purged + l.dropped_destroyed +
				      l.expired + l.lost_consumer + l.lost_daemon);
	assert_true(ch->head <= ch->tail);
	assert_true(ch->tail == ch->elements.next);
	KCD_LIST_EACH (d, safe, &ch->returned, struct kcd_delivery, link) {
		assert_null(d->attach);
		assert_true(d->n > 0);
		assert_true(d->from >= last);
		last = d->from + d->n;
		assert_true(last <= ch->head);
		n_returned += d->n;
	}
	assert_int_equal(n_returned, ch->n_returned);
	bytes = kcd_channel_len(ch) * sizeof(uint64_t) + ch->n_reserved * sizeof(uint64_t);
	assert_int_equal(bytes, ch->queued_bytes);
}
