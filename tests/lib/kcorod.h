/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kcorod of a test program that uses it through the client library: one for all cases,
 *
 *	cmocka_run_group_tests(tests, kct_kcorod_begin, kct_kcorod_end)
 *
 * or a new one for each that is listed as KCT_KCOROD_TEST. That one goes with the case, also
 * if it fails half-way.
 */
#ifndef KCT_KCOROD_H
#define KCT_KCOROD_H

#include "kcoro.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"

extern struct kct_daemon kct_kcorod;

int kct_kcorod_begin(void **state);
int kct_kcorod_end(void **state);

/* As kct_setup() and kct_teardown(); a case may have ended its kcorod by itself. */
int kct_kcorod_setup(void **state);
int kct_kcorod_teardown(void **state);

#define KCT_KCOROD_TEST(fn)                                                                        \
	cmocka_unit_test_setup_teardown(fn, kct_kcorod_setup, kct_kcorod_teardown)
/* With a configuration, as text. */
#define KCT_KCOROD_TEST_WITH(fn, config)                                                           \
	cmocka_unit_test_prestate_setup_teardown(fn, kct_kcorod_setup, kct_kcorod_teardown,        \
						 (void *)(uintptr_t)(config))

/* A connection to this path, which may be a relay's. Asserts. */
kc_ipc_conn_t *kct_client(const char *path);

#endif
