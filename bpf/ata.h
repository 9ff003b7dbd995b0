/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ata.h: what the guest sees of the ATA channel's registers, once for the model and for its
 * programs. One device at most, number 0; the commands and the data port are the model's alone,
 * and so is every write: they move data or raise an interrupt.
 */
#ifndef BPF_ATA_H
#define BPF_ATA_H

#include "bpf/hr.h"

#define ATA_STATE_VERSION 1

/* Offsets from 0x1f0, as read. */
enum { ATA_DATA, ATA_ERROR, ATA_NSECT, ATA_LBAL, ATA_LBAM, ATA_LBAH, ATA_DEVICE, ATA_STATUS };

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

struct ata_state {
	int64_t offset_ns; /* no register of this device depends on time */
	uint8_t present;   /* 1: device 0 is attached */
	uint8_t irq;	   /* 1: device 0 has an interrupt pending */
	uint8_t status;	   /* device 0's */
	uint8_t error;
	uint8_t control;
	uint8_t device;
	/* [0] as last written, [1] the contents before that */
	uint8_t nsect[2];
	uint8_t lbal[2];
	uint8_t lbam[2];
	uint8_t lbah[2];
	uint8_t pad[2];
};

struct ata_page {
	struct hr_page head;
	struct ata_state s;
};

/* The status register; device 0 shows 00h in the place of an absent device 1 ([ATA-6] 9.16.1). */
static inline uint8_t ata_status(const struct ata_state *s)
{
	if (!HR_LOAD(s->present))
		return ATA_FLOATS;
	return HR_LOAD(s->device) & ATA_DEV1 ? 0 : HR_LOAD(s->status);
}

/* Whether a read of the status register would change anything. */
static inline bool ata_status_acks(const struct ata_state *s)
{
	return HR_LOAD(s->irq) && !(HR_LOAD(s->device) & ATA_DEV1);
}

/* Registers 1 to 7. */
static inline uint8_t ata_read(const struct ata_state *s, uint32_t offset)
{
	bool hob = HR_LOAD(s->control) & ATA_HOB;

	if (!HR_LOAD(s->present))
		return ATA_FLOATS;
	switch (offset) {
	case ATA_ERROR:
		return HR_LOAD(s->error);
	case ATA_NSECT:
		return hob ? HR_LOAD(s->nsect[1]) : HR_LOAD(s->nsect[0]);
	case ATA_LBAL:
		return hob ? HR_LOAD(s->lbal[1]) : HR_LOAD(s->lbal[0]);
	case ATA_LBAM:
		return hob ? HR_LOAD(s->lbam[1]) : HR_LOAD(s->lbam[0]);
	case ATA_LBAH:
		return hob ? HR_LOAD(s->lbah[1]) : HR_LOAD(s->lbah[0]);
	case ATA_DEVICE:
		return HR_LOAD(s->device);
	default:
		return ata_status(s);
	}
}

#endif
