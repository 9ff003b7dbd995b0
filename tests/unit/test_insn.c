/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_insn.c: runs the text tables of tests/insn: each row is a program as assembly and as bytes,
 * with r0 and the memory that RFC 9669 demands. The interpreter and the JIT must compute them, and the
 * disassembler must print the assembly from the bytes. Where bpf(2) is allowed, the kernel must
 * compute them too: that judges the tables. Then encodings that are none.
 * Run from the top of the source tree.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/engine.h"
#include "accel/insn.h"
#include "accel/jit.h"

#define HELPER_TIME 1000

struct row {
	char *field[5]; /* assembly, bytes, r0, memory before, memory after */
};

static uint32_t from_hex(const char *text, uint8_t *out, uint32_t max)
{
	uint32_t n = 0;
	unsigned byte;

	while (n < max && sscanf(text + 2 * n, "%2x", &byte) == 1)
		out[n++] = (uint8_t)byte;
	assert_int_equal(strlen(text), 2 * n);
	return n;
}

static bool split(char *line, struct row *row)
{
	char *at = line;

	memset(row, 0, sizeof(*row));
	line[strcspn(line, "\n")] = 0;
	if (!*line || *line == '#')
		return false;
	for (unsigned i = 0; i < 5 && at; i++) {
		row->field[i] = at;
		at = strstr(at, " | ");
		if (at) {
			*at = 0;
			at += 3;
		}
	}
	return true;
}

static void check_disasm(const char *where, const struct prog *p, const char *expected)
{
	char all[2048] = "", one[256];

	for (uint32_t at = 0; at < p->insn_count;) {
		int slots = disasm_insn(p, at, one, sizeof(one));

		assert_in_range(slots, 1, 2);
		if (at)
			strcat(all, "; ");
		strcat(all, one);
		at += (uint32_t)slots;
	}
	if (strcmp(all, expected))
		fail_msg("%s: disassembled as: %s", where, all);
}

struct engine {
	const char *name;
	enum engine_kind kind;
	bool is_plain; /* the JIT for a processor without extras */
};

static const struct engine engines[] = {
	{"interpreter", ENGINE_INTERP, false},
	{"JIT", ENGINE_JIT, false},
	{"JIT for a plain processor", ENGINE_JIT, true},
};

#define ENGINES (sizeof(engines) / sizeof(engines[0]))

static bool is_here(const struct engine *e)
{
	return e->kind == ENGINE_INTERP || engine_has_jit();
}

static int prepare_on(
	const struct engine *e, const struct prog *p, const struct prog_env *env, struct engine_code **code)
{
	return engine_prepare_for(p, env, e->kind, e->is_plain ? 0 : jit_features(), code);
}

static void run_row_on(const struct engine *e, const char *where, struct row *row, const struct prog *p)
{
	struct prog_env env = {.time_is_frozen = true, .frozen_ns = HELPER_TIME};
	struct engine_code *code;
	_Alignas(8) uint8_t memory[64] = {0}, after[64] = {0};
	uint32_t size = 0;
	uint64_t r0;

	if (row->field[3])
		size = from_hex(row->field[3], memory, sizeof(memory));
	if (prepare_on(e, p, &env, &code))
		fail_msg("%s: %s: not accepted", where, e->name);
	assert_int_equal(engine_code_kind(code), e->kind);
	r0 = engine_run(code, memory);
	engine_free(code);
	if (r0 != strtoull(row->field[2], NULL, 0))
		fail_msg("%s: %s: r0 is %#llx: %s", where, e->name, (unsigned long long)r0, row->field[0]);
	if (size) {
		assert_int_equal(from_hex(row->field[4], after, sizeof(after)), size);
		if (memcmp(memory, after, size))
			fail_msg("%s: %s: wrong memory afterwards: %s", where, e->name, row->field[0]);
	}
}

static void run_row(const char *where, struct row *row)
{
	struct bpf_insn insns[64];
	struct prog p = {.name = "row", .insns = insns};

	p.insn_count = from_hex(row->field[1], (uint8_t *)insns, sizeof(insns)) / 8;
	check_disasm(where, &p, row->field[0]);
	for (unsigned i = 0; i < ENGINES; i++) {
		if (is_here(&engines[i]))
			run_row_on(&engines[i], where, row, &p);
	}
}

typedef void row_fn(const char *where, struct row *row);

