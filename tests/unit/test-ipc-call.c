/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls on a connection: many at a time, cancelled, refused, cut off; and a daemon
 * that breaks the protocol.
 */
#include <string.h>

#include "tests/unit/ipc-peer.h"

struct op {
	struct kct_call call;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	long timeout_ms;
	kc_cancel_t *token;
	uint64_t value;
	char detail[300];
};

static long ping_main(void *arg)
{
	struct op *op = arg;
	int r = kc_ipc_ping(op->conn);

	strncpy(op->detail, kc_error_detail(), sizeof(op->detail) - 1);
	return r;
}

static long send_main(void *arg)
{
	struct op *op = arg;
	int r = kc_chan_send_c(op->ch, &op->value, op->timeout_ms, op->token);

	strncpy(op->detail, kc_error_detail(), sizeof(op->detail) - 1);
	return r;
}

static void start_ping(struct op *op, kc_ipc_conn_t *conn)
{
	*op = (struct op){ .conn = conn };
	kct_call_start(&op->call, ping_main, op);
}

static void start_send(struct op *op, kc_chan_t *ch, uint64_t value, long timeout_ms,
		       kc_cancel_t *token)
{
	*op = (struct op){ .ch = ch, .value = value, .timeout_ms = timeout_ms, .token = token };
	kct_call_start(&op->call, send_main, op);
}

static void accept_send(struct peer *p, uint64_t id)
{
	peer_begin_reply(p, KCP_SEND, id, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_COUNT, 1);
	peer_end(p);
}

static void a_ping_is_answered(void **state)
{
	struct peer p;
	struct op op;

	start_ping(&op, peer_client(&p));
	peer_get(&p, KCP_PING);
	assert_int_not_equal(p.header.id, 0);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void replies_in_any_order_reach_their_callers(void **state)
{
	struct op ops[3];
	uint64_t ids[3];
	struct peer p;
	kc_chan_t *ch;

	(void)peer_client(&p);
	ch = peer_channel(&p, 7, 8, NULL);
	for (int i = 0; i < 3; i++) {
		start_send(&ops[i], ch, (uint64_t)i, -1, NULL);
		peer_get(&p, KCP_SEND);
		assert_false(kcp_has(&p.args, KCP_T_TIMEOUT_MS));
		assert_int_equal(kcp_num(&p.args, KCP_T_ATTACH, 0), 7);
		ids[i] = p.header.id;
		assert_true(i == 0 || ids[i] > ids[i - 1]);
	}
	/* the first of them reads for all: end it in the middle */
	accept_send(&p, ids[1]);
	assert_int_equal(kct_call_join(&ops[1].call), 0);
	accept_send(&p, ids[0]);
	assert_int_equal(kct_call_join(&ops[0].call), 0);
	accept_send(&p, ids[2]);
	assert_int_equal(kct_call_join(&ops[2].call), 0);
	peer_destroy(&p, ch);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void a_failure_comes_with_the_daemons_words(void **state)
{
	struct peer p;
	struct op op;

	start_ping(&op, peer_client(&p));
	peer_get(&p, KCP_PING);
	peer_begin_reply(&p, KCP_PING, p.header.id, KCP_DQUOT);
	kcp_put_text(&p.out, KCP_T_DETAIL, "limits.pings is used up");
	peer_end(&p);
	assert_int_equal(kct_call_join(&op.call), KC_EDQUOT);
	assert_string_equal(op.detail, "limits.pings is used up");
	peer_disconnect(&p, true);
	peer_close(&p);
}

/* ---- cancelling ---------------------------------------------------------------- */

static void begin_cancelled_send(struct peer *p, struct op *op, kc_chan_t **ret_ch,
				 kc_cancel_t **ret_token, uint64_t *ret_id)
{
	(void)peer_client(p);
	*ret_ch = peer_channel(p, 1, 8, NULL);
	assert_int_equal(kc_cancel_init(ret_token), 0);
	start_send(op, *ret_ch, 1, -1, *ret_token);
	peer_get(p, KCP_SEND);
	*ret_id = p->header.id;
	kc_cancel_trigger(*ret_token);
	peer_get(p, KCP_CANCEL);
	assert_int_equal(kcp_num(&p->args, KCP_T_REQUEST, 0), *ret_id);
}

static void end_cancelled_send(struct peer *p, kc_chan_t *ch, kc_cancel_t *token)
{
	kc_cancel_destroy(token);
	peer_destroy(p, ch);
	peer_disconnect(p, true);
	peer_close(p);
}

static void a_token_ends_a_wait(void **state)
{
	kc_cancel_t *token;
	struct peer p;
	struct op op;
	kc_chan_t *ch;
	uint64_t id, cancel;

	begin_cancelled_send(&p, &op, &ch, &token, &id);
	cancel = p.header.id;
	peer_begin_reply(&p, KCP_SEND, id, KCP_CANCELED);
	peer_end(&p);
	peer_begin_reply(&p, KCP_CANCEL, cancel, KCP_OK);
	peer_end(&p);
	assert_int_equal(kct_call_join(&op.call), KC_ECANCELED);
	end_cancelled_send(&p, ch, token);
}

static void a_completed_operation_wins_over_its_token(void **state)
{
	kc_cancel_t *token;
	struct peer p;
	struct op op;
	kc_chan_t *ch;
	uint64_t id, cancel;

	begin_cancelled_send(&p, &op, &ch, &token, &id);
	cancel = p.header.id;
	accept_send(&p, id);
	peer_begin_reply(&p, KCP_CANCEL, cancel, KCP_OK);
	peer_end(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	end_cancelled_send(&p, ch, token);
}

static void a_token_ends_the_wait_of_a_thread_that_does_not_read(void **state)
{
	kc_cancel_t *token;
	struct peer p;
	struct op reader, op;
	kc_chan_t *ch;
	uint64_t first, id;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 8, NULL);
	assert_int_equal(kc_cancel_init(&token), 0);
	start_send(&reader, ch, 1, -1, NULL);
	peer_get(&p, KCP_SEND);
	first = p.header.id;
	start_send(&op, ch, 2, 60000, token);
	peer_get(&p, KCP_SEND);
	assert_true(kcp_num(&p.args, KCP_T_TIMEOUT_MS, 0) > 50000);
	id = p.header.id;
	kc_cancel_trigger(token);
	peer_get(&p, KCP_CANCEL);
	peer_begin_reply(&p, KCP_SEND, id, KCP_CANCELED);
	peer_end(&p);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), KC_ECANCELED);
	accept_send(&p, first);
	assert_int_equal(kct_call_join(&reader.call), 0);
	end_cancelled_send(&p, ch, token);
}

