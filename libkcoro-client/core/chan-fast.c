/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A local channel's locks, and what needs only one of them or is done at once.
 *
 * A handle may be destroyed while calls are in progress, which end then. So whoever
 * gives up its last lock either touches the channel no more, or was counted as a call
 * in progress before: kc_chan_destroy() waits until nobody is counted, and takes both
 * locks last of all.
 */
#include "kcoro/sched.h"
#include "libkcoro-client/core/chan-call.h"
#include "libkcoro-client/core/chan-local.h"
#include "libkcoro-client/core/park.h"

#define YIELDS	    8u
#define SPINS_LEAST 32u
#define SPINS_MOST  256u /* some microseconds */
#define LINGER_MOST 128u
#define LINGER_LOOK 16u /* not too often: a look fetches the other side's line */
#define LINGER_ROOM 16u /* smaller rings are full before it pays */

void kci_local_shape(struct kci_local *lc)
{
	size_t size = lc->head.elem_size;
	bool ring = lc->head.kind == KC_BUFFERED && size > 0 && lc->max_bytes == 0 &&
		    lc->overflow == KC_OVERFLOW_BLOCK && lc->capacity <= KCI_SPSC_BYTES / size;

	lc->ring.size = lc->bare_desc ? KCI_BARE_DESC : size;
	atomic_store_explicit(&lc->send_spins, SPINS_MOST / 4, memory_order_relaxed);
	atomic_store_explicit(&lc->recv_spins, SPINS_MOST / 4, memory_order_relaxed);
	atomic_store_explicit(&lc->send_lingers, 1, memory_order_relaxed);
	atomic_store_explicit(&lc->recv_lingers, 1, memory_order_relaxed);
	lc->ring.most = ring ? lc->capacity : 0;
	lc->head.hands = lc->head.kind == KC_RENDEZVOUS && size > 0;
	lc->gated = ring;
	lc->direct = lc->head.hands;
	lc->head.fast = !ring && !lc->head.hands ? KCI_FAST_NONE :
			lc->bare_desc	    ? KCI_FAST_DESC :
			lc->zcopy	    ? KCI_FAST_NONE :
					      KCI_FAST_FIXED;
	lc->head.uncounted = (!lc->zcopy || lc->bare_desc) && !lc->on_drop;
}

static void __attribute__((noinline)) take_contended(struct kci_local *lc, struct kci_biased *l)
{
	kci_local_count(lc);
	kci_biased_take(l);
	kci_chan_leave(&lc->head);
}

static inline void take(struct kci_local *lc, struct kci_biased *l)
{
	if (!kci_biased_try(l))
		take_contended(lc, l);
}

/* The lock of one direction, with none held: a coroutine lets others run meanwhile, who may well
 * have something to do in the other direction. Where coroutines do little else than meet here, two
 * processors are slower than one. */
static void __attribute__((noinline))
take_side_contended(struct kci_local *lc, struct kci_biased *l)
{
	bool taken = false;

	kci_local_count(lc);
	if (kci_coro_current())
		kci_coro_crossed(atomic_load_explicit(&l->last, memory_order_relaxed));
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
	kci_local_lock_also(lc);
}

void kci_local_lock_also(struct kci_local *lc)
{
	take(lc, &lc->send_lock);
	if (lc->ring.most > 0)
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

static void add_descs(struct kci_local *lc, const struct kc_zdesc *descs, size_t n)
{
	size_t tail = atomic_load_explicit(&lc->in.tail, memory_order_relaxed);
	unsigned char *slots = lc->ring.slots;
	size_t mask = lc->ring.mask;
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(slots + ((tail + i) & mask) * KCI_BARE_DESC, &descs[i], KCI_BARE_DESC);
		bytes += descs[i].len;
	}
	lc->in.bytes += bytes;
	atomic_store_explicit(&lc->in.tail, tail + n, memory_order_release);
}

