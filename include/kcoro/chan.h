/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_CHAN_H
#define KCORO_CHAN_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Channels.
 *
 * One handle and one set of calls, wherever the channel lives: in this process
 * (kc_chan_make) or in kcorod (kcoro/ipc.h). Only speed and what
 * kc_chan_capabilities() reports tell them apart.
 *
 *	kc_chan_t *ch;
 *	int v = 7;
 *	kc_chan_make(&ch, KC_BUFFERED, sizeof v, 16);
 *	kc_chan_send(ch, &v, -1);             // waits while full
 *	kc_chan_close(ch);                    // no more sends
 *	while (kc_chan_recv(ch, &v, -1) == 0) // drains, then KC_EPIPE
 *		printf("%d\n", v);
 *	kc_chan_destroy(ch);
 *
 * Elements are of one fixed size (1..KC_ELEM_MAX bytes), or messages of
 * 0..max_msg bytes each (element size 0). The `_msg` calls are for messages,
 * the others for fixed elements; the wrong family gives KC_EINVAL.
 *
 * Time. timeout_ms: 0 = try once, < 0 = wait without bound, > 0 = wait at most
 * so long (CLOCK_MONOTONIC). The `_c` forms also take a cancellation token.
 *
 * Ownership. On failure the sender still owns what it tried to send; on success
 * the channel or the receiver does. Nothing is lost without being counted
 * (kcoro/stats.h) and, on a local channel, handed to the on-drop hook.
 *
 * Threads. Any thread may call anything, except that kc_chan_destroy() must be
 * the last use of a handle. Handles inherited through fork give KC_EFORKED.
 */
enum kc_kind {
	KC_RENDEZVOUS = 0, /* capacity 0: a send returns once a live receiver has the element */
	KC_BUFFERED = 1,   /* FIFO of exactly `capacity` elements; a send waits while full */
	KC_CONFLATED = -1, /* one place, the newest value wins; a send never waits */
	KC_UNLIMITED = -2, /* FIFO bounded by max_bytes only */
};

/* What a bounded channel does with a send while it is full. */
enum kc_overflow {
	KC_OVERFLOW_BLOCK = 0,       /* the send waits */
	KC_OVERFLOW_DROP_OLDEST = 1, /* the oldest queued element makes room */
	KC_OVERFLOW_DROP_NEWEST = 2, /* the send returns 0 and its element is dropped */
};

/* Why an element reaches the on-drop hook. */
enum kc_drop_reason {
	KC_DROP_OLDEST = 1,
	KC_DROP_NEWEST = 2,
	KC_DROP_CONFLATED = 3,
	KC_DROP_PURGED = 4,
	KC_DROP_DESTROYED = 5,
};

/* kc_chan_options.flags */
#define KC_CHAN_AUTO_CLOSE 1u  /* close when the last sender detaches (daemon's channels) */
#define KC_CHAN_LEASE_ONLY 2u  /* plain receives are refused: KC_ENOTSUP (daemon's channels) */

/* Directions: kc_chan_fd(); the roles of kcoro/ipc.h */
#define KC_SENDER 1u
#define KC_RECEIVER 2u

/* kc_chan_capabilities() */
#define KC_CHAN_CAP_ZERO_COPY 1u /* a zero-copy backend is bound */
#define KC_CHAN_CAP_PTR 2u       /* elements are descriptors */
#define KC_CHAN_CAP_MSG 4u       /* elements are messages */
#define KC_CHAN_CAP_REMOTE 8u    /* other processes can attach */
#define KC_CHAN_CAP_LEASE 16u    /* kc_chan_recv_lease() works */

#define KC_CAPACITY_MAX 1048576u          /* elements */
#define KC_ELEM_MAX 65536u                /* bytes of a fixed element */
#define KC_MSG_MAX 16777216u              /* ceiling of max_msg, bytes */
#define KC_MSG_DEFAULT 65536u             /* max_msg where none is given */
#define KC_CHAN_BYTES_DEFAULT 1048576u    /* max_bytes where none is given (or 2 * max_msg) */
#define KC_BATCH_MAX 65536u               /* elements one batch call moves at most */

