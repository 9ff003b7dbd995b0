/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pic.c: the pair of 8259As as a 32-bit guest meets them ([8259A], ELCR: [82371SB]): every line by edge and by level, masks,
 * nesting, each kind of end of interrupt, rotation, special mask mode, automatic end, poll, withdrawn requests; then the
 * 8254, the clock and the HPET's timers behind it, with and without legacy replacement. Lines are set by --testdev.
 * Runs on the software CPU too.
 */
#include "trap.h"

#define BASE 0x20 /* vectors of the master, then the slave's */
#define EOI 0x20
#define HPET 0xfed00000u
#define HPET_TICKS_PER_MS 100000u
#define RTC_PERIOD_TICKS 97656u /* of 1/1024 s */

static unsigned counts[16], order[32], ordered;
static unsigned lower_after; /* a level-triggered line: the handler lowers it the n-th time */
static bool no_eoi;	     /* the handler leaves the end to the test */

static void line(unsigned n, bool level)
{
	outb((uint16_t)(0x2000 + n), level);
}

static void eoi(unsigned irq)
{
	if (irq >= 8)
		outb(0xa0, EOI);
	outb(0x20, EOI);
}

static void mask(uint32_t bits)
{
	outb(0x21, (uint8_t)bits);
	outb(0xa1, (uint8_t)(bits >> 8));
}

/* All masked but these. */
static void only(uint32_t bits)
{
	if (bits & 0xff00)
		bits |= 1u << 2;
	mask(~bits);
}

static uint32_t get(unsigned ocw3) /* 0x0a: IRR, 0x0b: ISR of both */
{
	uint32_t v;

	outb(0x20, (uint8_t)ocw3);
	outb(0xa0, (uint8_t)ocw3);
	v = inb(0x20);
	return v | (uint32_t)inb(0xa0) << 8;
}

static bool on_interrupt(struct trap_frame *f)
{
	unsigned irq = f->vector - BASE;

	if (irq >= 16)
		return false;
	counts[irq]++;
	if (ordered < 32)
		order[ordered++] = irq;
	if (lower_after && counts[irq] == lower_after)
		line(irq, false);
	if (irq == 8) { /* the clock's flags go with a read, else it stays silent */
		outb(0x70, 0x0c);
		(void)inb(0x71);
	}
	if (!no_eoi)
		eoi(irq);
	return true;
}

static void forget(void)
{
	for (unsigned i = 0; i < 16; i++)
		counts[i] = 0;
	ordered = lower_after = 0;
	no_eoi = false;
}

/* Lets in what waits. Two accesses that leave the guest, so that every CPU looks. */
static void window(void)
{
	__asm__ volatile("sti; nop" : : : "memory");
	for (unsigned i = 0; i < 4; i++)
		(void)inb(0x61);
	__asm__ volatile("cli" : : : "memory");
}

/* ICW1-4: cascaded, edges (the ELCR has the say), 8086 mode. */
static void init_pics(unsigned icw4)
{
	outb(0x20, 0x11);
	outb(0x21, BASE);
	outb(0x21, 4);
	outb(0x21, (uint8_t)icw4);
	outb(0xa0, 0x11);
	outb(0xa1, BASE + 8);
	outb(0xa1, 2);
	outb(0xa1, (uint8_t)icw4);
	mask(0xffff);
	outb(0x4d0, 0);
	outb(0x4d1, 0);
	forget();
}

static void want(const char *what, uint32_t is, uint32_t should)
{
	if (is == should)
		return;
	put_text("FAILED: ");
	put_text(what);
	put_text(": ");
	put_hex(is);
	put_text(" instead of ");
	put_hex(should);
	put_char('\n');
	guest_exit(1);
}

static void expect(const char *what, unsigned irq, unsigned n)
{
	window();
	want(what, irq << 8 | counts[irq], irq << 8 | n);
}

static void want_order(const char *what, unsigned first, unsigned second)
{
	window();
	want(what, ordered << 16 | order[0] << 8 | order[1], 2u << 16 | first << 8 | second);
}

/* ---- each line ---- */

static void test_edges(void)
{
	for (unsigned n = 1; n < 16; n++) {
		if (n == 2 || n == 8) /* the cascade, and the clock's own */
			continue;
		init_pics(1);
		only(1u << n);
		line(n, true);
		expect("an edge", n, 1);
		expect("a line that stays", n, 1);
		line(n, true);
		expect("a line that is raised again", n, 1);
		line(n, false);
		expect("a line that falls", n, 1);
		line(n, true);
		expect("a second edge", n, 2);
		line(n, false);
		/* an edge is kept while masked, as long as its line stays */
		mask(0xffff);
		line(n, true);
		expect("an edge while masked", n, 2);
		want("is requested", get(0x0a) >> n & 1, 1);
		only(1u << n);
		expect("and unmasked", n, 3);
		mask(0xffff);
		line(n, false);
		line(n, true);
		line(n, false);
		want("an edge that is withdrawn", get(0x0a) >> n & 1, 0);
		only(1u << n);
		expect("does not come", n, 3);
		want("nothing in service", get(0x0b), 0);
	}
}

