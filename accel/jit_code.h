/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_code.h: the JIT while it writes code: where it stands, and what the operands of the present
 * instruction are on the host. Between jit.c and jit_alu.c.
 */
#ifndef ACCEL_JIT_CODE_H
#define ACCEL_JIT_CODE_H

#include <time.h>

#include "accel/jit_plan.h"
#include "accel/jit_x86.h"

/* What lies in the page in front of the code. */
struct jit_data {
	uint64_t (*time)(const struct prog_env *env);
	int (*host_clock)(clockid_t clock, struct timespec *ts);
	const struct prog_env *env;
};

struct jit {
	struct jit_plan plan;
	uint64_t data; /* address of the struct jit_data */
	struct x86_buf b;
	unsigned features;
	size_t *at; /* offset of the code of each slot; [insn_count]: of the end */
	size_t *func_at;
	bool is_first_pass;
	bool is_changed;  /* in this pass: a jump has become long, or something lies elsewhere */
	uint32_t written; /* up to here it is known where in this pass everything lies */
	/* the instruction that is being written */
	uint32_t pc;
	const struct bpf_insn *insn;
	const struct insn_desc *desc;
	struct jit_insn *info;
	const struct jit_func *func;
};

static const enum x86_reg jit_regs[10] = {
	X86_R0, X86_R1, X86_R2, X86_R3, X86_R4, X86_R5, X86_R6, X86_R7, X86_R8, X86_R9};

/* r10's value into a register. */
static inline void jit_load_frame_pointer(struct jit *j, enum x86_reg to)
{
	x86_lea(&j->b, 64, to, x86_at(RSP, (int32_t)j->func->frame_offset));
}

/* A register's value for reading; r10 is put into `scratch` first. */
static inline enum x86_reg jit_value(struct jit *j, unsigned reg, enum x86_reg scratch)
{
	if (reg < 10)
		return jit_regs[reg];
	jit_load_frame_pointer(j, scratch);
	return scratch;
}

static inline enum x86_reg jit_dst(const struct jit *j)
{
	return jit_regs[j->insn->dst_reg];
}

static inline struct x86_mem jit_mem_operand(const struct jit *j, unsigned base)
{
	if (j->info->is_folded)
		return (struct x86_mem){.is_rip = true, .disp = (int64_t)j->info->address};
	if (base == 10)
		return x86_at(RSP, (int32_t)j->func->frame_offset + j->insn->off);
	return x86_at(jit_regs[base], j->insn->off);
}

/* A field of the struct jit_data. */
static inline struct x86_mem jit_data_at(const struct jit *j, size_t offset)
{
	return (struct x86_mem){.is_rip = true, .disp = (int64_t)(j->data + offset)};
}

static inline bool jit_is_live(const struct jit *j, unsigned reg)
{
	return j->info->live >> reg & 1;
}

/* Of arithmetic and atomics. */
static inline enum x86_alu jit_alu_of(enum insn_op op)
{
	switch (op) {
	case OP_ADD:
		return X86_ADD;
	case OP_SUB:
		return X86_SUB;
	case OP_OR:
		return X86_OR;
	case OP_AND:
		return X86_AND;
	default:
		return X86_XOR;
	}
}

/* jit_alu.c: the code of one instruction. 0 or -EINVAL. */
int jit_write_ALU_K(struct jit *j);
int jit_write_ALU_X(struct jit *j);
int jit_write_ALU_1(struct jit *j);

#endif