/*
 * Called for each element that is the channel's and will never be received:
 * once, with no lock held, on the thread whose call caused it. For a descriptor
 * channel `elem` is a struct kc_zdesc. The hook may use any channel but must
 * not destroy this one. `elem` is valid during the call only.
 */
typedef void (*kc_drop_fn)(void *arg, const void *elem, size_t len, enum kc_drop_reason reason);

/*
 * How to make a channel. Start from KC_CHAN_OPTIONS_INIT and set what matters:
 *
 *	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
 *	o.kind = KC_BUFFERED;
 *	o.capacity = 64;              // messages of up to 64 KiB
 */
struct kc_chan_options {
	size_t size; /* sizeof(struct kc_chan_options): lets the struct grow */
	enum kc_kind kind;
	size_t elem_size; /* 1..KC_ELEM_MAX; 0 = messages */
	size_t capacity;  /* KC_BUFFERED: 1..KC_CAPACITY_MAX; other kinds: 0 */
	size_t max_msg;   /* messages: the largest, 1..KC_MSG_MAX; 0 = KC_MSG_DEFAULT */
	size_t max_bytes; /* bytes queued at one time, at least 2 * max_msg (or one element);
			   * 0 = default. Bounds messages and KC_UNLIMITED; for fixed elements of
			   * KC_BUFFERED the capacity is the bound and this must be 0 */
	enum kc_overflow overflow;
	unsigned flags;     /* KC_CHAN_* */
	kc_drop_fn on_drop; /* local channels */
	void *on_drop_arg;
	unsigned mode; /* daemon's channels: rights in octal as for files, r = receive, w = send,
			* x = administer; 0 = 0700 */
};

#define KC_CHAN_OPTIONS_INIT                                                                       \
	{ sizeof(struct kc_chan_options), KC_BUFFERED, 0, 0, 0, 0, KC_OVERFLOW_BLOCK, 0, 0, 0, 0 }

/* One message of a batch: bytes and their number. */
struct kc_msg {
	const void *data;
	size_t len;
};

KC_BEGIN_DECLS

