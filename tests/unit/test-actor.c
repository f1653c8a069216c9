/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Actors: arguments, the on-done function, who may stop whom, where they run, their mailboxes.
 * How they end over a channel is in tests/conformance/actor_cancel.c, how they are started again
 * in test-supervisor.c.
 */
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
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

/* ---- where it runs, and what it receives from ------------------------------- */

static int add(const void *msg, size_t len, void *user)
{
	struct seen *s = user;
	uint64_t v;

	memcpy(&v, msg, len);
	s->result += (int)v;
	s->calls++;
	return 0;
}

static long feed(void *arg)
{
	kc_chan_t *ch = arg;

	for (uint64_t v = 1; v <= 1000; v++) {
		int r = kc_chan_send(ch, &v, -1);

		if (r < 0)
			return r;
	}
	return kc_chan_close(ch);
}

static void it_may_be_a_coroutine(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct seen s = SEEN_INIT(make(8, 0));
	struct kc_actor_ctx ctx = { .chan = s.ch, .timeout_ms = -1, .process = add, .user = &s };
	kc_actor_t *a;
	kc_coro_t *co;
	long r;

	/* where it runs is told by who has to run it */
	o.flags = KC_SCHED_DETERMINISTIC;
	assert_int_equal(kc_sched_create(&ctx.sched, &o), 0);
	assert_int_equal(kc_actor_start(&a, &ctx), 0);
	assert_int_equal(kc_spawn(&co, ctx.sched, feed, s.ch), 0);
	assert_int_equal(s.calls, 0);
	assert_int_equal(kc_sched_run(ctx.sched), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	assert_int_equal(r, 0);
	assert_int_equal(s.calls, 1000);
	assert_int_equal(s.result, 500500);
	assert_int_equal(kc_actor_stop(a), KC_EPIPE);
	assert_int_equal(kc_sched_destroy(ctx.sched), 0);
	kc_chan_destroy(s.ch);
}

static long stop_from_coroutine(void *arg)
{
	return kc_actor_stop(arg);
}

static void coroutines_stop_one_another_but_not_themselves(void **state)
{
	struct seen s = SEEN_INIT(make(8, 0));
	struct kc_actor_ctx ctx = {
		.chan = s.ch, .timeout_ms = -1, .process = stop_myself, .user = &s
	};
	kc_coro_t *co;
	uint64_t v = 1;
	long r;

	assert_int_equal(kc_sched_single(&ctx.sched), 0);
	for (int i = 0; i < 50; i++) {
		kct_event_set(&s.ready);
		assert_int_equal(kc_actor_start(&s.actor, &ctx), 0);
		assert_int_equal(kc_actor_on_done(s.actor, on_done, &s), 0);
		if (i % 2)
			assert_int_equal(kc_chan_send(s.ch, &v, -1), 0);
		assert_int_equal(kc_spawn(&co, ctx.sched, stop_from_coroutine, s.actor), 0);
		assert_int_equal(kc_join(co, &r, -1), 0);
		assert_int_equal(r, KC_ECANCELED);
		assert_int_equal(s.calls, i + 1);
		assert_int_equal(s.stop_result, KC_EINVAL);
		(void)kc_chan_purge(s.ch);
	}
	kc_chan_destroy(s.ch);
}

struct drops {
	int n[6];
};

static void on_drop(void *arg, const void *elem, size_t len, enum kc_drop_reason reason)
{
	struct drops *d = arg;

	(void)elem;
	(void)len;
	d->n[reason]++;
}

/* How many of 1 to 10, sent while nobody receives, reach an actor with such a mailbox. */
static void mailbox(enum kc_kind kind, enum kc_overflow overflow, int want_calls, int want_sum,
		    enum kc_drop_reason reason)
{
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct seen s = SEEN_INIT(NULL);
	struct drops d = { { 0 } };
	struct kc_actor_ctx ctx = { .timeout_ms = -1, .process = add, .user = &s, .mailbox = &box };
	kc_actor_t *a;
	uint64_t v;

	box.kind = kind;
	box.elem_size = sizeof(v);
	box.capacity = kind == KC_BUFFERED ? 4 : 0;
	box.overflow = overflow;
	box.on_drop = on_drop;
	box.on_drop_arg = &d;
	o.flags = KC_SCHED_DETERMINISTIC;
	assert_int_equal(kc_sched_create(&ctx.sched, &o), 0);
	assert_int_equal(kc_actor_start(&a, &ctx), 0);
	for (v = 1; v <= 10; v++) {
		int r = kc_chan_send(kc_actor_mailbox(a), &v, 0);

		if (r == KC_EAGAIN)
			assert_true(kind == KC_BUFFERED && overflow == KC_OVERFLOW_BLOCK && v > 4);
		else
			assert_int_equal(r, 0);
	}
	assert_int_equal(kc_sched_run(ctx.sched), KC_EAGAIN);
	assert_int_equal(s.calls, want_calls);
	assert_int_equal(s.result, want_sum);
	if (reason)
		assert_int_equal(d.n[reason], 10 - want_calls);
	kc_actor_cancel(a);
	assert_int_equal(kc_sched_run(ctx.sched), 0);
	/* nobody receives any more, and nobody waits for that */
	assert_int_equal(kc_chan_send(kc_actor_mailbox(a), &v, -1), KC_EPIPE);
	assert_int_equal(kc_actor_stop(a), KC_ECANCELED);
	assert_int_equal(d.n[KC_DROP_DESTROYED], 0);
	assert_int_equal(kc_sched_destroy(ctx.sched), 0);
}

static void mailboxes_of_every_kind(void **state)
{
	mailbox(KC_BUFFERED, KC_OVERFLOW_BLOCK, 4, 1 + 2 + 3 + 4, 0);
	mailbox(KC_BUFFERED, KC_OVERFLOW_DROP_OLDEST, 4, 7 + 8 + 9 + 10, KC_DROP_OLDEST);
	mailbox(KC_BUFFERED, KC_OVERFLOW_DROP_NEWEST, 4, 1 + 2 + 3 + 4, KC_DROP_NEWEST);
	mailbox(KC_CONFLATED, KC_OVERFLOW_BLOCK, 1, 10, KC_DROP_CONFLATED);
	mailbox(KC_UNLIMITED, KC_OVERFLOW_BLOCK, 10, 55, 0);
}

static void what_is_left_in_a_mailbox_is_dropped(void **state)
{
	for (int i = 0; i < 100; i++) {
		struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
		struct seen s = SEEN_INIT(NULL);
		struct drops d = { { 0 } };
		struct kc_actor_ctx ctx = {
			.timeout_ms = -1, .process = end_with_5, .user = &s, .mailbox = &box
		};
		kc_actor_t *a;
		uint64_t v = 0;
		int sent = 0;

		box.elem_size = sizeof(v);
		box.capacity = 4;
		box.on_drop = on_drop;
		box.on_drop_arg = &d;
		if (i % 2)
			assert_int_equal(kc_sched_default(&ctx.sched), 0);
		assert_int_equal(kc_actor_start(&a, &ctx), 0);
		while (kc_chan_send(kc_actor_mailbox(a), &v, -1) == 0)
			sent++;
		assert_int_equal(kc_actor_stop(a), 5);
		/* before the call returns */
		assert_int_equal(d.n[KC_DROP_DESTROYED], sent - 1);
	}
}

static void a_mailbox_or_a_channel_but_not_both(void **state)
{
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_actor_ctx ctx = { .process = take, .mailbox = &box };
	struct kc_restart_options again = KC_RESTART_OPTIONS_INIT;
	kc_actor_t *a = NULL;

	ctx.chan = make(8, 0);
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "mailbox"));
	kc_chan_destroy(KC_STEAL(ctx.chan));
	/* no capacity */
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "capacity"));
	box.capacity = 1;
	ctx.msg_size = 8;
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "msg_size"));
	ctx.msg_size = 0;
	again.policy = KC_RESTART_ALWAYS;
	ctx.restart = &again;
	assert_int_equal(kc_actor_start(&a, &ctx), KC_EINVAL);
	assert_non_null(strstr(kc_error_detail(), "max_restarts"));
	assert_null(a);
	assert_null(kc_actor_mailbox(NULL));
	assert_int_equal(kc_actor_restarts(NULL), KC_EINVAL);
}

static void no_memory_makes_no_mailbox(void **state)
{
	struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
	struct kc_restart_options again = KC_RESTART_OPTIONS_INIT;
	struct kc_actor_ctx ctx = { .timeout_ms = -1, .process = take, .mailbox = &box };
	kc_actor_t *a = NULL;
	int r;

	box.capacity = 1;
	again.policy = KC_RESTART_ALWAYS;
	again.max_restarts = 1;
	ctx.restart = &again;
	assert_int_equal(kc_sched_single(&ctx.sched), 0);
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
		KCT_TEST(it_may_be_a_coroutine),
		KCT_TEST(coroutines_stop_one_another_but_not_themselves),
		KCT_TEST(mailboxes_of_every_kind),
		KCT_TEST(what_is_left_in_a_mailbox_is_dropped),
		KCT_TEST(a_mailbox_or_a_channel_but_not_both),
		KCT_TEST(no_memory_makes_no_mailbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
