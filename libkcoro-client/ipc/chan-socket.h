/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon's channel in this process: the socket placement of a kc_chan_t.
 */
#ifndef KCI_CHAN_SOCKET_H
#define KCI_CHAN_SOCKET_H

#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/ipc/ahead.h"
#include "libkcoro-client/ipc/call.h"
#include "libkcoro-client/ipc/conn.h"
#include "libkcoro-client/ipc/notify.h"

struct kci_schan {
	struct kc_chan chan; /* first: see core/chan-ops.h */
	kc_ipc_conn_t *conn; /* a reference */

	/* what the reply to CHAN_OPEN said; then fixed */
	uint64_t id;
	uint32_t attach;
	enum kc_kind kind;
	uint32_t elem_size;
	uint32_t max_msg;
	uint32_t capacity;
	uint64_t max_bytes;
	enum kc_overflow overflow;

	/* how it was opened */
	unsigned roles;
	uint32_t credit;
	bool lease; /* given ahead as leases, received as leases only */

	/* under conn->lock */
	struct kci_list link; /* in conn->chans, while attached */
	bool detaching;	      /* kc_chan_destroy() has begun */
	uint64_t seen;	      /* highest delivery number */
	struct kci_ahead ahead;
	struct kcp_cursor *cursor; /* in conn->page, or NULL */
	uint64_t taken;		   /* what its `taken` says */
	uint32_t window;	   /* 0: none asked for */
	uint64_t used;		   /* elements sent for what its `granted` says */
	struct kci_list windowed;  /* kci_windowed, by rising ids */
	size_t kept;		   /* their bytes */
	uint32_t n_awaiting;	   /* calls that await the reply to one after all */
	int late;		   /* why one was refused whose call had succeeded; or 0 */
	struct kci_list receiving;   /* kci_receive, waiting in RECV, by arrival */
	struct kci_list lurking;     /* kci_lurker, by arrival */
	bool given_ahead;	     /* it has credit that has an effect */
	bool brisk;		     /* what is given ahead comes soon: worth a short wait */
	struct kci_list provisional; /* kci_receive, TAKEN asked and not answered */
	uint32_t n_receiving;
	uint32_t n_lease_receiving; /* of them for leases, on a handle that is not `lease` */
	struct kci_list recalled;   /* on conn->recalls */
	uint32_t recall;	    /* elements wanted back */
	struct kci_notify send_notify, recv_notify;

	_Atomic uint64_t asked_ns; /* when a select last asked kcorod for it */
};

extern const struct kci_chan_ops kci_schan_ops;

/* The handle as ours, or NULL if it is a local channel. */
static inline struct kci_schan *kci_schan_of(kc_chan_t *ch)
{
	return ch->ops == &kci_schan_ops ? KC_CONTAINER_OF(ch, struct kci_schan, chan) : NULL;
}

/* The attached handle of this number, or NULL. */
struct kci_schan *kci_schan_find(kc_ipc_conn_t *conn, uint32_t attach);

/* The connection has ended: whoever waits on a descriptor of its handles is to hear of it. */
void kci_schans_hang_up(kc_ipc_conn_t *conn);

/* The failure r of a SEND or RECV as its caller gets it: the daemon's word for "detached
 * meanwhile" is CANCELED or NOENT, and a timed call whose time was up when it had to be
 * sent again was sent as a try. */
long kci_schan_code(const struct kci_schan *sc, const struct kci_call *call, long r,
		    long timeout_ms);

/* What only takes a channel's id: CLOSE, DESTROY, PURGE. Returns COUNT, or a code. */
long kci_schan_simple(struct kci_schan *sc, uint16_t type);

/* ---- chan-send.c ----------------------------------------------------------- */

long kci_schan_send(kc_chan_t *ch, const struct kci_send *op);

/* How many of the messages go into one frame with max bytes of ELEMENTS, and the bytes they
 * need. At least one, whatever it needs. */
size_t kci_messages_fit(const struct kci_schan *sc, const struct kci_send *op, size_t n,
			size_t max, size_t *ret_bytes);

/* ELEMENTS of a SEND: the first of op. */
void kci_schan_put_one(struct kci_schan *sc, const struct kci_send *op, struct kci_call *call);

/* ---- select.c -------------------------------------------------------------- */

extern const struct kci_remote_ops kci_schan_select;

/* ---- recv.c ---------------------------------------------------------------- */

long kci_schan_recv(kc_chan_t *ch, struct kci_recv *op);

/* For the reader, lock held: NULL, or why the frame makes no sense. */
const char *kci_schan_deliver(struct kci_schan *sc, struct kcp_args *args);
void kci_schan_recall(struct kci_schan *sc, uint32_t n);

/* Lock held: n who wait for what is given ahead look again. Returns how many did. */
uint64_t kci_schan_stir(struct kci_schan *sc, uint64_t n);

/* Answer the RECALL of a handle on conn->recalls and take it off; a code when there
 * is no room to write now. */
int kci_schan_give_back(struct kci_schan *sc);

/* For RESUME: the channel's ATTACHMENT. */
void kci_schan_resume(const struct kci_schan *sc, struct kcp_buf *buf);

/* ---- lease.c --------------------------------------------------------------- */

long kci_schan_ack(kc_chan_t *ch, const struct kc_lease *leases, size_t n);
int kci_schan_nack(kc_chan_t *ch, const struct kc_lease *lease);
int kci_schan_extend(kc_chan_t *ch, const struct kc_lease *lease, unsigned lease_ms);

/* ---- info.c ---------------------------------------------------------------- */

/* CHAN_INFO by name, or by id if name is NULL. */
int kci_chan_info(kc_ipc_conn_t *conn, const char *name, uint64_t id, struct kc_ipc_chan_info *ret);

/* 0, or KC_EINVAL with words. */
int kci_name_check(const char *name);

/* kinds on the wire and here */
uint32_t kci_kind_to_wire(enum kc_kind kind);
enum kc_kind kci_kind_from_wire(uint64_t kind);

#endif
