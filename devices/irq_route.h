/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq_route.h: the board's interrupt wires. A device's line goes to the pair of 8259As and to the I/O APIC at once; a
 * wire that several sources drive is high while any of them is. PCI's PIRQ A to D join the ISA wires that the PIIX3's
 * PIRQRC registers name [82371SB].
 *
 * Lock order: device -> the router's mutex -> interrupt controller. Lines are handed out before the vCPUs run.
 */
#ifndef DEVICES_IRQ_ROUTE_H
#define DEVICES_IRQ_ROUTE_H

#include <stdint.h>

#include "vmm/irq.h"

struct device;
struct irq_route;

#define IRQ_ROUTE_GSIS 24
#define IRQ_ROUTE_PIRQS 4
#define IRQ_ROUTE_PIRQRC_OFF 0x80u /* PIRQRC bit 7: not routed */

/* ioapic may be NULL: there is none. Both must outlive the router. NULL: out of memory. */
struct irq_route *irq_route_create(struct device *pic, struct device *ioapic);
void irq_route_destroy(struct irq_route *route); /* NULL is fine */

/* A new source on ISA's IRQ `irq`, 0..15 but not 2; IRQ 0 is input 2 of the I/O APIC, the others the one of their number. */
struct irq_line irq_route_isa(struct irq_route *route, unsigned irq);
/* Input 16..23 of the I/O APIC, for one source; goes nowhere where there is none. */
struct irq_line irq_route_gsi(struct irq_route *route, unsigned gsi);
/* A new source on PIRQ A, B, C or D (0..3). */
struct irq_line irq_route_pirq(struct irq_route *route, unsigned pirq);
/* PIRQRC of PIRQ A..D was written. With the PCI device's mutex, or in a reset. */
void irq_route_set_pirqrc(struct irq_route *route, unsigned pirq, uint8_t pirqrc);

#endif
