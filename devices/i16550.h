/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i16550.h: the 16550A serial port at COM1, 0x3f8, with a character device at its other end.
 */
#ifndef DEVICES_I16550_H
#define DEVICES_I16550_H

#include "devices/device.h"

struct chardev;

/*
 * `irq` is IRQ 4, gated by OUT2 as in every PC. `chr` may be NULL: nothing is connected; else it
 * must outlive the device, which becomes its receiver. NULL: out of memory.
 */
struct device *i16550_create(struct bus *bus, struct clock *clock, struct irq_line irq, struct chardev *chr);

#endif
