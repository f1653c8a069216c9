/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AArch64, AAPCS64. A saved context, from its pointer up:
 *
 *	0	FPCR, 8 bytes; nothing, 8 bytes
 *	16	x19 to x29, and where to go on
 *	112	d8 to d15 in pairs
 *
 * kcoro-gdb.py knows these offsets. There is no GNU property note, so branch targets
 * are not checked in what this is linked into: the jump below goes to the way back of
 * a call, which has no landing mark.
 */
	.text

	.p2align 4
/* x0: where the pointer of this context goes, x1: the other's, x2: what to pass, x9: where to
 * go on */
	.globl	kci_switch_jump
	.hidden	kci_switch_jump
	.type	kci_switch_jump, %function
kci_switch_jump:
	.cfi_startproc
	.cfi_register x30, x9
	sub	sp, sp, #176
	.cfi_def_cfa_offset 176
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	x29, x9, [sp, #96]
	stp	d8, d9, [sp, #112]
	stp	d10, d11, [sp, #128]
	stp	d12, d13, [sp, #144]
	stp	d14, d15, [sp, #160]
	.cfi_offset x19, -160
	.cfi_offset x20, -152
	.cfi_offset x21, -144
	.cfi_offset x22, -136
	.cfi_offset x23, -128
	.cfi_offset x24, -120
	.cfi_offset x25, -112
	.cfi_offset x26, -104
	.cfi_offset x27, -96
	.cfi_offset x28, -88
	.cfi_offset x29, -80
	.cfi_offset x30, -72
	mrs	x3, fpcr
	str	x3, [sp]
	mov	x4, sp
	str	x4, [x0]
	/* from here on the other context's, which has the same layout */
enter:	mov	sp, x1
	ldr	x4, [sp]
	cmp	x3, x4
	b.ne	2f
1:	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x16, [sp, #96]
	ldp	d8, d9, [sp, #112]
	ldp	d10, d11, [sp, #128]
	ldp	d12, d13, [sp, #144]
	ldp	d14, d15, [sp, #160]
	add	sp, sp, #176
	.cfi_def_cfa_offset 0
	mov	x0, x2
	mov	x30, xzr
	br	x16
2:	msr	fpcr, x4
	b	1b
	.cfi_endproc
	.size	kci_switch_jump, . - kci_switch_jump

/* x0: the other's pointer, x1: what to pass */
	.p2align 4
	.globl	kci_switch_end
	.hidden	kci_switch_end
	.type	kci_switch_end, %function
kci_switch_end:
	.cfi_startproc
	.cfi_undefined x30
	mov	x2, x1
	mov	x1, x0
	mrs	x3, fpcr
	b	enter
	.cfi_endproc
	.size	kci_switch_end, . - kci_switch_end

/* x0: top, x1: entry. It begins as if it had been called from nowhere: x30 is 0, there a
 * backtrace ends */
	.p2align 4
	.globl	kci_switch_make
	.hidden	kci_switch_make
	.type	kci_switch_make, %function
kci_switch_make:
	.cfi_startproc
	sub	x0, x0, #176
	mrs	x3, fpcr
	stp	x3, xzr, [x0]
	stp	xzr, xzr, [x0, #16]
	stp	xzr, xzr, [x0, #32]
	stp	xzr, xzr, [x0, #48]
	stp	xzr, xzr, [x0, #64]
	stp	xzr, xzr, [x0, #80]
	stp	xzr, x1, [x0, #96]
	stp	xzr, xzr, [x0, #112]
	stp	xzr, xzr, [x0, #128]
	stp	xzr, xzr, [x0, #144]
	stp	xzr, xzr, [x0, #160]
	ret
	.cfi_endproc
	.size	kci_switch_make, . - kci_switch_make

	.p2align 4
	.globl	kci_switch_usable
	.hidden	kci_switch_usable
	.type	kci_switch_usable, %function
kci_switch_usable:
	.cfi_startproc
	/* CHKFEAT, an instruction without effect where it is not known: of the features asked
	 * for in x16 it leaves those that are not enabled. Bit 0: guarded control stack */
	mov	x16, #1
	hint	#40
	mov	x0, x16
	ret
	.cfi_endproc
	.size	kci_switch_usable, . - kci_switch_usable

	.section .note.GNU-stack, "", %progbits
