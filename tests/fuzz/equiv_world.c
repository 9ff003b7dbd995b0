// SPDX-License-Identifier: BSD-2-Clause
/*
 * equiv_world.c: the same machine two or three times, in step. Every answer, every change of an interrupt
 * line with its time, every message to the local APICs, INTR, requests for reset and stop, and the state pages must be the same in all.
 *
 * The machines with programs defer writes to the zones that devices declare, as KVM would, for as long as they may:
 * until the next other access, timer or acknowledge, or until a ring of a few places is full. The model's never do.
 *
 * The linker puts this file between the machine and the interrupt controller (--wrap=i8259_line), and
 * between the runtime and the engines (--wrap=engine_prepare), to choose the interpreter for one machine.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accel/engine.h"
#include "devices/i8259.h"
#include "devices/machine.h"
#include "tests/fuzz/equiv.h"
#include "vmm/options.h"
#include "vmm/vm.h"

#define DISK_SECTORS 8192 /* as large as the GRUB image, whose boot is replayed */
#define DISK_BYTES (DISK_SECTORS * 512)
#define LINES 16
#define RING_ENTRIES 8 /* one of which stays free */
#define RING_BYTES (sizeof(struct kvm_coalesced_mmio_ring) + RING_ENTRIES * sizeof(struct kvm_coalesced_mmio))
#define EDGES_MAX 65536 /* in one op; further ones are only counted */

/* Or a message of the I/O APIC. */
struct edge {
	uint64_t at_ns;
	uint8_t irq;
	bool level;
	struct irq_msi message; /* all 0: an edge */
};

/* An input of the interrupt controller, watched. */
struct watched_line {
	struct member *member;
	struct irq_line real;
	uint8_t irq;
	bool level;
};

/* One machine of a world. */
struct member {
	struct vm vm;
	struct options opt;
	int disk;
	struct watched_line lines[LINES];
	struct edge *edges; /* of this op */
	unsigned edge_count;
	bool in_service[256]; /* level-triggered vectors that no EOI has ended */
	/* what defers, by the accel mode none in the model */
	struct kvm_coalesced_mmio_ring *ring;
	struct bus_zone zones[BUS_MAX_ZONES];
	unsigned zone_count;
};

struct world {
	unsigned count;
	struct member *members[WORLD_MAX];
	uint64_t edges;
	char why[512];
};

/* Who is being made: read by the two wrappers. */
static struct member *making;
static enum engine_kind making_kind = ENGINE_BEST;

/* ---- what the linker puts in between ---- */

struct irq_line __real_i8259_line(struct device *dev, unsigned irq);
struct irq_line __wrap_i8259_line(struct device *dev, unsigned irq);
int __real_engine_prepare(
	const struct prog *p, const struct prog_env *env, enum engine_kind kind, struct engine_code **out);
int __wrap_engine_prepare(
	const struct prog *p, const struct prog_env *env, enum engine_kind kind, struct engine_code **out);

static void note(struct member *m, const struct edge *edge)
{
	if (m->edge_count < EDGES_MAX)
		m->edges[m->edge_count] = *edge;
	m->edge_count++;
}

/* The local APICs: take everything, and end it at the next acknowledge. */
static bool message_take(void *opaque, const struct irq_msi *msg)
{
	struct member *m = opaque;

	note(m, &(struct edge){.at_ns = clock_now(&m->vm.clock), .message = *msg});
	if (msg->data & IRQ_MSI_LEVEL)
		m->in_service[msg->data & 0xff] = true;
	return true;
}

static void line_set(void *opaque, unsigned pin, bool level)
{
	struct watched_line *line = opaque;
	struct member *m = line->member;

	(void)pin;
	if (line->level != level) {
		note(m, &(struct edge){.at_ns = clock_now(&m->vm.clock), .irq = line->irq, .level = level});
		line->level = level;
	}
	irq_set(&line->real, level);
}

struct irq_line __wrap_i8259_line(struct device *dev, unsigned irq)
{
	struct watched_line *line = &making->lines[irq];

