/* SPDX-License-Identifier: BSD-3-Clause */
/* Offers: both sides, queued and rendezvous, claimed, declined, forgotten. */
#include <string.h>

#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define BOTH (KCP_ROLE_SENDER | KCP_ROLE_RECEIVER)

static uint64_t offer_recv(struct kct_wire *w, uint32_t attach, uint64_t group, uint64_t timeout_ms)
{
	kct_begin(w, KCP_RECV);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&w->out, KCP_T_FLAGS, KCP_F_OFFER);
	if (group)
		kcp_put_u64(&w->out, KCP_T_GROUP, group);
	if (timeout_ms != KCT_FOREVER)
		kcp_put_u64(&w->out, KCP_T_TIMEOUT_MS, timeout_ms);
	return kct_end(w);
}

static uint64_t offer_send(struct kct_wire *w, uint32_t attach, const char *text, uint64_t group,
			   uint64_t timeout_ms)
{
	size_t at;

	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	kcp_put_message(&w->out, text, (uint32_t)strlen(text));
	kcp_tlv_end(&w->out, at);
	kcp_put_u32(&w->out, KCP_T_FLAGS, KCP_F_OFFER);
	if (group)
		kcp_put_u64(&w->out, KCP_T_GROUP, group);
	if (timeout_ms != KCT_FOREVER)
		kcp_put_u64(&w->out, KCP_T_TIMEOUT_MS, timeout_ms);
	return kct_end(w);
}

static uint64_t offered(struct kct_wire *w)
{
	return kcp_num(&kct_event(w, KCP_OFFER)->args, KCP_T_REQUEST, 0);
}

static void a_claimed_element_is_received(void **state)
{
	struct kct_wire w;
	uint64_t recv, claim;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 2, BOTH);
	recv = offer_recv(&w, at, 1, KCT_FOREVER);
	kct_ping(&w);
	assert_false(kct_has(&w, KCP_OFFER));
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 2, 0)), KCP_OK);
	assert_int_equal(offered(&w), recv);
	assert_int_equal(kct_stat(&w, "o", KCP_S_QUEUED), 2); /* offered counts as queued */
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "x", 0)), KCP_AGAIN);
	claim = kct_about(&w, KCP_CLAIM, recv);
	assert_int_equal(kct_next(&w)->header.id, recv); /* before that of CLAIM */
	kct_assert_messages(w.frames[w.n_frames - 1], 1, 1, "m0");
	assert_int_equal(kct_result_of(&w, claim), KCP_OK);
	kct_taken(&w, at, 1, 1);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CLAIM, recv)), KCP_AGAIN);
	assert_int_equal(kct_stat(&w, "o", KCP_S_RECEIVED), 1);
	kct_wire_bye(&w);
}

static void a_declined_element_is_back_unmarked(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 4, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send_many(&w, at, "m", 2, 0)), KCP_OK);
	for (int i = 0; i < 2; i++) {
		recv = offer_recv(&w, at, 1, KCT_FOREVER);
		assert_int_equal(offered(&w), recv);
		assert_int_equal(kct_result_of(&w, kct_about(&w, i ? KCP_CANCEL : KCP_DECLINE,
							     recv)),
				 KCP_OK);
		assert_int_equal(kct_result_of(&w, recv), KCP_CANCELED);
	}
	f = kct_reply(&w, kct_recv(&w, at, 4, 0, 0));
	kct_assert_messages(f, 1, 2, "m0", "m1");
	assert_false(kcp_has(&f->args, KCP_T_DELIVERED_BEFORE));
	assert_int_equal(kct_result_of(&w, offer_recv(&w, at, 1, 0)), KCP_AGAIN);
	kct_wire_bye(&w);
}

static void an_element_that_does_not_fit_is_not_offered(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t recv;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 4, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "four", 0)), KCP_OK);
	kct_begin(&w, KCP_RECV);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u64(&w.out, KCP_T_SPACE, 3);
	kcp_put_u32(&w.out, KCP_T_FLAGS, KCP_F_OFFER);
	recv = kct_end(&w);
	f = kct_reply(&w, recv);
	assert_int_equal(kcp_num(&f->args, KCP_T_RESULT, 0), KCP_MSGSIZE);
	assert_int_equal(kcp_num(&f->args, KCP_T_NEEDED, 0), 4);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, 0)), 1, 1, "four");
	kct_wire_bye(&w);
}

