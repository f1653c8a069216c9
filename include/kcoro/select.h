/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_SELECT_H
#define KCORO_SELECT_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/cancel.h"
#include "kcoro/chan.h"
#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Select: wait for whichever of several operations can be carried out first, and carry
 * out that one and no other.
 *
 * A clause is one send or receive on one channel, or a timer. Clauses may be of any
 * channels in any mix: local ones, a daemon's over any number of connections, each of any
 * kind. Exactly one clause takes effect; no element is taken from, or put into, the channel
 * of any other, not even for a moment that somebody else could see: what a daemon's channel
 * has for a clause is reserved until this process has decided, and returns to its
 * place if it decided otherwise (proto/PROTOCOL.md section 9).
 *
 *	uint64_t job;
 *	struct kc_clause c[] = {
 *		kc_clause_recv(jobs, &job),
 *		kc_clause_recv(quit, &dummy),
 *		kc_clause_after(1000),
 *	};
 *
 *	switch (kc_select(c, 3, 0, -1, token)) {
 *	case 0:  if (c[0].result == 0) work(job); break;   // KC_EPIPE: closed
 *	case 1:  return;
 *	case 2:  complain("nothing for a second"); break;
 *	default: return;                                   // KC_ECANCELED, ...
 *	}
 *
 * Among clauses that are ready at the same time each is as likely as the others, unless
 * KC_SELECT_PRIORITY says that the first of them is to win. A clause whose operation would
 * fail is ready too: it takes effect with that failure as its result (a closed channel gives
 * KC_EPIPE, at once and every time: switch the clause off then). Asking a daemon costs a
 * round trip; while local clauses are ready, those over a socket are asked about once in a
 * millisecond (with KC_SELECT_PRIORITY every time, where they come first).
 *
 * While a daemon is away (its connection broke, and it is not back within the grace yet) its
 * clauses wait, and the others are as prompt as ever, as are the timeout and the token; but
 * timeout 0 waits for its answer, and so does the outcome of an offer that was just being
 * claimed. A clause on a connection that has ended takes effect with KC_ECONNRESET.
 *
 * The same as a block that reads like a switch, of nothing but its cases; each clause is
 * evaluated once, and `break` and `continue` within a case leave the select:
 *
 *	KC_SELECT (-1, token) {
 *		KC_CASE_RECV (jobs, &job, r) {
 *			...
 *		}
 *		KC_CASE_SEND (results, &done, r) {
 *			...
 *		}
 *		KC_CASE_AFTER (1000) {
 *			...
 *		}
 *		KC_CASE_NONE (r) {          // KC_EAGAIN, KC_ETIME, KC_ECANCELED, ...
 *			...
 *		}
 *	}
 */

struct kc_lease; /* kcoro/ipc.h */
struct kc_zdesc; /* kcoro/zref.h */

/* What a clause does. */
enum kc_clause_kind {
	KC_CLAUSE_OFF = 0, /* nothing: it never takes effect; so too where ch is NULL */
	KC_CLAUSE_RECV,
	KC_CLAUSE_SEND,
	KC_CLAUSE_RECV_MSG,
	KC_CLAUSE_SEND_MSG,
	KC_CLAUSE_RECV_DESC,
	KC_CLAUSE_SEND_DESC,
	KC_CLAUSE_RECV_LEASE,
	KC_CLAUSE_TIMER,
};

/*
 * One clause, made by one of the kc_clause_ functions. The array stays the caller's; it and
 * what it points to must stay until the select returns. It may be used again and again, by
 * one select at a time: nothing but result, len and the timer's due_ns changes.
 */
