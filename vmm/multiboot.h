/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiboot.h: multiboot-1 images ([MB1] Multiboot Specification 0.6.96): where they go in guest
 * memory, and the information structure that they find there. Called by boot.c; the image is
 * hostile, so every number is checked against the file's size and the guest's RAM.
 */
#ifndef VMM_MULTIBOOT_H
#define VMM_MULTIBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */
#include "vmm/boot_area.h"

#define MULTIBOOT_SEARCH_BYTES 8192u

/* What the loader made of an image. */
struct multiboot_image {
	uint32_t entry; /* physical */
	uint32_t end;	/* first byte after the image and its .bss, page-aligned */
	uint32_t info;	/* where multiboot_write_info() put the structure: the guest's EBX */
};

/* Offset of the header in the first 8 KiB, or -1: no multiboot image. */
long multiboot_find(const uint8_t *file, size_t bytes);

/* Copies an image to where it says, .bss zeroed. 0, or -EINVAL with a sentence (no file name) in err. */
int multiboot_load(
	struct guest_mem *mem, const uint8_t *file, size_t bytes, struct multiboot_image *out, struct accel_err *err);

/*
 * Writes memory sizes, memory map, command line, modules and the loader's name into low memory.
 * 0, or -E2BIG with a sentence when the strings do not fit.
 */
int multiboot_write_info(struct guest_mem *mem, const char *cmdline, const struct boot_module *mods, unsigned mod_count,
	struct multiboot_image *img, struct accel_err *err);

#endif
