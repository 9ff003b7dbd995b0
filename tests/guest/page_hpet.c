/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_hpet.c: the HPET as a guest depends on it, for the page tier: a comparator is set a little ahead of the counter, as Linux
 * does it, and the line it raises is taken from the PIC by polling; meanwhile every read of the counter, on every CPU, is no
 * less than what any CPU has read before. Between two such turns the counter is read as fast as can be.
 *
 * Checked: no step back; never a line before its comparator; no line lost when the reread counter said that it was set in time;
 * what was written reads back; a counter that is stopped stands still. Command line: lines=N reads=N (of the counter, a
 * turn) cpu1=0|1 button=0|1 (goes on behind lines until the power button is pressed). Tells how often each thing was seen,
 * and the words ok, or what was wrong.
 */
#include "guest.h"

#define HPET 0xfed00000u
#define HPET_CONFIG (HPET + 0x10)
#define HPET_COUNTER (HPET + 0xf0)
#define TIMER_CONFIG (HPET + 0x100)
#define TIMER_COMPARATOR (HPET + 0x108)
#define INT_ENB 0x04u
#define IRQ 10u /* of the slave: input 2 */
#define PM_BASE 0x600u
#define PWRBTN_STS 0x0100u
#define LOST 200000000u /* ticks of 10 ns after which a line does not come any more */

static uint64_t latest; /* that any CPU has read */
static uint32_t turns, reads_by_cpu1, is_up;
static uint32_t ahead = 1000; /* ticks that a comparator is set ahead of the counter; more while the host is slow */
static uint32_t passed_in_a_row;
static uint64_t waited, late,
	latest_line; /* ticks: from a comparator's write to its line; from its value to it; the most */

void start_cpu1(void);
void cpu1_main(void);

static void complain(const char *what, uint64_t v, uint64_t other)
{
	put_text("page_hpet: ");
	put_text(what);
	put_text(": ");
	put_hex((uint32_t)(v >> 32));
	put_hex((uint32_t)v);
	put_text(" against ");
	put_hex((uint32_t)(other >> 32));
	put_hex((uint32_t)other);
	put_text("\n");
	guest_exit(1);
}

/* The counter; what it gives is told to the other CPU. */
static uint64_t counter(void)
{
	uint64_t before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST), v = readq(HPET_COUNTER);

	if (v < before)
		complain("a step back", v, before);
	while (before < v &&
		!__atomic_compare_exchange_n(&latest, &before, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return v;
}

void cpu1_main(void)
{
	__atomic_store_n(&is_up, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		counter();
		__atomic_store_n(&reads_by_cpu1, reads_by_cpu1 + 1, __ATOMIC_RELAXED);
	}
}

/* [8259A] initialisation, edge-triggered, all masked but the cascade and IRQ 10. */
static void init_pics(void)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 0x02);
	outb(0xa1, 0x01);
	outb(0x21, 0xfb);
	outb(0xa1, (uint8_t) ~(1u << (IRQ - 8)));
}

/* [8259A] Poll Command: takes the request, as an acknowledge does. */
static bool take_line(void)
{
	outb(0xa0, 0x0c);
	if (!(inb(0xa0) & 0x80))
		return false;
	outb(0xa0, 0x20);
	return true;
}

/* One turn; false: the comparator was passed before it was set, and no line is due. */
static bool turn(uint32_t n)
{
	uint64_t start = counter(), due, now;

	due = start + ahead + n * 37 % 500;
	writeq(TIMER_COMPARATOR, due);
	now = counter();
	if (readq(TIMER_COMPARATOR) != due)
		complain("a comparator that is not what was written", readq(TIMER_COMPARATOR), due);
	if (now >= due) { /* a line may or may not be on its way: far ahead none is, and one that was has come */
		writeq(TIMER_COMPARATOR, due + (1ull << 40));
		while (take_line())
			;
		/* Once may be a page that had stood still; this write has set it right. */
		if (++passed_in_a_row > 1)
			ahead += ahead < 10000000 ? ahead / 4 : 0;
		return false;
	}
	passed_in_a_row = 0;
	ahead -= ahead > 1000 ? ahead / 64 : 0; /* what was slow once does not make all others wait */
	for (;;) {
		bool is_late = counter() > due + LOST;

		if (take_line()) {
			now = counter();
			if (now < due)
				complain("a line before its time", now, due);
			waited += now - start;
			late += now - due;
			latest_line = now - due > latest_line ? now - due : latest_line;
			return true;
		}
		if (is_late)
			complain("a line that does not come", counter(), due);
	}
}

/* It stands still, and goes on from where it stood. */
static void stop_and_start(void)
{
	uint64_t v;

	writel(HPET_CONFIG, 0);
	v = counter();
	for (uint32_t i = 0; i < 20; i++) {
		if (counter() != v)
			complain("a stopped counter moves", counter(), v);
	}
	if (readl(HPET_CONFIG) != 0)
		complain("a configuration that is not what was written", readl(HPET_CONFIG), 0);
	writel(HPET_CONFIG, 1);
}

/* [82371AB] function 3: the power management registers at PM_BASE, enabled. */
static void enable_pm(void)
{
	outl(0xcf8, 0x80000b40);
	outl(0xcfc, PM_BASE | 1);
	outl(0xcf8, 0x80000b80);
	outb(0xcfc, 1);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	uint32_t lines, reads, passed = 0, taken = 0;
	bool has_button;

	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(2);
	lines = guest_arg(info, "lines", 100);
	reads = guest_arg(info, "reads", 100);
	has_button = guest_arg(info, "button", 0);
	if (has_button)
		enable_pm();
	init_pics();
	writel(TIMER_CONFIG, INT_ENB | IRQ << 9);
	writel(HPET_CONFIG, 1);
	if (guest_arg(info, "cpu1", 0)) {
		start_cpu1();
		while (!__atomic_load_n(&is_up, __ATOMIC_SEQ_CST))
			__asm__ volatile("pause");
	}
	for (turns = 0; turns < lines || (has_button && !(inw(PM_BASE) & PWRBTN_STS)); turns++) {
		/* Twice at most: what is read before the first may be a page that has stood still for a while. */
		for (uint32_t i = 0; i < 2; i++) {
			if (turn(turns)) {
				taken++;
				break;
			}
			passed++;
		}
		for (uint32_t i = 0; i < reads; i++)
			counter();
		if (turns % 16 == 0)
			stop_and_start();
	}
	put_text("page_hpet: ");
	put_dec(taken);
	put_text(" lines, ");
	put_dec(passed);
	put_text(" passed before they were set, ");
	put_dec(turns * reads);
	put_text(" reads, and ");
	put_dec(reads_by_cpu1);
	put_text(" by the other CPU; a line came ");
	put_dec(taken ? (uint32_t)(waited / taken / 100) : 0);
	put_text(" us after the write, ");
	put_dec(taken ? (uint32_t)(late / taken / 100) : 0);
	put_text(" us late, at most ");
	put_dec((uint32_t)(latest_line / 100));
	put_text(", set ");
	put_dec(ahead / 100);
	put_text(" us ahead\n");
	if (taken < turns / 4)
		complain("too few lines to say anything", taken, turns);
	put_text("page_hpet: ok\n");
	guest_exit(0);
}
