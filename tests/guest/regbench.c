/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regbench.c: what one access of each hot register costs, seen by the guest. Multiboot, 32-bit, no paging,
 * no interrupts, so that it runs on any KVM, on the software CPU and under QEMU.
 *
 * First the counters are checked (they move, and never back), then every register is read in a tight
 * loop between two RDTSC, round after round, beside an access of the same bus, width and direction
 * that nobody claims: its floor. Prints for each register the median, 10th and 90th percentile of the
 * cycles of an access, and the median of its ratio to the floor *of the same round*, in thousandths.
 * Then whole operations: a sector by PIO. Command line: rounds=N reads=N; sum=N: the 16-bit words of sector 1 must add up
 * to that; op=K times=N: operation K that often and nothing else, for counting exits (tests/guest/exits.sh).
 */
#include "guest.h"

#define HPET 0xfed00000u
#define PM_TIMER 0x608
#define FREE_PORT 0x5000 /* claimed by nobody here and in QEMU's pc */
#define FREE_ADDR 0xfebf0000u
#define MAX_ROUNDS 201

enum op { OP_INB, OP_ISR, OP_INL, OP_READL, OP_LATCH, OP_INDEX, OP_CONFIG, OP_SECTOR, OP_SECTOR_IRQ };

struct reg {
	const char *name;
	enum op op;
	uint32_t addr;
	int floor; /* index of its floor in regs[], -1: it is one */
};

static const struct reg regs[] = {
	{"floor_inb", OP_INB, FREE_PORT, -1},
	{"floor_inl", OP_INL, FREE_PORT, -1},
	{"floor_mmio", OP_READL, FREE_ADDR, -1},
	{"floor_outb_inb_inb", OP_LATCH, FREE_PORT, -1},
	{"floor_outb_inb", OP_INDEX, FREE_PORT, -1},
	{"floor_outl_inl", OP_CONFIG, FREE_PORT, -1},
	{"hpet_counter", OP_READL, HPET + 0xf0, 2},
	{"hpet_capabilities", OP_READL, HPET + 0x00, 2},
	{"hpet_configuration", OP_READL, HPET + 0x10, 2},
	{"pm_timer", OP_INL, PM_TIMER, 1},
	{"pit_count", OP_INB, 0x40, 0},
	{"pit_latch_and_read", OP_LATCH, 0x40, 3},
	{"port61", OP_INB, 0x61, 0},
	{"rtc_seconds", OP_INDEX, 0x70, 4},
	{"ide_status", OP_INB, 0x1f7, 0},
	{"ide_alternate_status", OP_INB, 0x3f6, 0},
	{"ide_sector_count", OP_INB, 0x1f2, 0},
	{"uart_iir", OP_INB, 0x3fa, 0},
	{"uart_lsr", OP_INB, 0x3fd, 0},
	{"uart_msr", OP_INB, 0x3fe, 0},
	{"pic_mask", OP_INB, 0x21, 0},
	{"pic_irr", OP_INB, 0x20, 0},
	{"pic_isr", OP_ISR, 0x20, 0},
	{"kbd_status", OP_INB, 0x64, 0},
	{"pci_config", OP_CONFIG, 0xcf8, 5},
	{"ide_sector_polled", OP_SECTOR, 0x1f0, -1},
	{"ide_sector_irq", OP_SECTOR_IRQ, 0x1f0, -1},
	/* the last three, in a machine that has one */
	{"vga_status", OP_INB, 0x3da, 0},
	{"vga_palette", OP_INB, 0x3c9, 0},
	{"vga_misc_output", OP_INB, 0x3cc, 0},
};

#define NREGS (sizeof(regs) / sizeof(regs[0]))
#define NVGA 3

static uint32_t cycles[NREGS][MAX_ROUNDS]; /* of `reads` operations */
static uint32_t ratio[MAX_ROUNDS];
static uint32_t sorted[MAX_ROUNDS];

