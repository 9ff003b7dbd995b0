// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_tier.c: keeps KVM's list of ranges with programs in line with the bus.
 *
 * KVM knows places, not devices: each range becomes one place or several. Writes to a range that is there are its program's
 * or exit, and none of them is queued (vmm/deferred.h). A device that can have queued writes answers only while there are none.
 * Invariant: what KVM has is tier->places; everything in struct kvm_tier is under bus.lock.
 */
#include "vmm/kvm_tier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kernel.h"
#include "vmm/kvm_bpf_iodev.h"
#include "vmm/options.h"
#include "vmm/text.h"
#include "vmm/vm.h"

#define MAX_PLACES 256
#define PLACES_A_RANGE 16

/* As KVM has it; flags and sizes are those of the ioctl. */
struct place {
	const struct range *range;
	uint64_t addr;
	uint32_t len, offset, flags, sizes;
	bool is_kept; /* while the list is compared */
};

struct tier_range {
	struct accel_kernel_prog prog; /* fd -1: none */
	char why_not[160];
	bool is_refused;	   /* this program, by KVM */
	struct tier_counters gone; /* of places that are no more */
};

struct kvm_tier {
	struct bus *bus;
	int vm_fd;	  /* not ours */
	const char *pins; /* the directory of --pins; NULL: programs are loaded */
	int pins_fd;	  /* the same, locked while this VM uses its pages; -1 */
	struct tier_range ranges[BUS_MAX_RANGES + 1];
	struct place places[MAX_PLACES];
	unsigned count;
};

const char *kvm_tier_missing(int kvm_fd, bool pinned)
{
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_BPF_IODEV) < (int)sizeof(struct kvm_bpf_iodev))
		return "this host's KVM has not the patches for it";
	return pinned ? NULL : accel_kernel_unusable();
}

/* ---- places ------------------------------------------------------------------------------------ */

static bool is_same(const struct place *a, const struct place *b)
{
	return a->range == b->range && a->addr == b->addr && a->len == b->len && a->offset == b->offset &&
	       a->flags == b->flags && a->sizes == b->sizes;
}

/* Writes to some register of the range's device may be queued, or still are from when its program was not here. */
static bool device_defers(const struct bus *bus, const struct device *dev)
{
	for (unsigned i = 1; i <= bus->range_count; i++) {
		const struct range *r = bus->ranges[i];

		if (r->dev == dev && r->deferred && r->deferred->len)
			return true;
	}
	return false;
}

static uint32_t sizes_of(const struct range *range)
{
	uint32_t sizes = 0;

	for (uint32_t n = 1; n <= 8; n *= 2)
		sizes |= range->sizes >> n & 1 ? n : 0;
	return sizes;
}

static bool owns(const struct bus *bus, const struct range *range, uint32_t offset)
{
	return bus_owner(bus, range->bus, range->base + offset) == range;
}

/*
 * A later range lies over some bytes of this one. An access belongs to whom its first byte belongs to: the sizes of which
 * every access that lies inside begins at a byte of ours.
 */
static uint32_t sizes_around_holes(const struct bus *bus, const struct range *range)
{
	uint32_t sizes = sizes_of(range);

	for (uint32_t n = 1; n <= 8; n *= 2) {
		for (uint32_t at = 0; (sizes & n) && at + n <= range->len; at++) {
			if (!owns(bus, range, at) && (range->bus == IO_PIO || (range->base + at) % n == 0))
				sizes &= ~n;
		}
		if (n > range->len)
			sizes &= ~n;
	}
	return sizes;
}

/* Why the range cannot be there, whatever KVM says; NULL: it can. */
static const char *why_never(const struct range *range)
{
	if (range->flags & RANGE_FIFO)
		return "a FIFO: a string of it is cheaper as one exit";
	return range->len > 4096 ? "it is longer than 4 KiB" : NULL;
}

/*
 * The places of one range, their number returned, at most PLACES_A_RANGE: all of it when every access that it takes begins at a
 * byte of its own, for as many sizes as that holds; else each run of bytes of its own.
 */
static unsigned places_of(const struct bus *bus, const struct range *range, bool stateful, struct place *out)
{
	const uint32_t flags = KVM_BPF_IODEV_READ | KVM_BPF_IODEV_WRITE | (stateful ? KVM_BPF_IODEV_STATEFUL : 0) |
			       (range->bus == IO_MMIO ? KVM_BPF_IODEV_ALIGNED : 0) |
			       (device_defers(bus, range->dev) ? KVM_BPF_IODEV_DRAIN : 0);
	const uint32_t whole = sizes_around_holes(bus, range);
	unsigned count = 0;

	for (uint32_t at = 0; at < range->len && count < PLACES_A_RANGE;) {
		uint32_t end = at + 1;

		if (whole) {
			end = range->len;
		} else if (!owns(bus, range, at)) {
			at++;
			continue;
		}
		while (end < range->len && owns(bus, range, end))
			end++;
		out[count++] = (struct place){
			.range = range,
			.addr = range->base + at,
			.len = end - at,
			.offset = at,
			.flags = flags,
			.sizes = whole ? whole : sizes_of(range),
		};
		at = end;
	}
	return count;
}

