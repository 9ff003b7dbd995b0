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

/*
 * One function. Its configuration space lies in the PCI device's state page, where programs read it. Embedded in
 * its owner, which fills it in its own reset by the functions below.
 */
struct pci_function {
	/* constant after pci_attach */
	struct device *pci;
	uint32_t *config; /* 64 doublewords of the page */
	/* Optional: bytes [offset, offset + size) were written. The lock of the PCI device is held, the page is not. */
	void (*changed)(struct pci_function *fn, unsigned offset, unsigned size);
	/* lock of the PCI device */
	uint8_t writable[PCI_CONFIG_BYTES]; /* 1: the guest may change the bit */
};

/* `reset` is set high to ask for a system reset. NULL: out of memory. */
struct device *pci_create(struct bus *bus, struct clock *clock, struct irq_line reset);

/* Before the vCPUs run; fn must live as long as the PCI device. At most PCI_SLOTS (bpf/pci.h) functions. */
void pci_attach(struct device *pci, unsigned devfn, struct pci_function *fn);

/*
 * A function's configuration space, for its owner: with the lock of the PCI device, or in a reset. `offset` + size <= 256. The
 * writes take the page, so the caller does not have it.
 */
uint8_t pci_get8(const struct pci_function *fn, unsigned offset);
void pci_put8(struct pci_function *fn, unsigned offset, uint8_t v);
void pci_put16(struct pci_function *fn, unsigned offset, uint16_t v);
void pci_put32(struct pci_function *fn, unsigned offset, uint32_t v);
void pci_fill(struct pci_function *fn, unsigned offset, uint8_t v, unsigned count);
/* Little-endian, into a mask. */
void pci_mask16(uint8_t *writable, unsigned offset, uint16_t mask);

/* Vendor 8086h, `device`, revision, 24-bit class code (base, sub, interface), command and status. */
struct pci_identity {
	uint16_t device, command, status;
	uint8_t revision, header_type;
	uint32_t class_code;
};

/* Clears the configuration space and fills in the common registers. */
void pci_set_identity(struct pci_function *fn, const struct pci_identity *id);

#endif
