/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mutate.h: programs that are nearly right: a program that is (shipped, from a table of tests/verify,
 * or random) with a few instructions changed, moved, taken out or put in. Jumps, calls and functions stay
 * aimed at what they were aimed at, unless they are what is changed. Included by one .c file.
 */
#ifndef TESTS_MUTATE_H
#define TESTS_MUTATE_H

#include "tests/unit/proggen.h"

static bool mutate_jumps(const struct bpf_insn *i)
{
	unsigned class = BPF_CLASS(i->code), op = BPF_OP(i->code);

	return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

static bool mutate_calls(const struct bpf_insn *i)
{
	return i->code == (BPF_JMP | BPF_CALL) && i->src_reg == BPF_PSEUDO_CALL;
}

static bool mutate_wide(const struct bpf_insn *i)
{
	return i->code == (BPF_LD | BPF_IMM | BPF_DW);
}

/* Whether the distance is in imm. */
static bool mutate_far(const struct bpf_insn *i)
{
	return mutate_calls(i) || i->code == (BPF_JMP32 | BPF_JA);
}

static int64_t mutate_target(const struct bpf_insn *i, uint32_t at)
{
	return (int64_t)at + 1 + (mutate_far(i) ? i->imm : i->off);
}

/* `remove` slots at `at` give way to `add` of `with`; whatever aimed behind them still does. */
static void mutate_replace(struct asm_prog *a, uint32_t at, uint32_t remove, const struct bpf_insn *with, uint32_t add)
{
	static struct bpf_insn old[PROG_MAX_INSNS + 8];
	uint32_t count = a->prog.insn_count;
	int64_t by = (int64_t)add - remove;

	if (at + remove > count || count + by < 1 || count + by > PROG_MAX_INSNS)
		return;
	memcpy(old, a->insns, count * sizeof(old[0]));
	memmove(a->insns + at + add, old + at + remove, (count - at - remove) * sizeof(old[0]));
	if (add)
		memcpy(a->insns + at, with, add * sizeof(old[0]));
	a->prog.insn_count = (uint32_t)(count + by);
	for (uint32_t i = 0; i < count; i++) {
		int64_t to, from = i < at ? i : i + by;

		if (i >= at && i < at + remove)
			continue;
		if (!mutate_jumps(&old[i]) && !mutate_calls(&old[i])) {
			i += mutate_wide(&old[i]);
			continue;
		}
		to = mutate_target(&old[i], i);
		if (to >= at + remove && (to > at || remove))
			to += by;
		else if (to > at)
			to = at;
		if (mutate_far(&old[i]))
			a->insns[from].imm = (int32_t)(to - from - 1);
		else
			a->insns[from].off = (int16_t)(to - from - 1);
	}
	for (uint32_t f = 1; f < a->prog.func_count; f++) {
		if (a->funcs[f].start >= at + remove && a->funcs[f].start > at)
			a->funcs[f].start = (uint32_t)(a->funcs[f].start + by);
		else if (a->funcs[f].start > at)
			a->funcs[f].start = at;
	}
}

static uint32_t mutate_at(const struct asm_prog *a, struct dice *d)
{
	uint32_t at = (uint32_t)(roll(d) % a->prog.insn_count);

	return at > 0 && mutate_wide(&a->insns[at - 1]) ? at - 1 : at;
}

/* One field of one instruction. */
static void mutate_field(struct asm_prog *a, struct dice *d)
{
	struct bpf_insn *i = &a->insns[mutate_at(a, d)];
	static const uint8_t alu[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD,
		BPF_XOR, BPF_MOV, BPF_ARSH};
	static const uint8_t jmp[] = {
		BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	unsigned class = BPF_CLASS(i->code);

	switch (pick(d, 10)) {
	case 0:
		i->dst_reg = pick(d, 11) & 15;
		break;
	case 1:
		if (BPF_SRC(i->code) == BPF_X || class == BPF_LDX || class == BPF_STX)
			i->src_reg = pick(d, 11) & 15;
		break;
	case 2:
		i->imm = pick_imm(d);
		break;
	case 3:
		i->imm = (int32_t)((uint32_t)i->imm + (pick(d, 2) ? 1u : UINT32_MAX));
		break;
	case 4:
		if (mutate_jumps(i))
			i->off = (int16_t)(i->off + (int)pick(d, 9) - 4);
		else
			i->off = (int16_t)(i->off + 8 * ((int)pick(d, 5) - 2));
		break;
	case 5:
		i->off = (int16_t)(i->off ^ (1 << pick(d, 4)));
		break;
	case 6: /* another operation */
		if ((class == BPF_JMP || class == BPF_JMP32) && mutate_jumps(i) && BPF_OP(i->code) != BPF_JA)
			i->code = (uint8_t)((i->code & 0x0f) | jmp[pick(d, 11)]);
		else if (class == BPF_ALU || class == BPF_ALU64)
			i->code = (uint8_t)((i->code & 0x0f) | alu[pick(d, 12)]);
		break;
	case 7: /* the other width */
		if (class == BPF_ALU || class == BPF_ALU64)
			i->code ^= BPF_ALU ^ BPF_ALU64;
		else if (mutate_jumps(i) && BPF_OP(i->code) != BPF_JA)
			i->code ^= BPF_JMP ^ BPF_JMP32;
		else if (class == BPF_LDX || class == BPF_ST || class == BPF_STX)
			i->code = (uint8_t)((i->code & ~0x18) | pick(d, 4) << 3);
		break;
	case 8: /* register or immediate */
		if (class == BPF_ALU || class == BPF_ALU64 || (mutate_jumps(i) && BPF_OP(i->code) != BPF_JA)) {
			i->code ^= BPF_X;
			i->src_reg = BPF_SRC(i->code) ? pick(d, 10) & 15 : 0;
			i->imm = BPF_SRC(i->code) ? 0 : pick_imm(d);
			if (class == BPF_ALU || class == BPF_ALU64)
				i->off = 0;
		}
		break;
	default:
		i->code ^= (uint8_t)(1u << pick(d, 8));
		break;
	}
}

/* A few instructions of `other` at some place. */
static void mutate_splice(struct asm_prog *a, const struct asm_prog *other, struct dice *d)
{
	struct bpf_insn some[10];
	uint32_t from = mutate_at(other, d), count = 1 + pick(d, 8), at = mutate_at(a, d);

	if (from + count > other->prog.insn_count)
		count = other->prog.insn_count - from;
	if (mutate_wide(&other->insns[from + count - 1]))
		count++;
	memcpy(some, other->insns + from, count * sizeof(some[0]));
	for (uint32_t i = 0; i < count; i++) {
		if (mutate_wide(&some[i])) {
			i++;
			continue;
		}
		if (mutate_calls(&some[i]))
			some[i] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1};
		if (mutate_jumps(&some[i]) && BPF_OP(some[i].code) != BPF_JA)
			some[i].off = (int16_t)pick(d, 10);
		if (BPF_OP(some[i].code) == BPF_EXIT && BPF_CLASS(some[i].code) == BPF_JMP)
			some[i] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 0};
	}
	mutate_replace(a, at, 0, some, count);
}

