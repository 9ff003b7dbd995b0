/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fabric.c: the interrupt fabric as a 64-bit guest meets it: the I/O APIC's inputs by edge and level, masked, ended, sent to
 * each CPU and to several; the PIC by LVT0; the timers' routes and messages; all CPUs at once. Lines are set through the test device
 * (--testdev). Runs twice, with a reset by 0xcf9 in between, and ends with 0 when all was as [82093AA] and [SDM3] have it.
 * Command line: cpus=N rounds=N; early=1 for a KVM that says a level-triggered interrupt has ended when it begins, so that
 * it may come again while the handler runs: then there may be more of them than there should.
 */
#include "guest.h"

#define LAPIC 0xfee00000u
#define LAPIC_ID (LAPIC + 0x20)
#define LAPIC_EOI (LAPIC + 0xb0)
#define LAPIC_LDR (LAPIC + 0xd0)
#define LAPIC_DFR (LAPIC + 0xe0)
#define LAPIC_SVR (LAPIC + 0xf0)
#define LAPIC_LVT0 (LAPIC + 0x350)
#define LVT_MASKED 0x10000u
#define LVT_EXTINT 0x700u

#define IOAPIC 0xfec00000u
#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u
#define LOGICAL 0x800u
#define LOWEST 0x100u
#define NMI 0x400u
#define EXTINT 0x700u

#define HPET 0xfed00000u
#define HPET_TICKS_PER_MS 100000u

#define MAX_CPUS 8
#define BASE_VECTOR 0x30 /* 16 of them: for lines, and for each CPU's own */
#define CPU_VECTOR 0x38
#define PIC_VECTOR 0x20
#define CMOS_PASS 0x50

struct frame;

void start_cpus(void);
void cpu1_main(void);

static volatile uint32_t counts[256][MAX_CPUS];
static volatile uint32_t online;      /* CPUs that have said so, a bit for each */
static volatile uint32_t go, done;    /* of the round that all CPUs take part in */
static volatile uint32_t lower_after; /* a level-triggered line: the handler lowers it the n-th time */
static volatile uint32_t line_of_vector[256], irr_in_handler;
static volatile bool is_watching; /* the handler looks at the entry */
static uint32_t cpus, rounds, ends_early;

/* ---- the chips ---- */

static uint32_t io_get(uint32_t reg)
{
	writel(IOAPIC, reg);
	return readl(IOAPIC + 0x10);
}

static void io_set(uint32_t reg, uint32_t v)
{
	writel(IOAPIC, reg);
	writel(IOAPIC + 0x10, v);
}

static void entry(uint32_t pin, uint32_t low, uint32_t dest)
{
	io_set(0x10 + 2 * pin, MASKED);
	io_set(0x11 + 2 * pin, dest << 24);
	io_set(0x10 + 2 * pin, low);
}

static void line(uint32_t n, bool level)
{
	outb((uint16_t)(0x2000 + n), level);
}

static uint32_t my_id(void)
{
	return readl(LAPIC_ID) >> 24;
}

static void complain(const char *what, uint32_t a, uint32_t b)
{
	put_text("fabric: ");
	put_text(what);
	put_text(": ");
	put_hex(a);
	put_text(" ");
	put_hex(b);
	put_text("\n");
	guest_exit(1);
}

static void want(const char *what, uint32_t is, uint32_t should)
{
	if (is != should)
		complain(what, is, should);
}

/* ---- interrupts ---- */

static uint32_t total(uint32_t vector)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < MAX_CPUS; i++)
		sum += counts[vector][i];
	return sum;
}

static void forget(void)
{
	for (uint32_t v = 0; v < 256; v++) {
		for (uint32_t i = 0; i < MAX_CPUS; i++)
			counts[v][i] = 0;
	}
	irr_in_handler = 0;
}

static void handle(uint32_t vector)
{
	uint32_t cpu = my_id(), n = line_of_vector[vector];

	counts[vector][cpu]++;
	if (is_watching) {
		uint32_t select = readl(IOAPIC);

		irr_in_handler |= io_get(0x10 + 2 * n) & REMOTE_IRR;
		writel(IOAPIC, select);
	}
	if (lower_after && counts[vector][cpu] >= lower_after)
		line(n, false);
	writel(LAPIC_EOI, 0);
}

