/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * First-in first-out storage of elements, locking by the caller.
 *
 * Elements lie one after the other in chunks that are made when needed and given
 * back when drained, so a channel costs what it holds and not what it might
 * hold, and growing copies nothing. The queue knows no limit of its own: the
 * channel decides what may enter.
 */
#ifndef KCI_CHAN_QUEUE_H
#define KCI_CHAN_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct kci_chunk;

struct kci_queue {
	struct kci_chunk *head;	 /* taken from here */
	struct kci_chunk *tail;	 /* added here */
	struct kci_chunk *spare; /* at most one, so that a queue around empty does not allocate */
	size_t elem_size;	 /* 0 = messages, each behind its length */
	size_t len;		 /* elements */
	size_t bytes;		 /* of the elements */
	bool reserved;		 /* room was asked for and not yet used */
};

void kci_queue_init(struct kci_queue *q, size_t elem_size);

/* Free every chunk; what is queued is forgotten. */
void kci_queue_done(struct kci_queue *q);

/* Make room for one element of len bytes at the end. false: no memory. */
bool kci_queue_reserve(struct kci_queue *q, size_t len);

/* Append after a successful reserve of at least len, with nothing in between but
 * kci_queue_pop(). */
void kci_queue_push(struct kci_queue *q, const void *elem, size_t len);

/* The first element, aligned for any type; stays valid until it is popped. The
 * queue must not be empty. */
const void *kci_queue_front(const struct kci_queue *q, size_t *ret_len);
void kci_queue_pop(struct kci_queue *q);

#endif
