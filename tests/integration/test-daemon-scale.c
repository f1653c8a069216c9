/* SPDX-License-Identifier: BSD-3-Clause */
/* Many of everything at a real daemon: channels, connections, receivers at one channel, large
 * messages. How fast it is, bench_scale says; here all of it must be right. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "proto/values.h"
#include "tests/integration/daemon-fixture.h"

#define CONNS 1000
#define WAITING 1000
#define CHANNELS 10000
#define PAGE 256
#define MIB (1u << 20)
#define LARGE_CONFIG "{ \"limits\": { \"message\": 2097152 } }"
#define BATCH 50

/* ---- receivers -------------------------------------------------------------- */

/* The one element of a reply to RECV, which is a number. */
static uint32_t number(const struct kct_frame *f)
{
	const struct kcp_arg *elements = kcp_get(&f->args, KCP_T_ELEMENTS);
	uint32_t value;

	assert_int_equal(kct_result(f), KCP_OK);
	assert_non_null(elements);
	assert_int_equal(elements->len, sizeof(value));
	memcpy(&value, elements->data, sizeof(value));
	return value;
}

static void send_numbers(struct kct_wire *w, uint32_t attach, uint32_t from, uint32_t n)
{
	size_t at;

	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	for (uint32_t i = 0; i < n; i++)
		kcp_buf_add_u32(&w->out, from + i);
	kcp_tlv_end(&w->out, at);
	assert_int_equal(kct_result_of(w, kct_end(w)), KCP_OK);
}

static uint64_t recv_later(struct kct_wire *w, uint32_t attach)
{
	kct_begin(w, KCP_RECV);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	kcp_put_u32(&w->out, KCP_T_COUNT, 1);
	return kct_end_later(w);
}

/* A thousand receivers of ten connections wait; elements reach them in the order in which they
 * came, a connection being no favour; and a close wakes all that are left. */
static void a_thousand_receivers_are_served_in_order(void **state)
{
	enum { WIRES = 10 };
	static struct kct_wire w[WIRES];
	static uint64_t ids[WAITING];
	uint32_t attach[WIRES], sender;
	struct kct_wire s;

	(void)state;
	client(&s);
	sender = kct_make(&s, "crowd", KCP_KIND_BUFFERED, 4, 16, KCP_ROLE_SENDER);
	for (int i = 0; i < WIRES; i++) {
		client(&w[i]);
		attach[i] = kct_open(&w[i], "crowd", KCP_ROLE_RECEIVER, 0, 0);
	}
	/* one after the other, so that the order is known */
	for (int i = 0; i < WAITING; i++) {
		struct kct_wire *one = &w[i % WIRES];

		ids[i] = recv_later(one, attach[i % WIRES]);
		kct_push(one);
		kct_ping(one);
	}
	assert_int_equal(kct_stat(&s, "crowd", KCP_S_WAITING_RECEIVERS), WAITING);

	for (uint32_t i = 0; i < 100; i++)
		send_numbers(&s, sender, i, 1);
	send_numbers(&s, sender, 100, 400);
	for (int i = 0; i < WAITING / 2; i++) {
		assert_int_equal(number(kct_reply(&w[i % WIRES], ids[i])), i);
		/* what is not taken may come back, and a close waits for that */
		kct_taken(&w[i % WIRES], attach[i % WIRES], (uint64_t)(i / WIRES) + 1, 1);
	}
	assert_int_equal(kct_stat(&s, "crowd", KCP_S_WAITING_RECEIVERS), WAITING / 2);

	assert_int_equal(kct_result_of(&s, kct_by_name(&s, KCP_CHAN_CLOSE, "crowd")), KCP_OK);
	for (int i = WAITING / 2; i < WAITING; i++)
		assert_int_equal(kct_result_of(&w[i % WIRES], ids[i]), KCP_PIPE);
	assert_int_equal(kct_stat(&s, "crowd", KCP_S_WAITING_RECEIVERS), 0);
	kct_by_name(&s, KCP_CHAN_DESTROY, "crowd");
	for (int i = 0; i < WIRES; i++)
		kct_wire_bye(&w[i]);
	kct_wire_bye(&s);
}

