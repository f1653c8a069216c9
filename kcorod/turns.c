/* SPDX-License-Identifier: BSD-3-Clause */
/* Deficit round robin: see turns.h. */
#include "kcorod/turns.h"

#include <stddef.h>

/* More than this is owed by nobody, lest an accident silence a user for good. */
#define DEBT_MAX ((int64_t)1 << 32)
#define ROUNDS_MAX (DEBT_MAX / KCD_QUANTUM + 2) /* in which any debt is paid, and a quantum is left */
#define SLICE (KCD_QUANTUM - KCD_COST_CALL) /* of a round, beside the asking */

void kcd_turns_init(struct kcd_turns *turns, void (*serve)(struct kcd_seat *seat))
{
	*turns = (struct kcd_turns){ .serve = serve, .alone = KCD_ALONE };
	kcd_list_init(&turns->shares);
}

void kcd_share_init(struct kcd_share *share)
{
	*share = (struct kcd_share){ .left = 0 };
	kcd_list_init(&share->link);
	kcd_list_init(&share->seats);
}

void kcd_share_done(struct kcd_share *share)
{
	kcd_list_remove(&share->link);
}

void kcd_seat_init(struct kcd_seat *seat, struct kcd_share *share)
{
	seat->share = share;
	kcd_list_init(&seat->link);
}

void kcd_turns_join(struct kcd_turns *turns, struct kcd_seat *seat)
{
	struct kcd_share *share = seat->share;

	if (kcd_list_empty(&seat->link))
		kcd_list_append(&share->seats, &seat->link);
	if (!kcd_list_empty(&share->link))
		return;
	/* Who had nothing to do in the last round goes first in the next one. */
	kcd_list_insert(share->round < turns->round ? turns->shares.next : &turns->shares,
			&share->link);
}

/* The share stays in its place; without seats it is dropped when its turn comes. */
void kcd_turns_leave(struct kcd_seat *seat)
{
	kcd_list_remove(&seat->link);
}

void kcd_share_spend(struct kcd_share *share, uint64_t work)
{
	share->left = work < (uint64_t)(share->left + DEBT_MAX) ? share->left - (int64_t)work
								 : -DEBT_MAX;
}

/* A quantum for every round since it was looked at last, in which it did not take its turn
 * or paid what it owed. */
static void credit(struct kcd_turns *turns, struct kcd_share *share)
{
	uint64_t rounds = turns->round - share->round;

	share->round = turns->round;
	share->left += (int64_t)(rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX) * KCD_QUANTUM;
	if (share->left > KCD_SAVED)
		share->left = KCD_SAVED;
}

static void serve_share(struct kcd_turns *turns, struct kcd_share *share)
{
	int64_t before = share->left;

	if (kcd_list_empty(&share->seats))
		return;
	if (share->left <= 0) {
		kcd_list_append(&turns->shares, &share->link);
		return;
	}
	if (share == turns->last)
		turns->alone += turns->alone < KCD_ALONE;
	else if (turns->last)
		turns->alone = 0;
	turns->last = share;
	turns->now = share;
	turns->floor = before > SLICE ? before - SLICE : 0;
	while (share->left > turns->floor && !kcd_list_empty(&share->seats)) {
		struct kcd_seat *seat = KCD_LIST_FIRST(&share->seats, struct kcd_seat, link);

		/* A price for asking, so that the round ends whatever the seat does. */
		kcd_share_spend(share, 1);
		kcd_list_remove(&seat->link);
		turns->serve(seat);
	}
	turns->now = NULL;
	/* The loop asks the kernel who is there, once in a round. */
	kcd_share_spend(share, KCD_COST_CALL);
	turns->work += (uint64_t)(before - share->left);
	if (!kcd_list_empty(&share->seats) && kcd_list_empty(&share->link))
		kcd_list_append(&turns->shares, &share->link);
}

/* How many rounds it takes until somebody may do something: more than one if all of them owe.
 * Nobody else waits: whatever is owed is owed to nobody. */
static uint64_t rounds_until_work(const struct kcd_turns *turns, const struct kcd_list *round)
{
	uint64_t first = UINT64_MAX;

	if (round->next == round->prev)
		return ROUNDS_MAX;
	for (struct kcd_list *link = round->next; link != round && first > turns->round + 1;
	     link = link->next) {
		const struct kcd_share *share = KCD_CONTAINER(link, struct kcd_share, link);
		int64_t owed = -share->left;
		uint64_t when = share->round + 1 + (uint64_t)(owed > 0 ? owed / KCD_QUANTUM : 0);

		first = when < first ? when : first;
	}
	return first > turns->round ? first - turns->round : 1;
}

unsigned kcd_turns_round(struct kcd_turns *turns)
{
	struct kcd_list round;
	unsigned n = 0;

	if (!kcd_turns_busy(turns))
		return 0;
	/* Those of now move to a list of their own, so that the round ends. */
	round = turns->shares;
	round.next->prev = round.prev->next = &round;
	kcd_list_init(&turns->shares);
	turns->round += rounds_until_work(turns, &round);
	while (!kcd_list_empty(&round)) {
		struct kcd_share *share = KCD_LIST_FIRST(&round, struct kcd_share, link);

		kcd_list_remove(&share->link);
		credit(turns, share);
		serve_share(turns, share);
		n++;
	}
	return n;
}