/**
 * kc_chan_make() - make a local channel of fixed elements
 * @ret:           the channel; written on success
 * @kind:          enum kc_kind
 * @elem_size:     bytes per element, 1..KC_ELEM_MAX
 * @capacity:      KC_BUFFERED: 1..KC_CAPACITY_MAX, exact; other kinds: 0
 *
 * Returns: 0, or
 *          KC_EINVAL   NULL, unknown kind, or a number out of range
 *          KC_ENOMEM   no memory
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_make(kc_chan_t **ret, enum kc_kind kind, size_t elem_size,
					 size_t capacity);

/**
 * kc_chan_make_ex() - make a local channel with every option
 * @ret:           the channel; written on success
 * @opts:          options; mode, KC_CHAN_AUTO_CLOSE and KC_CHAN_LEASE_ONLY are for
 *                 daemon's channels and refused here
 *
 * Returns: as kc_chan_make(); kc_error_detail() names the option that is wrong
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_make_ex(kc_chan_t **ret, const struct kc_chan_options *opts);

/**
 * kc_chan_make_ptr() - make a local channel of descriptors (kcoro/zref.h)
 * @ret:           the channel; written on success
 * @kind:          enum kc_kind
 * @capacity:      as kc_chan_make()
 *
 * Returns: as kc_chan_make()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_make_ptr(kc_chan_t **ret, enum kc_kind kind, size_t capacity);

/**
 * kc_chan_send() - put one element into a channel
 * @ch:            a channel of fixed elements
 * @elem:          elem_size bytes; copied
 * @timeout_ms:    0 = try once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0, or
 *          KC_EAGAIN     timeout 0 and full (rendezvous: no receiver waits)
 *          KC_ETIME      deadline passed
 *          KC_EPIPE      closed
 *          KC_EINVAL     NULL, or a message or descriptor channel
 *          KC_ENOMEM     no memory
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also
 *          KC_EACCES     no right to send, or opened without KC_SENDER
 *          KC_EDQUOT     a quota of this user or of the daemon is used up
 *          KC_ENOENT     the channel was destroyed and is gone
 *          KC_EPROTO     the daemon broke the protocol
 *          KC_ECONNRESET daemon gone and not back within the grace: outcome unknown
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send(kc_chan_t *ch, const void *elem, long timeout_ms);

/**
 * kc_chan_recv() - take one element out of a channel
 * @ch:            a channel of fixed elements
 * @ret_elem:      elem_size bytes; written on success
 * @timeout_ms:    0 = try once, < 0 = without bound, > 0 = at most so long
 *
 * Returns: 0, or
 *          KC_EAGAIN     timeout 0 and empty
 *          KC_ETIME      deadline passed
 *          KC_EPIPE      closed and drained
 *          KC_EINVAL     NULL, or a message or descriptor channel
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also
 *          KC_EACCES     no right to receive, or opened without KC_RECEIVER
 *          KC_ENOTSUP    the channel demands leases (kc_chan_recv_lease)
 *          KC_ENOENT     the channel was destroyed and is gone
 *          KC_EPROTO     the daemon broke the protocol
 *          KC_ECONNRESET daemon gone and not back within the grace
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv(kc_chan_t *ch, void *ret_elem, long timeout_ms);

/**
 * kc_chan_try_send() - kc_chan_send() with timeout 0
 * @ch:            a channel of fixed elements
 * @elem:          elem_size bytes; copied
 *
 * Returns: as kc_chan_send()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_try_send(kc_chan_t *ch, const void *elem);

/**
 * kc_chan_try_recv() - kc_chan_recv() with timeout 0
 * @ch:            a channel of fixed elements
 * @ret_elem:      elem_size bytes; written on success
 *
 * Returns: as kc_chan_recv()
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_try_recv(kc_chan_t *ch, void *ret_elem);

/**
 * kc_chan_send_c() - kc_chan_send() that a token can end
 * @ch:            a channel of fixed elements
 * @elem:          elem_size bytes; copied
 * @timeout_ms:    as kc_chan_send()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_send(), or
 *          KC_ECANCELED  the token was set before the element was accepted
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_c(kc_chan_t *ch, const void *elem, long timeout_ms,
					   kc_cancel_t *token);

/**
 * kc_chan_recv_c() - kc_chan_recv() that a token can end
 * @ch:            a channel of fixed elements
 * @ret_elem:      elem_size bytes; written on success
 * @timeout_ms:    as kc_chan_recv()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_recv(), or
 *          KC_ECANCELED  the token was set before an element was taken
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_c(kc_chan_t *ch, void *ret_elem, long timeout_ms,
					   kc_cancel_t *token);

/**
 * kc_chan_send_msg() - put one message into a channel
 * @ch:            a message channel
 * @buf:           len bytes; copied; may be NULL if len is 0
 * @len:           0..max_msg; an empty message is an element like any other
 * @timeout_ms:    as kc_chan_send()
 *
 * Returns: as kc_chan_send(), or
 *          KC_EMSGSIZE   longer than the channel's max_msg
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_msg(kc_chan_t *ch, const void *buf, size_t len,
					     long timeout_ms);

/**
 * kc_chan_recv_msg() - take one message out of a channel
 * @ch:            a message channel
 * @buf:           room for cap bytes
 * @cap:           may be 0
 * @ret_len:       the message's length; also written on KC_EMSGSIZE (the length needed)
 * @timeout_ms:    as kc_chan_recv()
 *
 * Returns: as kc_chan_recv(), or
 *          KC_EMSGSIZE   the next message is longer than cap; it stays in the channel
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_msg(kc_chan_t *ch, void *buf, size_t cap, size_t *ret_len,
					     long timeout_ms);

/**
 * kc_chan_send_msg_c() - kc_chan_send_msg() that a token can end
 * @ch:            a message channel
 * @buf:           len bytes; copied
 * @len:           0..max_msg
 * @timeout_ms:    as kc_chan_send()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_send_msg(), or KC_ECANCELED
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_send_msg_c(kc_chan_t *ch, const void *buf, size_t len,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_msg_c() - kc_chan_recv_msg() that a token can end
 * @ch:            a message channel
 * @buf:           room for cap bytes
 * @cap:           may be 0
 * @ret_len:       as kc_chan_recv_msg()
 * @timeout_ms:    as kc_chan_recv()
 * @token:         may be NULL
 *
 * Returns: as kc_chan_recv_msg(), or KC_ECANCELED
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_msg_c(kc_chan_t *ch, void *buf, size_t cap,
					       size_t *ret_len, long timeout_ms,
					       kc_cancel_t *token);

/**
 * kc_chan_send_many() - put several elements into a channel
 * @ch:            a channel of fixed elements
 * @elems:         n elements, one after the other
 * @n:             1..KC_BATCH_MAX
 * @timeout_ms:    how long to wait for the first to be accepted
 * @token:         may be NULL
 *
 * Not atomic: returns as soon as at least one was accepted and no more can be
 * at once. What stopped it is reported by the next call. An element dropped by
 * policy counts as sent.
 *
 * Returns: how many were accepted, 1..n, from the front of elems, or a code of
 *          kc_chan_send_c() when none was
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_send_many(kc_chan_t *ch, const void *elems, size_t n,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_many() - take several elements out of a channel
 * @ch:            a channel of fixed elements
 * @ret_elems:     room for n elements
 * @n:             1..KC_BATCH_MAX
 * @timeout_ms:    how long to wait for the first
 * @token:         may be NULL
 *
 * Returns: how many were taken, 1..n, or a code of kc_chan_recv_c() when none was
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_recv_many(kc_chan_t *ch, void *ret_elems, size_t n,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_send_msgs() - put several messages into a channel
 * @ch:            a message channel
 * @msgs:          n messages; their bytes are copied
 * @n:             1..KC_BATCH_MAX
 * @timeout_ms:    how long to wait for the first to be accepted
 * @token:         may be NULL
 *
 * Stops at the first that is too long; it is reported (KC_EMSGSIZE) by the call
 * that begins with it.
 *
 * Returns: how many were accepted, 1..n, or a code of kc_chan_send_msg_c() when none was
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_send_msgs(kc_chan_t *ch, const struct kc_msg *msgs, size_t n,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_msgs() - take several messages out of a channel
 * @ch:            a message channel
 * @buf:           room for their bytes, filled one after the other
 * @cap:           bytes of buf
 * @ret_msgs:      room for n; each data points into buf. When the very first message
 *                 does not fit, ret_msgs[0].len is the length needed
 * @n:             1..KC_BATCH_MAX
 * @timeout_ms:    how long to wait for the first
 * @token:         may be NULL
 *
 * Returns: how many were taken, 1..n, or a code of kc_chan_recv_msg_c() when none was
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_recv_msgs(kc_chan_t *ch, void *buf, size_t cap,
					       struct kc_msg *ret_msgs, size_t n, long timeout_ms,
					       kc_cancel_t *token);

/**
 * kc_chan_close() - no more sends
 * @ch:            a channel
 *
 * Wakes everyone. Waiting and later sends get KC_EPIPE and keep their element;
 * receivers drain what was queued, then get KC_EPIPE. Closing again does nothing.
 *
 * Returns: 0, or
 *          KC_EINVAL     NULL
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also KC_EACCES (neither the right to send nor to
 *          administer), KC_ENOENT, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC int kc_chan_close(kc_chan_t *ch);

/**
 * kc_chan_purge() - drop what is queued
 * @ch:            a channel
 *
 * Queued elements only: leased ones stay with their holders. Each goes through
 * the on-drop hook and the ledger.
 *
 * Returns: how many were dropped, 0 or more, or
 *          KC_EINVAL     NULL
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also KC_EACCES (no right to administer), KC_ENOENT,
 *          KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC long kc_chan_purge(kc_chan_t *ch);

/**
 * kc_chan_destroy() - give a handle back
 * @ch:            may be NULL
 *
 * A local channel is closed, calls still waiting on it return, what was queued
 * goes to the on-drop hook. From a daemon's channel the handle detaches: the
 * channel stays, elements given ahead and leases return to it.
 * Thread:  any; the handle must not be used in a new call after this one began.
 * Since:   0.1
 */