#define HANDLER(n)                                                                                                     \
	__attribute__((interrupt)) static void on_##n(struct frame *f)                                                 \
	{                                                                                                              \
		(void)f;                                                                                               \
		handle(BASE_VECTOR + n);                                                                               \
	}
HANDLER(0)
HANDLER(1)
HANDLER(2)
HANDLER(3)
HANDLER(4)
HANDLER(5)
HANDLER(6)
HANDLER(7)
HANDLER(8)
HANDLER(9)
HANDLER(10)
HANDLER(11)
HANDLER(12)
HANDLER(13)
HANDLER(14)
HANDLER(15)

__attribute__((interrupt)) static void on_nmi(struct frame *f)
{
	(void)f;
	counts[2][my_id()]++;
}

/* IRQ 5 of the PIC: no local APIC has it in service. */
__attribute__((interrupt)) static void on_pic(struct frame *f)
{
	(void)f;
	counts[PIC_VECTOR + 5][my_id()]++;
	outb(0x20, 0x20);
}

/* HPET timer 0 by level: its status is cleared. */
__attribute__((interrupt)) static void on_hpet(struct frame *f)
{
	(void)f;
	counts[0x50][my_id()]++;
	writel(HPET + 0x20, 1);
	writel(LAPIC_EOI, 0);
}

struct gate {
	uint16_t offset_low, selector;
	uint16_t type, offset_middle;
	uint32_t offset_high, zero;
};

static struct gate idt[256];

static void gate(uint32_t vector, void (*handler)(struct frame *f))
{
	uint64_t at = (uint64_t)handler;

	idt[vector] = (struct gate){(uint16_t)at, 0x08, 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
}

static void init_idt(void)
{
	static void (*const lines[16])(struct frame * f) = {
		on_0, on_1, on_2, on_3, on_4, on_5, on_6, on_7, on_8, on_9, on_10, on_11, on_12, on_13, on_14, on_15};

	for (uint32_t i = 0; i < 16; i++)
		gate(BASE_VECTOR + i, lines[i]);
	gate(2, on_nmi);
	gate(PIC_VECTOR + 5, on_pic);
	gate(0x50, on_hpet);
}

static void init_cpu(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint64_t)idt};

	__asm__ volatile("lidt %0" : : "m"(pointer));
	writel(LAPIC_SVR, 0x1ff);
	writel(LAPIC_DFR, 0xffffffff); /* flat */
	writel(LAPIC_LDR, 1u << (24 + my_id()));
	writel(LAPIC_LVT0, LVT_MASKED | LVT_EXTINT);
}

/* ---- waiting ---- */

static uint32_t now(void)
{
	return readl(HPET + 0xf0);
}

static void wait_ms(uint32_t ms)
{
	uint32_t from = now();

	while (now() - from < ms * HPET_TICKS_PER_MS)
		__asm__ volatile("pause");
}

/* How often a level-triggered interrupt has come. */
static void want_levels(const char *what, uint32_t is, uint32_t should)
{
	if (!ends_early || is < should)
		want(what, is, should);
}

/* Until the interrupt has come so often, and a moment longer in which it must not come again. */
static void expect(const char *what, uint32_t vector, uint32_t n)
{
	uint32_t from = now();

	while (total(vector) < n && now() - from < 10000 * HPET_TICKS_PER_MS)
		__asm__ volatile("pause");
	wait_ms(2);
	if (line_of_vector[vector] && n)
		want_levels(what, total(vector), n);
	else
		want(what, total(vector), n);
}

/* ---- the tests ---- */

static void test_reset_values(void)
{
	want("version", io_get(1), 0x00170011);
	want("id", io_get(0), 0);
	for (uint32_t pin = 0; pin < 24; pin++) {
		want("an entry's low half", io_get(0x10 + 2 * pin), MASKED);
		want("an entry's high half", io_get(0x11 + 2 * pin), 0);
	}
	want("CPUs that nobody has started", online, 0);
}

static void test_start(void)
{
	uint32_t from = now();

	start_cpus();
	while (online != (1u << cpus) - 2 && now() - from < 20000 * HPET_TICKS_PER_MS)
		__asm__ volatile("pause");
	want("CPUs started", online, (1u << cpus) - 2);
}

