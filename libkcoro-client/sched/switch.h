/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch between two stacks.
 *
 * A context that does not run is one pointer: to what it saved on its own stack.
 * Saved is what the ABI lets a function expect to find unchanged after a call, and
 * nothing else: the callee-saved registers and the control words of floating point
 * (MXCSR's and the x87's on x86-64, FPCR on AArch64). The switch leaves by an
 * indirect jump: a return would be predicted by the wrong caller.
 *
 * switch-x86_64.S and switch-aarch64.S have it in assembly, switch-ucontext.c for
 * every other machine; configure chooses (--with-switch).
 */
#ifndef KCI_SWITCH_H
#define KCI_SWITCH_H

#include <stdbool.h>

/* Leave the running context, whose pointer goes to *from, for the context to. Returns,
 * when somebody comes back, what that one passed. */
void *kci_switch(void **from, void *to, void *pass);

/* A context that begins with entry(pass) on the stack below top (16-byte aligned), with the
 * caller's floating-point control words. entry must not return. */
void *kci_switch_make(void *top, void (*entry)(void *pass));

/* false where the processor keeps a shadow stack for this thread: the switch does not
 * move that one, so the first return after it would fault. */
bool kci_switch_usable(void);

#endif
