/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit.c: x86-64 code for each kind of instruction of insn.def. The code does what the interpreter
 * does and checks nothing, since it was verified; it contains no address of the host but
 * those of maps: what it calls stands in the struct engine_code that it is called with.
 *
 * Written in passes: jumps begin short and become long where they have to, until none does.
 */
#include "accel/jit.h"

#if JIT_AVAILABLE

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accel/jit_mem.h"
#include "accel/jit_plan.h"
#include "accel/jit_x86.h"

/* More than any one instruction needs, and the prologue of each function. */
#define MAX_BYTES_PER_INSN 160
#define MAX_BYTES_PER_FUNC 64

struct jit {
	struct jit_plan plan;
	struct x86_buf b;
	unsigned features;
	size_t *at; /* offset of the code of each slot; [insn_count]: of the end */
	size_t *func_at;
	bool is_first_pass;
	/* the instruction that is being written */
	uint32_t pc;
	const struct bpf_insn *insn;
	const struct insn_desc *desc;
	struct jit_insn *info;
	const struct jit_func *func;
};

static const enum x86_reg regs[10] = {X86_R0, X86_R1, X86_R2, X86_R3, X86_R4, X86_R5, X86_R6, X86_R7, X86_R8, X86_R9};

/* r10's value into a register. */
static void load_frame_pointer(struct jit *j, enum x86_reg to)
{
	x86_lea(&j->b, 64, to, x86_at(RSP, (int32_t)j->func->frame_offset));
}

/* A register's value for reading; r10 is put into `scratch` first. */
static enum x86_reg value(struct jit *j, unsigned reg, enum x86_reg scratch)
{
	if (reg < 10)
		return regs[reg];
	load_frame_pointer(j, scratch);
	return scratch;
}

static enum x86_reg dst_reg(const struct jit *j)
{
	return regs[j->insn->dst_reg];
}

static struct x86_mem mem_operand(const struct jit *j, unsigned base)
{
	if (j->info->is_folded)
		return (struct x86_mem){.is_rip = true, .disp = (int64_t)j->info->address};
	if (base == 10)
		return x86_at(RSP, (int32_t)j->func->frame_offset + j->insn->off);
	return x86_at(regs[base], j->insn->off);
}

static bool is_live(const struct jit *j, unsigned reg)
{
	return j->info->live >> reg & 1;
}

/* ---- division ---- */

/* rax and rdx are needed for something else: keeps r0 and r3 if anybody wants them. */
struct kept {
	bool rax, rdx;
};

static struct kept keep(struct jit *j)
{
	enum x86_reg dst = dst_reg(j);
	struct kept k = {.rax = dst != RAX && is_live(j, 0), .rdx = dst != RDX && is_live(j, 3)};

	if (k.rax)
		x86_mov_rr(&j->b, 64, X86_TMP2, RAX);
	if (k.rdx)
		x86_mov_rr(&j->b, 64, X86_TMP1, RDX);
	return k;
}

static void restore(struct jit *j, struct kept k)
{
	if (k.rax)
		x86_mov_rr(&j->b, 64, RAX, X86_TMP2);
	if (k.rdx)
		x86_mov_rr(&j->b, 64, RDX, X86_TMP1);
}

static bool is_mod(enum insn_op op)
{
	return op == OP_MOD || op == OP_SMOD;
}

/*
 * dst by `divisor`, which is neither rax nor rdx. Processors until lately divide 64 bits several times more
 * slowly than 32, even when the upper halves are zero; so an unsigned division looks first.
 */
