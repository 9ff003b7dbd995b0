/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit_x86.c: the encoders of jit_x86.h. An instruction is: prefixes, REX, opcode, ModRM, SIB,
 * displacement, immediate ([SDM] vol. 2, chapter 2); insn_rr() and insn_mem() write all but the immediate.
 */
#include "accel/jit.h"

#if JIT_AVAILABLE

#include "accel/jit_x86.h"

#include <assert.h>
#include <cpuid.h>
#include <string.h>

unsigned x86_features(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return 0;
	return b & bit_BMI2 ? X86_BMI2 : 0;
}

void x86_bytes(struct x86_buf *b, const void *bytes, size_t len)
{
	if (b->len + len <= b->room)
		memcpy(b->code + b->len, bytes, len);
	b->len += len;
}

static void put8(struct x86_buf *b, unsigned v)
{
	uint8_t byte = (uint8_t)v;

	x86_bytes(b, &byte, 1);
}

static void put16(struct x86_buf *b, unsigned v)
{
	uint16_t half = (uint16_t)v;

	x86_bytes(b, &half, 2);
}

static void put32(struct x86_buf *b, int64_t v)
{
	uint32_t word = (uint32_t)v;

	x86_bytes(b, &word, 4);
}

static bool is_int8(int64_t v)
{
	return v == (int8_t)v;
}

#define REX 0x40u
#define REX_W 0x08u
#define REX_R 0x04u
#define REX_B 0x01u

/* Opcodes of more than a byte begin with 0x0f; 0x0fb6 is two bytes. */
static void opcode_bytes(struct x86_buf *b, unsigned opcode)
{
	if (opcode > 0xff)
		put8(b, opcode >> 8);
	put8(b, opcode);
}

/* Without a REX prefix, byte registers 4 to 7 would be ah to bh. */
static bool needs_rex8(unsigned width, unsigned reg)
{
	return width == 8 && reg >= RSP && reg <= RDI;
}

/* `width` is that of the operands; rex8 forces a prefix. */
static void prefixes(struct x86_buf *b, unsigned width, unsigned reg, unsigned rm, bool rex8)
{
	unsigned rex = (width == 64 ? REX_W : 0) | (reg & 8 ? REX_R : 0) | (rm & 8 ? REX_B : 0);

	if (width == 16)
		put8(b, 0x66);
	if (rex || rex8)
		put8(b, REX | rex);
}

