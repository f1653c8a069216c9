/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon without memory: whatever is refused is refused whole, is possible when there
 * is memory again, and leaves nothing behind. One case per family of messages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "proto/values.h"
#include "tests/fault/inside.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)
#define ALL_RIGHTS 0777u

/* Leave the case if the connection was ended. */
#define NEED(what)                                                                                 \
	do {                                                                                       \
		if (!(what))                                                                       \
			return;                                                                    \
	} while (0)

static const char *name(const struct inside *in, const char *stem)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%u", stem, in->round);
	return text;
}

struct made {
	enum kcp_kind kind;
	uint32_t capacity, flags, credit;
};

/* Make a channel of messages and attach to it: ATTACH, or 0. */
static uint32_t make(struct inside *in, struct kct_wire *w, const char *stem, struct made m)
{
	const struct kct_frame *f;

	kct_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, name(in, stem));
	kcp_put_u32(&w->out, KCP_T_KIND, m.kind);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, 0);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, m.capacity);
	kcp_put_u32(&w->out, KCP_T_ROLES, BOTH);
	kcp_put_u32(&w->out, KCP_T_CHAN_FLAGS, m.flags);
	kcp_put_u32(&w->out, KCP_T_MODE, ALL_RIGHTS);
	f = inside_reply(in, w, inside_sent(w, kct_end(w)), KCP_OK);
	return f ? (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0) : 0;
}

static uint32_t open_chan(struct inside *in, struct kct_wire *w, const char *stem, uint32_t credit,
			  uint32_t lease_ms)
{
	const struct kct_frame *f;

	kct_begin(w, KCP_CHAN_OPEN);
	kcp_put_text(&w->out, KCP_T_NAME, name(in, stem));
	kcp_put_u32(&w->out, KCP_T_ROLES, BOTH);
	kcp_put_u32(&w->out, KCP_T_CREDIT, credit);
	if (lease_ms) {
		kcp_put_u32(&w->out, KCP_T_FLAGS, KCP_F_LEASE);
		kcp_put_u32(&w->out, KCP_T_LEASE_MS, lease_ms);
	}
	f = inside_reply(in, w, inside_sent(w, kct_end(w)), KCP_OK);
	return f ? (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0) : 0;
}

static const struct kct_frame *by_name(struct inside *in, struct kct_wire *w, uint16_t type,
				       const char *stem)
{
	return inside_reply(in, w, inside_sent(w, kct_by_name(w, type, name(in, stem))), KCP_OK);
}

static uint64_t send_one(struct kct_wire *w, uint32_t attach, const char *text)
{
	return inside_sent(w, kct_send(w, attach, text, KCT_FOREVER));
}

static uint64_t recv_some(struct kct_wire *w, uint32_t attach, uint32_t n, uint32_t flags)
{
	return inside_sent(w, kct_recv(w, attach, n, flags, KCT_FOREVER));
}

static const struct kct_frame *settle(struct inside *in, struct kct_wire *w, uint16_t type,
				      uint32_t attach, uint64_t first, uint64_t n)
{
	uint32_t lease_ms = type == KCP_EXTEND ? 5000 : 0;

	return inside_reply(in, w, inside_sent(w, kct_settle(w, type, attach, first, n, lease_ms)),
			    KCP_OK);
}

static uint64_t delivery(const struct kct_frame *f)
{
	return kcp_num(&f->args, KCP_T_DELIVERY, 0);
}

/* ---- cases ------------------------------------------------------------------ */

static void simple_questions(struct inside *in)
{
	static const uint16_t types[] = { KCP_PING, KCP_STATS, KCP_CHAN_LIST };
	struct kct_wire *w = inside_connect(in, 0);

	NEED(w && make(in, w, "a", (struct made){ KCP_KIND_CONFLATED, 0, 0, 0 }));
	for (size_t i = 0; i < 3; i++) {
		kct_begin(w, types[i]);
		NEED(inside_reply(in, w, inside_sent(w, kct_end(w)), KCP_OK));
	}
	NEED(inside_reply(in, w, inside_sent(w, kct_about(w, KCP_CANCEL, 2)), KCP_OK));
}

