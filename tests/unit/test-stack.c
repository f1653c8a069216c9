/* SPDX-License-Identifier: BSD-3-Clause */
/* Stacks: what a pool hands out, how each is guarded, what is kept and what goes back. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libkcoro-client/sched/sanitize.h"
#include "libkcoro-client/sched/stack.h"
#include "tests/lib/kct.h"

#define N 300u

static struct kci_stack_pool pool;
static struct kci_stack stacks[N];

static void make(size_t size, size_t warm, enum kci_guard guard)
{
	kci_stack_pool_init(&pool, size, N, warm, guard);
}

static void take(unsigned n)
{
	assert_int_equal(kci_stack_take(&pool, stacks, n), n);
}

static int compare(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	return (x > y) - (x < y);
}

static void stacks_are_apart_and_usable(void **state)
{
	char *tops[N];

	make(20000, N, KCI_GUARD_INSTALL);
	assert_int_equal(pool.size % (size_t)sysconf(_SC_PAGESIZE), 0);
	assert_true(pool.size >= 20000);
	take(N);
	for (unsigned i = 0; i < N; i++) {
		tops[i] = kci_stack_top(&pool, stacks[i]);
		assert_int_equal(tops[i] - kci_stack_bottom(&pool, stacks[i]), pool.size);
		memset(kci_stack_bottom(&pool, stacks[i]), 0x5a, pool.size);
	}
	qsort(tops, N, sizeof(tops[0]), compare);
	for (unsigned i = 1; i < N; i++)
		assert_true(tops[i] - tops[i - 1] >= (ptrdiff_t)(pool.size + pool.page));
	kci_stack_give(&pool, stacks, N);
	kci_stack_pool_done(&pool);
}

static void a_pool_has_an_end(void **state)
{
	make(KCT_SHORT_MS * 4096, N, KCI_GUARD_INSTALL);
	take(N);
	assert_int_equal(kci_stack_take(&pool, stacks, 1), 0);
	kci_stack_give(&pool, stacks, 1);
	take(1);
	assert_int_equal(pool.n_used, N);
	kci_stack_pool_done(&pool);
}

static void the_last_freed_is_taken_warm(void **state)
{
	char *bottom;

	make(65536, N, KCI_GUARD_INSTALL);
	take(10);
	for (unsigned i = 0; i < 10; i++)
		*kci_stack_bottom(&pool, stacks[i]) = 7;
	bottom = kci_stack_bottom(&pool, stacks[4]);
	kci_stack_give(&pool, &stacks[4], 1);
	assert_int_equal(pool.n_warm, 1);
	take(1);
	assert_ptr_equal(kci_stack_bottom(&pool, stacks[0]), bottom);
	assert_int_equal(*bottom, 7);
	assert_int_equal(pool.n_warm, 0);
	assert_int_equal(pool.n_cut, 10);
	kci_stack_pool_done(&pool);
}

/* How many pages of a stack are in memory. */
static unsigned resident(struct kci_stack s)
{
	unsigned char pages[1024];
	unsigned n = 0;

	assert_int_equal(mincore(kci_stack_bottom(&pool, s), pool.size, pages), 0);
	for (size_t i = 0; i < pool.size / pool.page; i++)
		n += pages[i] & 1;
	return n;
}

static void after_a_burst_memory_goes_back(void **state)
{
	make(65536, 8, KCI_GUARD_INSTALL);
	take(N);
	for (unsigned i = 0; i < N; i++)
		memset(kci_stack_bottom(&pool, stacks[i]), 1, pool.size);
	assert_true(pool.n_slabs > 1);
	/* all but the first, whose slab has to stay */
	kci_stack_give(&pool, stacks + 1, N - 1);
	/* once there is time */
	assert_int_equal(pool.n_warm, N - 1);
	assert_true(kci_stack_trim(&pool));
	assert_int_equal(pool.n_warm, N - 1 - KCI_TRIM_ONCE);
	while (kci_stack_trim(&pool))
		;
	assert_int_equal(pool.n_warm, 8);
	/* its slab, and those that hold what is kept warm */
	assert_true(pool.n_slabs <= 2);
	assert_int_equal(resident(stacks[0]), pool.size / pool.page);
	take(9);
	/* the ninth had to be a cold one */
	assert_int_equal(resident(stacks[8]), 0);
	kci_stack_pool_done(&pool);
}

