/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KCORO_IPC_H
#define KCORO_IPC_H

#include <stddef.h>
#include <stdint.h>

#include "kcoro/chan.h"
#include "kcoro/stats.h"
#include "kcoro/types.h"
#include "kcoro/version.h"

/*
 * Channels in kcorod, shared between processes.
 *
 *	kc_ipc_conn_t *conn;
 *	kc_chan_t *jobs;
 *	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
 *	o.capacity = 1024;                               // messages
 *	kc_ipc_connect(&conn, NULL);                     // the default socket
 *	kc_ipc_chan_make(conn, "jobs", &o, NULL, &jobs); // create or open
 *	kc_chan_send_msg(jobs, "hello", 5, -1);
 *	kc_chan_destroy(jobs);                           // detach
 *	kc_ipc_disconnect(conn);
 *
 * Connections. Many threads may share one; a caller that waits reads the socket
 * for all, so there are no threads behind the scenes. When the connection breaks
 * the library connects again and resumes its session unseen by the callers; if
 * the daemon is not back within the grace, calls give KC_ECONNRESET.
 *
 * Coroutines. Every call here, and every call on a channel here, that has to wait
 * parks the coroutine it is made from, also the one that reads for all, waits for room
 * in the socket, connects, or waits for kcorod to come back; its worker runs others.
 * Threads and coroutines may share a connection. One that reads for all and does not get
 * its turn, since others keep its workers, keeps all of them waiting.
 *
 * Delivery. kc_chan_recv() and its family take at most once: an element is gone
 * once the call returned. kc_chan_recv_lease() takes at least once: it comes back
 * to the channel, marked redelivered, unless it is acknowledged in time.
 *
 * Credit. A handle opened with credit lets the daemon send elements ahead of the
 * receive calls; kcorod asks for them back when another receiver is left waiting,
 * and a thread that is inside a call on the connection answers. A program that
 * opens with credit should therefore keep receiving.
 * A receive on such a handle that has to wait gives what is under way five
 * milliseconds before it asks kcorod; what ends the wait, a close for one, may be
 * heard of that much later.
 *
 * Window. A handle opened with a window sends without awaiting kcorod's reply as long as
 * kcorod has promised it places; when there is none, or another sender waits for one, it
 * awaits as usual. Nothing else changes, order and close included, but for one thing: if
 * the daemon is gone for good (KC_ECONNRESET) the outcome is unknown not only of the call
 * that says so, but of the latest sends before it. kc_ipc_ping() that returns 0 says that
 * all sent before on that connection is the channel's.
 */

/* kc_ipc_open_options.roles: KC_SENDER and KC_RECEIVER of kcoro/chan.h, or */
#define KC_OBSERVER 4u /* neither: may look, close, purge and destroy as its rights allow */

#define KC_NAME_MAX 255u          /* bytes of a channel's name */
#define KC_CREDIT_MAX 65536u      /* elements given ahead to one handle */
#define KC_WINDOW_MAX 65536u      /* elements one handle may send without awaiting replies */
#define KC_LEASE_DEFAULT_MS 30000u
#define KC_LEASE_MAX_MS 86400000u /* a day */

/* How to attach; start from KC_IPC_OPEN_OPTIONS_INIT. */
struct kc_ipc_open_options {
	size_t size;       /* sizeof(struct kc_ipc_open_options) */
	unsigned roles;    /* KC_SENDER | KC_RECEIVER, or KC_OBSERVER */
	unsigned credit;   /* elements that may be given ahead, 0..KC_CREDIT_MAX; no effect on
			    * rendezvous and conflated channels */
	unsigned lease_ms; /* of kc_chan_recv_lease(), 1..KC_LEASE_MAX_MS */
	int lease;         /* 1: what is given ahead is given as leases, and every receive of
			    * this handle must be one; needs credit > 0 */
	unsigned window;   /* elements that may be sent without awaiting kcorod's reply,
			    * 0..KC_WINDOW_MAX; needs KC_SENDER, and has an effect on buffered
			    * and unlimited channels that block; in a channel of messages each
			    * such element holds max_msg of its max_bytes */
};

#define KC_IPC_OPEN_OPTIONS_INIT                                                                   \
	{ sizeof(struct kc_ipc_open_options), KC_SENDER | KC_RECEIVER, 0, KC_LEASE_DEFAULT_MS, 0, 0 }

