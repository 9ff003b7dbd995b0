/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h: PCI configuration mechanism #1 at 0xcf8/0xcfc, the reset control register 0xcf9, and
 * the functions of bus 0 behind them. One mutex, that of the device pci_create() returns, guards
 * the configuration space of every function.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include "devices/device.h"

struct bus;

#define PCI_DEVFN(dev, fn) ((dev)*8u + (fn))
#define PCI_CONFIG_BYTES 256

/* One function's configuration space. Embedded in its owner, which fills it in its own reset. */
struct pci_function {
	/* constant after pci_attach */
	/* Optional: bytes [offset, offset + size) were written. The lock of the PCI device is held. */
	void (*changed)(struct pci_function *fn, unsigned offset, unsigned size);
	/* lock of the PCI device */
	uint8_t writable[PCI_CONFIG_BYTES]; /* 1: the guest may change the bit */
	uint8_t config[PCI_CONFIG_BYTES];
};

/* `reset` is set high to ask for a system reset. NULL: out of memory. */
struct device *pci_create(struct bus *bus, struct clock *clock, struct irq_line reset);

/* Before the vCPUs run; fn must live as long as the PCI device. */
void pci_attach(struct device *pci, unsigned devfn, struct pci_function *fn);

void pci_set16(uint8_t *bytes, unsigned offset, uint16_t v);
void pci_set32(uint8_t *bytes, unsigned offset, uint32_t v);

/* Vendor 8086h, `device`, revision, 24-bit class code (base, sub, interface), command and status. */
struct pci_identity {
	uint16_t device, command, status;
	uint8_t revision, header_type;
	uint32_t class_code;
};

/* Clears the configuration space and fills in the common registers. */
void pci_set_identity(struct pci_function *fn, const struct pci_identity *id);

#endif
