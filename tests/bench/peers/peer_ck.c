/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer_ck - the ring of Concurrency Kit, between two threads and between eight.
 *
 * Its entries are pointers; an element of 8 bytes is stored as one. A ring of 1,024 holds one
 * less.
 */
#define _GNU_SOURCE
#include <ck_ring.h>
#include <stdlib.h>

#include "peer_threads.h"

struct peer_queue {
	ck_ring_t ring;
	bool single;
	ck_ring_buffer_t *places;
};

static struct peer_queue *peer_open(unsigned capacity, unsigned senders, unsigned long share)
{
	struct peer_queue *queue = aligned_alloc(64, (sizeof(*queue) + 63) / 64 * 64);

	(void)share;
	if (!queue)
		return NULL;
	queue->single = senders == 1;
	queue->places = calloc(capacity, sizeof(*queue->places));
	if (!queue->places) {
		free(queue);
		return NULL;
	}
	ck_ring_init(&queue->ring, capacity);
	return queue;
}

static void peer_close(struct peer_queue *queue)
{
	free(queue->places);
	free(queue);
}

static bool peer_send(struct peer_queue *queue, unsigned sender, uint64_t value)
{
	void *entry = (void *)(uintptr_t)value;

	(void)sender;
	if (queue->single)
		return ck_ring_enqueue_spsc(&queue->ring, queue->places, entry);
	return ck_ring_enqueue_mpmc(&queue->ring, queue->places, entry);
}

static bool peer_recv(struct peer_queue *queue, uint64_t *ret)
{
	void *entry;
	bool got;

	if (queue->single)
		got = ck_ring_dequeue_spsc(&queue->ring, queue->places, &entry);
	else
		got = ck_ring_dequeue_mpmc(&queue->ring, queue->places, &entry);
	if (got)
		*ret = (uint64_t)(uintptr_t)entry;
	return got;
}

int main(int argc, char **argv)
{
	static const struct peer_figure figures[] = {
		{ "thread_1x1_8", "1/s", peer_take_threads, 4000000, 1, 1024 },
		{ "thread_4x4_8", "1/s", peer_take_threads, 1000000, 4, 1024 },
	};

	return peer_run(argc, argv, "Concurrency Kit " CK_VERSION, figures,
			sizeof(figures) / sizeof(figures[0]));
}
