/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * x86-64, System V ABI. A saved context, from its pointer up:
 *
 *	0	MXCSR, 4 bytes; x87 control word, 2 bytes
 *	8	r15, r14, r13, r12, rbx, rbp
 *	56	where to go on
 *
 * kcoro-gdb.py knows these offsets. There is no GNU property note for shadow stacks,
 * so a linker that wants them for the whole program drops them.
 */
	.text

	.p2align 4
/* rdi: where the pointer of this context goes, rsi: the other's, rdx: what to pass, rcx:
 * where to go on. The caller has left its red zone alone, 128 bytes */
	.globl	kci_switch_jump
	.hidden	kci_switch_jump
	.type	kci_switch_jump, @function
kci_switch_jump:
	.cfi_startproc
	.cfi_def_cfa rsp, 128
	.cfi_register rip, rcx
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rip, 0
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	movq	%rsp, (%rdi)
	/* from here on the other context's, which has the same layout. To load the control
	 * words costs less than to find out that they are the same: storing MXCSR is what
	 * takes the time, and a comparison would wait for it */
	movq	%rsi, %rsp
	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	/* in rdi for one that begins */
	movq	%rdx, %rdi
	movq	%rdx, %rax
	/* notrack: the way back of a call has no landing mark */
	notrack jmp *%rcx
	.cfi_endproc
	.size	kci_switch_jump, . - kci_switch_jump

/* rdi: the other's pointer, rsi: what to pass */
	.p2align 4
	.globl	kci_switch_end
	.hidden	kci_switch_end
	.type	kci_switch_end, @function
kci_switch_end:
	.cfi_startproc
	endbr64
	movq	%rdi, %rsp
	.cfi_def_cfa rsp, 64 + 128
	.cfi_offset rip, -136
	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
	movq	8(%rsp), %r15
	movq	16(%rsp), %r14
	movq	24(%rsp), %r13
	movq	32(%rsp), %r12
	movq	40(%rsp), %rbx
	movq	48(%rsp), %rbp
	movq	56(%rsp), %rcx
	addq	$64, %rsp
	.cfi_adjust_cfa_offset -64
	.cfi_register rip, rcx
	movq	%rsi, %rdi
	movq	%rsi, %rax
	notrack jmp *%rcx
	.cfi_endproc
	.size	kci_switch_end, . - kci_switch_end

/* rdi: top, rsi: entry. It begins as if it had been called, with nothing above: there a
 * backtrace ends */
	.p2align 4
	.globl	kci_switch_make
	.hidden	kci_switch_make
	.type	kci_switch_make, @function
kci_switch_make:
	.cfi_startproc
	endbr64
	leaq	-72(%rdi), %rax
	stmxcsr	(%rax)
	fnstcw	4(%rax)
	xorl	%edx, %edx
	movq	%rdx, 8(%rax)
	movq	%rdx, 16(%rax)
	movq	%rdx, 24(%rax)
	movq	%rdx, 32(%rax)
	movq	%rdx, 40(%rax)
	movq	%rdx, 48(%rax)
	movq	%rsi, 56(%rax)
	movq	%rdx, 64(%rax)
	ret
	.cfi_endproc
	.size	kci_switch_make, . - kci_switch_make

	.p2align 4
	.globl	kci_switch_usable
	.hidden	kci_switch_usable
	.type	kci_switch_usable, @function
kci_switch_usable:
	.cfi_startproc
	endbr64
	/* the shadow stack's pointer; an instruction without effect where there is none */
	xorl	%eax, %eax
	rdsspq	%rax
	testq	%rax, %rax
	sete	%al
	movzbl	%al, %eax
	ret
	.cfi_endproc
	.size	kci_switch_usable, . - kci_switch_usable

	.section .note.GNU-stack, "", @progbits
