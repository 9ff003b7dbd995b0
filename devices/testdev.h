/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * testdev.h: the test device that third-party test kernels expect (QEMU's pc-testdev): a register that
 * reads back, a port that drops the host's mapping of a guest page, interrupt lines, and I/O memory.
 */
#ifndef DEVICES_TESTDEV_H
#define DEVICES_TESTDEV_H

#include "devices/device.h"

struct guest_mem;

#define TESTDEV_LINES 24

/* lines: TESTDEV_LINES of them, copied; those without a set() are not connected. NULL: out of memory. */
struct device *testdev_create(
	struct bus *bus, struct clock *clock, const struct guest_mem *mem, const struct irq_line *lines);

#endif
