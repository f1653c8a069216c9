/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of coroutines on connections to a real kcorod share: channels of 64-bit
 * numbers, and receivers that wait in them. Nothing asserts, so all of it is for coroutines,
 * too.
 */
#ifndef KCT_IPC_CORO_H
#define KCT_IPC_CORO_H

#include <stdbool.h>
#include <stdint.h>

#include "kcoro.h"

struct receiver {
	kc_chan_t *ch;
	kc_cancel_t *token;
	long timeout_ms;
	uint64_t value;
	kc_coro_t *co;
};

/* A receive, for kc_spawn() or kct_call_start(). */
long receiver_main(void *receiver);
/* Until so many receives wait in the channel, asked on its own connection. */
bool receivers_wait(kc_chan_t *ch, uint32_t n);

int coro_chan_make(kc_ipc_conn_t *conn, const char *name, size_t capacity, kc_chan_t **ret);

#endif
