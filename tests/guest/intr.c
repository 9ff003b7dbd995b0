/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * intr.c: INT n and exceptions in protected mode without paging: which vector, which error code, where the saved EIP
 * points, what the gate does to IF, the checks of gates and segments, and the stack switch from ring 3 ([SDM3] chapter 6).
 * In each ring it also reads a port that a program answers.
 */
#include "trap.h"

enum { DE = 0, DB = 1, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, NP = 11, SS = 12, GP = 13 };

static uint8_t user_stack[4096] __attribute__((aligned(16)));

/* Counter 0 of the 8254 counts down: two reads of its count differ by no more than a period. */
static void read_timer(void)
{
	(void)inb(0x40);
	(void)inb(0x40);
}

static void test_gates(void)
{
	uint32_t flags;

	trap_set_gate(0x30, 0xe, 0);
	trap_set_gate(0x31, 0xf, 0);
	TRY("int $0x30");
	trap_expect("INT 30h", 0x30, 0, trap_after);
	trap_check("the frame's CS", (trap_last.cs & 0xffff) == SEG_CODE0, trap_last.cs);
	/* an interrupt gate turns IF off, a trap gate leaves it; both save it; nothing is unmasked in the controllers */
	TRY("sti\n\tint $0x30\n\tcli");
	trap_expect("INT 30h with IF", 0x30, 0, 0);
	trap_check("IF saved", trap_last.eflags & EFLAGS_IF, trap_last.eflags);
	trap_check("IF off behind an interrupt gate", !(trap_handler_eflags & EFLAGS_IF), trap_handler_eflags);
	__asm__ volatile("cli");
	TRY("sti\n\tint $0x31\n\tcli");
	trap_expect("INT 31h with IF", 0x31, 0, 0);
	trap_check("IF kept by a trap gate", trap_handler_eflags & EFLAGS_IF, trap_handler_eflags);
	__asm__ volatile("cli; pushfl; popl %0" : "=r"(flags));
	trap_check("CLI", !(flags & EFLAGS_IF), flags);
	/* a gate that is not there, one that is absent, one of no gate's type */
	TRY("int $0x50");
	trap_expect("a vector behind the IDT", GP, 0x50 * 8 + 2, trap_at);
	trap_idt[0x32] &= ~(1ull << 47);
	TRY("int $0x32");
	trap_expect("an absent gate", NP, 0x32 * 8 + 2, trap_at);
	trap_idt[0x33] = (trap_idt[0x33] & ~(0xfull << 40)) | 0x2ull << 40;
	TRY("int $0x33");
	trap_expect("no gate", GP, 0x33 * 8 + 2, trap_at);
}

static void test_exceptions(void)
{
	static const int32_t bounds[2] = {3, 5};
	uint32_t value;

	TRY("divl %1", : : "a"(1), "r"(0), "d"(0));
	trap_expect("division by 0", DE, 0, trap_at);
	TRY("divl %1", : : "a"(0), "r"(1), "d"(1));
	trap_expect("a quotient too large", DE, 0, trap_at);
	TRY("int3");
	trap_expect("INT3", BP, 0, trap_after);
	TRY("movb $0x7f, %%al\n\taddb $1, %%al\n\tinto", : : : "eax");
	trap_expect("INTO", OF, 0, trap_after);
	TRY("xorl %%eax, %%eax\n\tinto", : : : "eax");
	trap_expect("INTO without overflow", NO_TRAP, 0, 0);
	TRY("bound %0, %1", : : "r"(6), "m"(bounds));
	trap_expect("BOUND", BR, 0, trap_at);
	TRY("bound %0, %1", : : "r"(5), "m"(bounds));
	trap_expect("BOUND inside", NO_TRAP, 0, 0);
	TRY("ud2");
	trap_expect("UD2", UD, 0, trap_at);
	TRY(".byte 0xf0, 0x90"); /* LOCK NOP */
	trap_expect("LOCK before what cannot be locked", UD, 0, trap_at);
	__asm__ volatile("movl %%cr0, %0; orl $8, %0; movl %0, %%cr0" : "=r"(value)); /* TS */
	TRY("fnop");
	trap_expect("x87 with TS", NM, 0, trap_at);
	__asm__ volatile("clts");
	TRY("fnop");
	trap_expect("x87 without TS", NO_TRAP, 0, 0);
}

/* QEMU's TCG checks no limits, so these are left out in the nested bed (tcg=1). */
static void test_limits(void)
{
	TRY("movw %w0, %%fs\n\tmovl %%fs:0x1000, %%eax", : : "r"(SEG_SMALL) : "eax");
	trap_expect("beyond a limit", GP, 0, 0);
	TRY("movw %w0, %%fs\n\tmovl %%fs:0xffd, %%eax", : : "r"(SEG_SMALL) : "eax");
	trap_expect("across a limit", GP, 0, 0);
	TRY("movw %w0, %%fs\n\tmovl %%fs:0xffc, %%eax", : : "r"(SEG_SMALL) : "eax");
	trap_expect("up to a limit", NO_TRAP, 0, 0);
	TRY("movw %w0, %%fs\n\tmovl %%fs:0, %%eax", : : "r"(0) : "eax");
	trap_expect("through a null selector", GP, 0, 0);
}