/* ---- channels --------------------------------------------------------------- */

static void name_of(char name[16], unsigned i)
{
	snprintf(name, 16, "c%05u", i);
}

/* One page after `after`: the number of the last in it goes there; true: there are more. */
static bool check_page(struct kct_wire *w, char after[16], unsigned *next)
{
	const struct kct_frame *f;
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_tlv tlv;
	unsigned n = 0;

	kct_begin(w, KCP_CHAN_LIST);
	kcp_put_text(&w->out, KCP_T_NAME, after);
	f = kct_reply(w, kct_end(w));
	assert_int_equal(kct_result(f), KCP_OK);
	for (; kcp_args_each(&f->args, &iter, KCP_T_CHANNEL, &tlv); n++) {
		struct kcp_args one;
		char want[16], have[16];
		const char *why;

		assert_int_equal(kcp_args_parse(&one, tlv.data, tlv.len, &why), 0);
		kcp_text(&one, KCP_T_NAME, have, sizeof(have));
		name_of(want, *next);
		assert_string_equal(have, want);
		memcpy(after, have, 16);
		(*next)++;
	}
	if (!(kcp_num(&f->args, KCP_T_FLAGS, 0) & KCP_F_MORE))
		return false;
	assert_int_equal(n, PAGE);
	return true;
}

static void ten_thousand_channels(void **state)
{
	enum { WIRES = 5, EACH = CHANNELS / WIRES };
	struct kct_wire w[WIRES];
	uint64_t ids[BATCH];
	char name[16], after[16] = "c";
	unsigned next = 0;

	(void)state;
	for (int i = 0; i < WIRES; i++)
		client(&w[i]);
	/* from the last to the first, each by another connection */
	for (int i = CHANNELS - 1; i >= 0; i -= BATCH) {
		struct kct_wire *one = &w[i / BATCH % WIRES];

		for (int k = 0; k < BATCH; k++) {
			name_of(name, (unsigned)(i - k));
			kct_begin(one, KCP_CHAN_MAKE);
			kcp_put_text(&one->out, KCP_T_NAME, name);
			kcp_put_u32(&one->out, KCP_T_KIND, KCP_KIND_BUFFERED);
			kcp_put_u32(&one->out, KCP_T_ELEM_SIZE, 4);
			kcp_put_u32(&one->out, KCP_T_CAPACITY, 64);
			kcp_put_u32(&one->out, KCP_T_ROLES, KCP_ROLE_SENDER);
			ids[k] = kct_end_later(one);
		}
		kct_push(one);
		for (int k = 0; k < BATCH; k++)
			assert_int_equal(kct_result_of(one, ids[k]), KCP_OK);
	}
	assert_int_equal(kct_stat(&w[0], NULL, KCP_S_CHANNELS), CHANNELS);

	while (check_page(&w[0], after, &next))
		;
	assert_int_equal(next, CHANNELS);

	/* every second one is destroyed by name, and the list is of the others */
	for (int i = 0; i < CHANNELS; i += 2 * BATCH) {
		for (int k = 0; k < BATCH; k++) {
			name_of(name, (unsigned)(i + 2 * k));
			kct_begin(&w[1], KCP_CHAN_DESTROY);
			kcp_put_text(&w[1].out, KCP_T_NAME, name);
			ids[k] = kct_end_later(&w[1]);
		}
		kct_push(&w[1]);
		for (int k = 0; k < BATCH; k++)
			assert_int_equal(kct_result_of(&w[1], ids[k]), KCP_OK);
	}
	for (unsigned i = 0; i < CHANNELS; i += 1999) {
		const struct kct_frame *f;

		name_of(name, i);
		f = kct_reply(&w[2], kct_by_name(&w[2], KCP_CHAN_INFO, name));
		assert_int_equal(kct_result(f), i % 2 ? KCP_OK : KCP_NOENT);
	}
	/* What is destroyed and attached to is there until its last attachment goes. */
	assert_int_equal(kct_stat(&w[0], NULL, KCP_S_CHANNELS), CHANNELS);
	for (int i = 0; i < WIRES; i++)
		kct_wire_bye(&w[i]);
	kct_ping(&watcher);
	assert_int_equal(kct_stat(&watcher, NULL, KCP_S_CHANNELS), CHANNELS / 2);
}

