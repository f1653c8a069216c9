/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every call on a channel has in common, wherever the channel lives.
 *
 * The fork guard, the family of the call, the token at entry, failure counters
 * and the error detail are dealt with once, here; what is left for a placement
 * is to move elements. A count of the calls in progress lets kc_chan_destroy()
 * wait for those it has just woken, so no placement needs a scheme of its own.
 */
#include "kcoro/chan.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/chan-call.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/core/waiter.h"
#include "libkcoro-client/port/kcoro_port.h"

/* In kc_chan.calls: somebody waits until the rest of the word is 0. */
#define IDLE_AWAITED 0x80000000u

void kci_chan_init(kc_chan_t *ch, const struct kci_chan_ops *ops, enum kc_kind kind,
		   size_t elem_size, size_t max_msg, unsigned capabilities)
{
	*ch = (struct kc_chan){
		.ops = ops,
		.process = kci_process_id(),
		.kind = kind,
		.elem_size = elem_size,
		.max_msg = max_msg,
		.capabilities = capabilities,
	};
}

int kci_chan_enter(kc_chan_t *ch)
{
	if (!ch)
		return KC_EINVAL;
	if (ch->process != kci_process_id())
		return KC_EFORKED;
	atomic_fetch_add_explicit(&ch->calls, 1, memory_order_acquire);
	return 0;
}

void kci_chan_leave(kc_chan_t *ch)
{
	uint32_t calls = atomic_load_explicit(&ch->calls, memory_order_relaxed), left;

	/* Whoever is the last takes the mark down with itself, so that the one who waits is woken
	 * once, whoever comes late. The handle may be freed from then on. */
	do {
		left = calls == (IDLE_AWAITED | 1) ? 0 : calls - 1;
	} while (!atomic_compare_exchange_weak_explicit(
		&ch->calls, &calls, left, memory_order_acq_rel, memory_order_relaxed));
	if (calls == (IDLE_AWAITED | 1))
		kci_waiter_unpark(ch->idle);
}

void kci_chan_wait_idle(kc_chan_t *ch)
{
	struct kci_waiter waiter;

	/* a coroutine parks: the calls it waits for may be those of its worker's others */
	kci_waiter_init(&waiter);
	ch->idle = &waiter;
	if (atomic_fetch_or(&ch->calls, IDLE_AWAITED) > 0)
		kci_waiter_await(&waiter);
	else
		atomic_fetch_and(&ch->calls, ~IDLE_AWAITED);
}

static int check_family(const kc_chan_t *ch, enum kci_family family)
{
	enum kci_family own = KCI_FIXED;

	if (ch->capabilities & KC_CHAN_CAP_PTR)
		own = KCI_DESC;
	else if (ch->elem_size == 0)
		own = KCI_MSG;
	if (family == KCI_LEASE)
		return ch->capabilities & KC_CHAN_CAP_LEASE
			       ? 0
			       : kci_fail(KC_ENOTSUP, "leases exist on a daemon's channels only");
	if (family == own)
		return 0;
	switch (own) {
	case KCI_DESC:
		return kci_fail(KC_EINVAL, "a descriptor channel takes the descriptor calls");
	case KCI_MSG:
		return kci_fail(KC_EINVAL, "a message channel takes the _msg calls");
	default:
		return kci_fail(KC_EINVAL, "the channel has fixed elements of %zu bytes",
				ch->elem_size);
	}
}

