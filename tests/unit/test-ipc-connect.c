/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting to something that is not, or not quite, a kcorod.
 */
#include <string.h>

#include "tests/unit/ipc-peer.h"

struct attempt {
	struct kct_call call;
	struct peer *p;
	char detail[300];
};

static long connect_main(void *arg)
{
	struct attempt *a = arg;
	int r = kc_ipc_connect(&a->p->conn, a->p->path);

	strncpy(a->detail, kc_error_detail(), sizeof(a->detail) - 1);
	return r;
}

static void hang_up(struct peer *p)
{
	peer_hang_up(p);
}

static void say_nothing_sensible(struct peer *p)
{
	peer_raw(p, "220 mail.example.org ESMTP, says the peer", 41);
}

static void end(struct peer *p, uint32_t result, const char *detail, uint16_t type)
{
	peer_begin(p, type, type == KCP_HELLO ? KCP_HF_REPLY : 0,
		   type == KCP_HELLO ? p->header.id : 0, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, result);
	kcp_put_text(&p->out, KCP_T_DETAIL, detail);
	peer_end(p);
}

static void refuse_version(struct peer *p)
{
	end(p, KCP_NOTSUP, "this daemon speaks version 7", KCP_HELLO);
}

static void refuse_quota(struct peer *p)
{
	end(p, KCP_DQUOT, "limits.connections is used up", KCP_HELLO);
}

static void refuse_quota_by_event(struct peer *p)
{
	end(p, KCP_DQUOT, "limits.connections is used up", KCP_ERROR);
}

static void refuse_this_user(struct peer *p)
{
	end(p, KCP_ACCES, "not for this user", KCP_HELLO);
}

static void answer(struct peer *p, uint32_t version, uint64_t features, uint32_t requests,
		   uint32_t max_frame)
{
	peer_begin(p, KCP_HELLO, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_VERSION_MIN, version);
	kcp_put_u32(&p->out, KCP_T_VERSION_MAX, version);
	kcp_put_u64(&p->out, KCP_T_FEATURES, features);
	kcp_put_bytes(&p->out, KCP_T_TOKEN, "0123456789abcdef", KCP_TOKEN_SIZE);
	kcp_put_u32(&p->out, KCP_T_MAX_FRAME, max_frame);
	kcp_put_u32(&p->out, KCP_T_GRACE_MS, 1000);
	kcp_put_u32(&p->out, KCP_T_REQUESTS_MAX, requests);
	peer_end(p);
}

static void choose_another_version(struct peer *p)
{
	answer(p, 2, 0, 64, KCP_FRAME_DEFAULT);
}

static void demand_a_feature(struct peer *p)
{
	answer(p, 1, 1, 64, KCP_FRAME_DEFAULT);
}

static void keep_no_request(struct peer *p)
{
	answer(p, 1, 0, 0, KCP_FRAME_DEFAULT);
}

static void accept_tiny_frames(struct peer *p)
{
	answer(p, 1, 0, 64, KCP_FRAME_MIN_MAX - 1);
}

static void give_no_token(struct peer *p)
{
	peer_begin(p, KCP_HELLO, KCP_HF_REPLY, p->header.id, 0);
	kcp_put_u32(&p->out, KCP_T_RESULT, KCP_OK);
	kcp_put_u32(&p->out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(&p->out, KCP_T_VERSION_MAX, 1);
	peer_end(p);
}

static void answer_something_else(struct peer *p)
{
	peer_begin_reply(p, KCP_PING, p->header.id, KCP_OK);
	peer_end(p);
}

static void a_bad_answer_to_hello_is_told(void **state)
{
	static const struct {
		void (*fn)(struct peer *p);
		int code;
		const char *words;
	} answers[] = {
		{ hang_up, KC_ECONNRESET, "hung up" },
		{ say_nothing_sensible, KC_EPROTO, "no kcorod" },
		{ refuse_version, KC_EPROTO, "version 1" },
		{ refuse_quota, KC_EDQUOT, "limits.connections" },
		{ refuse_quota_by_event, KC_EDQUOT, "limits.connections" },
		{ refuse_this_user, KC_EACCES, "not for this user" },
		{ choose_another_version, KC_EPROTO, "makes no sense" },
		{ demand_a_feature, KC_EPROTO, "makes no sense" },
		{ keep_no_request, KC_EPROTO, "makes no sense" },
		{ accept_tiny_frames, KC_EPROTO, "MAX_FRAME" },
		{ give_no_token, KC_EPROTO, "" },
		{ answer_something_else, KC_EPROTO, "" },
	};

	for (size_t i = 0; i < KC_ARRAY_SIZE(answers); i++) {
		struct attempt a = { .p = NULL };
		struct peer p;

		peer_open(&p);
		a.p = &p;
		kct_call_start(&a.call, connect_main, &a);
		peer_accept(&p);
		peer_get(&p, KCP_HELLO);
		answers[i].fn(&p);
		assert_int_equal(kct_call_join(&a.call), answers[i].code);
		/* which socket, and what about it */
		assert_non_null(strstr(a.detail, p.path));
		if (!strstr(a.detail, answers[i].words))
			fail_msg("%zu: %s", i, a.detail);
		peer_close(&p);
	}
}

static void hello_says_who_speaks(void **state)
{
	char program[KCP_PROGRAM_MAX + 1];
	struct peer p;

	peer_open(&p);
	peer_start_connect(&p);
	peer_accept(&p);
	peer_get(&p, KCP_HELLO);
	assert_int_equal(kcp_num(&p.args, KCP_T_VERSION_MIN, 0), 1);
	assert_int_equal(kcp_num(&p.args, KCP_T_VERSION_MAX, 0), 1);
	/* room for the largest message there is */
	assert_true(kcp_num(&p.args, KCP_T_MAX_FRAME, 0) >= KCP_MSG_MAX + KCP_FRAME_EXTRA);
	(void)kcp_text(&p.args, KCP_T_PROGRAM, program, sizeof(program));
	assert_string_equal(program, "libkcoro-client " KC_VERSION_STRING);
	answer(&p, 1, 0, 64, KCP_FRAME_DEFAULT);
	(void)peer_connected(&p);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static void many_replies_at_once_are_confirmed(void **state)
{
	enum { N = 70 };
	struct kct_call calls[N];
	uint64_t ids[N];
	struct peer p;

	peer_open(&p);
	peer_start_connect(&p);
	peer_accept(&p);
	peer_get(&p, KCP_HELLO);
	answer(&p, 1, 0, 1000, KCP_FRAME_DEFAULT);
	(void)peer_connected(&p);
	for (int i = 0; i < N; i++) {
		kct_call_start(&calls[i], peer_ping_main, p.conn);
		peer_get(&p, KCP_PING);
		ids[i] = p.header.id;
	}
	for (int i = N - 1; i >= 0; i--) {
		peer_begin_reply(&p, KCP_PING, ids[i], KCP_OK);
		peer_end(&p);
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	peer_get(&p, KCP_CONFIRM);
	assert_true(p.header.seq >= KCP_CONFIRM_EVERY);
	peer_disconnect(&p, true);
	peer_close(&p);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(a_bad_answer_to_hello_is_told),
	KCT_TEST(hello_says_who_speaks),
	KCT_TEST(many_replies_at_once_are_confirmed),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
