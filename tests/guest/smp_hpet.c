/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smp_hpet.c: two CPUs on one HPET. CPU 1 stops the main counter, gives it another value by one
 * 64-bit write, and starts it, epoch after epoch; CPU 0 reads it all the while by 64 and 32 bits.
 *
 * Epochs have values far apart, and the counter begins every other one shortly before its low half
 * wraps, so a value put together from two halves lies outside every window. Within an epoch the
 * counter never goes back. Command line: epochs=N reads=N (reads an epoch lasts at least).
 */
#include "guest.h"

#define HPET 0xfed00000u
#define HPET_CONFIG (HPET + 0x10)
#define HPET_COUNTER (HPET + 0xf0)
#define WINDOW (1ull << 31) /* ticks that an epoch may last: more than 20 s */

/* Even: the counter runs in epoch `phase` / 2. Odd: it is being changed to the next one's value. */
static uint32_t phase;
static uint32_t reads_done;
static uint32_t reads_per_epoch, epochs;

void start_cpu1(void);
void cpu1_main(void);

static uint32_t get(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void set(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

static uint64_t epoch_value(uint32_t epoch)
{
	return (uint64_t)(epoch * 16 + 16) << 32 | (epoch & 1 ? 0xffffff00u : 0x10000000u);
}

static bool in_epoch(uint64_t v, uint32_t epoch)
{
	return v - epoch_value(epoch) < WINDOW;
}

/* CPU 0 before the first epoch, then CPU 1. */
static void program_counter(uint32_t epoch)
{
	writel(HPET_CONFIG, 0);
	writeq(HPET_COUNTER, epoch_value(epoch));
	writel(HPET_CONFIG, 1);
}

void cpu1_main(void)
{
	for (uint32_t epoch = 1; epoch <= epochs; epoch++) {
		uint32_t from = get(&reads_done);

		while (get(&reads_done) - from < reads_per_epoch)
			__asm__ volatile("pause");
		set(&phase, epoch * 2 - 1);
		program_counter(epoch);
		set(&phase, epoch * 2);
	}
	for (;;)
		__asm__ volatile("hlt");
}

static void complain(const char *what, uint32_t at, uint64_t v, uint64_t before)
{
	put_text("smp_hpet: ");
	put_text(what);
	put_text(" in phase ");
	put_dec(at);
	put_text(": ");
	put_hex((uint32_t)(v >> 32));
	put_hex((uint32_t)v);
	put_text(" after ");
	put_hex((uint32_t)(before >> 32));
	put_hex((uint32_t)before);
	put_text("\n");
	guest_exit(1);
}

/* High, low, high until both highs agree, as 32-bit software does. */
static uint64_t read_halves(void)
{
	for (;;) {
		uint32_t high = readl(HPET_COUNTER + 4);
		uint32_t low = readl(HPET_COUNTER);

		if (readl(HPET_COUNTER + 4) == high)
			return (uint64_t)high << 32 | low;
	}
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	uint32_t now, last_phase = 0, whole = 0, halves = 0, during = 0;
	uint64_t v, last;

	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(2);
	epochs = guest_arg(info, "epochs", 100);
	reads_per_epoch = guest_arg(info, "reads", 20);
	program_counter(0);
	last = epoch_value(0);
	start_cpu1();
	for (now = 0; now < epochs * 2; now = get(&phase)) {
		bool is_whole = get(&reads_done) & 1;
		uint32_t after;

		v = is_whole ? readq(HPET_COUNTER) : read_halves();
		set(&reads_done, get(&reads_done) + 1);
		after = get(&phase);
		if (now != last_phase) {
			last_phase = now;
			last = 0;
		}
		if (now == after && !(now & 1)) { /* nobody touched it meanwhile */
			if (!in_epoch(v, now / 2))
				complain("a value of no epoch", now, v, last);
			if (v < last)
				complain("a step back", now, v, last);
			last = v;
			*(is_whole ? &whole : &halves) += 1;
		} else if (is_whole) { /* at most one change on the way, or the reader was asleep */
			uint32_t e = now / 2;

			while (!in_epoch(v, e) && e <= after / 2 + 1)
				e++;
			if (e > after / 2 + 1)
				complain("a torn value", now, v, last);
			during++;
		}
	}
	put_text("smp_hpet: ");
	put_dec(epochs);
	put_text(" epochs, ");
	put_dec(whole);
	put_text(" whole reads, ");
	put_dec(halves);
	put_text(" reads by halves, ");
	put_dec(during);
	put_text(" during a change\n");
	if (whole < epochs || halves < epochs)
		complain("too few reads to say anything", now, whole, halves);
	put_text("smp_hpet: ok\n");
	guest_exit(0);
}
