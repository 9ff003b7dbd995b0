// SPDX-License-Identifier: BSD-2-Clause
/*
 * linux.c: loads Linux bzImages. See linux.h; field names are those of [LINUX-BOOT].
 *
 * The setup header is a few fields at fixed offsets of the file, and the boot parameters repeat it at the
 * same offsets; so both are bytes here, read and written by offset. Real mode is never entered: hotreg does what the
 * kernel's own setup code would find out.
 */
#include "vmm/linux.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/boot_area.h"
#include "vmm/text.h"

/* The setup header ([LINUX-BOOT] "The Real-Mode Kernel Header"), also at these offsets of the boot parameters. */
#define SETUP_SECTS 0x1f1u
#define BOOT_FLAG 0x1feu
#define JUMP 0x200u /* two bytes; the second is the distance to the header's end */
#define HEADER 0x202u
#define VERSION 0x206u
#define TYPE_OF_LOADER 0x210u
#define LOADFLAGS 0x211u
#define CODE32_START 0x214u
#define RAMDISK_IMAGE 0x218u
#define RAMDISK_SIZE 0x21cu
#define CMD_LINE_PTR 0x228u
#define INITRD_ADDR_MAX 0x22cu
#define RELOCATABLE_KERNEL 0x234u
#define XLOADFLAGS 0x236u
#define CMDLINE_SIZE 0x238u
#define PREF_ADDRESS 0x258u
#define INIT_SIZE 0x260u
#define HEADER_MOST 0x290u /* the place that the boot parameters have for it */

/* The rest of the boot parameters ("zero page"). */
#define SCREEN_INFO 0x000u
#define E820_ENTRIES 0x1e8u
#define E820_TABLE 0x2d0u
#define PARAMS_BYTES 4096u

#define SIGNATURE 0x53726448u /* "HdrS" */
#define PROTOCOL_MIN 0x0206u  /* 2.06, Linux 2.6.22: the first that says how long a command line it takes */
#define PROTOCOL_64 0x020cu
#define PROTOCOL_INIT_SIZE 0x020au
#define LOADED_HIGH 0x01u
#define XLF_KERNEL_64 0x01u
#define LOADER_OTHER 0xffu
#define ENTRY_64 0x200u /* from where the kernel is loaded */

/* Where things go, below the extended BIOS data area. */
#define PAGE_TABLES 0x9000u /* PML4, PDPT, four page directories */
#define PARAMS 0x10000u
#define GDT 0x11000u
#define CMDLINE 0x20000u
#define CMDLINE_MOST 0x10000u
#define PAGE 4096u

#define PTE_PRESENT_WRITABLE 0x3u
#define PDE_LARGE 0x80u

struct e820_entry {
	uint64_t base, bytes;
	uint32_t type; /* 1: RAM, 2: reserved */
} __attribute__((packed));

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

bool linux_find(const uint8_t *file, size_t bytes)
{
	return bytes >= VERSION + 2 && get16(file + BOOT_FLAG) == 0xaa55 && get32(file + HEADER) == SIGNATURE;
}

/* One past the last byte of the setup header. */
static size_t header_end(const uint8_t *file)
{
	size_t end = HEADER + file[JUMP + 1];

	return end < HEADER_MOST ? end : HEADER_MOST;
}

/* Where in memory the kernel is loaded, and what it needs from there until it reads the memory map. */
struct place {
	uint64_t base, bytes;
};

static struct place choose_place(const uint8_t *file, uint64_t kernel_bytes)
{
	struct place place = {BOOT_HIGH_RAM_BASE, kernel_bytes};
	uint64_t preferred, init_bytes;

	if (get16(file + VERSION) < PROTOCOL_INIT_SIZE)
		return place;
	preferred = get64(file + PREF_ADDRESS);
	init_bytes = get32(file + INIT_SIZE);
	/* It would move itself there first, over what lies behind a copy at 1 MiB. */
	if (file[RELOCATABLE_KERNEL] && preferred > BOOT_HIGH_RAM_BASE && preferred <= UINT32_MAX)
		place.base = preferred;
	if (init_bytes > kernel_bytes)
		place.bytes = init_bytes;
	return place;
}

int linux_load(struct guest_mem *mem, const uint8_t *file, size_t bytes, bool can_64, struct linux_image *out,
	struct accel_err *err)
{
	uint32_t setup_bytes, initrd_max;
	struct place place;
	uint16_t version;
	uint8_t *host;

