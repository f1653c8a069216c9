/* SPDX-License-Identifier: BSD-3-Clause */
/* Cancellation tokens: the tree, its hooks, its depth, its races. */
#include "kcoro.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/waiter.h"
#include "tests/lib/kct.h"

#define DEPTH	100000
#define SEVERAL 100

static kc_cancel_t *make(kc_cancel_t *parent)
{
	kc_cancel_t *token = NULL;

	if (parent)
		assert_int_equal(kc_cancel_init_child(&token, parent), 0);
	else
		assert_int_equal(kc_cancel_init(&token), 0);
	return token;
}

static void a_token_is_set_once_and_for_all(void **state)
{
	kc_cancel_t *t = make(NULL);

	assert_int_equal(kc_cancel_is_set(t), 0);
	assert_int_equal(kci_cancel_check(t), 0);
	kc_cancel_trigger(t);
	assert_int_equal(kc_cancel_is_set(t), 1);
	assert_int_equal(kci_cancel_check(t), KC_ECANCELED);
	kc_cancel_trigger(t);
	assert_int_equal(kc_cancel_is_set(t), 1);
	kc_cancel_destroy(t);
}

static void no_token_is_never_set(void **state)
{
	assert_int_equal(kc_cancel_is_set(NULL), 0);
	assert_int_equal(kci_cancel_check(NULL), 0);
	assert_null(kc_cancel_ref(NULL));
	kc_cancel_trigger(NULL);
	kc_cancel_destroy(NULL);
	kc_cancel_ctx_destroy(NULL);
}

static void missing_arguments_are_refused(void **state)
{
	kc_cancel_t *t = make(NULL);
	kc_cancel_t *ret = NULL;

	assert_int_equal(kc_cancel_init(NULL), KC_EINVAL);
	assert_int_equal(kc_cancel_init_child(NULL, t), KC_EINVAL);
	assert_int_equal(kc_cancel_init_child(&ret, NULL), KC_EINVAL);
	assert_int_equal(kc_cancel_wait(NULL, 0), KC_EINVAL);
	assert_int_equal(kc_cancel_ctx_init(NULL, t), KC_EINVAL);
	assert_null(ret);
	kc_cancel_destroy(t);
}

static void it_sets_all_below_and_none_above(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *left = make(root), *right = make(root);
	kc_cancel_t *leaf[4] = { make(left), make(left), make(right), make(right) };

	kc_cancel_trigger(left);
	assert_int_equal(kc_cancel_is_set(root), 0);
	assert_int_equal(kc_cancel_is_set(right), 0);
	assert_int_equal(kc_cancel_is_set(leaf[0]), 1);
	assert_int_equal(kc_cancel_is_set(leaf[1]), 1);
	assert_int_equal(kc_cancel_is_set(leaf[2]), 0);
	kc_cancel_trigger(root);
	assert_int_equal(kc_cancel_is_set(right), 1);
	assert_int_equal(kc_cancel_is_set(leaf[2]), 1);
	assert_int_equal(kc_cancel_is_set(leaf[3]), 1);
	for (int i = 0; i < 4; i++)
		kc_cancel_destroy(leaf[i]);
	kc_cancel_destroy(right);
	kc_cancel_destroy(root);
	kc_cancel_destroy(left);
}

static void a_child_of_a_set_parent_is_born_set(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *child, *grandchild;

	kc_cancel_trigger(root);
	child = make(root);
	grandchild = make(child);
	assert_int_equal(kc_cancel_is_set(child), 1);
	assert_int_equal(kc_cancel_is_set(grandchild), 1);
	kc_cancel_destroy(root);
	kc_cancel_destroy(child);
	kc_cancel_destroy(grandchild);
}

static void a_child_keeps_its_parent(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *child = make(root);
	kc_cancel_t *again = kc_cancel_ref(child);

	kc_cancel_destroy(root);
	kc_cancel_destroy(child);
	assert_ptr_equal(again, child);
	kc_cancel_trigger(again);
	assert_int_equal(kc_cancel_is_set(again), 1);
	kc_cancel_destroy(again);
}

