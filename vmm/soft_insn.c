/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_insn.c: looks at each instruction before libx86emu executes it, and takes over those that
 * the library lacks, gets wrong or dies of.
 *
 * It dies of: an unbounded row of prefixes (a text buffer of its overflows), AAM 0, and IDIV of
 * the most negative dividend (host division traps). Wrong: INS/OUTS, REP without end, LOOP and
 * JCXZ by operand instead of address size, XLAT likewise, 16-bit POPF and IRET, IOPL in PUSHF,
 * LMSW, shift and rotate counts above 31, many shifts' flags, bit tests, signed CMOVcc, DAA, DAS,
 * AAM, ENTER with a level or prefix, POP to an address relative to ESP. Lacking:
 * CMPXCHG, XADD, LLDT, a real time stamp, control register checks, the absence of an FPU.
 * tests/unit/test_cpu_soft.c has a guest for each.
 */
#include "vmm/soft.h"

#define MAX_INSN_BYTES 15
#define MSR_TSC 0x10u
#define MSR_EFER 0xc0000080u

#define CR0_PE 0x1u
#define CR0_TS 0x8u
#define CR0_ET 0x10u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define CR4_KNOWN 0x604u /* TSD, and OSFXSR, OSXMMEXCPT for the library's SSE moves */

/* First bytes that need a second look; all others go straight to the library. */
static const uint8_t special[256] = {
	[0x0f] = 1,
	[0x17] = 1,
	[0x26 ... 0x27] = 1,
	[0x2e ... 0x2f] = 1,
	[0x36] = 1,
	[0x3e] = 1,
	[0x64 ... 0x67] = 1,
	[0x6c ... 0x6f] = 1,
	[0x8e ... 0x8f] = 1,
	[0x9c] = 1,
	[0x9d] = 1,
	[0xc0] = 1,
	[0xc1] = 1,
	[0xc8] = 1,
	[0xca] = 1,
	[0xcb] = 1,
	[0xcf ... 0xd4] = 1,
	[0xd8 ... 0xdf] = 1,
	[0xf0] = 1,
	[0xf2 ... 0xf4] = 1,
	[0xf6] = 1,
	[0xf7] = 1,
	[0xfb] = 1,
};

void soft_set_flags(x86emu_regs_t *x, uint32_t a, uint32_t b, uint32_t r, unsigned size, bool is_sub)
{
	uint32_t sign = 1u << (8 * size - 1), f = x->R_EFLG & ~(FB_CF | FB_PF | FB_AF | FB_ZF | FB_SF | FB_OF);

	if (is_sub ? a < b : r < a)
		f |= FB_CF;
	if (!(__builtin_popcount(r & 0xff) & 1))
		f |= FB_PF;
	if ((a ^ b ^ r) & 0x10)
		f |= FB_AF;
	if (!r)
		f |= FB_ZF;
	if (r & sign)
		f |= FB_SF;
	if ((is_sub ? a ^ b : ~(a ^ b)) & (a ^ r) & sign)
		f |= FB_OF;
	x->R_EFLG = f;
}

/* 0F B0/B1 CMPXCHG, 0F C0/C1 XADD. */
static enum soft_verdict exchange(struct soft_cpu *c, struct soft_insn *in, uint8_t op2)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = !(op2 & 1) ? 1 : in->data32 ? 4 : 2;
	uint8_t modrm = soft_take(c, in);
	struct soft_operand o = soft_operand_of(c, in, modrm);
	uint32_t dst, src = soft_reg_read(c, modrm >> 3 & 7, size), acc = soft_reg_read(c, 0, size), sum;

	if (!soft_operand_read(c, &o, size, &dst))
		return soft_gp(c, 0);
	if (op2 < 0xc0) {
		soft_set_flags(x, acc, dst, (uint32_t)hr_mask(acc - dst, size), size, true);
		soft_operand_write(c, &o, size, acc == dst ? src : dst);
		if (acc != dst)
			soft_reg_write(c, 0, size, dst);
	} else {
		sum = (uint32_t)hr_mask(dst + src, size);
		soft_set_flags(x, dst, src, sum, size, false);
		soft_reg_write(c, modrm >> 3 & 7, size, dst);
		soft_operand_write(c, &o, size, sum);
	}
	return soft_next(c, in->ip);
}

