/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page a session shares with kcorod, and a handle's cursor in it: saying TAKEN
 * without a system call. PROTOCOL.md section 7.5.
 *
 * A handle does without one where kcorod has none to give.
 */
#ifndef KCI_CURSOR_H
#define KCI_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cursor.h"

struct kc_ipc_conn;
struct kci_schan;

/* Ask for a cursor, and for grants of up to `window` elements if that is not 0. */
void kci_cursor_map(struct kci_schan *sc, uint32_t window);

/* For the end of the connection's object. */
void kci_page_done(struct kc_ipc_conn *conn);

/* The program came back for more. */
void kci_cursor_back(struct kci_schan *sc);

/* Say TAKEN for the first n elements of the buffer. False: it has to be said in a frame as
 * well. */
bool kci_cursor_taken(struct kci_schan *sc, uint64_t n);

#endif
