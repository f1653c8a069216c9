/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cursors: what client and daemon tell each other through memory they share, a page
 * for each session and a cursor in it for each attachment. PROTOCOL.md section 7.5.
 *
 * Every word has one writer. Where one side writes a word and then reads another, and
 * the other side does it the other way round, a sequentially consistent fence lies
 * between the two, on both sides: so one of them sees what the other wrote. What the
 * client writes the daemon reads once, checks, and uses for that client alone.
 */
#ifndef KCP_CURSOR_H
#define KCP_CURSOR_H

#include <stdatomic.h>
#include <stdint.h>

#define KCP_PAGE_SIZE 4096u

struct kcp_cursor {
	_Atomic uint64_t taken;    /* client: deliveries up to this are taken */
	_Atomic uint64_t before;   /* client: what `taken` was when the program came back for more */
	_Atomic uint64_t listen;   /* daemon: not 0: say TAKEN as well */
	_Atomic uint64_t granted;  /* daemon: elements that may be sent in all without awaiting */
	_Atomic uint64_t accepted; /* daemon: highest id of a SEND that was accepted unanswered */
	_Atomic uint64_t awaits;   /* client: not 0: answer such a SEND all the same */
	_Atomic uint64_t refused;  /* daemon: highest id of a SEND for which there was no promise */
	uint64_t reserved;
};

#define KCP_PAGE_CURSORS (KCP_PAGE_SIZE / sizeof(struct kcp_cursor))

_Static_assert(sizeof(struct kcp_cursor) == 64, "one cache line each");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would not be shared");

#endif
