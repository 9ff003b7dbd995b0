/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_jit.c: the JIT against the interpreter, and its memory.
 *
 *   every instruction with every pair of registers: all registers and the memory afterwards
 *   divisions by constants, against the host's own
 *   random programs that the verifier accepts (proggen.h): r0, request and maps
 *   jumps over jumps, loops whose end several jumps lead to, array maps that are known where they are looked up and ones that are not
 *   long and short jumps, deep frames, what may not be mapped how
 * tests/insn/, which RFC 9669 judges, runs in both too: test_insn.c. The shipped objects: test_jit_objects.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/engine.h"
#include "accel/insn.h"
#include "accel/jit.h"
#include "tests/unit/jitcompare.h"
#include "tests/unit/proggen.h"

static void need_jit(void)
{
	if (engine_has_jit())
		return;
	print_message("SKIP: this build has no JIT\n");
	skip();
}

static uint64_t rng_state = 0x9e3779b97f4a7c15;

static uint64_t rng(void)
{
	struct dice dice = {.seed = rng_state};
	uint64_t v = roll(&dice);

	rng_state = dice.seed;
	return v;
}

static uint64_t odd_number(void)
{
	static const uint64_t some[] = {0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		INT32_MAX, 0x80000000, UINT32_MAX, 0x100000000, 0x1ffffffff, INT64_MAX, 0x8000000000000000, UINT64_MAX,
		-2ull, 0xffffffff80000000, 0xffffffff00000000};

	switch (rng() >> 40 & 3) {
	case 0:
		return some[(rng() >> 40) % (sizeof(some) / sizeof(some[0]))];
	case 1:
		return rng() >> (rng() >> 40) % 64;
	default:
		return rng();
	}
}

/* ---- every instruction, every register ---- */

/*
 * A program around one instruction: all registers come from the block that r1 points to, and go back to it.
 * Layout of the block: r0 to r9 in, r0 to r9 out, then the memory that the instruction may touch.
 */
enum { IN = 0, OUT = 80, MEMORY = 160, BLOCK = 192 };

struct program {
	struct bpf_insn insns[4096];
	uint32_t count;
};

static void emit(struct program *p, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
	p->insns[p->count++] = (struct bpf_insn){
		.code = (uint8_t)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm};
}

#define LDX64 (BPF_LDX | BPF_MEM | BPF_DW)
#define STX64 (BPF_STX | BPF_MEM | BPF_DW)

static void all_registers_in(struct program *p)
{
	emit(p, STX64, 10, 1, -8, 0);
	for (unsigned i = 10; i-- > 0;) {
		if (i != 1)
			emit(p, LDX64, i, 1, IN + 8 * (int)i, 0);
	}
	emit(p, LDX64, 1, 1, IN + 8, 0);
}

