/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop: all there is of libevent in kcorod.
 *
 * A turn: wait for descriptors and signals (at most until the next timer is due),
 * let their callbacks note what is ready, then call the daemon's turn function, in
 * which the work is done. One libevent timer serves all of kcd_timers.
 */
#ifndef KCD_LOOP_H
#define KCD_LOOP_H

#include <stdbool.h>

#include "kcorod/timer.h"

struct event;
struct kcd_loop;

/* What is to be known about one descriptor. Embedded in its owner; `fn` must not
 * free it. */
struct kcd_watch {
	struct kcd_loop *loop; /* NULL: not in use */
	struct event *reading, *writing;
	bool want_read, want_write;
	void (*fn)(struct kcd_watch *watch, bool readable, bool writable);
};

/*
 * @turn: called once per turn; true: there is more to do, so do not wait
 *
 * Returns 0 or KC_ENOMEM.
 */
int kcd_loop_new(struct kcd_loop **ret, struct kcd_timers *timers, bool (*turn)(void *arg),
		 void *arg);
struct kcd_loop *kcd_loop_free(struct kcd_loop *loop);

/* Watch nothing of this descriptor yet. 0 or KC_ENOMEM. */
int kcd_watch_init(struct kcd_watch *watch, struct kcd_loop *loop, int fd,
		   void (*fn)(struct kcd_watch *watch, bool readable, bool writable));
/* Before the descriptor is closed. A watch that is not in use is fine. */
void kcd_watch_done(struct kcd_watch *watch);
/* 0 or KC_ENOMEM. */
int kcd_watch_set(struct kcd_watch *watch, bool read, bool write);

/* Call fn(signo, arg) from the loop. 0 or KC_ENOMEM. */
int kcd_loop_signal(struct kcd_loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg);

/* Run turns until kcd_loop_stop(). 0 or KC_ENOMEM (the loop broke). */
int kcd_loop_run(struct kcd_loop *loop);
void kcd_loop_stop(struct kcd_loop *loop);

/* One turn; `wait` says whether it may wait at all. 0 or KC_ENOMEM. */
int kcd_loop_once(struct kcd_loop *loop, bool wait);

#endif
