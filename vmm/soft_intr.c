/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_intr.c: interrupts, exceptions and the returns from them, for the software CPU.
 *
 * libx86emu's own delivery looks at neither the gate's width nor its type, follows invalid gates
 * into nowhere and pushes error codes in real mode, so all of it is done here ([SDM3] Interrupt
 * and Exception Handling). One privilege level only: whatever would enter or leave ring 0
 * ends the run with a message.
 */
#include "vmm/soft.h"

#define ERR_IDT 2u
#define ERR_EXT 1u

/* A fault met on the way into a handler; vector -1: none. */
struct nested {
	int vector;
	uint32_t err;
};

static const struct nested no_fault = {.vector = -1};

struct target {
	struct nested fault;
	bool outside; /* needs another ring, a task, or virtual-8086 mode */
	bool gate32;
	bool mask; /* an interrupt gate: clears IF */
	sel_t cs;
	uint32_t ip;
};

/* Reads the descriptor of a selector; false: beyond its table. */
static bool read_descriptor(struct soft_cpu *c, uint16_t sel, uint32_t *lo, uint32_t *hi)
{
	const x86emu_regs_t *x = &c->emu->x86;
	uint32_t base = sel & 4 ? x->R_LDT_BASE : x->R_GDT_BASE;
	uint32_t limit = sel & 4 ? x->R_LDT_LIMIT : x->R_GDT_LIMIT;

	if ((sel | 7u) > limit)
		return false;
	*lo = soft_load(c, base + (sel & 0xfff8u), 4);
	*hi = soft_load(c, base + (sel & 0xfff8u) + 4, 4);
	return true;
}

/* The code segment `sel` for ring 0, as CS would hold it. */
static struct nested code_segment(struct soft_cpu *c, uint16_t sel, uint32_t ext, sel_t *cs)
{
	uint32_t lo, hi, limit, err = (sel & 0xfffcu) | ext;

	if (!(sel & 0xfffc))
		return (struct nested){EXC_GP, ext};
	if (!read_descriptor(c, sel, &lo, &hi))
		return (struct nested){EXC_GP, err};
	/* S = 1, code; its DPL is 0, since nothing runs in an outer ring */
	if ((hi & 0x1800) != 0x1800 || (hi & 0x6000))
		return (struct nested){EXC_GP, err};
	if (!(hi & 0x8000))
		return (struct nested){EXC_NP, err};
	limit = (lo & 0xffff) | (hi & 0xf0000);
	cs->sel = sel & 0xfffc;
	cs->base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000);
	cs->acc = (u16)((hi >> 8 & 0xff) | (hi >> 12 & 0xf00));
	cs->limit = hi & 0x800000 ? limit << 12 | 0xfff : limit;
	return no_fault;
}

static struct target look_up_real(struct soft_cpu *c, unsigned vector)
{
	const x86emu_regs_t *x = &c->emu->x86;
	struct target t = {.fault = no_fault, .mask = true, .cs = x->seg[R_CS_INDEX]};

	if (vector * 4 + 3 > x->R_IDT_LIMIT) {
		t.fault = (struct nested){EXC_GP, 0};
		return t;
	}
	t.ip = soft_load(c, x->R_IDT_BASE + vector * 4, 2);
	t.cs.sel = (u16)soft_load(c, x->R_IDT_BASE + vector * 4 + 2, 2);
	t.cs.base = (u32)t.cs.sel << 4;
	return t;
}

static struct target look_up_gate(struct soft_cpu *c, unsigned vector, uint32_t ext)
{
	const x86emu_regs_t *x = &c->emu->x86;
	uint32_t lo, hi, type, err = vector * 8 | ERR_IDT | ext;
	struct target t = {.fault = no_fault};