static void test_edge(void)
{
	forget();
	lower_after = 0;
	entry(14, 0x31, 0);
	line(14, true);
	expect("an edge", 0x31, 1);
	line(14, true);
	expect("a line that stays", 0x31, 1);
	line(14, false);
	line(14, true);
	expect("a second edge", 0x31, 2);
	line(14, false);
	entry(14, 0x31 | MASKED, 0);
	line(14, true);
	entry(14, 0x31, 0);
	expect("an edge while masked", 0x31, 2);
	line(14, false);
	want("remote IRR of an edge", io_get(0x10 + 28) & REMOTE_IRR, 0);
	entry(14, MASKED, 0);
}

static void test_level(void)
{
	forget();
	line_of_vector[0x32] = 20;
	lower_after = 1;
	is_watching = true;
	entry(20, 0x32 | LEVEL, 0);
	line(20, true);
	expect("a level", 0x32, 1);
	want_levels("remote IRR in the handler", irr_in_handler, REMOTE_IRR);
	want("remote IRR afterwards", io_get(0x10 + 40), 0x32 | LEVEL);
	forget();
	lower_after = 5;
	line(20, true);
	expect("a level that stays for five", 0x32, 5);
	/* raised while masked, then unmasked */
	forget();
	lower_after = 1;
	io_set(0x10 + 40, 0x32 | LEVEL | MASKED);
	line(20, true);
	expect("a level while masked", 0x32, 0);
	io_set(0x10 + 40, 0x32 | LEVEL);
	expect("a level unmasked", 0x32, 1);
	/* the CPU does not take it yet: on its way once, however the line moves */
	forget();
	__asm__ volatile("cli");
	line(20, true);
	line(20, false);
	line(20, true);
	want("remote IRR on the way", io_get(0x10 + 40) & REMOTE_IRR, REMOTE_IRR);
	__asm__ volatile("sti");
	expect("a level that moved", 0x32, 1);
	want("remote IRR at the end", io_get(0x10 + 40), 0x32 | LEVEL);
	is_watching = false;
	lower_after = 0;
	entry(20, MASKED, 0);
}

/* Every CPU by its id, by its logical bit, one of several, all at once. */
static void test_destinations(void)
{
	uint32_t all = (1u << cpus) - 1, before;

	for (uint32_t i = 0; i < cpus; i++) {
		forget();
		entry(15, 0x33, i);
		line(15, true);
		expect("physical", 0x33, 1);
		want("physical, at the right CPU", counts[0x33][i], 1);
		line(15, false);
		entry(15, 0x34 | LOGICAL, 1u << i);
		line(15, true);
		expect("logical", 0x34, 1);
		want("logical, at the right CPU", counts[0x34][i], 1);
		line(15, false);
	}
	forget();
	entry(15, 0x35 | LOGICAL | LOWEST, all);
	for (uint32_t i = 1; i <= 4; i++) {
		line(15, true);
		expect("lowest priority: one of them", 0x35, i);
		line(15, false);
	}
	entry(15, 0x36 | LOGICAL, all);
	line(15, true);
	expect("fixed to all", 0x36, cpus);
	for (uint32_t i = 0; i < cpus; i++)
		want("fixed to all, once each", counts[0x36][i], 1);
	line(15, false);
	/* a level for several: the first EOI ends it as far as the I/O APIC knows */
	before = total(0x37);
	line_of_vector[0x37] = 15;
	entry(15, 0x37 | LOGICAL | LEVEL, all);
	lower_after = 1;
	line(15, true);
	for (uint32_t from = now(); total(0x37) - before < cpus && now() - from < 10000 * HPET_TICKS_PER_MS;)
		__asm__ volatile("pause");
	if (total(0x37) - before < cpus)
		complain("a level to all", total(0x37) - before, cpus);
	wait_ms(20);
	want("a level to all, remote IRR", io_get(0x10 + 30) & REMOTE_IRR, 0);
	lower_after = 0;
	entry(15, 1, 0);
	entry(15, MASKED, 0);
}