/* ---- KVM ------------------------------------------------------------------------------------------ */

/* 0 or -errno. Counters of a place that goes are kept. */
static int tell_kvm(struct kvm_tier *tier, const struct place *p, uint32_t op, struct tier_counters *counters)
{
	const struct tier_range *tr = &tier->ranges[p->range->index];
	const bool has_conf = op == KVM_BPF_IODEV_ATTACH || op == KVM_BPF_IODEV_REPLACE;
	struct kvm_bpf_iodev args = {
		.argsz = sizeof(args),
		.op = op,
		.bus = p->range->bus == IO_PIO ? KVM_BPF_IODEV_BUS_PIO : KVM_BPF_IODEV_BUS_MMIO,
		.addr = p->addr,
		.len = p->len,
	};

	if (has_conf) {
		args.flags = p->flags;
		args.offset = p->offset;
		args.sizes = p->sizes;
		args.prog_fd = tr->prog.fd;
		args.state_fd = tr->prog.state_fd;
		args.event_fd = tr->prog.event_fd;
	}
	if (ioctl(tier->vm_fd, KVM_BPF_IODEV, &args) < 0)
		return -errno;
	if (counters) {
		counters->answered += args.answered;
		counters->punted += args.punted;
		counters->retried += args.retried;
		counters->busy += args.busy;
	}
	return 0;
}

static void drop_place(struct kvm_tier *tier, unsigned i)
{
	const struct place p = tier->places[i];

	(void)tell_kvm(tier, &p, KVM_BPF_IODEV_DETACH, &tier->ranges[p.range->index].gone);
	tier->places[i] = tier->places[--tier->count];
}

static void drop_range(struct kvm_tier *tier, const struct range *range)
{
	for (unsigned i = 0; i < tier->count;) {
		if (tier->places[i].range == range)
			drop_place(tier, i);
		else
			i++;
	}
}

/* KVM refused one place of a range: none of them stays, so that the range is in one tier only. */
static void refused(struct kvm_tier *tier, const struct range *range, int rc)
{
	char *why = tier->ranges[range->index].why_not;

	drop_range(tier, range);
	tier->ranges[range->index].is_refused = true;
	snprintf(why, sizeof(tier->ranges[0].why_not), "KVM refuses it: %s",
		rc == -E2BIG	? "the program may run too long"
		: rc == -EACCES ? "the program calls or keeps something that it may not there"
		: rc == -ENOSPC ? "the bus is full"
				: strerror(-rc));
}

/* ---- in line with the bus ----------------------------------------------------------------------- */

/* Why none at all is there at the moment; NULL: those that can are. */
static const char *why_none(const struct bus *bus)
{
	if (bus->mode != ACCEL_ON)
		return "programs are off, or checked";
	if (bus->trace)
		return "--trace sees every access";
	return NULL;
}

/* Which ranges are to be there: what the bus does with their writes depends on it. */
static void choose(struct kvm_tier *tier)
{
	const char *none = why_none(tier->bus);

	for (unsigned i = 1; i <= tier->bus->range_count; i++) {
		struct range *range = tier->bus->ranges[i];
		struct tier_range *tr = &tier->ranges[i];
		range->is_in_kernel = false;
		if (tr->prog.fd < 0 || tr->is_refused)
			continue;
		snprintf(tr->why_not, sizeof(tr->why_not), "%s", none ? none : "");
		range->is_in_kernel = !none && range->mapped;
	}
}

static unsigned wanted(struct kvm_tier *tier, struct place *out)
{
	unsigned count = 0;

	for (unsigned i = 1; i <= tier->bus->range_count; i++) {
		const struct range *range = tier->bus->ranges[i];

		if (range->is_in_kernel && count + PLACES_A_RANGE <= MAX_PLACES)
			count += places_of(tier->bus, range, tier->ranges[i].prog.is_stateful, &out[count]);
	}
	return count;
}

static bool keep(struct kvm_tier *tier, const struct place *p)
{
	for (unsigned i = 0; i < tier->count; i++) {
		if (is_same(&tier->places[i], p)) {
			tier->places[i].is_kept = true;
			return true;
		}
	}
	return false;
}

/*
 * Brings KVM in line with the list. What is not to be there goes first, since places must not overlap. False: KVM has refused
 * a range, so that the list has to be made once more.
 */