	if (vector * 8 + 7 > x->R_IDT_LIMIT) {
		t.fault = (struct nested){EXC_GP, err};
		return t;
	}
	lo = soft_load(c, x->R_IDT_BASE + vector * 8, 4);
	hi = soft_load(c, x->R_IDT_BASE + vector * 8 + 4, 4);
	type = hi >> 8 & 0x1f; /* with S */
	if (type == 5) {
		t.outside = true;
		return t;
	}
	if ((type & 0x16) != 0x06) {
		t.fault = (struct nested){EXC_GP, err};
		return t;
	}
	if (!(hi & 0x8000)) {
		t.fault = (struct nested){EXC_NP, err};
		return t;
	}
	t.gate32 = type & 8;
	t.mask = !(type & 1);
	t.ip = (lo & 0xffff) | (t.gate32 ? hi & 0xffff0000 : 0);
	t.fault = code_segment(c, (uint16_t)(lo >> 16), ext, &t.cs);
	return t;
}

/* Pushes `count` values (first one first); nothing is stored when they do not all fit. */
static bool push_all(struct soft_cpu *c, const uint32_t *vals, unsigned count, unsigned size)
{
	x86emu_regs_t *x = &c->emu->x86;
	const sel_t *ss = &x->seg[R_SS_INDEX];
	uint32_t mask = soft_stack32(c) ? 0xffffffff : 0xffff;
	uint32_t sp = x->R_ESP & mask;
	unsigned i;

	for (i = 1; i <= count; i++)
		if (!soft_in_limit(ss, (sp - i * size) & mask, size))
			return false;
	for (i = 0; i < count; i++) {
		sp = (sp - size) & mask;
		soft_store(c, ss->base + sp, vals[i], size);
	}
	x->R_ESP = (x->R_ESP & ~mask) | sp;
	return true;
}

static struct nested enter(struct soft_cpu *c, unsigned vector, uint32_t ext, bool has_err, uint32_t err, bool *outside)
{
	x86emu_regs_t *x = &c->emu->x86;
	bool real = !soft_protected(c);
	struct target t = real ? look_up_real(c, vector) : look_up_gate(c, vector, ext);
	uint32_t frame[4] = {x->R_EFLG | F_ALWAYS_ON, x->R_CS, x->R_EIP, err};

	*outside = t.outside;
	if (t.outside || t.fault.vector >= 0)
		return t.fault;
	if (!soft_in_limit(&t.cs, t.ip, 1) && !real)
		return (struct nested){EXC_GP, ext};
	if (!push_all(c, frame, has_err && !real ? 4 : 3, t.gate32 ? 4 : 2))
		return (struct nested){EXC_SS, ext};
	x->seg[R_CS_INDEX] = t.cs;
	x->R_EIP = t.ip;
	x->R_EFLG &= ~(FB_TF | FL_NT | FL_RF | FL_VM | FL_AC);
	if (t.mask)
		x->R_EFLG &= ~(uint32_t)FB_IF;
	return no_fault;
}

/* Exceptions that make a double fault of each other ([SDM3] Interrupt 8). */
static bool is_contributory(unsigned vector)
{
	return vector == EXC_DE || (vector >= 10 && vector <= 13);
}

enum soft_verdict soft_deliver(struct soft_cpu *c, unsigned vector, enum soft_source source, bool has_err, uint32_t err)
{
	c->shadow = false;
	for (;;) {
		uint32_t ext = source == SOFT_INT ? 0 : ERR_EXT;
		bool outside;
		struct nested n = enter(c, vector, ext, has_err, err, &outside);

		if (outside)
			return soft_fail(c,
				"the guest uses a task gate (vector 0x%x), which the software CPU "
				"does not have: use --cpu kvm",
				vector);
		if (n.vector < 0)
			return SOFT_DONE;
		if (source == SOFT_EXCEPTION && vector == EXC_DF) {
			vm_request_reset(c->cpu.vm, "triple fault");
			return SOFT_LEAVE;
		}
		if (source == SOFT_INT) { /* the fault belongs to the INT: it points there */
			c->emu->x86.gen = c->start.gen;
			c->emu->x86.spc = c->start.spc;
		}
		has_err = true;
		err = n.err;
		if (source == SOFT_EXCEPTION && is_contributory(vector) && is_contributory((unsigned)n.vector)) {
			vector = EXC_DF;
			err = 0;
		} else {
			vector = (unsigned)n.vector;
		}
		source = SOFT_EXCEPTION;
	}
}

