/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffer of elements given ahead.
 */
#include "libkcoro-client/ipc/ahead.h"

#include <string.h>

#include "kcoro/error.h"
#include "proto/bytes.h"

#define KEEP_MIN 16384u /* elements that are copied rather than their frame kept */

/* Elements of one frame; as they travelled, so that one copy does. */
struct kci_run {
	struct kci_list link;
	uint64_t first; /* delivery of the element at elems.pos */
	uint64_t n;	/* elements left; what may be behind them is not looked at */
	bool asked;	/* came in reply to RECV */
	bool back;	/* given back */
	bool told;	/* in a RETURN, after request told_after */
	uint64_t told_after;
	struct kcp_elems elems;
	struct kci_marks marks; /* from the element at elems.pos on */
	uint8_t *frame;	       /* the frame they came in; NULL: they are in data */
	size_t frame_cap;
	uint8_t data[];
};

static struct kci_run *run_of(struct kci_list *link)
{
	return KC_CONTAINER_OF(link, struct kci_run, link);
}

void kci_ahead_init(struct kci_ahead *ahead, struct kci_frames *frames)
{
	ahead->frames = frames;
	kci_list_init(&ahead->runs);
	ahead->n = 0;
	ahead->n_back = 0;
	ahead->untold = false;
}

static void run_free(struct kci_ahead *ahead, struct kci_run *run)
{
	kci_list_remove(&run->link);
	kci_frames_put(ahead->frames, run->frame, run->frame_cap);
	KC_FREE(run);
}

void kci_ahead_done(struct kci_ahead *ahead)
{
	struct kci_run *run;

	while ((run = KCI_LIST_FIRST(&ahead->runs, struct kci_run, link)))
		run_free(ahead, run);
	kci_ahead_init(ahead, ahead->frames);
}

/* A run without elements, and room for len bytes. */
static struct kci_run *run_new(size_t len)
{
	struct kci_run *run = KC_ALLOC(sizeof(*run) + len);

	if (!run)
		return NULL;
	memset(run, 0, sizeof(*run));
	kci_list_init(&run->link);
	return run;
}

/* Is the frame's memory worth keeping for so many bytes? */
static bool is_worth_keeping(const struct kcp_stream *stream, size_t len)
{
	return len >= KEEP_MIN && stream->in_cap - len <= len / 4;
}

int kci_ahead_add(struct kci_ahead *ahead, uint64_t first, const struct kcp_elems *elems,
		  const struct kcp_args *args, struct kcp_stream *stream, bool asked)
{
	const struct kcp_arg *before = kcp_get(args, KCP_T_DELIVERED_BEFORE);
	size_t len = (size_t)(elems->end - elems->pos);
	size_t before_len = before ? before->len : 0;
	bool keep = is_worth_keeping(stream, len);
	struct kci_run *run = run_new(before_len + (keep ? 0 : len));

	if (!run)
		return KC_ENOMEM;
	if (keep)
		run->frame = kcp_stream_take_buffer(stream, &run->frame_cap);
	if (keep && !run->frame) {
		KC_FREE(run);
		keep = false;
		run = run_new(before_len + len);
		if (!run)
			return KC_ENOMEM;
	}
	run->first = first;
	run->n = elems->count;
	run->asked = asked;
	run->elems = *elems;
	if (before_len) {
		memcpy(run->data, before->data, before_len);
		run->marks = (struct kci_marks){ .data = run->data, .n = before_len / 4 };
	}
	if (!keep) {
		run->elems.pos = memcpy(run->data + before_len, elems->pos, len);
		run->elems.end = run->elems.pos + len;
	}
	kci_list_append(&ahead->runs, &run->link);
	ahead->n += run->n;
	return 0;
}

/* How many of a run's elements go into cap bytes, at most n, and their bytes; if not all,
 * what the next one needs. */
static uint64_t run_fit(const struct kci_run *run, uint64_t n, size_t cap, size_t *ret_bytes,
			size_t *ret_needed)
{
	struct kcp_elems elems = run->elems;
	uint64_t fit = 0;
	uint32_t len;

	*ret_bytes = 0;
	if (n > run->n)
		n = run->n;
	if (elems.elem_size) {
		*ret_needed = elems.elem_size;
		if (n > cap / elems.elem_size)
			n = cap / elems.elem_size;
		*ret_bytes = n * elems.elem_size;
		return n;
	}
	for (; fit < n; fit++) {
		(void)kcp_elems_next(&elems, &len);
		if (len > cap - *ret_bytes) {
			*ret_needed = len;
			break;
		}
		*ret_bytes += len;
	}
	return fit;
}

size_t kci_ahead_fit(const struct kci_ahead *ahead, struct kci_recv *op)
{
	size_t n = 0, bytes = 0;
	uint32_t runs = 0;

	for (struct kci_list *l = ahead->runs.next; l != &ahead->runs && n < op->n; l = l->next) {
		const struct kci_run *run = run_of(l);
		uint64_t want = run->n < op->n - n ? run->n : op->n - n, fit;
		size_t some, needed = 0;

		if (run->back)
			continue;
		if (++runs > KCI_AHEAD_RUNS_MAX)
			break;
		fit = run_fit(run, want, op->cap - bytes, &some, &needed);
		n += fit;
		bytes += some;
		if (fit < want) {
			if (n == 0)
				op->needed = needed;
			break;
		}
	}
	return n;
}

