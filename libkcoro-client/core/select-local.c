/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A select and local channels: to try, to take seats and to give them up. What seats are,
 * and who may claim them, choice.h says.
 *
 * Where this thread owns the locks of all channels concerned, one announcement is good for
 * all of them (port/biased.h), and that is what makes many clauses cheap. Otherwise all
 * locks are taken one after the other, by rising addresses of the channels, so that two
 * selects cannot wait for each other.
 */
#include <string.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/chan-local.h"
#include "libkcoro-client/core/select.h"

static struct kci_local *local_of(const struct kc_clause *clause)
{
	return KC_CONTAINER_OF(clause->ch, struct kci_local, head);
}

static inline bool owns(struct kci_local *lc, const struct kci_bias *me)
{
	return kci_biased_owns(&lc->send_lock, me) &&
	       (!lc->gated || kci_biased_owns(&lc->recv_lock, me));
}

/* ---- what a clause does --------------------------------------------------------- */

void kci_choice_become(struct kci_choice *choice, struct kc_clause *clause)
{
	const struct kci_local *lc = local_of(clause);
	bool messages = clause->kind == KC_CLAUSE_SEND_MSG || clause->kind == KC_CLAUSE_RECV_MSG;
	struct kci_op *op = &choice->op;

	op->done = 0;
	op->filled = 0;
	op->code = 0;
	if (kci_clause_sends(clause)) {
		choice->msg = (struct kc_msg){ .data = clause->elem, .len = clause->size };
		choice->send.elems = lc->zcopy && !lc->bare_desc
					     ? (const void *)kci_clause_local(clause)->desc
					     : clause->elem;
		choice->send.msgs = messages ? &choice->msg : NULL;
		choice->send.n = 1;
		op->send = &choice->send;
		op->recv = NULL;
	} else {
		choice->recv.buf = clause->buf;
		choice->recv.cap = messages ? clause->size : lc->head.elem_size;
		choice->recv.msgs = messages ? &choice->msg : NULL;
		choice->recv.n = 1;
		op->recv = &choice->recv;
		op->send = NULL;
	}
}

void kci_choice_finish(struct kci_choice *choice, struct kc_clause *clause)
{
	const struct kci_local *lc = local_of(clause);
	const struct kci_op *op = &choice->op;

	if (choice->probe) {
		clause->result = 0;
		return;
	}
	clause->result = op->done > 0 ? 0 : op->code;
	if (clause->kind == KC_CLAUSE_RECV_MSG)
		clause->len = op->done > 0 ? choice->msg.len : choice->recv.needed;
	if (op->done > 0 && op->recv && lc->zcopy && lc->zcopy->recv)
		lc->zcopy->recv(lc->zcopy_state, clause->buf);
}

int kci_local_clause_desc(struct kc_clause *clause)
{
	const struct kci_local *lc = local_of(clause);
	struct kc_zdesc desc = *(const struct kc_zdesc *)clause->elem, *copy;
	int r;

	if (!desc.addr || desc.len == 0)
		return KC_EINVAL;
	r = lc->zcopy->send(lc->zcopy_state, &desc);
	if (r < 0 || lc->bare_desc)
		return r;
	copy = KC_ALLOC(sizeof(*copy));
	if (!copy)
		return KC_ENOMEM;
	*copy = desc;
	kci_clause_local(clause)->desc = copy;
	return 1;
}

void kci_local_clauses_done(struct kci_select *s)
{
	for (struct kc_clause *c = s->clauses; s->n_descs > 0; c++) {
		if (c->kind != KC_CLAUSE_SEND_DESC || !c->ch || local_of(c)->bare_desc)
			continue;
		KC_FREE(kci_clause_local(c)->desc);
		s->n_descs--;
	}
}

/* ---- is it ready? --------------------------------------------------------------- */

