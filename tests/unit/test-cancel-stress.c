/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tokens under load: trees grow and shrink while they are triggered, hooks come
 * and go meanwhile. Each hook is called at most once, never after it was removed,
 * and always if it was there.
 */
#include "kcoro.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

#define WORKERS 4
#define ROUNDS	60
#define STEPS	60

struct hooked {
	struct kci_cancel_hook hook;
	_Atomic int calls;
};

struct worker {
	kc_cancel_t *root;
	uint64_t random;
	bool triggers;
};

static void on_set(struct kci_cancel_hook *hook)
{
	atomic_fetch_add(&KC_CONTAINER_OF(hook, struct hooked, hook)->calls, 1);
}

/* A chain of a random length below the root, with a hook at its end; then it goes in a
 * random order. 0, or the number of a line. */
static long chain(struct worker *w)
{
	kc_cancel_t *tokens[9];
	struct hooked h = { 0 };
	size_t n = 1 + kct_random(&w->random) % 8;
	bool added;
	int calls;

	tokens[0] = kc_cancel_ref(w->root);
	for (size_t i = 1; i <= n; i++)
		if (kc_cancel_init_child(&tokens[i], tokens[i - 1]) < 0)
			return __LINE__;
	added = kci_cancel_hook_add(tokens[n], &h.hook, on_set);
	if (!added && !kc_cancel_is_set(tokens[n]))
		return __LINE__;
	if (kct_random(&w->random) % 4 == 0) {
		size_t at = 1 + kct_random(&w->random) % n;

		kc_cancel_trigger(tokens[at]);
		/* when it returns, all below is set and told */
		for (size_t i = at; i <= n; i++)
			if (!kc_cancel_is_set(tokens[i]))
				return __LINE__;
		if (added && h.calls != 1)
			return __LINE__;
	}
	kci_cancel_hook_remove(tokens[n], &h.hook);
	calls = h.calls;
	if (calls > added)
		return __LINE__;
	if (added && calls == 1 && !kc_cancel_is_set(tokens[n]))
		return __LINE__;
	for (size_t left = n + 1; left > 0; left--) {
		size_t at = kct_random(&w->random) % left;

		kc_cancel_destroy(tokens[at]);
		tokens[at] = tokens[left - 1];
	}
	return 0;
}

static long work(void *arg)
{
	struct worker *w = arg;
	uint64_t at = kct_random(&w->random) % STEPS;

	for (uint64_t i = 0; i < STEPS; i++) {
		long r = chain(w);

		if (r)
			return r;
		if (w->triggers && i == at) {
			kc_cancel_trigger(w->root);
			if (!kc_cancel_is_set(w->root))
				return __LINE__;
		}
	}
	return 0;
}

static void trees_grow_and_shrink_while_they_are_triggered(void **state)
{
	uint64_t seed = kct_seed();

	for (int round = 0; round < ROUNDS; round++) {
		struct kct_call calls[WORKERS];
		struct worker workers[WORKERS];
		kc_cancel_t *root;

		assert_int_equal(kc_cancel_init(&root), 0);
		for (int i = 0; i < WORKERS; i++) {
			workers[i] = (struct worker){
				.root = root,
				.random = kct_random(&seed),
				.triggers = i < 2,
			};
			kct_call_start(&calls[i], work, &workers[i]);
		}
		for (int i = 0; i < WORKERS; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		assert_int_equal(kc_cancel_is_set(root), 1);
		kc_cancel_destroy(root);
	}
}

static long wait_main(void *arg)
{
	return kc_cancel_wait(arg, -1);
}

static void no_wait_misses_its_trigger(void **state)
{
	for (int round = 0; round < 200; round++) {
		struct kct_call calls[3];
		kc_cancel_t *root, *child;

		assert_int_equal(kc_cancel_init(&root), 0);
		assert_int_equal(kc_cancel_init_child(&child, root), 0);
		kct_call_start(&calls[0], wait_main, root);
		kct_call_start(&calls[1], wait_main, child);
		kct_call_start(&calls[2], wait_main, child);
		kc_cancel_trigger(root);
		for (int i = 0; i < 3; i++)
			assert_int_equal(kct_call_join(&calls[i]), 0);
		kc_cancel_destroy(child);
		kc_cancel_destroy(root);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(trees_grow_and_shrink_while_they_are_triggered),
		KCT_TEST(no_wait_misses_its_trigger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
