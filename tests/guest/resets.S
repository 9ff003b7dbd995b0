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

	/* [8259A] ICW1 to ICW4: vectors from 0x20; only IRQ 0 is let through */
	movb $0x11, %al
	outb %al, $0x20
	movb $TIMER_VECTOR, %al
	outb %al, $0x21
	movb $0x04, %al
	outb %al, $0x21
	movb $0x01, %al
	outb %al, $0x21
	movb $0xfe, %al
	outb %al, $0x21
	movw $at(on_tick), TIMER_VECTOR * 4
	movw $0, TIMER_VECTOR * 4 + 2
	/* [8254] counter 0, both bytes, mode 2, 200 Hz */
	movb $0x34, %al
	outb %al, $0x43
	movb $5966 & 0xff, %al
	outb %al, $0x40
	movb $5966 >> 8, %al
	outb %al, $0x40
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

on_tick:
	incw TICKS
	movb $0x20, %al
	outb %al, $0x20
	iretw

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