/* Does somebody wait who is there to give or take something? */
static bool has_partner(struct kci_local *lc, struct kci_list *queue)
{
	for (struct kci_list *at = queue->next; at != queue; at = at->next) {
		const struct kci_seat *seat = KC_CONTAINER_OF(at, struct kci_seat, link);

		if (!kci_seat_is_stale(seat) && !(seat->choice && seat->choice->probe))
			return true;
	}
	return false;
}

static bool probe_is_ready(struct kci_local *lc, const struct kc_clause *clause)
{
	if (lc->closed)
		return true;
	if (!kci_clause_sends(clause))
		return kci_local_queued(lc) > 0 || has_partner(lc, &lc->senders);
	if (has_partner(lc, &lc->receivers))
		return true;
	return !has_partner(lc, &lc->senders) && kci_local_has_room(lc, kci_clause_len(lc, clause));
}

/* With the locks held. It may also wait for such as only want to know: they are told, and
 * it is not ready after all. */
static inline bool is_ready(struct kci_local *lc, const struct kc_clause *clause)
{
	if (lc->closed)
		return true;
	if (kci_clause_sends(clause))
		return kci_local_first(lc, &lc->receivers) ||
		       (kci_local_has_room(lc, kci_clause_len(lc, clause)) && kci_local_is_next(lc));
	return kci_local_queued(lc) > 0 ||
	       (!kci_list_empty(&lc->senders) && kci_local_first(lc, &lc->senders));
}

static inline bool ready_for(struct kci_select *s, const struct kc_clause *clause)
{
	return s->choice.probe ? probe_is_ready(local_of(clause), clause)
			       : is_ready(local_of(clause), clause);
}

/* Without a lock: is it certain that a ring has nothing for it? */
static inline bool is_idle(const struct kci_local *lc, const struct kc_clause *clause)
{
	size_t len;

	if (!lc->gated || atomic_load_explicit(&lc->gate, memory_order_relaxed))
		return false;
	len = kci_spsc_len(&lc->in, &lc->out);
	return kci_clause_sends(clause) ? len == lc->ring.most : len == 0;
}

/* ---- trying ----------------------------------------------------------------------- */

static void attempt(struct kci_local *lc, struct kci_op *op, struct kci_after *after)
{
	if (op->send && lc->closed)
		op->code = KC_EPIPE;
	else if (op->send && kci_local_is_next(lc))
		kci_local_put(lc, op, after);
	else if (op->recv)
		kci_local_take(lc, op, after);
	if (op->recv && op->done == 0 && op->code == 0 && lc->closed)
		op->code = KC_EPIPE;
}

static bool __attribute__((noinline))
try_clause_locked(struct kci_select *s, struct kc_clause *clause)
{
	struct kci_local *lc = local_of(clause);
	struct kci_op *op = &s->choice.op;
	struct kci_after after;
	bool counted, took;

	if (is_idle(lc, clause))
		return false;
	kci_choice_become(&s->choice, clause);
	kci_after_init(&after, lc);
	kci_local_lock(lc);
	if (s->choice.probe) {
		took = probe_is_ready(lc, clause);
	} else {
		attempt(lc, op, &after);
		took = op->done > 0 || op->code != 0;
	}
	if (op->done == 0 && op->code != 0)
		kci_chan_failed(&lc->head, op->send != NULL, op->code);
	if (!took && s->tries)
		kci_local_silence(lc, op);
	/* the hook may want the channel after the locks are free */
	counted = took && (after.hooked || lc->zcopy);
	if (counted)
		kci_local_count(lc);
	kci_local_ring(lc);
	kci_local_unlock(lc);
	kci_after_run(lc, &after, op->send);
	if (took)
		kci_choice_finish(&s->choice, clause);
	if (counted)
		kci_chan_leave(&lc->head);
	return took;
}

bool kci_local_try_clause(struct kci_select *s, struct kc_clause *clause)
{
	clause->result = 0;
	return (!s->choice.probe && kci_fast_clause(local_of(clause), clause)) ||
	       try_clause_locked(s, clause);
}

