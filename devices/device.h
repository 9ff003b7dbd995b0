/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * device.h: all that the bus and the VM see of a device.
 *
 * A device embeds `struct device` as its first member. Its handlers run with dev->lock held,
 * called by the bus or by the device's own timer callback; they never take it themselves and
 * they cannot fail: every value a guest can write has defined behaviour.
 * This header and machine.h are the two that vmm/ may include from devices/.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"
#include "vmm/clock.h"
#include "vmm/io.h"
#include "vmm/irq.h"

struct bus;
struct device;
struct vm;
struct range_stats; /* vmm/stats.h */
struct page_image;  /* vmm/page_image.h */
struct range;

/*
 * For a range with HR_PAGE_OK in which one register flows with time, as a counter does, and all others that depend on the
 * time stay as they are but for steps, when the counter has reached some value. A page then shows each step as the chip
 * makes it: first the counter at that value, next what follows from it (vmm/page_image.h).
 */
struct device_steps {
	uint32_t flow; /* the register's offset */
	/*
	 * The first instant after after_ns (host time) at which another register changes by itself, as the state page stands;
	 * UINT64_MAX: none that anybody could live to see. No page_begin() is open, and none can come before the return: any thread,
	 * maybe without dev->lock; only the state page is looked at, by HR_LOAD.
	 */
	uint64_t (*next_ns)(const struct device *dev, uint64_t after_ns);
};

struct device_ops {
	/* Back to power-on state, page included (by page_begin/page_end). dev->lock held. */
	void (*reset)(struct device *dev);
	/*
	 * Optional: host time went on by by_ns while the guest's stood still, so host times that the
	 * device keeps outside its page move on as well (timers and the page's offset_ns have).
	 * dev->lock held, no vCPU runs.
	 */
	void (*shift_time)(struct device *dev, uint64_t by_ns);
	/*
	 * Optional, for ranges with HR_PAGE_OK: whether registers that are stored one after the other can show the state
	 * as it is now without a pair of values that the chip never has. Asked after each page_end(). dev->lock held.
	 */
	bool (*may_show)(struct device *dev);
	/* Frees what init took, dev itself included. No other thread is left. */
	void (*destroy)(struct device *dev);
};

struct device {
	/* constant after init */
	const char *name; /* the part: "i8254", "hpet"; what --prog names */
	const struct device_ops *ops;
	struct clock *clock;
	struct accel_page *page; /* NULL: a device without programs */
	pthread_mutex_t lock;
	/* lock */
	bool is_frozen; /* check mode: the program and the model see one instant */
	uint64_t frozen_ns;
	/* what the guest may see of its ranges without an exit: a list, and what page_image.h does for it; NULL: nothing */
	struct page_image *image;
	const struct device_image_ops *image_ops;
};

/* vmm/page_image.h says what they do. dev->lock held. */
struct device_image_ops {
	void (*begin)(struct device *dev);
	void (*end)(struct device *dev);
	bool (*check_before)(struct device *dev, const struct range *range, const struct hr_io *io, uint64_t *now_ns);
	bool (*check_after)(struct device *dev, const struct range *range, const struct hr_io *io);
};

/*
 * Sets up the common part; page_version 0 means no state page. `size` is that of the whole page
 * variable (struct hr_page first). 0 or -errno; device_cleanup() undoes it.
 */
int device_init(struct device *dev, const char *name, const struct device_ops *ops, struct clock *clock,
	uint32_t page_version, uint32_t page_size);
void device_cleanup(struct device *dev);

/* After a pause of by_ns: the device's guest time goes on where it stood. Takes dev->lock; no vCPU runs, no page is shown. */
void device_shift_time(struct device *dev, uint64_t by_ns);

/* Host time for a model: the sampled instant in check mode, else the clock. dev->lock held. */
static inline uint64_t device_now(const struct device *dev)
{
	return dev->is_frozen ? dev->frozen_ns : clock_now(dev->clock);
}

/* The device's state page as its own type (struct X_page *); lives as long as the device. */
static inline void *device_page(const struct device *dev)
{
	return accel_page_data(dev->page);
}

/*
 * Bracket a change of the page, from the first read it depends on (device_now() included) to
 * the last write; also reads of anything a stateful program may store. dev->lock held; not
 * nested; in between no interrupt line, I/O, log, allocation or sleep.
 */
