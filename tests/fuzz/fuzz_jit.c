/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_jit.c: libFuzzer over the engines: a program made from the bytes (proggen.h), or the bytes as
 * instructions. Whatever the verifier accepts must leave the same behind in the interpreter and in
 * the JIT, with and without the processor's extras.
 */
#include "tests/unit/jitcompare.h"

static struct asm_prog program;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = {.data = data + 1, .size = size - 1};
	struct compare_score score = {0};
	struct accel_err err;
	const char *wrong;

	if (size < 2)
		return 0;
	if (data[0] & 3) {
		generate(&program, &dice);
	} else {
		asm_begin(&program, "bytes");
		while (dice.size >= 8 && program.prog.insn_count < 512) {
			memcpy(&program.insns[program.prog.insn_count++], dice.data, 8);
			dice.data += 8;
			dice.size -= 8;
		}
		asm_emit(&program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		asm_end(&program);
	}
	if (verify_prog(&program.prog, &err))
		return 0;
	wrong = compare_accepted(&program.prog, &dice, 4, &score);
	if (wrong) {
		print_program(&program.prog);
		fprintf(stderr, "%s\n", wrong);
		abort();
	}
	return 0;
}
