/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One element of a local channel.
 *
 * The commonest case by itself, so that nothing else costs it anything: by the owner of the
 * lock, of a usual size, and there is room for it. Everything else is done by functions that
 * are called last, so that these have nothing to keep for afterwards.
 */
#include "libkcoro-client/core/chan-call.h"
#include "libkcoro-client/core/chan-local.h"

static int __attribute__((noinline))
send_one_other(struct kci_local *lc, const void *elem, long timeout_ms)
{
	enum kci_family family = lc->bare_desc ? KCI_DESC : KCI_FIXED;
	long r = kci_fast_send(&lc->head, elem, 1, timeout_ms, /* bare= */ true);

	if (r <= 0)
		r = kci_send_rest(&lc->head, family, elem, 1, timeout_ms, NULL, /* tried= */ true,
				  r);
	return r < 0 ? (int)r : 0;
}

static int __attribute__((noinline))
recv_one_other(struct kci_local *lc, void *ret_elem, long timeout_ms)
{
	enum kci_family family = lc->bare_desc ? KCI_DESC : KCI_FIXED;
	long r = kci_fast_recv(&lc->head, ret_elem, 1, timeout_ms, /* bare= */ true);

	if (r <= 0)
		r = kci_recv_rest(&lc->head, family, ret_elem, 1, timeout_ms, NULL,
				  /* tried= */ true, r);
	return r < 0 ? (int)r : 0;
}

/* The section is to be left first. */
static int __attribute__((noinline))
send_one_left(struct kci_local *lc, const void *elem, long timeout_ms, uint32_t number)
{
	kci_biased_leave_from(kci_bias_here, number);
	return send_one_other(lc, elem, timeout_ms);
}

static int __attribute__((noinline))
recv_one_left(struct kci_local *lc, void *ret_elem, long timeout_ms, uint32_t number)
{
	kci_biased_leave_from(kci_bias_here, number);
	return recv_one_other(lc, ret_elem, timeout_ms);
}

int kci_fast_send_one(kc_chan_t *ch, const void *elem, long timeout_ms)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_bias *me = kci_bias_here;
	uint32_t number;
	size_t tail;

	if (!me || lc->head.hands || !kci_biased_owns(&lc->send_lock, me))
		return send_one_other(lc, elem, timeout_ms);
	number = kci_biased_announce(me);
	tail = atomic_load_explicit(&lc->in.tail, memory_order_relaxed);
	if (!kci_biased_owns(&lc->send_lock, me) ||
	    atomic_load_explicit(&lc->gate, memory_order_relaxed) ||
	    tail - lc->in.head_seen >= lc->ring.room ||
	    !kci_spsc_copy_usual(kci_spsc_at(&lc->ring, tail), elem, lc->ring.size))
		return send_one_left(lc, elem, timeout_ms, number);
	lc->in.sent++;
	if (lc->bare_desc)
		lc->in.bytes += ((const struct kc_zdesc *)elem)->len;
	atomic_store_explicit(&lc->in.tail, tail + 1, memory_order_release);
	kci_biased_leave_from(me, number);
	return 0;
}

int kci_fast_recv_one(kc_chan_t *ch, void *ret_elem, long timeout_ms)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_bias *me = kci_bias_here;
	uint32_t number;
	size_t head;

	if (!me || lc->head.hands || !kci_biased_owns(&lc->recv_lock, me))
		return recv_one_other(lc, ret_elem, timeout_ms);
	number = kci_biased_announce(me);
	head = atomic_load_explicit(&lc->out.head, memory_order_relaxed);
	if (!kci_biased_owns(&lc->recv_lock, me) ||
	    atomic_load_explicit(&lc->gate, memory_order_relaxed) || lc->out.tail_seen == head ||
	    !kci_spsc_copy_usual(ret_elem, kci_spsc_at(&lc->ring, head), lc->ring.size))
		return recv_one_left(lc, ret_elem, timeout_ms, number);
	lc->out.received++;
	if (lc->bare_desc) {
		kci_bare_complete(ret_elem);
		lc->out.bytes += ((const struct kc_zdesc *)ret_elem)->len;
	}
	atomic_store_explicit(&lc->out.head, head + 1, memory_order_release);
	kci_biased_leave_from(me, number);
	return 0;
}