void kci_chan_failed(kc_chan_t *ch, bool send, int code)
{
	struct kci_failures *f = send ? &ch->send_failures : &ch->recv_failures;
	_Atomic uint64_t *counter = NULL;

	switch (code) {
	case KC_EAGAIN:
		counter = &f->eagain;
		break;
	case KC_ETIME:
		counter = &f->etime;
		break;
	case KC_EPIPE:
		counter = &f->epipe;
		break;
	case KC_ECANCELED:
		counter = &f->ecanceled;
		break;
	default:
		break;
	}
	if (counter)
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Is the call to be counted as one in progress? 0: no; 1: it is; or a code. */
static int begin(kc_chan_t *ch, bool counted, long timeout_ms, const kc_cancel_t *token)
{
	int r;

	if (counted)
		return 1;
	if (ch && ch->uncounted && timeout_ms <= 0 && !token)
		return kci_process_is(ch->process) ? 0 : KC_EFORKED;
	r = kci_chan_enter(ch);
	return r < 0 ? r : 1;
}

/* The checks before a send or a receive, once the call is entered. */
static int check_call(const kc_chan_t *ch, enum kci_family family, size_t n,
		      const kc_cancel_t *token)
{
	int r = check_family(ch, family);

	if (r < 0)
		return r;
	if (n < 1 || n > KC_BATCH_MAX)
		return kci_fail(KC_EINVAL, "a batch of %zu elements; 1 to %u", n, KC_BATCH_MAX);
	return kci_cancel_check(token);
}

/* How many of the messages in front may be sent, or why the first may not. */
static long check_messages(const kc_chan_t *ch, const struct kci_send *op)
{
	size_t i;

	for (i = 0; i < op->n && op->msgs[i].len <= ch->max_msg; i++)
		if (!op->msgs[i].data && op->msgs[i].len > 0)
			return i ? (long)i : KC_EINVAL;
	if (i == 0)
		return kci_fail(KC_EMSGSIZE, "%zu bytes; the channel takes at most %zu",
				op->msgs[0].len, ch->max_msg);
	return (long)i;
}

long kci_chan_send(kc_chan_t *ch, enum kci_family family, const struct kci_send *op)
{
	struct kci_send send = *op;
	int counted = begin(ch, send.counted, send.timeout_ms, send.token);
	long r;

	if (counted < 0)
		return kci_result(counted);
	r = check_call(ch, family, send.n, send.token);
	if (r == 0 && send.msgs) {
		r = check_messages(ch, &send);
		if (r > 0)
			send.n = (size_t)r;
	}
	if (r >= 0 && ch->ops->counts_failures) {
		r = ch->ops->send(ch, &send);
	} else {
		if (r >= 0)
			r = ch->ops->send(ch, &send);
		kci_chan_failed(ch, true, (int)r);
	}
	if (counted)
		kci_chan_leave(ch);
	return kci_result(r);
}

long kci_chan_recv(kc_chan_t *ch, enum kci_family family, struct kci_recv *op)
{
	int counted = begin(ch, op->counted, op->timeout_ms, op->token);
	long r;

	if (counted < 0)
		return kci_result(counted);
	op->needed = 0;
	r = check_call(ch, family, op->n, op->token);
	if (r == 0 && ch->elem_size > 0) {
		/* only a lease call brings its own idea of the room it has */
		if (family != KCI_LEASE)
			op->cap = op->n * ch->elem_size;
		else if (op->n > op->cap / ch->elem_size)
			op->n = op->cap / ch->elem_size;
		if (op->n == 0) {
			op->needed = ch->elem_size;
			r = KC_EMSGSIZE;
		}
	}
	if (r == 0 && ch->ops->counts_failures) {
		r = ch->ops->recv(ch, op);
	} else {
		if (r == 0)
			r = ch->ops->recv(ch, op);
		kci_chan_failed(ch, false, (int)r);
	}
	if (counted)
		kci_chan_leave(ch);
	if (r == KC_EMSGSIZE)
		kci_detail("%zu bytes of room; the next element has %zu", op->cap, op->needed);
	return kci_result(r);
}

int kc_chan_close(kc_chan_t *ch)
{
	int r = kci_chan_enter(ch);

	if (r == 0) {
		r = ch->ops->close(ch);
		kci_chan_leave(ch);
	}
	return (int)kci_result(r);
}

long kc_chan_purge(kc_chan_t *ch)
{
	long r = kci_chan_enter(ch);

	if (r == 0) {
		r = ch->ops->purge(ch);
		kci_chan_leave(ch);
	}
	return kci_result(r);
}

void kc_chan_destroy(kc_chan_t *ch)
{
	if (ch && ch->process == kci_process_id())
		ch->ops->destroy(ch);
}

long kc_chan_len(kc_chan_t *ch)
{
	long r = kci_chan_enter(ch);

	if (r == 0) {
		r = ch->ops->len(ch);
		kci_chan_leave(ch);
	}
	return kci_result(r);
}

int kc_chan_fd(kc_chan_t *ch, unsigned direction)
{
	int r = kci_chan_enter(ch);

	if (r < 0)
		return (int)kci_result(r);
	if (direction == KC_SENDER || direction == KC_RECEIVER)
		r = ch->ops->fd(ch, direction);
	else
		r = kci_fail(KC_EINVAL, "direction is %#x; KC_SENDER or KC_RECEIVER", direction);
	kci_chan_leave(ch);
	return (int)kci_result(r);
}

unsigned kc_chan_capabilities(kc_chan_t *ch)
{
	unsigned capabilities;

	if (kci_chan_enter(ch) < 0)
		return 0;
	capabilities = ch->capabilities;
	kci_chan_leave(ch);
	return capabilities;
}

static struct kc_op_failures failures_read(const struct kci_failures *f)
{
	return (struct kc_op_failures){
		.eagain = atomic_load_explicit(&f->eagain, memory_order_relaxed),
		.etime = atomic_load_explicit(&f->etime, memory_order_relaxed),
		.epipe = atomic_load_explicit(&f->epipe, memory_order_relaxed),
		.ecanceled = atomic_load_explicit(&f->ecanceled, memory_order_relaxed),
	};
}

int kc_chan_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *ret)
{
	struct kc_chan_snapshot snap = { 0 };
	int r = ret ? kci_chan_enter(ch) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	snap.kind = (int)ch->kind;
	snap.elem_size = ch->elem_size;
	snap.capabilities = ch->capabilities;
	snap.send_failures = failures_read(&ch->send_failures);
	snap.recv_failures = failures_read(&ch->recv_failures);
	r = ch->ops->snapshot(ch, &snap);
	kci_chan_leave(ch);
	if (r == 0)
		*ret = snap;
	return (int)kci_result(r);
}

