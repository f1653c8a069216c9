/* SPDX-License-Identifier: BSD-3-Clause */
/* Scopes with deadlines, producers and actors. */
#include <errno.h>
#include <string.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"
#include "tests/unit/scope-child.h"

/* ---- deadlines ------------------------------------------------------------- */

struct timed {
	long deadline_ms;
	bool fails, done;
	int state;
	long reason, result;
	uint64_t took_ms;
};

static long sleep_long(kc_job_t *self, void *arg)
{
	struct timed *t = arg;

	if (t->done)
		return 0;
	if (t->fails) {
		(void)kc_sleep_ms(20);
		return -EIO;
	}
	return kc_sleep_ms_c(24L * 3600 * 1000, kc_job_token(self));
}

static long timed_main(void *arg)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	struct timed *t = arg;
	uint64_t begin = kc_sched_now();
	kc_scope_t *s;
	int r;

	o.deadline_ms = t->deadline_ms;
	r = kc_scope_init_ex(&s, &o);
	for (int i = 0; i < 5 && r == 0; i++)
		r = kc_scope_launch(s, sleep_long, t, NULL);
	if (r == 0)
		r = kc_scope_wait_all(s, -1);
	t->took_ms = (kc_sched_now() - begin) / KC_NS_PER_MS;
	t->state = kc_scope_state(s);
	t->reason = kc_scope_reason(s);
	t->result = kc_scope_result(s);
	return r < 0 ? r : kc_scope_destroy(s);
}

static long tell_time(void *arg)
{
	(void)arg;
	return (long)kc_sched_now();
}

