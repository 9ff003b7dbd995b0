/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot_area.h: what every loader of a kernel shares: the memory map that a kernel is told, and a cursor through the low
 * memory where it finds what it is told. Below 1 MiB all memory is the loader's; kernels go above.
 */
#ifndef VMM_BOOT_AREA_H
#define VMM_BOOT_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem.h"

#define BOOT_LOW_RAM_END 0x9fc00u /* the extended BIOS data area of a PC begins here */
#define BOOT_VIDEO_BASE 0xa0000u
#define BOOT_BIOS_BASE 0xf0000u /* ACPI tables */
#define BOOT_HIGH_RAM_BASE 0x100000u

#define BOOT_RAM 1u /* as E820, multiboot and PVH number them */
#define BOOT_RESERVED 2u

struct boot_region {
	uint64_t base, bytes;
	uint32_t type;
};

#define BOOT_REGIONS 4
void boot_memory_map(const struct guest_mem *mem, struct boot_region out[BOOT_REGIONS]);

/* A cursor through low memory, up to BOOT_LOW_RAM_END. */
struct boot_writer {
	struct guest_mem *mem;
	uint64_t at;
	bool is_full; /* something did not fit; what was returned is then of no use */
};

/* Appends bytes, aligned to 8; returns their guest address. */
uint32_t boot_put(struct boot_writer *w, const void *bytes, size_t count);
uint32_t boot_put_string(struct boot_writer *w, const char *s);

/* A module that is in guest memory already. */
struct boot_module {
	uint32_t start, end; /* end: first byte after it */
	const char *string;  /* "FILE" or "FILE ARGUMENTS" */
};

#define BOOT_MAX_MODULES 32

#endif
