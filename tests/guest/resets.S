/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resets.S: a flat real-mode guest that resets the machine in each way there is, and says one
 * letter for each step: h, woken from HLT 20 times by the PIT through the PIC; k, came back from
 * a reset by the keyboard controller; c, by port 0xcf9; t, by a triple fault. RAM survives a
 * reset, so the step is kept there. Ends by a 32-bit write to the debug exit port: status 67.
 */
#define STEP 0x600		/* zero at power-on */
#define TICKS 0x602
#define DEBUGCON 0xe9
#define TIMER_VECTOR 0x20
#define at(x) (0x7c00 + (x) - _start)
#include "ticks.inc"

	.code16
	.globl _start
_start:
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	movb STEP, %al
	incb STEP
	cmpb $1, %al
	je after_keyboard
	cmpb $2, %al
	je after_cf9
	cmpb $3, %al
	je after_triple

	start_ticks 5966 /* 200 Hz */
	movw $0, TICKS
1:	sti
	hlt
	cli
	cmpw $20, TICKS
	jb 1b
	movb $'h', %al
	outb %al, $DEBUGCON
	movb $0xfe, %al
	outb %al, $0x64
	jmp dead

after_keyboard:
	movb $'k', %al
	outb %al, $DEBUGCON
	movb $0x06, %al
	movw $0xcf9, %dx
	outb %al, %dx
	jmp dead

/* No IDT: the first fault is the last. In protected mode, since some KVMs ignore IDTR's limit in real mode. */
after_cf9:
	movb $'c', %al
	outb %al, $DEBUGCON
	lgdtl at(gdt_pointer)
	lidtl at(no_idt)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $at(protected)

after_triple:
	movb $'t', %al
	outb %al, $DEBUGCON
	movl $33, %eax
	outl %eax, $0xf4
dead:	hlt
	jmp dead

	tick_handler

	.code32
protected:
	ud2

	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff
gdt_pointer:
	.word 15
	.long at(gdt)
no_idt:
	.word 0
	.long 0
