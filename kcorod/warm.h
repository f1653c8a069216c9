/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is kept although nothing is in it, so that it need not be fetched for
 * every frame; and how it goes back.
 *
 * Buffers of connections that hold nothing stay with those that were used last, up
 * to a bound for all of them together. When much less is in use than was, and the
 * daemon has become quiet, pools are emptied and the allocator gives back what it
 * has; a daemon that is idle sets no timer.
 */
#ifndef KCD_WARM_H
#define KCD_WARM_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/list.h"
#include "kcorod/timer.h"

#define KCD_WARM_MAX ((size_t)2 << 20)

struct kcd_conn;
struct kcd_daemon;

struct kcd_warm {
	struct kcd_list conns; /* kcd_conn.warm, the one used last at the end */
	size_t bytes;          /* of their buffers */
	uint64_t most;         /* in use at once since the last time memory was given back */
	uint64_t turns;        /* ... those there had been when the timer was armed */
	bool asked;            /* it has run out, and the daemon was busy */
	bool ended;            /* something has ended since memory was given back */
	struct kcd_timer timer;
};

void kcd_warm_init(struct kcd_warm *warm);

/* A connection has been served, or written to; `bytes`: what its buffers take, 0 if there is
 * something in them. */
void kcd_warm_put(struct kcd_daemon *d, struct kcd_conn *conn, size_t bytes);
/* Before its end. Twice is as good as once. */
void kcd_warm_take(struct kcd_warm *warm, struct kcd_conn *conn);

/* Something has ended: give its memory back in a moment. */
void kcd_warm_later(struct kcd_daemon *d);

/* At the end of a turn: is it time to give memory back? */
void kcd_warm_look(struct kcd_daemon *d);

#endif