/* ---- bounds ---------------------------------------------------------------------- */

static void more_calls_than_the_daemon_keeps_are_refused(void **state)
{
	struct op ops[PEER_REQUESTS_MAX / 2];
	uint64_t ids[PEER_REQUESTS_MAX / 2];
	uint64_t value = 0;
	struct peer p;
	kc_chan_t *ch;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 8, NULL);
	for (unsigned i = 0; i < KC_ARRAY_SIZE(ops); i++) {
		start_send(&ops[i], ch, i, -1, NULL);
		peer_get(&p, KCP_SEND);
		ids[i] = p.header.id;
	}
	assert_int_equal(kc_chan_send(ch, &value, -1), KC_EDQUOT);
	assert_non_null(strstr(kc_error_detail(), "4 calls"));
	for (unsigned i = 0; i < KC_ARRAY_SIZE(ops); i++) {
		accept_send(&p, ids[i]);
		assert_int_equal(kct_call_join(&ops[i].call), 0);
	}
	peer_destroy(&p, ch);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void every_frame_confirms_what_was_seen(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 8, NULL);
	for (int i = 0; i < 3; i++) {
		start_send(&op, ch, 1, -1, NULL);
		peer_get(&p, KCP_SEND);
		assert_int_equal(p.header.seq, p.seq);
		accept_send(&p, p.header.id);
		assert_int_equal(kct_call_join(&op.call), 0);
	}
	peer_destroy(&p, ch);
	peer_disconnect(&p, true);
	peer_close(&p);
}

/* ---- the end ----------------------------------------------------------------------- */

