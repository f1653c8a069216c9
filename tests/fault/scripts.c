/* SPDX-License-Identifier: BSD-3-Clause */
/* What hostile clients write: see scripts.h. */
#include "tests/fault/scripts.h"

#include <stdio.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/tlv.h"
#include "proto/values.h"
#include "tests/lib/kct.h"

#define OUT_MAX ((size_t)4 << 20)
#define NAMES 32u
#define FIRST_ID 1u /* of HELLO */

static uint32_t below(uint64_t *random, uint32_t n)
{
	return (uint32_t)(kct_random(random) % n);
}

static void put_noise(struct kcp_buf *out, size_t n, uint64_t *random)
{
	for (; n > 0; n--) {
		uint8_t byte = (uint8_t)kct_random(random);

		kcp_buf_add(out, &byte, 1);
	}
}

/* ---- good frames ------------------------------------------------------------ */

static void hello(struct kcp_buf *out)
{
	size_t at = kcp_frame_begin(out, KCP_HELLO, 0, FIRST_ID, 0);

	kcp_put_u32(out, KCP_T_VERSION_MIN, 1);
	kcp_put_u32(out, KCP_T_VERSION_MAX, 1);
	kcp_put_text(out, KCP_T_PROGRAM, "garbage");
	kcp_frame_end(out, at);
}

static void put_name(struct kcp_buf *out, uint64_t *random)
{
	char name[32];

	snprintf(name, sizeof(name), "junk/%u", below(random, NAMES));
	kcp_put_text(out, KCP_T_NAME, name);
}

/* The kind, size and bound of a name are always the same, so that most makes succeed. */
static void put_make(struct kcp_buf *out, uint64_t *random)
{
	uint32_t n = below(random, NAMES), kind = n % 4;
	char name[32];

	snprintf(name, sizeof(name), "junk/%u", n);
	kcp_put_text(out, KCP_T_NAME, name);
	kcp_put_u32(out, KCP_T_KIND, kind);
	kcp_put_u32(out, KCP_T_ELEM_SIZE, n & 4 ? 64 : 0);
	if (kind == KCP_KIND_BUFFERED)
		kcp_put_u32(out, KCP_T_CAPACITY, 1 + n * 7);
	if (kind == KCP_KIND_BUFFERED && (n & 8))
		kcp_put_u32(out, KCP_T_OVERFLOW, 1 + n % 2);
	kcp_put_u32(out, KCP_T_ROLES, 1 + below(random, 3));
	if (below(random, 2))
		kcp_put_u32(out, KCP_T_CREDIT, below(random, 100));
}

static void put_elements(struct kcp_buf *out, uint64_t *random)
{
	static const uint8_t bytes[4096];
	uint32_t n = 1 + below(random, 20), size = below(random, 2) ? 64 : below(random, 4096);
	size_t at = kcp_tlv_begin(out, KCP_T_ELEMENTS);

	if (size == 64)
		for (; n > 0; n--)
			kcp_buf_add(out, bytes, 64);
	else
		for (; n > 0; n--)
			kcp_put_message(out, bytes, size);
	kcp_tlv_end(out, at);
}

static void put_ranges(struct kcp_buf *out, uint64_t *random)
{
	size_t at = kcp_tlv_begin(out, KCP_T_RANGES);
	uint64_t first = 1;

	for (uint32_t n = 1 + below(random, 3); n > 0; n--) {
		uint32_t count = 1 + below(random, 5);

		kcp_put_range(out, first, count);
		first += count + 1 + below(random, 5);
	}
	kcp_tlv_end(out, at);
}

static void put_flags(struct kcp_buf *out, uint64_t *random)
{
	static const uint32_t flags[] = { 0, 0, KCP_F_LEASE, KCP_F_OFFER };

	kcp_put_u32(out, KCP_T_FLAGS, flags[below(random, 4)]);
	if (below(random, 3) == 0)
		kcp_put_u64(out, KCP_T_TIMEOUT_MS, below(random, 2000));
}

/* The TLVs of a message. */
static void put_tlvs(struct kcp_buf *out, uint16_t type, uint64_t id, uint64_t *random)
{
	if (type >= KCP_SEND && type <= KCP_RETURN)
		kcp_put_u32(out, KCP_T_ATTACH, 1 + below(random, 3));
	switch (type) {
	case KCP_CHAN_MAKE:
		put_make(out, random);
		break;
	case KCP_CHAN_OPEN:
		put_name(out, random);
		kcp_put_u32(out, KCP_T_ROLES, 1 + below(random, 4));
		break;
	case KCP_CHAN_DETACH:
		kcp_put_u32(out, KCP_T_ATTACH, 1 + below(random, 3));
		break;
	case KCP_CHAN_INFO:
	case KCP_CHAN_CLOSE:
	case KCP_CHAN_DESTROY:
	case KCP_CHAN_PURGE:
		put_name(out, random);
		break;
	case KCP_SEND:
		put_elements(out, random);
		put_flags(out, random);
		break;
	case KCP_RECV:
		kcp_put_u32(out, KCP_T_COUNT, 1 + below(random, 30));
		put_flags(out, random);
		break;
	case KCP_TAKEN:
	case KCP_ACK:
	case KCP_NACK:
	case KCP_RETURN:
		put_ranges(out, random);
		break;
	case KCP_EXTEND:
		put_ranges(out, random);
		kcp_put_u32(out, KCP_T_LEASE_MS, 1 + below(random, 3000));
		break;
	case KCP_CREDIT:
		kcp_put_u32(out, KCP_T_CREDIT, below(random, 200));
		break;
	case KCP_CANCEL:
	case KCP_CLAIM:
	case KCP_DECLINE:
		kcp_put_u64(out, KCP_T_REQUEST, 1 + below(random, (uint32_t)id));
		break;
	default:
		break;
	}
}

