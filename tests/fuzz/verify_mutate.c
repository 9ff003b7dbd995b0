/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify_mutate.c: verify_mutate CASES SEED [PROCESSES]: nearly right programs through the verifier. One that is
 * accepted runs on random inputs in the checked machine (machine.h), without one violation and within
 * worst_case, then in the interpreter and in the JIT, which must leave the same r0, context and maps. Others,
 * and some of the accepted, go side by side with the verifier for as long as it lets them (proggen.h).
 *
 * A case depends on the seed and its number only: `verify_mutate --case NUMBER SEED` repeats it. SIGINT and
 * SIGTERM end the run; the number of cases done is always printed. Status 0: no failure; 1: a failure, printed.
 * Run from the top of the source tree: the tables of tests/verify are among the programs that are mutated.
 */
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accel/engine.h"
#include "accel/jit.h"
#include "accel/object.h"
#include "devices/programs.h"
#include "tests/unit/mutate.h"

#define MAX_PROCESSES 16
#define MAX_TABLE 512
#define RUNS 6
#define MAX_STEPS 20000 /* for the verifier: a mutated bound of a loop would take all the time */

/* What a process has done; shared memory, so that its parent can tell when it dies. */
struct tally {
	_Atomic uint64_t cases, accepted, runs, engine_runs, side_by_side;
	_Atomic uint64_t now; /* the case at work */
	_Atomic int failed;
};

/* ---- the programs that are mutated --------------------------------------------------------- */

static struct asm_prog *table[MAX_TABLE], *shipped[64];
static unsigned table_count, shipped_count;
static struct accel_object *objects[16];
static unsigned object_count;

static void add_table(const char *file)
{
	FILE *f = fopen(file, "r");
	char line[256];
	struct asm_prog *a = NULL;

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "case ", 5) && table_count < MAX_TABLE) {
			if (a)
				asm_end(a);
			a = table[table_count++] = calloc(1, sizeof(*a));
			asm_begin(a, line + 5);
		} else if (a && strncmp(line, "case ", 5) && strncmp(line, "accept ", 7) &&
			   strncmp(line, "refuse ", 7) && strncmp(line, "kernel ", 7)) {
			asm_line(a, line);
		}
	}
	if (a)
		asm_end(a);
	if (f)
		fclose(f);
}

static void add_tables(void)
{
	unsigned kept = 0;
	glob_t files;

	if (glob("tests/verify/*.txt", 0, NULL, &files) == 0) {
		for (size_t i = 0; i < files.gl_pathc; i++)
			add_table(files.gl_pathv[i]);
		globfree(&files);
	}
	for (unsigned i = 0; i < table_count; i++) { /* those with something to run, that the machine has room for */
		const struct prog *p = &table[i]->prog;
		bool fits = p->insn_count > 1 && p->insn_count < 300 && p->ctx.size <= MACHINE_CTX_BYTES;

		for (uint32_t m = 0; m < p->map_count; m++) {
			if (p->maps[m].type == MAP_ARRAY && p->maps[m].max_entries > MACHINE_ELEMENTS)
				fits = false;
			fits &= machine_storage(&p->maps[m]) <= MACHINE_MAP_BYTES;
		}
		if (fits)
			table[kept++] = table[i];
		else
			free(table[i]);
	}
	table_count = kept;
}

