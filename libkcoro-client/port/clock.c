/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time: one clock, one unit, and arithmetic that saturates.
 */
#include "libkcoro-client/port/kcoro_port.h"

#include <limits.h>
#include <time.h>

static _Thread_local const uint64_t *virtual_now;

void kci_clock_set_virtual(const uint64_t *now)
{
	virtual_now = now;
}

uint64_t kci_clock_now(void)
{
	struct timespec ts;

	if (virtual_now)
		return *virtual_now;
	/* cannot fail: the clock exists on every kernel and the pointer is good */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * KC_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t kci_deadline_from_ms(long timeout_ms)
{
	uint64_t ns, deadline;

	if (timeout_ms < 0 || __builtin_mul_overflow((uint64_t)timeout_ms, KC_NS_PER_MS, &ns) ||
	    __builtin_add_overflow(kci_clock_now(), ns, &deadline))
		return KC_NEVER;
	return deadline;
}

uint64_t kci_deadline_left(uint64_t deadline)
{
	uint64_t now;

	if (deadline == KC_NEVER)
		return KC_NEVER;
	now = kci_clock_now();
	return deadline > now ? deadline - now : 0;
}

int kci_deadline_poll_ms(uint64_t deadline)
{
	uint64_t left = kci_deadline_left(deadline);

	if (left == KC_NEVER)
		return -1;
	/* rounded up, so that a loop around poll() does not spin through the last
	 * fraction of a millisecond */
	left = left / KC_NS_PER_MS + (left % KC_NS_PER_MS != 0);
	return left > INT_MAX ? INT_MAX : (int)left;
}
