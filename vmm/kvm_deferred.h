/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_deferred.h: deferred writes by KVM's coalesced ports and MMIO. The zones that the bus has at the moment are
 * registered with KVM, which then queues writes there instead of leaving the guest. What KVM does not have, or
 * refuses, exits as usual.
 */
#ifndef VMM_KVM_DEFERRED_H
#define VMM_KVM_DEFERRED_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/bus_zones.h"

struct kvm_run;
struct vm;

struct kvm_deferred {
	/* constant from start to stop */
	int vm_fd; /* not ours */
	bool has[IO_BUS_COUNT];
	/* bus.lock */
	struct bus_zone zones[BUS_MAX_ZONES]; /* registered with KVM */
	unsigned count;
};

/* Begins to defer. `run` is the mapping of any vCPU, which stays until the stop. No vCPU runs. */
void kvm_deferred_start(
	struct kvm_deferred *kd, struct vm *vm, int kvm_fd, int vm_fd, struct kvm_run *run, size_t run_bytes);
/* Ends it. No vCPU runs any more; what is still queued has been drained or is lost. Also after no start. */
void kvm_deferred_stop(struct kvm_deferred *kd, struct vm *vm);

#endif
