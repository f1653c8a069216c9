/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Futex wait and wake.
 *
 * FUTEX_WAIT_BITSET is used for its absolute CLOCK_MONOTONIC deadline: a wait
 * that is repeated after a signal or a stray wake-up needs no new arithmetic.
 * syscall() is no cancellation point, unlike the condition variables.
 */
#include "libkcoro-client/port/kcoro_port.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int kci_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline / KC_NS_PER_SEC),
		.tv_nsec = (long)(deadline % KC_NS_PER_SEC),
	};
	int saved = errno;
	long r;

	r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
		    deadline == KC_NEVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
	if (r < 0 && errno == ETIMEDOUT) {
		errno = saved;
		return -ETIMEDOUT;
	}
	errno = saved;
	return 0;
}

void kci_futex_wake(_Atomic uint32_t *word, int n)
{
	int saved = errno;

	/* the word may be gone already when its owner saw the new value by itself;
	 * waking an address that nobody waits on is harmless, EFAULT included */
	(void)syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0);
	errno = saved;
}
