/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A forked child may use nothing it inherited: every call says so, none blocks,
 * none touches what the parent has, and what the child makes anew works.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

struct inherited {
	kc_chan_t *fixed;
	kc_chan_t *messages;
	kc_chan_t *descriptors;
	kc_cancel_t *token;
	kc_cancel_ctx_t ctx;
	kc_chan_t *actor_chan;
	kc_actor_t *actor;
};

static int take(const void *msg, size_t len, void *user)
{
	(void)msg;
	(void)len;
	(void)user;
	return 0;
}

static void done(kc_actor_t *actor, int result, void *arg)
{
	(void)actor;
	(void)result;
	(void)arg;
}

static long job(kc_job_t *self, void *arg)
{
	(void)self;
	(void)arg;
	return 0;
}

/* The exit status tells which check failed, from 1; 0 = none did. */
#define CHECK(expression)                                                                          \
	do {                                                                                       \
		nth++;                                                                             \
		if (!(expression))                                                                 \
			return nth;                                                                \
	} while (0)

static int use_channels(void *arg)
{
	struct inherited *in = arg;
	struct kc_zdesc desc = { .addr = in, .len = 1 };
	struct kc_chan_snapshot snap;
	struct kc_msg msg = { "x", 1 };
	struct kc_lease lease = { 0 };
	char buf[64];
	uint64_t v = 0;
	void *ptr;
	size_t len;
	int nth = 0;

	CHECK(kc_chan_send(in->fixed, &v, -1) == KC_EFORKED);
	CHECK(kc_chan_recv(in->fixed, &v, -1) == KC_EFORKED);
	CHECK(kc_chan_try_send(in->fixed, &v) == KC_EFORKED);
	CHECK(kc_chan_try_recv(in->fixed, &v) == KC_EFORKED);
	CHECK(kc_chan_send_c(in->fixed, &v, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_recv_c(in->fixed, &v, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_send_many(in->fixed, &v, 1, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_recv_many(in->fixed, &v, 1, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_send_msg(in->messages, "x", 1, -1) == KC_EFORKED);
	CHECK(kc_chan_recv_msg(in->messages, buf, sizeof(buf), &len, -1) == KC_EFORKED);
	CHECK(kc_chan_send_msgs(in->messages, &msg, 1, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_recv_msgs(in->messages, buf, sizeof(buf), &msg, 1, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_send_desc(in->descriptors, &desc, -1) == KC_EFORKED);
	CHECK(kc_chan_recv_desc(in->descriptors, &desc, -1) == KC_EFORKED);
	CHECK(kc_chan_send_ptr(in->descriptors, in, 1, -1) == KC_EFORKED);
	CHECK(kc_chan_recv_ptr(in->descriptors, &ptr, &len, -1) == KC_EFORKED);
	CHECK(kc_chan_send_zref(in->descriptors, in, 1, 0, 0, -1) == KC_EFORKED);
	CHECK(kc_chan_recv_zref(in->descriptors, &ptr, &len, NULL, NULL, -1) == KC_EFORKED);
	CHECK(kc_chan_enable_zero_copy(in->fixed) == KC_EFORKED);
	CHECK(kc_chan_recv_lease(in->fixed, &v, 8, &len, &lease, -1, NULL) == KC_EFORKED);
	CHECK(kc_chan_ack(in->fixed, &lease) == KC_EFORKED);
	CHECK(kc_chan_nack(in->fixed, &lease) == KC_EFORKED);
	CHECK(kc_chan_extend(in->fixed, &lease, 1) == KC_EFORKED);
	CHECK(kc_chan_close(in->fixed) == KC_EFORKED);
	CHECK(kc_chan_purge(in->fixed) == KC_EFORKED);
	CHECK(kc_chan_len(in->fixed) == KC_EFORKED);
	CHECK(kc_chan_snapshot(in->fixed, &snap) == KC_EFORKED);
	CHECK(kc_chan_capabilities(in->fixed) == 0);
	kc_chan_destroy(in->fixed);
	kc_chan_destroy(in->messages);
	return 0;
}

static int use_tokens(void *arg)
{
	struct inherited *in = arg;
	struct kc_actor_ctx actor_ctx = { .chan = in->fixed, .msg_size = 8, .process = take };
	kc_cancel_t *child = NULL;
	kc_cancel_ctx_t ctx;
	kc_actor_t *actor = NULL;
	kc_scope_t *scope;
	kc_chan_t *own;
	uint64_t v = 0;
	int nth = 0;

	CHECK(kc_cancel_init_child(&child, in->token) == KC_EFORKED);
	CHECK(kc_cancel_ctx_init(&ctx, in->token) == KC_EFORKED);
	CHECK(kc_cancel_wait(in->token, -1) == KC_EFORKED);
	CHECK(kc_cancel_is_set(in->token) == 1);
	CHECK(kc_cancel_ref(in->token) == in->token);
	kc_cancel_trigger(in->token);
	kc_cancel_destroy(in->token);
	kc_cancel_ctx_destroy(&in->ctx);
	CHECK(kc_actor_start(&actor, &actor_ctx) == KC_EFORKED);
	CHECK(kc_actor_stop(in->actor) == KC_EFORKED);
	CHECK(kc_actor_on_done(in->actor, done, NULL) == KC_EFORKED);
	CHECK(kc_actor_restarts(in->actor) == KC_EFORKED);
	CHECK(kc_actor_mailbox(in->actor) == NULL);
	CHECK(kc_scope_init(&scope, in->token) == KC_EFORKED);
	CHECK(kc_job_launch(NULL, NULL, in->token, job, NULL) == KC_EFORKED);
	kc_actor_cancel(in->actor);
	/* an inherited token on a channel of one's own */
	CHECK(kc_chan_make(&own, KC_BUFFERED, sizeof(v), 1) == 0);
	CHECK(kc_chan_send_c(own, &v, -1, in->token) == KC_EFORKED);
	CHECK(kc_chan_recv_c(own, &v, -1, in->token) == KC_EFORKED);
	kc_chan_destroy(own);
	return 0;
}

static int use_own(void *arg)
{
	kc_cancel_t *token;
	kc_chan_t *own;
	uint64_t v = 7;
	int nth = 0;

	(void)arg;
	CHECK(kc_chan_make(&own, KC_BUFFERED, sizeof(v), 2) == 0);
	CHECK(kc_cancel_init(&token) == 0);
	CHECK(kc_chan_send_c(own, &v, -1, token) == 0);
	v = 0;
	CHECK(kc_chan_recv_c(own, &v, -1, token) == 0);
	CHECK(v == 7);
	CHECK(kc_chan_recv_c(own, &v, 1, token) == KC_ETIME);
	kc_cancel_trigger(token);
	CHECK(kc_chan_recv_c(own, &v, -1, token) == KC_ECANCELED);
	kc_cancel_destroy(token);
	kc_chan_destroy(own);
	return 0;
}

static void inherit(struct inherited *in)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_actor_ctx ctx = { .msg_size = 8, .timeout_ms = -1, .process = take };
	uint64_t v = 3;

	o.capacity = 4;
	assert_int_equal(kc_chan_make(&in->fixed, KC_BUFFERED, sizeof(v), 4), 0);
	assert_int_equal(kc_chan_send(in->fixed, &v, -1), 0);
	assert_int_equal(kc_chan_make_ex(&in->messages, &o), 0);
	assert_int_equal(kc_chan_make_ptr(&in->descriptors, KC_BUFFERED, 4), 0);
	assert_int_equal(kc_cancel_init(&in->token), 0);
	assert_int_equal(kc_cancel_ctx_init(&in->ctx, in->token), 0);
	assert_int_equal(kc_chan_make(&in->actor_chan, KC_RENDEZVOUS, sizeof(v), 0), 0);
	ctx.chan = in->actor_chan;
	assert_int_equal(kc_actor_start(&in->actor, &ctx), 0);
}

/* The parent's things are as they were. */
static void disinherit(struct inherited *in)
{
	uint64_t v = 0;

	assert_int_equal(kc_cancel_is_set(in->token), 0);
	assert_int_equal(kc_cancel_is_set(in->ctx.token), 0);
	assert_int_equal(kc_chan_len(in->fixed), 1);
	assert_int_equal(kc_chan_recv(in->fixed, &v, 0), 0);
	assert_int_equal(v, 3);
	assert_int_equal(kc_actor_stop(in->actor), KC_ECANCELED);
	kc_cancel_ctx_destroy(&in->ctx);
	kc_cancel_destroy(in->token);
	kc_chan_destroy(in->fixed);
	kc_chan_destroy(in->messages);
	kc_chan_destroy(in->descriptors);
	kc_chan_destroy(in->actor_chan);
}

static int raw_child(int (*fn)(void *), void *arg)
{
	int status = 0;
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		syscall(SYS_exit_group, fn(arg));
	if (pid < 0)
		return -1;
	while (waitpid((pid_t)pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_forked_child_may_use_no_inherited_channel(void **state)
{
	struct inherited in;

	inherit(&in);
	assert_int_equal(kct_in_child(use_channels, &in), 0);
	disinherit(&in);
}

static void a_forked_child_may_use_no_inherited_token_or_actor(void **state)
{
	struct inherited in;

	inherit(&in);
	assert_int_equal(kct_in_child(use_tokens, &in), 0);
	disinherit(&in);
}

static void neither_may_a_raw_clone(void **state)
{
	struct inherited in;

	inherit(&in);
	assert_int_equal(raw_child(use_channels, &in), 0);
	disinherit(&in);
}

static void what_a_child_makes_itself_works(void **state)
{
	struct inherited in;

	inherit(&in);
	assert_int_equal(kct_in_child(use_own, NULL), 0);
	disinherit(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_forked_child_may_use_no_inherited_channel),
		KCT_TEST(a_forked_child_may_use_no_inherited_token_or_actor),
		KCT_TEST(neither_may_a_raw_clone),
		KCT_TEST(what_a_child_makes_itself_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
