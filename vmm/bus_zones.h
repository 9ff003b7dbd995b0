/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus_zones.h: where in the two address spaces writes may be deferred at the moment: the zones that mapped ranges
 * declare (devices/device.h), as absolute addresses. A backend that can defer asks to be told.
 */
#ifndef VMM_BUS_ZONES_H
#define VMM_BUS_ZONES_H

#include <stdint.h>

#include "vmm/io.h"

#define BUS_MAX_ZONES 32 /* further ones are not deferred */

struct bus;

struct bus_zone {
	enum io_bus bus;
	uint64_t addr;
	uint32_t len;
};

/*
 * From now on changed(opaque, zones, count) is called with the whole list, at once and at every change: a range that
 * moves, a gate, another accel mode; none with ACCEL_OFF. bus.lock held, maybe a device lock too. NULL: nobody. A write that
 * is queued from a place that has moved goes to whoever is there when it is drained.
 */
void bus_set_zone_watcher(
	struct bus *bus, void (*changed)(void *opaque, const struct bus_zone *zones, unsigned count), void *opaque);

/* The list may have changed by range.is_in_kernel. bus.lock held. */
void bus_update_zones(struct bus *bus);

/* The list, for bus.c and tests: at most BUS_MAX_ZONES, their number returned. bus.lock held. */
unsigned bus_zones(const struct bus *bus, struct bus_zone *out);

#endif
