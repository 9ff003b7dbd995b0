/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq.h: an interrupt line, so that a device never names its controller; and messages to the local APICs.
 *
 * A line is a value: copy it freely, constant after init. irq_set() may be called with the
 * device's mutex held (order: device -> irq controller -> clock), never with its page held.
 * Levels are levels: setting the same level twice is harmless.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct irq_line {
	void (*set)(void *opaque, unsigned pin, bool level);
	void *opaque;
	unsigned pin;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->opaque, line->pin, level);
}

/* ---- messages ([SDM3] Message Signalled Interrupts) ---- */

#define IRQ_MSI_BASE 0xfee00000u
#define IRQ_MSI_DEST_SHIFT 12
#define IRQ_MSI_LOGICAL 0x4u
/* data: the vector in bits 7-0, the delivery mode in 10-8 */
#define IRQ_MSI_ASSERT 0x4000u
#define IRQ_MSI_LEVEL 0x8000u

/* The write of a doubleword by which a device interrupts a CPU. */
struct irq_msi {
	uint32_t address, data;
};

/*
 * The local APICs, as those see them that send messages. Both calls come under the sender's mutex, which is a device's
 * or an interrupt controller's, and take nothing that is outside of the clock's.
 */
struct irq_apic {
	/* False: no local APIC has accepted it. NULL: there are none. */
	bool (*send)(void *opaque, const struct irq_msi *msg);
	/*
	 * From here on the end of exactly these interrupts is to be announced to the I/O APIC, whose mutex is held: that
	 * comes later and from a vCPU's thread. Optional.
	 */
	void (*watch_eoi)(void *opaque, const struct irq_msi *list, unsigned count);
	/*
	 * From here on the I/O APIC, whose mutex is held, passes the 8259s' INTR on as ExtINT to the local APICs that
	 * dest says, as its entries do; is_on false: to none. Optional.
	 */
	void (*route_extint)(void *opaque, bool is_on, uint8_t dest, bool is_logical);
	void *opaque;
};

static inline bool irq_send_msi(const struct irq_apic *apic, const struct irq_msi *msg)
{
	return apic->send && apic->send(apic->opaque, msg);
}

static inline void irq_watch_eoi(const struct irq_apic *apic, const struct irq_msi *list, unsigned count)
{
	if (apic->watch_eoi)
		apic->watch_eoi(apic->opaque, list, count);
}

static inline void irq_route_extint(const struct irq_apic *apic, bool is_on, uint8_t dest, bool is_logical)
{
	if (apic->route_extint)
		apic->route_extint(apic->opaque, is_on, dest, is_logical);
}

#endif
