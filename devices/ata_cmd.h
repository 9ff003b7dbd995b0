/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata_cmd.h: what ata.c (registers, data port, resets) and ata_cmd.c (commands) share. Nobody
 * else includes it. dev.lock is held throughout.
 *
 * A command runs to its end, or to where the host has to move data, inside the write that starts
 * it; BSY is seen only while the host holds SRST. From its first change of the page to its last
 * the phase is ATA_AT_WORK, on which every program punts: so an access that the model does is one
 * step to all vCPUs, although the disk is read outside the bracket.
 */
#ifndef DEVICES_ATA_CMD_H
#define DEVICES_ATA_CMD_H

#include "bpf/ata.h"
#include "devices/device.h"
#include "devices/disk.h"

/* Error register. */
#define ATA_ABRT 0x04u
#define ATA_IDNF 0x10u
#define ATA_UNC 0x40u
#define ATA_DIAG_PASSED 0x01u /* not an error but a diagnostic code: device 0 passed, device 1 too or is absent */

enum ata_power { ATA_ACTIVE, ATA_STANDBY, ATA_SLEEPING };
enum ata_addressing { ATA_CHS, ATA_LBA28, ATA_LBA48 };

struct ata {
	struct device dev;
	/* constant after init */
	struct irq_line irq;
	struct disk *disk; /* NULL: an empty channel */
	struct bus *bus;
	struct range *regs;
	/* dev.lock */
	uint16_t heads, sectors_per_track; /* of the current CHS translation */
	uint8_t multiple;		   /* sectors a block, 0: READ/WRITE MULTIPLE are disabled */
	bool write_cache;
	bool revert_on_srst; /* SET FEATURES CCh: a software reset restores the defaults */
	enum ata_power power;
	uint8_t polled; /* commands since nIEN was set, up to POLLS */
	/* the transfer under way, of which the page has the block and where the host is in it */
	enum ata_addressing addressing;
	uint64_t lba;	/* of the block */
	uint32_t left;	/* sectors, those of the block included */
	uint32_t block; /* sectors that one DRQ moves */
};

static inline struct ata_state *ata_state(struct ata *ata)
{
	return &((struct ata_page *)device_page(&ata->dev))->s;
}

/*
 * The block. Only while the phase is ATA_AT_WORK: programs leave it alone then, so that the disk's
 * data goes straight into the page, outside the bracket.
 */
static inline uint8_t *ata_block(struct ata *ata)
{
	return ata_state(ata)->data;
}

/* Each of these three ends the work: ATA_AT_WORK until then, and at rest after. */

/* Ends the command: status and error register, the interrupt. error 0: success. */
void ata_finish(struct ata *ata, uint8_t error);
/* Sets DRQ for a block of so many sectors, to or from the host; with_irq as the protocol has it. */
void ata_set_drq(struct ata *ata, enum ata_phase phase, uint32_t sectors, bool with_irq);
/* EXECUTE DEVICE DIAGNOSTIC, which both devices obey whichever is selected. */
void ata_diagnostic(struct ata *ata);

/* Outputs of a command in the task file: one register, or the address `lba`. */
void ata_set_nsect(struct ata *ata, uint8_t v);
void ata_set_address(struct ata *ata, uint64_t lba);

/* The command register was written; device 0 is selected and idle, the phase ATA_AT_WORK. */
void ata_command(struct ata *ata, uint8_t command);
/* The host has moved the whole block, and the disk has something to do: all but the last of a read. AT_WORK too. */
void ata_block_done(struct ata *ata, bool to_host);
/* Defaults of everything that SET FEATURES and its like change. */
void ata_set_defaults(struct ata *ata);
/* The translation that the drive comes up with; cylinders of any other follow from it. */
void ata_default_geometry(struct ata *ata);

#endif