static void a_select_never_meets_itself(void **state)
{
	struct kct_wire w;
	uint64_t send, recv, other, claims[2];
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_RENDEZVOUS, 0, 0, BOTH);
	send = offer_send(&w, at, "mine", 1, KCT_FOREVER);
	recv = offer_recv(&w, at, 1, KCT_FOREVER);
	kct_ping(&w);
	assert_false(kct_has(&w, KCP_OFFER));
	/* somebody else's clause behind both meets one of them */
	other = offer_recv(&w, at, 2, KCT_FOREVER);
	assert_int_equal(offered(&w), send);
	assert_int_equal(offered(&w), other);
	claims[0] = kct_about(&w, KCP_CLAIM, send);
	claims[1] = kct_about(&w, KCP_CLAIM, other);
	assert_int_equal(kct_result_of(&w, send), KCP_OK);
	kct_assert_messages(kct_reply(&w, other), 1, 1, "mine");
	assert_int_equal(kct_result_of(&w, claims[0]), KCP_OK);
	assert_int_equal(kct_result_of(&w, claims[1]), KCP_OK);
	kct_taken(&w, at, 1, 1);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_DECLINE, recv)), KCP_OK);
	assert_int_equal(kct_result_of(&w, recv), KCP_CANCELED);
	/* the same, where the receiving clause came first */
	recv = offer_recv(&w, at, 3, KCT_FOREVER);
	send = offer_send(&w, at, "mine", 3, KCT_FOREVER);
	other = offer_send(&w, at, "yours", 4, KCT_FOREVER);
	assert_int_equal(offered(&w), other);
	assert_int_equal(offered(&w), recv);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_DECLINE, send)), KCP_OK);
	kct_wire_bye(&w);
}

static void a_place_can_be_offered(void **state)
{
	struct kct_wire w;
	uint64_t send, claim;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 1, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "1", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, offer_send(&w, at, "x", 1, 0)), KCP_AGAIN);
	send = offer_send(&w, at, "2", 1, KCT_FOREVER);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, 0)), 1, 1, "1");
	assert_int_equal(offered(&w), send);
	/* the place is taken, though nothing lies in it */
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "3", 0)), KCP_AGAIN);
	claim = kct_about(&w, KCP_CLAIM, send);
	assert_int_equal(kct_result_of(&w, send), KCP_OK);
	assert_int_equal(kct_result_of(&w, claim), KCP_OK);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, 0)), 2, 1, "2");
	/* closing answers what waits and what is offered */
	send = offer_send(&w, at, "4", 1, KCT_FOREVER);
	assert_int_equal(offered(&w), send);
	assert_int_equal(kct_result_of(&w, kct_by_name(&w, KCP_CHAN_CLOSE, "o")), KCP_OK);
	assert_int_equal(kct_result_of(&w, send), KCP_PIPE);
	kct_wire_bye(&w);
}

static void one_clause_of_a_select_is_offered_at_a_time(void **state)
{
	struct kct_wire w;
	uint64_t a, b;
	uint32_t at1, at2;

	(void)state;
	client(&w);
	at1 = kct_make(&w, "s1", KCP_KIND_BUFFERED, 0, 2, BOTH);
	at2 = kct_make(&w, "s2", KCP_KIND_BUFFERED, 0, 2, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at1, "1", 0)), KCP_OK);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at2, "2", 0)), KCP_OK);
	a = offer_recv(&w, at1, 77, KCT_FOREVER);
	b = offer_recv(&w, at2, 77, KCT_FOREVER);
	assert_int_equal(offered(&w), a);
	kct_ping(&w);
	assert_false(kct_has(&w, KCP_OFFER));
	/* the first declined, the second has its turn */
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_DECLINE, a)), KCP_OK);
	assert_int_equal(kct_result_of(&w, a), KCP_CANCELED);
	assert_int_equal(offered(&w), b);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CLAIM, b)), KCP_OK);
	kct_assert_messages(kct_reply(&w, b), 1, 1, "2");
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at1, 1, 0, 0)), 1, 1, "1");
	kct_wire_bye(&w);
}

