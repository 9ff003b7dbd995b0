/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h: a checked machine for the tests of the verifier: it runs a program on known memory
 * and says when the program does what an accepted one never does: reads what was never
 * written, leaves an object, breaks its rights, lets a host address out, punts after a store,
 * calls or returns something else than it may. It shares no code with the engine; registers and stack
 * bytes carry what they are. Included by one .c file of a test program.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include <string.h>

#include "accel/prog.h"

/*
 * Objects: the request or raw context, global data, frames, maps themselves, and each element of
 * each other map. Addresses say which, and are never near each other.
 */
enum { OBJ_NUMBER = -1, OBJ_CTX = 0, OBJ_MAP = 1, OBJ_FRAME = 32, OBJ_MAP_ITSELF = 64, OBJ_ELEMENT = 128 };
#define MACHINE_ELEMENTS 8     /* of a map, at most */
#define MACHINE_MAP_BYTES 8448 /* of the storage of a map, at most: the largest is the ATA's page */
#define MACHINE_CTX_BYTES 256

struct cell {
	uint64_t v;
	bool init;
	int obj;
};

enum { BYTE_NEVER, BYTE_NUMBER, BYTE_POINTER };

struct mframe {
	struct cell saved[4]; /* the caller's r6 to r9 */
	uint32_t back;
	uint8_t data[PROG_STACK_BYTES], what[PROG_STACK_BYTES];
	int obj[PROG_STACK_BYTES / 8]; /* of a whole pointer */
};

struct machine {
	const struct prog *prog;
	struct cell r[11];
	struct mframe frames[PROG_MAX_FRAMES];
	uint32_t depth; /* of the current frame */
	uint32_t pc;
	uint64_t steps;
	uint64_t time;
	union {
		struct hr_io io;
		uint8_t ctx[MACHINE_CTX_BYTES];
	};
	_Alignas(8) uint8_t map[PROG_MAX_MAPS][MACHINE_MAP_BYTES]; /* of a hash: all elements that it could have */
	bool stored, timed, ended, taken;			   /* taken: the last conditional jump was */
	bool frozen;						   /* the time stays what it is */
	const char *wrong;					   /* what an accepted program never does */
};

static uint64_t machine_base(int obj)
{
	return (uint64_t)(obj + 1) << 44;
}

static bool machine_is_frame(int obj)
{
	return obj >= OBJ_FRAME && obj < OBJ_FRAME + PROG_MAX_FRAMES;
}

static int machine_element(uint32_t map, uint32_t element)
{
	return OBJ_ELEMENT + (int)(map * MACHINE_ELEMENTS + element);
}

/* Bytes of a map's storage. */
static uint32_t machine_storage(const struct prog_map *map)
{
	uint32_t elements = map->max_entries < MACHINE_ELEMENTS ? map->max_entries : MACHINE_ELEMENTS;

	return map->role == MAP_USER ? elements * prog_map_stride(map) : map->size;
}

/* The context's bytes are the caller's to fill if it is raw. */
static void machine_init(struct machine *m, const struct prog *p, const struct hr_io *io, uint64_t time)
{
	m->prog = p;
	m->depth = 0;
	m->pc = 0;
	m->steps = 0;
	m->time = time;
	if (!p->ctx.raw)
		m->io = *io;
	m->stored = m->timed = m->ended = m->taken = false;
	m->wrong = NULL;
	memset(m->r, 0, sizeof(m->r));
	memset(m->frames[0].what, BYTE_NEVER, PROG_STACK_BYTES);
	m->r[1] = (struct cell){machine_base(OBJ_CTX), true, OBJ_CTX};
	m->r[10] = (struct cell){machine_base(OBJ_FRAME), true, OBJ_FRAME};
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (p->maps[i].role == MAP_RODATA)
			memcpy(m->map[i], p->maps[i].initial, p->maps[i].size);
	}
}

static bool machine_wrong(struct machine *m, const char *what)
{
	if (!m->wrong)
		m->wrong = what;
	return false;
}

static int64_t machine_sext(unsigned bits, uint64_t v)
{
	return bits == 64 ? (int64_t)v : (int64_t)(v << (64 - bits)) >> (64 - bits);
}

/* ---- memory ---------------------------------------------------------------------------- */

