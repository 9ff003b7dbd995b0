/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proggen.h: random programs for the tests of the verifier, and the two ways to judge it by them:
 *
 *   lockstep   runs program and verifier side by side along one path: after each instruction that
 *              the verifier lets pass, every register and stack byte must be what it believes;
 *   accepted   runs a program that verify_prog() accepted in the machine of machine.h: nothing may go wrong,
 *              within worst_case instructions, with the effect that was inferred.
 *
 * Programs are shaped like what a compiler writes, with a few percent of nonsense; r0 to r5 and
 * r9 mostly hold numbers, r6 the request, r7 the state page, r8 any pointer.
 */
#ifndef TESTS_PROGGEN_H
#define TESTS_PROGGEN_H

#include <stdio.h>
#include <stdlib.h>

#include "accel/verifier.h"
#include "tests/unit/bpfasm.h"
#include "tests/unit/machine.h"

/* Random numbers from a seed, or from a fuzzer's bytes (then 0 for ever). */
struct dice {
	uint64_t seed;
	const uint8_t *data;
	size_t size;
};

static uint64_t roll(struct dice *d)
{
	if (d->seed) {
		d->seed ^= d->seed << 13;
		d->seed ^= d->seed >> 7;
		d->seed ^= d->seed << 17;
		return d->seed * 0x2545f4914f6cdd1d;
	}
	if (d->size == 0)
		return 0;
	d->size--;
	return *d->data++ * UINT64_C(0x0101010101010101);
}

static unsigned pick(struct dice *d, unsigned n)
{
	return d->seed ? (unsigned)(roll(d) >> 40) % n : (unsigned)(roll(d) & 0xff) % n;
}

static int32_t pick_imm(struct dice *d)
{
	static const int32_t some[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64, 255, 256, -1, -2, -4, -8, -16,
		-64, INT32_MAX, INT32_MIN, 0xffff, 0x10000};

	int32_t any = (int32_t)(roll(d) >> 17);

	return pick(d, 4) ? some[pick(d, sizeof(some) / sizeof(some[0]))] : any >> pick(d, 24);
}

/* ---- writing programs ------------------------------------------------------------------ */

struct gen {
	struct asm_prog *a;
	struct dice *dice;
	bool second[PROG_MAX_INSNS + 8]; /* second slot of a 64-bit immediate */
	uint32_t jumps[256], jump_count; /* forward jumps to be aimed */
};

static struct bpf_insn *put(struct gen *g, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
	return asm_emit(g->a, (uint8_t)code, (int)dst, (int)src, (int16_t)off, imm);
}

static void put_map(struct gen *g, unsigned dst, int map, int off)
{
	put(g, 0x18, dst, BPF_PSEUDO_MAP_VALUE, 0, map);
	g->second[g->a->prog.insn_count] = true;
	put(g, 0, 0, 0, 0, off);
}

static void put_map_itself(struct gen *g, unsigned dst, int map)
{
	put(g, 0x18, dst, BPF_PSEUDO_MAP_FD, 0, map);
	g->second[g->a->prog.insn_count] = true;
	put(g, 0, 0, 0, 0, 0);
}

static unsigned number_reg(struct gen *g)
{
	static const unsigned regs[] = {0, 1, 2, 3, 4, 5, 9};

	return regs[pick(g->dice, 7)];
}

static unsigned size_code(struct gen *g, unsigned *bytes)
{
	static const unsigned codes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	unsigned i = pick(g->dice, 4);

	*bytes = 1u << i;
	return codes[i];
}

static void gen_alu(struct gen *g)
{
	static const unsigned ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD,
		BPF_XOR, BPF_MOV, BPF_ARSH, BPF_NEG, BPF_END, BPF_AND, BPF_ADD, BPF_MOV, BPF_RSH};
	unsigned op = ops[pick(g->dice, 18)], class = pick(g->dice, 2) ? BPF_ALU64 : BPF_ALU;
	unsigned dst = number_reg(g), src = number_reg(g);
	bool by_reg = pick(g->dice, 2), div = op == BPF_DIV || op == BPF_MOD;
	int off = div && pick(g->dice, 2);
	int32_t imm = pick_imm(g->dice);

	if (op == BPF_NEG) {
		put(g, class | op, dst, 0, 0, 0);
	} else if (op == BPF_END) {
		imm = 16 << pick(g->dice, 3);
		put(g, class | op | (class == BPF_ALU && by_reg ? BPF_TO_BE : 0), dst, 0, 0, imm);
	} else if (by_reg) {
		if (op == BPF_MOV && !pick(g->dice, 3))
			off = 8 << pick(g->dice, class == BPF_ALU64 ? 3 : 2);
		put(g, class | op | BPF_X, dst, src, off, 0);
	} else {
		if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
			imm &= class == BPF_ALU64 ? 63 : 31;
		if (div && imm == 0)
			imm = 3;
		put(g, class | op | BPF_K, dst, 0, off, imm);
	}
}

