/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a placement of a channel has to provide, and the handle all share.
 *
 * kc_chan_t begins with this head; a placement embeds it as its first member
 * and fills in its operations table. core/chan.c holds every public channel
 * call: it checks arguments, the family of the call and the fork guard once,
 * describes the call as one kci_send or kci_recv, and hands it to the table.
 * It also counts failures, and the calls in progress, so that destroy can wait
 * for them. Placements therefore see valid calls only, and know nothing of the
 * many public spellings: no NULL where something is needed, n within its bounds,
 * no message over max_msg, no token that was set or forked at entry.
 */
#ifndef KCI_CHAN_OPS_H
#define KCI_CHAN_OPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcoro/cancel.h"
#include "kcoro/chan.h"
#include "kcoro/ipc.h"
#include "kcoro/stats.h"
#include "kcoro/zref.h"

struct kci_remote_ops;
struct kci_waiter;

/* One send call, of any spelling. */
struct kci_send {
	const void *elems;	   /* fixed elements (descriptors too): n of elem_size bytes */
	const struct kc_msg *msgs; /* messages: n; exactly one of elems and msgs is set */
	size_t n;		   /* 1..KC_BATCH_MAX */
	long timeout_ms;
	kc_cancel_t *token; /* may be NULL */
	bool counted;	    /* the call is counted as one in progress already */
};

/* One receive call, of any spelling. Fixed elements and messages alike are
 * written to buf one after the other. */
struct kci_recv {
	void *buf;
	size_t cap;		 /* bytes; for fixed elements at least n * elem_size */
	size_t n;		 /* 1..KC_BATCH_MAX */
	struct kc_msg *msgs;	 /* messages and leases: n entries to fill; else NULL */
	struct kc_lease *leases; /* leases: n entries to fill; else NULL */
	long timeout_ms;
	kc_cancel_t *token; /* may be NULL */
	bool counted;	    /* the call is counted as one in progress already */
	size_t needed;	    /* out: on KC_EMSGSIZE the length of the element that did not fit */
};

struct kci_chan_ops {
	/* send and recv say kci_chan_failed() themselves, while the handle is certain to exist:
	 * it may be gone by the time they return. */
	bool counts_failures;
	/* How many were accepted (1..n), or a KC_E* code. */
	long (*send)(kc_chan_t *ch, const struct kci_send *op);
	/* How many were taken (1..n), or a KC_E* code. */
	long (*recv)(kc_chan_t *ch, struct kci_recv *op);
	int (*close)(kc_chan_t *ch);
	long (*purge)(kc_chan_t *ch);
	long (*len)(kc_chan_t *ch);
	/* Everything but kind, elem_size, capabilities and the failures, which are
	 * filled in already. */
	int (*snapshot)(kc_chan_t *ch, struct kc_chan_snapshot *ret);
	/* kc_chan_fd() of one direction: the descriptor, or a KC_E* code. */
	int (*fd)(kc_chan_t *ch, unsigned direction);
	/* End every wait, kci_chan_wait_idle(), free. */
	void (*destroy)(kc_chan_t *ch);
	/* Daemon's channels only; NULL elsewhere and the caller gets KC_ENOTSUP.
	 * ack: how many of n were known. */
	long (*ack)(kc_chan_t *ch, const struct kc_lease *leases, size_t n);
	int (*nack)(kc_chan_t *ch, const struct kc_lease *lease);
	int (*extend)(kc_chan_t *ch, const struct kc_lease *lease, unsigned lease_ms);
	/* How a select deals with it; NULL: as with a local channel. */
	const struct kci_remote_ops *select;
};

/* Failures of one direction: what kc_op_failures reports. */
struct kci_failures {
	_Atomic uint64_t eagain;
	_Atomic uint64_t etime;
	_Atomic uint64_t epipe;
	_Atomic uint64_t ecanceled;
};

/* What may go the short way on a channel. */
enum kci_fast { KCI_FAST_NONE, KCI_FAST_FIXED, KCI_FAST_DESC };

struct kc_chan {
	const struct kci_chan_ops *ops;
	uint64_t process; /* kci_process_id() at creation: the fork guard */
	enum kc_kind kind;
	size_t elem_size;      /* 0 = messages */
	size_t max_msg;	       /* messages only */
	unsigned capabilities; /* KC_CHAN_CAP_*; fixed once the channel is in use */
	enum kci_fast fast;    /* which elements may go by kci_fast_send() and its kin */
	bool hands;	       /* a rendezvous of fixed elements, from hand to hand */
	bool uncounted;	       /* calls without deadline and token keep themselves safe from
				* kc_chan_destroy(): not counted below */
	/* core/chan.c's own: */
	struct kci_failures send_failures;
	struct kci_failures recv_failures;
	/* last: what is above is only read, mostly, and this is written by all, so it should not
	 * be in the same line of a cache */
	_Atomic uint32_t calls;	 /* in progress, see kci_chan_enter() */
	struct kci_waiter *idle; /* of who waits until there are none */
};

/* Fill in the head. */
void kci_chan_init(kc_chan_t *ch, const struct kci_chan_ops *ops, enum kc_kind kind,
		   size_t elem_size, size_t max_msg, unsigned capabilities);

/* Every public call on a handle runs between these two; core/chan.c does it for
 * those in its table, a placement for calls of its own. enter gives 0, KC_EINVAL
 * for NULL or KC_EFORKED. */
int kci_chan_enter(kc_chan_t *ch);
void kci_chan_leave(kc_chan_t *ch);

/* A send (else a receive) has failed. */
void kci_chan_failed(kc_chan_t *ch, bool send, int code);

/* chan-fast.c: where `fast` is set, as many of n elements as can be moved at once; or a single
 * one, waiting for a partner, if `bare` (without a token) and without a deadline. 0: none, that
 * is for the long way to do, or to refuse, and the call is counted as one in progress; or a code. */
long kci_fast_send(kc_chan_t *ch, const void *elems, size_t n, long timeout_ms, bool bare);
long kci_fast_recv(kc_chan_t *ch, void *ret_elems, size_t n, long timeout_ms, bool bare);
/* chan-one.c: a whole call, of one element and without a token: 0 or a code. */
int kci_fast_send_one(kc_chan_t *ch, const void *elem, long timeout_ms);
int kci_fast_recv_one(kc_chan_t *ch, void *ret_elem, long timeout_ms);
/* The same of a descriptor that has an address and a length and nothing else. */
int kci_fast_send_bare(kc_chan_t *ch, void *addr, size_t len, long timeout_ms);
int kci_fast_recv_bare(kc_chan_t *ch, void **ret_addr, size_t *ret_len, long timeout_ms);

/* For a placement's destroy, after it has made sure that every wait ends: returns
 * once no call is in progress. The handle may then be freed. */
void kci_chan_wait_idle(kc_chan_t *ch);

#endif