KC_PUBLIC void kc_chan_destroy(kc_chan_t *ch);

/**
 * kc_chan_len() - elements a receiver could take
 * @ch:            a channel
 *
 * Returned and given-ahead elements count, leased ones do not.
 *
 * Returns: 0 or more (rendezvous: 0, or elements that were returned), or
 *          KC_EINVAL     NULL
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also KC_ENOENT, KC_ENOMEM, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC long kc_chan_len(kc_chan_t *ch);

/**
 * kc_chan_fd() - a descriptor that is readable when a try would find something
 * @ch:            a channel
 * @direction:     KC_RECEIVER or KC_SENDER, one of them
 *
 * For programs with an event loop of their own (poll, epoll, libevent): wait for it to be
 * readable (POLLIN, in both directions), then call the channel with timeout 0 until that
 * gives KC_EAGAIN.
 *
 *	struct pollfd p = { .fd = kc_chan_fd(ch, KC_RECEIVER), .events = POLLIN };
 *	for (;;) {
 *		while ((r = kc_chan_recv(ch, &v, 0)) == 0)
 *			use(v);
 *		if (r != KC_EAGAIN)          // KC_EPIPE: closed and drained
 *			break;
 *		poll(&p, 1, -1);             // beside the program's own descriptors
 *	}
 *
 * With KC_RECEIVER it is readable when a receive with timeout 0 would not give KC_EAGAIN:
 * there is an element, or the channel is closed and drained, or there is an error to hear
 * of. With KC_SENDER it is the same for a send: there is room, or the channel is closed, or
 * there is an error. It never misses, and may be readable once too often: only a try that
 * gave KC_EAGAIN makes it unreadable, until something changes. Reading all there is
 * with blocking or batch calls is fine; the next try finds nothing, and that is all.
 * Whoever stops before KC_EAGAIN finds it readable again at once.
 *
 * The same descriptor each time, the handle's own, closed by kc_chan_destroy(). Do nothing
 * with it but wait: who reads from it, writes to it, changes its flags or closes it breaks
 * the promise. Nothing is paid for it before it is asked for.
 *
 * Kinds. KC_RENDEZVOUS: readable for KC_RECEIVER while a sender waits in a call, for
 * KC_SENDER while a receiver does; so of two sides one has to wait in a call, since two that
 * only try never meet. KC_CONFLATED: always readable for KC_SENDER, as are channels that
 * drop what does not fit. KC_UNLIMITED: as KC_BUFFERED, full at its bytes.
 *
 * Messages. For KC_SENDER, "room" is room for a message as long as the one refused last by
 * KC_EAGAIN (before there was one: for an empty message). So try first, then wait; and
 * threads that send messages of different lengths by tries need a handle each.
 *
 * Batches, leases and descriptor calls with timeout 0 count as the plain ones do.
 *
 * Threads. Several may wait on the descriptor of one handle: all wake, some get KC_EAGAIN.
 * With handles of their own each has a descriptor of its own. A descriptor can be waited on
 * while calls on the handle are under way.
 *
 * A daemon's channel: elements given ahead (credit) make it readable too. When the
 * connection breaks, it becomes readable, and the next try connects again, which may take
 * as long as an outage does. When the session is lost it is readable for good (poll()
 * reports POLLHUP as well), and tries give KC_ECONNRESET.
 *
 * fork: the child inherits the descriptor but not the handle, and must leave it alone; it
 * is closed on exec.
 *
 * Returns: the descriptor, 0 or more, or
 *          KC_EINVAL     NULL, or no such direction
 *          KC_ENOMEM     no descriptor is left, here or in the daemon
 *          KC_EFORKED    the handle came through a fork
 *          and on a daemon's channel also
 *          KC_EACCES     the right is missing, or opened without the role
 *          KC_EDQUOT     too many descriptors of this user or of all; the detail names the
 *                        limit
 *          KC_ENOTSUP    the daemon is too old for this
 *          KC_EPIPE, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_fd(kc_chan_t *ch, unsigned direction);

/**
 * kc_chan_capabilities() - what this channel can do
 * @ch:            a channel
 *
 * Returns: KC_CHAN_CAP_* bits; 0 for NULL or a handle inherited through fork
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC unsigned kc_chan_capabilities(kc_chan_t *ch);

KC_END_DECLS

#endif
