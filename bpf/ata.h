/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ata.h: what the guest sees of the ATA channel, once for the model and for its programs: the task
 * file, status, and the block that the data port moves. One device at most, number 0. What follows
 * from a command, from the end of a block or from device control is the model's alone, and so is
 * the interrupt line: the functions here say what would move it.
 *
 * Those that store are called by a program that holds the page or by the model in its bracket.
 */
#ifndef BPF_ATA_H
#define BPF_ATA_H

#include "bpf/hr.h"

#define ATA_STATE_VERSION 2

/* Offsets from 0x1f0, as read. */
enum { ATA_DATA, ATA_ERROR, ATA_NSECT, ATA_LBAL, ATA_LBAM, ATA_LBAH, ATA_DEVICE, ATA_STATUS };
#define ATA_FEATURES ATA_ERROR /* as written */

#define ATA_BSY 0x80u
#define ATA_DRDY 0x40u
#define ATA_DF 0x20u
#define ATA_DSC 0x10u
#define ATA_DRQ 0x08u
#define ATA_ERR 0x01u

#define ATA_DEV1 0x10u /* device register: device 1 is selected */
#define ATA_LBA 0x40u

#define ATA_HOB 0x80u /* device control: reads show the previous contents */
#define ATA_SRST 0x04u
#define ATA_NIEN 0x02u

/* Nobody drives the bus of an empty channel; the host pulls D7 down, so that BSY reads 0 [ATA-6]. */
#define ATA_FLOATS 0x7fu
#define ATA_FLOATS_WORDS 0xff7fff7fff7fff7full

#define ATA_MAX_MULTIPLE 16u /* sectors of the largest block */
#define ATA_SECTOR_BYTES 512u
#define ATA_BLOCK_BYTES (ATA_MAX_MULTIPLE * ATA_SECTOR_BYTES) /* a power of two: what indices are masked with */

/* Which way the data port moves words. */
enum ata_phase {
	ATA_IDLE,
	ATA_TO_HOST,
	ATA_FROM_HOST,
	ATA_AT_WORK, /* the model is in the middle of an access: what is in the page is not to be seen yet */
};

struct ata_state {
	int64_t offset_ns; /* no register of this device depends on time */
	/* up to the block: with the page's head one cache line, all that most accesses look at */
	uint8_t phase;	 /* enum ata_phase; never ATA_AT_WORK while the device is at rest */
	uint8_t is_last; /* the last block of a read, whose end is only the end of DRQ */
	uint8_t present; /* 1: device 0 is attached */
	uint8_t irq;	 /* 1: device 0 has an interrupt pending */
	uint8_t status;	 /* device 0's */
	uint8_t error;
	uint8_t control;
	uint8_t pad1;
	/* by offset, 1 to 6: as last written, and the contents before that */
	uint8_t reg[8];
	uint8_t prev[8];
	uint32_t pos, len; /* bytes of data[]: the next one, even; and those of the block */
	uint8_t pad2[8];
	/* Only stateful programs and the model touch it, so that it needs no HR_LOAD there. */
	uint8_t data[ATA_BLOCK_BYTES];
};

struct ata_page {
	struct hr_page head;
	struct ata_state s;
};

static inline bool ata_is_at_work(const struct ata_state *s)
{
	return HR_LOAD(s->phase) == ATA_AT_WORK;
}

static inline bool ata_is_dev1(const struct ata_state *s)
{
	return HR_LOAD(s->reg[ATA_DEVICE]) & ATA_DEV1;
}

/* INTRQ: device 0 drives it only while it is selected and nIEN is 0. */
static inline bool ata_intrq(const struct ata_state *s)
{
	return HR_LOAD(s->irq) && !(HR_LOAD(s->control) & ATA_NIEN) && !ata_is_dev1(s);
}

/* ---- reading ---- */