static void a_child_that_is_gone_is_no_more_set(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *children[SEVERAL];

	for (int i = 0; i < SEVERAL; i++)
		children[i] = make(root);
	for (int i = 0; i < SEVERAL; i += 2)
		kc_cancel_destroy(children[i]);
	kc_cancel_trigger(root);
	for (int i = 1; i < SEVERAL; i += 2) {
		assert_int_equal(kc_cancel_is_set(children[i]), 1);
		kc_cancel_destroy(children[i]);
	}
	kc_cancel_destroy(root);
}

static void a_deep_tree_needs_no_stack(void **state)
{
	static kc_cancel_t *chain[DEPTH];

	chain[0] = make(NULL);
	for (int i = 1; i < DEPTH; i++)
		chain[i] = make(chain[i - 1]);
	/* the middle first: the walk from the top meets what is set already */
	kc_cancel_trigger(chain[DEPTH / 2]);
	assert_int_equal(kc_cancel_is_set(chain[DEPTH / 2 - 1]), 0);
	assert_int_equal(kc_cancel_is_set(chain[DEPTH - 1]), 1);
	kc_cancel_trigger(chain[0]);
	for (int i = 0; i < DEPTH; i++)
		assert_int_equal(kc_cancel_is_set(chain[i]), 1);
	/* the last reference to the leaf gives all of them back, one after the other */
	for (int i = 0; i < DEPTH; i++)
		kc_cancel_destroy(chain[i]);
}

static void a_deep_tree_goes_with_its_leaf(void **state)
{
	kc_cancel_t *leaf = make(NULL);

	for (int i = 0; i < DEPTH; i++) {
		kc_cancel_t *child = make(leaf);

		kc_cancel_destroy(leaf);
		leaf = child;
	}
	kc_cancel_destroy(leaf);
}

static void a_wide_tree_is_set_whole(void **state)
{
	static kc_cancel_t *children[20000];
	kc_cancel_t *root = make(NULL);
	const int n = 20000;

	for (int i = 0; i < n; i++)
		children[i] = make(i < 100 ? root : children[i % 100]);
	kc_cancel_trigger(root);
	for (int i = 0; i < n; i++) {
		assert_int_equal(kc_cancel_is_set(children[i]), 1);
		kc_cancel_destroy(children[i]);
	}
	kc_cancel_destroy(root);
}

/* ---- waiting ------------------------------------------------------------- */

static long wait_main(void *arg)
{
	return kc_cancel_wait(arg, -1);
}

static void waiting_has_the_usual_timeouts(void **state)
{
	kc_cancel_t *t = make(NULL);
	uint64_t start = kci_clock_now();

	assert_int_equal(kc_cancel_wait(t, 0), KC_EAGAIN);
	assert_int_equal(kc_cancel_wait(t, KCT_SHORT_MS), KC_ETIME);
	assert_true(kci_clock_now() - start >= KCT_SHORT_MS * KC_NS_PER_MS);
	kc_cancel_trigger(t);
	assert_int_equal(kc_cancel_wait(t, 0), 0);
	assert_int_equal(kc_cancel_wait(t, 1), 0);
	assert_int_equal(kc_cancel_wait(t, -1), 0);
	kc_cancel_destroy(t);
}

static void a_trigger_above_wakes_every_wait(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *child = make(root);
	struct kct_call calls[4];

	for (int i = 0; i < 4; i++)
		kct_call_start(&calls[i], wait_main, i % 2 ? child : root);
	kc_cancel_trigger(root);
	for (int i = 0; i < 4; i++)
		assert_int_equal(kct_call_join(&calls[i]), 0);
	kc_cancel_destroy(child);
	kc_cancel_destroy(root);
}

/* ---- hooks --------------------------------------------------------------- */

