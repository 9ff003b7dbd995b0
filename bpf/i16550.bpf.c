/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i16550.bpf.c: reads of the serial port that change nothing: line status without an error, interrupt identification with nothing
 * pending, modem status without a change, the line, modem, divisor and scratch registers. Data and all writes are the model's.
 */
#include "bpf/i16550.h"

struct uart_page uart_state HR_STATE = {.head = {.version = UART_STATE_VERSION, .size = sizeof(struct uart_page)}};

#define WHY_WRITE 1
#define WHY_CLEARS 2 /* data, or a status that the read takes away */

HR_PROG int i16550(struct hr_io *io)
{
	if (io->is_write)
		return HR_PUNT_WHY(WHY_WRITE);
	if (io->size != 1 || io->offset > UART_SCR)
		return HR_PUNT;
	if (!uart_is_plain(&uart_state.s, io->offset))
		return HR_PUNT_WHY(WHY_CLEARS);
	io->result = uart_value(&uart_state.s, io->offset);
	return HR_ANSWER;
}

HR_LICENSE;
