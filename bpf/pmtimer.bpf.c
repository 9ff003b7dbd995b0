/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pmtimer.bpf.c: reads of the ACPI power management block and the general-purpose event block, pure:
 * the PM timer in all its parts, the PM1 registers, what is reserved. Nothing changes by being read.
 */
#include "bpf/pmtimer.h"

struct pm_page pm_state HR_STATE = {
	.head = {.version = PM_STATE_VERSION, .size = sizeof(struct pm_page)},
};

/* A function of its own, so that the usual way below saves none of the registers that this one needs. */
static __attribute__((noinline)) int pm_rest(struct hr_io *io)
{
	struct pm_state *s = &pm_state.s;

	if (io->is_write || io->size > 4)
		return HR_PUNT;
	io->result = pm_read(s, io->offset, io->size, pm_ticks(s, bpf_ktime_get_ns()));
	return HR_ANSWER;
}

/* Range "pm". */
HR_PROG int pm(struct hr_io *io)
{
	struct pm_state *s = &pm_state.s;

	if (io->offset != PM_REG_TMR || io->is_write)
		return pm_rest(io); /* nothing follows the timer: any size will do */
	io->result = pm_timer(s, pm_ticks(s, bpf_ktime_get_ns()));
	return HR_ANSWER;
}

/* Range "gpe". */
HR_PROG int gpe(struct hr_io *io)
{
	if (io->is_write)
		return HR_PUNT;
	io->result = pm_gpe_read();
	return HR_ANSWER;
}

HR_LICENSE;
