/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine_tables.c: this machine's ACPI and MP tables, to a BIOS through fw_cfg or straight into guest memory. A BIOS may
 * move the power management registers, so it is given tables that say where they are when it asks.
 */
#include <stdlib.h>
#include <string.h>

#include "devices/acpi.h"
#include "devices/fw_cfg.h"
#include "devices/machine_int.h"
#include "devices/piix4_pm.h"
#include "vmm/options.h"
#include "vmm/vm.h"

/* In the area of the BIOS, where RSDP and MP floating pointer are looked for at multiples of 16. */
#define RSDP_AT 0xf0000u
#define MPTABLE_AT 0xf0100u
#define TABLES_AT 0xf1000u

#define SCI_IRQ 9
#define PIRQ_IRQS (1u << 5 | 1u << 10 | 1u << 11)

static struct acpi_config config_of(const struct machine *m)
{
	const struct vm *vm = m->vm;

	return (struct acpi_config){
		.cpus = vm->cpu_count,
		.has_apic = vm->has_lapic,
		.has_ioapic = vm->has_lapic,
		.has_hpet = true,
		.has_vga = m->vga != NULL,
		.pm_base = piix4_pm_base(m->pm),
		.sci = SCI_IRQ,
		.pirq_to = PIRQ_IRQS,
		.ram_bytes = vm->mem.ram_bytes,
	};
}

static void fill_tables(void *opaque, uint8_t *data, size_t bytes)
{
	const struct acpi_config config = config_of(opaque);
	struct acpi_tables t;

	acpi_build(&config, &t);
	memcpy(data, t.bytes, bytes < t.len ? bytes : t.len);
}

bool machine_add_tables(struct machine *m, struct device *cfg)
{
	const struct acpi_config config = config_of(m);
	uint8_t script[ACPI_LOADER_MAX_BYTES];
	struct acpi_tables t;

	acpi_build(&config, &t);
	return fw_cfg_add_live_file(cfg, ACPI_FILE_TABLES, t.bytes, t.len, fill_tables, m) &&
	       fw_cfg_add_file(cfg, ACPI_FILE_RSDP, t.rsdp, sizeof(t.rsdp)) &&
	       fw_cfg_add_file(cfg, ACPI_FILE_LOADER, script, acpi_loader_script(&t, script));
}

uint32_t machine_write_tables(struct machine *m)
{
	const struct acpi_config config = config_of(m);
	uint8_t mp[MPTABLE_MAX_BYTES];
	struct acpi_tables t;
	size_t mp_bytes = mptable_build(&config, MPTABLE_AT, mp);

	acpi_build(&config, &t);
	acpi_link(&t, TABLES_AT);
	mem_write(&m->vm->mem, TABLES_AT, t.bytes, t.len);
	mem_write(&m->vm->mem, RSDP_AT, t.rsdp, sizeof(t.rsdp));
	mem_write(&m->vm->mem, MPTABLE_AT, mp, mp_bytes);
	return RSDP_AT;
}
