/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvh.h: ELF kernels with a PVH entry ([PVH] Xen's x86/HVM direct boot ABI), such as an uncompressed Linux: a note names a
 * 32-bit entry point, and the kernel gets a start info structure with memory map, command line, modules and the
 * place of the RSDP. Called by boot.c; the image is hostile.
 */
#ifndef VMM_PVH_H
#define VMM_PVH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */
#include "vmm/boot_area.h"
#include "vmm/elfload.h"

/* What the loader made of an image. */
struct pvh_image {
	struct elf_image elf;
	uint32_t info; /* where pvh_write_info() put the structure: the guest's EBX */
};

/* Whether it is an ELF file with the note; *entry: the physical address in it. */
bool pvh_find(const uint8_t *file, size_t bytes, uint32_t *entry);

/* Copies an image to where it says. 0, or -EINVAL with a sentence (no file name) in err. */
int pvh_load(struct guest_mem *mem, const uint8_t *file, size_t bytes, struct pvh_image *out, struct accel_err *err);

/*
 * Writes the start info structure and what it points to into low memory; rsdp 0: there is none. 0, or -E2BIG with a
 * sentence when the strings do not fit.
 */
int pvh_write_info(struct guest_mem *mem, const char *cmdline, const struct boot_module *mods, unsigned mod_count,
	uint32_t rsdp, struct pvh_image *img, struct accel_err *err);

#endif
