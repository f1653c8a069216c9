/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placements used from coroutines: where those run.
 */
#ifndef KCT_CONFORMANCE_CORO_H
#define KCT_CONFORMANCE_CORO_H

/* kct_placement.run: the whole program in coroutines, the tests themselves in one, on one
 * worker. So a call that blocked its thread would never come back. (More workers than one
 * are not for CMocka, which keeps its state per thread.) */
int coro_run(int (*fn)(void));

/* The tests on a thread, their helpers in coroutines on two workers: from begin to end. 0 or
 * a code. */
int coro_begin_mixed(void);
void coro_end_mixed(void);

#endif