static void test_nmi(void)
{
	forget();
	entry(13, NMI, 0);
	__asm__ volatile("cli");
	line(13, true);
	expect("NMI", 2, 1);
	__asm__ volatile("sti");
	line(13, false);
	entry(13, MASKED, 0);
}

/*
 * IRQ 5 once, and who got it: at the CPU that entry 0 names, no local APIC has it in service.
 * [82093AA] 3.2.4; [MP] 3.6.2.2: virtual wire mode by the I/O APIC, with LVT0 masked.
 */
static void extint_once(const char *what, uint32_t cpu, uint32_t should)
{
	forget();
	line(5, true);
	expect(what, PIC_VECTOR + 5, should);
	want(what, counts[PIC_VECTOR + 5][cpu], should);
	line(5, false);
}

static void test_extint(void)
{
	entry(0, EXTINT | MASKED, 0);
	extint_once("ExtINT, masked", 0, 0);
	entry(0, EXTINT | LEVEL, 0);
	extint_once("ExtINT by level", 0, 0);
	entry(0, EXTINT, 0);
	extint_once("ExtINT", 0, 1);
	extint_once("ExtINT again", 0, 1);
	/* while interrupts are off it waits, and so does HLT's end for it */
	forget();
	__asm__ volatile("cli");
	line(5, true);
	wait_ms(3);
	want("ExtINT while interrupts are off", total(PIC_VECTOR + 5), 0);
	__asm__ volatile("sti");
	expect("ExtINT when interrupts are on", PIC_VECTOR + 5, 1);
	line(5, false);
	forget();
	__asm__ volatile("cli");
	line(5, true);
	__asm__ volatile("sti; hlt");
	want("ExtINT ends HLT", counts[PIC_VECTOR + 5][0], 1);
	line(5, false);
	if (cpus > 1) {
		entry(0, EXTINT, 1);
		extint_once("ExtINT at CPU 1", 1, 1);
	}
	entry(0, MASKED, 0);
	extint_once("ExtINT no more", 0, 0);
}

static void test_pic(void)
{
	static const uint8_t icw[2][4] = {{0x11, PIC_VECTOR, 0x04, 0x01}, {0x11, PIC_VECTOR + 8, 0x02, 0x01}};

	forget();
	for (uint32_t c = 0; c < 2; c++) {
		for (uint32_t i = 0; i < 4; i++)
			outb((uint16_t)((c ? 0xa0 : 0x20) + (i > 0)), icw[c][i]);
		outb(c ? 0xa1 : 0x21, c ? 0xff : 0xdf);
	}
	line(5, true);
	expect("the PIC with LVT0 masked", PIC_VECTOR + 5, 0);
	writel(LAPIC_LVT0, LVT_EXTINT);
	expect("virtual wire", PIC_VECTOR + 5, 1);
	line(5, false);
	line(5, true);
	expect("virtual wire again", PIC_VECTOR + 5, 2);
	want("at CPU 0", counts[PIC_VECTOR + 5][0], 2);
	line(5, false);
	/* both controllers at once, as the lines go */
	entry(5, 0x31, 0);
	line(5, true);
	expect("PIC and I/O APIC: PIC", PIC_VECTOR + 5, 3);
	expect("PIC and I/O APIC: I/O APIC", 0x31, 1);
	line(5, false);
	entry(5, MASKED, 0);
	writel(LAPIC_LVT0, LVT_MASKED | LVT_EXTINT);
	test_extint();
	outb(0x21, 0xff);
}

/* In a millisecond of the counter, which stands still meanwhile, so that it cannot have passed. */
static void hpet_timer(uint32_t n, uint32_t config)
{
	uint32_t general = readl(HPET + 0x10);

	writel(HPET + 0x10, general & ~1u);
	writel(HPET + 0x100 + 0x20 * n, 0x100 | config); /* compare 32 bits */
	writel(HPET + 0x108 + 0x20 * n, now() + HPET_TICKS_PER_MS);
	writel(HPET + 0x10, general);
}