/* ---- connections ------------------------------------------------------------ */

/* Descriptors for so many, or a skipped test. */
static void want_descriptors(rlim_t n, struct rlimit *ret_saved)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_saved), 0);
	if (ret_saved->rlim_max < n) {
		print_message("# SKIP only %llu descriptors are allowed\n",
			      (unsigned long long)ret_saved->rlim_max);
		skip();
	}
	limit = *ret_saved;
	if (limit.rlim_cur < n)
		limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* All of them are there at once, all speak, half say goodbye and half just go. */
static void a_thousand_connections(void **state)
{
	static struct kct_wire w[CONNS];
	struct rlimit saved;
	uint32_t attach;

	(void)state;
	want_descriptors(3 * CONNS, &saved);
	for (int i = 0; i < CONNS; i++)
		client(&w[i]);
	assert_int_equal(kct_stat(&watcher, NULL, KCP_S_CONNECTIONS), CONNS + 1);
	attach = kct_make(&w[0], "ring", KCP_KIND_BUFFERED, 4, 1, KCP_ROLE_SENDER);
	/* Each gets the number from the one before it, and passes it on. */
	send_numbers(&w[0], attach, 0, 1);
	for (uint32_t i = 0; i < CONNS; i++) {
		attach = kct_open(&w[i], "ring", KCP_ROLE_SENDER | KCP_ROLE_RECEIVER, 0, 0);
		assert_int_equal(number(kct_reply(&w[i], kct_recv(&w[i], attach, 1, 0, KCT_FOREVER))),
				 i);
		kct_taken(&w[i], attach, 1, 1);
		send_numbers(&w[i], attach, i + 1, 1);
	}
	assert_int_equal(kct_stat(&watcher, "ring", KCP_S_SENDERS), CONNS + 1);
	kct_by_name(&w[0], KCP_CHAN_DESTROY, "ring");
	for (int i = 1; i < CONNS; i += 2)
		assert_int_equal(shutdown(w[i].fd, SHUT_WR), 0);
	for (int i = 0; i < CONNS; i++) {
		if (i % 2 == 0) {
			kct_wire_bye(&w[i]);
			continue;
		}
		kct_expect_end(&w[i]);
		kct_wire_cut(&w[i]);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
}

/* ---- descriptors ------------------------------------------------------------ */

/* The soft limit of its process. */
static uint64_t descriptors_of(pid_t pid)
{
	struct rlimit limit;

	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
	return limit.rlim_cur;
}

/* A connection takes two descriptors, and the daemon allows itself what its configuration
 * needs, or says that it may not. */
static void it_allows_itself_descriptors(void **state)
{
	struct rlimit saved, limit;
	struct kct_daemon d;
	struct kct_wire w;
	char text[4096];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	if (saved.rlim_max < 10000)
		skip();
	limit = saved;
	limit.rlim_cur = 64;
	assert_int_equal(kct_daemon_start_limited(&d, &limit), 0);
	kct_wire_hello(&w, d.path);
	assert_true(descriptors_of(d.pid) >= 2 * 4096);
	kct_daemon_log(&d, text, sizeof(text));
	assert_null(strstr(text, "RLIMIT_NOFILE"));
	kct_wire_bye(&w);
	assert_int_equal(kct_daemon_stop(&d), 0);

	limit.rlim_cur = 64;
	limit.rlim_max = 500;
	assert_int_equal(kct_daemon_start_limited(&d, &limit), 0);
	kct_wire_hello(&w, d.path);
	assert_int_equal(descriptors_of(d.pid), 500);
	kct_daemon_log(&d, text, sizeof(text));
	assert_non_null(strstr(text, "limits.connections and limits.descriptors need "));
	assert_non_null(strstr(text, " descriptors, but only 500 are allowed (RLIMIT_NOFILE)"));
	kct_wire_bye(&w);
	assert_int_equal(kct_daemon_stop(&d), 0);
}

/* ---- large messages --------------------------------------------------------- */

static uint8_t byte_at(uint32_t message, uint32_t i)
{
	return (uint8_t)(message * 31 + i % 251 + i / 65536);
}

static void put_large(struct kct_wire *w, uint32_t attach, uint32_t message)
{
	static uint8_t data[MIB];
	size_t at;

	for (uint32_t i = 0; i < MIB; i++)
		data[i] = byte_at(message, i);
	kct_begin(w, KCP_SEND);
	kcp_put_u32(&w->out, KCP_T_ATTACH, attach);
	at = kcp_tlv_begin(&w->out, KCP_T_ELEMENTS);
	kcp_put_message(&w->out, data, MIB);
	kcp_tlv_end(&w->out, at);
	kct_end_later(w);
}

static void check_large(const struct kct_frame *f, uint32_t message)
{
	struct kcp_args args = f->args;
	struct kcp_elems elems;
	const uint8_t *data;
	const char *why;
	uint32_t len;

	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_elems_parse(&elems, &args, 0, &why), 0);
	assert_int_equal(elems.count, 1);
	data = kcp_elems_next(&elems, &len);
	assert_int_equal(len, MIB);
	for (uint32_t i = 0; i < MIB; i++)
		if (data[i] != byte_at(message, i))
			fail_msg("byte %u of message %u", i, message);
}

