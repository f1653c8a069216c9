/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to kcorod and the session on it.
 *
 * There are no threads behind the scenes. Whoever waits for something on the
 * connection calls kci_conn_wait(); one of those is the reader: it polls the
 * socket without the lock, and under the lock hands every frame to the call or
 * channel it belongs to and wakes whose wait is over. The others sleep. A reader
 * whose own wait is over wakes one sleeper, which takes the role. So the rule
 * that must always hold is: if somebody sleeps, somebody reads or has just been
 * woken to do so.
 *
 * Threads and coroutines share a connection and take the role from one another. What
 * is a sleep for a thread is for a coroutine to be parked, also as the reader: its
 * scheduler waits for the descriptor (bell.h). So a coroutine may come back on
 * another thread from everything that drops the lock, and nothing but the lock itself
 * is held by a thread: no other mutex across a wait, no words of kci_detail() from
 * before one to after it.
 *
 * Writers write at once, under the lock. What the socket does not take stays in
 * the stream's buffer, and requests that must wait for it in `outbox`; the reader
 * sends the rest when the socket has room. So nobody is stuck writing while the
 * daemon is stuck writing to us.
 *
 * A break is only noted where it is met; the reader repairs it (resume.c). What
 * was asked and not answered is sent again then, from the memory of the callers,
 * who are still waiting.
 */
#ifndef KCI_CONN_H
#define KCI_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "kcoro/cancel.h"
#include "kcoro/ipc.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/ipc/cursor.h"
#include "libkcoro-client/ipc/frames.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/stream.h"
#include "proto/tlv.h"
#include "proto/wire.h"

#define KCI_CONN_BUCKETS 64u /* of the tables by request id and by attachment */
#define KCI_PATH_SIZE	 sizeof(((struct sockaddr_un *)0)->sun_path)

/* The largest frame we accept: any message, and a batch of the size of one. */
#define KCI_FRAME_MAX (KCP_MSG_MAX + KCP_FRAME_EXTRA)

/* What may wait to be written: the largest frame and some notices. */
#define KCI_OUT_MAX (KCI_FRAME_MAX + 262144u)

/* Connections made without one answered call in between before we give up: what
 * accepts and hangs up for ever is no daemon. */
#define KCI_ATTEMPTS_MAX 256u

/* Abandoned calls that a select leaves to be answered before it asks for more. */
#define KCI_ABANDONED_MAX 64u

struct kci_schan;

enum kci_conn_state {
	KCI_LIVE,
	KCI_BROKEN, /* the reader has to connect and resume */
	KCI_DEAD,   /* for good; every call gets dead_code */
};

/* What HELLO said. */
struct kci_hello {
	uint8_t token[KCP_TOKEN_SIZE];
	uint32_t max_frame; /* largest the daemon accepts */
	uint32_t grace_ms;
	uint32_t requests_max;
};

/* How far it is with coming back (resume.c). The reader's. */
struct kci_resume {
	enum {
		KCI_RESUME_CLOSE,   /* the old connection first */
		KCI_RESUME_CONNECT,
		KCI_RESUME_WATCH,   /* nobody listens: until something changes there */
		KCI_RESUME_HELLO,   /* was said */
		KCI_RESUME_ASK,	    /* RESUME was sent */
	} at;
	int watch_fd; /* -1: none */
	struct kci_hello hello;
};

struct kc_ipc_conn {
	uint64_t process; /* fork guard */
	_Atomic uint32_t refs;
	char path[KCI_PATH_SIZE]; /* of the socket; to come back to it */
	int wake_fd;		  /* an eventfd that a thread polls with the socket */

	KC_MUTEX_T lock; /* guards what follows; the input half of stream is the reader's */
	enum kci_conn_state state;
	int dead_code;
	char dead_detail[512];
	struct kci_hello hello;
	struct kcp_stream stream;

	bool reading; /* somebody is the reader */
	bool polling; /* and waits: */
	int poll_fd;  /* for the socket, or for what is needed to come back */
	short poll_events;
	uint64_t poll_until;
	struct kci_bell *bell;	 /* of a coroutine that waits for a descriptor; else NULL */
	struct kci_list waiting; /* kci_wait of everyone in kci_conn_wait(), by arrival */