static void mutate_swap(struct asm_prog *a, struct dice *d)
{
	uint32_t at = mutate_at(a, d);
	struct bpf_insn first = a->insns[at];

	if (at + 2 > a->prog.insn_count || mutate_wide(&first) || mutate_wide(&a->insns[at + 1]))
		return;
	if (mutate_jumps(&first) || mutate_calls(&first) || mutate_jumps(&a->insns[at + 1]) ||
		mutate_calls(&a->insns[at + 1]))
		return;
	a->insns[at] = a->insns[at + 1];
	a->insns[at + 1] = first;
}

/* A test of a register for the null of a lookup, or for a bound, is what nearly right programs forget. */
static void mutate_drop_test(struct asm_prog *a, struct dice *d)
{
	uint32_t at = mutate_at(a, d);

	for (uint32_t n = 0; n < a->prog.insn_count; n++) {
		uint32_t i = (at + n) % a->prog.insn_count;

		if (mutate_jumps(&a->insns[i]) && BPF_OP(a->insns[i].code) != BPF_JA) {
			if (pick(d, 2))
				mutate_replace(a, i, 1, NULL, 0);
			else
				a->insns[i].imm = (int32_t)((uint32_t)a->insns[i].imm + (pick(d, 2) ? 1u : UINT32_MAX));
			return;
		}
	}
}

__attribute__((unused)) static void mutate(struct asm_prog *a, const struct asm_prog *other, struct dice *d)
{
	unsigned times = 1 + (pick(d, 2) ? 0 : pick(d, 4));
	uint32_t at;

	while (times--) {
		switch (pick(d, 12)) {
		case 0:
			at = mutate_at(a, d);
			mutate_replace(a, at, mutate_wide(&a->insns[at]) ? 2 : 1, NULL, 0);
			break;
		case 1:
			mutate_splice(a, other, d);
			break;
		case 2:
			mutate_swap(a, d);
			break;
		case 3:
			mutate_drop_test(a, d);
			break;
		case 4:
			if (a->prog.ctx.raw)
				a->prog.ctx.size = 8 * pick(d, 9);
			break;
		default:
			mutate_field(a, d);
			break;
		}
	}
	asm_end(a);
}

#endif
