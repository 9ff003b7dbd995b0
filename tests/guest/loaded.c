/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loaded.c: says on COM1 what its loader told it: command line, memory, modules and where ACPI's tables begin, by multiboot 1 or by
 * PVH (loaded.S). It ends the VM by a 32-bit write to the debug exit port, as third-party test kernels do: status 43.
 */
#include "guest.h"

#define PVH_MAGIC 0x336ec578u

/* [MB1] 3.3 */
struct multiboot_mod {
	uint32_t start, end, string, reserved;
};

/* [PVH] hvm_start_info and what it points to. */
struct pvh {
	uint32_t magic, version, flags, mods_count;
	uint64_t mods, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct pvh_mod {
	uint64_t start, bytes, string, reserved;
};

struct pvh_memory {
	uint64_t base, bytes;
	uint32_t type, reserved;
};

static void say(const char *s)
{
	while (*s)
		outb(0x3f8, (uint8_t)*s++);
}

static void say_dec(uint32_t v)
{
	char buf[11];
	int i = 10;

	buf[10] = 0;
	do {
		buf[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	say(buf + i);
}

static void *at(uint64_t gpa)
{
	return (void *)(uintptr_t)gpa;
}

static void say_module(uint32_t start, uint32_t bytes, uint64_t string)
{
	const char *text = at(start);

	say("module: ");
	say(at(string));
	say(": ");
	for (uint32_t i = 0; i < bytes && text[i] != '\n'; i++)
		outb(0x3f8, (uint8_t)text[i]);
	say("\n");
}

static bool is_rsdp(const uint8_t *p)
{
	static const char signature[] = "RSD PTR ";
	uint8_t sum = 0;

	for (unsigned i = 0; i < 8; i++) {
		if (p[i] != signature[i])
			return false;
	}
	for (unsigned i = 0; i < 20; i++)
		sum = (uint8_t)(sum + p[i]);
	return sum == 0;
}

static void say_rsdp(const uint8_t *p)
{
	say(p && is_rsdp(p) ? "rsdp: found\n" : "rsdp: none\n");
}

static void by_multiboot(const struct multiboot_info *mb)
{
	const struct multiboot_mod *mods = at(mb->mods_addr);
	const uint8_t *rsdp = at(0xe0000);

	say("loaded: multiboot\ncmdline: ");
	say(at(mb->cmdline));
	say("\nmemory: ");
	say_dec(mb->mem_upper / 1024 + 1);
	say(" MiB\n");
	for (uint32_t i = 0; (mb->flags & 8) && i < mb->mods_count; i++)
		say_module(mods[i].start, mods[i].end - mods[i].start, mods[i].string);
	while (rsdp < (const uint8_t *)at(0x100000) && !is_rsdp(rsdp))
		rsdp += 16;
	say_rsdp(rsdp);
}

static void by_pvh(const struct pvh *pvh)
{
	const struct pvh_memory *memory = at(pvh->memmap);
	const struct pvh_mod *mods = at(pvh->mods);
	uint64_t top = 0;

	say("loaded: PVH version ");
	say_dec(pvh->version);
	say("\ncmdline: ");
	say(at(pvh->cmdline));
	say("\nmemory: ");
	for (uint32_t i = 0; i < pvh->memmap_entries; i++) {
		if (memory[i].type == 1 && memory[i].base + memory[i].bytes > top)
			top = memory[i].base + memory[i].bytes;
	}
	say_dec((uint32_t)(top >> 20));
	say(" MiB\n");
	for (uint32_t i = 0; i < pvh->mods_count; i++)
		say_module((uint32_t)mods[i].start, (uint32_t)mods[i].bytes, mods[i].string);
	say_rsdp(at(pvh->rsdp));
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	if (magic == MULTIBOOT_LOADER_MAGIC)
		by_multiboot(info);
	else if (*(const uint32_t *)(const void *)info == PVH_MAGIC)
		by_pvh((const void *)info);
	else
		say("loaded: by nobody we know\n");
	outl(0xf4, 21);
}
