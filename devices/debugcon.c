/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debugcon.c: the debug console at 0xe9 (Bochs, QEMU) and 0x402 (SeaBIOS). No state at all.
 */
#include "devices/debugcon.h"

#include <stdlib.h>

#include "vmm/chardev.h"

#define DEBUGCON_PRESENT 0xe9

struct debugcon {
	struct device dev;
	/* constant after init */
	struct chardev *chr;
};

static void debugcon_read(struct device *dev, struct io_req *req)
{
	(void)dev;
	req->io.result = DEBUGCON_PRESENT;
}

static void debugcon_write(struct device *dev, struct io_req *req)
{
	struct debugcon *d = (struct debugcon *)dev;
	uint8_t byte = (uint8_t)req->io.value;

	chardev_write(d->chr, &byte, 1);
}

static void debugcon_reset(struct device *dev)
{
	(void)dev; /* it holds nothing */
}

static void debugcon_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops debugcon_ops = {.reset = debugcon_reset, .destroy = debugcon_destroy};

struct device *debugcon_create(struct bus *bus, struct clock *clock, struct chardev *chr)
{
	static const struct reg_name regs[] = {{0, 1, "console"}, {0, 0, NULL}};
	const struct range ranges[] = {
		{.name = "debugcon",
			.base = 0xe9,
			.len = 1,
			.read = debugcon_read,
			.write = debugcon_write,
			.regs = regs},
		{.name = "debugcon.bios",
			.base = 0x402,
			.len = 1,
			.read = debugcon_read,
			.write = debugcon_write,
			.regs = regs},
	};
	struct debugcon *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (device_init(&d->dev, "debugcon", &debugcon_ops, clock, 0, 0)) {
		free(d);
		return NULL;
	}
	d->chr = chr;
	if (!device_add_ranges(&d->dev, bus, ranges, 2)) {
		debugcon_destroy(&d->dev);
		return NULL;
	}
	return &d->dev;
}
