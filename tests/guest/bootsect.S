/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bootsect.S: a boot sector that says so through the BIOS (int 10h teletype), waits for two
 * ticks (int 1ah) and ends the VM with debug-exit code 0x10, status 33. Proves that a BIOS booted the disk and that IRQ 0 comes.
 */
	.code16
	.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	movw $(0x7c00 + message - _start), %si
1:	lodsb
	testb %al, %al
	jz 2f
	movb $0x0e, %ah
	movw $0x0007, %bx
	int $0x10
	jmp 1b
2:	movb $0x00, %ah
	int $0x1a
	movw %dx, %di
	/* Two ticks of IRQ 0: SeaBIOS's serial console holds the last character back until a tick. */
4:	hlt
	movb $0x00, %ah
	int $0x1a
	subw %di, %dx
	cmpw $2, %dx
	jb 4b
	movb $0x10, %al
	outb %al, $0xf4
3:	hlt
	jmp 3b
message:
	.asciz "hotreg: boot sector reached\r\n"
	.org 510
	.word 0xaa55