/* What the daemon knows of a channel. */
struct kc_ipc_chan_info {
	uint64_t id;
	char name[KC_NAME_MAX + 1];
	enum kc_kind kind;
	size_t elem_size; /* 0 = messages */
	size_t capacity;
	size_t max_msg;
	size_t max_bytes;
	enum kc_overflow overflow;
	unsigned flags;
	unsigned mode;
	unsigned uid, gid; /* owner */
	int closed;
	uint64_t len;       /* elements */
	uint64_t bytes;     /* of the elements in len and leased */
	uint32_t senders;   /* attached handles with the role */
	uint32_t receivers; /* attached handles with the role */
	uint32_t waiting_senders;
	uint32_t waiting_receivers;
	uint64_t bytes_sent;
	uint64_t bytes_received;
	uint64_t redelivered; /* deliveries beyond an element's first */
	struct kc_ledger ledger;
};

/* What the daemon knows of itself. */
struct kc_ipc_daemon_stats {
	char version[32];
	uint64_t pid;
	uint64_t uptime_ms;
	uint64_t connections;
	uint64_t sessions;
	uint64_t channels;
	uint64_t bytes;          /* held for channels */
	uint64_t frames_in;      /* since the start */
	uint64_t frames_out;
	uint64_t resumes;        /* sessions that came back on a new connection */
	struct kc_ledger ledger; /* all channels, destroyed ones included */
};

/* A lease on one element. Plain data; copy it as you like. */
struct kc_lease {
	uint64_t id;         /* of this handle */
	uint32_t deliveries; /* how often the element was delivered, this time included */
	uint32_t redelivered; /* 1 if somebody may have seen it before */
};

KC_BEGIN_DECLS

/**
 * kc_ipc_connect() - connect to kcorod
 * @ret:           the connection; written on success
 * @path:          the socket; NULL looks at KCORO_SOCKET, else the user's
 *                 $XDG_RUNTIME_DIR/kcorod/kcorod.sock if it answers, else
 *                 /run/kcorod/kcorod.sock
 *
 * Returns: 0, or
 *          KC_EINVAL       NULL
 *          KC_ENAMETOOLONG the path does not fit a socket address; the detail names it
 *          KC_ENOENT       no such socket; the detail names it
 *          KC_EACCES       no right to connect
 *          KC_ECONNRESET   nobody listens, or the daemon hung up
 *          KC_EDQUOT       too many connections
 *          KC_EPROTO       whoever answered does not speak version 1
 *          KC_ENOMEM       no memory or no descriptor
 * Thread:  any. While kcorod has more to accept than it has room for, a thread waits in
 *          place of a coroutine; it ends with that.
 * Source:  proto/PROTOCOL.md, "HELLO"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_connect(kc_ipc_conn_t **ret, const char *path);

/**
 * kc_ipc_disconnect() - end a connection and its session
 * @conn:          may be NULL
 *
 * Says BYE, so that leases and elements given ahead return at once. Calls still
 * waiting return KC_ECONNRESET. Handles opened on it give KC_ECONNRESET from then
 * on and must still be given back with kc_chan_destroy().
 * Thread:  any; the connection must not be used in a new call after this one began.
 * Source:  proto/PROTOCOL.md, "BYE"
 * Since:   0.1
 */
KC_PUBLIC void kc_ipc_disconnect(kc_ipc_conn_t *conn);

