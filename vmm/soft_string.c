/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_string.c: string instructions of the software CPU.
 *
 * libx86emu's INS and OUTS move the index by 1 for words and dwords, and its REP runs to the end
 * whatever happens, up to 2^32 elements. Here a REP does a bounded piece and, when there is
 * more, leaves CS:EIP on the instruction, so that interrupts and a kick get in between. A
 * `rep ins` or `rep outs` piece is one string access on the bus.
 */
#include "vmm/soft.h"

#define PIECE 4096 /* elements of one go */

/* An index or count register at the instruction's address size. */
static inline uint32_t reg_get(const struct soft_insn *in, const i386_general_register *r)
{
	return in->addr32 ? r->I32_reg.e_reg : r->I16_reg.x_reg;
}

static inline void reg_set(const struct soft_insn *in, i386_general_register *r, uint32_t v)
{
	if (in->addr32)
		r->I32_reg.e_reg = v;
	else
		r->I16_reg.x_reg = (u16)v;
}

/* What is left to do, at most PIECE; *more: not all of it. */
static uint32_t piece_of(struct soft_cpu *c, const struct soft_insn *in, uint32_t most, bool *more)
{
	uint32_t count = in->rep ? reg_get(in, &c->emu->x86.gen.C) : 1;

	*more = count > most;
	return *more ? most : count;
}

/* Elements from ofs on that lie inside the limit and do not wrap the index; going up. */
static uint32_t fitting(const struct soft_insn *in, const sel_t *seg, uint32_t ofs, unsigned size, uint32_t count)
{
	uint64_t end = (uint64_t)seg->limit + 1, wrap = in->addr32 ? 1ull << 32 : 1ull << 16;
	uint64_t fit;

	if (end > wrap)
		end = wrap;
	fit = ofs < end ? (end - ofs) / size : 0;
	return fit < count ? (uint32_t)fit : count;
}

/* Ends a piece: the count goes down by done, and EIP moves on when nothing is left. */
static enum soft_verdict finish(struct soft_cpu *c, const struct soft_insn *in, uint32_t done, bool more)
{
	if (in->rep)
		reg_set(in, &c->emu->x86.gen.C, reg_get(in, &c->emu->x86.gen.C) - done);
	return soft_next(c, more ? c->start.spc.IP.I32_reg.e_reg : in->ip);
}

/*
 * A fault of element `done`: those before it have happened, so the instruction's own restart
 * point moves up to it.
 */
static enum soft_verdict fault_after(struct soft_cpu *c, const struct soft_insn *in, uint32_t done)
{
	if (in->rep)
		reg_set(in, &c->emu->x86.gen.C, reg_get(in, &c->emu->x86.gen.C) - done);
	c->start.gen = c->emu->x86.gen;
	c->start.spc.SI = c->emu->x86.spc.SI;
	c->start.spc.DI = c->emu->x86.spc.DI;
	c->start.spc.FLAGS = c->emu->x86.spc.FLAGS;
	return soft_gp(c, 0);
}

/* ---- INS, OUTS ---- */

enum soft_verdict soft_port_string(struct soft_cpu *c, const struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	bool is_write = in->op & 2, down = x->R_EFLG & FB_DF, more;
	unsigned size = !(in->op & 1) ? 1 : in->data32 ? 4 : 2;
	i386_general_register *index = is_write ? &x->spc.SI : &x->spc.DI;
	const sel_t *seg = is_write ? (in->seg ? in->seg : &x->seg[R_DS_INDEX]) : &x->seg[R_ES_INDEX];
	uint32_t count = piece_of(c, in, SOFT_CHUNK_BYTES / size, &more), ofs = reg_get(in, index), i, fit;
	struct io_req req = {.io.size = (uint8_t)size, .io.is_write = is_write, .addr = x->R_DX, .bus = IO_PIO};

	if (!count)
		return soft_next(c, in->ip);
	/* Going down or into a wrap: one element at a time. */
	fit = fitting(in, seg, ofs, size, down ? 1 : count);
	if (!fit) {
		if (!soft_in_limit(seg, ofs, size))
			return soft_gp(c, 0);
		fit = 1;
	}
	more = more || fit < count;
	count = fit;

	req.count = count;
	req.data = c->chunk;
	if (is_write)
		for (i = 0; i < count; i++) {
			uint32_t v = soft_load(c, seg->base + ofs + i * size, size);

			memcpy(c->chunk + i * size, &v, size);
		}
	cpu_count_exit(&c->cpu);
	bus_io(&c->cpu.vm->bus, &req);
	if (!is_write)
		for (i = 0; i < count; i++) {
			uint32_t v = 0;

			memcpy(&v, c->chunk + i * size, size);
			soft_store(c, seg->base + ofs + i * size, v, size);
		}
	reg_set(in, index, down ? ofs - size : ofs + count * size);
	return finish(c, in, count, more);
}

