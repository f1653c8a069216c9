/* SPDX-License-Identifier: BSD-3-Clause */
/* HELLO, faults of all levels, pipelining, ids, kept replies and their limit. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/message.h"
#include "tests/integration/daemon-fixture.h"
#include "tests/lib/golden.h"

static uint64_t say_hello(struct kct_wire *w, uint32_t min, uint32_t max, uint64_t features)
{
	kct_begin(w, KCP_HELLO);
	kcp_put_u32(&w->out, KCP_T_VERSION_MIN, min);
	kcp_put_u32(&w->out, KCP_T_VERSION_MAX, max);
	if (features)
		kcp_put_u64(&w->out, KCP_T_FEATURES, features);
	kcp_put_text(&w->out, KCP_T_PROGRAM, "test \x01 1");
	return kct_end(w);
}

static void hello_tells_the_terms(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t id;

	(void)state;
	kct_wire_connect(&w, fixture.path);
	id = say_hello(&w, 1, 7, 0);
	f = kct_reply(&w, id);
	assert_int_equal(kct_result(f), KCP_OK);
	assert_int_equal(kcp_num(&f->args, KCP_T_VERSION_MIN, 0), 1);
	assert_int_equal(kcp_num(&f->args, KCP_T_VERSION_MAX, 0), 1);
	assert_int_equal(kcp_num(&f->args, KCP_T_FEATURES, 9), 0);
	assert_int_equal(kcp_num(&f->args, KCP_T_MAX_FRAME, 0), KCP_FRAME_DEFAULT);
	assert_int_equal(kcp_num(&f->args, KCP_T_GRACE_MS, 0), 10000);
	assert_true(kcp_num(&f->args, KCP_T_REQUESTS_MAX, 0) >= 1024);
	assert_int_equal(f->header.seq, 0);
	kct_wire_bye(&w);
}

static void versions_that_do_not_overlap_are_refused(void **state)
{
	static const struct {
		uint32_t min, max;
		uint64_t features;
	} bad[] = { { 2, 9, 0 }, { 0, 0, 0 }, { 1, 1, 4 } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct kct_wire w;
		const struct kct_frame *f;
		uint64_t id;

		kct_wire_connect(&w, fixture.path);
		id = say_hello(&w, bad[i].min, bad[i].max, bad[i].features);
		f = kct_reply(&w, id);
		assert_int_equal(kct_result(f), KCP_NOTSUP);
		assert_int_equal(kcp_num(&f->args, KCP_T_VERSION_MIN, 0), 1);
		assert_int_equal(kcp_num(&f->args, KCP_T_VERSION_MAX, 0), 1);
		kct_expect_end(&w);
		kct_wire_cut(&w);
	}
}

static void nothing_comes_before_hello(void **state)
{
	struct kct_wire w;

	(void)state;
	kct_wire_connect(&w, fixture.path);
	kct_begin(&w, KCP_PING);
	kct_end(&w);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);

	kct_wire_connect(&w, fixture.path);
	kct_begin_notice(&w, KCP_CONFIRM);
	kct_end(&w);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);
}

static void a_second_hello_is_refused(void **state)
{
	struct kct_wire w;

	(void)state;
	client(&w);
	assert_int_equal(kct_result_of(&w, say_hello(&w, 1, 1, 0)), KCP_PROTO);
	kct_ping(&w);
	kct_wire_bye(&w);
}

/* Frames sent with HELLO, before its reply, are read after it; in pieces of any size. */
static void frames_may_come_in_any_pieces(void **state)
{
	struct kct_wire w;
	uint64_t hello, ping, list;

	(void)state;
	for (size_t piece = 1; piece < 80; piece += 13) {
		kct_wire_connect(&w, fixture.path);
		kct_begin(&w, KCP_HELLO);
		kcp_put_u32(&w.out, KCP_T_VERSION_MIN, 1);
		kcp_put_u32(&w.out, KCP_T_VERSION_MAX, 1);
		hello = kct_end_later(&w);
		kct_begin(&w, KCP_PING);
		ping = kct_end_later(&w);
		kct_begin(&w, KCP_CHAN_LIST);
		list = kct_end_later(&w);
		for (size_t at = 0; at < w.out.len; at += piece)
			kct_raw(&w, w.out.data + at,
				w.out.len - at < piece ? w.out.len - at : piece);
		kcp_buf_clear(&w.out);
		assert_int_equal(kct_next(&w)->header.id, hello);
		assert_int_equal(kct_next(&w)->header.id, ping);
		assert_int_equal(kct_next(&w)->header.id, list);
		kct_wire_bye(&w);
	}
}

