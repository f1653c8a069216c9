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
 * written to a socket as it lies, and a large frame's own memory can become a
 * segment. A segment goes when its last element is freed and nobody holds it.
 */
#ifndef KCD_ELEMENTS_H
#define KCD_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

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

/* Memory in which elements came, and which may be kept. */
struct kcd_lender {
	size_t size;
	uint8_t *(*take)(void *arg); /* its address, now the caller's to KC_FREE(); or NULL */
	void *arg;
};

/* Charge the budgets for elements still to come, or undo that. 0 or KC_EDQUOT. */
int kcd_elements_reserve(struct kcd_elements *es, uint64_t bytes);
void kcd_elements_unreserve(struct kcd_elements *es, uint64_t bytes);

/* Is it better to keep `size` bytes of memory for `bytes` of elements than to copy them? */
bool kcd_elements_worth_keeping(size_t bytes, size_t size);

/*
 * Append `n` elements of `bytes` in travelling form. The first one's number is the value
 * of es->next before. `lender` may be NULL, else the bytes lie in what it lends.
 *
 * Returns how many were appended (at least 1), or KC_ENOMEM, or KC_EDQUOT (*ret_limit: the
 * budget that is used up).
 */
long kcd_elements_append(struct kcd_elements *es, const uint8_t *data, uint32_t n, size_t bytes,
			 const struct kcd_lender *lender, const char **ret_limit);

/* Bytes of the first element at `data`, in travelling form. */
static inline size_t kcd_elements_size(const struct kcd_elements *es, const uint8_t *data)
{
	return es->elem_size ? es->elem_size : 4 + (size_t)kcp_load_u32(data);
}

/* The bytes of element `seq`, which must be live. */
const void *kcd_elements_get(const struct kcd_elements *es, uint64_t seq, uint32_t *ret_len);

/*
 * The longest run from `seq` on, at most `n` elements, that lies in one piece:
 * how many elements, and where, in travelling form.
 */
uint32_t kcd_elements_run(const struct kcd_elements *es, uint64_t seq, uint32_t n,
			  const void **ret_data, size_t *ret_bytes);

/* Keep the memory of element `seq` as it is, whatever becomes of the elements in it, until
 * kcd_segment_release() is called for the result. NULL if that would hold much more memory
 * than the `bytes` it is asked for. */
struct kcd_segment *kcd_elements_hold(struct kcd_elements *es, uint64_t seq, size_t bytes);
void kcd_segment_release(void *segment);

/* Free the live elements [seq, seq + n). */
void kcd_elements_free(struct kcd_elements *es, uint64_t seq, uint64_t n);

#endif
