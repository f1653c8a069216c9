/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * First-in first-out storage of elements in chunks.
 */
#include "libkcoro-client/core/chan-queue.h"

#include <stdint.h>
#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"

#define CHUNK_MIN   ((size_t)1024)
#define CHUNK_MAX   ((size_t)16384) /* unless one element needs more */
#define CHUNK_ELEMS ((size_t)16)    /* aimed at, between the two */

#define ALIGN _Alignof(max_align_t)

struct kci_chunk {
	struct kci_chunk *next;
	size_t size;  /* bytes of data */
	size_t start; /* first byte still queued */
	size_t end;   /* first free byte */
	_Alignas(max_align_t) unsigned char data[];
};

/* A message lies behind its length, both aligned. */
struct record {
	_Alignas(max_align_t) size_t len;
};

static size_t record_size(const struct kci_queue *q, size_t len)
{
	if (q->elem_size)
		return q->elem_size;
	return sizeof(struct record) + (len + ALIGN - 1) / ALIGN * ALIGN;
}

void kci_queue_init(struct kci_queue *q, size_t elem_size)
{
	*q = (struct kci_queue){ .elem_size = elem_size };
}

void kci_queue_done(struct kci_queue *q)
{
	while (q->head) {
		struct kci_chunk *next = q->head->next;

		KC_FREE(q->head);
		q->head = next;
	}
	KC_FREE(q->spare);
	kci_queue_init(q, q->elem_size);
}

static struct kci_chunk *chunk_get(struct kci_queue *q, size_t record)
{
	struct kci_chunk *chunk = KC_STEAL(q->spare);
	size_t size = record * CHUNK_ELEMS;

	if (!chunk || chunk->size < record) {
		KC_FREE(chunk);
		if (size < CHUNK_MIN)
			size = CHUNK_MIN;
		if (size > CHUNK_MAX)
			size = CHUNK_MAX;
		if (size < record)
			size = record;
		chunk = KC_ALLOC(sizeof(*chunk) + size);
		if (!chunk)
			return NULL;
		chunk->size = size;
	}
	chunk->next = NULL;
	chunk->start = 0;
	chunk->end = 0;
	return chunk;
}

/* A drained chunk: kept if it is of the usual size, so that no message of many
 * megabytes leaves its chunk behind. */
static void chunk_put(struct kci_queue *q, struct kci_chunk *chunk)
{
	if (!q->spare && chunk->size <= CHUNK_MAX)
		q->spare = chunk;
	else
		KC_FREE(chunk);
}

bool kci_queue_reserve(struct kci_queue *q, size_t len)
{
	size_t record = record_size(q, len);

	if (!q->tail || q->tail->size - q->tail->end < record) {
		struct kci_chunk *chunk = chunk_get(q, record);

		if (!chunk)
			return false;
		if (q->tail)
			q->tail->next = chunk;
		else
			q->head = chunk;
		q->tail = chunk;
	}
	q->reserved = true;
	return true;
}

void kci_queue_push(struct kci_queue *q, const void *elem, size_t len)
{
	unsigned char *at = q->tail->data + q->tail->end;

	if (q->elem_size == 0) {
		*(struct record *)(void *)at = (struct record){ .len = len };
		at += sizeof(struct record);
	}
	if (len > 0)
		memcpy(at, elem, len);
	q->tail->end += record_size(q, len);
	q->len++;
	q->bytes += len;
	q->reserved = false;
}

/* The chunk of the first element. Chunks in front of it may be empty: a reserve
 * may have moved on to a new one before the last element of the old was taken. */
static struct kci_chunk *front_chunk(const struct kci_queue *q)
{
	struct kci_chunk *chunk = q->head;

	while (chunk->start == chunk->end)
		chunk = chunk->next;
	return chunk;
}

const void *kci_queue_front(const struct kci_queue *q, size_t *ret_len)
{
	const struct kci_chunk *chunk = front_chunk(q);
	const unsigned char *at = chunk->data + chunk->start;

	if (q->elem_size) {
		*ret_len = q->elem_size;
		return at;
	}
	*ret_len = ((const struct record *)(const void *)at)->len;
	return at + sizeof(struct record);
}

void kci_queue_pop(struct kci_queue *q)
{
	struct kci_chunk *chunk;
	size_t len;

	(void)kci_queue_front(q, &len);
	q->len--;
	q->bytes -= len;
	chunk = front_chunk(q);
	chunk->start += record_size(q, len);
	while (q->head != q->tail && q->head->start == q->head->end) {
		chunk = q->head;
		q->head = chunk->next;
		chunk_put(q, chunk);
	}
	if (q->len > 0)
		return;
	if (q->tail->size > CHUNK_MAX && !q->reserved) {
		chunk_put(q, q->tail);
		q->head = NULL;
		q->tail = NULL;
	} else {
		q->tail->start = 0;
		q->tail->end = 0;
	}
}
