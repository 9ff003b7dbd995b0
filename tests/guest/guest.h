/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.h: what our own guests share: port and memory accesses, the time stamp counter,
 * text on the debug console (0xe9), and the end of the VM through the debug-exit port.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
static inline uint64_t readq(uint32_t addr)
{
	uint64_t v;

	__asm__ volatile("movq (%1), %0" : "=r"(v) : "r"((uint64_t)addr) : "memory");
	return v;
}

static inline void writeq(uint32_t addr, uint64_t v)
{
	__asm__ volatile("movq %1, (%0)" : : "r"((uint64_t)addr), "r"(v) : "memory");
}
#endif

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %w1, %b0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %w1, %w0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %w1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %w0, %w1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %w1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint32_t readl(uint32_t addr)
{
	uint32_t v;

	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(addr) : "memory");
	return v;
}

static inline void writel(uint32_t addr, uint32_t v)
{
	__asm__ volatile("movl %1, (%0)" : : "r"(addr), "r"(v) : "memory");
}

/* The low half is enough for what is timed here. */
static inline uint32_t tsc_low(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo;
}

static inline void put_char(char c)
{
	outb(0xe9, (uint8_t)c);
}

static inline void put_text(const char *s)
{
	while (*s)
		put_char(*s++);
}

static inline void put_dec(uint32_t v)
{
	char buf[11];
	int i = 10;

	buf[10] = 0;
	do {
		buf[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put_text(buf + i);
}

static inline void put_hex(uint32_t v)
{
	for (int i = 28; i >= 0; i -= 4)
		put_char("0123456789abcdef"[v >> i & 15]);
}

/* Ends the VM with status (code << 1) | 1. */
static inline void guest_exit(uint8_t code)
{
	for (;;)
		outb(0xf4, code);
}

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
};

#define MULTIBOOT_LOADER_MAGIC 0x2badb002u

/* Value of "NAME=123" on the multiboot command line, else `otherwise`. */
static inline uint32_t guest_arg(const struct multiboot_info *info, const char *name, uint32_t otherwise)
{
	const char *s = info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "";

	for (; *s; s++) {
		const char *a = s, *b = name;
		uint32_t v = 0;

		while (*b && *a == *b)
			a++, b++;
		if (*b || *a != '=')
			continue;
		for (a++; *a >= '0' && *a <= '9'; a++)
			v = v * 10 + (uint32_t)(*a - '0');
		return v;
	}
	return otherwise;
}

void guest_main(uint32_t magic, const struct multiboot_info *info);

#endif
