/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_STATS_H
#define KCORO_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * The books of a channel.
 *
 * The ledger says where every element went:
 *
 *	sent = received + queued + leased + conflated + dropped + expired + lost
 *
 * exactly when nothing moves, else within what is in flight. `dropped` and
 * `lost` are the sums of their reasons. A local channel and a daemon's channel
 * keep the same books.
 *
 *	struct kc_chan_snapshot a, b;
 *	kc_chan_snapshot(ch, &a);
 *	...
 *	kc_chan_snapshot(ch, &b);
 *	struct kc_chan_rate r;
 *	kc_chan_compute_rate(&a, &b, &r);     // per second between the two
 */
struct kc_ledger {
	uint64_t sent;      /* elements the channel accepted */
	uint64_t received;  /* elements a receiver has for good */
	uint64_t queued;    /* in the channel, given-ahead and offered ones included */
	uint64_t leased;    /* held by a receiver that has not acknowledged yet */
	uint64_t conflated; /* replaced by a newer value */
	uint64_t dropped_oldest;
	uint64_t dropped_newest;
	uint64_t dropped_purged;
	uint64_t dropped_destroyed;
	uint64_t expired;       /* time to live over */
	uint64_t lost_consumer; /* taken by a receiver that died with them in its hands */
	uint64_t lost_daemon;   /* fenced off or gone with a daemon that could not save them */
};

/* What a call can fail with, counted for each direction. */
struct kc_op_failures {
	uint64_t eagain;
	uint64_t etime;
	uint64_t epipe;
	uint64_t ecanceled;
};

struct kc_chan_snapshot {
	uint64_t time_ns;      /* CLOCK_MONOTONIC when the snapshot was taken */
	uint64_t id;           /* the daemon's id; 0 for a local channel */
	int kind;              /* enum kc_kind */
	int closed;            /* 1 once closed */
	unsigned capabilities; /* KC_CHAN_CAP_* */
	size_t elem_size;      /* bytes; 0 for messages */
	size_t capacity;       /* elements, of KC_BUFFERED; else 0 */
	uint64_t len;          /* as kc_chan_len() */
	uint64_t bytes_sent;   /* bytes of the elements in ledger.sent */
	uint64_t bytes_received;
	uint64_t redelivered; /* deliveries beyond an element's first */
	struct kc_ledger ledger;
	struct kc_op_failures send_failures; /* this handle's process, see kc_chan_snapshot() */
	struct kc_op_failures recv_failures;
};

struct kc_chan_rate {
	double interval_sec; /* between the two snapshots' time_ns */
	double sends_per_sec;
	double recvs_per_sec;
	double bytes_sent_per_sec;
	double bytes_received_per_sec;
	struct kc_op_failures send_failures; /* differences */
	struct kc_op_failures recv_failures;
};

KC_BEGIN_DECLS

/**
 * kc_ledger_balance() - what is missing in the books
 * @ledger:        a ledger
 *
 * Returns: sent minus everything else; 0 when the books balance. NULL gives 0.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC int64_t kc_ledger_balance(const struct kc_ledger *ledger);

/**
 * kc_ledger_dropped() - elements dropped for any reason
 * @ledger:        a ledger
 *
 * Returns: the sum of the dropped_ members. NULL gives 0.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC uint64_t kc_ledger_dropped(const struct kc_ledger *ledger);

/**
 * kc_ledger_lost() - elements lost for any reason
 * @ledger:        a ledger
 *
 * Returns: the sum of the lost_ members. NULL gives 0.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC uint64_t kc_ledger_lost(const struct kc_ledger *ledger);

/**
 * kc_chan_snapshot() - read a channel's state and counters at one moment
 * @ch:            any channel
 * @ret:           written on success
 *
 * A local channel counts failures of all its users. For a daemon's channel
 * everything but the failures is the daemon's view; failures are those of this
 * handle.
 *
 * Returns: 0, or
 *          KC_EINVAL     NULL
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also KC_ENOENT (destroyed), KC_ENOMEM, KC_EPROTO,
 *          KC_ECONNRESET
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *ret);

/**
 * kc_chan_compute_rate() - rates over the time between two snapshots
 * @prev:          the earlier snapshot
 * @curr:          the later one, of the same channel
 * @ret:           written on success
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL, or curr was not taken after prev
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_compute_rate(const struct kc_chan_snapshot *prev,
						 const struct kc_chan_snapshot *curr,
						 struct kc_chan_rate *ret);

KC_END_DECLS

#endif