static void all_registers_out(struct program *p)
{
	for (unsigned i = 0; i < 10; i++)
		emit(p, STX64, 10, i, -16 - 8 * (int)i, 0);
	emit(p, LDX64, 1, 10, -8, 0);
	for (unsigned i = 0; i < 10; i++) {
		emit(p, LDX64, 2, 10, -16 - 8 * (int)i, 0);
		emit(p, STX64, 1, 2, OUT + 8 * (int)i, 0);
	}
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static bool is_memory_kind(enum insn_kind kind)
{
	return kind == KIND_LOAD || kind == KIND_LOAD_S || kind == KIND_STORE_K || kind == KIND_STORE_X ||
	       kind == KIND_ATOMIC || kind == KIND_ATOMIC_FETCH || kind == KIND_ATOMIC_CMPXCHG;
}

static bool uses_dst(enum insn_kind kind)
{
	return kind != KIND_JUMP && kind != KIND_JUMP32 && kind != KIND_RETURN && kind != KIND_CALL_HELPER &&
	       kind != KIND_CALL_FUNC;
}

static bool uses_src(enum insn_kind kind)
{
	return kind == KIND_ALU_X || kind == KIND_JMP_X || kind == KIND_LOAD || kind == KIND_LOAD_S ||
	       kind == KIND_STORE_X || kind == KIND_ATOMIC || kind == KIND_ATOMIC_FETCH || kind == KIND_ATOMIC_CMPXCHG;
}

static uint64_t block[BLOCK / 8], after_interp[BLOCK / 8];
static struct prog_array array = {asm_state, 2, 8};

static uint64_t last_r0;

static void compare_program(const struct prog *p, const char *what, unsigned dst, unsigned src)
{
	struct prog_env env = {.map_base = {asm_state}, .array = {array}, .time_is_frozen = true, .frozen_ns = 77};
	uint64_t before[BLOCK / 8], r0 = 0;

	memcpy(before, block, sizeof(block));
	for (unsigned e = 0; e < COMPARE_ENGINES; e++) {
		struct engine_code *code;
		uint64_t r;

		memcpy(block, before, sizeof(block));
		if (compare_prepare(p, &env, e, &code))
			fail_msg("%s r%u r%u: %s does not take it", what, dst, src, compare_names[e]);
		r = engine_run(code, block);
		engine_free(code);
		if (e == 0) {
			r0 = r;
			memcpy(after_interp, block, sizeof(block));
		} else if (r != r0) {
			fail_msg("%s r%u r%u: %s: r0 is %#llx, not %#llx", what, dst, src, compare_names[e],
				(unsigned long long)r, (unsigned long long)r0);
		}
		for (unsigned i = 0; i < BLOCK / 8; i++) {
			if (block[i] != after_interp[i])
				fail_msg("%s r%u r%u: %s: after r%u = %#llx, r%u = %#llx: word %u is %#llx, not %#llx",
					what, dst, src, compare_names[e], dst, (unsigned long long)before[dst % 10],
					src, (unsigned long long)before[src % 10], i, (unsigned long long)block[i],
					(unsigned long long)after_interp[i]);
		}
	}
	memcpy(block, before, sizeof(block));
	last_r0 = r0;
}

#define ANY 0
#define OFF 1
#define IMM 2
#define SRC 3
static const struct {
	const char *name;
	uint8_t opcode;
	int select;
	int32_t value;
} rows[INSN_COUNT] = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) {#id, opcode, select, value},
#include "accel/insn.def"
};
#undef ANY
#undef OFF
#undef IMM
#undef SRC

static void one_instruction(unsigned i, unsigned dst, unsigned src)
{
	struct program p = {.count = 0};
	struct prog prog = {.name = "row", .insns = p.insns, .maps = asm_maps, .map_count = 1};
	struct bpf_insn insn = {.code = rows[i].opcode, .dst_reg = dst & 15, .src_reg = src & 15};
	const struct insn_desc *desc;
	unsigned base;

	insn.off = rows[i].select == 1 ? (int16_t)rows[i].value : 0;
	if (rows[i].select == 3)
		insn.src_reg = rows[i].value & 15;
	insn.imm = rows[i].select == 2 ? rows[i].value : 0;
	desc = insn_lookup(&insn);
	if (!desc) /* the row does not use src */
		return;
	for (unsigned k = 0; k < BLOCK / 8; k++)
		block[k] = odd_number();
	if (rows[i].select != 2 && (desc->kind == KIND_ALU_K || desc->kind == KIND_JMP_K || desc->kind == KIND_STORE_K))
		insn.imm = (int32_t)odd_number();
	if (is_memory_kind(desc->kind)) {
		base = desc->kind == KIND_LOAD || desc->kind == KIND_LOAD_S ? src : dst;
		insn.off = (int16_t)((rng() >> 40) % 2 ? 0 : (rng() >> 40) % 2 ? 8 : -512);
		block[base] = (uint64_t)(uintptr_t)block + MEMORY - (uint64_t)(int64_t)insn.off;
		if (desc->kind == KIND_ATOMIC_CMPXCHG && base != 0 && (rng() >> 40) % 2)
			block[0] = block[MEMORY / 8];
	}
	all_registers_in(&p);
	if (desc->kind == KIND_JMP_K || desc->kind == KIND_JMP_X || desc->kind == KIND_JUMP ||
		desc->kind == KIND_JUMP32) {
		/* taken: r0 to 111 */
		insn.off = 2;
		if (desc->kind == KIND_JUMP32) {
			insn.off = 0;
			insn.imm = 2;
		}
		p.insns[p.count++] = insn;
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 222);
		emit(&p, BPF_JMP | BPF_JA, 0, 0, 1, 0);
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 111);
	} else if (desc->kind == KIND_CALL_HELPER) {
		insn.imm = 5;
		p.insns[p.count++] = insn;
		for (unsigned r = 1; r <= 5; r++) /* which it destroys */
			emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, r, 0, 0, 0);
	} else if (desc->kind == KIND_CALL_FUNC) {
		p.insns[p.count++] = insn; /* aimed below */
		for (unsigned r = 1; r <= 5; r++)
			emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, r, 0, 0, 0);
	} else if (desc->slots == 2) {
		insn.imm = desc->kind == KIND_IMM64 ? (int32_t)odd_number() : 0;
		p.insns[p.count++] = insn;
		emit(&p, 0, 0, 0, 0,
			desc->kind == KIND_IMM64      ? (int32_t)odd_number()
			: desc->kind == KIND_MAP_ADDR ? 24
						      : 0);
	} else if (desc->kind != KIND_RETURN) {
		p.insns[p.count++] = insn;
	}
	all_registers_out(&p);
	if (desc->kind == KIND_CALL_FUNC) {
		for (uint32_t k = 0; k < p.count; k++) {
			if (p.insns[k].code == rows[i].opcode)
				p.insns[k].imm = (int32_t)(p.count - k - 1);
		}
		/* the callee: r6 to r9 and a frame of its own */
		emit(&p, BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 99);
		for (unsigned r = 6; r <= 9; r++)
			emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, r, r - 5, 0, 0);
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 0, 5, 0, 0);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_X, 0, 9, 0, 0);
		emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	prog.insn_count = p.count;
	compare_program(&prog, rows[i].name, dst, src);
}