static void channels_come_and_go(struct inside *in)
{
	static const struct made kinds[] = {
		{ KCP_KIND_RENDEZVOUS, 0, 0, 0 },
		{ KCP_KIND_BUFFERED, 3, KCP_CHAN_AUTO_CLOSE, 0 },
		{ KCP_KIND_CONFLATED, 0, 0, 0 },
		{ KCP_KIND_UNLIMITED, 0, KCP_CHAN_LEASE_ONLY, 0 },
	};
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	uint32_t at;

	NEED(a && b);
	for (int i = 0; i < 4; i++) {
		NEED(make(in, a, "c", kinds[i]));
		at = open_chan(in, b, "c", 0, 0);
		NEED(at && by_name(in, b, KCP_CHAN_INFO, "c"));
		kct_begin(b, KCP_CHAN_DETACH);
		kcp_put_u32(&b->out, KCP_T_ATTACH, at);
		NEED(inside_reply(in, b, inside_sent(b, kct_end(b)), KCP_OK));
		NEED(by_name(in, a, KCP_CHAN_PURGE, "c") && by_name(in, a, KCP_CHAN_CLOSE, "c") &&
		     by_name(in, a, KCP_CHAN_DESTROY, "c"));
	}
}

static void elements_are_sent_and_received(struct inside *in)
{
	static char big[70001];
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	const struct kct_frame *f;
	uint64_t waits[2], id;
	uint32_t out, to;

	NEED(a && b);
	out = make(in, a, "d", (struct made){ KCP_KIND_BUFFERED, 40, 0, 0 });
	NEED(out && (to = open_chan(in, b, "d", 0, 0)));
	/* more than one segment of elements, and more than one index */
	id = inside_sent(a, kct_send_many(a, out, "message-", 30, KCT_FOREVER));
	NEED(f = inside_reply(in, a, id, KCP_OK));
	if (kcp_num(&f->args, KCP_T_COUNT, 0) < 30) { /* a batch may stop in the middle */
		id = inside_sent(a, kct_send_many(a, out, "more-",
						  30 - (uint32_t)kcp_num(&f->args, KCP_T_COUNT, 0),
						  KCT_FOREVER));
		NEED(inside_reply(in, a, id, KCP_OK));
	}
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "big", 3);
	kct_begin(a, KCP_SEND);
	kcp_put_u32(&a->out, KCP_T_ATTACH, out);
	id = kcp_tlv_begin(&a->out, KCP_T_ELEMENTS);
	kcp_put_message(&a->out, big, 60000);
	kcp_tlv_end(&a->out, id);
	NEED(inside_reply(in, a, inside_sent(a, kct_end(a)), KCP_OK));
	for (uint64_t left = 31; left > 0;) {
		NEED(f = inside_reply(in, b, recv_some(b, to, 7, 0), KCP_OK));
		/* from the middle, then the rest: records are cut */
		if (kcp_num(&f->args, KCP_T_COUNT, 0) > 2)
			NEED(settle(in, b, KCP_TAKEN, to, delivery(f) + 1, 1));
		left -= kcp_num(&f->args, KCP_T_COUNT, 0);
		NEED(settle(in, b, KCP_TAKEN, to, delivery(f), 9));
	}
	/* receivers that wait, one of which is cancelled and one too late */
	waits[0] = recv_some(b, to, 1, 0);
	NEED(inside_waits(in, b, waits[0]));
	waits[1] = inside_sent(b, kct_recv(b, to, 1, 0, 500));
	NEED(inside_waits(in, b, waits[1]));
	id = inside_sent(b, kct_about(b, KCP_CANCEL, inside_id(b, waits[0])));
	NEED(inside_reply(in, b, id, KCP_OK) && inside_reply(in, b, waits[0], KCP_CANCELED));
	inside_pass(in, 1000);
	NEED(inside_reply(in, b, waits[1], KCP_TIME));
}

