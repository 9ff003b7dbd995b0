/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi_dsdt.c: the DSDT: the PCI bus with its windows and interrupt routing, the PIIX's four interrupt links, the ISA
 * devices, the HPET, and soft off. Written term by term (aml.h); the comments give the ASL.
 */
#include <assert.h>
#include <stdio.h>

#include "devices/acpi.h"
#include "devices/aml.h"
#include "devices/hpet.h"

#define PCI_SLOTS 32u
#define PCI_PINS 4u
#define LINKS 4u
#define PIIX_SLOT 1u /* its PM function's INTA# is the SCI */
#define PCI_HOLE_END 0xfebfffffu

#define LINK_DISABLED 0x80u /* [82371SB] PIRQRC: not routed */
#define STA_ENABLED 0x0bu   /* [ACPI] 6.3.7: present, decodes, works; not for people's eyes */
#define STA_DISABLED 0x09u

static const char *const link_names[LINKS] = {"LNKA", "LNKB", "LNKC", "LNKD"};
static const char *const pirq_names[LINKS] = {"PRQA", "PRQB", "PRQC", "PRQD"};

static void name_resources(struct aml *a, const char *name, const struct aml_resources *r)
{
	aml_name(a, name);
	aml_resources(a, r);
}

/* Device (name) { Name (_HID, EisaId (id)) Name (_CRS, crs) } */
static void isa_device(struct aml *a, const char *name, const char *id, const struct aml_resources *crs)
{
	size_t device = aml_device(a, name);

	aml_name(a, "_HID");
	aml_eisa_id(a, id);
	name_resources(a, "_CRS", crs);
	aml_close(a, device);
}

/* ---- interrupt routing --------------------------------------------------------------------------- */

/* Package () { slot, pin, link, 0 }, or for what is wired to an interrupt { slot, pin, 0, interrupt }. */
static void prt_entry(struct aml *a, unsigned slot, unsigned pin, const char *link, unsigned irq)
{
	size_t entry = aml_package(a, 4);

	aml_int(a, slot << 16 | 0xffff);
	aml_int(a, pin);
	if (link)
		aml_path(a, link);
	else
		aml_int(a, 0);
	aml_int(a, irq);
	aml_close(a, entry);
}

/*
 * As the i440FX's boards wire it: INTA# of slot 1 is PIRQA#, of slot 2 PIRQB#, and so on, and the further pins of a slot
 * are the next ones. The PIIX is the same for the 8259s and an I/O APIC, so there is one table.
 */
static void pci_routing(struct aml *a, const struct acpi_config *c)
{
	size_t prt;

	aml_name(a, "_PRT");
	prt = aml_package(a, (PCI_SLOTS - 1) * PCI_PINS);
	for (unsigned slot = 1; slot < PCI_SLOTS; slot++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			if (slot == PIIX_SLOT && pin == 0)
				prt_entry(a, slot, pin, NULL, c->sci);
			else
				prt_entry(a, slot, pin, link_names[(slot - 1 + pin) % LINKS], 0);
		}
	}
	aml_close(a, prt);
}

/* If (And (pirq, 0x80)) */
static size_t if_disabled(struct aml *a, const char *pirq)
{
	size_t block = aml_if(a);

	aml_op(a, AML_AND);
	aml_path(a, pirq);
	aml_int(a, LINK_DISABLED);
	aml_op(a, AML_ZERO); /* the result goes nowhere else */
	return block;
}

static void return_int(struct aml *a, uint32_t v)
{
	aml_op(a, AML_RETURN);
	aml_int(a, v);
}

/* CreateDWordField (buffer, AML_RES_LEVEL_AT, INTR) */
static void interrupt_field(struct aml *a, const char *buffer)
{
	aml_op(a, AML_CREATE_DWORD_FIELD);
	if (buffer)
		aml_path(a, buffer);
	else
		aml_op(a, AML_ARG0);
	aml_int(a, AML_RES_LEVEL_AT);
	aml_path(a, "INTR");
}