static uint32_t make_large(struct kct_wire *w, const char *name, uint32_t roles)
{
	const struct kct_frame *f;

	kct_begin(w, KCP_CHAN_MAKE);
	kcp_put_text(&w->out, KCP_T_NAME, name);
	kcp_put_u32(&w->out, KCP_T_KIND, KCP_KIND_BUFFERED);
	kcp_put_u32(&w->out, KCP_T_ELEM_SIZE, 0);
	kcp_put_u32(&w->out, KCP_T_CAPACITY, 4);
	kcp_put_u32(&w->out, KCP_T_MAX_MSG, MIB);
	kcp_put_u64(&w->out, KCP_T_MAX_BYTES, 4 * MIB);
	kcp_put_u32(&w->out, KCP_T_ROLES, roles);
	f = kct_reply(w, kct_end(w));
	assert_int_equal(kct_result(f), KCP_OK);
	return (uint32_t)kcp_num(&f->args, KCP_T_ATTACH, 0);
}

/* Four pairs: each of eight clients sends four such messages to the other one and receives as
 * many; eight are always under way. */
static void large_messages_both_ways(void **state)
{
	enum { PAIRS = 4, EACH = 4 };
	struct kct_wire w[2 * PAIRS];
	uint32_t out[2 * PAIRS], in[2 * PAIRS];
	uint64_t ids[2 * PAIRS];

	(void)state;
	for (int i = 0; i < 2 * PAIRS; i++) {
		char name[16];

		client(&w[i]);
		snprintf(name, sizeof(name), "from%d", i);
		out[i] = make_large(&w[i], name, KCP_ROLE_SENDER);
		snprintf(name, sizeof(name), "from%d", i ^ 1);
		in[i] = make_large(&w[i], name, KCP_ROLE_RECEIVER);
	}
	for (int k = 0; k < EACH; k++) {
		for (int i = 0; i < 2 * PAIRS; i++) {
			put_large(&w[i], out[i], (uint32_t)(i * EACH + k));
			ids[i] = recv_later(&w[i], in[i]);
			kct_push(&w[i]);
		}
		for (int i = 0; i < 2 * PAIRS; i++)
			check_large(kct_reply(&w[i], ids[i]), (uint32_t)((i ^ 1) * EACH + k));
	}
	for (int i = 0; i < 2 * PAIRS; i++) {
		kct_taken(&w[i], in[i], 1, EACH);
		kct_wire_bye(&w[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(a_thousand_receivers_are_served_in_order),
		DAEMON_TEST(ten_thousand_channels),
		DAEMON_TEST_WITH(a_thousand_connections, "{ \"session\": { \"grace_ms\": 0 } }"),
		KCT_TEST(it_allows_itself_descriptors),
		DAEMON_TEST_WITH(large_messages_both_ways, LARGE_CONFIG),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
