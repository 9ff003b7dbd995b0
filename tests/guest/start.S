/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.S: multiboot-1 header and entry of the project's own 32-bit guests: flat segments as the
 * loader left them, no paging, interrupts off, a stack, then guest_main(magic, info).
 */
	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002
	.long 0x00000003		/* modules page-aligned, memory information */
	.long -(0x1badb002 + 0x00000003)

	.text
	.globl _start
_start:
	cli
	cld
	movl $stack_top, %esp
	pushl %ebx
	pushl %eax
	call guest_main
1:	cli
	hlt
	jmp 1b

	.bss
	.balign 16
	.skip 16384
stack_top:
	.section .note.GNU-stack, "", @progbits
