/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid.c: writes all that CPUID says, a line a leaf: "LEAF.SUBLEAF EAX EBX ECX EDX". What it writes must not depend on
 * how accesses are accelerated, and must be what --cpu-model says (guests.sh cpuid).
 */
#include "guest.h"

struct regs {
	uint32_t a, b, c, d;
};

static struct regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct regs r;

	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
	return r;
}

static void show(uint32_t leaf, uint32_t subleaf)
{
	struct regs r = cpuid(leaf, subleaf);

	put_hex(leaf);
	put_char('.');
	put_dec(subleaf);
	put_char(' ');
	put_hex(r.a);
	put_char(' ');
	put_hex(r.b);
	put_char(' ');
	put_hex(r.c);
	put_char(' ');
	put_hex(r.d);
	put_char('\n');
}

static void show_all(uint32_t leaf)
{
	struct regs r;

	switch (leaf) {
	case 4:
	case 0x8000001d:
		for (uint32_t i = 0; i < 8; i++) {
			show(leaf, i);
			if (!(cpuid(leaf, i).a & 0x1f))
				break;
		}
		break;
	case 7:
		for (uint32_t i = 0; i <= cpuid(7, 0).a && i < 4; i++)
			show(7, i);
		break;
	case 0xb:
		show(0xb, 0);
		show(0xb, 1);
		show(0xb, 2);
		break;
	case 0xd:
		for (uint32_t i = 0; i < 32; i++) {
			r = cpuid(0xd, i);
			if (i < 2 || r.a)
				show(0xd, i);
		}
		break;
	default:
		show(leaf, 0);
	}
}

static void show_range(uint32_t first)
{
	uint32_t last = cpuid(first, 0).a;

	if (last < first || last > first + 0x40)
		last = first;
	for (uint32_t leaf = first; leaf <= last; leaf++)
		show_all(leaf);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	uint32_t hypervisor = cpuid(1, 0).c >> 31;

	(void)info;
	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(1);
	show_range(0);
	if (hypervisor)
		show_range(0x40000000);
	show_range(0x80000000);
	put_text("cpuid: done\n");
	guest_exit(0);
}
