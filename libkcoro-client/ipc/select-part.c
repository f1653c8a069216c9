/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clauses of a select that one connection has: asking for them, and one turn of waiting for
 * what comes.
 */
#include "libkcoro-client/ipc/select.h"

#include "libkcoro-client/core/park.h"

bool kci_part_may_ask(const struct remote *rm, const struct part *p)
{
	return rm->s->tries || kci_call_has_room(p->conn, p->n);
}

void kci_part_want_room(struct part *p, bool wants)
{
	p->conn->n_room += wants;
	p->conn->n_room -= p->wait.room > 0;
	p->wait.room = wants ? p->n : 0;
}

int kci_part_ask(struct remote *rm, struct part *p)
{
	uint64_t now = kci_clock_now(), group = ++p->conn->last_group;
	int r = 0;

	p->asked = true;
	for (size_t k = 0; k < rm->n && r == 0; k++) {
		struct asked *a = &rm->asked[k];

		if (a->part != p)
			continue;
		r = kci_asked_start(a, rm->tries, group);
		atomic_store_explicit(&a->sc->asked_ns, now, memory_order_relaxed);
	}
	kci_conn_pump(p->conn);
	return r;
}

/* Did anything come for its clauses? */
static bool part_has_news(struct remote *rm, struct part *p)
{
	p->wait.ready = false;
	for (size_t k = 0; k < rm->n; k++)
		if (rm->asked[k].part == p && kci_asked_has_news(&rm->asked[k]))
			return true;
	return false;
}

int kci_part_begin(struct remote *rm, struct part *p, size_t *n_fds, uint64_t *until)
{
	kc_ipc_conn_t *conn = p->conn;
	int r;

	p->polled = false;
	if (!p->asked && kci_part_may_ask(rm, p)) {
		r = kci_part_ask(rm, p);
		if (r < 0)
			return r;
	}
	kci_part_want_room(p, !p->asked);
	if (part_has_news(rm, p))
		return PART_NEWS;
	if (!p->reading && conn->reading) {
		p->wait.parked = true;
		return PART_WAITS;
	}
	conn->reading = p->reading = true;
	if (!kci_conn_turn_begin(conn, &p->wait, &p->bell, rm->waiter))
		return part_has_news(rm, p) ? PART_NEWS : PART_AGAIN;
	p->polled = true;
	p->nth = *n_fds;
	rm->fds[(*n_fds)++] = (struct kci_fd_wait){ .fd = conn->poll_fd,
						     .events = conn->poll_events };
	if (conn->poll_until < *until)
		*until = conn->poll_until;
	return PART_WAITS;
}

bool kci_part_end(struct remote *rm, struct part *p)
{
	p->wait.parked = false;
	if (p->polled)
		kci_conn_turn_end(p->conn, rm->fds[p->nth].came);
	return part_has_news(rm, p);
}