static uint16_t any_type(uint64_t *random)
{
	/* the more interesting ones more often */
	static const uint8_t types[] = {
		KCP_PING,	KCP_CANCEL,	KCP_CHAN_MAKE,	  KCP_CHAN_MAKE,  KCP_CHAN_MAKE,
		KCP_CHAN_OPEN,	KCP_CHAN_OPEN,	KCP_CHAN_DETACH,  KCP_CHAN_LIST,  KCP_CHAN_INFO,
		KCP_CHAN_CLOSE, KCP_CHAN_PURGE, KCP_CHAN_DESTROY, KCP_SEND,	  KCP_SEND,
		KCP_SEND,	KCP_SEND,	KCP_RECV,	  KCP_RECV,	  KCP_RECV,
		KCP_TAKEN,	KCP_ACK,	KCP_NACK,	  KCP_EXTEND,	  KCP_CREDIT,
		KCP_RETURN,	KCP_CLAIM,	KCP_DECLINE,	  KCP_STATS,
	};

	return types[below(random, sizeof(types))];
}

static void put_frame(struct kcp_buf *out, uint16_t type, uint64_t id, uint64_t *random)
{
	bool notice = type == KCP_RETURN || (type == KCP_TAKEN && below(random, 2));
	/* every reply seen so far, or none */
	uint64_t seq = below(random, 4) ? UINT64_MAX >> 1 : 0;
	size_t at = kcp_frame_begin(out, type, 0, notice ? 0 : id, seq);

	put_tlvs(out, type, id, random);
	kcp_frame_end(out, at);
}

/* HELLO and n requests. */
static void put_work(struct kcp_buf *out, uint32_t n, uint64_t *random)
{
	hello(out);
	for (uint64_t id = FIRST_ID + 1; n > 0; n--, id++)
		put_frame(out, id < FIRST_ID + 4 ? KCP_CHAN_MAKE : any_type(random), id, random);
}

/* ---- bad ones --------------------------------------------------------------- */

static void flip(struct kcp_buf *out, size_t from, uint32_t times, uint64_t *random)
{
	for (; times > 0 && out->len > from; times--)
		out->data[from + below(random, (uint32_t)(out->len - from))] ^=
			(uint8_t)(1u << below(random, 8));
}

static void put_mutated(struct kcp_buf *out, uint32_t n, uint64_t *random)
{
	put_work(out, 3, random);
	for (uint64_t id = FIRST_ID + 4; n > 0; n--, id++) {
		size_t at = out->len, payload = at + KCP_HEADER_SIZE;

		put_frame(out, any_type(random), id, random);
		if (out->failed || out->len <= payload)
			continue;
		switch (below(random, 4)) {
		case 0: /* the length of the first TLV */
			kcp_store_u32(out->data + payload + 4, (uint32_t)kct_random(random) >>
								       below(random, 32));
			break;
		case 1: /* the end is missing */
			kcp_buf_truncate(out, payload +
						      below(random, (uint32_t)(out->len - payload)));
			kcp_frame_end(out, at);
			break;
		default:
			flip(out, payload, 1 + below(random, 3), random);
			break;
		}
	}
}

static void put_disorder(struct kcp_buf *out, uint64_t *random)
{
	uint32_t how = below(random, 5);
	size_t at;

	if (how > 0)
		put_work(out, 5, random);
	switch (how) {
	case 1: /* HELLO again, RESUME too late */
		hello(out);
		at = kcp_frame_begin(out, KCP_RESUME, 0, 100, 0);
		kcp_frame_end(out, at);
		break;
	case 2: /* an old id */
		put_frame(out, KCP_PING, 2, random);
		break;
	case 3: /* what only the daemon says */
		at = kcp_frame_begin(out, KCP_DELIVER, below(random, 2) ? KCP_HF_REPLY : 0, 0, 0);
		kcp_frame_end(out, at);
		break;
	default: /* no HELLO; and notices of what is none */
		at = kcp_frame_begin(out, any_type(random), 0, 0, 0);
		kcp_frame_end(out, at);
		break;
	}
	put_frame(out, any_type(random), 200, random);
}

