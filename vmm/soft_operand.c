/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_operand.c: operands of the instructions that the software CPU executes itself: general
 * registers by number and size, and ModRM with its displacement ([SDM2] ModR/M and SIB Bytes).
 */
#include "vmm/soft.h"

static inline uint32_t next_ip(const struct soft_cpu *c, uint32_t ip)
{
	return soft_code32(c) ? ip + 1 : (ip & 0xffff0000) | ((ip + 1) & 0xffff);
}

uint8_t soft_take(struct soft_cpu *c, struct soft_insn *in)
{
	uint8_t b = soft_code(c, c->emu->x86.R_CS_BASE + in->ip);

	in->ip = next_ip(c, in->ip);
	in->len++;
	return b;
}

/* Little-endian immediate or displacement. */
uint32_t soft_take_value(struct soft_cpu *c, struct soft_insn *in, unsigned size)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)soft_take(c, in) << (8 * i);
	return v;
}

u32 *soft_reg(struct soft_cpu *c, unsigned n)
{
	x86emu_regs_t *x = &c->emu->x86;
	u32 *const regs[8] = {&x->R_EAX, &x->R_ECX, &x->R_EDX, &x->R_EBX, &x->R_ESP, &x->R_EBP, &x->R_ESI, &x->R_EDI};

	return regs[n & 7];
}

uint32_t soft_reg_read(struct soft_cpu *c, unsigned n, unsigned size)
{
	if (size == 1)
		return *soft_reg(c, n & 3) >> (n & 4 ? 8 : 0) & 0xff;
	return size == 2 ? *soft_reg(c, n) & 0xffff : *soft_reg(c, n);
}

void soft_reg_write(struct soft_cpu *c, unsigned n, unsigned size, uint32_t v)
{
	u32 *r = soft_reg(c, size == 1 ? n & 3 : n);
	unsigned shift = size == 1 && (n & 4) ? 8 : 0;
	uint32_t mask = size == 4 ? 0xffffffff : size == 2 ? 0xffff : 0xffu << shift;

	*r = (*r & ~mask) | (v << shift & mask);
}

static uint32_t sib_address(struct soft_cpu *c, struct soft_insn *in, unsigned mod, bool *stack)
{
	unsigned sib = soft_take(c, in), base = sib & 7, index = sib >> 3 & 7;
	uint32_t ofs;

	if (base == 5 && mod == 0) {
		ofs = soft_take_value(c, in, 4);
	} else {
		ofs = *soft_reg(c, base);
		*stack = base == 4 || base == 5;
	}
	return index == 4 ? ofs : ofs + (*soft_reg(c, index) << (sib >> 6));
}

static uint32_t address16(struct soft_cpu *c, struct soft_insn *in, unsigned mod, unsigned rm, bool *stack)
{
	const x86emu_regs_t *x = &c->emu->x86;
	uint32_t ofs;

	*stack = rm == 2 || rm == 3 || (rm == 6 && mod);
	switch (rm) {
	case 0:
		ofs = (uint32_t)x->R_BX + x->R_SI;
		break;
	case 1:
		ofs = (uint32_t)x->R_BX + x->R_DI;
		break;
	case 2:
		ofs = (uint32_t)x->R_BP + x->R_SI;
		break;
	case 3:
		ofs = (uint32_t)x->R_BP + x->R_DI;
		break;
	case 4:
		ofs = x->R_SI;
		break;
	case 5:
		ofs = x->R_DI;
		break;
	case 6:
		ofs = mod ? x->R_BP : soft_take_value(c, in, 2);
		break;
	default:
		ofs = x->R_BX;
		break;
	}
	if (mod == 1)
		ofs += (uint32_t)(int8_t)soft_take(c, in);
	else if (mod == 2)
		ofs += soft_take_value(c, in, 2);
	return ofs & 0xffff;
}

static uint32_t address32(struct soft_cpu *c, struct soft_insn *in, unsigned mod, unsigned rm, bool *stack)
{
	uint32_t ofs;

	*stack = rm == 5 && mod;
	if (rm == 4)
		ofs = sib_address(c, in, mod, stack);
	else if (rm == 5 && mod == 0)
		ofs = soft_take_value(c, in, 4);
	else
		ofs = *soft_reg(c, rm);
	if (mod == 1)
		ofs += (uint32_t)(int8_t)soft_take(c, in);
	else if (mod == 2)
		ofs += soft_take_value(c, in, 4);
	return ofs;
}

struct soft_operand soft_operand_of(struct soft_cpu *c, struct soft_insn *in, uint8_t modrm)
{
	struct soft_operand o = {.is_reg = modrm >= 0xc0, .reg = modrm & 7};
	bool stack;

	if (o.is_reg)
		return o;
	o.ofs = in->addr32 ? address32(c, in, modrm >> 6, modrm & 7, &stack)
			   : address16(c, in, modrm >> 6, modrm & 7, &stack);
	o.seg = in->seg ? in->seg : &c->emu->x86.seg[stack ? R_SS_INDEX : R_DS_INDEX];
	return o;
}

bool soft_operand_read(struct soft_cpu *c, const struct soft_operand *o, unsigned size, uint32_t *v)
{
	if (o->is_reg) {
		*v = soft_reg_read(c, o->reg, size);
		return true;
	}
	if (!soft_in_limit(o->seg, o->ofs, size))
		return false;
	*v = soft_load(c, o->seg->base + o->ofs, size);
	return true;
}

void soft_operand_write(struct soft_cpu *c, const struct soft_operand *o, unsigned size, uint32_t v)
{
	if (o->is_reg)
		soft_reg_write(c, o->reg, size, v);
	else
		soft_store(c, o->seg->base + o->ofs, v, size);
}
