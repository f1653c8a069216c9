/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kcorod for one run of an example, by way of kcoroctl.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/private_daemon.h"

#define ARGUMENTS_MAX 60

/* The kcoroctl of the tree this example was built in, else the one in PATH. */
static void kcoroctl_find(const char *self, char *ret, size_t size)
{
	static const char *const below[] = { "/../kcoroctl/kcoroctl", "/../../kcoroctl/kcoroctl" };
	const char *slash = strrchr(self, '/');

	for (size_t i = 0; slash && i < sizeof(below) / sizeof(below[0]); i++) {
		int n = snprintf(ret, size, "%.*s%s", (int)(slash - self), self, below[i]);

		if (n > 0 && (size_t)n < size && access(ret, X_OK) == 0)
			return;
	}
	snprintf(ret, size, "kcoroctl");
}

int ex_private_daemon(char **argv)
{
	const char *socket = getenv("KCORO_SOCKET");
	char self[PATH_MAX], kcoroctl[PATH_MAX + 32];
	char *line[ARGUMENTS_MAX + 5];
	size_t n = 0;
	ssize_t len;

	if (socket && *socket)
		return 0;
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0) {
		perror("/proc/self/exe");
		return -1;
	}
	self[len] = '\0';
	kcoroctl_find(self, kcoroctl, sizeof(kcoroctl));
	line[n++] = kcoroctl;
	line[n++] = (char *)"session";
	line[n++] = (char *)"--";
	line[n++] = self;
	for (char **arg = argv + 1; *arg; arg++) {
		if (n == ARGUMENTS_MAX + 4) {
			fprintf(stderr, "%s: too many arguments\n", argv[0]);
			return -1;
		}
		line[n++] = *arg;
	}
	line[n] = NULL;
	execvp(kcoroctl, line);
	fprintf(stderr, "cannot run %s (%s), and KCORO_SOCKET names no daemon\n", kcoroctl,
		strerror(errno));
	return -1;
}