static void test_levels(void)
{
	for (unsigned n = 1; n < 16; n++) {
		if (n == 2 || n == 8)
			continue;
		init_pics(1);
		outb((uint16_t)(0x4d0 + n / 8), (uint8_t)(1u << n % 8));
		if (n == 1 || n == 13) { /* these are edge-triggered for good */
			want("ELCR", inb((uint16_t)(0x4d0 + n / 8)), 0);
			continue;
		}
		want("ELCR", inb((uint16_t)(0x4d0 + n / 8)), 1u << n % 8);
		only(1u << n);
		lower_after = 4;
		line(n, true);
		expect("a level that stays for four", n, 4);
		want("is no request any more", get(0x0a) >> n & 1, 0);
		forget();
		mask(0xffff);
		line(n, true);
		expect("a level while masked", n, 0);
		line(n, false);
		only(1u << n);
		expect("a level that went", n, 0);
		lower_after = 1;
		line(n, true);
		expect("a level again", n, 1);
	}
}

/* ---- priorities and ends ---- */

static void test_nesting(void)
{
	init_pics(1);
	only(1u << 3 | 1u << 5 | 1u << 6 | 1u << 10);
	no_eoi = true;
	line(5, true);
	expect("5", 5, 1);
	want("5 in service", get(0x0b), 1u << 5);
	line(6, true);
	expect("6 waits for 5", 6, 0);
	line(10, true);
	expect("10, by input 2, is above 5", 10, 1);
	want("5, 2 and 10 in service", get(0x0b), 1u << 5 | 1u << 2 | 1u << 10);
	line(3, true);
	expect("3 waits for 2", 3, 0);
	outb(0xa0, EOI);
	want("the slave's end", get(0x0b), 1u << 5 | 1u << 2);
	outb(0x20, EOI); /* the highest: 2 */
	want("the master's end", get(0x0b), 1u << 5);
	expect("3 comes", 3, 1);
	outb(0x20, 0x60 | 5); /* specific */
	want("a specific end", get(0x0b), 1u << 3);
	expect("6 waits for 3", 6, 0);
	outb(0x20, EOI);
	expect("6 comes", 6, 1);
	outb(0x20, EOI);
	want("nothing in service", get(0x0b), 0);
	for (unsigned n = 3; n < 11; n++)
		line(n, false);
}

static void test_rotation(void)
{
	init_pics(1);
	only(1u << 5 | 1u << 6);
	no_eoi = true;
	line(5, true);
	expect("5", 5, 1);
	outb(0x20, 0xa0); /* end, and 5 becomes the lowest */
	line(5, false);
	mask(0xffff);
	forget();
	line(5, true);
	line(6, true);
	only(1u << 5 | 1u << 6);
	want_order("6 before 5 after rotation", 6, 5);
	line(5, false);
	line(6, false);
	outb(0x20, 0xc0 | 7); /* 7 is the lowest again */
	mask(0xffff);
	forget();
	line(6, true);
	line(5, true);
	only(1u << 5 | 1u << 6);
	want_order("5 before 6", 5, 6);
	line(5, false);
	line(6, false);
}

static void test_modes(void)
{
	/* automatic end: nothing is ever in service */
	init_pics(3);
	only(1u << 5 | 1u << 6);
	no_eoi = true;
	line(5, true);
	expect("5 with automatic end", 5, 1);
	want("nothing in service", get(0x0b), 0);
	line(6, true);
	expect("6 at once", 6, 1);
	line(5, false);
	line(6, false);
	/* special mask mode: what is masked while in service lets lower ones through */
	init_pics(1);
	only(1u << 3 | 1u << 5);
	no_eoi = true;
	line(3, true);
	expect("3", 3, 1);
	line(5, true);
	expect("5 waits", 5, 0);
	only(1u << 5);
	expect("5 waits, though 3 is masked", 5, 0);
	outb(0x20, 0x68);
	expect("5 in special mask mode", 5, 1);
	outb(0x20, 0x48);
	outb(0x20, 0x60 | 3);
	outb(0x20, 0x60 | 5);
	want("nothing in service", get(0x0b), 0);
	line(3, false);
	line(5, false);
	/* poll: the read is the acknowledge */
	init_pics(1);
	only(1u << 5);
	outb(0x20, 0x0c);
	want("a poll of nothing", inb(0x20) & 0x80, 0);
	line(5, true);
	outb(0x20, 0x0c);
	want("a poll", inb(0x20) & 0x87, 0x85);
	want("5 in service by poll", get(0x0b), 1u << 5);
	outb(0x20, EOI);
	expect("polled, so no interrupt", 5, 0);
	line(5, false);
}