static void for_rows(const char *name, row_fn *fn)
{
	unsigned line_number = 0, rows = 0;
	char path[256], where[300], line[4096];
	FILE *f;

	snprintf(path, sizeof(path), "tests/insn/%s.txt", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("cannot read %s: run from the top of the source tree", path);
	while (fgets(line, sizeof(line), f)) {
		struct row row;

		line_number++;
		if (!split(line, &row))
			continue;
		snprintf(where, sizeof(where), "%s:%u", path, line_number);
		if (!row.field[2] || (row.field[3] && !row.field[4]))
			fail_msg("%s: too few columns", where);
		fn(where, &row);
		rows++;
	}
	fclose(f);
	assert_true(rows >= 8);
}

static void run_table(void **state)
{
	for_rows(*state, run_row);
}

/*
 * The kernel's turn. A row becomes a subprogram, its memory the stack of a main program that copies
 * it in from the context and out again, with all 64 bits of r0 behind it.
 */
struct kernel_ctx {
	uint64_t memory[2];
	uint64_t r0;
};

static unsigned kernel_ran, kernel_refused;

static void run_row_in_kernel(const char *where, struct row *row)
{
	struct bpf_insn insns[80] = {
		{.code = 0xbf, .dst_reg = 6, .src_reg = 1},		 /* r6 = r1 */
		{.code = 0x79, .dst_reg = 2, .src_reg = 6},		 /* r2 = *(u64 *)(r6 + 0) */
		{.code = 0x7b, .dst_reg = 10, .src_reg = 2, .off = -16}, /* *(u64 *)(r10 - 16) = r2 */
		{.code = 0x79, .dst_reg = 2, .src_reg = 6, .off = 8},
		{.code = 0x7b, .dst_reg = 10, .src_reg = 2, .off = -8},
		{.code = 0xbf, .dst_reg = 1, .src_reg = 10},
		{.code = 0x07, .dst_reg = 1, .imm = -16},
		{.code = 0x85, .src_reg = 1, .imm = 7},		       /* call the row */
		{.code = 0x7b, .dst_reg = 6, .src_reg = 0, .off = 16}, /* *(u64 *)(r6 + 16) = r0 */
		{.code = 0x79, .dst_reg = 2, .src_reg = 10, .off = -16},
		{.code = 0x7b, .dst_reg = 6, .src_reg = 2},
		{.code = 0x79, .dst_reg = 2, .src_reg = 10, .off = -8},
		{.code = 0x7b, .dst_reg = 6, .src_reg = 2, .off = 8},
		{.code = 0xb7},
		{.code = 0x95},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, load, .prog_flags = BPF_F_SLEEPABLE);
	struct kernel_ctx ctx = {.r0 = 0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx));
	uint8_t after[16];
	uint32_t size = 0;
	int fd;

	if (strstr(row->field[0], "bpf_ktime_get_ns")) /* has its own idea of time */
		return;
	if (row->field[3])
		size = from_hex(row->field[3], (uint8_t *)ctx.memory, sizeof(ctx.memory));
	fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "row", "Dual BSD/GPL", insns,
		15 + from_hex(row->field[1], (uint8_t *)&insns[15], 64 * 8) / 8, &load);
	if (fd < 0) { /* dead code, an instruction that this kernel does not know yet */
		kernel_refused++;
		return;
	}
	if (bpf_prog_test_run_opts(fd, &run))
		fail_msg("%s: the kernel does not run it: %s", where, strerror(errno));
	close(fd);
	kernel_ran++;
	if (ctx.r0 != strtoull(row->field[2], NULL, 0))
		fail_msg("%s: in the kernel r0 is %#llx: %s", where, (unsigned long long)ctx.r0, row->field[0]);
	if (size) {
		from_hex(row->field[4], after, sizeof(after));
		if (memcmp(ctx.memory, after, size))
			fail_msg("%s: in the kernel the memory is another: %s", where, row->field[0]);
	}
}

static const char *const tables[] = {
	"base64", "base32", "divmul64", "divmul32", "jump", "memory", "atomic32", "atomic64", "call"};

static void test_kernel(void **state)
{
	const struct bpf_insn nothing[] = {{.code = 0xb7}, {.code = 0x95}};
	LIBBPF_OPTS(bpf_prog_load_opts, load, .prog_flags = BPF_F_SLEEPABLE);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "nothing", "Dual BSD/GPL", nothing, 2, &load);

	(void)state;
	if (fd < 0) {
		print_message("test_kernel skipped: bpf(2) is not to be had here: %s\n", strerror(errno));
		skip();
	}
	close(fd);
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for_rows(tables[i], run_row_in_kernel);
	print_message("the kernel agrees on %u rows and refuses to load %u\n", kernel_ran, kernel_refused);
	assert_true(kernel_ran >= 300);
}

static bool exists(uint8_t code, unsigned dst, unsigned src, int off, int imm)
{
	struct bpf_insn insn = {
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm};

	return insn_lookup(&insn) != NULL;
}

