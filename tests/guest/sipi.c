/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sipi.c: INIT and start-up messages between processors ([SDM3] 8.4 and 10.4.7): nobody runs before it is told to; where a
 * processor starts and with which registers; a start-up message to one that runs does nothing; INIT stops one that runs,
 * sleeps or waits; all at once by the shorthand. The others stay in real mode and interrupts are never used, so it runs on
 * any KVM with local APICs. Command line: cpus=N.
 */
#include "guest.h"

#define LAPIC 0xfee00000u
#define ICR_LOW (LAPIC + 0x300)
#define ICR_HIGH (LAPIC + 0x310)
#define ICR_INIT 0x4500u
#define ICR_INIT_OFF 0x8500u /* level, deasserted */
#define ICR_STARTUP 0x4600u
#define ICR_OTHERS 0xc0000u
#define ICR_PENDING 0x1000u
#define HPET 0xfed00000u
#define HPET_TICKS_PER_MS 100000u
#define PATIENCE (5000 * HPET_TICKS_PER_MS)

#define CODE_A 0x8000u
#define CODE_B 0x9000u
#define BOXES 0x7000u /* the code below has it too */

/* What a processor says of its start; 32 bytes, by its APIC id. */
struct box {
	uint32_t starts;
	uint16_t cs, es;
	uint32_t edx, cr0;
	uint32_t counter;
	uint32_t sleep;	 /* it is to halt */
	uint32_t asleep; /* it is about to */
	uint32_t unused;
};

extern const char ap_begin[], ap_end[];
__asm__(".text\n"
	".code16\n"
	"ap_begin:	cli\n"
	"		movl %edx, %esi\n"
	"		movw %es, %di\n"
	"		xorw %ax, %ax\n"
	"		movw %ax, %ds\n"
	"		movl $1, %eax\n"
	"		cpuid\n"
	"		shrl $24, %ebx\n"
	"		shll $5, %ebx\n"
	"		movw %cs, %ax\n"
	"		movw %ax, 0x7004(%bx)\n"
	"		movw %di, 0x7006(%bx)\n"
	"		movl %esi, 0x7008(%bx)\n"
	"		movl %cr0, %eax\n"
	"		movl %eax, 0x700c(%bx)\n"
	"		movw $0x1234, %ax\n" /* INIT has to put this back */
	"		movw %ax, %es\n"
	"		incl 0x7000(%bx)\n"
	"1:		incl 0x7010(%bx)\n"
	"		cmpl $0, 0x7014(%bx)\n"
	"		je 1b\n"
	"		incl 0x7018(%bx)\n"
	"2:		hlt\n"
	"		jmp 2b\n"
	"ap_end:\n"
	".code32\n");

static volatile struct box *box(uint32_t cpu)
{
	return (volatile struct box *)(BOXES + 32 * cpu);
}

static void want(const char *what, uint32_t cpu, uint32_t is, uint32_t should)
{
	if (is == should)
		return;
	put_text("FAILED: ");
	put_text(what);
	put_text(", CPU ");
	put_dec(cpu);
	put_text(": ");
	put_hex(is);
	put_text(" instead of ");
	put_hex(should);
	put_char('\n');
	guest_exit(1);
}

static uint32_t now(void)
{
	return readl(HPET + 0xf0);
}

static void wait_ms(uint32_t ms)
{
	for (uint32_t from = now(); now() - from < ms * HPET_TICKS_PER_MS;)
		__asm__ volatile("pause");
}

static void send(uint32_t cpu, uint32_t message)
{
	while (readl(ICR_LOW) & ICR_PENDING)
		__asm__ volatile("pause");
	writel(ICR_HIGH, cpu << 24);
	writel(ICR_LOW, message);
}

/* Waits until it has started so often, at most as long as any of these waits. */
static void want_starts(const char *what, uint32_t cpu, uint32_t n)
{
	for (uint32_t from = now(); box(cpu)->starts < n && now() - from < PATIENCE;)
		__asm__ volatile("pause");
	want(what, cpu, box(cpu)->starts, n);
}

static bool is_running(uint32_t cpu)
{
	uint32_t before = box(cpu)->counter;

	for (uint32_t from = now(); now() - from < PATIENCE;) {
		if (box(cpu)->counter != before)
			return true;
	}
	return false;
}

/*
 * It stands still for 60 ms. Until it is told it may count on, and a host with fewer CPUs than the guest has may take it
 * off its CPU for some time slices before and let it go on then, so it is asked again.
 */
