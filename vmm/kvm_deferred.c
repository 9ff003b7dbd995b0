// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_deferred.c: keeps KVM's coalesced zones in line with the bus. A full ring needs nothing here: KVM then leaves
 * the guest for the write, and the exit drains what came before it.
 */
#include "vmm/kvm_deferred.h"

#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/vm.h"

static bool is_equal(const struct bus_zone *a, const struct bus_zone *b)
{
	return a->bus == b->bus && a->addr == b->addr && a->len == b->len;
}

static bool is_among(const struct bus_zone *zone, const struct bus_zone *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (is_equal(zone, &list[i]))
			return true;
	}
	return false;
}

static bool tell_kvm(const struct kvm_deferred *kd, unsigned long request, const struct bus_zone *zone)
{
	struct kvm_coalesced_mmio_zone z = {.addr = zone->addr, .size = zone->len, .pio = zone->bus == IO_PIO};

	return ioctl(kd->vm_fd, request, &z) == 0;
}

/* The list of bus_set_zone_watcher(). */
static void zones_changed(void *opaque, const struct bus_zone *zones, unsigned count)
{
	struct kvm_deferred *kd = opaque;
	unsigned kept = 0;

	for (unsigned i = 0; i < kd->count; i++) {
		if (is_among(&kd->zones[i], zones, count))
			kd->zones[kept++] = kd->zones[i];
		else
			tell_kvm(kd, KVM_UNREGISTER_COALESCED_MMIO, &kd->zones[i]);
	}
	kd->count = kept;
	for (unsigned i = 0; i < count; i++) {
		if (kd->has[zones[i].bus] && !is_among(&zones[i], kd->zones, kept) &&
			tell_kvm(kd, KVM_REGISTER_COALESCED_MMIO, &zones[i]))
			kd->zones[kd->count++] = zones[i];
	}
}

void kvm_deferred_start(
	struct kvm_deferred *kd, struct vm *vm, int kvm_fd, int vm_fd, struct kvm_run *run, size_t run_bytes)
{
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	/* the answer is where the ring is in the mapping, in pages; 0: there is none */
	const int at = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	memset(kd, 0, sizeof(*kd));
	kd->vm_fd = vm_fd;
	if (at <= 0 || run_bytes / page_bytes <= (size_t)at)
		return;
	kd->has[IO_MMIO] = true;
	kd->has[IO_PIO] = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
	deferred_set_ring(&vm->deferred, (struct kvm_coalesced_mmio_ring *)((uint8_t *)run + (size_t)at * page_bytes),
		page_bytes);
	bus_set_zone_watcher(&vm->bus, zones_changed, kd);
}

void kvm_deferred_stop(struct kvm_deferred *kd, struct vm *vm)
{
	if (!kd->has[IO_MMIO])
		return;
	bus_set_zone_watcher(&vm->bus, NULL, NULL);
	deferred_set_ring(&vm->deferred, NULL, 0);
	kd->has[IO_MMIO] = false;
}