/* Fields that an instruction does not use are reserved and zero. */
static void test_reserved(void **state)
{
	(void)state;
	assert_true(exists(0x07, 1, 0, 0, 5));	 /* r1 += 5 */
	assert_false(exists(0x07, 11, 0, 0, 5)); /* no r11 */
	assert_false(exists(0x07, 1, 1, 0, 5));
	assert_false(exists(0x07, 1, 0, 1, 5));
	assert_true(exists(0x0f, 1, 2, 0, 0)); /* r1 += r2 */
	assert_false(exists(0x0f, 1, 11, 0, 0));
	assert_false(exists(0x0f, 1, 2, 0, 1));
	assert_true(exists(0x37, 1, 0, 1, 5)); /* s/= */
	assert_false(exists(0x37, 1, 0, 2, 5));
	assert_true(exists(0xbf, 1, 2, 32, 0)); /* movsx */
	assert_false(exists(0xbf, 1, 2, 24, 0));
	assert_false(exists(0xbc, 1, 2, 32, 0)); /* there is no 32-bit move of 32 bits */
	assert_false(exists(0xb7, 1, 0, 8, 1));	 /* nor of an immediate */
	assert_false(exists(0xd4, 1, 0, 0, 8));	 /* le8 */
	assert_false(exists(0xdf, 1, 0, 0, 16)); /* bswap has no other source */
	assert_true(exists(0x95, 0, 0, 0, 0));
	assert_false(exists(0x95, 0, 0, 0, 1));
	assert_false(exists(0x96, 0, 0, 0, 0)); /* exit of class JMP32 */
	assert_false(exists(0x05, 0, 0, 3, 1));
	assert_false(exists(0x06, 0, 0, 3, 1));
	assert_false(exists(0x61, 1, 2, 0, 1));
	assert_false(exists(0x99, 1, 2, 0, 0)); /* sign-extending load of 64 bits */
	assert_false(exists(0xc3, 1, 2, 0, 2)); /* no such atomic */
	assert_false(exists(0xcb, 1, 2, 0, 0)); /* 16-bit atomic */
	assert_false(exists(0x85, 0, 3, 0, 1));
	assert_false(exists(0x18, 1, 7, 0, 0));
	assert_false(exists(0x00, 0, 0, 0, 0));
	assert_false(exists(0xff, 0, 0, 0, 0));
}

/* Exactly these opcodes mean something; counted from the tables of the RFC. */
static void test_opcode_count(void **state)
{
	unsigned found = 0;

	(void)state;
	for (unsigned code = 0; code < 256; code++) {
		bool any = false;

		for (int imm = 0; imm < 256 && !any; imm++)
			any = exists((uint8_t)code, 0, 0, 0, imm);
		found += any;
	}
	/* 2 * 25 ALU, 3 byte order, 2 ja, 2 * 22 jumps, call, callx, exit, lddw, 8 packet, 4 ldx, 3 ldsx, 4 st, 4 stx, 2 atomic */
	assert_int_equal(found, 50 + 3 + 2 + 44 + 4 + 8 + 4 + 3 + 4 + 4 + 2);
}

static int prepare(const struct bpf_insn *insns, uint32_t count)
{
	struct bpf_insn copy[8];
	struct prog p = {.name = "bad", .insns = copy, .insn_count = count};
	struct prog_env env = {.time_is_frozen = true};
	struct engine_code *code = NULL;
	int rc;

	memcpy(copy, insns, count * sizeof(*insns));
	rc = engine_prepare(&p, &env, ENGINE_INTERP, &code);
	if (!rc)
		engine_free(code);
	if (engine_has_jit()) {
		assert_int_equal(engine_prepare(&p, &env, ENGINE_JIT, &code), rc);
		if (!rc)
			engine_free(code);
	}
	return rc;
}

static void test_prepare_refuses(void **state)
{
	const struct bpf_insn jump_out[] = {{.code = 0x05, .off = 1}, {.code = 0x95}};
	const struct bpf_insn jump_back[] = {{.code = 0x05, .off = -2}, {.code = 0x95}};
	const struct bpf_insn half[] = {{.code = 0x18}};
	const struct bpf_insn helper[] = {{.code = 0x85, .imm = 1}, {.code = 0x95}};
	const struct bpf_insn packet[] = {{.code = 0x20}, {.code = 0x95}};
	const struct bpf_insn map[] = {{.code = 0x18, .src_reg = 2}, {0}, {.code = 0x95}};
	const struct bpf_insn map_object[] = {{.code = 0x18, .src_reg = 1}, {0}, {.code = 0x95}};
	const struct bpf_insn fine[] = {{.code = 0xb7}, {.code = 0x95}};

	(void)state;
	assert_int_equal(prepare(fine, 2), 0);
	assert_true(prepare(jump_out, 2) < 0);
	assert_true(prepare(jump_back, 2) < 0);
	assert_true(prepare(half, 1) < 0);
	assert_true(prepare(helper, 2) < 0);
	assert_true(prepare(packet, 2) < 0);
	assert_true(prepare(map, 3) < 0);
	assert_true(prepare(map_object, 3) < 0);
	assert_true(prepare(fine, 0) < 0);
}