	assert(irq < LINES);
	line->member = making;
	line->irq = (uint8_t)irq;
	line->real = __real_i8259_line(dev, irq);
	return (struct irq_line){line_set, line, irq};
}

int __wrap_engine_prepare(
	const struct prog *p, const struct prog_env *env, enum engine_kind kind, struct engine_code **out)
{
	return __real_engine_prepare(p, env, kind == ENGINE_BEST ? making_kind : kind, out);
}

/* ---- deferred writes ---- */

static void zones_changed(void *opaque, const struct bus_zone *zones, unsigned count)
{
	struct member *m = opaque;

	memcpy(m->zones, zones, count * sizeof(zones[0]));
	m->zone_count = count;
}

static bool is_in_zone(const struct member *m, const struct equiv_op *op)
{
	for (unsigned i = 0; i < m->zone_count; i++) {
		const struct bus_zone *z = &m->zones[i];

		if (z->bus == op->bus && op->addr >= z->addr && op->size <= z->len &&
			op->addr - z->addr <= z->len - op->size)
			return true;
	}
	return false;
}

/* Queues the access instead of doing it; false: it is none that KVM would queue, or the ring is full. */
static bool defer(struct member *m, const struct equiv_op *op)
{
	struct kvm_coalesced_mmio *e = &m->ring->coalesced_mmio[m->ring->last];
	uint32_t next = (m->ring->last + 1) % RING_ENTRIES;

	if (!op->is_write || op->count || !is_in_zone(m, op) || next == m->ring->first)
		return false;
	*e = (struct kvm_coalesced_mmio){.phys_addr = op->addr, .len = op->size, .pio = op->bus == IO_PIO};
	memcpy(e->data, &op->value, sizeof(e->data));
	m->ring->last = next;
	return true;
}

static void drain_all(struct world *w)
{
	for (unsigned i = 0; i < w->count; i++)
		vm_drain(&w->members[i]->vm);
}

/* ---- making one ---- */

static int make_disk(char *path)
{
	uint8_t sector[512];
	int fd = mkstemp(path);

	if (fd < 0) {
		perror("equiv: a temporary disk");
		exit(2);
	}
	for (unsigned i = 0; i < DISK_SECTORS; i++) {
		for (unsigned k = 0; k < sizeof(sector); k++)
			sector[k] = (uint8_t)(i * 7 + k + (k >> 8));
		if (write(fd, sector, sizeof(sector)) != sizeof(sector)) {
			perror("equiv: a temporary disk");
			exit(2);
		}
	}
	return fd;
}

static const char *replacement_device, *replacement_file;

void world_replace(const char *dev, const char *file)
{
	replacement_device = dev;
	replacement_file = file;
}

static struct member *member_new(unsigned which, uint64_t start_ns)
{
	struct member *m = calloc(1, sizeof(*m));
	const char *tmp = getenv("TMPDIR");
	char path[256];
	struct accel_err err = {""};

	if (!m || !(m->edges = calloc(EDGES_MAX, sizeof(*m->edges))) || !(m->ring = calloc(1, RING_BYTES))) {
		fprintf(stderr, "equiv: no memory\n");
		exit(2);
	}
	snprintf(path, sizeof(path), "%s/hotreg-equiv.XXXXXX", tmp ? tmp : "/tmp");
	m->disk = make_disk(path);
	m->opt = (struct options){
		.mem_bytes = 1 << 20,
		.cpus = 1,
		.cpu = OPT_CPU_SCRIPT,
		.script = "/dev/null",
		.accel = which == WORLD_MODEL ? OPT_ACCEL_OFF : OPT_ACCEL_ON_VMM,
		.serial = "none",
		.disk = path,
		.quiet = true,
	};
	if (replacement_file) {
		m->opt.progs[0].device = replacement_device;
		m->opt.progs[0].file = replacement_file;
		m->opt.prog_count = 1;
	}
	making = m;
	making_kind = which == WORLD_INTERP ? ENGINE_INTERP : ENGINE_BEST;
	if (vm_create(&m->vm, &m->opt, &err)) {
		fprintf(stderr, "equiv: %s\n", err.text);
		exit(2);
	}
	m->vm.apic = (struct irq_apic){.send = message_take, .opaque = m};
	unlink(path); /* the machine has it open */
	m->opt.disk = NULL;
	deferred_set_ring(&m->vm.deferred, m->ring, RING_BYTES);
	bus_set_zone_watcher(&m->vm.bus, zones_changed, m);
	clock_advance(&m->vm.clock, start_ns);
	return m;
}

