/* SPDX-License-Identifier: BSD-3-Clause */
/* systemd: see sd.h. */
#include "kcorod/sd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "kcoro/error.h"
#include "libkcoro-client/port/kcoro_port.h"

int kcd_sd_is_listening(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int type = 0, listening = 0;

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 || addr.sun_family != AF_UNIX)
		return 0;
	len = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return 0;
	len = sizeof(listening);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

#ifdef HAVE_LIBSYSTEMD

int kcd_sd_listen_fds(void)
{
	int n = sd_listen_fds(/* unset_environment= */ 1);

	return n < 0 ? KC_EINVAL : n;
}

void kcd_sd_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void kcd_sd_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=draining");
}

uint64_t kcd_sd_watchdog_ns(void)
{
	uint64_t usec;

	if (sd_watchdog_enabled(/* unset_environment= */ 0, &usec) <= 0)
		return 0;
	return usec * 1000 / 2;
}

void kcd_sd_watchdog_ping(void)
{
	sd_notify(0, "WATCHDOG=1");
}

#else

/* Decimal, all of it, at most 9 digits; -1 otherwise. */
static long env_number(const char *name)
{
	const char *text = getenv(name);
	long value = 0;

	if (!text || !*text || strlen(text) > 9)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value;
}

int kcd_sd_listen_fds(void)
{
	long pid = env_number("LISTEN_PID"), n = env_number("LISTEN_FDS");

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (pid != (long)getpid() || n <= 0)
		return 0;
	for (int fd = KCD_SD_FDS_START; fd < KCD_SD_FDS_START + n; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return KC_EINVAL;
	return (int)n;
}

void kcd_sd_ready(const char *status)
{
	(void)status;
}

void kcd_sd_stopping(void)
{
}

uint64_t kcd_sd_watchdog_ns(void)
{
	return 0;
}

void kcd_sd_watchdog_ping(void)
{
}

#endif
