/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_alu.c: the code for arithmetic. Results are those of RFC 9669 (insn.def): a quotient by zero is 0, a
 * remainder the dividend, shifts use the low bits of their count, 32-bit results clear the upper half.
 */
#include "accel/jit.h"

#if JIT_AVAILABLE

#include <errno.h>

#include "accel/jit_code.h"

/* ---- division ---- */

/* rax and rdx are needed for something else: keeps r0 and r3 if anybody wants them. */
struct kept {
	bool rax, rdx;
};

static struct kept keep(struct jit *j)
{
	enum x86_reg dst = jit_dst(j);
	struct kept k = {.rax = dst != RAX && jit_is_live(j, 0), .rdx = dst != RDX && jit_is_live(j, 3)};

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
	enum x86_reg dst = jit_dst(j);
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
	enum x86_reg divisor = jit_value(j, j->insn->src_reg, X86_TMP3);

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
	enum x86_reg dst = jit_dst(j), n = dst;
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
	enum x86_reg dst = jit_dst(j);
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
	enum x86_reg dst = jit_dst(j), count = jit_value(j, j->insn->src_reg, X86_TMP3);
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

int jit_write_ALU_K(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	const int32_t imm = j->insn->imm;
	enum x86_reg dst = jit_dst(j);
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
		x86_alu_ri(b, jit_alu_of(j->desc->op), bits, dst, imm);
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

int jit_write_ALU_X(struct jit *j)
{
	const unsigned bits = j->desc->bits;
	enum x86_reg dst = jit_dst(j);
	struct x86_buf *b = &j->b;

	switch (j->desc->op) {
	case OP_MOV:
		if (j->insn->src_reg == 10 && bits == 64)
			jit_load_frame_pointer(j, dst);
		else if (j->insn->src_reg != j->insn->dst_reg || bits == 32)
			x86_mov_rr(b, bits, dst, jit_value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_MOVSX:
		x86_movsx_rr(b, bits, (unsigned)j->insn->off, dst, jit_value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_ADD:
	case OP_SUB:
	case OP_OR:
	case OP_AND:
	case OP_XOR:
		x86_alu_rr(b, jit_alu_of(j->desc->op), bits, dst, jit_value(j, j->insn->src_reg, X86_TMP3));
		return 0;
	case OP_MUL:
		x86_imul_rr(b, bits, dst, jit_value(j, j->insn->src_reg, X86_TMP3));
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

int jit_write_ALU_1(struct jit *j)
{
	enum x86_reg dst = jit_dst(j);
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

#endif
