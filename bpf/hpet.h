/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hpet.h: the HPET's guest-visible state and arithmetic, for the model and the program.
 *
 * The main counter runs at 100 MHz: while enabled it is the number of whole 10 ns periods of
 * guest time plus `delta`, modulo 2^64; while halted it is `halted`. Registers are 64 bits wide at
 * multiples of 8; narrower accesses get the bytes they name.
 */
#ifndef BPF_HPET_H
#define BPF_HPET_H

#include "bpf/hr.h"

#define HPET_STATE_VERSION 1
#define HPET_TIMERS 3
#define HPET_PERIOD_NS 10

/* [HPET] 2.3.4: period 10^7 fs, vendor 8086h, legacy route and 64-bit capable, 3 timers, revision 1. */
#define HPET_CAPS 0x009896808086a201ull

#define HPET_REG_CAPS 0x000
#define HPET_REG_CONFIG 0x010
#define HPET_REG_ISR 0x020
#define HPET_REG_COUNTER 0x0f0
#define HPET_REG_TIMERS 0x100
#define HPET_TIMER_STRIDE 0x20
#define HPET_TIMER_CONFIG 0x00
#define HPET_TIMER_COMPARATOR 0x08

#define HPET_ENABLE_CNF 0x1ull
#define HPET_LEG_RT_CNF 0x2ull

/* [HPET] 2.3.8 Timer N Configuration and Capabilities; its upper half is Tn_INT_ROUTE_CAP. */
#define HPET_TN_INT_TYPE 0x0002ull /* 1: level */
#define HPET_TN_INT_ENB 0x0004ull
#define HPET_TN_TYPE 0x0008ull /* 1: periodic */
#define HPET_TN_PER_INT_CAP 0x0010ull
#define HPET_TN_SIZE_CAP 0x0020ull
#define HPET_TN_VAL_SET 0x0040ull
#define HPET_TN_32MODE 0x0100ull
#define HPET_TN_ROUTE_SHIFT 9
#define HPET_TN_ROUTE (0x1full << HPET_TN_ROUTE_SHIFT)

struct hpet_timer {
	uint64_t config; /* as read, capabilities included */
	uint64_t comparator;
	uint64_t period; /* the last value written to the comparator in periodic mode */
};

struct hpet_state {
	int64_t offset_ns;
	uint64_t config;
	uint64_t isr;
	uint64_t halted; /* the counter while ENABLE_CNF is 0 */
	uint64_t delta;	 /* counter minus ticks while it is 1 */
	struct hpet_timer timers[HPET_TIMERS];
};

struct hpet_page {
	struct hr_page head;
	struct hpet_state s;
};

/* Whole counter periods of guest time. */
static inline uint64_t hpet_ticks(const struct hpet_state *s, uint64_t host_ns)
{
	return (host_ns + (uint64_t)HR_LOAD(s->offset_ns)) / HPET_PERIOD_NS;
}

static inline uint64_t hpet_counter(const struct hpet_state *s, uint64_t host_ns)
{
	if (HR_LOAD(s->config) & HPET_ENABLE_CNF)
		return hpet_ticks(s, host_ns) + HR_LOAD(s->delta);
	return HR_LOAD(s->halted);
}

/*
 * The 64-bit register at `reg` (a multiple of 8), but for the main counter. False: not a plain
 * read, a periodic timer's comparator moves on with time and is the model's. Reserved is 0.
 */
static inline bool hpet_register(const struct hpet_state *s, uint32_t reg, uint64_t *value)
{
	const struct hpet_timer *t;
	uint64_t config, comparator;

	*value = 0;
	if (reg < HPET_REG_TIMERS) {
		if (reg == HPET_REG_CAPS)
			*value = HPET_CAPS;
		else if (reg == HPET_REG_CONFIG)
			*value = HR_LOAD(s->config);
		else if (reg == HPET_REG_ISR)
			*value = HR_LOAD(s->isr);
		return true;
	}
	if (reg >= HPET_REG_TIMERS + HPET_TIMERS * HPET_TIMER_STRIDE)
		return true;
	t = &s->timers[(reg - HPET_REG_TIMERS) / HPET_TIMER_STRIDE];
	reg %= HPET_TIMER_STRIDE;
	config = HR_LOAD(t->config);
	if (reg == HPET_TIMER_CONFIG) {
		*value = config;
	} else if (reg == HPET_TIMER_COMPARATOR) {
		comparator = HR_LOAD(t->comparator);
		/* [HPET] 2.3.9: a timer in 32-bit mode returns 0 for the upper half */
		*value = config & HPET_TN_32MODE ? (uint32_t)comparator : comparator;
		return !(config & HPET_TN_TYPE);
	}
	return true;
}

#endif