struct kc_clause {
	int kind;   /* enum kc_clause_kind; to switch a clause off, and on again, write this */
	int result; /* out, of the one that took effect: 0, or what the operation failed with */
	kc_chan_t *ch;
	const void *elem;	/* send: the element, message or descriptor */
	void *buf;		/* receive: where it goes */
	uintptr_t own[7];	/* the library's while a select is under way */
	size_t size;		/* messages and leases: bytes of elem, or of room at buf */
	size_t len;		/* out, messages and leases: bytes received; KC_EMSGSIZE: needed */
	struct kc_lease *lease; /* KC_CLAUSE_RECV_LEASE: the lease, written on success */
	uint64_t due_ns;	/* timer: on the clock of kc_sched_now(); UINT64_MAX: it has gone off */
	uint64_t period_ns;	/* timer: 0: goes off once */
};

#define KC_SELECT_MAX 1024u /* clauses of one select */

/* flags of a select */
#define KC_SELECT_PRIORITY 1u /* of those that are ready the first one, not any */
#define KC_SELECT_READY	   2u /* carry nothing out, only say which clause could be; see there */

KC_BEGIN_DECLS

/**
 * kc_clause_recv() - the clause that receives an element of fixed size
 * @ch:            the channel; NULL: the clause is off
 * @ret_elem:      room for one element
 *
 * Returns: the clause. What is wrong with it kc_select() says.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_recv(kc_chan_t *ch, void *ret_elem);

/**
 * kc_clause_send() - the clause that sends an element of fixed size
 * @ch:            the channel; NULL: the clause is off
 * @elem:          the element, read when the clause takes effect
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_send(kc_chan_t *ch, const void *elem);

/**
 * kc_clause_recv_msg() - the clause that receives a message
 * @ch:            the channel; NULL: the clause is off
 * @buf:           where the message goes; its length will be the clause's len
 * @cap:           bytes of room. A longer message stays, and the clause takes effect
 *                 with KC_EMSGSIZE
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_recv_msg(kc_chan_t *ch, void *buf, size_t cap);

/**
 * kc_clause_send_msg() - the clause that sends a message
 * @ch:            the channel; NULL: the clause is off
 * @buf:           the message
 * @len:           its bytes
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_send_msg(kc_chan_t *ch, const void *buf, size_t len);

/**
 * kc_clause_recv_desc() - the clause that receives a descriptor
 * @ch:            the channel; NULL: the clause is off
 * @ret_desc:      room for it
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_recv_desc(kc_chan_t *ch, struct kc_zdesc *ret_desc);

/**
 * kc_clause_send_desc() - the clause that sends a descriptor
 * @ch:            the channel; NULL: the clause is off
 * @desc:          the descriptor; what it stands for is handed over if the clause wins
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_send_desc(kc_chan_t *ch, const struct kc_zdesc *desc);

/**
 * kc_clause_recv_lease() - the clause that receives an element or message as a lease
 * @ch:            a daemon's channel; NULL: the clause is off
 * @buf:           where it goes; its length will be the clause's len
 * @cap:           bytes of room
 * @ret_lease:     for kc_chan_ack() and its kin
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_recv_lease(kc_chan_t *ch, void *buf, size_t cap,
						struct kc_lease *ret_lease);

/**
 * kc_clause_after() - the clause that takes effect after some time
 * @ms:            from now on; 0: it is ready at once, < 0: never
 *
 * The time runs from this call, not from the select, and over any number of selects. Once
 * it has gone off the clause is never ready again.
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_after(long ms);

/**
 * kc_clause_tick() - the clause that takes effect again and again
 * @ms:            the period, the first one beginning now; <= 0: never
 *
 * Ticks that nobody was there for are left out; those that follow stay at multiples of the
 * period.
 *
 * Returns: the clause.
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause kc_clause_tick(long ms);

/**
 * kc_select() - carry out exactly one of several operations
 * @clauses:       the clauses
 * @n:             how many, at most KC_SELECT_MAX
 * @flags:         KC_SELECT_PRIORITY, KC_SELECT_READY
 * @timeout_ms:    0 = only what is ready now (a default case), < 0 = without bound, > 0 =
 *                 at most so long
 * @token:         may be NULL
 *
 * The same channel may be in several clauses, as sender and receiver alike; a select never
 * meets itself. While it waits, the select stands in the queue of each channel in the order
 * of its coming, as any other sender or receiver does.
 *
 * With KC_SELECT_READY nothing is carried out: the clause named could have been at
 * that moment. Somebody else may be faster than what is then done about it. A ready
 * timer counts as gone off.
 *
 * Returns: the index of the clause that took effect, whose result says how; or, and none did,
 *          KC_EAGAIN     timeout 0 and none is ready
 *          KC_ETIME      deadline passed
 *          KC_ECANCELED  the token was set first
 *          KC_EINVAL     n or flags out of range, a clause of unknown kind, without buffer or
 *                        element, or of the wrong family for its channel; or all are off,
 *                        without a bound or token: that would be for ever. The detail
 *                        names the clause
 *          KC_EMSGSIZE   a message to be sent is longer than its channel takes
 *          KC_ENOTSUP    a lease of a local channel; or a coroutine of a deterministic
 *                        scheduler would have to wait for kcorod
 *          KC_EDQUOT     too many calls wait on a connection to kcorod, or the clauses are of
 *                        more than 64 connections
 *          KC_ENOMEM     no memory, or no descriptor to wait with
 *          KC_EFORKED    a channel or the token came through a fork
 * Thread:  any; a coroutine parks.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_select(struct kc_clause *clauses, size_t n, unsigned flags,
				      long timeout_ms, kc_cancel_t *token);

/**
 * kc_select_create() - a select to which clauses are added one by one
 * @ret:           the select; written on success
 * @token:         of its waits; may be NULL; a reference is taken
 *
 * Returns: 0, or
 *          KC_EINVAL   ret is NULL
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  the token came through a fork
 * Thread:  any; the select itself is for one at a time.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_select_create(kc_select_t **ret, kc_cancel_t *token);

/**
 * kc_select_destroy() - free a select
 * @sel:           may be NULL
 *
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC void kc_select_destroy(kc_select_t *sel);

/**
 * kc_select_reset() - take all clauses away
 * @sel:           the select
 *
 * Returns: 0, or KC_EINVAL (NULL), KC_EFORKED.
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC int kc_select_reset(kc_select_t *sel);

/**
 * kc_select_add() - add a clause
 * @sel:           the select
 * @clause:        copied
 *
 * Returns: its index, from 0; or
 *          KC_EINVAL   NULL, or there are KC_SELECT_MAX already
 *          KC_ENOMEM   no memory
 *          KC_EFORKED  the select came through a fork
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_select_add(kc_select_t *sel, const struct kc_clause *clause);

/**
 * kc_select_add_recv() - add kc_clause_recv()
 * @sel:           the select
 * @ch:            the channel; NULL: the clause is off
 * @ret_elem:      room for one element
 *
 * Returns: as kc_select_add()
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_select_add_recv(kc_select_t *sel, kc_chan_t *ch, void *ret_elem);

/**
 * kc_select_add_send() - add kc_clause_send()
 * @sel:           the select
 * @ch:            the channel; NULL: the clause is off
 * @elem:          the element, read when the clause takes effect
 *
 * Returns: as kc_select_add()
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_select_add_send(kc_select_t *sel, kc_chan_t *ch, const void *elem);

/**
 * kc_select_clause() - a clause, to be looked at or changed
 * @sel:           the select
 * @index:         its index
 *
 * Returns: the clause, valid until one is added; NULL if there is none.
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC struct kc_clause *kc_select_clause(kc_select_t *sel, size_t index);

/**
 * kc_select_set_flags() - how the select chooses from here on
 * @sel:           the select
 * @flags:         as those of kc_select()
 *
 * Returns: 0, or KC_EINVAL (NULL, unknown flags), KC_EFORKED.
 * Thread:  any, once nobody waits in it.
 * Since:   0.1
 */
