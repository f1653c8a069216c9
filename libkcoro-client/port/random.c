/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random bytes, by syscall(), since getrandom() is a cancellation point; and numbers that
 * need not surprise anybody, without a call.
 */
#include "libkcoro-client/port/kcoro_port.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int kci_random(void *buf, size_t n)
{
	unsigned char *p = buf;
	int saved = errno;
	int r = 0;

	while (n > 0) {
		long got = syscall(SYS_getrandom, p, n, 0);

		if (got > 0) {
			p += got;
			n -= (size_t)got;
		} else if (errno != EINTR) {
			r = -errno;
			break;
		}
	}
	errno = saved;
	return r;
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014) */
uint64_t kci_random_next(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* One at a time is enough: threads begin at different addresses. */
static _Thread_local uint64_t own_state;
static _Thread_local uint64_t *given_state;

uint64_t kci_random_draw(void)
{
	if (given_state)
		return kci_random_next(given_state);
	if (own_state == 0)
		own_state = (uintptr_t)&own_state ^ kci_clock_now();
	return kci_random_next(&own_state);
}

void kci_random_set_state(uint64_t *state)
{
	given_state = state;
}
