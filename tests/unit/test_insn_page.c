/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_insn_page.c: that accel/insn.def is the one list of instructions: docs/instructions.md is made from it, and
 * no row of it lacks a case in the verifier (in the interpreter, the JIT and the disassembler: test_jit.c).
 *
 * usage: test_insn_page [--print >docs/instructions.md]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/insn.h"
#include "accel/prog.h"

#define ANY 0
#define OFF 1
#define IMM 2
#define SRC 3
static const struct {
	const char *name;
	uint8_t opcode;
	uint8_t select;
	int32_t value;
	const char *meaning;
} rows[INSN_COUNT] = {
#define INSN(id, opcode, select, value, kind, bits, op, text, meaning) {#id, opcode, select, value, #meaning},
#include "accel/insn.def"
};

static const struct prog_map maps[] = {{.name = "array",
	.role = MAP_USER,
	.type = MAP_ARRAY,
	.size = 64,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 8,
	.access = MAP_RW}};

/* The row as an instruction. */
static struct bpf_insn insn_of(unsigned row)
{
	struct bpf_insn insn = {.code = rows[row].opcode};

	if (rows[row].select == OFF)
		insn.off = (int16_t)rows[row].value;
	if (rows[row].select == IMM)
		insn.imm = rows[row].value;
	if (rows[row].select == SRC)
		insn.src_reg = rows[row].value & 15;
	return insn;
}

/* ---- the page ---- */

static const char *heading_of(const struct insn_desc *desc)
{
	switch (desc->kind) {
	case KIND_ALU_K:
	case KIND_ALU_X:
	case KIND_ALU_1:
		return desc->op == OP_LE || desc->op == OP_BE || desc->op == OP_BSWAP ? "Byte order"
		       : desc->bits == 64					      ? "64-bit arithmetic"
										      : "32-bit arithmetic";
	case KIND_JUMP:
	case KIND_JUMP32:
	case KIND_JMP_K:
	case KIND_JMP_X:
		return "Jumps";
	case KIND_LOAD:
	case KIND_LOAD_S:
	case KIND_STORE_K:
	case KIND_STORE_X:
		return "Memory";
	case KIND_ATOMIC:
	case KIND_ATOMIC_FETCH:
	case KIND_ATOMIC_CMPXCHG:
		return "Atomic read-modify-write";
	case KIND_IMM64:
	case KIND_MAP:
	case KIND_MAP_ADDR:
		return "64-bit immediates, two slots";
	case KIND_CALL_HELPER:
	case KIND_CALL_FUNC:
	case KIND_RETURN:
		return "Calls";
	case KIND_REFUSED:
		return desc->opcode == 0x18  ? "64-bit immediates, two slots"
		       : desc->opcode & 0x80 ? "Calls"
					     : "Legacy packet access";
	}
	return "";
}

static const char *effect_of(const struct insn_desc *desc)
{
	switch (desc->kind) {
	case KIND_ALU_K:
		return "dst = MEANING; s is imm";
	case KIND_ALU_X:
		return "dst = MEANING; s is src";
	case KIND_ALU_1:
		return "dst = MEANING";
	case KIND_JUMP:
		return "jumps by off";
	case KIND_JUMP32:
		return "jumps by imm";
	case KIND_JMP_K:
		return "jumps by off if MEANING; s is imm";
	case KIND_JMP_X:
		return "jumps by off if MEANING; s is src";
	case KIND_LOAD:
		return "dst = memory at src + off, zero-extended";
	case KIND_LOAD_S:
		return "dst = memory at src + off, sign-extended to 64 bits";
	case KIND_STORE_K:
		return "memory at dst + off = imm";
	case KIND_STORE_X:
		return "memory at dst + off = src";
	case KIND_ATOMIC:
		return "memory at dst + off = MEANING; d is what it was";
	case KIND_ATOMIC_FETCH:
		return "memory at dst + off = MEANING; src = d, what it was";
	case KIND_ATOMIC_CMPXCHG:
		return "memory at dst + off = MEANING if it was r0; r0 = what it was";
	case KIND_CALL_HELPER:
		return "r0 = the helper with number imm, of r1 to r5";
	case KIND_CALL_FUNC:
		return "r0 = the function imm slots on, with a frame of its own";
	case KIND_RETURN:
		return "returns r0";
	case KIND_IMM64:
		return "dst = imm of the second slot and imm";
	case KIND_MAP:
		return "dst = the map with index imm";
	case KIND_MAP_ADDR:
		return "dst = address in element 0 of the map with index imm, imm of the second slot bytes on";
	case KIND_REFUSED:
		return "**refused**";
	}
	return "";
}