/* The condition in the low four bits of Jcc, SETcc and CMOVcc. */
static bool condition(uint32_t f, unsigned cc)
{
	bool less = !(f & FB_SF) != !(f & FB_OF), r;

	switch (cc >> 1 & 7) {
	case 0:
		r = f & FB_OF;
		break;
	case 1:
		r = f & FB_CF;
		break;
	case 2:
		r = f & FB_ZF;
		break;
	case 3:
		r = f & (FB_CF | FB_ZF);
		break;
	case 4:
		r = f & FB_SF;
		break;
	case 5:
		r = f & FB_PF;
		break;
	case 6:
		r = less;
		break;
	default:
		r = less || (f & FB_ZF);
		break;
	}
	return r != (cc & 1);
}

/* 0F 40..4F: CMOVcc. The library gets the signed comparisons wrong. The source is read in any case. */
static enum soft_verdict move_if(struct soft_cpu *c, struct soft_insn *in, uint8_t op2)
{
	unsigned size = in->data32 ? 4 : 2;
	uint8_t modrm = soft_take(c, in);
	struct soft_operand o = soft_operand_of(c, in, modrm);
	uint32_t v;

	if (!soft_operand_read(c, &o, size, &v))
		return soft_gp(c, 0);
	if (condition(c->emu->x86.R_EFLG, op2))
		soft_reg_write(c, modrm >> 3 & 7, size, v);
	return soft_next(c, in->ip);
}

/* 0F 22: MOV CRn, r32. */
static enum soft_verdict move_to_cr(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint8_t modrm = soft_take(c, in);
	unsigned cr = modrm >> 3 & 7;
	uint32_t v = *soft_reg(c, modrm & 7);

	if (cr != 0 && cr != 2 && cr != 3 && cr != 4)
		return soft_fault(c, EXC_UD, false, 0);
	if (cr == 0 && (v & CR0_PG)) {
		if (!(v & CR0_PE))
			return soft_gp(c, 0);
		return soft_fail(
			c, "the guest turns on paging (CR0.PG), which the software CPU does not have: use --cpu kvm");
	}
	if (cr == 4 && (v & CR4_PAE))
		return soft_fail(c, "the guest prepares long mode or PAE (CR4.PAE), which the software CPU does not "
				    "have: use --cpu kvm");
	if (cr == 4 && (v & ~CR4_KNOWN))
		return soft_gp(c, 0);
	x->crx[cr] = cr == 0 ? v | CR0_ET : v;
	return soft_next(c, in->ip);
}

/* 0F 20: MOV r32, CRn. */
static enum soft_verdict move_from_cr(struct soft_cpu *c, struct soft_insn *in)
{
	uint8_t modrm = soft_take(c, in);
	unsigned cr = modrm >> 3 & 7;

	if (cr != 0 && cr != 2 && cr != 3 && cr != 4)
		return soft_fault(c, EXC_UD, false, 0);
	*soft_reg(c, modrm & 7) = c->emu->x86.crx[cr];
	return soft_next(c, in->ip);
}

/* 0F 01 /6: LMSW changes the low four bits and cannot clear PE. */
static enum soft_verdict load_msw(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	struct soft_operand o = soft_operand_of(c, in, soft_take(c, in));
	uint32_t v;

	if (!soft_operand_read(c, &o, 2, &v))
		return soft_gp(c, 0);
	x->R_CR0 = (x->R_CR0 & ~0xeu) | (v & 0xf);
	return soft_next(c, in->ip);
}

/*
 * 0F 00 /2 LLDT, /3 LTR. The library takes no system descriptor for the one and looks at none
 * for the other. Descriptor types: 2 an LDT, 1 and 9 an available TSS.
 */
static enum soft_verdict load_system(struct soft_cpu *c, struct soft_insn *in, bool is_ldt)
{
	x86emu_regs_t *x = &c->emu->x86;
	struct soft_operand o = soft_operand_of(c, in, soft_take(c, in));
	uint32_t sel, lo, hi, limit, type;
	sel_t *to = is_ldt ? &x->ldt : &x->tr;