/* ---- the timers behind it ---- */

static uint32_t now(void)
{
	return readl(HPET + 0xf0);
}

/* With interrupts on until it has come so often, at most half a second. */
static void wait_until(unsigned irq, unsigned n)
{
	uint32_t from = now();

	while (counts[irq] < n && now() - from < 500 * HPET_TICKS_PER_MS)
		window();
}

static void wait_for(const char *what, unsigned irq, unsigned n)
{
	wait_until(irq, n);
	want(what, irq << 8 | counts[irq], irq << 8 | n);
}

/* In a millisecond of the counter, which stands still meanwhile, so that it cannot have passed. */
static void hpet_timer(unsigned n, uint32_t config)
{
	uint32_t general = readl(HPET + 0x10);

	writel(HPET + 0x10, general & ~1u);
	writel(HPET + 0x100 + 0x20 * n, 0x100 | config);
	writel(HPET + 0x108 + 0x20 * n, now() + HPET_TICKS_PER_MS);
	writel(HPET + 0x10, general);
}

static void one_shot_8254(void)
{
	outb(0x43, 0x30);
	outb(0x40, 0);
	outb(0x40, 8); /* 2048 clocks, 1.7 ms */
}

static void test_timers(void)
{
	uint32_t from;

	init_pics(1);
	writel(HPET + 0x10, 1);
	only(1u << 0);
	forget();
	one_shot_8254();
	wait_for("the 8254", 0, 1);
	only(1u << 8);
	forget();
	outb(0x70, 0x0a); /* 1024 times a second */
	outb(0x71, 0x26);
	outb(0x70, 0x0b);
	from = now();
	outb(0x71, 0x42);
	outb(0x70, 0x0c);
	(void)inb(0x71);
	/* Two may come in one window, when the first is late; but no more than one a period, and one that had been due before. */
	wait_until(8, 8);
	want("the clock's periodic interrupt", counts[8] < 8 ? counts[8] : 8, 8);
	want("more of them than periods", counts[8] > (now() - from) / RTC_PERIOD_TICKS + 2, 0);
	outb(0x70, 0x0b);
	outb(0x71, 0x02);
	outb(0x70, 0x0c);
	(void)inb(0x71);
	/* the HPET without legacy replacement: inputs 10 and 11, by edge and by level */
	for (unsigned irq = 10; irq < 12; irq++) {
		init_pics(1);
		only(1u << irq);
		hpet_timer(0, 4 | irq << 9);
		wait_for("the HPET by edge", irq, 1);
		outb(0x4d1, (uint8_t)(1u << (irq - 8)));
		no_eoi = true;
		hpet_timer(0, 2 | 4 | irq << 9);
		wait_for("the HPET by level", irq, 2);
		want("its status", readl(HPET + 0x20) & 1, 1);
		writel(HPET + 0x20, 1);
		want("its status cleared", readl(HPET + 0x20) & 1, 0);
		eoi(irq);
		expect("no more of it", irq, 2);
		writel(HPET + 0x100, 0);
	}
	/* with it: timer 0 is IRQ 0 and timer 1 IRQ 8, the 8254 and the clock's periodic interrupt are cut off */
	init_pics(1);
	only(1u << 0 | 1u << 8);
	writel(HPET + 0x10, 3);
	forget();
	hpet_timer(0, 4);
	wait_for("legacy replacement, timer 0", 0, 1);
	hpet_timer(1, 4);
	wait_for("legacy replacement, timer 1", 8, 1);
	one_shot_8254();
	for (from = now(); now() - from < 4 * HPET_TICKS_PER_MS;)
		window();
	want("legacy replacement, the 8254", counts[0], 1);
	writel(HPET + 0x100, 0);
	writel(HPET + 0x120, 0);
	writel(HPET + 0x10, 1);
	one_shot_8254();
	wait_for("the 8254 again", 0, 2);
	mask(0xffff);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	(void)info;
	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(1);
	trap_init();
	trap_hook = on_interrupt;
	test_edges();
	test_levels();
	test_nesting();
	test_rotation();
	test_modes();
	test_timers();
	put_text("pic: ok\n");
	guest_exit(0);
}
