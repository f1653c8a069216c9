/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection is cut at every point of a conversation, and the session goes on. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)
#define LONG 3600000u

/* Reconnect and resume; asserts that of the ids asked about these are to come again. */
static void resume(struct kct_wire *w, uint64_t seq, const uint64_t *ids, size_t n,
		   const uint64_t *unknown, size_t n_unknown, uint32_t attach, uint64_t seen)
{
	const struct kct_frame *f;
	struct kcp_args args;
	struct kcp_ids answer;

	kct_wire_again(w, fixture.path);
	w->seq = seq;
	f = kct_reply(w, kct_resume(w, w->token, ids, n, attach, seen));
	if (kct_result(f) != KCP_OK)
		fail_msg("RESUME: %u %s", kct_result(f), kct_detail(f));
	args = f->args;
	assert_int_equal(kcp_ids_parse(&answer, &args, NULL), 0);
	assert_int_equal(answer.count, n_unknown);
	for (size_t i = 0; i < n_unknown; i++)
		assert_int_equal(kcp_ids_at(&answer, (uint32_t)i), unknown[i]);
}

/* The reply is lost: it comes again, the same one, and the effect is there once. */
static void a_lost_reply_comes_again(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t id, seq;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "s", KCP_KIND_BUFFERED, 0, 9, BOTH);
	seq = w.seq;
	id = kct_send(&w, at, "x", KCT_FOREVER);
	kct_ping(&w); /* it was carried out and answered: we do not look */
	kct_wire_cut(&w);
	resume(&w, seq, &id, 1, NULL, 0, 0, 0);
	f = kct_reply(&w, id);
	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(f->header.seq, seq + 1);
	assert_int_equal(kct_stat(&w, "s", KCP_S_SENT), 1);
	assert_int_equal(kct_stat(&w, NULL, KCP_S_RESUMES), 1);
	kct_wire_bye(&w);
}

/* The request is lost: the daemon says so, and it is sent again. */
static void a_lost_request_is_asked_for(void **state)
{
	struct kct_wire w;
	uint64_t id, later, ids[2];
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "s", KCP_KIND_BUFFERED, 0, 9, BOTH);
	kct_wire_cut(&w);
	ids[0] = id = ++w.next_id; /* two that never got there */
	ids[1] = later = ++w.next_id;
	resume(&w, w.seq, ids, 2, ids, 2, 0, 0);
	for (int i = 0; i < 2; i++) {
		size_t e;

		kct_begin_id(&w, KCP_SEND, ids[i]);
		kcp_put_u32(&w.out, KCP_T_ATTACH, at);
		e = kcp_tlv_begin(&w.out, KCP_T_ELEMENTS);
		kcp_put_message(&w.out, i ? "b" : "a", 1);
		kcp_tlv_end(&w.out, e);
		assert_int_equal(kct_result_of(&w, kct_end(&w)), KCP_OK);
	}
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "c", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 9, 0, 0)), 1, 3, "a", "b", "c");
	/* an old id that nobody asked for is a fault */
	kct_begin_id(&w, KCP_PING, id);
	kct_end(&w);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);
	(void)later;
}

/* Replies that are not kept are simply asked for again, with old ids among new ones. */
static void replies_without_effect_are_asked_for_again(void **state)
{
	struct kct_wire w;
	uint64_t ids[3], unknown[2], seq;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "s", KCP_KIND_BUFFERED, 0, 9, BOTH);
	seq = w.seq;
	kct_begin(&w, KCP_PING);
	ids[0] = unknown[0] = kct_end(&w);
	ids[1] = kct_send(&w, at, "x", 0);
	kct_begin(&w, KCP_STATS);
	ids[2] = unknown[1] = kct_end(&w);
	kct_ping(&w);
	kct_wire_cut(&w);
	resume(&w, seq, ids, 3, unknown, 2, 0, 0);
	kct_begin_id(&w, KCP_PING, ids[0]);
	kct_end(&w);
	kct_begin_id(&w, KCP_STATS, ids[2]);
	kct_end(&w);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_result_of(&w, ids[i]), KCP_OK);
	kct_wire_bye(&w);
}