static void test_all_registers(void **state)
{
	unsigned done = 0, refused = 0;

	(void)state;
	for (unsigned i = 0; i < INSN_COUNT; i++) {
		struct bpf_insn insn = {.code = rows[i].opcode,
			.src_reg = rows[i].select == 3 ? rows[i].value & 15 : 0,
			.off = (int16_t)(rows[i].select == 1 ? rows[i].value : 0),
			.imm = rows[i].select == 2 ? rows[i].value : 0};
		const struct insn_desc *desc = insn_lookup(&insn);
		struct bpf_insn both[2] = {insn, {0}};
		char text[160];

		assert_non_null(desc);
		assert_int_equal(desc->id, i);
		assert_true(disasm_insn(&(struct prog){.insns = both, .insn_count = 2}, 0, text, sizeof(text)) > 0);
		if (strncmp(text, "not an instruction", 18) == 0)
			fail_msg("%s: the disassembler does not know it", rows[i].name);
		if (desc->kind == KIND_REFUSED) {
			refused++;
			continue;
		}
		for (unsigned dst = 0; dst < (uses_dst(desc->kind) ? 10 : 1); dst++) {
			for (unsigned src = 0; src < (uses_src(desc->kind) ? 10 : 1); src++) {
				one_instruction(i, dst, src);
				done++;
			}
		}
	}
	print_message("%u instructions of %u rows, %u rows refused\n", done, INSN_COUNT, refused);
	assert_true(done > 5000);
}

/* ---- r10 as a value: it differs between engines, so only what does not depend on that ---- */

static void test_frame_pointer(void **state)
{
	struct program p = {.count = 0};
	struct prog prog = {.name = "r10", .insns = p.insns};

	(void)state;
	/* r0 is 1 for each thing that holds */
	emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
	emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, -512);
	emit(&p, BPF_ST | BPF_MEM | BPF_DW, 10, 0, -512, 1234);
	emit(&p, LDX64, 4, 3, 0, 0);
	emit(&p, BPF_JMP | BPF_JNE | BPF_K, 4, 0, 1, 1234);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1);
	emit(&p, BPF_ALU64 | BPF_SUB | BPF_X, 2, 10, 0, 0); /* 0 */
	emit(&p, BPF_JMP | BPF_JNE | BPF_K, 2, 0, 1, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 2);
	emit(&p, STX64, 10, 10, -16, 0);
	emit(&p, LDX64, 5, 10, -16, 0);
	emit(&p, BPF_JMP | BPF_JNE | BPF_X, 10, 5, 1, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 4);
	emit(&p, BPF_JMP | BPF_JEQ | BPF_X, 5, 10, 1, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 100);
	emit(&p, BPF_JMP | BPF_JLE | BPF_X, 10, 3, 1, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 8);
	emit(&p, BPF_ALU | BPF_MOV | BPF_X, 4, 10, 0, 0);
	emit(&p, BPF_JMP32 | BPF_JNE | BPF_X, 4, 10, 1, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 16);
	emit(&p, BPF_ST | BPF_MEM | BPF_DW, 10, 0, -24, 0);
	emit(&p, BPF_STX | BPF_ATOMIC | BPF_DW, 10, 10, -24, 0); /* add */
	emit(&p, LDX64, 5, 10, -24, 0);
	emit(&p, BPF_JMP | BPF_JNE | BPF_X, 5, 10, 1, 0);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 32);
	emit(&p, BPF_ALU64 | BPF_DIV | BPF_X, 5, 10, 0, 0); /* 1 */
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_X, 0, 5, 0, 0);
	emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	prog.insn_count = p.count;
	for (unsigned e = 0; e < COMPARE_ENGINES; e++) {
		struct prog_env env = {.time_is_frozen = true};
		struct engine_code *code;

		assert_int_equal(compare_prepare(&prog, &env, e, &code), 0);
		assert_int_equal(engine_run(code, block), 64);
		engine_free(code);
	}
}

