/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pci.h: PCI configuration mechanism #1 [82441FX] as guests see it: CONFADD, the reset control register, and the
 * configuration space of every function of bus 0, in doublewords as CONFADD names them.
 *
 * CONFADD is stored by the program too; the rest by the model alone.
 */
#ifndef BPF_PCI_H
#define BPF_PCI_H

#include "bpf/hr.h"

#define PCI_STATE_VERSION 1

#define PCI_CONFADD_ENABLE 0x80000000u
#define PCI_CONFADD_MASK 0x80fffffcu
#define PCI_CONFADD_BUS(v) ((v) >> 16 & 0xffu)
#define PCI_CONFADD_DEVFN(v) ((v) >> 8 & 0xffu)
#define PCI_CONFADD_DWORD(v) ((v) >> 2 & 0x3fu)
#define PCI_RC_OFFSET 1u /* of 0xcf9, reset control, in the range at 0xcf8 */
#define PCI_SLOTS 16u	 /* functions that there can be; a power of two */

struct pci_state {
	int64_t offset_ns; /* no register of this device depends on time */
	uint32_t confadd;
	uint8_t rc;
	uint8_t pad[3];
	uint8_t slot[256]; /* by device and function: 1 + its row of config, 0 for none */
	uint32_t config[PCI_SLOTS][64];
};

struct pci_page {
	struct hr_page head;
	struct pci_state s;
};

/* Whether an access of less than a doubleword at 0xcf8 + offset reaches reset control. */
static inline bool pci_covers_rc(uint32_t offset, uint32_t size)
{
	return size < 4 && offset <= PCI_RC_OFFSET && PCI_RC_OFFSET < offset + size;
}

/* A read at 0xcf8 + offset. Only a doubleword reaches CONFADD; bytes other than reset control go to nobody. */
static inline uint64_t pci_addr_value(const struct pci_state *s, uint32_t offset, uint32_t size)
{
	uint64_t ones = hr_mask(~0ull, size);
	uint32_t shift;

	if (size == 4)
		return HR_LOAD(s->confadd);
	if (!pci_covers_rc(offset, size))
		return ones;
	shift = 8 * (PCI_RC_OFFSET - offset) & 31;
	return (ones & ~(0xffull << shift)) | (uint64_t)HR_LOAD(s->rc) << shift;
}

/* The row of the function that CONFADD names, from 1; 0: none answers, a master abort. */
static inline uint32_t pci_selected(const struct pci_state *s, uint32_t confadd)
{
	if (!(confadd & PCI_CONFADD_ENABLE) || PCI_CONFADD_BUS(confadd))
		return 0;
	return HR_LOAD(s->slot[PCI_CONFADD_DEVFN(confadd)]);
}

/* A read at 0xcfc + offset that ends inside the doubleword. */
static inline uint64_t pci_data_value(const struct pci_state *s, uint32_t offset, uint32_t size)
{
	uint32_t confadd = HR_LOAD(s->confadd), slot = pci_selected(s, confadd), dword;

	if (!slot)
		return hr_mask(~0ull, size);
	dword = HR_LOAD(s->config[(slot - 1) & (PCI_SLOTS - 1)][PCI_CONFADD_DWORD(confadd)]);
	return hr_mask(dword >> (8 * offset & 31), size);
}

#endif
