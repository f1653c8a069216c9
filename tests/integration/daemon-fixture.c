/* SPDX-License-Identifier: BSD-3-Clause */
/* A kcorod for each test: see daemon-fixture.h. */
#include "tests/integration/daemon-fixture.h"

#include <sys/stat.h>
#include <unistd.h>

struct kct_daemon fixture;
struct kct_wire watcher;

static int fds;

int fixture_before(void **state)
{
	const char *config = *state;
	int r = kct_setup(state);

	if (r == 0)
		r = kct_daemon_start(&fixture, config, NULL);
	if (r < 0)
		return r;
	kct_wire_hello(&watcher, fixture.path);
	fds = kct_daemon_fds(&fixture);
	return 0;
}

/* What the test left behind, in words; NULL: nothing. */
static const char *left_behind(void)
{
	/* What is freed at the end of a turn is freed before the next turn's answer. */
	kct_ping(&watcher);
	kct_ping(&watcher);
	if (kct_stat(&watcher, NULL, KCP_S_SESSIONS) != 1)
		return "sessions";
	if (kct_stat(&watcher, NULL, KCP_S_CONNECTIONS) != 1)
		return "connections";
	if (kct_daemon_fds(&fixture) != fds)
		return "descriptors in the daemon";
	return NULL;
}

int fixture_after(void **state)
{
	const char *left = left_behind();
	int status;

	if (left)
		print_error("the test left %s behind\n", left);
	kct_assert_balanced(&watcher, NULL);
	kct_wire_bye(&watcher);
	status = kct_daemon_stop(&fixture);
	return left || status ? -1 : kct_teardown(state);
}

void client(struct kct_wire *w)
{
	kct_wire_hello(w, fixture.path);
}

/* The kernel notes who connects: so only that is done as somebody else, from inside the
 * daemon's folder, since those around it are private. */
void client_as(struct kct_wire *w, uid_t uid, gid_t gid)
{
	assert_int_equal(chmod(fixture.dir, 0711), 0);
	assert_int_equal(chdir(fixture.dir), 0);
	assert_int_equal(setegid(gid), 0);
	assert_int_equal(seteuid(uid), 0);
	kct_wire_connect(w, "kcorod.sock");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
	assert_int_equal(chdir("/"), 0);
	kct_wire_greet(w);
}
