/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_verify.c: libFuzzer over the verifier. The first byte chooses: programs of proggen.h made from
 * the bytes that follow, judged side by side with the machine and, if accepted, by running them;
 * or the bytes as instructions, where only the encodings are repaired often enough to get further.
 */
#include "tests/unit/proggen.h"

static struct asm_prog program;

static void stop_if(const char *wrong)
{
	if (!wrong)
		return;
	print_program(&program.prog);
	fprintf(stderr, "%s\n", wrong);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = {.data = data + 1, .size = size - 1};
	struct score score = {0};

	if (size < 2)
		return 0;
	if (data[0] & 1) {
		generate(&program, &dice);
	} else {
		asm_begin(&program, "bytes");
		while (dice.size >= 8 && program.prog.insn_count < 512) {
			memcpy(&program.insns[program.prog.insn_count++], dice.data, 8);
			dice.data += 8;
			dice.size -= 8;
		}
		if (data[0] & 2)
			asm_emit(&program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		if (data[0] & 4 && program.prog.insn_count > 2) {
			program.prog.func_count = 2;
			program.funcs[1].start = program.prog.insn_count / 2;
		}
		asm_end(&program);
	}
	stop_if(lockstep(&program, &dice, &score));
	stop_if(run_accepted(&program, &dice, &score));
	return 0;
}
