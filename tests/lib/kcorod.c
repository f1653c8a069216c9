/* SPDX-License-Identifier: BSD-3-Clause */
/* The kcorod of a test program, and its clients: see kcorod.h. */
#include "tests/lib/kcorod.h"

struct kct_daemon kct_kcorod;

int kct_kcorod_begin(void **state)
{
	(void)state;
	return kct_daemon_start(&kct_kcorod, NULL, NULL);
}

int kct_kcorod_end(void **state)
{
	(void)state;
	return kct_daemon_stop(&kct_kcorod);
}

int kct_kcorod_setup(void **state)
{
	const char *config = *state;
	int r = kct_setup(state);

	return r ? r : kct_daemon_start(&kct_kcorod, config, NULL);
}

int kct_kcorod_teardown(void **state)
{
	int r = kct_daemon_stop(&kct_kcorod);

	return kct_teardown(state) != 0 || r != 0;
}

kc_ipc_conn_t *kct_client(const char *path)
{
	kc_ipc_conn_t *conn;

	assert_int_equal(kc_ipc_connect(&conn, path), 0);
	return conn;
}
