/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loaded.S: entries of loaded.c, a guest at 4 MiB that says what its loader told it: as a multiboot-1 kernel, or built with
 * PVH defined by the note that names a 32-bit entry point.
 */
#ifdef PVH
	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, 18			/* name, descriptor, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start
#else
	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002
	.long 0x00000003		/* modules page-aligned, memory information */
	.long -(0x1badb002 + 0x00000003)
#endif

	.text
	.globl _start
_start:
	cli
	cld
	movl $stack_top, %esp
#ifdef PVH
	xorl %eax, %eax
#endif
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
