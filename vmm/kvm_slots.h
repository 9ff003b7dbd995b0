/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_slots.h: the guest's memory as KVM's memory slots, and one slot for each page of the page tier. [KVM] 4.35.
 */
#ifndef VMM_KVM_SLOTS_H
#define VMM_KVM_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem.h"

#define KVM_SLOTS_MEM (MEM_MAX_REGIONS + 2) /* regions are cut at two addresses */

/* All zero but for the first two: no slots yet. */
struct kvm_slots {
	/* constant */
	int vm_fd;
	bool has_readonly; /* without it read-only memory can be written by the guest, and no page can be shown */
	/* mem->lock */
	struct mem_region slots[KVM_SLOTS_MEM]; /* bytes == 0: a free slot */
};

/* Brings KVM's slots in line with mem_regions(). mem->lock held. 0 or -errno; the next call goes on from what was done. */
int kvm_slots_update(struct kvm_slots *s, const struct guest_mem *mem);

/*
 * A read-only slot, `index` behind those of memory, for `bytes` at `gpa`; host == NULL takes it away. Any thread: KVM has a
 * lock for slots. 0 or -errno; -ENOTSUP: KVM has no read-only memory.
 */
int kvm_slots_show_page(const struct kvm_slots *s, unsigned index, uint64_t gpa, void *host, uint64_t bytes);

#endif