	if (!soft_protected(c))
		return soft_fault(c, EXC_UD, false, 0);
	if (!soft_operand_read(c, &o, 2, &sel))
		return soft_gp(c, 0);
	if (!(sel & 0xfffc) && is_ldt) {
		*to = (sel_t){.sel = (u16)sel};
		return soft_next(c, in->ip);
	}
	if (!(sel & 0xfffc) || sel & 4 || (sel | 7) > x->R_GDT_LIMIT)
		return soft_gp(c, sel & 0xfffc);
	lo = soft_load(c, x->R_GDT_BASE + (sel & 0xfff8), 4);
	hi = soft_load(c, x->R_GDT_BASE + (sel & 0xfff8) + 4, 4);
	type = hi >> 8 & 0x1f;
	if (is_ldt ? type != 2 : (type & 0x17) != 1)
		return soft_gp(c, sel & 0xfffc);
	if (!(hi & 0x8000))
		return soft_fault(c, EXC_NP, true, sel & 0xfffc);
	if (!is_ldt) /* busy from now on */
		soft_store(c, x->R_GDT_BASE + (sel & 0xfff8) + 4, hi |= 0x200, 4);
	limit = (lo & 0xffff) | (hi & 0xf0000);
	*to = (sel_t){.sel = (u16)sel,
		.base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000),
		.limit = hi & 0x800000 ? limit << 12 | 0xfff : limit,
		.acc = (u16)((hi >> 8 & 0xff) | (hi >> 12 & 0xf00))};
	return soft_next(c, in->ip);
}

static enum soft_verdict write_msr(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint64_t v = (uint64_t)x->R_EDX << 32 | x->R_EAX;

	if (x->R_ECX == MSR_EFER && v)
		return soft_fail(
			c, "the guest prepares long mode (EFER), which the software CPU does not have: use --cpu kvm");
	if (x->R_ECX == MSR_TSC)
		c->tsc_offset = (int64_t)((uint64_t)c->tsc_offset + v - soft_tsc(c));
	return soft_next(c, in->ip); /* all others hold nothing */
}

static enum soft_verdict read_tsc(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint64_t t = soft_tsc(c);

	x->R_EAX = (u32)t;
	x->R_EDX = (u32)(t >> 32);
	return soft_next(c, in->ip);
}

static enum soft_verdict two_byte(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint8_t op2 = soft_take(c, in);
	unsigned reg = soft_code(c, x->R_CS_BASE + in->ip) >> 3 & 7;

	switch (op2) {
	case 0x00:
		return reg == 2 || reg == 3 ? load_system(c, in, reg == 2) : SOFT_LIBRARY;
	case 0x01:
		return reg == 6 ? load_msw(c, in) : SOFT_LIBRARY;
	case 0x20:
		return move_from_cr(c, in);
	case 0x22:
		return move_to_cr(c, in);
	case 0x30:
		return write_msr(c, in);
	case 0x31:
		return read_tsc(c, in);
	case 0x32:
		if (x->R_ECX == MSR_TSC)
			return read_tsc(c, in);
		x->R_EAX = x->R_EDX = 0;
		return soft_next(c, in->ip);
	case 0x40 ... 0x4f:
		return move_if(c, in, op2);
	case 0xa4:
	case 0xa5:
	case 0xac:
	case 0xad:
		return soft_double_shift(c, in, op2);
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xba:
	case 0xbb:
		return soft_bit_test(c, in, op2);
	case 0xb0:
	case 0xb1:
	case 0xc0:
	case 0xc1:
		return exchange(c, in, op2);
	default:
		return SOFT_LIBRARY;
	}
}

/* LOOPNE, LOOPE, LOOP, JCXZ with a prefix: the count is CX or ECX by *address* size. */
static enum soft_verdict loop(struct soft_cpu *c, struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint32_t to, count = in->addr32 ? x->R_ECX : x->R_CX;
	bool taken;

	to = (uint32_t)(int8_t)soft_take(c, in) + in->ip;
	if (!in->data32)
		to &= 0xffff;
	if (in->op == 0xe3) {
		taken = count == 0;
	} else {
		if (in->addr32)
			count = --x->R_ECX;
		else
			count = --x->R_CX;
		taken = count && (in->op == 0xe2 || !!(x->R_EFLG & FB_ZF) == (in->op == 0xe1));
	}
	return soft_next(c, taken ? to : in->ip);
}

/*
 * D8..DF without an FPU: #NM when the guest asked for it by CR0.EM or TS, else nothing happens and
 * nothing is stored, from which a guest that probes by FNINIT and FNSTSW sees that there is none.
 */