static void add_object(const char *name, const uint8_t *image, size_t size)
{
	struct accel_object *obj;
	struct accel_err err;

	if (accel_object_open(name, image, size, &obj, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(2);
	}
	objects[object_count++] = obj;
	for (unsigned i = 0; i < accel_object_prog_count(obj); i++) {
		const struct prog *p = accel_object_prog(obj, i);
		struct asm_prog *a = shipped[shipped_count++] = calloc(1, sizeof(*a));

		asm_begin(a, p->name);
		memcpy(a->insns, p->insns, p->insn_count * sizeof(*p->insns));
		memcpy(a->funcs, p->funcs, p->func_count * sizeof(*p->funcs));
		memcpy(a->maps, p->maps, p->map_count * sizeof(*p->maps));
		a->prog.insn_count = p->insn_count;
		a->prog.func_count = p->func_count;
		a->prog.map_count = p->map_count;
		for (uint32_t m = 0; m < p->map_count; m++) {
			if (machine_storage(&p->maps[m]) > MACHINE_MAP_BYTES) {
				fprintf(stderr,
					"%s: %s is too large for the checked machine: raise MACHINE_MAP_BYTES\n", name,
					p->maps[m].name);
				exit(2);
			}
		}
	}
}

static void add_programs(void)
{
#define ADD(name) add_object(#name, prog_##name##_start, (size_t)(prog_##name##_end - prog_##name##_start));
	PROGRAMS(ADD)
	add_tables();
}

static void free_programs(void)
{
	while (table_count)
		free(table[--table_count]);
	while (shipped_count)
		free(shipped[--shipped_count]);
	while (object_count)
		accel_object_put(objects[--object_count]);
}

/* Pointers into the struct itself are the copy's own. */
static void copy_program(struct asm_prog *to, const struct asm_prog *from)
{
	memcpy(to->insns, from->insns, from->prog.insn_count * sizeof(to->insns[0]));
	memcpy(to->funcs, from->funcs, sizeof(to->funcs));
	memcpy(to->maps, from->maps, sizeof(to->maps));
	to->prog = from->prog;
	to->prog.insns = to->insns;
	to->prog.funcs = to->funcs;
	to->prog.maps = to->maps;
	to->fixup_count = to->label_count = 0;
}

/* Long programs are dear: the larger a shipped one, the more seldom it comes up. */
static const struct asm_prog *choose(struct dice *d)
{
	unsigned n = pick(d, 16);

	if (n < 4) {
		const struct asm_prog *a = shipped[pick(d, shipped_count)];

		if (a->prog.insn_count < 100 || pick(d, a->prog.insn_count) < 8)
			return a;
	}
	return n < 9 && table_count ? table[(unsigned)(roll(d) >> 20) % table_count] : NULL;
}

static struct asm_prog program, donor;

static void make_case(struct dice *d)
{
	const struct asm_prog *from = choose(d);

	if (from)
		copy_program(&program, from);
	else
		generate(&program, d);
	if (pick(d, 8) == 0 && !from)
		return; /* random ones are also taken as they are */
	from = choose(d);
	if (!from) {
		from = &program;
		if (pick(d, 4) == 0) {
			generate(&donor, d);
			from = &donor;
		}
	}
	if (from == &program) {
		copy_program(&donor, &program);
		from = &donor;
	}
	mutate(&program, from, d);
}

/* ---- the engines --------------------------------------------------------------------------- */

static struct engines {
	struct prog_env env;
	_Alignas(64) uint8_t map[PROG_MAX_MAPS][MACHINE_MAP_BYTES];
	_Alignas(64) uint8_t ctx[MACHINE_CTX_BYTES];
} engines;

static bool has_hash(const struct prog *p)
{
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (p->maps[i].type == MAP_HASH)
			return true;
	}
	return false;
}

/* A program that does not name a hash runs without it. */
static bool names_hash(const struct prog *p)
{
	for (uint32_t i = 0; i < p->insn_count; i++) {
		if (!mutate_wide(&p->insns[i]))
			continue;
		if (p->insns[i].src_reg && p->maps[p->insns[i].imm].type == MAP_HASH)
			return true;
		i++;
	}
	return false;
}

static void set_maps(const struct prog *p)
{
	for (uint32_t i = 0; i < p->map_count; i++)
		prog_env_set_map(&engines.env, i, &p->maps[i], p->maps[i].type == MAP_HASH ? NULL : engines.map[i]);
}

