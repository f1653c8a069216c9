/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of leased elements.
 */
#include <stdlib.h>

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/ipc/chan-socket.h"
#include "proto/values.h"

/* Header and TLVs beside the value of RANGES need less. */
#define RANGES_OVERHEAD 128u
#define RANGE_SIZE	16u

/* One request about deliveries whose RANGES are in `ranges`, of which bytes are used. How
 * many it was possible for. */
static long ask(struct kci_schan *sc, uint16_t type, const uint8_t *ranges, size_t bytes,
		unsigned lease_ms)
{
	struct kci_call call;
	long r;

	kci_call_init(&call, sc->conn, type);
	kcp_put_u32(&call.head, KCP_T_ATTACH, sc->attach);
	if (lease_ms)
		kcp_put_u32(&call.head, KCP_T_LEASE_MS, lease_ms);
	kcp_put_head(&call.head, KCP_T_RANGES, bytes);
	kci_call_extra(&call, ranges, bytes);
	r = kci_call_run(&call, NULL);
	kci_call_done(&call);
	return r < 0 ? r : (long)call.count;
}

static int ask_one(kc_chan_t *ch, uint16_t type, const struct kc_lease *lease, unsigned lease_ms)
{
	uint8_t range[RANGE_SIZE];
	long r;

	/* no delivery has the number 0, and none beyond this could be counted */
	if (lease->id == 0 || lease->id == UINT64_MAX)
		return KC_ENOENT;
	kcp_store_u64(range, lease->id);
	kcp_store_u64(range + 8, 1);
	r = ask(kci_schan_of(ch), type, range, sizeof(range), lease_ms);
	return r < 0 ? (int)r : r > 0 ? 0 : KC_ENOENT;
}

int kci_schan_nack(kc_chan_t *ch, const struct kc_lease *lease)
{
	return ask_one(ch, KCP_NACK, lease, 0);
}

int kci_schan_extend(kc_chan_t *ch, const struct kc_lease *lease, unsigned lease_ms)
{
	return ask_one(ch, KCP_EXTEND, lease, lease_ms);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The ids of leases as RANGES that rise, do not touch and name none twice. NULL: no
 * memory. */
static uint8_t *ranges_of(const struct kc_lease *leases, size_t n, size_t *ret_count)
{
	uint64_t *ids = KC_ALLOC(n * sizeof(*ids));
	uint8_t *ranges = KC_ALLOC(n * RANGE_SIZE);
	size_t count = 0;
	uint64_t first = 0, next = 0; /* the range being made: [first, next) */

	if (!ids || !ranges) {
		KC_FREE(ids);
		KC_FREE(ranges);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		ids[i] = leases[i].id;
	qsort(ids, n, sizeof(*ids), compare_ids);
	for (size_t i = 0; i <= n; i++) {
		/* as in ask_one() */
		if (i < n && (ids[i] == 0 || ids[i] == UINT64_MAX || ids[i] + 1 == next))
			continue;
		if (i < n && next && ids[i] == next) {
			next++;
			continue;
		}
		if (next) {
			kcp_store_u64(ranges + count * RANGE_SIZE, first);
			kcp_store_u64(ranges + count * RANGE_SIZE + 8, next - first);
			count++;
		}
		if (i < n) {
			first = ids[i];
			next = first + 1;
		}
	}
	KC_FREE(ids);
	*ret_count = count;
	return ranges;
}

long kci_schan_ack(kc_chan_t *ch, const struct kc_lease *leases, size_t n)
{
	struct kci_schan *sc = kci_schan_of(ch);
	/* kcorod may accept more; nobody accepts less */
	size_t per_frame = (KCP_FRAME_MIN_MAX - RANGES_OVERHEAD) / RANGE_SIZE;
	size_t count;
	uint8_t *ranges;
	long total = 0;
	long r = 0;

	ranges = ranges_of(leases, n, &count);
	if (!ranges)
		return KC_ENOMEM;
	for (size_t i = 0; i < count && r >= 0; i += per_frame) {
		size_t some = count - i < per_frame ? count - i : per_frame;

		r = ask(sc, KCP_ACK, ranges + i * RANGE_SIZE, some * RANGE_SIZE, 0);
		if (r == KC_ENOENT) {
			/* none of these: that is an answer, no failure */
			kci_detail_clear();
			r = 0;
		}
		if (r > 0)
			total += r;
	}
	KC_FREE(ranges);
	return r < 0 ? r : total;
}
