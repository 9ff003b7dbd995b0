// SPDX-License-Identifier: BSD-2-Clause
/*
 * bus.c: which ranges there are, where they lie, and the tables that accesses look that up in.
 *
 * None of it is on an access's way, which is bus_io.c and the inline part of bus.h. Changes are made under the bus's
 * lock, and in place: a look-up under way, which takes no lock, finds the old state or the new one.
 */
#include "vmm/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bus_check.h"
#include "vmm/lock.h"

int bus_init(struct bus *bus, struct clock *clock, enum accel_mode mode)
{
	int rc;

	memset(bus, 0, sizeof(*bus));
	bus_hot_none(bus);
	bus->mode = mode;
	bus->clock = clock;
	bus->check = bus_check_new(); /* in each mode, which may change */
	if (!bus->check)
		return -ENOMEM;
	rc = pthread_mutex_init(&bus->lock, NULL);
	lock_declare(&bus->lock, "bus", LOCK_BUS);
	if (rc) {
		bus_check_free(bus->check);
		bus->check = NULL;
	}
	return -rc;
}

void bus_destroy(struct bus *bus)
{
	for (unsigned i = 1; i <= bus->range_count; i++)
		free(bus->ranges[i]);
	bus->range_count = 0;
	bus_check_free(bus->check);
	bus->check = NULL;
	pthread_mutex_destroy(&bus->lock);
}

/* ---- where ranges are ---------------------------------------------------------------------- */

static uint64_t range_last(const struct range *range)
{
	uint64_t last = range->base + (range->len - 1);

	return last < range->base ? ~0ull : last;
}

/* The latest range that is mapped over addr; 0 for none. lock held. */
static unsigned owner(const struct bus *bus, enum io_bus which, uint64_t addr)
{
	for (unsigned i = bus->range_count; i > 0; i--) {
		const struct range *r = bus->ranges[i];

		if (r->bus == which && r->mapped && addr >= r->base && addr <= range_last(r))
			return i;
	}
	return 0;
}

const struct range *bus_owner(const struct bus *bus, enum io_bus which, uint64_t addr)
{
	return bus->ranges[owner(bus, which, addr)];
}

/* lock held */
static void tell_programs(struct bus *bus, const struct range *range)
{
	if (bus->programs_changed)
		bus->programs_changed(bus->programs_opaque, range);
}

void bus_set_program_watcher(struct bus *bus, void (*changed)(void *opaque, const struct range *range), void *opaque)
{
	pthread_mutex_lock(&bus->lock);
	bus->programs_changed = changed;
	bus->programs_opaque = opaque;
	pthread_mutex_unlock(&bus->lock);
}

void bus_program_changed(struct bus *bus, const struct range *range)
{
	pthread_mutex_lock(&bus->lock);
	tell_programs(bus, range);
	pthread_mutex_unlock(&bus->lock);
}

/* Brings the port table up to date over [first, last]. lock held. */
static void update_ports(struct bus *bus, uint64_t first, uint64_t last)
{
	for (uint64_t port = first; port <= last && port < BUS_PIO_PORTS; port++)
		atomic_store_explicit(&bus->pio[port], (uint8_t)owner(bus, IO_PIO, port), memory_order_release);
}

static void put_span(struct bus *bus, unsigned at, uint64_t first, uint64_t last, unsigned index)
{
	atomic_store_explicit(&bus->mmio[at].first, first, memory_order_release);
	atomic_store_explicit(&bus->mmio[at].last, last, memory_order_release);
	atomic_store_explicit(&bus->mmio[at].index, (uint8_t)index, memory_order_release);
}

/*
 * For each group of pages the one range that has any of them; 0 for none or several: then the spans are
 * searched. An address in such a group that is not that range's is nobody's. lock held.
 */
static void update_pages(struct bus *bus, unsigned count)
{
	uint8_t only[BUS_MMIO_PAGES] = {0};
	bool several[BUS_MMIO_PAGES] = {false};

	for (unsigned i = 0; i < count; i++) {
		const struct mmio_span *span = &bus->mmio[i];
		const uint64_t first = span->first / BUS_MMIO_PAGE, pages = span->last / BUS_MMIO_PAGE - first + 1;

		/* twice as many hold a whole MiB: then all have been there */
		for (uint64_t n = 0; n < pages && n < 2 * BUS_MMIO_PAGES; n++) {
			const unsigned at = bus_mmio_group((first + n) * BUS_MMIO_PAGE);

			several[at] |= only[at] && only[at] != span->index;
			only[at] = span->index;
		}
	}
	for (unsigned at = 0; at < BUS_MMIO_PAGES; at++)
		atomic_store_explicit(&bus->mmio_page[at], several[at] ? 0 : only[at], memory_order_release);
}

