/* SPDX-License-Identifier: BSD-3-Clause */
/* One socket: see conn.h. */
#include "kcorod/conn.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "kcorod/dispatch.h"
#include "kcorod/session.h"
#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "proto/result.h"
#include "proto/tlv.h"

#define DRAINED_BYTES 8192 /* a read shorter than this has emptied the socket */
#define HELLO_NS (10 * KC_NS_PER_SEC)
#define LINGER_NS (5 * KC_NS_PER_SEC)
#define HOLD_BYTES 16384u
#define HOLD_NS (UINT64_C(100) * 1000)
#define CONNECT_COST (UINT64_C(8) * KCD_COST_CALL)
#define AFTER_END 65536u /* frames read of a client that reads no more itself */

static void mark_dirty(struct kcd_conn *conn)
{
	if (kcd_list_empty(&conn->dirty))
		kcd_list_append(&conn->daemon->dirty, &conn->dirty);
}

static void set_watch(struct kcd_conn *conn, bool read, bool write)
{
	if (kcd_watch_set(&conn->watch, read, write) == 0)
		return;
	conn->torn = true;
	mark_dirty(conn);
}

static void on_socket(struct kcd_watch *watch, bool readable, bool writable)
{
	struct kcd_conn *conn = KCD_CONTAINER(watch, struct kcd_conn, watch);

	if (readable) {
		/* Told twice, it waits for its turn, and need not be told of in every turn. */
		if (conn->readable) {
			conn->queued = true;
			set_watch(conn, false, conn->watch.want_write);
		}
		conn->readable = true;
		kcd_conn_mark_ready(conn);
	}
	if (writable && kcd_list_empty(&conn->dirty))
		kcd_list_append(&conn->daemon->dirty, &conn->dirty);
}

static void on_timer(struct kcd_timer *timer)
{
	struct kcd_conn *conn = KCD_CONTAINER(timer, struct kcd_conn, timer);

	if (conn->state == KCD_CONN_OPEN)
		kcd_conn_fault(conn, KC_ETIME, "no HELLO within 10 seconds");
	else
		kcd_conn_close(conn);
}

struct kcd_log_about kcd_conn_about(const struct kcd_conn *conn)
{
	const struct kcd_peer *peer = conn->session ? conn->session->peer : conn->peer;

	return peer ? kcd_peer_about(peer, NULL) : (struct kcd_log_about){ 0 };
}

static void charge(struct kcd_conn *conn, uint64_t bytes)
{
	conn->user->buffers.used += bytes - conn->charged;
	conn->daemon->buffers += bytes - conn->charged;
	conn->charged = bytes;
}

static void conn_free(struct kcd_conn *conn)
{
	struct kcd_daemon *d = conn->daemon;

	kcd_timer_disarm(&d->timers, &conn->timer);
	kcd_watch_done(&conn->watch);
	if (conn->fd >= 0)
		close(conn->fd);
	kcp_stream_done(&conn->stream);
	if (conn->user) {
		charge(conn, 0);
		conn->user->connections--;
		d->connections--;
		kcd_user_unref(conn->user);
	}
	kcd_peer_free(conn->peer);
	kcd_list_remove(&conn->link);
	kcd_turns_leave(&conn->seat);
	kcd_list_remove(&conn->dirty);
	kcd_warm_take(&d->warm, conn);
	KC_FREE(conn);
}

static void bury(struct kcd_corpse *corpse)
{
	struct kcd_conn *conn = KCD_CONTAINER(corpse, struct kcd_conn, corpse);

	kcd_warm_later(conn->daemon);
	conn_free(conn);
}

