/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The local placement: what it is, whoever calls. placement-local-threads.c has all
 * callers on threads, placement-local-coro.c all in coroutines of one worker,
 * placement-local-mixed.c the tests on a thread and their helpers in coroutines.
 */
#ifndef KCT_PLACEMENT_LOCAL_H
#define KCT_PLACEMENT_LOCAL_H

#include "tests/conformance/placement.h"

#define KCT_LOCAL_TRAITS (KCT_HAS_DROP_HOOK | KCT_HAS_DESCRIPTORS)

int local_make(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors);
void local_unmake(struct kct_pair *pair);
bool local_wait_blocked(struct kct_pair *pair, unsigned senders, unsigned receivers);

#endif