/**
 * kc_ipc_ping() - one round trip to the daemon
 * @conn:          a connection
 *
 * Returns: 0, or KC_EINVAL (NULL), KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "PING"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_ping(kc_ipc_conn_t *conn);

/**
 * kc_ipc_chan_make() - create a channel in the daemon, or open it if it exists
 * @conn:          a connection
 * @name:          parts [A-Za-z_][A-Za-z0-9_-]* with '.' inside, joined by '/';
 *                 1..KC_NAME_MAX bytes
 * @opts:          kind, element size, capacity, bounds and overflow policy must be those
 *                 of an existing channel; mode and flags count at creation. on_drop is
 *                 for local channels and refused
 * @open:          how to attach; NULL = KC_IPC_OPEN_OPTIONS_INIT
 * @ret:           the channel; written on success
 *
 * Returns: 0, or
 *          KC_EINVAL     a bad name or option; the detail says which
 *          KC_EEXIST     exists with other options; the detail says which differ
 *          KC_EACCES     exists and the roles asked for are not allowed, or this user may
 *                        not own channels
 *          KC_EDQUOT     too many channels, or more bytes asked for than allowed
 *          KC_ENOMEM     no memory
 *          KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_MAKE"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_chan_make(kc_ipc_conn_t *conn, const char *name,
					     const struct kc_chan_options *opts,
					     const struct kc_ipc_open_options *open,
					     kc_chan_t **ret);

/**
 * kc_ipc_chan_open() - attach to a channel by name
 * @conn:          a connection
 * @name:          its name
 * @open:          how to attach; NULL = KC_IPC_OPEN_OPTIONS_INIT
 * @ret:           the channel; written on success
 *
 * Returns: 0, or
 *          KC_EINVAL     NULL, a bad name or option
 *          KC_ENOENT     no channel of this name
 *          KC_EACCES     the roles asked for are not allowed; the detail names the right
 *          KC_EDQUOT     too many attachments
 *          KC_ENOMEM, KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_OPEN"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_chan_open(kc_ipc_conn_t *conn, const char *name,
					     const struct kc_ipc_open_options *open,
					     kc_chan_t **ret);

/**
 * kc_ipc_chan_open_id() - attach to a channel by id
 * @conn:          a connection
 * @id:            from kc_ipc_chan_id(), in this or any other process
 * @open:          how to attach; NULL = KC_IPC_OPEN_OPTIONS_INIT
 * @ret:           the channel; written on success
 *
 * An id names one channel for good: when that is gone the id is stale
 * (KC_ENOENT) and never becomes somebody else's.
 *
 * Returns: as kc_ipc_chan_open()
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_OPEN"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_chan_open_id(kc_ipc_conn_t *conn, uint64_t id,
						const struct kc_ipc_open_options *open,
						kc_chan_t **ret);

/**
 * kc_ipc_chan_id() - the daemon's id of a channel
 * @ch:            a channel
 *
 * Returns: the id, never 0; 0 for NULL and for local channels
 * Thread:  any.
 * Since:   0.1
 */
KC_PUBLIC uint64_t kc_ipc_chan_id(kc_chan_t *ch);