	uint64_t last_id;
	uint64_t answered;	/* highest id among those answered */
	uint64_t seq_seen;	/* highest reply number */
	uint32_t unconfirmed;	/* replies since we last sent anything */
	uint32_t attempts;	/* connections since the last answered call */
	uint64_t grace_until;	/* while BROKEN: */
	struct kci_resume resume;
	uint32_t n_calls;	/* in outbox or in flight; of these */
	uint32_t n_abandoned;	/* nobody waits for */
	uint32_t n_room;	/* waits for room beside these */
	struct kci_list outbox; /* kci_request, to be sent in this order */
	struct kci_list sent;	/* kci_request, not answered, by rising ids */
	struct kci_list by_id[KCI_CONN_BUCKETS];
	struct kci_list chans[KCI_CONN_BUCKETS]; /* kci_schan, by attachment */
	struct kci_list recalls;		 /* kci_schan with a RECALL to answer */
	struct kci_frames frames;
	bool fd_busy;		    /* somebody is between kci_conn_lock_fd() and its end */
	struct kci_list fd_waiting; /* those who want to be next, by arrival */
	bool watching;		    /* a call whose reply has a descriptor is under way */
	struct kci_wait *turn_over; /* of who waits for the end of the reader's turn, or NULL */
	struct kcp_cursor *page;    /* shared with kcorod; NULL: not mapped. Set once */
	uint64_t windowed_id;	    /* highest id of a SEND that need not be replied to */
	uint64_t last_group;	    /* number of the latest select */
};

/* Somebody waiting. Lives in the frame of who waits. */
struct kci_wait {
	struct kci_list link; /* on conn->waiting */
	struct kci_waiter *waiter; /* to be stirred: its own, or that of a select */
	struct kci_waiter own;
	bool parked;	   /* away, and not woken yet */
	bool ready;	   /* what it waits for is there */
	bool drain;	   /* it waits for a live connection with nothing left to write */
	uint32_t room;	   /* and for kci_call_has_room() for so many; 0: it does not */
	uint64_t deadline; /* KC_NEVER, as it is kcorod that watches deadlines, or a short wait */
};

/* ---- conn.c ---------------------------------------------------------------- */

/* A connection object without a connection, with one reference. 0 or KC_ENOMEM. */
int kci_conn_new(kc_ipc_conn_t **ret);
void kci_conn_ref(kc_ipc_conn_t *conn);
void kci_conn_unref(kc_ipc_conn_t *conn);

/* Around every public call on a connection: 0, KC_EINVAL (NULL), KC_EFORKED. */
int kci_conn_enter(kc_ipc_conn_t *conn);
void kci_conn_leave(kc_ipc_conn_t *conn);

/* The lock. No kc_ call may be a cancellation point: from lock to unlock, waits
 * included, the thread cannot be cancelled. `saved` goes from one to the other; where
 * coroutines run it is the same on every thread. */
int kci_conn_lock(kc_ipc_conn_t *conn);
void kci_conn_unlock(kc_ipc_conn_t *conn, int saved);

/* The lock, for calls whose reply has a descriptor: one at a time on a connection, so that
 * each reply's descriptor is its own. What waits in between drops the lock all the same. */
int kci_conn_lock_fd(kc_ipc_conn_t *conn);
void kci_conn_unlock_fd(kc_ipc_conn_t *conn, int saved);

/* Returns dead_code, with its words. */
int kci_conn_dead(const kc_ipc_conn_t *conn);

/* End the connection for good: every call under way and to come gets code, and kcorod
 * sees the end of the stream. */
