/* SPDX-License-Identifier: BSD-3-Clause */
/* A well-behaved stream: see stream.h. */
#include "tests/fault/stream.h"

#include <string.h>

#define BATCH 16u

struct element {
	uint64_t number, check;
	uint8_t rest[48];
};

static uint64_t check_of(uint64_t number)
{
	return number * UINT64_C(0x9e3779b97f4a7c15) ^ (number >> 7);
}

/* The first fault of the two is the one that counts. */
static void fail(struct stream *s, const char *fault, int code)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	if (!s->fault) {
		s->code = code;
		s->fault = fault;
	}
	pthread_mutex_unlock(&lock);
	atomic_store(&s->stop, true);
}

static void *send_all(void *arg)
{
	struct stream *s = arg;
	struct element batch[BATCH];
	uint64_t next = 0;

	while (!atomic_load(&s->stop)) {
		long n;

		for (uint64_t i = 0; i < BATCH; i++) {
			batch[i] = (struct element){ .number = next + i,
						     .check = check_of(next + i) };
			memset(batch[i].rest, (int)(next + i), sizeof(batch[i].rest));
		}
		n = kc_chan_send_many(s->in, batch, BATCH, 60000, NULL);
		if (n <= 0) {
			fail(s, "the sender could not send", (int)n);
			break;
		}
		next += (uint64_t)n;
		atomic_store(&s->sent, next);
	}
	(void)kc_chan_close(s->in);
	return NULL;
}

static void *recv_all(void *arg)
{
	struct stream *s = arg;
	uint64_t next = 0;

	for (;;) {
		struct element e;
		int r = kc_chan_recv(s->out, &e, 60000);

		if (r == KC_EPIPE)
			return NULL;
		if (r < 0) {
			fail(s, "the receiver could not receive", r);
			return NULL;
		}
		if (e.check != check_of(e.number) || e.rest[0] != (uint8_t)e.number ||
		    e.rest[sizeof(e.rest) - 1] != (uint8_t)e.number)
			fail(s, "an element was damaged", 0);
		else if (e.number < next)
			fail(s, "an element came twice, or late", 0);
		else if (e.number > next)
			fail(s, "an element is missing", 0);
		next = e.number + 1;
		atomic_store(&s->received, next);
	}
}

static int attach(struct stream *s, const char *path)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++)
		r = kc_ipc_connect(&s->conns[i], path);
	if (r < 0)
		return r;
	o.kind = KC_BUFFERED;
	o.elem_size = sizeof(struct element);
	o.capacity = STREAM_CAPACITY;
	open.roles = KC_SENDER;
	r = kc_ipc_chan_make(s->conns[0], STREAM_NAME, &o, &open, &s->in);
	open.roles = KC_RECEIVER;
	open.credit = STREAM_CAPACITY / 2;
	return r < 0 ? r : kc_ipc_chan_open(s->conns[1], STREAM_NAME, &open, &s->out);
}

static void give_back(struct stream *s)
{
	kc_chan_destroy(s->in);
	kc_chan_destroy(s->out);
	kc_ipc_disconnect(s->conns[0]);
	kc_ipc_disconnect(s->conns[1]);
}

int stream_start(struct stream *s, const char *path)
{
	int r;

	memset(s, 0, sizeof(*s));
	r = attach(s, path);
	if (r == 0 && pthread_create(&s->receiver, NULL, recv_all, s) != 0)
		r = KC_ENOMEM;
	if (r < 0) {
		give_back(s);
		return r;
	}
	if (pthread_create(&s->sender, NULL, send_all, s) != 0) {
		(void)kc_chan_close(s->in);
		pthread_join(s->receiver, NULL);
		give_back(s);
		return KC_ENOMEM;
	}
	return 0;
}

bool stream_failed(const struct stream *s)
{
	return atomic_load(&s->stop);
}

/* What the daemon counted is what both ends did. */
static void compare(struct stream *s)
{
	struct kc_ipc_chan_info info;
	int r = kc_ipc_chan_info(s->in, &info);

	if (r < 0)
		fail(s, "the channel could not be asked about", r);
	else if (s->sent != s->received)
		fail(s, "not all that was sent was received", 0);
	else if (info.ledger.sent != s->sent || info.ledger.received != s->received)
		fail(s, "the daemon has counted otherwise", 0);
	r = kc_ipc_chan_destroy(s->in);
	if (r < 0)
		fail(s, "the channel could not be destroyed", r);
}

const char *stream_finish(struct stream *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->sender, NULL);
	pthread_join(s->receiver, NULL);
	compare(s);
	give_back(s);
	return s->fault;
}
