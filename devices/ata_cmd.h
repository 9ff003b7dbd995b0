/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata_cmd.h: what ata.c (registers, data port, resets) and ata_cmd.c (commands) share. Nobody
 * else includes it. dev.lock is held throughout.
 *
 * A command runs to its end, or to where the host has to move data, inside the write that starts
 * it; BSY is seen only while the host holds SRST.
 */
#ifndef DEVICES_ATA_CMD_H
#define DEVICES_ATA_CMD_H

#include "bpf/ata.h"
#include "devices/device.h"
#include "devices/disk.h"

#define ATA_MAX_MULTIPLE 16u /* sectors of one READ/WRITE MULTIPLE block */

/* Error register. */
#define ATA_ABRT 0x04u
#define ATA_IDNF 0x10u
#define ATA_UNC 0x40u
#define ATA_DIAG_PASSED 0x01u /* not an error but a diagnostic code: device 0 passed, device 1 too or is absent */

enum ata_phase { ATA_IDLE, ATA_TO_HOST, ATA_FROM_HOST };
enum ata_power { ATA_ACTIVE, ATA_STANDBY, ATA_SLEEPING };
enum ata_addressing { ATA_CHS, ATA_LBA28, ATA_LBA48 };

struct ata {
	struct device dev;
	/* constant after init */
	struct irq_line irq;
	struct disk *disk; /* NULL: an empty channel */
	/* dev.lock */
	uint8_t features;
	uint16_t heads, sectors_per_track; /* of the current CHS translation */
	uint8_t multiple;		   /* sectors a block, 0: READ/WRITE MULTIPLE are disabled */
	bool write_cache;
	bool revert_on_srst; /* SET FEATURES CCh: a software reset restores the defaults */
	enum ata_power power;
	/* the transfer under way */
	enum ata_phase phase;
	enum ata_addressing addressing;
	uint64_t lba;	   /* of the block in buf */
	uint32_t left;	   /* sectors, those in buf included */
	uint32_t block;	   /* sectors that one DRQ moves */
	uint32_t pos, len; /* bytes of buf */
	uint8_t buf[ATA_MAX_MULTIPLE * DISK_SECTOR_BYTES];
};

static inline struct ata_state *ata_state(struct ata *ata)
{
	return &((struct ata_page *)device_page(&ata->dev))->s;
}

/* Shows both registers at once, and an interrupt with them. */
void ata_set_status(struct ata *ata, uint8_t status, uint8_t error, bool with_irq);
/* Ends the command: status and error register, the interrupt. error 0: success. */
void ata_finish(struct ata *ata, uint8_t error);
/* Sets DRQ for the block in buf; with_irq as the protocol has it. */
void ata_set_drq(struct ata *ata, bool with_irq);
/* The values that a reset or a diagnostic leaves in the task file ([ATA-6] Signature). */
void ata_set_signature(struct ata_state *s);
/* Outputs of a command in the task file: one register, or the address `lba`. */
void ata_set_nsect(struct ata *ata, uint8_t v);
void ata_set_address(struct ata *ata, uint64_t lba);

/* The command register was written; device 0 is selected and idle. */
void ata_command(struct ata *ata, uint8_t command);
/* EXECUTE DEVICE DIAGNOSTIC, which both devices obey whichever is selected. */
void ata_diagnostic(struct ata *ata);
/* The host has moved the whole block of buf. */
void ata_block_done(struct ata *ata);
/* Defaults of everything that SET FEATURES and its like change. */
void ata_set_defaults(struct ata *ata);
/* The translation that the drive comes up with; cylinders of any other follow from it. */
void ata_default_geometry(struct ata *ata);

#endif
