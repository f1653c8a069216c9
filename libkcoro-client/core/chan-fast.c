/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A local channel's locks, and what needs only one of them.
 *
 * A handle may be destroyed while calls are in progress, which end then. So whoever
 * gives up its last lock either touches the channel no more, or was counted as a call
 * in progress before: kc_chan_destroy() waits until nobody is counted, and takes both
 * locks last of all.
 */
#include "kcoro/sched.h"
#include "libkcoro-client/core/chan-local.h"
#include "libkcoro-client/core/park.h"

#define YIELDS	    8u
#define SPINS_LEAST 32u
#define SPINS_MOST  256u /* some microseconds */
#define LINGER_MOST 128u
#define LINGER_ROOM 16u /* smaller rings are full before it pays */

void kci_local_shape(struct kci_local *lc)
{
	size_t size = lc->head.elem_size;
	bool ring = lc->head.kind == KC_BUFFERED && size > 0 && lc->max_bytes == 0 &&
		    lc->overflow == KC_OVERFLOW_BLOCK && lc->capacity <= KCI_SPSC_BYTES / size;

	lc->ring.size = size;
	atomic_store_explicit(&lc->send_spins, SPINS_MOST / 4, memory_order_relaxed);
	atomic_store_explicit(&lc->recv_spins, SPINS_MOST / 4, memory_order_relaxed);
	atomic_store_explicit(&lc->send_lingers, 1, memory_order_relaxed);
	atomic_store_explicit(&lc->recv_lingers, 1, memory_order_relaxed);
	lc->ring.most = ring ? lc->capacity : 0;
	lc->hands = lc->head.kind == KC_RENDEZVOUS && size > 0;
	lc->head.fast = (ring || lc->hands) && (!lc->zcopy || lc->bare_desc);
	lc->head.uncounted = (!lc->zcopy || lc->bare_desc) && !lc->on_drop;
}

/* For the books: what a descriptor stands for. */
static inline uint64_t desc_len(const struct kci_local *lc, const void *elem)
{
	return lc->bare_desc ? ((const struct kc_zdesc *)elem)->len : 0;
}

static void count(struct kci_local *lc)
{
	atomic_fetch_add_explicit(&lc->head.calls, 1, memory_order_acquire);
}

static void __attribute__((noinline)) take_contended(struct kci_local *lc, struct kci_biased *l)
{
	count(lc);
	kci_biased_take(l);
	kci_chan_leave(&lc->head);
}

static inline void take(struct kci_local *lc, struct kci_biased *l)
{
	if (!kci_biased_try(l))
		take_contended(lc, l);
}

/* The lock of one direction, with none held: a coroutine lets others run meanwhile, who may well
 * have something to do in the other direction. */
static void __attribute__((noinline))
take_side_contended(struct kci_local *lc, struct kci_biased *l)
{
	bool taken = false;

	count(lc);
	for (unsigned i = 0; i < YIELDS && !taken && kci_coro_current(); i++) {
		kc_yield();
		taken = kci_biased_try(l);
	}
	if (!taken)
		kci_biased_take(l);
	kci_chan_leave(&lc->head);
}

static inline void take_side(struct kci_local *lc, struct kci_biased *l)
{
	if (!kci_biased_try(l))
		take_side_contended(lc, l);
}

void __attribute__((noinline)) kci_local_lock(struct kci_local *lc)
{
	if (lc->ring.most == 0) {
		if (!kci_biased_enter(&lc->send_lock, kci_bias_here))
			take(lc, &lc->send_lock);
		return;
	}
	if (kci_biased_enter_both(&lc->send_lock, &lc->recv_lock, kci_bias_here))
		return;
	take(lc, &lc->send_lock);
	take(lc, &lc->recv_lock);
}