static enum soft_verdict escape(struct soft_cpu *c, struct soft_insn *in)
{
	if (c->emu->x86.R_CR0 & (CR0_EM | CR0_TS))
		return soft_fault(c, EXC_NM, false, 0);
	soft_operand_of(c, in, soft_take(c, in));
	return soft_next(c, in->ip);
}

/*
 * IDIV of the most negative dividend traps on the host if the divisor is -1. Whatever the
 * divisor, the quotient does not fit: it is always a divide error.
 */
static bool idiv_overflows(const x86emu_regs_t *x, const struct soft_insn *in)
{
	if (in->op != 0xf7)
		return false;
	return in->data32 ? x->R_EDX == 0x80000000 && x->R_EAX == 0 : x->R_DX == 0x8000 && x->R_AX == 0;
}

static enum soft_verdict soft_insn(struct soft_cpu *c)
{
	x86emu_regs_t *x = &c->emu->x86;
	bool code32 = soft_code32(c), prefixed = true;
	struct soft_insn in = {.data32 = code32, .addr32 = code32, .ip = x->R_EIP};
	uint8_t byte;

	while (prefixed) {
		in.op = soft_take(c, &in);
		switch (in.op) {
		case 0x26:
			in.seg = &x->seg[R_ES_INDEX];
			break;
		case 0x2e:
			in.seg = &x->seg[R_CS_INDEX];
			break;
		case 0x36:
			in.seg = &x->seg[R_SS_INDEX];
			break;
		case 0x3e:
			in.seg = &x->seg[R_DS_INDEX];
			break;
		case 0x64:
			in.seg = &x->seg[R_FS_INDEX];
			break;
		case 0x65:
			in.seg = &x->seg[R_GS_INDEX];
			break;
		case 0x66:
			in.data32 = !code32;
			break;
		case 0x67:
			in.addr32 = !code32;
			break;
		case 0xf0:
			break;
		case 0xf2:
		case 0xf3:
			in.rep = in.op;
			break;
		default:
			prefixed = false;
			break;
		}
		if (prefixed && in.len >= MAX_INSN_BYTES)
			return soft_gp(c, 0);
	}
	byte = soft_code(c, x->R_CS_BASE + in.ip); /* ModRM, or an immediate */

	switch (in.op) {
	case 0x0f:
		return two_byte(c, &in);
	case 0x17:
		c->shadow = true;
		return SOFT_LIBRARY;
	case 0x8e:
		if ((byte >> 3 & 7) == R_CS_INDEX || (byte >> 3 & 7) > R_GS_INDEX)
			return soft_fault(c, EXC_UD, false, 0);
		c->shadow = (byte >> 3 & 7) == R_SS_INDEX;
		return SOFT_LIBRARY;
	case 0x6c ... 0x6f:
		return soft_port_string(c, &in);
	case 0xa4 ... 0xa7:
	case 0xaa ... 0xaf:
		return soft_string(c, &in);
	case 0x9c:
		return soft_push_flags(c, &in);
	case 0x9d:
		return soft_pop_flags(c, &in);
	case 0xca:
	case 0xcb:
		return soft_protected(c) ? soft_far_return(c, &in) : SOFT_LIBRARY;
	case 0xc0:
	case 0xc1:
	case 0xd0 ... 0xd3:
		return soft_shift(c, &in);
	case 0xcf:
		return soft_iret(c, &in);
	case 0x27:
	case 0x2f:
	case 0xd4:
		return soft_decimal(c, &in);
	case 0x8f:
		return soft_pop(c, &in);
	case 0xc8:
		return soft_enter(c, &in);
	case 0xd7:
		if (in.addr32 == in.data32)
			return SOFT_LIBRARY;
		{
			const sel_t *seg = in.seg ? in.seg : &x->seg[R_DS_INDEX];
			uint32_t ofs = in.addr32 ? x->R_EBX + x->R_AL : (x->R_BX + x->R_AL) & 0xffffu;

			if (!soft_in_limit(seg, ofs, 1))
				return soft_gp(c, 0);
			x->R_AL = (u8)soft_load(c, seg->base + ofs, 1);
			return soft_next(c, in.ip);
		}
	case 0xd8 ... 0xdf:
		return escape(c, &in);
	case 0xe0 ... 0xe3:
		return loop(c, &in);
	case 0xf4:
		c->halted = true;
		x->R_EIP = in.ip;
		return SOFT_LEAVE;
	case 0xf6:
	case 0xf7:
		return (byte >> 3 & 7) == 7 && idiv_overflows(x, &in) ? soft_fault(c, EXC_DE, false, 0) : SOFT_LIBRARY;
	case 0xfb:
		c->shadow = !(x->R_EFLG & FB_IF);
		x->R_EFLG |= FB_IF;
		return soft_next(c, in.ip);
	default:
		return SOFT_LIBRARY;
	}
}