KC_PUBLIC int kc_select_set_flags(kc_select_t *sel, unsigned flags);

/**
 * kc_select_wait() - kc_select() with what was added
 * @sel:           the select; its clauses stay
 * @timeout_ms:    as kc_select()
 * @ret_index:     the clause that took effect
 * @ret_result:    and how: 0, or what its operation failed with; may be NULL
 *
 * Returns: 0 if a clause took effect, or as kc_select()
 * Thread:  any; a coroutine parks.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_select_wait(kc_select_t *sel, long timeout_ms, int *ret_index,
					   int *ret_result);

/* ---- the block that reads like a switch ------------------------------------- */

#define KC_SELECT_BLOCK_MAX 16 /* clauses of a block */

/* Between the macros and the library; nothing else should look at it. */
struct kc_select_block {
	struct kc_clause clauses[KC_SELECT_BLOCK_MAX];
	unsigned flags;
	long timeout_ms;
	kc_cancel_t *token;
	unsigned pass; /* 0: clauses are gathered, 1: one is carried out */
	int n, at;
	int won; /* its index, or a code */
};

/**
 * kc_select_block_begin() - what KC_SELECT() begins with
 * @block:         to be filled
 * @flags:         as those of kc_select()
 * @timeout_ms:    as kc_select()
 * @token:         as kc_select()
 *
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_select_block_begin(struct kc_select_block *block, unsigned flags,
				     long timeout_ms, kc_cancel_t *token);

/**
 * kc_select_block_add() - what KC_CASE_RECV() and the others do at first
 * @block:         the block
 * @clause:        the clause; more than KC_SELECT_BLOCK_MAX make the select fail with KC_EINVAL
 *
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC void kc_select_block_add(struct kc_select_block *block, struct kc_clause clause);

/**
 * kc_select_block_next() - what KC_SELECT() does after each of its two passes
 * @block:         the block
 *
 * Returns: 1 if there is another pass.
 * Thread:  any; a coroutine parks.
 * Since:   0.1
 */