enum soft_verdict soft_fault(struct soft_cpu *c, unsigned vector, bool has_err, uint32_t err)
{
	c->emu->x86.gen = c->start.gen;
	c->emu->x86.spc = c->start.spc;
	return soft_deliver(c, vector, SOFT_EXCEPTION, has_err, err);
}

/*
 * The library's one #GP, looked at again: a selector that cannot be loaded keeps its error code; else
 * a segment's limit was exceeded, which is #SS for the stack and has the error code 0.
 */
static unsigned limit_or_load(const x86emu_t *emu, uint32_t *err)
{
	static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
	const x86emu_regs_t *x = &emu->x86;
	const uint8_t *p = x->instr_buf;
	unsigned left = x->instr_len, op, reg;
	bool loads = false, stack;

	while (left > 2 && memchr(prefixes, *p, sizeof prefixes)) {
		p++;
		left--;
	}
	op = left ? p[0] : 0;
	reg = left > 1 ? p[1] >> 3 & 7 : 0;
	stack = x->default_seg ? x->default_seg == &x->seg[R_SS_INDEX] : x->mode & _MODE_SEG_DS_SS;
	switch (op) {
	case 0x07: /* POP ES, SS, DS */
	case 0x17:
	case 0x1f:
	case 0x9a: /* CALL far */
		loads = *err != 0 && *err != (x->R_SS & 0xfffcu);
		stack = true;
		break;
	case 0x0f:
		op = left > 1 ? p[1] : 0;
		stack = stack || op == 0xa0 || op == 0xa1 || op == 0xa8 || op == 0xa9;
		loads = op == 0xb2 || op == 0xb4 || op == 0xb5 ||
			((op == 0xa1 || op == 0xa9) && *err != (x->R_SS & 0xfffcu));
		break;
	case 0x8e: /* MOV Sreg, LES, LDS, JMP far */
	case 0xc4:
	case 0xc5:
	case 0xea:
		loads = true;
		break;
	case 0xff:
		loads = reg == 3 || reg == 5;
		stack = stack || reg == 2 || reg == 6;
		break;
	case 0x06:
	case 0x0e:
	case 0x16:
	case 0x1e:
	case 0x50 ... 0x61:
	case 0x68:
	case 0x6a:
	case 0xc2:
	case 0xc3:
	case 0xc9:
	case 0xe8:
		stack = true;
		break;
	}
	if (loads)
		return EXC_GP;
	*err = 0;
	return stack ? EXC_SS : EXC_GP;
}

/* libx86emu raised an interrupt or exception and has finished the instruction. Returns 1: taken care of. */
int soft_intr_hook(x86emu_t *emu, u8 num, unsigned type)
{
	struct soft_cpu *c = emu->_private;
	uint32_t err = emu->x86.intr_errcode & 0xfffc;
	unsigned vector = num;
	enum soft_verdict v;

	if (num == EXC_GP && (type & INTR_MODE_ERRCODE))
		vector = limit_or_load(emu, &err);
	if (type & INTR_MODE_RESTART)
		v = soft_fault(c, vector, type & INTR_MODE_ERRCODE, err);
	else
		v = soft_deliver(c, num, SOFT_INT, false, 0);
	if (v == SOFT_LEAVE)
		x86emu_stop(emu);
	return 1;
}

