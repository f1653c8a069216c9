/* SPDX-License-Identifier: BSD-3-Clause */
/* Overflows of a coroutine's stack: they stop at the guard, and the reporter says whose. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/engine.h"
#include "tests/lib/kct.h"

static volatile unsigned depth_wanted = 1000000000;

static unsigned __attribute__((noinline)) recurse(unsigned depth)
{
	volatile char frame[512];

	frame[depth % sizeof(frame)] = 1;
	if (depth >= depth_wanted)
		return 0;
	return recurse(depth + 1) + (unsigned)frame[depth % sizeof(frame)];
}

static long too_deep(void *arg)
{
	kc_coro_set_name("mole");
	return (long)recurse(0);
}

static volatile uintptr_t nowhere = 16;

static long wild(void *arg)
{
	*(volatile char *)nowhere = 1;
	return 0;
}

static void on_signal(int sig)
{
	static const char text[] = "the handler before\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(77);
}

struct plan {
	bool reports, handler, runs_itself;
	kc_coro_fn fn;
};

/* In a child, whose standard error goes to fd. */
static void fall(const struct plan *p, int fd)
{
	struct rlimit none = { 0, 0 };
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s;

	(void)dup2(fd, STDERR_FILENO);
	(void)setrlimit(RLIMIT_CORE, &none);
	/* not the sanitizers' handlers, which report in their own way */
	(void)signal(SIGSEGV, p->handler ? on_signal : SIG_DFL);
	(void)signal(SIGBUS, p->handler ? on_signal : SIG_DFL);
	if (p->reports && kc_sched_report_overflow() != 0)
		_exit(1);
	if (p->reports && kc_sched_report_overflow() != KC_EEXIST)
		_exit(2);
	o.workers = 1;
	o.flags = p->runs_itself ? KC_SCHED_DETERMINISTIC : 0;
	if (kc_sched_create(&s, &o) < 0 || kc_spawn(NULL, s, p->fn, NULL) < 0)
		_exit(3);
	_exit(p->runs_itself ? 4 + kc_sched_run(s) : 5 + kc_sched_drain(s, KCT_PATIENCE_MS));
}

static char said[4096];

/* Returns the child's wait status; said: what it wrote to standard error. */
static int watch(const struct plan *p)
{
	size_t n = 0;
	ssize_t got;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		kci_waiter_set_hook(NULL);
		fall(p, fds[1]);
	}
	assert_true(pid > 0);
	close(fds[1]);
	while (n < sizeof(said) - 1 && (got = read(fds[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool died(int status)
{
	return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
}

#define LINE                                                                                       \
	"kcoro: stack overflow: coroutine \"mole\" has used up its stack of 65536 bytes "          \
	"(kc_sched_options.stack_size)\n"

static void without_a_reporter_the_process_dies(void **state)
{
	struct plan p = { .fn = too_deep };

	assert_true(died(watch(&p)));
	assert_string_equal(said, "");
}

static void the_reporter_says_who_it_was(void **state)
{
	struct plan p = { .fn = too_deep, .reports = true };

	assert_true(died(watch(&p)));
	assert_string_equal(said, LINE);
	p.runs_itself = true;
	assert_true(died(watch(&p)));
	assert_string_equal(said, LINE);
}

static void the_handler_before_is_asked_too(void **state)
{
	struct plan p = { .fn = too_deep, .reports = true, .handler = true };
	int status = watch(&p);

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
	assert_string_equal(said, LINE "the handler before\n");
}

static void other_faults_are_not_reported(void **state)
{
	struct plan p = { .fn = wild, .reports = true };
	int status = watch(&p);

	assert_true(died(status));
	assert_string_equal(said, "");
	p.handler = true;
	status = watch(&p);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
	assert_string_equal(said, "the handler before\n");
}

/* ---- canaries --------------------------------------------------------------- */

static long write_below(void *arg)
{
	struct kc_coro *co = kc_current();

	kci_stack_bottom(&co->sched->stacks, co->stack)[-4] = 1;
	return 5;
}

static long nothing(void *arg)
{
	return 6;
}

static void where_nothing_else_guards_the_end_tells(void **state)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	struct kc_sched_stats st = { .size = sizeof(st) };
	kc_coro_t *co[2];
	kc_sched_t *s;
	long r = 0;

	o.workers = 1;
	assert_int_equal(kc_sched_create(&s, &o), 0);
	/* as on a kernel without guards, when mprotect's are used up; nothing is cut yet */
	s->stacks.guard = KCI_GUARD_CANARY;
	assert_int_equal(kc_spawn(&co[0], s, write_below, NULL), 0);
	assert_int_equal(kc_spawn(&co[1], s, nothing, NULL), 0);
	assert_int_equal(kc_join(co[0], &r, KCT_PATIENCE_MS), KC_EBROKEN);
	assert_int_equal(r, 5);
	assert_non_null(strstr(kc_error_detail(), "65536"));
	assert_int_equal(kc_join(co[1], &r, KCT_PATIENCE_MS), 0);
	assert_int_equal(r, 6);
	assert_int_equal(kc_sched_stats(s, &st), 0);
	assert_int_equal(st.overflows, 1);
	/* its stack is as good as new */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kc_spawn(&co[0], s, nothing, NULL), 0);
		assert_int_equal(kc_join(co[0], NULL, KCT_PATIENCE_MS), 0);
	}
	assert_int_equal(kc_sched_drain(s, KCT_PATIENCE_MS), 0);
	assert_int_equal(kc_sched_destroy(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(without_a_reporter_the_process_dies),
		KCT_TEST(the_reporter_says_who_it_was),
		KCT_TEST(the_handler_before_is_asked_too),
		KCT_TEST(other_faults_are_not_reported),
		KCT_TEST(where_nothing_else_guards_the_end_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
