/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i8042.bpf.c: the status register of the keyboard controller, which drivers poll, and port 0x92 but for the reset. Data and commands
 * move interrupts and are the model's.
 */
#include "bpf/i8042.h"

struct kbc_page kbc_state HR_STATE = {.head = {.version = KBC_STATE_VERSION, .size = sizeof(struct kbc_page)}};

#define WHY_COMMAND 1 /* a command */
#define WHY_RESET 2   /* port 0x92: a reset */

/* Range "i8042.status", 0x64. */
HR_PROG int i8042_status(struct hr_io *io)
{
	if (io->is_write)
		return HR_PUNT_WHY(WHY_COMMAND);
	if (io->size != 1)
		return HR_PUNT;
	io->result = HR_LOAD(kbc_state.s.status);
	return HR_ANSWER;
}

/* Range "port92". A20 reads back, but memory is never wrapped. */
HR_PROG int port92(struct hr_io *io)
{
	if (io->size != 1)
		return HR_PUNT;
	if (!io->is_write) {
		io->result = HR_LOAD(kbc_state.s.port92);
		return HR_ANSWER;
	}
	if (io->value & KBC_PORT92_RESET)
		return HR_PUNT_WHY(WHY_RESET);
	HR_STORE(kbc_state.s.port92, (uint8_t)(io->value & KBC_PORT92_A20));
	return HR_ANSWER;
}

HR_LICENSE;
