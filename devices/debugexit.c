/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debugexit.c: writes of 1, 2 or 4 bytes to 0xf4 end the VM; the status is always odd, so that
 * it cannot be taken for one of hotreg's own. Reads give 0.
 */
#include "devices/debugexit.h"

#include <stdlib.h>

struct debugexit {
	struct device dev;
	/* constant after init */
	void (*end)(void *opaque, int status);
	void *opaque;
};

static void debugexit_read(struct device *dev, struct io_req *req)
{
	(void)dev;
	req->io.result = 0;
}

static void debugexit_write(struct device *dev, struct io_req *req)
{
	struct debugexit *d = (struct debugexit *)dev;

	if (req->io.offset == 0)
		d->end(d->opaque, (int)((req->io.value << 1 | 1) & 0xff));
}

static void debugexit_reset(struct device *dev)
{
	(void)dev; /* it holds nothing */
}

static void debugexit_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops debugexit_ops = {.reset = debugexit_reset, .destroy = debugexit_destroy};

struct device *debugexit_create(
	struct bus *bus, struct clock *clock, void (*end)(void *opaque, int status), void *opaque)
{
	static const struct reg_name regs[] = {{0, 4, "exit"}, {0, 0, NULL}};
	const struct range range = {.name = "debugexit",
		.base = 0xf4,
		.len = 4,
		.width = 4,
		.read = debugexit_read,
		.write = debugexit_write,
		.regs = regs};
	struct debugexit *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (device_init(&d->dev, "debugexit", &debugexit_ops, clock, 0, 0)) {
		free(d);
		return NULL;
	}
	d->end = end;
	d->opaque = opaque;
	if (!device_add_ranges(&d->dev, bus, &range, 1)) {
		debugexit_destroy(&d->dev);
		return NULL;
	}
	return &d->dev;
}
