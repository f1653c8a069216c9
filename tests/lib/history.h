/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histories of calls on one channel, and whether they can be explained.
 *
 * Several callers note when each call began and ended, by one clock that counts. A history
 * is linearizable if each call can be given a moment between its two ends so that, one
 * after the other in the order of these moments, they do what the channel's kind promises.
 * On a rendezvous a send and its receive have one moment, between the ends of both.
 */
#ifndef KCT_HISTORY_H
#define KCT_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro/chan.h"

#define KCT_HISTORY_MAX	  256u /* calls */
#define KCT_HISTORY_QUEUE 32u  /* elements a channel may hold */

enum kct_verb { KCT_SEND, KCT_RECV, KCT_LEN, KCT_PURGE, KCT_CLOSE };

struct kct_deed {
	enum kct_verb verb;
	bool once; /* with timeout 0 */
	unsigned who;
	long result;	/* a code, or how many */
	uint32_t value; /* what was sent, each only once, or received */
	uint64_t began, ended;
};

struct kct_history {
	enum kc_kind kind;
	size_t capacity; /* elements; what the bytes of KC_UNLIMITED amount to */
	enum kc_overflow overflow;
	_Atomic uint64_t clock;
	_Atomic unsigned n;
	struct kct_deed deeds[KCT_HISTORY_MAX];
};

enum kct_verdict {
	KCT_LINEARIZABLE,
	KCT_NOT_LINEARIZABLE,
	KCT_UNDECIDED, /* not within the memory that a search may have */
};

void kct_history_init(struct kct_history *h, enum kc_kind kind, size_t capacity,
		      enum kc_overflow overflow);

/* A call begins; NULL: the history is full. Any thread. */
struct kct_deed *kct_history_begin(struct kct_history *h, unsigned who, enum kct_verb verb,
				   bool once, uint32_t value);
/* It ended like this; value is for a receive. */
void kct_history_end(struct kct_history *h, struct kct_deed *deed, long result, uint32_t value);

/* Once nothing is under way. */
enum kct_verdict kct_history_check(const struct kct_history *h);

/* Make a history that is not linearizable as small as it can be told: the shortest
 * beginning of it that is not either, without the calls that do not matter for that. In
 * the beginning a call that ended later has the end UINT64_MAX, and need not have been. */
void kct_history_shrink(struct kct_history *h);

/* As lines of comment, in the order in which the calls began. */
void kct_history_print(const struct kct_history *h);

/* How many calls were under way together with one of somebody else. */
unsigned kct_history_overlaps(const struct kct_history *h);

#endif