static void gen_raw_ctx(struct gen *g)
{
	unsigned bytes, code = size_code(g, &bytes), reg = number_reg(g);
	int off = (int)(bytes * pick(g->dice, 72 / bytes));

	if (pick(g->dice, 3))
		put(g, BPF_LDX | BPF_MEM | code, reg, 6, off, 0);
	else
		put(g, BPF_STX | BPF_MEM | code, 6, reg, off, 0);
}

static void gen_ctx_load(struct gen *g)
{
	static const struct {
		unsigned code;
		int off;
	} fields[] = {{BPF_DW, 0}, {BPF_W, 0}, {BPF_W, 4}, {BPF_DW, 8}, {BPF_W, 16}, {BPF_H, 16}, {BPF_B, 17},
		{BPF_W, 20}, {BPF_B, 24}, {BPF_B, 25}};
	unsigned i = pick(g->dice, 10);

	if (g->a->prog.ctx.raw) {
		gen_raw_ctx(g);
		return;
	}
	put(g, BPF_LDX | BPF_MEM | fields[i].code, number_reg(g), 6, fields[i].off, 0);
}

static void gen_forward_jump(struct gen *g)
{
	static const unsigned ops[] = {
		BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	unsigned class = pick(g->dice, 2) ? BPF_JMP : BPF_JMP32, op = ops[pick(g->dice, 11)];
	unsigned dst = number_reg(g), src = number_reg(g);

	if (g->jump_count == 256)
		return;
	g->jumps[g->jump_count++] = g->a->prog.insn_count;
	if (pick(g->dice, 3))
		put(g, class | op | BPF_K, dst, 0, 0, pick_imm(g->dice));
	else
		put(g, class | op | BPF_X, dst, src, 0, 0);
}

/* r8 = an object; bounded or hopeful index; one access. */
static void gen_indexed(struct gen *g)
{
	unsigned index = number_reg(g), bytes, code = size_code(g, &bytes), object = pick(g->dice, 4);
	unsigned other = number_reg(g), sign = bytes < 8 && !pick(g->dice, 4) ? 0x80 : BPF_MEM;
	static const int32_t masks[] = {3, 7, 8, 15, 24, 28, 31, 60, 0x38};
	int off = object == 0 ? 16 : 0;

	if (pick(g->dice, 3) == 0)
		put(g, BPF_ALU64 | BPF_AND | BPF_K, index, 0, 0, masks[pick(g->dice, 9)]);
	if (pick(g->dice, 4) == 0 && bytes > 1) {
		put(g, BPF_ALU64 | BPF_RSH | BPF_K, index, 0, 0, __builtin_ctz(bytes));
		put(g, BPF_ALU64 | BPF_LSH | BPF_K, index, 0, 0, __builtin_ctz(bytes));
	}
	if (object == 3) {
		put(g, BPF_ALU64 | BPF_MOV | BPF_X, 8, 10, 0, 0);
		off = -64;
	} else {
		put_map(g, 8, (int)object, 0);
	}
	put(g, BPF_ALU64 | (pick(g->dice, 6) ? BPF_ADD : BPF_SUB) | BPF_X, 8, index, 0, 0);
	off += pick(g->dice, 4) ? 0 : (int)pick(g->dice, 4) * (int)bytes;
	if (object == 2 || pick(g->dice, 2))
		put(g, BPF_LDX | sign | code, other, 8, off, 0);
	else
		put(g, BPF_STX | BPF_MEM | code, 8, other, off, 0);
}

static void gen_spill(struct gen *g)
{
	unsigned bytes, code = size_code(g, &bytes), reg = pick(g->dice, 8) ? number_reg(g) : 6 + pick(g->dice, 3);
	int off = -(int)(bytes * (1 + pick(g->dice, 64 / bytes)));
	unsigned other = number_reg(g), sign = bytes < 8 && !pick(g->dice, 4) ? 0x80 : BPF_MEM;

	switch (pick(g->dice, 5)) {
	case 0:
		put(g, BPF_STX | BPF_MEM | code, 10, reg, off, 0);
		break;
	case 1:
		put(g, BPF_ST | BPF_MEM | code, 10, 0, off, pick_imm(g->dice));
		break;
	case 2:
		put(g, BPF_STX | BPF_MEM | code, 10, reg, off, 0);
		gen_forward_jump(g);
		/* fallthrough */
	default:
		put(g, BPF_LDX | sign | code, reg >= 6 && reg <= 8 ? 8 : other, 10, off, 0);
		break;
	}
}

static void gen_map_access(struct gen *g)
{
	unsigned bytes, code = size_code(g, &bytes);
	int off = 16 + (int)bytes * (int)pick(g->dice, 4);
	static const int32_t atomics[] = {0, 0x40, 0x50, 0xa0, 1, 0x41, 0x51, 0xa1, 0xe1, 0xf1};

	switch (pick(g->dice, 6)) {
	case 0:
		put(g, BPF_STX | BPF_MEM | code, 7, number_reg(g), off, 0);
		break;
	case 1:
		if (bytes >= 4)
			put(g, BPF_STX | BPF_ATOMIC | code, 7, (bytes + (unsigned)off) % 6, off,
				atomics[pick(g->dice, 10)]);
		break;
	default:
		off = pick(g->dice, 4) ? off : 0;
		put(g, BPF_LDX | BPF_MEM | code, number_reg(g), 7, off, 0);
		break;
	}
}

static void gen_numbers(struct gen *g, unsigned from)
{
	for (unsigned r = from; r <= 5; r++)
		put(g, BPF_ALU64 | BPF_MOV | (pick(g->dice, 2) ? BPF_K : BPF_X), r, 0, 0, 0);
	for (uint32_t i = g->a->prog.insn_count - (6 - from); i < g->a->prog.insn_count; i++) {
		if (BPF_SRC(g->a->insns[i].code) == BPF_K)
			g->a->insns[i].imm = pick_imm(g->dice);
	}
}

/* A lookup, what may come between it and the test, mostly the test, and a use of the value. */
static void gen_lookup(struct gen *g)
{
	static const int32_t sizes[] = {24, 16, 16, 8, 16};
	unsigned map = pick(g->dice, 5), key = number_reg(g), bytes, code, use, other;
	int at = -8 * (1 + (int)pick(g->dice, 8));
	int32_t size = sizes[map];
	uint32_t test = 0;
	bool tested;

	if (pick(g->dice, 3) == 0)
		put(g, BPF_ALU64 | BPF_AND | BPF_K, key, 0, 0, 3);
	if (pick(g->dice, 4) == 0)
		put(g, BPF_ST | BPF_MEM | (map == 4 ? BPF_DW : BPF_W), 10, 0, at, (int32_t)pick(g->dice, 6));
	else
		put(g, BPF_STX | BPF_MEM | (map == 4 ? BPF_DW : BPF_W), 10, key, at, 0);
	put_map_itself(g, 1, (int)(3 + map));
	put(g, BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
	put(g, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, at);
	put(g, BPF_JMP | BPF_CALL, 0, 0, 0, 1);
	put(g, BPF_ALU64 | BPF_MOV | BPF_X, 8, 0, 0, 0);
	gen_numbers(g, 1);
	if (pick(g->dice, 4) == 0) { /* through the stack */
		put(g, BPF_STX | BPF_MEM | BPF_DW, 10, 8, at, 0);
		if (pick(g->dice, 2))
			put(g, BPF_LDX | BPF_MEM | BPF_DW, 8, 10, at, 0);
	}
	tested = pick(g->dice, 16) != 0;
	if (pick(g->dice, 6) == 0 && g->a->prog.insn_count < 1000) { /* another one before this one's test */
		put(g, BPF_STX | BPF_MEM | BPF_DW, 10, 8, -72, 0);
		gen_lookup(g);
		put(g, BPF_LDX | BPF_MEM | BPF_DW, 8, 10, -72, 0);
		put(g, BPF_ALU64 | BPF_MOV | BPF_X, 0, 8, 0, 0);
		tested = pick(g->dice, 4) != 0;
	}
	test = g->a->prog.insn_count;
	if (tested)
		put(g, BPF_JMP | BPF_JEQ | BPF_K, pick(g->dice, 2) ? 0 : 8, 0, 0, 0);
	for (unsigned n = 1 + pick(g->dice, 3); n > 0; n--) {
		code = size_code(g, &bytes);
		use = pick(g->dice, 3) ? 8 : 0;
		other = 1 + pick(g->dice, 5);
		at = (int)(bytes * pick(g->dice, ((unsigned)size + (pick(g->dice, 16) == 0 ? 8 : 0)) / bytes));
		if (pick(g->dice, 5) == 0 && bytes >= 4)
			put(g, BPF_STX | BPF_ATOMIC | code, use, other, at, pick(g->dice, 2) ? BPF_FETCH : 0);
		else if (map == 2 || (map != 3 && pick(g->dice, 2)))
			put(g, BPF_LDX | BPF_MEM | code, other, use, at, 0);
		else
			put(g, BPF_STX | BPF_MEM | code, use, other, at, 0);
		if (pick(g->dice, 6) == 0)
			put(g, BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, (int32_t)pick(g->dice, 3) * 8);
	}
	if (pick(g->dice, 8) == 0 && g->jump_count < 256) {
		g->jumps[g->jump_count++] = g->a->prog.insn_count;
		put(g, BPF_JMP | BPF_JEQ | BPF_X, 8, 0, 0, 0);
	}
	if (tested)
		g->a->insns[test].off = (int16_t)(g->a->prog.insn_count - test - 1);
	put(g, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	put_map(g, 8, pick(g->dice, 4) ? 0 : 3, 0);
}

static void gen_end(struct gen *g)
{
	static const int32_t verdicts[] = {0, 1, 1, 1, 2, 256};

	if (pick(g->dice, 12) && !(g->a->prog.ctx.raw && pick(g->dice, 3)))
		put(g, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, verdicts[pick(g->dice, 6)]);
	put(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void gen_nonsense(struct gen *g)
{
	uint64_t bits = roll(g->dice);
	struct bpf_insn *i = put(g, 0, 0, 0, 0, pick_imm(g->dice));
	static const unsigned codes[] = {
		0x07, 0x0f, 0x1f, 0xbf, 0xbc, 0x61, 0x79, 0x7b, 0x63, 0x55, 0x1d, 0xdb, 0x27, 0x2d};

	i->code = (uint8_t)codes[pick(g->dice, 14)];
	i->dst_reg = bits % 11;
	if (i->code & 8 || BPF_CLASS(i->code) < 4) {
		i->src_reg = bits / 11 % 11;
		i->imm = 0;
	}
	if (BPF_CLASS(i->code) < 4)
		i->off = (int16_t)(8 * (int)pick(g->dice, 8) - 32);
	if (BPF_CLASS(i->code) == BPF_JMP && g->jump_count < 256)
		g->jumps[g->jump_count++] = g->a->prog.insn_count - 1;
}

static void gen_one(struct gen *g, bool main_func)
{
	switch (pick(g->dice, 24)) {
	case 22:
	case 23:
		gen_lookup(g);
		break;
	case 0:
	case 1:
		gen_ctx_load(g);
		break;
	case 2:
	case 3:
	case 4:
		gen_forward_jump(g);
		break;
	case 5:
	case 6:
	case 7:
		gen_indexed(g);
		break;
	case 8:
	case 9:
		gen_spill(g);
		break;
	case 10:
		gen_map_access(g);
		break;
	case 11:
		if (pick(g->dice, 3) == 0) {
			put(g, BPF_JMP | BPF_CALL, 0, 0, 0, 5);
			gen_numbers(g, 1);
		}
		break;
	case 12:
		put(g, BPF_STX | BPF_MEM | BPF_DW, 6, number_reg(g), 8, 0);
		break;
	case 13:
		if (pick(g->dice, 4) == 0)
			gen_nonsense(g);
		break;
	case 14:
		if (main_func && pick(g->dice, 3) == 0) { /* aimed at the second function at the end */
			put(g, BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
			put(g, BPF_ALU64 | BPF_MOV | BPF_X, 3, pick(g->dice, 4) ? 7 : 10, 0, 0);
			put(g, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, -1);
			gen_numbers(g, 1);
		}
		break;
	case 15:
		if (pick(g->dice, 5) == 0) { /* behind a condition, else nothing leads to what follows */
			uint32_t at = g->a->prog.insn_count;

			put(g, BPF_JMP | BPF_JSGT | BPF_K, number_reg(g), 0, 0, pick_imm(g->dice));
			gen_end(g);
			g->a->insns[at].off = (int16_t)(g->a->prog.insn_count - at - 1);
		}
		break;
	default:
		gen_alu(g);
		break;
	}
}

/* Pending jumps go to instructions between themselves and `end`. */
static void aim(struct gen *g, uint32_t end)
{
	while (g->jump_count > 0) {
		uint32_t at = g->jumps[--g->jump_count];
		uint32_t to = at + 1 + pick(g->dice, 12);

		if (to >= end)
			to = end - 1;
		while (g->second[to])
			to--;
		g->a->insns[at].off = (int16_t)(to - at - 1);
	}
}

static void gen_body(struct gen *g, unsigned count, bool main_func)
{
	put(g, BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	put_map(g, 7, 0, 0);
	put(g, BPF_ALU64 | BPF_MOV | BPF_X, 8, 7, 0, 0);
	put(g, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	gen_numbers(g, main_func ? 1 : 4);
	if (!main_func) {
		gen_ctx_load(g);
		put(g, BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 5);
		put(g, BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, pick_imm(g->dice));
	}
	put(g, BPF_LDX | BPF_MEM | BPF_W, 9, 6, 16, 0);
	for (int off = -64; off < 0; off += 8) {
		if (pick(g->dice, 8))
			put(g, BPF_ST | BPF_MEM | BPF_DW, 10, 0, off, (int32_t)pick(g->dice, 5));
	}
	while (count--) {
		if (pick(g->dice, 16) == 0 && g->a->prog.insn_count + 40 < PROG_MAX_INSNS) { /* a counted loop */
			uint32_t head, back;

			put(g, BPF_ALU64 | BPF_MOV | BPF_K, 9, 0, 0, (int32_t)pick(g->dice, 6));
			head = g->a->prog.insn_count;
			for (unsigned n = pick(g->dice, 5); n > 0; n--)
				gen_one(g, main_func);
			put(g, BPF_ALU64 | BPF_ADD | BPF_K, 9, 0, 0, pick(g->dice, 2) ? 1 : 2);
			back = g->a->prog.insn_count;
			put(g, BPF_JMP | BPF_JLT | BPF_K, 9, 0, (int)head - (int)back - 1, 9);
		} else {
			gen_one(g, main_func);
		}
	}
	gen_end(g);
	if (BPF_OP(g->a->insns[g->a->prog.insn_count - 1].code) != BPF_EXIT)
		put(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	aim(g, g->a->prog.insn_count);
}

static struct gen generator;

/* Behind the three global ones: what lookups can meet. */
static void generator_maps(struct asm_prog *a)
{
	static const char *const maps[] = {"array several 24 4", "array one 16 1", "array fixed 16 4 ro",
		"array sink 8 2 wo", "hash table 8 16 8"};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		asm_line(a, maps[i]);
}

static void generate(struct asm_prog *a, struct dice *dice)
{
	struct gen *g = &generator;
	bool called = false;
	uint32_t second;

	memset(g, 0, sizeof(*g));
	g->a = a;
	g->dice = dice;
	asm_begin(a, "random");
	generator_maps(a);
	if (pick(dice, 3) == 0)
		a->prog.ctx = (struct prog_ctx){.raw = true, .size = 64};
	gen_body(g, 4 + pick(dice, 40), true);
	second = a->prog.insn_count;
	a->funcs[1].start = second;
	snprintf(a->funcs[1].name, sizeof(a->funcs[1].name), "second");
	a->prog.func_count = 2;
	gen_body(g, 1 + pick(dice, 10), false);
	for (uint32_t i = 0; i < second; i++) {
		if (a->insns[i].code == (BPF_JMP | BPF_CALL) && a->insns[i].src_reg == BPF_PSEUDO_CALL) {
			a->insns[i].imm = (int32_t)(second - i - 1);
			called = true;
		}
	}
	if (!called) {
		a->prog.func_count = 1;
		a->prog.insn_count = second;
	}
	asm_end(a);
}

/* ---- judging --------------------------------------------------------------------------- */

static void random_input(struct machine *m, const struct prog *p, struct dice *dice)
{
	struct hr_io io = {0};

	/* One by one: the order of evaluation must not depend on the compiler. */
	io.value = roll(dice);
	io.offset = (uint32_t)roll(dice);
	if (pick(dice, 2))
		io.value &= 0xff;
	if (pick(dice, 2))
		io.offset &= 63;
	io.vcpu = pick(dice, 2);
	io.size = (uint8_t)(1u << pick(dice, 4));
	io.is_write = (uint8_t)pick(dice, 2);

	for (unsigned i = 0; i < p->map_count; i++) {
		for (unsigned k = 0; k < machine_storage(&p->maps[i]); k += 8) {
			uint64_t v = roll(dice);

			v >>= 8 * pick(dice, 8);
			memcpy(m->map[i] + k, &v, 8);
		}
	}
	for (unsigned k = 0; k < sizeof(m->ctx); k += 8) {
		uint64_t v = roll(dice) >> (8 * pick(dice, 8));

		memcpy(m->ctx + k, &v, 8);
	}
	machine_init(m, p, &io, roll(dice) >> 8);
}

static void print_program(const struct prog *p)
{
	char text[160];

	for (uint32_t i = 0; i < p->insn_count; i++) {
		disasm_insn(p, i, text, sizeof(text));
		fprintf(stderr, "%4u: %02x %s\n", i, p->insns[i].code, text);
	}
}

static bool is_element_of(int obj, unsigned map)
{
	return obj >= machine_element(map, 0) && obj < machine_element(map + 1, 0);
}

static bool cell_is(const struct prog *p, const struct reg *r, const struct cell *c)
{
	if (r->kind == REG_UNINIT)
		return true;
	if (!c->init)
		return false;
	switch (r->kind) {
	case REG_SCALAR:
		return c->obj == OBJ_NUMBER && range_contains(RANGE_BITS, &r->range, c->v);
	case REG_CTX:
		return c->obj == OBJ_CTX && range_contains(RANGE_BITS, &r->range, c->v - machine_base(c->obj));
	case REG_MAYBE:
		return (c->obj == OBJ_NUMBER && c->v == 0) ||
		       (is_element_of(c->obj, r->index) && c->v == machine_base(c->obj));
	case REG_MAP_ITSELF:
		return c->obj == OBJ_MAP_ITSELF + r->index && c->v == machine_base(c->obj);
	case REG_MAP:
		if (p->maps[r->index].role == MAP_USER ? !is_element_of(c->obj, r->index)
						       : c->obj != OBJ_MAP + r->index)
			return false;
		if (p->maps[r->index].role == MAP_USER && !r->link && c->obj != machine_element(r->index, 0))
			return false;
		return range_contains(RANGE_BITS, &r->range, c->v - machine_base(c->obj));
	default:
		return c->obj == OBJ_FRAME + r->index &&
		       range_contains(RANGE_BITS, &r->range, c->v - machine_base(c->obj));
	}
}

static bool slot_is(const struct prog *p, const struct slot *s, struct mframe *f, uint32_t index)
{
	unsigned at = PROG_STACK_BYTES - 8 * (index + 1);
	struct cell whole = {0, true, OBJ_NUMBER};

	memcpy(&whole.v, f->data + at, 8);
	if (s->byte[0] == BYTE_WHOLE) {
		if (f->what[at] == BYTE_POINTER)
			whole.obj = f->obj[at / 8];
		return cell_is(p, &s->spill[0], &whole);
	}
	for (unsigned i = 0; i < 8; i++) {
		if (s->byte[i] != BYTE_UNINIT && f->what[at + i] != BYTE_NUMBER)
			return false;
	}
	for (unsigned h = 0; h < 2; h++) {
		struct cell half = {(uint32_t)(whole.v >> (32 * h)), true, OBJ_NUMBER};

		if (s->byte[4 * h] == BYTE_HALF && !cell_is(p, &s->spill[h], &half))
			return false;
	}
	return true;
}

/* Is the machine in the state that the verifier believes it to be in? */
static const char *believes(const struct verifier *v, struct machine *m)
{
	static char what[64];

	if (v->now.frame_count != m->depth + 1 || v->pc != m->pc)
		return "another place";
	for (uint32_t i = 0; i <= m->depth; i++) {
		const struct frame *f = v->now.frames[i];

		for (unsigned r = 0; r < 10; r++) {
			const struct cell *c = &m->r[r];

			if (i < m->depth) {
				if (r < 6)
					continue;
				c = &m->frames[i + 1].saved[r - 6];
			}
			if (!cell_is(v->prog, &f->regs[r], c)) {
				snprintf(what, sizeof(what), "frame %u r%u", i, r);
				return what;
			}
		}
		for (uint32_t s = 0; s < f->slot_count; s++) {
			if (!slot_is(v->prog, &f->slots[s], &m->frames[i], s)) {
				snprintf(what, sizeof(what), "frame %u stack slot %u", i, s);
				return what;
			}
		}
	}
	return m->stored && !v->now.stored ? "a store is not noticed" : NULL;
}

/* The numbers linked to each other differ by what the links say. */
static const char *links_hold(const struct verifier *v, const struct machine *m)
{
	const struct frame *f = v->now.frames[m->depth];

	for (unsigned i = 0; i < 10; i++) {
		for (unsigned k = i + 1; k < 10; k++) {
			const struct reg *a = &f->regs[i], *b = &f->regs[k];
			uint64_t wrong = (m->r[i].v - a->delta) ^ (m->r[k].v - b->delta);

			if (a->link && a->link == b->link && a->kind == b->kind && a->kind != REG_SCALAR &&
				reg_is_pointer(a) && m->r[i].obj != m->r[k].obj)
				return "pointers are not into the same element";
			if (a->kind != REG_SCALAR || b->kind != REG_SCALAR || !a->link || a->link != b->link)
				continue;
			if (a->half_link || b->half_link ? (uint32_t)wrong != 0 : wrong != 0)
				return "a link is wrong";
		}
	}
	return NULL;
}

struct score {
	uint64_t programs, steps, accepted, runs;
};

static struct machine the_machine;

/* NULL, or what the verifier believed wrongly. */
static __attribute__((unused)) const char *lockstep(struct asm_prog *a, struct dice *dice, struct score *score)
{
	struct accel_err err;
	struct node root = {.open = 1};
	struct verifier v = {.prog = &a->prog,
		.err = &err,
		.parent = &root,
		.budget.limit = VERIFY_MAX_BYTES,
		.slots = a->prog.insn_count};
	struct machine *m = &the_machine;
	const char *wrong = NULL;

	v.code = calloc(v.slots, sizeof(*v.code));
	if (!v.code || verify_code_check(&v) || !state_push_frame(&v.now, 0, 0, &v.budget))
		goto out;
	v.now.frames[0]->regs[BPF_REG_1] = reg_pointer(REG_CTX, 0, 0);
	v.pc = 0;
	random_input(m, &a->prog, dice);
	score->programs++;
	while (m->steps < 400) { /* by then a loop has shown what it does */
		uint32_t pending = v.stack_count;

		if (verify_step(&v))
			break;
		score->steps++;
		if (!machine_step(m)) {
			wrong = m->wrong;
			break;
		}
		if (v.ended || m->ended) {
			wrong = v.ended != m->ended ? "only one has come to an end" : NULL;
			break;
		}
		if (v.stack_count > pending) {
			struct pending *p = &v.stack[--v.stack_count];

			if (m->taken) {
				state_clear(&v.now, &v.budget);
				v.now = p->state;
				v.pc = p->pc;
			} else {
				state_clear(&p->state, &v.budget);
			}
		}
		wrong = believes(&v, m);
		if (!wrong)
			wrong = links_hold(&v, m);
		if (wrong)
			break;
	}
	if (wrong)
		fprintf(stderr, "after %llu steps, before instruction %u: %s\n", (unsigned long long)m->steps, m->pc,
			wrong);
out:
	state_clear(&v.now, &v.budget);
	while (v.stack_count)
		state_clear(&v.stack[--v.stack_count].state, &v.budget);
	free(v.stack);
	free(v.code);
	return wrong;
}

static __attribute__((unused)) const char *run_accepted(struct asm_prog *a, struct dice *dice, struct score *score)
{
	struct machine *m = &the_machine;
	struct prog *p = &a->prog;
	struct accel_err err;

	if (verify_prog(p, &err))
		return err.text[0] ? NULL : "refused without a word";
	score->accepted++;
	for (unsigned run = 0; run < 8; run++) {
		random_input(m, p, dice);
		while (!m->ended && machine_step(m)) {
			if (m->steps > p->worst_case)
				return "more instructions than the worst case";
		}
		score->runs++;
		if (m->wrong)
			return m->wrong;
		if (m->stored && p->effect != ACCEL_STATEFUL)
			return "a pure program has stored to shared memory";
		if (m->timed && !p->reads_time)
			return "a program that reads no time has read it";
	}
	return NULL;
}

#endif