/* The same again, with address and length in registers all the way to the ring. */

static int __attribute__((noinline))
send_bare_other(struct kci_local *lc, void *addr, size_t len, long timeout_ms)
{
	struct kc_zdesc desc = { .addr = addr, .len = len };

	return send_one_other(lc, &desc, timeout_ms);
}

static int __attribute__((noinline))
send_bare_left(struct kci_local *lc, void *addr, size_t len, long timeout_ms, uint32_t number)
{
	kci_biased_leave_from(kci_bias_here, number);
	return send_bare_other(lc, addr, len, timeout_ms);
}

static int __attribute__((noinline))
recv_bare_other(struct kci_local *lc, void **ret_addr, size_t *ret_len, long timeout_ms)
{
	struct kc_zdesc desc;
	int r = recv_one_other(lc, &desc, timeout_ms);

	if (r < 0)
		return r;
	*ret_addr = desc.addr;
	*ret_len = desc.len;
	return 0;
}

static int __attribute__((noinline))
recv_bare_left(struct kci_local *lc, void **ret_addr, size_t *ret_len, long timeout_ms,
	       uint32_t number)
{
	kci_biased_leave_from(kci_bias_here, number);
	return recv_bare_other(lc, ret_addr, ret_len, timeout_ms);
}

struct bare {
	void *addr;
	size_t len;
};
_Static_assert(sizeof(struct bare) == KCI_BARE_DESC, "a slot is the beginning of a descriptor");

int kci_fast_send_bare(kc_chan_t *ch, void *addr, size_t len, long timeout_ms)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_bias *me = kci_bias_here;
	struct bare *slot;
	uint32_t number;
	size_t tail;

	if (!me || lc->head.hands || !kci_biased_owns(&lc->send_lock, me))
		return send_bare_other(lc, addr, len, timeout_ms);
	number = kci_biased_announce(me);
	tail = atomic_load_explicit(&lc->in.tail, memory_order_relaxed);
	if (!kci_biased_owns(&lc->send_lock, me) ||
	    atomic_load_explicit(&lc->gate, memory_order_relaxed) ||
	    tail - lc->in.head_seen >= lc->ring.room)
		return send_bare_left(lc, addr, len, timeout_ms, number);
	slot = (struct bare *)(void *)lc->ring.slots + (tail & lc->ring.mask);
	slot->addr = addr;
	slot->len = len;
	lc->in.sent++;
	lc->in.bytes += len;
	atomic_store_explicit(&lc->in.tail, tail + 1, memory_order_release);
	kci_biased_leave_from(me, number);
	return 0;
}

int kci_fast_recv_bare(kc_chan_t *ch, void **ret_addr, size_t *ret_len, long timeout_ms)
{
	struct kci_local *lc = KC_CONTAINER_OF(ch, struct kci_local, head);
	struct kci_bias *me = kci_bias_here;
	const struct bare *slot;
	uint32_t number;
	size_t head;

	if (!me || lc->head.hands || !kci_biased_owns(&lc->recv_lock, me))
		return recv_bare_other(lc, ret_addr, ret_len, timeout_ms);
	number = kci_biased_announce(me);
	head = atomic_load_explicit(&lc->out.head, memory_order_relaxed);
	if (!kci_biased_owns(&lc->recv_lock, me) ||
	    atomic_load_explicit(&lc->gate, memory_order_relaxed) || lc->out.tail_seen == head)
		return recv_bare_left(lc, ret_addr, ret_len, timeout_ms, number);
	slot = (const struct bare *)(const void *)lc->ring.slots + (head & lc->ring.mask);
	*ret_addr = slot->addr;
	*ret_len = slot->len;
	lc->out.received++;
	lc->out.bytes += slot->len;
	atomic_store_explicit(&lc->out.head, head + 1, memory_order_release);
	kci_biased_leave_from(me, number);
	return 0;
}