KC_PUBLIC int kc_select_block_next(struct kc_select_block *block);

/* Is the clause at this place of the block the one? */
static inline int kc_select_block_won(struct kc_select_block *block, int *ret_result)
{
	if (block->at++ != block->won)
		return 0;
	*ret_result = block->clauses[block->won].result;
	return 1;
}

KC_END_DECLS

#define KC_SELECT_EX(flags_, timeout_ms_, token_)                                                  \
	for (struct kc_select_block kc_block_,                                                     \
	     *kc_block_once_ = (kc_select_block_begin(&kc_block_, (flags_), (timeout_ms_),         \
						      (token_)),                                   \
				&kc_block_);                                                       \
	     kc_block_once_; kc_block_once_ = kc_select_block_next(&kc_block_) ? &kc_block_ : 0)

/* A select of the cases that follow. */
#define KC_SELECT(timeout_ms, token) KC_SELECT_EX(0, (timeout_ms), (token))

/* One case: a clause, and the name of an int for its result within the block that follows. */
#define KC_CASE(clause_, result_)                                                                  \
	for (int result_ = 0, kc_case_once_ = 1; kc_case_once_; kc_case_once_ = 0)                 \
		if (kc_block_.pass == 0 ? (kc_select_block_add(&kc_block_, (clause_)), 0) :        \
					  kc_select_block_won(&kc_block_, &result_))

#define KC_CASE_RECV(ch, ret_elem, result) KC_CASE(kc_clause_recv((ch), (ret_elem)), result)
#define KC_CASE_SEND(ch, elem, result)	   KC_CASE(kc_clause_send((ch), (elem)), result)
#define KC_CASE_AFTER(ms)		   KC_CASE(kc_clause_after(ms), kc_case_result_)

/* No clause took effect; code is the name of an int that says why. */
#define KC_CASE_NONE(code)                                                                         \
	for (int code = kc_block_.won, kc_case_once_ = 1; kc_case_once_; kc_case_once_ = 0)        \
		if (kc_block_.pass == 1 && code < 0)

#endif
