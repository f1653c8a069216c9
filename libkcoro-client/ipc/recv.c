/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving from a daemon's channel.
 *
 * What was given ahead comes first; RECV is the way to wait for more. Both can
 * cross on the wire: elements given ahead arrive while a RECV is under way. They
 * are older than what its reply will hold, so the RECV is cancelled, and if its
 * reply brings elements all the same, those go behind the others in the buffer and
 * the call takes from the front. So elements come out in the order of their
 * deliveries whatever the timing.
 *
 * An element is the program's once kcorod was told TAKEN: the call returns after
 * that is written. After a break RESUME says as much (PROTOCOL.md 5.3), so the call
 * then returns once the session is resumed.
 */
#include "kcoro/error.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/park.h"
#include "libkcoro-client/ipc/recv.h"
#include "proto/values.h"

/* No element is larger; and a reply with so many bytes fits our largest frame. */
#define SPACE_MAX KCP_MSG_MAX

/* How long a call waits for what is given ahead before it asks. Longer than the tick of most
 * kernels: a timer that is due before the next tick has to be set in hardware, which costs
 * more than the whole call. */
#define LURK_NS (5 * KC_NS_PER_MS)

/* One call that waits for what is given ahead without having said so. */
struct kci_lurker {
	struct kci_list link; /* sc->lurking; alone once woken */
	struct kci_wait wait;
};

/* Elements of the buffer that this call cannot take, since they are no leases. */
static bool is_foreign(const struct kci_receive *rc)
{
	return rc->op->leases && !rc->sc->lease;
}

static void receiving_begin(struct kci_receive *rc)
{
	kci_list_append(&rc->sc->receiving, &rc->link);
	rc->sc->n_receiving++;
	rc->sc->n_lease_receiving += is_foreign(rc);
}

void kci_receive_end(struct kci_receive *rc)
{
	if (!rc->call)
		return;
	rc->call = NULL;
	kci_list_remove(&rc->link);
	rc->sc->n_receiving--;
	rc->sc->n_lease_receiving -= is_foreign(rc);
}

/* The elements of a frame: whole, as many as COUNT says, new. 0 or KC_EPROTO. */
static int check_elements(struct kci_schan *sc, struct kcp_args *args, struct kcp_elems *ret)
{
	uint64_t first = kcp_num(args, KCP_T_DELIVERY, 0);

	if (kcp_elems_parse(ret, args, sc->elem_size, NULL) < 0 ||
	    ret->count != kcp_num(args, KCP_T_COUNT, 0) || first <= sc->seen ||
	    first > UINT64_MAX - ret->count)
		return KC_EPROTO;
	return 0;
}

static int buffer_elements(struct kci_schan *sc, uint64_t first, const struct kcp_elems *elems,
			   const struct kcp_args *args, bool asked)
{
	if (kci_ahead_add(&sc->ahead, first, elems, args, &sc->conn->stream, asked) == 0)
		return 0;
	/* they cannot be kept and must not be lost: with the session they go back */
	kci_conn_fail(sc->conn, KC_ECONNRESET, "no memory for elements kcorod sent");
	return KC_ECONNRESET;
}

int kci_receive_replied(struct kci_call *call, struct kcp_args *args, int code)
{
	struct kci_receive *rc = call->arg;
	struct kci_schan *sc = rc->sc;
	struct kci_sink sink = { .op = rc->op };
	struct kcp_elems elems;
	uint64_t first = kcp_num(args, KCP_T_DELIVERY, 0);
	const struct kcp_arg *before = kcp_get(args, KCP_T_DELIVERED_BEFORE);
	struct kci_marks marks = { 0 };

	kci_receive_end(rc);
	if (code == KC_EAGAIN && sc->ahead.n == 0)
		kci_notify_silence(&sc->recv_notify, kcp_num(args, KCP_T_RINGS, 0));
	if (code == KC_EMSGSIZE) {
		rc->op->needed = (size_t)kcp_num(args, KCP_T_NEEDED, 0);
		return rc->op->needed ? 0 : KC_EPROTO;
	}
	if (code < 0)
		return 0;
	if (check_elements(sc, args, &elems) < 0 || elems.count > rc->op->n ||
	    elems.bytes > rc->op->cap)
		return KC_EPROTO;
	sc->seen = first + elems.count - 1;
	rc->provisional = kcp_num(args, KCP_T_FLAGS, 0) & KCP_F_PROVISIONAL;
	if (sc->ahead.n > 0 && !rc->provisional && !is_foreign(rc)) {
		rc->buffered = true;
		return buffer_elements(sc, first, &elems, args, /* asked= */ true);
	}
	rc->first = first;
	rc->n = elems.count;
	if (before)
		marks = (struct kci_marks){ .data = before->data, .n = before->len / 4 };
	kci_sink_move(&sink, &elems, elems.count, first, &marks);
	if (rc->provisional)
		kci_list_append(&sc->provisional, &rc->link);
	return 0;
}