	*out = (struct linux_image){.params = PARAMS, .gdt = GDT};
	version = get16(file + VERSION);
	if (version < PROTOCOL_MIN)
		return err_fail(err, -EINVAL,
			"its boot protocol is %u.%02u: hotreg boots 2.06 (Linux 2.6.22) and newer", version >> 8,
			version & 0xff);
	if (bytes < HEADER_MOST || !(file[LOADFLAGS] & LOADED_HIGH))
		return err_fail(err, -EINVAL, "it is no bzImage that loads above 1 MiB");
	setup_bytes = ((file[SETUP_SECTS] ? file[SETUP_SECTS] : 4) + 1u) * 512;
	if (setup_bytes >= bytes)
		return err_fail(
			err, -EINVAL, "it is cut short: %zu bytes, and the kernel begins at %u", bytes, setup_bytes);
	place = choose_place(file, bytes - setup_bytes);
	host = mem_ptr(mem, place.base, place.bytes);
	if (!host)
		return err_fail(err, -EINVAL, "it needs memory up to %" PRIu64 " MiB: give more --mem",
			((place.base + place.bytes) >> 20) + 1);
	memcpy(host, file + setup_bytes, bytes - setup_bytes);
	out->is_64 = can_64 && version >= PROTOCOL_64 && get16(file + XLOADFLAGS) & XLF_KERNEL_64;
	out->entry = (uint32_t)place.base + (out->is_64 ? ENTRY_64 : 0);
	out->page_tables = out->is_64 ? PAGE_TABLES : 0;
	out->cmdline_max = get32(file + CMDLINE_SIZE);
	if (out->cmdline_max > CMDLINE_MOST - 1)
		out->cmdline_max = CMDLINE_MOST - 1;
	initrd_max = get32(file + INITRD_ADDR_MAX);
	out->initrd_min = (uint32_t)((place.base + place.bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1));
	out->initrd_end =
		mem->ram_bytes - 1 < initrd_max ? (uint32_t)mem->ram_bytes : initrd_max + (initrd_max < UINT32_MAX);
	return 0;
}

/* ---- what the kernel finds ------------------------------------------------------------------- */

/* As a BIOS leaves it: mode 3, 80 columns and 25 rows of 16 lines ([LINUX-BOOT] zero page, screen_info). */
static void fill_screen_info(uint8_t *params)
{
	uint8_t *screen = params + SCREEN_INFO;

	screen[0x06] = 3;  /* orig_video_mode */
	screen[0x07] = 80; /* orig_video_cols */
	screen[0x0e] = 25; /* orig_video_lines */
	screen[0x0f] = 1;  /* orig_video_isVGA */
	screen[0x10] = 16; /* orig_video_points */
}

static void fill_e820(uint8_t *params, const struct guest_mem *mem)
{
	struct boot_region regions[BOOT_REGIONS];

	boot_memory_map(mem, regions);
	params[E820_ENTRIES] = BOOT_REGIONS;
	for (unsigned i = 0; i < BOOT_REGIONS; i++) {
		const struct e820_entry entry = {regions[i].base, regions[i].bytes, regions[i].type};

		memcpy(params + E820_TABLE + i * sizeof(entry), &entry, sizeof(entry));
	}
}

/* The first 4 GiB, in pages of 2 MiB, at the addresses that they have. */
static bool write_page_tables(struct guest_mem *mem)
{
	uint64_t entries[512] = {PAGE_TABLES + PAGE + PTE_PRESENT_WRITABLE};
	bool done = mem_write(mem, PAGE_TABLES, entries, PAGE);

	for (unsigned i = 0; i < 4; i++)
		entries[i] = PAGE_TABLES + (2 + i) * PAGE + PTE_PRESENT_WRITABLE;
	done = done && mem_write(mem, PAGE_TABLES + PAGE, entries, PAGE);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 512; k++)
			entries[k] = ((uint64_t)i << 30 | (uint64_t)k << 21) + PDE_LARGE + PTE_PRESENT_WRITABLE;
		done = done && mem_write(mem, PAGE_TABLES + (2 + i) * PAGE, entries, PAGE);
	}
	return done;
}

/* __BOOT_CS at 0x10 and __BOOT_DS at 0x18, flat. */
static bool write_gdt(struct guest_mem *mem, bool is_64)
{
	const uint64_t gdt[LINUX_GDT_BYTES / 8] = {
		[2] = is_64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
		[3] = 0x00cf93000000ffff,
	};

	return mem_write(mem, GDT, gdt, sizeof(gdt));
}

int linux_write_params(struct guest_mem *mem, const uint8_t *file, size_t bytes, const char *cmdline, uint32_t initrd,
	uint32_t initrd_bytes, bool has_vga, struct linux_image *img, struct accel_err *err)
{
	uint8_t params[PARAMS_BYTES] = {0};
	size_t end = header_end(file);

	if (strlen(cmdline) > img->cmdline_max) {
		err_fail(err, -E2BIG, "the command line has %zu characters, this kernel takes %u: shorten --append",
			strlen(cmdline), img->cmdline_max);
		return -E2BIG;
	}
	memcpy(params + SETUP_SECTS, file + SETUP_SECTS, (end < bytes ? end : bytes) - SETUP_SECTS);
	params[TYPE_OF_LOADER] = LOADER_OTHER;
	put32(params + CODE32_START, img->entry - (img->is_64 ? ENTRY_64 : 0));
	put32(params + CMD_LINE_PTR, CMDLINE);
	put32(params + RAMDISK_IMAGE, initrd_bytes ? initrd : 0);
	put32(params + RAMDISK_SIZE, initrd_bytes);
	fill_e820(params, mem);
	if (has_vga)
		fill_screen_info(params);
	if (!mem_write(mem, PARAMS, params, sizeof(params)) || !mem_write(mem, CMDLINE, cmdline, strlen(cmdline) + 1) ||
		!write_gdt(mem, img->is_64) || (img->is_64 && !write_page_tables(mem)))
		return err_fail(err, -EINVAL, "there is too little RAM: give more --mem");
	return 0;
}
