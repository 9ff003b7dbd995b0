/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vga.h: the IBM VGA: registers at 0x3b4-0x3df and 256 KiB of display memory behind 0xa0000-0xbffff.
 */
#ifndef DEVICES_VGA_H
#define DEVICES_VGA_H

#include "devices/device.h"

struct guest_mem;
struct screen_text; /* vmm/screen.h */

struct vga_config {
	struct guest_mem *mem; /* it takes 0xa0000-0xbffff of this, which must outlive the device */
	bool in_text_mode;     /* a reset leaves mode 3, as a boot loader would, since no VGA BIOS will run */
	bool maps_nothing;     /* every access to display memory is to come to the model: traces are complete */
};

/* NULL: out of memory. */
struct device *vga_create(struct bus *bus, struct clock *clock, const struct vga_config *config);

/* What a text mode shows; 0 by 0 in a graphics mode. No vCPU runs. */
void vga_text(struct device *dev, struct screen_text *out);

#endif
