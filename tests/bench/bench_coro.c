/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_coro - what coroutines cost.
 *
 *	switch			from one stack to another, against the barest code that
 *				keeps the same state and leaves by an indirect jump
 *	switch_integer		the same, against code that leaves the control words of
 *				floating point as they are
 *	yield			kc_yield() between two coroutines on one worker, against
 *				swapcontext() between two contexts
 *	spawn_join_1000		kc_spawn() and kc_join() of an empty coroutine in batches of
 *				1,000 on one worker, against the two switches it cannot do
 *				without
 *	parked_bytes_100k	resident bytes of each of 100,000 coroutines that wait for a
 *				channel, against one page
 *	rest_wakeups		of the workers of a pool of two, with a thousand coroutines that
 *				wait, in ten seconds
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "kcoro.h"
#include "libkcoro-client/port/kcoro_port.h"
#include "libkcoro-client/sched/switch.h"
#include "tests/bench/bench_report.h"

#define STACK 65536u
#define BATCH 1000u

static unsigned long n_switches = 5000000;
static unsigned long n_yields = 2000000;
static unsigned long n_batches = 300;
static unsigned long n_parked = 100000;

static double since(uint64_t start, double n)
{
	return (double)(kci_clock_now() - start) / n;
}

/* ---- references ------------------------------------------------------------- */

/* Both keep the callee-saved registers; bare_switch also the control words of floating
 * point, as the ABI wants, and bare_integer does not. */
typedef void *(*bare_fn)(void **from, void *to, void *pass);

void *bare_switch(void **from, void *to, void *pass);
void *bare_integer(void **from, void *to, void *pass);

#if defined(__x86_64__) && !defined(__ILP32__)
#define HAVE_BARE 1
#define BARE(name, save, load)                                                                     \
	__asm__(".text\n"                                                                          \
		".p2align 4\n"                                                                     \
		".globl " name "\n"                                                                \
		".type " name ", @function\n" name ":\n"                                           \
		"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n"                              \
		"	pushq %r13\n	pushq %r14\n	pushq %r15\n"                              \
		"	subq $8, %rsp\n" save "	movq %rsp, (%rdi)\n"                               \
		"	movq %rsi, %rsp\n" load "	addq $8, %rsp\n"                           \
		"	popq %r15\n	popq %r14\n	popq %r13\n"                               \
		"	popq %r12\n	popq %rbx\n	popq %rbp\n"                               \
		"	popq %rcx\n	movq %rdx, %rax\n	jmp *%rcx\n"                       \
		".size " name ", . - " name "\n")
BARE("bare_switch", "	stmxcsr (%rsp)\n	fnstcw 4(%rsp)\n",
     "	ldmxcsr (%rsp)\n	fldcw 4(%rsp)\n");
BARE("bare_integer", "", "");

static void *bare_make(char *top, void (*entry)(void))
{
	static const struct {
		uint32_t mxcsr;
		uint16_t x87;
	} usual = { 0x1f80, 0x037f };
	void **at = (void **)(void *)top;

	/* as if entry had been called: its caller's place comes first */
	at[-2] = (void *)entry;
	memcpy(&at[-9], &usual, sizeof(usual));
	return &at[-9];
}
#elif defined(__aarch64__)
#define HAVE_BARE 1
#define BARE(name, save, load)                                                                     \
	__asm__(".text\n"                                                                          \
		".p2align 4\n"                                                                     \
		".globl " name "\n"                                                                \
		".type " name ", %function\n" name ":\n"                                           \
		"	sub sp, sp, #176\n"                                                        \
		"	stp x19, x20, [sp]\n	stp x21, x22, [sp, #16]\n"                         \
		"	stp x23, x24, [sp, #32]\n	stp x25, x26, [sp, #48]\n"                 \
		"	stp x27, x28, [sp, #64]\n	stp x29, x30, [sp, #80]\n"                 \
		"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n"                        \
		"	stp d12, d13, [sp, #128]\n	stp d14, d15, [sp, #144]\n" save           \
		"	mov x4, sp\n	str x4, [x0]\n	mov sp, x1\n" load                         \
		"	ldp x19, x20, [sp]\n	ldp x21, x22, [sp, #16]\n"                         \
		"	ldp x23, x24, [sp, #32]\n	ldp x25, x26, [sp, #48]\n"                 \
		"	ldp x27, x28, [sp, #64]\n	ldp x29, x30, [sp, #80]\n"                 \
		"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n"                        \
		"	ldp d12, d13, [sp, #128]\n	ldp d14, d15, [sp, #144]\n"                \
		"	add sp, sp, #176\n	mov x0, x2\n"                                      \
		"	mov x16, x30\n	br x16\n"                                                  \
		".size " name ", . - " name "\n")
