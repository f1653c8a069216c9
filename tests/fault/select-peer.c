/* SPDX-License-Identifier: BSD-3-Clause */
/* The peers of select-kill.c: they send or receive until they are killed. */
#include "tests/fault/select-kill.h"

#define PATIENCE_MS 60000

const char *const select_kill_names[PEERS] = { "kill/in0", "kill/in1", "kill/out" };

static int fault(struct shared *shared, int line, int64_t value)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&shared->fault, &none, line))
		atomic_store(&shared->fault_value, value);
	return 1;
}

void peer_take(struct shared *shared, uint64_t element, bool first)
{
	uint64_t next = atomic_load(&shared->next);

	/* one that was taken by who was killed before it could say so is missing */
	if (element < next || element > next + first)
		(void)fault(shared, __LINE__, (int64_t)(element - next));
	atomic_fetch_add(&shared->gaps, element - next);
	atomic_fetch_add(&shared->received, 1);
	atomic_store(&shared->next, element + 1);
}

static int receive(struct shared *shared, kc_chan_t *ch)
{
	uint64_t element;
	int r;

	for (bool first = true; (r = kc_chan_recv(ch, &element, PATIENCE_MS)) == 0; first = false)
		peer_take(shared, element, first);
	return fault(shared, __LINE__, r);
}

static int send_all(struct shared *shared, unsigned which, uint32_t life, kc_chan_t *ch)
{
	struct ledger_of_peer *l = &shared->senders[which];

	for (uint64_t number = 0;; number++) {
		uint64_t element = ELEMENT(life, number);
		int r;

		atomic_store(&l->begun[life], number + 1);
		r = kc_chan_send(ch, &element, PATIENCE_MS);
		if (r < 0)
			return fault(shared, __LINE__, r);
		atomic_store(&l->told[life], number + 1);
	}
}

int peer_main(struct shared *shared, unsigned which, uint32_t life, const char *path)
{
	struct kc_ipc_open_options open = KC_IPC_OPEN_OPTIONS_INIT;
	kc_ipc_conn_t *conn;
	kc_chan_t *ch;
	int r = kc_ipc_connect(&conn, path);

	open.roles = which == RECEIVER ? KC_RECEIVER : KC_SENDER;
	if (r == 0)
		r = kc_ipc_chan_open(conn, select_kill_names[which], &open, &ch);
	if (r < 0)
		return fault(shared, __LINE__, r);
	return which == RECEIVER ? receive(shared, ch) : send_all(shared, which, life, ch);
}
