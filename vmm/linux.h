/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * linux.h: Linux bzImages by the 32- and the 64-bit boot protocol ([LINUX-BOOT]): where kernel, command line and
 * initrd go in guest memory, and the boot parameters that tell the kernel of them. Called by boot.c; the image is
 * hostile, so every number is checked against the file's size and the guest's RAM.
 */
#ifndef VMM_LINUX_H
#define VMM_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */
#include "vmm/mem.h"

/* What the loader made of an image. */
struct linux_image {
	uint32_t entry;	      /* physical; of the 64-bit protocol where is_64 */
	bool is_64;	      /* the kernel is entered in long mode */
	uint32_t params;      /* the boot parameters: the guest's (R/E)SI */
	uint32_t gdt;	      /* LINUX_GDT_BYTES: code at selector 0x10, data at 0x18 */
	uint32_t page_tables; /* is_64: the PML4; the first 4 GiB map to themselves */
	uint32_t initrd_min;  /* an initrd may lie from here */
	uint32_t initrd_end;  /* up to here */
	uint32_t cmdline_max; /* bytes, without the final zero */
};

#define LINUX_GDT_BYTES 32u

/* Whether the file is a bzImage, by its header's signature. */
bool linux_find(const uint8_t *file, size_t bytes);

/*
 * Puts the kernel where it wants to run. can_64: the CPU has long mode, so a kernel that has a 64-bit entry is
 * entered there. 0, or -EINVAL with a sentence (no file name) in err.
 */
int linux_load(struct guest_mem *mem, const uint8_t *file, size_t bytes, bool can_64, struct linux_image *out,
	struct accel_err *err);

/*
 * Writes boot parameters, command line, descriptors and page tables into low memory. The initrd lies at
 * [initrd, initrd + initrd_bytes), 0 bytes for none; has_vga: there is a screen in text mode. 0, or -E2BIG with a sentence.
 */
int linux_write_params(struct guest_mem *mem, const uint8_t *file, size_t bytes, const char *cmdline, uint32_t initrd,
	uint32_t initrd_bytes, bool has_vga, struct linux_image *img, struct accel_err *err);

#endif
