/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * actor_cancel: actors over a channel, and the ways they end.
 */
#include "tests/conformance/program.h"

#include <stdatomic.h>
#include <string.h>

struct worker {
	uint64_t sum;
	uint64_t n;
	uint64_t fail_at; /* process returns 77 for this number; 0 = never */
	_Atomic int done_calls;
	int done_result;
	struct kct_event done;
};

#define WORKER_INIT                                                                                \
	{                                                                                          \
		.done = KCT_EVENT_INIT                                                             \
	}

static int work(const void *msg, size_t len, void *user)
{
	struct worker *w = user;
	uint64_t v = 0;

	if (len != sizeof(v))
		return -1;
	memcpy(&v, msg, sizeof(v));
	w->sum += v;
	w->n++;
	return w->fail_at && v == w->fail_at ? 77 : 0;
}

static void on_done(kc_actor_t *actor, int result, void *arg)
{
	struct worker *w = arg;

	(void)actor;
	w->done_calls++;
	w->done_result = result;
	kct_event_set(&w->done);
}

static kc_actor_t *start(struct kct_case *c, struct worker *w, kc_cancel_t *token)
{
	struct kc_actor_ctx ctx = {
		.chan = c->pair.rx,
		.msg_size = c->family == KCT_MSG ? KCT_MSG_MAX : sizeof(uint64_t),
		.timeout_ms = -1,
		.process = work,
		.user = w,
		.token = token,
		/* where helpers are coroutines it is one, too; but not where the tests are, which
		 * block their only worker to wait for its end */
		.sched = kc_current() ? NULL : kct_calls_where(),
	};
	kc_actor_t *actor = NULL;

	assert_int_equal(token ? kc_actor_start_ex(&actor, &ctx) : kc_actor_start(&actor, &ctx), 0);
	assert_int_equal(kc_actor_on_done(actor, on_done, w), 0);
	return actor;
}

/* The actor ends by itself, or is ending: wait for it and look at the result. */
static void expect_end(struct kct_case *c, struct worker *w, kc_actor_t *actor, int result)
{
	kct_event_wait(&w->done);
	assert_int_equal(kc_actor_stop(actor), result);
	assert_int_equal(w->done_calls, 1);
	assert_int_equal(w->done_result, result);
	c->received += w->n;
	case_end(c);
}

static void an_actor_ends_when_its_channel_is_drained(void **state)
{
	for (enum kct_family f = KCT_FIXED; f <= KCT_MSG; f++) {
		struct worker w = WORKER_INIT;
		struct kct_case c;
		kc_actor_t *actor;

		case_start(&c, f, KC_BUFFERED, 4);
		actor = start(&c, &w, NULL);
		for (uint32_t i = 1; i <= 100; i++)
			assert_int_equal(case_send(&c, i, -1, NULL), 0);
		assert_int_equal(kc_chan_close(c.pair.tx), 0);
		expect_end(&c, &w, actor, KC_EPIPE);
		assert_int_equal(w.n, 100);
		assert_int_equal(w.sum, 5050);
	}
}

static void a_result_of_process_ends_it(void **state)
{
	struct worker w = WORKER_INIT;
	struct kct_case c;
	kc_actor_t *actor;

	w.fail_at = 3;
	case_start(&c, KCT_FIXED, KC_BUFFERED, 10);
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(case_send(&c, i, 0, NULL), 0);
	actor = start(&c, &w, NULL);
	kct_event_wait(&w.done);
	assert_int_equal(kc_chan_len(c.pair.rx), 2);
	expect_end(&c, &w, actor, 77);
	assert_int_equal(w.n, 3);
}

static void cancel_ends_a_waiting_actor(void **state)
{
	static const enum kc_kind kinds[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_CONFLATED,
					      KC_UNLIMITED };

	for (size_t k = 0; k < 4; k++) {
		struct worker w = WORKER_INIT;
		struct kct_case c;
		kc_actor_t *actor;

		case_start(&c, KCT_FIXED, kinds[k], 1);
		actor = start(&c, &w, NULL);
		assert_true(kct_placement.wait_blocked(&c.pair, 0, 1));
		assert_int_equal(case_send(&c, 6, 0, NULL), 0);
		assert_true(kct_placement.wait_blocked(&c.pair, 0, 1));
		kc_actor_cancel(actor);
		kc_actor_cancel(actor);
		expect_end(&c, &w, actor, KC_ECANCELED);
		assert_int_equal(w.sum, 6);
	}
}

static void a_token_ends_every_actor_below_it(void **state)
{
	struct worker w[2] = { WORKER_INIT, WORKER_INIT };
	struct kct_case c[2];
	kc_actor_t *actors[2];
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	for (int i = 0; i < 2; i++) {
		case_start(&c[i], KCT_FIXED, KC_BUFFERED, 1);
		actors[i] = start(&c[i], &w[i], token);
		assert_true(kct_placement.wait_blocked(&c[i].pair, 0, 1));
	}
	kc_cancel_trigger(token);
	for (int i = 0; i < 2; i++)
		expect_end(&c[i], &w[i], actors[i], KC_ECANCELED);
	kc_cancel_destroy(token);
}

static void cancelling_an_actor_leaves_the_token_above_it(void **state)
{
	struct worker w = WORKER_INIT;
	struct kct_case c;
	kc_actor_t *actor;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	case_start(&c, KCT_FIXED, KC_BUFFERED, 1);
	actor = start(&c, &w, token);
	kc_actor_cancel(actor);
	expect_end(&c, &w, actor, KC_ECANCELED);
	assert_int_equal(kc_cancel_is_set(token), 0);
	kc_cancel_destroy(token);
}

static void stop_ends_a_waiting_actor(void **state)
{
	struct worker w = WORKER_INIT;
	struct kct_case c;
	kc_actor_t *actor;

	case_start(&c, KCT_MSG, KC_RENDEZVOUS, 0);
	actor = start(&c, &w, NULL);
	assert_true(kct_placement.wait_blocked(&c.pair, 0, 1));
	assert_int_equal(kc_actor_stop(actor), KC_ECANCELED);
	assert_int_equal(w.done_calls, 1);
	assert_int_equal(w.done_result, KC_ECANCELED);
	/* the channel is not the actor's: it works on */
	assert_int_equal(case_send(&c, 1, 0, NULL), KC_EAGAIN);
	case_end(&c);
}

static const struct CMUnitTest tests[] = {
	KCT_TEST(an_actor_ends_when_its_channel_is_drained),
	KCT_TEST(a_result_of_process_ends_it),
	KCT_TEST(cancel_ends_a_waiting_actor),
	KCT_TEST(a_token_ends_every_actor_below_it),
	KCT_TEST(cancelling_an_actor_leaves_the_token_above_it),
	KCT_TEST(stop_ends_a_waiting_actor),
};

KCT_PROGRAM(tests)
