/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_verifier.c: the verifier against the text tables of tests/verify: each case is a program
 * with what must be said of it.
 *
 *   case NAME            begins a case; then lines of bpfasm.h, and:
 *   accept pure|stateful [worst N] [time]
 *   refuse TEXT          a part of the explanation; several lines: all of them
 *   kernel TEXT          it is accepted here, but a kernel may refuse it with these words (test_verify_kernel.c)
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <glob.h>

#include "accel/object.h"
#include "devices/programs.h"
#include "tests/unit/bpfasm.h"

struct table_case {
	char name[96];
	char expect[16][160];
	unsigned expect_count;
};

static struct asm_prog program;

/* Says what is wrong, or nothing. */
static bool judge(const struct table_case *c, const char *file)
{
	struct accel_err err;
	bool ok = true;
	int rc;

	asm_end(&program);
	rc = verify_prog(&program.prog, &err);
	if (c->expect_count == 0) {
		print_error("%s: %s: the case expects nothing\n", file, c->name);
		return false;
	}
	for (unsigned i = 0; i < c->expect_count; i++) {
		const char *e = c->expect[i];

		if (!strncmp(e, "refuse ", 7)) {
			if (rc == 0) {
				print_error("%s: %s: accepted\n", file, c->name);
				return false;
			}
			if (!strstr(err.text, e + 7)) {
				print_error("%s: %s: \"%s\" is not in:\n%s\n", file, c->name, e + 7, err.text);
				ok = false;
			}
			continue;
		}
		if (rc != 0) {
			print_error("%s: %s: refused:\n%s\n", file, c->name, err.text);
			return false;
		}
		if (strstr(e, "worst ") && program.prog.worst_case != strtoull(strstr(e, "worst ") + 6, NULL, 10)) {
			print_error("%s: %s: worst case is %llu\n", file, c->name,
				(unsigned long long)program.prog.worst_case);
			ok = false;
		}
		if ((program.prog.effect == ACCEL_STATEFUL) != !!strstr(e, "stateful") ||
			program.prog.reads_time != !!strstr(e, "time")) {
			print_error("%s: %s: effect or time is wrong\n", file, c->name);
			ok = false;
		}
	}
	return ok;
}

static unsigned run_table(const char *file, unsigned *failed)
{
	FILE *f = fopen(file, "r");
	struct table_case c = {0};
	unsigned count = 0;
	char line[256];
	bool open = false;

	assert_non_null(f);
	while (true) {
		bool more = fgets(line, sizeof(line), f);

		if (more)
			line[strcspn(line, "\n")] = 0;
		if ((!more || !strncmp(line, "case ", 5)) && open) {
			count++;
			*failed += !judge(&c, file);
		}
		if (!more)
			break;
		if (!strncmp(line, "case ", 5)) {
			memset(&c, 0, sizeof(c));
			snprintf(c.name, sizeof(c.name), "%.90s", line + 5);
			asm_begin(&program, "test");
			open = true;
		} else if (!strncmp(line, "accept ", 7) || !strncmp(line, "refuse ", 7)) {
			assert_true(c.expect_count < 16);
			snprintf(c.expect[c.expect_count++], sizeof(c.expect[0]), "%.150s", line);
		} else if (open && strncmp(line, "kernel ", 7)) {
			asm_line(&program, line);
		}
	}
	fclose(f);
	return count;
}

static void test_tables(void **state)
{
	unsigned count = 0, failed = 0;
	glob_t files;

	(void)state;
	assert_int_equal(glob("tests/verify/*.txt", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		unsigned n = run_table(files.gl_pathv[i], &failed);

		print_message("%s: %u cases\n", files.gl_pathv[i], n);
		count += n;
	}
	globfree(&files);
	print_message("%u cases, %u failed\n", count, failed);
	assert_true(count >= 300);
	assert_int_equal(failed, 0);
}

/*
 * Every program that is built into hotreg: accepted, and with few states, which is what keeps it quick and,
 * unlike the milliseconds (printed; `make bench` measures them), does not depend on who else uses the machine.
 */
static void test_shipped(void **state)
{
	static const struct program_image shipped[] = {PROGRAMS(PROGRAM_ROW)};
	const size_t count = sizeof(shipped) / sizeof(shipped[0]);
	glob_t sources;

	(void)state;
	assert_int_equal(glob("bpf/*.bpf.c", 0, NULL, &sources), 0);
	assert_int_equal(sources.gl_pathc, count);
	globfree(&sources);
	for (size_t i = 0; i < count; i++) {
		struct accel_object *obj = NULL;
		struct accel_err err;

		if (accel_object_open(
			    shipped[i].name, shipped[i].start, (size_t)(shipped[i].end - shipped[i].start), &obj, &err))
			fail_msg("%s: %s", shipped[i].name, err.text);
		assert_true(accel_object_prog_count(obj) > 0);
		for (unsigned n = 0; n < accel_object_prog_count(obj); n++) {
			struct prog p = *accel_object_prog(obj, n);
			uint64_t best = UINT64_MAX;

			for (unsigned run = 0; run < 20; run++) {
				assert_int_equal(verify_prog(&p, &err), 0);
				best = p.verify_ns < best ? p.verify_ns : best;
			}
			print_message("%s: %u instructions, %u states, worst case %llu, %llu us\n", p.name,
				p.insn_count, p.states, (unsigned long long)p.worst_case,
				(unsigned long long)best / 1000);
			assert_true(p.worst_case > 0 && p.states > 0);
			assert_true(p.states <= 1000);
		}
		accel_object_put(obj);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_shipped)};

	return cmocka_run_group_tests_name("verifier", tests, NULL, NULL);
}
