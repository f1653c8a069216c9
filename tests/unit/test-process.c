/* SPDX-License-Identifier: BSD-3-Clause */
/* Process identity: every way to fork is noticed, nothing else is. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

static void it_is_never_0_and_stays(void **state)
{
	uint64_t id = kci_process_id();

	assert_true(id != 0);
	assert_true(kci_process_id() == id);
}

static long id_of_thread(void *arg)
{
	(void)arg;
	return (long)kci_process_id();
}

static void all_threads_share_it(void **state)
{
	struct kct_call calls[8];
	uint64_t id = kci_process_id();

	for (int i = 0; i < 8; i++)
		kct_call_start(&calls[i], id_of_thread, NULL);
	for (int i = 0; i < 8; i++)
		assert_int_equal(kct_call_join(&calls[i]), id);
}

/* In a child: 0 if its identity is higher than the parent's and stays. */
static int differs_from(void *arg)
{
	uint64_t parent = *(uint64_t *)arg;
	uint64_t own = kci_process_id();

	return !(own > parent && kci_process_id() == own);
}

static void a_child_has_another(void **state)
{
	uint64_t id = kci_process_id();

	assert_int_equal(kct_in_child(differs_from, &id), 0);
	assert_int_equal(kct_in_child(differs_from, &id), 0);
	assert_true(kci_process_id() == id);
}

static int grandchild(void *arg)
{
	uint64_t ids[2] = { *(uint64_t *)arg, kci_process_id() };

	return ids[1] > ids[0] ? kct_in_child(differs_from, &ids[1]) : 1;
}

static void a_grandchild_differs_from_both(void **state)
{
	uint64_t id = kci_process_id();

	assert_int_equal(kct_in_child(grandchild, &id), 0);
}

/* A child that asks nothing before it forks itself. */
static int silent_parent(void *arg)
{
	return kct_in_child(differs_from, arg);
}

static void a_silent_generation_changes_nothing(void **state)
{
	uint64_t id = kci_process_id();

	assert_int_equal(kct_in_child(silent_parent, &id), 0);
}

static void a_raw_clone_has_another(void **state)
{
	uint64_t id = kci_process_id();
	int status = 0;
	long pid;

	/* as fork() would, but past libc and its atfork handlers */
	pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		syscall(SYS_exit_group, differs_from(&id));
	assert_true(pid > 0);
	while (waitpid((pid_t)pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(it_is_never_0_and_stays),
		KCT_TEST(all_threads_share_it),
		KCT_TEST(a_child_has_another),
		KCT_TEST(a_grandchild_differs_from_both),
		KCT_TEST(a_silent_generation_changes_nothing),
		KCT_TEST(a_raw_clone_has_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
