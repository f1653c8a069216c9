/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kcorod for each test, and afterwards a look at what the test left there: no
 * session, no connection but our own, no more descriptors than before, and books
 * that balance. Then the daemon has to end by itself with exit status 0.
 */
#ifndef DAEMON_FIXTURE_H
#define DAEMON_FIXTURE_H

#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"
#include "tests/lib/wire.h"

extern struct kct_daemon fixture;

int fixture_before(void **state);
int fixture_after(void **state);

#define DAEMON_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_before, fixture_after)
/* With a configuration, as text. */
#define DAEMON_TEST_WITH(fn, config)                                                               \
	cmocka_unit_test_prestate_setup_teardown(fn, fixture_before, fixture_after,                \
						 (void *)(uintptr_t)(config))

/* A client, said HELLO. */
void client(struct kct_wire *w);

/* The same as another user (needs root). */
void client_as(struct kct_wire *w, uid_t uid, gid_t gid);

/* One that says nothing and does nothing until the test is over: to look at numbers. */
extern struct kct_wire watcher;

#endif