static void senders_wait_and_are_let_in(struct inside *in)
{
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	const struct kct_frame *f;
	uint64_t first, second;
	uint32_t out, to;

	NEED(a && b);
	out = make(in, a, "w", (struct made){ KCP_KIND_BUFFERED, 1, 0, 0 });
	NEED(out && (to = open_chan(in, b, "w", 0, 0)));
	NEED(inside_reply(in, a, send_one(a, out, "one"), KCP_OK));
	first = send_one(a, out, "two");
	NEED(inside_waits(in, a, first));
	second = inside_sent(a, kct_send(a, out, "three", 700));
	NEED(inside_waits(in, a, second));
	NEED(f = inside_reply(in, b, recv_some(b, to, 1, 0), KCP_OK));
	NEED(settle(in, b, KCP_TAKEN, to, delivery(f), 1));
	NEED(inside_reply(in, a, first, KCP_OK) && inside_waits(in, a, second));
	inside_pass(in, 1000);
	NEED(inside_reply(in, a, second, KCP_TIME));
	first = send_one(a, out, "four");
	NEED(inside_waits(in, a, first) && by_name(in, b, KCP_CHAN_CLOSE, "w"));
	NEED(inside_reply(in, a, first, KCP_PIPE));
	NEED(f = inside_reply(in, b, recv_some(b, to, 1, 0), KCP_OK));
	NEED(settle(in, b, KCP_TAKEN, to, delivery(f), 1));
	NEED(inside_reply(in, b, recv_some(b, to, 1, 0), KCP_PIPE));
}

static void leases_run_and_lapse(struct inside *in)
{
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	const struct kct_frame *f;
	uint32_t out, to;
	uint64_t n = 0, first;

	NEED(a && b);
	out = make(in, a, "l", (struct made){ KCP_KIND_UNLIMITED, 0, KCP_CHAN_LEASE_ONLY, 0 });
	NEED(out && (to = open_chan(in, b, "l", 0, 2000)));
	for (; n < 9; n += kcp_num(&f->args, KCP_T_COUNT, 0))
		NEED(f = inside_reply(in, a,
				      inside_sent(a, kct_send_many(a, out, "m", 9, KCT_FOREVER)),
				      KCP_OK));
	NEED(f = inside_reply(in, b, recv_some(b, to, 9, KCP_F_LEASE), KCP_OK));
	first = delivery(f);
	n = kcp_num(&f->args, KCP_T_COUNT, 0);
	NEED(settle(in, b, KCP_TAKEN, to, first, n));
	if (n == 9) {
		NEED(settle(in, b, KCP_ACK, to, first + 1, 2));
		NEED(settle(in, b, KCP_NACK, to, first + 5, 1));
		NEED(settle(in, b, KCP_EXTEND, to, first + 7, 1));
	}
	inside_pass(in, 3000); /* some lapse, and come back marked */
	NEED(f = inside_reply(in, b, recv_some(b, to, 5, KCP_F_LEASE), KCP_OK));
	NEED(settle(in, b, KCP_ACK, to, delivery(f), 1));
}

static void what_is_given_ahead_is_recalled(struct inside *in)
{
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	struct kct_wire *c = inside_connect(in, 2);
	uint32_t out, to, other;
	uint64_t id;

	NEED(a && b && c);
	out = make(in, a, "g", (struct made){ KCP_KIND_BUFFERED, 30, 0, 0 });
	NEED(out && (to = open_chan(in, b, "g", 8, 0)) && (other = open_chan(in, c, "g", 0, 0)));
	NEED(inside_reply(in, a, inside_sent(a, kct_send_many(a, out, "m", 6, KCT_FOREVER)),
			  KCP_OK));
	/* what was given ahead is asked back; what could not be is there for who asks */
	id = recv_some(c, other, 1, 0);
	for (int i = 0; i < 3 && inside_event(in, b, KCP_RECALL); i++)
		kct_settle(b, KCP_RETURN, to, 1, 30, 0);
	NEED(inside_reply(in, c, id, KCP_OK));
	kct_begin(b, KCP_CREDIT);
	kcp_put_u32(&b->out, KCP_T_ATTACH, to);
	kcp_put_u32(&b->out, KCP_T_CREDIT, 20);
	NEED(inside_reply(in, b, inside_sent(b, kct_end(b)), KCP_OK));
	kct_taken(b, to, 2, 1);
	inside_turns(in);
}

