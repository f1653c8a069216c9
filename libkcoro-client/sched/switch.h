/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch between two stacks.
 *
 * A context that does not run is one pointer: to what it saved on its own stack.
 * Saved is what the ABI lets a function expect to find unchanged after a call, and
 * nothing else: the callee-saved registers and the control words of floating point
 * (MXCSR and the x87's on x86-64, FPCR on AArch64).
 *
 * The switch leaves by an indirect jump: a return would be predicted to go where the
 * last call came from. For the same reason it is entered by a jump: a call that no
 * return belongs to would spoil the prediction of every return after it. So the way
 * back is handed over in a register, by the few instructions that are inline here.
 *
 * switch-x86_64.S and switch-aarch64.S have the rest; switch-ucontext.c has all of it
 * for every other machine; configure chooses (--with-switch).
 */
#ifndef KCI_SWITCH_H
#define KCI_SWITCH_H

#include <stdbool.h>

/* kci_switch(from, to, pass): leave the running context, whose pointer goes to *from, for
 * the context to. Gives, when somebody comes back, what that one passed. */
#if KC_SWITCH_X86_64
static inline __attribute__((always_inline)) void *kci_switch(void **from, void *to, void *pass)
{
	void *passed;

	/* below the red zone, which the compiler may use if it sees no call */
	__asm__ volatile("leaq	-128(%%rsp), %%rsp\n\t"
			 "leaq	1f(%%rip), %%rcx\n\t"
			 "jmp	kci_switch_jump\n"
			 "1:	leaq	128(%%rsp), %%rsp"
			 : "=a"(passed), "+D"(from), "+S"(to), "+d"(pass)
			 :
			 : "rcx", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2",
			   "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			   "xmm12", "xmm13", "xmm14", "xmm15"
#ifdef __AVX512F__
			   ,
			   "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
			   "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31",
			   "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#endif
	);
	return passed;
}
#elif KC_SWITCH_AARCH64
static inline __attribute__((always_inline)) void *kci_switch(void **from, void *to, void *pass)
{
	register void *x0 __asm__("x0") = from;
	register void *x1 __asm__("x1") = to;
	register void *x2 __asm__("x2") = pass;

	__asm__ volatile("adr	x9, 1f\n\t"
			 "b	kci_switch_jump\n"
			 "1:"
			 : "+r"(x0), "+r"(x1), "+r"(x2)
			 :
			 : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
			   "x14", "x15", "x16", "x17", "x30", "cc", "memory", "v0", "v1", "v2",
			   "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21",
			   "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
	return x0;
}
#else
void *kci_switch(void **from, void *to, void *pass);
#endif

/* The same for a context that will never be entered again: nothing is kept of it. */
__attribute__((noreturn)) void kci_switch_end(void *to, void *pass);

/* A context that begins with entry(pass) on the stack below top (16-byte aligned), with the
 * caller's floating-point control words. entry must not return. */
void *kci_switch_make(void *top, void (*entry)(void *pass));

/* false where the processor keeps a shadow stack for this thread: the switch does not
 * move that one, so the first return after it would fault. */
bool kci_switch_usable(void);

#endif
