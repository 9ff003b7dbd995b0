/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus.h: from an address to the range that owns it, and from there to a program or a model.
 *
 * Lookup takes no lock: PIO is a table of 65536 indices, MMIO a sorted array behind a sequence
 * count. bus_map/bus_unmap may run on any vCPU while others look up (PCI moves ranges);
 * a look-up under way may still reach the old place once.
 *
 * An access belongs to the range that owns its first byte. When that range takes it whole (width,
 * declared end, on MMIO alignment) it goes there whole, also over bytes where a later range lies:
 * a 32-bit access to 0xcf8 is not cut by a one-byte range at 0xcf9. Otherwise it is split into
 * ascending aligned parts and each part is looked up anew.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "accel/hot.h"
#include "devices/device.h"
#include "vmm/bus_zones.h"
#include "vmm/io.h"

#define BUS_MAX_RANGES 64 /* of both buses together */

struct trace;
struct bus_check; /* check mode's findings, bus_check.c */

#define BUS_MAX_SPANS (2 * BUS_MAX_RANGES + 1)

#define BUS_PIO_PORTS 0x10000u
#define BUS_MMIO_PAGE 4096u
#define BUS_MMIO_PAGES 256u

enum accel_mode { ACCEL_OFF, ACCEL_ON, ACCEL_CHECK };

/* What became of one access, for the statistics. */
enum bus_outcome {
	BUS_UNCLAIMED, /* nobody there */
	BUS_MODEL,     /* the range has no program, or programs are off */
	BUS_ANSWERED,  /* by the program */
	BUS_PUNTED,    /* the program passed it on to the model */
	BUS_OUTCOMES
};

/* A run of MMIO addresses [first, last] that one range answers; fields are read under the sequence count. */
struct mmio_span {
	_Atomic uint64_t first, last;
	_Atomic uint8_t index;
};

/*
 * What bus_io() has to know of a range, by the range's index. A place is `biased`: the offset in the range plus
 * BUS_HOT_BIT; deny has the bits that must be 0 then, for each size. All bits: none goes that way, since biased is
 * never 0 for addresses below BUS_HOT_BIT. In front of the base it has the bit below BUS_HOT_BIT, as a hot base is
 * less than that one.
 */
#define BUS_HOT_BIT (1ull << 63)

struct bus_hot {
	_Atomic uint64_t deny[9];
	_Atomic uint64_t base; /* the range's, minus BUS_HOT_BIT */
	struct accel_hot slot; /* the range's; lock, and no vCPU runs */
	bool is_odd;	       /* was at a place where an aligned access may reach over the end */
};

_Static_assert(sizeof(struct bus_hot) == 128, "an index is shifted, not multiplied");

/*
 * The group of an address's page. Not only the page's low bits: chips lie at multiples of 1 MiB, the I/O APIC and the HPET
 * for two. Every run of pages that holds a whole, aligned MiB has pages of all groups.
 */
static inline unsigned bus_mmio_group(uint64_t addr)
{
	return (unsigned)((addr / BUS_MMIO_PAGE ^ addr / (BUS_MMIO_PAGE * BUS_MMIO_PAGES)) % BUS_MMIO_PAGES);
}

struct bus {
	struct bus_hot hot[BUS_MAX_RANGES + 1]; /* [0]: denies everything. First: no offset to add */
	/* constant while a vCPU runs: bus_set_mode(), bus_set_watchers() */
	enum accel_mode mode;
	struct trace *trace;			     /* NULL: not traced */
	struct stats *stats;			     /* NULL: not counted */
	struct range_stats *unclaimed[IO_BUS_COUNT]; /* with stats: what nobody claims */
	struct clock *clock;
	struct bus_check *check;
	struct range *ranges[BUS_MAX_RANGES + 1]; /* [0] is NULL: unclaimed */
	unsigned range_count;
	/* written under lock, read without */
	_Atomic uint8_t pio[BUS_PIO_PORTS];
	_Atomic uint32_t mmio_seq; /* odd while mmio[] changes */
	_Atomic uint32_t mmio_count;
	_Atomic uint8_t mmio_page[BUS_MMIO_PAGES]; /* by bus_mmio_group(); 0: search in mmio[] */
	struct mmio_span mmio[BUS_MAX_SPANS];	   /* sorted, not overlapping */
	/* lock */
	pthread_mutex_t lock;
	void (*zones_changed)(void *opaque, const struct bus_zone *zones, unsigned count); /* NULL: nobody asks */
	void *zones_opaque;
	void (*programs_changed)(void *opaque, const struct range *range); /* NULL: nobody asks */
	void *programs_opaque;
};

int bus_init(struct bus *bus, struct clock *clock, enum accel_mode mode);
void bus_destroy(struct bus *bus);