static void a_forgotten_offer_is_withdrawn(void **state)
{
	struct kct_wire a, b;
	uint64_t forgotten, recv;
	uint32_t at, in;

	(void)state;
	client(&a);
	client(&b);
	at = kct_make(&a, "o", KCP_KIND_BUFFERED, 0, 2, BOTH);
	in = kct_open(&b, "o", KCP_ROLE_RECEIVER, 0, 0);
	forgotten = offer_recv(&a, at, 1, KCT_FOREVER);
	kct_ping(&a);
	recv = kct_recv(&b, in, 1, 0, KCT_FOREVER);
	kct_ping(&b);
	assert_int_equal(kct_result_of(&a, kct_send(&a, at, "x", 0)), KCP_OK);
	assert_int_equal(offered(&a), forgotten);
	kct_assert_messages(kct_reply(&b, recv), 1, 1, "x"); /* a second later */
	assert_int_equal(kct_result_of(&a, kct_about(&a, KCP_CLAIM, forgotten)), KCP_AGAIN);
	/* it waits on, and is offered the next one */
	assert_int_equal(kct_result_of(&a, kct_send(&a, at, "y", 0)), KCP_OK);
	assert_int_equal(offered(&a), forgotten);
	assert_int_equal(kct_result_of(&a, kct_about(&a, KCP_CLAIM, forgotten)), KCP_OK);
	kct_assert_messages(kct_reply(&a, forgotten), 1, 1, "y");
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

/* An offer to a try expires while its select has another clause on the same channel, and
 * somebody else gets what it was offered: the try ends, the other clause goes on. */
static void a_try_in_a_select_can_expire(void **state)
{
	struct kct_wire w;
	uint64_t send, try, other;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "o", KCP_KIND_BUFFERED, 0, 1, BOTH);
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "1", 0)), KCP_OK);
	send = offer_send(&w, at, "2", 9, KCT_FOREVER);
	try = offer_recv(&w, at, 9, 0);
	assert_int_equal(offered(&w), try);
	other = kct_recv(&w, at, 1, 0, KCT_FOREVER);
	kct_assert_messages(kct_reply(&w, other), 1, 1, "1"); /* a second later */
	assert_int_equal(kct_result_of(&w, try), KCP_AGAIN);
	assert_int_equal(offered(&w), send);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CLAIM, send)), KCP_OK);
	assert_int_equal(kct_result_of(&w, send), KCP_OK);
	kct_wire_bye(&w);
}

static void a_clause_meets_a_plain_sender(void **state)
{
	struct kct_wire a, b;
	uint64_t send, recv;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "r", KCP_KIND_RENDEZVOUS, 0, 0, KCP_ROLE_SENDER);
	in = kct_open(&b, "r", KCP_ROLE_RECEIVER, 0, 0);
	send = kct_send(&a, out, "x", KCT_FOREVER);
	kct_ping(&a);
	recv = offer_recv(&b, in, 5, KCT_FOREVER);
	assert_int_equal(offered(&b), recv);
	assert_int_equal(kct_result_of(&b, kct_about(&b, KCP_CLAIM, recv)), KCP_OK);
	kct_assert_messages(kct_reply(&b, recv), 1, 1, "x");
	assert_int_equal(kct_result_of(&a, send), KCP_OK);
	kct_taken(&b, in, 1, 1);
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

static void a_clause_meets_a_plain_receiver(void **state)
{
	struct kct_wire a, b;
	const struct kct_frame *f;
	uint64_t send, recv, claim;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "r", KCP_KIND_RENDEZVOUS, 0, 0, KCP_ROLE_SENDER);
	in = kct_open(&b, "r", KCP_ROLE_RECEIVER, 0, 0);
	recv = kct_recv(&b, in, 1, 0, KCT_FOREVER);
	kct_ping(&b);
	send = offer_send(&a, out, "x", 5, KCT_FOREVER);
	assert_int_equal(offered(&a), send);
	claim = kct_about(&a, KCP_CLAIM, send);
	f = kct_reply(&b, recv);
	kct_assert_messages(f, 1, 1, "x");
	if (kcp_num(&f->args, KCP_T_FLAGS, 0) & KCP_F_PROVISIONAL)
		assert_int_equal(kct_result_of(&b, kct_settle(&b, KCP_TAKEN, in, 1, 1, 0)), KCP_OK);
	assert_int_equal(kct_result_of(&a, claim), KCP_OK);
	assert_int_equal(kct_result_of(&a, send), KCP_OK);
	kct_assert_balanced(&a, "r");
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

