/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Coming back after a break, frame by frame: what RESUME says, what is sent again,
 * and what callers see when it fails.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/ipc-peer.h"

#define ATTACH 3u

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

	return kc_chan_send_c(op->ch, &op->value, op->timeout_ms, op->token);
}

static long recv_main(void *arg)
{
	struct op *op = arg;

	return kc_chan_recv_c(op->ch, &op->value, op->timeout_ms, op->token);
}

static void start(struct op *op, long (*fn)(void *), struct peer *p, kc_chan_t *ch, long timeout_ms)
{
	*op = (struct op){ .conn = p->conn, .ch = ch, .timeout_ms = timeout_ms, .value = 42 };
	kct_call_start(&op->call, fn, op);
}

/* Until a deadline of that many milliseconds, set before, has passed for certain. */
static void wait_ms(long ms)
{
	kc_cancel_t *never;

	assert_int_equal(kc_cancel_init(&never), 0);
	assert_int_equal(kc_cancel_wait(never, ms), KC_ETIME);
	kc_cancel_destroy(never);
}

/* Hang up, take the client back, and get its RESUME with these requests. */
static void break_and_get_resume(struct peer *p, const uint64_t *requests, uint32_t n)
{
	struct kcp_ids ids;

	peer_hang_up(p);
	peer_hello(p);
	peer_get(p, KCP_RESUME);
	assert_int_equal(p->header.seq, p->seq);
	assert_int_equal(kcp_ids_parse(&ids, &p->args, NULL), 0);
	assert_int_equal(ids.count, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(kcp_ids_at(&ids, i), requests[i]);
}

/* The ATTACHMENT of the RESUME that was just got: number and sets. */
static void check_attachment(struct peer *p, uint64_t seen, uint32_t n,
			     const struct kcp_range *expected)
{
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_ranges ranges;
	struct kcp_args args;
	struct kcp_tlv tlv;

	assert_int_equal(kcp_args_each(&p->args, &iter, KCP_T_ATTACHMENT, &tlv), 1);
	assert_int_equal(kcp_args_parse(&args, tlv.data, tlv.len, NULL), 0);
	assert_int_equal(kcp_num(&args, KCP_T_ATTACH, 0), ATTACH);
	assert_int_equal(kcp_num(&args, KCP_T_DELIVERY, 99), seen);
	assert_int_equal(kcp_ranges_parse(&ranges, &args, NULL), 0);
	assert_int_equal(ranges.count, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(kcp_ranges_at(&ranges, i).first, expected[i].first);
		assert_int_equal(kcp_ranges_at(&ranges, i).count, expected[i].count);
	}
	assert_int_equal(kcp_args_each(&p->args, &iter, KCP_T_ATTACHMENT, &tlv), 0);
}

/* RESUME is granted; these requests are to come again. */
static void resumed(struct peer *p, const uint64_t *unknown, uint32_t n)
{
	size_t at;

	peer_begin(p, KCP_RESUME, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_OK);
	if (n > 0) {
		at = kcp_tlv_begin(&p->out, KCP_T_REQUESTS);
		for (uint32_t i = 0; i < n; i++)
			kcp_buf_add_u64(&p->out, unknown[i]);
		kcp_tlv_end(&p->out, at);
	}
	peer_end(p);
}

static void accept_send(struct peer *p, uint64_t id)
{
	peer_begin_reply(p, KCP_SEND, id, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_COUNT, 1);
	peer_end(p);
}

/* ---- requests ----------------------------------------------------------------------- */

static void what_the_daemon_never_got_is_sent_again(void **state)
{
	struct peer p;
	struct op ops[3];
	uint64_t ids[3];
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	for (int i = 0; i < 3; i++) {
		start(&ops[i], send_main, &p, ch, i == 2 ? 60000 : -1);
		peer_get(&p, KCP_SEND);
		ids[i] = p.header.id;
	}
	break_and_get_resume(&p, ids, 3);
	check_attachment(&p, 0, 0, NULL);
	/* the first it knows, and its reply was kept */
	resumed(&p, &ids[1], 2);
	accept_send(&p, ids[0]);
	peer_get(&p, KCP_SEND);
	assert_int_equal(p.header.id, ids[1]);
	peer_get(&p, KCP_SEND);
	assert_int_equal(p.header.id, ids[2]);
	assert_in_range(kcp_num(&p.args, KCP_T_TIMEOUT_MS, 0), 1, 60000);
	accept_send(&p, ids[1]);
	accept_send(&p, ids[2]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kct_call_join(&ops[i].call), 0);
	peer_finish(&p, ch);
}

static void a_timed_call_whose_time_is_up_by_then_times_out(void **state)
{
	struct peer p;
	struct op op;
	uint64_t id;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, send_main, &p, ch, 1);
	peer_get(&p, KCP_SEND);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	wait_ms(2);
	resumed(&p, &id, 1);
	peer_get(&p, KCP_SEND);
	assert_int_equal(kcp_num(&p.args, KCP_T_TIMEOUT_MS, 99), 0);
	peer_result(&p, KCP_AGAIN);
	assert_int_equal(kct_call_join(&op.call), KC_ETIME);
	peer_finish(&p, ch);
}