/* The status register; device 0 shows 00h in the place of an absent device 1 ([ATA-6] 9.16.1). */
static inline uint8_t ata_status(const struct ata_state *s)
{
	if (!HR_LOAD(s->present))
		return ATA_FLOATS;
	return ata_is_dev1(s) ? 0 : HR_LOAD(s->status);
}

/* Reading status, and not alternate status, acknowledges the interrupt of the selected device. */
static inline uint8_t ata_read_status(struct ata_state *s)
{
	if (HR_LOAD(s->irq) && !ata_is_dev1(s))
		HR_STORE(s->irq, 0);
	return ata_status(s);
}

/* Registers 1 to 6. HOB shows the previous contents of those that 48-bit addresses have: 2 to 5. */
static inline uint8_t ata_read(const struct ata_state *s, uint32_t offset)
{
	if (!HR_LOAD(s->present))
		return ATA_FLOATS;
	if (offset == ATA_ERROR)
		return HR_LOAD(s->error);
	if (offset != ATA_DEVICE && (HR_LOAD(s->control) & ATA_HOB))
		return HR_LOAD(s->prev[offset & 7]);
	return HR_LOAD(s->reg[offset & 7]);
}

/* ---- writing ---- */

/* [ATA-6] leaves open what a write does while BSY or DRQ is set. Here: nothing. */
static inline bool ata_ignores_writes(const struct ata_state *s)
{
	return !HR_LOAD(s->present) || (HR_LOAD(s->status) & (ATA_BSY | ATA_DRQ));
}

/* Whether a write to registers 1 to 6, not ignored, would raise or lower INTRQ: a device is selected. */
static inline bool ata_write_moves_intrq(const struct ata_state *s, uint32_t offset, uint8_t v)
{
	return offset == ATA_DEVICE && HR_LOAD(s->irq) && !(HR_LOAD(s->control) & ATA_NIEN) &&
	       ((HR_LOAD(s->reg[ATA_DEVICE]) ^ v) & ATA_DEV1);
}

/* Any write to the command block that is not ignored takes HOB back, one to the data port among them. */
static inline void ata_clear_hob(struct ata_state *s)
{
	HR_STORE(s->control, HR_LOAD(s->control) & ~ATA_HOB);
}

/* Registers 1 to 6. Both devices take the write, whichever is selected. */
static inline void ata_write(struct ata_state *s, uint32_t offset, uint8_t v)
{
	ata_clear_hob(s);
	HR_STORE(s->prev[offset & 7], HR_LOAD(s->reg[offset & 7]));
	HR_STORE(s->reg[offset & 7], v);
}

/* ---- the data port ---- */

/* Bytes that an access moves: the port is 16 bits wide, and 32 bits are two of its words. */
static inline uint32_t ata_data_bytes(uint32_t size)
{
	return (size + 1) & ~1u;
}

/*
 * What is before `pos` in the block has been moved. False, with nothing changed: `pos` is beyond the
 * block, or its end and the disk has something to do then.
 */
static inline bool ata_advance(struct ata_state *s, uint32_t pos)
{
	uint32_t len = HR_LOAD(s->len);

	if (pos >= len) {
		if (pos > len || !HR_LOAD(s->is_last))
			return false;
		/* the last block's interrupt was before it: this is only the end of DRQ */
		HR_STORE(s->phase, ATA_IDLE);
		HR_STORE(s->status, ATA_DRDY | ATA_DSC);
	}
	HR_STORE(s->pos, pos);
	return true;
}

/* A word of the block; one beyond its end is another's. */
static inline uint16_t *ata_word(struct ata_state *s, uint32_t pos)
{
	return (uint16_t *)(s->data + (pos & (ATA_BLOCK_BYTES - 2)));
}

/* What a read finds when there is nothing to move: nobody drives the bus. */
static inline uint64_t ata_no_data(const struct ata_state *s)
{
	return HR_LOAD(s->present) ? ~0ull : ATA_FLOATS_WORDS;
}

#endif