static bool has_modrm(unsigned op)
{
	return (op < 0x40 && (op & 7) < 4) || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f) ||
	       (op >= 0xc4 && op <= 0xc7) || op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff;
}

/*
 * The library takes [EBP + disp8] for an address in DS. When that makes a difference it is told
 * the segment as if by a prefix (a real prefix still wins, it comes later).
 */
static void mend_ebp(struct soft_cpu *c)
{
	x86emu_regs_t *x = &c->emu->x86;
	bool addr32 = soft_code32(c);
	uint32_t at = x->R_CS_BASE + x->R_EIP;
	unsigned op = soft_code(c, at), i;

	for (i = 1; i < MAX_INSN_BYTES && (op == 0x66 || op == 0x67 || op == 0xf0); i++) {
		addr32 ^= op == 0x67;
		op = soft_code(c, at + i);
	}
	if (op == 0x0f) {
		op = soft_code(c, at + i++);
		if (!((op >= 0x90 && op <= 0x9f) || op >= 0xaf))
			return;
	} else if (!has_modrm(op)) {
		return;
	}
	if (addr32 && (soft_code(c, at + i) & 0xc7) == 0x45)
		x->default_seg = &x->seg[R_SS_INDEX];
}

static inline int to_library(struct soft_cpu *c)
{
	const x86emu_regs_t *x = &c->emu->x86;

	if (x->R_SS_BASE != x->R_DS_BASE || x->R_SS_LIMIT != x->R_DS_LIMIT || x->R_SS_LIMIT != 0xffffffff)
		mend_ebp(c);
	return 0;
}

/* What x86emu_run() has worked out for the next instruction, after CS:EIP changed under it. */
static void restart(x86emu_t *emu)
{
	x86emu_regs_t *x = &emu->x86;

	x->mode = 0;
	if (ACC_D(x->R_CS_ACC))
		x->mode |= _MODE_DATA32 | _MODE_ADDR32 | _MODE_CODE32;
	if (ACC_D(x->R_SS_ACC))
		x->mode |= _MODE_STACK32;
	x->saved_cs = x->R_CS;
	x->saved_eip = x->R_EIP;
}

/* Called by libx86emu before each instruction; not 0: leave x86emu_run(). */
int soft_code_hook(x86emu_t *emu)
{
	struct soft_cpu *c = emu->_private;
	x86emu_regs_t *x = &emu->x86;

	for (;;) {
		enum soft_verdict v;

		if (__builtin_expect(atomic_load_explicit(&c->kicked, memory_order_relaxed), 0))
			return 1;
		if (__builtin_expect(vm_intr_pending(c->cpu.vm), 0) && soft_interruptible(c))
			return 1;
		c->shadow = false;
		c->start.gen = x->gen;
		c->start.spc = x->spc;
		if (!special[soft_code(c, x->R_CS_BASE + x->R_EIP)])
			return to_library(c);
		v = soft_insn(c);
		if (v != SOFT_DONE)
			return v == SOFT_LEAVE ? 1 : to_library(c);
		restart(emu);
	}
}

/* A Pentium-class CPU without FPU, paging extensions or APIC: what this one can do. */
void soft_cpuid(x86emu_t *emu)
{
	x86emu_regs_t *x = &emu->x86;

	switch (x->R_EAX) {
	case 0:
		x->R_EAX = 1;
		x->R_EBX = 0x756e6547; /* GenuineIntel */
		x->R_EDX = 0x49656e69;
		x->R_ECX = 0x6c65746e;
		break;
	case 0x80000000: /* no extended leaves */
	default:
		x->R_EAX = x->R_EBX = x->R_ECX = x->R_EDX = 0;
		break;
	case 1:
		x->R_EAX = 0x00000520; /* family 5, model 2 */
		x->R_EBX = 0;
		x->R_ECX = 0;
		x->R_EDX = 1u << 4 | 1u << 5 | 1u << 15; /* TSC, MSR, CMOV */
		break;
	}
}
