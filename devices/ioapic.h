/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.h: the 82093AA I/O APIC at 0xfec00000: 24 inputs that become messages to the local APICs.
 *
 * Range: "ioapic" (a stateful program). Its device mutex is an "irq controller" of the lock order: a line may be set
 * with another device's mutex held, and messages are sent with this one held.
 */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include "devices/device.h"
#include "vmm/irq.h"

struct bus;

#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_LEN 0x20u
#define IOAPIC_INPUTS 24

/* `apic` is where messages go; it stays as long as the device. NULL: out of memory or ranges. */
struct device *ioapic_create(struct bus *bus, struct clock *clock, const struct irq_apic *apic);

/* Input `pin`, 0..23. High means that the source asserts it, whatever INTPOL says of the wire. */
struct irq_line ioapic_line(struct device *dev, unsigned pin);

/* A local APIC's broadcast of the end of a level-triggered interrupt. Takes the device's mutex. `opaque` is the device. */
void ioapic_eoi(void *opaque, uint8_t vector);

#endif
