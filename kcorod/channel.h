/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel as the daemon holds it: queue, waiters, deliveries, books.
 *
 * This is the heart of kcorod and knows nothing of sockets, frames, sessions or
 * libevent. Sessions hand requests in (kcd_channel_send, _recv) and learn what
 * became of waiting ones through struct kcd_channel_ops; tests do the same with
 * plain functions. Everything runs on the daemon's one thread.
 *
 *   channel.c   make, close, destroy, purge, attach and detach, books
 *   queue.c     sending and receiving, waiting, who gets what next (the pump)
 *   accept.c    what of a send goes into the queue
 *   delivery.c  what is given to clients, and how it comes back
 *   settle.c    what clients say of it
 *   credit.c    elements given ahead and asked back
 *   cursor.c    what clients take of them without saying so
 *   window.c    places promised to senders, and promises withdrawn
 *   offer.c     offers to selects, and rendezvous between two of them
 *   bell.c      who is to hear when a try would find something
 *
 * Rules that hold between calls:
 * - main queue = numbers [head, tail), all live. Below head an element is live
 *   only if it is returned (on `returned`) or in a delivery.
 * - An element is in exactly one of: main queue, returned runs, one delivery.
 * - ledger: sent = received + queued + leased + conflated + dropped + lost.
 *   An element given in reply to RECV counts as received (or leased) at once, one
 *   given ahead or offered counts as queued; a return moves it back. So whoever
 *   asks after a receive call returned sees its effect.
 * - No operation costs more because other channels or clients exist.
 */
#ifndef KCD_CHANNEL_H
#define KCD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kcorod/elements.h"
#include "kcorod/list.h"
#include "kcorod/timer.h"
#include "kcoro/stats.h"
#include "proto/cursor.h"
#include "proto/wire.h"

struct kcd_attach;
struct kcd_bell;
struct kcd_channel;
struct kcd_delivery;
struct kcd_wait;

/* What a channel tells its surroundings. None of these may free the channel or
 * the attachment; a session may start new work only from its own turn. */
struct kcd_channel_ops {
	/* A waiting request ended. SEND: n > 0 elements accepted. RECV: n > 0 elements in
	 * the deliveries wait->first .. (wait->n_deliveries records on attach->deliveries).
	 * n < 0: a KC_E* code. The wait is off all lists. */
	void (*done)(struct kcd_wait *wait, long n);
	/* Elements given ahead: one delivery record. */
	void (*give)(struct kcd_attach *attach, struct kcd_delivery *delivery);
	/* `n` elements given ahead are wanted back. */
	void (*recall)(struct kcd_attach *attach, uint32_t n);
	/* A request with the offer flag could proceed. */
	void (*offer)(struct kcd_wait *wait);
	/* A CLAIM that was answered with KCD_CLAIM_PENDING is decided. When ok, done() for
	 * the wait was called before. */
	void (*claimed)(struct kcd_wait *wait, bool ok);
	/* Destroyed and the last attachment gone: the channel may be freed after this turn. */
	void (*gone)(struct kcd_channel *ch);
	/* A bell rings. */
	void (*ring)(struct kcd_bell *bell);
	/* Read what its client has written until now, then call kcd_attach_drained(). */
	void (*drain)(struct kcd_attach *attach);
	/* What was sent for promises that were withdrawn has been read; a channel that was
	 * closing has closed. */
	void (*settled)(struct kcd_channel *ch);
	/* May elements be given ahead to this attachment now (its output is not clogged)? If
	 * not, attach->creditor may be moved to a list of those that wait until they can:
	 * kcd_attach_feed() then. */
	bool (*may_give)(struct kcd_attach *attach);
};

struct kcd_channel_options {
	enum kcp_kind kind;
	uint32_t elem_size; /* 0 = messages */
	uint32_t capacity;
	uint32_t max_msg;
	uint64_t max_bytes; /* after defaults; 0 = not bounded by bytes */
	enum kcp_overflow overflow;
	uint32_t flags; /* KCP_CHAN_* */
	uint32_t mode;
};