static void get_descs(struct kci_local *lc, struct kc_zdesc *ret_descs, size_t n)
{
	size_t head = atomic_load_explicit(&lc->out.head, memory_order_relaxed);
	const unsigned char *slots = lc->ring.slots;
	size_t mask = lc->ring.mask;
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(&ret_descs[i], slots + ((head + i) & mask) * KCI_BARE_DESC, KCI_BARE_DESC);
		kci_bare_complete(&ret_descs[i]);
		bytes += ret_descs[i].len;
	}
	lc->out.bytes += bytes;
	atomic_store_explicit(&lc->out.head, head + n, memory_order_release);
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
	if (lc->bare_desc)
		add_descs(lc, elems, n);
	else
		kci_spsc_add(&lc->ring, &lc->in, elems, n);
	lc->in.sent += n;
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
	if (lc->bare_desc)
		get_descs(lc, ret_elems, n);
	else
		kci_spsc_take(&lc->ring, &lc->out, ret_elems, n);
	lc->out.received += n;
	return n;
}

/* These count the call if they move nothing. */
static size_t __attribute__((noinline))
add_locked(struct kci_local *lc, const void *elems, size_t n)
{
	take_side(lc, &lc->send_lock);
	n = add(lc, elems, n);
	if (n == 0)
		kci_local_count(lc);
	kci_biased_release(&lc->send_lock);
	return n;
}

static size_t __attribute__((noinline)) get_locked(struct kci_local *lc, void *ret_elems, size_t n)
{
	take_side(lc, &lc->recv_lock);
	n = get(lc, ret_elems, n);
	if (n == 0)
		kci_local_count(lc);
	kci_biased_release(&lc->recv_lock);
	return n;
}

/* ---- a short while before one sleeps ------------------------------------------ */

/* The other side has begun to move. Who goes after it at once fetches the line with its count, and
 * the one with the element, for a single element, and then for the next: so let it get ahead for a
 * while, as long as it does, but not until it has nothing more to do. */
static void linger(struct kci_local *lc, const _Atomic size_t *count, _Atomic uint32_t *budget)
{
	uint32_t looks = atomic_load_explicit(budget, memory_order_relaxed);
	size_t before = atomic_load_explicit(count, memory_order_relaxed);

	if (lc->ring.most < LINGER_ROOM)
		return;
	for (uint32_t i = 1; i <= looks; i++) {
		kci_relax();
		if (i % LINGER_LOOK == 0 &&
		    atomic_load_explicit(count, memory_order_relaxed) - before >= lc->ring.most / 2)
			break;
	}
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

/* ---- what chan-calls.c calls -------------------------------------------------- */

static inline size_t try_send(struct kci_local *lc, const void *elems, size_t n)
{
	struct kci_bias *me = kci_bias_here;

	if (!kci_biased_enter(&lc->send_lock, me))
		return add_locked(lc, elems, n);
	n = add(lc, elems, n);
	if (n == 0)
		kci_local_count(lc);
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
		kci_local_count(lc);
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

bool kci_fast_clause(struct kci_local *lc, const struct kc_clause *clause)
{
	struct kci_bias *me = kci_bias_here;
	bool sends = kci_clause_sends(clause);
	size_t n;

	if (lc->head.fast == KCI_FAST_NONE)
		return false;
	if (lc->head.hands) {
		long r = sends ? kci_hand_send(lc, clause->elem, /* single= */ true, false)
			       : kci_hand_recv(lc, clause->buf, /* single= */ true, false);

		if (r == 0)
			kci_chan_leave(&lc->head);
		return r > 0;
	}
	if (!kci_biased_enter(sends ? &lc->send_lock : &lc->recv_lock, me))
		return false;
	n = sends ? add(lc, clause->elem, 1) : get(lc, clause->buf, 1);
	kci_biased_leave(me);
	return n > 0;
}

long kci_fast_send(kc_chan_t *ch, const void *elems, size_t n, long timeout_ms, bool bare)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	size_t moved;

	if (lc->head.hands)
		return kci_hand_send(lc, elems, n == 1, bare && timeout_ms < 0);
	moved = try_send(lc, elems, n);
	if (moved == 0 && timeout_ms != 0)
		moved = retry_send(lc, elems, n);
	return (long)moved;
}

long kci_fast_recv(kc_chan_t *ch, void *ret_elems, size_t n, long timeout_ms, bool bare)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	size_t moved;

	if (lc->head.hands)
		return kci_hand_recv(lc, ret_elems, n == 1, bare && timeout_ms < 0);
	moved = try_recv(lc, ret_elems, n);
	if (moved == 0 && timeout_ms != 0)
		moved = retry_recv(lc, ret_elems, n);
	return (long)moved;
}