int kcd_conn_new(struct kcd_daemon *d, int fd, struct kcd_conn **ret, const char **ret_limit)
{
	struct kcd_conn *conn = KC_CALLOC(1, sizeof(*conn));
	struct kcd_log_about about;
	int r;

	if (!conn)
		return KC_ENOMEM;
	conn->daemon = d;
	conn->fd = -1;
	conn->state = KCD_CONN_CLOSED;
	conn->timer.fn = on_timer;
	kcd_list_init(&conn->link);
	kcd_seat_init(&conn->seat, NULL);
	kcd_list_init(&conn->dirty);
	kcd_list_init(&conn->warm);
	/* A whole frame fits above the cap, so a frame is never refused, only the next. */
	kcp_stream_init(&conn->stream, fd, d->max_frame, d->config.output_max + d->max_frame);
	r = kcd_peer_new(fd, &d->users, &conn->peer);
	if (r == 0)
		r = kcd_count_take(&d->connections, d->config.connections, "limits.connections",
				   ret_limit);
	if (r < 0) {
		conn_free(conn);
		return r;
	}
	r = kcd_count_take(&conn->peer->user->connections, d->config.user_connections,
			   "user_limits.connections", ret_limit);
	if (r < 0) {
		d->connections--;
		conn_free(conn);
		return r;
	}
	conn->user = kcd_user_ref(conn->peer->user);
	conn->seat.share = &conn->user->share;
	/* Somebody who connects all the time gets no more than somebody who asks. */
	kcd_share_spend(&conn->user->share, CONNECT_COST);
	r = kcd_watch_init(&conn->watch, d->loop, fd, on_socket);
	if (r == 0)
		r = kcd_watch_set(&conn->watch, true, false);
	if (r == 0)
		r = kcd_timer_arm(&d->timers, &conn->timer, d->timers.now_ns + HELLO_NS);
	if (r < 0) {
		conn_free(conn);
		return r;
	}
	conn->fd = fd;
	conn->state = KCD_CONN_OPEN;
	kcd_list_append(&d->conns, &conn->link);
	d->n_conns++;
	about = kcd_conn_about(conn);
	kcd_debug(KCD_DEBUG_CONN, &about, "connected");
	*ret = conn;
	return 0;
}

void kcd_conn_mark_ready(struct kcd_conn *conn)
{
	if (conn->state != KCD_CONN_OPEN || conn->blocked)
		return;
	kcd_turns_join(&conn->daemon->turns, &conn->seat);
}

/* Buffers grow and shrink with the frames; the user pays for what they are now. */
static void account(struct kcd_conn *conn)
{
	const struct kcp_stream *stream = &conn->stream;
	uint64_t before = conn->charged, now = stream->in_cap + stream->out.cap;
	const struct kcd_budget *budget = &conn->user->buffers;
	bool empty = stream->in_start == stream->in_end && kcp_stream_pending(stream) == 0;

	charge(conn, now);
	kcd_warm_put(conn->daemon, conn, empty ? (size_t)now : 0);
	if (now > before && budget->used > budget->max && conn->state == KCD_CONN_OPEN &&
	    now > KCP_FRAME_MIN_MAX)
		kcd_conn_fault(conn, KC_EDQUOT, "user_limits.buffers");
}

void kcd_conn_release(struct kcd_conn *conn)
{
	charge(conn, kcp_stream_release(&conn->stream));
}

/* The client hung up, or is gone. It may have closed one direction only, and still read
 * what it asked for. */
static void lost(struct kcd_conn *conn)
{
	struct kcd_session *session = conn->session;
	struct kcd_log_about about = kcd_conn_about(conn);

	kcd_debug(KCD_DEBUG_CONN, &about, "hung up");
	kcd_conn_linger(conn);
	if (session)
		kcd_session_lost(session);
}

/* Nothing more for now. */
static void drained(struct kcd_conn *conn)
{
	conn->readable = false;
	if (!conn->queued)
		return;
	conn->queued = false;
	set_watch(conn, true, conn->watch.want_write);
}

/* One read. False: nothing more for now. */
static bool fill(struct kcd_conn *conn)
{
	int r;

	if (!conn->readable)
		return false;
	kcd_turns_afford(&conn->daemon->turns, KCD_COST_CALL);
	r = kcp_stream_fill(&conn->stream);
	if (r == KC_EAGAIN) {
		drained(conn);
		/* That was all there will be. */
		if (conn->deaf)
			lost(conn);
		return false;
	}
	if (r == KC_ENOMEM)
		kcd_conn_fault(conn, r, "no memory to read");
	else if (r <= 0)
		lost(conn);
	else if (r < DRAINED_BYTES && !conn->deaf)
		drained(conn);
	return r > 0;
}

void kcd_conn_serve(struct kcd_seat *seat)
{
	struct kcd_conn *conn = KCD_CONTAINER(seat, struct kcd_conn, seat);
	struct kcd_daemon *d = conn->daemon;

	while (conn->state == KCD_CONN_OPEN) {
		struct kcp_header header;
		const uint8_t *payload;
		const char *why;
		int r;

		if (!kcd_turns_may(&d->turns)) {
			kcd_conn_mark_ready(conn);
			break;
		}
		if (kcp_stream_pending(&conn->stream) >= d->config.output_high &&
		    !conn->deaf) {
			conn->blocked = true; /* until kcd_conn_flush() has written enough */
			break;
		}
		r = kcp_stream_next(&conn->stream, &header, &payload, &why);
		if (r == 0) {
			if (!fill(conn))
				break;
			continue;
		}
		if (r < 0) {
			kcd_conn_fault(conn, KC_EPROTO, why);
			break;
		}
		if (conn->deaf && ++conn->after_end > AFTER_END) {
			lost(conn);
			break;
		}
		d->frames_in++;
		kcd_turns_spend(&d->turns, KCD_COST_FRAME + header.length);
		kcd_dispatch(conn, &header, payload);
	}
	if (conn->state != KCD_CONN_CLOSED)
		account(conn);
}