static void many_requests_in_one_write_are_all_answered(void **state)
{
	struct kct_wire w;
	uint64_t first = 0, last = 0;

	(void)state;
	client(&w);
	for (int i = 0; i < 3000; i++) {
		kct_begin(&w, KCP_PING);
		last = kct_end_later(&w);
		first = first ? first : last;
	}
	kct_push(&w);
	for (uint64_t id = first; id <= last; id++)
		assert_int_equal(kct_next(&w)->header.id, id);
	kct_wire_bye(&w);
}

static void ids_must_rise(void **state)
{
	struct kct_wire w;

	(void)state;
	client(&w);
	kct_begin_id(&w, KCP_PING, 50);
	assert_int_equal(kct_result_of(&w, kct_end(&w)), KCP_OK);
	kct_begin_id(&w, KCP_PING, 50);
	kct_end(&w);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);
}

static void a_frame_too_long_is_refused_before_it_comes(void **state)
{
	uint8_t head[KCP_HEADER_SIZE];
	struct kcp_header h = { .type = KCP_SEND, .length = KCP_FRAME_DEFAULT, .id = 9 };
	struct kct_wire w;

	(void)state;
	client(&w);
	kcp_header_encode(&h, head);
	kct_raw(&w, head, sizeof(head));
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);
}

static void a_bad_notice_ends_the_connection(void **state)
{
	struct kct_wire w;

	(void)state;
	client(&w);
	kct_begin_notice(&w, KCP_TAKEN); /* without RANGES */
	kcp_put_u32(&w.out, KCP_T_ATTACH, 1);
	kct_end(&w);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);

	client(&w);
	kct_begin_notice(&w, 77);
	kct_end(&w);
	kct_expect_error(&w, KCP_PROTO);
	kct_wire_cut(&w);

	/* One about an attachment that is gone is none. */
	client(&w);
	kct_taken(&w, 4711, 1, 1);
	kct_ping(&w);
	kct_wire_bye(&w);
}

/* Every vector that a client might send by mistake, and what the daemon says to it. */
static void bad_vectors_are_answered_as_they_must(void **state)
{
	struct kct_golden golden = { 0 };

	(void)state;
	assert_int_equal(kct_golden_load(&golden, "bad.txt"), 0);
	assert_true(golden.count > 20);
	for (size_t i = 0; i < golden.count; i++) {
		const struct kct_vector *v = &golden.vectors[i];
		struct kcp_header h;
		const char *why;
		struct kct_wire w;
		uint32_t want;

		client(&w);
		w.next_id = 1000000;
		kct_raw(&w, v->frame, v->len);
		if (strcmp(v->expect, "framing") == 0) {
			kct_expect_error(&w, KCP_PROTO);
			kct_wire_cut(&w);
			continue;
		}
		want = strcmp(v->expect, "proto") == 0	  ? KCP_PROTO
		       : strcmp(v->expect, "inval") == 0  ? KCP_INVAL
		       : strcmp(v->expect, "notsup") == 0 ? KCP_NOTSUP
							  : KCP_OK;
		assert_int_equal(kcp_header_decode(v->frame, UINT32_MAX, &h, &why), 0);
		if (kct_result_of(&w, h.id) != want)
			fail_msg("%s: not answered with %s", v->name, v->expect);
		kct_ping(&w);
		kct_wire_bye(&w);
	}
	kct_golden_done(&golden);
}