static bool has_stopped(uint32_t cpu)
{
	uint32_t before;

	for (uint32_t from = now(); now() - from < PATIENCE;) {
		before = box(cpu)->counter;
		wait_ms(60);
		if (box(cpu)->counter == before)
			return true;
	}
	return false;
}

static uint32_t signature(void)
{
	uint32_t a = 1, b, c, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	return a;
}

/* [SDM3] table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT". */
static void want_state(uint32_t cpu, uint32_t code)
{
	want("CS", cpu, box(cpu)->cs, code >> 4);
	want("ES", cpu, box(cpu)->es, 0);
	want("CR0 without CD and NW", cpu, box(cpu)->cr0 & ~0x60000000u, 0x10);
	want("the family in EDX", cpu, box(cpu)->edx & 0xf00, signature() & 0xf00);
}

static void test_one(uint32_t cpu)
{
	uint32_t n = box(cpu)->starts;

	send(cpu, ICR_INIT);
	send(cpu, ICR_INIT_OFF);
	want("INIT alone starts nobody", cpu, has_stopped(cpu) && box(cpu)->starts == n, 1);
	send(cpu, ICR_STARTUP | CODE_A >> 12);
	want_starts("started", cpu, n + 1);
	want_state(cpu, CODE_A);
	want("it runs", cpu, is_running(cpu), 1);
	send(cpu, ICR_STARTUP | CODE_B >> 12);
	want("it runs on", cpu, is_running(cpu), 1);
	want("a start-up message to one that runs", cpu, box(cpu)->starts, n + 1);
	send(cpu, ICR_INIT);
	want("INIT stops it", cpu, has_stopped(cpu), 1);
	send(cpu, ICR_STARTUP | CODE_B >> 12);
	want_starts("started elsewhere", cpu, n + 2);
	want_state(cpu, CODE_B);
	box(cpu)->sleep = 1;
	for (uint32_t from = now(); !box(cpu)->asleep && now() - from < PATIENCE;)
		__asm__ volatile("pause");
	want("it sleeps", cpu, box(cpu)->asleep && has_stopped(cpu), 1);
	send(cpu, ICR_STARTUP | CODE_A >> 12);
	want("a start-up message to one that sleeps", cpu, has_stopped(cpu) && box(cpu)->starts == n + 2, 1);
	box(cpu)->sleep = 0;
	send(cpu, ICR_INIT);
	send(cpu, ICR_STARTUP | CODE_A >> 12);
	want_starts("started from its sleep", cpu, n + 3);
	want_state(cpu, CODE_A);
	want("it runs again", cpu, is_running(cpu), 1);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	uint32_t cpus = guest_arg(info, "cpus", 2);

	if (magic != MULTIBOOT_LOADER_MAGIC || cpus < 2 || cpus > 8)
		guest_exit(1);
	for (uint32_t i = 0; i < (uint32_t)(ap_end - ap_begin); i++) {
		*(volatile char *)(CODE_A + i) = ap_begin[i];
		*(volatile char *)(CODE_B + i) = ap_begin[i];
	}
	writel(HPET + 0x10, 1);
	wait_ms(20);
	for (uint32_t c = 1; c < cpus; c++)
		want("nobody has started it", c, box(c)->starts, 0);
	/* [SDM3] "Local APIC State After It Has Been Software Disabled", as at power-up: INIT and start-up messages go through. */
	for (uint32_t c = 1; c < cpus; c++)
		test_one(c);
	writel(LAPIC + 0xf0, 0x1ff);
	/* all the others at once, twice */
	for (uint32_t round = 0; round < 2; round++) {
		uint32_t code = round ? CODE_A : CODE_B;

		send(0, ICR_OTHERS | ICR_INIT);
		for (uint32_t c = 1; c < cpus; c++)
			want("INIT to all stops it", c, has_stopped(c), 1);
		send(0, ICR_OTHERS | ICR_STARTUP | code >> 12);
		for (uint32_t c = 1; c < cpus; c++) {
			want_starts("started with all", c, 4 + round);
			want_state(c, code);
		}
	}
	for (uint32_t c = 1; c < cpus; c++)
		want("all run at once", c, is_running(c), 1);
	want("the first CPU is not among the others", 0, box(0)->starts, 0);
	put_text("sipi: ok\n");
	guest_exit(0);
}
