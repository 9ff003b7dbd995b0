/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * i8259.h: what reads of the interrupt controllers give at the moment [8259A]. The model stores it whenever something
 * that it shows changes; programs only read.
 */
#ifndef BPF_I8259_H
#define BPF_I8259_H

#include "bpf/hr.h"

#define PIC_STATE_VERSION 1

/* Bytes of pic_state.shown. */
#define PIC_MASTER 0u /* IRR or ISR, as OCW3 chose; then IMR */
#define PIC_SLAVE 2u
#define PIC_ELCR 4u /* two registers */
#define PIC_POLL 6u /* bit 0 master, bit 1 slave: the next read is an acknowledge */

struct pic_state {
	int64_t offset_ns; /* no register of this device depends on time */
	uint64_t shown;
};

struct pic_page {
	struct hr_page head;
	struct pic_state s;
};

static inline uint8_t pic_byte(uint64_t shown, uint32_t at)
{
	return (uint8_t)(shown >> (8 * at & 63));
}

#endif
