/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving, frame by frame: TAKEN, rendezvous, elements given ahead and called
 * back, leases.
 */
#include <string.h>

#include "tests/unit/ipc-peer.h"

#define ATTACH 3u

struct op {
	struct kct_call call;
	kc_chan_t *ch;
	long timeout_ms;
	size_t n;
	uint64_t values[8];
	struct kc_lease leases[8];
	bool lease;
};

static long recv_main(void *arg)
{
	struct op *op = arg;
	struct kc_msg msgs[8];

	if (op->lease)
		return kc_chan_recv_leases(op->ch, op->values, sizeof(op->values), msgs, op->leases,
					   op->n, op->timeout_ms, NULL);
	return kc_chan_recv_many(op->ch, op->values, op->n, op->timeout_ms, NULL);
}

static void start(struct op *op, kc_chan_t *ch, size_t n, long timeout_ms)
{
	*op = (struct op){ .ch = ch, .n = n, .timeout_ms = timeout_ms };
	kct_call_start(&op->call, recv_main, op);
}

static void start_lease(struct op *op, kc_chan_t *ch, size_t n)
{
	*op = (struct op){ .ch = ch, .n = n, .timeout_ms = -1, .lease = true };
	kct_call_start(&op->call, recv_main, op);
}

/* A notice about one range of deliveries. */
static void get_notice(struct peer *p, uint16_t type, uint64_t first, uint64_t count)
{
	peer_get(p, type);
	assert_int_equal(p->header.id, 0);
	assert_int_equal(kcp_num(&p->args, KCP_T_ATTACH, 0), ATTACH);
	peer_check_ranges(p, 1, &(struct kcp_range){ first, count });
}

/* A round trip, so that the client has read all that was sent before. */
static void ping(struct peer *p)
{
	struct kct_call call;

	kct_call_start(&call, peer_ping_main, p->conn);
	peer_get(p, KCP_PING);
	peer_ok(p);
	assert_int_equal(kct_call_join(&call), 0);
}

/* ---- on request ------------------------------------------------------------------ */

static void taken_is_said_before_the_call_returns(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, ch, 4, -1);
	peer_get(&p, KCP_RECV);
	assert_int_equal(kcp_num(&p.args, KCP_T_COUNT, 0), 4);
	assert_int_equal(kcp_num(&p.args, KCP_T_SPACE, 0), 32);
	peer_received(&p, p.header.id, 1, 70, 3, 0);
	get_notice(&p, KCP_TAKEN, 1, 3);
	assert_int_equal(kct_call_join(&op.call), 3);
	assert_int_equal(op.values[0], 70);
	assert_int_equal(op.values[2], 72);
	peer_finish(&p, ch);
}

static void a_rendezvous_is_settled_by_a_request(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, ch, 1, 60000);
	peer_get(&p, KCP_RECV);
	peer_received(&p, p.header.id, 1, 70, 1, KCP_F_PROVISIONAL);
	peer_get(&p, KCP_TAKEN);
	assert_int_not_equal(p.header.id, 0);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 1, 1 });
	/* its sender gave up: the receive goes on with what is left of its time */
	peer_result(&p, KCP_NOENT);
	peer_get(&p, KCP_RECV);
	assert_in_range(kcp_num(&p.args, KCP_T_TIMEOUT_MS, 0), 1, 60000);
	peer_received(&p, p.header.id, 2, 71, 1, KCP_F_PROVISIONAL);
	peer_get(&p, KCP_TAKEN);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 2, 1 });
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 1);
	assert_int_equal(op.values[0], 71);
	peer_finish(&p, ch);
}

static void a_reply_may_not_hold_more_than_was_asked_for(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, ch, 2, -1);
	peer_get(&p, KCP_RECV);
	peer_received(&p, p.header.id, 1, 70, 3, 0);
	assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
	kc_chan_destroy(ch);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void a_delivery_number_does_not_come_twice(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	for (int i = 0; i < 2; i++) {
		start(&op, ch, 1, -1);
		peer_get(&p, KCP_RECV);
		peer_received(&p, p.header.id, 5, 70, 1, 0);
		if (i == 0)
			get_notice(&p, KCP_TAKEN, 5, 1);
		assert_int_equal(kct_call_join(&op.call), i == 0 ? 1 : KC_EPROTO);
	}
	kc_chan_destroy(ch);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void nothing_comes_ahead_without_credit(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, ch, 1, -1);
	peer_get(&p, KCP_RECV);
	peer_deliver(&p, ATTACH, 1, 70, 1);
	assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
	kc_chan_destroy(ch);
	peer_disconnect(&p, false);
	peer_close(&p);
}

/* ---- given ahead -------------------------------------------------------------------- */

static void what_was_given_ahead_is_taken_without_asking(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);

	peer_deliver(&p, ATTACH, 1, 70, 3);
	peer_deliver(&p, ATTACH, 4, 73, 2);
	ping(&p);
	start(&op, ch, 2, 0);
	get_notice(&p, KCP_TAKEN, 1, 2);
	assert_int_equal(kct_call_join(&op.call), 2);
	assert_int_equal(op.values[0], 70);
	/* across both frames */
	start(&op, ch, 8, 0);
	get_notice(&p, KCP_TAKEN, 3, 3);
	assert_int_equal(kct_call_join(&op.call), 3);
	assert_int_equal(op.values[0], 72);
	assert_int_equal(op.values[2], 74);
	peer_finish(&p, ch);
}