/* Bounded by what a socket holds. A session that hangs up meanwhile is dealt with by the
 * next turn. */
void kcd_conn_drain(struct kcd_conn *conn, uint64_t moment)
{
	int left = 0;

	conn->daemon->turns.now = &conn->user->share;
	conn->drained = moment;
	if (ioctl(conn->fd, FIONREAD, &left) < 0)
		left = 0;
	while (conn->state == KCD_CONN_OPEN) {
		struct kcp_header header;
		const uint8_t *payload;
		const char *why;
		int r = kcp_stream_next(&conn->stream, &header, &payload, &why);

		if (r < 0) {
			kcd_conn_fault(conn, KC_EPROTO, why);
			break;
		}
		if (r == 0) {
			r = left > 0 ? kcp_stream_fill(&conn->stream) : 0;
			if (r <= 0)
				break;
			left -= r;
			continue;
		}
		conn->daemon->frames_in++;
		kcd_dispatch(conn, &header, payload);
	}
	conn->daemon->turns.now = NULL;
	conn->readable = true;
	if (conn->state == KCD_CONN_OPEN) {
		account(conn);
		kcd_conn_mark_ready(conn);
	}
}

/* Write no more; read what is there, then end. */
static void go_deaf(struct kcd_conn *conn)
{
	if (conn->state != KCD_CONN_OPEN) {
		kcd_conn_close(conn); /* it lingers for somebody who is gone */
		return;
	}
	conn->deaf = true;
	conn->blocked = conn->queued = false;
	conn->readable = true;
	set_watch(conn, true, false);
	kcd_conn_mark_ready(conn);
}

/* As long as frames of a client wait to be handled, its replies wait for one another: one
 * write, and one wake-up, for many turns. Not for long, and not if somebody needs to know
 * what the socket takes. */
bool kcd_conn_hold(struct kcd_conn *conn)
{
	uint64_t now = conn->daemon->timers.now_ns;

	if (conn->state != KCD_CONN_OPEN || kcd_list_empty(&conn->seat.link) ||
	    conn->stream.in_start == conn->stream.in_end || conn->torn ||
	    conn->overflowed || conn->starved ||
	    kcp_stream_pending(&conn->stream) >= HOLD_BYTES)
		return false;
	if (conn->held_ns == 0)
		conn->held_ns = now;
	return now - conn->held_ns < HOLD_NS;
}

void kcd_conn_flush(struct kcd_conn *conn)
{
	struct kcd_daemon *d = conn->daemon;
	size_t pending;
	bool open;
	int r;

	conn->held_ns = 0;
	if (conn->state == KCD_CONN_CLOSED || conn->deaf)
		return;
	if (conn->torn) {
		kcd_conn_break(conn);
		return;
	}
	kcd_turns_spend(&d->turns, KCD_COST_CALL);
	r = kcp_stream_flush(&conn->stream);
	pending = kcp_stream_pending(&conn->stream);
	if (r < 0 && r != KC_EAGAIN) {
		/* The client has hung up; what it said before that counts all the same. */
		if (conn->state == KCD_CONN_OPEN)
			go_deaf(conn);
		else
			kcd_conn_close(conn);
		return;
	}
	if (conn->state == KCD_CONN_OPEN && (conn->overflowed || pending > d->config.output_max)) {
		kcd_conn_fault(conn, KC_EDQUOT,
			       "limits.output_max: the client does not read what it asked for");
		return;
	}
	if (conn->state == KCD_CONN_LINGERING && pending == 0) {
		kcd_conn_close(conn);
		return;
	}
	open = conn->state == KCD_CONN_OPEN;
	if (open && pending >= d->config.output_high)
		conn->blocked = true;
	if (conn->blocked && pending <= d->config.output_high / 2) {
		conn->blocked = false;
		kcd_conn_mark_ready(conn); /* frames may be in the buffer already */
	}
	set_watch(conn, open && !conn->blocked && !conn->queued, pending > 0);
	account(conn);
	if (conn->starved && open && kcd_conn_may_give(conn)) {
		conn->starved = false;
		if (conn->session)
			kcd_session_feed(conn->session);
	}
}

struct kcp_buf *kcd_conn_out(struct kcd_conn *conn)
{
	if (conn->state != KCD_CONN_OPEN || conn->overflowed || conn->torn || conn->deaf)
		return NULL;
	return kcp_stream_out(&conn->stream);
}

