// SPDX-License-Identifier: BSD-2-Clause
/*
 * guest_exit.c: guest_exit VALUE: writes the byte to the debug exit port 0xf4, which ends a VM with status (VALUE << 1) | 1.
 * The bed's guests use it, static, since Debian's cloud kernel has no /dev/port. For QEMU's isa-debug-exit too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <termios.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (ioperm(0xf4, 1, 1) < 0) {
		perror("guest_exit: port 0xf4");
		return 2;
	}
	tcdrain(STDOUT_FILENO); /* what has been said is still on its way through the serial port */
	outb((unsigned char)(argc > 1 ? atoi(argv[1]) : 0), 0xf4);
	return 2;
}
