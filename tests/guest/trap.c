/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.c: descriptor tables of the guests that take interrupts and exceptions, and what is noted of each. See trap.h;
 * descriptors as in [SDM3] 3.4.5, 6.11 and 7.2.
 */
#include "trap.h"

volatile struct trap_frame trap_last;
volatile uint32_t trap_count, trap_cr2, trap_resume, trap_handler_eflags, trap_at, trap_after;
struct tss trap_tss;
uint64_t trap_gdt[SEG_COUNT] __attribute__((aligned(8)));
uint64_t trap_idt[VECTORS] __attribute__((aligned(8)));
bool (*trap_hook)(struct trap_frame *frame);

extern const char trap_entries[];
void trap_leave(void) __attribute__((noreturn));
void trap_load(void);
void trap_taken(struct trap_frame *frame);

/* By trap.S. */
void trap_taken(struct trap_frame *frame)
{
	uint32_t *to = (uint32_t *)&trap_last;
	const uint32_t *from = (const uint32_t *)frame;
	bool was_outside = frame->cs & 3 || frame->eflags & EFLAGS_VM;
	/* what is not on the stack is not read */
	unsigned words = frame->eflags & EFLAGS_VM ? 23 : was_outside ? 19 : 17;

	if (trap_hook && trap_hook(frame))
		return;
	__asm__ volatile("movl %%cr2, %0" : "=r"(trap_cr2));
	for (unsigned i = 0; i < words; i++)
		to[i] = from[i];
	trap_count++;
	if (was_outside)
		trap_leave();
	if (!trap_resume)
		trap_check("a trap nobody waited for", false, frame->vector << 16 | (frame->eip & 0xffff));
	frame->eflags &= ~EFLAGS_TF;
	frame->eip = trap_resume;
}

void trap_set_gate(unsigned vector, unsigned type, unsigned dpl)
{
	uint32_t at = (uint32_t)trap_entries + 16 * vector;

	trap_idt[vector] =
		(at & 0xffff) | SEG_CODE0 << 16 | (uint64_t)(0x80 | dpl << 5 | type) << 40 | (uint64_t)(at >> 16) << 48;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t access, uint32_t flags)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

void trap_init(void)
{
	trap_gdt[SEG_CODE0 / 8] = descriptor(0, 0xfffff, 0x9b, 0xc);
	trap_gdt[SEG_DATA0 / 8] = descriptor(0, 0xfffff, 0x93, 0xc);
	trap_gdt[SEG_CODE3 / 8] = descriptor(0, 0xfffff, 0xfb, 0xc);
	trap_gdt[SEG_DATA3 / 8] = descriptor(0, 0xfffff, 0xf3, 0xc);
	trap_gdt[SEG_TSS / 8] = descriptor((uint32_t)&trap_tss, sizeof(trap_tss) - 1, 0x89, 0);
	trap_gdt[SEG_ABSENT / 8] = descriptor(0, 0xfffff, 0x13, 0xc);
	trap_gdt[SEG_SMALL / 8] = descriptor(0, 0xfff, 0x93, 0x4);
	for (unsigned i = 0; i < VECTORS; i++)
		trap_set_gate(i, 0xe, 0);
	trap_set_gate(VECTOR_LEAVE, 0xe, 3);
	trap_tss.ss0 = SEG_DATA0;
	trap_tss.io_map = offsetof(struct tss, map);
	for (unsigned i = 0; i < sizeof(trap_tss.map); i++)
		trap_tss.map[i] = 0xff;
	trap_load();
}

void trap_check(const char *what, bool holds, uint32_t value)
{
	if (holds)
		return;
	put_text("FAILED: ");
	put_text(what);
	put_text(": ");
	put_hex(value);
	put_char('\n');
	guest_exit(1);
}

void trap_expect(const char *what, uint32_t vector, uint32_t error, uint32_t eip)
{
	if (trap_last.vector == vector &&
		(vector == NO_TRAP || (trap_last.error == error && (!eip || trap_last.eip == eip))))
		return;
	put_text("FAILED: ");
	put_text(what);
	put_text(": vector, error, eip ");
	put_hex(trap_last.vector);
	put_char(' ');
	put_hex(trap_last.error);
	put_char(' ');
	put_hex(trap_last.eip);
	put_text(" instead of ");
	put_hex(vector);
	put_char(' ');
	put_hex(error);
	put_char(' ');
	put_hex(eip);
	put_char('\n');
	guest_exit(1);
}
