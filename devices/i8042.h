/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8042.h: the keyboard controller at 0x60/0x64 with a keyboard on which nobody types, an
 * auxiliary port with nothing plugged in, and port 0x92 (fast A20 and reset).
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "devices/device.h"

struct i8042_config {
	struct irq_line keyboard; /* IRQ 1 */
	struct irq_line aux;	  /* IRQ 12 */
	struct irq_line reset;	  /* set high to ask for a system reset */
};

/* Copies *config. NULL: out of memory. */
struct device *i8042_create(struct bus *bus, struct clock *clock, const struct i8042_config *config);

#endif