void __attribute__((noinline)) kci_local_unlock(struct kci_local *lc)
{
	struct kci_bias *me = kci_bias_here;
	uint32_t gate;

	if (lc->ring.most == 0) {
		if (kci_biased_inside(me))
			kci_biased_leave(me);
		else
			kci_biased_release(&lc->send_lock);
		return;
	}
	gate = lc->closed || lc->watched || !kci_list_empty(&lc->senders) ||
	       !kci_list_empty(&lc->receivers);

	/* what each side remembers of the other is not older than what was done here */
	lc->in.head_seen = atomic_load_explicit(&lc->out.head, memory_order_relaxed);
	lc->out.tail_seen = atomic_load_explicit(&lc->in.tail, memory_order_relaxed);
	if (gate != atomic_load_explicit(&lc->gate, memory_order_relaxed))
		atomic_store_explicit(&lc->gate, gate, memory_order_relaxed);
	if (kci_biased_inside(me)) {
		kci_biased_leave(me);
		return;
	}
	/* the one that is taken first goes last: who has both has waited for everybody */
	kci_biased_release(&lc->recv_lock);
	kci_biased_release(&lc->send_lock);
}

/* ---- one direction ----------------------------------------------------------- */

static inline size_t add(struct kci_local *lc, const void *elems, size_t n)
{
	size_t room;

	if (atomic_load_explicit(&lc->gate, memory_order_relaxed))
		return 0;
	room = kci_spsc_room(&lc->ring, &lc->in, &lc->out, n);
	if (room < n)
		n = room;
	if (n == 0)
		return 0;
	kci_spsc_add(&lc->ring, &lc->in, elems, n);
	lc->in.sent += n;
	lc->in.bytes += desc_len(lc, elems); /* these come one by one */
	return n;
}

static inline size_t get(struct kci_local *lc, void *ret_elems, size_t n)
{
	size_t there;

	if (atomic_load_explicit(&lc->gate, memory_order_relaxed))
		return 0;
	there = kci_spsc_there(&lc->out, &lc->in, n);
	if (there < n)
		n = there;
	if (n == 0)
		return 0;
	kci_spsc_take(&lc->ring, &lc->out, ret_elems, n);
	lc->out.received += n;
	lc->out.bytes += desc_len(lc, ret_elems);
	return n;
}

/* These count the call if they move nothing. */
static size_t __attribute__((noinline))
add_locked(struct kci_local *lc, const void *elems, size_t n)
{
	take_side(lc, &lc->send_lock);
	n = add(lc, elems, n);
	if (n == 0)
		count(lc);
	kci_biased_release(&lc->send_lock);
	return n;
}

static size_t __attribute__((noinline)) get_locked(struct kci_local *lc, void *ret_elems, size_t n)
{
	take_side(lc, &lc->recv_lock);
	n = get(lc, ret_elems, n);
	if (n == 0)
		count(lc);
	kci_biased_release(&lc->recv_lock);
	return n;
}

/* ---- a short while before one sleeps ------------------------------------------ */

/* The other side has begun to move. Who goes after it at once fetches the line with its count, and
 * the one with the element, for a single element, and then for the next: so let it get ahead for a
 * while, as long as it does. */
static void linger(struct kci_local *lc, const _Atomic size_t *count, _Atomic uint32_t *budget)
{
	uint32_t looks = atomic_load_explicit(budget, memory_order_relaxed);
	size_t before = atomic_load_explicit(count, memory_order_relaxed);

	if (lc->ring.most < LINGER_ROOM)
		return;
	for (uint32_t i = 0; i < looks; i++)
		kci_relax();
	if (atomic_load_explicit(count, memory_order_relaxed) == before)
		atomic_store_explicit(budget, looks > 1 ? looks / 2 : 1, memory_order_relaxed);
	else if (looks < LINGER_MOST)
		atomic_store_explicit(budget, looks * 2, memory_order_relaxed);
}

/* A thread whose ring is empty (or full) looks for the other side's count to move before it
 * goes to sleep: a wake-up costs both more than that. How long, is what has paid of late. */
static bool spin(struct kci_local *lc, bool send)
{
	_Atomic uint32_t *budget = send ? &lc->send_spins : &lc->recv_spins;
	_Atomic size_t *count = send ? &lc->out.head : &lc->in.tail;
	size_t before = atomic_load_explicit(count, memory_order_relaxed);
	uint32_t spins = atomic_load_explicit(budget, memory_order_relaxed);

	if (kci_coro_current())
		return false;
	for (uint32_t i = 0; i < spins; i++) {
		kci_relax();
		if (atomic_load_explicit(&lc->gate, memory_order_relaxed))
			return false;
		if (atomic_load_explicit(count, memory_order_relaxed) != before) {
			if (spins < SPINS_MOST)
				atomic_store_explicit(budget, spins * 2, memory_order_relaxed);
			linger(lc, count, send ? &lc->send_lingers : &lc->recv_lingers);
			return true;
		}
	}
	if (spins > SPINS_LEAST)
		atomic_store_explicit(budget, spins / 2, memory_order_relaxed);
	return false;
}