BARE("bare_switch", "	mrs x3, fpcr\n	str x3, [sp, #160]\n",
     "	ldr x3, [sp, #160]\n	msr fpcr, x3\n");
BARE("bare_integer", "", "");

static void *bare_make(char *top, void (*entry)(void))
{
	void **at = (void **)(void *)(top - 176);

	at[11] = (void *)entry;
	at[20] = NULL; /* FPCR */
	return at;
}
#endif

#ifdef HAVE_BARE
static void *bare_main, *bare_other;
static bare_fn bare;

static void bare_entry(void)
{
	bare_fn fn = bare;

	for (;;)
		(void)fn(&bare_other, bare_main, NULL);
}

/* ns per switch */
static int take_bare(bare_fn fn, double *ret)
{
	char *stack = aligned_alloc(64, STACK);
	uint64_t start;

	if (!stack)
		return bench_why(-ENOMEM, "no memory");
	bare = fn;
	bare_other = bare_make(stack + STACK, bare_entry);
	(void)fn(&bare_main, bare_other, NULL);
	start = kci_clock_now();
	for (unsigned long i = 0; i < n_switches; i++)
		(void)fn(&bare_main, bare_other, NULL);
	*ret = since(start, 2.0 * (double)n_switches);
	free(stack);
	return 0;
}
#else
static int take_bare(bare_fn fn, double *ret)
{
	(void)fn;
	(void)ret;
	return bench_why(-ENOTSUP, "no bare switch for this machine");
}
#define bare_switch  NULL
#define bare_integer NULL
#endif

static ucontext_t context_main, context_other;

static void context_entry(void)
{
	for (;;)
		(void)swapcontext(&context_other, &context_main);
}

static int take_ucontext(double *ret)
{
	unsigned long n = n_switches / 20 + 1;
	char *stack = malloc(STACK);
	uint64_t start;

	if (!stack || getcontext(&context_other) < 0) {
		free(stack);
		return bench_why(-ENOMEM, "no memory");
	}
	context_other.uc_stack.ss_sp = stack;
	context_other.uc_stack.ss_size = STACK;
	context_other.uc_link = NULL;
	makecontext(&context_other, context_entry, 0);
	start = kci_clock_now();
	for (unsigned long i = 0; i < n; i++)
		(void)swapcontext(&context_main, &context_other);
	*ret = since(start, 2.0 * (double)n);
	free(stack);
	return 0;
}

/* ---- ours ------------------------------------------------------------------- */

static void *our_main, *our_other;

static void our_entry(void *pass)
{
	for (;;)
		pass = kci_switch(&our_other, our_main, pass);
}

static int take_switch(const struct bench_figure *f, struct bench_pair *ret)
{
	char *stack = aligned_alloc(64, STACK);
	uint64_t start;
	int r = stack ? take_bare(f->arg ? bare_integer : bare_switch, &ret->reference) :
			bench_why(-ENOMEM, "no memory");

	if (r == 0) {
		our_other = kci_switch_make(stack + STACK, our_entry);
		(void)kci_switch(&our_main, our_other, NULL);
		start = kci_clock_now();
		for (unsigned long i = 0; i < n_switches; i++)
			(void)kci_switch(&our_main, our_other, NULL);
		ret->ours = since(start, 2.0 * (double)n_switches);
	}
	free(stack);
	return r;
}

