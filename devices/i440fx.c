/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i440fx.c: the 82441FX host bridge [82441FX]. Its subsystem identity is QEMU's, because that is
 * how SeaBIOS knows that it may ask fw_cfg.
 *
 * The registers are guarded by the PCI device's mutex, as for every PCI function; this device's
 * own is taken only around reset, when no vCPU runs.
 */
#include "devices/i440fx.h"

#include <stdlib.h>
#include <string.h>

#include "devices/pci.h"
#include "vmm/mem.h"

#define PAM0 0x59u /* high nibble: 0xf0000, 64 KiB */
#define PAM6 0x5fu
#define SMRAM 0x72u
#define SMRAM_D_OPEN 0x40u
#define SMRAM_D_LCK 0x10u
#define SMRAM_BITS 0x78u /* D_OPEN, D_CLS, D_LCK, G_SMRAME */

struct i440fx {
	struct device dev;
	struct pci_function fn;
	/* constant after init */
	struct guest_mem *mem;
	bool has_bios;
};

/* PAM1..PAM6 hold two 16 KiB segments each, the lower address in the low nibble. */
static void update_segment(struct i440fx *bridge, unsigned segment)
{
	uint8_t reg = segment == MEM_SHADOW_SEGMENTS - 1
			      ? pci_get8(&bridge->fn, PAM0) >> 4
			      : pci_get8(&bridge->fn, PAM0 + 1 + segment / 2) >> (4 * (segment % 2));

	mem_set_pam(bridge->mem, segment, reg & (MEM_PAM_RE | MEM_PAM_WE));
}

static void update_pam(struct i440fx *bridge, unsigned reg)
{
	if (reg == PAM0) {
		update_segment(bridge, MEM_SHADOW_SEGMENTS - 1);
		return;
	}
	update_segment(bridge, 2 * (reg - PAM0 - 1));
	update_segment(bridge, 2 * (reg - PAM0 - 1) + 1);
}

static void i440fx_changed(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct i440fx *bridge = (struct i440fx *)((char *)fn - offsetof(struct i440fx, fn));

	for (unsigned reg = offset; reg < offset + size; reg++) {
		if (reg >= PAM0 && reg <= PAM6)
			update_pam(bridge, reg);
		if (reg == SMRAM && pci_get8(fn, SMRAM) & SMRAM_D_LCK) {
			/* [82441FX] D_LCK: D_OPEN is cleared, and the register stays as it is until reset. */
			pci_put8(fn, SMRAM, pci_get8(fn, SMRAM) & (uint8_t)~SMRAM_D_OPEN);
			fn->writable[SMRAM] = 0;
		}
	}
}

static void i440fx_reset(struct device *dev)
{
	struct i440fx *bridge = (struct i440fx *)dev;
	static const struct pci_identity identity = {
		.device = 0x1237, .command = 0x0006, .status = 0x0280, .revision = 2, .class_code = 0x060000};

	pci_set_identity(&bridge->fn, &identity);
	pci_put16(&bridge->fn, 0x2c, 0x1af4);
	pci_put16(&bridge->fn, 0x2e, 0x1100);
	pci_put8(&bridge->fn, SMRAM, 0x02);
	bridge->fn.writable[SMRAM] = SMRAM_BITS;
	if (!bridge->has_bios) {
		pci_fill(&bridge->fn, PAM0, 0x33, PAM6 - PAM0 + 1);
		pci_put8(&bridge->fn, PAM0, 0x30);
	}
	for (unsigned i = 0; i < MEM_SHADOW_SEGMENTS; i++)
		update_segment(bridge, i);
}

static void i440fx_destroy(struct device *dev)
{
	device_cleanup(dev);
	free(dev);
}

static const struct device_ops i440fx_ops = {.reset = i440fx_reset, .destroy = i440fx_destroy};

struct device *i440fx_create(struct clock *clock, struct device *pci, struct guest_mem *mem, bool has_bios)
{
	struct i440fx *bridge = calloc(1, sizeof(*bridge));

	if (!bridge)
		return NULL;
	if (device_init(&bridge->dev, "i440fx", &i440fx_ops, clock, 0, 0)) {
		free(bridge);
		return NULL;
	}
	bridge->mem = mem;
	bridge->has_bios = has_bios;
	bridge->fn.changed = i440fx_changed;
	bridge->fn.writable[0x0d] = 0xf8;	     /* MLT */
	memset(bridge->fn.writable + 0x50, 0xff, 9); /* PMCCFG .. DRAMC: no effect here */
	bridge->fn.writable[PAM0] = 0x30;
	memset(bridge->fn.writable + PAM0 + 1, 0x33, PAM6 - PAM0);
	memset(bridge->fn.writable + 0x60, 0xff, 8); /* DRB: no effect here */
	pci_attach(pci, PCI_DEVFN(0, 0), &bridge->fn);
	return &bridge->dev;
}
