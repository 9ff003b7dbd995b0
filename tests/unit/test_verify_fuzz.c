/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_verify_fuzz.c: random programs with a fixed seed, judged by both ways of proggen.h. What
 * fails is printed whole. tests/fuzz/fuzz_verify.c does the same for ever, guided by coverage.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <time.h>

#include "tests/unit/proggen.h"

static struct asm_prog program;

#define LOCKSTEP_PROGRAMS 15000
#define ACCEPT_PROGRAMS 4000
#define RUNS_OF_ONE 4

static void test_lockstep(void **state)
{
	struct dice dice = {.seed = 0x5eed0001};
	struct score score = {0};

	(void)state;
	for (unsigned i = 0; i < LOCKSTEP_PROGRAMS; i++) {
		generate(&program, &dice);
		for (unsigned run = 0; run < RUNS_OF_ONE; run++) {
			const char *wrong = lockstep(&program, &dice, &score);

			if (wrong) {
				print_program(&program.prog);
				fail_msg("program %u: %s", i, wrong);
			}
		}
	}
	print_message("%llu runs, %llu instructions side by side\n", (unsigned long long)score.programs,
		(unsigned long long)score.steps);
	assert_true(score.steps > 10 * score.programs);
}

static void test_accepted(void **state)
{
	struct dice dice = {.seed = 0x5eed0002};
	struct score score = {0};

	(void)state;
	for (unsigned i = 0; i < ACCEPT_PROGRAMS; i++) {
		const char *wrong;

		generate(&program, &dice);
		wrong = run_accepted(&program, &dice, &score);
		if (wrong) {
			print_program(&program.prog);
			fail_msg("program %u: %s", i, wrong);
		}
	}
	print_message("%u programs, %llu accepted, %llu runs\n", ACCEPT_PROGRAMS, (unsigned long long)score.accepted,
		(unsigned long long)score.runs);
	assert_true(score.accepted > ACCEPT_PROGRAMS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lockstep), cmocka_unit_test(test_accepted)};

	return cmocka_run_group_tests_name("verify_fuzz", tests, NULL, NULL);
}
