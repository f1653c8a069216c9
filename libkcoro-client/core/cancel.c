/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cancellation tree.
 *
 * One lock per tree, in its root, which outlives every token below it because
 * each token holds a reference to its parent. Everything about the tree's shape
 * happens under that lock: a whole trigger, hooks included, is one step for
 * everybody else. So "exactly once", "children may come and go meanwhile" and "a
 * removed hook is not running" need no further machinery. Reading the flag takes
 * no lock.
 *
 * Nor does a wait, mostly: a token has a place for one hook, which is taken and given
 * up again by one compare-and-swap each. A trigger closes it by an exchange, so of it
 * and whoever comes or leaves one is first: who comes later sees that the token is set,
 * who leaves later waits for the lock, after which the hook has run. More hooks than
 * one are on a list, which the lock guards.
 *
 * A set token has only set tokens below it: a trigger walks all of them before it
 * lets the lock go, and a child made under a set parent is born set. Hence a walk
 * need not enter a subtree that is set already, and such a child need not be
 * linked at all. Walks follow the links of the tree and need no stack, so depth
 * is bounded by memory only.
 */
#include "libkcoro-client/core/cancel.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/port/kcoro_port.h"

/* In the place of a set token. */
#define CLOSED (&closed)
static struct kci_cancel_hook closed;

struct kc_cancel {
	uint64_t process;
	_Atomic(struct kci_cancel_hook *) first; /* of those who wait */
	_Atomic uint32_t refs;
	_Atomic bool set;
	struct kc_cancel *root;	  /* whose lock guards what follows; itself in a root */
	struct kc_cancel *parent; /* a reference is held; NULL in a root */
	struct kci_list children; /* by sibling */
	struct kci_list sibling;
	struct kci_list hooks;
	KC_MUTEX_T lock; /* used in a root only */
};

static bool is_ours(const kc_cancel_t *token)
{
	return token->process == kci_process_id();
}

/* Returns the hook in its place, if any, for which this is the one moment. */
static struct kci_cancel_hook *token_close(kc_cancel_t *t)
{
	/* whoever finds the place closed sees the flag */
	atomic_store_explicit(&t->set, true, memory_order_release);
	return atomic_exchange_explicit(&t->first, CLOSED, memory_order_acq_rel);
}

static int token_new(kc_cancel_t **ret, kc_cancel_t *parent)
{
	kc_cancel_t *t = KC_CALLOC(1, sizeof(*t));

	if (!t)
		return KC_ENOMEM;
	t->process = kci_process_id();
	atomic_init(&t->refs, 1);
	atomic_init(&t->set, false);
	kci_list_init(&t->children);
	kci_list_init(&t->sibling);
	kci_list_init(&t->hooks);
	atomic_init(&t->first, NULL);
	KC_MUTEX_INIT(&t->lock);
	t->root = t;
	if (parent) {
		t->root = parent->root;
		t->parent = kc_cancel_ref(parent);
		KC_MUTEX_LOCK(&t->root->lock);
		if (atomic_load_explicit(&parent->set, memory_order_relaxed))
			(void)token_close(t);
		else
			kci_list_append(&parent->children, &t->sibling);
		KC_MUTEX_UNLOCK(&t->root->lock);
	}
	*ret = t;
	return 0;
}

int kc_cancel_init(kc_cancel_t **ret)
{
	if (!ret)
		return (int)kci_result(KC_EINVAL);
	return (int)kci_result(token_new(ret, NULL));
}

int kc_cancel_init_child(kc_cancel_t **ret, kc_cancel_t *parent)
{
	if (!ret || !parent)
		return (int)kci_result(KC_EINVAL);
	if (!is_ours(parent))
		return (int)kci_result(KC_EFORKED);
	return (int)kci_result(token_new(ret, parent));
}

kc_cancel_t *kc_cancel_ref(kc_cancel_t *token)
{
	if (token && is_ours(token))
		atomic_fetch_add_explicit(&token->refs, 1, memory_order_relaxed);
	return token;
}

void kc_cancel_destroy(kc_cancel_t *token)
{
	if (!token || !is_ours(token))
		return;
	/* a last reference gives back the one it holds to its parent, and so on up */
	while (token && atomic_fetch_sub_explicit(&token->refs, 1, memory_order_acq_rel) == 1) {
		kc_cancel_t *parent = token->parent;

		KC_MUTEX_LOCK(&token->root->lock);
		kci_list_remove(&token->sibling);
		KC_MUTEX_UNLOCK(&token->root->lock);
		KC_MUTEX_DESTROY(&token->lock);
		KC_FREE(token);
		token = parent;
	}
}