struct counted {
	struct kci_cancel_hook hook;
	_Atomic int calls;
};

static void count_call(struct kci_cancel_hook *hook)
{
	atomic_fetch_add(&KC_CONTAINER_OF(hook, struct counted, hook)->calls, 1);
}

static void a_hook_is_called_once(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *child = make(root);
	struct counted a = { 0 }, b = { 0 }, removed = { 0 }, late = { 0 };

	assert_true(kci_cancel_hook_add(root, &a.hook, count_call));
	assert_true(kci_cancel_hook_add(child, &b.hook, count_call));
	assert_true(kci_cancel_hook_add(child, &removed.hook, count_call));
	kci_cancel_hook_remove(child, &removed.hook);
	kc_cancel_trigger(child);
	assert_int_equal(b.calls, 1);
	assert_int_equal(a.calls, 0);
	kc_cancel_trigger(root);
	kc_cancel_trigger(root);
	kc_cancel_trigger(child);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	assert_int_equal(removed.calls, 0);
	assert_false(kci_cancel_hook_add(root, &late.hook, count_call));
	assert_int_equal(late.calls, 0);
	kci_cancel_hook_remove(root, &late.hook);
	kci_cancel_hook_remove(root, &a.hook);
	kci_cancel_hook_remove(child, &b.hook);
	kc_cancel_destroy(child);
	kc_cancel_destroy(root);
}

/* More hooks than a token has places for without a lock, put and taken away in several orders:
 * those that are left are called once, the others never. */
static void many_hooks_come_and_go(void **state)
{
	static struct counted hooks[64];
	kc_cancel_t *born_set, *token = make(NULL);

	(void)state;
	for (size_t i = 0; i < 64; i++)
		assert_true(kci_cancel_hook_add(token, &hooks[i].hook, count_call));
	for (size_t i = 0; i < 64; i += 2)
		kci_cancel_hook_remove(token, &hooks[i].hook);
	for (size_t i = 0; i < 64; i += 4)
		assert_true(kci_cancel_hook_add(token, &hooks[i].hook, count_call));
	for (size_t i = 63; i >= 32; i--)
		kci_cancel_hook_remove(token, &hooks[i].hook);
	kc_cancel_trigger(token);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(hooks[i].calls, i < 32 && (i % 2 == 1 || i % 4 == 0));
	for (size_t i = 0; i < 64; i++) {
		kci_cancel_hook_remove(token, &hooks[i].hook);
		assert_false(kci_cancel_hook_add(token, &hooks[i].hook, count_call));
	}
	born_set = make(token);
	for (size_t i = 0; i < 64; i++)
		assert_false(kci_cancel_hook_add(born_set, &hooks[i].hook, count_call));
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(hooks[i].calls, i < 32 && (i % 2 == 1 || i % 4 == 0));
	kc_cancel_destroy(born_set);
	kc_cancel_destroy(token);
}

/* Two triggers at once: the hook holds up the first before it has come to the child. */
struct two_triggers {
	struct kci_cancel_hook hook;
	kc_cancel_t *root;
	kc_cancel_t *child;
	struct kct_call second;
	pthread_mutex_t lock;
	KC_COND_T cond;
	bool returned;
	bool too_early;
};

static long second_trigger(void *arg)
{
	struct two_triggers *t = arg;
	bool set;

	kc_cancel_trigger(t->root);
	set = kc_cancel_is_set(t->child);
	pthread_mutex_lock(&t->lock);
	t->returned = true;
	KC_COND_SIGNAL(&t->cond);
	pthread_mutex_unlock(&t->lock);
	return set;
}

static void hold_up(struct kci_cancel_hook *hook)
{
	struct two_triggers *t = KC_CONTAINER_OF(hook, struct two_triggers, hook);
	uint64_t deadline = kci_deadline_from_ms(10 * KCT_SHORT_MS);
	int r = 0;

	kct_call_start(&t->second, second_trigger, t);
	pthread_mutex_lock(&t->lock);
	while (!t->returned && r == 0)
		r = KC_COND_TIMEDWAIT_ABS(&t->cond, &t->lock, deadline);
	t->too_early = t->returned;
	pthread_mutex_unlock(&t->lock);
}

