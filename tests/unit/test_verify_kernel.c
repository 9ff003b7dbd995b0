/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_verify_kernel.c: what our verifier accepts, the running kernel's accepts: the accepted cases of
 * tests/verify and random programs are loaded as programs of type syscall, with maps of the same
 * shape. Where the kernel refuses one, its reason must be among those that docs/verifier.md explains,
 * for a case of a table the one that the case names with `kernel TEXT`.
 * Skips by name where bpf(2) is not allowed or the kernel is older than 6.18. VERIFY_KERNEL_PROGRAMS=N sets the number of random programs.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <glob.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/unit/mutate.h"

#define RANDOM_PROGRAMS 20000
#define MAX_STEPS 100000

static struct asm_prog program;
static char kernel_log[1 << 20];

/*
 * The differences that docs/verifier.md explains: in each row, what the kernel says of a program that we
 * accept, and the name that the docs have for it.
 */
static const struct {
	const char *says, *explained;
} differences[] = {
	{"unbounded memory access", "ranges"},
	{"outside of the allowed memory range", "ranges"},
	{"min value is negative", "ranges"},
	{"math between", "ranges"},
	{"invalid access to map value, ", "ranges"},
	{"invalid write to stack", "ranges"},
	{"invalid read from stack", "ranges"},
	{"misaligned stack access", "ranges"},
	{"variable-offset", "ranges"},
	{"BPF program is too large", "ranges"},
	{"infinite loop detected", "ranges"},
	{"pointer be out of bounds", "pointers moved far"},
	{"pointer offset", "pointers moved far"},
	{"subtraction from stack pointer prohibited", "subtraction from a pointer to the stack"},
	{"map_value_or_null", "null tests and constant keys"},
	{"invalid access to map value pointer", "address of the first value"},
	{"type=ctx expected", "the context as a key"},
	{"dereference of modified ctx ptr", "the context at an offset"},
	{"negative offset ctx ptr", "the context at an offset"},
	{"variable ctx access", "the context at an offset"},
	{"cannot return stack pointer to the caller", "pointers to the stack returned"},
};

#define DIFFERENCES (sizeof(differences) / sizeof(differences[0]))
static unsigned seen[DIFFERENCES], dead_paths;

/* Why bpf(2) cannot be used here, or NULL. */
static const char *no_bpf(void)
{
	static char why[128];
	const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "probe", "GPL", insns, 2, &opts);
	struct utsname host;
	unsigned major, minor;

	if (fd >= 0) {
		close(fd);
		if (uname(&host) || sscanf(host.release, "%u.%u", &major, &minor) != 2 || major < 6 ||
			(major == 6 && minor < 18))
			return "the kernel is older than 6.18, with which the differences were explained";
		return NULL;
	}
	snprintf(why, sizeof(why), "bpf(2) does not load a program of type syscall here: %s", strerror(errno));
	return why;
}

/* ---- the same maps in the kernel ----------------------------------------------------------- */

static struct {
	struct prog_map map;
	int fd;
} made[64];
static unsigned made_count;

static int make_map(const struct prog_map *map)
{
	bool user = map->role == MAP_USER, read_only = map->role == MAP_RODATA || (user && map->access == MAP_RO);
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		.map_flags = read_only			     ? BPF_F_RDONLY_PROG
			     : user && map->access == MAP_WO ? BPF_F_WRONLY_PROG
							     : 0);
	uint32_t zero = 0;
	int fd;

	for (unsigned i = 0; i < made_count; i++) {
		const struct prog_map *m = &made[i].map;

		if (m->role == map->role && m->type == map->type && m->access == map->access && m->size == map->size &&
			m->key_size == map->key_size && m->value_size == map->value_size &&
			m->max_entries == map->max_entries)
			return made[i].fd;
	}
	fd = bpf_map_create(user && map->type == MAP_HASH ? BPF_MAP_TYPE_HASH : BPF_MAP_TYPE_ARRAY, "verify",
		user ? map->key_size : 4, user ? map->value_size : map->size, user ? map->max_entries : 1, &opts);
	assert_true(fd >= 0 && made_count < 64);
	if (map->role == MAP_RODATA) {
		assert_int_equal(bpf_map_update_elem(fd, &zero, map->initial, 0), 0);
		assert_int_equal(bpf_map_freeze(fd), 0);
	}
	made[made_count].map = *map;
	made[made_count].fd = fd;
	return made[made_count++].fd;
}

