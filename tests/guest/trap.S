/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.S: entries of vectors 0 to 63, each with an error code on the stack (0 where the processor pushes none, [SDM3]
 * 6.13), and the way to ring 3. See trap.h.
 */
	.text
	.balign 16
	.globl trap_entries
trap_entries:
	.set vector, 0
	.rept 64
	.balign 16
	.if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17)
	pushl $0
	.endif
	pushl $vector
	jmp common
	.set vector, vector + 1
	.endr

common:
	pushal
	pushl %ds
	pushl %es
	pushl %fs
	pushl %gs
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	pushfl
	popl trap_handler_eflags
	cld
	pushl %esp
	call trap_taken
	addl $4, %esp
	popl %gs
	popl %fs
	popl %es
	popl %ds
	popal
	addl $8, %esp
	iretl

/* void trap_enter(eip, cs, eflags, esp, ss) */
	.globl trap_enter
trap_enter:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, saved_esp
	movl %esp, trap_tss + 4		/* traps push below */
	movl %esp, %ebp
	testl $0x20000, 28(%ebp)
	jz 1f
	pushl $0			/* GS, FS, DS and ES of 8086 code: the stack's */
	pushl $0
	pushl 36(%ebp)
	pushl 36(%ebp)
1:	pushl 36(%ebp)
	pushl 32(%ebp)
	pushl 28(%ebp)
	pushl 24(%ebp)
	pushl 20(%ebp)
	testl $0x20000, 28(%ebp)
	jnz 2f
	movw $0x23, %ax
	movw %ax, %ds
	movw %ax, %es
2:	iretl

/* Back out of trap_enter(), from a handler. */
	.globl trap_leave
trap_leave:
	movl saved_esp, %esp
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret

	.globl trap_load
trap_load:
	lgdt gdt_pointer
	lidt idt_pointer
	ljmp $0x08, $1f
1:	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0, %ax
	movw %ax, %fs
	movw %ax, %gs
	movw $0x28, %ax
	ltr %ax
	ret

	.section .rodata
gdt_pointer:
	.word 8 * 8 - 1
	.long trap_gdt
idt_pointer:
	.word 64 * 8 - 1
	.long trap_idt
	.bss
	.balign 4
saved_esp: .skip 4
	.section .note.GNU-stack, "", @progbits
