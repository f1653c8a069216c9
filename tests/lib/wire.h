/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client made of frames, for tests that look at the protocol itself. Not one
 * call more than the codec is between the test and the socket. Every wait ends
 * after KCT_WIRE_MS with a failed assertion.
 *
 *	struct kct_wire w;
 *	kct_wire_hello(&w, daemon.path);
 *	kct_begin(&w, KCP_CHAN_OPEN);
 *	kcp_put_text(&w.out, KCP_T_NAME, "jobs");
 *	kcp_put_u32(&w.out, KCP_T_ROLES, KCP_ROLE_SENDER);
 *	id = kct_end(&w);
 *	f = kct_reply(&w, id);
 *	assert_int_equal(kct_result(f), KCP_OK);
 *	kct_wire_bye(&w);
 */
#ifndef KCT_WIRE_H
#define KCT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/tlv.h"
#include "proto/wire.h"

#define KCT_WIRE_MS 20000
#define KCT_FOREVER UINT64_MAX /* as a timeout: no TIMEOUT_MS */

struct kct_frame {
	struct kcp_header header;
	struct kcp_args args; /* points into data */
	uint8_t *data;
	bool used;
};

struct kct_wire {
	int fd;
	uint64_t next_id;
	uint64_t seq;   /* highest reply number seen; goes into every header */
	bool confirm;   /* false: headers say 0 */
	uint8_t token[KCP_TOKEN_SIZE];
	struct kcp_buf out;
	size_t at;
	uint16_t type;
	uint64_t id;
	struct kct_frame **frames; /* all that came, in order */
	size_t n_frames;
	uint8_t *in;
	size_t in_len;
};

/* ---- connections ------------------------------------------------------------ */

/* Connect, say nothing. */
void kct_wire_connect(struct kct_wire *w, const char *path);
/* Use this descriptor. */
void kct_wire_init(struct kct_wire *w, int fd);
/* Connect and exchange HELLO. */
void kct_wire_hello(struct kct_wire *w, const char *path);
/* Exchange HELLO on a connection. */
void kct_wire_greet(struct kct_wire *w);
/* BYE, wait until the daemon has hung up, close. */
void kct_wire_bye(struct kct_wire *w);
/* Close without a word; what was received is forgotten. The rest stays for a new connection. */
void kct_wire_cut(struct kct_wire *w);
/* A new connection for a session that was cut: HELLO, but not RESUME. */
void kct_wire_again(struct kct_wire *w, const char *path);

/* ---- writing ---------------------------------------------------------------- */

/* Begin a request (a new id), a notice, or a request with this id; add TLVs to w->out. */
void kct_begin(struct kct_wire *w, uint16_t type);
void kct_begin_notice(struct kct_wire *w, uint16_t type);
void kct_begin_id(struct kct_wire *w, uint16_t type, uint64_t id);
/* Keep it for kct_push(). Returns the id. */
uint64_t kct_end_later(struct kct_wire *w);
void kct_push(struct kct_wire *w);
/* Send it. Returns the id. */
uint64_t kct_end(struct kct_wire *w);
void kct_raw(struct kct_wire *w, const void *data, size_t len);

/* ---- reading ---------------------------------------------------------------- */

/* Read one frame behind those there are; for those who look at w->frames. False: the end. */
bool kct_read(struct kct_wire *w);
/* The next frame, whatever it is, that was not asked for yet. */
const struct kct_frame *kct_next(struct kct_wire *w);
/* The reply of this id; frames before it are kept for later. */
const struct kct_frame *kct_reply(struct kct_wire *w, uint64_t id);
/* The next event of this type. */
const struct kct_frame *kct_event(struct kct_wire *w, uint16_t type);
/* Nothing but the end of the stream must follow. */
void kct_expect_end(struct kct_wire *w);
/* ERROR with this result must come, then the end. */
void kct_expect_error(struct kct_wire *w, uint32_t result);
/* Is there a frame of this type that was received and not asked for? */
bool kct_has(struct kct_wire *w, uint16_t type);
/* The RESULT of a reply. */
uint32_t kct_result(const struct kct_frame *f);
/* The DETAIL of a frame, in a static buffer. */
const char *kct_detail(const struct kct_frame *f);
/* Result of the reply to `id`. */
uint32_t kct_result_of(struct kct_wire *w, uint64_t id);

/* ---- the messages, shortly -------------------------------------------------- */

/* A round trip: everything sent before has been handled. */
void kct_ping(struct kct_wire *w);

/* Make a channel of messages (elem_size 0) or fixed elements and attach: its ATTACH. */
uint32_t kct_make(struct kct_wire *w, const char *name, enum kcp_kind kind, uint32_t elem_size,
		  uint32_t capacity, uint32_t roles);
/* Open: its ATTACH. `lease_ms` 0: no lease. */
uint32_t kct_open(struct kct_wire *w, const char *name, uint32_t roles, uint32_t credit,
		  uint32_t lease_ms);
/* CHAN_CLOSE, _DESTROY, _PURGE, CHAN_INFO by name: the id of the request. */
uint64_t kct_by_name(struct kct_wire *w, uint16_t type, const char *name);
/* SEND of one message. */
uint64_t kct_send(struct kct_wire *w, uint32_t attach, const char *text, uint64_t timeout_ms);
/* SEND of messages "PREFIX0" .. "PREFIXn-1". */
uint64_t kct_send_many(struct kct_wire *w, uint32_t attach, const char *prefix, uint32_t n,
		       uint64_t timeout_ms);
uint64_t kct_recv(struct kct_wire *w, uint32_t attach, uint32_t count, uint32_t flags,
		  uint64_t timeout_ms);
/* TAKEN (as a notice), ACK, NACK, EXTEND (lease_ms), RETURN of one range. */
uint64_t kct_settle(struct kct_wire *w, uint16_t type, uint32_t attach, uint64_t first, uint64_t n,
		    uint32_t lease_ms);
void kct_taken(struct kct_wire *w, uint32_t attach, uint64_t first, uint64_t n);
/* CANCEL, CLAIM, DECLINE. */
uint64_t kct_about(struct kct_wire *w, uint16_t type, uint64_t request);
/* RESUME with nothing but TOKEN, these REQUESTS and one ATTACHMENT (attach 0: none). */
uint64_t kct_resume(struct kct_wire *w, const uint8_t *token, const uint64_t *requests, size_t n,
		    uint32_t attach, uint64_t seen);

/* Assert that a reply to RECV, or a DELIVER, holds exactly these messages, and that it
 * begins with this delivery (0: any). */
void kct_assert_messages(const struct kct_frame *f, uint64_t delivery, uint32_t n, ...);

/* One number of a channel's STATISTICS; of the daemon's if name is NULL. */
uint64_t kct_stat(struct kct_wire *w, const char *name, enum kcp_stat stat);
/* Assert that the books of a channel (or of all: NULL) balance. */
void kct_assert_balanced(struct kct_wire *w, const char *name);

#endif