/* ---- from hand to hand -------------------------------------------------------- */

/* The lock of a channel without a ring, taken here without a call where its owner takes it.
 * NULL: it was taken like anybody else's. */
static inline struct kci_bias *hands_lock(struct kci_local *lc)
{
	struct kci_bias *me = kci_bias_here;

	if (kci_biased_enter(&lc->send_lock, me))
		return me;
	kci_local_lock(lc);
	return NULL;
}

static inline void hands_unlock(struct kci_local *lc, struct kci_bias *me)
{
	if (me)
		kci_biased_leave(me);
	else
		kci_local_unlock(lc);
}

/* An element goes from a sender that waits, or to a receiver that does, and the other is here. */
static inline void met(struct kci_local *lc, struct kci_bias *me, struct kci_op *op,
		       const void *elem)
{
	kci_list_remove(&op->link);
	op->done = 1;
	lc->in.sent++;
	lc->out.received++;
	lc->in.bytes += desc_len(lc, elem);
	lc->out.bytes += desc_len(lc, elem);
	hands_unlock(lc, me);
	kci_waiter_unpark(&op->waiter);
}

/* Nobody is there. Without a deadline or a token nothing but a partner or the end of the channel
 * ends the wait, and neither leaves anything to be done with the channel. */
static inline long wait_to_meet(struct kci_local *lc, struct kci_bias *me, struct kci_op *op,
				struct kci_list *list)
{
	op->done = 0;
	op->filled = 0;
	op->code = 0;
	kci_waiter_init(&op->waiter);
	kci_list_init(&op->link);
	kci_list_append(list, &op->link);
	hands_unlock(lc, me);
	(void)kci_waiter_park(&op->waiter, KC_NEVER, NULL);
	return op->done ? 1 : op->code;
}

/* 1: the element has gone from hand to hand; 0: that is for the long way to do, and the call is
 * counted; or a code. */
static long hand_send(struct kci_local *lc, const void *elem, bool single, bool waits)
{
	size_t size = lc->head.elem_size;
	struct kci_send send = { .elems = elem, .n = 1, .timeout_ms = -1 };
	struct kci_op *to, op;
	struct kci_bias *me;

	me = hands_lock(lc);
	to = KCI_LIST_FIRST(&lc->receivers, struct kci_op, link);
	if (single && to && to->recv->n == 1 && to->recv->cap >= size && !to->recv->msgs &&
	    !lc->watched) {
		kci_spsc_copy(to->recv->buf, elem, size);
		to->filled = size;
		met(lc, me, to, elem);
		return 1;
	}
	if (to || !single || !waits || lc->closed || lc->watched || !lc->head.uncounted) {
		count(lc);
		hands_unlock(lc, me);
		return 0;
	}
	op.send = &send;
	op.recv = NULL;
	return wait_to_meet(lc, me, &op, &lc->senders);
}

static long hand_recv(struct kci_local *lc, void *ret_elem, bool single, bool waits)
{
	size_t size = lc->head.elem_size;
	struct kci_recv recv = { .buf = ret_elem, .cap = size, .n = 1, .timeout_ms = -1 };
	struct kci_op *from, op;
	struct kci_bias *me;

	me = hands_lock(lc);
	from = KCI_LIST_FIRST(&lc->senders, struct kci_op, link);
	if (single && from && from->send->n == 1 && !lc->watched) {
		kci_spsc_copy(ret_elem, from->send->elems, size);
		met(lc, me, from, ret_elem);
		return 1;
	}
	if (from || !single || !waits || lc->closed || lc->watched || !lc->head.uncounted) {
		count(lc);
		hands_unlock(lc, me);
		return 0;
	}
	op.recv = &recv;
	op.send = NULL;
	return wait_to_meet(lc, me, &op, &lc->receivers);
}

/* ---- what chan-calls.c calls -------------------------------------------------- */

