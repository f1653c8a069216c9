/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kcorod that does what the test says: the test's own thread answers, frame by
 * frame, what the client library asks on helper threads.
 *
 *	struct peer p;
 *	peer_open(&p);
 *	peer_start_connect(&p);             // a thread in kc_ipc_connect()
 *	peer_hello(&p);                     // accept, answer HELLO
 *	conn = peer_connected(&p);
 *	... start a call on a thread ...
 *	peer_get(&p, KCP_PING);             // p.header, p.args
 *	peer_ok(&p);
 *	peer_close(&p);
 *
 * Everything asserts: for the test's own thread only. Every wait ends after
 * KCT_PATIENCE_MS.
 */
#ifndef KCT_IPC_PEER_H
#define KCT_IPC_PEER_H

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "proto/stream.h"
#include "proto/tlv.h"
#include "proto/values.h"
#include "tests/lib/kct.h"

#define PEER_GRACE_MS	  5000u
#define PEER_REQUESTS_MAX 8u

struct peer {
	char path[108];
	int listen_fd;
	int fd;
	struct kcp_stream stream;
	struct kcp_buf out; /* the frame being built */
	size_t at;
	uint64_t seq;	   /* of the last reply */
	uint32_t grace_ms; /* what HELLO says */

	/* the latest frame of peer_get() */
	struct kcp_header header;
	struct kcp_args args;

	struct kct_call connecting;
	kc_ipc_conn_t *conn;
};

void peer_open(struct peer *p);
void peer_close(struct peer *p);

void peer_start_connect(struct peer *p);
kc_ipc_conn_t *peer_connected(struct peer *p);

void peer_accept(struct peer *p);
/* Accept and answer HELLO. */
void peer_hello(struct peer *p);
/* All of it: a client connected to this peer. */
kc_ipc_conn_t *peer_client(struct peer *p);

/* The next frame must be of this type. */
void peer_get(struct peer *p, uint16_t type);
/* Nothing more comes: the client has closed. */
void peer_get_end(struct peer *p);

/* A frame: begin, kcp_put_ to p->out, end (which sends it). */
void peer_begin(struct peer *p, uint16_t type, uint8_t flags, uint64_t id, uint64_t seq);
void peer_end(struct peer *p);
void peer_raw(struct peer *p, const void *data, size_t len);

/* A reply to request id with this result, numbered; peer_end() follows. */
void peer_begin_reply(struct peer *p, uint16_t type, uint64_t id, uint32_t result);
/* A reply to the latest frame. */
void peer_result(struct peer *p, uint32_t result);
void peer_ok(struct peer *p);

/* Answers to the latest frame, CHAN_MAKE or CHAN_OPEN: a channel of 64-bit numbers, or of
 * messages, buffered with 16 places. */
void peer_opened(struct peer *p, uint32_t attach, uint32_t elem_size);

/* A RECV's reply or a DELIVER of n 64-bit numbers from `value` on. */
void peer_elements(struct peer *p, uint64_t delivery, uint64_t value, uint32_t n);
void peer_received(struct peer *p, uint64_t id, uint64_t delivery, uint64_t value, uint32_t n,
		   uint32_t flags);
void peer_deliver(struct peer *p, uint32_t attach, uint64_t delivery, uint64_t value, uint32_t n);

/* The RANGES of the latest frame are these; count 0: there are none. */
void peer_check_ranges(struct peer *p, uint32_t n, const struct kcp_range *ranges);

/* Break the connection. */
void peer_hang_up(struct peer *p);

/* A handle of a channel opened on this peer as attachment `attach`. */
kc_chan_t *peer_channel(struct peer *p, uint32_t attach, uint32_t elem_size,
			const struct kc_ipc_open_options *open);
/* A client connected to this peer, and its handle of a channel of 64-bit numbers, with so much
 * credit, of leases or not. */
kc_chan_t *peer_attached(struct peer *p, uint32_t attach, unsigned credit, int lease);
/* The end of both, and of the peer. */
void peer_finish(struct peer *p, kc_chan_t *ch);
/* kc_chan_destroy() and kc_ipc_ping() for kct_call_start(). */
long peer_destroy_main(void *ch);
long peer_ping_main(void *conn);
/* kc_chan_destroy(), answered. */
void peer_destroy(struct peer *p, kc_chan_t *ch);
/* kc_ipc_disconnect(); BYE must come if live. */
void peer_disconnect(struct peer *p, bool live);

#endif
