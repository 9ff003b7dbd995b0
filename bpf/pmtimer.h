/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pmtimer.h: the PIIX4's PM1 registers and PM timer, for the model and the program.
 *
 * The timer is the number of whole 3.579545 MHz periods of guest time, 24 or 32 bits of it. The
 * carry status is not stored when it happens: `carry_tick` is when the timer's top bit next
 * changes, and TMR_STS reads as set from then on until the guest clears it.
 */
#ifndef BPF_PMTIMER_H
#define BPF_PMTIMER_H

#include "bpf/hr.h"

#define PMTIMER_HZ 3579545u
#define PM_STATE_VERSION 2

/*
 * 200 ms have a whole number of ticks, 3579545 / 5. So from a base at a multiple of them ticks are counted with one
 * multiplication and one division, as long as the product fits 64 bits: 2^44 ns, 4.8 hours, times 715909 does.
 */
#define PM_STEP_NS 200000000ull
#define PM_STEP_TICKS 715909ull
#define PM_BASE_SPAN_NS (1ull << 44)

/* Offsets from the power management base ([82371AB] 7.2). */
#define PM_REG_STS 0x0
#define PM_REG_EN 0x2
#define PM_REG_CNT 0x4
#define PM_REG_TMR 0x8

#define PM_TMR_STS 0x0001u
#define PM_SCI_EN 0x0001u

struct pm_state {
	int64_t offset_ns;
	uint64_t carry_tick; /* TMR_STS is set from this tick on */
	uint64_t base_ns;    /* guest time, a multiple of PM_STEP_NS; see pm_ticks() */
	uint64_t base_ticks; /* at that time */
	uint32_t mask;	     /* 0xffffff or 0xffffffff: the timer's width */
	uint16_t sts;	     /* PM1_STS but for TMR_STS */
	uint16_t en;	     /* PM1_EN */
	uint16_t cnt;	     /* PM1_CNT as read */
	uint16_t pad[3];
};

struct pm_page {
	struct hr_page head;
	struct pm_state s;
};

/* Whole ticks of guest time; exact at all times, and faster within PM_BASE_SPAN_NS after the base. */
static inline uint64_t pm_ticks(const struct pm_state *s, uint64_t host_ns)
{
	const uint64_t base_ns = HR_LOAD(s->base_ns);
	const uint64_t since_ns = host_ns + ((uint64_t)HR_LOAD(s->offset_ns) - base_ns);

	if (since_ns < PM_BASE_SPAN_NS)
		return HR_LOAD(s->base_ticks) + since_ns * PM_STEP_TICKS / PM_STEP_NS;
	return hr_ns_to_ticks(since_ns + base_ns, PMTIMER_HZ);
}

/* The model's: brings the base near the time. */
static inline void pm_rebase(struct pm_state *s, uint64_t host_ns)
{
	const uint64_t steps = (host_ns + (uint64_t)HR_LOAD(s->offset_ns)) / PM_STEP_NS;

	HR_STORE(s->base_ns, steps * PM_STEP_NS);
	HR_STORE(s->base_ticks, steps * PM_STEP_TICKS);
}

static inline uint32_t pm_sts(const struct pm_state *s, uint64_t ticks)
{
	return HR_LOAD(s->sts) | (ticks >= HR_LOAD(s->carry_tick) ? PM_TMR_STS : 0);
}

static inline uint32_t pm_timer(const struct pm_state *s, uint64_t ticks)
{
	return (uint32_t)ticks & HR_LOAD(s->mask);
}

/* The aligned dword at `reg`, a multiple of 4; what is not there reads as 0. */
static inline uint32_t pm_register(const struct pm_state *s, uint32_t reg, uint64_t ticks)
{
	switch (reg) {
	case PM_REG_STS:
		return pm_sts(s, ticks) | (uint32_t)HR_LOAD(s->en) << 16;
	case PM_REG_CNT:
		return HR_LOAD(s->cnt);
	case PM_REG_TMR:
		return pm_timer(s, ticks);
	default:
		return 0;
	}
}

/* A read of up to 4 bytes at any offset, also across two dwords. */
static inline uint64_t pm_read(const struct pm_state *s, uint32_t offset, uint32_t size, uint64_t ticks)
{
	uint32_t reg = offset & ~3u, at = offset & 3;
	uint64_t value = pm_register(s, reg, ticks);

	if (at + size > 4)
		value |= (uint64_t)pm_register(s, reg + 4, ticks) << 32;
	return value >> (at * 8);
}

/* The general-purpose event block has no events: no status, and no enable bit that could be set. */
static inline uint8_t pm_gpe_read(void)
{
	return 0;
}

#endif
