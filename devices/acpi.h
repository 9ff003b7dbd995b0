/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.h: the ACPI tables ([ACPI] 4.0a) that describe the machine: RSDP, RSDT, XSDT, FADT, FACS, DSDT, HPET and, with
 * APICs, MADT; and the Intel MP table ([MP] 1.4). All a function of struct acpi_config.
 *
 * The tables are built as if they were loaded at address 0, with a list of what depends on where they really are: pointers
 * and checksums. acpi_link() works the list off for a place in memory; for a BIOS, acpi_loader_script() turns it into
 * commands of QEMU's table loader.
 */
#ifndef DEVICES_ACPI_H
#define DEVICES_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_MAX_CPUS 64

struct acpi_config {
	unsigned cpus; /* their local APIC ids are 0, 1, ... */
	/*
	 * Local APICs, and an I/O APIC; without both there is neither MADT nor MP table, and guests use the 8259s. (A MADT with
	 * local APICs alone makes Linux turn the 8259s' way to the processor off.)
	 */
	bool has_apic, has_ioapic;
	bool has_hpet;
	bool has_vga;
	uint16_t pm_base;
	uint8_t sci;	    /* interrupt, level, active high */
	uint16_t pirq_to;   /* interrupts that PIRQA# to PIRQD# may be routed to */
	uint64_t ram_bytes; /* from address 0; at most 3 GiB */
};

enum acpi_file { ACPI_TABLES, ACPI_RSDP };

/* What depends on addresses. Checksums come after all pointers. */
struct acpi_fixup {
	enum acpi_file file; /* where it is */
	bool is_checksum; /* of [start, start + len), the byte itself counted as 0; else a pointer into ACPI_TABLES */
	uint32_t offset;
	uint32_t size; /* of a pointer: 4 or 8 */
	uint32_t start, len;
};

#define ACPI_MAX_BYTES 8192u
#define ACPI_ALIGN 64u /* of ACPI_TABLES: the FACS is there */
#define ACPI_RSDP_BYTES 36u
#define ACPI_MAX_FIXUPS 32

struct acpi_tables {
	uint8_t bytes[ACPI_MAX_BYTES];
	uint32_t len;
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct acpi_fixup fixups[ACPI_MAX_FIXUPS];
	unsigned fixup_count;
};

/* The same lengths and fixups for two configurations that differ in pm_base only. cpus is at most ACPI_MAX_CPUS. */
void acpi_build(const struct acpi_config *config, struct acpi_tables *out);

/* Makes the tables right for ACPI_TABLES at `base`; the RSDP's own place does not matter. Once. */
void acpi_link(struct acpi_tables *t, uint32_t base);

/* The DSDT's terms. Returns how many bytes; at most `room`, which is enough. Of acpi.c. */
size_t acpi_dsdt(const struct acpi_config *config, uint8_t *out, size_t room);

/* QEMU's table loader ([FWCFG]): the files, and their script of 128-byte commands. Returns its bytes. */
#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"
#define ACPI_LOADER_MAX_BYTES ((ACPI_MAX_FIXUPS + 2) * 128u)
size_t acpi_loader_script(const struct acpi_tables *t, uint8_t out[ACPI_LOADER_MAX_BYTES]);

/*
 * The MP floating pointer structure and the configuration table behind it, for address `base`, a multiple of 16. Returns
 * how many bytes; 0 without local APICs or an I/O APIC, which every configuration table must have.
 */
#define MPTABLE_MAX_BYTES 2048u
size_t mptable_build(const struct acpi_config *config, uint32_t base, uint8_t out[MPTABLE_MAX_BYTES]);

/* Where the machine has them. */
#define ACPI_LAPIC_BASE 0xfee00000u
#define ACPI_IOAPIC_BASE 0xfec00000u
#define ACPI_GPE_BASE 0xafe0u
#define ACPI_RESET_PORT 0xcf9u

#endif