bool kci_ahead_last_given(const struct kci_ahead *ahead, uint64_t n, uint64_t *ret)
{
	for (struct kci_list *l = ahead->runs.next; l != &ahead->runs; l = l->next) {
		const struct kci_run *run = run_of(l);

		if (run->back)
			continue;
		if (run->asked)
			return false;
		if (n <= run->n) {
			*ret = run->first + n - 1;
			return true;
		}
		n -= run->n;
	}
	return false;
}

void kci_ahead_take(struct kci_ahead *ahead, size_t n, struct kci_recv *op)
{
	struct kci_sink sink = { .op = op };
	struct kci_list *l = ahead->runs.next;

	ahead->n -= n;
	while (sink.n < n) {
		struct kci_run *run = run_of(l);
		uint64_t some = run->n < n - sink.n ? run->n : n - sink.n;

		l = l->next;
		if (run->back)
			continue;
		kci_sink_move(&sink, &run->elems, some, run->first, &run->marks);
		run->n -= some;
		run->first += some;
		if (run->n == 0)
			run_free(ahead, run);
	}
}

/* The last n of a run become a run of their own, which has no elements. */
static struct kci_run *run_split(struct kci_run *run, uint64_t n)
{
	struct kci_run *tail = run_new(0);

	if (!tail)
		return NULL;
	run->n -= n;
	tail->first = run->first + run->n;
	tail->n = n;
	tail->asked = run->asked;
	/* right behind it: what is in front of the next run */
	kci_list_append(run->link.next, &tail->link);
	return tail;
}

void kci_ahead_give_back(struct kci_ahead *ahead, uint64_t n, uint32_t runs_max)
{
	struct kci_list *l = ahead->runs.prev;

	while (n > 0 && l != &ahead->runs && ahead->n_back < runs_max) {
		struct kci_run *run = run_of(l);

		l = l->prev;
		if (run->back)
			continue;
		if (run->n > n)
			run = run_split(run, n);
		if (!run)
			return;
		run->back = true;
		ahead->untold = true;
		ahead->n_back++;
		ahead->n -= run->n;
		n -= run->n;
	}
}

void kci_ahead_told(struct kci_ahead *ahead, uint64_t last_id)
{
	for (struct kci_list *l = ahead->runs.next; l != &ahead->runs; l = l->next) {
		struct kci_run *run = run_of(l);

		if (run->back && !run->told) {
			run->told = true;
			run->told_after = last_id;
		}
	}
	ahead->untold = false;
}

void kci_ahead_prune(struct kci_ahead *ahead, uint64_t answered)
{
	struct kci_list *l = ahead->runs.next;

	while (ahead->n_back > 0 && l != &ahead->runs) {
		struct kci_run *run = run_of(l);

		l = l->next;
		if (!run->told || answered <= run->told_after)
			continue;
		ahead->n_back--;
		run_free(ahead, run);
	}
}

void kci_ahead_untell(struct kci_ahead *ahead)
{
	for (struct kci_list *l = ahead->runs.next; l != &ahead->runs; l = l->next)
		run_of(l)->told = false;
	ahead->untold = ahead->n_back > 0;
}

static bool run_is(const struct kci_run *run, enum kci_ahead_which which)
{
	switch (which) {
	case KCI_AHEAD_IN_HAND:
		return !run->back;
	case KCI_AHEAD_UNTOLD:
		return run->back && !run->told;
	default:
		return true;
	}
}

void kci_ahead_ranges(const struct kci_ahead *ahead, enum kci_ahead_which which, uint64_t n,
		      struct kcp_buf *buf)
{
	struct kcp_range range = { 0 };

	for (struct kci_list *l = ahead->runs.next; l != &ahead->runs && n > 0; l = l->next) {
		const struct kci_run *run = run_of(l);
		uint64_t some = run->n < n ? run->n : n;

		if (!run_is(run, which))
			continue;
		n -= some;
		if (range.count && range.first + range.count == run->first) {
			range.count += some;
			continue;
		}
		if (range.count)
			kcp_put_range(buf, range.first, range.count);
		range = (struct kcp_range){ .first = run->first, .count = some };
	}
	if (range.count)
		kcp_put_range(buf, range.first, range.count);
}

void kci_sink_move(struct kci_sink *sink, struct kcp_elems *elems, uint64_t n, uint64_t first,
		   struct kci_marks *marks)
{
	struct kci_recv *op = sink->op;
	uint8_t *to = op->buf ? (uint8_t *)op->buf + sink->bytes : NULL;
	uint64_t skip = n < marks->n ? n : marks->n;

	if (elems->elem_size && !op->msgs && !op->leases) {
		size_t len = n * elems->elem_size;

		memcpy(to, elems->pos, len);
		elems->pos += len;
		elems->count -= (uint32_t)n;
		elems->bytes -= len;
		sink->n += n;
		sink->bytes += len;
		n = 0;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint32_t len, before = i < marks->n ? kcp_load_u32(marks->data + 4 * i) : 0;
		const uint8_t *data = kcp_elems_next(elems, &len);

		if (len)
			memcpy(to, data, len);
		if (op->msgs)
			op->msgs[sink->n] = (struct kc_msg){ .data = to, .len = len };
		if (op->leases)
			op->leases[sink->n] = (struct kc_lease){
				.id = first + i,
				.deliveries = before < UINT32_MAX ? before + 1 : before,
				.redelivered = before > 0,
			};
		if (to)
			to += len;
		sink->n++;
		sink->bytes += len;
	}	if (skip) {
		marks->data += 4 * skip;
		marks->n -= skip;
	}
}
