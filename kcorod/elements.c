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

#include <stdbool.h>
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

#define SEGMENT_MIN (1024u - (uint32_t)sizeof(struct kcd_segment))
#define SEGMENT_MAX 65536u
#define SEGS_KEEP 64u /* places for segments that an empty channel keeps */
#define PREFIX 4u /* length before each message */
#define ADOPT_MIN 16384u /* bytes that are copied rather than a frame's memory kept */
#define WASTE 4u /* memory kept may be larger than what is kept it for by this part of it */

struct kcd_segment {
	uint64_t first; /* number of its first element */
	uint32_t n;     /* elements appended */
	uint32_t live;  /* of these not freed */
	uint32_t used;  /* bytes */
	uint32_t room;  /* bytes for more */
	size_t size;    /* charged to the budgets */
	uint32_t *at;   /* messages: where each begins */
	uint32_t at_cap;
	unsigned holders; /* kcd_elements_hold() */
	bool orphan;      /* no element of it lives, but it is held */
	uint8_t *base;    /* memory of a frame; NULL: its own, behind this struct */
	const uint8_t *data;
};

static uint8_t *segment_own(struct kcd_segment *seg)
{
	return (uint8_t *)(seg + 1);
}

void kcd_elements_init(struct kcd_elements *es, uint32_t elem_size, struct kcd_budget *daemon,
		       struct kcd_budget *user)
{
	*es = (struct kcd_elements){ .elem_size = elem_size, .budgets = { daemon, user } };
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

void kcd_elements_unreserve(struct kcd_elements *es, uint64_t bytes)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(es->budgets); i++)
		if (es->budgets[i])
			es->budgets[i]->used -= bytes;
}

static void segment_uncharge(struct kcd_elements *es, uint64_t bytes)
{
	es->held -= bytes;
	kcd_elements_unreserve(es, bytes);
}

static void segment_drop(struct kcd_segment *seg)
{
	KC_FREE(seg->at);
	KC_FREE(seg->base);
	KC_FREE(seg);
}

/* What is held beyond its elements is bounded by the output of those who hold it. */
static void segment_free(struct kcd_elements *es, struct kcd_segment *seg)
{
	if (!seg)
		return;
	segment_uncharge(es, seg->size);
	if (seg->holders > 0)
		seg->orphan = true;
	else
		segment_drop(seg);
}

struct kcd_segment *kcd_elements_hold(struct kcd_elements *es, uint64_t seq, size_t bytes)
{
	struct kcd_segment *seg = es->segs[segment_find(es, seq)];

	if (seg->size / WASTE > bytes)
		return NULL;
	seg->holders++;
	return seg;
}

void kcd_segment_release(void *segment)
{
	struct kcd_segment *seg = segment;

	if (--seg->holders == 0 && seg->orphan)
		segment_drop(seg);
}

void kcd_elements_done(struct kcd_elements *es)
{
	for (size_t i = es->first; i < es->first + es->n; i++)
		segment_free(es, es->segs[i]);
	KC_FREE(es->segs);
	*es = (struct kcd_elements){ .elem_size = es->elem_size };
}

static int budgets_charge(struct kcd_elements *es, uint64_t bytes, const char **ret_limit)
{
	for (size_t i = 0; i < KC_ARRAY_SIZE(es->budgets); i++) {
		struct kcd_budget *b = es->budgets[i];

		if (b && (b->used > b->max || bytes > b->max - b->used)) {
			*ret_limit = b->name;
			return KC_EDQUOT;
		}
	}
	for (size_t i = 0; i < KC_ARRAY_SIZE(es->budgets); i++)
		if (es->budgets[i])
			es->budgets[i]->used += bytes;
	return 0;
}

int kcd_elements_reserve(struct kcd_elements *es, uint64_t bytes)
{
	const char *limit;

	return budgets_charge(es, bytes, &limit);
}

