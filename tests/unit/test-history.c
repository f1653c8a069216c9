/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/lib/history: it finds no fault in good histories, and all in bad ones. */
#include <stdio.h>

#include "kcoro.h"
#include "tests/lib/history.h"
#include "tests/lib/kct.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* Each row by a caller of its own; a row without a beginning ends the list. */
struct row {
	uint64_t began, ended;
	enum kct_verb verb;
	bool once;
	uint32_t value;
	long result;
};

struct story {
	const char *title;
	enum kc_kind kind;
	size_t capacity;
	enum kc_overflow overflow;
	bool good;
	unsigned least; /* calls that a bad one shrinks to */
	struct row rows[8];
};

#define S   KCT_SEND
#define R   KCT_RECV
#define BUF KC_BUFFERED
#define REN KC_RENDEZVOUS
#define CON KC_CONFLATED

/* a row for each call */
/* clang-format off */
static const struct story stories[] = {
	{ "nothing", BUF, 1, 0, true, 0, { { 0 } } },
	{ "never sent", BUF, 3, 0, false, 1, {
		{ 1, 2, R, 0, 7, 0 },
	} },
	{ "twice", BUF, 3, 0, false, 3, {
		{ 1, 2, S, 0, 7, 0 },
		{ 3, 4, R, 0, 7, 0 },
		{ 5, 6, R, 0, 7, 0 },
	} },
	{ "received before it was sent", BUF, 3, 0, false, 1, {
		{ 1, 2, R, 0, 7, 0 },
		{ 3, 4, S, 0, 7, 0 },
	} },
	{ "received while it was sent", BUF, 3, 0, true, 0, {
		{ 1, 3, R, 0, 7, 0 },
		{ 2, 4, S, 0, 7, 0 },
	} },
	{ "out of order", BUF, 3, 0, false, 3, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 2, 0 },
		{ 7, 8, R, 0, 1, 0 },
	} },
	{ "in either order", BUF, 3, 0, true, 0, {
		{ 1, 4, S, 0, 1, 0 },
		{ 2, 3, S, 0, 2, 0 },
		{ 5, 6, R, 0, 2, 0 },
		{ 7, 8, R, 0, 1, 0 },
	} },
	{ "in one order to one and in the other to another", BUF, 3, 0, false, 4, {
		{ 1, 8, S, 0, 1, 0 },
		{ 2, 9, S, 0, 2, 0 },
		{ 10, 11, R, 0, 1, 0 },
		{ 12, 13, R, 0, 2, 0 },
		{ 14, 15, R, 0, 1, 0 },
	} },
	{ "lost", BUF, 3, 0, false, 2, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, R, 1, 0, KC_EAGAIN },
	} },
	{ "taken by one who is slow to say so", BUF, 3, 0, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 6, R, 0, 1, 0 },
		{ 4, 5, R, 1, 0, KC_EAGAIN },
	} },
	{ "more than fit", BUF, 1, 0, false, 2, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 1, 0 },
		{ 7, 8, R, 0, 2, 0 },
	} },
	{ "full while there was room", BUF, 2, 0, false, 2, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 1, 2, KC_EAGAIN },
	} },
	{ "full", BUF, 1, 0, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 1, 2, KC_EAGAIN },
	} },
	{ "would block, from a call that waits", BUF, 1, 0, false, 1, {
		{ 1, 2, R, 0, 0, KC_EAGAIN },
	} },
	{ "gave up", BUF, 1, 0, true, 0, {
		{ 1, 2, R, 0, 0, KC_ETIME },
		{ 3, 4, R, 0, 0, KC_ECANCELED },
	} },
	{ "a wrong length", BUF, 3, 0, false, 2, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, KCT_LEN, 0, 0, 2 },
	} },
	{ "a length on the way", BUF, 3, 0, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 6, S, 0, 2, 0 },
		{ 4, 5, KCT_LEN, 0, 0, 2 },
	} },
	{ "purged and received", BUF, 3, 0, false, 3, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, KCT_PURGE, 0, 0, 1 },
		{ 5, 6, R, 0, 1, 0 },
	} },
	{ "closed too early", BUF, 3, 0, false, 1, {
		{ 1, 2, S, 0, 1, KC_EPIPE },
		{ 3, 4, KCT_CLOSE, 0, 0, 0 },
	} },
	{ "sent after close", BUF, 3, 0, false, 2, {
		{ 1, 2, KCT_CLOSE, 0, 0, 0 },
		{ 3, 4, S, 0, 1, 0 },
	} },
	{ "not drained", BUF, 3, 0, false, 3, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, KCT_CLOSE, 0, 0, 0 },
		{ 5, 6, R, 0, 0, KC_EPIPE },
	} },
	{ "drained", BUF, 3, 0, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, KCT_CLOSE, 0, 0, 0 },
		{ 5, 6, R, 0, 1, 0 },
		{ 7, 8, R, 1, 0, KC_EPIPE },
		{ 9, 10, S, 1, 2, KC_EPIPE },
	} },
	{ "empty where it is closed", BUF, 3, 0, false, 2, {
		{ 1, 2, KCT_CLOSE, 0, 0, 0 },
		{ 3, 4, R, 1, 0, KC_EAGAIN },
	} },
	{ "the old value", CON, 0, 0, false, 3, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 1, 0 },
	} },
	{ "the newest value", CON, 0, 0, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 2, 0 },
		{ 7, 8, R, 1, 0, KC_EAGAIN },
	} },
	{ "both values", CON, 0, 0, false, 4, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 2, 0 },
		{ 7, 8, R, 0, 1, 0 },
	} },
	{ "conflated, and waited", CON, 0, 0, false, 1, {
		{ 1, 2, S, 0, 1, KC_ETIME },
	} },
	{ "the oldest was dropped", BUF, 2, KC_OVERFLOW_DROP_OLDEST, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, S, 0, 3, 0 },
		{ 7, 8, R, 0, 2, 0 },
		{ 9, 10, R, 0, 3, 0 },
	} },
	{ "the oldest was not dropped", BUF, 2, KC_OVERFLOW_DROP_OLDEST, false, 4, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, S, 0, 3, 0 },
		{ 7, 8, R, 0, 1, 0 },
	} },
	{ "the newest was dropped", BUF, 1, KC_OVERFLOW_DROP_NEWEST, true, 0, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 1, 0 },
		{ 7, 8, R, 1, 0, KC_EAGAIN },
	} },
	{ "the newest was not dropped", BUF, 1, KC_OVERFLOW_DROP_NEWEST, false, 3, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, S, 0, 2, 0 },
		{ 5, 6, R, 0, 2, 0 },
	} },
	{ "left before the other one came", REN, 0, 0, false, 1, {
		{ 1, 2, S, 0, 1, 0 },
		{ 3, 4, R, 0, 1, 0 },
	} },
	{ "met", REN, 0, 0, true, 0, {
		{ 1, 3, S, 0, 1, 0 },
		{ 2, 5, R, 1, 1, 0 },
		{ 4, 6, KCT_LEN, 0, 0, 0 },
	} },
	{ "met, and both only tried", REN, 0, 0, false, 2, {
		{ 1, 3, S, 1, 1, 0 },
		{ 2, 4, R, 1, 1, 0 },
	} },
	{ "one send, two receives", REN, 0, 0, false, 3, {
		{ 1, 6, S, 0, 1, 0 },
		{ 2, 4, R, 0, 1, 0 },
		{ 3, 5, R, 0, 1, 0 },
	} },
	{ "two who cannot both have met", REN, 0, 0, false, 4, {
		{ 1, 9, S, 0, 1, 0 },
		{ 2, 3, KCT_CLOSE, 0, 0, 0 },
		{ 4, 10, R, 0, 1, 0 },
	} },
};
/* clang-format on */