bool kci_local_peek_clause(struct kci_select *s, struct kc_clause *clause)
{
	struct kci_local *lc = local_of(clause);
	bool ready;

	if (is_idle(lc, clause))
		return false;
	kci_local_lock(lc);
	ready = ready_for(s, clause);
	kci_local_unlock(lc);
	return ready;
}

/* ---- seats -------------------------------------------------------------------------- */

static inline void sit(struct kci_select *s, struct kc_clause *clause)
{
	struct kci_local *lc = local_of(clause);
	struct kci_seat *seat = &kci_clause_local(clause)->seat;

	seat->choice = &s->choice;
	kci_list_append(kci_clause_sends(clause) ? &lc->senders : &lc->receivers, &seat->link);
}

/* Is the clause ready, of a channel whose locks this thread owns? Mostly it is not, and that is
 * to be seen at a glance. */
static inline bool __attribute__((always_inline))
owned_is_ready(struct kci_select *s, struct kci_local *lc, const struct kc_clause *clause)
{
	if (lc->direct) {
		if (!lc->closed && kci_list_empty(kci_clause_sends(clause) ? &lc->receivers
									  : &lc->senders))
			return false;
	} else if (lc->gated && !atomic_load_explicit(&lc->gate, memory_order_relaxed))
		return !is_idle(lc, clause);
	return ready_for(s, clause);
}

static inline void sit_owned(struct kci_select *s, struct kc_clause *clause)
{
	struct kci_local *lc = local_of(clause);

	sit(s, clause);
	if (lc->gated)
		atomic_store_explicit(&lc->gate, 1, memory_order_relaxed);
}

/* These once for each sort of look: a function called for each clause would cost as much as the
 * looking. As the owner of all locks; KCI_SAT means that it is not ready. */
static inline enum kci_sat __attribute__((always_inline))
look_at(struct kci_select *s, const struct kc_clause *clause, uint64_t now, struct kci_bias *me,
	bool unchecked)
{
	if (unchecked ? kci_clause_is_usual(clause) : kci_clause_has_channel(clause)) {
		struct kci_local *lc = local_of(clause);

		if (!owns(lc, me) || lc->watched)
			return KCI_NOT_OURS;
		return owned_is_ready(s, lc, clause) ? KCI_READY : KCI_SAT;
	}
	if (unchecked)
		return KCI_NOT_OURS;
	return clause->kind == KC_CLAUSE_TIMER && kci_timer_is_due(clause, now) ? KCI_READY
										: KCI_SAT;
}

/* One of those that are ready: where most are, that is seen soon. */
static inline enum kci_sat __attribute__((always_inline))
look_at_some(struct kci_select *s, uint64_t now, struct kci_bias *me, bool unchecked,
	     struct kc_clause **ret_ready)
{
	unsigned looks = (s->n > 4) + (s->n > 16);
	enum kci_sat r = KCI_SAT;

	for (unsigned i = 0; i < looks && r == KCI_SAT; i++) {
		*ret_ready = &s->clauses[kci_select_draw(s->n)];
		r = look_at(s, *ret_ready, now, me, unchecked);
	}
	return r;
}

static inline enum kci_sat __attribute__((always_inline))
look_at_all(struct kci_select *s, uint64_t now, struct kci_bias *me, bool unchecked,
	    struct kc_clause **ret_ready)
{
	struct kc_clause *end = s->clauses + s->n;
	bool priority = s->flags & KC_SELECT_PRIORITY;
	size_t n_ready = 0, at = 0;

	for (struct kc_clause *c = s->clauses; c < end; c++) {
		enum kci_sat r = look_at(s, c, now, me, unchecked);

		if (__builtin_expect(r == KCI_SAT, 1))
			continue;
		if (r == KCI_NOT_OURS)
			return r;
		if (++n_ready == 1)
			at = (size_t)(c - s->clauses);
		else
			/* reckoned, as no processor could foresee a branch here */
			at += ((size_t)(c - s->clauses) - at) * kci_select_takes_over(n_ready);
		if (priority)
			break;
	}
	*ret_ready = &s->clauses[at];
	if (priority && n_ready > 0)
		return KCI_READY;
	s->seen = true;
	return n_ready > 0 ? KCI_READY : KCI_SAT;
}