static void disconnecting_ends_every_wait(void **state)
{
	struct op ops[3];
	struct peer p;
	kc_chan_t *ch;
	uint64_t value;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 8, NULL);
	for (int i = 0; i < 3; i++) {
		start_send(&ops[i], ch, 1, -1, NULL);
		peer_get(&p, KCP_SEND);
	}
	kc_ipc_disconnect(p.conn);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_call_join(&ops[i].call), KC_ECONNRESET);
	peer_get(&p, KCP_BYE);
	peer_get_end(&p);
	/* the handle survives */
	assert_int_equal(kc_chan_send(ch, &value, -1), KC_ECONNRESET);
	assert_int_equal(kc_chan_len(ch), KC_ECONNRESET);
	assert_int_equal(kc_ipc_chan_id(ch), 0x100000001u);
	kc_chan_destroy(ch);
	peer_close(&p);
}

static void destroying_a_handle_ends_its_waits(void **state)
{
	struct kct_call destroying;
	struct op op;
	struct peer p;
	kc_chan_t *ch;
	uint64_t id;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 8, NULL);
	start_send(&op, ch, 1, -1, NULL);
	peer_get(&p, KCP_SEND);
	id = p.header.id;
	kct_call_start(&destroying, peer_destroy_main, ch);
	peer_get(&p, KCP_CHAN_DETACH);
	peer_begin_reply(&p, KCP_SEND, id, KCP_CANCELED);
	peer_end(&p);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), KC_EPIPE);
	(void)kct_call_join(&destroying);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void an_error_event_ends_the_connection_with_its_words(void **state)
{
	struct peer p;
	struct op op;

	start_ping(&op, peer_client(&p));
	peer_get(&p, KCP_PING);
	peer_begin(&p, KCP_ERROR, 0, 0, 0);
	kcp_put_u32(&p.out, KCP_T_RESULT, KCP_DQUOT);
	kcp_put_text(&p.out, KCP_T_DETAIL, "output_hard is used up");
	peer_end(&p);
	assert_int_equal(kct_call_join(&op.call), KC_ECONNRESET);
	assert_non_null(strstr(op.detail, "output_hard is used up"));
	assert_int_equal(kc_ipc_ping(p.conn), KC_ECONNRESET);
	peer_disconnect(&p, false);
	peer_close(&p);
}

/* ---- a daemon that breaks the protocol ------------------------------------------------ */

static void say_nothing_sensible(struct peer *p)
{
	peer_raw(p, "HTTP/1.1 400 Bad Request, says the peer", 39);
}

static void answer_another(struct peer *p)
{
	peer_begin_reply(p, KCP_PING, p->header.id + 1000, KCP_OK);
	peer_end(p);
}

static void answer_with_another_type(struct peer *p)
{
	peer_begin_reply(p, KCP_CHAN_CLOSE, p->header.id, KCP_OK);
	peer_end(p);
}

static void answer_without_result(struct peer *p)
{
	peer_begin(p, KCP_PING, KCP_HF_REPLY, p->header.id, 0);
	peer_end(p);
}

static void answer_with_an_unknown_tlv(struct peer *p)
{
	peer_begin_reply(p, KCP_PING, p->header.id, KCP_OK);
	kcp_put_u32(&p->out, 0x7777, 1);
	peer_end(p);
}

static void ask_something(struct peer *p)
{
	peer_begin(p, KCP_PING, 0, 77, 0);
	peer_end(p);
}

static void send_an_unknown_event(struct peer *p)
{
	peer_begin(p, 99, 0, 0, 0);
	peer_end(p);
}

static void offer_what_was_not_asked_for(struct peer *p)
{
	peer_begin(p, KCP_OFFER, 0, 0, 0);
	kcp_put_u64(&p->out, KCP_T_REQUEST, p->header.id);
	peer_end(p);
}

static void recall_from_nobody(struct peer *p)
{
	peer_begin(p, KCP_RECALL, 0, 0, 0);
	kcp_put_u32(&p->out, KCP_T_ATTACH, 5);
	kcp_put_u32(&p->out, KCP_T_COUNT, 1);
	peer_end(p);
}

