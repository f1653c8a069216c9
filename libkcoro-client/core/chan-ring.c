/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring's memory: see chan-ring.h. */
#include "libkcoro-client/core/chan-ring.h"

#include "libkcoro-client/port/kcoro_port.h"

#define SLOTS_FIRST ((size_t)16)
#define GROWTH	    4u /* to grow takes both locks away from who has got used to them */

bool kci_spsc_reserve(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out)
{
	size_t head = atomic_load_explicit(&out->head, memory_order_relaxed);
	size_t len = kci_spsc_len(in, out);
	size_t slots = ring->slots ? (ring->mask + 1) * GROWTH : SLOTS_FIRST;
	unsigned char *more;

	if (len < ring->room)
		return true;
	more = KC_ALLOC(slots * ring->size);
	if (!more)
		return false;
	for (size_t i = 0; i < len; i++)
		memcpy(more + ((head + i) & (slots - 1)) * ring->size, kci_spsc_at(ring, head + i),
		       ring->size);
	KC_FREE(ring->slots);
	ring->slots = more;
	ring->mask = slots - 1;
	ring->room = slots < ring->most ? slots : ring->most;
	return true;
}

/* Nothing is in it any more. What each side remembers of the other must not be older than that:
 * there is less room now. */
static void drop_slots(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out)
{
	size_t tail = atomic_load_explicit(&in->tail, memory_order_relaxed);

	atomic_store_explicit(&out->head, tail, memory_order_relaxed);
	in->head_seen = tail;
	out->tail_seen = tail;
	ring->slots = NULL;
	ring->mask = 0;
	ring->room = 0;
}

void kci_spsc_trim(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out)
{
	if (!ring->slots || (ring->mask + 1) * ring->size <= KCI_SPSC_KEPT)
		return;
	KC_FREE(ring->slots);
	drop_slots(ring, in, out);
}

void kci_spsc_steal(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out,
		    struct kci_spsc *ret, size_t *ret_first, size_t *ret_n)
{
	*ret = *ring;
	*ret_first = atomic_load_explicit(&out->head, memory_order_relaxed);
	*ret_n = kci_spsc_len(in, out);
	drop_slots(ring, in, out);
}
