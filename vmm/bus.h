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

#include "devices/device.h"
#include "vmm/io.h"

#define BUS_MAX_RANGES 64 /* of both buses together */

struct trace;
struct bus_check; /* check mode's findings, bus_check.c */

#define BUS_MAX_SPANS (2 * BUS_MAX_RANGES + 1)

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

struct bus {
	/* constant after init */
	enum accel_mode mode;			     /* may change while no vCPU runs: vm_set_accel() */
	struct trace *trace;			     /* NULL: not traced */
	struct stats *stats;			     /* NULL: not counted */
	struct range_stats *unclaimed[IO_BUS_COUNT]; /* with stats: what nobody claims */
	struct clock *clock;
	struct bus_check *check;
	struct range *ranges[BUS_MAX_RANGES + 1]; /* [0] is NULL: unclaimed */
	unsigned range_count;
	/* written under lock, read without */
	_Atomic uint8_t pio[65536];
	_Atomic uint32_t mmio_seq; /* odd while mmio[] changes */
	_Atomic uint32_t mmio_count;
	struct mmio_span mmio[BUS_MAX_SPANS]; /* sorted, not overlapping */
	/* lock */
	pthread_mutex_t lock;
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
struct range *bus_find(struct bus *bus, enum io_bus which, uint64_t addr);
/* By name; NULL when there is none. */
struct range *bus_find_name(struct bus *bus, const char *name);

/*
 * Does one access of 1 to 8 bytes, or a string access of count elements, whole: splits what no
 * device takes whole into ascending aligned parts, answers what nobody claims with all ones.
 * On return a read's value is in req->io.result (or in req->data). Any vCPU thread.
 */
void bus_io(struct bus *bus, struct io_req *req);

#endif
