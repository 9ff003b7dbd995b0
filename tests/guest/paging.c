/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paging.c: 32-bit paging, and with -DPAE three levels with 8-byte entries: where accesses go, accessed and dirty bits,
 * each error code of a page fault with its CR2, the rights of both rings, large pages, an access across two pages, pages
 * mapped on demand, and the HPET through a page of its own ([SDM3] chapter 4; error codes: 4.7).
 */
#include "trap.h"

#ifdef PAE
typedef uint64_t entry;
#define ENTRIES 512
#define LARGE_BYTES 0x200000u
#define NAME "paging_pae"
#else
typedef uint32_t entry;
#define ENTRIES 1024
#define LARGE_BYTES 0x400000u
#define NAME "paging"
#endif

#define P 0x1u
#define W 0x2u
#define U 0x4u
#define A 0x20u
#define D 0x40u
#define LARGE 0x80u
#define NX (1ull << 63)

#define PF 14
#define ERR_P 1u
#define ERR_W 2u
#define ERR_U 4u
#define ERR_RSVD 8u
#define ERR_I 16u

#define CR0_WP 0x10000u
#define CR0_PG 0x80000000u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define EFER 0xc0000080u
#define EFER_NXE 0x800u

#define IDENTITY_BYTES 0x1000000u /* of low memory are mapped to themselves */
#define WINDOW 0x40000000u	  /* small pages, by window_table */
#define LARGE_AT (WINDOW + 0x800000u)
#define LARGE_TO 0x800000u
#define HPET 0xfed00000u

static entry directory[4][ENTRIES] __attribute__((aligned(4096))); /* without PAE only the first */
static entry window_table[ENTRIES] __attribute__((aligned(4096)));
static uint8_t pages[4][4096] __attribute__((aligned(4096)));
static uint8_t user_stack[4096] __attribute__((aligned(16)));
#ifdef PAE
static uint64_t pointers[4] __attribute__((aligned(32)));
#endif

static uint32_t at(unsigned page)
{
	return WINDOW + page * 4096;
}

static uint32_t frame(unsigned page)
{
	return (uint32_t)pages[page];
}