static void a_second_trigger_returns_only_when_all_is_set(void **state)
{
	struct two_triggers t = { .lock = PTHREAD_MUTEX_INITIALIZER };

	KC_COND_INIT(&t.cond);
	t.root = make(NULL);
	t.child = make(t.root);
	assert_true(kci_cancel_hook_add(t.root, &t.hook, hold_up));
	kc_cancel_trigger(t.root);
	assert_int_equal(kct_call_join(&t.second), 1);
	assert_false(t.too_early);
	kci_cancel_hook_remove(t.root, &t.hook);
	kc_cancel_destroy(t.child);
	kc_cancel_destroy(t.root);
	KC_COND_DESTROY(&t.cond);
}

/* ---- contexts ------------------------------------------------------------ */

static void a_context_owns_a_token_below_its_parent(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_ctx_t ctx;

	assert_int_equal(kc_cancel_ctx_init(&ctx, root), 0);
	assert_ptr_equal(ctx.parent, root);
	assert_int_equal(kc_cancel_is_set(ctx.token), 0);
	/* it holds its parent */
	kc_cancel_destroy(root);
	kc_cancel_trigger(ctx.parent);
	assert_int_equal(kc_cancel_is_set(ctx.token), 1);
	kc_cancel_ctx_destroy(&ctx);
	assert_null(ctx.parent);
	assert_null(ctx.token);
	kc_cancel_ctx_destroy(&ctx);
}

static void a_context_without_parent_is_a_root(void **state)
{
	kc_cancel_ctx_t ctx;

	assert_int_equal(kc_cancel_ctx_init(&ctx, NULL), 0);
	assert_null(ctx.parent);
	kc_cancel_trigger(ctx.token);
	assert_int_equal(kc_cancel_is_set(ctx.token), 1);
	kc_cancel_ctx_destroy(&ctx);
}

/* ---- no memory ----------------------------------------------------------- */

static void no_memory_leaves_nothing_behind(void **state)
{
	kc_cancel_t *root = make(NULL);
	kc_cancel_t *ret = NULL;
	kc_cancel_ctx_t ctx = { 0 };

	kct_alloc_fail_from(1);
	assert_int_equal(kc_cancel_init(&ret), KC_ENOMEM);
	assert_int_equal(kc_cancel_init_child(&ret, root), KC_ENOMEM);
	assert_int_equal(kc_cancel_ctx_init(&ctx, root), KC_ENOMEM);
	assert_int_equal(kct_alloc_fail_end(), 3);
	assert_null(ret);
	assert_null(ctx.token);
	kc_cancel_destroy(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(a_token_is_set_once_and_for_all),
		KCT_TEST(no_token_is_never_set),
		KCT_TEST(missing_arguments_are_refused),
		KCT_TEST(it_sets_all_below_and_none_above),
		KCT_TEST(a_child_of_a_set_parent_is_born_set),
		KCT_TEST(a_child_keeps_its_parent),
		KCT_TEST(a_child_that_is_gone_is_no_more_set),
		KCT_TEST(a_deep_tree_needs_no_stack),
		KCT_TEST(a_deep_tree_goes_with_its_leaf),
		KCT_TEST(a_wide_tree_is_set_whole),
		KCT_TEST(waiting_has_the_usual_timeouts),
		KCT_TEST(a_trigger_above_wakes_every_wait),
		KCT_TEST(a_hook_is_called_once),
		KCT_TEST(many_hooks_come_and_go),
		KCT_TEST(a_second_trigger_returns_only_when_all_is_set),
		KCT_TEST(a_context_owns_a_token_below_its_parent),
		KCT_TEST(a_context_without_parent_is_a_root),
		KCT_TEST(no_memory_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
