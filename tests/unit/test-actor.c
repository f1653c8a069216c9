/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Actors: arguments, the on-done function, and who may stop whom. How they end
 * over a channel is in tests/conformance/actor_cancel.c.
 */
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"

static int take(const void *msg, size_t len, void *user)
{
	(void)msg;
	(void)len;
	(void)user;
	return 0;
}

static kc_chan_t *make(size_t elem_size, size_t max_msg)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_chan_t *ch = NULL;

	o.elem_size = elem_size;
	o.max_msg = max_msg;
	o.capacity = 8;
	assert_int_equal(kc_chan_make_ex(&ch, &o), 0);
	return ch;
}

static kc_actor_t *start(kc_chan_t *ch, int (*process)(const void *, size_t, void *), void *user)
{
	struct kc_actor_ctx ctx = {
		.chan = ch,
		.msg_size = sizeof(uint64_t),
		.timeout_ms = -1,
		.process = process,
		.user = user,
	};
	kc_actor_t *a = NULL;

	assert_int_equal(kc_actor_start(&a, &ctx), 0);
	return a;
}

static void what_does_not_fit_is_refused(void **state)
{
	kc_chan_t *fixed = make(8, 0);
	kc_chan_t *messages = make(0, 100);
	struct kc_actor_ctx ctx = { .chan = fixed, .msg_size = 8, .process = take };
	kc_actor_t *a = NULL;

	assert_int_equal(kc_actor_start(NULL, &ctx), KC_EINVAL);
	assert_int_equal(kc_actor_start(&a, NULL), KC_EINVAL);
	assert_int_equal(kc_actor_start_ex(&a, NULL), KC_EINVAL);
	ctx.chan = NULL;
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	ctx.chan = fixed;
	ctx.process = NULL;
	assert_int_equal(kc_actor_start_ex(&a, &ctx), KC_EINVAL);
	ctx.process = take;
	ctx.msg_size = 7;
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "msg_size"));
	ctx.chan = messages;
	ctx.msg_size = 99;
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	ctx.msg_size = (size_t)KC_MSG_MAX + 1;
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	assert_null(a);
	assert_int_equal(kc_actor_stop(NULL), KC_EINVAL);
	assert_int_equal(kc_actor_on_done(NULL, NULL, NULL), KC_EINVAL);
	kc_actor_cancel(NULL);
	kc_chan_destroy(fixed);
	kc_chan_destroy(messages);
}

static void no_memory_starts_nothing(void **state)
{
	kc_chan_t *ch = make(8, 0);
	struct kc_actor_ctx ctx = { .chan = ch, .msg_size = 8, .timeout_ms = -1, .process = take };
	kc_actor_t *a = NULL;
	int r;

	for (long nth = 1;; nth++) {
		kct_alloc_fail_from(nth);
		r = kc_actor_start(&a, &ctx);
		if (kct_alloc_fail_end() < nth)
			break;
		assert_int_equal(r, KC_ENOMEM);
		assert_null(a);
	}
	assert_int_equal(r, 0);
	assert_int_equal(kc_actor_stop(a), KC_ECANCELED);
	kc_chan_destroy(ch);
}

struct seen {
	kc_chan_t *ch;
	kc_actor_t *actor; /* for those who stop themselves */
	struct kct_event ready;
	struct kct_event done;
	int calls;
	int result;
	int stop_result;
	int other_set;
};

#define SEEN_INIT(channel)                                                                         \
	{                                                                                          \
		.ch = (channel), .ready = KCT_EVENT_INIT, .done = KCT_EVENT_INIT                   \
	}

static void on_done(kc_actor_t *actor, int result, void *arg)
{
	struct seen *s = arg;

	s->calls++;
	s->result = result;
	/* not from here: the actor is still inside this function */
	s->stop_result = kc_actor_stop(actor);
	s->other_set = kc_actor_on_done(actor, on_done, arg);
	kc_actor_cancel(actor);
	kct_event_set(&s->done);
}

static void on_done_is_called_once_on_the_actors_thread(void **state)
{
	struct seen s = SEEN_INIT(make(8, 0));
	kc_actor_t *a = start(s.ch, take, NULL);

	assert_int_equal(kc_actor_on_done(a, on_done, &s), 0);
	assert_int_equal(kc_actor_on_done(a, on_done, &s), KC_EEXIST);
	assert_int_equal(kc_actor_on_done(a, NULL, &s), KC_EINVAL);
	assert_int_equal(kc_chan_close(s.ch), 0);
	kct_event_wait(&s.done);
	assert_int_equal(s.stop_result, KC_EINVAL);
	assert_int_equal(s.other_set, KC_EEXIST);
	assert_int_equal(kc_actor_stop(a), KC_EPIPE);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.result, KC_EPIPE);
	kc_chan_destroy(s.ch);
}

static int end_with_5(const void *msg, size_t len, void *user)
{
	struct seen *s = user;

	(void)msg;
	(void)len;
	kct_event_set(&s->ready);
	return 5;
}

static void on_done_may_be_set_while_the_actor_ends(void **state)
{
	/* whichever thread then runs it, it runs once and with the result */
	for (int round = 0; round < 200; round++) {
		struct seen s = SEEN_INIT(make(8, 0));
		kc_actor_t *a = start(s.ch, end_with_5, &s);
		uint64_t v = 1;

		assert_int_equal(kc_chan_send(s.ch, &v, -1), 0);
		kct_event_wait(&s.ready);
		assert_int_equal(kc_actor_on_done(a, on_done, &s), 0);
		kct_event_wait(&s.done);
		assert_int_equal(s.stop_result, KC_EINVAL);
		assert_int_equal(kc_actor_stop(a), 5);
		assert_int_equal(s.calls, 1);
		assert_int_equal(s.result, 5);
		kc_chan_destroy(s.ch);
	}
}

