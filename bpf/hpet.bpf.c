/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hpet.bpf.c: reads of the HPET, pure: the main counter in all its parts, capabilities,
 * configuration, status, and the timers' registers, moving comparators too.
 */
#include "bpf/hpet.h"

struct hpet_page hpet_state HR_STATE = {
	.head = {.version = HPET_STATE_VERSION, .size = sizeof(struct hpet_page)},
};

/* A function of its own, so that the usual way below saves none of the registers that this one needs. */
static __attribute__((noinline)) int hpet_rest(struct hr_io *io)
{
	struct hpet_state *s = &hpet_state.s;
	uint32_t reg = io->offset & ~7u;
	uint64_t value;

	if (io->is_write)
		return HR_PUNT;
	if (reg == HPET_REG_COUNTER)
		value = hpet_counter(s, bpf_ktime_get_ns());
	else
		value = hpet_register(s, reg, hpet_is_timed(reg) ? hpet_counter(s, bpf_ktime_get_ns()) : 0);
	io->result = value >> ((io->offset & 7) * 8);
	return HR_ANSWER;
}

HR_PROG int hpet(struct hr_io *io)
{
	if (io->offset != HPET_REG_COUNTER || io->is_write)
		return hpet_rest(io);
	io->result = hpet_counter(&hpet_state.s, bpf_ktime_get_ns());
	return HR_ANSWER;
}

HR_LICENSE;