static void divide(struct jit *j, enum x86_reg divisor, bool may_be_zero, bool may_be_minus1)
{
	const unsigned bits = j->desc->bits;
	const bool is_signed = j->desc->op == OP_SDIV || j->desc->op == OP_SMOD, mod = is_mod(j->desc->op);
	enum x86_reg dst = dst_reg(j);
	struct x86_buf *b = &j->b;
	size_t to_zero = 0, to_minus1 = 0, done, done2 = 0;

	if (may_be_zero) {
		x86_test_rr(b, bits, divisor, divisor);
		to_zero = x86_jump_ahead(b, X86_E);
	}
	if (is_signed && may_be_minus1) {
		x86_alu_ri(b, X86_CMP, bits, divisor, -1);
		to_minus1 = x86_jump_ahead(b, X86_E);
	}
	if (dst != RAX)
		x86_mov_rr(b, bits, RAX, dst);
	if (is_signed) {
		x86_sign_extend_a(b, bits);
		x86_unary(b, X86_IDIV, bits, divisor);
	} else if (bits == 32) {
		x86_alu_rr(b, X86_XOR, 32, RDX, RDX);
		x86_unary(b, X86_DIV, 32, divisor);
	} else {
		size_t to_small, small_done;

		x86_mov_rr(b, 64, RDX, RAX);
		x86_alu_rr(b, X86_OR, 64, RDX, divisor);
		x86_shift_ri(b, X86_SHR, 64, RDX, 32);
		to_small = x86_jump_ahead(b, X86_E);
		x86_alu_rr(b, X86_XOR, 32, RDX, RDX);
		x86_unary(b, X86_DIV, 64, divisor);
		small_done = x86_jump_ahead(b, X86_ALWAYS);
		x86_land(b, to_small); /* with rdx 0 */
		x86_unary(b, X86_DIV, 32, divisor);
		x86_land(b, small_done);
	}
	if (dst != (mod ? RDX : RAX))
		x86_mov_rr(b, bits, dst, mod ? RDX : RAX);
	if (!may_be_zero && !to_minus1)
		return;
	done = x86_jump_ahead(b, X86_ALWAYS);
	if (to_minus1) {
		x86_land(b, to_minus1);
		if (mod)
			x86_mov_ri(b, dst, 0);
		else
			x86_unary(b, X86_NEG, bits, dst);
		if (may_be_zero)
			done2 = x86_jump_ahead(b, X86_ALWAYS);
	}
	if (may_be_zero) {
		x86_land(b, to_zero);
		if (!mod)
			x86_mov_ri(b, dst, 0);
		else if (bits == 32)
			x86_mov_rr(b, 32, dst, dst);
	}
	x86_land(b, done);
	if (done2)
		x86_land(b, done2);
}

static void divide_by_reg(struct jit *j)
{
	struct kept kept = keep(j);
	enum x86_reg divisor = value(j, j->insn->src_reg, X86_TMP3);

	if (divisor == RAX || divisor == RDX) {
		x86_mov_rr(&j->b, 64, X86_TMP3, divisor);
		divisor = X86_TMP3;
	}
	divide(j, divisor, true, true);
	restore(j, kept);
}

/*
 * n / d as (n >> before) * m >> 64 >> after, or where m has 65 bits (add: its top one is left out) with
 * that one added back. With m = ceil(2^(64 + after) / d) the quotient is exact for all n < 2^N if
 * m * d - 2^(64 + after) <= 2^(64 + after - N) (Granlund and Montgomery 1994, theorem 4.2).
 */
struct reciprocal {
	uint64_t m;
	unsigned before, after;
	bool add;
};

static bool find_reciprocal(uint64_t d, unsigned n_bits, struct reciprocal *r)
{
	for (r->after = 0; r->after < 32; r->after++) {
		unsigned __int128 power = (unsigned __int128)1 << (64 + r->after), m = (power + d - 1) / d;

		if (m >> 64)
			break;
		if (m * d - power <= power >> n_bits) {
			r->m = (uint64_t)m;
			return true;
		}
	}
	return false;
}

/* d: not a power of two, below 2^32. */
static struct reciprocal reciprocal_of(uint64_t d, unsigned bits)
{
	struct reciprocal r = {0};

	if (find_reciprocal(d, bits, &r))
		return r;
	r.before = (unsigned)__builtin_ctzll(d);
	if (r.before && find_reciprocal(d >> r.before, bits - r.before, &r))
		return r;
	/* 2^(after - 1) < d < 2^after, so that m has 65 bits and its error is below d < 2^after */
	r.before = 0;
	r.after = 64 - (unsigned)__builtin_clzll(d);
	r.m = (uint64_t)((((unsigned __int128)1 << (64 + r.after)) + d - 1) / d);
	r.add = true;
	return r;
}

