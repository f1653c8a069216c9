/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments grow with the traffic of their channel, from 1 KiB to 64 KiB, so that
 * ten thousand quiet channels cost little and a busy one few allocations. An empty
 * channel has none: the smallest is of a size that the allocator hands back and
 * forth as fast as any list of spare ones could. What is
 * charged to the budgets is the memory of segments, not the bytes of elements:
 * one element left behind in a segment is paid for by who left it there.
 */
#include "kcorod/elements.h"

#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define SEGMENT_MIN (1024u - (uint32_t)sizeof(struct kcd_segment))
#define SEGMENT_MAX 65536u
#define SEGS_KEEP 64u /* places for segments that an empty channel keeps */
#define PREFIX 4u /* length before each message */

struct kcd_segment {
	uint64_t first; /* number of its first element */
	uint32_t n;     /* elements appended */
	uint32_t live;  /* of these not freed */
	uint32_t used, size; /* bytes */
	uint32_t *at;        /* messages: where each begins */
	uint32_t at_cap;
	uint8_t data[];
};

void kcd_elements_init(struct kcd_elements *es, uint32_t elem_size, struct kcd_budget *daemon,
		       struct kcd_budget *user)
{
	*es = (struct kcd_elements){ .elem_size = elem_size, .budgets = { daemon, user } };
}

static void segment_uncharge(struct kcd_elements *es, uint64_t bytes)
{
	es->held -= bytes;
	for (size_t i = 0; i < KC_ARRAY_SIZE(es->budgets); i++)
		if (es->budgets[i])
			es->budgets[i]->used -= bytes;
}

static void segment_free(struct kcd_elements *es, struct kcd_segment *seg)
{
	if (!seg)
		return;
	segment_uncharge(es, seg->size);
	KC_FREE(seg->at);
	KC_FREE(seg);
}

void kcd_elements_done(struct kcd_elements *es)
{
	for (size_t i = es->first; i < es->first + es->n; i++)
		segment_free(es, es->segs[i]);
	KC_FREE(es->segs);
	*es = (struct kcd_elements){ .elem_size = es->elem_size };
}

static int segment_charge(struct kcd_elements *es, uint64_t bytes, const char **ret_limit)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(es->budgets); i++) {
		struct kcd_budget *b = es->budgets[i];

		if (b && (b->used > b->max || bytes > b->max - b->used)) {
			*ret_limit = b->name;
			return KC_EDQUOT;
		}
	}
	es->held += bytes;
	for (size_t i = 0; i < KC_ARRAY_SIZE(es->budgets); i++)
		if (es->budgets[i])
			es->budgets[i]->used += bytes;
	return 0;
}

/* Room in the array of segments for one more at its end. */
static int segments_reserve(struct kcd_elements *es)
{
	size_t cap;
	struct kcd_segment **segs;

	if (es->first + es->n < es->cap)
		return 0;
	if (es->first > es->n) {
		memmove(es->segs, es->segs + es->first, es->n * sizeof(*es->segs));
		es->first = 0;
		return 0;
	}
	cap = es->cap ? 2 * es->cap : 4;
	segs = KC_REALLOC(es->segs, cap, sizeof(*segs));
	if (!segs)
		return KC_ENOMEM;
	es->segs = segs;
	es->cap = cap;
	return 0;
}

static struct kcd_segment *segment_last(const struct kcd_elements *es)
{
	return es->n ? es->segs[es->first + es->n - 1] : NULL;
}

/* A new last segment with room for an element that takes `need` bytes. */
static int segment_add(struct kcd_elements *es, uint32_t need, const char **ret_limit)
{
	struct kcd_segment *seg, *last = segment_last(es);
	uint32_t size = last && last->size < SEGMENT_MAX ? 2 * last->size : SEGMENT_MIN;
	int r = segments_reserve(es);

	if (r < 0)
		return r;
	while (size < need && size < SEGMENT_MAX)
		size *= 2;
	if (size > SEGMENT_MAX || (last && last->size >= SEGMENT_MAX))
		size = SEGMENT_MAX;
	if (size < need)
		size = need; /* a message of its own size */
	r = segment_charge(es, size, ret_limit);
	if (r == KC_EDQUOT && size > need) {
		size = need; /* near the limit: no more than is needed */
		r = segment_charge(es, size, ret_limit);
	}
	if (r < 0)
		return r;
	seg = KC_ALLOC(sizeof(*seg) + size);
	if (!seg) {
		segment_uncharge(es, size);
		return KC_ENOMEM;
	}
	*seg = (struct kcd_segment){ .size = size, .first = es->next };
	es->segs[es->first + es->n++] = seg;
	return 0;
}

