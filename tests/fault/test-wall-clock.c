/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wall clock jumps by days, back and forth, and kcorod does not care.
 *
 * Nobody may set the clock of the machine for that, and time namespaces do not shift this
 * one. So the daemon runs under a tracer: it gets no vDSO, so that it must ask the kernel
 * for the time, and whatever it is told of the wall clock is another time each time.
 */
#include <errno.h>
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/ptrace.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/daemon.h"
#include "tests/lib/kct.h"
#include "tests/lib/wire.h"

/* The kernel's numbers of the clocks that can be set. */
enum { WALL = 0, WALL_COARSE = 5, WALL_TAI = 11 };

#define STACK_MAX 16384 /* words of argc, argv, envp and auxv */

static struct kct_daemon kcorod;
static struct kct_event started;
static int start_code;
static uint64_t seed;

/* What the daemon asked for. */
static _Atomic uint64_t wall_asked, monotonic_asked;

/* ---- the tracer ------------------------------------------------------------- */

static int be_traced(void *arg)
{
	(void)arg;
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

/* The next stop of the daemon: 1; 0: it has ended, and somebody else shall reap it. */
static int next_stop(int *ret_status)
{
	siginfo_t si = { 0 };

	while (waitid(P_PID, (id_t)kcorod.pid, &si, WEXITED | WSTOPPED | WNOWAIT | __WALL) < 0)
		if (errno != EINTR)
			return 0;
	if (si.si_code != CLD_TRAPPED && si.si_code != CLD_STOPPED)
		return 0;
	return waitpid(kcorod.pid, ret_status, __WALL) == kcorod.pid && WIFSTOPPED(*ret_status);
}

static bool get_info(struct ptrace_syscall_info *ret)
{
	return ptrace(PTRACE_GET_SYSCALL_INFO, kcorod.pid, sizeof(*ret), ret) > 0;
}

static bool poke(uint64_t at, const void *data, size_t len)
{
	struct iovec here = { (void *)(uintptr_t)data, len }, there = { (void *)(uintptr_t)at, len };

	return process_vm_writev(kcorod.pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

/* On the stack of a new program: argc, its arguments, NULL, the environment, NULL, pairs of
 * numbers. One of these tells where the vDSO is. */
static bool hide_vdso(void)
{
	static unsigned long words[STACK_MAX];
	struct ptrace_syscall_info info;
	const unsigned long ignore = AT_IGNORE;
	struct iovec here = { words, sizeof(words) }, there;
	ssize_t n = -1;
	size_t i, count;

	if (!get_info(&info))
		return false;
	/* the stack may end before all of it: less and less is asked for */
	for (; n < 0 && here.iov_len > 4096; here.iov_len -= 4096) {
		there = (struct iovec){ (void *)(uintptr_t)info.stack_pointer, here.iov_len };
		n = process_vm_readv(kcorod.pid, &here, 1, &there, 1, 0);
	}
	count = n > 0 ? (size_t)n / sizeof(*words) : 0;
	for (i = 1; i < count && words[i]; i++) /* arguments */
		;
	for (i++; i < count && words[i]; i++) /* environment */
		;
	for (i++; i + 1 < count && words[i] != AT_NULL; i += 2)
		if (words[i] == AT_SYSINFO_EHDR)
			return poke(info.stack_pointer + i * sizeof(*words), &ignore,
				    sizeof(ignore));
	return false;
}

/* Some time within a hundred years. */
static time_t any_time(void)
{
	return (time_t)(kct_random(&seed) % UINT64_C(3155760000));
}

/* The call has been made: what it said is another time now. */
static void falsify(const struct ptrace_syscall_info *entry)
{
	uint64_t clock = entry->entry.args[0];

	if (entry->entry.nr == SYS_gettimeofday) {
		struct timeval tv = { .tv_sec = any_time() };

		wall_asked++;
		(void)poke(entry->entry.args[0], &tv, sizeof(tv));
		return;
	}
	if (entry->entry.nr != SYS_clock_gettime)
		return;
	if (clock == WALL || clock == WALL_COARSE || clock == WALL_TAI) {
		struct timespec ts = { .tv_sec = any_time() };

		wall_asked++;
		(void)poke(entry->entry.args[1], &ts, sizeof(ts));
	} else {
		monotonic_asked++;
	}
}

/* Let it run from call to call until it ends. */
static void trace(void)
{
	struct ptrace_syscall_info info, entry = { 0 };
	int status, signo = 0;

	while (ptrace(PTRACE_SYSCALL, kcorod.pid, NULL, signo) == 0 && next_stop(&status)) {
		signo = WSTOPSIG(status);
		if (signo != (SIGTRAP | 0x80))
			continue; /* a signal: it gets it */
		signo = 0;
		if (!get_info(&info))
			continue;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			entry = info;
		else if (info.op == PTRACE_SYSCALL_INFO_EXIT && !info.exit.is_error)
			falsify(&entry);
	}
}

/* Who traces must be who forked. */
static long start_and_trace(void *arg)
{
	int status;

	(void)arg;
	start_code = kct_daemon_start_prepared(&kcorod, false, be_traced, NULL);
	if (start_code == 0 && (!next_stop(&status) ||
				ptrace(PTRACE_SETOPTIONS, kcorod.pid, NULL,
				       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0 ||
				!hide_vdso()))
		start_code = -ENOTSUP;
	kct_event_set(&started);
	if (start_code == 0)
		trace();
	return 0;
}

/* ---- what must go on as ever ------------------------------------------------ */

static void deadlines_and_leases_know_no_wall_clock(void **state)
{
	struct kct_call tracer;
	struct kct_wire w;
	const struct kct_frame *f;
	uint64_t before, took;
	uint32_t at;

	(void)state;
	seed = kct_seed();
	started = (struct kct_event)KCT_EVENT_INIT;
	/* nobody looks for leaks in a process that is traced */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	kct_call_start(&tracer, start_and_trace, NULL);
	kct_event_wait(&started);
	if (start_code == -ENOTSUP) {
		kct_daemon_kill(&kcorod);
		kct_call_join(&tracer);
		print_message("# this machine allows no tracing\n");
		skip();
	}
	assert_int_equal(start_code, 0);
	kct_wire_hello(&w, kcorod.path);
	at = kct_make(&w, "timed", KCP_KIND_UNLIMITED, 0, 0, 3);
	for (int i = 0; i < 5; i++) {
		before = kci_clock_now();
		assert_int_equal(kct_result_of(&w, kct_recv(&w, at, 1, 0, 100)), KCP_TIME);
		took = (kci_clock_now() - before) / KC_NS_PER_MS;
		assert_in_range(took, 100, 10000);
	}
	/* a lease lapses when it should */
	assert_int_equal(kct_result_of(&w, kct_send(&w, at, "leased", 0)), KCP_OK);
	kct_begin(&w, KCP_RECV);
	kcp_put_u32(&w.out, KCP_T_ATTACH, at);
	kcp_put_u32(&w.out, KCP_T_FLAGS, KCP_F_LEASE);
	kcp_put_u32(&w.out, KCP_T_LEASE_MS, 200);
	before = kci_clock_now();
	f = kct_reply(&w, kct_end(&w));
	kct_assert_messages(f, 0, 1, "leased");
	kct_taken(&w, at, kcp_num(&f->args, KCP_T_DELIVERY, 0), 1);
	kct_assert_messages(kct_reply(&w, kct_recv(&w, at, 1, 0, KCT_FOREVER)), 0, 1, "leased");
	took = (kci_clock_now() - before) / KC_NS_PER_MS;
	assert_in_range(took, 200, 10000);
	kct_wire_bye(&w);
	printf("# kcorod asked for the wall clock %llu times, for another one %llu times\n",
	       (unsigned long long)wall_asked, (unsigned long long)monotonic_asked);
	/* without a vDSO it does have to ask */
	assert_true(monotonic_asked > 20);
	assert_int_equal(kill(kcorod.pid, SIGTERM), 0);
	kct_call_join(&tracer);
	assert_int_equal(kct_daemon_stop(&kcorod), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(deadlines_and_leases_know_no_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
