/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases that are run twice: see both.h. */
#include "tests/lib/both.h"

#include "kcoro.h"

static kc_sched_t *sched;

int kct_setup_coroutines(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	int r = kct_setup(state);

	o.workers = 2;
	if (r == 0)
		r = kc_sched_create(&sched, &o);
	kct_calls_in(sched);
	return r;
}

int kct_teardown_both(void **state)
{
	int r = 0;

	kct_calls_in(NULL);
	if (sched) {
		r = kc_sched_drain(sched, KCT_PATIENCE_MS);
		if (r == 0)
			r = kc_sched_destroy(sched);
		sched = NULL;
	}
	return kct_teardown(state) != 0 || r != 0;
}
