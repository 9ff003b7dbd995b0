// SPDX-License-Identifier: BSD-2-Clause
/*
 * cpu_regs.c: the registers of a processor that has just been powered on. By itself, since every backend
 * begins with it and none needs the loaders.
 */
#include "vmm/cpu.h"

#define CR0_POWER_ON 0x60000010u /* CD, NW, ET */
#define RFLAGS_FIXED 0x2u

/* Descriptor attributes, in the form of struct cpu_seg. */
#define ATTR_DATA16 0x093u
#define ATTR_CODE16 0x09bu
#define ATTR_LDT 0x082u
#define ATTR_TSS_BUSY 0x08bu

#define REAL_SEG(sel)                                                                                                  \
	{                                                                                                              \
		.selector = (sel), .base = (uint64_t)(sel) << 4, .limit = 0xffff, .attr = ATTR_DATA16                  \
	}

const struct cpu_regs cpu_regs_reset = {
	.gpr = {[CPU_RDX] = 0x600}, /* family 6 */
	.rip = 0xfff0,
	.rflags = RFLAGS_FIXED,
	.es = REAL_SEG(0),
	.cs = {.selector = 0xf000, .base = 0xffff0000, .limit = 0xffff, .attr = ATTR_CODE16},
	.ss = REAL_SEG(0),
	.ds = REAL_SEG(0),
	.fs = REAL_SEG(0),
	.gs = REAL_SEG(0),
	.ldt = {.limit = 0xffff, .attr = ATTR_LDT},
	.tr = {.limit = 0xffff, .attr = ATTR_TSS_BUSY},
	.gdt = {.limit = 0xffff},
	.idt = {.limit = 0xffff},
	.cr0 = CR0_POWER_ON,
};