static void a_break_between_calls_is_repaired_by_the_next(void **state)
{
	struct peer p;
	struct op op;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);
	uint64_t id;

	peer_hang_up(&p);
	start(&op, ping_main, &p, NULL, 0);
	peer_hello(&p);
	peer_get(&p, KCP_RESUME);
	/* nothing, or the ping itself, was written before the break showed */
	if (kcp_get(&p.args, KCP_T_REQUESTS)->len) {
		id = kcp_load_u64(kcp_get(&p.args, KCP_T_REQUESTS)->data);
		resumed(&p, &id, 1);
	} else {
		resumed(&p, NULL, 0);
	}
	peer_get(&p, KCP_PING);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	peer_finish(&p, ch);
}

static void new_calls_wait_for_the_resumed_session(void **state)
{
	struct peer p;
	struct op first, second;
	uint64_t id;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&first, send_main, &p, ch, -1);
	peer_get(&p, KCP_SEND);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	start(&second, ping_main, &p, NULL, 0);
	resumed(&p, &id, 1);
	peer_get(&p, KCP_SEND);
	assert_int_equal(p.header.id, id);
	accept_send(&p, id);
	peer_get(&p, KCP_PING);
	assert_true(p.header.id > id);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&first.call), 0);
	assert_int_equal(kct_call_join(&second.call), 0);
	peer_finish(&p, ch);
}

static void a_call_cancelled_during_the_break_is_cancelled_after_it(void **state)
{
	struct peer p;
	struct op op;
	uint64_t id;
	kc_cancel_t *token;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	assert_int_equal(kc_cancel_init(&token), 0);
	op = (struct op){ .ch = ch, .timeout_ms = -1, .token = token };
	kct_call_start(&op.call, send_main, &op);
	peer_get(&p, KCP_SEND);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	kc_cancel_trigger(token);
	resumed(&p, NULL, 0);
	peer_get(&p, KCP_CANCEL);
	assert_int_equal(kcp_num(&p.args, KCP_T_REQUEST, 0), id);
	peer_begin_reply(&p, KCP_SEND, id, KCP_CANCELED);
	peer_end(&p);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), KC_ECANCELED);
	kc_cancel_destroy(token);
	peer_finish(&p, ch);
}

/* ---- deliveries ------------------------------------------------------------------------- */

