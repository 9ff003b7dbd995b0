// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * ata.bpf.c: answers the polling of a PATA driver: status while no interrupt is pending (else
 * the read acknowledges it, which is the model's work), alternate status, and the read-back of
 * the task file. All pure.
 */
#include "bpf/ata.h"

HR_LICENSE;

struct ata_page ata_state HR_STATE = {.head = {.version = ATA_STATE_VERSION, .size = sizeof(struct ata_page)}};

#define WHY_IRQ 1 /* the read would acknowledge an interrupt */

/* Range "ata.regs", 0x1f0-0x1f7; the data port lies over its first register. */
HR_PROG int ata_regs(struct hr_io *io)
{
	if (io->is_write || io->size != 1 || io->offset < ATA_ERROR || io->offset > ATA_STATUS)
		return HR_PUNT;
	if (io->offset != ATA_STATUS) {
		io->result = ata_read(&ata_state.s, io->offset);
		return HR_ANSWER;
	}
	/* what drivers poll comes straight through */
	if (ata_status_acks(&ata_state.s))
		return HR_PUNT_WHY(WHY_IRQ);
	io->result = ata_status(&ata_state.s);
	return HR_ANSWER;
}

/* Range "ata.ctl", 0x3f6: alternate status. */
HR_PROG int ata_ctl(struct hr_io *io)
{
	if (io->is_write || io->size != 1)
		return HR_PUNT;
	io->result = ata_status(&ata_state.s);
	return HR_ANSWER;
}
