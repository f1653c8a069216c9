/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The golden vectors replayed against the client: each reply and event of the
 * daemon, bytes as they stand there, as the answer to the call it belongs to.
 */
#include <stdio.h>
#include <string.h>

#include "proto/bytes.h"
#include "tests/lib/golden.h"
#include "tests/unit/ipc-peer.h"

static struct kct_golden golden;

/* What a public call left behind. */
struct op {
	struct kct_call call;
	struct peer *p;
	kc_chan_t *ch;
	uint64_t value;
	char text[64];
	size_t len;
	struct kc_msg msgs[8];
	struct kc_lease leases[8];
	struct kc_ipc_chan_info info;
	struct kc_ipc_daemon_stats stats;
	int listed;
	char detail[256];
};

/* A vector, with the numbers that fit the latest request. */
static void send_golden(struct peer *p, const char *name)
{
	const struct kct_vector *v = kct_golden_find(&golden, name);
	uint8_t frame[1024];

	if (!v)
		fail_msg("no vector %s", name);
	assert_true(v->len <= sizeof(frame));
	memcpy(frame, v->frame, v->len);
	if (v->form == KCP_REPLY) {
		kcp_store_u64(frame + 16, p->header.id);
		if (v->seq)
			kcp_store_u64(frame + 24, ++p->seq);
	}
	peer_raw(p, frame, v->len);
}

static long do_ping(struct op *op)
{
	return kc_ipc_ping(op->p->conn);
}

static long do_make(struct op *op)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	o.capacity = 5;
	return kc_ipc_chan_make(op->p->conn, "jobs", &o, NULL, &op->ch);
}

static long do_open(struct op *op)
{
	return kc_ipc_chan_open(op->p->conn, "jobs", NULL, &op->ch);
}

static int on_listed(const struct kc_ipc_chan_info *info, void *arg)
{
	struct op *op = arg;

	op->info = *info;
	op->listed++;
	return 0;
}

static long do_list(struct op *op)
{
	return kc_ipc_list(op->p->conn, on_listed, op);
}

static long do_info(struct op *op)
{
	return kc_ipc_info(op->p->conn, "jobs", 0, &op->info);
}

static long do_close(struct op *op)
{
	return kc_chan_close(op->ch);
}

static long do_destroy(struct op *op)
{
	return kc_ipc_chan_destroy(op->ch);
}

static long do_purge(struct op *op)
{
	return kc_chan_purge(op->ch);
}

static long do_stats(struct op *op)
{
	return kc_ipc_stats(op->p->conn, &op->stats);
}

static long do_send(struct op *op)
{
	const struct kc_msg msgs[2] = { { "hello", 5 }, { "kcoro", 5 } };

	return kc_chan_send_msgs(op->ch, msgs, 2, -1, NULL);
}

static long do_recv(struct op *op)
{
	return kc_chan_recv_msg(op->ch, op->text, sizeof(op->text), &op->len, 1000);
}

static long do_recv_leases(struct op *op)
{
	return kc_chan_recv_leases(op->ch, op->text, sizeof(op->text), op->msgs, op->leases, 8, -1,
				   NULL);
}

static long do_try_send(struct op *op)
{
	return kc_chan_send_msg(op->ch, "hello", 5, 0);
}

static long do_try_recv(struct op *op)
{
	return kc_chan_recv_msg(op->ch, op->text, sizeof(op->text), &op->len, 0);
}

/* As it stands there no descriptor comes along. */
static long do_watch(struct op *op)
{
	return kc_chan_fd(op->ch, KC_RECEIVER);
}

static long do_recv_number(struct op *op)
{
	return kc_chan_recv(op->ch, &op->value, -1);
}

static long do_ack(struct op *op)
{
	const struct kc_lease leases[2] = { { .id = 1 }, { .id = 2 } };

	return kc_chan_ack_many(op->ch, leases, 2);
}

static long do_nack(struct op *op)
{
	return kc_chan_nack(op->ch, &(struct kc_lease){ .id = 1 });
}