static void put_effect(FILE *f, const struct insn_desc *desc, const char *meaning)
{
	const char *text = effect_of(desc), *at = strstr(text, "MEANING");

	if (!at) {
		fputs(text, f);
		return;
	}
	fprintf(f, "%.*s`", (int)(at - text), text);
	for (; *meaning; meaning++)
		fprintf(f, *meaning == '|' ? "\\|" : "%c", *meaning);
	fprintf(f, "`%s", at + strlen("MEANING"));
}

/* As `hotreg prog dump` writes it: d and s are r1 and r2, numbers 7, jumps and calls lead on by one. */
static void put_written(FILE *f, unsigned row)
{
	struct bpf_insn both[4] = {insn_of(row), {0}, {.code = BPF_JMP | BPF_EXIT}, {.code = BPF_JMP | BPF_EXIT}};
	const struct insn_desc *desc = insn_lookup(&both[0]);
	struct prog p = {.insns = both, .insn_count = 4, .maps = maps, .map_count = 1};
	bool uses_imm = desc->kind == KIND_ALU_K || desc->kind == KIND_JMP_K || desc->kind == KIND_STORE_K;
	char text[160];

	if (desc->kind != KIND_JUMP && desc->kind != KIND_JUMP32 && desc->kind != KIND_CALL_HELPER &&
		desc->kind != KIND_CALL_FUNC && desc->kind != KIND_RETURN)
		both[0].dst_reg = 1;
	if (desc->kind == KIND_ALU_X || desc->kind == KIND_JMP_X || desc->kind == KIND_LOAD ||
		desc->kind == KIND_LOAD_S || desc->kind == KIND_STORE_X || desc->kind == KIND_ATOMIC ||
		desc->kind == KIND_ATOMIC_FETCH || desc->kind == KIND_ATOMIC_CMPXCHG)
		both[0].src_reg = 2;
	if (uses_imm || desc->kind == KIND_IMM64)
		both[0].imm = 7;
	if (desc->kind == KIND_JUMP || desc->kind == KIND_JMP_K || desc->kind == KIND_JMP_X)
		both[0].off = 1;
	if (desc->kind == KIND_JUMP32 || desc->kind == KIND_CALL_FUNC)
		both[0].imm = 1;
	if (desc->kind == KIND_CALL_HELPER)
		both[0].imm = 5;
	if (desc->kind == KIND_REFUSED)
		snprintf(text, sizeof(text), "%s", desc->text);
	else
		disasm_insn(&p, 0, text, sizeof(text));
	for (const char *c = text; *c; c++)
		fprintf(f, *c == '|' ? "\\|" : "%c", *c);
}

static void print_page(FILE *f)
{
	static const char *const fields[] = {"", "off", "imm", "src"};
	const char *last = "";

	fputs("# Instructions\n\nRFC 9669, as hotreg has it: all of base32, base64, divmul32, divmul64, atomic32 and "
	      "atomic64. This "
	      "page is made from the one\ntable, accel/insn.def (`build/tests/unit/test_insn_page --print`, which also "
	      "checks it), as are "
	      "the check of encodings, the\ninterpreter, the JIT and the disassembler.\n\n"
	      "d and s are the operands' values as unsigned numbers of the operation's width, sd and ss the same as "
	      "signed ones. A\n"
	      "32-bit result clears the upper half of dst; imm is sign-extended. Where a field selects among "
	      "instructions of one opcode, "
	      "its\nvalue stands behind the opcode. Fields that are no operand are 0. `insn_sdiv64()` and its like: a "
	      "division by zero\n"
	      "gives 0, a remainder then the dividend; the lowest number by -1 is itself, with remainder 0.\n",
		f);
	for (unsigned i = 0; i < INSN_COUNT; i++) {
		const struct bpf_insn insn = insn_of(i);
		const struct insn_desc *desc = insn_lookup(&insn);

		if (strcmp(heading_of(desc), last) != 0) {
			last = heading_of(desc);
			fprintf(f,
				"\n## %s\n\n| opcode | name | `hotreg prog dump` | bits | what it does "
				"|\n|---|---|---|---|---|\n",
				last);
		}
		fprintf(f, "| 0x%02x", rows[i].opcode);
		if (rows[i].select != ANY)
			fprintf(f, rows[i].opcode == 0xc3 || rows[i].opcode == 0xdb ? ", %s 0x%02x" : ", %s %d",
				fields[rows[i].select], (unsigned)rows[i].value);
		fprintf(f, " | %s | `", rows[i].name);
		put_written(f, i);
		fprintf(f, "` | %u | ", desc->bits);
		put_effect(f, desc, rows[i].meaning);
		fputs(" |\n", f);
	}
}