const char *kci_schan_deliver(struct kci_schan *sc, struct kcp_args *args)
{
	uint64_t first = kcp_num(args, KCP_T_DELIVERY, 0);
	struct kcp_elems elems;
	uint64_t left;

	if (check_elements(sc, args, &elems) < 0)
		return "DELIVER with elements that make no sense";
	/* replies to RECV may be in the buffer too */
	if (sc->credit == 0 || sc->ahead.n + elems.count > sc->credit + (uint64_t)KC_BATCH_MAX)
		return "more elements given ahead than there is credit";
	sc->seen = first + elems.count - 1;
	kci_ahead_prune(&sc->ahead, sc->conn->answered);
	if (buffer_elements(sc, first, &elems, args, /* asked= */ false) < 0)
		return NULL;
	if (sc->n_lease_receiving > 0) {
		/* they are to come as leases: let them come again */
		kci_schan_recall(sc, elems.count);
		return NULL;
	}
	left = sc->ahead.n;
	left -= kci_schan_stir(sc, left);
	for (struct kci_list *l = sc->receiving.next; l != &sc->receiving && left > 0; left--) {
		struct kci_receive *rc = KC_CONTAINER_OF(l, struct kci_receive, link);

		l = l->next;
		kci_call_cancel(rc->call);
	}
	return NULL;
}

uint64_t kci_schan_stir(struct kci_schan *sc, uint64_t n)
{
	uint64_t woken = 0;
	struct kci_list *l;

	while (woken < n && (l = sc->lurking.next) != &sc->lurking) {
		kci_list_remove(l);
		kci_wait_ready(&KC_CONTAINER_OF(l, struct kci_lurker, link)->wait);
		woken++;
	}
	return woken;
}

void kci_schan_recall(struct kci_schan *sc, uint32_t n)
{
	if (n > UINT32_MAX - sc->recall)
		n = UINT32_MAX - sc->recall;
	sc->recall += n;
	if (kci_list_empty(&sc->recalled))
		kci_list_append(&sc->conn->recalls, &sc->recalled);
}

int kci_schan_give_back(struct kci_schan *sc)
{
	kc_ipc_conn_t *conn = sc->conn;
	struct kcp_buf *out = kcp_stream_out(&conn->stream);
	uint64_t spare = sc->ahead.n;
	size_t at, ranges;
	int r;

	kci_ahead_prune(&sc->ahead, conn->answered);
	/* those who wait here are about to take as many */
	if (sc->n_lease_receiving == 0)
		spare -= spare < sc->n_receiving ? spare : sc->n_receiving;
	kci_ahead_give_back(&sc->ahead, spare < sc->recall ? spare : sc->recall,
			    KCI_AHEAD_RUNS_MAX);
	sc->recall = 0;
	at = kci_notice_begin(conn, KCP_RETURN);
	kcp_put_u32(out, KCP_T_ATTACH, sc->attach);
	if (sc->ahead.untold) {
		ranges = kcp_tlv_begin(out, KCP_T_RANGES);
		kci_ahead_ranges(&sc->ahead, KCI_AHEAD_UNTOLD, UINT64_MAX, out);
		kcp_tlv_end(out, ranges);
	}
	r = kci_notice_end(conn, at);
	if (r < 0)
		return r;
	kci_ahead_told(&sc->ahead, conn->last_id);
	kci_list_remove(&sc->recalled);
	return 0;
}

void kci_schan_resume(const struct kci_schan *sc, struct kcp_buf *buf)
{
	size_t at = kcp_tlv_begin(buf, KCP_T_ATTACHMENT);
	size_t ranges;

	kcp_put_u32(buf, KCP_T_ATTACH, sc->attach);
	kcp_put_u64(buf, KCP_T_DELIVERY, sc->seen);
	ranges = kcp_tlv_begin(buf, KCP_T_RANGES);
	kci_ahead_ranges(&sc->ahead, KCI_AHEAD_ALL, UINT64_MAX, buf);
	/* rendezvous, which gives nothing ahead: what is not ours until TAKEN is answered */
	for (struct kci_list *l = sc->provisional.next; l != &sc->provisional;) {
		struct kcp_range range = { 0 };

		do {
			const struct kci_receive *rc = KC_CONTAINER_OF(l, struct kci_receive, link);

			if (range.count && rc->first != range.first + range.count)
				break;
			if (!range.count)
				range.first = rc->first;
			range.count += rc->n;
			l = l->next;
		} while (l != &sc->provisional);
		kcp_put_range(buf, range.first, range.count);
	}
	kcp_tlv_end(buf, ranges);
	kcp_tlv_end(buf, at);
}