static kc_sched_t *sched; /* one worker */

static int start_sched(void)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	int r;

	o.workers = 1;
	r = kc_sched_create(&sched, &o);
	if (r < 0)
		fprintf(stderr, "kc_sched_create: %s\n", kc_error_name(r));
	return r;
}

static int stop_sched(void)
{
	int r = kc_sched_destroy(sched);

	if (r < 0)
		fprintf(stderr, "kc_sched_destroy: %s\n", kc_error_name(r));
	return r;
}

/* Run fn(arg) in a coroutine. */
static int run(kc_coro_fn fn, void *arg)
{
	kc_coro_t *co;
	long result;
	int r = kc_spawn(&co, sched, fn, arg);

	if (r == 0)
		r = kc_join(co, &result, -1);
	if (r < 0)
		return bench_why(-EIO, "%s: %s", kc_error_name(r), kc_error_detail());
	return result == 0 ? 0 : bench_why(-EIO, "a coroutine failed: %ld", result);
}

/* One function for both, so that nothing but the switch is hard to predict. */
static long __attribute__((noinline)) yield_often(void *arg)
{
	(void)arg;
	for (unsigned long i = 0; i < n_yields; i++)
		kc_yield();
	return 0;
}

/* Two that yield to each other; arg: ns per yield. */
static long yield_pair(void *arg)
{
	double *ret = arg;
	kc_coro_t *other;
	uint64_t start;

	if (kc_spawn(&other, NULL, yield_often, NULL) < 0)
		return -1;
	start = kci_clock_now();
	(void)yield_often(NULL);
	*ret = since(start, 2.0 * (double)n_yields);
	return kc_join(other, NULL, -1);
}

static int take_yield(const struct bench_figure *f, struct bench_pair *ret)
{
	int r = take_ucontext(&ret->reference);

	(void)f;
	return r == 0 ? run(yield_pair, &ret->ours) : r;
}

static long nothing(void *arg)
{
	return (long)(intptr_t)arg;
}

static long spawn_batches(void *arg)
{
	static kc_coro_t *coros[BATCH];
	double *ret = arg;
	long sum = 0;
	uint64_t start = 0;

	/* the first batch makes the stacks */
	for (unsigned long i = 0; i <= n_batches; i++) {
		if (i == 1)
			start = kci_clock_now();
		for (unsigned long k = 0; k < BATCH; k++)
			if (kc_spawn(&coros[k], NULL, nothing, (void *)(intptr_t)k) < 0)
				return -1;
		for (unsigned long k = 0; k < BATCH; k++) {
			long result;

			if (kc_join(coros[k], &result, -1) < 0)
				return -1;
			sum += result;
		}
	}
	*ret = since(start, (double)n_batches * BATCH);
	return sum == (long)((n_batches + 1) * (BATCH - 1) * BATCH / 2) ? 0 : -1;
}

static int take_spawn(const struct bench_figure *f, struct bench_pair *ret)
{
	int r = take_bare(bare_switch, &ret->reference);

	(void)f;
	ret->reference *= 2;
	return r == 0 ? run(spawn_batches, &ret->ours) : r;
}

/* ---- parked ----------------------------------------------------------------- */

static long wait_for_close(void *arg)
{
	uint64_t value;

	return kc_chan_recv(arg, &value, -1) == KC_EPIPE ? 0 : -1;
}

/* Runs behind all that were spawned before it: on one worker they are parked then. */
static long look(void *arg)
{
	char text[64];
	unsigned long resident;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%*u %lu", &resident) != 1)
		return -1;
	*(double *)arg = (double)resident * (double)sysconf(_SC_PAGESIZE);
	return 0;
}