/* What waits, waits on; a receiver that is away is passed over, and keeps its place. */
static void waiting_goes_on(void **state)
{
	struct kct_wire w, other;
	uint64_t send, recv, first, second, ids[3];
	uint32_t full, empty, o;

	(void)state;
	client(&w);
	client(&other);
	full = kct_make(&w, "full", KCP_KIND_BUFFERED, 0, 1, BOTH);
	empty = kct_make(&w, "empty", KCP_KIND_BUFFERED, 0, 9, BOTH);
	o = kct_open(&other, "empty", BOTH, 0, 0);
	assert_int_equal(kct_result_of(&w, kct_send(&w, full, "1", 0)), KCP_OK);
	ids[0] = send = kct_send(&w, full, "2", KCT_FOREVER);
	ids[1] = first = kct_recv(&w, empty, 1, 0, KCT_FOREVER);
	ids[2] = second = kct_recv(&w, empty, 1, 0, 60);
	kct_ping(&w);
	recv = kct_recv(&other, o, 1, 0, KCT_FOREVER);
	kct_ping(&other);
	kct_wire_cut(&w);
	/* the other one came later, but is here */
	kct_ping(&other);
	assert_int_equal(kct_stat(&other, "empty", KCP_S_WAITING_RECEIVERS), 1);
	assert_int_equal(kct_result_of(&other, kct_send(&other, o, "x", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&other, recv), 1, 1, "x");
	/* its deadline runs on: the next wait outlasts it */
	assert_int_equal(kct_result_of(&other, kct_recv(&other, o, 1, 0, 100)), KCP_TIME);
	resume(&w, w.seq, ids, 3, NULL, 0, 0, 0);
	assert_int_equal(kct_result_of(&w, second), KCP_TIME);
	assert_int_equal(kct_result_of(&other, kct_send(&other, o, "y", 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, first), 1, 1, "y");
	kct_assert_messages(kct_reply(&w, kct_recv(&w, full, 1, 0, 0)), 1, 1, "1");
	assert_int_equal(kct_result_of(&w, send), KCP_OK);
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

/* A send is accepted while its client is away. */
static void what_is_accepted_meanwhile_is_told(void **state)
{
	struct kct_wire w, other;
	uint64_t send;
	uint32_t full, o;

	(void)state;
	client(&w);
	client(&other);
	full = kct_make(&w, "full", KCP_KIND_BUFFERED, 0, 1, KCP_ROLE_SENDER);
	o = kct_open(&other, "full", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&w, kct_send(&w, full, "1", 0)), KCP_OK);
	send = kct_send(&w, full, "2", KCT_FOREVER);
	kct_ping(&w);
	kct_wire_cut(&w);
	kct_assert_messages(kct_reply(&other, kct_recv(&other, o, 1, 0, KCT_FOREVER)), 1, 1, "1");
	kct_assert_messages(kct_reply(&other, kct_recv(&other, o, 1, 0, KCT_FOREVER)), 2, 1, "2");
	resume(&w, w.seq, &send, 1, NULL, 0, 0, 0);
	assert_int_equal(kct_result_of(&w, send), KCP_OK);
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

/* A reply that consists of elements is lost: it comes again with the same numbers. */
static void lost_elements_come_again(void **state)
{
	struct kct_wire w;
	uint64_t id, seq, last;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "e", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 5, 0)), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 2, 0, 0)), 1, 2, "m0", "m1");
	seq = w.seq;
	id = kct_recv(&w, at, 2, 0, 0);
	last = kct_recv(&w, at, 2, KCP_F_LEASE, 0);
	kct_ping(&w);
	kct_wire_cut(&w);
	{
		uint64_t ids[] = { id, last };

		/* the first two were seen: their TAKEN is made good */
		resume(&w, seq, ids, 2, NULL, 0, at, 2);
	}
	kct_assert_messages(kct_reply(&w, id), 3, 2, "m2", "m3");
	kct_assert_messages(kct_reply(&w, last), 5, 1, "m4");
	kct_taken(&w, at, 3, 3);
	assert_int_equal(kct_stat(&w, "e", KCP_S_RECEIVED), 4);
	assert_int_equal(kct_stat(&w, "e", KCP_S_LEASED), 1);
	assert_int_equal(kct_stat(&w, "e", KCP_S_REDELIVERED), 0);
	kct_wire_bye(&w);
}