/* The bytes of an access, with all rights checked; NULL and m->wrong when it may not be. */
static uint8_t *machine_at(struct machine *m, const struct cell *p, int off, unsigned size, bool store)
{
	int64_t at = (int64_t)(p->v + (uint64_t)(int64_t)off - machine_base(p->obj));
	static const struct {
		unsigned first, size;
	} fields[] = {{0, 8}, {8, 8}, {16, 4}, {20, 4}, {24, 1}, {25, 1}, {26, 1}, {27, 1}, {28, 1}, {29, 1}, {30, 1},
		{31, 1}};

	if (!p->init || p->obj == OBJ_NUMBER)
		return machine_wrong(m, "access through no pointer"), NULL;
	if (at % (int)size)
		return machine_wrong(m, "misaligned access"), NULL;
	if (p->obj >= OBJ_MAP_ITSELF && p->obj < OBJ_ELEMENT)
		return machine_wrong(m, "access to a map itself"), NULL;
	if (p->obj >= OBJ_ELEMENT) {
		uint32_t map = (uint32_t)(p->obj - OBJ_ELEMENT) / MACHINE_ELEMENTS;
		uint32_t element = (uint32_t)(p->obj - OBJ_ELEMENT) % MACHINE_ELEMENTS;
		const struct prog_map *info = &m->prog->maps[map];

		if (at < 0 || at + (int64_t)size > info->value_size)
			return machine_wrong(m, "access outside the element"), NULL;
		if (info->access == (store ? MAP_RO : MAP_WO))
			return machine_wrong(m, "access against the rights of the map"), NULL;
		m->stored |= store;
		return m->map[map] + element * prog_map_stride(info) + at;
	}
	if (p->obj == OBJ_CTX && m->prog->ctx.raw) {
		if (at < 0 || at + (int64_t)size > m->prog->ctx.size)
			return machine_wrong(m, "access outside the context"), NULL;
		return m->ctx + at;
	}
	if (p->obj == OBJ_CTX) {
		for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			if (at >= fields[i].first && at + size <= fields[i].first + fields[i].size &&
				(!store || i == 1))
				return (uint8_t *)&m->io + at;
		}
		return machine_wrong(m, store ? "store to the request" : "read of the request"), NULL;
	}
	if (machine_is_frame(p->obj)) {
		if (at < -PROG_STACK_BYTES || at + (int64_t)size > 0 || (uint32_t)(p->obj - OBJ_FRAME) > m->depth)
			return machine_wrong(m, "access outside the frame"), NULL;
		return m->frames[p->obj - OBJ_FRAME].data + PROG_STACK_BYTES + at;
	}
	if (at < 0 || at + (int64_t)size > m->prog->maps[p->obj - OBJ_MAP].size)
		return machine_wrong(m, "access outside the map"), NULL;
	if (store) {
		enum map_role role = m->prog->maps[p->obj - OBJ_MAP].role;

		if (role == MAP_RODATA || (role == MAP_STATE && at < 16))
			return machine_wrong(m, "store to read-only memory"), NULL;
		m->stored = true;
	}
	return m->map[p->obj - OBJ_MAP] + at;
}

static bool machine_load(struct machine *m, const struct cell *p, int off, unsigned size, struct cell *out)
{
	const uint8_t *b = machine_at(m, p, off, size, false);
	struct cell c = {0, true, OBJ_NUMBER};

	if (!b)
		return false;
	memcpy(&c.v, b, size);
	if (machine_is_frame(p->obj)) {
		struct mframe *f = &m->frames[p->obj - OBJ_FRAME];
		unsigned at = (unsigned)(b - f->data), pointers = 0;

		for (unsigned i = 0; i < size; i++) {
			if (f->what[at + i] == BYTE_NEVER)
				return machine_wrong(m, "read of stack bytes never written");
			pointers += f->what[at + i] == BYTE_POINTER;
		}
		if (pointers && (pointers != 8 || f->obj[at / 8] == OBJ_NUMBER))
			return machine_wrong(m, "read of a part of a pointer");
		if (pointers)
			c.obj = f->obj[at / 8];
	}
	*out = c;
	return true;
}

static bool machine_store(struct machine *m, const struct cell *p, int off, unsigned size, const struct cell *value)
{
	uint8_t *b = machine_at(m, p, off, size, true);

	if (!b)
		return false;
	if (!value->init)
		return machine_wrong(m, "store of an uninitialised register");
	memcpy(b, &value->v, size);
	if (machine_is_frame(p->obj)) {
		struct mframe *f = &m->frames[p->obj - OBJ_FRAME];
		unsigned at = (unsigned)(b - f->data);

		if (value->obj != OBJ_NUMBER && size != 8)
			return machine_wrong(m, "store of a part of a pointer");
		memset(f->what + at, value->obj == OBJ_NUMBER ? BYTE_NUMBER : BYTE_POINTER, size);
		f->obj[at / 8] = value->obj;
	} else if (value->obj != OBJ_NUMBER) {
		return machine_wrong(m, "a host address gets out");
	}
	return true;
}