static int segment_charge(struct kcd_elements *es, uint64_t bytes, const char **ret_limit)
{
	int r = budgets_charge(es, bytes, ret_limit);

	if (r == 0)
		es->held += bytes;
	return r;
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

static void segment_push(struct kcd_elements *es, struct kcd_segment *seg)
{
	seg->first = es->next;
	es->segs[es->first + es->n++] = seg;
}

/* Bytes for a new last segment, of which `need` are needed at once and `want` soon. */
static size_t segment_size(const struct kcd_elements *es, size_t need, size_t want)
{
	const struct kcd_segment *last = segment_last(es);
	size_t size = last && !last->base ? 2 * last->size : SEGMENT_MIN;

	while (size < want && size < SEGMENT_MAX)
		size *= 2;
	if (size > SEGMENT_MAX)
		size = SEGMENT_MAX;
	return size < need ? need : size; /* a message of its own size */
}

/* A new last segment with room for an element that takes `need` bytes. */
static int segment_add(struct kcd_elements *es, size_t need, size_t want, const char **ret_limit)
{
	size_t size = segment_size(es, need, want);
	struct kcd_segment *seg;
	int r = segments_reserve(es);

	if (r < 0)
		return r;
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
	*seg = (struct kcd_segment){ .size = size, .room = (uint32_t)size };
	seg->data = segment_own(seg);
	segment_push(es, seg);
	return 0;
}

/* Room in the index for n more messages. */
static int segment_index(struct kcd_segment *seg, uint32_t n)
{
	uint32_t cap = seg->at_cap ? seg->at_cap : n < 16 ? 16 : n;
	uint32_t *at;

	if (n <= seg->at_cap - seg->n)
		return 0;
	while (cap < seg->n + n)
		cap *= 2;
	at = KC_REALLOC(seg->at, cap, sizeof(*at));
	if (!at)
		return KC_ENOMEM;
	seg->at = at;
	seg->at_cap = cap;
	return 0;
}

/* n elements of so many bytes are there, behind the others. */
static void segment_count(struct kcd_elements *es, struct kcd_segment *seg, uint32_t n,
			  size_t bytes)
{
	uint32_t at = seg->used;

	for (uint32_t i = 0; !es->elem_size && i < n; i++) {
		seg->at[seg->n + i] = at;
		at += PREFIX + kcp_load_u32(seg->data + at);
	}
	seg->used += (uint32_t)bytes;
	seg->n += n;
	seg->live += n;
	es->next += n;
}

/* How many elements fit into `room` bytes, and the bytes they take. */
static uint32_t elements_fit(const struct kcd_elements *es, const uint8_t *data, uint32_t n,
			     size_t room, size_t *ret_bytes)
{
	size_t bytes = 0;
	uint32_t fit = 0;

	if (es->elem_size) {
		if (n > room / es->elem_size)
			n = (uint32_t)(room / es->elem_size);
		*ret_bytes = (size_t)n * es->elem_size;
		return n;
	}
	for (; fit < n; fit++) {
		size_t size = kcd_elements_size(es, data + bytes);

		if (size > room - bytes)
			break;
		bytes += size;
	}
	*ret_bytes = bytes;
	return fit;
}

/* Copy what fits into the last segment, or a new one: how many, or a code. */
static long append_some(struct kcd_elements *es, const uint8_t *data, uint32_t n, size_t left,
			size_t *ret_bytes, const char **ret_limit)
{
	struct kcd_segment *seg = segment_last(es);
	uint32_t fit = 0;
	int r = 0;

	/* The last segment may end before the latest numbers, whose own one is gone. */
	if (seg && seg->first + seg->n == es->next)
		fit = elements_fit(es, data, n, seg->room, ret_bytes);
	if (fit == 0) {
		r = segment_add(es, kcd_elements_size(es, data), left, ret_limit);
		if (r < 0)
			return r;
		seg = segment_last(es);
		fit = elements_fit(es, data, n, seg->room, ret_bytes);
	}
	if (!es->elem_size)
		r = segment_index(seg, fit);
	if (r < 0) {
		if (seg->n == 0) { /* just added: leave no empty segment behind */
			es->n--;
			segment_free(es, seg);
		}
		return r;
	}
	memcpy(segment_own(seg) + seg->used, data, *ret_bytes);
	seg->room -= (uint32_t)*ret_bytes;
	segment_count(es, seg, fit, *ret_bytes);
	return (long)fit;
}

bool kcd_elements_worth_keeping(size_t bytes, size_t size)
{
	return bytes >= ADOPT_MIN && bytes <= UINT32_MAX && size - bytes <= bytes / WASTE;
}

/* Let what was lent become a segment. False: copy instead. */
static bool append_lent(struct kcd_elements *es, const uint8_t *data, uint32_t n, size_t bytes,
			const struct kcd_lender *lender)
{
	struct kcd_segment *seg;
	size_t size = lender->size; /* which may not outlive take() */
	const char *limit;

	if (!kcd_elements_worth_keeping(bytes, size) || segments_reserve(es) < 0 ||
	    segment_charge(es, size, &limit) < 0)
		return false;
	seg = KC_CALLOC(1, sizeof(*seg));
	if (seg && (es->elem_size || segment_index(seg, n) == 0))
		seg->base = lender->take(lender->arg);
	if (!seg || !seg->base) {
		segment_uncharge(es, size);
		if (seg)
			segment_drop(seg);
		return false;
	}
	seg->size = size;
	seg->data = data;
	segment_push(es, seg);
	segment_count(es, seg, n, bytes);
	return true;
}

long kcd_elements_append(struct kcd_elements *es, const uint8_t *data, uint32_t n, size_t bytes,
			 const struct kcd_lender *lender, const char **ret_limit)
{
	uint32_t done = 0;

	if (lender && append_lent(es, data, n, bytes, lender))
		return (long)n;
	while (done < n) {
		size_t some = 0;
		long r = append_some(es, data, n - done, bytes, &some, ret_limit);

		if (r < 0)
			return done ? (long)done : r;
		done += (uint32_t)r;
		data += some;
		bytes -= some;
	}
	return (long)done;
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
