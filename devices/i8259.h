/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8259.h: the pair of 8259A interrupt controllers of a PC with the PIIX3's edge/level
 * registers. The second controller's INT output is IRQ 2 of the first.
 *
 * Its device mutex is the "irq controller" of the lock order: a line may be set with another
 * device's mutex held, and the output line is set with this one held.
 */
#ifndef DEVICES_I8259_H
#define DEVICES_I8259_H

#include "devices/device.h"
#include "vmm/bus.h"

/* `intr` is the INTR output to the CPU. NULL: out of memory. */
struct device *i8259_create(struct bus *bus, struct clock *clock, struct irq_line intr);

/*
 * The input `irq`, 0..15 but not 2. As the part does it, an edge-triggered request is withdrawn
 * when its line falls before the acknowledge; so a timer holds its line until its next edge.
 */
struct irq_line i8259_line(struct device *dev, unsigned irq);

/*
 * The CPU's interrupt acknowledge cycle. Returns the vector; a spurious one (IR7) when no
 * request is left, as the part does. Takes the device's mutex. `opaque` is the device.
 */
int i8259_ack(void *opaque);

#endif