static void a_rendezvous_meets(struct inside *in)
{
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	const struct kct_frame *f;
	uint32_t out, to;
	uint64_t s, r;

	NEED(a && b);
	out = make(in, a, "r", (struct made){ KCP_KIND_RENDEZVOUS, 0, 0, 0 });
	NEED(out && (to = open_chan(in, b, "r", 0, 0)));
	for (int sender_first = 0; sender_first < 2; sender_first++) {
		if (sender_first) {
			s = send_one(a, out, "hi");
			NEED(inside_waits(in, a, s));
			r = recv_some(b, to, 1, 0);
		} else {
			r = recv_some(b, to, 1, 0);
			NEED(inside_waits(in, b, r));
			s = send_one(a, out, "hi");
		}
		NEED(f = inside_reply(in, b, r, KCP_OK));
		NEED(settle(in, b, KCP_TAKEN, to, delivery(f), 1));
		NEED(inside_reply(in, a, s, KCP_OK));
	}
	/* a sender that gives up in the middle */
	s = inside_sent(a, kct_send(a, out, "late", 600));
	NEED(f = inside_reply(in, b, recv_some(b, to, 1, KCP_F_LEASE), KCP_OK));
	inside_pass(in, 800);
	NEED(inside_reply(in, a, s, KCP_TIME));
	NEED(inside_reply(in, b,
			  inside_sent(b, kct_settle(b, KCP_TAKEN, to, delivery(f), 1, 0)),
			  KCP_NOENT));
}

/* A clause of a select. */
static uint64_t clause(struct kct_wire *w, uint16_t type, uint32_t attach, uint64_t group)
{
	size_t at;

	kct_begin(w, type);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&w->out, KCP_T_FLAGS, KCP_F_OFFER);
	kcp_put_u64(&w->out, KCP_T_GROUP, group);
	if (type == KCP_SEND) {
		at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
		kcp_put_message(&w->out, "offer", 5);
		kcp_tlv_end(&w->out, at);
	}
	return inside_sent(w, kct_end(w));
}

static uint64_t about(struct kct_wire *w, uint16_t type, uint64_t asked)
{
	return inside_sent(w, kct_about(w, type, inside_id(w, asked)));
}

static void selects_are_offered(struct inside *in)
{
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	uint64_t first, second, send, claim;
	uint32_t q, r, to_q, to_r;

	NEED(a && b);
	q = make(in, a, "q", (struct made){ KCP_KIND_BUFFERED, 1, 0, 0 });
	r = q ? make(in, a, "m", (struct made){ KCP_KIND_RENDEZVOUS, 0, 0, 0 }) : 0;
	NEED(r && (to_q = open_chan(in, b, "q", 0, 0)) && (to_r = open_chan(in, b, "m", 0, 0)));
	/* two clauses, of which one is offered, declined, and the other one claimed */
	first = clause(b, KCP_RECV, to_q, 7);
	NEED(inside_waits(in, b, first));
	second = clause(b, KCP_RECV, to_r, 7);
	NEED(inside_waits(in, b, second));
	NEED(inside_reply(in, a, send_one(a, q, "element"), KCP_OK));
	NEED(inside_waits(in, b, first) && inside_event(in, b, KCP_OFFER));
	NEED(inside_reply(in, b, about(b, KCP_DECLINE, first), KCP_OK) &&
	     inside_reply(in, b, first, KCP_CANCELED));
	send = clause(a, KCP_SEND, r, 3);
	NEED(inside_waits(in, a, send) && inside_event(in, a, KCP_OFFER) &&
	     inside_event(in, b, KCP_OFFER));
	claim = about(a, KCP_CLAIM, send);
	NEED(inside_waits(in, a, claim));
	/* the second to claim is told, and so is the first; or nothing has happened */
	NEED(claim = about(b, KCP_CLAIM, second));
	inside_turns(in);
	(void)inside_event(in, b, KCP_DELIVER);
	inside_pass(in, 1500);
	NEED(!in->gone);
	NEED(inside_reply(in, a, about(a, KCP_CANCEL, send), KCP_OK));
	NEED(inside_reply(in, b, about(b, KCP_CANCEL, second), KCP_OK));
}

