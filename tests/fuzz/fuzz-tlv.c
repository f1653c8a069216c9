/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A payload of anything: parsed, checked against every message in every form, and
 * each value with an inside taken apart.
 *
 * The first byte of the input is the element size. What must hold whatever comes:
 * what was parsed lies inside the input and, written again, gives the same bytes;
 * lists keep their rules; counts and bytes of elements add up; a refusal has a reason.
 */
#include <stdlib.h>
#include <string.h>

#include "kcoro/error.h"
#include "proto/message.h"
#include "proto/values.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* so that reading each byte is not optimised away */
static volatile unsigned char sink;

static void take_args(struct kcp_args *args, uint32_t elem_size, unsigned depth);

static void take_lists(struct kcp_args *args)
{
	struct kcp_ranges ranges;
	struct kcp_ids ids;
	uint64_t end = 0;

	if (!kcp_ranges_parse(&ranges, args, NULL)) {
		MUST(ranges.count <= KCP_RANGES_MAX);
		for (uint32_t i = 0; i < ranges.count; i++) {
			struct kcp_range range = kcp_ranges_at(&ranges, i);

			MUST(range.count > 0 && (i == 0 || range.first > end));
			end = range.first + range.count;
			MUST(end > range.first);
		}
	}
	if (!kcp_ids_parse(&ids, args, NULL)) {
		MUST(ids.count <= KCP_REQUESTS_MAX);
		for (uint32_t i = 1; i < ids.count; i++)
			MUST(kcp_ids_at(&ids, i) > kcp_ids_at(&ids, i - 1));
	}
}

static void take_elements(struct kcp_args *args, uint32_t elem_size)
{
	struct kcp_elems elems;
	const uint8_t *element;
	uint64_t bytes = 0, total;
	uint32_t count = 0, len, n;
	unsigned char sum = 0;

	if (kcp_elems_parse(&elems, args, elem_size, NULL))
		return;
	total = elems.bytes;
	n = elems.count;
	MUST(n > 0);
	while ((element = kcp_elems_next(&elems, &len)) != NULL) {
		for (uint32_t i = 0; i < len; i++)
			sum ^= element[i];
		bytes += len;
		count++;
		(void)kcp_delivered_before(args, count);
	}
	MUST(count == n && bytes == total && elems.count == 0 && elems.bytes == 0);
	sink = sum;
}

static void take_statistics(struct kcp_args *args)
{
	uint64_t stats[KCP_STAT_MAX + 1], again[KCP_STAT_MAX + 1];
	struct kcp_args written;
	struct kcp_buf buf;

	if (kcp_stats_parse(stats, args, NULL))
		return;
	kcp_buf_init(&buf, 4096);
	kcp_put_stats(&buf, stats);
	MUST(!buf.failed);
	MUST(!kcp_args_parse(&written, buf.data, buf.len, NULL));
	MUST(!kcp_stats_parse(again, &written, NULL));
	MUST(!memcmp(stats + 1, again + 1, sizeof(stats) - sizeof(stats[0])));
	kcp_buf_done(&buf);
}

static void take_containers(struct kcp_args *args, uint16_t type, uint32_t elem_size,
			    unsigned depth)
{
	struct kcp_tlv_iter iter = { 0 };
	struct kcp_tlv tlv;

	while (kcp_args_each(args, &iter, type, &tlv)) {
		struct kcp_args inner;

		if (kcp_args_parse(&inner, tlv.data, tlv.len, NULL))
			continue;
		(void)kcp_container_check(type, &inner, NULL);
		take_args(&inner, elem_size, depth + 1);
	}
}

static void take_args(struct kcp_args *args, uint32_t elem_size, unsigned depth)
{
	char text[64];

	for (unsigned n = 1; n <= KCP_TLV_KNOWN_MAX; n++) {
		const struct kcp_arg *arg = kcp_get(args, (uint16_t)n);

		if (arg)
			MUST(arg->data >= args->data && arg->len <= args->len &&
			     arg->data + arg->len <= args->data + args->len);
	}
	MUST(kcp_text(args, KCP_T_DETAIL, text, sizeof(text)) == strlen(text));
	take_lists(args);
	take_elements(args, elem_size);
	take_statistics(args);
	/* deeper than the protocol goes costs the same again each time */
	if (depth < 2) {
		take_containers(args, KCP_T_ATTACHMENT, elem_size, depth);
		take_containers(args, KCP_T_CHANNEL, elem_size, depth);
	}
}

static void write_again(const uint8_t *data, size_t size)
{
	struct kcp_tlv_iter iter;
	struct kcp_tlv tlv;
	struct kcp_buf buf;

	kcp_buf_init(&buf, size);
	kcp_tlv_iter_init(&iter, data, size);
	while (kcp_tlv_next(&iter, &tlv, NULL) > 0)
		kcp_put_bytes(&buf, tlv.type, tlv.data, tlv.len);
	MUST(!buf.failed && buf.len == size);
	MUST(size == 0 || !memcmp(buf.data, data, size));
	kcp_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum kcp_form forms[] = { KCP_REQUEST, KCP_NOTICE, KCP_EVENT, KCP_REPLY };
	struct kcp_args args;
	const char *why = NULL;
	int r;

	if (size < 1)
		return 0;
	r = kcp_args_parse(&args, data + 1, size - 1, &why);
	MUST((r != 0) == (why != NULL));
	if (r)
		return 0;
	write_again(data + 1, size - 1);
	take_args(&args, data[0], 0);
	for (uint16_t type = 0; type <= KCP_STATS; type++) {
		const struct kcp_message *msg = kcp_message_find(type);

		for (size_t i = 0; msg && i < sizeof(forms) / sizeof(forms[0]); i++) {
			why = NULL;
			r = kcp_message_check(msg, &args, forms[i], &why);
			MUST((r != 0) == (why != NULL));
		}
	}
	return 0;
}
