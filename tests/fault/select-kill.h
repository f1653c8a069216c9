/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What select-kill.c and the peers that it starts and kills share: the same program, run
 * again with --peer, and memory of both.
 */
#ifndef FAULT_SELECT_KILL_H
#define FAULT_SELECT_KILL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kcoro.h>

#define SENDERS	  2u /* a channel each, from which the select receives */
#define RECEIVER  2u /* the peer that takes what the select sends */
#define PEERS	  3u
#define LIVES_MAX 65536u /* of one peer */

/* An element: whose it is, in which life of its sender, and the how-manieth of that. */
#define ELEMENT(life, number) ((uint64_t)(life) << 40 | (number))
#define LIFE_OF(element)      ((uint32_t)((element) >> 40))
#define NUMBER_OF(element)    ((element) & ((UINT64_C(1) << 40) - 1))

struct ledger_of_peer {
	/* of a sender: what it began to send in a life, and what it was told is sent */
	_Atomic uint64_t begun[LIVES_MAX], told[LIVES_MAX];
};

struct shared {
	struct ledger_of_peer senders[SENDERS];
	/* of the receiver, over all its lives */
	_Atomic uint64_t next;	   /* the number to come */
	_Atomic uint64_t received; /* elements */
	_Atomic uint64_t gaps;	   /* numbers missing where a life began */
	_Atomic int fault;	   /* a line of peer.c that should not be reached */
	_Atomic int64_t fault_value;
};

extern const char *const select_kill_names[PEERS];

/* What the receiver does with each element; `first` of this life. */
void peer_take(struct shared *shared, uint64_t element, bool first);

/* A peer's whole life. It ends by being killed, or with the exit status this returns. */
int peer_main(struct shared *shared, unsigned which, uint32_t life, const char *path);

#endif
