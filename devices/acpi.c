/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.c: the fixed tables of [ACPI] 4.0a and the HPET's of [HPET] 3.2.4; see acpi.h. Numbers are
 * written by offset, as the specification lists them.
 */
#include "devices/acpi.h"

#include <assert.h>
#include <string.h>

#include "bpf/hpet.h"
#include "devices/hpet.h"

/* [ACPI] 5.2.6 System description table header. */
#define HEADER_BYTES 36u
#define AT_LENGTH 4u
#define AT_CHECKSUM 9u

#define FACS_BYTES 64u
#define FADT_BYTES 244u

/* [ACPI] 5.2.9, table 5-9 */
#define FADT_FACS 36u
#define FADT_DSDT 40u
#define FADT_X_FACS 132u
#define FADT_X_DSDT 140u
#define BOOT_LEGACY_DEVICES 0x01u
#define BOOT_8042 0x02u
#define BOOT_NO_VGA 0x04u
/* table 5-10: WBINVD works, all processors have C1, no sleep button and no RTC wake in the fixed registers, reset register */
#define FADT_FLAGS (1u << 0 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 10)

#define GAS_IO 1u
#define GAS_MEMORY 0u
#define RESET_VALUE 0x06u /* [82371SB] RC: system reset, and the bit that starts it */
#define SMI_CMD 0xb2u
#define ACPI_ENABLE 0xf1u
#define ACPI_DISABLE 0xf0u
#define NO_C2 0x0fffu
#define CENTURY 0x32u

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

/* ---- building ---------------------------------------------------------------------------------- */

static void add_fixup(struct acpi_tables *t, struct acpi_fixup fixup)
{
	assert(t->fixup_count < ACPI_MAX_FIXUPS);
	t->fixups[t->fixup_count++] = fixup;
}

/* The 4 or 8 bytes there point to `target` in the tables. */
static void add_pointer(struct acpi_tables *t, enum acpi_file file, uint32_t offset, unsigned size, uint32_t target)
{
	put((file == ACPI_RSDP ? t->rsdp : t->bytes) + offset, target, size);
	add_fixup(t, (struct acpi_fixup){.file = file, .offset = offset, .size = size});
}

static void add_checksum(struct acpi_tables *t, enum acpi_file file, uint32_t offset, uint32_t start, uint32_t len)
{
	add_fixup(t,
		(struct acpi_fixup){.file = file, .is_checksum = true, .offset = offset, .start = start, .len = len});
}

/* Room for a table, all zero. */
static uint32_t add_table(struct acpi_tables *t, uint32_t len, uint32_t align)
{
	uint32_t at = (t->len + align - 1) & ~(align - 1);

	assert(at + len <= ACPI_MAX_BYTES);
	t->len = at + len;
	return at;
}

static uint32_t add_sdt(struct acpi_tables *t, const char *signature, unsigned revision, uint32_t len)
{
	uint32_t at = add_table(t, len, 8);
	uint8_t *p = t->bytes + at;

	memcpy(p, signature, 4);
	put(p + AT_LENGTH, len, 4);
	p[8] = (uint8_t)revision;
	memcpy(p + 10, "HOTREG", 6);
	memcpy(p + 16, "HOTREGPC", 8);
	put(p + 24, 1, 4);
	memcpy(p + 28, "HTRG", 4);
	put(p + 32, 1, 4);
	return at;
}

static void add_sdt_checksum(struct acpi_tables *t, uint32_t at)
{
	uint32_t len;

	memcpy(&len, t->bytes + at + AT_LENGTH, sizeof(len));
	add_checksum(t, ACPI_TABLES, at + AT_CHECKSUM, at, len);
}

/* [ACPI] 5.2.3.1 Generic address structure. */
static void put_gas(uint8_t *at, unsigned space, unsigned bits, unsigned access_bytes, uint64_t address)
{
	at[0] = (uint8_t)space;
	at[1] = (uint8_t)bits;
	at[2] = 0;
	at[3] = (uint8_t)access_bytes; /* 1: byte, 2: word, 3: doubleword */
	put(at + 4, address, 8);
}

