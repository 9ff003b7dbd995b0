/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ioapic.bpf.c: the I/O APIC at 0xfec00000, stateful: the selector both ways, and reads of every register through the window.
 * A write through the window may send an interrupt, and is the model's.
 */
#include "bpf/ioapic.h"

struct ioapic_page ioapic_state HR_STATE = {
	.head = {.version = IOAPIC_STATE_VERSION, .size = sizeof(struct ioapic_page)},
};

#define WHY_WRITE 1 /* a write of a register */

HR_PROG int ioapic(struct hr_io *io)
{
	struct ioapic_state *s = &ioapic_state.s;

	if (io->size > 4)
		return HR_PUNT;
	if (!io->is_write) {
		io->result = ioapic_value(s, io->offset, io->size);
		return HR_ANSWER;
	}
	if (ioapic_is_window_write(io->offset, io->size))
		return HR_PUNT_WHY(WHY_WRITE);
	ioapic_write_plain(s, io->offset, io->value);
	return HR_ANSWER;
}

HR_LICENSE;
