/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is served next, and how much: deficit round robin.
 *
 * Each user has one share, however many connections it has; each connection is a
 * seat at its user's share. In a round every share that has something to do gets
 * the same quantum of work, which its seats use up in turn. Of what is not used a
 * little is saved; what was used too much, since a frame is never cut, is owed: the
 * share is passed over until it is paid. With nobody else waiting there is nobody to
 * owe to.
 *
 * Work is counted in bytes: those of frames read and written, and a price for what
 * costs time whatever its size. It is paid for by the share on whose behalf it is
 * done, so a frame that wakes a thousand receivers costs its sender a thousand frames.
 * Choosing and charging cost the same for any number of shares and seats.
 */
#ifndef KCD_TURNS_H
#define KCD_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/list.h"

/* What takes about as long as moving so many bytes, which is 0.2 ns for each of them. */
#define KCD_COST_FRAME 512   /* one frame, in or out, beside its bytes */
#define KCD_COST_CALL 8192   /* a system call */
#define KCD_COST_ELEMENT 128 /* one element, in or out, beside its bytes */
#define KCD_COST_OBJECT 2048 /* to make or to end a channel or an attachment */
#define KCD_COST_ROW 1024    /* one channel in a list, beside its bytes */

/* Of a share in a round. What others do in a round is what a frame that comes in has to wait
 * for: beside the asking for it, which each share pays, that is two small requests. */
#define KCD_QUANTUM (KCD_COST_CALL + 2048)
/* What a share may have left from rounds in which it had nothing to do, or not so much: one
 * who awaits each answer before it asks again does not pay for waiting. */
#define KCD_SAVED (8 * KCD_QUANTUM)
#define KCD_ALONE 1000u /* rounds without anybody else: some milliseconds */

struct kcd_share {
	struct kcd_list link;  /* turns->shares */
	struct kcd_list seats; /* with something to do */
	int64_t left;          /* of its quantum; negative: owed */
	uint64_t round;        /* the latest in which it was looked at */
};

struct kcd_seat {
	struct kcd_list link; /* share->seats */
	struct kcd_share *share;
};

struct kcd_turns {
	struct kcd_list shares; /* those with seats that have something to do, in turn */
	struct kcd_share *now;  /* for whom work is being done; NULL: for nobody in particular */
	int64_t floor;          /* what its service in this round may leave of `now->left` */
	uint64_t round;
	struct kcd_share *last; /* who was served last; only to be compared */
	unsigned alone;         /* rounds in a row that served nobody else, or before any */
	uint64_t work; /* that rounds have done since somebody set this to 0 */
	void (*serve)(struct kcd_seat *seat);
};

/* `serve`: called by kcd_turns_round() with a seat that has left its share and may join it
 * again. It ends when kcd_turns_may() says so, or when there is nothing more to do. */
void kcd_turns_init(struct kcd_turns *turns, void (*serve)(struct kcd_seat *seat));

void kcd_share_init(struct kcd_share *share);
/* It has no seats any more. */
void kcd_share_done(struct kcd_share *share);
void kcd_seat_init(struct kcd_seat *seat, struct kcd_share *share);

/* It has something to do. Twice is as good as once. */
void kcd_turns_join(struct kcd_turns *turns, struct kcd_seat *seat);
/* It has not, after all. Twice is as good as once. */
void kcd_turns_leave(struct kcd_seat *seat);

/* One round over those that have something to do now; who joins meanwhile waits for the next
 * one. Returns how many shares there were. */
unsigned kcd_turns_round(struct kcd_turns *turns);

/* Has one share had all rounds for so long that there is no hurry to look for others? */
static inline bool kcd_turns_lone(const struct kcd_turns *turns)
{
	return turns->alone >= KCD_ALONE;
}

static inline bool kcd_turns_busy(const struct kcd_turns *turns)
{
	return !kcd_list_empty(&turns->shares);
}

/* May the seat that is served go on? */
static inline bool kcd_turns_may(const struct kcd_turns *turns)
{
	return turns->now && turns->now->left > turns->floor;
}

/* Charge a share. */
void kcd_share_spend(struct kcd_share *share, uint64_t work);

/* Charge whoever is served for something that shall not shorten its service, as far as it has
 * savings: what comes of it shall be seen in the same round. */
static inline void kcd_turns_afford(struct kcd_turns *turns, uint64_t work)
{
	if (!turns->now)
		return;
	kcd_share_spend(turns->now, work);
	turns->floor = turns->floor > (int64_t)work ? turns->floor - (int64_t)work : 0;
}

/* Charge whoever work is being done for. */
static inline void kcd_turns_spend(struct kcd_turns *turns, uint64_t work)
{
	if (turns->now)
		kcd_share_spend(turns->now, work);
}

#endif
