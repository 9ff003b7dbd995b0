/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix4_pm.h: the PIIX4's ACPI power management block: PM1 registers, the PM timer, the SMI
 * command port 0xb2/0xb3 and the (empty) general-purpose event block at 0xafe0.
 *
 * Ranges: "pm" (pure programs; unmapped until piix4_pm_set_base()), "smi", "gpe". The PCI
 * function 00:01.3 that moves and enables "pm" belongs to the PCI code.
 */
#ifndef DEVICES_PIIX4_PM_H
#define DEVICES_PIIX4_PM_H

#include "devices/device.h"

struct bus;

#define PIIX4_PM_LEN 0x40u

struct piix4_pm_config {
	struct irq_line sci;		/* IRQ 9, level */
	bool is_timer_32bit;		/* else 24 bits, as the PIIX4 */
	void (*soft_off)(void *opaque); /* SLP_EN with SLP_TYP soft off; called with the device's lock held */
	void *opaque;
};

/* Copies *config. NULL when out of memory or ranges. */
struct device *piix4_pm_create(struct bus *bus, struct clock *clock, const struct piix4_pm_config *config);

/* The power button: PWRBTN_STS, and the SCI where the guest has asked for it. Takes the device's lock. */
void piix4_pm_power_button(struct device *pm);

/*
 * Maps the "pm" range at base (multiple of 64) or takes it off the bus. Takes bus.lock only:
 * callable under the PCI function's lock, which must serialise the callers.
 */
void piix4_pm_set_base(struct device *pm, uint16_t base, bool is_enabled);

/* Where it is mapped, or was last. Any thread. */
uint16_t piix4_pm_base(const struct device *pm);

#endif