/* ---- guards ----------------------------------------------------------------- */

static char *victim;

static int write_there(void *arg)
{
	struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	/* the sanitizers' handlers would make an exit of it */
	(void)signal(SIGSEGV, SIG_DFL);
	(void)signal(SIGBUS, SIG_DFL);
	*(volatile char *)victim = 1;
	return 0;
}

static bool is_guarded(enum kci_guard guard)
{
	bool guarded;

	make(65536, N, guard);
	take(2);
	victim = kci_stack_bottom(&pool, stacks[1]);
	assert_int_equal(kct_in_child(write_there, NULL), 0);
	victim--;
	guarded = kct_in_child(write_there, NULL) == -1;
	kci_stack_pool_done(&pool);
	return guarded;
}

static void the_kernel_or_mprotect_guards(void **state)
{
	assert_true(is_guarded(KCI_GUARD_INSTALL));
	assert_true(is_guarded(KCI_GUARD_PROTECT));
	assert_false(is_guarded(KCI_GUARD_CANARY));
}

static void a_guard_outlives_a_burst(void **state)
{
	make(65536, 1, KCI_GUARD_INSTALL);
	take(10);
	kci_stack_give(&pool, stacks + 1, 9);
	take(9);
	victim = kci_stack_bottom(&pool, stacks[8]) - 1;
	assert_int_equal(kct_in_child(write_there, NULL), -1);
	kci_stack_pool_done(&pool);
}

static void a_canary_tells(void **state)
{
	make(65536, N, KCI_GUARD_CANARY);
	take(3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(kci_stack_intact(&pool, stacks[i]));
	*kci_stack_bottom(&pool, stacks[1]) = 1;
	assert_true(kci_stack_intact(&pool, stacks[1]));
	kci_stack_bottom(&pool, stacks[1])[-8] = 1;
	assert_true(kci_stack_intact(&pool, stacks[0]));
	assert_false(kci_stack_intact(&pool, stacks[1]));
	assert_true(kci_stack_intact(&pool, stacks[2]));
	kci_stack_pool_done(&pool);
}

/* ---- mappings --------------------------------------------------------------- */

static long mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	long n = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void stacks_cost_few_mappings(void **state)
{
	struct kci_stack s[64];
	bool installs;
	long before = mappings();

	if (KCI_ASAN || KCI_TSAN)
		skip(); /* what they map beside each mapping counts too */
	kci_stack_pool_init(&pool, 65536, 10000, 0, KCI_GUARD_INSTALL);
	for (unsigned i = 0; i < 10000; i += 50)
		assert_int_equal(kci_stack_take(&pool, s, 50), 50);
	installs = pool.guard == KCI_GUARD_INSTALL;
	if (installs)
		assert_true(mappings() - before <= 10000 / 50);
	else
		print_message("# this kernel has no MADV_GUARD_INSTALL\n");
	kci_stack_pool_done(&pool);
	if (!installs)
		skip();
}

static void without_memory_there_is_no_stack(void **state)
{
	make(65536, N, KCI_GUARD_INSTALL);
	kct_alloc_fail_from(1);
	assert_int_equal(kci_stack_take(&pool, stacks, 1), 0);
	assert_int_equal(kct_alloc_fail_end(), 1);
	take(1);
	kci_stack_pool_done(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(stacks_are_apart_and_usable),
		KCT_TEST(a_pool_has_an_end),
		KCT_TEST(the_last_freed_is_taken_warm),
		KCT_TEST(after_a_burst_memory_goes_back),
		KCT_TEST(the_kernel_or_mprotect_guards),
		KCT_TEST(a_guard_outlives_a_burst),
		KCT_TEST(a_canary_tells),
		KCT_TEST(stacks_cost_few_mappings),
		KCT_TEST(without_memory_there_is_no_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
