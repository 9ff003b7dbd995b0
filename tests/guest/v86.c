/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * v86.c: virtual-8086 mode: 8086 code under a monitor in protected mode ([SDM3] 20.2): segments without descriptors, 64 KiB
 * segments, what the frame holds when it is left, the instructions that IOPL guards, ports by the map in the TSS, and a
 * small monitor that gives the 8086 code its interrupts and flags, as DOS extenders do.
 */
#include "trap.h"

enum { DB = 1, UD = 6, GP = 13 };

#define CODE_AT 0x20000u /* below 1 MiB, a multiple of 16 */
#define DATA_AT 0x30000u
#define STACK_AT 0x40000u

/* 8086 code, copied to CODE_AT; each piece is at the same distance from v_begin there. */
extern const char v_begin[], v_data[], v_int[], v_cli[], v_hlt[], v_pushf[], v_in[], v_out[], v_port2[], v_cr0[],
	v_string[], v_dos[], v_end[];
__asm__(".text\n"
	".code16\n"
	"v_begin:\n"
	/* DS:0x10 and ES:0x20 add up to SS:BP's word and to AX; the far call comes back */
	"v_data:	movw $0x3000, %ax\n"
	"		movw %ax, %ds\n"
	"		movw $0x3001, %ax\n"
	"		movw %ax, %es\n"
	"		movw 0x10, %ax\n"
	"		addw %es:0x20, %ax\n"
	"		pushw %ax\n"
	"		movw %sp, %bp\n"
	"		lcall $0x2000, $(v_far - v_begin)\n"
	"		popw %cx\n"
	"		int $0x21\n"
	"v_far:\n"
	"		movw (%bp), %dx\n"
	"		lret\n"
	"v_int:		int $0x21\n"
	"v_cli:		cli\n"
	"v_hlt:		hlt\n"
	"v_pushf:	pushfw\n"
	"v_in:		inb $0x40, %al\n"
	"		movb %al, %ah\n"
	"		inb $0x40, %al\n"
	"		int $0x21\n"
	"v_out:		outb %al, $0x80\n"
	"v_port2:	inw $0x40, %ax\n"
	"v_cr0:		movl %eax, %cr0\n"
	/* 64 KiB wrap: SI runs over the end of DS */
	"v_string:	movw $0x3000, %ax\n"
	"		movw %ax, %ds\n"
	"		movw %ax, %es\n"
	"		movw $0xfffe, %si\n"
	"		movw $0x1000, %di\n"
	"		movw $4, %cx\n"
	"		cld\n"
	"		rep movsb\n"
	"		int $0x21\n"
	/* what a DOS program does all day: 100 times CLI, PUSHF, an interrupt, POPF, STI */
	"v_dos:		xorw %bx, %bx\n"
	"		movw $100, %cx\n"
	"1:		cli\n"
	"		pushfw\n"
	"		int $0x60\n"
	"		popfw\n"
	"		sti\n"
	"		loop 1b\n"
	"		int $0x21\n"
	"v_handler:	addw %cx, %bx\n"
	"		iretw\n"
	"v_end:\n"
	".code32\n");
extern const char v_handler[];

static void run(const char *code, uint32_t flags)
{
	trap_last.vector = NO_TRAP;
	trap_enter((uint32_t)(code - v_begin), CODE_AT >> 4, EFLAGS_VM | flags | 2, 0x1000, STACK_AT >> 4);
}

static uint32_t offset(const char *code)
{
	return (uint32_t)(code - v_begin);
}

static void expect(const char *what, uint32_t vector, uint32_t error, const char *code, uint32_t behind)
{
	trap_expect(what, vector, error, 0);
	trap_check(what, trap_last.eip == offset(code) + behind, trap_last.eip);
	trap_check("the VM flag is saved", trap_last.eflags & EFLAGS_VM, trap_last.eflags);
	trap_check("the code's segment", (trap_last.cs & 0xffff) == CODE_AT >> 4, trap_last.cs);
	trap_check("the stack's segment", (trap_last.user_ss & 0xffff) == STACK_AT >> 4, trap_last.user_ss);
	trap_check("no VM flag in the monitor", !(trap_handler_eflags & EFLAGS_VM), trap_handler_eflags);
}

static void put16(uint32_t address, uint16_t v)
{
	__asm__ volatile("movw %w1, (%0)" : : "r"(address), "r"(v) : "memory");
}

static void test_segments(void)
{
	const uint32_t iopl3 = 0x3000;

	put16(DATA_AT + 0x10, 0x1111);
	put16(DATA_AT + 0x10 + 0x20, 0x2222);
	trap_set_gate(0x21, 0xe, 3);
	/* with IOPL 3, INT n goes through the gate; its DPL must be 3 ([SDM3] 20.3.3, method 1 and 6: CPL 3 against DPL) */
	run(v_data, iopl3);
	trap_expect("INT 21h with IOPL 3", 0x21, 0, 0);
	trap_check("the sum by DS and ES", (trap_last.ecx & 0xffff) == 0x3333, trap_last.ecx);
	trap_check("the sum by SS", (trap_last.edx & 0xffff) == 0x3333, trap_last.edx);
	trap_check("saved DS", (trap_last.v_ds & 0xffff) == 0x3000, trap_last.v_ds);
	trap_check("saved ES", (trap_last.v_es & 0xffff) == 0x3001, trap_last.v_es);
	trap_check("saved FS", (trap_last.v_fs & 0xffff) == 0, trap_last.v_fs);
	/* the data segment registers are null in the monitor: trap.S saves them before it loads its own */
	trap_check("DS is null in the monitor", (trap_last.ds & 0xffff) == 0, trap_last.ds);
	trap_check("GS is null in the monitor", (trap_last.gs & 0xffff) == 0, trap_last.gs);
	for (uint32_t i = 0; i < 4; i++)
		*(volatile uint8_t *)(DATA_AT + ((0xfffe + i) & 0xffff)) = (uint8_t)(0xa0 + i);
	run(v_string, iopl3);
	trap_expect("a string over the end of its segment", 0x21, 0, 0);
	trap_check("its bytes", readl(DATA_AT + 0x1000) == 0xa3a2a1a0, readl(DATA_AT + 0x1000));
	trap_check("SI went round", (trap_last.esi & 0xffff) == 2, trap_last.esi);
}