/* ---- division by constants ---- */

static void divide_once(bool is64, bool is_mod, int off, int32_t imm, const uint64_t *numbers, unsigned count)
{
	struct program p = {.count = 0};
	struct prog prog = {.name = "division", .insns = p.insns};
	struct prog_env env = {.time_is_frozen = true};
	struct engine_code *interp, *jit;
	unsigned dst = (rng() >> 40) % 5;
	const unsigned regs[] = {0, 3, 1, 6, 4};

	dst = regs[dst];
	emit(&p, LDX64, dst, 1, 0, 0);
	emit(&p, (is64 ? BPF_ALU64 : BPF_ALU) | (is_mod ? BPF_MOD : BPF_DIV) | BPF_K, dst, 0, off, imm);
	emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 0, dst, 0, 0);
	emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	prog.insn_count = p.count;
	assert_int_equal(engine_prepare(&prog, &env, ENGINE_INTERP, &interp), 0);
	assert_int_equal(engine_prepare(&prog, &env, ENGINE_JIT, &jit), 0);
	for (unsigned i = 0; i < count; i++) {
		uint64_t n = numbers[i], expected = engine_run(interp, &n), got = engine_run(jit, &n);

		if (got != expected)
			fail_msg("%#llx %s %d (%u bits, off %d): %#llx, not %#llx", (unsigned long long)n,
				is_mod ? "%" : "/", imm, is64 ? 64 : 32, off, (unsigned long long)got,
				(unsigned long long)expected);
	}
	engine_free(interp);
	engine_free(jit);
}

static void test_constant_division(void **state)
{
	uint64_t numbers[256];

	(void)state;
	need_jit();
	for (unsigned i = 0; i < 3000; i++) {
		int32_t imm = i < 300 ? (int32_t)i - 20 : (int32_t)odd_number();
		uint64_t d = (uint64_t)(int64_t)imm;

		/* numbers around the multiples of the divisor are where a wrong reciprocal shows */
		for (unsigned k = 0; k < 256; k++) {
			numbers[k] = odd_number();
			if (k % 2 && d)
				numbers[k] = numbers[k] / d * d + (rng() >> 40) % 3 - 1;
			else if (k % 4 == 0 && imm)
				numbers[k] =
					(uint32_t)numbers[k] / (uint32_t)imm * (uint32_t)imm + (rng() >> 40) % 3 - 1;
		}
		for (unsigned form = 0; form < 8; form++)
			divide_once(form & 1, form & 2, form & 4 ? 1 : 0, imm, numbers, 256);
	}
}

/* ---- a jump on what was just loaded or masked ---- */

static void pair_once(unsigned first, unsigned jump, int32_t mask, int32_t imm, bool is_used_later)
{
	struct program p = {.count = 0};
	struct prog prog = {.name = "pair", .insns = p.insns};

	emit(&p, STX64, 10, 1, -8, 0);
	if (BPF_CLASS(first) == BPF_LDX) {
		emit(&p, first, 2, 1, MEMORY, 0);
	} else {
		emit(&p, LDX64, 2, 1, MEMORY, 0);
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 2, 2, 0, 0); /* nothing to be one with the load */
		emit(&p, first, 2, 0, 0, mask);
	}
	emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	p.insns[p.count] = p.insns[p.count - 2]; /* r0 first: they have to be neighbours */
	p.insns[p.count - 2] = p.insns[p.count - 1];
	p.insns[p.count - 1] = p.insns[p.count];
	emit(&p, jump, 2, 0, 1, imm);
	emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1000);
	if (is_used_later)
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_X, 0, 2, 0, 0);
	emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	prog.insn_count = p.count;
	compare_program(&prog, "pair", first, jump);
}

