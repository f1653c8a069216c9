/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the conformance suite needs of a placement, and nothing else: it speaks to
 * channels by public calls only. Each placement is one file that defines
 * kct_placement; the suite and the named programs are linked with one of them.
 *
 * A channel comes as a pair of handles, one to send by and one to receive by. They
 * may be the same, or belong to different connections.
 */
#ifndef KCT_PLACEMENT_H
#define KCT_PLACEMENT_H

#include <stdbool.h>

#include "kcoro.h"

struct kct_pair {
	kc_chan_t *tx;
	kc_chan_t *rx;
	void *own; /* the placement's */
};

/* What not every placement has. */
#define KCT_HAS_DROP_HOOK   1u /* kc_chan_options.on_drop */
#define KCT_HAS_DESCRIPTORS 2u /* kcoro/zref.h */
#define KCT_HAS_LEASES	    4u /* kc_chan_recv_lease() */

struct kct_placement {
	const char *name;
	unsigned traits;
	/* Once per program, before the first and after the last channel. 0 on success. */
	int (*begin)(void);
	void (*end)(void);
	/* Run the whole program, fn, and give what it returns; NULL: it is just called. */
	int (*run)(int (*fn)(void));
	/* A new channel, unknown to anybody else. descriptors: opts are those of a byte channel
	 * that is to carry descriptors; only asked for with KCT_HAS_DESCRIPTORS. Returns the
	 * code of the public call that made it. */
	int (*make)(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors);
	/* One more handle of the same channel, to be given back with kc_chan_destroy(); NULL
	 * where a channel has but one. */
	kc_chan_t *(*reopen)(struct kct_pair *pair);
	/* Give both handles back; the channel goes. */
	void (*unmake)(struct kct_pair *pair);
	/* Wait, without sleeping, until at least so many sends and receives are blocked in the
	 * channel. false: they were not after a long time. */
	bool (*wait_blocked)(struct kct_pair *pair, unsigned senders, unsigned receivers);
};

extern const struct kct_placement kct_placement;

#endif