void kcd_conn_sent(struct kcd_conn *conn, size_t at)
{
	struct kcd_turns *turns = &conn->daemon->turns;
	/* Whoever had it written, or, if only time did, whoever gets it. */
	struct kcd_share *payer = turns->now ? turns->now : &conn->user->share;
	long r = kcp_stream_frame_end(&conn->stream, at);

	if (r == KC_ENOMEM)
		conn->torn = true;
	else if (r < 0)
		conn->overflowed = true;
	else
		conn->daemon->frames_out++;
	kcd_share_spend(payer, KCD_COST_FRAME + (uint64_t)(r > 0 ? r : 0));
	if (kcp_stream_pending(&conn->stream) > conn->daemon->config.output_max) {
		/* Too much for the end of the turn; perhaps the client takes it now. */
		(void)kcp_stream_flush(&conn->stream);
		conn->overflowed |= kcp_stream_pending(&conn->stream) >
				    conn->daemon->config.output_max;
	}
	mark_dirty(conn);
}

int kcd_conn_pass(struct kcd_conn *conn, int fd)
{
	if (!kcd_conn_out(conn))
		return KC_ENOMEM;
	if (kcp_stream_pass_fd(&conn->stream, fd) == 0)
		return 0;
	/* Many in one turn; perhaps the client takes some of them now. */
	(void)kcp_stream_flush(&conn->stream);
	return kcp_stream_pass_fd(&conn->stream, fd);
}

void kcd_conn_overflow(struct kcd_conn *conn)
{
	conn->overflowed = true;
	mark_dirty(conn);
}

bool kcd_conn_may_give(struct kcd_conn *conn)
{
	if (kcd_conn_out(conn) &&
	    kcp_stream_pending(&conn->stream) < conn->daemon->config.output_high)
		return true;
	conn->starved = true;
	return false;
}

void kcd_conn_fault(struct kcd_conn *conn, int code, const char *why)
{
	struct kcp_buf *out = kcp_stream_out(&conn->stream);
	struct kcd_log_about about = kcd_conn_about(conn);
	struct kcd_session *session = conn->session;
	size_t at;

	if (conn->state != KCD_CONN_OPEN)
		return;
	kcd_log_client(KCD_LOG_INFO, &about, "connection ended: %s (%s)", why,
		       kcp_result_name(kcp_result_from_code(code)));
	at = kcp_frame_begin(out, KCP_ERROR, 0, 0, 0);
	kcp_put_u32(out, KCP_T_RESULT, kcp_result_from_code(code));
	kcp_put_text(out, KCP_T_DETAIL, why);
	kcd_conn_sent(conn, at);
	kcd_conn_linger(conn);
	if (session)
		kcd_session_end(session, session->peer->dead);
}

/* No more is read; frees nothing. */
static void shut(struct kcd_conn *conn, enum kcd_conn_state state)
{
	conn->state = state;
	conn->session = NULL;
	kcd_turns_leave(&conn->seat);
}

void kcd_conn_linger(struct kcd_conn *conn)
{
	struct kcd_daemon *d = conn->daemon;

	if (conn->state != KCD_CONN_OPEN)
		return;
	if (conn->deaf) {
		kcd_conn_close(conn); /* nobody is left to write to */
		return;
	}
	if (conn->session)
		conn->session->conn = NULL;
	shut(conn, KCD_CONN_LINGERING);
	set_watch(conn, false, false);
	if (kcd_timer_arm(&d->timers, &conn->timer, d->timers.now_ns + LINGER_NS) < 0)
		kcd_conn_close(conn);
	else if (kcd_list_empty(&conn->dirty))
		kcd_list_append(&d->dirty, &conn->dirty);
}

void kcd_conn_close(struct kcd_conn *conn)
{
	if (conn->state == KCD_CONN_CLOSED)
		return;
	if (conn->session)
		conn->session->conn = NULL;
	shut(conn, KCD_CONN_CLOSED);
	kcd_timer_disarm(&conn->daemon->timers, &conn->timer);
	kcd_watch_done(&conn->watch);
	close(conn->fd);
	conn->fd = -1;
	kcd_list_remove(&conn->dirty);
	kcd_list_remove(&conn->link);
	conn->daemon->n_conns--;
	kcd_listener_retry(&conn->daemon->listener);
	kcd_reap_later(&conn->daemon->graves, &conn->corpse, bury);
}

void kcd_conn_break(struct kcd_conn *conn)
{
	struct kcd_session *session = conn->session;

	kcd_conn_close(conn);
	if (session)
		kcd_session_lost(session);
}

void kcd_conn_peer_died(struct kcd_conn *conn)
{
	go_deaf(conn);
}
