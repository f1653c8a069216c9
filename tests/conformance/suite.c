/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conformance suite: accounts, numbered elements, blocked operations.
 */
#include "tests/conformance/suite.h"

#include <string.h>

#include "libkcoro-client/port/kcoro_port.h"

uint64_t now_ns(void)
{
	return kci_clock_now();
}

/* ---- channels ------------------------------------------------------------ */

struct kc_chan_options case_options(enum kct_family family, enum kc_kind kind, size_t capacity)
{
	struct kc_chan_options o = KC_CHAN_OPTIONS_INIT;
	size_t elem = sizeof(uint64_t);

	o.kind = kind;
	if (kind == KC_BUFFERED)
		o.capacity = capacity;
	if (family == KCT_FIXED)
		o.elem_size = sizeof(uint64_t);
	if (family == KCT_DESC)
		o.elem_size = elem = sizeof(struct kc_zdesc);
	if (family == KCT_MSG)
		o.max_msg = KCT_MSG_MAX;
	if (kind == KC_UNLIMITED && capacity > 0) {
		o.max_bytes = capacity * elem;
		if (family == KCT_MSG)
			o.max_msg = o.max_bytes / 2 < KCT_MSG_MAX ? o.max_bytes / 2 : KCT_MSG_MAX;
	}
	return o;
}

void case_make(struct kct_case *c, enum kct_family family, const struct kc_chan_options *opts)
{
	*c = (struct kct_case){ .family = family };
	assert_int_equal(kct_placement.make(&c->pair, opts, family == KCT_DESC), 0);
}

void case_start(struct kct_case *c, enum kct_family family, enum kc_kind kind, size_t capacity)
{
	struct kc_chan_options o = case_options(family, kind, capacity);

	case_make(c, family, &o);
}

void case_end(struct kct_case *c)
{
	struct kc_chan_snapshot snap;
	const struct kc_ledger *l = &snap.ledger;

	/* by the receiving handle: what it told about elements it took comes before */
	assert_int_equal(kc_chan_snapshot(c->pair.rx, &snap), 0);
	assert_int_equal(kc_ledger_balance(l), 0);
	assert_int_equal(l->sent, c->sent);
	assert_int_equal(l->received, c->received);
	assert_int_equal(l->conflated, c->conflated);
	assert_int_equal(l->dropped_oldest, c->dropped_oldest);
	assert_int_equal(l->dropped_newest, c->dropped_newest);
	assert_int_equal(l->dropped_purged, c->dropped_purged);
	assert_int_equal(l->leased, 0);
	assert_int_equal(l->expired, 0);
	assert_int_equal(kc_ledger_lost(l), 0);
	assert_int_equal(l->queued, snap.len);
	assert_int_equal(kc_chan_len(c->pair.rx), snap.len);
	kct_placement.unmake(&c->pair);
}

/* ---- numbered elements --------------------------------------------------- */

/* What descriptors point to: one byte per number, at most this many numbers. */
#define BLOCKS 4096u
static unsigned char blocks[BLOCKS];

struct kc_zdesc case_desc(uint32_t number)
{
	return (struct kc_zdesc){ .addr = &blocks[number % BLOCKS], .len = 1 };
}

uint64_t case_desc_number(const struct kc_zdesc *desc)
{
	return (uint64_t)((unsigned char *)desc->addr - blocks);
}

static int send_number(struct kct_case *c, uint32_t number, long timeout_ms, kc_cancel_t *token)
{
	uint64_t value = number;
	struct kc_zdesc desc = case_desc(number);

	switch (c->family) {
	case KCT_FIXED:
		return kc_chan_send_c(c->pair.tx, &value, timeout_ms, token);
	case KCT_MSG:
		return kc_chan_send_msg_c(c->pair.tx, &value, sizeof(value), timeout_ms, token);
	default:
		return kc_chan_send_desc_c(c->pair.tx, &desc, timeout_ms, token);
	}
}

static long recv_number(struct kct_case *c, long timeout_ms, kc_cancel_t *token)
{
	uint64_t value = UINT64_MAX;
	unsigned char buf[KCT_MSG_MAX];
	struct kc_zdesc desc = { 0 };
	size_t len = 0;
	int r;

	switch (c->family) {
	case KCT_FIXED:
		r = kc_chan_recv_c(c->pair.rx, &value, timeout_ms, token);
		break;
	case KCT_MSG:
		r = kc_chan_recv_msg_c(c->pair.rx, buf, sizeof(buf), &len, timeout_ms, token);
		if (r == 0 && len != sizeof(value))
			return KC_EPROTO;
		if (r == 0)
			memcpy(&value, buf, sizeof(value));
		break;
	default:
		r = kc_chan_recv_desc_c(c->pair.rx, &desc, timeout_ms, token);
		if (r == 0)
			value = case_desc_number(&desc);
		break;
	}
	return r < 0 ? r : (long)value;
}

int case_send(struct kct_case *c, uint32_t number, long timeout_ms, kc_cancel_t *token)
{
	int r = send_number(c, number, timeout_ms, token);

	if (r == 0)
		c->sent++;
	return r;
}

long case_recv(struct kct_case *c, long timeout_ms, kc_cancel_t *token)
{
	long r = recv_number(c, timeout_ms, token);

	if (r >= 0)
		c->received++;
	return r;
}

/* ---- blocked operations -------------------------------------------------- */

static long op_main(void *arg)
{
	struct kct_op *op = arg;

	if (op->is_send)
		return send_number(op->c, op->number, op->timeout_ms, op->token);
	return recv_number(op->c, op->timeout_ms, op->token);
}

void op_start_blocked_c(struct kct_op *op, struct kct_case *c, bool is_send, uint32_t number,
			unsigned nth, kc_cancel_t *token)
{
	*op = (struct kct_op){
		.c = c,
		.is_send = is_send,
		.number = number,
		.timeout_ms = -1,
		.token = token,
	};
	kct_call_start(&op->call, op_main, op);
	assert_true(kct_placement.wait_blocked(&c->pair, is_send ? nth : 0, is_send ? 0 : nth));
}

void op_start_blocked(struct kct_op *op, struct kct_case *c, bool is_send, uint32_t number,
		      unsigned nth)
{
	op_start_blocked_c(op, c, is_send, number, nth, NULL);
}

long op_join(struct kct_op *op)
{
	long r = kct_call_join(&op->call);

	if (op->is_send && r == 0)
		op->c->sent++;
	if (!op->is_send && r >= 0)
		op->c->received++;
	return r;
}
