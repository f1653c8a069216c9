/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each end of a local channel may do, from coroutines: every form of send and receive
 * on a channel that is closed, being closed, of the wrong family or not there at all.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "kcoro.h"
#include "tests/lib/kct.h"
#include "tests/lib/local.h"

/* The forms of one operation. The first WAITING of them wait as long as it takes. */
enum form { PLAIN, TOKEN, LONG, BATCH, TIMED, ONCE, TRY, FORMS };
#define WAITING (BATCH + 1)

static const struct {
	enum kc_kind kind;
	size_t capacity;
	int holds; /* of the elements queued by fill() */
} kinds[] = {
	{ KC_RENDEZVOUS, 0, 0 },
	{ KC_BUFFERED, 3, 3 },
	{ KC_CONFLATED, 0, 1 },
	{ KC_UNLIMITED, 0, 3 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const unsigned workers[] = { 1, 2, 4 };
#define RUNS (sizeof(workers) / sizeof(workers[0]))

static kc_chan_t *channel(size_t kind)
{
	kc_chan_t *ch;

	assert_int_equal(kc_chan_make(&ch, kinds[kind].kind, sizeof(int), kinds[kind].capacity), 0);
	return ch;
}

/* One element more or less; batches of one give 0 as the others do. */
static long send_form(kc_chan_t *ch, enum form form, int v, kc_cancel_t *token)
{
	long n;

	switch (form) {
	case PLAIN:
		return kc_chan_send(ch, &v, -1);
	case TOKEN:
		return kc_chan_send_c(ch, &v, -1, token);
	case LONG:
		return kc_chan_send(ch, &v, KCT_PATIENCE_MS);
	case BATCH:
		n = kc_chan_send_many(ch, &v, 1, -1, token);
		return n == 1 ? 0 : n;
	case TIMED:
		return kc_chan_send(ch, &v, KCT_SHORT_MS);
	case ONCE:
		return kc_chan_send_c(ch, &v, 0, token);
	default:
		return kc_chan_try_send(ch, &v);
	}
}

static long recv_form(kc_chan_t *ch, enum form form, int *v, kc_cancel_t *token)
{
	long n;

	switch (form) {
	case PLAIN:
		return kc_chan_recv(ch, v, -1);
	case TOKEN:
		return kc_chan_recv_c(ch, v, -1, token);
	case LONG:
		return kc_chan_recv(ch, v, KCT_PATIENCE_MS);
	case BATCH:
		n = kc_chan_recv_many(ch, v, 1, -1, token);
		return n == 1 ? 0 : n;
	case TIMED:
		return kc_chan_recv(ch, v, KCT_SHORT_MS);
	case ONCE:
		return kc_chan_recv_c(ch, v, 0, token);
	default:
		return kc_chan_try_recv(ch, v);
	}
}

/* A coroutine that does one thing in one form. */
struct actor {
	kc_chan_t *ch;
	enum form form;
	kc_cancel_t *token;
	int v;
	kc_coro_t *co;
};

static long actor_send(void *arg)
{
	struct actor *a = arg;

	return send_form(a->ch, a->form, a->v, a->token);
}

static long actor_recv(void *arg)
{
	struct actor *a = arg;

	return recv_form(a->ch, a->form, &a->v, a->token);
}

static void act(struct actor *a, kc_sched_t *s, kc_coro_fn fn, kc_chan_t *ch, enum form form)
{
	*a = (struct actor){ .ch = ch, .form = form, .v = -1 };
	assert_int_equal(kc_cancel_init(&a->token), 0);
	assert_int_equal(kc_spawn(&a->co, s, fn, a), 0);
}

static long outcome(struct actor *a)
{
	long r;

	assert_int_equal(kc_join(a->co, &r, KCT_PATIENCE_MS), 0);
	kc_cancel_destroy(a->token);
	return r;
}

static long at_once(kc_sched_t *s, kc_coro_fn fn, kc_chan_t *ch, enum form form)
{
	struct actor a;

	act(&a, s, fn, ch, form);
	return outcome(&a);
}

/* 0, 1, 2, as far as the kind keeps them. */
static void fill(kc_chan_t *ch, size_t kind)
{
	for (int v = 0; v < 3 && kinds[kind].holds > 0; v++)
		assert_int_equal(kc_chan_send(ch, &v, 0), 0);
	assert_int_equal(kc_chan_len(ch), kinds[kind].holds);
}

/* ---- closed ----------------------------------------------------------------- */

static void every_form_is_refused_once_closed(void **state)
{
	for (size_t w = 0; w < RUNS; w++) {
		kc_sched_t *s = kct_sched_make(workers[w]);

		for (size_t k = 0; k < KINDS; k++) {
			kc_chan_t *ch = channel(k);

			assert_int_equal(kc_chan_close(ch), 0);
			for (enum form f = 0; f < FORMS; f++) {
				assert_int_equal(at_once(s, actor_send, ch, f), KC_EPIPE);
				assert_int_equal(at_once(s, actor_recv, ch, f), KC_EPIPE);
			}
			assert_int_equal(kc_chan_close(ch), 0);
			assert_int_equal(kc_chan_len(ch), 0);
			kc_chan_destroy(ch);
		}
		kct_sched_unmake(s);
	}
}

static void every_form_drains_before_it_is_refused(void **state)
{
	kc_sched_t *s = kct_sched_make(2);

	for (size_t k = 0; k < KINDS; k++) {
		for (enum form f = 0; f < FORMS; f++) {
			kc_chan_t *ch = channel(k);

			fill(ch, k);
			assert_int_equal(kc_chan_close(ch), 0);
			assert_int_equal(kc_chan_close(ch), 0);
			for (int i = kinds[k].holds; i > 0; i--) {
				struct actor a;

				/* it adds nothing, and takes nothing away */
				assert_int_equal(at_once(s, actor_send, ch, f), KC_EPIPE);
				assert_int_equal(kc_chan_len(ch), i);
				act(&a, s, actor_recv, ch, f);
				assert_int_equal(outcome(&a), 0);
				assert_int_equal(a.v, 3 - i);
			}
			assert_int_equal(at_once(s, actor_recv, ch, f), KC_EPIPE);
			kc_chan_destroy(ch);
		}
	}
	kct_sched_unmake(s);
}

static void close_ends_every_form_that_waits(void **state)
{
	for (size_t w = 0; w < RUNS; w++) {
		kc_sched_t *s = kct_sched_make(workers[w]);

		for (size_t k = 0; k < KINDS; k++) {
			bool senders =
				kinds[k].kind == KC_RENDEZVOUS || kinds[k].kind == KC_BUFFERED;
			kc_chan_t *ch = channel(k);
			struct actor a[WAITING];
			int v;

			for (enum form f = 0; f < WAITING; f++)
				act(&a[f], s, actor_recv, ch, f);
			kct_chan_wait_for(ch, 0, WAITING);
			kc_chan_close(ch);
			for (enum form f = 0; f < WAITING; f++) {
				assert_int_equal(outcome(&a[f]), KC_EPIPE);
				assert_int_equal(a[f].v, -1);
			}
			kc_chan_destroy(ch);
			if (!senders)
				continue;

			ch = channel(k);
			fill(ch, k);
			for (enum form f = 0; f < WAITING; f++)
				act(&a[f], s, actor_send, ch, f);
			kct_chan_wait_for(ch, WAITING, 0);
			kc_chan_close(ch);
			for (enum form f = 0; f < WAITING; f++)
				assert_int_equal(outcome(&a[f]), KC_EPIPE);
			/* what was queued is there, and nothing of theirs */
			for (int i = 0; i < kinds[k].holds; i++) {
				assert_int_equal(kc_chan_recv(ch, &v, 0), 0);
				assert_int_equal(v, i);
			}
			assert_int_equal(kc_chan_recv(ch, &v, 0), KC_EPIPE);
			kc_chan_destroy(ch);
		}
		kct_sched_unmake(s);
	}
}

static void a_token_that_is_set_comes_before_close(void **state)
{
	kc_cancel_t *token;
	int v = 7;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	for (size_t k = 0; k < KINDS; k++) {
		kc_chan_t *ch = channel(k);

		fill(ch, k);
		for (int closed = 0; closed < 2; closed++) {
			const enum form with[] = { TOKEN, BATCH, ONCE };

			for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
				assert_int_equal(send_form(ch, with[i], v, token), KC_ECANCELED);
				assert_int_equal(recv_form(ch, with[i], &v, token), KC_ECANCELED);
			}
			assert_int_equal(v, 7);
			assert_int_equal(kc_chan_len(ch), kinds[k].holds);
			kc_chan_close(ch);
		}
		kc_chan_destroy(ch);
	}
	kc_cancel_destroy(token);
}

/* ---- one close, many who hear of it ------------------------------------------ */

#define AUDIENCE 500

static void one_close_is_heard_by_all(void **state)
{
	static struct actor a[AUDIENCE];

	for (size_t w = 0; w < RUNS; w++) {
		kc_sched_t *s = kct_sched_make(workers[w]);
		kc_chan_t *ch = channel(0);

		for (int i = 0; i < AUDIENCE; i++)
			act(&a[i], s, actor_recv, ch, (enum form)(i % WAITING));
		kct_chan_wait_for(ch, 0, AUDIENCE);
		assert_int_equal(kc_chan_close(ch), 0);
		for (int i = 0; i < AUDIENCE; i++)
			assert_int_equal(outcome(&a[i]), KC_EPIPE);
		kc_chan_destroy(ch);
		kct_sched_unmake(s);
	}
}

struct rush {
	kc_chan_t *ch;
	_Atomic long sent, received;
	_Atomic long bad;
};

static long rush_send(void *arg)
{
	struct rush *r = arg;
	long code;

	for (int i = 0; (code = kc_chan_send(r->ch, &i, -1)) == 0; i++)
		atomic_fetch_add(&r->sent, 1);
	return code;
}

static long rush_recv(void *arg)
{
	struct rush *r = arg;
	long code;
	int v;

	while ((code = kc_chan_recv(r->ch, &v, -1)) == 0)
		atomic_fetch_add(&r->received, 1);
	return code;
}

/* Closes after some traffic, which it takes part in. */
static long rush_close(void *arg)
{
	struct rush *r = arg;
	int v;

	for (int i = 0; i < 50; i++)
		if (kc_chan_recv(r->ch, &v, -1) == 0)
			atomic_fetch_add(&r->received, 1);
	return kc_chan_close(r->ch);
}

static void who_closes_in_the_rush_loses_nothing(void **state)
{
	/* a conflated one loses by design */
	const enum kc_kind in[] = { KC_RENDEZVOUS, KC_BUFFERED, KC_UNLIMITED };

	for (int round = 0; round < 45; round++) {
		kc_sched_t *s = kct_sched_make(workers[round % RUNS]);
		kc_coro_t *tx[4], *rx[4], *closers[3];
		struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
		struct rush r = { .ch = NULL };
		long code;

		o.kind = in[round / (int)RUNS % 3];
		o.elem_size = sizeof(int);
		o.capacity = o.kind == KC_BUFFERED ? 3 : 0;
		/* a bound that is met soon, or senders run far ahead */
		o.max_bytes = o.kind == KC_UNLIMITED ? 100 * sizeof(int) : 0;
		assert_int_equal(kc_chan_make_ex(&r.ch, &o), 0);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(kc_spawn(&tx[i], s, rush_send, &r), 0);
			assert_int_equal(kc_spawn(&rx[i], s, rush_recv, &r), 0);
		}
		for (int i = 0; i < 3; i++)
			assert_int_equal(kc_spawn(&closers[i], s, rush_close, &r), 0);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(kc_join(closers[i], &code, KCT_PATIENCE_MS), 0);
			assert_int_equal(code, 0);
		}
		for (int i = 0; i < 4; i++) {
			assert_int_equal(kc_join(tx[i], &code, KCT_PATIENCE_MS), 0);
			assert_int_equal(code, KC_EPIPE);
			assert_int_equal(kc_join(rx[i], &code, KCT_PATIENCE_MS), 0);
			assert_int_equal(code, KC_EPIPE);
		}
		/* drained to the last one that was accepted */
		assert_int_equal(atomic_load(&r.sent), atomic_load(&r.received));
		kc_chan_destroy(r.ch);
		kct_sched_unmake(s);
	}
}

