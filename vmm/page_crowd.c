// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_crowd.c: whether the processor that the publisher runs on is to spare: how much of the time it did not run though it was
 * to, by its own gaps, whoever ran instead (which a hypervisor beneath need not tell); and for how long vCPUs and the event
 * thread, which has the timers, were kept waiting, where the kernel keeps account of that.
 */
#include "vmm/page_tier_int.h"

#include "vmm/cpu.h"

void page_crowd_look(const struct page_tier *tier, struct page_crowd *out)
{
	const int event_tid = atomic_load(&tier->event_tid);
	uint64_t ns, last_ns;

	out->at_ns = page_now();
	/* in this order: a gap that ends now is counted short, not twice */
	out->lost_ns = atomic_load(&tier->lost_ns);
	last_ns = atomic_load(&tier->last_pass_ns);
	if (last_ns && out->at_ns > last_ns + PAGE_LOST_NS)
		out->lost_ns += out->at_ns - last_ns;
	out->waited_ns = 0;
	for (unsigned i = 0; i < tier->vm->cpu_count; i++) {
		const int tid = atomic_load(&tier->vm->cpus[i]->tid);

		if (tid && page_host_waited("", tid, &ns))
			out->waited_ns += ns;
	}
	if (event_tid && page_host_waited("", event_tid, &ns))
		out->waited_ns += ns;
}