static void two_clauses_meet(void **state)
{
	struct kct_wire a, b;
	uint64_t send, recv, first, second;
	uint32_t in, out;

	(void)state;
	client(&a);
	client(&b);
	out = kct_make(&a, "r", KCP_KIND_RENDEZVOUS, 0, 0, KCP_ROLE_SENDER);
	in = kct_open(&b, "r", KCP_ROLE_RECEIVER, 0, 0);
	send = offer_send(&a, out, "x", 5, KCT_FOREVER);
	kct_ping(&a);
	recv = offer_recv(&b, in, 6, KCT_FOREVER);
	assert_int_equal(offered(&a), send);
	assert_int_equal(offered(&b), recv);
	first = kct_about(&a, KCP_CLAIM, send);
	kct_ping(&a);
	assert_false(kct_has(&a, KCP_CLAIM)); /* the other side has not decided */
	second = kct_about(&b, KCP_CLAIM, recv);
	assert_int_equal(kct_result_of(&a, first), KCP_OK);
	assert_int_equal(kct_result_of(&b, second), KCP_OK);
	assert_int_equal(kct_result_of(&a, send), KCP_OK);
	kct_assert_messages(kct_reply(&b, recv), 1, 1, "x");
	kct_taken(&b, in, 1, 1);

	/* the other side declines: the claim fails, and the clause waits on */
	send = offer_send(&a, out, "y", 7, KCT_FOREVER);
	recv = offer_recv(&b, in, 8, KCT_FOREVER);
	assert_int_equal(offered(&a), send);
	assert_int_equal(offered(&b), recv);
	first = kct_about(&a, KCP_CLAIM, send);
	kct_ping(&a);
	assert_int_equal(kct_result_of(&b, kct_about(&b, KCP_DECLINE, recv)), KCP_OK);
	assert_int_equal(kct_result_of(&b, recv), KCP_CANCELED);
	assert_int_equal(kct_result_of(&a, first), KCP_AGAIN);
	recv = kct_recv(&b, in, 1, 0, KCT_FOREVER);
	assert_int_equal(offered(&a), send);
	assert_int_equal(kct_result_of(&a, kct_about(&a, KCP_CANCEL, send)), KCP_OK);
	assert_int_equal(kct_result_of(&a, send), KCP_CANCELED);
	/* a claim that is not decided ends with its request */
	send = offer_send(&a, out, "z", 9, KCT_FOREVER);
	assert_int_equal(offered(&a), send);
	first = kct_about(&a, KCP_CLAIM, send);
	assert_int_equal(kct_result_of(&a, kct_about(&a, KCP_CANCEL, send)), KCP_OK);
	assert_int_equal(kct_result_of(&a, send), KCP_CANCELED);
	assert_int_equal(kct_result_of(&a, first), KCP_AGAIN);
	kct_wire_bye(&a);
	kct_wire_bye(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(a_claimed_element_is_received),
		DAEMON_TEST(a_declined_element_is_back_unmarked),
		DAEMON_TEST(an_element_that_does_not_fit_is_not_offered),
		DAEMON_TEST(a_select_never_meets_itself),
		DAEMON_TEST(a_place_can_be_offered),
		DAEMON_TEST(one_clause_of_a_select_is_offered_at_a_time),
		DAEMON_TEST(a_forgotten_offer_is_withdrawn),
		DAEMON_TEST(a_try_in_a_select_can_expire),
		DAEMON_TEST(a_clause_meets_a_plain_sender),
		DAEMON_TEST(a_clause_meets_a_plain_receiver),
		DAEMON_TEST(two_clauses_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