/* dst by a constant that is neither 0 nor a power of two nor 2^32 and above. */
static void divide_by_reciprocal(struct jit *j, uint64_t d)
{
	const unsigned bits = j->desc->bits;
	const struct reciprocal r = reciprocal_of(d, bits);
	const bool mod = is_mod(j->desc->op);
	enum x86_reg dst = dst_reg(j), n = dst;
	struct x86_buf *b = &j->b;
	struct kept kept = keep(j);

	if (bits == 32)
		x86_mov_rr(b, 32, dst, dst); /* the upper half may be anything */
	if (mod || r.add) {
		/* n is wanted again: keep it where the product does not go */
		if (dst == RAX || dst == RDX) {
			n = X86_TMP3;
			x86_mov_rr(b, 64, n, dst);
		}
	}
	if (r.before) {
		if (dst != RAX)
			x86_mov_rr(b, 64, RAX, dst);
		x86_shift_ri(b, X86_SHR, 64, RAX, r.before);
		x86_mov_ri(b, RDX, r.m);
		x86_unary(b, X86_MUL, 64, RDX);
	} else if (dst == RAX) {
		x86_mov_ri(b, RDX, r.m);
		x86_unary(b, X86_MUL, 64, RDX);
	} else {
		x86_mov_ri(b, RAX, r.m);
		x86_unary(b, X86_MUL, 64, dst);
	}
	if (r.add) { /* (n + high) >> 1 without overflow, since high <= n */
		x86_mov_rr(b, 64, RAX, n);
		x86_alu_rr(b, X86_SUB, 64, RAX, RDX);
		x86_shift_ri(b, X86_SHR, 64, RAX, 1);
		x86_alu_rr(b, X86_ADD, 64, RDX, RAX);
	}
	if (r.after > r.add)
		x86_shift_ri(b, X86_SHR, 64, RDX, r.after - r.add);
	if (mod) { /* n - quotient * d */
		x86_imul_rri(b, bits, RDX, RDX, (int32_t)d);
		x86_alu_rr(b, X86_SUB, bits, n, RDX);
		if (n != dst)
			x86_mov_rr(b, bits, dst, n);
	} else if (dst != RDX) {
		x86_mov_rr(b, 64, dst, RDX);
	}
	restore(j, kept);
}

static void divide_by_constant(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	const int32_t imm = j->insn->imm;
	const uint64_t d = bits == 64 ? (uint64_t)(int64_t)imm : (uint32_t)imm;
	const bool is_signed = j->desc->op == OP_SDIV || j->desc->op == OP_SMOD, mod = is_mod(j->desc->op);
	enum x86_reg dst = dst_reg(j);
	struct x86_buf *b = &j->b;
	struct kept kept;

	if (d == 0 || (d == 1 && !mod) || (is_signed && imm == -1)) {
		if (d == 0 ? !mod : mod)
			x86_mov_ri(b, dst, 0);
		else if (d != 0 && d != 1)
			x86_unary(b, X86_NEG, bits, dst);
		else if (bits == 32)
			x86_mov_rr(b, 32, dst, dst);
		return;
	}
	if (!is_signed && (d & (d - 1)) == 0) {
		if (mod)
			x86_alu_ri(b, X86_AND, bits, dst, (int32_t)(d - 1));
		else
			x86_shift_ri(b, X86_SHR, bits, dst, (unsigned)__builtin_ctzll(d));
		return;
	}
	if (!is_signed && d <= UINT32_MAX) {
		divide_by_reciprocal(j, d);
		return;
	}
	kept = keep(j);
	x86_mov_ri(b, X86_TMP3, bits == 64 ? (uint64_t)(int64_t)imm : (uint32_t)imm);
	divide(j, X86_TMP3, false, false);
	restore(j, kept);
}

/* ---- arithmetic ---- */

static enum x86_shift shift_of(enum insn_op op)
{
	return op == OP_LSH ? X86_SHL : op == OP_RSH ? X86_SHR : X86_SAR;
}

