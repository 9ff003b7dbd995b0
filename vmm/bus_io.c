// SPDX-License-Identifier: BSD-2-Clause
/*
 * bus_io.c: dispatch of accesses; the way from an address to a program or a model.
 *
 * The usual access is one look-up, one run of the program, or one lock around the model.
 * Everything else (splitting, string elements, tracing, counting) is kept off that path, behind
 * branches that always go the same way.
 */
#include "vmm/bus.h"

#include <assert.h>
#include <string.h>

#include "vmm/bus_check.h"
#include "vmm/stats.h"
#include "vmm/trace.h"

/* ---- look-up ------------------------------------------------------------------------------- */

/*
 * The index of the range whose span holds addr, from one consistent state of the table. Every
 * field is stored with release and loaded with acquire: who has seen a new one also sees the odd
 * or moved sequence count in the last load, and looks again.
 */
static unsigned find_span(const struct bus *bus, uint64_t addr)
{
	for (;;) {
		uint32_t seq = atomic_load_explicit(&bus->mmio_seq, memory_order_acquire);
		unsigned low = 0, index = 0;
		unsigned high = atomic_load_explicit(&bus->mmio_count, memory_order_acquire);

		while (low < high) {
			unsigned mid = (low + high) / 2;
			const struct mmio_span *span = &bus->mmio[mid];

			if (addr < atomic_load_explicit(&span->first, memory_order_acquire)) {
				high = mid;
			} else if (addr > atomic_load_explicit(&span->last, memory_order_acquire)) {
				low = mid + 1;
			} else {
				index = atomic_load_explicit(&span->index, memory_order_acquire);
				break;
			}
		}
		if (likely(!(seq & 1) && atomic_load_explicit(&bus->mmio_seq, memory_order_relaxed) == seq))
			return index;
	}
}

static inline unsigned index_at(const struct bus *bus, enum io_bus which, uint64_t addr)
{
	if (which == IO_MMIO)
		return find_span(bus, addr);
	if (unlikely(addr >= BUS_PIO_PORTS))
		return 0;
	return atomic_load_explicit(&bus->pio[addr], memory_order_acquire);
}

/* The range at addr and the offset in it. NULL for none, or for one that moved between look-up and load of its base. */
static inline struct range *find_once(const struct bus *bus, enum io_bus which, uint64_t addr, uint32_t *offset)
{
	struct range *range = bus->ranges[index_at(bus, which, addr)];
	uint64_t from_base = 0;

	if (range) {
		from_base = addr - __atomic_load_n(&range->base, __ATOMIC_RELAXED);
		if (unlikely(from_base >= range->len))
			range = NULL;
	}
	*offset = (uint32_t)from_base;
	return range;
}

/* The same. One that moved is looked up once more, and then is not there. */
static struct range *find_at(const struct bus *bus, enum io_bus which, uint64_t addr, uint32_t *offset)
{
	struct range *range = find_once(bus, which, addr, offset);

	return range ? range : find_once(bus, which, addr, offset);
}

struct range *bus_find(struct bus *bus, enum io_bus which, uint64_t addr)
{
	uint32_t offset;

	return find_at(bus, which, addr, &offset);
}

/* ---- one part of an access ----------------------------------------------------------------- */

static bool is_fifo_base(const struct range *range, uint32_t offset)
{
	return (range->flags & RANGE_FIFO) && offset == 0;
}

/* Does the device take an access of this size at this place whole? */
static inline bool fits(const struct range *range, uint32_t offset, uint64_t addr, unsigned size)
{
	if (!(range->sizes >> size & 1))
		return false;
	if (range->bus == IO_MMIO && (addr & (size - 1)) != 0)
		return false;
	return is_fifo_base(range, offset) || size <= range->len - offset;
}

static bool has_program(const struct bus *bus, const struct range *range)
{
	return range->slot && bus->mode != ACCEL_OFF && accel_slot_attached(range->slot);
}

void bus_io_model(struct range *range, struct io_req *req)
{
	req->io.result = 0;
	pthread_mutex_lock(&range->dev->lock);
	range_model(range, req);
	pthread_mutex_unlock(&range->dev->lock);
	req->io.result = hr_mask(req->io.result, req->io.size);
}