/* Accesses in check mode on which program and model did not agree. */
uint64_t bus_check_divergences(const struct bus *bus);

/*
 * Takes a copy of *proto and returns it, owned by the bus until bus_destroy(); NULL when the
 * table is full or out of memory. Mapped at proto->base when proto->mapped. Before the vCPUs run.
 */
struct range *bus_add(struct bus *bus, const struct range *proto);
void bus_map(struct bus *bus, struct range *range, uint64_t base);
void bus_unmap(struct bus *bus, struct range *range);
/*
 * Gated zones of the range come (open) or go. Once they have gone no further write is queued there; what other vCPUs
 * wrote before is drained before the access that is being handled ends for its vCPU. A device lock may be held.
 */
void bus_open_gate(struct bus *bus, struct range *range, bool open);
struct range *bus_find(struct bus *bus, enum io_bus which, uint64_t addr);
/* By name; NULL when there is none. */
struct range *bus_find_name(struct bus *bus, const char *name);

/*
 * From now on changed(opaque, range) is called when another program is attached to the range, or none; with NULL when ranges
 * have moved, or the mode or the watchers have changed. bus.lock held, maybe a device lock too. NULL: nobody.
 */
void bus_set_program_watcher(struct bus *bus, void (*changed)(void *opaque, const struct range *range), void *opaque);
/* What is attached to the range's slot has been changed. No lock held. */
void bus_program_changed(struct bus *bus, const struct range *range);
/* The latest range that is mapped over addr; NULL for none. bus.lock held. */
const struct range *bus_owner(const struct bus *bus, enum io_bus which, uint64_t addr);

/* Where its programs attach; NULL: nowhere. No vCPU runs. */
void bus_set_slot(struct bus *bus, struct range *range, struct accel_slot *slot);
void bus_set_mode(struct bus *bus, enum accel_mode mode); /* no vCPU runs */
/* Who sees every access; NULL: nobody. No vCPU runs. */
void bus_set_watchers(struct bus *bus, struct trace *trace, struct stats *stats);

/* What nobody claims goes the slow way. Called by bus_init(), or by who puts another bus_io_slowly() there. */
static inline void bus_hot_none(struct bus *bus)
{
	atomic_init(&bus->hot[0].base, 0 - BUS_HOT_BIT);
	for (unsigned size = 0; size < sizeof(bus->hot[0].deny) / sizeof(bus->hot[0].deny[0]); size++)
		atomic_init(&bus->hot[0].deny[size], ~0ull);
}

/* bus_io() in full, and the model's part of it: for a range that takes the access whole. */
void bus_io_slowly(struct bus *bus, struct io_req *req);
void bus_io_model(struct range *range, struct io_req *req);

/*
 * bus_io() for what a CPU backend makes of a single access: req->data is NULL, io.value has no bit above
 * io.size and is 0 for a read.
 *
 * Inline is the way to a program's answer: one that nobody watches, to a range whose length is a power of
 * two, aligned and of a size that it takes.
 */
static inline void bus_io_one(struct bus *bus, struct io_req *req)
{
	const uint64_t addr = req->addr;
	struct bus_hot *hot;
	uint64_t biased, index;

	if (req->bus == IO_MMIO) {
		if (unlikely(addr >= BUS_HOT_BIT))
			goto slowly;
		index = atomic_load_explicit(&bus->mmio_page[bus_mmio_group(addr)], memory_order_acquire);
	} else {
		if (unlikely(addr >= BUS_PIO_PORTS))
			goto slowly;
		index = atomic_load_explicit(&bus->pio[addr], memory_order_acquire);
	}
	hot = &bus->hot[index];
	__asm__("" : "+r"(hot)); /* keep what has been found out */
	/* acquire: with a new base goes a new deny */
	biased = addr - atomic_load_explicit(&hot->base, memory_order_acquire);
	if (unlikely(biased & atomic_load_explicit(&hot->deny[req->io.size], memory_order_relaxed)))
		goto slowly;
	req->io.offset = (uint32_t)biased;
	if (unlikely(!accel_hot_run(&hot->slot, &req->io)))
		bus_io_model(bus->ranges[hot - bus->hot], req);
	return;
slowly:
	bus_io_slowly(bus, req);
}

/*
 * Does one access of 1 to 8 bytes, or a string access of count elements, whole: splits what no
 * device takes whole into ascending aligned parts, answers what nobody claims with all ones.
 * On return a read's value is in req->io.result (or in req->data). Any vCPU thread.
 */
static inline void bus_io(struct bus *bus, struct io_req *req)
{
	if (unlikely(req->data)) {
		bus_io_slowly(bus, req);
		return;
	}
	req->io.value = req->io.is_write ? hr_mask(req->io.value, req->io.size) : 0;
	bus_io_one(bus, req);
}

#endif