static void test_pairs(void **state)
{
	static const unsigned ops[] = {
		BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	static const unsigned widths[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	static const int32_t imms[] = {0, 1, -1, 127, 128, 255, 256, -128, 0x7fff, 0xffff, INT32_MAX, INT32_MIN};
	unsigned done = 0;

	(void)state;
	for (unsigned op = 0; op < 11; op++) {
		for (unsigned class = 0; class < 2; class ++) {
			unsigned jump = ops[op] | (class ? BPF_JMP32 : BPF_JMP) | BPF_K;

			for (unsigned i = 0; i < 12 * 4; i++) {
				int32_t imm = imms[i / 4];
				bool later = i & 1;
				unsigned alu = (i & 2 ? BPF_ALU64 : BPF_ALU) | BPF_AND | BPF_K;

				for (unsigned w = 0; w < 4; w++, done++) {
					/* the constant itself, its neighbours, anything */
					block[MEMORY / 8] = (rng() >> 40) % 2
								    ? odd_number()
								    : (uint64_t)(int64_t)imm + (rng() >> 40) % 3 - 1;
					pair_once(BPF_LDX | BPF_MEM | widths[w], jump, 0, imm, later);
					pair_once(alu, jump, imms[(rng() >> 40) % 12], (rng() >> 40) % 2 ? 0 : imm,
						later);
				}
			}
		}
	}
	assert_int_equal(done, 11 * 2 * 48 * 4);
}

/* ---- a jump over a jump ---- */

static void test_jump_over_jump(void **state)
{
	static const unsigned ops[] = {
		BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};

	(void)state;
	for (unsigned i = 0; i < 11 * 2 * 2 * 2 * 60; i++) {
		const bool is_reg = i & 1, is_loaded = i & 2, is_entered = i & 4;
		const unsigned jump = ops[i / 8 % 11] | (i / 88 % 2 ? BPF_JMP32 : BPF_JMP) | (is_reg ? BPF_X : BPF_K);
		struct program p = {.count = 0};
		struct prog prog = {.name = "over", .insns = p.insns};
		const int32_t imm = (int32_t)odd_number();

		block[MEMORY / 8] = (rng() >> 40) % 2 ? odd_number() : (uint64_t)(int64_t)imm + (rng() >> 40) % 3 - 1;
		block[MEMORY / 8 + 1] = (uint64_t)(int64_t)imm;
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
		emit(&p, LDX64, 3, 1, MEMORY + 8, 0);
		if (is_entered) { /* the second jump is also reached from here */
			emit(&p, LDX64, 4, 1, MEMORY, 0);
			emit(&p, BPF_JMP | BPF_JSET | BPF_K, 4, 0, is_loaded ? 2 : 3, 1);
		}
		emit(&p, LDX64, 2, 1, MEMORY, 0);
		if (!is_loaded) /* nothing to be one with the load */
			emit(&p, BPF_ALU64 | BPF_XOR | BPF_K, 2, 0, 0, 0);
		emit(&p, jump, 2, is_reg ? 3 : 0, 1, is_reg ? 0 : imm);
		emit(&p, BPF_JMP | BPF_JA, 0, 0, 2, 0);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 10);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 100);
		emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		prog.insn_count = p.count;
		compare_program(&prog, "jump over jump", i, jump);
	}
}

/* ---- the end of a loop, written in the place of jumps to it ---- */