/*
 * Makes the sorted spans from the ranges: walks from boundary to boundary. Each range brings at
 * most two boundaries, so BUS_MAX_SPANS is enough. lock held.
 */
static void update_spans(struct bus *bus)
{
	uint32_t seq = atomic_load_explicit(&bus->mmio_seq, memory_order_relaxed);
	unsigned count = 0;
	uint64_t addr = 0;
	bool more = true;

	atomic_store_explicit(&bus->mmio_seq, seq + 1, memory_order_relaxed);
	while (more) {
		unsigned index = owner(bus, IO_MMIO, addr);
		uint64_t last = ~0ull;

		/* where the owner may change next */
		for (unsigned i = 1; i <= bus->range_count; i++) {
			const struct range *r = bus->ranges[i];

			if (r->bus != IO_MMIO || !r->mapped)
				continue;
			if (r->base > addr && r->base - 1 < last)
				last = r->base - 1;
			if (range_last(r) >= addr && range_last(r) < last)
				last = range_last(r);
		}
		if (index) {
			assert(count < BUS_MAX_SPANS);
			put_span(bus, count++, addr, last, index);
		}
		more = last != ~0ull;
		addr = last + 1;
	}
	atomic_store_explicit(&bus->mmio_count, count, memory_order_release);
	atomic_store_explicit(&bus->mmio_seq, seq + 2, memory_order_release);
	update_pages(bus, count);
}

/* Whether every aligned access that begins in the range, with its base there, lies in it whole; see struct bus_hot. */
static bool lies_even(const struct range *range, uint64_t base)
{
	return base % range->width == 0 && base < BUS_HOT_BIT / 2 &&
	       (range->len % range->width == 0 || ((range->flags & RANGE_FIFO) && range->len == 1));
}

/*
 * Which accesses may go straight to the program: none while somebody watches, or each must be checked. An odd
 * place takes that from a range for good, since base and deny are not read as one. lock held.
 */
static void update_hot(struct bus *bus, const struct range *range)
{
	struct bus_hot *hot = &bus->hot[range->index];
	const bool is_hot = bus->mode == ACCEL_ON && !bus->trace && !bus->stats && accel_hot_ready(&hot->slot) &&
			    !hot->is_odd && (range->len & (range->len - 1)) == 0;
	const uint64_t beyond = ~(uint64_t)(range->len - 1) & ~BUS_HOT_BIT;

	for (unsigned size = 0; size < sizeof(hot->deny) / sizeof(hot->deny[0]); size++)
		atomic_store_explicit(&hot->deny[size],
			is_hot && (range->sizes >> size & 1) ? beyond | (size - 1) : ~0ull, memory_order_relaxed);
}

static void update_all_hot(struct bus *bus)
{
	for (unsigned i = 1; i <= bus->range_count; i++)
		update_hot(bus, bus->ranges[i]);
}

/* lock held */
static void set_slot(struct bus *bus, struct range *range, struct accel_slot *slot)
{
	struct accel_hot *hot = &bus->hot[range->index].slot;

	accel_hot_leave(hot);
	if (slot)
		accel_hot_join(slot, hot);
	range->slot = slot;
	update_hot(bus, range);
}

void bus_set_slot(struct bus *bus, struct range *range, struct accel_slot *slot)
{
	pthread_mutex_lock(&bus->lock);
	set_slot(bus, range, slot);
	pthread_mutex_unlock(&bus->lock);
}

/* Tells who asked where writes may be deferred now. lock held. */
static void update_zones(struct bus *bus)
{
	struct bus_zone zones[BUS_MAX_ZONES];

	if (bus->zones_changed)
		bus->zones_changed(bus->zones_opaque, zones, bus_zones(bus, zones));
}

void bus_update_zones(struct bus *bus)
{
	update_zones(bus);
}