void kci_conn_fail(kc_ipc_conn_t *conn, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, but the socket is left as it is. */
void kci_conn_end(kc_ipc_conn_t *conn, int code, const char *words);

/* The connection broke: the reader will see to it. */
void kci_conn_break(kc_ipc_conn_t *conn, const char *why);

void kci_wait_init(struct kci_wait *wait);

/* What it waits for is there. */
void kci_wait_ready(struct kci_wait *wait);

/*
 * Wait, lock held, until wait->ready: 0. Or, and not ready: KC_ECANCELED as soon as token
 * (may be NULL) is set, KC_ETIME at wait->deadline.
 */
int kci_conn_wait(kc_ipc_conn_t *conn, struct kci_wait *wait, kc_cancel_t *token);

/* Wait until the connection is live and everything is written. 0, KC_ECANCELED, or
 * the code of a dead connection. */
int kci_conn_drain(kc_ipc_conn_t *conn, kc_cancel_t *token);

/* Lock held, by who reads and will do so no more: wake somebody who will. */
void kci_conn_pass_on(kc_ipc_conn_t *conn);

/* Become the reader when nobody else is (only once the connection is dead, when
 * everybody else leaves), and stop being it. */
void kci_conn_take_over(kc_ipc_conn_t *conn);
void kci_conn_hand_over(kc_ipc_conn_t *conn);

/* ---- send.c ---------------------------------------------------------------- */

/* Write what can be written: output that waits, requests, answers to RECALL,
 * CONFIRM; wake who waited for that. */
void kci_conn_pump(kc_ipc_conn_t *conn);

/* Begin a notice; kcp_put_ and kci_notice_end() follow. */
size_t kci_notice_begin(kc_ipc_conn_t *conn, uint16_t type);

/* 0, or a code and nothing is sent: KC_EMSGSIZE (no room now), KC_ENOMEM. It is
 * written by the next pump. */
int kci_notice_end(kc_ipc_conn_t *conn, size_t at);

/* ---- reader.c -------------------------------------------------------------- */

/* One turn of the reader: repair, write, wait, read, hand out. Drops the lock. token (may be
 * NULL) ends the wait of a coroutine; for a thread kci_conn_ring() has to do so. */
void kci_conn_turn(kc_ipc_conn_t *conn, const struct kci_wait *wait, kc_cancel_t *token);

/* The two ends of a turn, lock held, for who waits in between for conn->poll_fd and
 * conn->poll_events until conn->poll_until with a waiter of its own. false: nothing is to be
 * waited for, and there is no other end. came: the events, 0, or a code. */
bool kci_conn_turn_begin(kc_ipc_conn_t *conn, const struct kci_wait *wait, struct kci_bell *bell,
			 struct kci_waiter *waiter);
void kci_conn_turn_end(kc_ipc_conn_t *conn, int came);

/* Lock held: hand out what can be read without waiting, unless somebody else reads. */
void kci_conn_look(kc_ipc_conn_t *conn);

/* Wait until the turn under way, if any, is over, so that the next one goes by what is set now.
 * Between kci_conn_lock_fd() and its end. */
void kci_conn_turn_over(kc_ipc_conn_t *conn);

/* ---- resume.c -------------------------------------------------------------- */

/*
 * While the state is BROKEN, by the reader: do what can be done without waiting. true: it is
 * still BROKEN, and conn->poll_fd, _events and _until say what is to be waited for. Drops the
 * lock to connect, which waits while kcorod has too many to accept.
 */
bool kci_resume_go(kc_ipc_conn_t *conn);

/* What came of that wait, and of reading. */
void kci_resume_came(kc_ipc_conn_t *conn, int came, int filled);

/* The connection ends. */
void kci_resume_done(kc_ipc_conn_t *conn);

/* ---- socket.c -------------------------------------------------------------- */

/* A connected, non-blocking socket, or a KC_E* code with its words. While kcorod has too many
 * to accept it waits; for a coroutine a thread does, which ends with that. */
int kci_socket_connect(const char *path, uint64_t deadline);

/* A descriptor that is readable once something changes where path lies, which may mean that
 * somebody listens there; or a code with its words. */
int kci_socket_watch(const char *path);

/* ---- handshake.c: the first frames on a fresh stream ------------------------ */

/* The ids of these requests, of each connection. */
#define KCI_HELLO_ID  1u
#define KCI_RESUME_ID 2u

/* Put HELLO into the output. 0 or KC_ENOMEM. */
int kci_handshake_hello(struct kcp_stream *stream);

/* The answer, out of what was read. 1: *ret is filled in; 0: more has to be read;
 * KC_EPROTO, KC_EDQUOT, KC_EACCES, KC_ENOMEM, with words. */
int kci_handshake_welcome(struct kcp_stream *stream, struct kci_hello *ret);

/*
 * The reply to the request of this type and id. It is checked; 1: it is good, and *ret_args
 * points into the stream and is valid until that's next use. 0: more has to be read. A code,
 * with words: its result, or KC_EPROTO.
 */
int kci_handshake_reply(struct kcp_stream *stream, uint16_t type, uint64_t id,
			struct kcp_args *ret_args);

#endif
