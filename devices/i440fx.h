/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i440fx.h: the 82441FX host bridge, PCI function 00:00.0: its PAM registers decide what the
 * guest sees at 0xc0000-0xfffff.
 */
#ifndef DEVICES_I440FX_H
#define DEVICES_I440FX_H

#include "devices/device.h"

struct guest_mem;

/*
 * Attaches itself to `pci`. Without a BIOS that would switch shadow RAM on, the PAM registers
 * start with everything RAM, as a BIOS would leave them. NULL: out of memory.
 */
struct device *i440fx_create(struct clock *clock, struct device *pci, struct guest_mem *mem, bool has_bios);

#endif