static void shift_by_reg(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	const enum x86_shift op = shift_of(j->desc->op);
	enum x86_reg dst = dst_reg(j), count = value(j, j->insn->src_reg, X86_TMP3);
	struct x86_buf *b = &j->b;

	if (j->features & X86_BMI2) {
		x86_shift_bmi2(b, op, bits, dst, dst, count);
	} else if (count == RCX && dst != RCX) {
		x86_shift_cl(b, op, bits, dst);
	} else if (dst == RCX) {
		x86_mov_rr(b, 64, X86_TMP1, RCX);
		if (count != RCX)
			x86_mov_rr(b, 32, RCX, count);
		x86_shift_cl(b, op, bits, X86_TMP1);
		x86_mov_rr(b, bits, RCX, X86_TMP1);
	} else {
		x86_mov_rr(b, 64, X86_TMP1, RCX);
		x86_mov_rr(b, 32, RCX, count);
		x86_shift_cl(b, op, bits, dst);
		x86_mov_rr(b, 64, RCX, X86_TMP1);
	}
}

static enum x86_alu alu_of(enum insn_op op)
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

static int write_ALU_K(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	const int32_t imm = j->insn->imm;
	enum x86_reg dst = dst_reg(j);
	struct x86_buf *b = &j->b;

	switch (j->desc->op) {
	case OP_MOV:
		x86_mov_ri(b, dst, bits == 64 ? (uint64_t)(int64_t)imm : (uint32_t)imm);
		return 0;
	case OP_AND:
		if (imm == 0xff || imm == 0xffff) {
			x86_movzx_rr(b, imm == 0xff ? 8 : 16, dst, dst);
			return 0;
		}
		x86_alu_ri(b, X86_AND, bits, dst, imm);
		return 0;
	case OP_ADD:
	case OP_SUB:
	case OP_OR:
	case OP_XOR:
		x86_alu_ri(b, alu_of(j->desc->op), bits, dst, imm);
		return 0;
	case OP_MUL:
		if (imm > 0 && (imm & (imm - 1)) == 0)
			x86_shift_ri(b, X86_SHL, bits, dst, (unsigned)__builtin_ctz((unsigned)imm));
		else
			x86_imul_rri(b, bits, dst, dst, imm);
		return 0;
	case OP_DIV:
	case OP_SDIV:
	case OP_MOD:
	case OP_SMOD:
		divide_by_constant(j);
		return 0;
	case OP_LSH:
	case OP_RSH:
	case OP_ARSH:
		if ((unsigned)imm & (bits - 1))
			x86_shift_ri(b, shift_of(j->desc->op), bits, dst, (unsigned)imm & (bits - 1));
		else if (bits == 32)
			x86_mov_rr(b, 32, dst, dst);
		return 0;
	default:
		return -EINVAL;
	}
}