struct kcd_channel {
	struct kcd_channel_options opts;
	const char *name; /* the registry's, which keeps it as long as it is */
	uint64_t id;
	uint32_t uid, gid;

	const struct kcd_channel_ops *ops;
	struct kcd_timers *timers;

	struct kcd_elements elements;
	uint64_t head, tail;
	struct kcd_list returned;   /* kcd_delivery without an attachment, by rising elements */
	struct kcd_list *returned_at; /* the latest put there, or what is in front of it */
	uint64_t n_returned;        /* elements on it */
	uint64_t n_given;           /* given ahead, not taken: they occupy places */
	uint64_t n_offered;         /* offered to receivers: they occupy places */
	uint64_t n_reserved;        /* places offered to senders */
	uint64_t n_untaken;         /* given in reply to RECV, not taken */
	uint64_t queued_bytes;      /* of all that occupies places */

	struct kcd_list senders;    /* kcd_wait, by ticket */
	struct kcd_list receivers;  /* kcd_wait, by ticket */
	struct kcd_list engaged;    /* kcd_wait: handed, offered, claimed or paired; sends first */
	uint32_t n_senders_waiting, n_receivers_waiting;
	uint64_t next_ticket;

	struct kcd_list attachments; /* kcd_attach */
	uint32_t n_attached, n_senders, n_receivers;
	struct kcd_list creditors; /* kcd_attach with credit, in turn */
	struct kcd_list sharers;   /* kcd_attach with a cursor and something given ahead */
	uint32_t n_windows;        /* attachments with a window */
	struct kcd_list wanting;   /* kcd_attach whose window may be filled up */
	struct kcd_list promised;  /* kcd_attach with promises */
	struct kcd_list withdrawn; /* those of them whose SENDs have to be read first */
	uint64_t n_promised, promised_bytes;
	bool closing, destroying;  /* will be closed, and destroyed, once that is done */
	struct kcd_list askers;    /* requests that wait for that; the session's */
	struct kcd_list silent_senders, silent_receivers; /* kcd_bell */
	struct kcd_list holders;   /* kcd_attach that may be asked to give back, in turn */
	struct kcd_attach *recalling; /* its RECALL is not answered yet */
	uint64_t recalls;
	bool closed, destroyed, gone;
	bool pumping, pump_again;
	unsigned held; /* see kcd_channel_hold() */
	bool try_requeued; /* a try waits again: its partner went away */

	struct kc_ledger ledger; /* queued is derived: kcd_channel_ledger() */
	uint64_t bytes_sent, bytes_received, redelivered;
};

/* A session's attachment to a channel. Embedded in the session's own record. */
struct kcd_attach {
	struct kcd_channel *channel;
	struct kcd_list link;     /* in channel->attachments */
	struct kcd_list creditor; /* in channel->creditors; alone; or see ops->may_give */
	struct kcd_list holder;   /* in channel->holders, or alone */
	uint32_t roles;           /* KCP_ROLE_* */
	bool lease;               /* given ahead as leases; RECV must ask for leases */
	uint32_t lease_ms;
	uint32_t credit;          /* window */
	uint64_t n_given;         /* elements given ahead, not taken */
	struct kcp_cursor *cursor; /* shared with the client, or NULL */
	struct kcd_list sharer;    /* in channel->sharers, or alone */
	uint64_t synced;           /* highest delivery the cursor was seen to stand at */
	bool listening;            /* the client says TAKEN although it has a cursor */
	uint32_t window;           /* elements it may be promised places for at a time */
	uint64_t granted, used;    /* places promised in all, and used */
	uint32_t owed;             /* places promised on a connection that broke */
	struct kcd_list wanting, promised, withdrawn; /* on the channel's, or alone */
	uint64_t next_delivery;   /* number of the next one, from 1 */
	struct kcd_list deliveries; /* kcd_delivery, by rising numbers */
	struct kcd_list *settled_at; /* where the latest search among them ended */
	bool suspended;           /* its session has no connection */
	bool recall_vain;         /* had nothing to spare: not asked again until it took some */
	uint64_t recall_choice;   /* the latest recall for which it was looked at */
	uint64_t in_hand;         /* elements of the latest TAKEN, see kcd_attach_progress() */
	uint64_t in_hand_bytes;
	struct kcd_bell *send_bell, *recv_bell; /* or NULL */
};