/* Elements given ahead: seen and taken, seen and not taken, not seen. */
static void deliveries_under_way_come_again(void **state)
{
	struct kct_wire w, other;
	const struct kct_frame *f;
	size_t at_c, at_r;
	uint32_t at, o;
	uint64_t id;

	(void)state;
	client(&w);
	client(&other);
	o = kct_make(&other, "d", KCP_KIND_BUFFERED, 0, 20, KCP_ROLE_SENDER);
	at = kct_open(&w, "d", KCP_ROLE_RECEIVER, 10, 0);
	assert_int_equal(kct_result_of(&other, kct_send_many(&other, o, "m", 6, 0)), KCP_OK);
	kct_assert_messages(kct_event(&w, KCP_DELIVER), 1, 6, "m0", "m1", "m2", "m3", "m4", "m5");
	kct_wire_cut(&w);
	/* say: seen are 1 to 4, of which 3 is not taken; 5 and 6 never came */
	kct_wire_again(&w, fixture.path);
	kct_begin(&w, KCP_RESUME);
	kcp_put_bytes(&w.out, KCP_T_TOKEN, w.token, KCP_TOKEN_SIZE);
	at_c = kcp_tlv_begin(&w.out, KCP_T_ATTACHMENT);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u64(&w.out, KCP_T_DELIVERY, 4);
	at_r = kcp_tlv_begin(&w.out, KCP_T_RANGES);
	kcp_put_range(&w.out, 3, 1);
	kcp_tlv_end(&w.out, at_r);
	kcp_tlv_end(&w.out, at_c);
	id = kct_end(&w);
	assert_int_equal(kct_result_of(&w, id), KCP_OK);
	f = kct_event(&w, KCP_DELIVER);
	kct_assert_messages(f, 5, 2, "m4", "m5");
	assert_int_equal(kct_stat(&other, "d", KCP_S_RECEIVED), 3);
	assert_int_equal(kct_stat(&other, "d", KCP_S_LENGTH), 3);
	/* and it goes on */
	assert_int_equal(kct_result_of(&other, kct_send(&other, o, "n", 0)), KCP_OK);
	kct_assert_messages(kct_event(&w, KCP_DELIVER), 7, 1, "n");
	kct_taken(&w, at, 3, 5);
	kct_ping(&w);
	assert_int_equal(kct_stat(&other, "d", KCP_S_RECEIVED), 7);
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

/* Numbers rise on the new connection as they did on the old one: what was given ahead
 * before a reply comes before it. */
static void deliveries_and_replies_keep_their_order(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t recv, seq;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "k", KCP_KIND_BUFFERED, 0, 20, KCP_ROLE_SENDER);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 5, 0)), KCP_OK);
	at = kct_open(&w, "k", KCP_ROLE_RECEIVER, 2, 0);
	seq = w.seq;
	recv = kct_recv(&w, at, 1, 0, 0);
	kct_begin(&w, KCP_CREDIT);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_CREDIT, 3);
	kct_end(&w);
	kct_ping(&w);
	kct_wire_cut(&w);
	resume(&w, seq, &recv, 1, NULL, 0, at, 1);
	f = kct_next(&w);
	assert_int_equal(f->header.type, KCP_DELIVER);
	kct_assert_messages(f, 2, 1, "m1");
	f = kct_next(&w);
	assert_int_equal(f->header.id, recv);
	kct_assert_messages(f, 3, 1, "m2");
	assert_int_equal(kct_next(&w)->header.type, KCP_CREDIT);
	/* the first was taken by RESUME, so there is credit for both others */
	kct_assert_messages(kct_event(&w, KCP_DELIVER), 4, 1, "m3");
	kct_assert_messages(kct_event(&w, KCP_DELIVER), 5, 1, "m4");
	kct_wire_bye(&w);
}