/* 5.2.10 */
static uint32_t add_facs(struct acpi_tables *t)
{
	uint32_t at = add_table(t, FACS_BYTES, ACPI_ALIGN);

	memcpy(t->bytes + at, "FACS", 4);
	put(t->bytes + at + 4, FACS_BYTES, 4);
	t->bytes[at + 32] = 2;
	return at;
}

static uint32_t add_dsdt(struct acpi_tables *t, const struct acpi_config *c)
{
	uint32_t at = add_sdt(t, "DSDT", 1, HEADER_BYTES);
	size_t len = acpi_dsdt(c, t->bytes + t->len, ACPI_MAX_BYTES - t->len);

	t->len += (uint32_t)len;
	put(t->bytes + at + AT_LENGTH, HEADER_BYTES + len, 4);
	add_sdt_checksum(t, at);
	return at;
}

/* 5.2.9, in the revision of ACPI 3.0 and 4.0. */
static uint32_t add_fadt(struct acpi_tables *t, const struct acpi_config *c, uint32_t facs, uint32_t dsdt)
{
	uint32_t at = add_sdt(t, "FACP", 4, FADT_BYTES);
	uint8_t *p = t->bytes + at;

	p[45] = 1; /* desktop */
	put(p + 46, c->sci, 2);
	put(p + 48, SMI_CMD, 4);
	p[52] = ACPI_ENABLE;
	p[53] = ACPI_DISABLE;
	put(p + 56, c->pm_base, 4);	 /* PM1a_EVT_BLK */
	put(p + 64, c->pm_base + 4u, 4); /* PM1a_CNT_BLK */
	put(p + 76, c->pm_base + 8u, 4); /* PM_TMR_BLK */
	put(p + 80, ACPI_GPE_BASE, 4);	 /* GPE0_BLK */
	p[88] = 4;			 /* their lengths */
	p[89] = 2;
	p[91] = 4;
	p[92] = 4;
	put(p + 96, NO_C2, 2);
	put(p + 98, NO_C2, 2);
	p[108] = CENTURY;
	put(p + 109, BOOT_LEGACY_DEVICES | BOOT_8042 | (c->has_vga ? 0 : BOOT_NO_VGA), 2);
	put(p + 112, FADT_FLAGS, 4);
	put_gas(p + 116, GAS_IO, 8, 1, ACPI_RESET_PORT);
	p[128] = RESET_VALUE;
	put_gas(p + 148, GAS_IO, 32, 2, c->pm_base);
	put_gas(p + 172, GAS_IO, 16, 2, c->pm_base + 4u);
	put_gas(p + 208, GAS_IO, 32, 3, c->pm_base + 8u);
	put_gas(p + 220, GAS_IO, 32, 1, ACPI_GPE_BASE);
	add_pointer(t, ACPI_TABLES, at + FADT_FACS, 4, facs);
	add_pointer(t, ACPI_TABLES, at + FADT_DSDT, 4, dsdt);
	add_pointer(t, ACPI_TABLES, at + FADT_X_FACS, 8, facs);
	add_pointer(t, ACPI_TABLES, at + FADT_X_DSDT, 8, dsdt);
	add_sdt_checksum(t, at);
	return at;
}

/* 5.2.12.5: an ISA interrupt that is not what ISA's are: edge, active high, at the input of its number. */
static uint8_t *put_override(uint8_t *p, unsigned irq, unsigned input, unsigned flags)
{
	p[0] = 2;
	p[1] = 10;
	p[3] = (uint8_t)irq;
	put(p + 4, input, 4);
	put(p + 8, flags, 2);
	return p + 10;
}