int kc_chan_ack(kc_chan_t *ch, const struct kc_lease *lease)
{
	long n = kc_chan_ack_many(ch, lease, 1);

	if (n == 0)
		return (int)kci_result(KC_ENOENT);
	return n < 0 ? (int)n : 0;
}

long kc_chan_ack_many(kc_chan_t *ch, const struct kc_lease *leases, size_t n)
{
	long r = leases && n >= 1 && n <= KC_BATCH_MAX ? kci_chan_enter(ch) : KC_EINVAL;

	if (r < 0)
		return kci_result(r);
	r = check_family(ch, KCI_LEASE);
	if (r == 0)
		r = ch->ops->ack(ch, leases, n);
	kci_chan_leave(ch);
	return kci_result(r);
}

int kc_chan_nack(kc_chan_t *ch, const struct kc_lease *lease)
{
	int r = lease ? kci_chan_enter(ch) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = check_family(ch, KCI_LEASE);
	if (r == 0)
		r = ch->ops->nack(ch, lease);
	kci_chan_leave(ch);
	return (int)kci_result(r);
}

int kc_chan_extend(kc_chan_t *ch, const struct kc_lease *lease, unsigned lease_ms)
{
	int r = lease && lease_ms >= 1 && lease_ms <= KC_LEASE_MAX_MS ? kci_chan_enter(ch)
								      : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = check_family(ch, KCI_LEASE);
	if (r == 0)
		r = ch->ops->extend(ch, lease, lease_ms);
	kci_chan_leave(ch);
	return (int)kci_result(r);
}