/* A lease lapses while its reply is lost: the request begins anew. */
static void a_lapsed_lease_is_received_anew(void **state)
{
	struct kct_wire w, other;
	uint64_t id, seq;
	uint32_t at, o;

	(void)state;
	client(&w);
	client(&other);
	at = kct_make(&w, "l", KCP_KIND_BUFFERED, 0, 20, BOTH);
	o = kct_open(&other, "l", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 2, 0)), KCP_OK);
	seq = w.seq;
	kct_begin(&w, KCP_RECV);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_COUNT, 2);
	kcp_put_u32(&w.out, KCP_T_FLAGS, KCP_F_LEASE);
	kcp_put_u32(&w.out, KCP_T_LEASE_MS, 40);
	id = kct_end(&w);
	kct_ping(&w);
	kct_wire_cut(&w);
	/* it lapsed when the other one has it */
	kct_assert_messages(kct_reply(&other, kct_recv(&other, o, 1, 0, KCT_FOREVER)), 1, 1, "m0");
	resume(&w, seq, &id, 1, &id, 1, at, 0);
	kct_begin_id(&w, KCP_RECV, id);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_FLAGS, KCP_F_LEASE);
	kct_end(&w);
	kct_assert_messages(kct_reply(&w, id), 3, 1, "m1");
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

/* The TAKEN of a rendezvous is lost, or its answer is: either way it comes out right. */
static void a_rendezvous_survives_at_every_point(void **state)
{
	struct kct_wire w, other;
	uint64_t send, recv, taken, seq;
	uint32_t at, o;

	(void)state;
	client(&w);
	client(&other);
	o = kct_make(&other, "r", KCP_KIND_RENDEZVOUS, 0, 0, KCP_ROLE_SENDER);
	at = kct_open(&w, "r", KCP_ROLE_RECEIVER, 0, 0);

	/* the request TAKEN is lost */
	send = kct_send(&other, o, "1", KCT_FOREVER);
	kct_ping(&other);
	recv = kct_recv(&w, at, 1, 0, KCT_FOREVER);
	kct_assert_messages(kct_reply(&w, recv), 1, 1, "1");
	taken = ++w.next_id;
	kct_wire_cut(&w);
	resume(&w, w.seq, &taken, 1, &taken, 1, at, 1);
	kct_ping(&other);
	assert_false(kct_has(&other, KCP_SEND));
	{
		size_t t;

		kct_begin_id(&w, KCP_TAKEN, taken);
		kcp_put_u32(&w.out, KCP_T_ATTACH, at);
		t = kcp_tlv_begin(&w.out, KCP_T_RANGES);
		kcp_put_range(&w.out, 1, 1);
		kcp_tlv_end(&w.out, t);
		kct_end(&w);
	}
	assert_int_equal(kct_result_of(&w, taken), KCP_OK);
	assert_int_equal(kct_result_of(&other, send), KCP_OK);

	/* its reply is lost */
	send = kct_send(&other, o, "2", KCT_FOREVER);
	kct_ping(&other);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, KCT_FOREVER)), 2, 1, "2");
	seq = w.seq;
	taken = kct_settle(&w, KCP_TAKEN, at, 2, 1, 0);
	assert_int_equal(kct_result_of(&other, send), KCP_OK);
	kct_wire_cut(&w);
	resume(&w, seq, &taken, 1, NULL, 0, at, 2);
	assert_int_equal(kct_result_of(&w, taken), KCP_OK);

	/* the reply to RECV is lost, and the sender gives up meanwhile */
	recv = kct_recv(&w, at, 1, 0, KCT_FOREVER);
	seq = w.seq;
	kct_ping(&w);
	send = kct_send(&other, o, "3", KCT_FOREVER);
	kct_ping(&other);
	kct_wire_cut(&w);
	assert_int_equal(kct_result_of(&other, kct_about(&other, KCP_CANCEL, send)), KCP_OK);
	assert_int_equal(kct_result_of(&other, send), KCP_CANCELED);
	resume(&w, seq, &recv, 1, &recv, 1, at, 2);
	kct_begin_id(&w, KCP_RECV, recv);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u64(&w.out, KCP_T_TIMEOUT_MS, 0);
	kct_end(&w);
	assert_int_equal(kct_result_of(&w, recv), KCP_AGAIN);
	assert_int_equal(kct_stat(&w, "r", KCP_S_RECEIVED), 2);
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

