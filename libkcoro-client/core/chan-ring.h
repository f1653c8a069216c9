/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements of one size in a ring: one sender at a time adds, one receiver at a time
 * takes, and the two need not know of one another.
 *
 * Each side has a count that only it writes and the other reads, and remembers what
 * it last saw of the other's, so that the lines travel between processors once per
 * round and not once per element (Lee, Bu, Chandranmenon, "A lock-free,
 * cache-efficient shared ring buffer", ANCS 2009). The ring grows as it is needed, and
 * goes when it is drained and large; both with nobody else on either side.
 */
#ifndef KCI_CHAN_RING_H
#define KCI_CHAN_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KCI_SPSC_BYTES ((size_t)1 << 20) /* a channel that may hold more has no ring */
#define KCI_SPSC_KEPT  ((size_t)1 << 14) /* bytes that are kept while it is empty */

struct kci_spsc {
	unsigned char *slots; /* NULL until the first element */
	size_t size;	      /* of an element */
	size_t mask;	      /* slots, a power of two, less one */
	size_t room;	      /* elements it holds now at most; 0 without slots */
	size_t most;	      /* the channel's capacity; 0: the channel has no ring */
};

/* The sender's side. */
struct kci_spsc_in {
	_Atomic size_t tail; /* elements added, ever */
	size_t head_seen;
	size_t sent;	/* by chan-fast.c */
	uint64_t bytes; /* these too, what descriptors stand for */
};

/* The receiver's. */
struct kci_spsc_out {
	_Atomic size_t head; /* elements taken, ever */
	size_t tail_seen;
	size_t received; /* by chan-fast.c */
	uint64_t bytes;	 /* these too, what descriptors stand for */
};

/* Exact only with nobody else on either side. */
static inline size_t kci_spsc_len(const struct kci_spsc_in *in, const struct kci_spsc_out *out)
{
	return atomic_load_explicit(&in->tail, memory_order_relaxed) -
	       atomic_load_explicit(&out->head, memory_order_relaxed);
}

static inline void *kci_spsc_at(const struct kci_spsc *ring, size_t at)
{
	return ring->slots + (at & ring->mask) * ring->size;
}

/* Word by word: whoever made the element did so a moment ago, most likely in words, and a processor
 * does not pass two of them on to one wider load before they are in the cache. */
static inline void kci_spsc_copy_two(void *to, const void *from)
{
	uint64_t first, second;

	memcpy(&first, from, 8);
	memcpy(&second, (const char *)from + 8, 8);
	__asm__("" : "+r"(first), "+r"(second)); /* not to be joined */
	memcpy(to, &first, 8);
	memcpy((char *)to + 8, &second, 8);
}

/* The usual sizes, copied without a call. false: it is none of them. */
static inline bool kci_spsc_copy_usual(void *to, const void *from, size_t size)
{
	switch (size) {
	case 4:
		memcpy(to, from, 4);
		return true;
	case 8:
		memcpy(to, from, 8);
		return true;
	case 16:
		kci_spsc_copy_two(to, from);
		return true;
	case 24:
		memcpy(to, from, 24);
		return true;
	case 32:
		memcpy(to, from, 32);
		return true;
	case 40: /* a descriptor */
		memcpy(to, from, 40);
		return true;
	case 64:
		memcpy(to, from, 64);
		return true;
	default:
		return false;
	}
}

static inline void kci_spsc_copy(void *to, const void *from, size_t size)
{
	if (!kci_spsc_copy_usual(to, from, size))
		memcpy(to, from, size);
}

/* How many more may be added, looked for up to want. */
static inline size_t kci_spsc_room(const struct kci_spsc *ring, struct kci_spsc_in *in,
				   const struct kci_spsc_out *out, size_t want)
{
	size_t tail = atomic_load_explicit(&in->tail, memory_order_relaxed);

	if (ring->room - (tail - in->head_seen) < want)
		in->head_seen = atomic_load_explicit(&out->head, memory_order_acquire);
	return ring->room - (tail - in->head_seen);
}

/* How many may be taken, looked for up to want. */
static inline size_t kci_spsc_there(struct kci_spsc_out *out, const struct kci_spsc_in *in,
				    size_t want)
{
	size_t head = atomic_load_explicit(&out->head, memory_order_relaxed);

	if (out->tail_seen - head < want)
		out->tail_seen = atomic_load_explicit(&in->tail, memory_order_acquire);
	return out->tail_seen - head;
}

/* n elements for which there is room, from one after the other. */
static inline void kci_spsc_add(const struct kci_spsc *ring, struct kci_spsc_in *in,
				const void *elems, size_t n)
{
	size_t tail = atomic_load_explicit(&in->tail, memory_order_relaxed);

	for (size_t i = 0; i < n; i++)
		kci_spsc_copy(kci_spsc_at(ring, tail + i), (const char *)elems + i * ring->size,
			      ring->size);
	atomic_store_explicit(&in->tail, tail + n, memory_order_release);
}

/* n elements that are there. */
static inline void kci_spsc_take(const struct kci_spsc *ring, struct kci_spsc_out *out,
				 void *ret_elems, size_t n)
{
	size_t head = atomic_load_explicit(&out->head, memory_order_relaxed);

	for (size_t i = 0; i < n; i++)
		kci_spsc_copy((char *)ret_elems + i * ring->size, kci_spsc_at(ring, head + i),
			      ring->size);
	atomic_store_explicit(&out->head, head + n, memory_order_release);
}

/* ---- with nobody else on either side: chan-ring.c ---------------------------- */

/* Room for one more, of the channel's capacity. false: no memory. */
bool kci_spsc_reserve(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out);
/* It is empty: give large memory back. */
void kci_spsc_trim(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out);
/* Take memory and elements away; `ret` and the two counts are what is left to look at. */
void kci_spsc_steal(struct kci_spsc *ring, struct kci_spsc_in *in, struct kci_spsc_out *out,
		    struct kci_spsc *ret, size_t *ret_first, size_t *ret_n);

#endif