static void put_oversized(struct kcp_buf *out, uint64_t *random)
{
	static const uint32_t lengths[] = { UINT32_MAX, INT32_MAX, 2u << 20 };
	uint8_t *header;

	if (below(random, 2))
		put_work(out, 10, random);
	header = kcp_buf_extend(out, KCP_HEADER_SIZE);
	if (!header)
		return;
	kcp_header_encode(&(struct kcp_header){ .type = KCP_SEND,
						.length = lengths[below(random, 3)],
						.id = 1000 },
			  header);
	put_noise(out, below(random, 5000), random);
}

static void put_appetite(struct kcp_buf *out, uint64_t *random)
{
	put_work(out, 4, random);
	for (uint64_t id = 10; id < 2000; id++) {
		static const uint16_t types[] = { KCP_CHAN_LIST, KCP_RECV, KCP_SEND, KCP_STATS };

		put_frame(out, types[below(random, 4)], id, random);
	}
}

/* ---- scripts ---------------------------------------------------------------- */

static void begin(struct script *s)
{
	if (!s->out.max)
		kcp_buf_init(&s->out, OUT_MAX);
	kcp_buf_clear(&s->out);
	s->again = false;
}

void script_new(struct script *s, uint64_t *random)
{
	size_t whole;

	begin(s);
	s->kind = (enum script_kind)below(random, SCRIPT_KINDS);
	s->reads = s->kind != SCRIPT_DEAF && below(random, 8) > 0;
	s->hold_ms = below(random, 1500);
	switch (s->kind) {
	case SCRIPT_NOISE:
		if (below(random, 2))
			hello(&s->out);
		put_noise(&s->out, 1 + below(random, 65536), random);
		break;
	case SCRIPT_TRUNCATED:
		put_work(&s->out, below(random, 20), random);
		whole = s->out.len;
		put_frame(&s->out, KCP_SEND, 500, random);
		kcp_buf_truncate(&s->out,
				 whole + below(random, (uint32_t)(s->out.len - whole)));
		break;
	case SCRIPT_OVERSIZED:
		put_oversized(&s->out, random);
		break;
	case SCRIPT_HEADERS:
		put_work(&s->out, 1 + below(random, 20), random);
		whole = s->out.len;
		put_frame(&s->out, KCP_SEND, 500, random);
		if (s->out.len >= whole + KCP_HEADER_SIZE)
			s->out.data[whole + below(random, KCP_HEADER_SIZE)] ^=
				(uint8_t)(1u << below(random, 8));
		put_frame(&s->out, KCP_PING, 501, random);
		break;
	case SCRIPT_DISORDER:
		put_disorder(&s->out, random);
		break;
	case SCRIPT_MUTATED:
		put_mutated(&s->out, 1 + below(random, 200), random);
		break;
	case SCRIPT_BUSY:
		put_work(&s->out, 1 + below(random, 300), random);
		break;
	case SCRIPT_DEAF:
		put_appetite(&s->out, random);
		s->hold_ms += 1500;
		break;
	case SCRIPT_VANISH:
		if (below(random, 2))
			hello(&s->out);
		s->hold_ms = 0;
		break;
	case SCRIPT_RESUME:
	case SCRIPT_TOKEN:
	default:
		put_work(&s->out, below(random, 60), random);
		s->reads = s->again = true;
		break;
	}
}

void script_again(struct script *s, const uint8_t token[KCP_TOKEN_SIZE], uint64_t *random)
{
	uint8_t shown[KCP_TOKEN_SIZE];
	size_t at, inner;

	begin(s);
	memcpy(shown, token, sizeof(shown));
	if (s->kind == SCRIPT_TOKEN)
		shown[below(random, sizeof(shown))] ^= (uint8_t)(1u << below(random, 8));
	hello(&s->out);
	at = kcp_frame_begin(&s->out, KCP_RESUME, 0, FIRST_ID + 1, below(random, 30));
	kcp_put_bytes(&s->out, KCP_T_TOKEN, shown, sizeof(shown));
	inner = kcp_tlv_begin(&s->out, KCP_T_REQUESTS);
	for (uint64_t id = 2; id < 20; id++)
		kcp_buf_add_u64(&s->out, id);
	kcp_tlv_end(&s->out, inner);
	inner = kcp_tlv_begin(&s->out, KCP_T_ATTACHMENT);
	kcp_put_u32(&s->out, KCP_T_ATTACH, 1);
	kcp_put_u64(&s->out, KCP_T_DELIVERY, below(random, 20));
	put_ranges(&s->out, random);
	kcp_tlv_end(&s->out, inner);
	kcp_frame_end(&s->out, at);
	for (uint64_t id = 100; id < 120; id++)
		put_frame(&s->out, any_type(random), id, random);
	s->reads = below(random, 2);
	s->hold_ms = below(random, 2) ? 0 : below(random, 1000);
	/* gone while it resumes: half of RESUME, or all of it unread */
	if (below(random, 3) == 0)
		kcp_buf_truncate(&s->out, below(random, (uint32_t)s->out.len));
}

void script_done(struct script *s)
{
	kcp_buf_done(&s->out);
}
