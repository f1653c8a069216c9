/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch of stacks: what a context keeps, what it is given, where it begins. */
#include <fenv.h>
#include <stdlib.h>

#include "libkcoro-client/sched/sanitize.h"
#include "libkcoro-client/sched/switch.h"
#include "tests/lib/kct.h"

#define STACK 65536u

static struct kci_fiber fiber_main, fiber_other;
static void *sp_main, *sp_other;
static char *stack;

static void *to_other(void *pass)
{
	void *r;

	kci_fiber_leave(&fiber_main, &fiber_other, 0);
	r = kci_switch(&sp_main, sp_other, pass);
	kci_fiber_enter(&fiber_main, &fiber_main, 0);
	return r;
}

static void *to_main(void *pass)
{
	void *r;

	kci_fiber_leave(&fiber_other, &fiber_main, 0);
	r = kci_switch(&sp_other, sp_main, pass);
	kci_fiber_enter(&fiber_other, &fiber_main, 1);
	return r;
}

static __attribute__((noreturn)) void end_other(void *pass)
{
	kci_fiber_leave(&fiber_other, &fiber_main, 1);
	kci_switch_end(sp_main, pass);
}

static void begin(void (*entry)(void *))
{
	stack = aligned_alloc(64, STACK);
	assert_non_null(stack);
	kci_fiber_adopt(&fiber_main);
	kci_fiber_make(&fiber_other, stack, STACK);
	sp_other = kci_switch_make(stack + STACK, entry);
}

static void finish(void)
{
	kci_fiber_done(&fiber_other);
	free(stack);
}

static void counts(void *pass)
{
	kci_fiber_enter(&fiber_other, &fiber_main, 1);
	for (int i = 0; i < 3; i++)
		pass = to_main((char *)pass + 1);
	end_other((char *)pass + 100);
}

static void what_is_passed_arrives(void **state)
{
	static char base[256];
	void *p = base;

	begin(counts);
	for (int i = 1; i <= 3; i++) {
		p = to_other(p);
		assert_ptr_equal(p, base + i);
	}
	p = to_other(p);
	assert_ptr_equal(p, base + 103);
	finish();
}

static void checks_alignment(void *pass)
{
	/* the ABI promises this to every function; vector code relies on it */
	_Alignas(16) volatile char aligned[32];
	volatile uintptr_t at = (uintptr_t)aligned;

	kci_fiber_enter(&fiber_other, &fiber_main, 1);
	aligned[0] = 1;
	(void)to_main((void *)(at % 16 + 1));
}

static void a_stack_begins_aligned(void **state)
{
	begin(checks_alignment);
	assert_int_equal((uintptr_t)to_other(NULL), 1);
	finish();
}

/* A third, rounded as SSE or VFP is set to, and as the x87 is. */
static double third(void)
{
	volatile double one = 1.0, three = 3.0;

	return one / three;
}

static long double long_third(void)
{
	volatile long double one = 1.0L, three = 3.0L;

	return one / three;
}

static double other_third;
static long double other_long_third;
static int other_round;

static void rounds_down(void *pass)
{
	kci_fiber_enter(&fiber_other, &fiber_main, 1);
	other_round = fegetround(); /* of who made it */
	(void)fesetround(FE_DOWNWARD);
	(void)to_main(pass);
	other_third = third();
	other_long_third = long_third();
	end_other(pass);
}

static void each_context_has_its_own_rounding(void **state)
{
	double up, down;
	long double long_up, long_down;

	(void)fesetround(FE_DOWNWARD);
	down = third();
	long_down = long_third();
	(void)fesetround(FE_UPWARD);
	up = third();
	long_up = long_third();
	assert_true(up > down);
	assert_true(long_up > long_down);
	begin(rounds_down);
	(void)to_other(NULL);
	assert_int_equal(other_round, FE_UPWARD);
	assert_int_equal(fegetround(), FE_UPWARD);
	assert_true(third() == up);
	assert_true(long_third() == long_up);
	(void)to_other(NULL);
	assert_true(other_third == down);
	assert_true(other_long_third == long_down);
	assert_true(third() == up);
	assert_true(long_third() == long_up);
	(void)fesetround(FE_TONEAREST);
	finish();
}

/* registers(fn): give each callee-saved register a value of its own, call fn, and return how
 * many of them have another one afterwards. */
int registers(void (*fn)(void));
/* trash(fn): the same with other values, and nobody looks afterwards. */
void trash(void (*fn)(void));