static void more_than_the_credit_is_a_fault(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 1, 0);

	start(&op, ch, 1, -1);
	peer_get(&p, KCP_RECV);
	/* a RECV may bring up to a whole batch into the buffer, a DELIVER the credit */
	peer_deliver(&p, ATTACH, 1, 0, KC_BATCH_MAX);
	peer_deliver(&p, ATTACH, 1 + KC_BATCH_MAX, 0, 2);
	assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
	kc_chan_destroy(ch);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void elements_that_cross_a_recv_come_first(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);
	uint64_t id;

	start(&op, ch, 4, -1);
	peer_get(&p, KCP_RECV);
	id = p.header.id;
	peer_deliver(&p, ATTACH, 1, 70, 1);
	peer_get(&p, KCP_CANCEL);
	assert_int_equal(kcp_num(&p.args, KCP_T_REQUEST, 0), id);
	/* the RECV brought something all the same */
	peer_received(&p, id, 2, 71, 2, 0);
	peer_ok(&p);
	get_notice(&p, KCP_TAKEN, 1, 3);
	assert_int_equal(kct_call_join(&op.call), 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(op.values[i], 70 + i);
	peer_finish(&p, ch);
}

static void elements_that_cross_a_recv_end_its_wait(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);
	uint64_t id, cancel;

	start(&op, ch, 1, -1);
	peer_get(&p, KCP_RECV);
	id = p.header.id;
	peer_deliver(&p, ATTACH, 1, 70, 1);
	peer_get(&p, KCP_CANCEL);
	cancel = p.header.id;
	peer_begin_reply(&p, KCP_RECV, id, KCP_CANCELED);
	peer_end(&p);
	peer_begin_reply(&p, KCP_CANCEL, cancel, KCP_OK);
	peer_end(&p);
	get_notice(&p, KCP_TAKEN, 1, 1);
	assert_int_equal(kct_call_join(&op.call), 1);
	assert_int_equal(op.values[0], 70);
	peer_finish(&p, ch);
}

static void recall(struct peer *p, uint32_t count)
{
	peer_begin(p, KCP_RECALL, 0, 0, 0);
	kcp_put_u32(&p->out, KCP_T_ATTACH, ATTACH);
	kcp_put_u32(&p->out, KCP_T_COUNT, count);
	peer_end(p);
}

static void the_last_elements_go_back_when_called(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);
	struct kct_call pinging;
	uint64_t id;

	peer_deliver(&p, ATTACH, 1, 70, 3);
	peer_deliver(&p, ATTACH, 4, 73, 1);
	kct_call_start(&pinging, peer_ping_main, p.conn);
	peer_get(&p, KCP_PING);
	id = p.header.id;
	recall(&p, 2);
	/* of two frames, one range */
	get_notice(&p, KCP_RETURN, 3, 2);
	peer_begin_reply(&p, KCP_PING, id, KCP_OK);
	peer_end(&p);
	assert_int_equal(kct_call_join(&pinging), 0);
	start(&op, ch, 8, 0);
	get_notice(&p, KCP_TAKEN, 1, 2);
	assert_int_equal(kct_call_join(&op.call), 2);
	assert_int_equal(op.values[1], 71);
	peer_finish(&p, ch);
}

static void who_has_nothing_to_spare_says_so(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);
	uint64_t id;

	start(&op, ch, 1, -1);
	peer_get(&p, KCP_RECV);
	id = p.header.id;
	recall(&p, 1);
	peer_get(&p, KCP_RETURN);
	assert_false(kcp_has(&p.args, KCP_T_RANGES));
	peer_received(&p, id, 1, 70, 1, 0);
	get_notice(&p, KCP_TAKEN, 1, 1);
	assert_int_equal(kct_call_join(&op.call), 1);
	peer_finish(&p, ch);
}

static void an_element_ahead_that_does_not_fit_stays(void **state)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	struct peer p;
	char buf[8];
	size_t len = 0;
	kc_chan_t *ch;

	o.credit = 4;
	(void)peer_client(&p);
	ch = peer_channel(&p, ATTACH, 0, &o);
	peer_begin(&p, KCP_DELIVER, 0, 0, 0);
	kcp_put_u32(&p.out, KCP_T_ATTACH, ATTACH);
	kcp_put_u32(&p.out, KCP_T_COUNT, 1);
	kcp_put_u64(&p.out, KCP_T_DELIVERY, 1);
	kcp_put_bytes(&p.out, KCP_T_ELEMENTS, "\6\0\0\0sesame", 10);
	peer_end(&p);
	ping(&p);
	assert_int_equal(kc_chan_recv_msg(ch, buf, 5, &len, 0), KC_EMSGSIZE);
	assert_int_equal(len, 6);
	assert_int_equal(kc_chan_recv_msg(ch, buf, sizeof(buf), &len, 0), 0);
	assert_int_equal(len, 6);
	assert_memory_equal(buf, "sesame", 6);
	get_notice(&p, KCP_TAKEN, 1, 1);
	peer_finish(&p, ch);
}