/* ---- MOVS, STOS, LODS, CMPS, SCAS ---- */

/* Flags of a - b, as CMP sets them. */
static void set_cmp_flags(x86emu_regs_t *x, uint32_t a, uint32_t b, unsigned size)
{
	soft_set_flags(x, a, b, (uint32_t)hr_mask(a - b, size), size, true);
}

/* A whole run of STOS or MOVS going up through plain memory. Returns the elements done, 0: not that simple. */
static uint32_t bulk(struct soft_cpu *c, const struct soft_insn *in, const sel_t *src, unsigned size, uint32_t count)
{
	x86emu_regs_t *x = &c->emu->x86;
	const sel_t *es = &x->seg[R_ES_INDEX];
	uint32_t di = reg_get(in, &x->spc.DI), si = reg_get(in, &x->spc.SI), bytes, i;
	uint8_t *to, *from;

	count = fitting(in, es, di, size, count);
	bytes = count * size;
	if (!count || !(to = soft_host(c, es->base + di, &bytes, true)))
		return 0;
	if ((in->op & 0xfe) == 0xa4) {
		uint32_t n = fitting(in, src, si, size, bytes / size) * size;

		if (!n || !(from = soft_host(c, src->base + si, &n, false)))
			return 0;
		bytes = n < bytes ? n : bytes;
		count = bytes / size;
		/* An upward copy onto its own source repeats a pattern: element by element. */
		if (to > from && to < from + bytes)
			return 0;
		memmove(to, from, count * size);
		reg_set(in, &x->spc.SI, si + count * size);
	} else {
		count = bytes / size;
		if (size == 1)
			memset(to, x->R_AL, count);
		else
			for (i = 0; i < count; i++)
				memcpy(to + i * size, &x->gen.A, size);
	}
	reg_set(in, &x->spc.DI, di + count * size);
	return count;
}

enum soft_verdict soft_string(struct soft_cpu *c, const struct soft_insn *in)
{
	x86emu_regs_t *x = &c->emu->x86;
	unsigned size = !(in->op & 1) ? 1 : in->data32 ? 4 : 2, op = in->op & 0xfe;
	const sel_t *src = in->seg ? in->seg : &x->seg[R_DS_INDEX], *es = &x->seg[R_ES_INDEX];
	bool uses_si = op == 0xa4 || op == 0xa6 || op == 0xac, uses_di = op != 0xac;
	uint32_t step = x->R_EFLG & FB_DF ? -size : size, count, i, acc, mask, si, di, a = 0, b = 0;
	bool more;

	count = piece_of(c, in, PIECE, &more);
	if (!count)
		return soft_next(c, in->ip);
	if ((op == 0xa4 || op == 0xaa) && !(x->R_EFLG & FB_DF) && count > 1) {
		uint32_t done = bulk(c, in, src, size, count);

		if (done)
			return finish(c, in, done, more || done < count);
	}
	mask = size == 4 ? 0xffffffff : (1u << (8 * size)) - 1;
	acc = x->R_EAX & mask;
	for (i = 0; i < count; i++) {
		si = reg_get(in, &x->spc.SI);
		di = reg_get(in, &x->spc.DI);
		if ((uses_si && !soft_in_limit(src, si, size)) || (uses_di && !soft_in_limit(es, di, size)))
			return fault_after(c, in, i);
		if (uses_si)
			a = soft_load(c, src->base + si, size);
		switch (op) {
		case 0xa4: /* MOVS */
			soft_store(c, es->base + di, a, size);
			break;
		case 0xaa: /* STOS */
			soft_store(c, es->base + di, acc, size);
			break;
		case 0xac: /* LODS */
			x->R_EAX = (x->R_EAX & ~mask) | a;
			break;
		case 0xae: /* SCAS compares the accumulator */
			a = acc;
			/* fallthrough */
		default: /* CMPS */
			b = soft_load(c, es->base + di, size);
			break;
		}
		if (uses_si)
			reg_set(in, &x->spc.SI, si + step);
		if (uses_di)
			reg_set(in, &x->spc.DI, di + step);
		if (op == 0xa6 || op == 0xae) {
			set_cmp_flags(x, a, b, size);
			if (in->rep && (a == b) != (in->rep == 0xf3))
				return finish(c, in, i + 1, false);
		}
	}
	return finish(c, in, count, more);
}