/* Short ends of a loop and long ones, with a condition of each shape, which leads on or back, near and far. */
static void test_loop_ends(void **state)
{
	static struct program p;

	(void)state;
	for (unsigned i = 0; i < 8 * 4 * 2 * 3 * 2; i++) {
		const unsigned end_insns = i % 8, shape = i / 8 % 4, gap = i / 64 % 3 * 25;
		const bool leads_back = i / 32 % 2, is_first = i / 192;
		struct prog prog = {.name = "loop", .insns = p.insns};
		uint32_t head = 0, end = 0, jumps[3] = {0};

		p.count = 0;
		for (unsigned k = 0; k < BLOCK / 8; k++)
			block[k] = odd_number();
		block[MEMORY / 8] = 0;
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0);
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 5, 0, 0, 40);
		emit(&p, BPF_JMP | BPF_JA, 0, 0, 0, 0); /* to the head, over the end if that comes first */
		for (unsigned pass = 0; pass < 2; pass++) {
			if (pass == (is_first ? 0 : 1)) {
				end = p.count;
				for (unsigned k = 0; k < end_insns; k++)
					emit(&p, BPF_ALU64 | (k % 3 ? BPF_XOR : BPF_ADD) | BPF_K, 0, 0, 0,
						(int32_t)(k * 12345 + 1));
				emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 1);
				emit(&p, STX64, 1, 2, MEMORY, 0);
				if (shape == 1)
					emit(&p, LDX64, 3, 1, MEMORY, 0); /* one with the jump: memory */
				if (shape == 2) {
					emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0);
					emit(&p, BPF_ALU64 | BPF_AND | BPF_K, 3, 0, 0, 32); /* one with it: a mask */
				}
				jumps[2] = p.count;
				if (shape == 2)
					emit(&p, BPF_JMP | (leads_back ? BPF_JEQ : BPF_JNE) | BPF_K, 3, 0, 0, 0);
				else if (shape == 3)
					emit(&p, BPF_JMP | (leads_back ? BPF_JLT : BPF_JGE) | BPF_X, 2, 5, 0, 0);
				else
					emit(&p, BPF_JMP | (leads_back ? BPF_JLT : BPF_JGE) | BPF_K, shape == 1 ? 3 : 2,
						0, 0, 40);
				emit(&p, BPF_JMP | BPF_JA, 0, 0, 0, 0); /* where the condition does not lead */
			} else {
				head = p.count;
				emit(&p, LDX64, 4, 1, MEMORY, 0);
				emit(&p, BPF_JMP | BPF_JSET | BPF_K, 4, 0, 2, 1);
				emit(&p, BPF_ALU64 | BPF_ADD | BPF_X, 0, 4, 0, 0);
				jumps[0] = p.count;
				emit(&p, BPF_JMP | BPF_JA, 0, 0, 0, 0); /* to the end */
				for (unsigned k = 0; k < gap; k++)
					emit(&p, BPF_ALU64 | BPF_XOR | BPF_K, 0, 0, 0, (int32_t)(k * 999));
				emit(&p, BPF_ALU64 | BPF_MUL | BPF_K, 0, 0, 0, 3);
				jumps[1] = p.count;
				emit(&p, BPF_JMP | BPF_JA, 0, 0, 0, 0); /* to the end */
			}
		}
		p.insns[3].off = (int16_t)(head - 4);
		p.insns[jumps[0]].off = (int16_t)(end - jumps[0] - 1);
		p.insns[jumps[1]].off = (int16_t)(end - jumps[1] - 1);
		p.insns[jumps[2]].off = (int16_t)((leads_back ? head : p.count) - jumps[2] - 1);
		p.insns[jumps[2] + 1].off = (int16_t)((leads_back ? p.count : head) - jumps[2] - 2);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_X, 0, 2, 0, 0);
		emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		prog.insn_count = p.count;
		compare_program(&prog, "loop", i, shape);
		assert_true(last_r0 != 0);
	}
}

/* ---- array maps ---- */