/* ---- no channel, and the wrong one --------------------------------------------- */

static long misuse(void *arg)
{
	kc_chan_t **chans = arg; /* none, of messages, of descriptors */
	struct kc_zdesc desc;
	struct kc_msg msg;
	size_t len = 77;
	char buf[8];
	int v = 5;

	for (int i = 0; i < 3; i++) {
		for (enum form f = 0; f < FORMS; f++) {
			/* none of them may park: nobody would wake it */
			if (send_form(chans[i], f, 5, NULL) != KC_EINVAL)
				return __LINE__;
			if (recv_form(chans[i], f, &v, NULL) != KC_EINVAL || v != 5)
				return __LINE__;
		}
	}
	for (int i = 0; i < 4; i++) {
		if (i == 1)
			continue;
		/* the last is one of integers */
		if (kc_chan_send_msg(chans[i], "x", 1, -1) != KC_EINVAL)
			return __LINE__;
		if (kc_chan_recv_msg(chans[i], buf, sizeof(buf), &len, -1) != KC_EINVAL)
			return __LINE__;
		if (kc_chan_recv_msgs(chans[i], buf, sizeof(buf), &msg, 1, -1, NULL) != KC_EINVAL)
			return __LINE__;
	}
	for (int i = 0; i < 4; i++)
		if (i != 2 && kc_chan_recv_desc(chans[i], &desc, -1) != KC_EINVAL)
			return __LINE__;
	if (len != 77)
		return __LINE__;
	if (kc_chan_close(NULL) != KC_EINVAL || kc_chan_len(NULL) != KC_EINVAL ||
	    kc_chan_purge(NULL) != KC_EINVAL || kc_chan_capabilities(NULL) != 0)
		return __LINE__;
	kc_chan_destroy(NULL);
	return 0;
}