/* The range takes the access whole (io.offset and io.size are set), or is NULL. */
static inline enum bus_outcome dispatch(struct bus *bus, struct range *range, struct io_req *req)
{
	enum bus_outcome outcome = BUS_MODEL;

	if (unlikely(!range)) {
		req->io.result = io_all_ones(req->io.size);
		return BUS_UNCLAIMED;
	}
	if (range->slot && bus->mode != ACCEL_OFF) {
		if (likely(bus->mode == ACCEL_ON)) {
			if (accel_run(range->slot, &req->io)) /* which masks the result */
				return BUS_ANSWERED;
			if (accel_slot_attached(range->slot))
				outcome = BUS_PUNTED;
		} else if (accel_slot_attached(range->slot)) {
			return bus_check_access(bus->check, range, req);
		}
	}
	bus_io_model(range, req);
	return outcome;
}

static struct range_stats *stats_of(const struct bus *bus, const struct range *range, const struct io_req *req)
{
	return range ? range->stats : bus->unclaimed[req->bus];
}

/* The same with somebody watching. */
static __attribute__((noinline)) void dispatch_observed(struct bus *bus, struct range *range, struct io_req *req)
{
	uint64_t now = bus->trace ? clock_now(bus->clock) : 0;
	uint64_t start = stats_ticks();
	enum bus_outcome outcome = dispatch(bus, range, req);
	uint64_t ticks = stats_ticks() - start;

	if (bus->stats)
		stats_note(stats_of(bus, range, req), req, outcome, ticks, 1);
	if (bus->trace)
		trace_access(bus->trace, now, req);
}

static inline void do_part(struct bus *bus, struct range *range, uint32_t offset, struct io_req *req)
{
	req->io.offset = offset;
	req->io.result = 0;
	if (unlikely(bus->trace || bus->stats))
		dispatch_observed(bus, range, req);
	else
		dispatch(bus, range, req);
}

/* ---- splitting and strings ----------------------------------------------------------------- */

/* Nobody claims any of the bytes after the first (PIO does not wrap; neither does MMIO). */
static bool is_free(const struct bus *bus, enum io_bus which, uint64_t addr, unsigned size)
{
	uint32_t offset;

	for (unsigned i = 1; i < size && addr + i >= addr; i++) {
		if (find_at(bus, which, addr + i, &offset))
			return false;
	}
	return true;
}

/* The largest aligned part at addr of at most `left` bytes that goes to one place. */
static unsigned part_size(const struct bus *bus, const struct range *range, uint32_t offset, enum io_bus which,
	uint64_t addr, unsigned left)
{
	unsigned size = 8;

	while (size > left || (addr & (size - 1)) != 0)
		size /= 2;
	while (size > 1 && (range ? !fits(range, offset, addr, size) : !is_free(bus, which, addr, size)))
		size /= 2;
	return size;
}

static __attribute__((noinline)) void do_split(struct bus *bus, struct io_req *req)
{
	const uint64_t addr = req->addr, value = req->io.value;
	const unsigned total = req->io.size;
	uint32_t offset = 0;
	struct range *range = find_at(bus, req->bus, addr, &offset);
	const bool same_place = range && is_fifo_base(range, offset);
	uint64_t result = 0;
	unsigned done = 0;

	while (done < total) {
		if (!same_place && done > 0) {
			req->addr = addr + done;
			range = req->addr < addr ? NULL : find_at(bus, req->bus, req->addr, &offset);
		}
		req->io.size = (uint8_t)part_size(bus, range, offset, req->bus, req->addr, total - done);
		req->io.value = hr_mask(value >> (8 * done), req->io.size);
		do_part(bus, range, offset, req);
		result |= req->io.result << (8 * done);
		done += req->io.size;
	}
	req->addr = addr;
	req->io.value = value;
	req->io.size = (uint8_t)total;
	req->io.result = result;
}

/* `range` is at the first byte. */
static inline void do_single_at(struct bus *bus, struct range *range, uint32_t offset, struct io_req *req)
{
	req->io.value = req->io.is_write ? hr_mask(req->io.value, req->io.size) : 0;
	if (likely(range ? fits(range, offset, req->addr, req->io.size)
			 : is_free(bus, req->bus, req->addr, req->io.size)))
		do_part(bus, range, range ? offset : 0, req);
	else
		do_split(bus, req);
}

static void do_single(struct bus *bus, struct io_req *req)
{
	uint32_t offset = 0;
	struct range *range = find_at(bus, req->bus, req->addr, &offset);

	do_single_at(bus, range, offset, req);
}

