/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pmtimer.bpf.c: reads of the ACPI power management block, pure: the PM timer in all its parts
 * and the PM1 registers. Nothing there changes by being read.
 */
#include "bpf/pmtimer.h"

struct pm_page pm_state HR_STATE = {
	.head = {.version = PM_STATE_VERSION, .size = sizeof(struct pm_page)},
};

HR_PROG int pm(struct hr_io *io)
{
	struct pm_state *s = &pm_state.s;
	uint32_t at = io->offset & 3;

	if (io->is_write)
		return HR_PUNT;
	if (at + io->size > 4)
		return HR_PUNT_WHY(1); /* across two dwords: the model puts it together */
	io->result = pm_register(s, io->offset & ~3u, pm_ticks(s, bpf_ktime_get_ns())) >> (at * 8);
	return HR_ANSWER;
}

HR_LICENSE;
