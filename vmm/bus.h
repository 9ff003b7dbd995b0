/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus.h: from an address to the range that owns it, and from there to a program or a model.
 *
 * Lookup takes no lock: PIO is a table of 65536 indices, MMIO a sorted array that is replaced
 * whole. bus_map/bus_unmap may run on any vCPU while others look up (PCI moves ranges);
 * a look-up under way may still reach the old place once.
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

enum accel_mode { ACCEL_OFF, ACCEL_ON, ACCEL_CHECK };

struct mmio_table; /* immutable once published */

struct bus {
	/* constant after init */
	enum accel_mode mode;
	struct trace *trace; /* NULL: not traced */
	struct clock *clock;
	struct bus_check *check;
	struct range *ranges[BUS_MAX_RANGES + 1]; /* [0] is NULL: unclaimed */
	unsigned range_count;
	/* written under lock, read without */
	_Atomic uint8_t pio[65536];
	_Atomic(struct mmio_table *) mmio;
	/* lock */
	pthread_mutex_t lock;
	struct mmio_table *retired; /* freed in bus_destroy */
};

int bus_init(struct bus *bus, struct clock *clock, enum accel_mode mode);
void bus_destroy(struct bus *bus);

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