static void what_makes_no_sense_neither_waits_nor_changes_anything(void **state)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	kc_chan_t *chans[4] = { NULL };
	int v = 3;

	o.capacity = 2;
	assert_int_equal(kc_chan_make_ex(&chans[1], &o), 0);
	assert_int_equal(kc_chan_make_ptr(&chans[2], KC_BUFFERED, 2), 0);
	chans[3] = channel(1);
	assert_int_equal(kc_chan_send_msg(chans[1], "one", 3, 0), 0);
	assert_int_equal(kc_chan_send(chans[3], &v, 0), 0);
	for (size_t w = 0; w < RUNS; w++) {
		kc_sched_t *s = kct_sched_make(workers[w]);
		kc_coro_t *co;
		long r;

		assert_int_equal(kc_spawn(&co, s, misuse, chans), 0);
		assert_int_equal(kc_join(co, &r, KCT_PATIENCE_MS), 0);
		assert_int_equal(r, 0);
		kct_sched_unmake(s);
	}
	assert_int_equal(kc_chan_len(chans[1]), 1);
	assert_int_equal(kc_chan_len(chans[2]), 0);
	assert_int_equal(kc_chan_len(chans[3]), 1);
	for (int i = 0; i < 4; i++)
		kc_chan_destroy(chans[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(every_form_is_refused_once_closed),
		KCT_TEST(every_form_drains_before_it_is_refused),
		KCT_TEST(close_ends_every_form_that_waits),
		KCT_TEST(a_token_that_is_set_comes_before_close),
		KCT_TEST(one_close_is_heard_by_all),
		KCT_TEST(who_closes_in_the_rush_loses_nothing),
		KCT_TEST(what_makes_no_sense_neither_waits_nor_changes_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
