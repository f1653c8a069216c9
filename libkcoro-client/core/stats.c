/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic on ledgers and snapshots; where the numbers come from is the
 * placement's business.
 */
#include "kcoro/stats.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"

uint64_t kc_ledger_dropped(const struct kc_ledger *ledger)
{
	if (!ledger)
		return 0;
	return ledger->dropped_oldest + ledger->dropped_newest + ledger->dropped_purged +
	       ledger->dropped_destroyed;
}

uint64_t kc_ledger_lost(const struct kc_ledger *ledger)
{
	return ledger ? ledger->lost_consumer + ledger->lost_daemon : 0;
}

int64_t kc_ledger_balance(const struct kc_ledger *ledger)
{
	uint64_t found;

	if (!ledger)
		return 0;
	found = ledger->received + ledger->queued + ledger->leased + ledger->conflated +
		kc_ledger_dropped(ledger) + ledger->expired + kc_ledger_lost(ledger);
	return (int64_t)(ledger->sent - found);
}

static struct kc_op_failures failures_between(const struct kc_op_failures *a,
					      const struct kc_op_failures *b)
{
	return (struct kc_op_failures){
		.eagain = b->eagain - a->eagain,
		.etime = b->etime - a->etime,
		.epipe = b->epipe - a->epipe,
		.ecanceled = b->ecanceled - a->ecanceled,
	};
}

int kc_chan_compute_rate(const struct kc_chan_snapshot *prev, const struct kc_chan_snapshot *curr,
			 struct kc_chan_rate *ret)
{
	double sec;

	if (!prev || !curr || !ret)
		return (int)kci_result(KC_EINVAL);
	if (curr->id != prev->id)
		return (int)kci_result(kci_fail(KC_EINVAL, "the snapshots are of two channels"));
	if (curr->time_ns <= prev->time_ns)
		return (int)kci_result(kci_fail(KC_EINVAL, "the later snapshot is not later"));
	sec = (double)(curr->time_ns - prev->time_ns) / (double)KC_NS_PER_SEC;
	*ret = (struct kc_chan_rate){
		.interval_sec = sec,
		.sends_per_sec = (double)(curr->ledger.sent - prev->ledger.sent) / sec,
		.recvs_per_sec = (double)(curr->ledger.received - prev->ledger.received) / sec,
		.bytes_sent_per_sec = (double)(curr->bytes_sent - prev->bytes_sent) / sec,
		.bytes_received_per_sec =
			(double)(curr->bytes_received - prev->bytes_received) / sec,
		.send_failures = failures_between(&prev->send_failures, &curr->send_failures),
		.recv_failures = failures_between(&prev->recv_failures, &curr->recv_failures),
	};
	return 0;
}