static long do_extend(struct op *op)
{
	return kc_chan_extend(op->ch, &(struct kc_lease){ .id = 1 }, 1000);
}

/* One call that is one request, its answer, and its result. */
struct exchange {
	const char *vector;
	uint16_t type;
	long (*fn)(struct op *op);
	uint32_t elem_size; /* of the channel it needs */
	long result;
};

static const struct exchange exchanges[] = {
	{ "ping-reply", KCP_PING, do_ping, 0, 0 },
	{ "chan-make-reply", KCP_CHAN_MAKE, do_make, 0, 0 },
	{ "chan-make-reply-opened", KCP_CHAN_MAKE, do_make, 0, 0 },
	{ "chan-make-reply-exist", KCP_CHAN_MAKE, do_make, 0, KC_EEXIST },
	{ "chan-open-reply", KCP_CHAN_OPEN, do_open, 0, 0 },
	{ "chan-open-reply-acces", KCP_CHAN_OPEN, do_open, 0, KC_EACCES },
	{ "chan-list-reply-none", KCP_CHAN_LIST, do_list, 0, 0 },
	{ "chan-info-reply", KCP_CHAN_INFO, do_info, 0, 0 },
	{ "chan-info-reply-noent", KCP_CHAN_INFO, do_info, 0, KC_ENOENT },
	{ "chan-close-reply", KCP_CHAN_CLOSE, do_close, 0, 0 },
	{ "chan-destroy-reply", KCP_CHAN_DESTROY, do_destroy, 0, 0 },
	{ "chan-purge-reply", KCP_CHAN_PURGE, do_purge, 0, 5 },
	{ "chan-watch-reply", KCP_CHAN_WATCH, do_watch, 0, KC_ENOMEM },
	{ "chan-watch-reply-dquot", KCP_CHAN_WATCH, do_watch, 0, KC_EDQUOT },
	{ "stats-reply", KCP_STATS, do_stats, 0, 0 },
	{ "send-reply-try", KCP_SEND, do_try_send, 0, KC_EAGAIN },
	{ "recv-reply-try", KCP_RECV, do_try_recv, 0, KC_EAGAIN },
	{ "send-reply", KCP_SEND, do_send, 0, 2 },
	{ "send-reply-pipe", KCP_SEND, do_send, 0, KC_EPIPE },
	{ "recv-reply-msgsize", KCP_RECV, do_recv, 0, KC_EMSGSIZE },
	{ "recv-reply-time", KCP_RECV, do_recv, 0, KC_ETIME },
	{ "ack-reply", KCP_ACK, do_ack, 0, 2 },
	{ "ack-reply-noent", KCP_ACK, do_ack, 0, 0 },
	{ "nack-reply", KCP_NACK, do_nack, 0, 0 },
	{ "extend-reply", KCP_EXTEND, do_extend, 0, 0 },
	{ "error", KCP_PING, do_ping, 0, KC_EPROTO },
	{ "error-least", KCP_PING, do_ping, 0, KC_ECONNRESET },
};

struct job {
	struct op op;
	long (*fn)(struct op *op);
};

static long job_main(void *arg)
{
	struct job *job = arg;
	long r = job->fn(&job->op);

	if (r < 0)
		(void)snprintf(job->op.detail, sizeof(job->op.detail), "%s", kc_error_detail());
	return r;
}

static void start(struct job *job, struct peer *p, kc_chan_t *ch, long (*fn)(struct op *op))
{
	*job = (struct job){ .op = { .p = p, .ch = ch }, .fn = fn };
	kct_call_start(&job->op.call, job_main, job);
}

/* What every caller gets from the daemon's words. */
static void check_detail(const struct job *job, const char *vector)
{
	const struct kct_vector *v = kct_golden_find(&golden, vector);

	for (size_t i = 0; i < v->n_fields; i++)
		if (v->fields[i].type == KCP_T_DETAIL &&
		    !memmem(job->op.detail, strlen(job->op.detail), v->fields[i].data,
			    v->fields[i].len))
			fail_msg("%s: \"%s\"", vector, job->op.detail);
}