static bool apply(struct kvm_tier *tier, struct place *list, unsigned count)
{
	for (unsigned i = 0; i < tier->count; i++)
		tier->places[i].is_kept = false;
	for (unsigned i = 0; i < count; i++)
		list[i].is_kept = keep(tier, &list[i]);
	for (unsigned i = 0; i < tier->count;) {
		if (tier->places[i].is_kept)
			i++;
		else
			drop_place(tier, i);
	}
	for (unsigned i = 0; i < count; i++) {
		int rc = list[i].is_kept ? 0 : tell_kvm(tier, &list[i], KVM_BPF_IODEV_ATTACH, NULL);

		if (rc) {
			refused(tier, list[i].range, rc);
			return false;
		}
		if (!list[i].is_kept)
			tier->places[tier->count++] = list[i];
	}
	return true;
}

/* Each refusal takes a range away for good, so that this ends. */
static void update(struct kvm_tier *tier)
{
	struct place *list = malloc(MAX_PLACES * sizeof(*list));
	bool done = false;

	while (list && !done) {
		choose(tier);
		done = apply(tier, list, wanted(tier, list));
	}
	if (list)
		bus_update_zones(tier->bus);
	free(list);
}

static void close_prog(struct tier_range *tr)
{
	if (tr->prog.fd >= 0)
		close(tr->prog.fd);
	tr->prog.fd = -1;
}

/* Where the range's program is pinned; NULL: nowhere, it is loaded. */
static const struct accel_pins *pins_of(const struct kvm_tier *tier, const struct range *range, struct accel_pins *pins)
{
	*pins = (struct accel_pins){.dir = tier->pins, .device = range->dev->name};
	return tier->pins ? pins : NULL;
}

/* What is attached to the range's slot now, loaded. */
static void load(struct kvm_tier *tier, const struct range *range, struct accel_kernel_prog *out)
{
	struct tier_range *tr = &tier->ranges[range->index];
	struct accel_err err = {""};
	struct accel_pins pins;

	*out = (struct accel_kernel_prog){.fd = -1};
	tr->why_not[0] = '\0';
	tr->is_refused = false;
	if (!range->slot || !accel_slot_attached(range->slot))
		return;
	if (why_never(range))
		snprintf(tr->why_not, sizeof(tr->why_not), "%s", why_never(range));
	else if (accel_slot_load_kernel(range->slot, pins_of(tier, range, &pins), out, &err))
		snprintf(tr->why_not, sizeof(tr->why_not), "%.150s", err.text);
}

/* Another program in the same places, or none. */
static void replace(struct kvm_tier *tier, const struct range *range)
{
	struct tier_range *tr = &tier->ranges[range->index];
	struct accel_kernel_prog prog;
	bool same_kind;

	load(tier, range, &prog);
	same_kind = prog.fd >= 0 && tr->prog.fd >= 0 && prog.is_stateful == tr->prog.is_stateful;
	close_prog(tr);
	tr->prog = prog;
	if (!same_kind) {
		drop_range(tier, range);
		return;
	}
	for (unsigned i = 0; i < tier->count; i++) {
		int rc = 0;

		if (tier->places[i].range == range)
			rc = tell_kvm(tier, &tier->places[i], KVM_BPF_IODEV_REPLACE, NULL);
		if (rc) {
			refused(tier, range, rc);
			return;
		}
	}
}

static void programs_changed(void *opaque, const struct range *range)
{
	struct kvm_tier *tier = opaque;

	if (range)
		replace(tier, range);
	update(tier);
}

/* ---- start, stop, questions ------------------------------------------------------------------- */

static void start_ranges(struct kvm_tier *tier)
{
	for (unsigned i = 1; i <= tier->bus->range_count; i++) {
		struct range *range = tier->bus->ranges[i];
		struct tier_range *tr = &tier->ranges[i];
		struct accel_err err = {""};
		struct accel_pins pins;
		int rc;

		if (!range->slot)
			continue;
		pthread_mutex_lock(&range->dev->lock); /* nobody is in the page */
		rc = accel_slot_share_page(range->slot, pins_of(tier, range, &pins), &err);
		pthread_mutex_unlock(&range->dev->lock);
		if (rc)
			snprintf(tr->why_not, sizeof(tr->why_not), "%.150s", err.text);
		else
			load(tier, range, &tr->prog);
	}
}

