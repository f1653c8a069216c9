/* SPDX-License-Identifier: BSD-3-Clause */
/* Clauses of numbered elements, and selects on threads of their own: see selector.h. */
#include "tests/conformance/selector.h"

#include <string.h>

struct kc_clause case_clause(struct kct_case *c, bool is_send, uint32_t number,
			     struct kct_room *room)
{
	*room = (struct kct_room){ .value = is_send ? number : UINT64_MAX };
	if (is_send)
		room->desc = case_desc(number);
	switch (c->family) {
	case KCT_FIXED:
		return is_send ? kc_clause_send(c->pair.tx, &room->value)
			       : kc_clause_recv(c->pair.rx, &room->value);
	case KCT_MSG:
		return is_send ? kc_clause_send_msg(c->pair.tx, &room->value, sizeof(room->value))
			       : kc_clause_recv_msg(c->pair.rx, room->buf, sizeof(room->buf));
	default:
		return is_send ? kc_clause_send_desc(c->pair.tx, &room->desc)
			       : kc_clause_recv_desc(c->pair.rx, &room->desc);
	}
}

long case_settle(struct kct_case *c, const struct kc_clause *clause, const struct kct_room *room)
{
	uint64_t value = room->value;

	if (clause->result != 0)
		return clause->result;
	switch (clause->kind) {
	case KC_CLAUSE_SEND:
	case KC_CLAUSE_SEND_MSG:
	case KC_CLAUSE_SEND_DESC:
		c->sent++;
		return 0;
	case KC_CLAUSE_RECV_MSG:
		assert_int_equal(clause->len, sizeof(value));
		memcpy(&value, room->buf, sizeof(value));
		break;
	case KC_CLAUSE_RECV_DESC:
		value = case_desc_number(&room->desc);
		break;
	default:
		break;
	}
	c->received++;
	return (long)value;
}

void case_arrived(struct kct_case *c)
{
	assert_true(kc_chan_len(c->pair.tx) >= 0);
}

void selector_init(struct kct_selector *s)
{
	memset(s, 0, sizeof(*s));
	s->timeout_ms = KCT_PATIENCE_MS;
}

unsigned selector_add_clause(struct kct_selector *s, struct kc_clause clause)
{
	assert_true(s->n < SELECTOR_MAX);
	s->clauses[s->n] = clause;
	return s->n++;
}

unsigned selector_add(struct kct_selector *s, struct kct_case *c, bool is_send, uint32_t number)
{
	assert_true(s->n < SELECTOR_MAX);
	s->cases[s->n] = c;
	return selector_add_clause(s, case_clause(c, is_send, number, &s->rooms[s->n]));
}

static long selector_main(void *arg)
{
	struct kct_selector *s = arg;

	return kc_select(s->clauses, s->n, s->flags, s->timeout_ms, s->token);
}

int selector_run(struct kct_selector *s, long timeout_ms)
{
	return kc_select(s->clauses, s->n, s->flags, timeout_ms, s->token);
}

void selector_start(struct kct_selector *s)
{
	kct_call_start(&s->call, selector_main, s);
}

static bool clause_sends(const struct kc_clause *clause)
{
	return clause->kind == KC_CLAUSE_SEND || clause->kind == KC_CLAUSE_SEND_MSG ||
	       clause->kind == KC_CLAUSE_SEND_DESC;
}

void selector_start_blocked(struct kct_selector *s, unsigned before)
{
	selector_start(s);
	for (unsigned i = 0; i < s->n; i++) {
		unsigned senders = 0, receivers = 0;

		if (!s->cases[i] || s->clauses[i].kind == KC_CLAUSE_OFF)
			continue;
		/* one channel may be in several clauses */
		for (unsigned k = 0; k < s->n; k++) {
			if (s->cases[k] != s->cases[i] || s->clauses[k].kind == KC_CLAUSE_OFF)
				continue;
			senders += clause_sends(&s->clauses[k]);
			receivers += !clause_sends(&s->clauses[k]);
		}
		assert_true(kct_placement.wait_blocked(&s->cases[i]->pair,
						       senders ? senders + before : 0,
						       receivers ? receivers + before : 0));
	}
}

int selector_join(struct kct_selector *s)
{
	return (int)kct_call_join(&s->call);
}

long selector_settle(struct kct_selector *s, int won)
{
	assert_in_range(won, 0, s->n - 1);
	assert_non_null(s->cases[won]);
	return case_settle(s->cases[won], &s->clauses[won], &s->rooms[won]);
}
