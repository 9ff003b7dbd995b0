/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * deferred.h: guest writes that did not exit. The CPU backend's kernel side queues them in a ring, in guest order
 * over all vCPUs; whoever is about to look at a device drains the ring first: every exit, each timer callback,
 * resets, jobs, input, reports.
 *
 * A write is taken off the ring only once the device has had it, so a ring that is empty says that every write
 * queued before is done: an exit that finds one being drained by another thread waits for it.
 * Which vCPU wrote is not in the ring. io.vcpu of a drained write is the number of vCPUs, one past the last.
 * Lock: `lock` is outside the device locks; a drain under a device lock would deadlock.
 */
#ifndef VMM_DEFERRED_H
#define VMM_DEFERRED_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct bus;

struct deferred {
	/* constant after init */
	struct bus *bus;
	uint32_t vcpu; /* io.vcpu of what is drained */
	/* constant while vCPUs run */
	struct kvm_coalesced_mmio_ring *ring; /* NULL: nothing is ever deferred */
	uint32_t capacity;		      /* entries that the ring has, one of which is always free */
	/* lock */
	pthread_mutex_t lock;
	uint32_t first; /* the ring's, which nobody else may change */
};

/* 0 or -errno. */
int deferred_init(struct deferred *d, struct bus *bus, uint32_t vcpu);
void deferred_destroy(struct deferred *d);

/* The ring from here on, empty, of ring_bytes with its head; NULL: none. What was in the last one has been drained. */
void deferred_set_ring(struct deferred *d, struct kvm_coalesced_mmio_ring *ring, size_t ring_bytes);

void deferred_drain_slowly(struct deferred *d);

/* Every write that was queued when this was called has reached its device on return. No device lock held. */
static inline void deferred_drain(struct deferred *d)
{
	const struct kvm_coalesced_mmio_ring *ring = d->ring;
	uint32_t last;

	if (!ring)
		return;
	/* `last` first: the other way round the ring could turn once in between and look empty */
	last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
	if (__builtin_expect(last != __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE), 0))
		deferred_drain_slowly(d);
}

#endif
