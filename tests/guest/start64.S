/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start64.S: multiboot-1 header and entry of the project's own 64-bit guests. Builds page tables
 * that map the first 4 GiB to themselves, enters long mode and calls guest_main(magic, info), with
 * interrupts off. A CPU that start_cpu1() or start_cpus() wakes comes the same way to cpu1_main(), on the stack that
 * belongs to its APIC id, 1 to 7.
 */
#define CR0_PG_PE 0x80000001
#define CR4_PAE 0x20
#define EFER 0xc0000080
#define EFER_LME 0x100
#define PTE 0x3			/* present, writable */
#define PDE_2M 0x83		/* the same for a page of 2 MiB */
#define TRAMPOLINE 0x8000
#define LAPIC 0xfee00000
#define ICR_ALL_OTHERS 0xc0000
#define STACK_BYTES 16384

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002
	.long 0x00000003		/* modules page-aligned, memory information */
	.long -(0x1badb002 + 0x00000003)

	.text
	.code32
	.globl _start
_start:
	cli
	cld
	movl %eax, %ebp
	movl $pd, %edi			/* 4 directories of 512 pages of 2 MiB */
	movl $PDE_2M, %eax
	xorl %ecx, %ecx
1:	movl %eax, (%edi, %ecx, 8)
	movl $0, 4(%edi, %ecx, 8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jb 1b
	movl $pd + PTE, pdpt
	movl $pd + 0x1000 + PTE, pdpt + 8
	movl $pd + 0x2000 + PTE, pdpt + 16
	movl $pd + 0x3000 + PTE, pdpt + 24
	movl $pdpt + PTE, pml4
	movl $stack0_top, %esp
	movl $enter_cpu0, %esi
	jmp long_mode

/* To 64-bit code at ESI; keeps EBX, EBP, ESP. */
long_mode:
	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl %cr0, %eax
	orl $CR0_PG_PE, %eax
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x08, $1f
	.code64
1:	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl %esp, %esp			/* upper halves are undefined after the switch */
	movl %esi, %esi
	jmp *%rsi

enter_cpu0:
	movl %ebp, %edi
	movl %ebx, %esi
	call guest_main
1:	hlt
	jmp 1b

enter_cpu1:
	call cpu1_main
1:	hlt
	jmp 1b

/* void start_cpu1(void): INIT and SIPI to APIC id 1, by the local APIC's command register. start_cpus(): to all others. */
	.globl start_cpu1, start_cpus
start_cpus:
	movl $ICR_ALL_OTHERS, %r8d
	jmp 2f
start_cpu1:
	xorl %r8d, %r8d
2:	movl $trampoline, %esi
	movl $TRAMPOLINE, %edi
	movl $trampoline_end - trampoline, %ecx
	rep movsb
	movl $LAPIC, %edx
	movl $0x1ff, 0xf0(%rdx)		/* APIC on */
	movl $0x01000000, 0x310(%rdx)
	leal 0x4500(%r8), %eax		/* INIT */
	movl %eax, 0x300(%rdx)
	movl $10000, %ecx
1:	loop 1b
	movl $0x01000000, 0x310(%rdx)
	leal 0x4600 + TRAMPOLINE / 4096(%r8), %eax
	movl %eax, 0x300(%rdx)
	ret

/* Copied to TRAMPOLINE; CS is TRAMPOLINE >> 4, IP 0. */
	.code16
trampoline:
	cli
	movw %cs, %ax
	movw %ax, %ds
	lgdtl trampoline_gdt_pointer - trampoline
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x18, $1f
	.balign 4
trampoline_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:
	.code32
1:	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl LAPIC + 0x20, %esp		/* the APIC id, in bits 31-24 */
	shrl $24, %esp
	imull $STACK_BYTES, %esp
	addl $stack0_top, %esp
	movl $enter_cpu1, %esi
	jmp long_mode

	.section .rodata
	.balign 8
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* 0x08: 64-bit code */
	.quad 0x00cf93000000ffff	/* 0x10: data */
	.quad 0x00cf9b000000ffff	/* 0x18: 32-bit code */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt

	.bss
	.balign 4096
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4 * 4096
	.skip STACK_BYTES
stack0_top:
	.skip 7 * STACK_BYTES
	.section .note.GNU-stack, "", @progbits
