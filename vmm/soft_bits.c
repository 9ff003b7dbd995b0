/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_bits.c: shifts, rotates and bit tests of the software CPU ([SDM2]).
 *
 * libx86emu takes no count modulo 32, which compilers rely on for 64-bit shifts, and leaves wrong
 * flags behind. Flags that the manual leaves undefined are those of the last single-bit step.
 */
#include "vmm/soft.h"

/* ROL ROR RCL RCR SHL SHR SAL SAR, in the order of the opcode extension. */
enum { ROL, ROR, RCL, RCR, SHL, SHR, SAL, SAR };

struct shifted {
	uint32_t value;
	bool cf, of;
};

/*
 * count is 1..31. One bit after the other is what the manual defines; at most 31 steps of a few
 * instructions each are less than the library spends on decoding.
 */
static struct shifted rotate(unsigned op, uint32_t v, unsigned count, unsigned bits, bool cf)
{
	uint32_t top = 1u << (bits - 1);
	bool in;

	while (count--) {
		switch (op) {
		case ROL:
			cf = v & top;
			v = v << 1 | cf;
			break;
		case ROR:
			cf = v & 1;
			v = v >> 1 | (cf ? top : 0);
			break;
		case RCL:
			in = cf;
			cf = v & top;
			v = v << 1 | in;
			break;
		default:
			in = cf;
			cf = v & 1;
			v = v >> 1 | (in ? top : 0);
			break;
		}
		v &= top | (top - 1);
	}
	if (op == ROL || op == RCL)
		return (struct shifted){v, cf, !(v & top) != !cf};
	return (struct shifted){v, cf, !(v & top) != !(v & top >> 1)};
}

/* count is 1..31, which may be more than the operand has bits. */
static struct shifted shift(unsigned op, uint32_t v, unsigned count, unsigned bits)
{
	uint32_t top = 1u << (bits - 1), mask = top | (top - 1);
	uint64_t wide;

	switch (op) {
	case SHR:
		wide = (uint64_t)v << 1 >> count; /* bit 0: the last one out */
		return (struct shifted){(uint32_t)(wide >> 1), wide & 1, v & top};
	case SAR:
		wide = (uint64_t)((int64_t)(int32_t)(v << (32 - bits)) >> (32 - bits)) * 2;
		wide = (uint64_t)((int64_t)wide >> count);
		return (struct shifted){(uint32_t)(wide >> 1) & mask, wide & 1, false};
	default:
		wide = (uint64_t)v << count;
		return (struct shifted){
			(uint32_t)wide & mask, wide >> bits & 1, (wide >> bits & 1) != (wide >> (bits - 1) & 1)};
	}
}

static uint32_t with_flag(uint32_t flags, uint32_t flag, bool on)
{
	return on ? flags | flag : flags & ~flag;
}

/* ZF, SF, PF of a result. */
static uint32_t with_result(uint32_t flags, uint32_t v, unsigned bits)
{
	flags = with_flag(flags, FB_ZF, !v);
	flags = with_flag(flags, FB_SF, v >> (bits - 1) & 1);
	return with_flag(flags, FB_PF, !(__builtin_popcount(v & 0xff) & 1));
}

/* C0, C1 (count in the instruction), D0, D1 (1), D2, D3 (CL). A count of 0 changes no flag. */
enum soft_verdict soft_shift(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = !(in->op & 1) ? 1 : in->data32 ? 4 : 2, bits = 8 * size, count, op;
	uint8_t modrm = soft_take(c, in);
	struct soft_operand o = soft_operand_of(c, in, modrm);
	struct shifted r;
	uint32_t v;

	count = (in->op < 0xd0 ? soft_take(c, in) : in->op < 0xd2 ? 1 : x->R_CL) & 31;
	if (!soft_operand_read(c, &o, size, &v))
		return soft_gp(c, 0);
	op = modrm >> 3 & 7;
	if (count) {
		r = op < SHL ? rotate(op, v, count, bits, x->R_EFLG & FB_CF) : shift(op, v, count, bits);
		x->R_EFLG = with_flag(with_flag(x->R_EFLG, FB_CF, r.cf), FB_OF, r.of);
		if (op >= SHL)
			x->R_EFLG = with_result(x->R_EFLG, r.value, bits);
		soft_operand_write(c, &o, size, r.value);
	}
	return soft_next(c, in->ip);
}

/* 0F A4, A5 SHLD, 0F AC, AD SHRD. 16 bits by more than 16 is undefined; here the pair rotates on. */
enum soft_verdict soft_double_shift(struct soft_cpu *c, struct soft_insn *in, uint8_t op2)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2, bits = 8 * size, count;
	uint8_t modrm = soft_take(c, in);
	struct soft_operand o = soft_operand_of(c, in, modrm);
	uint32_t dst, src = soft_reg_read(c, modrm >> 3 & 7, size), r;
	uint64_t pair;
	bool cf;

	count = (op2 & 1 ? x->R_CL : soft_take(c, in)) & 31;
	if (!soft_operand_read(c, &o, size, &dst))
		return soft_gp(c, 0);
	if (!count)
		return soft_next(c, in->ip);
	if (op2 < 0xa8) {
		pair = ((uint64_t)dst << bits | src) << (64 - 2 * bits);
		pair = size == 2 ? pair | pair >> 32 : pair;
		cf = pair >> (64 - count) & 1;
		r = (uint32_t)(pair << count >> (64 - bits));
	} else {
		pair = (uint64_t)src << bits | dst;
		pair = size == 2 ? pair | pair << 32 : pair;
		cf = pair >> (count - 1) & 1;
		r = (uint32_t)hr_mask(pair >> count, size);
	}
	x->R_EFLG = with_flag(with_flag(x->R_EFLG, FB_CF, cf), FB_OF, (r ^ dst) >> (bits - 1) & 1);
	x->R_EFLG = with_result(x->R_EFLG, r, bits);
	soft_operand_write(c, &o, size, r);
	return soft_next(c, in->ip);
}

/* 0F A3 BT, AB BTS, B3 BTR, BB BTC r/m, r; 0F BA /4../7 r/m, imm8. */
enum soft_verdict soft_bit_test(struct soft_cpu *c, struct soft_insn *in, uint8_t op2)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2, bits = 8 * size, what;
	uint8_t modrm = soft_take(c, in);
	struct soft_operand o = soft_operand_of(c, in, modrm);
	uint32_t v, index, bit;

	what = op2 == 0xba ? modrm >> 3 & 7 : op2 >> 3 & 7;
	if (op2 == 0xba && what < 4)
		return soft_fault(c, EXC_UD, false, 0);
	if (op2 == 0xba) {
		index = soft_take(c, in);
	} else {
		index = soft_reg_read(c, modrm >> 3 & 7, size);
		if (!o.is_reg) { /* a signed bit offset reaches beyond the operand */
			int32_t units = size == 2 ? (int16_t)index >> 4 : (int32_t)index >> 5;

			o.ofs += (uint32_t)units * size;
			if (!in->addr32)
				o.ofs &= 0xffff;
		}
	}
	bit = 1u << (index & (bits - 1));
	if (!soft_operand_read(c, &o, size, &v))
		return soft_gp(c, 0);
	x->R_EFLG = with_flag(x->R_EFLG, FB_CF, v & bit);
	if (what != 4)
		soft_operand_write(c, &o, size, what == 5 ? v | bit : what == 6 ? v & ~bit : v ^ bit);
	return soft_next(c, in->ip);
}
