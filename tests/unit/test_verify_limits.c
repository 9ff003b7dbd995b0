/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_verify_limits.c: the verifier against programs made to keep it busy: each ends within the limits of
 * docs/verifier.md, time and memory measured from outside, with a refusal that names the limit. And that
 * pruning keeps what programs do in practice linear.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "accel/verifier.h"
#include "tests/unit/bpfasm.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* The limit is looked at now and then, and what was made has to be freed. */
#define TIME_SLACK_NS (UINT64_C(300000000) * (SANITIZED ? 20 : 1))
#define MEMORY_SLACK_KIB 24576

static struct asm_prog a;
static struct accel_err err;

__attribute__((format(printf, 1, 2))) static void line(const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	asm_line(&a, text);
}

static void begin(const char *name)
{
	asm_begin(&a, name);
	line("r6 = *(u64 *)(r1 + 0)");
}

static void end(void)
{
	line("r0 = 1");
	line("exit");
}

static int verify(void)
{
	struct timespec from, to;
	struct rusage usage;
	uint64_t ns;
	long before;
	int rc;

	asm_end(&a);
	getrusage(RUSAGE_SELF, &usage);
	before = usage.ru_maxrss;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	rc = verify_prog(&a.prog, &err);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	getrusage(RUSAGE_SELF, &usage);
	ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
	print_message("%-20s %4u instructions: %d, %llu ms, %ld MiB at most\n", a.prog.name, a.prog.insn_count, rc,
		(unsigned long long)ns / 1000000, usage.ru_maxrss / 1024);
	assert_true(ns <= VERIFY_MAX_NS + TIME_SLACK_NS);
	if (!SANITIZED) /* the sanitizer keeps what was freed */
		assert_true(usage.ru_maxrss - before <= (VERIFY_MAX_BYTES >> 10) + MEMORY_SLACK_KIB);
	return rc;
}

static void refused(void)
{
	assert_int_equal(verify(), -E2BIG);
	assert_true(strstr(err.text, "too long to prove") || strstr(err.text, "too much to keep in mind"));
	assert_non_null(strstr(err.text, "help: "));
}

/* r7 depends on 60 decisions, and is needed at the end. */
static void test_paths(void **state)
{
	(void)state;
	begin("paths");
	line("r7 = 1");
	for (unsigned i = 0; i < 60; i++) {
		line("r7 *= 3");
		line("if r6 & %u goto l%u", 1u << (i % 30), i);
		line("r7 += %u", i + 1);
		line("l%u:", i);
	}
	line("if r7 == 77 goto out");
	line("out:");
	end();
	refused();
}

static void test_long_loops(void **state)
{
	(void)state;
	asm_begin(&a, "a counter");
	line("r1 = 0");
	line("loop:");
	line("r1 += 1");
	line("if r1 < 100000000 goto loop");
	end();
	refused();

	begin("a counter, branches");
	line("r1 = 0");
	line("loop:");
	line("if r6 & 1 goto odd");
	line("r6 *= 3");
	line("odd:");
	line("r6 >>= 1");
	line("r1 += 1");
	line("if r1 < 100000000 goto loop");
	end();
	refused();
}

/* Ten decisions in each turn, and a whole stack in each state: of one number, or of 64 pairs of linked halves. */
static void test_large_states(void **state)
{
	(void)state;
	for (unsigned links = 0; links < 2; links++) {
		begin(links ? "linked halves" : "a full stack");
		line("r2 = r10");
		line("r2 += -8");
		for (unsigned i = 0; i < 64; i++) {
			if (links) {
				line("r3 = *(u32 *)(r1 + 16)");
				line("r4 = r3");
				line("*(u32 *)(r10 - %u) = r3", 8 * i + 4);
				line("*(u32 *)(r10 - %u) = r4", 8 * i + 8);
			} else {
				line("*(u64 *)(r10 - %u) = r6", 8 * i + 8);
			}
		}
		line("r7 = 0");
		line("loop:");
		for (unsigned i = 0; i < 10; i++) {
			line("if r6 & %u goto m%u", 1u << i, i);
			line("r7 += 1");
			line("m%u:", i);
		}
		line("if r7 < 1000000 goto loop");
		line("r3 = *(u64 *)(r2 + 0)");
		end();
		refused();
	}
}

/* Seven functions, each calling the next eight times with something else. */
static void test_calls(void **state)
{
	(void)state;
	asm_begin(&a, "calls");
	line("r1 = *(u64 *)(r1 + 0)");
	line("call f0");
	end();
	for (unsigned f = 0; f < 7; f++) {
		line("func f%u:", f);
		line("r6 = r1");
		for (unsigned k = 0; f < 6 && k < 8; k++) {
			line("r1 = r6");
			line("r1 += %u", k);
			line("call f%u", f + 1);
			line("r6 += r0");
		}
		line("r0 = r6");
		line("if r0 > 5 goto large%u", f);
		line("r0 *= 5");
		line("large%u:", f);
		line("exit");
	}
	refused();
}

/* Needs flow against the order of the code, one block at a time. */
static void test_order(void **state)
{
	(void)state;
	begin("backwards");
	for (unsigned i = 2; i < 6; i++)
		line("r%u = 0", i);
	line("goto b240");
	line("b0:");
	end();
	for (unsigned i = 1; i <= 240; i++) {
		line("b%u:", i);
		for (unsigned k = 0; k < 14; k++)
			line("r%u += r6", 2 + k % 4);
		line("goto b%u", i - 1);
	}
	assert_int_equal(verify(), 0);
}

static uint32_t diamonds(unsigned count)
{
	begin("diamonds");
	line("r7 = 0");
	for (unsigned i = 0; i < count; i++) {
		line("r3 = r6");
		line("r3 >>= %u", i % 60);
		line("if r3 & 1 goto l%u", i);
		line("r7 = %u", i);
		line("l%u:", i);
		line("r4 = r7");
	}
	end();
	assert_int_equal(verify(), 0);
	return a.prog.states;
}

/* Twice as much code, about twice as many states; a loop of many turns, a few states for each. */
static void test_linear(void **state)
{
	uint32_t few = diamonds(100), many = diamonds(200);

	(void)state;
	print_message("100 diamonds: %u states, 200: %u\n", few, many);
	assert_true(many <= 2 * few + 10 && few <= 4 * 100);
	begin("turns");
	line("r1 = 0");
	line("loop:");
	line("if r6 & 1 goto odd");
	line("r6 *= 3");
	line("odd:");
	line("r6 >>= 1");
	line("r1 += 1");
	line("if r1 < 500 goto loop");
	end();
	assert_int_equal(verify(), 0);
	assert_true(a.prog.states <= 10 * 500);
	assert_true(a.prog.worst_case >= 500 * 5 && a.prog.worst_case <= 500 * 6 + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linear), /* first, while little memory has been used */
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_long_loops),
		cmocka_unit_test(test_large_states),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("verify_limits", tests, NULL, NULL);
}
