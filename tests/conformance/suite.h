/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conformance suite: what its files share.
 *
 * Each case makes its channel with case_make(), keeps account of what it expects
 * in struct kct_case, and ends with case_end(), which compares that with the
 * channel's own books and asks that they balance. So the ledger is checked at the
 * end of every case, and no case needs to remember to do it.
 */
#ifndef KCT_SUITE_H
#define KCT_SUITE_H

#include "tests/conformance/placement.h"
#include "tests/lib/kct.h"

/* The largest element and message that cases without a size of their own use. */
#define KCT_MSG_MAX 64u

enum kct_family { KCT_FIXED, KCT_MSG, KCT_DESC };

struct kct_case {
	struct kct_pair pair;
	enum kct_family family;
	/* expected in the books at the end; queued follows from the rest */
	uint64_t sent;
	uint64_t received;
	uint64_t conflated;
	uint64_t dropped_oldest;
	uint64_t dropped_newest;
	uint64_t dropped_purged;
};

/* Options of a channel of 64-bit numbers (fixed), of messages up to KCT_MSG_MAX, or of
 * descriptors. capacity counts for KC_BUFFERED; a KC_UNLIMITED channel is bounded so that
 * it holds `capacity` of the elements case_send() sends, if that is not 0. */
struct kc_chan_options case_options(enum kct_family family, enum kc_kind kind, size_t capacity);

void case_make(struct kct_case *c, enum kct_family family, const struct kc_chan_options *opts);
/* Make with case_options(). */
void case_start(struct kct_case *c, enum kct_family family, enum kc_kind kind, size_t capacity);
void case_end(struct kct_case *c);

/* Send or receive one numbered element by the calls of the channel's family; counts a
 * success in the case's account. recv gives the number, or a negative code. Not for helper
 * threads: see struct kct_op. */
int case_send(struct kct_case *c, uint32_t number, long timeout_ms, kc_cancel_t *token);
long case_recv(struct kct_case *c, long timeout_ms, kc_cancel_t *token);

/* The descriptor that stands for a number, and the number of one that was received. */
struct kc_zdesc case_desc(uint32_t number);
uint64_t case_desc_number(const struct kc_zdesc *desc);

/* The same on a thread of its own. The account is settled by op_join(). */
struct kct_op {
	struct kct_call call;
	struct kct_case *c;
	bool is_send;
	uint32_t number;
	long timeout_ms;
	kc_cancel_t *token;
};

/* Returns once the operation is blocked in the channel as its nth send or receive, or was
 * not for a long time (then the test fails). */
void op_start_blocked(struct kct_op *op, struct kct_case *c, bool is_send, uint32_t number,
		      unsigned nth);
void op_start_blocked_c(struct kct_op *op, struct kct_case *c, bool is_send, uint32_t number,
			unsigned nth, kc_cancel_t *token);
/* Its result: 0 or a code for a send, the number or a code for a receive. */
long op_join(struct kct_op *op);

uint64_t now_ns(void);

/* The cases, by file; each gives an array and its length. */
const struct CMUnitTest *matrix_tests(size_t *ret_n); /* made when first asked for */
const struct CMUnitTest *bound_tests(size_t *ret_n);
const struct CMUnitTest *order_tests(size_t *ret_n);
const struct CMUnitTest *message_tests(size_t *ret_n);
const struct CMUnitTest *batch_tests(size_t *ret_n);
const struct CMUnitTest *close_tests(size_t *ret_n);
const struct CMUnitTest *argument_tests(size_t *ret_n);
const struct CMUnitTest *drop_tests(size_t *ret_n);
const struct CMUnitTest *fd_tests(size_t *ret_n);
const struct CMUnitTest *select_tests(size_t *ret_n); /* made when first asked for */
const struct CMUnitTest *select_many_tests(size_t *ret_n);
const struct CMUnitTest *select_use_tests(size_t *ret_n);

#endif
