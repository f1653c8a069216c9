/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer_urcu - the wait-free queue of liburcu, between two threads and between eight.
 *
 * It has no bound and no memory of its own: an element lies in a node of its sender's. All nodes
 * are there before the clock starts, so that no allocator is measured. With several receivers the
 * queue's own mutex is between them.
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE /* the calls inline, as the queue is meant to be used for speed */
#include <stdlib.h>
#include <urcu/wfcqueue.h>

#include "peer_threads.h"

struct element {
	struct cds_wfcq_node node;
	uint64_t value;
};

struct peer_queue {
	_Alignas(64) struct cds_wfcq_head head;
	_Alignas(64) struct cds_wfcq_tail tail;
	_Alignas(64) struct element *elements;
	unsigned long share;
	bool single;
};

static struct peer_queue *peer_open(unsigned capacity, unsigned senders, unsigned long share)
{
	struct peer_queue *queue = aligned_alloc(64, sizeof(*queue));

	(void)capacity;
	if (!queue)
		return NULL;
	queue->share = share;
	queue->single = senders == 1;
	queue->elements = malloc(senders * share * sizeof(*queue->elements));
	if (!queue->elements) {
		free(queue);
		return NULL;
	}
	cds_wfcq_init(&queue->head, &queue->tail);
	/* touch every page */
	for (unsigned long i = 0; i < senders * share; i++) {
		cds_wfcq_node_init(&queue->elements[i].node);
		queue->elements[i].value = 0;
	}
	return queue;
}

static void peer_close(struct peer_queue *queue)
{
	cds_wfcq_destroy(&queue->head, &queue->tail);
	free(queue->elements);
	free(queue);
}

static bool peer_send(struct peer_queue *queue, unsigned sender, uint64_t value)
{
	/* value counts down to 1 in every sender */
	struct element *element = &queue->elements[sender * queue->share + value - 1];

	element->value = value;
	(void)cds_wfcq_enqueue(&queue->head, &queue->tail, &element->node);
	return true;
}

static bool peer_recv(struct peer_queue *queue, uint64_t *ret)
{
	struct cds_wfcq_node *node;

	if (queue->single)
		node = __cds_wfcq_dequeue_blocking(&queue->head, &queue->tail);
	else
		node = cds_wfcq_dequeue_blocking(&queue->head, &queue->tail);
	if (!node)
		return false;
	*ret = caa_container_of(node, struct element, node)->value;
	return true;
}

#ifndef PEER_VERSION
#define PEER_VERSION ""
#endif

int main(int argc, char **argv)
{
	static const struct peer_figure figures[] = {
		{ "thread_1x1_8", "1/s", peer_take_threads, 1000000, 1, 1024 },
		{ "thread_4x4_8", "1/s", peer_take_threads, 1000000, 4, 1024 },
	};

	return peer_run(argc, argv, "liburcu " PEER_VERSION, figures,
			sizeof(figures) / sizeof(figures[0]));
}
