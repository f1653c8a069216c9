/* SPDX-License-Identifier: BSD-3-Clause */
/* Receivers and their channels: see ipc-coro.h. */
#include "tests/integration/ipc-coro.h"

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

long receiver_main(void *receiver)
{
	struct receiver *r = receiver;

	return kc_chan_recv_c(r->ch, &r->value, r->timeout_ms, r->token);
}

bool receivers_wait(kc_chan_t *ch, uint32_t n)
{
	uint64_t deadline = kci_deadline_from_ms(KCT_PATIENCE_MS);
	struct kc_ipc_chan_info info;

	do {
		if (kc_ipc_chan_info(ch, &info) < 0)
			return false;
		if (info.waiting_receivers >= n)
			return true;
	} while (kci_deadline_left(deadline) > 0);
	return false;
}

int coro_chan_make(kc_ipc_conn_t *conn, const char *name, size_t capacity, kc_chan_t **ret)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;

	o.elem_size = 8;
	o.capacity = capacity;
	return kc_ipc_chan_make(conn, name, &o, NULL, ret);
}