/* All that a session has when it comes back: waits, kept replies, deliveries, a long list of
 * requests that must come again. */
static void a_session_comes_back(struct inside *in)
{
	struct kct_wire *a = inside_connect(in, 0), *b = inside_connect(in, 1);
	const struct kct_frame *f;
	uint32_t out, to, ahead;
	uint64_t wait, kept;

	NEED(a && b);
	out = make(in, a, "s", (struct made){ KCP_KIND_BUFFERED, 20, 0, 0 });
	NEED(out && (to = open_chan(in, b, "s", 0, 0)) && (ahead = open_chan(in, b, "s", 3, 0)));
	NEED(inside_reply(in, a, inside_sent(a, kct_send_many(a, out, "m", 9, KCT_FOREVER)),
			  KCP_OK));
	b->confirm = false;
	kept = recv_some(b, to, 2, 0);
	NEED(f = inside_reply(in, b, kept, KCP_OK));
	b->seq = 0;
	wait = recv_some(b, ahead, 1, 0);
	NEED(inside_reply(in, b, wait, KCP_OK));
	b->seq = 0;
	NEED(inside_resume(in, 1, 700, ahead, 1));
	/* the reply that was kept comes once more */
	b->confirm = true;
	b->next_id = 1000;
	inside_turns(in);
	kct_begin(b, KCP_PING);
	NEED(inside_reply(in, b, inside_sent(b, kct_end(b)), KCP_OK));
	NEED(inside_reply(in, b, recv_some(b, to, 1, 0), KCP_OK));
}

/* ---- all of them ------------------------------------------------------------ */

#define CASE(fn)                                                                                   \
	static void memory_runs_out_while_##fn(void **state)                                       \
	{                                                                                          \
		(void)state;                                                                       \
		inside_each(fn);                                                                   \
	}

CASE(simple_questions)
CASE(channels_come_and_go)
CASE(elements_are_sent_and_received)
CASE(senders_wait_and_are_let_in)
CASE(leases_run_and_lapse)
CASE(what_is_given_ahead_is_recalled)
CASE(a_rendezvous_meets)
CASE(selects_are_offered)
CASE(a_session_comes_back)

/* ---- what is lost with the connection ---------------------------------------- */

/* A notice cannot be refused. Without memory for it the connection ends, and RESUME says what
 * the notice did: nothing is lost, nothing is given twice. */
