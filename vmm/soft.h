/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft.h: the software CPU's own parts, shared by cpu_soft.c and soft_*.c only.
 *
 * libx86emu executes the instructions; we own what it lacks or gets wrong: memory and ports
 * (soft_mem.c), interrupts and exceptions (soft_intr.c), string instructions (soft_string.c)
 * and a list of others (soft_insn.c). All of it runs in the one vCPU thread.
 */
#ifndef VMM_SOFT_H
#define VMM_SOFT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <x86emu.h>

#include "vmm/cpu.h"
#include "vmm/io.h"
#include "vmm/mem.h"
#include "vmm/vm.h"

#define SOFT_PAGE_SHIFT 12
#define SOFT_PAGES (1u << (32 - SOFT_PAGE_SHIFT))
#define SOFT_CHUNK_BYTES 4096 /* of one string access on the bus */

/* Flag bits that libx86emu has no name for ([SDM1] EFLAGS). */
#define FL_IOPL 0x3000u
#define FL_NT 0x4000u
#define FL_RF 0x10000u
#define FL_VM 0x20000u
#define FL_AC 0x40000u

enum { EXC_DE = 0, EXC_UD = 6, EXC_NM = 7, EXC_DF = 8, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13 };

struct soft_cpu {
	struct cpu cpu; /* first */
	/* constant after create */
	x86emu_t *emu;
	int wake_fd;	 /* eventfd: read while halted */
	uint8_t *region; /* SOFT_PAGES: index in bias[] of each page; 0: not memory */
	/* memory map: rebuilt in the vCPU thread (PAM) or while no vCPU runs (reset) */
	uintptr_t bias[MEM_MAX_REGIONS + 1]; /* host address minus guest address */
	bool readonly[MEM_MAX_REGIONS + 1];
	struct mem_region regions[MEM_MAX_REGIONS];
	unsigned region_count;
	/* vCPU thread */
	struct { /* at the start of the current instruction, to undo one that faults */
		struct i386_general_regs gen;
		struct i386_special_regs spc;
	} start;
	bool shadow; /* the next instruction runs before any interrupt: after MOV SS, POP SS, STI */
	bool halted;
	bool failed; /* fail_text says why */
	char fail_text[256];
	int64_t tsc_offset;
	uint8_t chunk[SOFT_CHUNK_BYTES];
	/* any thread */
	_Atomic bool kicked;
	_Atomic bool sleeping;
};

/* What became of an instruction that soft_insn() looked at. */
enum soft_verdict {
	SOFT_LIBRARY, /* nothing done: libx86emu shall execute it */
	SOFT_DONE,    /* done (or turned into an exception): go on at CS:EIP */
	SOFT_LEAVE,   /* leave the execution loop: halted, failed, reset */
};

/* One instruction's prefixes and opcode, read ahead by soft_insn(). */
struct soft_insn {
	bool data32, addr32;
	uint8_t rep;  /* 0, 0xf2 or 0xf3 */
	sel_t *seg;   /* segment override or NULL */
	uint8_t op;   /* first byte after the prefixes */
	uint32_t ip;  /* of the byte after op */
	unsigned len; /* bytes up to ip */
};

/* ---- soft_mem.c ---- */
int soft_mem_init(struct soft_cpu *c);
void soft_mem_destroy(struct soft_cpu *c);
unsigned soft_memio(x86emu_t *emu, u32 addr, u32 *val, unsigned type);
/* Physical access of 1, 2 or 4 bytes: memory, else the bus. */
uint32_t soft_load(struct soft_cpu *c, uint32_t addr, unsigned size);
void soft_store(struct soft_cpu *c, uint32_t addr, uint32_t val, unsigned size);
/* Host address of a run of RAM or ROM (writable: RAM only) from addr on; *bytes is cut to its end. NULL: none. */
uint8_t *soft_host(struct soft_cpu *c, uint32_t addr, uint32_t *bytes, bool writable);
/* Code byte at a linear address; 0xff where there is no memory (nothing executes from devices). */
static inline uint8_t soft_code(const struct soft_cpu *c, uint32_t addr)
{
	unsigned r = c->region[addr >> SOFT_PAGE_SHIFT];

	return r ? *(const uint8_t *)(c->bias[r] + addr) : 0xff;
}

/* ---- soft_intr.c ---- */
enum soft_source { SOFT_EXTERNAL, SOFT_INT, SOFT_EXCEPTION };
/*
 * Enters the handler of a vector with CS:EIP and flags as they are now. Faults on the way become
 * #GP, #NP, #SS, then #DF, then a reset of the machine. err is pushed if has_err (protected mode).
 */
enum soft_verdict soft_deliver(
	struct soft_cpu *c, unsigned vector, enum soft_source source, bool has_err, uint32_t err);