/* The same run as the machine's, from `before`; NULL or what differs. */
static const char *run_engine(
	const struct engine_code *code, const struct prog *p, const struct machine *before, const struct machine *after)
{
	bool jit = engine_code_kind(code) == ENGINE_JIT;
	uint64_t r0;

	for (uint32_t i = 0; i < p->map_count; i++)
		memcpy(engines.map[i], before->map[i], machine_storage(&p->maps[i]));
	memcpy(engines.ctx, before->ctx, MACHINE_CTX_BYTES);
	engines.env.frozen_ns = before->time;
	r0 = engine_run(code, engines.ctx);
	if (r0 != after->r[0].v)
		return jit ? "the JIT gives another r0" : "the interpreter gives another r0";
	if (memcmp(engines.ctx, after->ctx, MACHINE_CTX_BYTES))
		return jit ? "the JIT leaves another context" : "the interpreter leaves another context";
	for (uint32_t i = 0; i < p->map_count; i++) {
		if (memcmp(engines.map[i], after->map[i], machine_storage(&p->maps[i])))
			return jit ? "the JIT leaves another map" : "the interpreter leaves another map";
	}
	return NULL;
}

static struct machine before;

static const char *run_machine(struct machine *m, const struct prog *p, struct tally *t)
{
	while (!m->ended && machine_step(m)) {
		if (m->steps > p->worst_case)
			return "more instructions than the worst case";
	}
	atomic_fetch_add(&t->runs, 1);
	if (m->wrong)
		return m->wrong;
	if (m->stored && p->effect != ACCEL_STATEFUL)
		return "a pure program has stored to shared memory";
	if (m->timed && !p->reads_time)
		return "a program that reads no time has read it";
	return NULL;
}

static const char *judge_accepted(struct dice *d, struct tally *t)
{
	struct machine *m = &the_machine;
	struct prog *p = &program.prog;
	struct engine_code *interp = NULL, *jit = NULL;
	bool runs = !has_hash(p) || !names_hash(p);
	const char *wrong = NULL;

	for (unsigned run = 0; run < RUNS && !wrong; run++) {
		random_input(m, p, d);
		m->frozen = run != 0;
		memcpy(before.map, m->map, sizeof(m->map[0]) * p->map_count);
		memcpy(before.ctx, m->ctx, sizeof(m->ctx));
		before.time = m->time;
		wrong = run_machine(m, p, t);
		if (wrong || !m->frozen || !runs)
			continue;
		if (!interp) { /* not before the first run has shown that it is safe */
			set_maps(p);
			if (engine_prepare(p, &engines.env, ENGINE_INTERP, &interp)) {
				runs = false; /* helper 1, and nothing but a hash to look in */
				wrong = has_hash(p) ? NULL : "the interpreter does not take it";
				continue;
			}
			if (engine_has_jit() &&
				engine_prepare_for(p, &engines.env, ENGINE_JIT, pick(d, 4) ? jit_features() : 0, &jit))
				wrong = "the JIT does not take it";
		}
		if (!wrong)
			wrong = run_engine(interp, p, &before, m);
		if (!wrong && jit)
			wrong = run_engine(jit, p, &before, m);
		atomic_fetch_add(&t->engine_runs, 1);
	}
	engine_free(interp);
	engine_free(jit);
	return wrong;
}

/* ---- one case ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t seed, uint64_t number)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + number * UINT64_C(0xbf58476d1ce4e5b9);

	x ^= x >> 31;
	x *= UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 29) | 1; /* never 0, which means a fuzzer's bytes */
}

static const char *run_case(uint64_t seed, uint64_t number, struct tally *t)
{
	struct dice d = {.seed = mix(seed, number)};
	struct score score = {0};
	struct accel_err err;
	const char *wrong = NULL;

	make_case(&d);
	if (verify_prog_within(&program.prog, MAX_STEPS, &err) == 0) {
		atomic_fetch_add(&t->accepted, 1);
		wrong = judge_accepted(&d, t);
	} else if (!err.text[0]) {
		wrong = "refused without a word";
	}
	if (!wrong && pick(&d, 4) == 0) {
		atomic_fetch_add(&t->side_by_side, 1);
		wrong = lockstep(&program, &d, &score);
	}
	atomic_fetch_add(&t->cases, 1);
	return wrong;
}