void bus_set_zone_watcher(
	struct bus *bus, void (*changed)(void *opaque, const struct bus_zone *zones, unsigned count), void *opaque)
{
	pthread_mutex_lock(&bus->lock);
	bus->zones_changed = changed;
	bus->zones_opaque = opaque;
	update_zones(bus);
	pthread_mutex_unlock(&bus->lock);
}

void bus_set_mode(struct bus *bus, enum accel_mode mode)
{
	pthread_mutex_lock(&bus->lock);
	bus->mode = mode;
	update_all_hot(bus);
	update_zones(bus);
	tell_programs(bus, NULL);
	pthread_mutex_unlock(&bus->lock);
}

void bus_set_watchers(struct bus *bus, struct trace *trace, struct stats *stats)
{
	pthread_mutex_lock(&bus->lock);
	bus->trace = trace;
	bus->stats = stats;
	update_all_hot(bus);
	tell_programs(bus, NULL);
	pthread_mutex_unlock(&bus->lock);
}

/* Gives the range another place, or none. lock held. */
static void place(struct bus *bus, struct range *range, bool mapped, uint64_t base)
{
	uint64_t old_first = range->base;
	uint64_t old_last = range_last(range);
	bool was_mapped = range->mapped;

	__atomic_store_n(&range->base, base, __ATOMIC_RELAXED);
	bus->hot[range->index].is_odd |= !lies_even(range, base);
	update_hot(bus, range);
	/* release: whoever sees it also sees that an odd one is not hot */
	atomic_store_explicit(&bus->hot[range->index].base, base - BUS_HOT_BIT, memory_order_release);
	__atomic_store_n(&range->mapped, mapped, __ATOMIC_RELAXED);
	if (range->bus == IO_MMIO) {
		update_spans(bus);
	} else {
		if (was_mapped)
			update_ports(bus, old_first, old_last);
		if (mapped)
			update_ports(bus, base, range_last(range));
	}
	update_zones(bus);
	tell_programs(bus, NULL);
}

/* A FIFO's data port stores nothing plainly. */
static void check_zones(const struct range *range)
{
	for (const struct range_zone *z = range->deferred; z && z->len; z++) {
		assert(z->offset < range->len && z->len <= range->len - z->offset);
		assert(!(range->flags & RANGE_FIFO));
	}
}

struct range *bus_add(struct bus *bus, const struct range *proto)
{
	struct range *range = NULL;

	assert(proto->len > 0 && proto->dev);
	check_zones(proto);
	assert(proto->width == 1 || proto->width == 2 || proto->width == 4 || proto->width == 8);
	pthread_mutex_lock(&bus->lock);
	if (bus->range_count < BUS_MAX_RANGES)
		range = malloc(sizeof(*range));
	if (range) {
		*range = *proto;
		range->mapped = false;
		range->gate_is_open = false;
		range->sizes = (uint16_t)(0x116u & ((2u << range->width) - 1)); /* 1, 2, 4, 8 */
		range->index = (uint8_t)++bus->range_count;
		bus->ranges[range->index] = range;
		set_slot(bus, range, range->slot);
		if (proto->mapped)
			place(bus, range, true, proto->base);
	}
	pthread_mutex_unlock(&bus->lock);
	return range;
}

void bus_map(struct bus *bus, struct range *range, uint64_t base)
{
	pthread_mutex_lock(&bus->lock);
	if (!range->mapped || range->base != base)
		place(bus, range, true, base);
	pthread_mutex_unlock(&bus->lock);
}

void bus_unmap(struct bus *bus, struct range *range)
{
	pthread_mutex_lock(&bus->lock);
	if (range->mapped)
		place(bus, range, false, range->base);
	pthread_mutex_unlock(&bus->lock);
}

void bus_open_gate(struct bus *bus, struct range *range, bool open)
{
	pthread_mutex_lock(&bus->lock);
	if (range->gate_is_open != open) {
		range->gate_is_open = open;
		update_zones(bus);
	}
	pthread_mutex_unlock(&bus->lock);
}

struct range *bus_find_name(struct bus *bus, const char *name)
{
	for (unsigned i = 1; i <= bus->range_count; i++) {
		if (strcmp(bus->ranges[i]->name, name) == 0)
			return bus->ranges[i];
	}
	return NULL;
}

uint64_t bus_check_divergences(const struct bus *bus)
{
	return bus->check ? bus_check_count(bus->check) : 0;
}
