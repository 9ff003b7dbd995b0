// SPDX-License-Identifier: BSD-2-Clause
/*
 * multiboot.c: loads multiboot-1 images: ELF32, ELF64 that begins in 32-bit mode, or any format
 * through the header's own address fields.
 *
 * Arithmetic on numbers from the file is done in 64 bits after 32-bit fields were read, and a
 * segment is placed only after it fits the file and the guest's RAM above 1 MiB. The total of all
 * segments is bounded by RAM too, so that a file cannot make loading slow.
 */
#include "vmm/multiboot.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

#define LOW_RAM_END 0x9fc00u /* the extended BIOS data area of a PC begins here */
#define VIDEO_BASE 0xa0000u
#define BIOS_BASE 0xf0000u
#define HIGH_RAM_BASE 0x100000u
#define INFO_BASE 0x10000u
#define PAGE 4096u

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

struct segment {
	uint64_t file_offset, file_bytes, virt, gpa, mem_bytes;
};

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

/* Places one segment. *budget: bytes of RAM that segments may still ask for. */
static int place(struct guest_mem *mem, const uint8_t *file, size_t bytes, const struct segment *s, uint64_t *budget,
	struct accel_err *err)
{
	uint8_t *host;

	if (s->file_offset > bytes || s->file_bytes > bytes - s->file_offset)
		return err_fail(err, -EINVAL, "it is cut short: a segment needs bytes up to 0x%" PRIx64 " of 0x%zx",
			s->file_offset + s->file_bytes, bytes);
	if (s->mem_bytes < s->file_bytes)
		return err_fail(err, -EINVAL,
			"a segment is larger in the file (0x%" PRIx64 ") than in memory (0x%" PRIx64 ")", s->file_bytes,
			s->mem_bytes);
	if (s->mem_bytes == 0)
		return 0;
	if (s->gpa < HIGH_RAM_BASE)
		return err_fail(
			err, -EINVAL, "it loads at 0x%" PRIx64 ", below 1 MiB, which belongs to the loader", s->gpa);
	host = mem_ptr(mem, s->gpa, s->mem_bytes);
	if (!host || s->mem_bytes > *budget)
		return err_fail(err, -EINVAL,
			"it needs memory at 0x%" PRIx64 " (0x%" PRIx64 " bytes) that is not there: give more --mem",
			s->gpa, s->mem_bytes);
	*budget -= s->mem_bytes;
	memcpy(host, file + s->file_offset, s->file_bytes);
	memset(host + s->file_bytes, 0, s->mem_bytes - s->file_bytes);
	return 0;
}

/* How sure the entry point is: an ELF entry is a virtual address, but some kernels give the physical one. */
enum found { NOT_FOUND, BY_PHYSICAL, BY_VIRTUAL };