static void test_timers(void)
{
	uint32_t routes = readl(HPET + 0x104);

	forget();
	lower_after = 0;
	entry(2, 0x30, 0);
	outb(0x43, 0x30);
	outb(0x40, 0);
	outb(0x40, 4);
	expect("the 8254 at input 2", 0x30, 1);
	want("HPET's routes to the I/O APIC", routes & 0xff0000, 0xff0000);
	entry(17, 0x31, 0);
	hpet_timer(0, 4 | 17u << 9);
	expect("HPET by edge", 0x31, 1);
	entry(23, 0x50 | LEVEL, 0);
	hpet_timer(0, 4 | 2 | 23u << 9);
	expect("HPET by level", 0x50, 1);
	writel(HPET + 0x100, 0);
	/* by message, to each CPU, whatever the I/O APIC has */
	for (uint32_t i = 0; i < cpus; i++) {
		writel(HPET + 0x150, 0x33 + i % 2);
		writel(HPET + 0x154, 0xfee00000u | i << 12);
		hpet_timer(2, 4 | 0x4000);
		expect("HPET by message", 0x33 + i % 2, i / 2 + 1);
		want("HPET by message, at the right CPU", counts[0x33 + i % 2][i], 1);
	}
	writel(HPET + 0x140, 0);
	/* legacy replacement: timer 0 is at input 2, timer 1 at input 8, and the 8254 at none */
	entry(8, 0x32, 0);
	writel(HPET + 0x10, 3);
	hpet_timer(0, 4);
	hpet_timer(1, 4);
	expect("legacy replacement, timer 0", 0x30, 2);
	expect("legacy replacement, timer 1", 0x32, 1);
	outb(0x43, 0x30);
	outb(0x40, 0);
	outb(0x40, 4);
	wait_ms(5);
	want("legacy replacement, the 8254", total(0x30), 2);
	writel(HPET + 0x100, 0);
	writel(HPET + 0x120, 0);
	writel(HPET + 0x10, 1);
	for (uint32_t pin = 0; pin < 24; pin++)
		entry(pin, MASKED, 0);
}

/* Each CPU raises its own level-triggered line, sleeps until its handler has lowered it, again and again. */
static void take_part(void)
{
	uint32_t id = my_id(), vector = CPU_VECTOR + id;

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t before = counts[vector][id];

		line(16 + id, true);
		for (;;) {
			__asm__ volatile("cli");
			if (counts[vector][id] != before)
				break;
			__asm__ volatile("sti; hlt");
		}
		__asm__ volatile("sti");
	}
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

static void test_all(void)
{
	uint32_t from = now();

	forget();
	done = 0;
	lower_after = 1;
	for (uint32_t i = 0; i < cpus; i++) {
		line_of_vector[CPU_VECTOR + i] = 16 + i;
		entry(16 + i, (CPU_VECTOR + i) | LEVEL, i);
	}
	go = 1;
	take_part();
	while (done < cpus && now() - from < 60000 * HPET_TICKS_PER_MS)
		__asm__ volatile("pause");
	want("CPUs that have done their rounds", done, cpus);
	for (uint32_t i = 0; i < cpus; i++)
		want_levels("interrupts of a CPU's own", counts[CPU_VECTOR + i][i], rounds);
	lower_after = 0;
}

void cpu1_main(void)
{
	uint32_t taken = 0;

	init_cpu();
	__atomic_or_fetch(&online, 1u << my_id(), __ATOMIC_SEQ_CST);
	__asm__ volatile("sti");
	for (;;) {
		if (taken != go) {
			taken = go;
			take_part();
		}
		__asm__ volatile("pause");
	}
}

static uint8_t cmos(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(2);
	cpus = guest_arg(info, "cpus", 2);
	rounds = guest_arg(info, "rounds", 100);
	ends_early = guest_arg(info, "early", 0);
	writel(HPET + 0x10, 1);
	test_reset_values();
	init_idt();
	init_cpu();
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	test_start();
	__asm__ volatile("sti");
	test_edge();
	test_level();
	test_destinations();
	test_nmi();
	test_pic();
	test_timers();
	test_all();
	put_text("fabric: pass\n");
	if (cmos(CMOS_PASS) == 0) {
		outb(0x70, CMOS_PASS);
		outb(0x71, 1);
		outb(0xcf9, 6);
		for (;;)
			__asm__ volatile("hlt");
	}
	put_text("fabric: ok\n");
	guest_exit(0);
}
