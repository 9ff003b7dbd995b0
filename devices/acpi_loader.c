/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi_loader.c: the script of QEMU's table loader, by which a BIOS puts the tables where it likes: allocate memory for
 * both files, add their addresses to the pointers, then make the checksums ([FWCFG], "etc/table-loader").
 */
#include <string.h>

#include "devices/acpi.h"

#define COMMAND_BYTES 128u
#define NAME_BYTES 56u

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 }; /* anywhere below 4 GiB; where an RSDP is looked for */

static void put32(uint8_t *at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static const char *name_of(enum acpi_file file)
{
	return file == ACPI_RSDP ? ACPI_FILE_RSDP : ACPI_FILE_TABLES;
}

/* A command's number and its first file. */
static uint8_t *begin(uint8_t *at, uint32_t command, enum acpi_file file)
{
	memset(at, 0, COMMAND_BYTES);
	put32(at, command);
	strcpy((char *)at + 4, name_of(file));
	return at + 4 + NAME_BYTES;
}

static uint8_t *allocate(uint8_t *at, enum acpi_file file, uint32_t align, uint8_t zone)
{
	uint8_t *p = begin(at, ALLOCATE, file);

	put32(p, align);
	p[4] = zone;
	return at + COMMAND_BYTES;
}

static uint8_t *fix(uint8_t *at, const struct acpi_fixup *f)
{
	uint8_t *p = begin(at, f->is_checksum ? ADD_CHECKSUM : ADD_POINTER, f->file);

	if (f->is_checksum) {
		put32(p, f->offset);
		put32(p + 4, f->start);
		put32(p + 8, f->len);
	} else {
		strcpy((char *)p, name_of(ACPI_TABLES));
		put32(p + NAME_BYTES, f->offset);
		p[NAME_BYTES + 4] = (uint8_t)f->size;
	}
	return at + COMMAND_BYTES;
}

size_t acpi_loader_script(const struct acpi_tables *t, uint8_t out[ACPI_LOADER_MAX_BYTES])
{
	uint8_t *at = out;

	at = allocate(at, ACPI_TABLES, ACPI_ALIGN, ZONE_HIGH);
	at = allocate(at, ACPI_RSDP, 16, ZONE_FSEG);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < t->fixup_count; i++) {
			if (t->fixups[i].is_checksum == (pass == 1))
				at = fix(at, &t->fixups[i]);
		}
	}
	return (size_t)(at - out);
}
