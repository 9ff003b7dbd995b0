/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.h: what the 32-bit guests about interrupts, paging and virtual-8086 mode share: segments of both rings, a task
 * state segment, gates for vectors 0 to 63, a record of what was taken last, and the way to ring 3 and back (trap.S, trap.c).
 */
#ifndef TRAP_H
#define TRAP_H

#include "guest.h"

#define SEG_CODE0 0x08
#define SEG_DATA0 0x10
#define SEG_CODE3 0x1b
#define SEG_DATA3 0x23
#define SEG_TSS 0x28
#define SEG_ABSENT 0x30 /* a data segment that is not present */
#define SEG_SMALL 0x38	/* data, 4096 bytes from 0 */
#define SEG_COUNT 8

#define EFLAGS_TF 0x100u
#define EFLAGS_IF 0x200u
#define EFLAGS_VM 0x20000u

#define VECTORS 64
#define VECTOR_LEAVE 63 /* ring 3 says that it is done */

struct trap_frame {
	uint32_t gs, fs, es, ds;
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint32_t vector, error;
	uint32_t eip, cs, eflags;
	uint32_t user_esp, user_ss;	 /* from ring 3 and virtual-8086 mode only */
	uint32_t v_es, v_ds, v_fs, v_gs; /* from virtual-8086 mode only */
};

struct tss {
	uint32_t link, esp0, ss0, unused[22];
	uint16_t trap, io_map;
	uint8_t map[8193]; /* a bit for each port, and the byte of ones that ends it */
};

#define NO_TRAP 0xffffffffu

/* The last one taken; vector is NO_TRAP until then. */
extern volatile struct trap_frame trap_last;
extern volatile uint32_t trap_count, trap_cr2;
extern volatile uint32_t trap_resume; /* not 0: a trap in ring 0 goes on here */
extern volatile uint32_t trap_handler_eflags;
extern struct tss trap_tss;
extern uint64_t trap_gdt[SEG_COUNT];
extern uint64_t trap_idt[VECTORS];
/* Set by a guest to look first; true: it has dealt with it, and the interrupted code goes on. */
extern bool (*trap_hook)(struct trap_frame *frame);

/* Loads all tables. Interrupts stay off. */
void trap_init(void);
/* type: 0xe interrupt gate, 0xf trap gate. */
void trap_set_gate(unsigned vector, unsigned type, unsigned dpl);
/*
 * Runs code at `eip` in ring 3 (or, with EFLAGS_VM, 8086 code with the segment `cs`) until the first trap that the hook
 * leaves; that is in trap_last then.
 */
void trap_enter(uint32_t eip, uint32_t cs, uint32_t eflags, uint32_t esp, uint32_t ss);

/*
 * Runs the instruction(s) in ring 0; a trap goes on behind them. TRAP_AT is where they began.
 * Further arguments are the operands of an asm statement.
 */
extern volatile uint32_t trap_at, trap_after;
#define TRY(insn, ...)                                                                                                 \
	do {                                                                                                           \
		trap_last.vector = NO_TRAP;                                                                            \
		__asm__ volatile("movl $1f, trap_at\n\tmovl $2f, trap_after\n\tmovl $2f, trap_resume\n"                \
				 "1:\t" insn "\n2:\tmovl $0, trap_resume" __VA_ARGS__);                                \
	} while (0)

/* Ends the guest unless the last trap was this one. eip 0: anywhere. */
void trap_expect(const char *what, uint32_t vector, uint32_t error, uint32_t eip);
/* Ends the guest with a line unless it holds. */
void trap_check(const char *what, bool holds, uint32_t value);

#endif