static void every_reply_is_understood(void **state)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(exchanges); i++) {
		const struct exchange *e = &exchanges[i];
		struct peer p;
		struct job job;
		kc_chan_t *ch;
		bool dead;
		long r;

		(void)peer_client(&p);
		/* its number is out of the way of those in the vectors */
		ch = peer_channel(&p, 1000, e->elem_size, NULL);
		start(&job, &p, ch, e->fn);
		peer_get(&p, e->type);
		send_golden(&p, e->vector);
		r = kct_call_join(&job.op.call);
		if (r != e->result)
			fail_msg("%s: %ld, not %ld: %s", e->vector, r, e->result, job.op.detail);
		if (r < 0)
			check_detail(&job, e->vector);
		dead = strncmp(e->vector, "error", 5) == 0;
		if (job.op.ch != ch)
			peer_destroy(&p, job.op.ch);
		if (dead)
			kc_chan_destroy(ch);
		else
			peer_destroy(&p, ch);
		peer_disconnect(&p, !dead);
		peer_close(&p);
	}
}

static void a_list_and_its_numbers(void **state)
{
	struct peer p;
	struct job job;

	(void)peer_client(&p);
	start(&job, &p, NULL, do_list);
	peer_get(&p, KCP_CHAN_LIST);
	send_golden(&p, "chan-list-reply");
	/* it says that there is more, after the last name it gave */
	peer_get(&p, KCP_CHAN_LIST);
	assert_true(kcp_has(&p.args, KCP_T_NAME));
	send_golden(&p, "chan-list-reply-none");
	assert_int_equal(kct_call_join(&job.op.call), 0);
	assert_true(job.op.listed >= 1);
	start(&job, &p, NULL, do_info);
	peer_get(&p, KCP_CHAN_INFO);
	send_golden(&p, "chan-info-reply");
	assert_int_equal(kct_call_join(&job.op.call), 0);
	assert_int_equal(job.op.info.id, 201863462913u);
	assert_string_equal(job.op.info.name, "jobs");
	assert_int_equal(job.op.info.mode, 0700);
	assert_int_equal(job.op.info.uid, 1000);
	assert_int_equal(job.op.info.len, 5);
	assert_int_equal(job.op.info.bytes_sent, 1234);
	assert_int_equal(job.op.info.senders, 2);
	assert_int_equal(job.op.info.ledger.sent, 10);
	assert_int_equal(job.op.info.ledger.leased, 1);
	start(&job, &p, NULL, do_stats);
	peer_get(&p, KCP_STATS);
	send_golden(&p, "stats-reply");
	assert_int_equal(kct_call_join(&job.op.call), 0);
	assert_string_equal(job.op.stats.version, "0.1.0");
	assert_int_equal(job.op.stats.pid, 23001);
	assert_int_equal(job.op.stats.resumes, 30001);
	assert_int_equal(job.op.stats.bytes, 16001);
	assert_int_equal(job.op.stats.ledger.dropped_newest, 7001);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void elements_with_their_past(void **state)
{
	struct peer p;
	struct job job;
	kc_chan_t *ch;

	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 0, NULL);
	start(&job, &p, ch, do_recv_leases);
	peer_get(&p, KCP_RECV);
	send_golden(&p, "recv-lease-reply");
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&job.op.call), 2);
	assert_int_equal(job.op.leases[1].id, 2);
	assert_memory_equal(job.op.text, "hellokcoro", 10);
	start(&job, &p, ch, do_recv_leases);
	peer_get(&p, KCP_RECV);
	send_golden(&p, "recv-reply-again");
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&job.op.call), 3);
	assert_int_equal(job.op.msgs[1].len, 0);
	assert_int_equal(job.op.leases[1].deliveries, 3);
	assert_int_equal(job.op.leases[2].redelivered, 1);
	assert_memory_equal(job.op.text, "accc", 4);
	peer_destroy(&p, ch);
	ch = peer_channel(&p, 2, 8, NULL);
	start(&job, &p, ch, do_recv_number);
	peer_get(&p, KCP_RECV);
	send_golden(&p, "recv-reply-provisional");
	peer_get(&p, KCP_TAKEN);
	send_golden(&p, "taken-reply-noent");
	peer_get(&p, KCP_RECV);
	peer_received(&p, p.header.id, 2, 43, 1, KCP_F_PROVISIONAL);
	peer_get(&p, KCP_TAKEN);
	send_golden(&p, "taken-reply");
	assert_int_equal(kct_call_join(&job.op.call), 0);
	assert_int_equal(job.op.value, 43);
	peer_destroy(&p, ch);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void events(void **state)
{
	struct kc_ipc_open_options o = KC_IPC_OPEN_OPTIONS_INIT;
	struct peer p;
	struct job job;
	kc_chan_t *ch, *numbers;

	o.credit = 8;
	(void)peer_client(&p);
	ch = peer_channel(&p, 1, 0, &o);
	numbers = peer_channel(&p, 2, 8, &o);
	send_golden(&p, "deliver");
	send_golden(&p, "deliver-again");
	send_golden(&p, "recall");
	start(&job, &p, NULL, do_ping);
	peer_get(&p, KCP_PING);
	send_golden(&p, "ping-reply");
	peer_get(&p, KCP_RETURN);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 4, 1 });
	assert_int_equal(kct_call_join(&job.op.call), 0);
	start(&job, &p, ch, do_recv);
	peer_get(&p, KCP_TAKEN);
	assert_int_equal(kct_call_join(&job.op.call), 0);
	assert_int_equal(job.op.len, 5);
	assert_memory_equal(job.op.text, "ahead", 5);
	start(&job, &p, numbers, do_recv_number);
	peer_get(&p, KCP_TAKEN);
	peer_check_ranges(&p, 1, &(struct kcp_range){ 1099511627776u, 1 });
	assert_int_equal(kct_call_join(&job.op.call), 0);
	assert_int_equal(job.op.value, 7);
	peer_destroy(&p, ch);
	peer_destroy(&p, numbers);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void the_beginning_of_a_session(void **state)
{
	static const char *const vectors[] = { "hello-reply", "hello-reply-notsup" };
	static const int results[] = { 0, KC_EPROTO };

	for (size_t i = 0; i < KC_ARRAY_SIZE(vectors); i++) {
		struct peer p;

		peer_open(&p);
		peer_start_connect(&p);
		peer_accept(&p);
		peer_get(&p, KCP_HELLO);
		send_golden(&p, vectors[i]);
		assert_int_equal(kct_call_join(&p.connecting), results[i]);
		if (results[i] == 0)
			peer_disconnect(&p, true);
		peer_close(&p);
	}
}