static void print_failure(uint64_t seed, uint64_t number, const char *wrong)
{
	const struct prog *p = &program.prog;

	fprintf(stderr, "case %llu of seed %llu: %s\n", (unsigned long long)number, (unsigned long long)seed, wrong);
	fprintf(stderr, "%s context, %u bytes; worst case %llu\n", p->ctx.raw ? "raw" : "request's", p->ctx.size,
		(unsigned long long)p->worst_case);
	for (uint32_t i = 1; i < p->func_count; i++)
		fprintf(stderr, "function %u begins at %u\n", i, p->funcs[i].start);
	print_program(p);
	for (uint32_t i = 0; i < p->insn_count; i++) {
		const uint8_t *b = (const uint8_t *)&p->insns[i];

		fprintf(stderr, ".hex %02x %02x %02x %02x %02x %02x %02x %02x\n", b[0], b[1], b[2], b[3], b[4], b[5],
			b[6], b[7]);
	}
}

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static int work(uint64_t seed, uint64_t first, uint64_t cases, unsigned step, struct tally *t)
{
	for (uint64_t n = first; n < cases && !stop; n += step) {
		const char *wrong;

		atomic_store(&t->now, n);
		wrong = run_case(seed, n, t);
		if (wrong) {
			print_failure(seed, n, wrong);
			atomic_store(&t->failed, 1);
			return 1;
		}
	}
	return 0;
}

static int report(const struct tally *t, unsigned processes, uint64_t seed)
{
	uint64_t sum[5] = {0};
	int failed = 0;

	for (unsigned i = 0; i < processes; i++) {
		sum[0] += t[i].cases;
		sum[1] += t[i].accepted;
		sum[2] += t[i].runs;
		sum[3] += t[i].engine_runs;
		sum[4] += t[i].side_by_side;
		failed += t[i].failed;
	}
	printf("seed %llu: %llu cases, %llu accepted, %llu runs in the checked machine, %llu of them in the "
	       "engines%s too, %llu cases side by side, %d failures\n",
		(unsigned long long)seed, (unsigned long long)sum[0], (unsigned long long)sum[1],
		(unsigned long long)sum[2], (unsigned long long)sum[3], engine_has_jit() ? ", the JIT" : "",
		(unsigned long long)sum[4], failed);
	return failed != 0;
}

int main(int argc, char **argv)
{
	bool one = argc == 4 && !strcmp(argv[1], "--case");
	uint64_t cases, seed;
	unsigned processes = 1;
	struct tally *t;
	struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
	pid_t pid[MAX_PROCESSES] = {0};

	if (argc < 3 || argc > 4) {
		fprintf(stderr,
			"usage: verify_mutate CASES SEED [PROCESSES]\n       verify_mutate --case NUMBER SEED\n");
		return 2;
	}
	cases = strtoull(argv[one ? 2 : 1], NULL, 0);
	seed = strtoull(argv[one ? 3 : 2], NULL, 0);
	if (argc == 4 && !one)
		processes = (unsigned)atoi(argv[3]);
	if (processes < 1 || processes > MAX_PROCESSES)
		processes = 1;
	t = mmap(NULL, sizeof(*t) * processes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED)
		return 2;
	engines.env.time_is_frozen = true;
	add_programs();
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (one) {
		work(seed, cases, cases + 1, 1, t);
		free_programs();
		return report(t, 1, seed);
	}
	for (unsigned i = 0; i < processes; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(work(seed, i, cases, processes, &t[i]));
	}
	for (unsigned i = 0; i < processes; i++) {
		int status = 0;

		while (pid[i] > 0 && waitpid(pid[i], &status, 0) < 0 && errno == EINTR) {
			for (unsigned k = i; stop && k < processes; k++)
				kill(pid[k], SIGTERM);
		}
		if (pid[i] < 0 || !WIFEXITED(status)) {
			fprintf(stderr, "case %llu of seed %llu: the process died (status %#x)\n",
				(unsigned long long)t[i].now, (unsigned long long)seed, (unsigned)status);
			atomic_store(&t[i].failed, 1);
		}
	}
	free_programs();
	return report(t, processes, seed);
}
