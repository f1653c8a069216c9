/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The local placement, for the conformance suite: one handle does both.
 */
#include "libkcoro-client/core/chan-local.h"
#include "tests/conformance/placement-local.h"
#include "tests/lib/kct.h"

int local_make(struct kct_pair *ret, const struct kc_chan_options *opts, bool descriptors)
{
	kc_chan_t *ch;
	int r = kc_chan_make_ex(&ch, opts);

	if (r == 0 && descriptors) {
		r = kc_chan_enable_zero_copy(ch);
		if (r < 0)
			kc_chan_destroy(ch);
	}
	if (r == 0)
		*ret = (struct kct_pair){ .tx = ch, .rx = ch };
	return r;
}

void local_unmake(struct kct_pair *pair)
{
	kc_chan_destroy(pair->tx);
	*pair = (struct kct_pair){ 0 };
}

struct wanted {
	kc_chan_t *ch;
	unsigned senders;
	unsigned receivers;
};

static bool are_blocked(void *arg)
{
	const struct wanted *w = arg;
	unsigned senders, receivers;

	kci_local_waiting(w->ch, &senders, &receivers);
	return senders >= w->senders && receivers >= w->receivers;
}

bool local_wait_blocked(struct kct_pair *pair, unsigned senders, unsigned receivers)
{
	struct wanted w = { .ch = pair->tx, .senders = senders, .receivers = receivers };

	return kct_wait_until(are_blocked, &w);
}
