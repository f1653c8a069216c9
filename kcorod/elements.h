/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a channel keeps the bytes of its elements: a log.
 *
 * Every element has a sequence number, given in the order of sending, and stays
 * in its place until it is freed, whatever happens to it meanwhile: queued,
 * given, leased, returned. So everything else in the daemon can speak of ranges
 * of numbers, and giving a thousand elements to a client is one record.
 *
 * Elements lie in segments in the form in which they travel (fixed: one after
 * the other; messages: a u32 length before each), so that a run of them can be
 * written to a socket as it lies. A segment goes when its last element is freed.
 */
#ifndef KCD_ELEMENTS_H
#define KCD_ELEMENTS_H

#include <stddef.h>
#include <stdint.h>

struct kcd_segment;

/* A bound on memory, shared by many channels: the daemon's, or one user's. */
struct kcd_budget {
	uint64_t used, max; /* bytes */
	const char *name;   /* of the limit, for people */
};

struct kcd_elements {
	uint32_t elem_size; /* 0 = messages */
	uint64_t next;      /* number of the next element */
	struct kcd_segment **segs; /* by rising numbers: segs[first .. first + n) */
	size_t first, n, cap;
	struct kcd_budget *budgets[2]; /* charged for every segment; may be NULL */
	uint64_t held; /* bytes of all segments */
};

void kcd_elements_init(struct kcd_elements *es, uint32_t elem_size, struct kcd_budget *daemon,
		       struct kcd_budget *user);
void kcd_elements_done(struct kcd_elements *es);

/*
 * Append one element of `len` bytes. Its number is the value of es->next before.
 * Returns 0, KC_ENOMEM, or KC_EDQUOT (*ret_limit: the budget that is used up).
 */
int kcd_elements_append(struct kcd_elements *es, const void *data, uint32_t len,
			const char **ret_limit);

/* The bytes of element `seq`, which must be live. */
const void *kcd_elements_get(const struct kcd_elements *es, uint64_t seq, uint32_t *ret_len);

/*
 * The longest run from `seq` on, at most `n` elements, that lies in one piece:
 * how many elements, and where, in travelling form.
 */
uint32_t kcd_elements_run(const struct kcd_elements *es, uint64_t seq, uint32_t n,
			  const void **ret_data, size_t *ret_bytes);

/* Free the live elements [seq, seq + n). */
void kcd_elements_free(struct kcd_elements *es, uint64_t seq, uint64_t n);

#endif