static void run_timed(struct timed *t, uint64_t *ret_end_ms)
{
	kc_sched_t *sched = sched_make();
	kc_coro_t *co;
	long r;

	assert_int_equal(kc_spawn(&co, sched, timed_main, t), 0);
	assert_int_equal(kc_sched_run(sched), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	assert_int_equal(r, 0);
	/* how long anything was left that had to be run */
	assert_int_equal(kc_spawn(&co, sched, tell_time, NULL), 0);
	assert_int_equal(kc_sched_run(sched), 0);
	assert_int_equal(kc_join(co, &r, 0), 0);
	*ret_end_ms = (uint64_t)r / KC_NS_PER_MS - 1000;
	assert_int_equal(kc_sched_destroy(sched), 0);
}

static void a_deadline_cancels_at_its_time(void **state)
{
	struct timed t = { .deadline_ms = 3600 * 1000 };
	uint64_t end_ms;

	run_timed(&t, &end_ms);
	assert_int_equal(t.took_ms, 3600 * 1000);
	assert_int_equal(t.state, KC_STATE_CANCELLED);
	assert_int_equal(t.reason, KC_ETIME);
	assert_int_equal(t.result, 0);
}

static void a_deadline_keeps_nobody(void **state)
{
	struct timed done = { .deadline_ms = 3600 * 1000, .done = true };
	struct timed fails = { .deadline_ms = 3600 * 1000, .fails = true };
	uint64_t end_ms;

	run_timed(&done, &end_ms);
	assert_int_equal(done.took_ms, 0);
	assert_int_equal(done.state, KC_STATE_COMPLETED);
	assert_int_equal(end_ms, 0);
	run_timed(&fails, &end_ms);
	assert_int_equal(fails.took_ms, 20);
	assert_int_equal(fails.state, KC_STATE_FAILED);
	assert_int_equal(fails.reason, -EIO);
	assert_int_equal(end_ms, 20);
}

static void a_deadline_in_real_time(void **state)
{
	struct kc_scope_options o = KC_SCOPE_OPTIONS_INIT;
	struct child c;
	kc_scope_t *s;
	kc_job_t *job = NULL;
	int r;

	child_init(&c, 0);
	o.deadline_ms = KCT_SHORT_MS;
	assert_int_equal(kc_scope_init_ex(&s, &o), 0);
	r = kc_scope_launch(s, child, &c, &job);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	scope_expect(s, KC_STATE_CANCELLED, 0, KC_ETIME);
	/* on a busy machine the deadline may be first */
	assert_true(r == 0 || r == KC_ECANCELED);
	if (r == 0)
		job_expect(job, KC_STATE_CANCELLED, KC_ECANCELED, KC_ETIME);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_chan_destroy(c.gate);
}

/* ---- producers -------------------------------------------------------------- */

static long count_up(kc_job_t *self, kc_chan_t *ch, void *arg)
{
	long n = *(const long *)arg;

	for (long i = 1; i <= n; i++) {
		int r = kc_chan_send_c(ch, &i, -1, kc_job_token(self));

		if (r < 0)
			return r;
	}
	return n < 100 ? 0 : -EIO;
}

static void a_producers_channel_is_closed_after_it(void **state)
{
	static long counts[] = { 0, 10, 100 };

	for (size_t i = 0; i < 3; i++) {
		kc_scope_t *s;
		kc_chan_t *ch;
		long sum = 0, v;
		int r;

		assert_int_equal(kc_scope_init(&s, NULL), 0);
		assert_int_equal(kc_scope_produce(s, KC_BUFFERED, sizeof(long), 4, count_up,
						  &counts[i], &ch),
				 0);
		while ((r = kc_chan_recv(ch, &v, -1)) == 0)
			sum += v;
		assert_int_equal(r, KC_EPIPE);
		assert_int_equal(sum, counts[i] * (counts[i] + 1) / 2);
		/* also before its job has ended */
		kc_chan_destroy(ch);
		assert_int_equal(kc_scope_wait_all(s, -1), 0);
		assert_int_equal(kc_scope_result(s), counts[i] < 100 ? 0 : -EIO);
		assert_int_equal(kc_scope_destroy(s), 0);
	}
}

static void a_producer_that_waits_is_cancelled(void **state)
{
	static long count = 99;
	kc_scope_t *s;
	kc_chan_t *ch;
	long v;

	assert_int_equal(kc_scope_init(&s, NULL), 0);
	assert_int_equal(kc_scope_produce(s, KC_RENDEZVOUS, sizeof(long), 0, count_up, &count, &ch),
			 0);
	assert_int_equal(kc_chan_recv(ch, &v, -1), 0);
	kc_scope_cancel(s, 0);
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	assert_int_equal(kc_chan_recv(ch, &v, -1), KC_EPIPE);
	scope_expect(s, KC_STATE_CANCELLED, 0, KC_ECANCELED);
	assert_int_equal(kc_scope_destroy(s), 0);
	kc_chan_destroy(ch);
}

/* ---- actors ------------------------------------------------------------------ */

static int take(const void *msg, size_t len, void *user)
{
	(void)msg;
	(void)len;
	(void)user;
	return 0;
}

static int fail_at_5(const void *msg, size_t len, void *user)
{
	long v;

	(void)user;
	memcpy(&v, msg, len);
	return v == 5 ? -EIO : 0;
}

/* How a scope ends by an actor that receives from 1 to last, and one that just waits. */
static void by_actor(kc_sched_t *sched, long last, bool keep, int want, long result)
{
	struct kc_actor_ctx ctx = {
		.msg_size = sizeof(long), .timeout_ms = -1, .process = fail_at_5, .sched = sched
	};
	kc_actor_t *actor = NULL, *idle;
	kc_chan_t *other;
	kc_scope_t *s;

	assert_int_equal(kc_scope_init(&s, NULL), 0);
	assert_int_equal(kc_chan_make(&ctx.chan, KC_BUFFERED, sizeof(long), 10), 0);
	for (long v = 1; v <= last; v++)
		assert_int_equal(kc_chan_send(ctx.chan, &v, 0), 0);
	assert_int_equal(kc_chan_close(ctx.chan), 0);
	assert_int_equal(kc_chan_make(&other, KC_BUFFERED, sizeof(long), 10), 0);
	assert_int_equal(kc_scope_actor(s, &ctx, keep ? &actor : NULL), 0);
	if (keep)
		assert_ptr_equal(kc_actor_mailbox(actor), ctx.chan);
	if (want == KC_STATE_FAILED) {
		struct kc_actor_ctx idle_ctx = ctx;

		/* the failure may have been faster */
		idle_ctx.chan = other;
		if (kc_scope_actor(s, &idle_ctx, &idle) == 0) {
			assert_int_equal(kc_scope_wait_all(s, -1), 0);
			assert_int_equal(kc_actor_stop(idle), KC_ECANCELED);
		}
	}
	assert_int_equal(kc_scope_wait_all(s, -1), 0);
	scope_expect(s, want, result, result);
	assert_int_equal(kc_scope_destroy(s), 0);
	if (keep)
		assert_int_equal(kc_actor_stop(actor), result ? (int)result : KC_EPIPE);
	kc_chan_destroy(ctx.chan);
	kc_chan_destroy(other);
}

static void actors_are_children(void **state)
{
	kc_sched_t *sched;

	assert_int_equal(kc_sched_default(&sched), 0);
	for (int i = 0; i < 4; i++) {
		by_actor(i & 1 ? sched : NULL, 4, i & 2, KC_STATE_COMPLETED, 0);
		by_actor(i & 1 ? sched : NULL, 7, i & 2, KC_STATE_FAILED, -EIO);
	}
}

static void a_scope_cancels_its_actors(void **state)
{
	kc_sched_t *sched;

	assert_int_equal(kc_sched_default(&sched), 0);
	for (int i = 0; i < 2; i++) {
		struct kc_chan_options box = KC_CHAN_OPTIONS_INIT;
		struct kc_actor_ctx ctx = { .timeout_ms = -1, .process = take, .mailbox = &box };
		kc_actor_t *actor, *stopped;
		kc_scope_t *s;

		box.elem_size = 8;
		box.capacity = 1;
		ctx.sched = i ? sched : NULL;
		assert_int_equal(kc_scope_init(&s, NULL), 0);
		assert_int_equal(kc_scope_actor(s, &ctx, &actor), 0);
		assert_int_equal(kc_scope_actor(s, &ctx, &stopped), 0);
		/* one that is stopped is no failure */
		assert_int_equal(kc_actor_stop(stopped), KC_ECANCELED);
		assert_int_equal(kc_scope_wait_all(s, KCT_SHORT_MS), KC_ETIME);
		kc_scope_cancel(s, 0);
		assert_int_equal(kc_scope_wait_all(s, -1), 0);
		scope_expect(s, KC_STATE_CANCELLED, 0, KC_ECANCELED);
		assert_int_equal(kc_scope_actor(s, &ctx, &stopped), KC_ECANCELED);
		assert_int_equal(kc_scope_destroy(s), 0);
		assert_int_equal(kc_actor_stop(actor), KC_ECANCELED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_deadline_cancels_at_its_time),
		KCT_TEST(a_deadline_keeps_nobody),
		KCT_TEST(a_deadline_in_real_time),
		KCT_TEST(a_producers_channel_is_closed_after_it),
		KCT_TEST(a_producer_that_waits_is_cancelled),
		KCT_TEST(actors_are_children),
		KCT_TEST(a_scope_cancels_its_actors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
