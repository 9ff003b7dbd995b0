/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hpet.h: the IA-PC HPET at 0xfed00000: one 64-bit counter at 100 MHz and three timers.
 *
 * Range: "hpet" (pure programs). In legacy replacement the HPET owns IRQ 0 and IRQ 8, so the
 * 8254's and the RTC's outputs go through it: create it before them.
 */
#ifndef DEVICES_HPET_H
#define DEVICES_HPET_H

#include "devices/device.h"

struct bus;

#define HPET_BASE 0xfed00000u
#define HPET_LEN 0x400u
#define HPET_GSIS 24
/* A guest may choose a period that no host can follow: shorter ones are looked at every 20 us. */
#define HPET_MIN_EVENT_TICKS 2000
/* Periods below 100 us are not shown on a page. */
#define HPET_MIN_STEP_TICKS 10000

/*
 * gsi[n] is interrupt input n as the HPET drives it (a line whose set is NULL goes nowhere).
 * gsi[0] and gsi[8] are what legacy replacement, the 8254 and the RTC share: what stands behind
 * gsi[0] is IRQ 0 of the PIC (and input 2 of an I/O APIC). `route_cap` is the set of inputs that
 * the three timers may be routed to otherwise (Tn_INT_ROUTE_CAP); each of its lines should have
 * no other driver, or be or-ed behind gsi[n]. `apic` is where messages of FSB delivery go and lives as long as the device;
 * NULL: the timers have no FSB delivery. NULL when out of memory or ranges.
 */
struct device *hpet_create(struct bus *bus, struct clock *clock, const struct irq_line gsi[HPET_GSIS],
	uint32_t route_cap, const struct irq_apic *apic);

/* Where the 8254's OUT0 (which = 0) and the RTC's IRQ (which = 1) are to be connected. */
struct irq_line hpet_legacy_line(struct device *hpet, unsigned which);

#endif
