/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clauses, and the forms of a select that gather them: kc_select_t and the block.
 */
#include <string.h>

#include "kcoro/error.h"
#include "kcoro/select.h"
#include "libkcoro-client/core/cancel.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"

#define FLAGS (KC_SELECT_PRIORITY | KC_SELECT_READY)
#define FIRST 8u /* clauses there is room for at first */

struct kc_select {
	uint64_t process;
	kc_cancel_t *token;
	unsigned flags;
	size_t n, room;
	struct kc_clause *clauses;
};

/* ---- clauses ---------------------------------------------------------------------- */

struct kc_clause kc_clause_recv(kc_chan_t *ch, void *ret_elem)
{
	return (struct kc_clause){ .kind = KC_CLAUSE_RECV, .ch = ch, .buf = ret_elem };
}

struct kc_clause kc_clause_send(kc_chan_t *ch, const void *elem)
{
	return (struct kc_clause){ .kind = KC_CLAUSE_SEND, .ch = ch, .elem = elem };
}

struct kc_clause kc_clause_recv_msg(kc_chan_t *ch, void *buf, size_t cap)
{
	return (struct kc_clause){
		.kind = KC_CLAUSE_RECV_MSG, .ch = ch, .buf = buf, .size = cap
	};
}

struct kc_clause kc_clause_send_msg(kc_chan_t *ch, const void *buf, size_t len)
{
	return (struct kc_clause){
		.kind = KC_CLAUSE_SEND_MSG, .ch = ch, .elem = buf, .size = len
	};
}

struct kc_clause kc_clause_recv_desc(kc_chan_t *ch, struct kc_zdesc *ret_desc)
{
	return (struct kc_clause){ .kind = KC_CLAUSE_RECV_DESC, .ch = ch, .buf = ret_desc };
}

struct kc_clause kc_clause_send_desc(kc_chan_t *ch, const struct kc_zdesc *desc)
{
	return (struct kc_clause){ .kind = KC_CLAUSE_SEND_DESC, .ch = ch, .elem = desc };
}

struct kc_clause kc_clause_recv_lease(kc_chan_t *ch, void *buf, size_t cap,
				      struct kc_lease *ret_lease)
{
	return (struct kc_clause){ .kind = KC_CLAUSE_RECV_LEASE,
				   .ch = ch,
				   .buf = buf,
				   .size = cap,
				   .lease = ret_lease };
}

struct kc_clause kc_clause_after(long ms)
{
	return (struct kc_clause){ .kind = KC_CLAUSE_TIMER, .due_ns = kci_deadline_from_ms(ms) };
}

struct kc_clause kc_clause_tick(long ms)
{
	struct kc_clause c = kc_clause_after(ms > 0 ? ms : -1);

	if (c.due_ns != KC_NEVER)
		c.period_ns = (uint64_t)ms * KC_NS_PER_MS;
	return c;
}

/* ---- one by one --------------------------------------------------------------------- */

static int enter(const kc_select_t *sel)
{
	if (!sel)
		return KC_EINVAL;
	return kci_process_is(sel->process) ? 0 : KC_EFORKED;
}

int kc_select_create(kc_select_t **ret, kc_cancel_t *token)
{
	int r = ret ? kci_cancel_check(token) : KC_EINVAL;
	kc_select_t *sel;

	if (r < 0 && r != KC_ECANCELED)
		return (int)kci_result(r);
	sel = KC_CALLOC(1, sizeof(*sel));
	if (!sel)
		return (int)kci_result(KC_ENOMEM);
	sel->process = kci_process_id();
	sel->token = kc_cancel_ref(token);
	*ret = sel;
	return 0;
}

void kc_select_destroy(kc_select_t *sel)
{
	if (enter(sel) < 0)
		return;
	kc_cancel_destroy(sel->token);
	KC_FREE(sel->clauses);
	KC_FREE(sel);
}

int kc_select_reset(kc_select_t *sel)
{
	int r = enter(sel);

	if (r == 0)
		sel->n = 0;
	return (int)kci_result(r);
}

int kc_select_add(kc_select_t *sel, const struct kc_clause *clause)
{
	int r = clause ? enter(sel) : KC_EINVAL;

	if (r == 0 && sel->n == KC_SELECT_MAX)
		r = kci_fail(KC_EINVAL, "a select has %u clauses at most", KC_SELECT_MAX);
	if (r == 0 && sel->n == sel->room) {
		size_t room = sel->room ? sel->room * 2 : FIRST;
		struct kc_clause *clauses = KC_REALLOC(sel->clauses, room, sizeof(*clauses));

		if (clauses) {
			sel->clauses = clauses;
			sel->room = room;
		} else {
			r = KC_ENOMEM;
		}
	}
	if (r < 0)
		return (int)kci_result(r);
	sel->clauses[sel->n] = *clause;
	return (int)sel->n++;
}

int kc_select_add_recv(kc_select_t *sel, kc_chan_t *ch, void *ret_elem)
{
	struct kc_clause clause = kc_clause_recv(ch, ret_elem);

	return kc_select_add(sel, &clause);
}

int kc_select_add_send(kc_select_t *sel, kc_chan_t *ch, const void *elem)
{
	struct kc_clause clause = kc_clause_send(ch, elem);

	return kc_select_add(sel, &clause);
}

struct kc_clause *kc_select_clause(kc_select_t *sel, size_t index)
{
	return enter(sel) == 0 && index < sel->n ? &sel->clauses[index] : NULL;
}

int kc_select_set_flags(kc_select_t *sel, unsigned flags)
{
	int r = enter(sel);

	if (r == 0 && (flags & ~FLAGS))
		r = kci_fail(KC_EINVAL, "flags %#x: unknown", flags);
	if (r == 0)
		sel->flags = flags;
	return (int)kci_result(r);
}

int kc_select_wait(kc_select_t *sel, long timeout_ms, int *ret_index, int *ret_result)
{
	int r = ret_index ? enter(sel) : KC_EINVAL;

	if (r < 0)
		return (int)kci_result(r);
	r = kc_select(sel->clauses, sel->n, sel->flags, timeout_ms, sel->token);
	if (r < 0)
		return r;
	*ret_index = r;
	if (ret_result)
		*ret_result = sel->clauses[r].result;
	return 0;
}

/* ---- the block ------------------------------------------------------------------------ */

void kc_select_block_begin(struct kc_select_block *block, unsigned flags, long timeout_ms,
			   kc_cancel_t *token)
{
	block->flags = flags;
	block->timeout_ms = timeout_ms;
	block->token = token;
	block->pass = 0;
	block->n = 0;
	block->at = 0;
	block->won = KC_EINVAL;
}

void kc_select_block_add(struct kc_select_block *block, struct kc_clause clause)
{
	if (block->n < KC_SELECT_BLOCK_MAX)
		block->clauses[block->n] = clause;
	block->n++;
}

int kc_select_block_next(struct kc_select_block *block)
{
	if (block->pass++ > 0)
		return 0;
	if (block->n > KC_SELECT_BLOCK_MAX)
		block->won = (int)kci_result(kci_fail(KC_EINVAL, "%d cases; a block has %d at most",
						      block->n, KC_SELECT_BLOCK_MAX));
	else
		block->won = kc_select(block->clauses, (size_t)block->n, block->flags,
				       block->timeout_ms, block->token);
	return 1;
}
