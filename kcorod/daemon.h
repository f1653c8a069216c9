/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as one object: what all its parts share, and the turn of the loop.
 *
 * A turn: serve connections that have something to say, run what is due, write
 * what was answered, free what has ended. Nothing is freed anywhere else, so no
 * callback ever finds an object gone from under it.
 */
#ifndef KCD_DAEMON_H
#define KCD_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/config.h"
#include "kcorod/listener.h"
#include "kcorod/loop.h"
#include "kcorod/map.h"
#include "kcorod/pool.h"
#include "kcorod/quota.h"
#include "kcorod/reap.h"
#include "kcorod/registry.h"
#include "kcorod/timer.h"
#include "kcorod/turns.h"
#include "kcorod/warm.h"
#include "proto/buf.h"
#include "proto/wire.h"

/* Sums over channels. */
struct kcd_totals {
	struct kc_ledger ledger;
	uint64_t bytes_sent, bytes_received, redelivered;
};

struct kcd_daemon {
	struct kcd_config config;
	struct kcd_timers timers;
	struct kcd_loop *loop;
	struct kcd_listener listener;
	struct kcd_registry registry;
	struct kcd_users users;
	struct kcd_budget bytes;
	struct kcd_map sessions;  /* by the first half of their tokens */
	uint64_t connections;     /* suspended sessions included */
	uint64_t descriptors;     /* kept to wake clients */
	uint32_t max_frame;

	struct kcd_list conns;    /* kcd_conn, all of them */
	uint64_t n_conns;
	struct kcd_turns turns;   /* connections that have something to do */
	struct kcd_list dirty;    /* kcd_conn with output to be written this turn */
	struct kcd_list drains;   /* kcd_attachment whose client's input is to be read */
	uint64_t drain_moment;    /* counts requests for that */
	struct kcd_list graves;   /* what is freed at the end of the turn */

	struct kcd_pool requests; /* struct kcd_request */
	struct kcd_bufs bufs;     /* elements of waiting SENDs, long replies */
	struct kcp_buf scratch;   /* a reply being built */
	struct kcd_warm warm;
	uint64_t buffers;         /* bytes of all connections' buffers */
	uint64_t turns_had;       /* of the loop */

	struct kcd_totals gone;   /* of channels that were freed */
	uint64_t started_ns;
	uint64_t frames_in, frames_out, resumes;
	struct kcd_timer watchdog;
	uint64_t watchdog_ns;
	bool stopping;
};

/* 0 or a KC_E* code. */
int kcd_daemon_new(const struct kcd_config *config, struct kcd_daemon **ret);

/* Ends every session and connection, frees everything. Returns NULL. */
struct kcd_daemon *kcd_daemon_free(struct kcd_daemon *d);

/* Serve until SIGTERM or SIGINT. 0 or a KC_E* code. */
int kcd_daemon_run(struct kcd_daemon *d);

/* One turn; with `wait` it waits for something to do. 0 or KC_ENOMEM. */
int kcd_daemon_turn(struct kcd_daemon *d, bool wait);

/* Stop accepting, write what waits, then end kcd_daemon_run(). */
void kcd_daemon_stop(struct kcd_daemon *d);

/* Sums over all channels there are and were. */
void kcd_daemon_totals(const struct kcd_daemon *d, struct kcd_totals *ret);

/* A channel is gone (kcd_channel_ops.gone): free it at the end of the turn. */
void kcd_daemon_channel_gone(struct kcd_daemon *d, struct kcd_channel *ch);

/* Describe the state in the log. */
void kcd_daemon_dump(struct kcd_daemon *d);

#endif
