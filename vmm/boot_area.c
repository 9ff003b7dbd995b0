// SPDX-License-Identifier: BSD-2-Clause
/*
 * boot_area.c: the memory map for kernels, and bytes into low memory one after the other. See boot_area.h.
 */
#include "vmm/boot_area.h"

#include <string.h>

void boot_memory_map(const struct guest_mem *mem, struct boot_region out[BOOT_REGIONS])
{
	const struct boot_region map[BOOT_REGIONS] = {
		{0, BOOT_LOW_RAM_END, BOOT_RAM},
		{BOOT_LOW_RAM_END, BOOT_VIDEO_BASE - BOOT_LOW_RAM_END, BOOT_RESERVED},
		{BOOT_BIOS_BASE, BOOT_HIGH_RAM_BASE - BOOT_BIOS_BASE, BOOT_RESERVED},
		{BOOT_HIGH_RAM_BASE, mem->ram_bytes - BOOT_HIGH_RAM_BASE, BOOT_RAM},
	};

	memcpy(out, map, sizeof(map));
}

uint32_t boot_put(struct boot_writer *w, const void *bytes, size_t count)
{
	uint64_t gpa = (w->at + 7) & ~7ull;

	if (w->is_full || gpa > BOOT_LOW_RAM_END || count > BOOT_LOW_RAM_END - gpa ||
		!mem_write(w->mem, gpa, bytes, count)) {
		w->is_full = true;
		return 0;
	}
	w->at = gpa + count;
	return (uint32_t)gpa;
}

uint32_t boot_put_string(struct boot_writer *w, const char *s)
{
	return boot_put(w, s, strlen(s) + 1);
}