/* ---- arithmetic ------------------------------------------------------------------------ */

static uint64_t machine_compute(unsigned bits, unsigned op, bool is_signed, uint64_t x, uint64_t y)
{
	uint64_t mask = bits == 64 ? ~0ull : 0xffffffffull;
	__int128 sx, sy;

	x &= mask;
	y &= mask;
	sx = machine_sext(bits, x);
	sy = machine_sext(bits, y);
	switch (op) {
	case BPF_ADD:
		return (x + y) & mask;
	case BPF_SUB:
		return (x - y) & mask;
	case BPF_MUL:
		return (x * y) & mask;
	case BPF_DIV:
		return y == 0 ? 0 : is_signed ? (uint64_t)(sx / sy) & mask : x / y;
	case BPF_MOD:
		return y == 0 ? x : is_signed ? (uint64_t)(sx % sy) & mask : x % y;
	case BPF_OR:
		return x | y;
	case BPF_AND:
		return x & y;
	case BPF_XOR:
		return x ^ y;
	case BPF_LSH:
		return (x << (y & (bits - 1))) & mask;
	case BPF_RSH:
		return x >> (y & (bits - 1));
	case BPF_ARSH:
		return (uint64_t)(machine_sext(bits, x) >> (y & (bits - 1))) & mask;
	case BPF_NEG:
		return (0 - x) & mask;
	default:
		return y;
	}
}

static bool machine_alu(struct machine *m, const struct bpf_insn *i)
{
	unsigned bits = BPF_CLASS(i->code) == BPF_ALU64 ? 64 : 32, op = BPF_OP(i->code);
	struct cell *d = &m->r[i->dst_reg];
	struct cell s = {(uint64_t)(int64_t)i->imm, true, OBJ_NUMBER};

	if (op == BPF_END) {
		uint64_t v = 0;

		if (!d->init || d->obj != OBJ_NUMBER)
			return machine_wrong(m, "byte order of no number");
		for (int k = 0; k < i->imm; k += 8) {
			bool swap = bits == 64 || BPF_SRC(i->code) == BPF_TO_BE;

			v |= (d->v >> k & 0xff) << (swap ? i->imm - 8 - k : k);
		}
		d->v = v;
		return true;
	}
	if (BPF_SRC(i->code) == BPF_X)
		s = m->r[i->src_reg];
	if (!s.init || (op != BPF_MOV && !d->init))
		return machine_wrong(m, "arithmetic on an uninitialised register");
	if (op == BPF_MOV) {
		if (s.obj != OBJ_NUMBER && (bits == 32 || i->off))
			return machine_wrong(m, "part of a pointer");
		*d = s;
		if (i->off)
			d->v = (uint64_t)machine_sext((unsigned)i->off, s.v);
		if (bits == 32)
			d->v &= 0xffffffff;
		return true;
	}
	if (op == BPF_NEG)
		s = (struct cell){0, true, OBJ_NUMBER};
	if (d->obj != OBJ_NUMBER || s.obj != OBJ_NUMBER) {
		int pointer = d->obj != OBJ_NUMBER ? d->obj : s.obj;
		bool both = d->obj != OBJ_NUMBER && s.obj != OBJ_NUMBER;

		if (bits == 32 || (op != BPF_ADD && op != BPF_SUB) || (both && (op == BPF_ADD || d->obj != s.obj)) ||
			(op == BPF_SUB && d->obj == OBJ_NUMBER) || (pointer >= OBJ_MAP_ITSELF && pointer < OBJ_ELEMENT))
			return machine_wrong(m, "arithmetic on pointers");
		d->v = op == BPF_ADD ? d->v + s.v : d->v - s.v;
		d->obj = both ? OBJ_NUMBER : d->obj != OBJ_NUMBER ? d->obj : s.obj;
		return true;
	}
	d->v = machine_compute(bits, op, i->off == 1, d->v, s.v);
	return true;
}

