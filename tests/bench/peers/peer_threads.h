/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that send through one queue of a peer, and threads that receive: what our thread_
 * figures do, with the clock read at the same places, from the first sender's start to the last
 * arrival. The including file says what a queue is and defines the three calls; they are static,
 * so that a peer does not pay for a call through a pointer.
 *
 * These queues do not wait. Their users try again, and give up the CPU after some tries: there
 * may be more threads than CPUs. Even so some calls wait for a thread that is within one and was
 * preempted, and an element may take a time slice: senders stop after PEER_LIMIT_SEC, and the rate
 * is that of what was sent by then.
 */
#ifndef PEER_THREADS_H
#define PEER_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "peer.h"

#define PEER_SIDE_MAX  16
#define PEER_TRIES     64
#define PEER_LIMIT_SEC 5

struct peer_queue;
static struct peer_queue *peer_open(unsigned capacity, unsigned senders, unsigned long share);
static void peer_close(struct peer_queue *queue);
/* false: full, or empty; sender numbers its callers */
static bool peer_send(struct peer_queue *queue, unsigned sender, uint64_t value);
static bool peer_recv(struct peer_queue *queue, uint64_t *ret);

struct peer_crew {
	struct peer_queue *queue;
	unsigned long share; /* of each sender */
	pthread_barrier_t start;
	_Alignas(64) atomic_bool stop; /* the time is over */
	atomic_bool done;	       /* nothing is sent any more */
};

struct peer_thread {
	struct peer_crew *crew;
	unsigned index;
	pthread_t thread;
	uint64_t begin, end, sum, n;
};

static inline void peer_again(unsigned *tries)
{
	if (++*tries < PEER_TRIES) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
		return;
	}
	*tries = 0;
	sched_yield();
}

/* They count in variables of their own: the threads' structures lie side by side. */
static void *peer_sender(void *arg)
{
	struct peer_thread *t = arg;
	struct peer_queue *queue = t->crew->queue;
	uint64_t left = t->crew->share, sum = 0;
	unsigned tries = 0;

	pthread_barrier_wait(&t->crew->start);
	t->begin = peer_now();
	for (; left > 0 && !atomic_load_explicit(&t->crew->stop, memory_order_relaxed); left--) {
		while (!peer_send(queue, t->index, left))
			peer_again(&tries);
		tries = 0;
		sum += left;
	}
	t->sum = sum;
	t->n = t->crew->share - left;
	return NULL;
}

static void *peer_receiver(void *arg)
{
	struct peer_thread *t = arg;
	struct peer_queue *queue = t->crew->queue;
	uint64_t value, sum = 0, n = 0;
	unsigned tries = 0;
	bool done = false;

	pthread_barrier_wait(&t->crew->start);
	for (;;) {
		if (peer_recv(queue, &value)) {
			sum += value;
			n++;
			tries = 0;
		} else if (done) {
			break;
		} else {
			/* what was sent before done was said is found by one more look */
			done = atomic_load_explicit(&t->crew->done, memory_order_acquire);
			if (!done)
				peer_again(&tries);
		}
	}
	t->end = peer_now();
	t->sum = sum;
	t->n = n;
	return NULL;
}

/* Elements a second. */
static double peer_take_threads(const struct peer_figure *f, unsigned long count)
{
	struct peer_thread threads[2 * PEER_SIDE_MAX] = { 0 };
	struct peer_crew crew = { .share = count / f->sides };
	unsigned n = 2 * f->sides;
	uint64_t begin = UINT64_MAX, end = 0, sent = 0, received = 0, n_sent = 0, arrived = 0;
	struct timespec limit;

	crew.share = crew.share ? crew.share : 1;
	crew.queue = peer_open(f->capacity, f->sides, crew.share);
	if (!crew.queue) {
		fprintf(stderr, "no memory for the queue\n");
		return -1;
	}
	pthread_barrier_init(&crew.start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		threads[i].crew = &crew;
		threads[i].index = i;
		if (pthread_create(&threads[i].thread, NULL,
				   i < f->sides ? peer_sender : peer_receiver, &threads[i]) != 0) {
			/* those before wait for all; the program ends now */
			fprintf(stderr, "cannot start thread %u\n", i);
			return -1;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &limit);
	limit.tv_sec += PEER_LIMIT_SEC;
	for (unsigned i = 0; i < n; i++) {
		if (i >= f->sides ||
		    pthread_clockjoin_np(threads[i].thread, NULL, CLOCK_MONOTONIC, &limit) != 0) {
			if (i < f->sides)
				atomic_store(&crew.stop, true);
			pthread_join(threads[i].thread, NULL);
		}
		if (i + 1 == f->sides)
			atomic_store_explicit(&crew.done, true, memory_order_release);
		if (i < f->sides) {
			sent += threads[i].sum;
			n_sent += threads[i].n;
			begin = threads[i].begin < begin ? threads[i].begin : begin;
		} else {
			received += threads[i].sum;
			arrived += threads[i].n;
			end = threads[i].end > end ? threads[i].end : end;
		}
	}
	pthread_barrier_destroy(&crew.start);
	peer_close(crew.queue);
	if (sent != received || arrived != n_sent) {
		fprintf(stderr, "not all arrived as it was sent\n");
		return -1;
	}
	return (double)arrived * 1e9 / (double)(end > begin ? end - begin : 1);
}

#endif
