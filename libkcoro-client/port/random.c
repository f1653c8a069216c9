/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random bytes. By syscall(), since getrandom() is a cancellation point.
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
