/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix3.h: the south bridge as PCI sees it: 00:01.0 PIIX3 ISA bridge, 00:01.1 PIIX3 IDE and
 * 00:01.3 PIIX4 power management, which places the ACPI block on the I/O bus.
 */
#ifndef DEVICES_PIIX3_H
#define DEVICES_PIIX3_H

#include "devices/device.h"

struct irq_route;

/*
 * Attaches its functions to `pci`; `pm` is the device of piix4_pm_create(). `routes`, where PIRQ A to D are routed,
 * may be NULL. NULL: out of memory.
 */
struct device *piix3_create(struct clock *clock, struct device *pci, struct device *pm, struct irq_route *routes);

#endif