static inline void page_begin(struct device *dev)
{
	if (__builtin_expect(dev->image != NULL, 0))
		dev->image_ops->begin(dev);
	accel_page_begin(dev->page);
}

static inline void page_end(struct device *dev)
{
	accel_page_end(dev->page);
	if (__builtin_expect(dev->image != NULL, 0))
		dev->image_ops->end(dev);
}

/* A register's name for statistics and reports. A list ends with a NULL name. */
struct reg_name {
	uint32_t offset;
	uint32_t len; /* bytes that belong to it */
	const char *name;
};

/*
 * Every access that starts at the base belongs to the range whatever its size, and the parts of
 * a wider access all go to that address: the IDE data port.
 */
#define RANGE_FIFO 0x1u
/*
 * Of a FIFO: its program takes elements of a string, of 2 bytes or more, also 8 bytes at a time, the first in the lowest
 * bytes, as if they had come one by one. Where it punts they do.
 */
#define RANGE_MERGE 0x2u
/*
 * The guest may be shown a read-only page with what its reads would give (vmm/page_tier.h): every register is answered
 * by a pure program, in parts as in whole, and the model brackets what it reads as well as what it changes.
 */
#define HR_PAGE_OK 0x4u

/*
 * A run of bytes in a range whose writes may be deferred: with KVM they do not exit then but wait in a queue, and
 * reach write() or the program later, in guest order, before anything else looks at the device (vmm/deferred.h).
 *
 * A device may declare one only if *every* access size that fits inside it, at any place in it, is a plain store until
 * another register is touched: it moves no interrupt line, arms no timer, calls nobody, does not depend on the time
 * or on the vCPU, and has the same result, ignored or not, at every moment until the next access that is not deferred,
 * the next timer callback and the next reset. An access that begins or ends outside is never deferred.
 * (0xcf8 is no zone: a byte write to 0xcf9 fits inside and resets the machine.) A list ends with len 0.
 *
 * A gated one holds to that only at times, and is there only while the device has opened the range's gate
 * (bus_open_gate()). It closes the gate in the access that ends such a time, before it changes anything.
 */
struct range_zone {
	uint32_t offset, len; /* bytes */
	bool is_gated;
};

/*
 * A run of addresses on one bus that belongs to one device. A later registration lies over an
 * earlier one. read() sets req->io.result, write() takes req->io.value; req->io.offset and .size
 * say what: the size is a power of two, at most `width`, aligned (on MMIO) and inside the range.
 */
struct range {
	/* constant after bus_add */
	const char *name; /* "ata.regs"; unique in the machine */
	struct device *dev;
	enum io_bus bus;
	uint32_t len;  /* bytes */
	uint8_t width; /* widest access the device takes whole: 1, 2, 4 or 8 */
	uint8_t flags; /* RANGE_*, HR_PAGE_OK */
	void (*read)(struct device *dev, struct io_req *req);
	void (*write)(struct device *dev, struct io_req *req);
	/*
	 * Optional: all of a string access at once (req->count elements of req->io.size bytes in
	 * req->data). Without it the bus calls read()/write() for each element.
	 */
	void (*read_string)(struct device *dev, struct io_req *req);
	void (*write_string)(struct device *dev, struct io_req *req);
	const struct reg_name *regs; /* may be NULL */
	/* with HR_PAGE_OK; NULL: any two values that its timed registers show go together */
	const struct device_steps *steps;
	const struct range_zone *deferred; /* writes that may be deferred; may be NULL, lives as long as the bus */
	struct accel_slot *slot;	   /* where programs attach; NULL: models only */
	struct range_stats *stats;	   /* NULL without --stats */
	uint16_t sizes; /* bit n: accesses of n bytes may be taken whole; set by bus_add() from width */
	uint8_t index;	/* in the bus's tables; set by bus_add() */
	/* bus.lock for writing; read without (atomic) */
	uint64_t base;
	bool mapped;
	bool gate_is_open; /* gated zones are there */
	bool is_in_kernel; /* its program runs in the kernel tier and has its writes: none is deferred */
};

/*
 * Puts `count` ranges on the bus for dev, mapped at their bases; a width left 0 is 1. False: the
 * table is full or out of memory. Before the vCPUs run.
 */
bool device_add_ranges(struct device *dev, struct bus *bus, const struct range *protos, unsigned count);

#endif