static void slow_done(kc_actor_t *actor, int result, void *arg)
{
	struct seen *s = arg;

	(void)actor;
	s->calls++;
	s->result = result;
	kct_event_set(&s->ready);
	kct_event_wait(&s->done);
}

static long set_slow_done(void *arg)
{
	struct seen *s = arg;

	return kc_actor_on_done(s->actor, slow_done, s);
}

static long stop_it(void *arg)
{
	return kc_actor_stop(((struct seen *)arg)->actor);
}

static void stop_waits_for_the_on_done_function(void **state)
{
	struct seen s = SEEN_INIT(make(8, 0));
	struct kct_call setter, stopper;

	s.actor = start(s.ch, take, NULL);
	assert_int_equal(kc_chan_close(s.ch), 0);
	kct_call_start(&setter, set_slow_done, &s);
	kct_event_wait(&s.ready);
	/* the actor may be freed only once the function has returned */
	kct_call_start(&stopper, stop_it, &s);
	kct_event_set(&s.done);
	assert_int_equal(kct_call_join(&setter), 0);
	assert_int_equal(kct_call_join(&stopper), KC_EPIPE);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.result, KC_EPIPE);
	kc_chan_destroy(s.ch);
}

static int stop_myself(const void *msg, size_t len, void *user)
{
	struct seen *s = user;

	(void)msg;
	(void)len;
	kct_event_wait(&s->ready);
	s->stop_result = kc_actor_stop(s->actor);
	kc_actor_cancel(s->actor);
	return 0;
}

static void an_actor_cannot_stop_itself_but_cancel(void **state)
{
	struct seen s = SEEN_INIT(make(8, 0));
	uint64_t v = 1;

	s.actor = start(s.ch, stop_myself, &s);
	kct_event_set(&s.ready);
	assert_int_equal(kc_chan_send(s.ch, &v, -1), 0);
	assert_int_equal(kc_chan_send(s.ch, &v, -1), 0);
	assert_int_equal(kc_actor_stop(s.actor), KC_ECANCELED);
	kc_chan_destroy(s.ch);
}

static int sum(const void *msg, size_t len, void *user)
{
	struct seen *s = user;
	uint64_t v;

	if (len != sizeof(v))
		return -1;
	memcpy(&v, msg, sizeof(v));
	s->result += (int)v;
	if (v == 4)
		kct_event_set(&s->done);
	return 0;
}

static void short_timeouts_only_make_it_receive_again(void **state)
{
	static const long timeouts[] = { 0, 1, 2 };

	for (size_t i = 0; i < 3; i++) {
		struct seen s = SEEN_INIT(make(8, 0));
		struct kc_actor_ctx ctx = {
			.chan = s.ch,
			.msg_size = 8,
			.timeout_ms = timeouts[i],
			.process = sum,
			.user = &s,
		};
		kc_chan_t *other = make(8, 0);
		struct kc_chan_snapshot snap;
		kc_actor_t *a;
		uint64_t v;

		assert_int_equal(kc_actor_start(&a, &ctx), 0);
		/* meanwhile the actor's receives time out as well */
		assert_int_equal(kc_chan_recv(other, &v, 20), KC_ETIME);
		for (v = 1; v <= 4; v++)
			assert_int_equal(kc_chan_send(s.ch, &v, -1), 0);
		kct_event_wait(&s.done);
		assert_int_equal(kc_actor_stop(a), KC_ECANCELED);
		assert_int_equal(s.result, 10);
		assert_int_equal(kc_chan_snapshot(s.ch, &snap), 0);
		/* and with timeout 0 it waits instead of asking again and again */
		assert_int_equal(snap.recv_failures.eagain, 0);
		kc_chan_destroy(other);
		kc_chan_destroy(s.ch);
	}
}

static int take_block(const void *msg, size_t len, void *user)
{
	const struct kc_zdesc *desc = msg;
	struct seen *s = user;

	if (len != sizeof(*desc))
		return -1;
	s->result += (int)desc->len;
	return 0;
}

static void an_actor_receives_descriptors(void **state)
{
	struct seen s = SEEN_INIT(NULL);
	struct kc_actor_ctx ctx = {
		.msg_size = sizeof(struct kc_zdesc),
		.timeout_ms = -1,
		.process = take_block,
		.user = &s,
	};
	kc_actor_t *a;
	char block[100];

	assert_int_equal(kc_chan_make_ptr(&s.ch, KC_RENDEZVOUS, 0), 0);
	ctx.chan = s.ch;
	assert_int_equal(kc_actor_start(&a, &ctx), 0);
	assert_int_equal(kc_chan_send_ptr(s.ch, block, 100, -1), 0);
	assert_int_equal(kc_chan_send_ptr(s.ch, block, 11, -1), 0);
	(void)kc_actor_stop(a);
	assert_int_equal(s.result, 111);
	kc_chan_destroy(s.ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_does_not_fit_is_refused),
		KCT_TEST(no_memory_starts_nothing),
		KCT_TEST(on_done_is_called_once_on_the_actors_thread),
		KCT_TEST(on_done_may_be_set_while_the_actor_ends),
		KCT_TEST(stop_waits_for_the_on_done_function),
		KCT_TEST(an_actor_cannot_stop_itself_but_cancel),
		KCT_TEST(short_timeouts_only_make_it_receive_again),
		KCT_TEST(an_actor_receives_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