/* Values on top of the stack, not yet popped; false: they do not all fit. */
static bool peek(struct soft_cpu *c, uint32_t *vals, unsigned count, unsigned size)
{
	const x86emu_regs_t *x = &c->emu->x86;
	const sel_t *ss = &x->seg[R_SS_INDEX];
	uint32_t mask = soft_stack32(c) ? 0xffffffff : 0xffff;

	for (unsigned i = 0; i < count; i++) {
		uint32_t sp = (x->R_ESP + i * size) & mask;

		if (!soft_in_limit(ss, sp, size))
			return false;
		vals[i] = soft_load(c, ss->base + sp, size);
	}
	return true;
}

static void drop(struct soft_cpu *c, uint32_t bytes)
{
	x86emu_regs_t *x = &c->emu->x86;

	if (soft_stack32(c))
		x->R_ESP += bytes;
	else
		x->R_SP = (u16)(x->R_SP + bytes);
}

/* CS for a far return. SOFT_LIBRARY: *cs is good; else the exception is on its way. */
static enum soft_verdict return_segment(struct soft_cpu *c, uint16_t sel, uint32_t ip, sel_t *cs)
{
	struct nested n;

	*cs = c->emu->x86.seg[R_CS_INDEX];
	if (!soft_protected(c)) {
		cs->sel = sel;
		cs->base = (u32)sel << 4;
		return SOFT_LIBRARY;
	}
	if (sel & 3)
		return soft_fail(c, "the guest returns to ring %u, which the software CPU does not have: use --cpu kvm",
			sel & 3u);
	n = code_segment(c, sel, 0, cs);
	if (n.vector < 0 && !soft_in_limit(cs, ip, 1))
		n = (struct nested){EXC_GP, 0};
	return n.vector < 0 ? SOFT_LIBRARY : soft_fault(c, (unsigned)n.vector, true, n.err);
}

/* IRET: the library's 16-bit form clears the upper half of EFLAGS, and it checks no selector. */
enum soft_verdict soft_iret(struct soft_cpu *c, const struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	uint32_t frame[3], keep = in->data32 ? 0 : 0xffff0000;
	unsigned size = in->data32 ? 4 : 2;
	enum soft_verdict v;
	sel_t cs;

	if (soft_protected(c) && (x->R_EFLG & FL_NT))
		return soft_fail(
			c, "the guest returns from a task, which the software CPU does not have: use --cpu kvm");
	if (!peek(c, frame, 3, size))
		return soft_fault(c, EXC_SS, true, 0);
	if (soft_protected(c) && in->data32 && (frame[2] & FL_VM))
		return soft_fail(
			c, "the guest enters virtual-8086 mode, which the software CPU does not have: use --cpu kvm");
	v = return_segment(c, (uint16_t)frame[1], frame[0], &cs);
	if (v != SOFT_LIBRARY)
		return v;
	drop(c, 3 * size);
	x->seg[R_CS_INDEX] = cs;
	x->R_EFLG = (x->R_EFLG & keep) | (frame[2] & ~(keep | FL_VM | FL_RF)) | F_ALWAYS_ON;
	return soft_next(c, frame[0]);
}

/* RETF and RETF imm16 in protected mode, where the return may go to an outer ring. */
enum soft_verdict soft_far_return(struct soft_cpu *c, const struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = in->data32 ? 4 : 2;
	uint32_t frame[2], extra = 0;
	enum soft_verdict v;
	sel_t cs;

	if (in->op == 0xca)
		extra = soft_code(c, x->R_CS_BASE + in->ip) | (uint32_t)soft_code(c, x->R_CS_BASE + in->ip + 1) << 8;
	if (!peek(c, frame, 2, size))
		return soft_fault(c, EXC_SS, true, 0);
	v = return_segment(c, (uint16_t)frame[1], frame[0], &cs);
	if (v != SOFT_LIBRARY)
		return v;
	drop(c, 2 * size + extra);
	x->seg[R_CS_INDEX] = cs;
	return soft_next(c, frame[0]);
}
