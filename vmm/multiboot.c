// SPDX-License-Identifier: BSD-2-Clause
/*
 * multiboot.c: loads multiboot-1 images: ELF32, ELF64 that begins in 32-bit mode, or any format
 * through the header's own address fields.
 *
 * What lies in the file is checked there and in elfload.c; the structures that the kernel finds are written through
 * boot_area.h.
 */
#include "vmm/multiboot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/boot_area.h"
#include "vmm/elfload.h"
#include "vmm/text.h"

#define HEADER_MAGIC 0x1badb002u
#define HEADER_NEEDS_UNKNOWN 0xfff8u /* "must" bits 0-15 but page-aligned modules, memory, video */
#define HEADER_HAS_ADDRESSES 0x10000u
#define HEADER_BYTES 12u
#define HEADER_ADDRESSES_BYTES 32u

#define INFO_MEMORY 0x1u
#define INFO_CMDLINE 0x4u
#define INFO_MODS 0x8u
#define INFO_MMAP 0x40u
#define INFO_LOADER_NAME 0x200u

#define INFO_BASE 0x10000u

/* [MB1] 3.3 Boot information format, up to the loader's name. */
struct mb_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length,
		mmap_addr, drives_length, drives_addr, config_table, boot_loader_name, apm_table, vbe[6];
};

struct mb_mod {
	uint32_t start, end, string, reserved;
};

struct mb_mmap {
	uint32_t size; /* of what follows */
	uint64_t base, bytes;
	uint32_t type; /* 1: RAM */
} __attribute__((packed));

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

long multiboot_find(const uint8_t *file, size_t bytes)
{
	size_t limit = bytes < MULTIBOOT_SEARCH_BYTES ? bytes : MULTIBOOT_SEARCH_BYTES;

	for (size_t at = 0; at + HEADER_BYTES <= limit; at += 4)
		if (get32(file + at) == HEADER_MAGIC &&
			get32(file + at) + get32(file + at + 4) + get32(file + at + 8) == 0)
			return (long)at;
	return -1;
}

/* [MB1] 3.1.3 The address fields of the Multiboot header. */
static int load_by_addresses(struct guest_mem *mem, const uint8_t *file, size_t bytes, size_t header,
	struct elf_image *out, struct accel_err *err)
{
	uint64_t header_addr, load, load_end, bss_end, budget = mem->ram_bytes;
	struct elf_segment s;
	enum elf_found found = ELF_NOT_FOUND;
	int rc;

	if (bytes - header < HEADER_ADDRESSES_BYTES)
		return err_fail(err, -EINVAL, "its multiboot header is cut short");
	header_addr = get32(file + header + 12);
	load = get32(file + header + 16);
	load_end = get32(file + header + 20);
	bss_end = get32(file + header + 24);
	if (load > header_addr || header_addr - load > header)
		return err_fail(err, -EINVAL,
			"its multiboot load address 0x%" PRIx64 " does not fit the header's place in the file", load);
	s.file_offset = header - (header_addr - load);
	if (load_end == 0)
		load_end = load + (bytes - s.file_offset);
	if (load_end < load)
		return err_fail(err, -EINVAL, "its multiboot load_end_addr is below load_addr");
	if (bss_end == 0)
		bss_end = load_end;
	if (bss_end < load_end)
		return err_fail(err, -EINVAL, "its multiboot bss_end_addr is below load_end_addr");
	s.virt = s.gpa = load;
	s.file_bytes = load_end - load;
	s.mem_bytes = bss_end - load;
	rc = elf_place(mem, file, bytes, &s, &budget, err);
	if (rc)
		return rc;
	elf_note_segment(&s, get32(file + header + 28), out, &found);
	if (!found)
		return err_fail(err, -EINVAL, "its multiboot entry_addr lies outside what is loaded");
	return 0;
}

int multiboot_load(
	struct guest_mem *mem, const uint8_t *file, size_t bytes, struct multiboot_image *out, struct accel_err *err)
{
	long header = multiboot_find(file, bytes);
	struct elf_image image;
	struct elf_file elf;
	uint32_t flags;
	int rc;

	*out = (struct multiboot_image){.end = BOOT_HIGH_RAM_BASE};
	if (header < 0)
		return err_fail(err, -EINVAL, "it is no multiboot image");
	flags = get32(file + header + 4);
	if (flags & HEADER_NEEDS_UNKNOWN)
		return err_fail(err, -EINVAL,
			"its multiboot header asks for features that hotreg does not have (flags 0x%x)",
			flags & HEADER_NEEDS_UNKNOWN);
	if (flags & HEADER_HAS_ADDRESSES) {
		image = (struct elf_image){.end = BOOT_HIGH_RAM_BASE};
		rc = load_by_addresses(mem, file, bytes, (size_t)header, &image, err);
	} else if (elf_is(file, bytes)) {
		rc = elf_open(file, bytes, &elf, err);
		if (!rc)
			rc = elf_load(mem, &elf, NULL, &image, err);
	} else {
		rc = err_fail(
			err, -EINVAL, "it has a multiboot header, but is no ELF file and gives no load addresses");
	}
	if (rc)
		return rc;
	out->entry = image.entry;
	out->end = image.end;
	return 0;
}

/* ---- the information structure --------------------------------------------------------------- */

int multiboot_write_info(struct guest_mem *mem, const char *cmdline, const struct boot_module *mods, unsigned mod_count,
	struct multiboot_image *img, struct accel_err *err)
{
	struct boot_region regions[BOOT_REGIONS];
	struct mb_mmap map[BOOT_REGIONS];
	struct boot_writer w = {.mem = mem, .at = INFO_BASE};
	struct mb_mod list[BOOT_MAX_MODULES];
	struct mb_info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME,
		.mem_lower = BOOT_LOW_RAM_END / 1024,
		.mem_upper = (uint32_t)((mem->ram_bytes - BOOT_HIGH_RAM_BASE) / 1024),
		.mmap_length = sizeof(map),
	};

	if (mod_count > BOOT_MAX_MODULES)
		return err_fail(err, -EINVAL, "%u modules are too many: at most %u", mod_count, BOOT_MAX_MODULES);
	boot_memory_map(mem, regions);
	for (unsigned i = 0; i < BOOT_REGIONS; i++)
		map[i] = (struct mb_mmap){
			sizeof(map[i]) - sizeof(map[i].size), regions[i].base, regions[i].bytes, regions[i].type};
	img->info = boot_put(&w, &info, sizeof(info)); /* its place; filled in last */
	info.mmap_addr = boot_put(&w, map, sizeof(map));
	info.cmdline = boot_put_string(&w, cmdline);
	info.boot_loader_name = boot_put_string(&w, "hotreg");
	for (unsigned i = 0; i < mod_count; i++)
		list[i] = (struct mb_mod){mods[i].start, mods[i].end, boot_put_string(&w, mods[i].string), 0};
	if (mod_count) {
		info.flags |= INFO_MODS;
		info.mods_count = mod_count;
		info.mods_addr = boot_put(&w, list, mod_count * sizeof(list[0]));
	}
	if (w.is_full || !mem_write(mem, img->info, &info, sizeof(info))) {
		err_fail(err, -EINVAL, "the command line and module names do not fit below 640 KiB: shorten them");
		return -E2BIG;
	}
	return 0;
}
