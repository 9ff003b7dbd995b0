/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debugcon.h: the debug console ports 0xe9 and 0x402: what the guest writes goes to a character
 * device; a read gives 0xe9, by which SeaBIOS and others know that somebody listens. Do not
 * create it when nobody does.
 */
#ifndef DEVICES_DEBUGCON_H
#define DEVICES_DEBUGCON_H

#include "devices/device.h"

struct chardev;

/* `chr` must outlive the device. NULL: out of memory. */
struct device *debugcon_create(struct bus *bus, struct clock *clock, struct chardev *chr);

#endif
