/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elfload.h: ELF32 and ELF64 files for x86: their loadable segments go to the physical addresses that they name, above
 * 1 MiB. The file is hostile: every number is checked against its size and the guest's RAM, in 64 bits; the total of all
 * segments is bounded by RAM too, so that a file cannot make loading slow. Used by multiboot.c and pvh.c.
 */
#ifndef VMM_ELFLOAD_H
#define VMM_ELFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/accel.h" /* struct accel_err */
#include "vmm/mem.h"

struct elf_image {
	uint32_t entry; /* physical */
	uint32_t end;	/* first byte after the image and its .bss, page-aligned */
};

/* One segment, widened. */
struct elf_segment {
	uint64_t file_offset, file_bytes, virt, gpa, mem_bytes;
};

/* The headers of a file, once elf_open() has found the program headers inside the file. */
struct elf_file {
	const uint8_t *bytes;
	size_t len;
	bool is_64;
	uint64_t entry, phoff;
	unsigned phentsize, phnum;
};

bool elf_is(const uint8_t *bytes, size_t len);
/* 0, or -EINVAL with a sentence (no file name) in err. */
int elf_open(const uint8_t *bytes, size_t len, struct elf_file *out, struct accel_err *err);
struct elf_segment elf_segment(const struct elf_file *f, unsigned index, uint32_t *type);

/*
 * Copies all PT_LOAD segments, .bss zeroed. The entry point is `phys_entry`, or where that is NULL the header's, taken for
 * a virtual address, else for a physical one; it must lie in a segment. 0, or -EINVAL with a sentence.
 */
int elf_load(struct guest_mem *mem, const struct elf_file *f, const uint32_t *phys_entry, struct elf_image *out,
	struct accel_err *err);

/* One segment by itself. *budget: bytes of RAM that segments may still ask for. */
int elf_place(struct guest_mem *mem, const uint8_t *file, size_t len, const struct elf_segment *s, uint64_t *budget,
	struct accel_err *err);

/* How sure an entry point is: an ELF entry is a virtual address, but some kernels give the physical one. */
enum elf_found { ELF_NOT_FOUND, ELF_BY_PHYSICAL, ELF_BY_VIRTUAL };

/* Remembers the highest end, and the entry point if the segment holds it. */
void elf_note_segment(const struct elf_segment *s, uint64_t entry, struct elf_image *out, enum elf_found *found);

#endif
