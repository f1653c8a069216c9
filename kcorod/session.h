/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session: what a client has in the daemon. It outlives its connection for the
 * grace, as long as the client's process lives (PROTOCOL.md section 5).
 *
 *   session.c  begin, suspend, end; attachments; what channels tell (kcd_session_ops)
 *   request.c  requests that wait, replies that are kept
 *   output.c   frames to the client
 *   resume.c   a session comes back on a new connection
 */
#ifndef KCD_SESSION_H
#define KCD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "kcorod/channel.h"
#include "kcorod/conn.h"
#include "kcorod/daemon.h"
#include "kcorod/list.h"
#include "kcorod/map.h"
#include "kcorod/page.h"
#include "kcorod/peer.h"
#include "kcorod/reap.h"
#include "kcorod/timer.h"
#include "proto/buf.h"

struct kcd_notifier;

struct kcd_session {
	struct kcd_daemon *daemon;
	struct kcd_map_node node; /* daemon->sessions */
	uint8_t token[KCP_TOKEN_SIZE];
	struct kcd_conn *conn; /* NULL while suspended */
	struct kcd_peer *peer;
	uint32_t max_frame;    /* largest frame sent to the client */
	uint64_t last_id;      /* highest request id seen */
	uint64_t last_seq;     /* of the latest reply that is kept */
	uint64_t *resend;      /* ids that RESUME asked to be sent again, rising */
	uint32_t n_resend, resent;

	struct kcd_map requests; /* kcd_request, waiting and kept */
	struct kcd_list waiting; /* kcd_request.link */
	struct kcd_list kept;    /* kcd_request.link, by rising seq */
	struct kcd_map attachments;
	struct kcd_list attached; /* kcd_attachment.link */
	uint32_t last_attach;
	struct kcd_list starved; /* kcd_attach.creditor: the output has no room for more */
	struct kcd_map groups;   /* kcd_select */
	struct kcd_page *page;   /* shared with the client; NULL: not asked for yet */

	struct kcd_timer grace;
	bool suspended; /* counted among the user's connections */
	bool ended;     /* freed at the end of the turn */
	struct kcd_corpse corpse;
};

struct kcd_attachment {
	struct kcd_attach attach;
	struct kcd_map_node node; /* by number */
	struct kcd_list link;     /* session->attached */
	struct kcd_session *session;
	uint32_t number;
	struct kcd_list requests; /* kcd_request.of_attachment: waiting ones */
	struct kcd_list drain;    /* daemon->drains, or alone */
	uint64_t drain_from;      /* its client's input has to be read after this moment */
	struct kcd_notifier *send_notifier, *recv_notifier; /* or NULL */
	uint64_t seen;            /* while RESUME is carried out: highest delivery seen */
	struct kcd_corpse corpse;
};

extern const struct kcd_channel_ops kcd_session_ops;

/* A session for a connection that said HELLO; takes the connection's peer. 0 or
 * KC_ENOMEM or KC_ENOTSUP (no random numbers). */
int kcd_session_new(struct kcd_conn *conn, uint32_t max_frame, struct kcd_session **ret);

/* Its connection is gone (session->conn is NULL): wait for another one, or end. */
void kcd_session_lost(struct kcd_session *session);

/* It has a connection again, and what the client missed is written: all goes on. */
void kcd_session_wake(struct kcd_session *session);

/* End it now. `died`: its process has. The connection, if any, is the caller's affair. */
void kcd_session_end(struct kcd_session *session, bool died);

/* Elements may be given ahead again. */
void kcd_session_feed(struct kcd_session *session);

/* The session of a token, or NULL. */
struct kcd_session *kcd_session_find(struct kcd_daemon *d, const uint8_t token[KCP_TOKEN_SIZE]);

/* Room for an attachment: 0, KC_EDQUOT with the limit's name, or KC_ENOMEM. It is not
 * attached to anything yet. */
int kcd_attachment_new(struct kcd_session *session, struct kcd_attachment **ret,
		       const char **ret_limit);

/* Undo kcd_attachment_new(). */
void kcd_attachment_free(struct kcd_attachment *att);

/* Detach: waiting requests are answered with `code`, unless that is 0. */
void kcd_attachment_end(struct kcd_attachment *att, int code, bool died);

/* NULL if there is none of this number. */
struct kcd_attachment *kcd_attachment_find(struct kcd_session *session, uint32_t number);

static inline struct kcd_attachment *kcd_attachment_of(struct kcd_attach *attach)
{
	return KCD_CONTAINER(attach, struct kcd_attachment, attach);
}

#endif
