/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements a handle was given and its program has not taken yet: given ahead, or
 * in reply to a RECV that they had overtaken. In the order of their deliveries,
 * one run per frame. Bounded by the handle's credit (recv.c checks).
 *
 * An element that was given back stays in the books, though not in the hands, until
 * kcorod is known to have read the RETURN: should the connection break before, the
 * delivery has to be named to it again, or it would count as taken.
 */
#ifndef KCI_AHEAD_H
#define KCI_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libkcoro-client/core/chan-ops.h"
#include "libkcoro-client/core/list.h"
#include "libkcoro-client/ipc/frames.h"
#include "proto/buf.h"
#include "proto/stream.h"
#include "proto/values.h"

/* Runs that may be given back and not yet known to be; and runs one TAKEN spans. */
#define KCI_AHEAD_RUNS_MAX 1024u

struct kci_ahead {
	struct kci_frames *frames; /* the connection's */
	struct kci_list runs; /* kci_run, by rising deliveries */
	uint64_t n;	      /* elements in hand */
	uint32_t n_back;      /* runs given back */
	bool untold;	      /* some of those are not in a RETURN yet */
};

void kci_ahead_init(struct kci_ahead *ahead, struct kci_frames *frames);
void kci_ahead_done(struct kci_ahead *ahead);

/* Put elements behind the others; the first is delivery `first`; `asked`: they are a reply
 * to RECV. They lie in the frame that
 * the stream just gave, whose memory is kept if that is better than to copy them. 0 or
 * KC_ENOMEM. */
int kci_ahead_add(struct kci_ahead *ahead, uint64_t first, const struct kcp_elems *elems,
		  const struct kcp_args *args, struct kcp_stream *stream, bool asked);

/* How many from the front op has room for; 0 with op->needed set. Not for an empty
 * buffer. */
size_t kci_ahead_fit(const struct kci_ahead *ahead, struct kci_recv *op);

/* The delivery of the n-th; false if one of them was asked for, not given ahead. */
bool kci_ahead_last_given(const struct kci_ahead *ahead, uint64_t n, uint64_t *ret);

/* Move n from the front (that fit) to op. */
void kci_ahead_take(struct kci_ahead *ahead, size_t n, struct kci_recv *op);

/* Give back up to n of the last ones: RETURN is to be sent. Fewer where memory or
 * runs_max forbid. */
void kci_ahead_give_back(struct kci_ahead *ahead, uint64_t n, uint32_t runs_max);

/* RETURN was sent; whatever answers a request above last_id shows that it was read. */
void kci_ahead_told(struct kci_ahead *ahead, uint64_t last_id);

/* A request `answered` was answered. */
void kci_ahead_prune(struct kci_ahead *ahead, uint64_t answered);

/* A new connection: whether an earlier RETURN was read is not known. */
void kci_ahead_untell(struct kci_ahead *ahead);

enum kci_ahead_which {
	KCI_AHEAD_IN_HAND,
	KCI_AHEAD_UNTOLD, /* given back, not in a RETURN yet */
	KCI_AHEAD_ALL,
};

/* Write the value of RANGES for the first n of these. */
void kci_ahead_ranges(const struct kci_ahead *ahead, enum kci_ahead_which which, uint64_t n,
		      struct kcp_buf *buf);

/* Writing elements to a receive call, one after the other. */
struct kci_sink {
	struct kci_recv *op;
	size_t n;     /* elements written */
	size_t bytes; /* and their bytes */
};

/* DELIVERED_BEFORE from some element on; where the list has ended it is 0. */
struct kci_marks {
	const uint8_t *data;
	size_t n;
};

/* Move the next n elements, which fit; the first is delivery `first`. */
void kci_sink_move(struct kci_sink *sink, struct kcp_elems *elems, uint64_t n, uint64_t first,
		   struct kci_marks *marks);

#endif