static void an_offer_is_repeated(void **state)
{
	struct kct_wire w;
	uint64_t recv;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 9, BOTH);
	kct_begin(&w, KCP_RECV);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_FLAGS, KCP_F_OFFER);
	kcp_put_u64(&w.out, KCP_T_GROUP, 1);
	recv = kct_end(&w);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_OK);
	kct_wire_cut(&w);
	resume(&w, w.seq, &recv, 1, NULL, 0, at, 0);
	assert_int_equal(kcp_num(&kct_event(&w, KCP_OFFER)->args, KCP_T_REQUEST, 0), recv);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CLAIM, recv)), KCP_OK);
	kct_assert_messages(kct_reply(&w, recv), 1, 1, "x");
	kct_wire_bye(&w);
}

/* The reply to CHAN_MAKE is lost: what was made is not made twice. */
static void what_was_made_is_told(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t id;

	(void)state;
	client(&w);
	kct_begin(&w, KCP_CHAN_MAKE);
	kcp_put_text(&w.out, KCP_T_NAME, "made");
	kcp_put_u32(&w.out, KCP_T_KIND, KCP_KIND_UNLIMITED);
	kcp_put_u32(&w.out, KCP_T_ELEM_SIZE, 0);
	kcp_put_u32(&w.out, KCP_T_ROLES, BOTH);
	id = kct_end(&w);
	kct_ping(&w);
	kct_wire_cut(&w);
	resume(&w, 0, &id, 1, NULL, 0, 0, 0);
	f = kct_reply(&w, id);
	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_num(&f->args, KCP_T_FLAGS, 0), KCP_F_CREATED);
	assert_int_equal(kct_stat(&w, "made", KCP_S_SENDERS), 1);
	kct_wire_bye(&w);
}

/* Two connections at once: the one that resumes has it. */
static void the_older_connection_is_closed(void **state)
{
	struct kct_wire old, new;
	uint32_t at;

	(void)state;
	client(&old);
	at = kct_make(&old, "x", KCP_KIND_UNLIMITED, 0, 0, BOTH);
	client(&new);
	assert_int_equal(kct_result_of(&new, kct_resume(&new, old.token, NULL, 0, 0, 0)), KCP_OK);
	kct_expect_end(&old);
	kct_wire_cut(&old);
	new.next_id = 1000;
	assert_int_equal(kct_result_of(&new, kct_send(&new, at, "x", 0)), KCP_OK);
	kct_wire_bye(&new);
}

static void resume_is_refused_where_it_must_be(void **state)
{
	static const uint8_t nobody[KCP_TOKEN_SIZE] = { 1, 2, 3 };
	struct kct_wire w, other;
	uint8_t token[KCP_TOKEN_SIZE];

	(void)state;
	client(&w);
	/* unknown; the connection is a session all the same */
	assert_int_equal(kct_result_of(&w, kct_resume(&w, nobody, NULL, 0, 0, 0)), KCP_CONNRESET);
	kct_make(&w, "x", KCP_KIND_UNLIMITED, 0, 0, BOTH);
	/* not right after HELLO */
	assert_int_equal(kct_result_of(&w, kct_resume(&w, nobody, NULL, 0, 0, 0)), KCP_INVAL);
	/* its own */
	client(&other);
	assert_int_equal(kct_result_of(&other, kct_resume(&other, other.token, NULL, 0, 0, 0)),
			 KCP_CONNRESET);
	kct_wire_bye(&other);
	/* half right */
	memcpy(token, w.token, sizeof(token));
	token[15] ^= 1;
	client(&other);
	assert_int_equal(kct_result_of(&other, kct_resume(&other, token, NULL, 0, 0, 0)),
			 KCP_CONNRESET);
	kct_wire_bye(&other);
	if (geteuid() == 0) {
		client_as(&other, 60001, 60001);
		assert_int_equal(kct_result_of(&other, kct_resume(&other, w.token, NULL, 0, 0, 0)),
				 KCP_ACCES);
		kct_ping(&other);
		kct_wire_bye(&other);
	}
	/* after BYE there is nothing to resume */
	memcpy(token, w.token, sizeof(token));
	kct_wire_bye(&w);
	client(&other);
	assert_int_equal(kct_result_of(&other, kct_resume(&other, token, NULL, 0, 0, 0)),
			 KCP_CONNRESET);
	kct_wire_bye(&other);
}