static bool machine_jump(struct machine *m, const struct bpf_insn *i)
{
	unsigned bits = BPF_CLASS(i->code) == BPF_JMP ? 64 : 32, op = BPF_OP(i->code);
	struct cell a = m->r[i->dst_reg], b = {(uint64_t)(int64_t)i->imm, true, OBJ_NUMBER};
	int64_t sa, sb;

	if (BPF_SRC(i->code) == BPF_X)
		b = m->r[i->src_reg];
	if (!a.init || !b.init)
		return machine_wrong(m, "comparison of an uninitialised register");
	if (a.obj != b.obj && !((op == BPF_JEQ || op == BPF_JNE) && bits == 64 &&
				      ((a.obj == OBJ_NUMBER && a.v == 0) || (b.obj == OBJ_NUMBER && b.v == 0))))
		return machine_wrong(m, "comparison of a pointer");
	if (a.obj != OBJ_NUMBER && bits == 32)
		return machine_wrong(m, "comparison of a part of a pointer");
	if (bits == 32) {
		a.v = (uint32_t)a.v;
		b.v = (uint32_t)b.v;
	}
	sa = machine_sext(bits, a.v);
	sb = machine_sext(bits, b.v);
	m->taken = op == BPF_JEQ    ? a.v == b.v
		   : op == BPF_JNE  ? a.v != b.v
		   : op == BPF_JGT  ? a.v > b.v
		   : op == BPF_JGE  ? a.v >= b.v
		   : op == BPF_JLT  ? a.v < b.v
		   : op == BPF_JLE  ? a.v <= b.v
		   : op == BPF_JSGT ? sa > sb
		   : op == BPF_JSGE ? sa >= sb
		   : op == BPF_JSLT ? sa < sb
		   : op == BPF_JSLE ? sa <= sb
				    : (a.v & b.v) != 0;
	m->pc += m->taken ? 1 + (uint32_t)i->off : 1;
	return true;
}

/* ---- the rest -------------------------------------------------------------------------- */

/* Helper 1. A hash has what the bytes of the key say, which is as good as any other content. */
static bool machine_lookup(struct machine *m)
{
	const struct prog_map *map;
	uint32_t index = 0;
	int obj = m->r[1].init ? m->r[1].obj : OBJ_NUMBER;

	if (obj < OBJ_MAP_ITSELF || obj >= OBJ_ELEMENT || !m->r[2].init)
		return machine_wrong(m, "lookup in no map, or by no key");
	map = &m->prog->maps[obj - OBJ_MAP_ITSELF];
	for (uint32_t i = 0; i < map->key_size; i++) {
		struct cell byte;

		if (!machine_load(m, &m->r[2], (int)i, 1, &byte))
			return false;
		index |= map->type == MAP_ARRAY ? (uint32_t)byte.v << (8 * i) : byte.v & 15;
	}
	memset(m->r, 0, 6 * sizeof(m->r[0]));
	m->r[0] = (struct cell){0, true, OBJ_NUMBER};
	if (index < map->max_entries && index < MACHINE_ELEMENTS) {
		m->r[0].obj = machine_element((uint32_t)(obj - OBJ_MAP_ITSELF), index);
		m->r[0].v = machine_base(m->r[0].obj);
	}
	m->pc++;
	return true;
}

static bool machine_call(struct machine *m, const struct bpf_insn *i)
{
	if (i->src_reg == BPF_PSEUDO_CALL) {
		struct mframe *f;

		if (m->depth + 1 == PROG_MAX_FRAMES)
			return machine_wrong(m, "calls nest too deep");
		f = &m->frames[++m->depth];
		memcpy(f->saved, &m->r[6], sizeof(f->saved));
		memset(f->what, BYTE_NEVER, sizeof(f->what));
		memset(&m->r[6], 0, sizeof(f->saved));
		m->r[0] = (struct cell){0};
		m->r[10] = (struct cell){machine_base(OBJ_FRAME + (int)m->depth), true, OBJ_FRAME + (int)m->depth};
		f->back = m->pc + 1;
		m->pc += 1 + (uint32_t)i->imm;
		return true;
	}
	if (i->imm == 1)
		return machine_lookup(m);
	if (i->imm != 5)
		return machine_wrong(m, "call of an unknown helper");
	m->timed = true;
	memset(m->r, 0, 6 * sizeof(m->r[0]));
	m->r[0] = (struct cell){m->time, true, OBJ_NUMBER};
	m->time += m->frozen ? 0 : 1;
	m->pc++;
	return true;
}

static bool machine_exit(struct machine *m)
{
	if (m->depth > 0) {
		struct mframe *f = &m->frames[m->depth];

		if (m->r[0].init && m->r[0].obj == OBJ_FRAME + (int)m->depth)
			m->r[0].init = false; /* it must not be used any more */
		m->depth--;
		memcpy(&m->r[6], f->saved, sizeof(f->saved));
		memset(&m->r[1], 0, 5 * sizeof(m->r[0]));
		m->r[10] = (struct cell){machine_base(OBJ_FRAME + (int)m->depth), true, OBJ_FRAME + (int)m->depth};
		m->pc = f->back;
		return true;
	}
	m->ended = true;
	if (!m->r[0].init || m->r[0].obj != OBJ_NUMBER)
		return machine_wrong(m, "no number is returned");
	if (m->prog->ctx.raw)
		return true;
	if (m->r[0].v > 2 && (m->r[0].v & 0xff || m->r[0].v >> 8 > 255))
		return machine_wrong(m, "an unknown verdict is returned");
	if (m->r[0].v != 1 && m->r[0].v != 2 && m->stored)
		return machine_wrong(m, "punt after a store to shared memory");
	return true;
}