/* Every good request and notice of a client is understood: whatever its result, it is not
 * that the frame's shape was wrong. */
static void golden_vectors_are_understood(void **state)
{
	struct kct_golden golden = { 0 };
	unsigned tried = 0;

	(void)state;
	assert_int_equal(kct_golden_load_all(&golden), 0);
	for (size_t i = 0; i < golden.count; i++) {
		const struct kct_vector *v = &golden.vectors[i];
		struct kct_wire w;

		if (!(v->form & (KCP_REQUEST | KCP_NOTICE)) || v->type == KCP_BYE)
			continue;
		tried++;
		if (v->type == KCP_HELLO) {
			kct_wire_connect(&w, fixture.path);
		} else {
			kct_wire_hello(&w, fixture.path);
			kct_make(&w, "jobs", KCP_KIND_BUFFERED, 0, 1024,
				 KCP_ROLE_SENDER | KCP_ROLE_RECEIVER);
		}
		if (v->form == KCP_REQUEST && v->type != KCP_HELLO) {
			/* the ids of vectors are low: a session of their own, where they rise */
			kct_wire_bye(&w);
			kct_wire_hello(&w, fixture.path);
		}
		kct_raw(&w, v->frame, v->len);
		w.next_id = 1000000;
		if (v->form == KCP_REQUEST) {
			uint32_t result = kct_result_of(&w, v->id);

			if (result == KCP_PROTO || result == KCP_INVAL || result == KCP_NOTSUP)
				fail_msg("%s: %u %s", v->name, result,
					 kct_detail(w.frames[w.n_frames - 1]));
		}
		kct_ping(&w);
		kct_wire_bye(&w);
	}
	assert_true(tried > 30);
	kct_golden_done(&golden);
	/* what the vectors made */
	{
		static const char *const made[] = { "jobs", "plant_1/line-2/temperature.raw",
						    "meter" };
		struct kct_wire w;

		client(&w);
		for (size_t i = 0; i < 3; i++)
			kct_result_of(&w, kct_by_name(&w, KCP_CHAN_DESTROY, made[i]));
		kct_wire_bye(&w);
	}
}

/* Replies with an effect are numbered, others are not. */
static void replies_with_an_effect_are_numbered(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t seq;
	uint32_t at;

	(void)state;
	client(&w);
	at = kct_make(&w, "numbered", KCP_KIND_BUFFERED, 0, 4, 3);
	seq = w.seq;
	assert_true(seq > 0);
	kct_begin(&w, KCP_PING);
	f = kct_reply(&w, kct_end(&w));
	assert_int_equal(f->header.seq, 0);
	f = kct_reply(&w, kct_send(&w, at, "x", 0));
	assert_true(f->header.seq > seq);
	f = kct_reply(&w, kct_by_name(&w, KCP_CHAN_INFO, "numbered"));
	assert_int_equal(f->header.seq, 0);
	f = kct_reply(&w, kct_by_name(&w, KCP_CHAN_DESTROY, "numbered"));
	assert_true(f->header.seq > seq);
	kct_wire_bye(&w);
}

static void replies_not_confirmed_are_bounded(void **state)
{
	struct kct_wire w;
	const struct kct_frame *f = NULL;
	uint32_t result = KCP_OK;
	int n = 0;

	(void)state;
	client(&w);
	w.confirm = false;
	for (; n < 100 && result == KCP_OK; n++) {
		f = kct_reply(&w, kct_about(&w, KCP_CANCEL, 1));
		result = kct_result(f);
	}
	assert_int_equal(result, KCP_DQUOT);
	assert_int_equal(n, 33); /* limits.requests is 32 */
	assert_non_null(strstr(kct_detail(f), "limits.requests"));
	w.confirm = true;
	kct_begin_notice(&w, KCP_CONFIRM);
	kct_end(&w);
	assert_int_equal(kct_result_of(&w, kct_about(&w, KCP_CANCEL, 1)), KCP_OK);
	kct_wire_bye(&w);
}

