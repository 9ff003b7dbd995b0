// SPDX-License-Identifier: BSD-2-Clause
/*
 * kvm_slots.c: see kvm_slots.h. KVM does not change a slot's place or memory: what differs is taken away and set anew, and
 * what is the same is not touched, so that vCPUs may run in it meanwhile.
 */
#include "vmm/kvm_slots.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#define HIGH_RAM_BASE 0x100000u

static bool region_equal(const struct mem_region *a, const struct mem_region *b)
{
	return a->gpa == b->gpa && a->bytes == b->bytes && a->host == b->host && a->readonly == b->readonly;
}

/* 0 bytes take it away. */
static int slot_write(const struct kvm_slots *s, unsigned index, const struct mem_region *r, uint64_t bytes)
{
	struct kvm_userspace_memory_region m = {
		.slot = index,
		.flags = r->readonly && s->has_readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = r->gpa,
		.memory_size = bytes,
		.userspace_addr = (uint64_t)(uintptr_t)r->host,
	};

	return ioctl(s->vm_fd, KVM_SET_USER_MEMORY_REGION, &m) < 0 ? -errno : 0;
}

/*
 * The VM's regions, cut where shadow RAM begins and ends: a change of the PAM registers then
 * never takes away, even for a moment, the RAM below or above that another vCPU runs in.
 */
static unsigned regions_cut(const struct guest_mem *mem, struct mem_region *out)
{
	static const uint64_t cuts[] = {MEM_SHADOW_BASE, HIGH_RAM_BASE};
	struct mem_region list[MEM_MAX_REGIONS];
	unsigned n = mem_regions(mem, list), count = 0;

	for (unsigned i = 0; i < n; i++) {
		struct mem_region r = list[i];

		for (unsigned c = 0; c < 2; c++) {
			if (r.gpa >= cuts[c] || r.gpa + r.bytes <= cuts[c])
				continue;
			out[count] = r;
			out[count++].bytes = cuts[c] - r.gpa;
			r.host += cuts[c] - r.gpa;
			r.bytes -= cuts[c] - r.gpa;
			r.gpa = cuts[c];
		}
		out[count++] = r;
	}
	return count;
}

int kvm_slots_update(struct kvm_slots *s, const struct guest_mem *mem)
{
	struct mem_region want[KVM_SLOTS_MEM];
	unsigned n = regions_cut(mem, want);
	bool have[KVM_SLOTS_MEM] = {false};
	int rc;

	for (unsigned i = 0; i < KVM_SLOTS_MEM; i++) {
		unsigned w = 0;

		if (!s->slots[i].bytes)
			continue;
		while (w < n && !region_equal(&s->slots[i], &want[w]))
			w++;
		if (w < n) {
			have[w] = true;
			continue;
		}
		rc = slot_write(s, i, &s->slots[i], 0);
		if (rc)
			return rc;
		s->slots[i].bytes = 0;
	}
	for (unsigned w = 0, i = 0; w < n; w++) {
		if (have[w])
			continue;
		while (s->slots[i].bytes)
			i++;
		rc = slot_write(s, i, &want[w], want[w].bytes);
		if (rc)
			return rc;
		s->slots[i] = want[w];
	}
	return 0;
}

int kvm_slots_show_page(const struct kvm_slots *s, unsigned index, uint64_t gpa, void *host, uint64_t bytes)
{
	struct mem_region page = {.gpa = gpa, .host = host, .readonly = true};

	if (!s->has_readonly)
		return -ENOTSUP;
	return slot_write(s, KVM_SLOTS_MEM + index, &page, host ? bytes : 0);
}
