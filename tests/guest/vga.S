/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vga.S: a boot sector that sets video modes by int 10h and writes the VGA's registers to the debug console (0xe9) as
 * hex: misc output, sequencer, graphics, CRTC and attribute registers, a sum over the palette, then a sum over
 * pixels that it has drawn and read back through the BIOS, and over a part of the font in plane 2. It has no opinion
 * itself: tests compare it with QEMU, whose VGA runs the same BIOS. The last mode is 3 again, with a line of text.
 * Ends with debug-exit code 0x10.
 */
	.code16
	.globl _start
_start:
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x7c00, %sp
	cld
	movw $modes, %si
next_mode:
	lodsb
	movb %al, mode
	testb %al, %al
	js finish
	xorb %ah, %ah
	int $0x10
	movb mode, %al
	call hex
	movw $0x3cc, %dx
	inb %dx, %al
	call hex
	/* where CRTC and status are: 0x3d0 or 0x3b0 */
	andb $1, %al
	shlb $5, %al
	addb $0xb4, %al
	movb %al, crtc
	/* indexed registers */
	movw $0x3c4, %dx
	movw $0x0500, %cx
	call group
	movw $0x3ce, %dx
	movw $0x0900, %cx
	call group
	movb crtc, %dl
	movw $0x1900, %cx
	call group
	/* the attribute controller */
	xorw %cx, %cx
1:	call flip_flop
	movb $0xc0, %dl
	movb %cl, %al
	outb %al, %dx
	incw %dx
	inb %dx, %al
	call hex
	incw %cx
	cmpb $0x15, %cl
	jne 1b
	call flip_flop
	movb $0xc0, %dl
	movb $0x20, %al
	outb %al, %dx
	/* the palette */
	movb $0xc7, %dl
	xorb %al, %al
	outb %al, %dx
	movb $0xc9, %dl
	movw $768, %cx
	xorw %bx, %bx
2:	inb %dx, %al
	call sum
	loop 2b
	call hex_sum
	/* pixels: drawn, read back, then in the colours of int 10h's other way, xor */
	cmpb $4, mode
	jb text
	xorw %bx, %bx
	movw %bx, %bp
	movw $200, %cx
3:	movw %cx, %dx
	shrw $1, %dx
	movb %cl, %al
	testb $0x40, %cl
	jz 4f
	orb $0x80, %al
4:	movb $0x0c, %ah
	pushw %bx
	xorw %bx, %bx
	int $0x10
	movb $0x0d, %ah
	int $0x10
	popw %bx
	call sum
	loop 3b
	call hex_sum
text:	movw $line, %bp
	movw $13, %cx
	movb $0x0e, %ah
5:	movb (%bp), %al
	incw %bp
	movw $0x0007, %bx
	pushw %cx
	pushw %bp
	int $0x10
	popw %bp
	popw %cx
	loop 5b
	movb $'\n', %al
	outb %al, $0xe9
	jmp next_mode
finish:
	/* the font, as the planes hold it */
	movw $font, %si
6:	lodsw
	testw %ax, %ax
	jz 7f
	movb %al, %dl
	movb $0x03, %dh
	movb %ah, %al
	outb %al, %dx
	incw %dx
	lodsb
	outb %al, %dx
	jmp 6b
7:	pushw %ds
	movw $0xa000, %ax
	movw %ax, %ds
	xorw %si, %si
	xorw %bx, %bx
	movw $8192, %cx
8:	lodsb
	call sum
	loop 8b
	popw %ds
	call hex_sum
	movb $'\n', %al
	outb %al, $0xe9
	movw $0x0003, %ax
	int $0x10
	movw $0x1301, %ax
	movw $0x0007, %bx
	movw $13, %cx
	movw $0x0203, %dx
	movw $line, %bp
	pushw %ds
	popw %es
	int $0x10
	movb $0x10, %al
	outb %al, $0xf4
9:	hlt
	jmp 9b

flip_flop:
	movw $0x306, %dx
	addb crtc, %dl
	inb %dx, %al
	ret
/* Registers 0 to CH - 1 behind index port DX. */
group:	movb %cl, %al
	outb %al, %dx
	incw %dx
	inb %dx, %al
	decw %dx
	call hex
	incb %cl
	cmpb %ch, %cl
	jne group
	ret
/* BX = rotated BX + AL */
sum:	rolw $1, %bx
	xorb %ah, %ah
	addw %ax, %bx
	ret
hex_sum:
	movb %bh, %al
	call hex
	movb %bl, %al
hex:	pushw %ax
	shrb $4, %al
	call digit
	popw %ax
	pushw %ax
	andb $0x0f, %al
	call digit
	popw %ax
	ret
digit:	addb $'0', %al
	cmpb $'9', %al
	jbe 1f
	addb $('a' - '9' - 1), %al
1:	outb %al, $0xe9
	ret

modes:	.byte 0x03, 0x01, 0x12, 0x13, 0x0d, 0x04, 0x07, 0xff
	/* SR2 4, SR4 6, GR4 2, GR5 0, GR6 4; port, index, value */
font:	.byte 0xc4, 0x02, 0x04, 0xc4, 0x04, 0x06, 0xce, 0x04, 0x02, 0xce, 0x05, 0x00, 0xce, 0x06, 0x04, 0, 0
line:	.ascii "hotreg: a VGA"
	.equ mode, _start + 0x400
	.equ crtc, mode + 1
	.org 510
	.word 0xaa55