static void what_was_received_is_not_asked_for_again(void **state)
{
	struct peer p;
	struct op op;
	uint64_t id;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, recv_main, &p, ch, -1);
	peer_get(&p, KCP_RECV);
	peer_received(&p, p.header.id, 1, 70, 1, 0);
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&op.call), 0);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	/* at or below DELIVERY and not named: TAKEN, should that have been lost */
	check_attachment(&p, 1, 0, NULL);
	resumed(&p, NULL, 0);
	peer_begin(&p, KCP_PING, KCP_HF_REPLY, id, 0);
	kcp_put_u32(&p.out, KCP_T_RESULT, KCP_OK);
	peer_end(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	peer_finish(&p, ch);
}

static void a_kept_reply_brings_its_elements(void **state)
{
	struct peer p;
	struct op op;
	uint64_t id;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, recv_main, &p, ch, -1);
	peer_get(&p, KCP_RECV);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	resumed(&p, NULL, 0);
	peer_received(&p, id, 1, 70, 1, 0);
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&op.call), 0);
	assert_int_equal(op.value, 70);
	peer_finish(&p, ch);
}

static void what_is_provisional_is_not_taken_by_resume(void **state)
{
	struct peer p;
	struct op op;
	uint64_t id;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	start(&op, recv_main, &p, ch, -1);
	peer_get(&p, KCP_RECV);
	peer_received(&p, p.header.id, 1, 70, 1, KCP_F_PROVISIONAL);
	peer_get(&p, KCP_TAKEN);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	check_attachment(&p, 1, 1, &(struct kcp_range){ 1, 1 });
	resumed(&p, &id, 1);
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(p.header.id, id);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	assert_int_equal(op.value, 70);
	peer_finish(&p, ch);
}

static void elements_ahead_survive_and_a_lost_return_is_repeated(void **state)
{
	struct peer p;
	struct op op;
	uint64_t id;
	kc_chan_t *ch = peer_attached(&p, ATTACH, 8, 0);

	peer_deliver(&p, ATTACH, 1, 70, 4);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	id = p.header.id;
	peer_begin(&p, KCP_RECALL, 0, 0, 0);
	kcp_put_u32(&p.out, KCP_T_ATTACH, ATTACH);
	kcp_put_u32(&p.out, KCP_T_COUNT, 1);
	peer_end(&p);
	peer_get(&p, KCP_RETURN);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 4, 1 });
	break_and_get_resume(&p, &id, 1);
	/* the one given back is not ours, and not taken */
	check_attachment(&p, 4, 1, &(struct kcp_range){ 1, 4 });
	resumed(&p, &id, 1);
	peer_get(&p, KCP_RETURN);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 4, 1 });
	peer_get(&p, KCP_PING);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	/* answered after the RETURN was read, though asked before: it proves nothing yet */
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	start(&op, recv_main, &p, ch, 0);
	peer_get(&p, KCP_TAKEN);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 1, 1 });
	assert_int_equal(kct_call_join(&op.call), 0);
	/* now it is known: the next element makes room in the books */
	peer_deliver(&p, ATTACH, 5, 74, 1);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	id = p.header.id;
	break_and_get_resume(&p, &id, 1);
	check_attachment(&p, 5, 2, (const struct kcp_range[]){ { 2, 2 }, { 5, 1 } });
	resumed(&p, &id, 1);
	peer_get(&p, KCP_PING);
	peer_ok(&p);
	assert_int_equal(kct_call_join(&op.call), 0);
	peer_finish(&p, ch);
}

/* ---- when it fails --------------------------------------------------------------------- */