static inline size_t try_send(struct kci_local *lc, const void *elems, size_t n)
{
	struct kci_bias *me = kci_bias_here;

	if (!kci_biased_enter(&lc->send_lock, me))
		return add_locked(lc, elems, n);
	n = add(lc, elems, n);
	if (n == 0)
		count(lc);
	kci_biased_leave(me);
	return n;
}

static inline size_t try_recv(struct kci_local *lc, void *ret_elems, size_t n)
{
	struct kci_bias *me = kci_bias_here;

	if (!kci_biased_enter(&lc->recv_lock, me))
		return get_locked(lc, ret_elems, n);
	n = get(lc, ret_elems, n);
	if (n == 0)
		count(lc);
	kci_biased_leave(me);
	return n;
}

/* Once more, after the first try has counted the call. */
static size_t __attribute__((noinline))
retry_send(struct kci_local *lc, const void *elems, size_t n)
{
	if (!spin(lc, /* send= */ true))
		return 0;
	n = try_send(lc, elems, n);
	kci_chan_leave(&lc->head);
	return n;
}

static size_t __attribute__((noinline)) retry_recv(struct kci_local *lc, void *ret_elems, size_t n)
{
	if (!spin(lc, /* send= */ false))
		return 0;
	n = try_recv(lc, ret_elems, n);
	kci_chan_leave(&lc->head);
	return n;
}

static long __attribute__((noinline))
send_other(struct kci_local *lc, const void *elems, size_t n, long timeout_ms, bool bare)
{
	size_t moved;

	if (lc->hands)
		return hand_send(lc, elems, n == 1, bare && timeout_ms < 0);
	moved = try_send(lc, elems, n);
	if (moved == 0 && timeout_ms != 0)
		moved = retry_send(lc, elems, n);
	return (long)moved;
}

static long __attribute__((noinline))
recv_other(struct kci_local *lc, void *ret_elems, size_t n, long timeout_ms, bool bare)
{
	size_t moved;

	if (lc->hands)
		return hand_recv(lc, ret_elems, n == 1, bare && timeout_ms < 0);
	moved = try_recv(lc, ret_elems, n);
	if (moved == 0 && timeout_ms != 0)
		moved = retry_recv(lc, ret_elems, n);
	return (long)moved;
}

/* The commonest case by itself, so that nothing else costs it anything: one element, by the
 * owner, and there is room for it. */
long kci_fast_send(kc_chan_t *ch, const void *elems, size_t n, long timeout_ms, bool bare)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_bias *me = kci_bias_here;

	if (n == 1 && !lc->hands && kci_biased_enter(&lc->send_lock, me)) {
		size_t tail = atomic_load_explicit(&lc->in.tail, memory_order_relaxed);

		if (!atomic_load_explicit(&lc->gate, memory_order_relaxed) &&
		    tail - lc->in.head_seen < lc->ring.room) {
			kci_spsc_copy(kci_spsc_at(&lc->ring, tail), elems, lc->ring.size);
			lc->in.sent++;
			if (lc->bare_desc)
				lc->in.bytes += desc_len(lc, elems);
			atomic_store_explicit(&lc->in.tail, tail + 1, memory_order_release);
			kci_biased_leave(me);
			return 1;
		}
		kci_biased_leave(me);
	}
	return send_other(lc, elems, n, timeout_ms, bare);
}

long kci_fast_recv(kc_chan_t *ch, void *ret_elems, size_t n, long timeout_ms, bool bare)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_bias *me = kci_bias_here;

	if (n == 1 && !lc->hands && kci_biased_enter(&lc->recv_lock, me)) {
		size_t head = atomic_load_explicit(&lc->out.head, memory_order_relaxed);

		if (!atomic_load_explicit(&lc->gate, memory_order_relaxed) &&
		    lc->out.tail_seen != head) {
			kci_spsc_copy(ret_elems, kci_spsc_at(&lc->ring, head), lc->ring.size);
			lc->out.received++;
			if (lc->bare_desc)
				lc->out.bytes += desc_len(lc, ret_elems);
			atomic_store_explicit(&lc->out.head, head + 1, memory_order_release);
			kci_biased_leave(me);
			return 1;
		}
		kci_biased_leave(me);
	}
	return recv_other(lc, ret_elems, n, timeout_ms, bare);
}