static void test_lookups(void **state)
{
	static const struct prog_array arrays[] = {{asm_state, 2, 8}, {asm_state, 1, 16}, {asm_state, 7, 24},
		{asm_state, 127, 8}, {asm_state, 128, 4096}, {asm_state, 129, 40}, {asm_state, INT32_MAX, 8},
		{asm_state, 0x80000000, 64}, {asm_state, UINT32_MAX, 0x7ffffff8}, {asm_state, 3, 0x80000000},
		{asm_state, 3, 0xfffffff8}};

	(void)state;
	for (unsigned i = 0; i < sizeof(arrays) / sizeof(arrays[0]) * 3 * 64; i++) {
		const unsigned way =
			i % 3; /* the map is known; it is not, since a jump leads there; it comes by way of r6 */
		struct program p = {.count = 0};
		struct prog prog = {.name = "look up", .insns = p.insns, .maps = asm_maps, .map_count = 1};
		uint64_t expected = 0;
		uint32_t key;

		array = arrays[i / 3 % (sizeof(arrays) / sizeof(arrays[0]))];
		key = (rng() >> 40) % 2 ? array.entries + (uint32_t)(rng() >> 40) % 3 - 1 : (uint32_t)odd_number();
		if (key < array.entries)
			expected = (uint64_t)(uintptr_t)asm_state + (uint64_t)key * array.stride;
		block[MEMORY / 8] = key | odd_number() << 32;
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 2, 1, 0, 0);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, MEMORY);
		emit(&p, LDX64, 3, 1, MEMORY, 0);
		emit(&p, BPF_LD | BPF_IMM | BPF_DW, way == 2 ? 6 : 1, BPF_PSEUDO_MAP_FD, 0, 0);
		emit(&p, 0, 0, 0, 0, 0);
		if (way == 1) {
			emit(&p, BPF_JMP | BPF_JSET | BPF_K, 3, 0, 1, 1);
			emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, 0);
		}
		if (way == 2)
			emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
		emit(&p, BPF_JMP | BPF_CALL, 0, 0, 0, 1);
		emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		prog.insn_count = p.count;
		compare_program(&prog, "look up", way, i);
		assert_int_equal(last_r0, expected);
	}
	array = (struct prog_array){asm_state, 2, 8};
}

/* ---- jumps of all lengths ---- */

static void test_long_jumps(void **state)
{
	static struct program p;

	(void)state;
	/* forward over `gap` instructions of 4 to 10 bytes, and a loop back over them */
	for (unsigned gap = 0; gap < 3000; gap += gap < 80 ? 1 : 487) {
		struct prog prog = {.name = "jumps", .insns = p.insns};
		uint32_t loop;

		p.count = 0;
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0);
		loop = p.count;
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 1);
		emit(&p, BPF_JMP | BPF_JSET | BPF_K, 2, 0, (int)gap, 1);
		for (unsigned i = 0; i < gap; i++)
			emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, i % 3 ? 0 : 3, 0, 0, (int32_t)(i * 100));
		emit(&p, BPF_JMP | BPF_JLT | BPF_K, 2, 0, (int)loop - (int)p.count - 1, 5);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 7);
		emit(&p, BPF_JMP | BPF_JA, 0, 0, (int)gap, 0);
		for (unsigned i = 0; i < gap && p.count < 4000; i++)
			emit(&p, BPF_ALU64 | BPF_XOR | BPF_K, 0, 0, 0, (int32_t)i + 1);
		emit(&p, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 9);
		emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		if (p.count > PROG_MAX_INSNS || gap > 1900)
			break;
		prog.insn_count = p.count;
		compare_program(&prog, "jump over", gap, gap);
	}
}

/* ---- random programs ---- */

#ifdef __SANITIZE_ADDRESS__
#define RANDOM_PROGRAMS 4000
#else
#define RANDOM_PROGRAMS 30000
#endif
#define RUNS 6

static void test_random(void **state)
{
	static struct asm_prog program;
	struct dice dice = {.seed = 0x5eed0003};
	struct compare_score score = {0};
	unsigned accepted = 0;
	struct accel_err err;

	(void)state;
	need_jit();
	for (unsigned i = 0; i < RANDOM_PROGRAMS; i++) {
		const char *wrong;

		generate(&program, &dice);
		if (verify_prog(&program.prog, &err))
			continue;
		accepted++;
		wrong = compare_accepted(&program.prog, &dice, RUNS, &score);
		if (wrong) {
			print_program(&program.prog);
			fail_msg("program %u: %s", i, wrong);
		}
	}
	print_message("%u programs, %u accepted, %llu runs in each engine, %llu answered\n", RANDOM_PROGRAMS, accepted,
		(unsigned long long)score.runs, (unsigned long long)score.answered);
	assert_true(accepted > RANDOM_PROGRAMS / 40 && score.answered > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_registers),
		cmocka_unit_test(test_frame_pointer),
		cmocka_unit_test(test_constant_division),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_jump_over_jump),
		cmocka_unit_test(test_loop_ends),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_long_jumps),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("jit", tests, NULL, NULL);
}