static void test_segments(void)
{
	TRY("movw %w0, %%fs", : : "r"(0x48));
	trap_expect("a selector behind the GDT", GP, 0x48, trap_at);
	TRY("movw %w0, %%fs", : : "r"(SEG_ABSENT));
	trap_expect("an absent segment", NP, SEG_ABSENT, trap_at);
	TRY("movw %w0, %%ss", : : "r"(SEG_ABSENT));
	trap_expect("an absent stack segment", SS, SEG_ABSENT, trap_at);
	TRY("movw %w0, %%ss", : : "r"(0));
	trap_expect("a null stack segment", GP, 0, trap_at);
	TRY("ljmp $0x10, $0");
	trap_expect("a jump into data", GP, SEG_DATA0, trap_at);
	TRY("ltr %w0", : : "r"(SEG_TSS));
	trap_expect("a task that is busy", GP, SEG_TSS, trap_at);
}

/* One instruction, then #DB: a trap, so EIP points behind it. */
static void test_single_step(void)
{
	uint32_t dr6;

	__asm__ volatile("movl %0, %%dr6" : : "r"(0));
	TRY("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\tnop\n\tnop", : : : "cc");
	trap_expect("single step", DB, 0, 0);
	/* POPFL sets TF, the NOP behind it is the one that is stepped */
	trap_check("behind one NOP", trap_last.eip == trap_after - 1, trap_last.eip - trap_at);
	__asm__ volatile("movl %%dr6, %0" : "=r"(dr6));
	trap_check("DR6.BS", dr6 & 1u << 14, dr6);
	__asm__ volatile("movl %0, %%dr6" : : "r"(0));
	/* a breakpoint on a data write, by DR0 */
	static volatile uint32_t watched;

	__asm__ volatile("movl %0, %%dr0; movl %1, %%dr7" : : "r"(&watched), "r"(0x000d0002));
	TRY("movl $5, %0", : "=m"(watched));
	trap_expect("a data breakpoint", DB, 0, trap_after);
	__asm__ volatile("movl %%dr6, %0" : "=r"(dr6));
	trap_check("DR6.B0", dr6 & 1, dr6);
	trap_check("the write is done", watched == 5, watched);
	__asm__ volatile("movl %0, %%dr7; movl %0, %%dr6" : : "r"(0));
}

/* Code for ring 3, each piece of it one case. */
extern const char user_int30[], user_int34[], user_cli[], user_in[], user_hlt[], user_segment[], user_sum[],
	user_after34[];
__asm__(".text\n"
	"user_int30:	int $0x30\n"
	"user_int34:	int $0x34\n"
	"user_after34:	ud2\n"
	"user_cli:	cli\n"
	"user_in:	inb $0x40, %al\n"
	"		movb %al, %ah\n"
	"		inb $0x40, %al\n"
	"		int $63\n"
	"user_hlt:	hlt\n"
	"user_segment:	movw $0x10, %ax\n"
	"		movw %ax, %fs\n"
	"user_sum:	movl $1000, %ecx\n"
	"		xorl %eax, %eax\n"
	"1:		addl %ecx, %eax\n"
	"		pushl %eax\n"
	"		popl %edx\n"
	"		loop 1b\n"
	"		int $63\n");

static void user(const char *at)
{
	trap_last.vector = NO_TRAP;
	trap_enter((uint32_t)at, SEG_CODE3, 2, (uint32_t)(user_stack + sizeof(user_stack)), SEG_DATA3);
}

static void test_ring3(void)
{
	const uint32_t top = (uint32_t)(user_stack + sizeof(user_stack));

	user(user_sum);
	trap_expect("INT 63 from ring 3", VECTOR_LEAVE, 0, 0);
	trap_check("a sum in ring 3", trap_last.eax == 500500, trap_last.eax);
	trap_check("its CS", (trap_last.cs & 0xffff) == SEG_CODE3, trap_last.cs);
	trap_check("its SS", (trap_last.user_ss & 0xffff) == SEG_DATA3, trap_last.user_ss);
	trap_check("its ESP", trap_last.user_esp == top, trap_last.user_esp);
	user(user_int30); /* the gate is ring 0's */
	trap_expect("INT 30h from ring 3", GP, 0x30 * 8 + 2, (uint32_t)user_int30);
	trap_set_gate(0x34, 0xe, 3);
	user(user_int34);
	trap_expect("INT 34h from ring 3", 0x34, 0, (uint32_t)user_after34);
	user(user_cli);
	trap_expect("CLI in ring 3", GP, 0, (uint32_t)user_cli);
	user(user_hlt);
	trap_expect("HLT in ring 3", GP, 0, (uint32_t)user_hlt);
	user(user_segment);
	trap_expect("ring 0's segment in ring 3", GP, SEG_DATA0, 0);
	/* ports: by the map in the TSS */
	user(user_in);
	trap_expect("a port that the map forbids", GP, 0, (uint32_t)user_in);
	trap_tss.map[0x40 / 8] &= (uint8_t) ~(1u << 0x40 % 8);
	user(user_in);
	trap_expect("a port that the map allows", VECTOR_LEAVE, 0, 0);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(1);
	outb(0x21, 0xff); /* no interrupts but our own */
	outb(0xa1, 0xff);
	trap_init();
	read_timer();
	test_gates();
	test_exceptions();
	test_segments();
	if (!guest_arg(info, "tcg", 0))
		test_limits();
	test_single_step();
	test_ring3();
	read_timer();
	put_text("intr: ok\n");
	guest_exit(0);
}