struct world *world_new(unsigned machines, uint64_t start_ns)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(machines >= 2 && machines <= WORLD_MAX);
	if (!w) {
		fprintf(stderr, "equiv: no memory\n");
		exit(2);
	}
	w->count = machines;
	for (unsigned i = 0; i < machines; i++)
		w->members[i] = member_new(i, start_ns);
	world_reset(w);
	return w;
}

void world_free(struct world *w)
{
	for (unsigned i = 0; i < w->count; i++) {
		vm_destroy(&w->members[i]->vm);
		close(w->members[i]->disk);
		free(w->members[i]->edges);
		free(w->members[i]->ring);
		free(w->members[i]);
	}
	free(w);
}

void world_reset(struct world *w)
{
	drain_all(w);
	for (unsigned i = 0; i < w->count; i++) {
		machine_reset(w->members[i]->vm.machine);
		memset(w->members[i]->in_service, 0, sizeof(w->members[i]->in_service));
		w->members[i]->edge_count = 0;
	}
}

/* ---- comparing ---- */

static bool differ(struct world *w, const struct equiv_op *op, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool differ(struct world *w, const struct equiv_op *op, const char *format, ...)
{
	va_list ap;
	int n = 0;

	if (op && op->kind == EQUIV_ACCESS)
		n = snprintf(w->why, sizeof(w->why),
			"%s %s 0x%" PRIx64 ", %u byte(s), at %" PRIu64 " ns: ", op->is_write ? "write of" : "read of",
			op->bus == IO_PIO ? "pio" : "mmio", op->addr, op->size, world_now(w));
	va_start(ap, format);
	vsnprintf(w->why + n, sizeof(w->why) - (size_t)n, format, ap);
	va_end(ap);
	return false;
}

static bool same_edges(struct world *w, const struct equiv_op *op)
{
	const struct member *a = w->members[0];

	for (unsigned i = 1; i < w->count; i++) {
		const struct member *b = w->members[i];
		unsigned count = a->edge_count < b->edge_count ? a->edge_count : b->edge_count;

		for (unsigned k = 0; k < count && k < EDGES_MAX; k++) {
			const struct edge *x = &a->edges[k], *y = &b->edges[k];

			if (x->at_ns != y->at_ns || x->message.address != y->message.address ||
				x->message.data != y->message.data)
				return differ(w, op,
					"model: message 0x%x at 0x%x at %" PRIu64
					" ns; machine %u: message 0x%x at 0x%x at %" PRIu64 " ns",
					x->message.data, x->message.address, x->at_ns, i, y->message.data,
					y->message.address, y->at_ns);
			if (x->at_ns != y->at_ns || x->irq != y->irq || x->level != y->level)
				return differ(w, op,
					"model: IRQ %u %s at %" PRIu64 " ns; machine %u: IRQ %u %s at %" PRIu64 " ns",
					x->irq, x->level ? "rises" : "falls", x->at_ns, i, y->irq,
					y->level ? "rises" : "falls", y->at_ns);
		}
		if (a->edge_count != b->edge_count)
			return differ(w, op, "model: %u edges of interrupt lines; machine %u: %u", a->edge_count, i,
				b->edge_count);
	}
	w->edges += a->edge_count;
	return true;
}

/* What the machines asked the VM for; grants it. */
static bool same_requests(struct world *w, const struct equiv_op *op)
{
	const struct vm *a = &w->members[0]->vm;
	bool reset = vm_reset_pending(a), stop = vm_should_stop(a), intr = vm_intr_pending(a);

	for (unsigned i = 0; i < w->count; i++) {
		struct vm *b = &w->members[i]->vm;

		if (vm_intr_pending(b) != intr)
			return differ(w, op, "INTR is %u in the model, not in machine %u", intr, i);
		if (vm_reset_pending(b) != reset || vm_should_stop(b) != stop)
			return differ(w, op, "reset %u and stop %u in the model, not in machine %u", reset, stop, i);
	}
	if (!reset && !stop)
		return true;
	drain_all(w);
	for (unsigned i = 0; i < w->count; i++) {
		struct vm *b = &w->members[i]->vm;

		atomic_store(&b->reset, false);
		atomic_store(&b->stop, false);
		atomic_store(&b->stop_claimed, false);
		if (reset)
			machine_reset(b->machine);
	}
	return true;
}

static const struct hr_page *page_of(struct world *w, unsigned member, unsigned range)
{
	const struct range *r = w->members[member]->vm.bus.ranges[range];

	return r->dev->page ? accel_page_data(r->dev->page) : NULL;
}

static bool same_pages(struct world *w)
{
	for (unsigned i = 1; i < w->count; i++) {
		for (unsigned r = 1; r <= w->members[0]->vm.bus.range_count; r++) {
			const struct hr_page *x = page_of(w, 0, r), *y = page_of(w, i, r);
			struct device *dev = w->members[i]->vm.bus.ranges[r]->dev;
			struct accel_field field = {.name = ""};

			if (!x || !memcmp((const uint8_t *)x + 4, (const uint8_t *)y + 4, x->size - 4))
				continue;
			for (uint32_t at = 4; at < x->size; at++) {
				const unsigned char was = ((const uint8_t *)x)[at], is = ((const uint8_t *)y)[at];

				if (was == is)
					continue;
				accel_page_field(dev->page, at, &field);
				return differ(w, NULL,
					"state page of %s: byte %u (%s) is 0x%02x in the model, 0x%02x in machine %u",
					dev->name, at, field.name, was, is, i);
			}
		}
	}
	return true;
}

static bool same_disks(struct world *w)
{
	static uint8_t bytes[2][DISK_BYTES];

	for (unsigned i = 0; i < w->count; i++) {
		if (pread(w->members[i]->disk, bytes[i > 0], DISK_BYTES, 0) != DISK_BYTES)
			return differ(w, NULL, "a disk cannot be read");
		if (i > 0 && memcmp(bytes[0], bytes[1], DISK_BYTES))
			return differ(w, NULL, "the disk of machine %u is not the model's", i);
	}
	return true;
}

bool world_compare(struct world *w, bool whole)
{
	drain_all(w);
	return same_pages(w) && (!whole || same_disks(w));
}

/* ---- one op ---- */

static void fill(uint8_t *data, const struct equiv_op *op)
{
	for (unsigned k = 0; k < op->count; k++) {
		uint64_t value = op->is_write ? op->value + k : 0;

		memcpy(data + (size_t)k * op->size, &value, op->size);
	}
}

static bool do_access(struct world *w, const struct equiv_op *op)
{
	static uint8_t data[2][EQUIV_STRING_MAX * 8];
	struct io_req first = {.count = 1};

	for (unsigned i = 0; i < w->count; i++) {
		struct io_req req = {
			.io = {.value = op->value, .size = op->size, .is_write = op->is_write},
			.addr = op->addr,
			.bus = op->bus,
			.count = 1,
		};

		if (op->count) {
			fill(data[i > 0], op);
			req.io.value = 0;
			req.count = op->count;
			req.data = data[i > 0];
		}
		if (defer(w->members[i], op))
			continue;
		vm_drain(&w->members[i]->vm);
		bus_io(&w->members[i]->vm.bus, &req);
		if (i == 0)
			first = req;
		else if (op->count && memcmp(data[0], data[1], (size_t)op->count * op->size))
			return differ(w, op, "the string of %u elements is another in machine %u", op->count, i);
		else if (!op->count && !op->is_write && req.io.result != first.io.result)
			return differ(w, op, "the model answers 0x%" PRIx64 ", machine %u 0x%" PRIx64, first.io.result,
				i, req.io.result);
	}
	return true;
}

static bool do_ack(struct world *w)
{
	int first = 0;

	drain_all(w);
	for (unsigned i = 0; i < w->count; i++) {
		struct vm *vm = &w->members[i]->vm;
		int vector = vm_intr_pending(vm) ? vm_intr_ack(vm) : -2;

		if (i == 0)
			first = vector;
		else if (vector != first)
			return differ(w, NULL, "interrupt acknowledge: vector %d in the model, %d in machine %u", first,
				vector, i);
	}
	for (unsigned i = 0; i < w->count; i++) {
		struct member *m = w->members[i];

		for (unsigned v = 0; v < 256; v++) {
			if (!m->in_service[v])
				continue;
			m->in_service[v] = false;
			vm_ioapic_eoi(&m->vm, (uint8_t)v);
		}
	}
	return true;
}

bool world_do(struct world *w, const struct equiv_op *op)
{
	bool same = true;

	for (unsigned i = 0; i < w->count; i++) {
		struct member *m = w->members[i];

		m->edge_count = 0;
		if (op->step_ns)
			clock_advance(&m->vm.clock, clock_now(&m->vm.clock) + op->step_ns);
	}
	if (op->kind == EQUIV_ACCESS)
		same = do_access(w, op);
	else if (op->kind == EQUIV_ACK)
		same = do_ack(w);
	else
		world_reset(w);
	return same && same_edges(w, op) && same_requests(w, op);
}

/* ---- what others ask ---- */

const char *world_why(const struct world *w)
{
	return w->why;
}

uint64_t world_now(const struct world *w)
{
	return clock_now(&w->members[0]->vm.clock);
}

uint64_t world_quiet(struct world *w)
{
	uint64_t next = clock_next(&w->members[0]->vm.clock), now = world_now(w);

	return next > now ? next - now : 0;
}

uint64_t world_edges(const struct world *w)
{
	return w->edges;
}

uint64_t world_answered(struct world *w, const char *dev)
{
	const struct bus *bus = &w->members[WORLD_JIT]->vm.bus;
	uint64_t sum = 0;

	for (unsigned r = 1; r <= bus->range_count; r++) {
		struct accel_counters counters;

		if (!bus->ranges[r]->slot || strcmp(bus->ranges[r]->dev->name, dev))
			continue;
		accel_slot_counters(bus->ranges[r]->slot, &counters);
		sum += counters.answered;
	}
	return sum;
}

const char *world_device(struct world *w, unsigned index)
{
	const struct bus *bus = &w->members[WORLD_JIT]->vm.bus;

	for (unsigned r = 1; r <= bus->range_count; r++) {
		bool is_first = bus->ranges[r]->slot;

		for (unsigned k = 1; k < r && is_first; k++)
			is_first = !bus->ranges[k]->slot || bus->ranges[k]->dev != bus->ranges[r]->dev;
		if (is_first && index-- == 0)
			return bus->ranges[r]->dev->name;
	}
	return NULL;
}

bool world_range(struct world *w, const char *dev, unsigned index, struct equiv_range *out)
{
	const struct bus *bus = &w->members[0]->vm.bus;

	for (unsigned i = 1; i <= bus->range_count; i++) {
		const struct range *r = bus->ranges[i];

		if (strcmp(r->dev->name, dev) || index-- > 0)
			continue;
		*out = (struct equiv_range){
			.name = r->name,
			.bus = r->bus,
			.base = r->base,
			.len = r->len,
			.width = r->width,
			.is_fifo = r->flags & RANGE_FIFO,
		};
		for (const struct reg_name *reg = r->regs; reg && reg->name && out->start_count < 64; reg++)
			out->starts[out->start_count++] = reg->offset;
		return true;
	}
	return false;
}