static void sort(uint32_t *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint32_t x = v[i], j = i;

		for (; j && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

/* Accesses that one operation makes; a sector is one thing. */
static uint32_t op_accesses(enum op op)
{
	return op == OP_LATCH ? 3 : op == OP_INDEX || op == OP_CONFIG ? 2 : 1;
}

static uint16_t sector[2048] __attribute__((aligned(4096)));

/*
 * [ATA-6] READ SECTOR(S), LBA28, one sector that has been read before. nIEN polled: no interrupt is raised. With interrupts INTRQ
 * goes up and the status read takes it down, as in a handler; the two EOIs that a handler also writes are not here.
 */
static void read_sector(void)
{
	uint16_t *to = sector;
	uint32_t words = 256;

	outb(0x1f6, 0xe0);
	outb(0x1f2, 1);
	outb(0x1f3, 1);
	outb(0x1f4, 0);
	outb(0x1f5, 0);
	outb(0x1f7, 0x20);
	while ((inb(0x1f7) & 0x88) != 0x08)
		;
	__asm__ volatile("cld; rep insw" : "+D"(to), "+c"(words) : "d"(0x1f0) : "memory");
}

static uint32_t measure(const struct reg *r, uint32_t reads)
{
	uint32_t t0;

	if (r->op == OP_SECTOR || r->op == OP_SECTOR_IRQ)
		outb(0x3f6, r->op == OP_SECTOR ? 2 : 0); /* nIEN */
	if (r->op == OP_ISR)
		outb((uint16_t)r->addr, 0x0b); /* OCW3: reads give ISR from here on */
	t0 = tsc_low();
	switch (r->op) {
	case OP_INB:
	case OP_ISR:
		for (uint32_t i = reads; i; i--)
			inb((uint16_t)r->addr);
		break;
	case OP_INL:
		for (uint32_t i = reads; i; i--)
			inl((uint16_t)r->addr);
		break;
	case OP_READL:
		for (uint32_t i = reads; i; i--)
			readl(r->addr);
		break;
	case OP_LATCH:
		for (uint32_t i = reads; i; i--) {
			outb((uint16_t)(r->addr + 3), 0x00); /* counter latch command, counter 0 */
			inb((uint16_t)r->addr);
			inb((uint16_t)r->addr);
		}
		break;
	case OP_INDEX:
		for (uint32_t i = reads; i; i--) {
			outb((uint16_t)r->addr, 0x00); /* the clock's register 0, seconds */
			inb((uint16_t)(r->addr + 1));
		}
		break;
	case OP_CONFIG:
		for (uint32_t i = reads; i; i--) {
			outl((uint16_t)r->addr, 0x80000000); /* the host bridge's identity */
			inl((uint16_t)(r->addr + 4));
		}
		break;
	case OP_SECTOR:
	case OP_SECTOR_IRQ:
		for (uint32_t i = reads; i; i--)
			read_sector();
		break;
	}
	t0 = tsc_low() - t0;
	if (r->op == OP_ISR)
		outb((uint16_t)r->addr, 0x0a); /* IRR again */
	return t0;
}

static void fail(const char *what, uint32_t before, uint32_t after)
{
	put_text("regbench: FAILED: ");
	put_text(what);
	put_text(" before=");
	put_hex(before);
	put_text(" after=");
	put_hex(after);
	put_text("\n");
	guest_exit(1);
}

static uint32_t pit_latched(void)
{
	uint32_t low;

	outb(0x43, 0x00);
	low = inb(0x40);
	return low | (uint32_t)inb(0x40) << 8;
}

static uint8_t rtc_seconds(void)
{
	outb(0x70, 0x00);
	return inb(0x71);
}

/* Each counter moves and never goes back; the HPET says when a pause was too long to tell. */
static void check_counters(uint32_t reads)
{
	uint32_t hpet = readl(HPET + 0xf0), pm = inl(PM_TIMER) & 0xffffff, pit = pit_latched();
	uint32_t hpet0 = hpet, pm0 = pm, pit0 = pit, toggles = 0, port61 = inb(0x61) & 0x10, checked = 0;
	uint8_t status = inb(0x1f7), seconds = rtc_seconds(), later;

	for (uint32_t i = 0; i < reads; i++) {
		uint32_t hpet1 = readl(HPET + 0xf0), pit1 = pit_latched(), pm1 = inl(PM_TIMER) & 0xffffff;
		uint32_t t = inb(0x61) & 0x10;
		/* All of the last round's and this one's reads lie between these two of a 100 MHz counter. */
		uint32_t gap = readl(HPET + 0xf0) - hpet;

		if ((int32_t)(hpet1 - hpet) < 0)
			fail("HPET counter went back", hpet, hpet1);
		/* 20 ms is a third of the PIT's round of 55 ms; the PM timer's is 4.7 s */
		if (gap < 2000000) {
			if (((pit - pit1) & 0xffff) > 0x8000)
				fail("PIT count went up", pit, pit1);
			if (((pm1 - pm) & 0xffffff) >= 0x800000)
				fail("PM timer went back", pm, pm1);
			checked++;
		}
		if (t != port61)
			toggles++;
		port61 = t;
		if (inb(0x1f7) != status || inb(0x3f6) != status)
			fail("IDE status of an idle disk changed", status, inb(0x1f7));
		hpet = hpet1;
		pm = pm1;
		pit = pit1;
	}
	later = rtc_seconds();
	if (later > 0x59 || (later & 15) > 9) /* BCD */
		fail("the clock's seconds make no sense", seconds, later);
	if (hpet == hpet0)
		fail("HPET counter stands still", hpet0, hpet);
	if (pm == pm0)
		fail("PM timer stands still", pm0, pm);
	if (pit == pit0 && checked)
		fail("PIT count stands still", pit0, pit);
	if (!toggles)
		fail("port 0x61 bit 4 never toggles", port61, port61);
	put_text("regbench: counters ok, IDE status ");
	put_hex(status);
	put_text("\n");
}

/* The sector as it came: by PIO polled, and with interrupts. */
static void check_sector(uint32_t want)
{
	for (int control = 2; control >= 0; control -= 2) {
		uint32_t sum = 0;

		for (uint32_t i = 0; i < 256; i++)
			sector[i] = 0;
		outb(0x3f6, (uint8_t)control);
		read_sector();
		for (uint32_t i = 0; i < 256; i++)
			sum += sector[i];
		if (sum != want)
			fail("the words of sector 1 do not add up", want, sum);
	}
	put_text("regbench: sector ok\n");
}

/* A sector takes as long as hundreds of accesses on a rival that makes an access of each word. */
static uint32_t reads_of(const struct reg *r, uint32_t reads)
{
	return r->op == OP_SECTOR || r->op == OP_SECTOR_IRQ ? (reads + 15) / 16 : reads;
}

static void report(uint32_t i, uint32_t rounds, uint32_t reads)
{
	uint32_t n = reads_of(&regs[i], reads) * op_accesses(regs[i].op);

	for (uint32_t k = 0; k < rounds; k++)
		sorted[k] = cycles[i][k];
	sort(sorted, rounds);
	put_text("regbench: ");
	put_text(regs[i].name);
	put_text(" cycles=");
	put_dec(sorted[rounds / 2] / n);
	put_text(" p10=");
	put_dec(sorted[rounds / 10] / n);
	put_text(" p90=");
	put_dec(sorted[rounds * 9 / 10] / n);
	if (regs[i].floor >= 0) {
		for (uint32_t k = 0; k < rounds; k++) {
			uint32_t base = cycles[regs[i].floor][k] / 1000;

			ratio[k] = base ? cycles[i][k] / base : 0;
		}
		sort(ratio, rounds);
		put_text(" ratio_permille=");
		put_dec(ratio[rounds / 2]);
		put_text(" ratio_p10=");
		put_dec(ratio[rounds / 10]);
		put_text(" ratio_p90=");
		put_dec(ratio[rounds * 9 / 10]);
	}
	put_text("\n");
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	uint32_t rounds, reads, count = NREGS, op = guest_arg(info, "op", NREGS), times = guest_arg(info, "times", 0);

	if (magic != MULTIBOOT_LOADER_MAGIC)
		fail("not started by a multiboot loader", MULTIBOOT_LOADER_MAGIC, magic);
	rounds = guest_arg(info, "rounds", 21);
	reads = guest_arg(info, "reads", 64);
	if (rounds < 1 || rounds > MAX_ROUNDS || reads < 16 || reads > 100000)
		fail("rounds is 1..201, reads 16..100000", rounds, reads);

	outb(0x43, 0x34); /* counter 0: low and high byte, mode 2, binary */
	outb(0x40, 0);
	outb(0x40, 0);
	writel(HPET + 0x10, readl(HPET + 0x10) | 1); /* ENABLE_CNF */
	outb(0x1f6, 0xa0);			     /* device 0 */
	if (op < NREGS) {
		measure(&regs[op], times);
		guest_exit(0);
	}
	check_counters(reads);
	if (guest_arg(info, "sum", 0))
		check_sector(guest_arg(info, "sum", 0));
	outb(0x3c8, 0x5a); /* the palette's write index reads back */
	if (inb(0x3c8) != 0x5a)
		count -= NVGA;

	for (uint32_t k = 0; k < rounds; k++)
		for (uint32_t i = 0; i < count; i++)
			cycles[i][k] = measure(&regs[i], reads_of(&regs[i], reads));
	for (uint32_t i = 0; i < count; i++)
		report(i, rounds, reads);
	put_text("regbench: done\n");
	guest_exit(0);
}