#if defined(__x86_64__)
#define SAVED_REGISTERS 1
__asm__(".text\n"
	"registers:\n"
	"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	movq $0x11, %rbp\n	movq $0x12, %rbx\n	movq $0x13, %r12\n"
	"	movq $0x14, %r13\n	movq $0x15, %r14\n	movq $0x16, %r15\n"
	"	call *%rdi\n"
	"	xorl %eax, %eax\n"
	"	cmpq $0x11, %rbp\n	je 1f\n	incl %eax\n"
	"1:	cmpq $0x12, %rbx\n	je 1f\n	incl %eax\n"
	"1:	cmpq $0x13, %r12\n	je 1f\n	incl %eax\n"
	"1:	cmpq $0x14, %r13\n	je 1f\n	incl %eax\n"
	"1:	cmpq $0x15, %r14\n	je 1f\n	incl %eax\n"
	"1:	cmpq $0x16, %r15\n	je 1f\n	incl %eax\n"
	"1:	addq $8, %rsp\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbx\n	popq %rbp\n"
	"	ret\n"
	"trash:\n"
	"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	movq $0x21, %rbp\n	movq $0x22, %rbx\n	movq $0x23, %r12\n"
	"	movq $0x24, %r13\n	movq $0x25, %r14\n	movq $0x26, %r15\n"
	"	call *%rdi\n"
	"	addq $8, %rsp\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbx\n	popq %rbp\n"
	"	ret\n");
#elif defined(__aarch64__)
#define SAVED_REGISTERS 1
#define SAVE                                                                                       \
	"	sub sp, sp, #160\n"                                                                \
	"	stp x19, x20, [sp]\n	stp x21, x22, [sp, #16]\n	stp x23, x24, [sp, #32]\n" \
	"	stp x25, x26, [sp, #48]\n	stp x27, x28, [sp, #64]\n"                         \
	"	stp x29, x30, [sp, #80]\n"                                                         \
	"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n"                                \
	"	stp d12, d13, [sp, #128]\n	stp d14, d15, [sp, #144]\n"
#define RESTORE                                                                                    \
	"	ldp x19, x20, [sp]\n	ldp x21, x22, [sp, #16]\n	ldp x23, x24, [sp, #32]\n" \
	"	ldp x25, x26, [sp, #48]\n	ldp x27, x28, [sp, #64]\n"                         \
	"	ldp x29, x30, [sp, #80]\n"                                                         \
	"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n"                                \
	"	ldp d12, d13, [sp, #128]\n	ldp d14, d15, [sp, #144]\n"                        \
	"	add sp, sp, #160\n	ret\n"
#define SET(x, d, n) "	mov x" #x ", #" #n "\n	fmov d" #d ", x" #x "\n"
#define SEE(x, n)    "	cmp x" #x ", #" #n "\n	cinc w0, w0, ne\n"
#define SEE_D(d, n)  "	fmov x9, d" #d "\n	cmp x9, #" #n "\n	cinc w0, w0, ne\n"
__asm__(".text\n"
	"registers:\n" SAVE SET(19, 8, 19) SET(20, 9, 20) SET(21, 10, 21) SET(22, 11, 22)
	SET(23, 12, 23) SET(24, 13, 24) SET(25, 14, 25) SET(26, 15, 26)
	"	mov x27, #27\n	mov x28, #28\n	mov x29, #29\n"
	"	blr x0\n	mov w0, #0\n" SEE(19, 19) SEE(20, 20) SEE(21, 21) SEE(22, 22) SEE(23, 23)
	SEE(24, 24) SEE(25, 25) SEE(26, 26) SEE(27, 27) SEE(28, 28) SEE(29, 29) SEE_D(8, 19)
	SEE_D(9, 20) SEE_D(10, 21) SEE_D(11, 22) SEE_D(12, 23) SEE_D(13, 24) SEE_D(14, 25)
	SEE_D(15, 26) RESTORE
	"trash:\n" SAVE SET(19, 8, 119) SET(20, 9, 120) SET(21, 10, 121) SET(22, 11, 122)
	SET(23, 12, 123) SET(24, 13, 124) SET(25, 14, 125) SET(26, 15, 126)
	"	mov x27, #127\n	mov x28, #128\n	mov x29, #129\n	blr x0\n" RESTORE);
#endif

#ifdef SAVED_REGISTERS
static void go_there(void)
{
	(void)to_other(NULL);
}

static void go_back(void)
{
	(void)to_main(NULL);
}

static void trashes(void *pass)
{
	kci_fiber_enter(&fiber_other, &fiber_main, 1);
	for (;;)
		trash(go_back);
}
#endif

static void registers_survive(void **state)
{
#ifdef SAVED_REGISTERS
	begin(trashes);
	for (int i = 0; i < 3; i++)
		assert_int_equal(registers(go_there), 0);
	finish();
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KCT_TEST(what_is_passed_arrives),
		KCT_TEST(a_stack_begins_aligned),
		KCT_TEST(each_context_has_its_own_rounding),
		KCT_TEST(registers_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
