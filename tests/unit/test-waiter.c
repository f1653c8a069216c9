/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiters: exactly one wake-up, none lost, and what wins when several come. */
#include "kcoro.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/core/waiter.h"
#include "tests/lib/kct.h"

static void an_unpark_before_the_park_is_kept(void **state)
{
	struct kci_waiter w;

	kci_waiter_init(&w);
	kci_waiter_unpark(&w);
	assert_int_equal(kci_waiter_park(&w, KC_NEVER, NULL), 0);
}

static void a_park_ends_at_its_deadline(void **state)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_SHORT_MS);
	struct kci_waiter w;

	kci_waiter_init(&w);
	assert_int_equal(kci_waiter_park(&w, deadline, NULL), KC_ETIME);
	assert_true(kci_clock_now() >= deadline);
}

static void a_set_token_ends_a_park(void **state)
{
	struct kci_waiter w;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	kci_waiter_init(&w);
	assert_int_equal(kci_waiter_park(&w, KC_NEVER, token), KC_ECANCELED);
	kc_cancel_destroy(token);
}

static void an_unpark_wins_over_a_token_and_the_deadline(void **state)
{
	struct kci_waiter w;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	kci_waiter_init(&w);
	kci_waiter_unpark(&w);
	assert_int_equal(kci_waiter_park(&w, 1, token), 0);
	kc_cancel_destroy(token);
}

static void a_token_wins_over_the_deadline(void **state)
{
	struct kci_waiter w;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	kci_waiter_init(&w);
	assert_int_equal(kci_waiter_park(&w, 1, token), KC_ECANCELED);
	kc_cancel_destroy(token);
}

static void after_a_cancel_the_unpark_can_be_awaited(void **state)
{
	struct kci_waiter w;
	kc_cancel_t *token;

	assert_int_equal(kc_cancel_init(&token), 0);
	kc_cancel_trigger(token);
	kci_waiter_init(&w);
	assert_int_equal(kci_waiter_park(&w, KC_NEVER, token), KC_ECANCELED);
	kci_waiter_unpark(&w);
	kci_waiter_await(&w);
	kc_cancel_destroy(token);
}

struct swap {
	pthread_mutex_t lock;
	struct kci_waiter *waiting; /* to be unparked by whoever takes it */
	uint64_t rounds;
	kc_cancel_t *token;
};

/* Park with a deadline that often passes first; 0, or the number of a line. */
static long parker(void *arg)
{
	struct swap *s = arg;
	uint64_t random = s->rounds;
	uint64_t completed = 0;

	for (uint64_t i = 0; i < s->rounds; i++) {
		struct kci_waiter w;
		bool found;
		int r;

		kci_waiter_init(&w);
		pthread_mutex_lock(&s->lock);
		s->waiting = &w;
		pthread_mutex_unlock(&s->lock);
		r = kci_waiter_park(&w, kci_clock_now() + kct_random(&random) % 20000, s->token);
		if (r == 0) {
			completed++;
			continue;
		}
		if (r != KC_ETIME)
			return __LINE__;
		pthread_mutex_lock(&s->lock);
		found = s->waiting != &w;
		if (!found)
			s->waiting = NULL;
		pthread_mutex_unlock(&s->lock);
		if (found) {
			/* somebody has it: its unpark must come, exactly once */
			kci_waiter_await(&w);
			completed++;
		}
	}
	pthread_mutex_lock(&s->lock);
	s->rounds = 0;
	pthread_mutex_unlock(&s->lock);
	return (long)completed;
}

static void no_wake_up_is_lost_or_doubled(void **state)
{
	struct swap s = { .lock = PTHREAD_MUTEX_INITIALIZER, .rounds = 20000 };
	struct kct_call call;
	bool over = false;
	long unparked = 0;

	assert_int_equal(kc_cancel_init(&s.token), 0);
	kct_call_start(&call, parker, &s);
	while (!over) {
		struct kci_waiter *w;

		pthread_mutex_lock(&s.lock);
		w = KC_STEAL(s.waiting);
		over = s.rounds == 0;
		pthread_mutex_unlock(&s.lock);
		if (w) {
			kci_waiter_unpark(w);
			unparked++;
		}
	}
	assert_int_equal(kct_call_join(&call), unparked);
	kc_cancel_destroy(s.token);
}

struct node {
	int number;
	struct kci_list link;
};

static void lists_keep_their_order(void **state)
{
	struct node nodes[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
	struct kci_list list;

	kci_list_init(&list);
	assert_true(kci_list_empty(&list));
	assert_null(KCI_LIST_FIRST(&list, struct node, link));
	for (int i = 0; i < 3; i++)
		kci_list_append(&list, &nodes[i].link);
	kci_list_remove(&nodes[1].link);
	kci_list_remove(&nodes[1].link);
	assert_true(kci_list_empty(&nodes[1].link));
	assert_int_equal(KCI_LIST_FIRST(&list, struct node, link)->number, 0);
	kci_list_remove(&nodes[0].link);
	assert_int_equal(KCI_LIST_FIRST(&list, struct node, link)->number, 2);
	kci_list_remove(&nodes[2].link);
	assert_true(kci_list_empty(&list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(an_unpark_before_the_park_is_kept),
		KCT_TEST(a_park_ends_at_its_deadline),
		KCT_TEST(a_set_token_ends_a_park),
		KCT_TEST(an_unpark_wins_over_a_token_and_the_deadline),
		KCT_TEST(a_token_wins_over_the_deadline),
		KCT_TEST(after_a_cancel_the_unpark_can_be_awaited),
		KCT_TEST(no_wake_up_is_lost_or_doubled),
		KCT_TEST(lists_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
