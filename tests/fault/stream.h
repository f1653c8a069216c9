/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A well-behaved stream beside whatever a test does to the daemon: a sender and a
 * receiver, each a thread with a connection of its own. Elements are numbered, and the
 * receiver takes them at their word: nothing lost, nothing doubled, nothing reordered.
 */
#ifndef FAULT_STREAM_H
#define FAULT_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kcoro.h>

#define STREAM_NAME "stream/clean"
#define STREAM_CAPACITY 256

struct stream {
	kc_ipc_conn_t *conns[2];
	kc_chan_t *in, *out;
	pthread_t sender, receiver;
	atomic_bool stop;
	_Atomic uint64_t sent, received;
	const char *fault; /* of the sender or the receiver, in words; NULL: none */
	int code;          /* that was its reason, or 0 */
};

/* Make the channel and begin. 0, or a KC_E* code. */
int stream_start(struct stream *s, const char *path);

/* Has it gone wrong already? */
bool stream_failed(const struct stream *s);

/* Let the sender stop, the channel close, the receiver drain it; compare what both say, and
 * the daemon's books. Frees all. NULL, or what was wrong. */
const char *stream_finish(struct stream *s);

#endif