/* ---- the caller's side; lock held ------------------------------------------ */

/*
 * Say TAKEN for n elements, of the buffer's front (from_buffer) or of the reply. 0
 * once it is in the output; a code if it cannot get there.
 */
static int say_taken(struct kci_receive *rc, bool from_buffer, uint64_t n)
{
	struct kci_schan *sc = rc->sc;
	kc_ipc_conn_t *conn = sc->conn;

	for (;;) {
		/* again each time: waiting for room lets others change the output */
		struct kcp_buf *out = kcp_stream_out(&conn->stream);
		size_t at, ranges;
		int r;

		if (conn->state == KCI_LIVE) {
			at = kci_notice_begin(conn, KCP_TAKEN);
			kcp_put_u32(out, KCP_T_ATTACH, sc->attach);
			ranges = kcp_tlv_begin(out, KCP_T_RANGES);
			if (from_buffer)
				kci_ahead_ranges(&sc->ahead, KCI_AHEAD_IN_HAND, n, out);
			else
				kcp_put_range(out, rc->first, n);
			kcp_tlv_end(out, ranges);
			r = kci_notice_end(conn, at);
			if (r == 0)
				return 0;
			if (kcp_stream_pending(&conn->stream) == 0) {
				kci_conn_fail(conn, KC_ECONNRESET, "no memory to say TAKEN");
				return kci_conn_dead(conn);
			}
		}
		r = kci_conn_drain(conn, NULL);
		if (r < 0)
			return r;
		if (from_buffer)
			return KC_EAGAIN; /* the buffer may have changed */
	}
}

/* The elements are in op. Returns how many, once TAKEN is on its way. */
static long taken(struct kci_receive *rc, uint64_t n)
{
	int r = kci_conn_drain(rc->sc->conn, NULL);

	return r < 0 ? r : (long)n;
}

long kci_receive_ahead(struct kci_receive *rc)
{
	struct kci_schan *sc = rc->sc;
	int r = 0;

	for (;;) {
		size_t n;

		if (sc->conn->state == KCI_DEAD)
			return kci_conn_dead(sc->conn);
		if (sc->detaching)
			return KC_EPIPE;
		if (sc->ahead.n == 0)
			return 0;
		if (is_foreign(rc)) {
			kci_ahead_give_back(&sc->ahead, sc->ahead.n, UINT32_MAX);
			kci_schan_recall(sc, 0);
			return sc->ahead.n ? KC_ENOMEM : 0;
		}
		n = kci_ahead_fit(&sc->ahead, rc->op);
		if (n == 0)
			return KC_EMSGSIZE;
		if (sc->conn->state == KCI_BROKEN) {
			r = kci_conn_drain(sc->conn, rc->op->token);
		} else if (kci_cursor_taken(sc, n)) {
			kci_ahead_take(&sc->ahead, n, rc->op);
			return (long)n;
		} else {
			r = say_taken(rc, true, n);
			if (r == 0) {
				kci_ahead_take(&sc->ahead, n, rc->op);
				return taken(rc, n);
			}
		}
		if (r < 0 && r != KC_EAGAIN)
			return r;
	}
}

static int on_settled(struct kci_call *call, struct kcp_args *args, int code)
{
	struct kci_receive *rc = call->arg;

	(void)args;
	(void)code;
	kci_list_remove(&rc->link);
	return 0;
}

/* TAKEN as a request: the element is ours if the sender still stands by it. */
static long settle(struct kci_receive *rc)
{
	struct kci_schan *sc = rc->sc;
	struct kci_call call;
	size_t ranges;
	long r;

	kci_call_init(&call, sc->conn, KCP_TAKEN);
	call.urgent = true;
	kcp_put_u32(&call.head, KCP_T_ATTACH, sc->attach);
	ranges = kcp_tlv_begin(&call.head, KCP_T_RANGES);
	kcp_put_range(&call.head, rc->first, rc->n);
	kcp_tlv_end(&call.head, ranges);
	call.on_reply = on_settled;
	call.arg = rc;
	r = kci_call_run_locked(&call, NULL);
	kci_call_done(&call);
	kci_list_remove(&rc->link);
	if (r == 0)
		return (long)rc->n;
	return r == KC_ENOENT ? 0 : r;
}

/* Failures that are none if the buffer holds something now. */
static bool is_about_nothing(long r)
{
	return r == KC_EAGAIN || r == KC_ETIME || r == KC_EPIPE || r == KC_ECANCELED ||
	       r == KC_EMSGSIZE;
}

/*
 * Where elements given ahead follow one upon another, a RECV would cross with the next of
 * them and have to be cancelled. So a call first waits a moment without it. 0: look again;
 * KC_ETIME: ask; KC_ECANCELED.
 */