/* Remembers the highest end, and the entry point if the segment holds it. */
static void note_segment(const struct segment *s, uint64_t entry, struct multiboot_image *out, enum found *found)
{
	uint64_t end = (s->gpa + s->mem_bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	if (s->mem_bytes == 0)
		return;
	if (end > out->end)
		out->end = (uint32_t)end; /* below 4 GiB: RAM ends at 3 GiB */
	if (entry >= s->virt && entry - s->virt < s->mem_bytes && *found < BY_VIRTUAL) {
		out->entry = (uint32_t)(s->gpa + (entry - s->virt));
		*found = BY_VIRTUAL;
	} else if (entry >= s->gpa && entry - s->gpa < s->mem_bytes && *found < BY_PHYSICAL) {
		out->entry = (uint32_t)entry;
		*found = BY_PHYSICAL;
	}
}

/* [MB1] 3.1.3 The address fields of the Multiboot header. */
static int load_by_addresses(struct guest_mem *mem, const uint8_t *file, size_t bytes, size_t header,
	struct multiboot_image *out, struct accel_err *err)
{
	uint64_t header_addr, load, load_end, bss_end, budget = mem->ram_bytes;
	struct segment s;
	enum found found = NOT_FOUND;
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
	rc = place(mem, file, bytes, &s, &budget, err);
	if (rc)
		return rc;
	note_segment(&s, get32(file + header + 28), out, &found);
	if (!found)
		return err_fail(err, -EINVAL, "its multiboot entry_addr lies outside what is loaded");
	return 0;
}

/* One program header of either class, widened. */
static struct segment read_phdr(const uint8_t *p, bool is_64, uint32_t *type)
{
	Elf32_Phdr h32;
	Elf64_Phdr h64;

	if (is_64) {
		memcpy(&h64, p, sizeof(h64));
		*type = h64.p_type;
		return (struct segment){h64.p_offset, h64.p_filesz, h64.p_vaddr, h64.p_paddr, h64.p_memsz};
	}
	memcpy(&h32, p, sizeof(h32));
	*type = h32.p_type;
	return (struct segment){h32.p_offset, h32.p_filesz, h32.p_vaddr, h32.p_paddr, h32.p_memsz};
}

static int load_elf(
	struct guest_mem *mem, const uint8_t *file, size_t bytes, struct multiboot_image *out, struct accel_err *err)
{
	bool is_64 = bytes > EI_CLASS && file[EI_CLASS] == ELFCLASS64;
	size_t phdr_bytes = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t entry, phoff, budget = mem->ram_bytes;
	unsigned machine, phentsize, phnum;
	enum found found = NOT_FOUND;
	Elf32_Ehdr e32;
	Elf64_Ehdr e64;

	if (bytes < (is_64 ? sizeof(e64) : sizeof(e32)))
		return err_fail(err, -EINVAL, "it is cut short inside the ELF header");
	if (file[EI_DATA] != ELFDATA2LSB || (!is_64 && file[EI_CLASS] != ELFCLASS32))
		return err_fail(err, -EINVAL, "it is an ELF file, but not a little-endian one for x86");
	if (is_64) {
		memcpy(&e64, file, sizeof(e64));
		entry = e64.e_entry, phoff = e64.e_phoff;
		machine = e64.e_machine, phentsize = e64.e_phentsize, phnum = e64.e_phnum;
	} else {
		memcpy(&e32, file, sizeof(e32));
		entry = e32.e_entry, phoff = e32.e_phoff;
		machine = e32.e_machine, phentsize = e32.e_phentsize, phnum = e32.e_phnum;
	}
	if (machine != EM_386 && machine != EM_X86_64)
		return err_fail(err, -EINVAL, "it is an ELF file for another machine (e_machine %u)", machine);
	if (phnum == 0 || phentsize < phdr_bytes || phoff > bytes || (uint64_t)phnum * phentsize > bytes - phoff)
		return err_fail(err, -EINVAL,
			"its ELF program headers (%u of %u bytes at 0x%" PRIx64 ") are not inside the file", phnum,
			phentsize, phoff);
	for (unsigned i = 0; i < phnum; i++) {
		uint32_t type;
		struct segment s = read_phdr(file + phoff + (uint64_t)i * phentsize, is_64, &type);
		int rc;

		if (type != PT_LOAD)
			continue;
		rc = place(mem, file, bytes, &s, &budget, err);
		if (rc)
			return rc;
		note_segment(&s, entry, out, &found);
	}
	if (!found)
		return err_fail(err, -EINVAL, "its entry point 0x%" PRIx64 " lies outside what is loaded", entry);
	return 0;
}

int multiboot_load(
	struct guest_mem *mem, const uint8_t *file, size_t bytes, struct multiboot_image *out, struct accel_err *err)
{
	long header = multiboot_find(file, bytes);
	uint32_t flags;

	*out = (struct multiboot_image){.end = HIGH_RAM_BASE};
	if (header < 0)
		return err_fail(err, -EINVAL, "it is no multiboot image");
	flags = get32(file + header + 4);
	if (flags & HEADER_NEEDS_UNKNOWN)
		return err_fail(err, -EINVAL,
			"its multiboot header asks for features that hotreg does not have (flags 0x%x)",
			flags & HEADER_NEEDS_UNKNOWN);
	if (flags & HEADER_HAS_ADDRESSES)
		return load_by_addresses(mem, file, bytes, (size_t)header, out, err);
	if (bytes < SELFMAG || memcmp(file, ELFMAG, SELFMAG) != 0)
		return err_fail(
			err, -EINVAL, "it has a multiboot header, but is no ELF file and gives no load addresses");
	return load_elf(mem, file, bytes, out, err);
}

/* ---- the information structure --------------------------------------------------------------- */

/* A cursor through low memory. */
struct writer {
	struct guest_mem *mem;
	uint64_t at;
	bool is_full;
};

/* Appends bytes, aligned to 8; returns their guest address. */
static uint32_t put(struct writer *w, const void *buf, size_t bytes)
{
	uint64_t gpa = (w->at + 7) & ~7ull;

	if (w->is_full || gpa > LOW_RAM_END || bytes > LOW_RAM_END - gpa || !mem_write(w->mem, gpa, buf, bytes)) {
		w->is_full = true;
		return 0;
	}
	w->at = gpa + bytes;
	return (uint32_t)gpa;
}

static uint32_t put_string(struct writer *w, const char *s)
{
	return put(w, s, strlen(s) + 1);
}

int multiboot_write_info(struct guest_mem *mem, const char *cmdline, const struct multiboot_module *mods,
	unsigned mod_count, struct multiboot_image *img, struct accel_err *err)
{
	const struct mb_mmap map[] = {
		{20, 0, LOW_RAM_END, 1},
		{20, LOW_RAM_END, VIDEO_BASE - LOW_RAM_END, 2},
		{20, BIOS_BASE, HIGH_RAM_BASE - BIOS_BASE, 2},
		{20, HIGH_RAM_BASE, mem->ram_bytes - HIGH_RAM_BASE, 1},
	};
	struct writer w = {.mem = mem, .at = INFO_BASE};
	struct mb_mod list[MULTIBOOT_MAX_MODULES];
	struct mb_info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME,
		.mem_lower = LOW_RAM_END / 1024,
		.mem_upper = (uint32_t)((mem->ram_bytes - HIGH_RAM_BASE) / 1024),
		.mmap_length = sizeof(map),
	};

	if (mod_count > MULTIBOOT_MAX_MODULES)
		return err_fail(err, -EINVAL, "%u modules are too many: at most %u", mod_count, MULTIBOOT_MAX_MODULES);
	img->info = put(&w, &info, sizeof(info)); /* its place; filled in last */
	info.mmap_addr = put(&w, map, sizeof(map));
	info.cmdline = put_string(&w, cmdline);
	info.boot_loader_name = put_string(&w, "hotreg");
	for (unsigned i = 0; i < mod_count; i++)
		list[i] = (struct mb_mod){mods[i].start, mods[i].end, put_string(&w, mods[i].string), 0};
	if (mod_count) {
		info.flags |= INFO_MODS;
		info.mods_count = mod_count;
		info.mods_addr = put(&w, list, mod_count * sizeof(list[0]));
	}
	if (w.is_full || !mem_write(mem, img->info, &info, sizeof(info))) {
		err_fail(err, -EINVAL, "the command line and module names do not fit below 640 KiB: shorten them");
		return -E2BIG;
	}
	return 0;
}