enum kcd_delivery_state {
	KCD_GIVEN,  /* on its way to the client, or there, not taken */
	KCD_LEASED, /* taken, lease runs */
};

/* A run of elements given to one attachment: elements [from, from + n) as
 * deliveries [first, first + n). When they return, the same record stands for
 * them on the channel's returned list, so that returning cannot fail. */
struct kcd_delivery {
	struct kcd_list link; /* in attach->deliveries or channel->returned */
	struct kcd_attach *attach; /* NULL: returned or offered */
	uint64_t first;
	uint64_t from;
	uint32_t n;
	uint32_t before; /* deliveries before this one */
	enum kcd_delivery_state state;
	bool ahead;        /* given ahead (counts as queued), else in reply to RECV */
	bool lease;
	uint32_t lease_ms;
	struct kcd_wait *sender; /* rendezvous: provisional until taken; else NULL */
	struct kcd_timer timer;  /* lease */
};

enum kcd_wait_state {
	KCD_IDLE,    /* not at a channel */
	KCD_WAITING, /* on channel->senders or ->receivers (unless suspended) */
	KCD_HANDED,  /* rendezvous sender: its element is with a receiver, not taken yet */
	KCD_OFFERED, /* offered, not settled */
	KCD_CLAIMED, /* claimed, the other side of the rendezvous has not */
	KCD_PAIRED,  /* plain side of a rendezvous whose other side was offered */
};

/* Clauses of one select; embedded in the session's record of the group. */
struct kcd_group {
	struct kcd_list waits; /* kcd_wait.grouped */
	struct kcd_wait *active; /* the one clause that is offered or claimed; or NULL */
	bool claimed;            /* decided: no other clause is offered any more */
};

/* A SEND or RECV at a channel. Embedded in the session's record of the request. */
struct kcd_wait {
	struct kcd_list link; /* in the channel's queue */
	struct kcd_attach *attach;
	bool send;
	bool suspended; /* receiver whose session has no connection: off the queue */
	bool offer;
	bool try_once;  /* timeout 0 */
	bool cut;       /* a message that is too long ends it before its last one */
	bool promised;  /* the client has told its program already that it is accepted */
	enum kcd_wait_state state;
	uint64_t ticket;

	/* SEND: elements in travelling form. Borrowed during kcd_channel_send(); when that
	 * says the request waits, the caller must make them its own at once. */
	const uint8_t *elems;
	size_t elems_len;
	uint32_t n; /* elements */
	const struct kcd_lender *lender; /* of the memory elems is in, as long as that; or NULL */
	uint32_t first_len; /* bytes of the first; set by kcd_channel_send() */

	/* RECV */
	uint32_t max;
	uint64_t space;
	bool lease;
	uint32_t lease_ms;
	uint64_t needed;            /* out: with KC_EMSGSIZE */
	struct kcd_delivery *first; /* out: the deliveries of a RECV that is done */
	uint32_t n_deliveries;      /* out: records */

	/* offers and rendezvous */
	struct kcd_group *group; /* may be NULL */
	struct kcd_list grouped;
	struct kcd_wait *partner;      /* the other side of a rendezvous under way */
	struct kcd_delivery *provisional; /* HANDED sender: where its element is */
	struct kcd_delivery *offered;  /* RECV: the element of the queue it was offered */
	bool reserved;                 /* SEND: was offered a place */
	struct kcd_timer settle;

	const char *why; /* out: with KC_EDQUOT the limit's name; with KC_EINVAL the reason */
};

/* --- channel.c --- */

/* Check options and fill in defaults. 0 or KC_EINVAL with *ret_why. */
int kcd_channel_options_check(struct kcd_channel_options *opts, const char **ret_why);

