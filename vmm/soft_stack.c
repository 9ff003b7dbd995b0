/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_stack.c: PUSHF, POPF, POP r/m and ENTER of the software CPU, and decimal adjustment
 * ([SDM2]). A fault in the middle of one leaves the stack pointer as it was.
 */
#include "vmm/soft.h"

static uint32_t stack_mask(const struct soft_cpu *c)
{
	return soft_stack32(c) ? 0xffffffff : 0xffff;
}

static void set_sp(struct soft_cpu *c, uint32_t sp)
{
	uint32_t mask = stack_mask(c);

	c->emu->x86.R_ESP = (c->emu->x86.R_ESP & ~mask) | (sp & mask);
}

static bool stack_read(struct soft_cpu *c, uint32_t sp, unsigned size, uint32_t *v)
{
	const sel_t *ss = &c->emu->x86.seg[R_SS_INDEX];

	sp &= stack_mask(c);
	if (!soft_in_limit(ss, sp, size))
		return false;
	*v = soft_load(c, ss->base + sp, size);
	return true;
}

static bool stack_write(struct soft_cpu *c, uint32_t sp, unsigned size, uint32_t v)
{
	const sel_t *ss = &c->emu->x86.seg[R_SS_INDEX];

	sp &= stack_mask(c);
	if (!soft_in_limit(ss, sp, size))
		return false;
	soft_store(c, ss->base + sp, v, size);
	return true;
}

enum soft_verdict soft_push_flags(struct soft_cpu *c, const struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2;

	if (!stack_write(c, x->R_ESP - size, size, (x->R_EFLG & ~(FL_VM | FL_RF)) | F_ALWAYS_ON))
		return soft_fault(c, EXC_SS, true, 0);
	set_sp(c, x->R_ESP - size);
	return soft_next(c, in->ip);
}

enum soft_verdict soft_pop_flags(struct soft_cpu *c, const struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2;
	uint32_t settable = FB_CF | FB_PF | FB_AF | FB_ZF | FB_SF | FB_TF | FB_IF | FB_DF | FB_OF | FL_IOPL | FL_NT;
	uint32_t v;

	if (in->data32)
		settable |= FL_AC | FB_ID;
	if (!stack_read(c, x->R_ESP, size, &v))
		return soft_fault(c, EXC_SS, true, 0);
	set_sp(c, x->R_ESP + size);
	x->R_EFLG = (x->R_EFLG & ~settable) | (v & settable) | F_ALWAYS_ON;
	return soft_next(c, in->ip);
}

/* 8F /0: an address that uses ESP is worked out with ESP already moved. */
enum soft_verdict soft_pop(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2;
	uint8_t modrm = soft_take(c, in);
	struct soft_operand o;
	uint32_t v;

	if (modrm >> 3 & 7)
		return soft_fault(c, EXC_UD, false, 0);
	if (!stack_read(c, x->R_ESP, size, &v))
		return soft_fault(c, EXC_SS, true, 0);
	set_sp(c, x->R_ESP + size);
	o = soft_operand_of(c, in, modrm);
	if (!o.is_reg && !soft_in_limit(o.seg, o.ofs, size))
		return soft_gp(c, 0);
	soft_operand_write(c, &o, size, v);
	return soft_next(c, in->ip);
}

/* C8: frame pointers are pushed at operand size, and followed at the stack's address size. */
enum soft_verdict soft_enter(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2, level, i;
	uint32_t bytes = soft_take_value(c, in, 2), sp = x->R_ESP, frame, v, mask = stack_mask(c);

	level = soft_take(c, in) & 31;
	sp -= size;
	if (!stack_write(c, sp, size, x->R_EBP))
		return soft_fault(c, EXC_SS, true, 0);
	frame = sp;
	for (i = 1; i < level; i++) {
		sp -= size;
		if (!stack_read(c, x->R_EBP - i * size, size, &v) || !stack_write(c, sp, size, v))
			return soft_fault(c, EXC_SS, true, 0);
	}
	if (level) {
		sp -= size;
		if (!stack_write(c, sp, size, frame))
			return soft_fault(c, EXC_SS, true, 0);
	}
	if (in->data32)
		x->R_EBP = (x->R_EBP & ~mask) | (frame & mask);
	else
		x->R_BP = (u16)frame;
	set_sp(c, sp - bytes);
	return soft_next(c, in->ip);
}

/* 27 DAA, 2F DAS, D4 AAM. */
enum soft_verdict soft_decimal(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint32_t f = x->R_EFLG & ~(FB_CF | FB_AF | FB_ZF | FB_SF | FB_PF);
	uint8_t al = x->R_AL, old = al, base;
	bool sub = in->op == 0x2f;

	if (in->op == 0xd4) {
		base = soft_take(c, in);
		if (!base)
			return soft_fault(c, EXC_DE, false, 0);
		x->R_AH = al / base;
		al %= base;
	} else {
		bool carry = x->R_EFLG & FB_CF;

		if ((old & 15) > 9 || (x->R_EFLG & FB_AF)) {
			al = (uint8_t)(sub ? al - 6 : al + 6);
			f |= FB_AF;
			if (carry || (sub ? old < 6 : old > 0xf9))
				f |= FB_CF;
		}
		if (old > 0x99 || carry) {
			al = (uint8_t)(sub ? al - 0x60 : al + 0x60);
			f |= FB_CF;
		} else if (!sub) {
			f &= ~(uint32_t)FB_CF;
		}
	}
	x->R_AL = al;
	if (!al)
		f |= FB_ZF;
	if (al & 0x80)
		f |= FB_SF;
	if (!(__builtin_popcount(al) & 1))
		f |= FB_PF;
	x->R_EFLG = f;
	return soft_next(c, in->ip);
}