static void tell(struct kct_history *h, const struct story *story)
{
	kct_history_init(h, story->kind, story->capacity, story->overflow);
	for (unsigned i = 0; i < ARRAY(story->rows) && story->rows[i].began; i++) {
		const struct row *row = &story->rows[i];

		h->deeds[i] = (struct kct_deed){ row->verb,  row->once,	 i,	    row->result,
						 row->value, row->began, row->ended };
		atomic_store(&h->n, i + 1);
	}
}

static void stories_are_told_apart(void **state)
{
	static struct kct_history h;

	for (size_t i = 0; i < ARRAY(stories); i++) {
		tell(&h, &stories[i]);
		if (kct_history_check(&h) !=
		    (stories[i].good ? KCT_LINEARIZABLE : KCT_NOT_LINEARIZABLE))
			fail_msg("%s", stories[i].title);
		kct_history_shrink(&h);
		assert_int_equal(kct_history_check(&h),
				 stories[i].good ? KCT_LINEARIZABLE : KCT_NOT_LINEARIZABLE);
		if (!stories[i].good && atomic_load(&h.n) > stories[i].least) {
			kct_history_print(&h);
			fail_msg("%s: %u calls", stories[i].title, atomic_load(&h.n));
		}
	}
}

/* A channel that keeps its promises, whose callers are slow: each call takes place at a
 * time of its own and begins before and ends after it. */