/* A client that says all it has to say and closes that direction still gets its answers. */
static void half_a_connection_is_enough_for_answers(void **state)
{
	struct kct_wire w;
	uint64_t ping, list;

	(void)state;
	client(&w);
	kct_begin(&w, KCP_PING);
	ping = kct_end_later(&w);
	kct_begin(&w, KCP_CHAN_LIST);
	list = kct_end_later(&w);
	kct_begin_notice(&w, KCP_BYE);
	kct_end_later(&w);
	kct_push(&w);
	assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
	assert_int_equal(kct_next(&w)->header.id, ping);
	assert_int_equal(kct_next(&w)->header.id, list);
	kct_expect_end(&w);
	kct_wire_cut(&w);

	kct_wire_connect(&w, fixture.path); /* without a BYE: its session is suspended */
	ping = say_hello(&w, 1, 1, 0);
	assert_int_equal(shutdown(w.fd, SHUT_WR), 0);
	assert_int_equal(kct_result_of(&w, ping), KCP_OK);
	kct_expect_end(&w);
	memcpy(w.token, kcp_get(&w.frames[0]->args, KCP_T_TOKEN)->data, KCP_TOKEN_SIZE);
	kct_wire_cut(&w);
	kct_wire_again(&w, fixture.path);
	assert_int_equal(kct_result_of(&w, kct_resume(&w, w.token, NULL, 0, 0, 0)), KCP_OK);
	kct_wire_bye(&w);
}

/* One that asks a lot, says BYE and does not stay for the answers is done with at once. */
static void nobody_waits_for_a_client_that_left(void **state)
{
	struct kct_wire w;
	int asked = 0;

	(void)state;
	client(&w);
	for (int i = 0; i < 2000; i++) {
		kct_begin(&w, KCP_PING);
		kct_end_later(&w);
	}
	kct_begin_notice(&w, KCP_BYE);
	kct_end_later(&w);
	kct_push(&w);
	kct_wire_cut(&w);
	/* it is served in turns, and between them the watcher is */
	while (kct_stat(&watcher, NULL, KCP_S_CONNECTIONS) != 1)
		assert_in_range(++asked, 1, 2000);
}

static void bye_ends_the_session(void **state)
{
	struct kct_wire a, b;
	uint32_t at;

	(void)state;
	client(&a);
	client(&b);
	kct_make(&a, "left", KCP_KIND_BUFFERED, 0, 4, KCP_ROLE_SENDER);
	at = kct_open(&b, "left", KCP_ROLE_RECEIVER, 0, 0);
	(void)at;
	assert_int_equal(kct_stat(&b, "left", KCP_S_SENDERS), 1);
	kct_wire_bye(&a);
	assert_int_equal(kct_stat(&b, "left", KCP_S_SENDERS), 0);
	assert_int_equal(kct_result_of(&b, kct_by_name(&b, KCP_CHAN_DESTROY, "left")), KCP_OK);
	kct_wire_bye(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DAEMON_TEST(hello_tells_the_terms),
		DAEMON_TEST(versions_that_do_not_overlap_are_refused),
		DAEMON_TEST(nothing_comes_before_hello),
		DAEMON_TEST(a_second_hello_is_refused),
		DAEMON_TEST(frames_may_come_in_any_pieces),
		DAEMON_TEST(many_requests_in_one_write_are_all_answered),
		DAEMON_TEST(ids_must_rise),
		DAEMON_TEST(a_frame_too_long_is_refused_before_it_comes),
		DAEMON_TEST(a_bad_notice_ends_the_connection),
		DAEMON_TEST(bad_vectors_are_answered_as_they_must),
		DAEMON_TEST(golden_vectors_are_understood),
		DAEMON_TEST(replies_with_an_effect_are_numbered),
		DAEMON_TEST_WITH(replies_not_confirmed_are_bounded,
				 "{ \"limits\": { \"requests\": 32 } }"),
		DAEMON_TEST(half_a_connection_is_enough_for_answers),
		DAEMON_TEST(nobody_waits_for_a_client_that_left),
		DAEMON_TEST(bye_ends_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