/* Below IOPL 3 these are the monitor's ([SDM3] 20.2.8.1): #GP(0) at the instruction. */
static void test_iopl(void)
{
	run(v_int, 0);
	expect("INT 21h with IOPL 0", GP, 0, v_int, 0);
	run(v_cli, 0);
	expect("CLI with IOPL 0", GP, 0, v_cli, 0);
	run(v_pushf, 0);
	expect("PUSHF with IOPL 0", GP, 0, v_pushf, 0);
	run(v_hlt, 0x3000);
	expect("HLT", GP, 0, v_hlt, 0);
	run(v_cr0, 0x3000);
	expect("MOV to CR0", GP, 0, v_cr0, 0);
}

/* Ports go by the map whatever IOPL says ([SDM3] 20.2.8.2). */
static void test_ports(void)
{
	run(v_in, 0x3000);
	expect("a port that the map forbids", GP, 0, v_in, 0);
	run(v_out, 0x3000);
	expect("another", GP, 0, v_out, 0);
	trap_tss.map[0x40 / 8] &= (uint8_t)~1u;
	run(v_in, 0x3000);
	trap_expect("a port that the map allows", 0x21, 0, 0);
	run(v_port2, 0x3000);
	expect("a word, half of which it forbids", GP, 0, v_port2, 0);
	trap_tss.map[0x40 / 8] |= 1;
}

/* ---- the monitor ---- */

static unsigned emulated, its_if;

static uint16_t pop(struct trap_frame *f)
{
	uint16_t v = *(volatile uint16_t *)((f->user_ss & 0xffff) * 16 + (f->user_esp & 0xffff));

	f->user_esp = (f->user_esp + 2) & 0xffff;
	return v;
}

static void push(struct trap_frame *f, uint32_t v)
{
	f->user_esp = (f->user_esp - 2) & 0xffff;
	put16((f->user_ss & 0xffff) * 16 + f->user_esp, (uint16_t)v);
}

/* Gives the 8086 code what it asks for: its own interrupt flag and its own vector table. */
static bool monitor(struct trap_frame *f)
{
	const volatile uint8_t *at = (const volatile uint8_t *)((f->cs & 0xffff) * 16 + (f->eip & 0xffff));
	uint32_t flags = (f->eflags & 0xcff) | 2;
	uint16_t v;

	if (f->vector != GP || !(f->eflags & EFLAGS_VM))
		return false;
	emulated++;
	switch (at[0]) {
	case 0xfa: /* CLI */
		its_if = 0;
		f->eip++;
		return true;
	case 0xfb: /* STI */
		its_if = 1;
		f->eip++;
		return true;
	case 0x9c: /* PUSHF */
		push(f, flags | its_if << 9);
		f->eip++;
		return true;
	case 0x9d: /* POPF */
		v = pop(f);
		its_if = v >> 9 & 1;
		f->eflags = (f->eflags & ~0xcd5u) | (v & 0xcd5);
		f->eip++;
		return true;
	case 0xcd: /* INT n */
		if (at[1] == 0x21)
			return false; /* it is done */
		push(f, flags | its_if << 9);
		push(f, f->cs);
		push(f, f->eip + 2);
		its_if = 0;
		f->eip = *(volatile uint16_t *)(at[1] * 4);
		f->cs = *(volatile uint16_t *)(at[1] * 4 + 2);
		return true;
	case 0xcf: /* IRET */
		f->eip = pop(f);
		f->cs = pop(f);
		v = pop(f);
		its_if = v >> 9 & 1;
		f->eflags = (f->eflags & ~0xcd5u) | (v & 0xcd5);
		return true;
	}
	return false;
}

static void test_monitor(void)
{
	const uint32_t old = readl(0x60 * 4);

	put16(0x60 * 4, (uint16_t)offset(v_handler));
	put16(0x60 * 4 + 2, CODE_AT >> 4);
	its_if = 1;
	trap_hook = monitor;
	run(v_dos, 0);
	trap_hook = NULL;
	writel(0x60 * 4, old);
	trap_expect("an 8086 program under a monitor", GP, 0, 0);
	trap_check("its sum", (trap_last.ebx & 0xffff) == 5050, trap_last.ebx);
	trap_check("its interrupt flag", its_if == 1, its_if);
	trap_check("what it asked for", emulated == 100 * 6 + 1, emulated);
}

void guest_main(uint32_t magic, const struct multiboot_info *info)
{
	(void)info;
	if (magic != MULTIBOOT_LOADER_MAGIC)
		guest_exit(1);
	for (const char *p = v_begin; p < v_end; p++)
		*(volatile char *)(CODE_AT + (uint32_t)(p - v_begin)) = *p;
	trap_init();
	test_segments();
	test_iopl();
	test_ports();
	test_monitor();
	put_text("v86: ok\n");
	guest_exit(0);
}
