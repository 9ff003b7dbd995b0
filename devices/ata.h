/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata.h: the primary ATA channel at 0x1f0-0x1f7 and 0x3f6 with at most one disk, device 0.
 *
 * Ranges: "ata.regs" (program ata_regs), "ata.data" over its first register, "ata.ctl" (program
 * ata_ctl); both programs are pure.
 */
#ifndef DEVICES_ATA_H
#define DEVICES_ATA_H

#include "devices/device.h"

struct disk;

/*
 * `irq` is IRQ 14. `disk` NULL: nothing is attached. The device owns the disk from here on, also
 * when it fails (NULL: out of memory).
 */
struct device *ata_create(struct bus *bus, struct clock *clock, struct irq_line irq, struct disk *disk);

#endif