/* All elements in one call of the model, when it has one and nothing wants to see each. */
static bool do_whole_string(struct bus *bus, struct io_req *req)
{
	uint32_t offset = 0;
	struct range *range = find_at(bus, req->bus, req->addr, &offset);
	void (*handler)(struct device *, struct io_req *);
	uint64_t now, start, ticks;

	if (!range || !fits(range, offset, req->addr, req->io.size) || has_program(bus, range))
		return false;
	handler = req->io.is_write ? range->write_string : range->read_string;
	if (!handler)
		return false;
	now = bus->trace ? clock_now(bus->clock) : 0;
	start = bus->stats ? stats_ticks() : 0;
	req->io.offset = offset;
	pthread_mutex_lock(&range->dev->lock);
	handler(range->dev, req);
	pthread_mutex_unlock(&range->dev->lock);
	if (bus->stats) {
		ticks = stats_ticks() - start;
		stats_note(range->stats, req, BUS_MODEL, ticks, req->count);
	}
	if (bus->trace)
		trace_access(bus->trace, now, req);
	return true;
}

static void load_element(struct io_req *req, const uint8_t *element)
{
	req->io.value = 0;
	if (req->io.is_write)
		memcpy(&req->io.value, element, req->io.size);
}

static void store_element(const struct io_req *req, uint8_t *element)
{
	if (!req->io.is_write)
		memcpy(element, &req->io.result, req->io.size);
}

/* The element that the program has just passed on, or for which it is gone. */
static void do_punted_element(struct bus *bus, struct range *range, struct io_req *req, uint8_t *element)
{
	enum bus_outcome outcome = accel_slot_attached(range->slot) ? BUS_PUNTED : BUS_MODEL;
	uint64_t start = bus->stats ? stats_ticks() : 0;

	load_element(req, element);
	bus_io_model(range, req);
	store_element(req, element);
	if (bus->stats)
		stats_note(range->stats, req, outcome, stats_ticks() - start, 1);
}

/* Elements through the program up to one on which it punts, several at a time where the range allows it. */
static uint32_t run_elements(const struct range *range, struct hr_io *io, uint32_t count, uint8_t *data)
{
	const uint8_t size = io->size;
	const uint32_t merged = 8u / size;
	uint32_t done = 0;

	if ((range->flags & RANGE_MERGE) && size >= 2 && count >= merged) {
		io->size = 8;
		done = accel_run_string(range->slot, io, count / merged, data) * merged;
		io->size = size;
		if (done == count)
			return done;
	}
	return done + accel_run_string(range->slot, io, count - done, data + (size_t)done * size);
}

/*
 * Elements from the start of `data` through the program of the range they all go to, and behind them
 * the one on which it punted through the model. Returns how many were done; 0: there is no program, or each element
 * must be looked at by itself.
 */
static uint32_t do_program_string(struct bus *bus, struct io_req *req, uint8_t *data, uint32_t count)
{
	uint32_t offset = 0, done;
	struct range *range = find_at(bus, req->bus, req->addr, &offset);
	uint64_t start;

	if (bus->mode != ACCEL_ON || bus->trace || !range || !fits(range, offset, req->addr, req->io.size) ||
		!has_program(bus, range))
		return 0;
	start = bus->stats ? stats_ticks() : 0;
	req->io.offset = offset;
	done = run_elements(range, &req->io, count, data);
	if (bus->stats && done > 0)
		stats_note(range->stats, req, BUS_ANSWERED, stats_ticks() - start, done);
	if (done < count) {
		do_punted_element(bus, range, req, data + (size_t)done * req->io.size);
		done++;
	}
	return done;
}

static __attribute__((noinline)) void do_string(struct bus *bus, struct io_req *req)
{
	const uint32_t count = req->count;
	const unsigned size = req->io.size;
	uint8_t *data = req->data;

	if (count == 0 || do_whole_string(bus, req))
		return;
	req->count = 1;
	req->data = NULL;
	for (uint32_t i = 0; i < count;) {
		uint8_t *element = data + (size_t)i * size;
		uint32_t done = do_program_string(bus, req, element, count - i);

		if (done == 0) {
			load_element(req, element);
			do_single(bus, req);
			store_element(req, element);
			done = 1;
		}
		i += done;
	}
	req->count = count;
	req->data = data;
}

/* Everything but what bus_io() does itself. */
void bus_io_slowly(struct bus *bus, struct io_req *req)
{
	if (req->data) {
		do_string(bus, req);
		return;
	}
	assert(req->io.size >= 1 && req->io.size <= 8);
	do_single(bus, req);
}
