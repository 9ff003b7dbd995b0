/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hpet.h: the HPET's guest-visible state and arithmetic, for the model and the program.
 *
 * The main counter runs at 100 MHz: while enabled it is the number of whole 10 ns periods of
 * guest time plus `delta`, modulo 2^64; while halted it is `halted`. Registers are 64 bits wide at
 * multiples of 8; narrower accesses get the bytes they name.
 * Status and periodic comparators are stored as of `seen`, the counter value up to which the model
 * has dealt with a timer's matches; what they show now follows from the matches since.
 */
#ifndef BPF_HPET_H
#define BPF_HPET_H

#include "bpf/hr.h"

#define HPET_STATE_VERSION 3
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
#define HPET_TIMER_FSB_ROUTE 0x10

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
#define HPET_TN_FSB_EN 0x4000ull
#define HPET_TN_FSB_CAP 0x8000ull

struct hpet_timer {
	uint64_t config; /* as read, capabilities included */
	uint64_t comparator;
	uint64_t period; /* the last value written to the comparator in periodic mode */
	uint64_t seen;	 /* the counter value up to which matches have been dealt with */
	uint64_t fsb;	 /* [HPET] 2.3.10: the value of the interrupt message, its address above */
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

static inline uint64_t hpet_width_mask(const struct hpet_timer *t)
{
	return HR_LOAD(t->config) & HPET_TN_32MODE ? UINT32_MAX : UINT64_MAX;
}

/*
 * Whether a timer has matched in (seen, counter], and how far beyond the first such match the
 * counter is. The counter runs. One that is behind `seen` is a clock that stepped back: no match.
 */
static inline bool hpet_has_matched(const struct hpet_timer *t, uint64_t counter, uint64_t *beyond)
{
	uint64_t seen = HR_LOAD(t->seen);
	uint64_t elapsed = counter - seen;
	/* steps to the match, less one: a comparator that is `seen` matches after a full turn only */
	uint64_t before = (HR_LOAD(t->comparator) - seen - 1) & hpet_width_mask(t);

	*beyond = elapsed - before - 1;
	return (int64_t)elapsed > 0 && elapsed > before;
}

/* The comparator: in periodic mode each match moves it on. [HPET] 2.3.9: in 32-bit mode the upper half is 0. */
static inline uint64_t hpet_comparator(const struct hpet_state *s, const struct hpet_timer *t, uint64_t counter)
{
	uint64_t comparator = HR_LOAD(t->comparator), mask = hpet_width_mask(t);
	uint64_t period = HR_LOAD(t->period) & mask, beyond;

	if ((HR_LOAD(t->config) & HPET_TN_TYPE) && (HR_LOAD(s->config) & HPET_ENABLE_CNF) && period &&
		hpet_has_matched(t, counter, &beyond))
		comparator += (beyond / period + 1) * period;
	return comparator & mask;
}

/* Level-triggered timers set their status when they match, interrupts enabled or not. */
static inline uint64_t hpet_status(const struct hpet_state *s, uint64_t counter)
{
	uint64_t isr = HR_LOAD(s->isr), beyond;

	if (!(HR_LOAD(s->config) & HPET_ENABLE_CNF))
		return isr;
	for (uint32_t n = 0; n < HPET_TIMERS; n++) {
		if ((HR_LOAD(s->timers[n].config) & HPET_TN_INT_TYPE) &&
			hpet_has_matched(&s->timers[n], counter, &beyond))
			isr |= 1u << n;
	}
	return isr;
}

/* Whether what the register at `reg` shows depends on the counter. */
static inline bool hpet_is_timed(uint32_t reg)
{
	return reg == HPET_REG_COUNTER || reg == HPET_REG_ISR ||
	       (reg >= HPET_REG_TIMERS && reg < HPET_REG_TIMERS + HPET_TIMERS * HPET_TIMER_STRIDE &&
		       reg % HPET_TIMER_STRIDE == HPET_TIMER_COMPARATOR);
}

/* The 64-bit register at `reg`, a multiple of 8; `counter` matters where hpet_is_timed(). Reserved is 0. */
static inline uint64_t hpet_register(const struct hpet_state *s, uint32_t reg, uint64_t counter)
{
	const struct hpet_timer *t;

	switch (reg) {
	case HPET_REG_COUNTER:
		return counter;
	case HPET_REG_CAPS:
		return HPET_CAPS;
	case HPET_REG_CONFIG:
		return HR_LOAD(s->config);
	case HPET_REG_ISR:
		return hpet_status(s, counter);
	default:
		break;
	}
	if (reg < HPET_REG_TIMERS || reg >= HPET_REG_TIMERS + HPET_TIMERS * HPET_TIMER_STRIDE)
		return 0;
	t = &s->timers[(reg - HPET_REG_TIMERS) / HPET_TIMER_STRIDE];
	reg %= HPET_TIMER_STRIDE;
	if (reg == HPET_TIMER_CONFIG)
		return HR_LOAD(t->config);
	if (reg == HPET_TIMER_COMPARATOR)
		return hpet_comparator(s, t, counter);
	return reg == HPET_TIMER_FSB_ROUTE ? HR_LOAD(t->fsb) : 0;
}

#endif
