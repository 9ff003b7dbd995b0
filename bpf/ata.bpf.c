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
#define WHY_MERGED 6  /* elements of a string that are better done one by one: not the model's yet */

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

/* `size` bytes of the block from `pos` on: in one go where they are aligned, as those of a string mostly are. */
static inline uint64_t load_block(struct ata_state *s, uint32_t pos, uint32_t size)
{
	if (size == 8)
		return *(uint64_t *)(s->data + (pos & (ATA_BLOCK_BYTES - 8)));
	if (size == 4)
		return *ata_word(s, pos) | (uint32_t)*ata_word(s, pos + 2) << 16;
	return *ata_word(s, pos);
}

static inline void store_block(struct ata_state *s, uint32_t pos, uint32_t size, uint64_t v)
{
	if (size == 8) {
		*(uint64_t *)(s->data + (pos & (ATA_BLOCK_BYTES - 8))) = v;
		return;
	}
	*ata_word(s, pos) = (uint16_t)v;
	if (size == 4)
		*ata_word(s, pos + 2) = (uint16_t)(v >> 16);
}

/*
 * Asked before ata_regs: what a driver polls changes nothing, unless an interrupt is pending, and then needs not be
 * alone with the page.
 */
HR_PROG int ata_regs_peek(struct hr_io *io)
{
	const struct ata_state *s = &ata_state.s;
	uint32_t offset = io->offset;

	if (io->is_write || io->size != 1 || ata_is_at_work(s))
		return HR_PUNT;
	if (offset == ATA_STATUS && !HR_LOAD(s->irq)) {
		io->result = ata_status(s);
		return HR_ANSWER;
	}
	if (offset < ATA_ERROR || offset >= ATA_STATUS)
		return HR_PUNT;
	io->result = ata_read(s, offset);
	return HR_ANSWER;
}

/*
 * Range "ata.data", 0x1f0: one word, or two; of a byte access the guest has the low half of one. Eight
 * bytes are several elements of a string (RANGE_MERGE), which come one by one after a punt. What a
 * block consists of comes first, and short.
 */
HR_PROG int ata_data(struct hr_io *io)
{
	struct ata_state *s = &ata_state.s;
	uint32_t phase = HR_LOAD(s->phase), pos = HR_LOAD(s->pos), size = io->size;

	if (size == 8 && (pos & 7))
		return HR_PUNT_WHY(WHY_MERGED);
	if (!io->is_write && phase == ATA_TO_HOST) {
		if (!ata_advance(s, pos + ata_data_bytes(size)))
			return size == 8 ? HR_PUNT_WHY(WHY_MERGED) : HR_PUNT_WHY(WHY_BLOCK);
		io->result = load_block(s, pos, size);
		return HR_ANSWER;
	}
	if (io->is_write && phase == ATA_FROM_HOST) {
		if (!ata_advance(s, pos + ata_data_bytes(size)))
			return size == 8 ? HR_PUNT_WHY(WHY_MERGED) : HR_PUNT_WHY(WHY_BLOCK);
		ata_clear_hob(s);
		store_block(s, pos, size, io->value);
		return HR_ANSWER;
	}
	if (phase == ATA_AT_WORK)
		return HR_PUNT_WHY(WHY_WORK);
	if (!io->is_write)
		io->result = ata_no_data(s);
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