/* The pages that are pinned there are for one VM at a time. */
static int lock_pins(struct kvm_tier *tier, struct accel_err *err)
{
	tier->pins_fd = open(tier->pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tier->pins_fd < 0)
		return err_fail(err, -errno, "--pins %.1000s: %s", tier->pins, strerror(errno));
	if (flock(tier->pins_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return err_fail(err, -EBUSY, "--pins %.1000s: %s", tier->pins,
		errno == EWOULDBLOCK ? "another VM uses what is pinned there" : strerror(errno));
}

int kvm_tier_start(struct vm *vm, int kvm_fd, int vm_fd, struct kvm_tier **out, struct accel_err *err)
{
	const char *missing = kvm_tier_missing(kvm_fd, vm->opt->pins != NULL);
	struct kvm_tier *tier;
	unsigned inside, of;
	int rc;

	*out = NULL;
	if (missing)
		return err_fail(err, -ENOTSUP, "%s", missing);
	if (why_none(&vm->bus))
		return err_fail(err, -ENOTSUP, "%s", why_none(&vm->bus));
	tier = calloc(1, sizeof(*tier));
	if (!tier)
		return err_fail(err, -ENOMEM, "out of memory");
	tier->bus = &vm->bus;
	tier->vm_fd = vm_fd;
	tier->pins = vm->opt->pins;
	tier->pins_fd = -1;
	for (unsigned i = 0; i <= BUS_MAX_RANGES; i++)
		tier->ranges[i].prog.fd = -1;
	rc = tier->pins ? lock_pins(tier, err) : 0;
	if (rc) {
		kvm_tier_stop(tier);
		return rc;
	}
	start_ranges(tier);
	bus_set_program_watcher(&vm->bus, programs_changed, tier);
	bus_program_changed(&vm->bus, NULL);
	kvm_tier_summary(tier, &inside, &of);
	if (inside > 0) {
		*out = tier;
		return 0;
	}
	err_set(err, "no range has a program that this KVM takes");
	for (unsigned i = 1; i <= vm->bus.range_count; i++) {
		if (tier->ranges[i].why_not[0])
			err_set(err, "not one program can run there (%s: %s)", vm->bus.ranges[i]->name,
				tier->ranges[i].why_not);
	}
	kvm_tier_stop(tier);
	return -ENOTSUP;
}

void kvm_tier_stop(struct kvm_tier *tier)
{
	if (!tier)
		return;
	bus_set_program_watcher(tier->bus, NULL, NULL);
	for (unsigned i = 1; i <= tier->bus->range_count; i++)
		tier->bus->ranges[i]->is_in_kernel = false;
	while (tier->count > 0)
		drop_place(tier, tier->count - 1);
	for (unsigned i = 0; i <= BUS_MAX_RANGES; i++)
		close_prog(&tier->ranges[i]);
	if (tier->pins_fd >= 0)
		close(tier->pins_fd);
	free(tier);
}

static bool has_locked(const struct kvm_tier *tier, const struct range *range)
{
	for (unsigned i = 0; i < tier->count; i++) {
		if (tier->places[i].range == range)
			return true;
	}
	return false;
}

void kvm_tier_look(struct kvm_tier *tier, const struct range *range, struct tier_state *out)
{
	memset(out, 0, sizeof(*out));
	if (!tier)
		return;
	pthread_mutex_lock(&tier->bus->lock);
	out->counters = tier->ranges[range->index].gone;
	for (unsigned i = 0; i < tier->count; i++) {
		if (tier->places[i].range == range)
			(void)tell_kvm(tier, &tier->places[i], KVM_BPF_IODEV_STATS, &out->counters);
	}
	out->is_inside = has_locked(tier, range);
	memcpy(out->why_not, tier->ranges[range->index].why_not, sizeof(out->why_not));
	pthread_mutex_unlock(&tier->bus->lock);
}

void kvm_tier_summary(struct kvm_tier *tier, unsigned *inside, unsigned *of)
{
	*inside = *of = 0;
	pthread_mutex_lock(&tier->bus->lock);
	for (unsigned i = 1; i <= tier->bus->range_count; i++) {
		const struct range *range = tier->bus->ranges[i];

		*of += range->slot && range->mapped && accel_slot_attached(range->slot);
		*inside += has_locked(tier, range);
	}
	pthread_mutex_unlock(&tier->bus->lock);
}

int kvm_tier_pin(struct vm *vm, const char *dir, unsigned *count, struct accel_err *err)
{
	const char *missing = accel_kernel_unusable();
	int rc;

	*count = 0;
	if (missing)
		return err_fail(err, -EPERM, "%s", missing);
	for (unsigned i = 1; i <= vm->bus.range_count; i++) {
		const struct range *range = vm->bus.ranges[i];
		const struct accel_pins pins = {.dir = dir, .device = range->dev->name};
		struct accel_err why = {""};

		if (!range->slot || why_never(range))
			continue;
		rc = accel_slot_share_page(range->slot, NULL, &why);
		if (!rc)
			rc = accel_slot_pin(range->slot, &pins, &why);
		if (rc)
			return err_fail(err, rc, "%s: %.1000s", range->name, why.text);
		++*count;
	}
	return 0;
}