static int take_parked(const struct bench_figure *f, struct bench_pair *ret)
{
	double before = 0, after = 0;
	kc_chan_t *ch;
	int r;

	(void)f;
	ret->reference = (double)sysconf(_SC_PAGESIZE);
	/* a scheduler of its own: stacks that were used before would be in memory already */
	if (start_sched() < 0 || kc_chan_make(&ch, KC_RENDEZVOUS, 8, 0) < 0)
		return bench_why(-ENOMEM, "no scheduler or channel");
	r = run(look, &before);
	for (unsigned long i = 0; i < n_parked && r == 0; i++)
		if (kc_spawn(NULL, sched, wait_for_close, ch) < 0)
			r = bench_why(-ENOMEM, "kc_spawn: %s", kc_error_detail());
	if (r == 0)
		r = run(look, &after);
	kc_chan_close(ch);
	if (kc_sched_drain(sched, -1) < 0 || stop_sched() < 0)
		r = bench_why(-EIO, "the scheduler does not end");
	kc_chan_destroy(ch);
	ret->ours = (after - before) / (double)n_parked;
	return r;
}

static int take_parked_apart(const struct bench_figure *f, struct bench_pair *ret)
{
	kc_sched_t *saved = sched;
	int r = take_parked(f, ret);

	sched = saved;
	return r;
}

/* How often a worker has gone to sleep, which it does once for each time it is woken; -1 as long
 * as one is awake. */
static long sleeps(kc_sched_t *s)
{
	struct kc_sched_stats stats = { .size = sizeof(stats) };

	if (kc_sched_stats(s, &stats) < 0 || stats.idle < stats.workers)
		return -1;
	return (long)stats.sleeps;
}

static int take_rest(const struct bench_figure *f, struct bench_pair *ret)
{
	struct kc_sched_options o = KC_SCHED_OPTIONS_INIT;
	kc_sched_t *s = NULL;
	kc_chan_t *ch = NULL;
	long before = -1;
	int r;

	(void)f;
	o.workers = 2;
	r = kc_sched_create(&s, &o);
	if (r == 0)
		r = kc_chan_make(&ch, KC_RENDEZVOUS, sizeof(uint64_t), 0);
	for (unsigned i = 0; i < BATCH && r == 0; i++)
		r = kc_spawn(NULL, s, wait_for_close, ch);
	/* until all wait: half a second without a wake-up */
	for (long was = -2; r == 0 && (before < 0 || before != was);) {
		was = before;
		(void)poll(NULL, 0, 500);
		before = sleeps(s);
	}
	if (r == 0)
		(void)poll(NULL, 0, bench_options.quick ? 1000 : 10000);
	if (r == 0)
		*ret = (struct bench_pair){ .ours = (double)(sleeps(s) - before) };
	kc_chan_close(ch);
	if (s && kc_sched_drain(s, -1) < 0)
		r = KC_ETIME;
	kc_chan_destroy(ch);
	kc_sched_destroy(s);
	return r < 0 ? bench_why(r, "%s %s", kc_error_name(r), kc_error_detail()) : 0;
}

static struct bench_figure figures[] = {
	{ .name = "switch",
	  .unit = "ns",
	  .reference = "bare_switch",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_switch },
	{ .name = "switch_integer",
	  .unit = "ns",
	  .reference = "bare_integer",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_switch,
	  .arg = "" },
	{ .name = "yield",
	  .unit = "ns",
	  .reference = "ucontext_switch",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_yield },
	{ .name = "spawn_join_1000",
	  .unit = "ns",
	  .reference = "bare_switch_twice",
	  .class = BENCH_CLASS_ONE_CPU,
	  .take = take_spawn },
	{ .name = "parked_bytes_100k",
	  .unit = "bytes",
	  .reference = "page",
	  .no_class = true,
	  .take = take_parked_apart },
	{ .name = "rest_wakeups", .unit = "switches", .no_class = true, .take = take_rest },
};

int main(int argc, char **argv)
{
	bench_arguments(argc, argv, "", NULL, NULL, 0);
	n_switches = bench_scaled(n_switches, 1000);
	n_yields = bench_scaled(n_yields, 1000);
	n_batches = bench_scaled(n_batches, 1);
	n_parked = bench_scaled(n_parked, 1000);
	return bench_run(figures, KC_ARRAY_SIZE(figures), start_sched, stop_sched);
}
