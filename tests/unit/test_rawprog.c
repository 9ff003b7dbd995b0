/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_rawprog.c: bare instructions and map descriptions from text, what becomes of them, and that
 * no text at all leads anywhere but to a message; and the sandbox: r0, memory as given, faults.
 * tests/prog_cli.sh goes through the same from outside.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/rawprog.h"
#include "accel/sandbox.h"

static struct accel_err err;

static void test_hex(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		int rc;
		size_t size;
		const char *words;
	} rows[] = {
		{"", 4, 0, 0, ""},
		{" \n\t\r", 4, 0, 0, ""},
		{"00fF 1a\n2B", 4, 0, 4, ""},
		{"00ff1a2b3c", 4, -E2BIG, 0, "more than 4 bytes"},
		{"0", 4, -EINVAL, 0, "byte 0 has one hexadecimal digit only"},
		{"0011 2 3", 4, -EINVAL, 0, "byte 2 has one hexadecimal digit only"},
		{"0x11", 4, -EINVAL, 0, "'x' at byte 0"},
		{"11,22", 4, -EINVAL, 0, "',' at byte 1"},
		{"\xc3\xa4", 4, -EINVAL, 0, "'?' at byte 0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *bytes = NULL;
		size_t size = 99;

		err.text[0] = 0;
		assert_int_equal(raw_hex(rows[i].text, rows[i].max, &bytes, &size, &err), rows[i].rc);
		if (rows[i].rc == 0) {
			assert_int_equal(size, rows[i].size);
			if (size == 4)
				assert_memory_equal(bytes, "\x00\xff\x1a\x2b", 4);
			free(bytes);
		}
		assert_non_null(strstr(err.text, rows[i].words));
	}
}

/* Calls to 5 and, from there, to 3; one outside is left alone. The second slot of a 64-bit immediate is no call. */
static void test_functions(void **state)
{
	static const char text[] = "8510000004000000 8510000063000000 9500000000000000"
				   "b700000000000000 9500000000000000"
				   "1800000000000000 8510000000000000 85100000fbffffff 9500000000000000";
	struct raw_prog r;

	(void)state;
	assert_int_equal(raw_prog_init(&r, text, &err), 0);
	assert_int_equal(r.prog.insn_count, 9);
	assert_int_equal(r.prog.func_count, 3);
	assert_int_equal(r.funcs[1].start, 3);
	assert_int_equal(r.funcs[1].count, 2);
	assert_int_equal(r.funcs[2].start, 5);
	assert_int_equal(r.funcs[2].count, 4);
	assert_string_equal(r.funcs[2].name, "func_5");
	assert_false(raw_prog_calls_start(&r.prog));
	raw_prog_fini(&r);
	assert_int_equal(raw_prog_init(&r, "85100000ffffffff", &err), 0);
	assert_true(raw_prog_calls_start(&r.prog));
	assert_int_equal(r.prog.func_count, 1);
	raw_prog_fini(&r);
	assert_int_equal(raw_prog_init(&r, "9500", &err), -EINVAL);
	assert_int_equal(raw_prog_init(&r, "", &err), -EINVAL);
}