/* An exception of the current instruction: restores the registers it began with, then delivers. */
enum soft_verdict soft_fault(struct soft_cpu *c, unsigned vector, bool has_err, uint32_t err);
static inline enum soft_verdict soft_gp(struct soft_cpu *c, uint32_t err)
{
	return soft_fault(c, EXC_GP, true, err);
}
int soft_intr_hook(x86emu_t *emu, u8 num, unsigned type);
enum soft_verdict soft_iret(struct soft_cpu *c, const struct soft_insn *in);
enum soft_verdict soft_far_return(struct soft_cpu *c, const struct soft_insn *in);

/* ---- soft_operand.c ---- */
/* A ModRM operand: a register, or a place in a segment. */
struct soft_operand {
	bool is_reg;
	unsigned reg;
	const sel_t *seg;
	uint32_t ofs;
};
/* Next instruction byte; next little-endian immediate or displacement. */
uint8_t soft_take(struct soft_cpu *c, struct soft_insn *in);
uint32_t soft_take_value(struct soft_cpu *c, struct soft_insn *in, unsigned size);
u32 *soft_reg(struct soft_cpu *c, unsigned n);
/* Register by its number in an instruction of operand size 1, 2 or 4. */
uint32_t soft_reg_read(struct soft_cpu *c, unsigned n, unsigned size);
void soft_reg_write(struct soft_cpu *c, unsigned n, unsigned size, uint32_t v);
struct soft_operand soft_operand_of(struct soft_cpu *c, struct soft_insn *in, uint8_t modrm);
/* False: outside the segment, which is a #GP. */
bool soft_operand_read(struct soft_cpu *c, const struct soft_operand *o, unsigned size, uint32_t *v);
/* After a soft_operand_read() that worked. */
void soft_operand_write(struct soft_cpu *c, const struct soft_operand *o, unsigned size, uint32_t v);

/* ---- soft_stack.c ---- */
enum soft_verdict soft_push_flags(struct soft_cpu *c, const struct soft_insn *in);
enum soft_verdict soft_pop_flags(struct soft_cpu *c, const struct soft_insn *in);
enum soft_verdict soft_pop(struct soft_cpu *c, struct soft_insn *in);
enum soft_verdict soft_enter(struct soft_cpu *c, struct soft_insn *in);
enum soft_verdict soft_decimal(struct soft_cpu *c, struct soft_insn *in);

/* ---- soft_bits.c ---- */
enum soft_verdict soft_shift(struct soft_cpu *c, struct soft_insn *in);
enum soft_verdict soft_double_shift(struct soft_cpu *c, struct soft_insn *in, uint8_t op2);
enum soft_verdict soft_bit_test(struct soft_cpu *c, struct soft_insn *in, uint8_t op2);

/* ---- soft_string.c ---- */
enum soft_verdict soft_string(struct soft_cpu *c, const struct soft_insn *in);
enum soft_verdict soft_port_string(struct soft_cpu *c, const struct soft_insn *in);

/* ---- soft_insn.c ---- */
int soft_code_hook(x86emu_t *emu);
void soft_cpuid(x86emu_t *emu);
/* The six arithmetic flags of r = a + b (is_sub: a - b), all of them of `size` bytes. */
void soft_set_flags(x86emu_regs_t *x, uint32_t a, uint32_t b, uint32_t r, unsigned size, bool is_sub);

/* ---- cpu_soft.c ---- */
/* The guest did what only KVM can do: run() returns -ENOTSUP with this line. */
enum soft_verdict soft_fail(struct soft_cpu *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t soft_tsc(struct soft_cpu *c);

static inline bool soft_protected(const struct soft_cpu *c)
{
	return c->emu->x86.R_CR0 & 1;
}

static inline bool soft_code32(const struct soft_cpu *c)
{
	return ACC_D(c->emu->x86.R_CS_ACC);
}

static inline bool soft_stack32(const struct soft_cpu *c)
{
	return ACC_D(c->emu->x86.R_SS_ACC);
}

static inline bool soft_interruptible(const struct soft_cpu *c)
{
	return vm_intr_pending(c->cpu.vm) && !c->shadow && (c->emu->x86.R_EFLG & FB_IF);
}

/* Commits an emulated instruction: execution goes on at ip. */
static inline enum soft_verdict soft_next(struct soft_cpu *c, uint32_t ip)
{
	c->emu->x86.R_EIP = ip;
	return SOFT_DONE;
}

/* All bytes of [ofs, ofs + size) are inside the segment's limit. */
static inline bool soft_in_limit(const sel_t *seg, uint32_t ofs, uint32_t size)
{
	return ofs <= seg->limit && size - 1 <= seg->limit - ofs;
}

#endif