static void token_set(kc_cancel_t *token)
{
	struct kci_cancel_hook *hook;

	/* who is next, most of the time */
	__builtin_prefetch(KC_CONTAINER_OF(token->sibling.next, kc_cancel_t, sibling), 1);
	__builtin_prefetch(token->sibling.next, 1);
	hook = token_close(token);
	if (hook)
		hook->fn(hook);
	while ((hook = KCI_LIST_FIRST(&token->hooks, struct kci_cancel_hook, link))) {
		/* each lies in the frame of whoever waits, and may have been there for long */
		__builtin_prefetch(hook->link.next, 1);
		kci_list_remove(&hook->link);
		hook->fn(hook);
	}
}

/* The token after t in a walk through all below top, parents first. A token that
 * was set before the walk began is never entered: it was unlinked when set. */
static kc_cancel_t *walk_next(kc_cancel_t *t, const kc_cancel_t *top)
{
	if (!kci_list_empty(&t->children))
		return KC_CONTAINER_OF(t->children.next, kc_cancel_t, sibling);
	/* t is done with: leave it, and each parent this empties */
	while (t != top) {
		kc_cancel_t *parent = t->parent;

		kci_list_remove(&t->sibling);
		if (!kci_list_empty(&parent->children))
			return KC_CONTAINER_OF(parent->children.next, kc_cancel_t, sibling);
		t = parent;
	}
	return NULL;
}

void kc_cancel_trigger(kc_cancel_t *token)
{
	if (!token || !is_ours(token))
		return;
	/* the lock also when set already: a trigger that is under way has to be over
	 * before this one may return */
	KC_MUTEX_LOCK(&token->root->lock);
	if (!atomic_load_explicit(&token->set, memory_order_relaxed)) {
		for (kc_cancel_t *t = token; t; t = walk_next(t, token))
			token_set(t);
		kci_list_remove(&token->sibling);
	}
	KC_MUTEX_UNLOCK(&token->root->lock);
}

int kc_cancel_is_set(const kc_cancel_t *token)
{
	if (!token)
		return 0;
	return !is_ours(token) || atomic_load_explicit(&token->set, memory_order_acquire);
}

int kc_cancel_wait(kc_cancel_t *token, long timeout_ms)
{
	struct kci_waiter waiter;
	int r;

	if (!token)
		return (int)kci_result(KC_EINVAL);
	r = kci_cancel_check(token);
	if (r == 0 && timeout_ms == 0)
		r = KC_EAGAIN;
	if (r == 0) {
		kci_waiter_init(&waiter);
		r = kci_waiter_park(&waiter, kci_deadline_from_ms(timeout_ms), token);
	}
	return r == KC_ECANCELED ? 0 : (int)kci_result(r);
}

int kc_cancel_ctx_init(kc_cancel_ctx_t *ctx, kc_cancel_t *parent)
{
	kc_cancel_t *token;
	int r;

	if (!ctx)
		return (int)kci_result(KC_EINVAL);
	r = parent ? kc_cancel_init_child(&token, parent) : kc_cancel_init(&token);
	if (r < 0)
		return r;
	ctx->parent = kc_cancel_ref(parent);
	ctx->token = token;
	return 0;
}

void kc_cancel_ctx_destroy(kc_cancel_ctx_t *ctx)
{
	if (!ctx)
		return;
	kc_cancel_destroy(KC_STEAL(ctx->token));
	kc_cancel_destroy(KC_STEAL(ctx->parent));
}

int kci_cancel_check(const kc_cancel_t *token)
{
	if (!token)
		return 0;
	if (!is_ours(token))
		return KC_EFORKED;
	return atomic_load_explicit(&token->set, memory_order_acquire) ? KC_ECANCELED : 0;
}

bool kci_cancel_hook_add(kc_cancel_t *token, struct kci_cancel_hook *hook,
			 void (*fn)(struct kci_cancel_hook *hook))
{
	struct kci_cancel_hook *there = NULL;
	bool set;

	hook->fn = fn;
	kci_list_init(&hook->link);
	if (atomic_compare_exchange_strong_explicit(&token->first, &there, hook,
						    memory_order_acq_rel, memory_order_acquire))
		return true;
	if (there == CLOSED)
		return false;
	KC_MUTEX_LOCK(&token->root->lock);
	set = atomic_load_explicit(&token->set, memory_order_relaxed);
	if (!set)
		kci_list_append(&token->hooks, &hook->link);
	KC_MUTEX_UNLOCK(&token->root->lock);
	return !set;
}

void kci_cancel_hook_remove(kc_cancel_t *token, struct kci_cancel_hook *hook)
{
	struct kci_cancel_hook *there = hook;

	if (atomic_compare_exchange_strong_explicit(&token->first, &there, NULL,
						    memory_order_acq_rel, memory_order_relaxed))
		return;
	KC_MUTEX_LOCK(&token->root->lock);
	kci_list_remove(&hook->link);
	KC_MUTEX_UNLOCK(&token->root->lock);
}