static void test_page(void **state)
{
	char *made = NULL, *there;
	size_t made_bytes = 0, there_bytes;
	FILE *f = open_memstream(&made, &made_bytes);

	(void)state;
	assert_non_null(f);
	print_page(f);
	fclose(f);
	f = fopen("docs/instructions.md", "r");
	assert_non_null(f);
	there = calloc(1, made_bytes + 2);
	assert_non_null(there);
	there_bytes = fread(there, 1, made_bytes + 1, f);
	fclose(f);
	if (there_bytes != made_bytes || memcmp(made, there, made_bytes) != 0)
		fail_msg("docs/instructions.md is not what accel/insn.def says: test_insn_page --print makes it");
	free(there);
	free(made);
}

/* ---- the verifier ---- */

struct small {
	struct bpf_insn insns[16];
	uint32_t count;
};

static void emit(struct small *p, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
	p->insns[p->count++] = (struct bpf_insn){
		.code = (uint8_t)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm};
}

/* A right program around the row. */
static void surround(struct small *p, unsigned row)
{
	struct bpf_insn insn = insn_of(row);
	const struct insn_desc *desc = insn_lookup(&insn);

	p->count = 0;
	emit(p, BPF_LDX | BPF_MEM | BPF_DW, 2, 1, 0, 0);
	emit(p, BPF_LDX | BPF_MEM | BPF_DW, 3, 1, 8, 0);
	emit(p, BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 0);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	switch (desc->kind) {
	case KIND_ALU_K:
	case KIND_JMP_K:
		insn.imm = 5;
		insn.dst_reg = 2;
		break;
	case KIND_ALU_X:
		if (desc->op == OP_LSH || desc->op == OP_RSH || desc->op == OP_ARSH)
			emit(p, BPF_ALU64 | BPF_AND | BPF_K, 3, 0, 0, 31);
		/* fall through */
	case KIND_JMP_X:
		insn.dst_reg = 2;
		insn.src_reg = 3;
		break;
	case KIND_ALU_1:
		insn.dst_reg = 2;
		break;
	case KIND_LOAD:
	case KIND_LOAD_S:
		insn.dst_reg = 2;
		insn.src_reg = 10;
		insn.off = -8;
		break;
	case KIND_STORE_K:
	case KIND_STORE_X:
	case KIND_ATOMIC:
	case KIND_ATOMIC_FETCH:
	case KIND_ATOMIC_CMPXCHG:
		insn.dst_reg = 10;
		insn.off = -8;
		if (desc->kind != KIND_STORE_K)
			insn.src_reg = 3;
		break;
	case KIND_CALL_HELPER:
		insn.imm = 5;
		break;
	case KIND_CALL_FUNC:
		insn.imm = 2; /* behind the end */
		break;
	case KIND_IMM64:
	case KIND_MAP:
	case KIND_MAP_ADDR:
		insn.dst_reg = 2;
		break;
	default:
		break;
	}
	p->insns[p->count++] = insn;
	if (insn.code == 0x18)
		emit(p, 0, 0, 0, 0, 0);
	if (desc->kind == KIND_RETURN)
		return;
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	if (desc->kind == KIND_CALL_FUNC) {
		emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
		emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
}

/* Each row that runs is accepted, each other refused by its name. */
static void test_verifier_has_all_rows(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (unsigned i = 0; i < INSN_COUNT; i++) {
		struct small small;
		struct prog p = {.name = "row", .insns = small.insns, .maps = maps, .map_count = 1};
		const struct bpf_insn insn = insn_of(i);
		const struct insn_desc *desc = insn_lookup(&insn);
		struct prog_func funcs[2] = {{.name = "row"}, {.name = "local"}};
		struct accel_err err = {.text = ""};
		int rc;

		assert_non_null(desc);
		surround(&small, i);
		p.insn_count = small.count;
		p.ctx = (struct prog_ctx){.raw = true, .size = 16};
		p.funcs = funcs;
		p.func_count = desc->kind == KIND_CALL_FUNC ? 2 : 1;
		funcs[0].count = desc->kind == KIND_CALL_FUNC ? small.count - 2 : small.count;
		funcs[1].start = small.count - 2;
		funcs[1].count = 2;
		rc = verify_prog(&p, &err);
		if (desc->kind == KIND_REFUSED) {
			refused++;
			if (!rc || !strstr(err.text, desc->text))
				fail_msg("%s is not refused by its name: %s", rows[i].name, rc ? err.text : "accepted");
		} else if (rc) {
			fail_msg("%s is not accepted: %s", rows[i].name, err.text);
		}
	}
	assert_true(refused > 0 && refused < INSN_COUNT / 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_verifier_has_all_rows),
	};

	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		print_page(stdout);
		return 0;
	}
	return cmocka_run_group_tests_name("insn_page", tests, NULL, NULL);
}