/* ---- leases -------------------------------------------------------------------------- */

static void leases_have_numbers_and_a_past(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	uint64_t id;
	size_t at;

	start_lease(&op, ch, 4);
	peer_get(&p, KCP_RECV);
	assert_int_equal(kcp_num(&p.args, KCP_T_FLAGS, 0), KCP_F_LEASE);
	id = p.header.id;
	peer_begin_reply(&p, KCP_RECV, id, KCP_OK);
	peer_elements(&p, 11, 70, 2);
	at = kcp_tlv_begin(&p.out, KCP_T_DELIVERED_BEFORE);
	kcp_buf_add_u32(&p.out, 2);
	kcp_buf_add_u32(&p.out, 0);
	kcp_tlv_end(&p.out, at);
	peer_end(&p);
	get_notice(&p, KCP_TAKEN, 11, 2);
	assert_int_equal(kct_call_join(&op.call), 2);
	assert_int_equal(op.leases[0].id, 11);
	assert_int_equal(op.leases[0].deliveries, 3);
	assert_int_equal(op.leases[0].redelivered, 1);
	assert_int_equal(op.leases[1].id, 12);
	assert_int_equal(op.leases[1].deliveries, 1);
	assert_int_equal(op.leases[1].redelivered, 0);
	peer_finish(&p, ch);
}

static void a_handle_for_leases_gives_nothing_else(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 1);
	uint64_t value;

	peer_deliver(&p, ATTACH, 1, 70, 2);
	ping(&p);
	assert_int_equal(kc_chan_recv(ch, &value, 0), KC_ENOTSUP);
	start_lease(&op, ch, 8);
	get_notice(&p, KCP_TAKEN, 1, 2);
	assert_int_equal(kct_call_join(&op.call), 2);
	assert_int_equal(op.leases[1].id, 2);
	peer_finish(&p, ch);
}

static void a_lease_is_not_taken_from_what_was_given_without(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);

	peer_deliver(&p, ATTACH, 1, 70, 2);
	ping(&p);
	start_lease(&op, ch, 1);
	get_notice(&p, KCP_RETURN, 1, 2);
	peer_get(&p, KCP_RECV);
	peer_received(&p, p.header.id, 3, 70, 1, 0);
	get_notice(&p, KCP_TAKEN, 3, 1);
	assert_int_equal(kct_call_join(&op.call), 1);
	assert_int_equal(op.values[0], 70);
	peer_finish(&p, ch);
}

struct acks {
	kc_chan_t *ch;
	struct kc_lease leases[7];
};

static long ack_main(void *arg)
{
	struct acks *a = arg;

	return kc_chan_ack_many(a->ch, a->leases, 7);
}

static void acks_travel_as_sets(void **state)
{
	static const struct kcp_range expected[] = { { 3, 3 }, { 7, 1 }, { 9, 1 } };
	struct peer p;
	struct acks a = { .ch = peer_attached(&p, ATTACH, 0, 0) };
	const uint64_t ids[] = { 9, 4, 3, 0, 5, 7, 4 };
	struct kct_call call;

	for (size_t i = 0; i < 7; i++)
		a.leases[i].id = ids[i];
	kct_call_start(&call, ack_main, &a);
	peer_get(&p, KCP_ACK);
	peer_check_ranges(&p, 3, expected);
	peer_begin_reply(&p, KCP_ACK, p.header.id, KCP_OK);
	kcp_put_u32(&p.out, KCP_T_COUNT, 4);
	peer_end(&p);
	assert_int_equal(kct_call_join(&call), 4);
	/* all had lapsed: that is a number, too */
	kct_call_start(&call, ack_main, &a);
	peer_get(&p, KCP_ACK);
	peer_result(&p, KCP_NOENT);
	assert_int_equal(kct_call_join(&call), 0);
	peer_finish(&p, a.ch);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(taken_is_said_before_the_call_returns),
	KCT_TEST(a_rendezvous_is_settled_by_a_request),
	KCT_TEST(a_reply_may_not_hold_more_than_was_asked_for),
	KCT_TEST(a_delivery_number_does_not_come_twice),
	KCT_TEST(nothing_comes_ahead_without_credit),
	KCT_TEST(what_was_given_ahead_is_taken_without_asking),
	KCT_TEST(more_than_the_credit_is_a_fault),
	KCT_TEST(elements_that_cross_a_recv_come_first),
	KCT_TEST(elements_that_cross_a_recv_end_its_wait),
	KCT_TEST(the_last_elements_go_back_when_called),
	KCT_TEST(who_has_nothing_to_spare_says_so),
	KCT_TEST(an_element_ahead_that_does_not_fit_stays),
	KCT_TEST(leases_have_numbers_and_a_past),
	KCT_TEST(a_handle_for_leases_gives_nothing_else),
	KCT_TEST(a_lease_is_not_taken_from_what_was_given_without),
	KCT_TEST(acks_travel_as_sets),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