static void a_refused_resume_ends_every_call(void **state)
{
	struct peer p;
	struct op ops[2];
	uint64_t value = 0;
	uint64_t ids[2];
	kc_chan_t *ch = peer_attached(&p, ATTACH, 0, 0);

	for (int i = 0; i < 2; i++) {
		start(&ops[i], send_main, &p, ch, -1);
		peer_get(&p, KCP_SEND);
		ids[i] = p.header.id;
	}
	break_and_get_resume(&p, ids, 2);
	peer_begin(&p, KCP_RESUME, KCP_HF_REPLY, p.header.id, 0);
	kcp_put_u32(&p.out, KCP_T_RESULT, KCP_CONNRESET);
	kcp_put_text(&p.out, KCP_T_DETAIL, "no such session");
	peer_end(&p);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kct_call_join(&ops[i].call), KC_ECONNRESET);
	assert_int_equal(kc_chan_send(ch, &value, -1), KC_ECONNRESET);
	assert_non_null(strstr(kc_error_detail(), "no such session"));
	kc_chan_destroy(ch);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void the_grace_bounds_the_wait(void **state)
{
	struct peer p;
	struct op op;

	peer_open(&p);
	p.grace_ms = KCT_SHORT_MS;
	peer_start_connect(&p);
	peer_hello(&p);
	(void)peer_connected(&p);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	close(p.listen_fd);
	p.listen_fd = -1;
	peer_hang_up(&p);
	assert_int_equal(kct_call_join(&op.call), KC_ECONNRESET);
	assert_non_null(strstr(op.detail, p.path));
	assert_non_null(strstr(op.detail, "did not come back"));
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void a_daemon_that_hangs_up_for_ever_is_given_up(void **state)
{
	struct peer p;
	struct op op;
	int n = 0;
	struct kct_call *joining = &op.call;

	(void)peer_client(&p);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	peer_hang_up(&p);
	/* more than it ever tries: the backlog takes what is not accepted */
	for (; n < 256; n++) {
		peer_accept(&p);
		peer_hang_up(&p);
	}
	close(p.listen_fd);
	p.listen_fd = -1;
	assert_int_equal(kct_call_join(joining), KC_ECONNRESET);
	peer_disconnect(&p, false);
	peer_close(&p);
}

static void the_socket_may_come_back_later(void **state)
{
	struct peer p, again;
	struct op op;

	(void)peer_client(&p);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	close(p.listen_fd);
	p.listen_fd = -1;
	unlink(p.path);
	peer_hang_up(&p);
	/* the same place: somebody who listens appears there by rename */
	peer_open(&again);
	again.seq = p.seq;
	peer_hello(&again);
	peer_get(&again, KCP_RESUME);
	resumed(&again, &(uint64_t){ 2 }, 1);
	peer_get(&again, KCP_PING);
	peer_ok(&again);
	assert_int_equal(kct_call_join(&op.call), 0);
	again.conn = p.conn;
	peer_disconnect(&again, true);
	kcp_buf_done(&p.out);
	peer_close(&again);
}

static void disconnecting_ends_the_attempts(void **state)
{
	struct peer p;
	struct op op;

	(void)peer_client(&p);
	start(&op, ping_main, &p, NULL, 0);
	peer_get(&p, KCP_PING);
	peer_hang_up(&p);
	peer_accept(&p);
	peer_get(&p, KCP_HELLO);
	/* it waits for the answer, for as long as the grace */
	kc_ipc_disconnect(p.conn);
	assert_int_equal(kct_call_join(&op.call), KC_ECONNRESET);
	peer_close(&p);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(what_the_daemon_never_got_is_sent_again),
	KCT_TEST(a_timed_call_whose_time_is_up_by_then_times_out),
	KCT_TEST(a_break_between_calls_is_repaired_by_the_next),
	KCT_TEST(new_calls_wait_for_the_resumed_session),
	KCT_TEST(a_call_cancelled_during_the_break_is_cancelled_after_it),
	KCT_TEST(what_was_received_is_not_asked_for_again),
	KCT_TEST(a_kept_reply_brings_its_elements),
	KCT_TEST(what_is_provisional_is_not_taken_by_resume),
	KCT_TEST(elements_ahead_survive_and_a_lost_return_is_repeated),
	KCT_TEST(a_refused_resume_ends_every_call),
	KCT_TEST(the_grace_bounds_the_wait),
	KCT_TEST(a_daemon_that_hangs_up_for_ever_is_given_up),
	KCT_TEST(the_socket_may_come_back_later),
	KCT_TEST(disconnecting_ends_the_attempts),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
