// SPDX-License-Identifier: BSD-2-Clause
/*
 * deferred.c: takes deferred writes off the ring and to their devices. The ring lies in the kernel's memory, where
 * the guest cannot write; what is in it is nevertheless looked at as if it could: an entry that no guest write
 * can have made is dropped, and an end that lies outside is no end.
 */
#include "vmm/deferred.h"

#include <stddef.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/lock.h"

int deferred_init(struct deferred *d, struct bus *bus, uint32_t vcpu)
{
	*d = (struct deferred){.bus = bus, .vcpu = vcpu};
	lock_declare(&d->lock, "deferred writes", LOCK_DRAIN);
	return -pthread_mutex_init(&d->lock, NULL);
}

void deferred_destroy(struct deferred *d)
{
	pthread_mutex_destroy(&d->lock);
}

void deferred_set_ring(struct deferred *d, struct kvm_coalesced_mmio_ring *ring, size_t ring_bytes)
{
	pthread_mutex_lock(&d->lock);
	d->ring = ring;
	d->first = 0;
	d->capacity = ring ? (uint32_t)((ring_bytes - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0])) : 0;
	pthread_mutex_unlock(&d->lock);
}

/* One part, of a size that a CPU makes. Not bus_io_one(): the range may have a slot without our vcpu. */
static void apply_part(const struct deferred *d, enum io_bus bus, uint64_t addr, const uint8_t *data, uint8_t size)
{
	struct io_req req = {
		.io = {.vcpu = d->vcpu, .size = size, .is_write = 1},
		.addr = addr,
		.bus = bus,
		.count = 1,
	};

	memcpy(&req.io.value, data, size);
	bus_io_slowly(d->bus, &req);
}

/* As the same write would come out of an exit: memory in aligned powers of two, ascending. */
static void apply(const struct deferred *d, const struct kvm_coalesced_mmio *e)
{
	uint32_t done = 0;

	if (e->len < 1 || e->len > sizeof(e->data))
		return;
	if (e->pio) {
		if (e->pio == 1 && (e->len == 1 || e->len == 2 || e->len == 4))
			apply_part(d, IO_PIO, e->phys_addr, e->data, (uint8_t)e->len);
		return;
	}
	while (done < e->len) {
		uint8_t size = 8;

		while (size > e->len - done || ((e->phys_addr + done) & (size - 1u)))
			size >>= 1;
		apply_part(d, IO_MMIO, e->phys_addr + done, e->data + done, size);
		done += size;
	}
}

void deferred_drain_slowly(struct deferred *d)
{
	struct kvm_coalesced_mmio_ring *ring;
	uint32_t last;

	pthread_mutex_lock(&d->lock);
	ring = d->ring;
	/* what comes later is not ours to wait for: another vCPU may write faster than this one drains */
	last = ring ? __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) : 0;
	while (last < d->capacity && d->first != last) {
		const struct kvm_coalesced_mmio entry = ring->coalesced_mmio[d->first];

		apply(d, &entry);
		d->first = (d->first + 1) % d->capacity;
		/* release: whoever sees it gone sees what it did */
		__atomic_store_n(&ring->first, d->first, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&d->lock);
}