static void announce_a_frame_too_long(struct peer *p)
{
	uint8_t header[KCP_HEADER_SIZE];
	const struct kcp_header h = { .type = KCP_PING, .length = UINT32_MAX - 64 };

	kcp_header_encode(&h, header);
	peer_raw(p, header, sizeof(header));
}

static void whoever_breaks_the_protocol_is_left(void **state)
{
	static void (*const faults[])(struct peer *) = {
		say_nothing_sensible,	    answer_another,
		answer_with_another_type,   answer_without_result,
		answer_with_an_unknown_tlv, ask_something,
		send_an_unknown_event,	    offer_what_was_not_asked_for,
		recall_from_nobody,	    announce_a_frame_too_long,
	};

	for (size_t i = 0; i < KC_ARRAY_SIZE(faults); i++) {
		struct peer p;
		struct op op;

		start_ping(&op, peer_client(&p));
		peer_get(&p, KCP_PING);
		faults[i](&p);
		assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
		assert_true(strlen(op.detail) > 0);
		assert_int_equal(kc_ipc_ping(p.conn), KC_EPROTO);
		peer_get_end(&p);
		peer_disconnect(&p, false);
		peer_close(&p);
	}
}

static void reply_numbers_must_rise(void **state)
{
	struct peer p;
	struct op op;

	start_ping(&op, peer_client(&p));
	peer_get(&p, KCP_PING);
	p.seq = 9;
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	start_ping(&op, p.conn);
	peer_get(&p, KCP_PING);
	p.seq = 9;
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void a_send_cannot_have_accepted_more_than_it_carried(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 8, NULL);
	start_send(&op, ch, 1, -1, NULL);
	peer_get(&p, KCP_SEND);
	peer_begin_reply(&p, KCP_SEND, p.header.id, KCP_OK);
	kcp_put_u32(&p.out, KCP_T_COUNT, 2);
	peer_end(&p);
	assert_int_equal(kct_call_join(&op.call), KC_EPROTO);
	kc_chan_destroy(ch);
	peer_disconnect(&p, false);
	peer_close(&p);
}

/* ---- fork ------------------------------------------------------------------------------- */

struct inherited {
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
};

static int in_child(void *arg)
{
	struct inherited *in = arg;
	struct kc_ipc_chan_info info;
	uint64_t value = 0;

	if (kc_ipc_ping(in->conn) != KC_EFORKED)
		return 1;
	if (kc_chan_send(in->ch, &value, -1) != KC_EFORKED)
		return 2;
	if (kc_ipc_chan_info(in->ch, &info) != KC_EFORKED)
		return 3;
	if (kc_ipc_chan_id(in->ch) != 0 || kc_chan_capabilities(in->ch) != 0)
		return 4;
	/* neither may tell the daemon anything */
	kc_chan_destroy(in->ch);
	kc_ipc_disconnect(in->conn);
	return 0;
}

static void a_child_cannot_use_what_it_inherited(void **state)
{
	struct inherited in;
	struct peer p;
	struct op op;

	in.conn = peer_client(&p);
	in.ch = peer_channel(&p, 1, 8, NULL);
	assert_int_equal(kct_in_child(in_child, &in), 0);
	start_ping(&op, in.conn);
	peer_get(&p, KCP_PING);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	peer_destroy(&p, in.ch);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(a_ping_is_answered),
	KCT_TEST(replies_in_any_order_reach_their_callers),
	KCT_TEST(a_failure_comes_with_the_daemons_words),
	KCT_TEST(a_token_ends_a_wait),
	KCT_TEST(a_completed_operation_wins_over_its_token),
	KCT_TEST(a_token_ends_the_wait_of_a_thread_that_does_not_read),
	KCT_TEST(more_calls_than_the_daemon_keeps_are_refused),
	KCT_TEST(every_frame_confirms_what_was_seen),
	KCT_TEST(disconnecting_ends_every_wait),
	KCT_TEST(destroying_a_handle_ends_its_waits),
	KCT_TEST(an_error_event_ends_the_connection_with_its_words),
	KCT_TEST(whoever_breaks_the_protocol_is_left),
	KCT_TEST(reply_numbers_must_rise),
	KCT_TEST(a_send_cannot_have_accepted_more_than_it_carried),
	KCT_TEST(a_child_cannot_use_what_it_inherited),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
