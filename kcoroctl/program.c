/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which kcorod a session starts: the one that belongs to this kcoroctl, so that
 * a tree just built does not run yesterday's daemon.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kcoroctl/session.h"

/* Where kcorod may lie, seen from the folder of kcoroctl: beside it, in the folder for daemons, in
 * a build tree (where kcoroctl itself may be below .libs). */
/* clang-format off */
static const char *const beside[] = {
	"/kcorod", "/../sbin/kcorod", "/../libexec/kcorod", /* installed */
	"/../kcorod/kcorod", "/../../kcorod/kcorod",	    /* built */
};
/* clang-format on */

static bool runs(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool take(char *ret, const char *dir, size_t dir_len, const char *rest)
{
	char path[PROGRAM_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%.*s%s", (int)dir_len, dir, rest);

	if (n < 0 || (size_t)n >= sizeof(path) || !runs(path))
		return false;
	memcpy(ret, path, (size_t)n + 1);
	return true;
}

static bool take_beside(char *ret)
{
	char self[PROGRAM_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
	const char *slash =
		n > 0 && (size_t)n < sizeof(self) ? memrchr(self, '/', (size_t)n) : NULL;

	for (size_t i = 0; slash && i < sizeof(beside) / sizeof(beside[0]); i++) {
		if (take(ret, self, (size_t)(slash - self), beside[i]))
			return true;
	}
	return take(ret, "", 0, KC_BINDIR "/kcorod");
}

static bool take_path(char *ret)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");

		if (len > 0 && take(ret, path, len, "/kcorod"))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

enum cmd_exit session_program(char ret[PROGRAM_PATH_MAX])
{
	const char *named = getenv("KCOROD");

	if (named && *named) {
		if (take(ret, "", 0, named))
			return CMD_DONE;
		cmd_error("KCOROD names %s, which is no program that can be run", named);
		return CMD_NO_DAEMON;
	}
	if (take_beside(ret) || take_path(ret))
		return CMD_DONE;
	cmd_error("the program kcorod is neither beside kcoroctl nor in PATH");
	cmd_hint("say where it is:  KCOROD=/path/to/kcorod kcoroctl session -- COMMAND");
	return CMD_NO_DAEMON;
}