static int lurk(struct kci_receive *rc)
{
	struct kci_schan *sc = rc->sc;
	struct kci_lurker lurker;
	uint64_t now = kci_clock_now();
	int r;

	kci_list_init(&lurker.link);
	kci_wait_init(&lurker.wait);
	lurker.wait.deadline = rc->deadline < now + LURK_NS ? rc->deadline : now + LURK_NS;
	kci_list_append(&sc->lurking, &lurker.link);
	r = kci_conn_wait(sc->conn, &lurker.wait, rc->op->token);
	kci_list_remove(&lurker.link);
	if (r == KC_ETIME)
		sc->brisk = false;
	return r;
}

static bool may_lurk(const struct kci_receive *rc)
{
	return rc->sc->brisk && rc->op->timeout_ms != 0 && !is_foreign(rc) &&
	       rc->sc->conn->state == KCI_LIVE &&
	       /* a moment does not pass on a virtual clock while its thread waits */
	       (!kci_coro_current() || kci_coro_polling());
}

void kci_receive_init(struct kci_receive *rc, struct kci_schan *sc, struct kci_recv *op)
{
	*rc = (struct kci_receive){ .sc = sc, .op = op };
	kci_list_init(&rc->link);
}

void kci_receive_begin(struct kci_receive *rc, struct kci_call *call, uint32_t flags)
{
	struct kci_recv *op = rc->op;

	kci_call_init(call, rc->sc->conn, KCP_RECV);
	kcp_put_u32(&call->head, KCP_T_ATTACH, rc->sc->attach);
	if (op->n > 1)
		kcp_put_u32(&call->head, KCP_T_COUNT, (uint32_t)op->n);
	kcp_put_u64(&call->head, KCP_T_SPACE, op->cap < SPACE_MAX ? op->cap : SPACE_MAX);
	if (op->leases)
		flags |= KCP_F_LEASE;
	if (flags)
		kcp_put_u32(&call->head, KCP_T_FLAGS, flags);
	kci_call_timeout(call, op->timeout_ms, rc->deadline);
	call->on_reply = kci_receive_replied;
	call->arg = rc;
	rc->call = call;
	rc->n = 0;
	rc->buffered = false;
	rc->provisional = false;
	receiving_begin(rc);
}

long kci_receive_conclude(struct kci_receive *rc)
{
	long r;

	if (rc->buffered)
		return 0;
	if (rc->provisional)
		return settle(rc);
	r = say_taken(rc, false, rc->n);
	return r < 0 ? r : taken(rc, rc->n);
}

/* RECV: how many, a code, or 0 to try everything again. */
static long request(struct kci_receive *rc)
{
	struct kci_schan *sc = rc->sc;
	struct kci_recv *op = rc->op;
	uint64_t began = sc->given_ahead ? kci_clock_now() : 0;
	struct kci_call call;
	long r;

	kci_receive_begin(rc, &call, 0);
	r = kci_call_run_locked(&call, op->token);
	kci_receive_end(rc);
	kci_call_done(&call);

	if (sc->given_ahead && (r == 0 || sc->ahead.n > 0) && kci_clock_now() - began < LURK_NS)
		sc->brisk = true;
	if (r == 0)
		return kci_receive_conclude(rc);
	if (sc->ahead.n > 0 && is_about_nothing(r) && !is_foreign(rc))
		return 0;
	if (r == KC_ECANCELED && call.cancelled && !sc->detaching)
		/* by the token; or by elements that somebody else took meanwhile */
		return kci_cancel_check(op->token);
	return kci_schan_code(sc, &call, r, op->timeout_ms);
}

long kci_schan_recv(kc_chan_t *ch, struct kci_recv *op)
{
	struct kci_schan *sc = kci_schan_of(ch);
	struct kci_receive rc;
	int saved;
	long r;

	if (sc->lease && !op->leases)
		return kci_fail(KC_ENOTSUP, "the handle was opened for leases: receive with "
					    "kc_chan_recv_lease()");
	kci_receive_init(&rc, sc, op);
	rc.deadline = kci_deadline_from_ms(op->timeout_ms);
	saved = kci_conn_lock(sc->conn);
	kci_cursor_back(sc);
	for (;;) {
		r = kci_receive_ahead(&rc);
		if (r == 0 && may_lurk(&rc)) {
			r = lurk(&rc);
			if (r == 0)
				continue;
			if (r == KC_ETIME)
				r = 0;
		}
		if (r == 0)
			r = request(&rc);
		if (r == 0)
			r = kci_cancel_check(op->token);
		if (r != 0)
			break;
		kci_detail_clear();
	}
	kci_conn_unlock(sc->conn, saved);
	return r;
}