static void the_grace_ends(void **state)
{
	struct kct_wire w, other;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t at, o;

	(void)state;
	client(&w);
	client(&other);
	at = kct_make(&w, "g", KCP_KIND_BUFFERED, 0, 9, BOTH);
	o = kct_open(&other, "g", KCP_ROLE_RECEIVER, 0, 0);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 3, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, KCP_F_LEASE, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 2, 0, 0)), KCP_OK);
	recv = kct_recv(&other, o, 9, 0, KCT_FOREVER);
	kct_ping(&other);
	kct_wire_cut(&w);
	f = kct_reply(&other, recv); /* what was on its way returns with the end of the grace */
	kct_assert_messages(f, 1, 3, "m0", "m1", "m2");
	kct_wire_again(&w, fixture.path);
	assert_int_equal(kct_result_of(&w, kct_resume(&w, w.token, NULL, 0, 0, 0)), KCP_CONNRESET);
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

/* The process is gone: nothing is kept for it, whatever the grace. */
static void the_dead_do_not_come_back(void **state)
{
	struct kct_wire w, other;
	uint8_t token[KCP_TOKEN_SIZE];
	uint64_t recv;
	uint32_t o;
	int pipes[2];
	pid_t pid;

	(void)state;
	client(&other);
	o = kct_make(&other, "dead", KCP_KIND_BUFFERED, 0, 9, BOTH);
	assert_int_equal(kct_result_of(&other, kct_send(&other, o, "x", 0)), KCP_OK);
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint32_t at;

		alarm(60);
		client(&w);
		at = kct_open(&w, "dead", KCP_ROLE_RECEIVER, 0, 0);
		kct_reply(&w, kct_recv(&w, at, 1, KCP_F_LEASE, 0));
		if (write(pipes[1], w.token, KCP_TOKEN_SIZE) != KCP_TOKEN_SIZE)
			_exit(1);
		kct_wire_cut(&w);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipes[0], token, sizeof(token)), sizeof(token));
	close(pipes[0]);
	close(pipes[1]);
	recv = kct_recv(&other, o, 1, 0, KCT_FOREVER);
	kct_ping(&other);
	assert_false(kct_has(&other, KCP_RECV)); /* it lives, and its session with it */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	kct_assert_messages(kct_reply(&other, recv), 1, 1, "x");
	client(&w);
	assert_int_equal(kct_result_of(&w, kct_resume(&w, token, NULL, 0, 0, 0)), KCP_CONNRESET);
	kct_wire_bye(&w);
	kct_wire_bye(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(a_lost_reply_comes_again),
		DAEMON_TEST(a_lost_request_is_asked_for),
		DAEMON_TEST(replies_without_effect_are_asked_for_again),
		DAEMON_TEST(waiting_goes_on),
		DAEMON_TEST(what_is_accepted_meanwhile_is_told),
		DAEMON_TEST(lost_elements_come_again),
		DAEMON_TEST(deliveries_under_way_come_again),
		DAEMON_TEST(deliveries_and_replies_keep_their_order),
		DAEMON_TEST(a_lapsed_lease_is_received_anew),
		DAEMON_TEST(a_rendezvous_survives_at_every_point),
		DAEMON_TEST(an_offer_is_repeated),
		DAEMON_TEST(what_was_made_is_told),
		DAEMON_TEST(the_older_connection_is_closed),
		DAEMON_TEST(resume_is_refused_where_it_must_be),
		DAEMON_TEST_WITH(the_grace_ends, "{ \"session\": { \"grace_ms\": 50 } }"),
		DAEMON_TEST(the_dead_do_not_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
