// SPDX-License-Identifier: BSD-2-Clause
/*
 * pvh.c: the PVH entry of ELF kernels. See pvh.h; structures and the note's number are those of [PVH].
 */
#include "vmm/pvh.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/text.h"

#define NOTE_PHYS32_ENTRY 18u
#define NOTE_NAME "Xen" /* with its final zero, 4 bytes */

#define START_MAGIC 0x336ec578u
#define START_VERSION 1u
#define INFO_BASE 0x10000u

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct start_module {
	uint64_t address, bytes, cmdline, reserved;
};

struct start_memmap {
	uint64_t address, bytes;
	uint32_t type, reserved;
};

static uint64_t align4(uint64_t v)
{
	return (v + 3) & ~3ull;
}

/* The note among those of one segment, whose bytes are all in the file. */
static bool find_note(const uint8_t *notes, uint64_t bytes, uint32_t *entry)
{
	Elf32_Nhdr n; /* the same in both classes */

	for (uint64_t at = 0; at + sizeof(n) <= bytes;) {
		uint64_t name = at + sizeof(n), desc;

		memcpy(&n, notes + at, sizeof(n));
		desc = name + align4(n.n_namesz);
		if (desc > bytes || n.n_descsz > bytes - desc)
			return false;
		if (n.n_type == NOTE_PHYS32_ENTRY && n.n_namesz == sizeof(NOTE_NAME) &&
			!memcmp(notes + name, NOTE_NAME, sizeof(NOTE_NAME)) && n.n_descsz >= sizeof(*entry)) {
			memcpy(entry, notes + desc, sizeof(*entry));
			return true;
		}
		at = desc + align4(n.n_descsz);
	}
	return false;
}

bool pvh_find(const uint8_t *file, size_t bytes, uint32_t *entry)
{
	uint64_t budget = bytes; /* many segments over the same notes must not take long */
	struct accel_err ignored;
	struct elf_file f;

	if (!elf_is(file, bytes) || elf_open(file, bytes, &f, &ignored))
		return false;
	for (unsigned i = 0; i < f.phnum; i++) {
		uint32_t type;
		struct elf_segment s = elf_segment(&f, i, &type);

		if (type != PT_NOTE || s.file_offset > bytes || s.file_bytes > bytes - s.file_offset ||
			s.file_bytes > budget)
			continue;
		budget -= s.file_bytes;
		if (find_note(file + s.file_offset, s.file_bytes, entry))
			return true;
	}
	return false;
}

int pvh_load(struct guest_mem *mem, const uint8_t *file, size_t bytes, struct pvh_image *out, struct accel_err *err)
{
	struct elf_file f;
	uint32_t entry;
	int rc;

	*out = (struct pvh_image){.info = 0};
	if (!pvh_find(file, bytes, &entry))
		return err_fail(err, -EINVAL, "it has no PVH entry point");
	rc = elf_open(file, bytes, &f, err);
	return rc ? rc : elf_load(mem, &f, &entry, &out->elf, err);
}

int pvh_write_info(struct guest_mem *mem, const char *cmdline, const struct boot_module *mods, unsigned mod_count,
	uint32_t rsdp, struct pvh_image *img, struct accel_err *err)
{
	struct start_info info = {
		.magic = START_MAGIC,
		.version = START_VERSION,
		.nr_modules = mod_count,
		.rsdp = rsdp,
		.memmap_entries = BOOT_REGIONS,
	};
	struct boot_writer w = {.mem = mem, .at = INFO_BASE};
	struct boot_region regions[BOOT_REGIONS];
	struct start_memmap map[BOOT_REGIONS];
	struct start_module list[BOOT_MAX_MODULES];

	if (mod_count > BOOT_MAX_MODULES)
		return err_fail(err, -EINVAL, "%u modules are too many: at most %u", mod_count, BOOT_MAX_MODULES);
	boot_memory_map(mem, regions);
	for (unsigned i = 0; i < BOOT_REGIONS; i++)
		map[i] = (struct start_memmap){regions[i].base, regions[i].bytes, regions[i].type, 0};
	img->info = boot_put(&w, &info, sizeof(info)); /* its place; filled in last */
	info.memmap = boot_put(&w, map, sizeof(map));
	info.cmdline = boot_put_string(&w, cmdline);
	for (unsigned i = 0; i < mod_count; i++)
		list[i] = (struct start_module){
			mods[i].start, mods[i].end - mods[i].start, boot_put_string(&w, mods[i].string), 0};
	if (mod_count)
		info.modlist = boot_put(&w, list, mod_count * sizeof(list[0]));
	if (w.is_full || !mem_write(mem, img->info, &info, sizeof(info))) {
		err_fail(err, -E2BIG, "the command line and module names do not fit below 640 KiB: shorten them");
		return -E2BIG;
	}
	return 0;
}