static int write_ALU_X(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	enum x86_reg dst = dst_reg(j);
	struct x86_buf *b = &j->b;

	switch (j->desc->op) {
	case OP_MOV:
		if (j->insn->src_reg == 10 && bits == 64)
			load_frame_pointer(j, dst);
		else if (j->insn->src_reg != j->insn->dst_reg || bits == 32)
			x86_mov_rr(b, bits, dst, value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_MOVSX:
		x86_movsx_rr(b, bits, (unsigned)j->insn->off, dst, value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_ADD:
	case OP_SUB:
	case OP_OR:
	case OP_AND:
	case OP_XOR:
		x86_alu_rr(b, alu_of(j->desc->op), bits, dst, value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_MUL:
		x86_imul_rr(b, bits, dst, value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_DIV:
	case OP_SDIV:
	case OP_MOD:
	case OP_SMOD:
		divide_by_reg(j);
		return 0;
	case OP_LSH:
	case OP_RSH:
	case OP_ARSH:
		shift_by_reg(j);
		return 0;
	default:
		return -EINVAL;
	}
}

static int write_ALU_1(struct jit *j)
{
	enum x86_reg dst = dst_reg(j);
	struct x86_buf *b = &j->b;

	switch (j->desc->op) {
	case OP_NEG:
		x86_unary(b, X86_NEG, j->desc->bits, dst);
		return 0;
	case OP_LE:
		if (j->insn->imm != 64)
			x86_movzx_rr(b, (unsigned)j->insn->imm, dst, dst);
		return 0;
	case OP_BE:
	case OP_BSWAP:
		x86_bswap(b, j->insn->imm == 64 ? 64 : 32, dst);
		if (j->insn->imm == 16)
			x86_shift_ri(b, X86_SHR, 32, dst, 16);
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- jumps and calls ---- */

static void jump_to(struct jit *j, enum x86_cond cond)
{
	const size_t target = j->at[j->info->target];
	int64_t distance = (int64_t)target - (int64_t)(j->b.len + 2);
	const bool is_known = !j->is_first_pass || j->info->target <= j->pc;

	if (is_known && distance != (int8_t)distance)
		j->info->is_long = true;
	x86_jump(&j->b, cond, target, !j->info->is_long);
}

static enum x86_cond cond_of(enum insn_op op)
{
	switch (op) {
	case OP_JEQ:
		return X86_E;
	case OP_JNE:
	case OP_JSET:
		return X86_NE;
	case OP_JGT:
		return X86_A;
	case OP_JGE:
		return X86_AE;
	case OP_JLT:
		return X86_B;
	case OP_JLE:
		return X86_BE;
	case OP_JSGT:
		return X86_G;
	case OP_JSGE:
		return X86_GE;
	case OP_JSLT:
		return X86_L;
	case OP_JSLE:
		return X86_LE;
	default:
		return X86_ALWAYS;
	}
}

/*
 * Processors of some years (Intel, Skylake to Comet Lake) run a jump slowly that crosses or ends at a multiple of
 * 32 bytes, the comparison fused with it included. Such a one is written again behind a nop.
 */
#define JUMP_LINE 32

static bool crosses_line(const struct jit *j, size_t start)
{
	return start / JUMP_LINE != j->b.len / JUMP_LINE;
}

static void pad_to_line(struct jit *j, size_t start)
{
	j->b.len = start;
	x86_nop(&j->b, JUMP_LINE - start % JUMP_LINE);
}

static void compare_k(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	enum x86_reg dst = value(j, j->insn->dst_reg, X86_TMP2);

	if (j->desc->op == OP_JSET)
		x86_test_ri(&j->b, bits, dst, j->insn->imm);
	else if (j->insn->imm == 0)
		x86_test_rr(&j->b, bits, dst, dst);
	else
		x86_alu_ri(&j->b, X86_CMP, bits, dst, j->insn->imm);
}

static void compare_x(struct jit *j)
{
	enum x86_reg dst = value(j, j->insn->dst_reg, X86_TMP2), src = value(j, j->insn->src_reg, X86_TMP3);

	if (j->desc->op == OP_JSET)
		x86_test_rr(&j->b, j->desc->bits, dst, src);
	else
		x86_alu_rr(&j->b, X86_CMP, j->desc->bits, dst, src);
}

static int compare_and_jump(struct jit *j, void (*compare)(struct jit *j))
{
	const size_t start = j->b.len;

	compare(j);
	jump_to(j, cond_of(j->desc->op));
	if (crosses_line(j, start)) {
		pad_to_line(j, start);
		compare(j);
		jump_to(j, cond_of(j->desc->op));
	}
	return 0;
}

static int write_JMP_K(struct jit *j)
{
	return compare_and_jump(j, compare_k);
}

static int write_JMP_X(struct jit *j)
{
	return compare_and_jump(j, compare_x);
}

static void prologue(struct jit *j, const struct jit_func *f)
{
	struct x86_buf *b = &j->b;
	const bool is_entry = f->start == 0;

	if (is_entry)
		x86_endbr(b);
	for (unsigned r = 6; r <= 9; r++) {
		if (f->saved >> r & 1)
			x86_push(b, regs[r]);
	}
	if (is_entry && j->plan.needs_code) {
		x86_push(b, X86_CODE);
		x86_mov_rr(b, 64, X86_CODE, RSI);
	}
	if (f->alloc_bytes)
		x86_alu_ri(b, X86_SUB, 64, RSP, (int32_t)f->alloc_bytes);
}

static int write_RETURN(struct jit *j)
{
	const struct jit_func *f = j->func;
	struct x86_buf *b = &j->b;

	if (f->alloc_bytes)
		x86_alu_ri(b, X86_ADD, 64, RSP, (int32_t)f->alloc_bytes);
	if (f->start == 0 && j->plan.needs_code)
		x86_pop(b, X86_CODE);
	for (unsigned r = 9; r >= 6; r--) {
		if (f->saved >> r & 1)
			x86_pop(b, regs[r]);
	}
	x86_ret(b);
	return 0;
}

static int write_JUMP(struct jit *j)
{
	const uint32_t target = j->info->target;
	const struct jit_insn *to = &j->plan.insns[target];
	size_t start;

	if (to->desc->kind == KIND_RETURN)
		return write_RETURN(j);
	if (target == j->pc + 1)
		return 0;
	start = j->b.len;
	jump_to(j, X86_ALWAYS);
	if (crosses_line(j, start)) {
		pad_to_line(j, start);
		jump_to(j, X86_ALWAYS);
	}
	return 0;
}

static int write_JUMP32(struct jit *j)
{
	return write_JUMP(j);
}

/* r0 = prog_array_lookup(r1, r2) */
static void look_up(struct jit *j)
{
	struct x86_buf *b = &j->b;
	size_t to_null, done;

	x86_load(b, 32, RAX, x86_at(X86_R2, 0));
	x86_alu_rm(b, X86_CMP, 32, RAX, x86_at(X86_R1, offsetof(struct prog_array, entries)));
	to_null = x86_jump_ahead(b, X86_AE);
	x86_load(b, 32, X86_TMP1, x86_at(X86_R1, offsetof(struct prog_array, stride)));
	x86_imul_rr(b, 64, RAX, X86_TMP1);
	x86_alu_rm(b, X86_ADD, 64, RAX, x86_at(X86_R1, offsetof(struct prog_array, base)));
	done = x86_jump_ahead(b, X86_ALWAYS);
	x86_land(b, to_null);
	x86_mov_ri(b, RAX, 0);
	x86_land(b, done);
}

static int write_CALL_HELPER(struct jit *j)
{
	if (j->insn->imm == HELPER_MAP_LOOKUP_ELEM) {
		look_up(j);
		return 0;
	}
	if (j->plan.has_host_clock) {
		struct x86_mem sec = x86_at(RSP, offsetof(struct timespec, tv_sec));

		x86_mov_ri(&j->b, RDI, CLOCK_MONOTONIC);
		x86_mov_rr(&j->b, 64, RSI, RSP);
		x86_call_mem(&j->b, x86_at(X86_CODE, offsetof(struct engine_code, host_clock)));
		x86_imul_rmi(&j->b, 64, RAX, sec, HR_NSEC_PER_SEC);
		x86_alu_rm(&j->b, X86_ADD, 64, RAX, x86_at(RSP, offsetof(struct timespec, tv_nsec)));
		return 0;
	}
	x86_load(&j->b, 64, RDI, x86_at(X86_CODE, offsetof(struct engine_code, env)));
	x86_call_mem(&j->b, x86_at(X86_CODE, offsetof(struct engine_code, time)));
	return 0;
}

static int write_CALL_FUNC(struct jit *j)
{
	const struct jit_insn *to = &j->plan.insns[j->info->target];

	x86_call(&j->b, j->func_at[to->func]);
	return 0;
}

/* ---- constants and memory ---- */

static int write_IMM64(struct jit *j)
{
	x86_mov_ri(&j->b, dst_reg(j), (uint32_t)j->insn[0].imm | (uint64_t)(uint32_t)j->insn[1].imm << 32);
	return 0;
}

static int write_MAP_ADDR(struct jit *j)
{
	const uint64_t address = jit_map_address(&j->plan, j->pc);

	if (j->info->is_folded)
		return 0;
	if (address > UINT32_MAX && jit_reaches(&j->plan, address))
		x86_lea(&j->b, 64, dst_reg(j), (struct x86_mem){.is_rip = true, .disp = (int64_t)address});
	else
		x86_mov_ri(&j->b, dst_reg(j), address);
	return 0;
}

/* The env is the host's, so its address stays out of the code. */
static int write_MAP(struct jit *j)
{
	const size_t at = offsetof(struct prog_env, array) + (size_t)j->insn->imm * sizeof(struct prog_array);

	x86_load(&j->b, 64, dst_reg(j), x86_at(X86_CODE, offsetof(struct engine_code, env)));
	x86_alu_ri(&j->b, X86_ADD, 64, dst_reg(j), (int32_t)at);
	return 0;
}

static int write_LOAD(struct jit *j)
{
	x86_load(&j->b, j->desc->bits, dst_reg(j), mem_operand(j, j->insn->src_reg));
	return 0;
}

static int write_LOAD_S(struct jit *j)
{
	x86_load_sx(&j->b, j->desc->bits, dst_reg(j), mem_operand(j, j->insn->src_reg));
	return 0;
}

static int write_STORE_K(struct jit *j)
{
	x86_store_imm(&j->b, j->desc->bits, mem_operand(j, j->insn->dst_reg), j->insn->imm);
	return 0;
}

static int write_STORE_X(struct jit *j)
{
	enum x86_reg src = value(j, j->insn->src_reg, X86_TMP3);

	x86_store(&j->b, j->desc->bits, mem_operand(j, j->insn->dst_reg), src);
	return 0;
}

static int write_ATOMIC(struct jit *j)
{
	enum x86_reg src = value(j, j->insn->src_reg, X86_TMP3);

	x86_lock_alu(&j->b, alu_of(j->desc->op), j->desc->bits, mem_operand(j, j->insn->dst_reg), src);
	return 0;
}

/* There is no instruction that gives back the old value of or, and, xor: compare and exchange until it holds. */
static void fetch_loop(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	struct x86_mem m = mem_operand(j, j->insn->dst_reg);
	enum x86_reg src = regs[j->insn->src_reg], operand = src == RAX ? X86_TMP1 : src;
	struct x86_buf *b = &j->b;
	size_t again;

	x86_mov_rr(b, 64, X86_TMP1, RAX);
	if (!m.is_rip && m.base == RAX)
		m.base = X86_TMP1;
	x86_load(b, bits, RAX, m);
	again = b->len;
	x86_mov_rr(b, bits, X86_TMP2, RAX);
	x86_alu_rr(b, alu_of(j->desc->op), bits, X86_TMP2, operand);
	x86_lock_cmpxchg(b, bits, m, X86_TMP2);
	x86_jump(b, X86_NE, again, true);
	if (src == RAX)
		return;
	x86_mov_rr(b, bits, src, RAX);
	x86_mov_rr(b, 64, RAX, X86_TMP1);
}

static int write_ATOMIC_FETCH(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	struct x86_mem m = mem_operand(j, j->insn->dst_reg);

	switch (j->desc->op) {
	case OP_ADD:
		x86_lock_xadd(&j->b, bits, m, regs[j->insn->src_reg]);
		return 0;
	case OP_XCHG:
		x86_xchg(&j->b, bits, m, regs[j->insn->src_reg]);
		return 0;
	case OP_OR:
	case OP_AND:
	case OP_XOR:
		fetch_loop(j);
		return 0;
	default:
		return -EINVAL;
	}
}

static int write_ATOMIC_CMPXCHG(struct jit *j)
{
	enum x86_reg src = value(j, j->insn->src_reg, X86_TMP3);

	x86_lock_cmpxchg(&j->b, j->desc->bits, mem_operand(j, j->insn->dst_reg), src);
	if (j->desc->bits == 32) /* where they were equal, eax was not written */
		x86_mov_rr(&j->b, 32, RAX, RAX);
	return 0;
}

static int write_REFUSED(struct jit *j)
{
	(void)j;
	return -EINVAL;
}

/* ---- the whole ---- */

static int write_pair(struct jit *j)
{
	const struct bpf_insn *a = j->insn, *next = a + 1;
	const unsigned bits = j->info[1].desc->bits;
	struct x86_buf *b = &j->b;
	enum x86_reg dst = dst_reg(j);

	switch ((enum jit_pair)j->info->pair) {
	case PAIR_LEA_K:
		x86_lea(b, bits, dst, x86_at(regs[a->src_reg], j->info[1].desc->op == OP_SUB ? -next->imm : next->imm));
		return 0;
	case PAIR_LEA_SUM:
		x86_lea_sum(b, bits, dst, regs[a->src_reg], regs[next->src_reg]);
		return 0;
	case PAIR_MUL_K:
		x86_imul_rri(b, bits, dst, regs[a->src_reg], next->imm);
		return 0;
	case PAIR_MOVZX:
		x86_movzx_rr(b, next->imm == 0xff ? 8 : 16, dst, regs[a->src_reg]);
		return 0;
	case PAIR_ZERO32:
		x86_mov_rr(b, 32, dst, dst);
		return 0;
	case PAIR_MOVSX:
		x86_movsx_rr(b, bits, bits - (unsigned)a->imm, dst, dst);
		return 0;
	case PAIR_NONE:
		break;
	}
	return -EINVAL;
}

/* One row of the table, one function: a kind without a case does not compile. */
static int write_insn(struct jit *j)
{
	static int (*const write[INSN_COUNT])(struct jit * j) = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) [INSN_##id] = write_##kind,
#include "accel/insn.def"
	};

	return j->info->pair ? write_pair(j) : write[j->desc->id](j);
}

/* Writes all with the present idea of which jumps are long, and notes where everything lies. */
static int write_all(struct jit *j, bool *again)
{
	const struct prog *p = j->plan.prog;
	int rc = 0;

	*again = false;
	j->b.len = 0;
	for (j->pc = 0; j->pc < p->insn_count && !rc; j->pc++) {
		bool was_long;

		j->insn = &p->insns[j->pc];
		j->info = &j->plan.insns[j->pc];
		j->desc = j->info->desc;
		if (j->desc) {
			j->func = &j->plan.funcs[j->info->func];
			if (j->pc == j->func->start) {
				*again |= j->func_at[j->info->func] != j->b.len;
				j->func_at[j->info->func] = j->b.len;
				prologue(j, j->func);
			}
		}
		*again |= j->at[j->pc] != j->b.len;
		j->at[j->pc] = j->b.len;
		if (!j->desc || j->info->is_done)
			continue;
		was_long = j->info->is_long;
		rc = write_insn(j);
		*again |= was_long != j->info->is_long;
	}
	return rc;
}

/*
 * In the first pass nobody knows how far a jump goes: forward targets count as near. A pass that changed
 * nothing has used the right distances. Where everything lies follows from which jumps are long, and a jump never
 * becomes short again, so the passes come to an end.
 */
static int write_text(struct jit *j)
{
	bool again = true;
	int rc = 0;

	j->is_first_pass = true;
	while (again && !rc) {
		rc = write_all(j, &again);
		again |= j->is_first_pass;
		j->is_first_pass = false;
	}
	assert(rc || j->b.len <= j->b.room);
	return rc;
}

unsigned jit_features(void)
{
	return x86_features();
}

/* Where most of the data is: the state page, if it has one. */
static uint64_t data_address(const struct prog *p, const struct prog_env *env)
{
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (p->maps[i].role == MAP_STATE)
			return (uint64_t)(uintptr_t)env->map_base[i];
	}
	return 0;
}

int jit_prepare(const struct prog *p, const struct prog_env *env, unsigned features, struct engine_code *code)
{
	struct jit j = {.features = features};
	struct jit_mem mem = {0};
	int rc = jit_plan_prog(&j.plan, p, env, code->host_clock != NULL);

	if (rc)
		return rc;
	j.b.room = (size_t)p->insn_count * MAX_BYTES_PER_INSN + j.plan.func_count * MAX_BYTES_PER_FUNC;
	rc = jit_mem_reserve(j.b.room, data_address(p, env), &mem);
	if (rc)
		goto out;
	j.b.code = malloc(j.b.room);
	j.at = calloc(p->insn_count + 1, sizeof(*j.at));
	j.func_at = calloc(j.plan.func_count, sizeof(*j.func_at));
	rc = -ENOMEM;
	if (!j.b.code || !j.at || !j.func_at)
		goto out;
	j.b.address = j.plan.text_first = (uint64_t)(uintptr_t)jit_mem_text(&mem);
	j.plan.text_last = j.plan.text_first + j.b.room;
	jit_plan_code(&j.plan);
	rc = write_text(&j);
	if (!rc)
		rc = jit_mem_commit(&mem, j.b.code, j.b.len);
	if (rc)
		goto out;
	code->text = jit_mem_text(&mem);
	code->text_bytes = j.b.len;
	code->mem = mem;
	code->run = (uint64_t(*)(void *, const struct engine_code *))code->text;
out:
	if (rc)
		jit_mem_free(&mem);
	free(j.func_at);
	free(j.at);
	free(j.b.code);
	jit_plan_free(&j.plan);
	return rc;
}

void jit_free(struct engine_code *code)
{
	if (code->text)
		jit_mem_free(&code->mem);
}

#endif
