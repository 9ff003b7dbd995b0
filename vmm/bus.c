// SPDX-License-Identifier: BSD-2-Clause
/*
 * bus.c: dispatch of accesses; the way from an address to a program or a model.
 *
 * The usual access is one look-up, one run of the program, or one lock around the model.
 * Everything else (splitting, string elements, tracing, counting) is kept off that path, behind
 * branches that always go the same way.
 */
#include "vmm/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bus_check.h"
#include "vmm/stats.h"
#include "vmm/trace.h"
#include "vmm/lock.h"

#define PIO_PORTS 0x10000u

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
	for (uint64_t port = first; port <= last && port < PIO_PORTS; port++)
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
	if (unlikely(addr >= PIO_PORTS))
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
