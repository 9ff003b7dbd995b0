/* SPDX-License-Identifier: BSD-2-Clause */
/* guest.S: real mode at 0x7c00. Puts in the numbers 1000 to 1, waits until they have been taken, compares their sum. */
	.code16
_start:	mov	$0x510, %dx
	mov	$1000, %ecx
1:	mov	%ecx, %eax
	out	%eax, %dx
	loop	1b
	mov	$0x514, %dx
2:	in	%dx, %eax
	cmp	$1000, %eax
	jne	2b
	mov	$0x518, %dx
	in	%dx, %eax
	cmp	$500500, %eax
	mov	$1, %al			/* wrong: hotreg ends with status 3, (1 << 1) | 1 */
	jne	end
	mov	$text, %si
	mov	$25, %cx		/* its bytes */
	mov	$0xe9, %dx
	rep	outsb
	mov	$0, %al			/* right: status 1 */
end:	out	%al, $0xf4
text:	.ascii	"1000 numbers make 500500\n"
