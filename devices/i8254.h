/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8254.h: the 8254 interval timer at 0x40-0x43 and the PC's port 0x61 around it.
 *
 * Ranges: "i8254" (programs may be stateful) and "port61" (pure), on one state page.
 */
#ifndef DEVICES_I8254_H
#define DEVICES_I8254_H

#include "devices/device.h"

struct bus;

/*
 * `out0` is driven with the level of counter 0's OUT: through hpet_legacy_line(hpet, 0), which
 * leads to IRQ 0. NULL when out of memory or ranges. Destroyed through ops->destroy.
 */
struct device *i8254_create(struct bus *bus, struct clock *clock, struct irq_line out0);

#endif
