/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mc146818.h: the real-time clock and CMOS memory at 0x70/0x71.
 *
 * Range: "mc146818", one program (stateful) from bpf/mc146818.bpf.c. It starts with the host's UTC wall clock and then runs on guest
 * time; on the virtual clock it starts at 2020-01-01 00:00:00, a Wednesday.
 */
#ifndef DEVICES_MC146818_H
#define DEVICES_MC146818_H

#include "devices/device.h"

struct bus;

/* `irq` carries the IRQ output: through hpet_legacy_line(hpet, 1), which leads to IRQ 8. NULL on failure. */
struct device *mc146818_create(struct bus *bus, struct clock *clock, struct irq_line irq);

/* Presets a CMOS byte, index 0x0e..0x7f but 0x32, which holds the century. Before the vCPUs run; survives reset. */
void mc146818_set_cmos(struct device *rtc, uint8_t index, uint8_t value);

#endif
