/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin.c: a guest that does nothing but read one register, which a program may answer without any exit, while timer 0 of the 8254
 * interrupts it through the PIC every 10 ms ([8254] mode 2). Each interrupt must come on time by the HPET's main counter, whatever
 * the register. Command line: ticks=N interrupts for each register (default 20), limit=US how late one may be (default 5000);
 * forever=1: only reads, with interrupts off, until somebody ends it.
 */
#include "trap.h"

#define BASE 0x20 /* vectors of the master */
#define HPET 0xfed00000u
#define HPET_CONFIG (HPET + 0x10)
#define HPET_COUNTER (HPET + 0xf0) /* of 10 ns */
#define RELOAD 11932u		   /* of 1193181.67 Hz: 10.00015 ms */
#define PERIOD 1000015u

static volatile uint32_t ticks, first, last, latest, early, gap; /* the last four in the HPET's periods */

static bool on_interrupt(struct trap_frame *f)
{
	uint32_t now, due;

	if (f->vector != BASE)
		return false;
	now = readl(HPET_COUNTER);
	if (ticks == 0)
		first = now;
	else if (now - last > gap)
		gap = now - last;
	last = now;
	due = first + ticks * PERIOD;
	ticks = ticks + 1;
	if ((int32_t)(now - due) > (int32_t)latest)
		latest = now - due;
	if ((int32_t)(due - now) > (int32_t)early)
		early = due - now;
	outb(0x20, 0x20); /* end of interrupt */
	return true;
}

/* One after the other, so that all of them are one short loop. */
static void read_counter(void)
{
	(void)readl(HPET_COUNTER);
}

static void read_port61(void)
{
	(void)inb(0x61);
}

static void read_ide_alternate_status(void)
{
	(void)inb(0x3f6);
}

static void read_pm_timer(void)
{
	(void)inl(0x608);
}

static void read_pit(void)
{
	(void)inb(0x42);
}

static const struct {
	const char *name;
	void (*read)(void);
} registers[] = {{"the HPET's counter", read_counter}, {"port 0x61", read_port61},
	{"the IDE's alternate status", read_ide_alternate_status}, {"the PM timer", read_pm_timer},
	{"timer 2 of the 8254", read_pit}};

static void spin(unsigned which, uint32_t count, uint32_t limit)
{
	uint32_t reads = 0, start;

	ticks = latest = early = gap = 0;
	outb(0x43, 0x34); /* timer 0, both bytes, mode 2 */
	outb(0x40, RELOAD & 0xff);
	outb(0x40, RELOAD >> 8);
	start = readl(HPET_COUNTER);
	__asm__ volatile("sti" : : : "memory");
	while (ticks < count) {
		registers[which].read();
		/* the time is only looked at now and then, so that this is no second register */
		if (++reads % 65536 == 0 && readl(HPET_COUNTER) - start > (count + 300) * PERIOD)
			break;
	}
	__asm__ volatile("cli" : : : "memory");
	put_text("spin: ");
	put_text(registers[which].name);
	put_text(": ");
	put_dec(reads / count);
	put_text(" reads a tick, at most ");
	put_dec(latest / 100);
	put_text(" us late, ");
	put_dec(early / 100);
	put_text(" us early, at most ");
	put_dec(gap / 100);
	put_text(" us apart\n");
	trap_check("no interrupts came", ticks >= count, ticks);
	trap_check("an interrupt came late", gap <= PERIOD + limit * 100, gap / 100);
	/* those that came while another waited are one, and what comes after them stays behind */
	trap_check("interrupts were lost", latest <= limit * 500, latest / 100);
	trap_check("an interrupt came early", early <= limit * 100, early / 100);
	trap_check("it did not spin", reads > count, reads);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	const uint32_t count = guest_arg(info, "ticks", 20), limit = guest_arg(info, "limit", 5000);

	(void)magic;
	trap_init();
	trap_hook = on_interrupt;
	trap_set_gate(BASE, 0xe, 0);
	writel(HPET_CONFIG, 1);
	if (guest_arg(info, "forever", 0)) {
		put_text("spin: forever\n");
		for (;;)
			read_counter();
	}
	outb(0x20, 0x11);
	outb(0x21, BASE);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0x21, 0xfe); /* all masked but timer 0 */
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		spin(i, count, limit);
	put_text("spin: ok\n");
	guest_exit(0);
}
