/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debugexit.h: the port 0xf4 through which a guest ends the VM with an exit status, as QEMU's
 * isa-debug-exit does.
 */
#ifndef DEVICES_DEBUGEXIT_H
#define DEVICES_DEBUGEXIT_H

#include "devices/device.h"

/* `end` gets (value << 1) | 1, cut to 8 bits; called with the device's lock held. NULL: out of memory. */
struct device *debugexit_create(
	struct bus *bus, struct clock *clock, void (*end)(void *opaque, int status), void *opaque);

#endif
