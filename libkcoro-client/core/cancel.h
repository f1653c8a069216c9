/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the inside of the library needs of a cancellation token: the check at
 * entry, and a hook that is called when the token is set.
 */
#ifndef KCI_CANCEL_H
#define KCI_CANCEL_H

#include <stdbool.h>

#include "kcoro/cancel.h"
#include "libkcoro-client/core/list.h"

/*
 * A hook on a token; lives in its owner's memory. fn is called at most once, on
 * the thread that triggers, with the lock of the token's tree held. So it must be
 * short (wake somebody), must not block, and must not call anything of
 * kcoro/cancel.h or this header but kc_cancel_is_set(). A lock may be taken in fn only if
 * nobody holds it while calling kci_cancel_hook_add() or _remove(), or any kc_cancel_ call.
 */
struct kci_cancel_hook {
	struct kci_list link;
	void (*fn)(struct kci_cancel_hook *hook);
};

/* The check at entry of every call that takes a token: 0 (NULL included),
 * KC_ECANCELED if set, KC_EFORKED if it came through a fork. */
int kci_cancel_check(const kc_cancel_t *token);

/* false: the token is set already, fn will not be called and the hook is on no
 * list; kci_cancel_hook_remove() is then allowed but not needed. The caller holds
 * a reference to the token until it has removed the hook. */
bool kci_cancel_hook_add(kc_cancel_t *token, struct kci_cancel_hook *hook,
			 void (*fn)(struct kci_cancel_hook *hook));

/* On return fn is not running and will not be called. */
void kci_cancel_hook_remove(kc_cancel_t *token, struct kci_cancel_hook *hook);

#endif
