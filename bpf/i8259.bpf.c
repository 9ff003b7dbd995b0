/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i8259.bpf.c: reads of the interrupt controllers: IRR or ISR, IMR, and the edge/level registers. A read in poll mode is an
 * acknowledge and, like every write, the model's.
 */
#include "bpf/i8259.h"

struct pic_page pic_state HR_STATE = {.head = {.version = PIC_STATE_VERSION, .size = sizeof(struct pic_page)}};

#define WHY_WRITE 1
#define WHY_POLL 2

static inline int pic_read(struct hr_io *io, uint32_t base, uint32_t poll)
{
	uint64_t shown = HR_LOAD(pic_state.s.shown);

	if (io->is_write)
		return HR_PUNT_WHY(WHY_WRITE);
	if (io->size != 1 || io->offset > 1)
		return HR_PUNT;
	if (pic_byte(shown, PIC_POLL) & poll)
		return HR_PUNT_WHY(WHY_POLL);
	io->result = pic_byte(shown, base + io->offset);
	return HR_ANSWER;
}

/* Range "i8259.master", 0x20-0x21. */
HR_PROG int i8259_master(struct hr_io *io)
{
	return pic_read(io, PIC_MASTER, 1);
}

/* Range "i8259.slave", 0xa0-0xa1. */
HR_PROG int i8259_slave(struct hr_io *io)
{
	return pic_read(io, PIC_SLAVE, 2);
}

/* Range "i8259.elcr", 0x4d0-0x4d1. */
HR_PROG int i8259_elcr(struct hr_io *io)
{
	return pic_read(io, PIC_ELCR, 0);
}

HR_LICENSE;
