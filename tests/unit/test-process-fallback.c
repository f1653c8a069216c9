/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Process identity where the kernel does not know MADV_WIPEONFORK. A filter makes
 * madvise() refuse it, so this needs a program of its own: the identity must not
 * have been asked for before.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "libkcoro-client/port/kcoro_port.h"
#include "tests/lib/kct.h"

#define WIPEONFORK 18

/* The low half of the third argument of a system call. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARG2_LOW offsetof(struct seccomp_data, args[2])
#else
#define ARG2_LOW (offsetof(struct seccomp_data, args[2]) + 4)
#endif

static int refuse_wipeonfork(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG2_LOW),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WIPEONFORK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = KC_ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static void the_advice_is_refused(void **state)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(madvise(page, 4096, WIPEONFORK), -1);
	assert_int_equal(munmap(page, 4096), 0);
}

static int differs_from(void *arg)
{
	return kci_process_id() <= *(uint64_t *)arg;
}

static int grandchild(void *arg)
{
	uint64_t own = kci_process_id();

	return own > *(uint64_t *)arg ? kct_in_child(differs_from, &own) : 1;
}

static void a_fork_is_noticed_all_the_same(void **state)
{
	uint64_t id = kci_process_id();

	assert_true(id != 0);
	assert_true(kci_process_id() == id);
	assert_int_equal(kct_in_child(differs_from, &id), 0);
	assert_int_equal(kct_in_child(grandchild, &id), 0);
	assert_true(kci_process_id() == id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(the_advice_is_refused),
		KCT_TEST(a_fork_is_noticed_all_the_same),
	};

	if (refuse_wipeonfork() < 0) {
		print_message("1..0 # SKIP no seccomp filters here\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