static void make_up(struct kct_history *h, uint64_t *random, unsigned n)
{
	uint32_t queue[2];
	unsigned len = 0;

	kct_history_init(h, KC_BUFFERED, 2, KC_OVERFLOW_BLOCK);
	for (unsigned i = 0; i < n; i++) {
		uint64_t moment = 1000 + 100 * (uint64_t)i;
		struct kct_deed d = { .verb = kct_random(random) % 2 ? S : R, .who = i };

		/* no two ends at the same time: the last digits are the call's own */
		d.began = (moment - kct_random(random) % 300) * KCT_HISTORY_MAX + i;
		d.ended = (moment + 1 + kct_random(random) % 300) * KCT_HISTORY_MAX + i;
		if (d.verb == S) {
			d.value = i + 1;
			d.once = len == 2;
			d.result = len == 2 ? KC_EAGAIN : 0;
			if (len < 2)
				queue[len++] = d.value;
		} else {
			d.once = len == 0;
			d.result = len == 0 ? KC_EAGAIN : 0;
			d.value = len ? queue[0] : 0;
			queue[0] = queue[1];
			len -= len > 0;
		}
		h->deeds[i] = d;
	}
	atomic_store(&h->n, n);
}

static void what_keeps_its_promises_is_explained(void **state)
{
	static struct kct_history h;
	uint64_t random = kct_seed();

	for (int round = 0; round < 50; round++) {
		make_up(&h, &random, 200);
		assert_int_equal(kct_history_check(&h), KCT_LINEARIZABLE);
	}
}

static void one_fault_in_a_long_history_is_found_and_told_briefly(void **state)
{
	static struct kct_history h;
	uint64_t random = kct_seed();

	for (int round = 0; round < 10; round++) {
		unsigned at = 50 + (unsigned)(kct_random(&random) % 100);

		make_up(&h, &random, 200);
		/* a value from nowhere, in the midst of the others */
		h.deeds[at].verb = R;
		h.deeds[at].result = 0;
		h.deeds[at].value = 100000;
		assert_int_equal(kct_history_check(&h), KCT_NOT_LINEARIZABLE);
		kct_history_shrink(&h);
		assert_int_equal(kct_history_check(&h), KCT_NOT_LINEARIZABLE);
		/* nothing after the fault is of interest */
		assert_true(atomic_load(&h.n) < at + 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(stories_are_told_apart),
		KCT_TEST(what_keeps_its_promises_is_explained),
		KCT_TEST(one_fault_in_a_long_history_is_found_and_told_briefly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