/* What the kernel says: NULL when it takes the program, else its last words. */
static const char *ask_kernel(const struct prog *p)
{
	static struct bpf_insn insns[PROG_MAX_INSNS];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE, .log_level = 1, .log_buf = kernel_log,
		.log_size = sizeof(kernel_log));
	char *end, *last;
	int fd;

	memcpy(insns, p->insns, p->insn_count * sizeof(insns[0]));
	for (uint32_t i = 0; i < p->insn_count; i++) {
		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (insns[i].src_reg)
			insns[i].imm = make_map(&p->maps[insns[i].imm]);
		i++;
	}
	kernel_log[0] = 0;
	fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "verify", "GPL", insns, p->insn_count, &opts);
	if (fd >= 0) {
		close(fd);
		return NULL;
	}
	end = strstr(kernel_log, "\nold state: "); /* after the words that say what is wrong */
	if (!end)
		end = strstr(kernel_log, "\ncur state: ");
	if (end)
		*end = 0;
	end = strstr(kernel_log, "\nprocessed ");
	if (!end)
		return kernel_log[0] ? kernel_log : strerror(errno);
	*end = 0;
	last = strrchr(kernel_log, '\n');
	return last ? last + 1 : kernel_log;
}

/* The next instruction that the log says was walked, from *log on; -1: no more. */
static int next_walked(const char **log)
{
	int at, used;

	while (*log) {
		const char *line = *log;

		*log = strchr(line, '\n');
		*log += *log != NULL;
		used = 0;
		if (sscanf(line, "%d: (%n", &at, &used) == 1 && used)
			return at;
	}
	return -1;
}

/*
 * Whether we know that no run goes from the conditional jump at `at` to its target, or past it: with an
 * instruction that is always refused put in between, we still accept.
 */
static bool edge_is_dead(const struct asm_prog *p, uint32_t at, bool taken)
{
	static struct asm_prog copy;
	const struct bpf_insn trap = {.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 10};
	struct bpf_insn with[3] = {{.code = BPF_JMP | BPF_JA, .off = 2}, trap, {.code = BPF_JMP | BPF_JA}};
	uint32_t add = taken ? 3 : 1;
	struct accel_err err;

	memcpy(&copy, p, sizeof(copy));
	copy.prog.insns = copy.insns;
	copy.prog.funcs = copy.funcs;
	copy.prog.maps = copy.maps;
	mutate_replace(&copy, at + 1, 0, taken ? with : &trap, add);
	for (uint32_t i = 0; i < copy.prog.insn_count; i++) { /* other jumps to what follows go past it */
		if ((i <= at || i > at + add) && mutate_jumps(&copy.insns[i]) && !mutate_far(&copy.insns[i]) &&
			mutate_target(&copy.insns[i], i) == (int64_t)at + 1)
			copy.insns[i].off = (int16_t)(copy.insns[i].off + (int)add);
	}
	if (taken) { /* by way of the trap */
		copy.insns[at + 3].off = (int16_t)(copy.insns[at].off - 3);
		copy.insns[at].off = 1;
	}
	asm_end(&copy);
	return verify_prog_within(&copy.prog, MAX_STEPS, &err) == 0;
}

