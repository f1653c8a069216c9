/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffer of elements given ahead.
 */
#include "libkcoro-client/ipc/ahead.h"

#include <string.h>

#include "kcoro/error.h"
#include "proto/bytes.h"

/* Elements of one frame; as they travelled, so that one copy does. */
struct kci_run {
	struct kci_list link;
	uint64_t first; /* delivery of the element at elems.pos */
	uint64_t n;	/* elements left; what may be behind them is not looked at */
	bool back;	/* given back */
	bool told;	/* in a RETURN, after request told_after */
	uint64_t told_after;
	struct kcp_elems elems;
	const uint8_t *before; /* DELIVERED_BEFORE from the element at elems.pos on, or NULL */
	uint8_t data[];
};

static struct kci_run *run_of(struct kci_list *link)
{
	return KC_CONTAINER_OF(link, struct kci_run, link);
}

void kci_ahead_init(struct kci_ahead *ahead)
{
	kci_list_init(&ahead->runs);
	ahead->n = 0;
	ahead->n_back = 0;
	ahead->untold = false;
}

static void run_free(struct kci_run *run)
{
	kci_list_remove(&run->link);
	KC_FREE(run);
}

void kci_ahead_done(struct kci_ahead *ahead)
{
	struct kci_run *run;

	while ((run = KCI_LIST_FIRST(&ahead->runs, struct kci_run, link)))
		run_free(run);
	kci_ahead_init(ahead);
}

int kci_ahead_add(struct kci_ahead *ahead, uint64_t first, const struct kcp_elems *elems,
		  const struct kcp_args *args)
{
	const struct kcp_arg *before = kcp_get(args, KCP_T_DELIVERED_BEFORE);
	size_t len = (size_t)(elems->end - elems->pos);
	size_t before_len = before ? (size_t)elems->count * 4 : 0;
	struct kci_run *run;

	run = KC_ALLOC(sizeof(*run) + len + before_len);
	if (!run)
		return KC_ENOMEM;
	memcpy(run->data, elems->pos, len);
	kci_list_init(&run->link);
	run->first = first;
	run->n = elems->count;
	run->back = false;
	run->told = false;
	run->told_after = 0;
	run->elems = *elems;
	run->elems.pos = run->data;
	run->elems.end = run->data + len;
	run->before = NULL;
	if (before_len) {
		/* a list may be shorter than the elements: the rest is 0 */
		size_t known = before->len < before_len ? before->len : before_len;

		memset(run->data + len, 0, before_len);
		memcpy(run->data + len, before->data, known);
		run->before = run->data + len;
	}
	kci_list_append(&ahead->runs, &run->link);
	ahead->n += run->n;
	return 0;
}

size_t kci_ahead_fit(const struct kci_ahead *ahead, struct kci_recv *op)
{
	size_t n = 0, bytes = 0;
	uint32_t runs = 0;

	for (struct kci_list *l = ahead->runs.next; l != &ahead->runs && n < op->n; l = l->next) {
		const struct kci_run *run = run_of(l);
		struct kcp_elems elems = run->elems;

		if (run->back)
			continue;
		if (++runs > KCI_AHEAD_RUNS_MAX)
			break;
		for (uint64_t i = 0; i < run->n && n < op->n; i++, n++) {
			uint32_t len;

			(void)kcp_elems_next(&elems, &len);
			if (len > op->cap - bytes) {
				if (n == 0)
					op->needed = len;
				return n;
			}
			bytes += len;
		}
	}
	return n;
}

void kci_ahead_take(struct kci_ahead *ahead, size_t n, struct kci_recv *op)
{
	struct kci_sink sink = { .op = op };
	struct kci_list *l = ahead->runs.next;

	ahead->n -= n;
	while (sink.n < n) {
		struct kci_run *run = run_of(l);

		l = l->next;
		if (run->back)
			continue;
		for (; run->n > 0 && sink.n < n; run->n--, run->first++) {
			uint32_t len;
			const uint8_t *data = kcp_elems_next(&run->elems, &len);
			uint32_t before = run->before ? kcp_load_u32(run->before) : 0;

			kci_sink_add(&sink, data, len, run->first, before);
			if (run->before)
				run->before += 4;
		}
		if (run->n == 0)
			run_free(run);
	}
}

/* The last n of a run become a run of their own, which has no elements. */
static struct kci_run *run_split(struct kci_run *run, uint64_t n)
{
	struct kci_run *tail = KC_CALLOC(1, sizeof(*tail));

	if (!tail)
		return NULL;
	run->n -= n;
	tail->first = run->first + run->n;
	tail->n = n;
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
		run_free(run);
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

void kci_sink_add(struct kci_sink *sink, const void *data, size_t len, uint64_t delivery,
		  uint32_t before)
{
	struct kci_recv *op = sink->op;
	uint8_t *to = op->buf ? (uint8_t *)op->buf + sink->bytes : NULL;

	if (len)
		memcpy(to, data, len);
	if (op->msgs)
		op->msgs[sink->n] = (struct kc_msg){ .data = to, .len = len };
	if (op->leases)
		op->leases[sink->n] = (struct kc_lease){
			.id = delivery,
			.deliveries = before < UINT32_MAX ? before + 1 : before,
			.redelivered = before > 0,
		};
	sink->n++;
	sink->bytes += len;
}
