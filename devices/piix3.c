/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix3.c: the PCI functions of the south bridge [82371SB] [82371AB]. PIRQRC routes PCI's interrupt
 * wires to ISA's. Most other registers only hold what was written, as the IDE timings. The IDE channel decodes its compatibility addresses whatever IDETIM
 * says, has no bus master and says so in its programming interface.
 *
 * Guarded by the PCI device's mutex; this device's own is taken only around reset.
 */
#include "devices/piix3.h"

#include <stdlib.h>
#include <string.h>

#include "devices/irq_route.h"
#include "devices/pci.h"
#include "devices/piix4_pm.h"

#define ISA_PIRQRC 0x60u
#define PM_PMBASE 0x40u
#define PM_DEVACTB 0x58u
#define PM_DEVACTB_APMC_EN 0x02000000u
#define PM_PMREGMISC 0x80u
#define PM_PMREGMISC_PMIOSE 0x01u
#define PM_DEFAULT_BASE 0x600u

struct piix3 {
	struct device dev;
	struct pci_function isa, ide, pm;
	/* constant after init */
	struct device *pm_block;
	struct irq_route *routes; /* may be NULL */
};

static void route_pirqs(struct piix3 *piix)
{
	for (unsigned i = 0; i < IRQ_ROUTE_PIRQS && piix->routes; i++)
		irq_route_set_pirqrc(piix->routes, i, pci_get8(&piix->isa, ISA_PIRQRC + i));
}

static void isa_changed(struct pci_function *fn, unsigned offset, unsigned size)
{
	if (offset < ISA_PIRQRC + IRQ_ROUTE_PIRQS && offset + size > ISA_PIRQRC)
		route_pirqs((struct piix3 *)((char *)fn - offsetof(struct piix3, isa)));
}

static void place_pm(struct piix3 *piix)
{
	unsigned base = (pci_get8(&piix->pm, PM_PMBASE) | (unsigned)pci_get8(&piix->pm, PM_PMBASE + 1) << 8) & 0xffc0;

	piix4_pm_set_base(piix->pm_block, (uint16_t)base, pci_get8(&piix->pm, PM_PMREGMISC) & PM_PMREGMISC_PMIOSE);
}

static void pm_changed(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct piix3 *piix = (struct piix3 *)((char *)fn - offsetof(struct piix3, pm));
	bool in_base = offset < PM_PMBASE + 4 && offset + size > PM_PMBASE;

	if (in_base || (offset <= PM_PMREGMISC && offset + size > PM_PMREGMISC))
		place_pm(piix);
}

static void piix3_reset(struct device *dev)
{
	struct piix3 *piix = (struct piix3 *)dev;
	static const struct pci_identity isa = {
		.device = 0x7000, .command = 0x0007, .status = 0x0200, .class_code = 0x060100, .header_type = 0x80};
	static const struct pci_identity ide = {.device = 0x7010, .status = 0x0280, .class_code = 0x010100};
	static const struct pci_identity pm = {
		.device = 0x7113, .status = 0x0280, .revision = 3, .class_code = 0x068000};

	pci_set_identity(&piix->isa, &isa);
	pci_put8(&piix->isa, 0x4c, 0x4d); /* IORT */
	pci_put8(&piix->isa, 0x4e, 0x03); /* XBCS */
	pci_fill(&piix->isa, ISA_PIRQRC, IRQ_ROUTE_PIRQRC_OFF, IRQ_ROUTE_PIRQS);
	route_pirqs(piix);
	pci_put8(&piix->isa, 0x69, 0x02); /* TOM */

	pci_set_identity(&piix->ide, &ide);

	pci_set_identity(&piix->pm, &pm);
	pci_put8(&piix->pm, 0x3d, 1); /* INTA#, which is wired to the SCI, IRQ 9 */
	/*
	 * The part starts with the block off. Here it starts where every BIOS of such a machine puts
	 * it, so that kernels loaded without a BIOS find the timer.
	 */
	pci_put32(&piix->pm, PM_PMBASE, PM_DEFAULT_BASE | 1);
	pci_put8(&piix->pm, PM_PMREGMISC, PM_PMREGMISC_PMIOSE);
	/* There is no SMM: a BIOS that finds this bit set takes its SMI handler for installed. */
	pci_put32(&piix->pm, PM_DEVACTB, PM_DEVACTB_APMC_EN);
	pci_put32(&piix->pm, 0x90, 1); /* SMBBA */
	place_pm(piix);
}

static void piix3_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops piix3_ops = {.reset = piix3_reset, .destroy = piix3_destroy};

struct device *piix3_create(struct clock *clock, struct device *pci, struct device *pm, struct irq_route *routes)
{
	struct piix3 *piix = calloc(1, sizeof(*piix));

	if (!piix)
		return NULL;
	if (device_init(&piix->dev, "piix3", &piix3_ops, clock, 0, 0)) {
		free(piix);
		return NULL;
	}
	piix->pm_block = pm;
	piix->routes = routes;
	piix->isa.changed = isa_changed;
	piix->isa.writable[0x04] = 0x08; /* special cycles */
	memset(piix->isa.writable + 0x4c, 0xff, 4);
	memset(piix->isa.writable + ISA_PIRQRC, 0x8f, IRQ_ROUTE_PIRQS);
	memset(piix->isa.writable + 0x69, 0xff, 3);
	memset(piix->isa.writable + 0x76, 0xff, 2);  /* MBDMA */
	memset(piix->isa.writable + 0x78, 0xff, 2);  /* PCSC */
	memset(piix->isa.writable + 0xa0, 0xff, 14); /* SMI control */

	piix->ide.writable[0x04] = 0x05; /* IOSE, BME */
	piix->ide.writable[0x0d] = 0xf0;
	memset(piix->ide.writable + 0x40, 0xff, 5); /* IDETIM, SIDETIM */

	piix->pm.writable[0x04] = 0x01;
	piix->pm.writable[0x3c] = 0xff;
	pci_mask16(piix->pm.writable, PM_PMBASE, 0xffc0);
	memset(piix->pm.writable + 0x44, 0xff, 0x3c); /* counters, general purpose and device resources */
	piix->pm.writable[PM_PMREGMISC] = 0x01;
	pci_mask16(piix->pm.writable, 0x90, 0xfff0);
	memset(piix->pm.writable + 0xd2, 0xff, 4); /* SMBus: not there */
	piix->pm.changed = pm_changed;

	pci_attach(pci, PCI_DEVFN(1, 0), &piix->isa);
	pci_attach(pci, PCI_DEVFN(1, 1), &piix->ide);
	pci_attach(pci, PCI_DEVFN(1, 3), &piix->pm);
	return &piix->dev;
}