/* The path on which the kernel found fault takes a side of a condition that we know is never taken. */
static bool path_is_dead(const struct asm_prog *p)
{
	const char *log = kernel_log;
	int from = next_walked(&log), to;

	for (; (to = next_walked(&log)) >= 0; from = to) {
		const struct bpf_insn *i = &p->insns[from];

		if ((uint32_t)from >= p->prog.insn_count || !mutate_jumps(i) || BPF_OP(i->code) == BPF_JA ||
			i->off == 0)
			continue;
		if (edge_is_dead(p, (uint32_t)from, to == from + 1 + i->off))
			return true;
	}
	return false;
}

/* True: the same verdict, or an explained difference: `explained`, if it is one case, else any. */
static bool agrees(const char *name, const struct prog *p, const char *explained)
{
	const char *says = ask_kernel(p);

	if (!says || (explained && explained[0] && strstr(kernel_log, explained)))
		return true;
	for (unsigned i = 0; !explained && i < DIFFERENCES; i++) {
		if (strstr(kernel_log, differences[i].says)) {
			seen[i]++;
			return true;
		}
	}
	if (!explained && path_is_dead(&program)) {
		dead_paths++;
		return true;
	}
	print_error("%s: the kernel says: %s\n", name, says);
	if (getenv("VERIFY_KERNEL_SHOW"))
		print_program(p);
	return false;
}

static unsigned judge(const char *name, unsigned *loaded, const char *explained)
{
	struct accel_err err;

	asm_end(&program);
	if (verify_prog_within(&program.prog, MAX_STEPS, &err))
		return 0;
	++*loaded;
	return !agrees(name, &program.prog, explained);
}

static unsigned judge_table(const char *file, unsigned *loaded)
{
	FILE *f = fopen(file, "r");
	char line[256], name[300] = "", explained[256] = "";
	unsigned failed = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "case ", 5)) {
			if (name[0])
				failed += judge(name, loaded, explained);
			explained[0] = 0;
			snprintf(name, sizeof(name), "%s: %s", strrchr(file, '/') + 1, line + 5);
			asm_begin(&program, "test");
		} else if (!strncmp(line, "kernel ", 7)) {
			snprintf(explained, sizeof(explained), "%s", line + 7);
		} else if (name[0] && strncmp(line, "accept ", 7) && strncmp(line, "refuse ", 7)) {
			asm_line(&program, line);
		}
	}
	if (name[0])
		failed += judge(name, loaded, explained);
	fclose(f);
	return failed;
}

static void test_tables(void **state)
{
	unsigned loaded = 0, failed = 0;
	glob_t files;

	(void)state;
	if (no_bpf()) {
		print_message("skipped: %s\n", no_bpf());
		skip();
	}
	assert_int_equal(glob("tests/verify/*.txt", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++)
		failed += judge_table(files.gl_pathv[i], &loaded);
	globfree(&files);
	print_message("%u accepted cases, %u unexplained\n", loaded, failed);
	assert_true(loaded > 100);
	assert_int_equal(failed, 0);
}

static void test_random(void **state)
{
	struct dice dice = {.seed = 0x5eed0003};
	const char *number = getenv("VERIFY_KERNEL_PROGRAMS");
	unsigned programs = number ? (unsigned)atoi(number) : RANDOM_PROGRAMS, loaded = 0, failed = 0, refused = 0;

	(void)state;
	if (no_bpf()) {
		print_message("skipped: %s\n", no_bpf());
		skip();
	}
	for (unsigned i = 0; i < programs && failed < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "random program %u", i);
		generate(&program, &dice);
		failed += judge(name, &loaded, NULL);
	}
	print_message("%u random programs, %u accepted, %u unexplained\n", programs, loaded, failed);
	for (unsigned i = 0; i < DIFFERENCES; i++) {
		refused += seen[i];
		print_message("%5u %s (\"%s\")\n", seen[i], differences[i].explained, differences[i].says);
	}
	print_message("%5u paths that only the kernel holds possible\n", dead_paths);
	assert_true(loaded > programs / 50);
	assert_true(refused + dead_paths < loaded / 4);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_random)};

	return cmocka_run_group_tests_name("verify_kernel", tests, NULL, NULL);
}