/* [ACPI] 6.2.12: a PCI interrupt link, whose register is PIRQRC[A:D] of the PIIX. */
static void link_device(struct aml *a, unsigned index, const struct acpi_config *c)
{
	size_t device = aml_device(a, link_names[index]), method, block;
	struct aml_resources possible = {.len = 0}, current = {.len = 0};
	char pirq[32];

	snprintf(pirq, sizeof(pirq), "\\_SB.PCI0.ISA.%s", pirq_names[index]);
	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C0F");
	aml_name_int(a, "_UID", index + 1);
	aml_res_level(&possible, c->pirq_to);
	name_resources(a, "_PRS", &possible);
	aml_res_level(&current, 0);
	name_resources(a, "CRSB", &current);

	method = aml_method(a, "_STA", 0);
	block = if_disabled(a, pirq);
	return_int(a, STA_DISABLED);
	aml_close(a, block);
	return_int(a, STA_ENABLED);
	aml_close(a, method);

	/* Or (pirq, 0x80, pirq) */
	method = aml_method(a, "_DIS", 0);
	aml_op(a, AML_OR);
	aml_path(a, pirq);
	aml_int(a, LINK_DISABLED);
	aml_path(a, pirq);
	aml_close(a, method);

	/* Store (pirq, INTR) If (And (pirq, 0x80)) { Store (0, INTR) } Return (CRSB) */
	method = aml_method(a, "_CRS", 0);
	interrupt_field(a, "CRSB");
	aml_op(a, AML_STORE);
	aml_path(a, pirq);
	aml_path(a, "INTR");
	block = if_disabled(a, pirq);
	aml_op(a, AML_STORE);
	aml_int(a, 0);
	aml_path(a, "INTR");
	aml_close(a, block);
	aml_op(a, AML_RETURN);
	aml_path(a, "CRSB");
	aml_close(a, method);

	/* Store (INTR of Arg0, pirq) */
	method = aml_method(a, "_SRS", 1);
	interrupt_field(a, NULL);
	aml_op(a, AML_STORE);
	aml_path(a, "INTR");
	aml_path(a, pirq);
	aml_close(a, method);
	aml_close(a, device);
}

/* ---- devices -------------------------------------------------------------------------------------- */

static void isa_devices(struct aml *a, const struct acpi_config *c)
{
	static const struct {
		const char *name, *id;
		struct {
			uint16_t base;
			uint8_t len;
		} io[3];
		int irq; /* -1: none */
	} devices[] = {
		{"PIC", "PNP0000", {{0x20, 2}, {0xa0, 2}, {0x4d0, 2}}, 2},
		{"TIMR", "PNP0100", {{0x40, 4}}, 0},
		{"RTC", "PNP0B00", {{0x70, 2}}, 8},
		{"KBD", "PNP0303", {{0x60, 1}, {0x64, 1}}, 1},
		{"SPKR", "PNP0800", {{0x61, 1}}, -1},
		{"COM1", "PNP0501", {{0x3f8, 8}}, 4},
	};
	struct aml_resources board = {.len = 0};

	for (unsigned i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		struct aml_resources crs = {.len = 0};

		for (unsigned k = 0; k < 3 && devices[i].io[k].len; k++)
			aml_res_io(&crs, devices[i].io[k].base, devices[i].io[k].len);
		if (devices[i].irq >= 0)
			aml_res_irq(&crs, (unsigned)devices[i].irq);
		isa_device(a, devices[i].name, devices[i].id, &crs);
	}
	/* what belongs to the board and to nobody's driver */
	aml_res_io(&board, 0x92, 1);
	aml_res_io(&board, 0xb2, 2);
	aml_res_io(&board, 0x510, 12);
	aml_res_io(&board, ACPI_GPE_BASE, 4);
	aml_res_io(&board, c->pm_base, 64);
	isa_device(a, "BRD", "PNP0C02", &board);
}

static void hpet_device(struct aml *a)
{
	struct aml_resources crs = {.len = 0};

	aml_res_memory(&crs, HPET_BASE, HPET_LEN);
	isa_device(a, "HPET", "PNP0103", &crs);
}

static void pci_bus(struct aml *a, const struct acpi_config *c)
{
	size_t bus = aml_device(a, "PCI0"), isa;
	struct aml_resources crs = {.len = 0};

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0A03");
	aml_name_int(a, "_UID", 0);
	aml_res_bus_window(&crs, 0, 0xff);
	aml_res_io(&crs, 0xcf8, 8);
	aml_res_io_window(&crs, 0, 0xcf7);
	aml_res_io_window(&crs, 0xd00, 0xffff);
	aml_res_memory_window(&crs, 0xa0000, 0xbffff);
	aml_res_memory_window(&crs, (uint32_t)c->ram_bytes, PCI_HOLE_END);
	name_resources(a, "_CRS", &crs);
	pci_routing(a, c);

	isa = aml_device(a, "ISA");
	aml_name_int(a, "_ADR", PIIX_SLOT << 16);
	aml_pci_config_bytes(a, "PIRQ", 0x60, LINKS, pirq_names, LINKS);
	isa_devices(a, c);
	aml_close(a, isa);
	aml_close(a, bus);
}

/* Name (\_S5, Package () { 0, 0, 0, 0 }): SLP_TYP for PM1a and PM1b ([82371AB] 7.2.3: 0 is soft off). */
static void soft_off(struct aml *a)
{
	size_t package;

	aml_name(a, "\\_S5");
	package = aml_package(a, 4);
	for (unsigned i = 0; i < 4; i++)
		aml_int(a, 0);
	aml_close(a, package);
}

size_t acpi_dsdt(const struct acpi_config *c, uint8_t *out, size_t room)
{
	struct aml a = {.bytes = out, .room = room};
	size_t scope = aml_scope(&a, "\\_SB");

	pci_bus(&a, c);
	for (unsigned i = 0; i < LINKS; i++)
		link_device(&a, i, c);
	if (c->has_hpet)
		hpet_device(&a);
	aml_close(&a, scope);
	soft_off(&a);
	assert(!a.is_full);
	return a.len;
}