/**
 * kc_ipc_chan_destroy() - destroy a channel in the daemon
 * @ch:            a handle of it
 *
 * Closes the channel and frees its name at once; attached receivers may drain
 * it, what then is left is dropped. The handle stays valid for that and must
 * still be given back with kc_chan_destroy().
 *
 * Returns: 0, or
 *          KC_EINVAL     NULL, or a local channel
 *          KC_EACCES     no right to administer
 *          KC_ENOENT     destroyed already
 *          KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_DESTROY"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_chan_destroy(kc_chan_t *ch);

/**
 * kc_ipc_chan_info() - what the daemon knows of an attached channel
 * @ch:            a handle
 * @ret:           written on success
 *
 * Returns: 0, or KC_EINVAL (NULL or a local channel), KC_ENOENT (gone), KC_ENOMEM,
 *          KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_INFO"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_chan_info(kc_chan_t *ch, struct kc_ipc_chan_info *ret);

/**
 * kc_ipc_info() - what the daemon knows of a channel, without attaching
 * @conn:          a connection
 * @name:          its name; NULL to ask by id
 * @id:            its id; looked at only if name is NULL
 * @ret:           written on success
 *
 * Returns: 0, or KC_EINVAL, KC_ENOENT (no such channel, or none this user has any right
 *          to), KC_ENOMEM, KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_INFO"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_info(kc_ipc_conn_t *conn, const char *name, uint64_t id,
					struct kc_ipc_chan_info *ret);

/**
 * kc_ipc_list() - every channel this user has any right to
 * @conn:          a connection
 * @fn:            called for each, in the order of their names; non-zero ends the list
 * @arg:           handed to fn
 *
 * fn runs on the calling thread and may use the connection. Channels made or
 * destroyed meanwhile may or may not be seen; every other is seen once.
 *
 * Returns: 0, fn's non-zero result, or KC_EINVAL (NULL), KC_ENOMEM, KC_EFORKED,
 *          KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "CHAN_LIST"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_list(kc_ipc_conn_t *conn,
					int (*fn)(const struct kc_ipc_chan_info *info, void *arg),
					void *arg);

/**
 * kc_ipc_stats() - what the daemon knows of itself
 * @conn:          a connection
 * @ret:           written on success
 *
 * Returns: 0, or KC_EINVAL (NULL), KC_ENOMEM, KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "STATS"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_ipc_stats(kc_ipc_conn_t *conn, struct kc_ipc_daemon_stats *ret);

/**
 * kc_chan_recv_lease() - take one element, to be acknowledged
 * @ch:            a daemon's channel (KC_CHAN_CAP_LEASE), fixed elements or messages
 * @buf:           room for cap bytes
 * @cap:           at least the element size; for messages any
 * @ret_len:       length of the element; also written on KC_EMSGSIZE
 * @ret_lease:     written on success
 * @timeout_ms:    as kc_chan_recv()
 * @token:         may be NULL
 *
 * The lease runs from the moment the call returns, for the handle's lease_ms.
 * When it lapses, or the process dies, the element returns to the channel.
 *
 * Returns: as kc_chan_recv_msg_c(), or
 *          KC_ENOTSUP    no daemon's channel
 *          KC_ENOMEM     no memory
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "RECV", "TAKEN"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_recv_lease(kc_chan_t *ch, void *buf, size_t cap,
					       size_t *ret_len, struct kc_lease *ret_lease,
					       long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_recv_leases() - take several elements, each with a lease of its own
 * @ch:            a daemon's channel, fixed elements or messages
 * @buf:           room for their bytes, filled one after the other
 * @cap:           bytes of buf
 * @ret_msgs:      room for n; each data points into buf
 * @ret_leases:    room for n
 * @n:             1..KC_BATCH_MAX
 * @timeout_ms:    how long to wait for the first
 * @token:         may be NULL
 *
 * Returns: how many were taken, 1..n, or a code of kc_chan_recv_lease() when none was
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "RECV", "TAKEN"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_recv_leases(kc_chan_t *ch, void *buf, size_t cap,
						 struct kc_msg *ret_msgs,
						 struct kc_lease *ret_leases, size_t n,
						 long timeout_ms, kc_cancel_t *token);

/**
 * kc_chan_ack() - an element is done: take it off the books
 * @ch:            the handle it came from
 * @lease:         its lease
 *
 * Returns: 0, or
 *          KC_EINVAL     NULL
 *          KC_ENOENT     no such lease: acknowledged before, or lapsed and returned
 *          KC_ENOTSUP    no daemon's channel
 *          KC_ENOMEM, KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "ACK"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_ack(kc_chan_t *ch, const struct kc_lease *lease);

/**
 * kc_chan_ack_many() - acknowledge several elements in one round trip
 * @ch:            the handle they came from
 * @leases:        their leases
 * @n:             1..KC_BATCH_MAX
 *
 * Returns: how many were acknowledged, 0..n (the others had lapsed), or KC_EINVAL,
 *          KC_ENOTSUP, KC_ENOMEM, KC_EFORKED, KC_EPROTO, KC_ECONNRESET
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "ACK"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK long kc_chan_ack_many(kc_chan_t *ch, const struct kc_lease *leases,
					      size_t n);

/**
 * kc_chan_nack() - give an element back, marked redelivered
 * @ch:            the handle it came from
 * @lease:         its lease
 *
 * Returns: as kc_chan_ack()
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "NACK"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_nack(kc_chan_t *ch, const struct kc_lease *lease);

/**
 * kc_chan_extend() - keep an element for longer
 * @ch:            the handle it came from
 * @lease:         its lease
 * @lease_ms:      from now on, 1..KC_LEASE_MAX_MS
 *
 * Returns: as kc_chan_ack()
 * Thread:  any.
 * Source:  proto/PROTOCOL.md, "EXTEND"
 * Since:   0.1
 */
KC_PUBLIC KC_MUST_CHECK int kc_chan_extend(kc_chan_t *ch, const struct kc_lease *lease,
					   unsigned lease_ms);

KC_END_DECLS

#endif
