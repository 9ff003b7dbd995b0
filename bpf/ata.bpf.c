// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * ata.bpf.c: all of a PIO driver's accesses but those that make the disk work: the task file both
 * ways, status while INTRQ is low, alternate status, and the words of the block in the state page.
 * Commands, device control, the end of a block after which the disk has something to do, and what
 * moves the interrupt line are the model's.
 */
#include "bpf/ata.h"

HR_LICENSE;

struct ata_page ata_state HR_STATE = {.head = {.version = ATA_STATE_VERSION, .size = sizeof(struct ata_page)}};

#define WHY_INTRQ 1   /* would raise or lower the interrupt line */
#define WHY_COMMAND 2 /* a command */
#define WHY_BLOCK 3   /* the end of a block, and not the last one of a read */
#define WHY_WORK 4    /* the model is at work for another vCPU */
#define WHY_CONTROL 5 /* device control */

/* Range "ata.regs", 0x1f0-0x1f7; the data port lies over its first register. */
HR_PROG int ata_regs(struct hr_io *io)
{
	struct ata_state *s = &ata_state.s;
	uint32_t offset = io->offset;

	if (io->size != 1 || offset < ATA_ERROR || offset > ATA_STATUS)
		return HR_PUNT;
	if (ata_is_at_work(s))
		return HR_PUNT_WHY(WHY_WORK);
	if (!io->is_write) {
		if (offset != ATA_STATUS) {
			io->result = ata_read(s, offset);
			return HR_ANSWER;
		}
		if (ata_intrq(s))
			return HR_PUNT_WHY(WHY_INTRQ);
		io->result = ata_read_status(s);
		return HR_ANSWER;
	}
	if (offset == ATA_STATUS)
		return HR_PUNT_WHY(WHY_COMMAND);
	if (ata_ignores_writes(s))
		return HR_ANSWER;
	if (ata_write_moves_intrq(s, offset, (uint8_t)io->value))
		return HR_PUNT_WHY(WHY_INTRQ);
	ata_write(s, offset, (uint8_t)io->value);
	return HR_ANSWER;
}

/*
 * Range "ata.data", 0x1f0. A word at a time, or two; a byte access moves a word too, of which the
 * guest has the low half.
 */
HR_PROG int ata_data(struct hr_io *io)
{
	struct ata_state *s = &ata_state.s;
	uint32_t count = io->size == 4 ? 2 : 1, words;

	if (io->size > 4)
		return HR_PUNT;
	if (ata_is_at_work(s))
		return HR_PUNT_WHY(WHY_WORK);
	if (io->is_write)
		return ata_data_out(s, count, (uint32_t)io->value) ? HR_ANSWER : HR_PUNT_WHY(WHY_BLOCK);
	if (!ata_data_in(s, count, &words))
		return HR_PUNT_WHY(WHY_BLOCK);
	io->result = words;
	return HR_ANSWER;
}

/* Range "ata.ctl", 0x3f6: alternate status. */
HR_PROG int ata_ctl(struct hr_io *io)
{
	if (io->size != 1)
		return HR_PUNT;
	if (io->is_write)
		return HR_PUNT_WHY(WHY_CONTROL);
	if (ata_is_at_work(&ata_state.s))
		return HR_PUNT_WHY(WHY_WORK);
	io->result = ata_status(&ata_state.s);
	return HR_ANSWER;
}