static void insn_rr(struct x86_buf *b, unsigned width, unsigned opcode, unsigned reg, unsigned rm)
{
	prefixes(b, width, reg, rm, needs_rex8(width, reg) || needs_rex8(width, rm));
	opcode_bytes(b, opcode);
	put8(b, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* ModRM, SIB and displacement. `tail`: bytes of the immediate that follows, since rip is counted from the end. */
static void operand(struct x86_buf *b, unsigned reg, struct x86_mem m, unsigned tail)
{
	unsigned rm = m.base & 7, mod;

	reg = (reg & 7) << 3;
	if (m.is_rip) {
		put8(b, reg | 5);
		put32(b, m.disp - (int64_t)(b->address + b->len + 4 + tail));
		return;
	}
	mod = m.disp == 0 && rm != RBP ? 0x00 : is_int8(m.disp) ? 0x40 : 0x80;
	put8(b, mod | reg | rm);
	if (rm == RSP)
		put8(b, 0x24); /* no index, base rsp or r12 */
	if (mod == 0x40)
		put8(b, (unsigned)m.disp);
	else if (mod == 0x80)
		put32(b, m.disp);
}

/* `width` decides prefixes; `reg8`: reg is a byte register. */
static void insn_mem(
	struct x86_buf *b, unsigned width, unsigned opcode, unsigned reg, struct x86_mem m, bool reg8, unsigned tail)
{
	prefixes(b, width, reg, m.is_rip ? 0 : m.base, reg8 && needs_rex8(8, reg));
	opcode_bytes(b, opcode);
	operand(b, reg, m, tail);
}

/* Most opcodes come in pairs: the even one for bytes. */
static unsigned wide(unsigned opcode, unsigned width)
{
	return width == 8 ? opcode : opcode | 1;
}

void x86_alu_rr(struct x86_buf *b, enum x86_alu op, unsigned bits, enum x86_reg dst, enum x86_reg src)
{
	insn_rr(b, bits, op << 3 | 1, src, dst);
}

void x86_alu_ri(struct x86_buf *b, enum x86_alu op, unsigned bits, enum x86_reg dst, int32_t imm)
{
	/* 128 does not fit a signed byte, -128 does */
	if (imm == 128 && (op == X86_ADD || op == X86_SUB)) {
		op = op == X86_ADD ? X86_SUB : X86_ADD;
		imm = -128;
	}
	/* with a zero upper half of the mask the 32-bit form does the same */
	if (op == X86_AND && imm >= 0)
		bits = 32;
	if (is_int8(imm)) {
		insn_rr(b, bits, 0x83, op, dst);
		put8(b, (unsigned)imm);
	} else if (dst == RAX) {
		prefixes(b, bits, 0, 0, false);
		put8(b, op << 3 | 5);
		put32(b, imm);
	} else {
		insn_rr(b, bits, 0x81, op, dst);
		put32(b, imm);
	}
}

void x86_alu_rm(struct x86_buf *b, enum x86_alu op, unsigned bits, enum x86_reg dst, struct x86_mem m)
{
	insn_mem(b, bits, op << 3 | 3, dst, m, false, 0);
}

void x86_test_rr(struct x86_buf *b, unsigned bits, enum x86_reg a, enum x86_reg c)
{
	insn_rr(b, bits, 0x85, c, a);
}

void x86_test_ri(struct x86_buf *b, unsigned bits, enum x86_reg a, int32_t imm)
{
	/* only "is it zero" counts for us, so the mask says how much has to be looked at */
	if (imm >= 0)
		bits = 32;
	if (imm >= 0 && imm <= 0xff) {
		if (a == RAX) {
			put8(b, 0xa8);
		} else {
			insn_rr(b, 8, 0xf6, 0, a);
		}
		put8(b, (unsigned)imm);
		return;
	}
	if (a == RAX) {
		prefixes(b, bits, 0, 0, false);
		put8(b, 0xa9);
	} else {
		insn_rr(b, bits, 0xf7, 0, a);
	}
	put32(b, imm);
}

void x86_cmp_mi(struct x86_buf *b, unsigned width, struct x86_mem m, int32_t imm)
{
	if (width == 8 || is_int8(imm)) {
		insn_mem(b, width, width == 8 ? 0x80 : 0x83, X86_CMP, m, false, 1);
		put8(b, (unsigned)imm);
	} else {
		insn_mem(b, width, 0x81, X86_CMP, m, false, 4);
		put32(b, imm);
	}
}

void x86_test_mi(struct x86_buf *b, unsigned width, struct x86_mem m, int32_t imm)
{
	insn_mem(b, width, wide(0xf6, width), 0, m, false, width == 8 ? 1 : 4);
	if (width == 8)
		put8(b, (unsigned)imm);
	else
		put32(b, imm);
}

void x86_unary(struct x86_buf *b, enum x86_unary op, unsigned bits, enum x86_reg reg)
{
	insn_rr(b, bits, 0xf7, op, reg);
}

void x86_imul_rr(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg src)
{
	insn_rr(b, bits, 0x0faf, dst, src);
}

void x86_imul_rri(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg src, int32_t imm)
{
	insn_rr(b, bits, is_int8(imm) ? 0x6b : 0x69, dst, src);
	if (is_int8(imm))
		put8(b, (unsigned)imm);
	else
		put32(b, imm);
}

void x86_imul_rmi(struct x86_buf *b, unsigned bits, enum x86_reg dst, struct x86_mem m, int32_t imm)
{
	insn_mem(b, bits, is_int8(imm) ? 0x6b : 0x69, dst, m, false, is_int8(imm) ? 1 : 4);
	if (is_int8(imm))
		put8(b, (unsigned)imm);
	else
		put32(b, imm);
}

void x86_sign_extend_a(struct x86_buf *b, unsigned bits)
{
	prefixes(b, bits, 0, 0, false);
	put8(b, 0x99);
}

void x86_shift_ri(struct x86_buf *b, enum x86_shift op, unsigned bits, enum x86_reg dst, unsigned count)
{
	if (count == 1) {
		insn_rr(b, bits, 0xd1, op, dst);
		return;
	}
	insn_rr(b, bits, 0xc1, op, dst);
	put8(b, count);
}

void x86_shift_cl(struct x86_buf *b, enum x86_shift op, unsigned bits, enum x86_reg dst)
{
	insn_rr(b, bits, 0xd3, op, dst);
}

void x86_shift_bmi2(
	struct x86_buf *b, enum x86_shift op, unsigned bits, enum x86_reg dst, enum x86_reg src, enum x86_reg count)
{
	/* VEX.LZ.pp.0F38.W F7 /r, the count in vvvv; every field but pp and W inverted */
	unsigned pp = op == X86_SHL ? 1 : op == X86_SAR ? 2 : 3;

	put8(b, 0xc4);
	put8(b, (dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 2);
	put8(b, (bits == 64 ? 0x80u : 0) | (~(unsigned)count & 15) << 3 | pp);
	put8(b, 0xf7);
	put8(b, 0xc0 | (dst & 7) << 3 | (src & 7));
}

void x86_bswap(struct x86_buf *b, unsigned bits, enum x86_reg dst)
{
	prefixes(b, bits, 0, dst, false);
	put8(b, 0x0f);
	put8(b, 0xc8 | (dst & 7));
}

void x86_lea(struct x86_buf *b, unsigned bits, enum x86_reg dst, struct x86_mem m)
{
	insn_mem(b, bits, 0x8d, dst, m, false, 0);
}

void x86_lea_sum(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg a, enum x86_reg c)
{
	unsigned rex = REX | (bits == 64 ? REX_W : 0) | (dst & 8 ? REX_R : 0);
	enum x86_reg base = a, index = c;

	assert(a != RSP && c != RSP);
	if ((base & 7) == RBP) { /* as a base it would need a displacement */
		base = c;
		index = a;
	}
	rex |= (index & 8 ? 2u : 0) | (base & 8 ? REX_B : 0);
	if (rex != REX)
		put8(b, rex);
	put8(b, 0x8d);
	put8(b, ((base & 7) == RBP ? 0x44u : 0x04u) | (dst & 7) << 3);
	put8(b, (index & 7) << 3 | (base & 7));
	if ((base & 7) == RBP)
		put8(b, 0);
}

void x86_mov_rr(struct x86_buf *b, unsigned bits, enum x86_reg dst, enum x86_reg src)
{
	insn_rr(b, bits, 0x89, src, dst);
}

void x86_mov_ri(struct x86_buf *b, enum x86_reg dst, uint64_t imm)
{
	if (imm == 0) {
		x86_alu_rr(b, X86_XOR, 32, dst, dst);
	} else if (imm <= UINT32_MAX) {
		prefixes(b, 32, 0, dst, false);
		put8(b, 0xb8 | (dst & 7));
		put32(b, (int64_t)imm);
	} else if ((int64_t)imm == (int32_t)imm) {
		insn_rr(b, 64, 0xc7, 0, dst);
		put32(b, (int64_t)imm);
	} else {
		prefixes(b, 64, 0, dst, false);
		put8(b, 0xb8 | (dst & 7));
		x86_bytes(b, &imm, 8);
	}
}

void x86_movzx_rr(struct x86_buf *b, unsigned from, enum x86_reg dst, enum x86_reg src)
{
	if (from == 32) {
		x86_mov_rr(b, 32, dst, src);
		return;
	}
	prefixes(b, 32, dst, src, needs_rex8(from, src));
	opcode_bytes(b, from == 8 ? 0x0fb6 : 0x0fb7);
	put8(b, 0xc0 | (dst & 7) << 3 | (src & 7));
}

void x86_movsx_rr(struct x86_buf *b, unsigned bits, unsigned from, enum x86_reg dst, enum x86_reg src)
{
	prefixes(b, bits, dst, src, needs_rex8(from, src));
	opcode_bytes(b, from == 8 ? 0x0fbe : from == 16 ? 0x0fbf : 0x63);
	put8(b, 0xc0 | (dst & 7) << 3 | (src & 7));
}

void x86_xchg_rr(struct x86_buf *b, enum x86_reg a, enum x86_reg c)
{
	insn_rr(b, 64, 0x87, a, c);
}

void x86_load(struct x86_buf *b, unsigned width, enum x86_reg dst, struct x86_mem m)
{
	if (width >= 32)
		insn_mem(b, width, 0x8b, dst, m, false, 0);
	else
		insn_mem(b, 32, width == 8 ? 0x0fb6 : 0x0fb7, dst, m, false, 0);
}

void x86_load_sx(struct x86_buf *b, unsigned width, enum x86_reg dst, struct x86_mem m)
{
	insn_mem(b, 64, width == 8 ? 0x0fbe : width == 16 ? 0x0fbf : 0x63, dst, m, false, 0);
}

void x86_store(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg src)
{
	insn_mem(b, width, wide(0x88, width), src, m, width == 8, 0);
}

void x86_store_imm(struct x86_buf *b, unsigned width, struct x86_mem m, int32_t imm)
{
	insn_mem(b, width, wide(0xc6, width), 0, m, false, width == 8 ? 1 : width == 16 ? 2 : 4);
	if (width == 8)
		put8(b, (unsigned)imm);
	else if (width == 16)
		put16(b, (unsigned)imm);
	else
		put32(b, imm);
}

#define LOCK 0xf0

void x86_lock_alu(struct x86_buf *b, enum x86_alu op, unsigned width, struct x86_mem m, enum x86_reg src)
{
	put8(b, LOCK);
	insn_mem(b, width, op << 3 | 1, src, m, false, 0);
}

void x86_lock_xadd(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg reg)
{
	put8(b, LOCK);
	insn_mem(b, width, 0x0fc1, reg, m, false, 0);
}

void x86_lock_cmpxchg(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg src)
{
	put8(b, LOCK);
	insn_mem(b, width, 0x0fb1, src, m, false, 0);
}

void x86_xchg(struct x86_buf *b, unsigned width, struct x86_mem m, enum x86_reg reg)
{
	insn_mem(b, width, 0x87, reg, m, false, 0);
}

void x86_jump(struct x86_buf *b, enum x86_cond cond, size_t target, bool is_short)
{
	if (is_short) {
		put8(b, cond == X86_ALWAYS ? 0xeb : 0x70 | cond);
		put8(b, (unsigned)(target - (b->len + 1)));
		return;
	}
	if (cond == X86_ALWAYS) {
		put8(b, 0xe9);
	} else {
		put8(b, 0x0f);
		put8(b, 0x80 | cond);
	}
	put32(b, (int64_t)target - (int64_t)(b->len + 4));
}

void x86_call(struct x86_buf *b, size_t target)
{
	put8(b, 0xe8);
	put32(b, (int64_t)target - (int64_t)(b->len + 4));
}

void x86_call_mem(struct x86_buf *b, struct x86_mem m)
{
	insn_mem(b, 32, 0xff, 2, m, false, 0);
}

void x86_push(struct x86_buf *b, enum x86_reg reg)
{
	prefixes(b, 32, 0, reg, false);
	put8(b, 0x50 | (reg & 7));
}

void x86_pop(struct x86_buf *b, enum x86_reg reg)
{
	prefixes(b, 32, 0, reg, false);
	put8(b, 0x58 | (reg & 7));
}

void x86_ret(struct x86_buf *b)
{
	put8(b, 0xc3);
}

void x86_endbr(struct x86_buf *b)
{
	x86_bytes(b, "\xf3\x0f\x1e\xfa", 4);
}

void x86_nop(struct x86_buf *b, size_t bytes)
{
	/* [SDM] vol. 2, NOP: the recommended sequences */
	static const char *const nops[] = {"", "\x90", "\x66\x90", "\x0f\x1f\x00", "\x0f\x1f\x40\x00",
		"\x0f\x1f\x44\x00\x00", "\x66\x0f\x1f\x44\x00\x00", "\x0f\x1f\x80\x00\x00\x00\x00",
		"\x0f\x1f\x84\x00\x00\x00\x00\x00", "\x66\x0f\x1f\x84\x00\x00\x00\x00\x00"};
	const size_t longest = sizeof(nops) / sizeof(nops[0]) - 1;

	while (bytes > 0) {
		size_t n = bytes < longest ? bytes : longest;

		x86_bytes(b, nops[n], n);
		bytes -= n;
	}
}

size_t x86_jump_ahead(struct x86_buf *b, enum x86_cond cond)
{
	x86_jump(b, cond, b->len + 2, true);
	return b->len;
}

void x86_land(struct x86_buf *b, size_t jump)
{
	assert(b->len - jump <= 127);
	if (b->len <= b->room)
		b->code[jump - 1] = (uint8_t)(b->len - jump);
}

#endif
