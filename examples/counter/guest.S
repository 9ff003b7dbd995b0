/* SPDX-License-Identifier: BSD-2-Clause */
/* guest.S: real mode at 0x7c00. Sets the count to 90, expects 90 to 99 and 0 from 11 reads, waits for the age to move. */
	.code16
_start:	mov	$0x500, %dx
	mov	$90, %eax
	out	%eax, %dx
	mov	$11, %cx
	mov	%eax, %ebx		/* what comes next */
1:	in	%dx, %eax
	cmp	%ebx, %eax
	mov	$1, %al			/* wrong: hotreg ends with status 3, (1 << 1) | 1 */
	jne	end
	inc	%bx
	cmp	$100, %bx
	jb	2f
	xor	%bx, %bx
2:	loop	1b
	mov	$0x504, %dx
	in	%dx, %eax
	mov	%eax, %ebx
3:	in	%dx, %eax
	cmp	%ebx, %eax
	je	3b
	mov	$text, %si
	mov	$23, %cx		/* its bytes */
	mov	$0xe9, %dx
	rep	outsb
	mov	$0, %al			/* right: status 1 */
end:	out	%al, $0xf4
text:	.ascii	"counted to 99 and over\n"