/* 5.2.12 */
static uint32_t add_madt(struct acpi_tables *t, const struct acpi_config *c)
{
	const unsigned level_high = 0x0d;
	const uint16_t levels = (uint16_t)(c->pirq_to | 1u << c->sci);
	uint32_t overrides = 1 + (uint32_t)__builtin_popcount(levels);
	uint32_t at = add_sdt(t, "APIC", 3, HEADER_BYTES + 8 + 8 * c->cpus + 12 + 10 * overrides + 6);
	uint8_t *p = t->bytes + at;

	put(p + 36, ACPI_LAPIC_BASE, 4);
	put(p + 40, 1, 4); /* there are 8259s too */
	p += HEADER_BYTES + 8;
	for (unsigned i = 0; i < c->cpus; i++, p += 8) { /* 5.2.12.2 */
		p[1] = 8;
		p[2] = p[3] = (uint8_t)i;
		put(p + 4, 1, 4);
	}
	p[0] = 1; /* 5.2.12.3 */
	p[1] = 12;
	p[2] = (uint8_t)c->cpus; /* its id; 0, 1, ... are the local APICs' */
	put(p + 4, ACPI_IOAPIC_BASE, 4);
	p = put_override(p + 12, 0, 2, 0);
	for (unsigned irq = 0; irq < 16; irq++) {
		if (levels >> irq & 1)
			p = put_override(p, irq, irq, level_high);
	}
	p[0] = 4; /* 5.2.12.7: every processor's LINT1 is NMI */
	p[1] = 6;
	p[2] = 0xff;
	p[5] = 1;
	assert(p + 6 == t->bytes + t->len);
	add_sdt_checksum(t, at);
	return at;
}

/* [HPET] 3.2.4 */
static uint32_t add_hpet(struct acpi_tables *t)
{
	uint32_t at = add_sdt(t, "HPET", 1, 56);
	uint8_t *p = t->bytes + at;

	put(p + 36, (uint32_t)HPET_CAPS, 4);
	put_gas(p + 40, GAS_MEMORY, 64, 0, HPET_BASE);
	put(p + 53, HPET_MIN_EVENT_TICKS, 2);
	add_sdt_checksum(t, at);
	return at;
}

static uint32_t add_root(
	struct acpi_tables *t, const char *signature, unsigned size, const uint32_t *tables, unsigned count)
{
	uint32_t at = add_sdt(t, signature, 1, HEADER_BYTES + size * count);

	for (unsigned i = 0; i < count; i++)
		add_pointer(t, ACPI_TABLES, at + HEADER_BYTES + size * i, size, tables[i]);
	add_sdt_checksum(t, at);
	return at;
}

void acpi_build(const struct acpi_config *c, struct acpi_tables *t)
{
	uint32_t facs, dsdt, tables[3];
	unsigned count = 0;

	assert(c->cpus >= 1 && c->cpus <= ACPI_MAX_CPUS);
	memset(t, 0, sizeof(*t));
	facs = add_facs(t);
	dsdt = add_dsdt(t, c);
	tables[count++] = add_fadt(t, c, facs, dsdt);
	if (c->has_apic && c->has_ioapic)
		tables[count++] = add_madt(t, c);
	if (c->has_hpet)
		tables[count++] = add_hpet(t);
	/* 5.2.5.3; its two checksums are of the first 20 bytes, and of all */
	memcpy(t->rsdp, "RSD PTR ", 8);
	memcpy(t->rsdp + 9, "HOTREG", 6);
	t->rsdp[15] = 2;
	put(t->rsdp + 20, ACPI_RSDP_BYTES, 4);
	add_pointer(t, ACPI_RSDP, 16, 4, add_root(t, "RSDT", 4, tables, count));
	add_pointer(t, ACPI_RSDP, 24, 8, add_root(t, "XSDT", 8, tables, count));
	add_checksum(t, ACPI_RSDP, 8, 0, 20);
	add_checksum(t, ACPI_RSDP, 32, 0, ACPI_RSDP_BYTES);
}

/* ---- in place ---------------------------------------------------------------------------------- */

void acpi_link(struct acpi_tables *t, uint32_t base)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < t->fixup_count; i++) {
			const struct acpi_fixup *f = &t->fixups[i];
			uint8_t *file = f->file == ACPI_RSDP ? t->rsdp : t->bytes, sum = 0;
			uint32_t target;

			if (f->is_checksum != (pass == 1))
				continue;
			if (!f->is_checksum) {
				memcpy(&target, file + f->offset, sizeof(target));
				put(file + f->offset, base + target, f->size);
				continue;
			}
			for (uint32_t k = 0; k < f->len; k++)
				sum = (uint8_t)(sum + file[f->start + k]);
			file[f->offset] = (uint8_t)(file[f->offset] - sum);
		}
	}
}
