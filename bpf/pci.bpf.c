/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pci.bpf.c: configuration mechanism #1 at 0xcf8: the address both ways, and reads of configuration space. A write of
 * configuration space moves ranges and memory, and one of 0xcf9 resets the machine: those are the model's.
 */
#include "bpf/pci.h"

struct pci_page pci_state HR_STATE = {.head = {.version = PCI_STATE_VERSION, .size = sizeof(struct pci_page)}};

#define WHY_RESET 1  /* a write of reset control */
#define WHY_CONFIG 2 /* a write of configuration space */

/* Range "pci.addr", 0xcf8-0xcfb. */
HR_PROG int pci_addr(struct hr_io *io)
{
	struct pci_state *s = &pci_state.s;

	if (io->size > 4)
		return HR_PUNT;
	if (!io->is_write) {
		io->result = pci_addr_value(s, io->offset, io->size);
		return HR_ANSWER;
	}
	if (pci_covers_rc(io->offset, io->size))
		return HR_PUNT_WHY(WHY_RESET);
	if (io->size == 4)
		HR_STORE(s->confadd, (uint32_t)io->value & PCI_CONFADD_MASK);
	return HR_ANSWER;
}

/* Range "pci.data", 0xcfc-0xcff. */
HR_PROG int pci_data(struct hr_io *io)
{
	if (io->is_write)
		return HR_PUNT_WHY(WHY_CONFIG);
	if (io->size > 4)
		return HR_PUNT;
	io->result = pci_data_value(&pci_state.s, io->offset, io->size);
	return HR_ANSWER;
}

HR_LICENSE;
