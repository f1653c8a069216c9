/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One socket. Reads whole frames and hands them to dispatch, as long as turns.h lets
 * it; gathers what is answered and writes it once per turn. A peer that does not read
 * is not read from, nor is one that has had its share; one that lets too much pile up
 * is cut off.
 */
#ifndef KCD_CONN_H
#define KCD_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/daemon.h"
#include "kcorod/list.h"
#include "kcorod/loop.h"
#include "kcorod/peer.h"
#include "kcorod/timer.h"
#include "proto/stream.h"

struct kcd_session;

enum kcd_conn_state {
	KCD_CONN_OPEN,
	KCD_CONN_LINGERING, /* no more is read; closed once all is written */
	KCD_CONN_CLOSED,    /* freed at the end of the turn */
};

struct kcd_conn {
	struct kcd_daemon *daemon;
	struct kcd_list link;  /* daemon->conns */
	struct kcd_seat seat;  /* at its user's share of the daemon's time */
	struct kcd_list dirty; /* daemon->dirty */
	struct kcd_list warm;  /* daemon->warm */
	size_t warm_bytes;     /* of buffers with nothing in them, as long as it is on that list */
	struct kcd_corpse corpse;
	int fd;
	struct kcp_stream stream;
	struct kcd_watch watch;
	struct kcd_peer *peer;       /* until HELLO; then the session has it */
	struct kcd_user *user;
	struct kcd_session *session; /* NULL before HELLO, and once it has ended */
	struct kcd_timer timer;      /* for HELLO; for lingering */
	enum kcd_conn_state state;
	bool readable;   /* the socket may have more */
	bool queued;     /* ... and is not watched until all of that is read */
	bool blocked;    /* output above the high mark: not read from */
	bool starved;    /* elements could not be given ahead because of that */
	bool overflowed; /* output above the cap: to be cut off */
	bool torn;       /* no memory for a frame: to be broken, so that RESUME brings it again */
	bool fresh;      /* HELLO was just answered: RESUME may come now, and only now */
	bool deaf;       /* nobody reads any more; what was sent before is still read */
	unsigned after_end; /* frames read since nobody reads */
	uint64_t held_ns;     /* since when replies are held back; 0: they are not */
	uint64_t charged;     /* bytes of buffers in the user's budget */
	uint64_t drained;     /* the moment up to which kcd_conn_drain() was called */
};

/*
 * Take over a connected, non-blocking socket. On failure it stays the caller's:
 * KC_EDQUOT with the limit's name (none: no descriptor is left), KC_EACCES, KC_ENOMEM.
 */
int kcd_conn_new(struct kcd_daemon *d, int fd, struct kcd_conn **ret, const char **ret_limit);

/* Handle what has come in, as long as its user's share lasts (kcd_turns.serve). */
void kcd_conn_serve(struct kcd_seat *seat);

/* Handle all that has come in until now, whatever the budget says. */
void kcd_conn_drain(struct kcd_conn *conn, uint64_t moment);

/* May what is to be written wait for a later turn, which will come? */
bool kcd_conn_hold(struct kcd_conn *conn);

/* Write what waits; pause, resume or cut off as the marks say. */
void kcd_conn_flush(struct kcd_conn *conn);

/* Give back buffers that hold nothing. */
void kcd_conn_release(struct kcd_conn *conn);

/* Look at the input again in this or the next turn. */
void kcd_conn_mark_ready(struct kcd_conn *conn);

/*
 * Where to write a frame, or NULL when nothing can be sent any more. Every frame
 * begun is ended with kcd_conn_sent(), whose `at` is that of kcp_frame_begin().
 */
struct kcp_buf *kcd_conn_out(struct kcd_conn *conn);
void kcd_conn_sent(struct kcd_conn *conn, size_t at);

/* Pass a descriptor along with the frame that is written next; it is closed then. 0, or
 * KC_ENOMEM and it stays the caller's. */
int kcd_conn_pass(struct kcd_conn *conn, int fd);

/* The client does not take what it asked for: cut it off at the end of the turn. */
void kcd_conn_overflow(struct kcd_conn *conn);

/* Is there room for elements that nobody asked for? */
bool kcd_conn_may_give(struct kcd_conn *conn);

/* Tell the client why, end its session and hang up. */
void kcd_conn_fault(struct kcd_conn *conn, int code, const char *why);

/* Hang up when all is written. The session has been dealt with. */
void kcd_conn_linger(struct kcd_conn *conn);

/* Hang up now. The session has been dealt with. */
void kcd_conn_close(struct kcd_conn *conn);

/* Hang up now as if the connection had broken: the client may resume. */
void kcd_conn_break(struct kcd_conn *conn);

/* The client's process has ended: read what it left behind, then end the session. */
void kcd_conn_peer_died(struct kcd_conn *conn);

struct kcd_log_about kcd_conn_about(const struct kcd_conn *conn);

#endif