static void what_a_notice_said_is_made_good(void **state)
{
	struct inside in;
	struct kct_wire *a, *b;
	const struct kct_frame *f;
	struct kcd_totals totals;
	uint32_t out, to;
	uint64_t id;

	(void)state;
	assert_int_equal(inside_begin(&in), 0);
	a = inside_connect(&in, 0);
	b = inside_connect(&in, 1);
	out = make(&in, a, "n", (struct made){ KCP_KIND_BUFFERED, 9, 0, 0 });
	to = open_chan(&in, b, "n", 0, 0);
	id = inside_sent(a, kct_send_many(a, out, "m", 5, KCT_FOREVER));
	assert_non_null(inside_reply(&in, a, id, KCP_OK));
	f = inside_reply(&in, b, recv_some(b, to, 5, 0), KCP_OK);
	assert_int_equal(delivery(f), 1);
	inside_fail(1, /* all= */ true);
	kct_taken(b, to, 2, 3);
	assert_null(inside_event(&in, b, KCP_DELIVER));
	assert_true(in.gone);
	(void)inside_memory_back();
	in.gone = false;
	/* it has seen all five and holds none */
	assert_true(inside_resume(&in, 1, 1, to, 5));
	kcd_daemon_totals(in.d, &totals);
	assert_int_equal(totals.ledger.received, 5);
	assert_int_equal(totals.ledger.queued, 0);
	/* and the session is what it was */
	b->next_id = 100;
	id = recv_some(b, to, 1, 0);
	assert_true(inside_waits(&in, b, id));
	assert_non_null(inside_reply(&in, a, send_one(a, out, "more"), KCP_OK));
	kct_assert_messages(inside_reply(&in, b, id, KCP_OK), 6, 1, "more");
	inside_forget();
	inside_clear(&in);
	inside_end(&in);
}

/* A reply that could not be written is kept, and comes again on the next connection. */
static void a_reply_that_was_not_written_comes_again(void **state)
{
	static char text[3001]; /* short enough to be copied into the output */
	unsigned ended = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	for (long nth = 1, n = 1; n >= nth; nth++) {
		struct inside in;
		struct kct_wire *a, *b;
		uint32_t out, to;
		uint64_t id;

		assert_int_equal(inside_begin(&in), 0);
		a = inside_connect(&in, 0);
		b = inside_connect(&in, 1);
		out = make(&in, a, "k", (struct made){ KCP_KIND_BUFFERED, 9, 0, 0 });
		to = open_chan(&in, b, "k", 0, 0);
		assert_non_null(inside_reply(&in, a, send_one(a, out, text), KCP_OK));
		inside_fail(nth, /* all= */ false);
		id = recv_some(b, to, 1, 0);
		(void)inside_event(&in, b, KCP_DELIVER);
		n = inside_memory_back();
		if (in.gone) {
			ended++;
			in.gone = false;
			assert_true(inside_resume(&in, 1, 0, 0, 0));
		}
		kct_assert_messages(inside_reply(&in, b, id, KCP_OK), 1, 1, text);
		inside_forget();
		inside_clear(&in);
		inside_end(&in);
	}
	assert_true(ended > 0);
}

static void a_daemon_begins_whole_or_not_at_all(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (long nth = 1;; nth++) {
		struct inside in;
		long n;
		int r;

		inside_fail(nth, nth % 2);
		r = inside_begin(&in);
		n = inside_memory_back();
		if (r == 0) {
			/* libevent can do without some of it */
			inside_turns(&in);
			inside_end(&in);
		} else {
			assert_int_equal(r, KC_ENOMEM);
			refused++;
		}
		if (n < nth)
			break;
		assert_in_range(nth, 1, 100);
	}
	assert_true(refused > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		INSIDE_TEST(a_daemon_begins_whole_or_not_at_all),
		INSIDE_TEST(memory_runs_out_while_simple_questions),
		INSIDE_TEST(memory_runs_out_while_channels_come_and_go),
		INSIDE_TEST(memory_runs_out_while_elements_are_sent_and_received),
		INSIDE_TEST(memory_runs_out_while_senders_wait_and_are_let_in),
		INSIDE_TEST(memory_runs_out_while_leases_run_and_lapse),
		INSIDE_TEST(memory_runs_out_while_what_is_given_ahead_is_recalled),
		INSIDE_TEST(memory_runs_out_while_a_rendezvous_meets),
		INSIDE_TEST(memory_runs_out_while_selects_are_offered),
		INSIDE_TEST(memory_runs_out_while_a_session_comes_back),
		INSIDE_TEST(what_a_notice_said_is_made_good),
		INSIDE_TEST(a_reply_that_was_not_written_comes_again),
	};

	inside_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