static void test_too_many_functions(void **state)
{
	char *text = calloc(1, 200 * 2 * 16 + 1), *at = text;
	struct raw_prog r;

	(void)state;
	for (int i = 0; i < 100; i++) /* calls to 100 + i, each an exit */
		at += sprintf(at, "85100000%02x000000", 99);
	for (int i = 0; i < 100; i++)
		at += sprintf(at, "9500000000000000");
	assert_int_equal(raw_prog_init(&r, text, &err), 0);
	assert_int_equal(r.prog.func_count, PROG_MAX_FUNCS + 1);
	assert_int_equal(raw_prog_check(&r.prog, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than 64 functions"));
	raw_prog_fini(&r);
	free(text);
}

static void test_maps(void **state)
{
	struct raw_prog r = {0};

	(void)state;
	assert_int_equal(raw_prog_add_map(&r, "array:4:12:3:ro=0102 03", &err), 0);
	assert_int_equal(raw_prog_add_map(&r, "hash:8:4:1000000000", &err), 0);
	assert_int_equal(raw_prog_add_map(&r, "array:4:1:1:wo", &err), 0);
	assert_int_equal(r.prog.map_count, 3);
	assert_int_equal(r.maps[0].size, 48);
	assert_int_equal(r.maps[0].access, MAP_RO);
	assert_memory_equal(r.maps[0].initial, "\1\2\3\0\0\0", 6);
	assert_string_equal(r.maps[1].name, "map1");
	assert_int_equal(r.maps[1].type, MAP_HASH);
	assert_int_equal(r.maps[1].size, 0);
	assert_int_equal(r.maps[2].access, MAP_WO);
	for (unsigned i = 3; i < PROG_MAX_MAPS; i++)
		assert_int_equal(raw_prog_add_map(&r, "array:4:8:1", &err), 0);
	assert_int_equal(raw_prog_add_map(&r, "array:4:8:1", &err), -EINVAL);
	raw_prog_fini(&r);
}

/* Whatever the text: 0 or an error, and no sanitizer has anything to say. */
static void test_random_text(void **state)
{
	static const char alphabet[] = "0123456789abcdefx :=arhyso\n";
	uint64_t seed = 0x9e3779b97f4a7c15;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct raw_prog r;
		char text[200];
		unsigned n = (unsigned)(seed >> 33) % (sizeof(text) - 1);

		for (unsigned k = 0; k < n; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			/* mostly digits, so that programs come out too */
			text[k] = alphabet[(seed >> 40) % ((seed >> 59) ? 16 : sizeof(alphabet) - 1)];
		}
		text[n] = 0;
		if (raw_prog_init(&r, text, &err) == 0) {
			raw_prog_check(&r.prog, &err);
			raw_prog_fini(&r);
		}
		memset(&r, 0, sizeof(r));
		memcpy(text, "array:4:", n < 8 ? n : 8);
		raw_prog_add_map(&r, text, &err);
		raw_prog_fini(&r);
	}
}

static int sandbox(const char *text, enum engine_kind kind, const void *memory, size_t size, uint64_t *r0)
{
	static const struct accel_clock clock;
	const struct prog_env env = {.clock = &clock};
	struct raw_prog r;
	int rc;

	if (raw_prog_init(&r, text, &err) || raw_prog_check(&r.prog, &err))
		fail_msg("%s", err.text);
	rc = sandbox_run(&r.prog, &env, kind, memory, size, r0, &err);
	raw_prog_fini(&r);
	return rc;
}

static void test_sandbox(void **state)
{
	enum engine_kind kind = *(const enum engine_kind *)*state;
	uint8_t memory[16] = {[8] = 0x2a};
	uint64_t r0 = 1;

	if (kind == ENGINE_JIT && !engine_has_jit()) {
		print_message("no JIT in this build\n");
		skip();
	}
	assert_int_equal(sandbox("7910080000000000 7a01080001000000 9500000000000000", kind, memory, 16, &r0), 0);
	assert_int_equal(r0, 0x2a);
	assert_int_equal(memory[8], 0x2a); /* it had a copy */
	assert_int_equal(sandbox("bf10000000000000 9500000000000000", kind, NULL, 0, &r0), 0);
	assert_int_equal(r0, 0);
	assert_int_equal(sandbox("7910100000000000 9500000000000000", kind, memory, 16, &r0), -EFAULT);
	assert_non_null(strstr(err.text, "0 bytes above the end of the memory"));
	assert_int_equal(sandbox("7910000000000000 9500000000000000", kind, NULL, 0, &r0), -EFAULT);
	assert_non_null(strstr(err.text, "a null pointer"));
	assert_int_equal(sandbox("0500ffff00000000", kind, NULL, 0, &r0), -ETIME);
}

int main(void)
{
	static enum engine_kind interp = ENGINE_INTERP, jit = ENGINE_JIT;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_too_many_functions),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_random_text),
		{"sandbox, interpreter", test_sandbox, NULL, NULL, &interp},
		{"sandbox, JIT", test_sandbox, NULL, NULL, &jit},
	};

	return cmocka_run_group_tests_name("rawprog", tests, NULL, NULL);
}