/* A new channel; name, id and owner are the registry's to set. NULL: no memory. */
struct kcd_channel *kcd_channel_new(const struct kcd_channel_options *opts,
				    const struct kcd_channel_ops *ops, struct kcd_timers *timers,
				    struct kcd_budget *daemon, struct kcd_budget *user);

/* Free a channel that has no attachments; what is in it is gone. Returns NULL. */
struct kcd_channel *kcd_channel_free(struct kcd_channel *ch);

void kcd_channel_close(struct kcd_channel *ch);
void kcd_channel_destroy(struct kcd_channel *ch);
uint64_t kcd_channel_purge(struct kcd_channel *ch);

/* Elements a receiver could take; given ahead, offered and returned ones included. */
uint64_t kcd_channel_len(const struct kcd_channel *ch);

/* The books, with `queued` worked out. */
void kcd_channel_ledger(const struct kcd_channel *ch, struct kc_ledger *ret);

/* Attach. roles, lease and lease_ms must be set; the rest is initialised. Nothing is
 * given ahead before kcd_attach_credit() is called, which is for after the reply
 * that tells the client of its attachment. */
void kcd_attach_init(struct kcd_attach *attach, struct kcd_channel *ch);

/*
 * Detach: everything given or leased returns. All waits of the attachment must
 * have been ended before. `died`: the client's process vanished, so what it took
 * last counts as lost (see kcd_attach_progress). May call ops->gone.
 */
void kcd_attach_done(struct kcd_attach *attach, bool died);

/* The session lost its connection, or has one again. While suspended nothing new
 * is given; waiting receivers step aside and come back to their place. */
void kcd_attach_suspend(struct kcd_attach *attach);
void kcd_attach_resume(struct kcd_attach *attach);

/* The client did something more on this attachment: what it took last is in good
 * hands. Call for every RECV, CREDIT, ACK... of the attachment before handling it. */
void kcd_attach_progress(struct kcd_attach *attach);

/* --- queue.c --- */

/* Prepare a wait; the caller then fills in what its request says. */
void kcd_wait_init(struct kcd_wait *wait, struct kcd_attach *attach, bool send);

/* Check the form of a SEND's elements and count them: 0, KC_EINVAL, KC_EMSGSIZE. Part of
 * kcd_channel_send(). */
int kcd_wait_check(struct kcd_wait *wait);

/*
 * The request must be registered before these calls: offers and, for other
 * requests, ops->done may come from inside.
 *
 * Send. > 0: that many accepted, finished. 0: waits (ops->done will tell). < 0: a
 * KC_E* code, finished: KC_EAGAIN (try), KC_EPIPE, KC_EMSGSIZE, KC_EINVAL (elements
 * malformed), KC_EDQUOT (wait->why), KC_ENOMEM.
 */
long kcd_channel_send(struct kcd_wait *wait);

/*
 * Receive. > 0: that many elements in wait->first.., finished; once they are on their
 * way the caller must call kcd_channel_pump(), which may give more ahead. 0: waits.
 * < 0: a KC_E* code, finished: KC_EAGAIN, KC_EPIPE, KC_EMSGSIZE (wait->needed),
 * KC_ENOMEM.
 */
long kcd_channel_recv(struct kcd_wait *wait);

/*
 * End a waiting request without ops->done: its deadline passed, it was cancelled,
 * its session ended. An offer is withdrawn, a provisional delivery taken back.
 */
void kcd_wait_end(struct kcd_wait *wait);

/* A waiting receiver steps aside / comes back to its place (see kcd_attach_suspend). */
void kcd_wait_suspend(struct kcd_wait *wait);
void kcd_wait_resume(struct kcd_wait *wait);

/* Let everything that can proceed proceed. */
void kcd_channel_pump(struct kcd_channel *ch);

/* Between these nothing proceeds: for many small steps with one pump behind them. */
void kcd_channel_hold(struct kcd_channel *ch);
void kcd_channel_release(struct kcd_channel *ch);

/* --- settle.c --- */

/* Records end where the deliveries [first, first + n) of an attachment begin and end. Then
 * what follows needs no memory: 0, or KC_ENOMEM with nothing changed that anybody sees. */
