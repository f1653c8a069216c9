/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One receive from a daemon's channel while it is at work: what a receiving call and
 * a clause of a select have in common. All with the connection's lock held.
 */
#ifndef KCI_RECV_H
#define KCI_RECV_H

#include "libkcoro-client/ipc/chan-socket.h"

/* In the memory of who receives. */
struct kci_receive {
	struct kci_list link; /* sc->receiving, or sc->provisional */
	struct kci_schan *sc;
	struct kci_recv *op;
	struct kci_call *call; /* its RECV */
	uint64_t deadline;
	uint64_t first; /* what the reply wrote to op: the first delivery */
	uint64_t n;	/* and how many; 0: nothing */
	bool buffered;	/* the reply's elements are in sc->ahead */
	bool provisional;
};

void kci_receive_init(struct kci_receive *rc, struct kci_schan *sc, struct kci_recv *op);

/* What was given ahead: how many were taken, a code, or 0 if there is nothing. */
long kci_receive_ahead(struct kci_receive *rc);

/* Fill in a RECV; flags, KCP_F_, go with those that op means. It is under way from here on
 * until kci_receive_end(). */
void kci_receive_begin(struct kci_receive *rc, struct kci_call *call, uint32_t flags);
void kci_receive_end(struct kci_receive *rc);

/* The call's on_reply, its arg being rc. */
int kci_receive_replied(struct kci_call *call, struct kcp_args *args, int code);

/* After a good reply: how many elements are in op once kcorod was told so, 0: none (they went
 * behind those given ahead, or were withdrawn), or a code. */
long kci_receive_conclude(struct kci_receive *rc);

#endif
