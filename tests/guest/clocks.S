/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clocks.S: a flat real-mode guest that tells what its clocks say, about ten times a second, on the debug
 * console: a line "start", then lines of 10 PIT interrupts each: PM timer, RTC seconds, TSC's upper bits, as
 * hexadecimal words. When the power button is pressed it says "button" and turns the power off. Runs until told.
 */
#define TICKS 0x602
#define TSC_LOW 0x610
#define DEBUGCON 0xe9
#define TIMER_VECTOR 0x20
#define PM_BASE 0x600
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
	movw $at(start_text), %si
	call print

	/* the PIIX4's function 3: power management base 0x600, enabled */
	movl $0x80000b40, %eax
	movw $0xcf8, %dx
	outl %eax, %dx
	movl $PM_BASE | 1, %eax
	movw $0xcfc, %dx
	outl %eax, %dx
	movl $0x80000b80, %eax
	movw $0xcf8, %dx
	outl %eax, %dx
	movb $1, %al
	movw $0xcfc, %dx
	outb %al, %dx

	start_ticks 11932 /* 100 Hz */

line:
	movw $0, TICKS
1:	sti
	hlt
	cli
	/* PM1 status, bit 8: the power button */
	movw $PM_BASE, %dx
	inw %dx, %ax
	testw $0x100, %ax
	jnz button
	cmpw $10, TICKS
	jb 1b

	movw $PM_BASE + 8, %dx
	inl %dx, %eax
	call hex
	movb $' ', %al
	outb %al, $DEBUGCON
	/* RTC seconds, when no update is under way */
2:	movb $0x0a, %al
	outb %al, $0x70
	inb $0x71, %al
	testb $0x80, %al
	jnz 2b
	xorl %eax, %eax
	outb %al, $0x70
	inb $0x71, %al
	call hex
	movb $' ', %al
	outb %al, $DEBUGCON
	/* 64-bit time stamp counter, shifted right by 20: about milliseconds */
	rdtsc
	shrdl $20, %edx, %eax
	call hex
	movb $'\n', %al
	outb %al, $DEBUGCON
	jmp line

button:
	movw $at(button_text), %si
	call print
	movw $PM_BASE + 4, %dx /* SLP_TYP 0, SLP_EN: soft off */
	movw $0x2000, %ax
	outw %ax, %dx
3:	hlt
	jmp 3b

	tick_handler

/* %si: text ending in 0 */
print:
	lodsb
	testb %al, %al
	jz 4f
	outb %al, $DEBUGCON
	jmp print
4:	ret

/* %eax in eight digits */
hex:
	movl %eax, %ebx
	movw $8, %cx
5:	roll $4, %ebx
	movb %bl, %al
	andb $15, %al
	cmpb $10, %al
	jb 6f
	addb $'a' - '0' - 10, %al
6:	addb $'0', %al
	outb %al, $DEBUGCON
	loop 5b
	ret

start_text:
	.asciz "start\n"
button_text:
	.asciz "button\n"