static int segment_index(struct kcd_segment *seg)
{
	uint32_t cap;
	uint32_t *at;

	if (seg->n < seg->at_cap)
		return 0;
	cap = seg->at_cap ? 2 * seg->at_cap : 16;
	at = KC_REALLOC(seg->at, cap, sizeof(*at));
	if (!at)
		return KC_ENOMEM;
	seg->at = at;
	seg->at_cap = cap;
	return 0;
}

int kcd_elements_append(struct kcd_elements *es, const void *data, uint32_t len,
			const char **ret_limit)
{
	uint32_t need = es->elem_size ? es->elem_size : PREFIX + len;
	struct kcd_segment *seg = segment_last(es);
	int r;

	/* The last segment may end before the latest numbers, whose own one is gone. */
	if (!seg || seg->size - seg->used < need || seg->first + seg->n != es->next) {
		r = segment_add(es, need, ret_limit);
		if (r < 0)
			return r;
		seg = segment_last(es);
	}
	if (!es->elem_size) {
		r = segment_index(seg);
		if (r < 0) {
			if (seg->n == 0) { /* just added: leave no empty segment behind */
				es->n--;
				segment_free(es, seg);
			}
			return r;
		}
		seg->at[seg->n] = seg->used;
		seg->data[seg->used] = (uint8_t)len;
		seg->data[seg->used + 1] = (uint8_t)(len >> 8);
		seg->data[seg->used + 2] = (uint8_t)(len >> 16);
		seg->data[seg->used + 3] = (uint8_t)(len >> 24);
	}
	if (len > 0)
		memcpy(seg->data + seg->used + (need - len), data, len);
	seg->used += need;
	seg->n++;
	seg->live++;
	es->next++;
	return 0;
}

/* Place in es->segs of the segment that holds `seq`. */
static size_t segment_find(const struct kcd_elements *es, uint64_t seq)
{
	size_t lo = es->first, hi = es->first + es->n;

	/* Nearly all look-ups are for the oldest or the newest segment. */
	if (es->n > 1 && seq < es->segs[lo + 1]->first)
		return lo;
	if (seq >= es->segs[hi - 1]->first)
		return hi - 1;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (es->segs[mid]->first <= seq)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Where element i of a segment begins; i == n gives the end of the last. */
static uint32_t segment_offset(const struct kcd_elements *es, const struct kcd_segment *seg,
			       uint32_t i)
{
	if (es->elem_size)
		return i * es->elem_size;
	return i < seg->n ? seg->at[i] : seg->used;
}

const void *kcd_elements_get(const struct kcd_elements *es, uint64_t seq, uint32_t *ret_len)
{
	const struct kcd_segment *seg = es->segs[segment_find(es, seq)];
	uint32_t i = (uint32_t)(seq - seg->first);
	uint32_t at = segment_offset(es, seg, i), end = segment_offset(es, seg, i + 1);

	if (!es->elem_size)
		at += PREFIX;
	*ret_len = end - at;
	return seg->data + at;
}

uint32_t kcd_elements_run(const struct kcd_elements *es, uint64_t seq, uint32_t n,
			  const void **ret_data, size_t *ret_bytes)
{
	const struct kcd_segment *seg = es->segs[segment_find(es, seq)];
	uint32_t i = (uint32_t)(seq - seg->first);
	uint32_t at;

	if (n > seg->n - i)
		n = seg->n - i;
	at = segment_offset(es, seg, i);
	*ret_data = seg->data + at;
	*ret_bytes = segment_offset(es, seg, i + n) - at;
	return n;
}

void kcd_elements_free(struct kcd_elements *es, uint64_t seq, uint64_t n)
{
	while (n > 0) {
		size_t k = segment_find(es, seq);
		struct kcd_segment *seg = es->segs[k];
		uint64_t here = seg->first + seg->n - seq;

		if (here > n)
			here = n;
		seq += here;
		n -= here;
		seg->live -= (uint32_t)here;
		if (seg->live > 0)
			continue;
		/* An empty last segment would be filled up again, but its numbers would keep
		 * the freed bytes: start afresh. */
		if (k == es->first) {
			es->first++;
		} else {
			memmove(es->segs + k, es->segs + k + 1,
				(es->first + es->n - k - 1) * sizeof(*es->segs));
		}
		if (--es->n == 0) {
			es->first = 0;
			if (es->cap > SEGS_KEEP) {
				KC_FREE(es->segs);
				es->segs = NULL;
				es->cap = 0;
			}
		}
		segment_free(es, seg);
	}
}