static void flush(uint32_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void map(unsigned page, entry value)
{
	window_table[page] = value;
	flush(at(page));
}

static uint32_t get_cr0(void)
{
	uint32_t v;

	__asm__ volatile("movl %%cr0, %0" : "=r"(v));
	return v;
}

static void set_cr0(uint32_t v)
{
	__asm__ volatile("movl %0, %%cr0" : : "r"(v) : "memory");
}

static void start_paging(void)
{
	uint32_t cr4;

	__asm__ volatile("movl %%cr4, %0" : "=r"(cr4));
#ifdef PAE
	for (unsigned i = 0; i < 4; i++)
		pointers[i] = (uint32_t)directory[i] | P;
	for (unsigned i = 0; i < IDENTITY_BYTES / LARGE_BYTES; i++)
		directory[0][i] = i * LARGE_BYTES | P | W | U | LARGE;
	directory[1][0] = (uint32_t)window_table | P | W | U;
	directory[1][(LARGE_AT - WINDOW) / LARGE_BYTES] = LARGE_TO | P | W | U | LARGE;
	__asm__ volatile("movl %0, %%cr4" : : "r"(cr4 | CR4_PAE));
	__asm__ volatile("movl %0, %%cr3" : : "r"(pointers) : "memory");
#else
	for (unsigned i = 0; i < IDENTITY_BYTES / LARGE_BYTES; i++)
		directory[0][i] = i * LARGE_BYTES | P | W | U | LARGE;
	directory[0][WINDOW >> 22] = (uint32_t)window_table | P | W | U;
	directory[0][LARGE_AT >> 22] = LARGE_TO | P | W | U | LARGE;
	__asm__ volatile("movl %0, %%cr4" : : "r"(cr4 | CR4_PSE));
	__asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
#endif
	set_cr0(get_cr0() | CR0_PG);
}

static void expect_fault(const char *what, uint32_t error, uint32_t address)
{
	trap_expect(what, PF, error, 0);
	trap_check("CR2", trap_cr2 == address, trap_cr2);
}

/* ---- ring 0 ---- */

static void try_read(uint32_t address)
{
	TRY("movl (%0), %%eax", : : "r"(address) : "eax", "memory");
}

static void try_write(uint32_t address, uint32_t value)
{
	TRY("movl %1, (%0)", : : "r"(address), "r"(value) : "memory");
}

static void test_mapping(void)
{
	map(0, frame(0) | P | W);
	map(1, frame(1) | P | W);
	writel(at(0), 0x11111111);
	writel(at(1) + 8, 0x22222222);
	trap_check("a write went where its page is", *(volatile uint32_t *)pages[0] == 0x11111111, readl(at(0)));
	trap_check("at its offset", *(volatile uint32_t *)(pages[1] + 8) == 0x22222222, readl(at(1) + 8));
	map(0, frame(1) | P | W);
	trap_check("another frame behind the same page", readl(at(0) + 8) == 0x22222222, readl(at(0) + 8));
	/* two pages change places, again and again */
	writel(frame(0) + 16, 0);
	writel(frame(1) + 16, 1);
	for (unsigned i = 0; i < 1000; i++) {
		map(0, frame(i & 1) | P | W);
		map(1, frame(~i & 1) | P | W);
		trap_check("changed places", readl(at(0) + 16) == (i & 1) && readl(at(1) + 16) == (~i & 1), i);
	}
}

static void test_bits(void)
{
	map(2, frame(2) | P | W);
	trap_check("a fresh entry", (window_table[2] & (A | D)) == 0, (uint32_t)window_table[2]);
	(void)readl(at(2));
	trap_check("accessed by a read, not dirty", (window_table[2] & (A | D)) == A, (uint32_t)window_table[2]);
	writel(at(2), 5);
	trap_check("dirty by a write", (window_table[2] & (A | D)) == (A | D), (uint32_t)window_table[2]);
	window_table[2] &= ~(entry)(A | D);
	flush(at(2));
	writel(at(2), 6);
	trap_check("both by a write", (window_table[2] & (A | D)) == (A | D), (uint32_t)window_table[2]);
}

static void test_faults(void)
{
	uint32_t cr0 = get_cr0();

	map(3, 0);
	try_read(at(3) + 0x123);
	expect_fault("a read of an absent page", 0, at(3) + 0x123);
	try_write(at(3) + 0xabc, 1);
	expect_fault("a write to an absent page", ERR_W, at(3) + 0xabc);
	try_read(0x70000000);
	expect_fault("an absent table", 0, 0x70000000);
	/* read-only pages bind ring 0 only with WP */
	map(3, frame(3) | P);
	set_cr0(cr0 & ~CR0_WP);
	try_write(at(3), 0x33333333);
	trap_expect("a write to a read-only page without WP", NO_TRAP, 0, 0);
	trap_check("done", readl(at(3)) == 0x33333333, readl(at(3)));
	set_cr0(cr0 | CR0_WP);
	try_write(at(3) + 4, 1);
	expect_fault("a write to a read-only page with WP", ERR_P | ERR_W, at(3) + 4);
	try_read(at(3));
	trap_expect("a read of it", NO_TRAP, 0, 0);
	set_cr0(cr0);
	/* across a page: the second one is absent; nothing is written */
	map(2, frame(2) | P | W);
	map(3, 0);
	writel(frame(2) + 0xffc, 0x5a5a5a5a);
	try_write(at(2) + 0xffe, 0x11223344);
	expect_fault("a write into an absent page beyond", ERR_W, at(3));
	trap_check("no half is written", readl(frame(2) + 0xffc) == 0x5a5a5a5a, readl(frame(2) + 0xffc));
	map(3, frame(0) | P | W);
	try_write(at(2) + 0xffe, 0x11223344);
	trap_expect("a write across two pages", NO_TRAP, 0, 0);
	trap_check("its low half", readl(frame(2) + 0xffc) == 0x33445a5a, readl(frame(2) + 0xffc));
	trap_check("its high half", (readl(frame(0)) & 0xffff) == 0x1122, readl(frame(0)));
}

static void test_large(void)
{
	writel(LARGE_TO + 0x12345 * 4, 0xfeedbeef);
	trap_check("a large page", readl(LARGE_AT + 0x12345 * 4) == 0xfeedbeef, readl(LARGE_AT + 0x12345 * 4));
	writel(LARGE_AT + LARGE_BYTES - 4, 0x01020304);
	trap_check("its end", readl(LARGE_TO + LARGE_BYTES - 4) == 0x01020304, 0);
#ifdef PAE
	trap_check("it is dirty", directory[1][(LARGE_AT - WINDOW) / LARGE_BYTES] & D, 0);
#else
	trap_check("it is dirty", directory[0][LARGE_AT >> 22] & D, 0);
#endif
}

/* ---- ring 3 ---- */

static volatile uint32_t user_address, user_value;

extern const char user_read[], user_write[], user_reads_many[];
__asm__(".text\n"
	"user_read:	movl user_address, %eax\n"
	"		movl (%eax), %ecx\n"
	"		movl %ecx, user_value\n"
	"		int $63\n"
	"user_write:	movl user_address, %eax\n"
	"		movl user_value, %ecx\n"
	"		movl %ecx, (%eax)\n"
	"		int $63\n"
	"user_reads_many: movl user_address, %eax\n"
	"		xorl %edx, %edx\n"
	"		movl $64, %ecx\n"
	"1:		addl (%eax), %edx\n"
	"		addl $4096, %eax\n"
	"		loop 1b\n"
	"		movl %edx, user_value\n"
	"		int $63\n");

static void user(const char *code, uint32_t address, uint32_t value)
{
	user_address = address;
	user_value = value;
	trap_last.vector = NO_TRAP;
	trap_enter((uint32_t)code, SEG_CODE3, 2, (uint32_t)(user_stack + sizeof(user_stack)), SEG_DATA3);
}

static void test_ring3(void)
{
	map(0, frame(0) | P | W | U);
	map(1, frame(1) | P | U);
	map(2, frame(2) | P | W);
	map(3, 0);
	writel(frame(0), 0xaabbccdd);
	user(user_read, at(0), 0);
	trap_expect("ring 3 reads its page", VECTOR_LEAVE, 0, 0);
	trap_check("what it read", user_value == 0xaabbccdd, user_value);
	user(user_write, at(0), 7);
	trap_expect("ring 3 writes its page", VECTOR_LEAVE, 0, 0);
	trap_check("what it wrote", readl(frame(0)) == 7, readl(frame(0)));
	user(user_read, at(1), 0);
	trap_expect("ring 3 reads a read-only page", VECTOR_LEAVE, 0, 0);
	user(user_write, at(1), 7);
	expect_fault("ring 3 writes it", ERR_P | ERR_W | ERR_U, at(1));
	user(user_read, at(2), 0);
	expect_fault("ring 3 reads ring 0's page", ERR_P | ERR_U, at(2));
	user(user_write, at(2) + 4, 0);
	expect_fault("ring 3 writes ring 0's page", ERR_P | ERR_W | ERR_U, at(2) + 4);
	user(user_read, at(3) + 8, 0);
	expect_fault("ring 3 reads an absent page", ERR_U, at(3) + 8);
	user(user_write, at(3), 0);
	expect_fault("ring 3 writes an absent page", ERR_W | ERR_U, at(3));
}

static unsigned mapped;

/* Maps what is missed, and lets the instruction try again. */
static bool on_demand(struct trap_frame *f)
{
	uint32_t address;

	if (f->vector != PF || f->error != ERR_U)
		return false;
	__asm__ volatile("movl %%cr2, %0" : "=r"(address));
	window_table[(address - WINDOW) >> 12] = frame(address >> 12 & 3) | P | U;
	mapped++;
	return true;
}

static void test_demand(void)
{
	for (unsigned i = 0; i < 4; i++)
		writel(frame(i), 1u << (8 * i));
	for (unsigned i = 16; i < 80; i++)
		map(i, 0);
	mapped = 0;
	trap_hook = on_demand;
	user(user_reads_many, at(16), 0);
	trap_hook = NULL;
	trap_expect("64 pages on demand", VECTOR_LEAVE, 0, 0);
	trap_check("each missed once", mapped == 64, mapped);
	trap_check("their sum", user_value == 0x10101010, user_value);
	user(user_reads_many, at(16), 0);
	trap_check("none missed again", mapped == 64, mapped);
}

/* ---- what only three levels have ---- */

#ifdef PAE
static bool has_nx(void)
{
	uint32_t a = 0x80000000, b, c, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	if (a < 0x80000001)
		return false;
	a = 0x80000001;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	return d >> 20 & 1;
}

/* QEMU's TCG reports a reserved bit without the present bit; [SDM3] 4.7 has both. */
static void test_pae(bool is_tcg)
{
	const uint32_t reserved = ERR_RSVD | (is_tcg ? 0 : ERR_P);
	uint32_t low, high;

	if (!has_nx()) {
		put_text(NAME ": no NX here\n");
		return;
	}
	/* without EFER.NXE bit 63 is reserved */
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(EFER));
	map(0, frame(0) | P | W | U | NX);
	if (!(low & EFER_NXE)) {
		try_read(at(0));
		expect_fault("bit 63 without NXE", reserved, at(0));
	}
	__asm__ volatile("wrmsr" : : "c"(EFER), "a"(low | EFER_NXE), "d"(high));
	flush(at(0));
	pages[0][0] = 0xff; /* JMP EDX */
	pages[0][1] = 0xe2;
	try_read(at(0));
	trap_expect("data in a page without execution", NO_TRAP, 0, 0);
	TRY("movl $2f, %%edx\n\tjmp *%0", : : "r"(at(0)) : "edx", "memory");
	expect_fault("code in a page without execution", ERR_P | ERR_I, at(0));
	trap_check("EIP is that code", trap_last.eip == at(0), trap_last.eip);
	map(0, frame(0) | P | W | U);
	TRY("movl $2f, %%edx\n\tjmp *%0", : : "r"(at(0)) : "edx", "memory");
	trap_expect("code in a page with it", NO_TRAP, 0, 0);
	/* in ring 3 */
	map(0, frame(0) | P | W | U | NX);
	user((const char *)at(0), 0, 0);
	expect_fault("the same in ring 3", ERR_P | ERR_U | ERR_I, at(0));
	/* bits above the widest physical address are reserved */
	map(0, frame(0) | P | W | U | 1ull << 51);
	try_read(at(0));
	expect_fault("an address of 52 bits", reserved, at(0));
	map(0, 0);
}
#endif

/* ---- a device ---- */

static void test_device(void)
{
	uint32_t before, after;

	map(0, (entry)HPET | P | W | 0x18); /* uncached */
	writel(at(0) + 0x10, 1);	    /* the counter runs */
	trap_check("the HPET's vendor", readl(at(0)) >> 16 == 0x8086, readl(at(0)));
	before = readl(at(0) + 0xf0);
	for (unsigned i = 0; i < 200; i++) {
		after = readl(at(0) + 0xf0);
		trap_check("the counter goes on", after - before < 0x80000000u, after - before);
		before = after;
	}
	map(0, 0);
	try_read(at(0) + 0xf0);
	expect_fault("the HPET is gone", 0, at(0) + 0xf0);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
#ifndef PAE
	(void)info;
#endif
	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(1);
	trap_init();
	start_paging();
	test_mapping();
	test_bits();
	test_faults();
	test_large();
	test_ring3();
	test_demand();
#ifdef PAE
	test_pae(guest_arg(info, "tcg", 0));
#endif
	test_device();
	set_cr0(get_cr0() & ~CR0_PG);
	put_text(NAME ": ok\n");
	guest_exit(0);
}