static inline enum kci_sat __attribute__((always_inline))
look(struct kci_select *s, uint64_t now, bool unchecked, struct kc_clause **ret_ready)
{
	struct kc_clause *end = s->clauses + s->n;
	struct kci_bias *me = kci_bias_here;
	enum kci_sat r = KCI_SAT;

	if (!me)
		return KCI_NOT_OURS;
	(void)kci_biased_announce(me);
	if (!(s->flags & KC_SELECT_PRIORITY))
		r = look_at_some(s, now, me, unchecked, ret_ready);
	if (r == KCI_SAT)
		r = look_at_all(s, now, me, unchecked, ret_ready);
	if (r == KCI_SAT && !s->tries) {
		kci_choice_begin(&s->choice);
		for (struct kc_clause *c = s->clauses; c < end; c++)
			if (unchecked || kci_clause_has_channel(c))
				sit_owned(s, c);
	}
	kci_biased_leave(me);
	return r;
}

enum kci_sat kci_local_look(struct kci_select *s, uint64_t now, struct kc_clause **ret_ready)
{
	return look(s, now, /* unchecked= */ false, ret_ready);
}

enum kci_sat kci_local_look_unchecked(struct kci_select *s, struct kc_clause **ret_ready)
{
	return look(s, 0, /* unchecked= */ true, ret_ready);
}

/* A list of clauses, by seat.link.next until their seats are taken. */
static struct kc_clause *next_of(struct kc_clause *clause)
{
	struct kci_list *next = kci_clause_local(clause)->seat.link.next;

	return next ? kci_clause_of(KC_CONTAINER_OF(next, struct kci_seat, link)) : NULL;
}

static void set_next(struct kc_clause *clause, struct kc_clause *next)
{
	kci_clause_local(clause)->seat.link.next = next ? &kci_clause_local(next)->seat.link : NULL;
}

/* Two lists that are in order become one. */
static struct kc_clause *merge(struct kc_clause *a, struct kc_clause *b)
{
	struct kc_clause *first = NULL, *last = NULL;

	while (a && b) {
		struct kc_clause **from = (uintptr_t)b->ch < (uintptr_t)a->ch ? &b : &a;
		struct kc_clause *c = *from;

		*from = next_of(c);
		if (last)
			set_next(last, c);
		else
			first = c;
		last = c;
	}
	if (!last)
		return a ? a : b;
	set_next(last, a ? a : b);
	return first;
}

/* The local clauses by rising addresses of their channels. */
static struct kc_clause *in_order(struct kci_select *s)
{
	/* bins[i]: NULL, or 2^i runs that came in order, merged; there are at most KC_SELECT_MAX */
	struct kc_clause *bins[11] = { NULL }, *all = NULL;
	size_t i = s->n;

	while (i > 0) {
		struct kc_clause *run = NULL;
		size_t bin;

		for (; i > 0; i--) {
			struct kc_clause *c = &s->clauses[i - 1];

			if (!kci_clause_is_local(c))
				continue;
			if (run && (uintptr_t)c->ch > (uintptr_t)run->ch)
				break;
			set_next(c, run);
			run = c;
		}
		for (bin = 0; bin < KC_ARRAY_SIZE(bins) - 1 && bins[bin]; bin++)
			run = merge(run, KC_STEAL(bins[bin]));
		bins[bin] = merge(bins[bin], run);
	}
	for (size_t bin = 0; bin < KC_ARRAY_SIZE(bins); bin++)
		all = merge(all, bins[bin]);
	return all;
}

static bool is_last_of_channel(struct kc_clause *clause, struct kc_clause *next)
{
	return !next || next->ch != clause->ch;
}

