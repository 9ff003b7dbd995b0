// SPDX-License-Identifier: BSD-2-Clause
/*
 * bus_zones.c: the list of zones in which writes may be deferred, from the ranges as they are mapped now.
 */
#include "vmm/bus_zones.h"

#include "vmm/bus.h"

/* A later range lies over some of it, so that not every write there is this range's. */
static bool is_covered(const struct bus *bus, unsigned index, const struct bus_zone *zone)
{
	for (unsigned i = index + 1; i <= bus->range_count; i++) {
		const struct range *r = bus->ranges[i];

		if (r->mapped && r->bus == zone->bus && r->base <= zone->addr + (zone->len - 1) &&
			zone->addr <= r->base + (r->len - 1))
			return true;
	}
	return false;
}

unsigned bus_zones(const struct bus *bus, struct bus_zone *out)
{
	unsigned count = 0;

	if (bus->mode == ACCEL_OFF)
		return 0;
	for (unsigned i = 1; i <= bus->range_count; i++) {
		const struct range *r = bus->ranges[i];
		const struct range_zone *z = r->mapped && !r->is_in_kernel ? r->deferred : NULL;

		for (; z && z->len && count < BUS_MAX_ZONES; z++) {
			struct bus_zone zone = {.bus = r->bus, .addr = r->base + z->offset, .len = z->len};

			if (z->is_gated && !r->gate_is_open)
				continue;
			/* none that goes round the end of the address space */
			if (zone.addr >= r->base && zone.addr + (zone.len - 1) >= zone.addr &&
				!is_covered(bus, i, &zone))
				out[count++] = zone;
		}
	}
	return count;
}