static void the_session_resumed_or_not(void **state)
{
	static const char *const vectors[] = { "resume-reply-nothing", "resume-reply-connreset" };
	static const int results[] = { 0, KC_ECONNRESET };

	for (size_t i = 0; i < KC_ARRAY_SIZE(vectors); i++) {
		struct peer p;
		struct job job;
		uint64_t id;

		(void)peer_client(&p);
		start(&job, &p, NULL, do_ping);
		peer_get(&p, KCP_PING);
		id = p.header.id;
		peer_hang_up(&p);
		peer_hello(&p);
		peer_get(&p, KCP_RESUME);
		send_golden(&p, vectors[i]);
		if (results[i] == 0) {
			p.header.id = id;
			send_golden(&p, "ping-reply");
		}
		assert_int_equal(kct_call_join(&job.op.call), results[i]);
		peer_disconnect(&p, results[i] == 0);
		peer_close(&p);
	}
}

static int load(void **state)
{
	return kct_golden_load_all(&golden);
}

static int unload(void **state)
{
	kct_golden_done(&golden);
	return 0;
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(every_reply_is_understood),  KCT_TEST(a_list_and_its_numbers),
	KCT_TEST(elements_with_their_past),   KCT_TEST(events),
	KCT_TEST(the_beginning_of_a_session), KCT_TEST(the_session_resumed_or_not),
};

int main(void)
{
	return cmocka_run_group_tests(tests, load, unload);
}