bool kci_local_sit(struct kci_select *s)
{
	struct kc_clause *first = in_order(s), *next;
	bool ready = false;

	for (struct kc_clause *c = first, *last = NULL; c; last = c, c = next_of(c))
		if (!last || last->ch != c->ch)
			kci_local_lock_also(local_of(c));
	for (struct kc_clause *c = first; c && !ready; c = next_of(c))
		ready = ready_for(s, c);
	/* from one lock's release on it may be claimed there; the rest of the seats is stale then */
	for (struct kc_clause *c = first; c; c = next) {
		struct kci_local *lc = local_of(c);

		next = next_of(c);
		if (!ready)
			sit(s, c);
		if (!is_last_of_channel(c, next))
			continue;
		if (!ready && !kci_clause_sends(c))
			kci_spsc_trim(&lc->ring, &lc->in, &lc->out);
		kci_local_ring(lc);
		kci_local_unlock(lc);
	}
	return !ready;
}

/* Nobody but the seat's own select takes it off the last list it is on. */
static void stand(struct kc_clause *clause)
{
	struct kci_local *lc = local_of(clause);
	struct kci_waiter *undertaker = NULL;
	struct kci_after after;
	bool hooked = lc->on_drop;

	kci_after_init(&after, lc);
	kci_local_lock(lc);
	kci_list_remove(&kci_clause_local(clause)->seat.link);
	kci_clause_local(clause)->seat.choice = NULL;
	/* it may have sent a message that did not fit and that held up others */
	if (kci_clause_sends(clause) && !lc->closed)
		kci_local_refill(lc, &after);
	kci_local_ring(lc);
	if (kci_list_empty(&lc->leaving))
		undertaker = KC_STEAL(lc->undertaker);
	if (hooked)
		kci_local_count(lc);
	kci_local_unlock(lc);
	/* the channel may be gone from here on, but for its hook */
	kci_after_run(lc, &after, NULL);
	if (undertaker)
		kci_waiter_unpark(undertaker);
	if (hooked)
		kci_chan_leave(&lc->head);
}

/* As the owner of its lock, where leaving means nothing to anybody. */
static inline bool stand_owned(struct kc_clause *clause, struct kci_bias *me)
{
	struct kci_local *lc = local_of(clause);
	struct kci_seat *seat = &kci_clause_local(clause)->seat;

	if (!owns(lc, me) || lc->watched || lc->undertaker || clause->kind == KC_CLAUSE_SEND_MSG)
		return false;
	seat->link.prev->next = seat->link.next;
	seat->link.next->prev = seat->link.prev;
	seat->choice = NULL;
	if (lc->gated && !lc->closed && kci_list_empty(&lc->senders) &&
	    kci_list_empty(&lc->receivers))
		atomic_store_explicit(&lc->gate, 0, memory_order_relaxed);
	return true;
}

struct kc_clause *kci_local_stand(struct kci_select *s)
{
	struct kc_clause *end = s->clauses + s->n;
	struct kci_bias *me = kci_bias_here;
	struct kci_seat *won;
	bool all = me && s->n_remote == 0;

	if (all) {
		(void)kci_biased_announce(me);
		for (struct kc_clause *c = s->clauses; c < end; c++)
			if (kci_clause_has_channel(c) && !stand_owned(c, me))
				all = false;
		kci_biased_leave(me);
	}
	for (struct kc_clause *c = s->clauses; !all && c < end; c++)
		if (kci_clause_is_local(c) && kci_clause_local(c)->seat.choice)
			stand(c);
	won = atomic_load_explicit(&s->choice.won, memory_order_acquire);
	return won ? kci_clause_of(won) : NULL;
}

void kci_local_await_seats(struct kci_local *lc)
{
	struct kci_waiter waiter;
	bool waits;

	kci_waiter_init(&waiter);
	kci_local_lock(lc);
	waits = !kci_list_empty(&lc->leaving);
	if (waits)
		lc->undertaker = &waiter;
	kci_local_unlock(lc);
	/* certain to come: all who leave have been woken */
	if (waits)
		kci_waiter_await(&waiter);
}