int kcd_attach_cut(struct kcd_attach *attach, uint64_t first, uint64_t n);

/* Each handles the deliveries [first, first + n) of an attachment, skipping those it
 * does not know, and returns how many it did handle. Without kcd_attach_cut() before it stops
 * where a record had to be cut and could not. */
uint64_t kcd_attach_taken(struct kcd_attach *attach, uint64_t first, uint64_t n);
uint64_t kcd_attach_ack(struct kcd_attach *attach, uint64_t first, uint64_t n);
uint64_t kcd_attach_nack(struct kcd_attach *attach, uint64_t first, uint64_t n);
uint64_t kcd_attach_extend(struct kcd_attach *attach, uint64_t first, uint64_t n,
			   uint32_t lease_ms);
uint64_t kcd_attach_return(struct kcd_attach *attach, uint64_t first, uint64_t n);

/* The record that begins with this delivery, or NULL. */
struct kcd_delivery *kcd_attach_find(struct kcd_attach *attach, uint64_t first);

/* --- credit.c --- */

/* A RETURN has been handled whole: the recall, if any, is answered. */
void kcd_attach_recalled(struct kcd_attach *attach);

void kcd_attach_credit(struct kcd_attach *attach, uint32_t credit);

/* ops->may_give changed its mind. */
void kcd_attach_feed(struct kcd_attach *attach);

/* --- cursor.c --- */

/* The client maps its page: this is the attachment's cursor in it. */
void kcd_attach_cursor(struct kcd_attach *attach, struct kcp_cursor *cursor);

/* Look at its cursor: true if it has taken something since. Whoever asks about an
 * attachment or a channel calls these first. */
bool kcd_attach_sync(struct kcd_attach *attach);
void kcd_channel_sync(struct kcd_channel *ch);

/* It said TAKEN: need not the next time, if nobody waits. */
void kcd_attach_hush(struct kcd_attach *attach);

/* --- window.c --- */

/* Promise places to a sender with a cursor, up to so many at a time. No effect on channels
 * that never wait or have no places. */
void kcd_window_open(struct kcd_attach *attach, uint32_t window);

/* Is a SEND, whose form was checked, covered by what its sender was promised? */
bool kcd_window_covers(const struct kcd_wait *wait);

/* Accept a SEND that is. */
void kcd_window_accept(struct kcd_wait *wait);

/* ops->drain was carried out. */
void kcd_attach_drained(struct kcd_attach *attach);

/* Withdraw all promises. False: there are none. Otherwise ops->settled will tell when what
 * was sent for them has been read. */
bool kcd_channel_withdraw(struct kcd_channel *ch);

/* Close, after what was sent for promises has been read. True: closed; false: ops->settled
 * will tell. */
bool kcd_channel_close_soon(struct kcd_channel *ch);

/* --- bell.c --- */

/*
 * Rings when a try of its attachment would find something, and then is left alone until
 * a try found nothing. Whenever no call into the channel is under way: it has rung, or a
 * try would find nothing.
 */
struct kcd_bell {
	struct kcd_list link; /* channel->silent_..., while it has not rung */
	struct kcd_attach *attach;
	bool send;     /* for sends; else for receives */
	bool rung;
	uint32_t need; /* send: bytes of the element there must be room for */
};

/* Hang up a bell, which may ring at once; take it down again. */
void kcd_bell_hang(struct kcd_bell *bell, struct kcd_attach *attach, bool send);
void kcd_bell_take_down(struct kcd_bell *bell);

/* A try of its attachment found nothing; of a send, for an element of `need` bytes. */
void kcd_bell_silence(struct kcd_bell *bell, uint32_t need);

/* Ring now, whatever the channel says. */
void kcd_bell_ring(struct kcd_bell *bell);

/* --- offer.c --- */

enum kcd_claim { KCD_CLAIM_OK, KCD_CLAIM_AGAIN, KCD_CLAIM_PENDING };

void kcd_group_init(struct kcd_group *group);

/* Claim an offer. OK: the wait is done (ops->done was called). */
enum kcd_claim kcd_wait_claim(struct kcd_wait *wait);

#endif