static bool machine_atomic(struct machine *m, const struct bpf_insn *i)
{
	unsigned size = BPF_SIZE(i->code) == BPF_DW ? 8 : 4;
	uint64_t mask = size == 8 ? ~0ull : 0xffffffffull;
	struct cell *p = &m->r[i->dst_reg], *s = &m->r[i->src_reg], old, new;

	if (!s->init || s->obj != OBJ_NUMBER || p->obj == OBJ_CTX)
		return machine_wrong(m, "atomic operation on no number");
	if (!machine_load(m, p, i->off, size, &old))
		return false;
	new = *s;
	switch (i->imm & ~BPF_FETCH) {
	case BPF_ADD:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
		new.v = machine_compute(8 * size, (unsigned)i->imm & 0xf0, false, old.v, s->v);
		break;
	case BPF_CMPXCHG & ~BPF_FETCH:
		if (!m->r[0].init || m->r[0].obj != OBJ_NUMBER)
			return machine_wrong(m, "cmpxchg with no number");
		if ((m->r[0].v & mask) != old.v)
			new = old;
		break;
	default:
		break;
	}
	if (old.obj != OBJ_NUMBER)
		return machine_wrong(m, "atomic operation on a pointer");
	if (!machine_store(m, p, i->off, size, &new))
		return false;
	if (i->imm == BPF_CMPXCHG)
		m->r[0] = old;
	else if (i->imm & BPF_FETCH)
		*s = old;
	return true;
}

/* One instruction of a program whose encodings are valid. False: m->wrong says what happened. */
static bool machine_step(struct machine *m)
{
	const struct bpf_insn *i = &m->prog->insns[m->pc];
	unsigned class = BPF_CLASS(i->code);
	static const unsigned sizes[] = {[BPF_W >> 3] = 4, [BPF_H >> 3] = 2, [BPF_B >> 3] = 1, [BPF_DW >> 3] = 8};
	unsigned size = sizes[BPF_SIZE(i->code) >> 3];
	struct cell c = {0, true, OBJ_NUMBER};

	m->steps++;
	if (class == BPF_JMP || class == BPF_JMP32) {
		switch (BPF_OP(i->code)) {
		case BPF_JA:
			m->pc += 1 + (uint32_t)(class == BPF_JMP ? i->off : i->imm);
			return true;
		case BPF_CALL:
			return machine_call(m, i);
		case BPF_EXIT:
			return machine_exit(m);
		default:
			return machine_jump(m, i);
		}
	}
	m->pc++;
	switch (class) {
	case BPF_ALU:
	case BPF_ALU64:
		return machine_alu(m, i);
	case BPF_LD:
		m->pc++;
		c.v = (uint32_t)i[0].imm | (uint64_t)(uint32_t)i[1].imm << 32;
		if (i->src_reg == BPF_PSEUDO_MAP_FD) {
			c = (struct cell){machine_base(OBJ_MAP_ITSELF + i->imm), true, OBJ_MAP_ITSELF + i->imm};
		} else if (i->src_reg) {
			c.obj = m->prog->maps[i->imm].role == MAP_USER ? machine_element((uint32_t)i->imm, 0)
								       : OBJ_MAP + i->imm;
			c.v = machine_base(c.obj) + (uint32_t)i[1].imm;
		}
		m->r[i->dst_reg] = c;
		return true;
	case BPF_LDX:
		if (!machine_load(m, &m->r[i->src_reg], i->off, size, &c))
			return false;
		if (BPF_MODE(i->code) == 0x80)
			c.v = (uint64_t)machine_sext(8 * size, c.v);
		m->r[i->dst_reg] = c;
		return true;
	case BPF_ST:
		c.v = (uint64_t)(int64_t)i->imm;
		return machine_store(m, &m->r[i->dst_reg], i->off, size, &c);
	default:
		if (BPF_MODE(i->code) == BPF_ATOMIC)
			return machine_atomic(m, i);
		return machine_store(m, &m->r[i->dst_reg], i->off, size, &m->r[i->src_reg]);
	}
}

#endif