/* Helper 1 on an array map: the element's address, or 0 beyond the last; element 0 by its address too. */
static void test_lookup(void **state)
{
	uint8_t storage[3 * 16] = {[0] = 7, [16] = 8, [32] = 9};
	const struct prog_map map = {.name = "table",
		.role = MAP_USER,
		.size = sizeof(storage),
		.key_size = 4,
		.value_size = 12,
		.max_entries = 3};
	struct bpf_insn insns[] = {
		{.code = 0x61, .dst_reg = 6, .src_reg = 1},		/* r6 = *(u32 *)(r1 + 0) */
		{.code = 0x63, .dst_reg = 10, .src_reg = 6, .off = -4}, /* *(u32 *)(r10 - 4) = r6 */
		{.code = 0x18, .dst_reg = 1, .src_reg = 1},		/* r1 = map table ll */
		{0},
		{.code = 0xbf, .dst_reg = 2, .src_reg = 10},
		{.code = 0x07, .dst_reg = 2, .imm = -4},
		{.code = 0x85, .imm = 1},
		{.code = 0x15, .off = 3},     /* if r0 == 0 goto pc+3 */
		{.code = 0x71, .src_reg = 0}, /* r0 = *(u8 *)(r0 + 0) */
		{.code = 0x95},
		{.code = 0x05},				    /* not reached */
		{.code = 0x18, .dst_reg = 1, .src_reg = 2}, /* r1 = table + 0 ll */
		{0},
		{.code = 0x71, .src_reg = 1},
		{.code = 0x07, .imm = 100},
		{.code = 0x95},
	};
	struct prog p = {.insns = insns, .insn_count = 16, .maps = &map, .map_count = 1};
	static const struct {
		uint32_t key;
		uint64_t r0;
	} rows[] = {{0, 7}, {1, 8}, {2, 9}, {3, 107}, {UINT32_MAX, 107}, {0x10000000, 107}};
	struct prog_env env = {.time_is_frozen = true};
	struct engine_code *code;
	char text[64];

	(void)state;
	for (unsigned e = 0; e < ENGINES; e++) {
		memset(&env.array, 0, sizeof(env.array));
		memset(&env.map_base, 0, sizeof(env.map_base));
		if (!is_here(&engines[e]))
			continue;
		assert_true(prepare_on(&engines[e], &p, &env, &code) < 0);
		prog_env_set_map(&env, 0, &map, storage);
		assert_int_equal(env.array[0].stride, 16);
		assert_int_equal(prepare_on(&engines[e], &p, &env, &code), 0);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			uint32_t key = rows[i].key;

			assert_int_equal(engine_run(code, &key), rows[i].r0);
		}
		engine_free(code);
	}
	disasm_insn(&p, 2, text, sizeof(text));
	assert_string_equal(text, "r1 = map table ll");
	disasm_insn(&p, 6, text, sizeof(text));
	assert_string_equal(text, "call bpf_map_lookup_elem#1");
	disasm_insn(&p, 11, text, sizeof(text));
	assert_string_equal(text, "r1 = table + 0 ll");
}

/* What is refused is named, what is no instruction is shown as it is. */
static void test_disasm_odd(void **state)
{
	struct bpf_insn insns[] = {{.code = 0x30, .imm = 7}, {.code = 0xff, .imm = -1}, {.code = 0x18, .dst_reg = 3}};
	struct prog p = {.insns = insns, .insn_count = 3};
	char text[256], tiny[4];

	(void)state;
	assert_int_equal(disasm_insn(&p, 0, text, sizeof(text)), 1);
	assert_string_equal(text, "packet access (BPF_ABS): code 0x30 dst 0 src 0 off 0 imm 7");
	assert_int_equal(disasm_insn(&p, 1, text, sizeof(text)), 1);
	assert_string_equal(text, "not an instruction: code 0xff dst 0 src 0 off 0 imm -1");
	assert_int_equal(disasm_insn(&p, 2, text, sizeof(text)), 1);
	assert_string_equal(text, "not an instruction: code 0x18 dst 3 src 0 off 0 imm 0");
	disasm_insn(&p, 0, tiny, sizeof(tiny));
	assert_string_equal(tiny, "pac");
}

#define TABLE(name)                                                                                                    \
	{                                                                                                              \
		"table " name, run_table, NULL, NULL, (void *)(uintptr_t)name                                          \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TABLE("base64"),
		TABLE("base32"),
		TABLE("divmul64"),
		TABLE("divmul32"),
		TABLE("jump"),
		TABLE("memory"),
		TABLE("atomic32"),
		TABLE("atomic64"),
		TABLE("call"),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_opcode_count),
		cmocka_unit_test(test_prepare_refuses),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_disasm_odd),
	};

	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}
