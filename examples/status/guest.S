/* SPDX-License-Identifier: BSD-2-Clause */
/* guest.S: enters protected mode, counts ten events and sees each one at once, then waits for 20 ms to pass on the block. */
	.code16
	cli
	lgdtl gdt_ptr
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $flat
	.code32
flat:	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %ss
	movl $0xfe000000, %ebx
	cmpl $0x74736868, 0x18(%ebx)	/* the identity */
	jne bad
	xorl %ecx, %ecx
1:	incl %ecx
	movl %ecx, 0x10(%ebx)
	movl %ecx, 0x08(%ebx)
	cmpl %ecx, 0x08(%ebx)		/* the events, seen by a load */
	jne bad
	cmpl %ecx, 0x10(%ebx)
	jne bad
	cmpl $10, %ecx
	jb 1b
	movl 0x00(%ebx), %esi
2:	movl 0x00(%ebx), %edi
	cmpl %esi, %edi			/* it never goes back */
	jb bad
	subl %esi, %edi
	cmpl $20000, %edi
	jb 2b
	movl $text, %esi
3:	lodsb
	outb %al, $0xe9
	testb %al, %al
	jnz 3b
	xorl %eax, %eax
	outb %al, $0xf4
	hlt
bad:	movb $1, %al
	outb %al, $0xf4
	hlt
text:	.asciz "ten events, and 20 ms have passed\n"
	.balign 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_ptr:
	.word 23
	.long gdt
